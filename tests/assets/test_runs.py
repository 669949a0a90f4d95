"""What waits after failures, and runs whose process died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from oplake.orchestration.jobs import REFRESH
from oplake.orchestration.liveness import carrying_out, forget, is_carried_out
from oplake.orchestration.runs import (
    FIRST_WAIT,
    LONGEST_WAIT,
    NO_TRACE,
    Attempt,
    attempts,
    bury_abandoned,
    held_back,
    in_progress,
)

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def _attempt(ended_at: datetime, *, made: str = "", failed: str = "") -> Attempt:
    return Attempt(frozenset(made.split()), frozenset(failed.split()), ended_at)


def test_nothing_waits_without_failures() -> None:
    assert held_back([], NOON) == frozenset()
    assert held_back([_attempt(NOON, made="a.x a.y")], NOON) == frozenset()


def test_what_failed_waits_and_what_was_made_beside_it_does_not() -> None:
    """Holding back all of a failed run would let one broken model stop every other."""
    runs = [_attempt(NOON, made="a.x", failed="a.y")]
    assert held_back(runs, NOON) == {"a.y"}
    assert held_back(runs, NOON + FIRST_WAIT - SECOND) == {"a.y"}
    assert held_back(runs, NOON + FIRST_WAIT) == frozenset()


def test_each_further_failure_doubles_the_wait_up_to_an_hour() -> None:
    for count in range(1, 20):
        runs = [_attempt(NOON - n * LONGEST_WAIT, failed="a.y") for n in range(count)]
        wait = min(FIRST_WAIT * 2 ** (count - 1), LONGEST_WAIT)
        assert held_back(runs, NOON + wait - SECOND) == {"a.y"}, count
        assert held_back(runs, NOON + wait) == frozenset(), count


def test_a_success_ends_the_count() -> None:
    runs = [
        _attempt(NOON, failed="a.y"),
        _attempt(NOON - SECOND, made="a.y"),
        *[_attempt(NOON - 2 * SECOND, failed="a.y")] * 9,
    ]
    assert held_back(runs, NOON + FIRST_WAIT) == frozenset()
    assert held_back(runs[1:], NOON) == frozenset()


def test_a_failed_run_tells_which_tables_failed() -> None:
    @dg.asset(key=["a", "good"])
    def good() -> None: ...

    @dg.asset(key=["a", "bad"])
    def bad() -> None:
        raise dg.Failure("broken on purpose")

    @dg.asset(key=["a", "after"], deps=[bad])
    def after() -> None: ...

    every = [good, bad, after]
    job = dg.define_asset_job(REFRESH, selection=dg.AssetSelection.assets(*every))
    definitions = dg.Definitions(every, jobs=[job], executor=dg.in_process_executor)
    with dg.DagsterInstance.ephemeral() as instance:
        definitions.resolve_job_def(REFRESH).execute_in_process(
            instance=instance, asset_selection=[each.key for each in every], raise_on_error=False
        )
        (attempt,) = attempts(instance)

    assert attempt.made == {"a.good"}
    assert attempt.failed == {"a.bad"}


_HOLD = """
import sys
from pathlib import Path
from oplake.orchestration.liveness import carrying_out
with carrying_out(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_killed_process_leaves_a_lock_that_nobody_holds(tmp_path: Path) -> None:
    """A file alone would say that the run is alive for ever, a process id that somebody else's process is ours."""
    assert is_carried_out(tmp_path, "r") is None
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path), "r"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert is_carried_out(tmp_path, "r") is True
        os.kill(process.pid, signal.SIGKILL)
    assert is_carried_out(tmp_path, "r") is False
    forget(tmp_path, "r")
    assert is_carried_out(tmp_path, "r") is None


def test_a_finished_run_leaves_no_trace(tmp_path: Path) -> None:
    with carrying_out(tmp_path, "r"):
        assert is_carried_out(tmp_path, "r") is True
    assert is_carried_out(tmp_path, "r") is None
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_process_died_is_marked_as_failed_and_no_other(tmp_path: Path) -> None:
    """Without this the sensor would wait for ever for a run that was killed."""

    @dg.job(name=REFRESH)
    def refresh() -> None: ...

    def started(instance: dg.DagsterInstance) -> dg.DagsterRun:
        run = instance.create_run_for_job(refresh)
        instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", run.job_name), run.run_id)
        return run

    with dg.DagsterInstance.ephemeral() as instance:
        dead, working, fresh = (started(instance).run_id for _ in range(3))
        (tmp_path / dead).touch()
        now = datetime.now(UTC)
        with carrying_out(tmp_path, working):
            assert bury_abandoned(instance, tmp_path, now) == 1
            assert {run.run_id for run in in_progress(instance)} == {working, fresh}
            assert bury_abandoned(instance, tmp_path, now + NO_TRACE + SECOND) == 1
            assert {run.run_id for run in in_progress(instance)} == {working}
        assert instance.get_run_by_id(dead).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]
        assert not (tmp_path / dead).exists()
