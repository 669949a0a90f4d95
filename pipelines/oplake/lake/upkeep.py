"""Looking after the lake: small files into large ones, old versions off the disk, segments into the archive.

What is only kept so long goes, too (`retention`). None of the rest changes a row, and all of it can be left out for
months. Dagster's own records are looked after by `orchestration`, which calls this too.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime

import duckdb
from deltalake.exceptions import DeltaError

from oplake.lake.archive import Archive, Archived, Damage
from oplake.lake.catalog import publish_views
from oplake.lake.engine import engine
from oplake.lake.errors import LakeError
from oplake.lake.ingest import ingest_lock
from oplake.lake.journal import Piece, covered
from oplake.lake.landed import SEGMENTS
from oplake.lake.ledger import publish_arrivals
from oplake.lake.parquet import FILE_BYTES, GROUP_ROWS
from oplake.lake.retention import expire, trim_reports
from oplake.lake.tables import Lake
from oplake.landing.segments import segments
from oplake.settings import Settings

SMALL_BYTES = FILE_BYTES // 4  # a file below this is worth putting together with others
SMALL_FILES = 4  # so many small files of a day are put together; fewer are not worth the rewriting

_BROKEN = (LakeError, DeltaError, duckdb.Error, OSError)


@dataclass(frozen=True)
class UpkeepReport:
    """What was done, and what could not be."""

    compacted: dict[str, int]  # days (or whole tables) whose files were put together, by table
    vacuumed: dict[str, int]  # files deleted, by table
    expired: dict[str, int]  # rows that were not to be kept any longer, by table
    archived: tuple[str, ...]  # segments moved
    damages: tuple[Damage, ...]  # segments that are not what they were; they stay where they are
    failures: dict[str, str]  # tables (or the views) that could not be looked after, and why; see `oplake doctor`


def upkeep(settings: Settings, *, now: datetime) -> UpkeepReport:
    """Archives what was taken in, removes what is only kept so long, compacts and vacuums every table, checks the
    archive, publishes fresh views.

    Where many commits came since a table's last checkpoint, another is made, so that it opens as fast as ever. One
    table that is broken does not keep the others from it.

    Args:
        settings: Where everything is.
        now: The present time.

    Raises:
        IngestBusy: An ingest or a rebuild is under way; try again.
        LakeError: The manifest of the archive is damaged.
    """
    lake = Lake(settings.lake, retention=settings.vacuum_after)
    compacted: dict[str, int] = {}
    vacuumed: dict[str, int] = {}
    failures: dict[str, str] = {}
    with ingest_lock(settings):
        archived, damages = archive(settings, lake, now=now)
        expired: dict[str, int] = {}
        for what in (expire, trim_reports):
            try:
                expired |= what(settings, lake, now=now)
            except _BROKEN as error:
                failures["what is only kept so long"] = str(error)
        if expired:
            publish_arrivals(lake)
        Archive(settings.archive).relist()
        damages += list(Archive(settings.archive).damages())
        for name in lake.names():
            try:
                compacted[name] = compact(settings, lake, name)
                vacuumed[name] = lake.vacuum(name)
                lake.checkpoint(name)
            except _BROKEN as error:
                failures[name] = str(error)
    try:
        publish_views(settings)
    except _BROKEN as error:
        failures[str(settings.views)] = str(error)
    return UpkeepReport(
        compacted={name: count for name, count in compacted.items() if count},
        vacuumed={name: count for name, count in vacuumed.items() if count},
        expired=expired,
        archived=tuple(archived),
        damages=tuple(damages),
        failures=failures,
    )


def archive(settings: Settings, lake: Lake, *, now: datetime) -> tuple[list[str], list[Damage]]:
    """Moves every sealed segment that was wholly taken in to the archive; the caller holds the lock.

    Returns the segments moved, and those that are not what their seal says, which stay.

    Raises:
        LakeError: The manifest is damaged.
    """
    if not lake.exists(SEGMENTS.name):
        return [], []
    with engine(settings) as connection:
        query = f"SELECT segment, start_offset, end_offset FROM ({lake.relation_sql(SEGMENTS.name)})"
        taken = covered(Piece(*row) for row in connection.execute(query).fetchall())
    store = Archive(settings.archive)
    archived: list[str] = []
    damages: list[Damage] = []
    for segment in segments(settings.landing):
        is_whole = taken.get(segment.name, [(0, 0)]) == [(0, segment.size)]
        if not (segment.is_sealed and is_whole):
            continue
        match store.store(segment, now=now):
            case Archived():
                archived.append(segment.name)
            case Damage() as damage:
                damages.append(damage)
    return archived, damages


def compact(settings: Settings, lake: Lake, name: str) -> int:
    """Puts the small files of each day of a table together, sorted; returns how many days that were.

    Days that others write meanwhile are left for the next time.
    """
    spec = lake.spec(name)
    version = lake.version(name)
    done = 0
    for day in _crowded(lake, name, version):
        with engine(settings) as connection:
            order = f" ORDER BY {spec.order_sql}" if spec.order_sql else ""
            rows = connection.sql(lake.relation_sql(name, as_of=version, start=day, stop=day) + order)
            if lake.rearrange(name, rows.to_arrow_reader(GROUP_ROWS), version=version, day=day) is not None:
                done += 1
    return done


def _crowded(lake: Lake, name: str, version: int) -> list[date | None]:
    """The days that have many small files; None stands for a table without days."""
    small: defaultdict[date | None, int] = defaultdict(int)
    for file in lake.data_files(name, as_of=version):
        small[file.day] += file.size < SMALL_BYTES
    return [day for day, count in small.items() if count >= SMALL_FILES]
