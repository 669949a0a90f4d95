"""What is left of landing when segments that were taken in are lost, damaged or cut, and how to go on with it.

A rebuild follows the journal, and the journal tells of bytes that are there no more. Here is which those are, and an
intake that leaves them out; what is left of a segment that was cut is read as if it were new.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

import duckdb
from msgspec import structs

from oplake.lake.archive import Archive, Archived, Damage
from oplake.lake.errors import LakeError
from oplake.lake.ingest import Intake, Listener
from oplake.lake.journal import Batch, Journal
from oplake.lake.landed import SEGMENTS
from oplake.lake.stretches import Source
from oplake.lake.tables import Lake
from oplake.landing.segments import SUFFIX, segments
from oplake.settings import Settings

GO_ON = "`oplake rebuild --what-is-left` goes on without it"


def find_losses(settings: Settings) -> list[Damage]:
    """Segments that a rebuild needs and cannot have, or not whole, by name.

    Raises:
        LakeError: The journal or the manifest of the archive is damaged.
    """
    there = {segment.name: segment for segment in segments(settings.landing)}
    archive = Archive(settings.archive)
    archived = archive.listed().keys() | {each.segment for each in archive.unlisted()}
    lost = {damage.segment: damage for damage in archive.damages() if damage.segment not in there}
    for name, end in _read(settings).items():
        if name in there and there[name].size < end:
            what = f"it was cut: {end:,} bytes of it were taken in, and {there[name].size:,} are there"
            lost[name] = Damage(name, there[name].path, what)
        elif name not in there and name not in archived:
            what = f"it is gone, and {end:,} bytes of it were taken in"
            lost[name] = Damage(name, settings.landing / f"{name}{SUFFIX}", what)
    counts = _counted(settings) if lost else {}
    return [
        replace(damage, problem=f"{damage.problem}; it had {counts[name]:,} events") if name in counts else damage
        for name, damage in sorted(lost.items())
    ]


def _read(settings: Settings) -> dict[str, int]:
    """Up to which byte each segment was read, as the journal tells."""
    ends: dict[str, int] = {}
    for batch in Journal(settings.landing).after(0):
        for piece in batch.pieces:
            ends[piece.segment] = max(piece.end, ends.get(piece.segment, 0))
    return ends


def _counted(settings: Settings) -> dict[str, int]:
    """The events of each segment that the lake counted, where it still stands and tells."""
    lake = Lake(settings.lake)
    try:
        query = f"SELECT segment, sum(events) FROM ({lake.relation_sql(SEGMENTS.name)}) GROUP BY segment"
        with duckdb.connect() as connection:
            return {name: int(count) for name, count in connection.execute(query).fetchall()}
    except (LakeError, duckdb.Error, OSError):
        return {}


class Remains(Intake):
    """The intake of a rebuild that leaves out what is lost.

    Args:
        settings: Where landing is.
        lake: Where the tables are.
        now: The present time.
        progress: Called after every durable step.
        lost: Names of the segments.
    """

    def __init__(
        self, settings: Settings, lake: Lake, now: datetime, progress: Listener | None, *, lost: Collection[str]
    ) -> None:
        super().__init__(settings, lake, now, progress, is_rebuild=True)
        self.journal = _JournalWithout(settings.landing, lost)
        self._source = _SourceWithout(settings, self._work, now=self.now, lost=lost)


class _JournalWithout(Journal):
    """A journal that does not tell of some segments."""

    def __init__(self, landing: Path, lost: Collection[str]) -> None:
        super().__init__(landing)
        self._lost = lost

    def after(self, number: int) -> list[Batch]:
        return [
            structs.replace(batch, pieces=tuple(piece for piece in batch.pieces if piece.segment not in self._lost))
            for batch in super().after(number)
        ]


class _SourceWithout(Source):
    """The segments that are left; one that was cut still lies in landing, and is read up to where it ends."""

    def __init__(self, settings: Settings, work: Path, *, now: datetime, lost: Collection[str]) -> None:
        super().__init__(settings, work, now=now)
        self._lost = lost

    @cached_property
    def _entries(self) -> dict[str, Archived]:
        return {name: entry for name, entry in self._archive.listed().items() if name not in self._lost}
