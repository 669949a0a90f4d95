"""What blame costs: a day of a million actions of 12 steps, and a day with a long history against one with a short one.

The models from `attribution.blame_steps` to `attribution.blame`, `attribution.step_value` and the floors of all of them
are built as a run builds them, over tables of a real lake in which some actions are labelled. The memory is what the
kernel counts of a process that does nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from statistics import median

import duckdb
import pyarrow as pa

from benchmarks.rows import Row
from oplake.lake.engine import engine
from oplake.lake.landed import LANDED
from oplake.lake.tables import Lake
from oplake.models.build import build
from oplake.models.model import Models, sql_folder
from oplake.models.sql_file import load_models
from oplake.orchestration.work import SOURCES
from oplake.settings import Settings

ACTIONS = 1_000_000
RUNS_PER_GOAL = 10
DAY = date(2026, 1, 5)
WATERMARK = datetime(2026, 12, 1, tzinfo=UTC)
MOST_MIB = 4096.0  # resident, at the peak

HISTORY_ACTIONS = 2_000  # of a day of the history
SHORT, LONG = 28, 84  # days of history; the statistics rest on 28
ROUNDS = 5  # an odd number, for the median
MOST_GROWTH = 1.3  # times the short history: the days that are read are as many

MODELS = (
    "attribution.blame_steps",
    "attribution.blame_signs",
    "attribution.labelled_steps",
    "attribution.blame_lifts",
    "attribution.blame_contrasts",
    "attribution.blame_evidence",
    "attribution.blame_trials",
    "attribution.blame_methods",
    "attribution.blame",
    "attribution.step_value",
    "attribution.estimate_floors",
)
TOLD = MODELS[-2:]  # whose CPU is told apart
LABELS = 200  # labelled actions of a day
RETRIES = 5  # actions to a retry


def run() -> list[Row]:
    """Both figures."""
    with tempfile.TemporaryDirectory() as folder:
        peak, seconds, told = _large(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        growth = _growth(Settings(home=Path(folder)))
    return [
        Row(
            what=f"blame, step_value and floors of a day of {ACTIONS / 1e6:g}M actions of 12 steps, peak memory in MiB "
            f"({seconds:.0f} s)",
            against="-",
            ratio=peak,
            bar=MOST_MIB,
            at_most=True,
        ),
        *(
            Row(f"{name.partition('.')[2]} of that day, CPU-seconds", "-", cpu, None, at_most=True)
            for name, cpu in told.items()
        ),
        Row(
            what=f"blame, step_value and floors of a day after {LONG} days",
            against=f"the same after {SHORT} days",
            ratio=growth,
            bar=MOST_GROWTH,
            at_most=True,
        ),
    ]


def _large(home: Path) -> tuple[float, float, dict[str, float]]:
    """Peak memory in MiB and seconds of a process that builds one large day, and CPU-seconds of some models."""
    lake = Lake(Settings(home=home).lake)
    make_day(Settings(home=home), lake, DAY, ACTIONS)
    began = time.monotonic()
    code = f"from pathlib import Path; from benchmarks.blame import build_and_tell; build_and_tell(Path({str(home)!r}))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    peak, *told = done.stdout.split()
    return int(peak) / 1024, time.monotonic() - began, dict(zip(TOLD, map(float, told), strict=True))


def build_and_tell(home: Path) -> None:
    """Build the large day; print the KiB that the process had at its peak, and the CPU-seconds of each of TOLD."""
    cpu = build_days(Settings(home=home), _models(), DAY, DAY)
    status = Path("/proc/self/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    print(peak, *(cpu[name] for name in TOLD))


def _growth(settings: Settings) -> float:
    """How much longer the last day of a long history takes than the last one of a short history, interleaved."""
    lake, models = Lake(settings.lake), _models()
    for number in range(LONG):
        make_day(settings, lake, DAY + timedelta(days=number), HISTORY_ACTIONS)
    build_days(settings, models, DAY, DAY + timedelta(days=LONG - 1))
    ratios = []
    for _ in range(ROUNDS):
        took = []
        for days in (SHORT, LONG):
            day = DAY + timedelta(days=days - 1)
            began = time.monotonic()
            build_days(settings, models, day, day)
            took.append(time.monotonic() - began)
        ratios.append(took[1] / took[0])
    return median(ratios)


def build_days(settings: Settings, models: Models, start: date, stop: date) -> dict[str, float]:
    """Build every model of blame for these days, those without days whole; the CPU-seconds of each."""
    lake, cpu = Lake(settings.lake), {}
    for name in MODELS:
        days = {"start": start, "stop": stop} if models[name].partition else {"start": None, "stop": None}
        began = time.process_time()
        build(lake, models[name], **days, settings=settings, watermark=WATERMARK)
        cpu[name] = time.process_time() - began
    return cpu


def make_day(settings: Settings, lake: Lake, day: date, actions: int) -> None:
    """A day of actions, half of them failures, as the models upstream of blame and of floors have them."""
    goals = max(actions // RUNS_PER_GOAL, 1)
    action = f"SELECT DATE '{day}' AS day, '{day}-' || i AS action_id, i FROM range({actions}) AS numbers(i)"
    steps = f"SELECT action.*, position FROM ({action}) AS action, range(12) AS positions(position)"
    tables = {
        "attribution.actions": f"""
            SELECT
                day, action_id, 'type ' || i % 8 AS action_type, 'goal ' || i % {goals} AS goal_id,
                'completed' AS status, 12 AS step_count
            FROM ({action})
        """,
        "attribution.success_scores": f"""
            SELECT
                day, action_id, (hash(i) % 2)::DOUBLE AS success_score, false AS is_error,
                1 AS expected_count, hash(i) % 2 AS met_count
            FROM ({action})
        """,
        "attribution.steps": f"""
            SELECT
                day, action_id, position, position AS step_index, 'agent ' || position % 3 AS actor,
                0.5 + (hash(i, position) % 50) / 100 AS confidence,
                'decision ' || chr(97 + (hash(i, position, 1) % 20)::INTEGER) AS decision
            FROM ({steps})
        """,
        "attribution.grounding": f"""
            SELECT day, action_id, position, 'key' AS key, true AS was_reported_before
            FROM ({steps}) WHERE hash(i, position, 2) % 40 = 0
        """,
        "attribution.step_credits": f"""
            SELECT day, action_id, position, 1 / 12 AS credit FROM ({steps}) WHERE i < {LABELS}
        """,
        "operations.retries": f"""
            SELECT
                day, 'retry ' || action_id AS event_id, 'type ' || i % 8 AS task_class, 2 + hash(i, 3) % 3 AS attempt,
                hash(i, 4) % 3 = 0 AS success, hash(i, 5) % 2 = 0 AS is_corrected, false AS was_corrected_before
            FROM ({action}) WHERE i % {RETRIES} = 0
        """,
        "landed.observations": f"""
            SELECT
                day, 'label ' || action_id AS event_id, day::TIMESTAMPTZ AS ts, action_id,
                'blame_label' AS observation_type, '{{"step_index": ' || i % 12 || '}}' AS data, ts AS received_at,
                '' AS source, '' AS extra, '' AS redactions, '' AS reported_by, false AS ts_suspect, 1 AS confidence
            FROM ({action}) WHERE i < {LABELS}
        """,
    }
    for name, sql in tables.items():
        spec = LANDED["observation"] if name == "landed.observations" else _models()[name].spec
        lake.create(spec)
        with engine(settings) as connection:
            lake.replace(name, partial(_stream, connection, sql, spec.arrow_schema), start=day, stop=day)


def _stream(connection: duckdb.DuckDBPyConnection, sql: str, schema: pa.Schema) -> pa.RecordBatchReader:
    """The rows of a query in the columns of a table; what the query leaves out is null."""
    made: Sequence[str] = connection.sql(sql).columns
    columns = ", ".join(name if name in made else f"NULL AS {name}" for name in schema.names)
    reader = connection.sql(f"SELECT {columns} FROM ({sql})").to_arrow_reader(100_000)
    return pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in reader))


@cache
def _models() -> Models:
    return load_models(sql_folder(), SOURCES)
