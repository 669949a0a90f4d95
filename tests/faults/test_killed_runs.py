"""`oplake run` is killed at some moment of its work, and the next one does the rest."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from oplake.lake.catalog import connect
from oplake.orchestration.instance import open_instance
from oplake.orchestration.resources import alive_folder
from oplake.settings import Settings
from oplake.simulate import simulate

RunOplake = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.slow]

START_SECONDS = 120  # until a run is under way, on two busy cores
KILLS = 3
RUN = [sys.executable, "-m", "oplake", "run"]


def _kill_in_the_middle(home: Path, after: float) -> bool:
    """Start `oplake run`, and kill it so many seconds after its first run began; False when it was done by then."""
    alive = alive_folder(Settings(home=home))
    environment = {**os.environ, "OPLAKE_HOME": str(home)}
    with subprocess.Popen(RUN, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + START_SECONDS
        while process.poll() is None and not any(alive.glob("*")) and time.monotonic() < end:
            time.sleep(0.01)
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return True
        return False


def test_what_a_killed_run_left_is_done_by_the_next(home: Path, oplake: RunOplake) -> None:
    """A run that Dagster calls started for ever would keep the sensor waiting for ever, too."""
    dice = random.Random(20260105)
    simulate(Settings(home=home), days=2, rate=30, start=date(2026, 1, 5))
    kills = sum(_kill_in_the_middle(home, dice.uniform(0.1, 3)) for _ in range(KILLS))

    done = subprocess.run(
        RUN, env={**os.environ, "OPLAKE_HOME": str(home)}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    again = subprocess.run(
        RUN, env={**os.environ, "OPLAKE_HOME": str(home)}, capture_output=True, text=True, check=False
    )
    assert "Nothing to do" in again.stderr
    with open_instance(Settings(home=home)) as instance:
        states = {run.status for run in instance.get_runs()}
        assert states <= {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.NOT_STARTED}
        assert kills == 0 or states != {dg.DagsterRunStatus.SUCCESS}
    with closing(connect(Settings(home=home))) as connection:
        landed, actions, twice = connection.execute(
            """
            SELECT
                (SELECT count(DISTINCT action_id) FROM landed.actions_begun),
                (SELECT count(*) FROM attribution.actions),
                (SELECT count(*) FROM (SELECT action_id FROM attribution.actions GROUP BY ALL HAVING count(*) > 1))
            """
        ).fetchone() or (0, 0, 0)
    assert actions == landed > 0
    assert twice == 0
