"""How results reach a terminal, a file or a pipe.

Data goes to stdout and nothing else does; progress and remarks go to stderr. Colours and boxes appear on terminals
only, and what is piped is never cut to a width.
"""

from __future__ import annotations

import csv
import io
import logging
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from oplake.cli.errors import CommandError

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

PAGE_WIDTH = 80  # of prose where there is no terminal to ask
CELL_FRAME = 3  # columns of a terminal that a table puts around each of its own
NAME_CHARS, WORD_CHARS = 40, 16  # an id is not folded, nor what is shorter; other words are, from this length on
LABELS = re.compile(
    r"(?<![a-z])(byte|code|hash|id|index|line|offset|pid|port|position|seed|version|year)(?![a-z])", re.IGNORECASE
)
"""In the name of a column: its integers tell things apart, and are no counts, whose thousands are set apart."""
UNBOUNDED_WIDTH = 10_000  # columns of a piped table: nothing that somebody may search for is cut off


class Format(StrEnum):
    """How a result is written; as a file's ending it says the same."""

    table = "table"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    parquet = "parquet"


class ExportFormat(StrEnum):
    """How records for other systems are written."""

    jsonl = "jsonl"
    parquet = "parquet"


@cache
def console(*, width: int = UNBOUNDED_WIDTH) -> Console:
    """Where data goes; `width` is for what is not a terminal."""
    return Console() if sys.stdout.isatty() else Console(width=width)


@cache
def progress_console() -> Console:
    """Where everything goes that is not data."""
    return Console(stderr=True)


def remark(text: str) -> None:
    """Say something to the person that is no data."""
    progress_console().print(text, style="dim", markup=False, highlight=False, soft_wrap=True)


def log_retries() -> None:
    """Have retries of commits logged; where structlog is installed, stamina would print them to standard output."""
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([lambda retry: log.info("attempt %d failed: %s", retry.retry_num, retry.caused_by)])


@contextmanager
def busy(text: str) -> Iterator[Callable[[str], None]]:
    """Show that something is being worked on, while it is: a spinner on a terminal, one line in a log.

    Gives a function that says what is being done just now; a log does not show that.
    """
    err = progress_console()
    if not err.is_terminal:
        remark(text)
        yield lambda _: None
        return
    with err.status(escape(text)) as status:
        yield lambda present: status.update(f"{escape(text)} [dim]{escape(present)}")


@contextmanager
def progress(text: str) -> Iterator[Callable[[float], None]]:
    """Show how far something is: a bar on a terminal, one line in a log. Gives a function that takes the share done."""
    err = progress_console()
    if not err.is_terminal:
        remark(text)
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(escape(text), total=1.0)
        yield lambda share: bar.update(task, completed=share)


def is_terminal() -> bool:
    """Whether somebody reads the data as it comes."""
    return console().is_terminal


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, whole: Collection[str] = ()) -> None:
    """Print rows as a table; numbers stand right.

    On a terminal columns are folded to fit, but for those that are names or numbers, and for the `whole` ones; where
    that leaves too little room each row is printed as a block, a line for each of its columns.
    """
    rows = [tuple(row) for row in rows]
    fields = [_Field.of(name, [row[index] for row in rows], name in whole) for index, name in enumerate(columns)]
    widths: Sequence[int | None] | None = [None] * len(fields)
    if is_terminal():
        room = console().width - len(fields) * CELL_FRAME - 1
        widths = _fitted([each.width for each in fields], [each.least_width for each in fields], room)
    if widths is None:
        _print_records(fields)
        return
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for field, width in zip(fields, widths, strict=True):
        table.add_column(
            Text(field.name),
            justify="right" if field.is_number else "left",
            overflow="fold",
            no_wrap=width is None and field.name in whole,
            width=width,
        )
    for cells in zip(*(each.cells for each in fields), strict=True):
        table.add_row(*map(Text, cells))
    console().print(table)


@dataclass(frozen=True)
class _Field:
    """A column as it is shown."""

    name: str
    cells: list[str]
    is_number: bool
    is_whole: bool

    @classmethod
    def of(cls, name: str, values: Sequence[Any], is_whole: bool) -> _Field:
        """How values are shown; what has no space in it, is a name or a number and stays whole."""
        there = [value for value in values if value is not None]
        is_number = bool(there) and all(isinstance(v, int | float | Decimal) and not isinstance(v, bool) for v in there)
        is_label = LABELS.search(name) is not None
        cells = [str(v) if is_label and isinstance(v, int) and is_number else _shown(v) for v in values]
        is_name = all(cell_len(cell) <= NAME_CHARS and not re.search(r"\s", cell) for cell in cells)
        is_moment = bool(there) and all(isinstance(value, datetime) for value in there)
        return cls(name, cells, is_number, is_whole or is_name or is_moment)

    @property
    def width(self) -> int:
        """Cells that all of it takes side by side."""
        return max(_widest(self.cells), cell_len(self.name))

    @property
    def least_width(self) -> int:
        """Cells below which it cannot be read."""
        heading = _widest(self.name.split())
        if self.is_whole:
            return max(_widest(self.cells), heading)
        return max(min(_widest(word for cell in self.cells for word in cell.split()), WORD_CHARS), heading)


def _widest(texts: Iterable[str]) -> int:
    return max((cell_len(line) for text in texts for line in text.splitlines()), default=0)


def _fitted(widths: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """The widths of columns in this room, which is shared where there is not enough; None if it cannot be done."""
    fitted, left = list(least), room - sum(least)
    if left < 0:
        return None
    while left and (short := [index for index, width in enumerate(fitted) if width < widths[index]]):
        fitted[min(short, key=fitted.__getitem__)] += 1
        left -= 1
    return fitted


def _print_records(fields: Sequence[_Field]) -> None:
    """A block for each row, a line for each column."""
    heading = max(cell_len(field.name) for field in fields)
    for number, cells in enumerate(zip(*(each.cells for each in fields), strict=True), 1):
        block = Table.grid(padding=(0, 2))
        block.add_column(style="bold", min_width=min(heading, console().width // 2), overflow="fold")
        block.add_column(overflow="fold")
        for field, cell in zip(fields, cells, strict=True):
            block.add_row(Text(field.name), Text(cell))
        console().print(Text(f"─── row {number} ───", "dim"), block)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float | Decimal):
        if not value:  # which a decimal would show with the exponent of its type, as 0e-9
            return "0"
        shown = f"{value:,.4f}".rstrip("0").rstrip(".")
        return shown if shown not in {"0", "-0"} else f"{value:.4g}"
    return str(value)


def write_result(
    result: pa.RecordBatchReader,
    kind: Format | None,
    output: Path | None,
    *,
    rows: int = 0,
    json_columns: Collection[str] = (),
) -> None:
    """Write a result as asked, streamed.

    Args:
        result: The rows.
        kind: How; without it the ending of the output file decides, else it is a table.
        output: The file; without it, stdout.
        rows: How many rows a table shows at most; 0 shows all.
        json_columns: Columns whose text is JSON, which JSON is to hold as what it is.

    Raises:
        CommandError: The kind and the place do not go together, the format has no words for a type, or the file cannot
            be written; nothing of it is left.
    """
    kind = kind or _kind_of(output)
    if kind is Format.table:
        if output is not None:
            raise CommandError("a table is for reading; write a file with --format csv, json or parquet")
        shown = list(islice(_rows(result), rows + 1 if rows else None))
        print_table(result.schema.names, shown[:rows] if rows else shown)
        if rows and len(shown) > rows:
            remark(f"These are the first {rows} rows; --rows 0 shows all, --format csv, json or parquet writes all.")
        return
    import pyarrow as pa

    try:
        with _sink(output, is_binary=kind is Format.parquet) as sink:
            match kind:
                case Format.csv:
                    _write_csv(result, sink)
                case Format.json:
                    _write_json(_objects(result, json_columns), sink)
                case Format.jsonl:
                    sink.writelines(line + b"\n" for line in _objects(result, json_columns))
                case Format.parquet:
                    _write_parquet(result, sink)
    except pa.ArrowNotImplementedError as error:
        raise CommandError(f"{kind} cannot hold the answer: {error}. Cast the column to VARCHAR") from error


def _kind_of(output: Path | None) -> Format:
    if output is None:
        return Format.table
    try:
        return Format(output.suffix.removeprefix(".").lower())
    except ValueError:
        problem = f"{output}: its ending does not say what it should hold; add --format csv, json, jsonl or parquet"
        raise CommandError(problem) from None


def export_format(output: Path | None) -> ExportFormat:
    """What to write where nothing is said: what the file's ending says, and JSON lines to standard output.

    Raises:
        CommandError: The ending says nothing that can be written.
    """
    if output is None:
        return ExportFormat.jsonl
    try:
        return ExportFormat(output.suffix.removeprefix(".").lower())
    except ValueError:
        problem = f"{output}: its ending does not say what it should hold; add --format jsonl or parquet"
        raise CommandError(problem) from None


def standard_output(*, is_binary: bool = False) -> BinaryIO:
    """Standard output as bytes.

    Raises:
        CommandError: It is a terminal, and what is to come cannot be read there.
    """
    if is_binary and sys.stdout.isatty():
        raise CommandError("Parquet cannot be read on a terminal; add --output FILE, or pipe it")
    return sys.stdout.buffer


@contextmanager
def _sink(output: Path | None, *, is_binary: bool) -> Iterator[BinaryIO]:
    """The file, which appears when it is whole, or stdout."""
    if output is None:
        sink = standard_output(is_binary=is_binary)
        yield sink
        sink.flush()
        return
    part = output.with_name(output.name + ".part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(output)
    except OSError as error:  # which names the part
        raise CommandError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _rows(result: pa.RecordBatchReader) -> Iterator[tuple[Any, ...]]:
    for batch in result:
        yield from zip(*(column.to_pylist(maps_as_pydicts="strict") for column in batch.columns), strict=True)


def _write_csv(result: pa.RecordBatchReader, sink: BinaryIO) -> None:
    text = io.TextIOWrapper(sink, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(result.schema.names)
    writer.writerows([_as_csv(value) for value in row] for row in _rows(result))
    text.detach()


def _as_csv(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return _encode(value).decode()
    return value.isoformat() if isinstance(value, datetime) else value


def _objects(result: pa.RecordBatchReader, json_columns: Collection[str]) -> Iterator[bytes]:
    nested = [index for index, name in enumerate(result.schema.names) if name in json_columns]
    names = _told_apart(result.schema.names)
    for row in _rows(result):
        values = list(row)
        for index in nested:
            values[index] = None if row[index] is None else msgspec.Raw(row[index].encode())
        yield _encode(dict(zip(names, values, strict=True)))


def _told_apart(names: Sequence[str]) -> list[str]:
    """The names of columns, with a number added to those that came before: an object would keep the last one alone."""
    apart: list[str] = []
    for name in names:
        number, unique = 0, name
        while unique in apart or (number and unique in names):
            number += 1
            unique = f"{name}_{number}"
        apart.append(unique)
    return apart


def _write_json(objects: Iterable[bytes], sink: BinaryIO) -> None:
    before = b"[\n"
    for each in objects:
        sink.write(before + each)
        before = b",\n"
    sink.write(b"\n]\n" if before == b",\n" else b"[]\n")


# What JSON has no word for is written as text. Decimals, which sum() of integers is one of, are numbers of any length.
_encode = msgspec.json.Encoder(enc_hook=str, decimal_format="number").encode


def _write_parquet(result: pa.RecordBatchReader, sink: BinaryIO) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(sink, result.schema, compression="zstd") as writer:
        for batch in result:
            writer.write_batch(batch)
