"""`POST /v1/traces` and `/v1/logs`: OTLP/HTTP as its specification says, durable before the 200.

How a body becomes events is in `oplake.landing.otlp`; here it is landed and answered, in the encoding that it came in.
What cannot be an event is kept as a reject and counted in `partial_success`, so that no exporter sends it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from oplake.events import encoder
from oplake.landing.accept import Accepted, accept_batch, reject
from oplake.landing.errors import OtlpError, Unusable
from oplake.landing.otlp import Encoding, Signal, decode_logs, decode_traces, encode_response
from oplake.receiver.door import Door
from oplake.receiver.errors import Refused

ENCODINGS: Mapping[str, Encoding] = {"application/x-protobuf": "protobuf", "application/json": "json"}
CONTENT_TYPES: Mapping[Encoding, str] = {encoding: content_type for content_type, encoding in ENCODINGS.items()}
COMMIT_EVENTS = 1000  # of a body that land together: other requests get the disk in between
REASONS_SHOWN = 10  # of the items that were not taken; exporters log the message


def land_telemetry(door: Door, body: bytes, signal: Signal, encoding: Encoding) -> bytes:
    """Lands the spans or log records of a body, and returns the body of the answer 200.

    Raises:
        Refused: It cannot be decoded (400), or not all of it is durable: it may be sent again.
    """
    try:
        decoded = (decode_traces if signal == "traces" else decode_logs)(body, encoding)
    except OtlpError as error:
        raise Refused(400, str(error)) from error
    digest = sha256(body).digest()
    received_at = door.received_at(digest)
    origin = f"POST /v1/{signal} {digest.hex()[:16]}"

    def kept(item: bytes, reason: str) -> Accepted:
        """A reject; items of protobuf have no place in a body, so their number stands for it."""
        reasons.append(reason)
        number = len(reasons)
        return reject(item, reason=reason, origin=origin, line=0, byte_offset=number, received_at=received_at)

    reasons: list[str] = []
    bad = [kept(item, reason) for item, reason in zip(decoded.bad_items, decoded.bad, strict=True)]
    if bad:
        door.land(bad)
    raws = [encoder.encode(event) for event in decoded.events]
    for start in range(0, len(raws), COMMIT_EVENTS):
        chunk = raws[start : start + COMMIT_EVENTS]
        outcomes = accept_batch(chunk, received_at=received_at)
        door.land(
            [
                kept(raw, outcome.reason) if isinstance(outcome, Unusable) else outcome
                for raw, outcome in zip(chunk, outcomes, strict=True)
            ]
        )
    door.remember(digest, received_at)
    message = "; ".join(reasons[:REASONS_SHOWN]) + ("; ..." if len(reasons) > REASONS_SHOWN else "")
    return encode_response(signal, len(reasons), message, encoding)
