"""DuckDB as everything that writes to the lake uses it: in memory, in UTC, within the limits of the settings."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from oplake.settings import Settings


@contextmanager
def engine(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of its own, which spills into a folder of its own: two that shared one would overwrite each other."""
    spill = settings.home / "tmp"
    spill.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="duckdb-", dir=spill) as folder:
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": settings.duckdb_threads,
            "memory_limit": settings.duckdb_memory,
            "temp_directory": folder,
        }
        with duckdb.connect(config=config) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")  # it writes to the terminal of whoever imports us
            yield connection
