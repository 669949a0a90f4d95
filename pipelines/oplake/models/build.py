"""Compute a model and put the result in the place of what its table held.

The versions of all inputs are pinned before anything is read and stand in the commit, with the model's code version and
the watermark: so the ledger knows what every day was made from, and no crash can part the two. What is stale, and who
asks for it, is not known here; nor is Dagster.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import duckdb
import pyarrow as pa

from oplake.lake.commit import provenance
from oplake.lake.engine import cleared, engine
from oplake.lake.errors import SchemaChanged
from oplake.lake.spec import duckdb_type, quoted
from oplake.lake.tables import Lake
from oplake.models.compute import WATERMARK_TABLE, Days, show_table, show_watermark
from oplake.models.errors import BuildError
from oplake.models.functions import callable_in, functions_named
from oplake.models.model import Model
from oplake.settings import Settings

BATCH_ROWS = 100_000  # rows in flight between DuckDB and the lake's files


@dataclass(frozen=True)
class Built:
    """What a build left: the version of the table, its rows by day (0 included; empty without days), and the time."""

    version: int
    rows_per_day: Mapping[date, int]
    rows: int
    seconds: float


def build(
    lake: Lake,
    model: Model,
    *,
    start: date | None,
    stop: date | None,
    settings: Settings,
    watermark: datetime | None,
    connection: duckdb.DuckDBPyConnection | None = None,
) -> Built:
    """Replace the days `start..stop` (both included) of a model's table, or the whole of one without days.

    Running it again on the same inputs leaves the same rows. Inputs that are not there yet count as empty.

    Args:
        lake: The tables.
        model: What to compute.
        start: First day; None, with `stop`, for a model without days.
        stop: Last day.
        settings: Threads, memory and the folder to spill into.
        watermark: What `lake.watermark` says; None when nothing was ingested yet.
        connection: An engine that does not keep order, to work with; without it one is started.

    Raises:
        BuildError: The SQL, or a function that it calls, failed on these rows; or days were given to a model that has
            none, or the other way round.
        LakeError: The table could not be written.
    """
    days = _days(model, start, stop)
    began = time.monotonic()
    _prepare(lake, model)
    called = functions_named(model.functions)
    with (
        cleared(connection) if connection else engine(settings, keeps_order=False) as database,
        callable_in(database, called),
    ):
        try:
            inputs = _show_inputs(database, lake, model, days, watermark)
            replaced = lake.replace(
                model.name,
                lambda: _rows(database, model, days),
                start=start,
                stop=stop,
                metadata=provenance(code_version=model.code_version, inputs=inputs, watermark=watermark),
            )
        except (duckdb.Error, pa.ArrowException) as error:
            where = "" if days is None else f" {days.start}..{days.stop}"
            raise BuildError(f"{model.name}{where}: {error}; its SQL is {model.path}") from error
    return Built(replaced.version, replaced.rows_per_day, replaced.row_count, time.monotonic() - began)


def _days(model: Model, start: date | None, stop: date | None) -> Days | None:
    if model.partition is None:
        if start is not None or stop is not None:
            raise BuildError(f"{model.name} has no days; build it whole, without start and stop")
        return None
    if start is None or stop is None or start > stop:
        raise BuildError(f"{model.name} is made by the day; give a first and a last day, not {start}..{stop}")
    return Days(start, stop)


def _prepare(lake: Lake, model: Model) -> None:
    """Have the table stand with the model's columns; one whose columns changed too much is made anew, empty."""
    try:
        lake.create(model.spec)
    except SchemaChanged:
        lake.recreate(model.spec)


def _show_inputs(
    connection: duckdb.DuckDBPyConnection, lake: Lake, model: Model, days: Days | None, watermark: datetime | None
) -> dict[str, int]:
    """Make what a model reads visible; returns the version of each table."""
    inputs = {}
    for table in sorted(model.dependencies):
        if table == WATERMARK_TABLE:
            show_watermark(connection, watermark)
            continue
        seen = None if days is None else days.widened(model.window_of(table))
        inputs[table] = show_table(connection, lake, table, model.input_types[table], seen)
    return inputs


def _rows(connection: duckdb.DuckDBPyConnection, model: Model, days: Days | None) -> pa.RecordBatchReader:
    """The model's rows, in the types and the order of its table, as they are computed."""
    spec = model.spec
    columns = ", ".join(
        f"CAST({quoted(column.name)} AS {duckdb_type(column.type)}) AS {quoted(column.name)}" for column in spec.columns
    )
    body = model.sql.rstrip().removesuffix(";")
    sql = f"SELECT {columns} FROM (\n{body}\n) ORDER BY {spec.order_sql}"
    values = {} if days is None else days._asdict()
    params = {name: values[name] for name in sorted(model.parameters)}
    relation = connection.sql(sql, params=params) if params else connection.sql(sql)
    return relation.to_arrow_reader(BATCH_ROWS)
