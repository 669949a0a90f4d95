"""`oplake run`: by hand, in this process, what the daemon does by itself.

Ingest, find what is stale, make it: one Dagster run per range of days, in the project's own Dagster records, so that
the UI shows the runs. A run that fails leaves its days stale; the rest goes on, and the next call takes them up again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from oplake.lake.ledger import read_ledger
from oplake.models.sql_file import Models
from oplake.orchestration.definitions import build_definitions, our_models
from oplake.orchestration.errors import OrchestrationError
from oplake.orchestration.instance import open_instance
from oplake.orchestration.jobs import ARRIVALS, INGEST, REFRESH, SEGMENTS
from oplake.orchestration.partitions import keys_of, last_day, range_tags
from oplake.orchestration.resources import (
    LAKEHOUSE,
    Lakehouse,
    Watch,
    alive_folder,
    lakehouse_resource,
    open_lake,
)
from oplake.orchestration.runs import bury_abandoned
from oplake.orchestration.sensors import why
from oplake.orchestration.staleness import Refresh, of_day, without
from oplake.orchestration.work import Work, find_stale, find_work
from oplake.settings import Settings

if TYPE_CHECKING:
    from oplake.lake.ingest import IngestReport

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run configuration that keeps Dagster's own log off the terminal; what failed is in the report."""

TAGS = {
    ".dagster/repository": "__repository__@oplake",  # under this the UI lists the runs of our jobs
    "oplake/by": "oplake run",
}


@dataclass(frozen=True)
class Failure:
    """A table that could not be made, or a check that did not hold, and what was wrong."""

    table: str
    message: str


@dataclass(frozen=True)
class Made:
    """One Dagster run: what it was to make, and what came of it. `refresh` is None for the ingest."""

    run_id: str
    refresh: Refresh | None
    seconds: float
    failures: tuple[Failure, ...] = ()
    failed_checks: tuple[Failure, ...] = ()

    @property
    def what(self) -> str:
        """What was made, in short."""
        return "ingest" if self.refresh is None else str(self.refresh)


@dataclass(frozen=True)
class RunReport:
    """What `run` did. Without work there are no runs."""

    runs: tuple[Made, ...]
    ingested: IngestReport | None = None

    @property
    def failures(self) -> tuple[Failure, ...]:
        """All tables that could not be made; they stay stale, and the next run takes them up again."""
        return tuple(failure for made in self.runs for failure in made.failures)

    @property
    def failed_checks(self) -> tuple[Failure, ...]:
        """All checks that did not hold; their tables were made."""
        return tuple(failure for made in self.runs for failure in made.failed_checks)

    @property
    def is_success(self) -> bool:
        """Whether everything was made; a check that did not hold does not undo that."""
        return not self.failures


def run(
    settings: Settings,
    *,
    now: datetime,
    everything: bool = False,
    day: date | None = None,
    instance: dg.DagsterInstance | None = None,
    models: Models | None = None,
    watch: Watch | None = None,
) -> RunReport:
    """Do what there is to do in a home, here and now.

    Args:
        settings: The home.
        now: The present time; ingest stamps it, and tomorrow's day is the last one made.
        everything: Make every day again that has input, stale or not.
        day: Make this day of every model again, stale or not, and no other.
        instance: Dagster's records, instead of the home's own.
        models: In place of the model files.
        watch: Is told of each table that is about to be made.

    Raises:
        OrchestrationError: The day is none that models are made for.
        ModelFileError: A model file is wrong.
        LakeError: What was made could not be published.
    """
    if day is not None and not settings.first_day <= day <= last_day(now):
        raise OrchestrationError(
            f"{day} cannot be made: models have days from {settings.first_day} (OPLAKE_FIRST_DAY) to {last_day(now)}"
        )
    models = our_models() if models is None else models
    work = find_work(settings, models, now=now)
    if not (work or everything or day):
        return RunReport(())
    with ExitStack() as stack:
        records = instance or stack.enter_context(open_instance(settings))
        bury_abandoned(records, alive_folder(settings), now)
        return _carry_out(_Desk(settings, models, records, now, watch), work, everything=everything, day=day)


class _Desk:
    """What all runs of one call share."""

    def __init__(
        self, settings: Settings, models: Models, instance: dg.DagsterInstance, now: datetime, watch: Watch | None
    ) -> None:
        self.settings, self.models, self.instance, self.now = settings, models, instance, now
        self.houses: list[Lakehouse] = []
        self._watch = watch
        self._definitions = build_definitions(
            settings, models=models, resources={LAKEHOUSE: lakehouse_resource(self.open_house)}
        )

    def open_house(self) -> Lakehouse:
        """A lakehouse for one run."""
        house = Lakehouse(self.settings, lambda: self.now)
        if self._watch is not None:
            house.watch = self._watch
        self.houses.append(house)
        return house

    def execute(self, job: str, tables: Sequence[str], refresh: Refresh | None = None) -> Made:
        """One Dagster run that makes these tables, over the days of the refresh."""
        tags = {**TAGS, **(range_tags(refresh.start, refresh.stop) | why(refresh) if refresh else {})}
        began = time.monotonic()
        result = self._definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            asset_selection=keys_of(tables),
            tags=tags,
            run_config=QUIET,
            raise_on_error=False,
        )
        return Made(
            run_id=result.run_id,
            refresh=refresh,
            seconds=time.monotonic() - began,
            failures=tuple(_failures(result)),
            failed_checks=tuple(_failed_checks(result)),
        )


def _carry_out(desk: _Desk, work: Work, *, everything: bool, day: date | None) -> RunReport:
    runs: list[Made] = []
    ingested = None
    refreshes = list(work.refreshes)
    if work.must_ingest:
        runs.append(desk.execute(INGEST, [SEGMENTS]))
        ingested = desk.houses[-1].ingested
    if work.must_ingest or everything:
        ledger = read_ledger(open_lake(desk.settings))
        refreshes = find_stale(desk.settings, desk.models, ledger, now=desk.now, everything=everything)
    if day is not None:
        one = of_day(desk.models, day)
        refreshes = [one] if one else []
    failed: set[str] = set()
    is_published = False
    while refreshes:
        refresh, *rest = refreshes
        is_last = not rest  # one publication for all
        made = desk.execute(REFRESH, [*refresh.models, *([ARRIVALS] if is_last else [])], refresh)
        runs.append(made)
        failed.update(failure.table for failure in made.failures)
        is_published = is_last and not made.failures
        refreshes = without(rest, desk.models, failed)
    if not is_published:
        desk.open_house().publish()
    return RunReport(tuple(runs), ingested)


def _failures(result: dg.ExecuteInProcessResult) -> Iterator[Failure]:
    """The tables whose step failed; a run that failed outside any step counts as one of its own name."""
    steps = [event for event in result.all_events if event.is_step_failure]
    for event in steps:
        table = str(event.step_key).replace("__", ".", 1)
        yield Failure(table, _cause(event.step_failure_data.error) or str(event.message))
    if not result.success and not steps:
        for event in result.all_events:
            if event.is_job_failure:
                yield Failure(result.job_def.name, _cause(event.job_failure_data.error) or str(event.message))


def _cause(error: SerializableErrorInfo | None) -> str:
    """What was raised by our own code, in its own words: what Dagster wraps around it says nothing."""
    if error is None:
        return ""
    own = error.cause or error
    _, separator, message = own.message.partition(f"{own.cls_name}: ")
    return (message if separator else own.message).strip()


def _failed_checks(result: dg.ExecuteInProcessResult) -> Iterator[Failure]:
    for evaluation in result.get_asset_check_evaluations():
        if not evaluation.passed:
            table = ".".join(evaluation.asset_key.path)
            yield Failure(table, evaluation.description or evaluation.check_name)
