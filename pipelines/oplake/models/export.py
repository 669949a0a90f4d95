"""Interactions for other systems: `attribution.interactions` as JSON lines or Parquet.

The record is that of the table without its day. In JSON lines `attribution_chain` is an object; in Parquet, where every
row has to have one type, it is the text of that object. Command line and paths to standard output are not here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias
from uuid import uuid4

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from oplake.lake.engine import engine
from oplake.lake.spec import DAY, literal
from oplake.lake.tables import Lake
from oplake.models.errors import ModelError
from oplake.settings import Settings

INTERACTIONS = "attribution.interactions"
BATCH_ROWS = 1_000  # a record can take some 100 kB
JSON_COLUMN = "attribution_chain"

Format: TypeAlias = Literal["jsonl", "parquet"]


def export_interactions(
    lake: Lake,
    target: Path | BinaryIO,
    *,
    form: Format,
    settings: Settings,
    start: date | None = None,
    stop: date | None = None,
) -> int:
    """Write the interactions of the days `start..stop` (both included), by day and action; returns how many.

    Args:
        lake: The tables.
        target: A file, which appears only when it is whole, or a stream of bytes, which is left open.
        form: What to write.
        settings: Threads, memory and the folder to spill into.
        start: First day; None for all from the beginning.
        stop: Last day; None for all to the end.

    Raises:
        ModelError: There is no such table yet.
        OSError: The file cannot be written.
    """
    if not lake.exists(INTERACTIONS):
        raise ModelError(f"there is no table {INTERACTIONS} yet; `oplake run` makes it")
    with engine(settings) as connection, _opened(target) as sink:
        rows = connection.sql(f"SELECT * EXCLUDE (day) FROM ({_selected(lake, start, stop)}) ORDER BY day, prompt_id")
        return _WRITERS[form](rows.to_arrow_reader(BATCH_ROWS), sink)


def _selected(lake: Lake, start: date | None, stop: date | None) -> str:
    bounds = [f"{DAY} {sign} DATE {literal(day.isoformat())}" for sign, day in ((">=", start), ("<=", stop)) if day]
    where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
    return f"SELECT * FROM ({lake.relation_sql(INTERACTIONS, start=start, stop=stop)}){where}"


@contextmanager
def _opened(target: Path | BinaryIO) -> Iterator[BinaryIO]:
    """The stream to write to. A file is written beside its place and moved there when it is whole."""
    if not isinstance(target, Path):
        yield target
        return
    draft = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with draft.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _write_jsonl(rows: pa.RecordBatchReader, sink: BinaryIO) -> int:
    encoder = msgspec.json.Encoder()
    count = 0
    for batch in rows:
        for row in batch.to_pylist():
            row[JSON_COLUMN] = msgspec.Raw(row[JSON_COLUMN].encode())
            sink.write(encoder.encode(row) + b"\n")
        count += batch.num_rows
    return count


def _write_parquet(rows: pa.RecordBatchReader, sink: BinaryIO) -> int:
    count = 0
    with pq.ParquetWriter(sink, rows.schema, compression="zstd") as writer:
        for batch in rows:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


_WRITERS: dict[Format, Callable[[pa.RecordBatchReader, BinaryIO], int]] = {
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}
