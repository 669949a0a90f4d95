"""Accepting: the one door through which everything becomes an event.

Whatever came in, from a Python agent or over the wire, is decoded strictly, brought into the shape of its kind, freed
of secrets, stamped and encoded as one line; or it is `Unusable` with a reason, and `reject` keeps its bytes. Accepting
a line again gives the same line. Nothing here reads a clock or touches a disk.

There are two ways to the same line. Nearly every event needs nothing but its stamp, and takes the short way, which is
here: msgspec checks that at full speed against a struct that admits only such events (`kinds`). Anything else goes the
long way (`shape`). Events that come together (`accept_batch`) take the short way together, at less than the cost of one
by one.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid5

import msgspec

from oplake import events
from oplake.events import DEPTH, INT_MAX, INT_MIN, LINE_BYTES, NESTED_VALUE_CHARS, Event
from oplake.landing.errors import Unusable
from oplake.landing.from_python import as_json
from oplake.landing.kinds import Kind, Time, kind_of, plain
from oplake.landing.redaction import may_hold_secret, redact, redact_json
from oplake.landing.shape import Clock, decode, in_utc, is_suspect, shape

REJECT_BYTES = 16 * 2**20  # what is kept of a line that cannot be used; also what a reader has to be ready for
CHUNK_EVENTS = 100  # that take the short way together: one that cannot be decoded sends so many one by one
CHUNK_BYTES = 2**20  # the same for large ones; it bounds what is held twice

_IDENTITY = UUID("6f1d3a52-9c3e-5b0e-8a55-2f3f6b1c7d10")  # names the ids that we derive from places, and nothing else


class Accepted(NamedTuple):
    """An event and its line, without a newline, `kind` first."""

    event: Event
    line: bytes


_accepted: Callable[[tuple[Event, bytes]], Accepted] = partial(tuple.__new__, Accepted)  # a third of the usual time


def accept(
    raw: bytes | Mapping[str, Any], *, received_at: datetime, is_live: bool = True, event_id: str | None = None
) -> Accepted:
    """Makes an event of what came in.

    Args:
        raw: JSON as it came over the wire, or the fields from Python, `kind` among them. In Python's fields a value
            that is not JSON becomes its text; in JSON everything must be as the contract says.
        received_at: Now, in UTC. It is stamped on the event, whatever that says itself.
        is_live: Whether the event tells of now. Then a missing `ts` is `received_at`, and a clock that is far off is
            flagged. History must say when it happened, and is believed.
        event_id: Its identity, when it does not say itself.

    Raises:
        Unusable: It cannot be an event; the reason says why.
    """
    if received_at.tzinfo is not UTC:
        received_at = in_utc(received_at, "received_at")
    clock: Clock = "live" if is_live else "history"
    accepted = _plain(raw, received_at, clock)
    if accepted is not None:
        return accepted
    if isinstance(raw, Mapping):
        return Accepted(*shape(as_json(dict(raw)), received_at, clock, event_id, is_python=True))
    if len(raw) > REJECT_BYTES:
        raise Unusable(f"it takes {len(raw)} bytes, more than {REJECT_BYTES}")
    return Accepted(*shape(decode(raw), received_at, clock, event_id, is_python=False))


def accept_foreign(
    raw: bytes | Mapping[str, Any], *, received_at: datetime, is_live: bool = True, event_id: str | None = None
) -> Accepted:
    """As `accept`, for what somebody else says: under the source of our own author it is `Unusable`."""
    return _foreign(accept(raw, received_at=received_at, is_live=is_live, event_id=event_id))


def _foreign(accepted: Accepted) -> Accepted:
    if accepted.event.source == events.SYNTHESIS:  # it would be read back as an answer that was paid for
        raise Unusable(f"the source {events.SYNTHESIS} is oplake's own; say who you are")
    return accepted


def accept_batch(
    raws: Sequence[bytes],
    *,
    received_at: datetime,
    is_live: bool = True,
    event_ids: Sequence[str | None] | None = None,
) -> list[Accepted | Unusable]:
    """Makes events of JSON that came in together: what `accept_foreign` makes of each, in their order.

    One that cannot be an event is `Unusable` among the others, and does not stop them.

    Args:
        raws: One JSON text each, as it came over the wire.
        received_at: As for `accept`.
        is_live: As for `accept`.
        event_ids: For each of `raws` its identity, when it does not say itself.
    """
    if received_at.tzinfo is not UTC:
        received_at = in_utc(received_at, "received_at")
    clock: Clock = "live" if is_live else "history"
    outcomes: list[Accepted | Unusable] = []
    for chunk in _chunks(raws):
        for place, short in enumerate(_plain_batch(chunk, received_at, clock), start=len(outcomes)):
            event_id = None if event_ids is None else event_ids[place]
            try:
                accepted = short or accept(raws[place], received_at=received_at, is_live=is_live, event_id=event_id)
                outcomes.append(_foreign(accepted))
            except Unusable as error:
                outcomes.append(error)
    return outcomes


def accept_landed(line: bytes) -> Accepted:
    """Makes an event of a line that was found in a segment: as `accept`, but stamps and flags stay as they are.

    Raises:
        Unusable: It cannot be an event, or does not say when it was received.
    """
    value = decode(line)
    try:
        received_at = in_utc(msgspec.convert(value.get("received_at"), Time), "received_at")
    except msgspec.ValidationError as error:
        raise Unusable(f"received_at: {error}") from error
    accepted = _plain(line, received_at, "landed")
    return accepted or Accepted(*shape(value, received_at, "landed", None, is_python=False))


def reject(raw: bytes, *, reason: str, origin: str, line: int, byte_offset: int, received_at: datetime) -> Accepted:
    """Makes an event of what cannot be one, so that it is kept: a `reject` with its bytes, free of secrets.

    The same bytes at the same place are the same event. Its line may take more than LINE_BYTES, but no more than
    what REJECT_BYTES take in base64.

    Args:
        raw: The bytes, without a newline; those beyond REJECT_BYTES are not kept.
        reason: What is wrong with them.
        origin: The file, segment or door that they came through.
        line: Number of the line there, from 1; 0 where there are no lines.
        byte_offset: Where they begin there.
        received_at: When they came in, in UTC.
    """
    kept = raw[:REJECT_BYTES]
    encoding: Literal["utf-8", "base64"] = "utf-8"
    counts: dict[str, int] = {}
    try:
        text = kept.decode("utf-8", "ignore" if len(kept) < len(raw) and _is_cut_short(kept) else "strict")
        if "\0" in text:  # which databases cut texts at
            raise ValueError("a NUL byte")
        text = redact_json(text, counts)
    except ValueError:
        encoding = "base64"
        text = base64.b64encode(_redact_bytes(kept, counts)).decode("ascii")
    place = f"{origin}\0{byte_offset}\0{sha256(raw).hexdigest()}"
    event = events.Reject(
        event_id=str(uuid5(_IDENTITY, place)),
        ts=received_at,
        received_at=received_at,
        source="landing",
        origin=redact(origin, {})[:1000],
        line=line,
        byte_offset=byte_offset,
        reason=redact(reason, {})[:1000],
        raw=text,
        raw_encoding=encoding,
        raw_bytes=len(raw),
        redactions=counts,
    )
    return Accepted(event, events.encoder.encode(event))


def place_id(origin: str, byte_offset: int) -> str:
    """The `event_id` of an event that has none, from where it stands: the same place is the same event."""
    return str(uuid5(_IDENTITY, f"{origin}\0{byte_offset}"))


def _is_cut_short(data: bytes) -> bool:
    """Whether bytes are UTF-8 but for a last character that was cut through."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.end == len(data) and error.reason == "unexpected end of data"
    return False


def _redact_bytes(data: bytes, counts: dict[str, int]) -> bytes:
    """Bytes that are no UTF-8, free of secrets, and otherwise as they were; those of UTF-16 are read as that first."""
    codec = _utf_16(data)
    if codec is not None:
        whole = len(data) // 2 * 2  # the end of a line is cut through where lines end with a byte
        text = data[:whole].decode(codec, "surrogatepass")
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        data = (mark + redact_json(text.removeprefix(mark), counts)).encode(codec, "surrogatepass") + data[whole:]
    return redact(data.decode("latin-1"), counts).encode("latin-1")


def _utf_16(data: bytes) -> str | None:
    """The codec of bytes that begin with its mark, or of which nearly every second is NUL."""
    first, second = data[0:2000:2], data[1:2000:2]
    for codec, mark, high, low in (
        ("utf-16-le", b"\xff\xfe", second, first),
        ("utf-16-be", b"\xfe\xff", first, second),
    ):
        if data.startswith(mark) or (high.count(0) * 2 > len(high) > 2 and low.count(0) * 10 < len(low)):
            return codec
    return None


# -- The short way -----------------------------------------------------------------------------------------------------


_NOT_PLAIN = (msgspec.DecodeError, ValueError, KeyError, TypeError, RecursionError)
"""What decoding raises for events that need the long way, or are unusable."""


def _plain(raw: bytes | Mapping[str, Any], received_at: datetime, clock: Clock) -> Accepted | None:
    """The event and its line, if it needs nothing but its stamp; None if it needs the long way, or is unusable."""
    event: Any  # its received_at, ts and fills may be None yet
    try:
        if isinstance(raw, bytes):
            decoder, kinds = plain()
            event = decoder.decode(raw)
            kind = kinds[event.__class__]
        else:
            kind = kind_of(raw["kind"])
            event = msgspec.convert(raw, kind.shaped)
            if not all(_is_plain(getattr(event, name), DEPTH - 2, chars) for name, chars in kind.nested):
                return None
    except _NOT_PLAIN:
        return None
    added = _stamp(event, kind, received_at, clock)
    if added is None:
        return None
    try:
        line = events.encoder.encode(event)
    except (UnicodeEncodeError, TypeError):
        return None
    if isinstance(raw, bytes) and not _says_all(raw, line, added):
        return None
    if _is_too_long(event, kind, line) or may_hold_secret(line):
        return None
    return _accepted((event, line))


def _plain_batch(raws: Sequence[bytes], received_at: datetime, clock: Clock) -> list[Accepted | None]:
    """What `_plain` says of each, with one call of decoder, encoder and search for all of them."""
    nothing: list[Accepted | None] = [None] * len(raws)
    decoder, kinds = plain()
    block = b"\n".join(raws)
    # One object a line: the decoder itself would take two on one line and none on the next.
    seams = len(raws) - 1
    if block[:1] != b"{" or block[-1:] != b"}" or block.count(b"\n") != seams or block.count(b"}\n{") != seams:
        return nothing
    try:
        found = decoder.decode_lines(block)
        added = [_stamp(event, kinds[event.__class__], received_at, clock) for event in found]
        lines = events.encoder.encode_lines(found)
    except _NOT_PLAIN:
        return nothing
    if len(found) != len(raws):
        return nothing
    # What holds of all lines together holds of each: quotes can be gone from a line, but none has too many.
    known = [quotes for quotes in added if quotes is not None]
    is_clear = len(known) == len(raws) and _says_all(block, lines, sum(known)) and not may_hold_secret(lines)
    return [
        _accepted((event, line))
        if quotes is not None
        and (is_clear or (_says_all(raw, line, quotes) and not may_hold_secret(line)))
        and (len(line) <= NESTED_VALUE_CHARS or not _is_too_long(event, kinds[event.__class__], line))
        else None
        for raw, event, line, quotes in zip(raws, found, lines.splitlines(), added, strict=True)
    ]


def _chunks(raws: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """What is tried together: some events, and not too many bytes."""
    start = size = 0
    for place, raw in enumerate(raws):
        size += len(raw)
        if place > start and (place - start == CHUNK_EVENTS or size > CHUNK_BYTES):
            yield raws[start:place]
            start, size = place, len(raw)
    if raws:
        yield raws[start:]


def _stamp(event: Any, kind: Kind, received_at: datetime, clock: Clock) -> int | None:
    """Stamp an event and fill in what it does not say; how many quotes that adds to its line, None if that is not all
    that it needs."""
    ts = event.ts
    if ts is None or ts.tzinfo is not UTC:
        return None
    if clock != "landed" and (event.ts_suspect or (clock == "live" and is_suspect(ts, received_at))):
        return None
    added = 0 if event.received_at else 4  # quotes in the line that were not there before
    event.received_at = received_at
    for name, value in kind.fills:
        if getattr(event, name) is None:
            setattr(event, name, value)
            added += 4 if value.__class__ is str else 2
    for name in kind.times:
        if getattr(event, name).tzinfo is not UTC:
            return None
    return added


def _says_all(raw: bytes, line: bytes, added: int) -> bool:
    """Whether a line has every key that came in, by its quotes: a key that stood twice is gone with them, and so is a
    null that was written out. Escaped characters may be quotes, and are not counted out here."""
    return raw.count(b'"') + added == line.count(b'"') and not (b"\\" in raw and b"\\u" in raw)


def _is_too_long(event: Event, kind: Kind, line: bytes) -> bool:
    """Whether something in it has to be cut."""
    if len(line) <= NESTED_VALUE_CHARS:  # else nothing within it can be longer
        return False
    return len(line) > LINE_BYTES or any(_is_long(getattr(event, name)) for name in kind.condensed)


def _is_plain(nested: dict[Any, Any] | list[Any], depth: int, chars: int) -> bool:
    """Whether what Python has in a JSON field is JSON, of numbers that fit and strings that need no cut."""
    if nested.__class__ is dict and not all(key.__class__ is str for key in nested):
        return False
    item: Any
    for item in nested.values() if isinstance(nested, dict) else nested:
        kind = item.__class__
        if kind is str:
            if len(item) > chars:
                return False
        elif kind is int:
            if not INT_MIN <= item <= INT_MAX:
                return False
        elif kind is float:
            if item - item != 0:  # NaN or infinite
                return False
        elif kind is dict or kind is list:
            if depth == 0 or not _is_plain(item, depth - 1, chars):
                return False
        elif item is not None and kind is not bool:
            return False
    return True


def _is_long(nested: dict[str, Any] | list[Any]) -> bool:
    values = nested.values() if isinstance(nested, dict) else nested
    return any(
        len(events.encoder.encode(item)) > NESTED_VALUE_CHARS for item in values if isinstance(item, (dict, list))
    )
