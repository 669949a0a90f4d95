"""What `oplake run` costs beyond its SQL.

The wall time of a run that takes in the events of one day and makes what they touch, less the time in which models were
computed and written. Dagster's own start is shown beside it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg

from benchmarks.rows import Row
from oplake.orchestration.instance import open_instance
from oplake.settings import Settings
from oplake.simulate import simulate

BAR = 6.0
ROUNDS = 5
RATE = 100
FIRST = date(2026, 1, 5)

START = """
import sys
from pathlib import Path
import oplake.orchestration.execution
from oplake.orchestration.instance import open_instance
from oplake.settings import Settings
with open_instance(Settings(home=Path(sys.argv[1]))) as instance:
    instance.get_runs_count()
"""
"""What every command that uses Dagster does first: load it with our definitions' modules, and open its records."""


def run() -> list[Row]:
    """Medians in seconds."""
    beyond, starts = [], []
    with TemporaryDirectory() as folder:
        home = Settings(home=Path(folder) / "home")
        simulate(home, days=1, rate=RATE, start=FIRST)
        _seconds([sys.executable, "-m", "oplake", "run"], home)
        for number in range(ROUNDS):
            simulate(home, days=number + 2, rate=RATE, start=FIRST)
            last = _last_run(home)
            wall = _seconds([sys.executable, "-m", "oplake", "run"], home)
            sql = _sql_seconds(home, after=last)
            beyond.append(wall - sql)
            starts.append(_seconds([sys.executable, "-c", START, str(home.home)], home))
            print(f"  {wall:.2f} s, of it {sql:.2f} s SQL and {starts[-1]:.2f} s start of Dagster", file=sys.stderr)
    return [
        Row(
            "oplake run of one day's events, seconds beyond its SQL", "–", statistics.median(beyond), BAR, at_most=True
        ),
        Row("start of Python, Dagster and its records, seconds", "–", statistics.median(starts), None, at_most=True),
    ]


def _seconds(command: list[str], home: Settings) -> float:
    environment = {**os.environ, "OPLAKE_HOME": str(home.home)}
    began = time.monotonic()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.monotonic() - began


def _last_run(home: Settings) -> set[str]:
    with open_instance(home) as instance:
        return {run.run_id for run in instance.get_runs()}


def _sql_seconds(home: Settings, *, after: set[str]) -> float:
    """Seconds in which models were computed and written, as their materialisations say, once for each table and run."""
    found: dict[tuple[str, dg.AssetKey], float] = {}
    with open_instance(home) as instance:
        for each in instance.get_runs():
            if each.run_id in after:
                continue
            for entry in instance.all_logs(each.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
                event = entry.get_dagster_event()
                value = event.step_materialization_data.materialization.metadata.get("seconds")
                if isinstance(value, dg.FloatMetadataValue) and event.asset_key and value.value is not None:
                    found[each.run_id, event.asset_key] = value.value
    return sum(found.values())
