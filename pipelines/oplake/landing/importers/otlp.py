"""OTLP JSON lines -> events: files as the OpenTelemetry collector's file exporter writes them, a request a line.

Spans and log records have identities of their own (`landing.otlp`): a file imported twice, or what a receiver took in
already, adds nothing. Times are theirs. Metrics and profiles are kept as rejects.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from oplake.landing.errors import OtlpError
from oplake.landing.importers import START, Identity, Imported, Intake, Place, Progress, midnight, opened
from oplake.landing.importers.jsonl import LINE_LIMIT, lines_of
from oplake.landing.otlp import Decoded, Encoding, decode_logs, decode_traces
from oplake.landing.writer import SegmentWriter

PROGRESS_LINES = 20  # between two reports of progress; a line has up to thousands of spans

_DECODERS: dict[str, Callable[[bytes, Encoding], Decoded]] = {
    "resourceSpans": decode_traces,
    "resourceLogs": decode_logs,
}


def import_otlp(
    source: Path | BinaryIO, writer: SegmentWriter, *, received_at: datetime, progress: Progress | None = None
) -> Imported:
    """Land a file of OTLP JSON lines; files that end in .gz or .zst are unpacked.

    Args:
        source: The file, or a stream.
        writer: Where it lands.
        received_at: The time of the import.
        progress: Told how far the file was read.

    Returns:
        What landed. Lines, spans and records that cannot be used are rejects with line, offset and reason.

    Raises:
        NotImportable: The file cannot be read to its end.
        LandingError: The events cannot be made durable.
    """
    identity = Identity("otlp")
    taking = Intake(writer, identity, name="otlp", received_at=received_at, begins=midnight(START))
    with opened(source) as (stream, read), taking as intake:
        for number, byte_offset, line, length in lines_of(stream):
            identity.advance(line if length == len(line) else line + str(length).encode())
            place = Place(number, byte_offset)
            if length > len(line):
                intake.refuse(line, reason=f"the line has {length} bytes; at most {LINE_LIMIT} are read", place=place)
                continue
            try:
                signals, others = _signals(line)
                found = [_DECODERS[signal](line, "json") for signal in signals]
            except OtlpError as error:
                intake.refuse(line, reason=str(error), place=place)
                continue
            for decoded in found:
                _take(decoded, identity, intake, place)
            if others or not signals:
                what = ", ".join(others) or "neither resourceSpans nor resourceLogs"
                intake.refuse(line, reason=f"the line holds {what}, which is not taken", place=place)
            if progress and number % PROGRESS_LINES == 0:
                progress(*read())
        if progress:
            progress(*read())
    return intake.imported()


def _signals(line: bytes) -> tuple[list[str], list[str]]:
    """What a line holds that can be taken, and what cannot.

    Raises:
        OtlpError: It is no JSON object.
    """
    try:
        keys = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OtlpError(f"the line is not a request of OTLP in JSON: {error}") from error
    others = sorted(key for key in keys if key.startswith("resource") and key not in _DECODERS)
    return [signal for signal in _DECODERS if signal in keys], others


def _take(decoded: Decoded, identity: Identity, intake: Intake, place: Place) -> None:
    for event in decoded.events:
        encoded = msgspec.json.encode(event)
        intake.take(encoded, event_id=event["event_id"], raw=encoded, place=_part(place, event["event_id"]))
    for number, (reason, item) in enumerate(zip(decoded.bad, decoded.bad_items, strict=True)):
        intake.refuse(item, reason=reason, place=_part(place, f"item {number}"))


def _part(place: Place, part: str) -> Place:
    return Place(place.line, place.byte_offset, part)
