"""Several processes on one table: none loses a row, none doubles one, and no reader ever fails; kills included."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oplake.lake.errors import LakeError
from oplake.lake.tables import Column, Lake, TableSpec

NAME = "work.steps"
SPEC = TableSpec(
    name=NAME,
    description="What was done.",
    columns=(
        Column("day", pa.date32(), "the day", is_nullable=False),
        Column("writer", pa.int64(), "who wrote it", is_nullable=False),
        Column("n", pa.int64(), "the number of the write", is_nullable=False),
    ),
    partition_by_day=True,
    sort_by=("n",),
    grain=("day", "writer", "n"),
)
APPENDED, SHARED = date(2026, 1, 1), date(2026, 1, 2)
SHARED_ROWS = 7  # rows of one replacement; a reader that sees another number sees two, or half of one
WRITERS, WRITES = 4, 8
KILLS = 12
LIMIT_BYTES = 200_000

# Children start from a process that has the libraries loaded but no threads of theirs: a second each would be waiting.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["oplake.lake.tables"])


def rows(day: date, writer: int, n: int, count: int = 1) -> pa.Table:
    return pa.Table.from_pylist([{"day": day, "writer": writer, "n": n}] * count, schema=SPEC.arrow_schema)


def ask(lake: Lake, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(f"WITH steps AS ({lake.relation_sql(NAME)}) {query}").fetchall()


@pytest.fixture
def made(lake: Lake) -> Lake:
    lake.create(SPEC)
    return lake


@contextmanager
def reading(lake: Lake) -> Iterator[list[int]]:
    """Somebody reads the shared day all the while; gives the list of what was seen. Any failure fails the test."""
    seen: list[int] = []
    failures: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        mine = Lake(lake.root)
        try:
            while not done.is_set():
                found = ask(mine, f"SELECT n, writer, count(*) FROM steps WHERE day = '{SHARED}' GROUP BY ALL")
                assert len(found) <= 1, f"two replacements at once: {found}"
                assert all(count == SHARED_ROWS for *_, count in found), f"half a replacement: {found}"
                seen.append(len(found))
        except BaseException as error:  # noqa: BLE001 (handed to the test's own thread)
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield seen
    finally:
        done.set()
        reader.join()
    assert failures == []


def write(root: Path, writer: int, start: Any) -> None:
    """One process: appends, replaces its own day and the shared one, over and over."""
    lake = Lake(root)
    start.wait()
    own = SHARED + timedelta(days=1 + writer)
    for n in range(WRITES):
        lake.append(NAME, rows(APPENDED, writer, n), transactions={f"writer {writer}": n})
        lake.replace(NAME, partial(rows, own, writer, n, n + 1), start=own, stop=own)
        lake.replace(NAME, partial(rows, SHARED, writer, n, SHARED_ROWS), start=SHARED, stop=SHARED)


@pytest.mark.slow
def test_processes_that_write_at_once_lose_nothing(made: Lake) -> None:
    start = PROCESSES.Barrier(WRITERS)
    writers = [PROCESSES.Process(target=write, args=(made.root, number, start)) for number in range(WRITERS)]
    with reading(made) as seen:
        for each in writers:
            each.start()
        for each in writers:
            each.join()
    assert [each.exitcode for each in writers] == [0] * WRITERS
    appended = ask(made, f"SELECT writer, n FROM steps WHERE day = '{APPENDED}' ORDER BY ALL")
    assert appended == [(writer, n) for writer in range(WRITERS) for n in range(WRITES)]
    own = ask(made, f"SELECT day, min(n), count(*) FROM steps WHERE day > '{SHARED}' GROUP BY day ORDER BY day")
    assert own == [(SHARED + timedelta(days=1 + each), WRITES - 1, WRITES) for each in range(WRITERS)]
    assert ask(made, f"SELECT count(*), count(DISTINCT writer) FROM steps WHERE day = '{SHARED}'") == [(SHARED_ROWS, 1)]
    commits = made.commits(NAME).commits
    assert len(commits) == 3 * WRITERS * WRITES, "every write made one commit, and none made two"
    assert seen


def test_the_naive_way_loses_rows(tmp_path: Path) -> None:
    """The negative control: two who read a Parquet file, add a row and write it back, as a data frame would."""
    path = tmp_path / "steps.parquet"
    pq.write_table(rows(APPENDED, 0, 0), path)
    held = [pq.read_table(path) for _ in range(2)]
    for writer, table in enumerate(held, start=1):
        pq.write_table(pa.concat_tables([table, rows(APPENDED, writer, 0)]), path)
    assert pq.read_table(path)["writer"].to_pylist() == [0, 2], "the row of writer 1 is gone"


def write_until_killed(root: Path, acknowledged: Path) -> None:
    """Number the appends by a transaction and note each number once it is acknowledged."""
    lake = Lake(root)
    descriptor = os.open(acknowledged, os.O_WRONLY | os.O_CREAT, 0o644)
    n = (lake.transaction(NAME, "numbers") or 0) + 1
    while True:
        lake.append(NAME, rows(APPENDED, 0, n), transactions={"numbers": n})
        os.pwrite(descriptor, b"%020d" % n, 0)
        lake.replace(NAME, partial(rows, SHARED, 0, n, SHARED_ROWS), start=SHARED, stop=SHARED)
        n += 1


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_whole_commits(made: Lake, tmp_path: Path) -> None:
    """No acknowledged row is lost, none is there twice, no reader fails; files left behind belong to nothing."""
    dice = random.Random(20260105)
    acknowledged = tmp_path / "acknowledged"
    acknowledged.write_bytes(b"%020d" % 0)
    with reading(made) as seen:
        for _ in range(KILLS):
            before = acknowledged.read_bytes()
            writer = PROCESSES.Process(target=write_until_killed, args=(made.root, acknowledged))
            writer.start()
            wait_for_change(acknowledged, before)
            time.sleep(dice.uniform(0, 0.06))  # the moment of the kill is what is tried out
            assert writer.pid is not None
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
            n = made.transaction(NAME, "numbers")
            assert n is not None
            assert n >= int(acknowledged.read_bytes())
            appended = ask(made, f"SELECT n FROM steps WHERE day = '{APPENDED}' ORDER BY n")
            assert appended == [(number,) for number in range(1, n + 1)]
    assert seen


def wait_for_change(path: Path, before: bytes, seconds: float = 30) -> None:
    """Wait for a file to hold something else."""
    deadline = time.monotonic() + seconds
    while path.read_bytes() == before:
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def write_too_much(root: Path, answer: Any) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, LIMIT_BYTES))
    dice = random.Random(1)
    many = pa.table(
        {
            "day": pa.array([APPENDED] * 200_000, pa.date32()),
            "writer": [dice.getrandbits(60) for _ in range(200_000)],
            "n": range(200_000),
        }
    )
    try:
        Lake(root).append(NAME, many)
    except LakeError as error:
        answer.put(str(error))
    else:
        answer.put("no error")


def test_a_disk_that_takes_no_more_leaves_the_table_as_it_was(made: Lake) -> None:
    """A limit on the size of files stands in for a full disk: both make a write fail half-way."""
    made.append(NAME, rows(APPENDED, 0, 0))
    answer = PROCESSES.Queue()
    writer = PROCESSES.Process(target=write_too_much, args=(made.root, answer))
    writer.start()
    message = answer.get(timeout=60)
    writer.join()
    assert "the table is as it was" in message
    assert made.version(NAME) == 1
    assert len(list(made.folder(NAME).glob("day=*/*.parquet"))) == 1


def test_a_creation_that_was_interrupted_is_done_again(lake: Lake) -> None:
    """It leaves a folder without a commit, which is no table yet."""
    (lake.folder(NAME) / "_delta_log").mkdir(parents=True)
    assert not lake.exists(NAME)
    assert lake.names() == []
    lake.create(SPEC)
    assert lake.names() == [NAME]


def test_a_commit_file_cut_short_is_not_taken_for_a_commit(made: Lake) -> None:
    """delta-rs writes a commit beside and renames it, so that a kill leaves a file that no reader looks at."""
    made.append(NAME, rows(APPENDED, 0, 0))
    log = made.folder(NAME) / "_delta_log"
    (log / "_commit_5c6c.json.tmp").write_text('{"commitInfo":')
    assert Lake(made.root).version(NAME) == 1
    made.append(NAME, rows(APPENDED, 0, 1))
    assert len(made.commits(NAME).commits) == 2
