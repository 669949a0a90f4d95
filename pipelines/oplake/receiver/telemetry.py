"""`POST /v1/traces` and `/v1/logs`: OTLP/HTTP as its specification says, durable before the 200.

How a body becomes events is in `oplake.landing.otlp`; here it is landed and answered, in the encoding that it came in.
What cannot be an event is kept as a reject and counted in `partial_success`, so that no exporter sends it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
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
    origin = f"POST /v1/{signal} {digest.hex()[:16]}"
    reasons: list[str] = []

    def kept(item: bytes, reason: str, received_at: datetime) -> Accepted:
        """A reject; items have no place in a body, so their number among the rejects stands for it."""
        reasons.append(reason)
        return reject(item, reason=reason, origin=origin, line=0, byte_offset=len(reasons), received_at=received_at)

    def bad(received_at: datetime) -> list[Accepted]:
        items = zip(decoded.bad_items, decoded.bad, strict=True)
        return [kept(item, reason, received_at) for item, reason in items]

    def good(raws: Sequence[bytes], received_at: datetime) -> list[Accepted]:
        outcomes = zip(raws, accept_batch(raws, received_at=received_at), strict=True)
        return [
            kept(raw, outcome.reason, received_at) if isinstance(outcome, Unusable) else outcome
            for raw, outcome in outcomes
        ]

    if decoded.bad:
        door.land_at((digest, "bad"), bad)
    raws = [encoder.encode(event) for event in decoded.events]
    for start in range(0, len(raws), COMMIT_EVENTS):
        door.land_at((digest, start), partial(good, raws[start : start + COMMIT_EVENTS]))
    message = "; ".join(reasons[:REASONS_SHOWN]) + ("; ..." if len(reasons) > REASONS_SHOWN else "")
    return encode_response(signal, len(reasons), message, encoding)
