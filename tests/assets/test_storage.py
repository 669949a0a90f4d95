"""Dagster's records as we keep them: the same that Dagster's own storage reads, and seen at once by who watches."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import LAST_KNOWN_STAMPED_SQLITE_ALEMBIC_REVISION
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

from oplake.lake.doctor import examine
from oplake.orchestration import storage as storage_module
from oplake.orchestration.instance import open_instance
from oplake.orchestration.storage import EventLog, Storage
from oplake.settings import Settings

SECONDS = 20  # until an event is told that another process wrote


@dg.asset
def table() -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(metadata={"dagster/row_count": 3})


def _make(instance: dg.DagsterInstance) -> str:
    return dg.materialize([table], instance=instance).run_id


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings) as instance:
        yield instance


def test_dagsters_own_storage_reads_the_same(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Leaving our storage out of dagster.yaml loses nothing: it is the same files."""
    assert isinstance(instance.event_log_storage, EventLog)
    run_id = _make(instance)
    ours = [(entry.timestamp, entry.message) for entry in instance.all_logs(run_id)]

    plain = DagsterSqliteStorage.from_local(str(settings.dagster_home))
    assert not isinstance(plain.event_log_storage, EventLog)
    assert list(plain.run_storage.get_runs()) == instance.get_runs()
    assert [(entry.timestamp, entry.message) for entry in plain.event_log_storage.get_logs_for_run(run_id)] == ours
    assert [key.to_user_string() for key in plain.event_log_storage.all_asset_keys()] == ["table"]


def test_the_file_of_a_run_begins_as_a_copy_of_an_empty_one(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Dagster reads all of its migrations for each; a copy must be just what it would have made, and hold nothing."""
    first, second = _make(instance), _make(instance)
    runs = settings.dagster_home / "history" / "runs"
    (blank,) = runs.glob(".blank-*")
    schemas = []
    for path in (runs / f"{first}.db", runs / f"{second}.db", blank):
        with closing(sqlite3.connect(path)) as connection:
            schemas.append(connection.execute("SELECT sql FROM sqlite_schema ORDER BY sql").fetchall())
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
            count = connection.execute("SELECT count(*) FROM event_logs").fetchone()
    assert schemas[0] == schemas[1] == schemas[2]
    assert count == (0,)
    assert len(instance.all_logs(first)) == len(instance.all_logs(second))
    assert sorted(instance.event_log_storage.get_all_run_ids()) == sorted([first, second])  # type: ignore[attr-defined]


def test_events_are_told_while_the_run_that_writes_them_goes_on(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    """The writer keeps its connection, so that the database itself stays as it is until the run ends. Watching that
    alone, as Dagster does, the UI would show nothing before."""
    run_id = _make(instance)
    told = threading.Event()
    watcher = Storage.from_local(str(settings.dagster_home)).event_log_storage
    assert isinstance(watcher, SqliteEventLogStorage)
    cursor = watcher.get_records_for_run(run_id).cursor
    watcher.watch(run_id, cursor, lambda _event, _cursor: told.set())
    try:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        instance.report_engine_event("going on", run)
        assert told.wait(SECONDS)
    finally:
        watcher.dispose()


@pytest.mark.slow
def test_not_every_log_ever_read_stays_open(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """The webserver would run out of files."""
    monkeypatch.setattr(storage_module, "ENGINES_KEPT", 3)
    storage = instance.event_log_storage
    assert isinstance(storage, EventLog)
    for number in range(5):
        storage.get_logs_for_run(f"run-{number}")
    assert len(storage._engines._kept) == 3


OPENS = """
import sys
import time
from pathlib import Path
from dagster._core.storage.runs.sqlite import sqlite_run_storage as runs
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage as schedules
from oplake.orchestration.instance import open_instance
from oplake.settings import Settings

def slowly(stamp):
    def stamps(*arguments, **options):
        time.sleep(0.5)
        stamp(*arguments, **options)
    return stamps

for module in (runs, schedules):
    module.stamp_alembic_rev = slowly(module.stamp_alembic_rev)
print(flush=True)
sys.stdin.readline()
with open_instance(Settings(home=Path(sys.argv[1]))) as instance:
    print(len(instance.get_runs()))
"""
"""A process on a busy machine: tables are there for a while before their version is."""


def _stamps(settings: Settings) -> dict[str, int]:
    """How many versions each database says that it is of."""
    counts = {}
    for path in settings.dagster_home.rglob("*.db"):
        with closing(sqlite3.connect(path)) as connection:
            (counts[path.name],) = connection.execute("SELECT count(*) FROM alembic_version").fetchone()
    return counts


def test_processes_that_open_a_new_home_at_once_take_turns(home: Path) -> None:
    """Dagster takes tables that another process is making for old ones, and then nobody can open them any more."""
    command = [sys.executable, "-c", OPENS, str(home)]
    opening = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in opening:
        assert process.stdout is not None
        process.stdout.readline()
    told = [process.stdin for process in opening if process.stdin is not None]
    for stdin in told:
        stdin.write("\n")
        stdin.flush()
    assert [process.communicate(timeout=SECONDS * 3)[0] for process in opening] == ["0\n"] * 2
    assert _stamps(Settings(home=home)) == {"runs.db": 1, "index.db": 1, "schedules.db": 1}


def test_records_of_two_versions_are_put_right(settings: Settings) -> None:
    """As homes have them that two processes opened at once before they took turns."""
    settings.landing.mkdir()
    with open_instance(settings) as instance:
        run_id = _make(instance)
    for name in ("history/runs", "history/runs/index", "schedules/schedules"):
        with closing(sqlite3.connect(settings.dagster_home / f"{name}.db")) as connection, connection:
            connection.execute("INSERT INTO alembic_version VALUES (?)", (LAST_KNOWN_STAMPED_SQLITE_ALEMBIC_REVISION,))
    before = [(each.where.rpartition("/")[2], each.remedy) for each in examine(settings)]
    assert sorted(before) == [(name, "oplake run puts them right") for name in ("index.db", "runs.db", "schedules.db")]
    with open_instance(settings) as instance:
        assert [run.run_id for run in instance.get_runs()] == [run_id]
    assert set(_stamps(settings).values()) == {1}
    assert examine(settings) == []


def test_the_doctor_tells_of_records_that_cannot_be_read(settings: Settings) -> None:
    settings.landing.mkdir()
    with open_instance(settings):
        pass
    path = settings.dagster_home / "schedules" / "schedules.db"
    path.write_bytes(b"no database" * 1000)
    (finding,) = examine(settings)
    assert (finding.severity, finding.where) == ("error", str(path))
    assert "move it away" in finding.remedy
    path.write_bytes(b"")  # as whoever is just making it has it
    assert examine(settings) == []
    path.unlink()
    with open_instance(settings):
        assert examine(settings) == []
