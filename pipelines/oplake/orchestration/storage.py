"""Dagster's records in SQLite, with connections that are kept.

Dagster's own SQLite storage makes a new engine and a new connection for every event that it writes: each statement is
compiled anew, and each close writes the whole log back into the database and waits for the disk, twice. It reads all of
its migrations for each file that it opens, and asks again and again which tables there are. Ours keeps one connection
per database, leaves it to SQLite when to wait for the disk (`synchronous = NORMAL`), and remembers, which halves the
time of a small run. What is stored is the same. After a power cut the last events of a run may be missing from these
records; the lake, which is what counts, does not read them.

Dagster makes its databases without a lock: of two processes that open a new home at once, one takes what the other has
half made for tables of an old version, notes that beside the present one, and nobody can open them any more. Here they
take turns, and such a note is removed again.

`dagster.yaml` names `Storage`; the webserver, the daemon and every run load it from there.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from dagster._core.event_api import EventHandlerFn
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
    SqliteEventLogStorageWatchdog,
)
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import LAST_KNOWN_STAMPED_SQLITE_ALEMBIC_REVISION, SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import (
    DagsterSqliteStorage,
    _event_logs_directory,
    _runs_directory,
    _schedule_directory,
)
from dagster._serdes import ConfigurableClassData
from dagster.version import __version__ as dagster_version
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import QueuePool
from watchdog.events import FileSystemEvent
from watchdog.observers import Observer

from oplake.lake.locks import only_one

ENGINES_KEPT = 16
"""The webserver reads the logs of many runs, each in a file of its own; a process that writes needs two."""

OPENING = "opening.lock"
"""File beside the databases, for the lock of whoever opens them."""


class _Engines:
    """Engines by the address of their database, each with a connection that stays open; those not used go."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Engine] = OrderedDict()

    def get(self, address: str) -> Engine:
        if address not in self._kept:
            self._kept[address] = _engine(address)
        self._kept.move_to_end(address)
        while len(self._kept) > ENGINES_KEPT:
            self._kept.popitem(last=False)[1].dispose()
        return self._kept[address]

    def dispose(self) -> None:
        while self._kept:
            self._kept.popitem()[1].dispose()


def _engine(address: str) -> Engine:
    arguments = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
    engine = create_engine(address, poolclass=QueuePool, pool_size=1, max_overflow=-1, connect_args=arguments)

    @event.listens_for(engine, "connect")
    def relax(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous = NORMAL")

    return engine


def _is_stamped(engine: Engine) -> bool:
    try:
        with engine.connect() as connection:
            return connection.exec_driver_sql("SELECT version_num FROM alembic_version").first() is not None
    except OperationalError:
        return False


def _keep_blank(engine: Engine, blank: Path) -> None:
    """Keep an empty database such as this one, which was just made, for those that come."""
    part = blank.with_name(f"{blank.name}.{uuid4().hex}")
    with engine.connect() as connection:
        connection.exec_driver_sql("VACUUM INTO ?", (str(part),))
    with closing(sqlite3.connect(part)) as made:
        made.execute("PRAGMA journal_mode = WAL")  # no copy has it from the original
    part.replace(blank)


def _begin_with(blank: Path, path: Path) -> None:
    """Put a copy of an empty database in place, unless there is a database, or nothing to copy."""
    if path.exists() or not blank.exists():
        return
    part = path.with_name(f"{blank.name}.{uuid4().hex}")
    shutil.copyfile(blank, part)
    with suppress(FileExistsError):  # another process was first
        os.link(part, path)
    part.unlink()


def _drop_second_stamp(path: Path) -> None:
    """Remove the note of an old version beside another one: the tables were made for the other, as a whole."""
    if not path.exists():
        return
    with closing(sqlite3.connect(path, timeout=SQLITE_BUSY_TIMEOUT_SECONDS)) as connection:
        try:
            stamps = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        except sqlite3.OperationalError:  # whoever was making it died before it had that table
            return
        if len(stamps) > 1:
            old = (LAST_KNOWN_STAMPED_SQLITE_ALEMBIC_REVISION,)
            connection.execute("DELETE FROM alembic_version WHERE version_num = ?", old)
            connection.commit()


class _Watch(SqliteEventLogStorageWatchdog):
    """Tells the UI of new events of a run. They are in the log beside the database until SQLite writes them back."""

    def __init__(self, storage: EventLog, run_id: str, callback: EventHandlerFn, cursor: str | None) -> None:
        super().__init__(storage, run_id, callback, cursor)
        path = storage.path_for_shard(run_id)
        self._patterns = [path, f"{path}-wal"]

    def on_modified(self, event: FileSystemEvent) -> None:
        self._process_log()


class EventLog(SqliteEventLogStorage):
    """Events of runs and assets."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines = _Engines()
        self._tables: set[str] = set()
        super().__init__(base_dir, inst_data)

    def has_table(self, table_name: str) -> bool:
        """Whether the index has such a table; none ever goes."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        """As Dagster's, but a file that has its stamp needs nothing, and the file of a run begins as a copy of an empty
        one."""
        blank = Path(self._base_dir) / f".blank-{dagster_version}"
        if not for_index_shard:
            _begin_with(blank, Path(str(engine.url.database)))
        if _is_stamped(engine):
            return
        super()._initdb(engine, for_index_shard)
        if not for_index_shard:
            _keep_blank(engine, blank)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engines.get(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def watch(self, run_id: str, cursor: str | None, callback: EventHandlerFn) -> None:
        """Have new events of a run told to `callback`."""
        if not self._obs:
            observer = Observer()
            observer.start()
            vars(self)["_obs"] = observer  # where Dagster's own methods look for it
        watch = _Watch(self, run_id, callback, cursor)
        self._watchers[run_id][callback] = (watch, vars(self)["_obs"].schedule(watch, self._base_dir, recursive=True))

    def dispose(self) -> None:
        """Close what is open."""
        super().dispose()
        self._engines.dispose()


class Runs(SqliteRunStorage):
    """Runs, their states and tags."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines = _Engines()
        self._lock = Lock()
        super().__init__(conn_string, inst_data)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self._lock:
            engine = self._engines.get(self._conn_string)
        with engine.connect() as connection, connection.begin():
            yield connection

    def dispose(self) -> None:
        """Close what is open."""
        self._engines.dispose()


class Storage(DagsterSqliteStorage):
    """Dagster's SQLite storage, with our event log and runs in it."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.base_dir = base_dir
        runs, events = _runs_directory(base_dir), _event_logs_directory(base_dir)
        schedules = _schedule_directory(base_dir)
        with only_one(Path(base_dir) / OPENING):
            for folder, name in ((runs, "runs"), (events, INDEX_SHARD_NAME), (schedules, "schedules")):
                _drop_second_stamp(Path(folder) / f"{name}.db")
            self._run_storage = Runs.from_local(runs)
            self._event_log_storage = EventLog(events)
            self._schedule_storage = SqliteScheduleStorage.from_local(schedules)
        self._inst_data = inst_data
        # Not our parent's __init__: it would open its own records beside ours.
        DagsterStorage.__init__(self)  # type: ignore[no-untyped-call,arg-type]

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Storage:
        """The storage that `dagster.yaml` asks for."""
        return cls.from_local(inst_data=inst_data, **config_value)
