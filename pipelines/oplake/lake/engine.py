"""DuckDB as everything that writes to the lake uses it: in memory, in UTC, within the limits of the settings."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from oplake.lake.interrupts import breakable
from oplake.lake.spec import quoted
from oplake.settings import Settings

SPILL = "tmp"
"""Folder of the home for what does not fit into memory; whatever is in it while nothing runs can be deleted."""

NO_PLACE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR})
"""Errors that say that no folder can be made there, whatever else the disk may take."""


@contextmanager
def engine(settings: Settings, *, keeps_order: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of its own, which spills into a folder of its own: two that shared one would overwrite each other.

    Args:
        settings: Threads, memory and the home to spill into.
        keeps_order: Whether rows without ORDER BY come as they were read; that costs memory.
    """
    with _spill(settings.home / SPILL) as folder:
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": settings.duckdb_threads,
            "memory_limit": settings.duckdb_memory,
            "temp_directory": folder,
            "preserve_insertion_order": keeps_order,
        }
        with duckdb.connect(config=config) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")  # it writes to the terminal of whoever imports us
            with breakable(connection):
                yield connection


@contextmanager
def cleared(connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine for one piece of work of several: the schemas that it makes are gone afterwards, with all in them."""
    try:
        yield connection
    finally:
        made = "SELECT schema_name FROM duckdb_schemas() WHERE database_name = 'memory' AND schema_name <> 'main'"
        for (name,) in connection.execute(f"{made} AND NOT internal").fetchall():
            connection.execute(f"DROP SCHEMA {quoted(name)} CASCADE")


def _spill(within: Path) -> TemporaryDirectory[str]:
    """A folder to spill into; the system's where the home cannot be written, as that of somebody who only looks."""
    try:
        within.mkdir(parents=True, exist_ok=True)
        return TemporaryDirectory(prefix="duckdb-", dir=within)
    except OSError as error:
        if error.errno not in NO_PLACE:
            raise
        return TemporaryDirectory(prefix="oplake-duckdb-")
