"""Retention: reports, notes and operations that are only kept so long, and how they leave. See docs/decisions/0091.

What is removed leaves a mark in landing: the first day that a table still has whole. Days of models that would be made
of less are left as they were made, by whoever asks (`orchestration.staleness`), so that derived figures stay.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa

from oplake.events import TABLES
from oplake.lake.archive import Archive
from oplake.lake.durable_log import sync_folder
from oplake.lake.engine import engine
from oplake.lake.errors import LakeError
from oplake.lake.ingest import Intake
from oplake.lake.journal import Piece, covered
from oplake.lake.landed import LANDED, REDACTIONS, SEGMENTS
from oplake.lake.ledger import check_landed
from oplake.lake.parquet import GROUP_ROWS
from oplake.lake.sorted_rows import sorted_rows
from oplake.lake.spec import TableSpec
from oplake.lake.tables import Lake
from oplake.landing.rewrite import is_touched, mend, rewrite
from oplake.landing.segments import segments
from oplake.settings import Settings

REPORTS = ("users.daily_reports", "users.meta_evaluations", "lake.daily_report")
"""The written tables that `reports_kept` holds for, each partitioned by day: prose that nothing is made of later on.

The others stay. A plan is one of a row of versions, and users.plan_stages is made of all of them; playbooks are made of
error analyses, and shown in their wordings.
"""

FILE = "kept_from.json"  # in landing: a rebuild has to know it
WORK = ".expiring"  # folder of the home for what is unpacked and made beside
ONE_DAY = timedelta(days=1)


class _When(msgspec.Struct):
    """What a line says of its kind and day."""

    kind: str
    ts: datetime
    received_at: datetime
    ts_suspect: bool = False

    @property
    def day(self) -> date:
        return (self.received_at if self.ts_suspect else self.ts).astimezone(UTC).date()


_when = msgspec.json.Decoder(_When)


def trim_reports(settings: Settings, lake: Lake, *, now: datetime) -> dict[str, int]:
    """Removes reports that are not kept any longer; returns the rows removed, by table.

    How old one is counts from when it was written, so that what was written today of imported history stays as long as
    what was written today of yesterday. Each row is judged by itself, from what it says: a rebuild that finds all of
    them in landing comes to the same.
    """
    first = (now - settings.reports_kept).astimezone(UTC).date()
    removed = {name: _remove_reports(settings, lake, name, first) for name in REPORTS if lake.exists(name)}
    return {name: count for name, count in removed.items() if count}


def _remove_reports(settings: Settings, lake: Lake, name: str, first: date) -> int:
    """Removes the rows of days before one that were written before it, too; returns how many."""
    spec = lake.spec(name)
    old = {day: count for day, count in _days(lake, name).items() if day < first}
    if not old:
        return 0
    version = lake.version(name)
    is_kept, values = "written_at >= $since", {"since": datetime.combine(first, time(), UTC)}
    with engine(settings) as connection:
        relation = lake.relation_sql(name, as_of=version, start=min(old), stop=max(old))
        query = f"SELECT day, count(*) FROM ({relation}) WHERE {is_kept} GROUP BY day"
        kept: dict[date, int] = dict(connection.execute(query, values).fetchall())
        fewer = [day for day, count in old.items() if kept.get(day, 0) < count]
        if not fewer:
            return 0
        start, stop = min(fewer), max(fewer)
        relation = lake.relation_sql(name, as_of=version, start=start, stop=stop)
        query = f"FROM ({relation}) WHERE {is_kept} ORDER BY day, {spec.order_sql}"
        found = connection.sql(query, params=values).to_arrow_reader(GROUP_ROWS)
        batches = (batch.cast(spec.arrow_schema) for batch in found)
        rows = pa.RecordBatchReader.from_batches(spec.arrow_schema, batches)
        lake.replace(name, lambda: rows, start=start, stop=stop, is_removal=True)
    return sum(old[day] - kept.get(day, 0) for day in fewer)


def expire(settings: Settings, lake: Lake, *, now: datetime) -> dict[str, int]:
    """Removes notes and operations of days that are not kept any longer from landing, its archive and the tables.

    What has landed is taken in first. Then landing is rewritten and read again, beside, for what ingest tells of it;
    the landed table itself goes last, so that after a crash the next call finds something to do. The caller holds the
    lock of ingest.

    Returns:
        The rows removed, by table.

    Raises:
        LakeError: The journal does not tell how landing was taken in; a rebuild makes another.
    """
    kept = {"note": settings.notes_kept, "op": settings.operations_kept}
    first = {kind: (now - span).astimezone(UTC).date() for kind, span in kept.items() if span is not None}
    expired = {kind for kind, day in first.items() if min(_days(lake, TABLES[kind]), default=day) < day}
    if not expired:
        return {}
    check_landed(lake)
    with Intake(settings, lake, now) as intake:
        intake.finish()
        intake.take_in_new()
    before = read_kept_from(settings.landing)
    until = {kind: max(first[kind], before.get(TABLES[kind], date.min)) for kind in expired}
    _write_kept_from(settings.landing, {**before, **{TABLES[kind]: day for kind, day in until.items()}})
    work = settings.home / WORK
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        _rewrite_landing(settings, work, until)
        _count_again(settings, lake, work, now)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {TABLES[kind]: _remove_days(lake, TABLES[kind], day) for kind, day in sorted(until.items())}


def read_kept_from(landing: Path) -> dict[str, date]:
    """Of landed tables from which rows were removed, the first day that they have whole.

    Raises:
        LakeError: The file is damaged.
    """
    path = landing / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, date])
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LakeError(
            f"{path} is damaged: {error}. Restore it from a backup; without it, days whose notes or operations were "
            "removed would be made again of what is left."
        ) from error


def _write_kept_from(landing: Path, days: Mapping[str, date]) -> None:
    path = landing / FILE
    part = path.with_suffix(".tmp")
    with part.open("wb") as file:
        file.write(msgspec.json.encode(dict(sorted(days.items()))) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(landing)


def _days(lake: Lake, name: str) -> dict[date, int]:
    return lake.rows_per_day(name) if lake.exists(name) else {}


def _remove_days(lake: Lake, name: str, before: date) -> int:
    """Empties the days of a table before one; returns how many rows they had."""
    old = {day: count for day, count in _days(lake, name).items() if day < before}
    if old:
        nothing = lake.spec(name).arrow_schema.empty_table()
        lake.replace(name, lambda: nothing, start=min(old), stop=before - ONE_DAY, is_removal=True)
    return sum(old.values())


def _rewrite_landing(settings: Settings, work: Path, until: Mapping[str, date]) -> None:
    beginnings = tuple(b'{"kind":"%s"' % kind.encode() for kind in until)

    def judge(line: bytes, segment: str, offset: int) -> bytes | None:
        if line.startswith(b'{"kind":"') and not line.startswith(beginnings):
            return line
        try:
            said = _when.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return line  # no event, but a reject
        return None if said.kind in until and said.day < until[said.kind] else line

    mend(settings.landing, judge)
    for segment in segments(settings.landing):
        if is_touched(segment.path, judge):
            rewrite(segment.path, judge)
    archive = Archive(settings.archive)
    archive.relist()
    for entry in archive.listed().values():
        path = archive.restore(entry, work).path
        if is_touched(path, judge):
            rewrite(path, judge)
            archive.replace(entry, segments(work)[0])
        for unpacked in segments(work):
            unpacked.path.unlink()


def _count_again(settings: Settings, lake: Lake, work: Path, now: datetime) -> None:
    """Brings what is told of the intake, and the rejects that came of it, up to what landing holds now."""
    beside = Lake(work / "lake")
    with Intake(settings, beside, now, is_rebuild=True) as again:
        again.finish()
    if _taken(settings, lake) != _taken(settings, beside):
        raise LakeError(
            f"the journal in {settings.landing} does not tell how all of it was taken in; `oplake rebuild` makes "
            "another, and then upkeep goes on"
        )
    for spec in (LANDED["reject"], REDACTIONS, SEGMENTS):
        _put_in_place(settings, spec, beside, lake)


def _put_in_place(settings: Settings, spec: TableSpec, beside: Lake, lake: Lake) -> None:
    lake.replace(spec.name, lambda: sorted_rows(settings, spec, beside), start=None, stop=None, is_removal=True)


def _taken(settings: Settings, lake: Lake) -> dict[str, list[tuple[int, int]]]:
    query = f"SELECT segment, start_offset, end_offset FROM ({lake.relation_sql(SEGMENTS.name)})"
    with engine(settings) as connection:
        return covered(Piece(*row) for row in connection.execute(query).fetchall())
