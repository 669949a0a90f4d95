"""Dagster's records as we keep them: the same that Dagster's own storage reads, and seen at once by who watches."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

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
