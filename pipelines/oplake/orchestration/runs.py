"""What Dagster's records say of our runs: which are being worked on, which were abandoned, what failed lately.

`held_back` is the pure part: which tables wait after failures, and for how long.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.execution.stats import RunStepKeyStatsSnapshot, StepEventStatus
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from oplake.orchestration.jobs import INGEST, REFRESH, UPKEEP
from oplake.orchestration.liveness import forget, is_carried_out

log = logging.getLogger(__name__)

BY_HAND = "__ASSET_JOB"
"""What Dagster calls the job of assets that somebody materialises in the UI."""

WRITERS = frozenset({INGEST, REFRESH, UPKEEP, BY_HAND})
"""Jobs that write what staleness looks at; while one runs, asking what is stale would be premature."""

WAITING = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED]

NO_TRACE = timedelta(minutes=15)
"""A run without any lock for so long never got as far as taking it, or died while giving it back."""

LOOK_BACK = 50  # recent runs that say what fails; a table that fails in all of them waits the longest anyway
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)


@dataclass(frozen=True)
class Attempt:
    """A finished run: which tables it made, which it failed to make, and when it ended."""

    made: frozenset[str]
    failed: frozenset[str]
    ended_at: datetime


def held_back(attempts: Iterable[Attempt], now: datetime) -> frozenset[str]:
    """The tables that are left alone for now, because they failed.

    After the first failure a table waits a minute, after each further one twice as long, at most an hour. What it did
    not fail at does not wait with it.

    Args:
        attempts: Newest first.
        now: The present time.
    """
    failures: defaultdict[str, int] = defaultdict(int)
    last: dict[str, datetime] = {}
    succeeded: set[str] = set()
    for attempt in attempts:
        for table in attempt.failed - succeeded:
            failures[table] += 1
            last.setdefault(table, attempt.ended_at)
        succeeded |= attempt.made
    return frozenset(
        table
        for table, count in failures.items()
        if now < last[table] + min(FIRST_WAIT * 2 ** min(count - 1, 10), LONGEST_WAIT)
    )


def attempts(instance: dg.DagsterInstance) -> list[Attempt]:
    """The runs that finished lately, newest first."""
    finished = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    records = instance.get_run_records(dg.RunsFilter(statuses=finished), limit=LOOK_BACK)
    return [_attempt(instance, record) for record in records if record.dagster_run.job_name in WRITERS - {UPKEEP}]


def _attempt(instance: dg.DagsterInstance, record: dg.RunRecord) -> Attempt:
    run = record.dagster_run
    ended_at = datetime.fromtimestamp(record.end_time or 0, UTC)
    tables = frozenset(".".join(key.path) for key in run.asset_selection or ())
    if run.status is dg.DagsterRunStatus.SUCCESS:
        return Attempt(tables, frozenset(), ended_at)
    steps = instance.get_run_step_stats(run.run_id)
    made = frozenset(table for table in tables if _has(steps, table, StepEventStatus.SUCCESS))
    failed = frozenset(table for table in tables if _has(steps, table, StepEventStatus.FAILURE))
    return Attempt(made, failed or tables - made, ended_at)  # no step failed: the process died


def _has(steps: Sequence[RunStepKeyStatsSnapshot], table: str, status: StepEventStatus) -> bool:
    return any(step.step_key == table.replace(".", "__") and step.status is status for step in steps)


def in_progress(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs that write tables and are queued or being worked on."""
    statuses = [*IN_PROGRESS_RUN_STATUSES, *WAITING]
    runs = instance.get_runs(dg.RunsFilter(statuses=statuses))
    return [run for run in runs if run.job_name in WRITERS]


def bury_abandoned(instance: dg.DagsterInstance, alive: Path, now: datetime) -> int:
    """Mark as failed the runs whose process died, so that nothing waits for them; returns how many."""
    count = 0
    for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        run = record.dagster_run
        age = now - datetime.fromtimestamp(record.start_time or now.timestamp(), UTC)
        at_work = is_carried_out(alive, run.run_id)
        if at_work is False or (at_work is None and age > NO_TRACE):
            instance.report_run_failed(run, "its process is gone: killed, or the machine went down")
            forget(alive, run.run_id)
            log.warning("run %s of %s was abandoned: its process is gone", run.run_id, run.job_name)
            count += 1
    return count
