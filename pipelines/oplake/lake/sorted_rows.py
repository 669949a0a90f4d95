"""The rows of a table in its order, for writing them into another that stands for the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pyarrow as pa

from oplake.lake.engine import engine
from oplake.lake.parquet import GROUP_ROWS
from oplake.lake.spec import TableSpec
from oplake.lake.tables import Lake
from oplake.settings import Settings


def sorted_rows(settings: Settings, spec: TableSpec, lake: Lake, *, stop: date | None = None) -> pa.RecordBatchReader:
    """The rows of a table up to a day, a day at a time, which is as much as has to be sorted at once."""
    return pa.RecordBatchReader.from_batches(spec.arrow_schema, _batches(settings, spec, lake, stop))


def _batches(settings: Settings, spec: TableSpec, lake: Lake, stop: date | None) -> Iterator[pa.RecordBatch]:
    days: list[date | None] = [None]
    if spec.partition_by_day:
        days = [day for day in lake.rows_per_day(spec.name) if stop is None or day <= stop]
    order = f" ORDER BY {spec.order_sql}" if spec.order_sql else ""
    with engine(settings) as connection:
        for day in days:
            query = lake.relation_sql(spec.name, start=day, stop=day) + order
            for batch in connection.sql(query).to_arrow_reader(GROUP_ROWS):
                yield batch.cast(spec.arrow_schema)
