"""What playbook candidates cost: a day over 28 days with 50,000 actions of 12 steps, in CPU-seconds.

Steps are drawn at random, so that no two actions do the same: that is more work than any real ones would make.
"""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.blame import DAY, WATERMARK, make_day
from benchmarks.rows import Row
from oplake.given import given_tables, write
from oplake.lake.tables import Lake
from oplake.models.build import build
from oplake.models.model import sql_folder
from oplake.models.sql_file import load_models
from oplake.orchestration.work import SOURCES
from oplake.settings import Settings

ACTIONS = 50_000
DAYS = 28
ROUNDS = 3  # an odd number, for the median
MOST_SECONDS = 5.0  # a day is made two or three times


def run() -> list[Row]:
    """The median of some rounds."""
    with TemporaryDirectory() as folder:
        seconds = median(_seconds(Settings(home=Path(folder))))
    what = f"candidates of a day over {DAYS} days with {ACTIONS:,} actions of 12 steps, CPU-seconds"
    return [Row(what=what, against="-", ratio=seconds, bar=MOST_SECONDS, at_most=True)]


def _seconds(settings: Settings) -> list[float]:
    lake, models = Lake(settings.lake), load_models(sql_folder(), SOURCES)
    last = DAY + timedelta(days=DAYS - 1)
    for number in range(DAYS):
        make_day(settings, lake, DAY + timedelta(days=number), ACTIONS // DAYS)
    for given in given_tables(settings):
        write(lake, given)
    for name in ("blame_steps", "blame_signs", "step_value"):
        model = models[f"attribution.{name}"]
        build(lake, model, start=DAY, stop=last, settings=settings, watermark=WATERMARK)
    build(lake, models["playbooks.runs"], start=DAY, stop=last, settings=settings, watermark=WATERMARK)
    took = []
    for _ in range(ROUNDS):
        began = time.process_time()
        build(lake, models["playbooks.candidates"], start=last, stop=last, settings=settings, watermark=WATERMARK)
        took.append(time.process_time() - began)
    return took
