"""Carrying out what there is to do, in this process, as runs of Dagster.

`run` decides that there is something to do; this module is loaded only then, and Dagster with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from oplake.given import GIVEN
from oplake.lake.interrupts import watched
from oplake.lake.ledger import read_ledger
from oplake.lake.retention import read_kept_from
from oplake.lake.tables import Lake
from oplake.models.model import Models
from oplake.orchestration.definitions import build_definitions
from oplake.orchestration.instance import open_instance
from oplake.orchestration.jobs import INGEST, QUIET, REFRESH, SEGMENTS, WRITE
from oplake.orchestration.llm import LLM, ONLY_DUE, Llm
from oplake.orchestration.partitions import keys_of, range_tags
from oplake.orchestration.report import Failure, Made, RunReport
from oplake.orchestration.resources import (
    LAKEHOUSE,
    Lakehouse,
    Step,
    Watch,
    alive_folder,
    going_on_from,
    lakehouse_resource,
    publish,
)
from oplake.orchestration.runs import bury_abandoned
from oplake.orchestration.sensors import why
from oplake.orchestration.staleness import Refresh, of_day, without
from oplake.orchestration.work import Work, find_stale
from oplake.settings import Settings

if TYPE_CHECKING:
    from oplake.lake.ingest import IngestReport
    from oplake.orchestration.write import Round

BY = "oplake/by"  # the tag that says which command a run is of

TAGS = {
    ".dagster/repository": "__repository__@oplake",  # under this the UI lists the runs of our jobs
    BY: "oplake run",
}


class _Desk:
    """What all runs of one call share."""

    def __init__(
        self,
        settings: Settings,
        models: Models,
        lake: Lake,
        instance: dg.DagsterInstance,
        clock: Callable[[], datetime],
        watch: Watch | None,
        is_interrupted: Callable[[], bool],
        llm: Llm | None = None,
    ) -> None:
        self.settings, self.models, self.lake = settings, models, lake
        self.instance, self._clock = instance, clock
        self._is_interrupted = is_interrupted
        self.ingested: IngestReport | None = None
        self._houses: list[Lakehouse] = []
        self._watch = watch
        resources: dict[str, Any] = {LAKEHOUSE: lakehouse_resource(self.open_house, publishes=False)}
        if llm is not None:
            resources[LLM] = llm
        self._definitions = build_definitions(settings, models=models, resources=resources)

    def open_house(self) -> Lakehouse:
        """A lakehouse for one run."""
        house = Lakehouse(self.settings, self._clock, watch=self._before, opened=self.lake)
        self._houses.append(house)
        return house

    def _before(self, step: Step) -> None:
        """Before a table is made; after Ctrl-C none is."""
        if self._is_interrupted():
            raise KeyboardInterrupt
        if self._watch is not None:
            self._watch(step)

    def execute(
        self,
        job: str,
        tables: Sequence[str],
        refresh: Refresh | None = None,
        days: tuple[date, date] | None = None,
        also: Mapping[str, str] | None = None,
    ) -> Made:
        """One Dagster run that makes these tables, over the days of the refresh, or those given; `also` are more tags.

        Raises:
            KeyboardInterrupt: Somebody pressed Ctrl-C; no table is to blame for what is not made.
        """
        tags = {**TAGS, **(range_tags(refresh.start, refresh.stop) | why(refresh) if refresh else {})}
        tags |= {**(range_tags(*days) if days else {}), **(also or {})}
        began = time.monotonic()
        self._houses.clear()
        result = self._definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            asset_selection=keys_of(tables),
            tags=tags,
            run_config=QUIET,
            raise_on_error=False,
        )
        if self._is_interrupted():
            raise KeyboardInterrupt
        for house in self._houses:
            self.ingested = house.ingested or self.ingested
        return Made(
            run_id=result.run_id,
            refresh=refresh,
            seconds=time.monotonic() - began,
            failures=tuple(_failures(result)),
            failed_checks=tuple(_failed_checks(result, dg.AssetCheckSeverity.ERROR)),
            alerts=tuple(_failed_checks(result, dg.AssetCheckSeverity.WARN)),
        )


def carry_out(
    settings: Settings,
    models: Models,
    work: Work,
    *,
    lake: Lake,
    now: datetime,
    everything: bool,
    day: date | None,
    since: date | None,
    repriced: tuple[date, date] | None,
    instance: dg.DagsterInstance | None,
    watch: Watch | None,
) -> RunReport:
    """Ingest, and then one run after the other; see `run.run` for the arguments.

    Raises:
        LakeError: What was made could not be published.
        KeyboardInterrupt: Somebody pressed Ctrl-C; what was made before is published.
    """
    with ExitStack() as stack:
        records = instance or stack.enter_context(open_instance(settings))
        bury_abandoned(records, alive_folder(settings), now)
        desk = _Desk(settings, models, lake, records, lambda: now, watch, stack.enter_context(watched()))
        runs: list[Made] = []
        refreshes = list(work.refreshes)
        try:
            if work.must_ingest:
                runs.append(desk.execute(INGEST, [SEGMENTS]))
            if work.must_ingest or everything or since or repriced:
                ledger = read_ledger(desk.lake)
                refreshes = find_stale(
                    settings, models, ledger, now=now, everything=everything, since=since, repriced=repriced
                )
            if day is not None:
                one = of_day(models, day, read_kept_from(settings.landing))
                refreshes = [*_given_alone(refreshes), *([one] if one else [])]
            runs += _make(desk, refreshes)
        except KeyboardInterrupt:
            publish(desk.open_house(), records)
            raise
        publish(desk.open_house(), records)  # once for all runs, and also when some of them failed
        return RunReport(tuple(runs), desk.ingested)


def carry_out_rounds(
    settings: Settings,
    models: Models,
    rounds: Sequence[Round],
    *,
    only_due: bool,
    lake: Lake,
    now: datetime,
    llm: Llm | None,
    instance: dg.DagsterInstance | None,
    watch: Watch | None,
) -> RunReport:
    """One run of Dagster for each round of tables that authors write; see `write.write` for the arguments.

    To whoever asked for them they are one: all have the same `llm`, so its limits hold for all of them together.

    Raises:
        LakeError: What was written could not be published.
        KeyboardInterrupt: Somebody pressed Ctrl-C; what was written before is published.
    """
    with ExitStack() as stack:
        records = instance or stack.enter_context(open_instance(settings))
        bury_abandoned(records, alive_folder(settings), now)
        llm = llm or Llm()
        llm.last_days = {table: each.stop for each in rounds for table in each.tables}  # rounds are in their order
        clock = going_on_from(now)  # as in a scheduled run: calls take time, and what is spent is of its day
        desk = _Desk(settings, models, lake, records, clock, watch, stack.enter_context(watched()), llm)
        try:
            also = {BY: "oplake write", **(ONLY_DUE if only_due else {})}
            runs = [desk.execute(WRITE, each.tables, days=(each.start, each.stop), also=also) for each in rounds]
        finally:
            publish(desk.open_house(), records)
        return RunReport(tuple(runs))


def _given_alone(refreshes: Sequence[Refresh]) -> list[Refresh]:
    """Those that make given tables: without its prices a day would be made with no price in it."""
    given = {spec.name for spec in GIVEN}
    return [refresh for refresh in refreshes if given.issuperset(refresh.models)]


def _make(desk: _Desk, refreshes: Sequence[Refresh]) -> Iterator[Made]:
    """One run for each refresh; what reads a table that failed is left out of those that follow."""
    failed: set[str] = set()
    left = list(refreshes)
    while left:
        refresh, *rest = left
        made = desk.execute(REFRESH, refresh.models, refresh)
        yield made
        failed.update(failure.table for failure in made.failures)
        left = without(rest, desk.models, failed)


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


def _failed_checks(result: dg.ExecuteInProcessResult, severity: dg.AssetCheckSeverity) -> Iterator[Failure]:
    """The checks of a severity that did not hold."""
    for evaluation in result.get_asset_check_evaluations():
        if not evaluation.passed and evaluation.severity is severity:
            table = ".".join(evaluation.asset_key.path)
            yield Failure(table, evaluation.description or evaluation.check_name)
