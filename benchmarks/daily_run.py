"""What a year of history adds to the cost of a day: the same day's events, taken in and computed by `oplake run`, in a
home that has a year behind it and in one that has a day.

The year is made day by day, so that tables, logs and ledger have all the commits of a year; Dagster's records get a
materialisation of every day. That takes some minutes.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.rows import Row
from oplake.given import write
from oplake.lake.ingest import ingest
from oplake.lake.ledger import publish_arrivals, read_ledger
from oplake.lake.upkeep import upkeep
from oplake.models.build import build
from oplake.orchestration.run import run as oplake_run
from oplake.orchestration.work import find_stale, given_to, open_lake, our_models
from oplake.settings import Settings
from oplake.simulate import simulate

BAR = 1.2
ROUNDS = 5
HISTORY_DAYS = 364
RATE = 20  # actions begun per day; each has 20 to 30 events
FIRST = date(2025, 1, 6)
SEED = 7


def run() -> list[Row]:
    """The median ratio of CPU-seconds over days that both homes meet alike."""
    with TemporaryDirectory() as folder:
        days = _days(Path(folder) / "days")
        old, young = Settings(home=Path(folder) / "old"), Settings(home=Path(folder) / "young")
        _live_through(old, days[:HISTORY_DAYS])
        _live_through(young, days[HISTORY_DAYS - 1 : HISTORY_DAYS])
        ratios = []
        for segments in days[HISTORY_DAYS:]:
            seconds = []
            for home in (old, young):
                _land(home, segments)
                seconds.append(_cpu_seconds_of_a_run(home))
            ratios.append(seconds[0] / seconds[1])
            print(f"  a day after a year {seconds[0]:.2f} s of CPU, after a day {seconds[1]:.2f} s", file=sys.stderr)
    return [
        Row(
            "daily run on day 365 of a year's history, CPU-seconds",
            "the same on day 1",
            statistics.median(ratios),
            BAR,
            at_most=True,
        )
    ]


def _days(folder: Path) -> list[list[Path]]:
    """The segments of each simulated day, in files of its own."""
    found = []
    for number in range(HISTORY_DAYS + ROUNDS):
        home = Settings(home=folder / f"{number:03}")
        simulate(home, days=1, seed=SEED + number, rate=RATE, start=FIRST + timedelta(days=number))
        found.append(sorted(home.landing.iterdir()))
    return found


def _land(home: Settings, segments: list[Path]) -> None:
    home.landing.mkdir(parents=True, exist_ok=True)
    for path in segments:
        shutil.copy(path, home.landing / path.name)


def _live_through(home: Settings, days: list[list[Path]]) -> None:
    """A home as it is after these days: a commit a day in every table, and every day in Dagster's records."""
    lake, models = open_lake(home), our_models(home)
    for given in given_to(home, models):
        write(lake, given)
    for number, segments in enumerate(days):
        _land(home, segments)
        now = datetime.now(UTC)
        report = ingest(home, now=now)
        for refresh in find_stale(home, models, read_ledger(lake), now=now):
            for name in refresh.models:
                build(
                    lake,
                    models[name],
                    start=refresh.start,
                    stop=refresh.stop,
                    settings=home,
                    watermark=report.watermark,
                )
        publish_arrivals(lake)
        if number % 50 == 0:
            print(f"  {number} of {len(days)} days of history", file=sys.stderr)
    oplake_run(home, now=datetime.now(UTC), everything=True, models=models)
    upkeep(home, now=datetime.now(UTC))  # as every night: segments into the archive, small files together


def _cpu_seconds_of_a_run(home: Settings) -> float:
    command = [sys.executable, "-m", "oplake", "run"]
    environment = {**os.environ, "OPLAKE_HOME": str(home.home)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"oplake run in {home.home} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime
