"""What a table is: its columns and their meaning, grain, order and partition, and the names that are allowed.

Here too is how a column's Arrow type is written in DuckDB. Nothing here touches a disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

from oplake.lake.errors import LakeError

DAY = "day"
"""The one column that tables are partitioned by: a UTC date."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\.[a-z][a-z0-9_]{0,62}")
_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,126}")


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    type: pa.DataType
    description: str
    is_nullable: bool = True


@dataclass(frozen=True)
class TableSpec:
    """A table: `schema.table`, what it means, its columns and how its rows lie.

    `grain` names the columns that tell one row from another; `sort_by` those by which rows lie sorted within a file.

    Raises:
        LakeError: A name is not allowed, a column stands twice, or `grain`, `sort_by` or the partition names a column
            that the table does not have.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    partition_by_day: bool
    sort_by: tuple[str, ...]
    grain: tuple[str, ...]

    def __post_init__(self) -> None:
        check_name(self.name)
        names = [column.name for column in self.columns]
        for name in names:
            if not _COLUMN_NAME.fullmatch(name):
                raise LakeError(f"{self.name}: {name!r} cannot be the name of a column; use letters, digits and _")
            if names.count(name) > 1:
                raise LakeError(f"{self.name}: column {name} is declared twice")
        for column in self.columns:
            if plain_type(column.type) != column.type:
                raise LakeError(
                    f"{self.name}: column {column.name} must be {plain_type(column.type)}, not {column.type}"
                )
        for name in (*self.grain, *self.sort_by):
            if name not in names:
                raise LakeError(f"{self.name}: there is no column {name} for its grain or order; it has {names}")
        if self.partition_by_day:
            if DAY not in names:
                raise LakeError(f"{self.name} is partitioned by day but has no column day")
            if self.column(DAY).type != pa.date32():
                raise LakeError(f"{self.name}: column day is {self.column(DAY).type}; a partition must be a date")

    def column(self, name: str) -> Column:
        """The column of that name.

        Raises:
            LakeError: There is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise LakeError(f"{self.name} has no column {name}; it has {[column.name for column in self.columns]}")

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns as Arrow fields."""
        return pa.schema([pa.field(each.name, each.type, each.is_nullable) for each in self.columns])

    @property
    def order_sql(self) -> str:
        """The expressions of an ORDER BY that makes rows lie as this table wants them; empty when it does not care.

        The lake keeps the order in which rows come, it does not sort: whoever computes rows sorts them, where that is
        cheapest. Rows of a day must come together.
        """
        days = [DAY] if self.partition_by_day else []
        return ", ".join(quoted(name) for name in dict.fromkeys([*days, *self.sort_by]))


def check_name(name: str) -> tuple[str, str]:
    """Schema and table of a name such as `landed.steps`.

    Raises:
        LakeError: It is not two lower-case words with a dot between. Anything else could lead out of the lake's folder.
    """
    if not _NAME.fullmatch(name):
        raise LakeError(f"{name!r} cannot be a table: names are schema.table, in lower-case letters, digits and _")
    schema, table = name.split(".")
    return schema, table


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"


_SCALARS: dict[pa.DataType, str] = {
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.date32(): "DATE",
    pa.timestamp("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
}


def duckdb_type(type_: pa.DataType) -> str:
    """How DuckDB writes an Arrow type.

    Raises:
        LakeError: A Delta table cannot hold it, or no table of ours should.
    """
    if type_ in _SCALARS:
        return _SCALARS[type_]
    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision}, {type_.scale})"
    if pa.types.is_list(type_):
        return f"{duckdb_type(type_.value_type)}[]"
    if pa.types.is_map(type_):
        return f"MAP({duckdb_type(type_.key_type)}, {duckdb_type(type_.item_type)})"
    if pa.types.is_struct(type_):
        inner = ", ".join(f"{quoted(field.name)} {duckdb_type(field.type)}" for field in type_)
        return f"STRUCT({inner})"
    raise LakeError(f"a table cannot hold the type {type_}; cast it to text, number, boolean, date or time with zone")


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The one spelling of a type that Delta keeps: large and view types become plain ones, times microseconds in UTC.

    Raises:
        LakeError: Delta cannot hold it, or it is a time without a zone, which no two readers understand alike.
    """
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.string()
    if pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_):
        return pa.binary()
    if pa.types.is_timestamp(type_) and type_.tz:
        return pa.timestamp("us", "UTC")
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return pa.list_(plain_type(type_.value_type))
    if pa.types.is_map(type_):
        return pa.map_(plain_type(type_.key_type), plain_type(type_.item_type))
    if pa.types.is_struct(type_):
        return pa.struct([(field.name, plain_type(field.type)) for field in type_])
    duckdb_type(type_)
    return type_
