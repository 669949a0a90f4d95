"""Rows into Parquet files of a table: checked, split by day, in the order in which they come.

delta-rs could write them, but it deals the batches of a stream out to several tasks and so loses their order, and it
tells how many rows a day got only after the commit that should say so. Writing the files here keeps rows sorted, checks
them before anything is committed, and takes less CPU (docs/decisions/0010). Committing them is up to `tables`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from oplake.lake.errors import BadRows, LakeError
from oplake.lake.spec import DAY, TableSpec

Batches: TypeAlias = pa.RecordBatchReader | pa.Table
"""Rows as Arrow. Those of one day come together, each day sorted by the table's `sort_by`."""

FILE_BYTES = 128 << 20  # a file is closed here: large enough to scan fast, small enough for one task of a cluster
GROUP_ROWS = 122_880  # rows of a row group: what one thread of DuckDB takes at a time
GROUP_BYTES = 32 << 20  # the same in memory, so that rows of 1 MiB do not add up to 120 GiB
ZSTD_LEVEL = 1  # measured on a million steps: level 3 took twice the CPU and saved nothing
SAMPLE_ROWS = 4096  # enough to see whether a column repeats itself
DISTINCT_SHARE = 0.5  # above this share of distinct values a dictionary costs more than it saves
STATISTICS_CHARS = 200  # longer values are left out of the statistics in the log, where every reader would load them


@dataclass(frozen=True)
class DataFile:
    """One file written, not yet part of the table. `path` is relative to the table's folder."""

    path: str
    size: int
    day: date | None
    row_count: int
    written_ms: int  # since the epoch
    statistics: str  # Delta's JSON


def write_files(
    folder: Path, spec: TableSpec, batches: Batches, *, start: date | None = None, stop: date | None = None
) -> list[DataFile]:
    """Write rows into new files under a table's folder; none is left there when it fails.

    Raises:
        BadRows: A column is missing, unknown or of another type, a value is null where none may be, or a day lies
            outside `start..stop` (both included).
        LakeError: The disk is full or failed.
    """
    written = _Files(folder, spec)
    try:
        for batch in _batches(batches):
            rows = _fitted(batch, spec)
            if not spec.partition_by_day:
                written.add(None, rows)
                continue
            _check_days(rows[DAY], spec, start, stop)
            for day, part in _by_day(rows):
                written.add(day, part)
        return written.finish()
    except BaseException as error:
        written.discard()
        if isinstance(error, OSError):
            raise LakeError(f"{spec.name}: rows cannot be written, the table is as it was: {error}") from error
        raise


def _batches(batches: Batches) -> Iterable[pa.RecordBatch]:
    parts: Iterable[pa.RecordBatch] = batches.to_batches() if isinstance(batches, pa.Table) else batches
    return parts


def _fitted(batch: pa.RecordBatch, spec: TableSpec) -> pa.RecordBatch:
    """The batch with exactly the table's columns, in its order and types."""
    names = set(batch.schema.names)
    unknown = sorted(names - {column.name for column in spec.columns})
    if unknown:
        raise BadRows(f"{spec.name} has no column {', '.join(unknown)}")
    arrays: list[pa.Array] = []
    for column in spec.columns:
        if column.name not in names:
            array = pa.nulls(len(batch), column.type)
        else:
            array = batch[column.name]
            if array.type != column.type:
                try:
                    array = array.cast(column.type)
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                    raise BadRows(f"{spec.name}.{column.name} must be {column.type}: {error}") from error
        if array.null_count and not column.is_nullable:
            raise BadRows(f"{spec.name}.{column.name} is null in {array.null_count} rows; it may not be")
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=spec.arrow_schema)


def _check_days(days: pa.Array, spec: TableSpec, start: date | None, stop: date | None) -> None:
    if not len(days):
        return
    low, high = (pc.min_max(days)[edge].as_py() for edge in ("min", "max"))
    if (start is not None and low < start) or (stop is not None and high > stop):
        raise BadRows(f"{spec.name}: rows of {low}..{high} do not belong into {start}..{stop}; filter them by day")


def _by_day(rows: pa.RecordBatch) -> Iterator[tuple[date, pa.RecordBatch]]:
    """The rows of each day, in their order; days that come back within a batch are put together first."""
    runs = pc.run_end_encode(rows[DAY])
    if len(runs.values) > len(pc.unique(runs.values)):
        rows = rows.take(pc.sort_indices(rows, sort_keys=[(DAY, "ascending")]))
        runs = pc.run_end_encode(rows[DAY])
    begin = 0
    for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield day, rows.slice(begin, end - begin)
        begin = end


class _Files:
    """The files of one write. One is open at a time, so that memory holds one row group however many days there are."""

    def __init__(self, folder: Path, spec: TableSpec) -> None:
        self._folder = folder
        self._spec = spec
        self._done: list[DataFile] = []
        self._paths: list[Path] = []
        self._day: date | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._writer: pq.ParquetWriter | None = None
        self._sink: pa.NativeFile | None = None

    def add(self, day: date | None, rows: pa.RecordBatch) -> None:
        if day != self._day:
            self._close()
            self._day = day
        for begin in range(0, len(rows), GROUP_ROWS):
            self._waiting.append(rows.slice(begin, GROUP_ROWS))
            waiting_rows = sum(len(each) for each in self._waiting)
            if waiting_rows >= GROUP_ROWS or sum(each.nbytes for each in self._waiting) >= GROUP_BYTES:
                self._write_group()

    def finish(self) -> list[DataFile]:
        self._close()
        return self._done

    def discard(self) -> None:
        self._waiting.clear()
        for each in (self._writer, self._sink):
            with suppress(OSError):  # on a full disk closing fails too, and what is written goes anyway
                if each is not None:
                    each.close()
        for path in self._paths:
            path.unlink(missing_ok=True)

    def _write_group(self) -> None:
        if not self._waiting:
            return
        rows = pa.Table.from_batches(self._waiting)
        self._waiting = []
        if self._spec.partition_by_day:
            rows = rows.drop_columns([DAY])
        if self._writer is None:
            self._open(rows)
        assert self._writer is not None
        assert self._sink is not None
        self._writer.write_table(rows, row_group_size=GROUP_ROWS)
        if self._sink.tell() >= FILE_BYTES:
            self._close()

    def _open(self, sample: pa.Table) -> None:
        # A new name for every attempt: a name is never used twice, so that no reader mistakes one file for another.
        part = f"part-{uuid4()}.zstd.parquet"
        path = self._folder / (part if self._day is None else f"{DAY}={self._day}/{part}")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._paths.append(path)
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pq.ParquetWriter(
            self._sink,
            sample.schema,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            use_dictionary=_repetitive(sample),
            store_schema=False,
        )

    def _close(self) -> None:
        self._write_group()
        if self._writer is None:
            return
        assert self._sink is not None
        self._writer.close()
        self._sink.close()
        path = self._paths[-1]
        footer = pq.read_metadata(path)
        status = path.stat()
        self._done.append(
            DataFile(
                path=path.relative_to(self._folder).as_posix(),
                size=status.st_size,
                day=self._day,
                row_count=footer.num_rows,
                written_ms=status.st_mtime_ns // 1_000_000,
                statistics=_statistics(footer, self._spec),
            )
        )
        self._writer = self._sink = None


def _repetitive(sample: pa.Table) -> list[str]:
    """Columns whose values repeat: only for them is a dictionary worth its while."""
    rows = sample.slice(0, SAMPLE_ROWS)
    return [
        field.name
        for field in rows.schema
        if not pa.types.is_nested(field.type)
        and pc.count_distinct(rows[field.name]).as_py() <= max(1, DISTINCT_SHARE * len(rows))
    ]


def _statistics(footer: pq.FileMetaData, spec: TableSpec) -> str:
    """Delta's statistics: the rows, and the bounds of the columns that rows are sorted by: they tell files apart."""
    bounds: dict[str, dict[str, Any]] = {"minValues": {}, "maxValues": {}, "nullCount": {}}
    wanted = {name for name in spec.sort_by if spec.column(name).type in (pa.string(), pa.int64())}
    for index in range(footer.num_columns):
        name = footer.schema.column(index).path
        if name not in wanted:
            continue
        groups = [footer.row_group(group).column(index).statistics for group in range(footer.num_row_groups)]
        if not all(group is not None and group.has_min_max and group.has_null_count for group in groups):
            continue
        low, high = min(group.min for group in groups), max(group.max for group in groups)
        if len(str(low)) <= STATISTICS_CHARS and len(str(high)) <= STATISTICS_CHARS:
            bounds["minValues"][name], bounds["maxValues"][name] = low, high
            bounds["nullCount"][name] = sum(group.null_count for group in groups)
    return json.dumps({"numRecords": footer.num_rows, **bounds}, ensure_ascii=False)
