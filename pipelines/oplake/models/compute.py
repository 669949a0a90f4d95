"""A DuckDB that sees chosen versions and days of the lake's tables, for whoever computes or checks them.

Only the files that can hold the days asked for are listed, so that the cost of a day does not grow with history.
Writing to the lake is `build`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple

import duckdb

from oplake.lake.ledger import check_landed
from oplake.lake.spec import quoted
from oplake.lake.tables import Lake

WATERMARK_TABLE = "lake.watermark"
"""Not read from the lake but given: all models of a run see the same one."""

ABSENT = -1  # version of a table that is not there yet, and so is empty


class Days(NamedTuple):
    """A range of days, both included."""

    start: date
    stop: date

    def widened(self, window: tuple[int, int]) -> Days:
        """The days that these days read through a window."""
        return Days(self.start + timedelta(days=window[0]), self.stop + timedelta(days=window[1]))


def show_table(
    connection: duckdb.DuckDBPyConnection, lake: Lake, name: str, types: Mapping[str, str], days: Days | None
) -> int:
    """Make a table of the lake visible under its name, and pin its version.

    Args:
        connection: Where to show it.
        lake: Where it is.
        name: The table; one that was never there is shown empty.
        types: Its columns with DuckDB's names of their types, for when it is not there.
        days: Only these days; None for all.

    Returns:
        The version shown; -1 when the table is not there.

    Raises:
        LakeError: A table that ingest made is gone, though it had rows: empty, it would pass for a quiet day.
    """
    version = lake.version(name) if lake.exists(name) else ABSENT
    if version == ABSENT:
        check_landed(lake)
        columns = ", ".join(f"CAST(NULL AS {type_}) AS {quoted(column)}" for column, type_ in types.items())
        sql = f"SELECT {columns} WHERE false"
    else:
        start, stop = days or (None, None)
        sql = lake.relation_sql(name, as_of=version, start=start, stop=stop)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_schema(name)}")
    connection.execute(f"CREATE VIEW {_qualified(name)} AS {sql}")
    return version


def show_watermark(connection: duckdb.DuckDBPyConnection, watermark: datetime | None) -> None:
    """Make `lake.watermark` visible: one row with the watermark, none when nothing was ingested yet."""
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_schema(WATERMARK_TABLE)}")
    connection.execute(f"CREATE TABLE {_qualified(WATERMARK_TABLE)} (watermark TIMESTAMP WITH TIME ZONE)")
    if watermark is not None:
        connection.execute(f"INSERT INTO {_qualified(WATERMARK_TABLE)} VALUES ($1)", [watermark])


def _schema(name: str) -> str:
    return quoted(name.partition(".")[0])


def _qualified(name: str) -> str:
    schema, _, table = name.partition(".")
    return f"{quoted(schema)}.{quoted(table)}"
