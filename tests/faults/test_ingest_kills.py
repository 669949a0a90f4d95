"""Kill the ingester anywhere, while writers write and readers read: every acknowledged event is there, once."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.landed_events import event, everything, land, rows, take_in

from oplake.lake.catalog import connect
from oplake.lake.doctor import examine
from oplake.lake.ingest import IngestBusy, ingest
from oplake.lake.landed import LANDED
from oplake.lake.rebuild import rebuild
from oplake.lake.tables import Lake
from oplake.landing.writer import SegmentWriter
from oplake.settings import Settings

KILLS = 40
SCRIPT = Path(__file__).with_name("doomed_ingester.py")
BATCH_BYTES = 20_000  # small, so that one ingest has many commits to die between


class Ingester:
    """A process that ingests, and is killed on demand."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(home), str(BATCH_BYTES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"

    def __call__(self, what: str, how: str, amount: int) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what} {how} {amount}\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Writers:
    """Threads that land events of several kinds, some of them twice, and remember what was acknowledged."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._settings = settings
        self._is_done = threading.Event()
        self.acknowledged: list[tuple[str, str]] = []
        self.failures: list[Exception] = []
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(count)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_done.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        random_ = random.Random(number)
        try:
            with closing(SegmentWriter(self._settings.landing, writer=f"w{number}", segment_bytes=20_000)) as writer:
                for n in itertools.count():
                    now = datetime.now(UTC)
                    kind = random_.choice(["step", "note", "op"])
                    event_id = f"{number}-{n}"
                    fields = {
                        "step": {"action_id": f"a{n // 9}", "step_index": n % 9, "description": "d", "state": {"n": n}},
                        "note": {"user_id": "u", "note": f"note {n}"},
                        "op": {"endpoint": "e", "success": True, "duration_ms": n, "state": "TX"},
                    }[kind]
                    line = event(kind, event_id, ts=now - timedelta(days=random_.choice([0, 0, 0, 1])), **fields)
                    writer.append([line] * random_.choice([1, 1, 1, 2]))
                    self.acknowledged.append((kind, event_id))
                    if self._is_done.wait(0.02):
                        return
        except Exception as error:  # noqa: BLE001  # for the test to show
            self.failures.append(error)


@contextmanager
def reading(settings: Settings) -> Iterator[list[Exception]]:
    """A thread that reads the tables all the time; gives what went wrong with that."""
    failures: list[Exception] = []
    is_done = threading.Event()

    def read() -> None:
        while not is_done.wait(0.1):
            try:
                with connect(settings) as connection:
                    names = {row[0] for row in connection.execute("SELECT view_name FROM duckdb_views()").fetchall()}
                    if "steps" in names:
                        query = "SELECT count(*) - count(DISTINCT event_id || day) FROM landed.steps"
                        assert connection.execute(query).fetchall() == [(0,)]
            except Exception as error:  # noqa: BLE001  # a reader must never fail, in any way
                failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield failures
    finally:
        is_done.set()
        thread.join()


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home, ingest_bytes=BATCH_BYTES, duckdb_threads=1)


@pytest.mark.slow
def test_kill_the_ingester_anywhere(settings: Settings) -> None:
    random_ = random.Random(7)
    with closing(Ingester(settings.home)) as ingester, reading(settings) as failures, Writers(settings, 3) as writers:
        answers = Counter[str]()
        while answers["killed"] < KILLS:
            how, amount = random_.choice([("step", random_.randint(1, 9)), ("time", random_.randint(1, 250))])
            answers[ingester("ingest", how, amount)] += 1
            assert not answers["failed"]
    assert (failures, writers.failures) == ([], [])
    take_in(settings, now=datetime.now(UTC))
    assert_each_is_there_once(settings, writers.acknowledged)
    before = everything(settings)
    rebuild(settings, now=datetime.now(UTC))
    after = everything(settings)
    for name in before.keys() - {"lake.watermark"}:
        assert after[name] == before[name], name
    assert [finding for finding in examine(settings) if finding.severity == "error"] == []


def assert_each_is_there_once(settings: Settings, acknowledged: list[tuple[str, str]]) -> None:
    assert len(acknowledged) > 100
    found: Counter[tuple[str, str]] = Counter()
    for kind in ("step", "note", "op"):
        for row in rows(settings, LANDED[kind].name, "event_id"):
            found[kind, row["event_id"]] += 1
    assert found == Counter(acknowledged)
    told = rows(settings, "lake.segments", "sum(events) AS events, sum(rejects) AS rejects")
    assert told == [{"events": len(acknowledged), "rejects": 0}]


@pytest.mark.slow
def test_kill_a_rebuild_anywhere(settings: Settings) -> None:
    random_ = random.Random(3)
    for n in range(12):
        land(settings, [event("note", f"{n}-{k}", user_id="u", note="n") for k in range(20)], writer=f"w{n}")
        take_in(settings)
    before = everything(settings)
    with closing(Ingester(settings.home)) as ingester, reading(settings) as failures:
        for _ in range(4):
            how, amount = random_.choice([("step", random_.randint(1, 19)), ("time", random_.randint(100, 900))])
            assert ingester("rebuild", how, amount) == "killed"
            assert ingester("ingest", "step", 99) == "done"
            found = everything(settings)
            assert {name: found[name] for name in found.keys() - {"lake.watermark"}} == {
                name: before[name] for name in before.keys() - {"lake.watermark"}
            }
    assert failures == []


def test_of_two_ingesters_at_once_one_is_told_to_wait(settings: Settings) -> None:
    for n in range(30):
        land(settings, [event("note", f"{n}-{k}", user_id="u", note="n") for k in range(100)], writer=f"w{n}")
    outcomes: Counter[str] = Counter()
    barrier = threading.Barrier(4)

    def run() -> None:
        barrier.wait()
        try:
            ingest(settings, now=datetime.now(UTC))
            outcomes["done"] += 1
        except IngestBusy:
            outcomes["busy"] += 1

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {"done": 1, "busy": 3}
    assert len(rows(settings, "landed.notes")) == 3000


def test_control_without_the_transaction_a_crash_doubles_rows(settings: Settings) -> None:
    """What remembers how far it came in a commit of its own loses that when it dies between the two."""
    land(settings, [event("note", "n", user_id="u", note="n")])
    take_in(settings)
    lake = Lake(settings.lake)
    with connect(settings) as connection:
        batch = connection.sql("SELECT * FROM landed.notes").to_arrow_table()
    for _ in range(2):  # commits the rows, dies before it notes the offset, and begins again where it had noted
        lake.append("landed.notes", batch)
    assert len(rows(settings, "landed.notes")) == 3
