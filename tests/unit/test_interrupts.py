"""Ctrl-C ends what DuckDB is at, however many threads it has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from oplake.lake.interrupts import breakable, watched

pytestmark = [
    pytest.mark.slow,  # each waits for a query to be under way
    pytest.mark.skipif(signal.getsignal(signal.SIGINT) == signal.SIG_IGN, reason="whoever runs this ignores Ctrl-C"),
]

ENDLESS = "SELECT sum(length(a.i::VARCHAR || b.i::VARCHAR || c.i::VARCHAR)) FROM {0} AS a(i), {0} AS b(i), {0} AS c(i)"
ENDLESS = ENDLESS.format("range(100000)")

SCRIPT = f"""
import os, signal, sys, threading
from pathlib import Path
from oplake.lake.engine import engine
from oplake.lake.interrupts import watched
from oplake.settings import Settings

with watched() as is_interrupted, engine(Settings(home=Path(sys.argv[1]), duckdb_threads=int(sys.argv[2]))) as database:
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        database.sql({ENDLESS!r}).to_arrow_reader()
    except BaseException:
        print(is_interrupted())
"""


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_query_of_any_number_of_threads_is_broken_off(tmp_path: Path, threads: int) -> None:
    """DuckDB itself looks for signals only where the thread that waits for it also works for it."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "True\n"


def test_a_question_that_takes_too_long_is_taken_back(home: Path) -> None:
    command = [sys.executable, "-m", "oplake", "sql", ENDLESS]
    environment = {**os.environ, "OPLAKE_HOME": str(home)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.communicate()


def test_nothing_is_broken_off_without_a_signal() -> None:
    class Query:
        def interrupt(self) -> None:
            raise AssertionError("nobody pressed Ctrl-C")

    with watched() as is_interrupted, breakable(Query()):
        assert not is_interrupted()
