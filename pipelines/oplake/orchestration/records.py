"""Dagster's records without a person: rows of its SQLite files that name them, and all that quotes data in words.

Reports stand in the metadata of materialisations, and values in the messages of failures; neither need name the person
whose they are. So both go, whoever they are about: what the lake holds is told by the lake, and the records only show
how it came about.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from oplake.lake.spec import quoted
from oplake.landing.person import Person
from oplake.orchestration.errors import OrchestrationError
from oplake.settings import Settings
from oplake.synthesis.tables import WRITTEN

BUSY_SECONDS = 60.0  # the daemon writes for milliseconds
HEADER = b"SQLite format 3\0"
IN_WORDS = (
    "STEP_FAILURE",
    "STEP_UP_FOR_RETRY",
    "PIPELINE_FAILURE",
    "RESOURCE_INIT_FAILURE",
    "HOOK_ERRORED",
    "ENGINE_EVENT",
    "ASSET_FAILED_TO_MATERIALIZE",
)
"""Events that hold the messages of errors."""

_REPORTS = tuple(json.dumps(what.name.split(".")) for what in WRITTEN)  # as Dagster writes the keys of assets


def _listed(column: str, values: tuple[str, ...]) -> str:
    """A condition with a parameter for each value."""
    return f"{column} IN ({', '.join('?' * len(values))})"


_OF_REPORTS = _listed("asset_key", _REPORTS)
_WHOLESALE = {
    "event_logs": (
        f"{_OF_REPORTS} OR dagster_event_type IS NULL OR {_listed('dagster_event_type', IN_WORDS)}",
        (*_REPORTS, *IN_WORDS),
    ),
    "asset_check_executions": (_OF_REPORTS, _REPORTS),
    "job_ticks": ("status = 'FAILURE'", ()),
}
_DELETE = {table: f"DELETE FROM {table} WHERE {condition}" for table, (condition, _) in _WHOLESALE.items()}  # noqa: S608
_EMPTY_ASSET = (  # without its row an asset would seem never to have been
    "UPDATE asset_keys SET last_materialization = NULL, cached_status_data = NULL, asset_details = NULL, tags = NULL "
    "WHERE "
)


def forget_in_records(settings: Settings, person: Person) -> None:
    """Removes from Dagster's records what names a person or quotes data, and leaves no trace of it in their files.

    Raises:
        OrchestrationError: A file is in use, and was not given free for a minute.
    """
    for path in _databases(settings.dagster_home):
        try:
            with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
                _clean(connection, person)
        except sqlite3.OperationalError as error:
            raise OrchestrationError(
                f"{path} cannot be cleaned: {error}. End what uses it, such as `oplake ui`, and try again."
            ) from error


def _databases(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                if file.read(len(HEADER)) == HEADER:
                    yield path


def _clean(connection: sqlite3.Connection, person: Person) -> None:
    connection.execute("PRAGMA secure_delete = ON")
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        if table in _DELETE:
            connection.execute(_DELETE[table], _WHOLESALE[table][1])
        rows = connection.execute(f"SELECT rowid, * FROM {quoted(table)}")  # noqa: S608
        named = [(row[0],) for row in rows if any(person.is_named(_text(value)) for value in row[1:])]
        if table == "asset_keys":
            connection.executemany(f"{_EMPTY_ASSET} rowid = ?", named)
            connection.execute(f"{_EMPTY_ASSET} {_OF_REPORTS}", _REPORTS)
        else:
            connection.executemany(f"DELETE FROM {quoted(table)} WHERE rowid = ?", named)  # noqa: S608
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
