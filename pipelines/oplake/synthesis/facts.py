"""What is known before an author is asked: SQL over the lake's tables, at pinned versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any

import duckdb

from oplake.lake.engine import cleared
from oplake.lake.spec import TableSpec, duckdb_type
from oplake.lake.tables import Lake
from oplake.models.compute import Days, show_table


class Facts:
    """The tables that one partition is written from."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, versions: Mapping[str, int]) -> None:
        self._connection = connection
        self.versions = versions
        """The version seen of each table; -1 where there is none yet."""

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """The rows of a SELECT; `values` are its `$parameters`."""
        rows: list[dict[str, Any]] = self._connection.sql(query, params=values or None).to_arrow_table().to_pylist()
        return rows


@contextmanager
def facts_of(
    lake: Lake,
    connection: duckdb.DuckDBPyConnection,
    specs: Mapping[str, TableSpec],
    reads: Mapping[str, tuple[int, int] | None],
    day: date,
) -> Iterator[Facts]:
    """The tables that a day reads, each with the days of its window; gone again afterwards.

    Args:
        lake: The tables.
        connection: An engine to show them in.
        specs: All tables there are, for those that are not there yet.
        reads: The tables, and the window of days of each; None for tables without days.
        day: The day that is being written.
    """
    with cleared(connection):
        versions = {}
        for table, window in reads.items():
            types = {column.name: duckdb_type(column.type) for column in specs[table].columns}
            days = None if window is None else Days(day, day).widened(window)
            versions[table] = show_table(connection, lake, table, types, days)
        yield Facts(connection, versions)
