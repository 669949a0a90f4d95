"""Stretches of segments: the bytes that ingest takes in, wherever they lie now.

Here is which bytes are still to be taken in, how those of the journal are found again, in landing or in the archive,
and where a line of them stands. What the lines say is not looked at.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

from oplake.lake.archive import Archive, Archived
from oplake.lake.errors import LakeError
from oplake.lake.journal import Batch, Piece, covered, gaps
from oplake.landing.segments import (
    INDEX_SUFFIX,
    Segment,
    adopt,
    is_at_rest,
    read_range,
    recover,
    segments,
    vouch,
)
from oplake.settings import Settings

log = logging.getLogger(__name__)

COUNT_BYTES = 1 << 20  # read at a time to count lines
UNPACKED_BYTES = 512 << 20  # of archived segments kept unpacked; eight full ones that grew side by side fit


class Stretch:
    """Whole lines of a segment, or the torn tail of one whose writer died, on their way into the tables."""

    def __init__(
        self,
        segment: Segment,
        start: int,
        end: int,
        kinds: frozenset[str] | None,
        *,
        data: bytes | None = None,
        whole_lines: int | None = None,
    ) -> None:
        """Bytes `start` to `end` of a segment.

        Args:
            segment: The segment.
            start: Where it begins there.
            end: Where it ends there.
            kinds: Those of the lines; None when nobody vouches for the lines.
            data: The bytes, if they were read already.
            whole_lines: How many lines there are, if it is the whole segment, vouched for, which will not change.
        """
        self.segment = segment
        self.piece = Piece(segment.name, start, end)  # of the journal; it may be cut into several stretches
        self.start = start
        self.end = end
        self.kinds = kinds
        self.whole_lines = whole_lines
        self.first_line = 0  # the number of its first usable line among those of the batch
        self.usable: list[int] = []  # where the usable lines begin, if nobody vouches for them
        self._data = data

    @property
    def data(self) -> bytes:
        """The bytes, read (again) if need be."""
        if self._data is None:
            with self.segment.path.open("rb") as file:
                self._data = os.pread(file.fileno(), self.end - self.start, self.start)
        return self._data

    def release(self) -> None:
        """Lets go of the bytes; few lines are asked for again."""
        self._data = None

    def belong(self, piece: Piece) -> None:
        """Says which piece of the journal it belongs to, and keeps no more than belongs to it."""
        self.piece = piece
        if piece.end < self.end:
            self._data = self.data[: piece.end - self.start]
            self.end = piece.end

    def offset_of(self, line: int) -> int:
        """Where a line, by its number in the batch, begins within `data`."""
        starts = self._starts if self.kinds is not None else self.usable
        return starts[line - self.first_line]

    def line_at(self, offset: int) -> bytes:
        """The line that begins there within `data`, without its newline."""
        end = self.data.find(b"\n", offset)
        return self.data[offset:] if end < 0 else self.data[offset:end]

    def line_number(self, offset: int) -> int:
        """The number, from 1, of the line that begins at `offset`, within the whole segment."""
        return self._lines_before + bisect_right(self._starts, offset)

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        while end := self.data.find(b"\n", starts[-1]) + 1:
            starts.append(end)
        return starts

    @cached_property
    def _lines_before(self) -> int:
        lines, left = 0, self.start
        with self.segment.path.open("rb") as file:
            while left and (part := file.read(min(left, COUNT_BYTES))):
                lines += part.count(b"\n")
                left -= len(part)
        return lines


class Source:
    """The segments of a landing folder and of its archive.

    Args:
        settings: Where they are.
        work: A folder for segments that have to be unpacked; the caller removes it.
        now: The present time.
    """

    def __init__(self, settings: Settings, work: Path, *, now: datetime) -> None:
        self._landing = settings.landing
        self._now = now
        self._archive = Archive(settings.archive)
        self._work = work
        self._found: dict[str, Segment] = {}

    def uncovered(self, known: Iterable[Piece], *, with_archive: bool) -> list[tuple[Segment, int, int]]:
        """What the pieces do not cover, up to the present ends: segment, start, end; in the order of names.

        Segments whose writer died are sealed on the way, and files that somebody else put there get names like ours.
        """
        intervals = covered(known)
        found = [
            segment if segment.started_at else adopt(segment, now=self._now, known=intervals.keys())
            for segment in segments(self._landing)
        ]
        if with_archive:
            landed = {segment.name for segment in found}
            packed = [entry for entry in self._entries.values() if entry.segment not in landed]
            found += [
                self.segment(entry.segment) for entry in packed if gaps(intervals.get(entry.segment, ()), entry.bytes)
            ]
        missing: list[tuple[Segment, int, int]] = []
        for segment in map(self._settled, sorted(found, key=lambda segment: segment.name)):
            taken = intervals.get(segment.name, [])
            missing += [(segment, *gap) for gap in gaps(taken, segment.size)]
            if taken and taken[-1][1] > segment.size:
                log.warning(
                    "%s has %d bytes, and %d were taken in: it was cut; restore it from a backup",
                    *(segment.path, segment.size, taken[-1][1]),
                )
        return missing

    def read(self, segment: Segment, start: int, limit: int) -> list[Stretch]:
        """About `limit` bytes of whole lines from `start`, and the torn tail behind them if its writer is gone.

        Nothing when there is not one whole line and the writer is alive. A whole segment that the index vouches for is
        not held in memory.
        """
        try:
            if start == 0 and segment.size <= limit and (vouched := vouch(segment)):
                return [Stretch(segment, 0, segment.size, vouched.kinds, whole_lines=vouched.lines)]
            lines = read_range(segment, start, max(1, limit))
        except FileNotFoundError as error:
            raise LakeError(f"{segment.path} was taken away while it was read. Put it back, and try again.") from error
        found: list[Stretch] = []
        if lines.data:
            found.append(
                Stretch(segment, start, lines.end, lines.kinds if lines.is_verified else None, data=lines.data)
            )
        if lines.torn:
            found.append(Stretch(segment, lines.end, lines.end + len(lines.torn), None, data=lines.torn))
        return found

    def noted(self, batch: Batch) -> Iterator[Stretch]:
        """The bytes of a batch of the journal.

        Raises:
            LakeError: A segment is gone or was cut.
        """
        for piece in batch.pieces:
            segment = replace(self.segment(piece.segment), is_live=False)
            position = piece.start
            while position < piece.end:
                found = [each for each in self.read(segment, position, piece.end - position) if each.start < piece.end]
                if not found:
                    raise LakeError(
                        f"{segment.path} ends before byte {piece.end}, up to which it was read before: it was cut. "
                        "Restore it from a backup."
                    )
                for stretch in found:
                    stretch.belong(piece)
                    position = stretch.end
                    yield stretch

    def segment(self, name: str) -> Segment:
        """A segment by its name, unpacked from the archive if it is there.

        Raises:
            LakeError: It is in neither place, or is damaged.
        """
        if name not in self._found:
            self._found |= {segment.name: segment for segment in segments(self._landing)}
        if name not in self._found:
            if name not in self._entries:
                raise LakeError(
                    f"segment {name}, which was taken in before, is neither in {self._landing} nor in its archive. "
                    "Put the file back; without it its events are lost."
                )
            self._found[name] = self._archive.restore(self._entries[name], self._work)
        return self._found[name]

    def trim(self) -> None:
        """Removes unpacked segments, the first unpacked first, until the rest takes no more than UNPACKED_BYTES."""
        unpacked = [each for each in self._found.values() if each.path.parent == self._work]
        size = sum(each.size for each in unpacked)
        for segment in unpacked:
            if size <= UNPACKED_BYTES:
                return
            segment.path.unlink()
            segment.path.with_suffix(INDEX_SUFFIX).unlink(missing_ok=True)
            del self._found[segment.name]
            size -= segment.size

    def _settled(self, segment: Segment) -> Segment:
        """The segment, sealed if its writer died; if somebody is about to seal it or to write on, as if alive."""
        if segment.is_live or (segment.seal is not None and segment.seal.bytes >= segment.size):
            return segment
        settled = recover(segment) if is_at_rest(segment, now=self._now) else None
        return settled or replace(segment, is_live=True)

    @cached_property
    def _entries(self) -> dict[str, Archived]:
        return self._archive.entries()
