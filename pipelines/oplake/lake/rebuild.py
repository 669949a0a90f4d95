"""The lake made again from landing alone.

The landed tables are made beside the ones that stand, in the order in which events were met, and then put in their
place, each in one commit, so that whoever reads sees the old table or the new one. Models are computed from them
without Dagster, once over all days: a year of them costs minutes there, nearly all of it for the records of the runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
from deltalake.exceptions import DeltaError

from oplake.given import write
from oplake.lake.archive import Archive, Damage
from oplake.lake.catalog import publish_views
from oplake.lake.engine import engine
from oplake.lake.errors import LakeError, SchemaChanged
from oplake.lake.ingest import APP, IngestReport, Intake, Listener, ingest_lock
from oplake.lake.landed import INGESTED, SEGMENTS, WATERMARK
from oplake.lake.ledger import ARRIVALS, publish_arrivals, read_ledger
from oplake.lake.remains import GO_ON, Remains, find_losses
from oplake.lake.retention import read_kept_from, trim_reports
from oplake.lake.sorted_rows import sorted_rows
from oplake.lake.spec import TableSpec
from oplake.lake.tables import Lake
from oplake.lake.watermark import publish_watermark
from oplake.landing.errors import LandingError
from oplake.playbook.publish import republish
from oplake.settings import Settings

if TYPE_CHECKING:
    from oplake.models.model import Models

BESIDE = ".rebuilding"  # the lake that is made beside, within the home
OLD = "old"  # and what it takes the place of, until that is removed


@dataclass(frozen=True)
class RebuildReport:
    """What a rebuild made."""

    ingest: IngestReport
    rows: Mapping[str, int]  # of every table that was made again
    lost: tuple[Damage, ...] = ()  # segments without which, or without the end of which, it was made


def rebuild(
    settings: Settings,
    *,
    now: datetime,
    what_is_left: bool = False,
    progress: Listener | None = None,
    on_table: Callable[[str, int], None] | None = None,
) -> RebuildReport:
    """Makes every landed table, those of schema `lake` and every model again, and reports once.

    After a crash the tables are the old or the new ones, which say the same; another rebuild makes them all.

    Args:
        settings: Where landing and lake are.
        now: The present time.
        what_is_left: Whether to go on without segments that are lost, damaged or cut. They are reported; nothing is
            removed, so that a later rebuild has them again when they have been restored.
        progress: Called after every durable step of reading landing.
        on_table: Called with the name and the rows of each table when it is in place.

    Raises:
        IngestBusy: An ingest is under way; try again.
        LakeError: Landing or the archive is not whole: nothing was replaced. The message lists what is lost.
        ModelError: A model cannot be loaded (nothing was replaced) or computed.
    """
    from oplake.orchestration.work import our_models

    models = our_models(settings)
    rows: dict[str, int] = {}
    in_place = _counting(rows, on_table)
    with ingest_lock(settings):
        _begin(settings)
        beside = Lake(settings.home / BESIDE / "lake")
        lost = find_losses(settings) if what_is_left else []
        try:
            if what_is_left:
                names = {damage.segment for damage in lost}
                report, done = _take_in_all(Remains(settings, beside, now, progress, lost=names))
            else:
                report, done = _take_in_whole(Intake(settings, beside, now, progress, is_rebuild=True))
            lake = Lake(settings.lake, retention=settings.vacuum_after)
            specs = [*INGESTED, *(model.spec for model in models)]
            broken = [spec.name for spec in specs if _stand(lake, spec)]
            # `lake.segments` last, as in any ingest: it says that the others are whole.
            for spec in sorted(INGESTED, key=lambda spec: spec is SEGMENTS):
                if spec is not WATERMARK:
                    in_place(spec.name, _put_in_place(settings, spec, beside, lake, done))
            assert report.watermark is not None  # an intake that read everything has one
            publish_watermark(lake, report.watermark)
            _restore(settings, lake, now, in_place)
        finally:
            shutil.rmtree(settings.home / BESIDE, ignore_errors=True)
        _renew_arrivals(lake, is_anew=bool(broken))
        _build_models(settings, lake, models, now, report.watermark, in_place)
        trim_reports(settings, lake, now=now)
    publish_views(settings)
    republish(settings, lake)
    return RebuildReport(report, rows, tuple(lost))


def make_anew(
    settings: Settings,
    *,
    now: datetime,
    carry_over: Callable[[Lake, Lake, str, date | None], None],
    progress: Listener | None = None,
    on_table: Callable[[str, int], None] | None = None,
) -> RebuildReport:
    """Makes a whole lake beside the one that stands, and puts it in its place: no earlier version is left of any table.

    Readers see the old lake or the new one; who read the old one has to look for its files again. The caller holds the
    lock of ingest. After a crash the lake is the old one, the new one, or the old one under another name, which the
    next rebuild puts back before anything else.

    Args:
        settings: Where landing and lake are.
        now: The present time.
        carry_over: Called with the old lake, the new one, the name of a table and a day, for the rows up to that day
            (None: all of them) that nothing makes again: those of tables without a model, and what was made of rows
            that are not kept any longer.
        progress: Called after every durable step of reading landing.
        on_table: Called with the name and the rows of each table when it is made.

    Raises:
        LakeError: Landing or the archive is not whole: nothing was replaced. The message lists what is lost.
        ModelError: A model cannot be loaded or computed; nothing was replaced.
    """
    from oplake.orchestration.staleness import first_makeable
    from oplake.orchestration.work import SOURCES, our_models

    models = our_models(settings)
    rows: dict[str, int] = {}
    in_place = _counting(rows, on_table)
    _begin(settings)
    folder = settings.home / BESIDE
    try:
        lake = Lake(folder / "lake", retention=settings.vacuum_after)
        report, _ = _take_in_whole(Intake(settings, lake, now, progress, is_rebuild=True))
        assert report.watermark is not None  # an intake that read everything has one
        for spec in INGESTED:
            in_place(spec.name, lake.size(spec.name).row_count)
        _restore(settings, lake, now, in_place)
        old = Lake(settings.lake)
        standing = {*old.names()}
        kept_from = read_kept_from(settings.landing)
        for model in models:
            first = first_makeable(model, kept_from, date.min)
            if model.name in standing and model.partition is not None and first > date.min:
                carry_over(old, lake, model.name, first - timedelta(days=1))
        made = {spec.name for spec in SOURCES} | {model.name for model in models}
        for name in sorted(standing - made):
            carry_over(old, lake, name, None)
        publish_arrivals(lake)
        _build_models(settings, lake, models, now, report.watermark, in_place)
        trim_reports(settings, lake, now=now)
        if settings.lake.exists():
            settings.lake.rename(folder / OLD)
        lake.root.rename(settings.lake)
        publish_views(settings)  # before the files go that the old ones name
        republish(settings, Lake(settings.lake))
    finally:
        _put_back(settings)
        shutil.rmtree(folder, ignore_errors=True)
    return RebuildReport(report, rows)


def _restore(settings: Settings, lake: Lake, now: datetime, in_place: Callable[[str, int], None]) -> None:
    """Makes the tables that authors write again, from the rows that have landed."""
    from oplake.synthesis.tables import WRITTEN
    from oplake.synthesis.write import restore

    for name, count in restore(settings, lake, WRITTEN, now=now).items():
        in_place(name, count)


def _counting(rows: dict[str, int], on_table: Callable[[str, int], None] | None) -> Callable[[str, int], None]:
    """Notes the rows of each table that is made, and tells of it."""

    def in_place(name: str, count: int) -> None:
        rows[name] = count
        if on_table is not None:
            on_table(name, count)

    return in_place


def _begin(settings: Settings) -> None:
    """Clears away what an interrupted rebuild left."""
    _put_back(settings)
    shutil.rmtree(settings.home / BESIDE, ignore_errors=True)
    Archive(settings.archive).relist()


def _put_back(settings: Settings) -> None:
    """Gives the lake its name back, if `make_anew` was struck between taking it away and putting the new one there."""
    old = settings.home / BESIDE / OLD
    if old.exists() and not settings.lake.exists():
        old.rename(settings.lake)


def _take_in_all(intake: Intake) -> tuple[IngestReport, int]:
    """Takes in all of landing; what was done, and the number of the last batch."""
    with intake:
        intake.finish()
        intake.take_in_new()
        return intake.report(), intake.done


def _take_in_whole(intake: Intake) -> tuple[IngestReport, int]:
    """The same, for a landing that has to be whole.

    Raises:
        LakeError: It is not; the message lists all that is lost, not only what was met first.
    """
    try:
        return _take_in_all(intake)
    except (LakeError, LandingError) as error:
        lost = find_losses(intake.settings)
        if not lost:
            raise
        listed = "".join(f"\n  {damage.path}: {damage.problem}" for damage in lost)
        raise LakeError(
            f"landing is not whole, and nothing was replaced:{listed}\nRestore from a backup what you can; {GO_ON}"
        ) from error


def _put_in_place(settings: Settings, spec: TableSpec, beside: Lake, lake: Lake, done: int) -> int:
    """Replaces a table by the one made beside, in one commit."""
    if spec is SEGMENTS and (lake.transaction(spec.name, APP) or 0) < done:
        # Before the rows: should we die in between, what is there twice is found to be there.
        lake.append(spec.name, spec.arrow_schema.empty_table(), transactions={APP: done})
    return lake.replace(spec.name, lambda: sorted_rows(settings, spec, beside), start=None, stop=None).row_count


def _stand(lake: Lake, spec: TableSpec) -> bool:
    """Has a table stand with its present columns; returns whether it was so broken that it had to be made anew."""
    try:
        lake.create(spec)
    except SchemaChanged:
        lake.recreate(spec)
    except (DeltaError, LakeError, OSError, ValueError):  # its log cannot be read, so there is nothing to keep
        shutil.rmtree(lake.folder(spec.name))
        Lake(lake.root, retention=lake.retention).create(spec)
        return True
    return False


def _build_models(
    settings: Settings,
    lake: Lake,
    models: Models,
    now: datetime,
    watermark: datetime,
    in_place: Callable[[str, int], None],
) -> None:
    """Computes every model once, upstream first, over all days that a run of everything would make.

    A run is asked which those are, so that it finds nothing left to do afterwards.
    """
    from oplake.models.build import build
    from oplake.orchestration.staleness import first_makeable
    from oplake.orchestration.work import find_stale, given_to

    for given in given_to(settings, models):
        in_place(given.name, write(lake, given).row_count)
    refreshes = find_stale(settings, models, read_ledger(lake), now=now, everything=True)
    kept_from = read_kept_from(settings.landing)
    begin = min((refresh.start for refresh in refreshes if refresh.start), default=settings.first_day)
    with engine(settings, keeps_order=False) as connection:
        for model in models:
            mine = [refresh for refresh in refreshes if model.name in refresh.models]
            if not mine:
                continue
            start = min((refresh.start for refresh in mine if refresh.start), default=None)
            if start is not None and model.dependencies & kept_from.keys():
                # What it reads is made over all days; from the first that it can make on, no gap is left for later.
                start = min(start, first_makeable(model, kept_from, begin))
            stop = max((refresh.stop for refresh in mine if refresh.stop), default=None)
            built = build(
                lake,
                model,
                start=start,
                stop=stop,
                settings=settings,
                watermark=watermark,
                connection=connection,
            )
            in_place(model.name, built.rows)
    publish_arrivals(lake)


def _renew_arrivals(lake: Lake, *, is_anew: bool) -> None:
    """Brings `lake.arrivals` up to date; from nothing where it cannot be read or tells of a table that is no more."""
    try:
        if not is_anew:
            publish_arrivals(lake)
            read_ledger(lake)
            return
    except (LakeError, DeltaError, duckdb.Error, OSError):
        pass
    shutil.rmtree(lake.folder(ARRIVALS.name), ignore_errors=True)
    publish_arrivals(lake)
