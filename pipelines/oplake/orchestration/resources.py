"""What assets are given to work with: the lakehouse of one run. How tables are computed is not here.

The resource also holds the run's lock while the run lasts, so that others can tell a run that is being worked on from
one whose process died.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import dagster as dg

from oplake.lake.engine import engine
from oplake.lake.ledger import ARRIVALS, check_landed, publish_arrivals
from oplake.lake.retention import read_kept_from
from oplake.lake.tables import Lake
from oplake.orchestration.errors import OrchestrationError
from oplake.orchestration.partitions import key_of
from oplake.orchestration.staleness import first_makeable
from oplake.orchestration.work import open_lake
from oplake.settings import Settings

if TYPE_CHECKING:
    import duckdb

    from oplake.given import Written
    from oplake.lake.ingest import IngestReport
    from oplake.lake.upkeep import UpkeepReport
    from oplake.models.build import Built
    from oplake.models.checks import Finding
    from oplake.models.model import Model

T = TypeVar("T")

log = logging.getLogger(__name__)

LAKEHOUSE = "lakehouse"
"""Key of the resource that assets ask for."""

ALIVE = "alive"
"""Folder below DAGSTER_HOME with a lock for each run that is being carried out."""


PAUSE = 0.2  # seconds between attempts; to ask costs a file lock
PATIENCE = 600.0  # seconds; a backlog of a million events is taken in well before


class Step(NamedTuple):
    """Progress: a table is about to be made, over these days (None: whole)."""

    table: str
    start: date | None
    stop: date | None


Watch = Callable[[Step], None]


def utc_now() -> datetime:
    """The present time in UTC: the clock at the gateway."""
    return datetime.now(UTC)


def going_on_from(now: datetime) -> Callable[[], datetime]:
    """A clock that shows a time at first, and goes on from there."""
    began = time.monotonic()
    return lambda: now + timedelta(seconds=time.monotonic() - began)


@dataclass
class Lakehouse:
    """The lake of one run, and the clock. The watermark is read once, so that all models of a run agree on it.

    `opened` is a lake to use, for it remembers the tables that it has opened; without it one is opened when needed.
    """

    settings: Settings
    clock: Callable[[], datetime] = utc_now
    watch: Watch = field(default=lambda _: None)
    opened: Lake | None = None
    ingested: IngestReport | None = field(default=None, init=False)
    has_written: bool = field(default=False, init=False)
    _open: ExitStack = field(default_factory=ExitStack, init=False)

    @cached_property
    def lake(self) -> Lake:
        """The tables."""
        return self.opened or open_lake(self.settings)

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """One engine for all models of the run, one after the other: to start one takes as long as a small model."""
        return self._open.enter_context(engine(self.settings, keeps_order=False))

    def close(self) -> None:
        """Give back what was opened."""
        self._open.close()

    @cached_property
    def watermark(self) -> datetime | None:
        """Nothing received before it was missing from the lake when the run began."""
        from oplake.lake.watermark import read_watermark

        return read_watermark(self.settings.landing)

    def ingest(self) -> IngestReport:
        """Take in what has landed. When another process is at it, wait until that is done.

        Raises:
            IngestBusy: It was still at it after ten minutes.
            LakeError: A landed table is gone, though it had rows: ingest would make a new one of what is new alone.
        """
        from oplake.lake.ingest import ingest

        check_landed(self.lake)
        self.watch(Step("lake.segments", None, None))
        self.has_written = True
        self.ingested = _patiently(lambda: ingest(self.settings, now=self.clock(), lake=self.lake))
        return self.ingested

    def upkeep(self) -> UpkeepReport:
        """Compact, vacuum, check the archive. When an ingest is under way, wait until that is done.

        Raises:
            IngestBusy: It was still under way after ten minutes.
        """
        from oplake.lake.upkeep import upkeep

        self.has_written = True
        return _patiently(lambda: upkeep(self.settings, now=self.clock()))

    def build(self, model: Model, start: date | None, stop: date | None) -> Built:
        """Compute a model's table, or some days of it."""
        from oplake.models.build import build

        first = first_makeable(model, read_kept_from(self.settings.landing), date.min)
        if start is not None and start < first:
            raise OrchestrationError(
                f"{model.name} of {start} stays as it was made: some of what it was made of is not kept any longer. "
                f"From {first} on it can be made again."
            )
        self.watch(Step(model.name, start, stop))
        self.has_written = True
        return build(
            self.lake,
            model,
            start=start,
            stop=stop,
            settings=self.settings,
            watermark=self.watermark,
            connection=self.connection,
        )

    def write_given(self, name: str) -> Written:
        """Write a table that is given, as the settings and files of the moment give it."""
        from oplake.given import given_tables, write

        self.watch(Step(name, None, None))
        self.has_written = True
        (given,) = (each for each in given_tables(self.settings) if each.name == name)
        return write(self.lake, given)

    def check(self, model: Model, start: date | None, stop: date | None) -> list[Finding]:
        """Look whether the days made are as the model's file says that they are."""
        from oplake.models.checks import evaluate_checks

        return evaluate_checks(
            self.lake, model, start=start, stop=stop, settings=self.settings, connection=self.connection
        )

    def publish(self) -> int:
        """Write down what was committed, and make the views and the playbook show it; returns the rows of arrivals."""
        from oplake.lake.catalog import publish_views
        from oplake.playbook.publish import republish

        rows = publish_arrivals(self.lake)
        publish_views(self.settings, self.lake)
        republish(self.settings, self.lake)
        self.has_written = False
        return rows


def _patiently(work: Callable[[], T]) -> T:
    """Do what only one process may do at a time, as soon as the others let go.

    Raises:
        IngestBusy: They did not, in ten minutes.
    """
    from oplake.lake.ingest import IngestBusy

    end = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except IngestBusy:
            if time.monotonic() > end:
                raise
        time.sleep(PAUSE)


def alive_folder(settings: Settings) -> Path:
    """Where runs hold their locks."""
    return settings.dagster_home / ALIVE


def lakehouse_resource(make: Callable[[], Lakehouse], *, publishes: bool = True) -> dg.ResourceDefinition:
    """The resource that assets ask for under `lakehouse`; it lasts as long as the run.

    When the run has written, whether or not all of it went well, the end publishes what it wrote. This is no asset of
    its own: that would be skipped when a model fails, and would have to depend on every table.

    Args:
        make: Called once for each run.
        publishes: Whether the end of the run publishes; a caller that has several runs may want to do it once.
    """
    from oplake.orchestration.liveness import carrying_out

    def start(context: dg.InitResourceContext) -> Iterator[Lakehouse]:
        lakehouse = make()
        run_id = context.run.run_id if context.run else "no-run"
        with carrying_out(alive_folder(lakehouse.settings), run_id):
            try:
                yield lakehouse
            finally:
                lakehouse.close()
            if publishes and lakehouse.has_written:
                publish(lakehouse, context.instance)

    return dg.ResourceDefinition(resource_fn=start, description="The lake, its settings and the clock of one run.")


def publish(lakehouse: Lakehouse, instance: dg.DagsterInstance | None) -> None:
    """Publish what was written, and tell Dagster that `lake/arrivals` is new."""
    rows = lakehouse.publish()
    if rows and instance is not None:
        count = lakehouse.lake.size(ARRIVALS.name).row_count
        metadata = {"dagster/row_count": count, "rows_added": rows}
        instance.report_runless_asset_event(dg.AssetMaterialization(key_of(ARRIVALS.name), metadata=metadata))
