"""`POST /events`: a batch of events of any kinds, as JSON lines or as a JSON array.

Good ones land; bad ones are kept as rejects and named in the answer. A batch that is sent again is the same batch: what
has no id gets one from its bytes and place, so that the lake has it once and the answer is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from hashlib import sha256
from typing import overload

import msgspec

from oplake.landing.accept import Accepted, accept_batch, place_id, reject
from oplake.receiver.door import Door
from oplake.receiver.errors import Refused
from oplake.receiver.limits import Limits

ORIGIN = "POST /events"
COMMIT_EVENTS = 1000  # of a batch that land together: other requests get the disk in between
BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_array = msgspec.json.Decoder(list[msgspec.Raw])
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[][{},]', re.DOTALL)  # a string counts as one, also without its end


class Rejected(msgspec.Struct):
    """One that could not be used."""

    line: int  # from 1; of an array, its number within
    reason: str


class Answer(msgspec.Struct):
    """What came of a batch."""

    accepted: int
    rejected: int
    rejects: list[Rejected]


@dataclass(frozen=True)
class Batch:
    """A body taken apart into the texts of its events."""

    body: bytes
    raws: list[bytes]
    lines: Sequence[int]  # the number of each, from 1

    @cached_property
    def digest(self) -> bytes:
        """What tells this batch from others."""
        return sha256(self.body).digest()

    @property
    def origin(self) -> str:
        """The batch as a place, in which every byte has its offset."""
        return f"{ORIGIN} {self.digest.hex()[:16]}"

    @cached_property
    def offsets(self) -> list[int]:
        """Where each text begins in the body; only rejects and events without an id have to know."""
        return list(_offsets(self.body, self.raws))


class _Ids(Sequence[str | None]):
    """The ids of those events of a batch that have none of their own, made when they are asked for."""

    def __init__(self, batch: Batch, start: int, stop: int) -> None:
        self._batch = batch
        self._places = range(start, stop)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[each] for each in range(len(self))[place]]
        return place_id(self._batch.origin, self._batch.offsets[self._places[place]])


def take_apart(body: bytes, limits: Limits, *, has_lines: bool = False) -> Batch:
    """The events of a body: of an array, of one object over several lines, or of lines; blank ones do not count.

    What is wrong with one of them is for whoever decodes it: an array falls apart even where it is no JSON.

    Args:
        body: What came in.
        limits: How many events there may be.
        has_lines: Whether it is said to be lines. Else it is, when its first line is JSON and not all of it.

    Raises:
        Refused: There are too many (413).
    """
    text = body.removeprefix(_BOM).strip(BLANK)
    first = text.find(b"\n")
    if not has_lines and (first < 0 or not _is_json(text[:first])):
        if text.startswith(b"["):
            raws = _of_array(text, limits)
            return Batch(body, raws, range(1, len(raws) + 1))
        if first >= 0 and text.startswith(b"{") and _is_json(text):
            return Batch(body, [text], [1])
    if body.count(b"\n") > limits.batch_events:
        raise _too_many(limits)
    lines = body.removeprefix(_BOM).split(b"\n")
    if not lines[-1]:
        lines.pop()
    if b"\r" not in body and not any(not line or line.isspace() for line in lines):
        return Batch(body, lines, range(1, len(lines) + 1))
    found = [(number, line) for number, raw in enumerate(lines, 1) if (line := raw.strip(BLANK))]
    return Batch(body, [line for _, line in found], [number for number, _ in found])


def land_batch(door: Door, body: bytes, *, has_lines: bool = False) -> tuple[int, Answer]:
    """Lands the events of a body, and says with which status to answer: 200, or 400 when nothing in it is JSON.

    Raises:
        Refused: Not all of it is durable, and it may be sent again; or there are too many at once.
    """
    batch = take_apart(body, door.limits, has_lines=has_lines)
    rejects: list[Rejected] = []
    for start in range(0, len(batch.raws), COMMIT_EVENTS):
        door.land_at((batch.digest, start), partial(_accepted, batch, start, rejects))
    answer = Answer(len(batch.raws) - len(rejects), len(rejects), rejects)
    is_unreadable = len(rejects) == len(batch.raws) > 0 and not any(map(_is_json, batch.raws))
    return (400 if is_unreadable else 200), answer


def _accepted(batch: Batch, start: int, rejects: list[Rejected], received_at: datetime) -> list[Accepted]:
    """The events of one part of a batch; those that could not be used are rejects, and named in `rejects` too."""
    raws = batch.raws[start : start + COMMIT_EVENTS]
    made: list[Accepted] = []
    outcomes = accept_batch(raws, received_at=received_at, event_ids=_Ids(batch, start, start + len(raws)))
    for place, outcome in enumerate(outcomes, start):
        if isinstance(outcome, Accepted):
            made.append(outcome)
            continue
        line, reason = batch.lines[place], outcome.reason
        rejects.append(Rejected(line, reason))
        raw, offset = batch.raws[place], batch.offsets[place]
        made.append(
            reject(raw, reason=reason, origin=batch.origin, line=line, byte_offset=offset, received_at=received_at)
        )
    return made


def _of_array(text: bytes, limits: Limits) -> list[bytes]:
    if text.count(b",") > limits.separators:
        raise _too_many(limits)
    try:
        raws = [bytes(raw) for raw in _array.decode(text)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raws = list(_between_commas(text)) or [text]
    if len(raws) > limits.batch_events:
        raise _too_many(limits)
    return raws


def _between_commas(text: bytes) -> Iterator[bytes]:
    """The texts in an array that a decoder refuses, so that one with a NaN in it leaves the others as they are.

    What follows its end, or its last whole text, is one more.
    """
    depth, begin = 0, 1
    for found in _TOKEN.finditer(text):
        token = found.group()
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
        if (depth == 1 and token == b",") or (depth == 0 and token in b"]}"):
            if raw := text[begin : found.start()].strip(BLANK):
                yield raw
            begin = found.end()
            if depth == 0:
                break
    if raw := text[begin:].strip(BLANK):
        yield raw


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _offsets(body: bytes, raws: Sequence[bytes]) -> Iterator[int]:
    """Between two texts stand only separators, which no text begins with; so the next one found is the one meant."""
    end = 0
    for raw in raws:
        begin = body.index(raw, end)
        yield begin
        end = begin + len(raw)


def _too_many(limits: Limits) -> Refused:
    return Refused(413, f"these are more than {limits.batch_events} events; send them in several batches")
