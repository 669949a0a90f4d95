"""What a model's file promises of its rows, and whether the rows keep it.

The promises are the grain of the header and the tags of the columns. They are evaluated here, in DuckDB, over the days
just made; what Dagster makes of the findings is `sql_assets`'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from oplake.lake.engine import cleared, engine
from oplake.lake.spec import DAY, quoted
from oplake.lake.tables import Lake
from oplake.models.compute import Days, show_table
from oplake.models.model import Model, OutputColumn
from oplake.settings import Settings

SAMPLE_ROWS = 5  # enough to see what is wrong, few enough to read


@dataclass(frozen=True)
class Check:
    """One promise. `columns` are those that it is about. An alert is about the world, not about the table."""

    name: str
    description: str
    columns: tuple[str, ...]
    is_alert: bool = False


@dataclass(frozen=True)
class Finding:
    """How a promise was kept: rows looked at, rows that break it, and some of those."""

    check: Check
    rows: int
    offending: int
    sample: tuple[Mapping[str, Any], ...]

    @property
    def is_passed(self) -> bool:
        """Whether no row breaks the promise."""
        return self.offending == 0


def checks_of(model: Model) -> tuple[Check, ...]:
    """Every promise of a model: its grain first, then its columns in their order, then its alert."""
    return (_grain_check(model), *(check for check, _ in _column_checks(model)), *_alerts(model))


def evaluate_checks(
    lake: Lake,
    model: Model,
    *,
    start: date | None,
    stop: date | None,
    settings: Settings,
    connection: duckdb.DuckDBPyConnection | None = None,
) -> list[Finding]:
    """Hold the days `start..stop` of a model's table against its promises, in the order of `checks_of`.

    The grain holds within a day: a table by day may have one key on two days.

    Args:
        lake: The tables.
        model: Its table need not be there; then nothing is wrong with it.
        start: First day; None, with `stop`, for the whole table.
        stop: Last day, included.
        settings: Threads, memory and the folder to spill into.
        connection: An engine that does not keep order, to work with; without it one is started.
    """
    days = None if start is None or stop is None else Days(start, stop)
    with cleared(connection) if connection else engine(settings, keeps_order=False) as database:
        types = {column.name: "VARCHAR" for column in model.columns}
        show_table(database, lake, model.name, types, days)
        return evaluate_rows(database, model)


def evaluate_rows(connection: duckdb.DuckDBPyConnection, model: Model) -> list[Finding]:
    """Hold all rows that a connection shows under the model's name against its promises."""
    return [_grain(connection, model), *_columns(connection, model), *_alert_findings(connection, model)]


def _key(model: Model) -> tuple[str, ...]:
    """The columns that tell one row of the table from another."""
    with_day = (DAY, *model.grain) if model.partition == DAY else model.grain
    return tuple(dict.fromkeys(with_day))


def _grain_check(model: Model) -> Check:
    within = " within a day" if model.partition == DAY and DAY not in model.grain else ""
    return Check("grain_is_unique", f"{', '.join(model.grain)}: one row each{within}", model.grain)


def _column_checks(model: Model) -> list[tuple[Check, str]]:
    """The promises of the columns, each with the SQL of a row that breaks it."""
    found = []
    for column in model.columns:
        name = quoted(column.name)
        if column.is_not_null:
            check = Check(f"{column.name}_is_not_null", f"{column.name} is never null", (column.name,))
            found.append((check, f"{name} IS NULL"))
        if column.low is not None or column.high is not None:
            check = Check(f"{column.name}_is_in_range", f"{column.name} is {_range(column)}", (column.name,))
            found.append((check, _outside(column)))
    return found


def _alerts(model: Model) -> tuple[Check, ...]:
    """The check of a model whose rows people should know of, if it is one."""
    return (Check("no_alert", model.alert, (), is_alert=True),) if model.alert else ()


def _alert_findings(connection: duckdb.DuckDBPyConnection, model: Model) -> list[Finding]:
    findings = []
    for check in _alerts(model):
        (rows,) = _one(connection, f"SELECT count(*) FROM {model.name}")
        key = ", ".join(quoted(name) for name in _key(model))
        some = f"SELECT * FROM {model.name} ORDER BY {key} LIMIT {SAMPLE_ROWS}"
        findings.append(Finding(check, rows, rows, _sample(connection, some) if rows else ()))
    return findings


def _range(column: OutputColumn) -> str:
    if column.high is None:
        return f"at least {column.low:g}"
    return f"at most {column.high:g}" if column.low is None else f"from {column.low:g} to {column.high:g}"


def _outside(column: OutputColumn) -> str:
    """True of a value out of range or not a number; null is in every range."""
    name = quoted(column.name)
    parts = [f"isnan(CAST({name} AS DOUBLE))"]
    if column.low is not None:
        parts.append(f"{name} < {column.low!r}")
    if column.high is not None:
        parts.append(f"{name} > {column.high!r}")
    return f"({' OR '.join(parts)})"


def _grain(connection: duckdb.DuckDBPyConnection, model: Model) -> Finding:
    key = ", ".join(quoted(name) for name in _key(model))
    groups = f"SELECT {key}, count(*) AS rows FROM {model.name} GROUP BY {key}"
    rows, offending = _one(
        connection, f"SELECT coalesce(sum(rows), 0), coalesce(sum(rows) FILTER (WHERE rows > 1), 0) FROM ({groups})"
    )
    again = f"SELECT * FROM ({groups}) WHERE rows > 1 ORDER BY rows DESC, {key} LIMIT {SAMPLE_ROWS}"
    return Finding(_grain_check(model), rows, offending, _sample(connection, again) if offending else ())


def _columns(connection: duckdb.DuckDBPyConnection, model: Model) -> list[Finding]:
    checks = _column_checks(model)
    counted = "".join(f", count(*) FILTER (WHERE {broken})" for _, broken in checks)
    rows, *counts = _one(connection, f"SELECT count(*){counted} FROM {model.name}")
    findings = []
    for (check, broken), offending in zip(checks, counts, strict=True):
        names = ", ".join(quoted(name) for name in dict.fromkeys([*_key(model), *check.columns]))
        some = f"SELECT {names} FROM {model.name} WHERE {broken} LIMIT {SAMPLE_ROWS}"
        findings.append(Finding(check, rows, offending, _sample(connection, some) if offending else ()))
    return findings


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> list[int]:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return [int(value) for value in row]


def _sample(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Mapping[str, Any], ...]:
    result = connection.execute(sql)
    names = [column[0] for column in result.description or ()]
    return tuple(dict(zip(names, row, strict=True)) for row in result.fetchall())
