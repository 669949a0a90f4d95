"""Accepted lines into typed columns, by DuckDB.

DuckDB's JSON reader coerces in silence (1.5 becomes 2, true becomes 1) and never infers reliably, so it is given only
lines that `accept` made, byte for byte, and every column's type. What the columns of a kind are, and what stands for a
missing key, follows from the event contract. Which lines may come in, and which of them are new, is decided elsewhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from io import BufferedWriter
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb

from oplake import events
from oplake.lake.errors import LakeError
from oplake.lake.spec import DAY, literal, quoted

_TYPES = MappingProxyType(
    {
        "text": "VARCHAR",
        "integer": "BIGINT",
        "number": "DOUBLE",
        "boolean": "BOOLEAN",
        "time": "TIMESTAMP WITH TIME ZONE",
        # The text of the value. A column of DuckDB's JSON type would hold the same, and `op.state`, a text, would stand
        # in quotes where it shares a batch with `step.state`, an object.
        "json": "VARCHAR",
        "texts": "VARCHAR[]",
    }
)
_EMPTY_LIST = "CAST([] AS VARCHAR[])"
_LONG_LINE = 2 * events.LINE_BYTES  # DuckDB's buffers are twice this for each thread
_REJECT = "reject"  # the one kind whose lines may be longer than LINE_BYTES


class Lines:
    """Lines in files that DuckDB reads, numbered from 0 in the order in which they were added."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path, name: str) -> None:
        """`name` is that of the table that `as_table` makes, and of the files in `folder` that lines are copied to."""
        self._connection = connection
        self._copies = folder / name
        self._copies.mkdir(parents=True)
        self._copy: BufferedWriter | None = None
        self._files: list[Path] = []
        self._table = name
        self._is_table = False
        self._longest = _LONG_LINE
        self.kinds: set[str] = set()
        self.count = 0

    def add(self, data: bytes, kinds: Iterable[str]) -> int:
        """Adds whole lines that `accept` made, each with its newline, of some kinds; returns how many."""
        kinds = set(kinds)
        count = data.count(b"\n")
        if _REJECT in kinds:
            self._longest = max(self._longest, 1 + max(map(len, data.split(b"\n"))))
        if count:
            if self._copy is None:
                self._files.append(self._copies / f"{len(self._files)}.jsonl")
                self._copy = self._files[-1].open("wb")
            self._copy.write(data)
        self.kinds |= kinds
        self.count += count
        return count

    def add_file(self, path: Path, kinds: Iterable[str], count: int) -> int:
        """Adds the `count` lines of a file that `accept` made and that does not change; it is read where it is."""
        kinds = set(kinds)
        if _REJECT in kinds:
            with path.open("rb") as file:
                self._longest = max(self._longest, *map(len, file))
        self._end_copy()
        self._files.append(path)
        self.kinds |= kinds
        self.count += count
        return count

    def counts(self) -> dict[str, int]:
        """How many lines there are of each kind.

        Raises:
            LakeError: Some line is of no known kind.
        """
        if not self.count:
            return {}
        if len(self.kinds) == 1:
            return {next(iter(self.kinds)): self.count}
        query = f"SELECT kind, count(*) FROM {self.as_table()} GROUP BY kind"
        counts: dict[str, int] = dict(self._connection.execute(query).fetchall())
        unread = {str(kind) for kind in counts} - self.kinds
        if unread:
            raise LakeError(f"lines of kind {', '.join(sorted(unread))} where only {sorted(self.kinds)} were expected")
        return counts

    def typed(self, kind: str, *, with_number: bool = False) -> str:
        """A SELECT of the lines of one kind, in the columns of its landed table and in no order.

        Args:
            kind: The kind.
            with_number: Whether the line's number is wanted too, in a column `line_number`.
        """
        source = self.as_table() if with_number or self._is_table else self.reader()
        number = "rowid AS line_number, " if with_number else ""
        where = "" if self.kinds == {kind} else f" WHERE kind = {literal(kind)}"
        return f"SELECT {number}{_columns(kind)} FROM {source}{where}"

    def as_table(self) -> str:
        """Makes a temporary table of the lines, once, whose rowid is the number of the line; returns its name."""
        if not self._is_table:
            # DuckDB keeps the order of the file (preserve_insertion_order), though it reads it with several threads.
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {self._table} AS SELECT * FROM {self.reader()}")
            [(count,)] = self._connection.execute(f"SELECT count(*) FROM {self._table}").fetchall()
            if count != self.count:
                raise LakeError(
                    f"DuckDB read {count} of {self.count} lines; this is a fault of oplake, please report it"
                )
            self._is_table = True
        return self._table

    def close(self) -> None:
        """Removes the copies and the table."""
        self._end_copy()
        shutil.rmtree(self._copies)
        if self._is_table:
            self._connection.execute(f"DROP TABLE {self._table}")
            self._is_table = False

    def _end_copy(self) -> None:
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    def reader(self) -> str:
        """The lines as DuckDB reads them: a table function with every column of their kinds."""
        self._end_copy()
        types = {"kind": "VARCHAR"}
        for kind in sorted(self.kinds):
            types |= {field.name: _TYPES[field.type] for field in events.fields(kind)}
        columns = ", ".join(f"{quoted(name)}: {literal(type_)}" for name, type_ in types.items())
        files = ", ".join(literal(str(path)) for path in self._files)
        return (
            f"read_json([{files}], format = 'newline_delimited', columns = {{{columns}}}, "
            f"maximum_object_size = {self._longest}, compression = 'none')"
        )


def _columns(kind: str) -> str:
    """The columns of a kind's landed table, `day` first, with what stands for a missing key filled in."""
    columns = [f"CAST(CASE WHEN coalesce(ts_suspect, FALSE) THEN received_at ELSE ts END AS DATE) AS {DAY}"]
    for field in events.fields(kind):
        name = quoted(field.name)
        if field.is_required or field.is_nullable:
            columns.append(name)
        else:
            columns.append(f"coalesce({name}, {_empty(field.empty, field.type)}) AS {name}")
    return ", ".join(columns)


def _empty(value: Any, type_: events.ColumnType) -> str:
    """An empty default as SQL."""
    match type_:
        case "texts":
            return _EMPTY_LIST
        case "json":
            return literal("[]" if isinstance(value, list) else "{}")
        case "text":
            return literal(value)
        case _:
            return str(value)  # 0, 0.0, False
