"""The journal of ingest: which bytes of which segments were taken in together, in which order.

Which of two events of the same id came first is a fact that the segments alone do not tell, because they grow side by
side. So the order in which they were read is landed too, before anything is made of it: a crash is followed by the very
same batch, and a rebuild meets events in the order in which they were met. Nothing here reads a segment or a table.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec

from oplake.lake.durable_log import DurableLog

FILE = "ingest.journal"  # not .jsonl: that would make it a segment


class Piece(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Bytes `start` to `end` of a segment: whole lines, or the torn tail of one whose writer died."""

    segment: str
    start: int
    end: int


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Pieces that were taken in together."""

    number: int  # from 1, without gaps
    at: datetime  # when; stamped on the rejects that ingest finds, so that a rebuild finds the same
    watermark: datetime | None  # nothing received before it was missing then
    pieces: tuple[Piece, ...]


class Journal:
    """The batches of a landing folder."""

    def __init__(self, landing: Path) -> None:
        self._log = DurableLog(landing / FILE, Batch)

    @property
    def path(self) -> Path:
        """The file that holds it."""
        return self._log.path

    def append(self, batch: Batch) -> None:
        """Notes a batch, durably, before any of it is in a table."""
        self._log.append(batch)

    def after(self, number: int) -> list[Batch]:
        """The batches after number `number`, oldest first.

        Raises:
            LakeError: The file is damaged.
        """
        found: list[Batch] = []
        for batch in self._log.newest_first():
            if batch.number <= number:
                break
            found.append(batch)
        return found[::-1]


def covered(pieces: Iterable[Piece]) -> dict[str, list[tuple[int, int]]]:
    """The bytes of each segment that the pieces cover, as sorted intervals that do not touch."""
    intervals: dict[str, list[tuple[int, int]]] = {}
    for piece in sorted(pieces, key=lambda piece: (piece.segment, piece.start)):
        known = intervals.setdefault(piece.segment, [])
        if known and known[-1][1] >= piece.start:
            known[-1] = (known[-1][0], max(known[-1][1], piece.end))
        else:
            known.append((piece.start, piece.end))
    return intervals


def gaps(intervals: Iterable[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """What sorted intervals leave uncovered of `size` bytes."""
    found: list[tuple[int, int]] = []
    position = 0
    for start, end in [*intervals, (size, size)]:
        if start > position:
            found.append((position, start))
        position = max(position, end)
    return found
