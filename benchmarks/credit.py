"""What credit costs: the model over 20 million steps, against reading the three columns that it needs.

Both stream to Arrow from the same table of a real lake, each in a process of its own that does nothing else; its CPU
seconds and memory are those that the kernel counts, interpreter and DuckDB's import included. Writing the credits is
not measured: it costs the same as any table.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import duckdb
import pyarrow as pa

from benchmarks.rows import Row
from oplake.lake.engine import engine
from oplake.lake.tables import Lake
from oplake.models.model import Model, sql_folder
from oplake.models.sql_file import load_models
from oplake.orchestration.work import SOURCES
from oplake.settings import Settings

STEPS = 20_000_000
STEPS_PER_ACTION = 20  # on average; from 1 to 39
ROUNDS = 5  # an odd number, for the median
BATCH_ROWS = 100_000
DAY = date(2026, 1, 5)

MOST_CPU = 4.0  # times the CPU seconds of reading
MOST_MIB = 400.0  # resident, at the peak

_CREDITS = "attribution.step_credits"
_READ = ("attribution.actions", "attribution.steps")
_COLUMNS = "SELECT action_id, position, confidence FROM attribution.steps WHERE day BETWEEN $start AND $stop"


class Used(NamedTuple):
    """What a process used."""

    cpu_seconds: float
    peak_mib: float


def run() -> list[Row]:
    """Measure and compare; takes about two minutes, half of it making the table."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_steps(Settings(home=home))
        columns, credit = _script(home, "columns", _COLUMNS), _script(home, "credit", _model(_CREDITS).sql)
        rounds = [(_measured(columns), _measured(credit)) for _ in range(ROUNDS)]
    ratio = median(used.cpu_seconds / against.cpu_seconds for against, used in rounds)
    peak = max(used.peak_mib for _, used in rounds)
    seconds = median(used.cpu_seconds for _, used in rounds)
    against = median(against.cpu_seconds for against, _ in rounds)
    return [
        Row(
            what=f"credit of {STEPS / 1e6:g}M steps to Arrow, CPU-seconds ({seconds:.1f})",
            against=f"its three columns to Arrow ({against:.1f})",
            ratio=ratio,
            bar=MOST_CPU,
            at_most=True,
        ),
        Row(
            what="credit of the same steps, peak memory in MiB",
            against="-",
            ratio=peak,
            bar=MOST_MIB,
            at_most=True,
        ),
    ]


def make_steps(settings: Settings) -> None:
    """A day of steps as `attribution.steps` has them, and their actions, all completed."""
    lake = Lake(settings.lake)
    for name, sql in (("attribution.actions", _ACTIONS), ("attribution.steps", _STEPS)):
        lake.create(_model(name).spec)
        with engine(settings) as connection:
            lake.replace(name, partial(_stream, connection, sql), start=DAY, stop=DAY)


_ACTION = f"SELECT DATE '{DAY}' AS day, md5(i::VARCHAR) AS action_id, i FROM range({STEPS // STEPS_PER_ACTION}) AS t(i)"
_ACTIONS = f"SELECT day, action_id, 'completed' AS status FROM ({_ACTION}) ORDER BY action_id"
_STEPS = f"""
    SELECT day, action_id, position, round(random(), 2) AS confidence
    FROM ({_ACTION}), range(0, {2 * STEPS_PER_ACTION}) AS p(position)
    WHERE position <= hash(i) % {2 * STEPS_PER_ACTION - 1}
    ORDER BY action_id, position
"""


def _stream(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.RecordBatchReader:
    return connection.sql(sql).to_arrow_reader(BATCH_ROWS)


def _measured(script: Path) -> Used:
    """Run a script as a process of its own, and ask the kernel what it used.

    The peak is VmHWM, which the script prints: ru_maxrss of a child begins with what its parent held.
    """
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(status, process.args)
    return Used(usage.ru_utime + usage.ru_stime, int(printed) / 1024)


def _script(home: Path, name: str, query: str) -> Path:
    """A program that streams the query to Arrow, over the files and within the limits that a build would have."""
    settings = Settings(home=home)
    lake = Lake(settings.lake)
    setup = [
        "SET TimeZone = 'UTC'",
        f"SET threads = {settings.duckdb_threads}",
        f"SET memory_limit = '{settings.duckdb_memory}'",
        "SET preserve_insertion_order = false",
        "CREATE SCHEMA attribution",
        *(f"CREATE VIEW {table} AS {lake.relation_sql(table, start=DAY, stop=DAY)}" for table in _READ),
    ]
    path = home / f"{name}.py"
    path.write_text(_PROGRAM.format(setup=setup, query=query, day=DAY, batch_rows=BATCH_ROWS))
    return path


_PROGRAM = """
import datetime, duckdb
connection = duckdb.connect()
for statement in {setup!r}:
    connection.execute(statement)
days = dict.fromkeys(("start", "stop"), datetime.date.fromisoformat("{day}"))
rows = sum(batch.num_rows for batch in connection.sql({query!r}, params=days).to_arrow_reader({batch_rows}))
assert rows > 10_000_000, rows
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


def _model(name: str) -> Model:
    return load_models(sql_folder(), SOURCES)[name]
