"""Types of a model's columns, found by binding its SQL against empty tables; which also proves that it would run.

No data is read and no file is touched.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from types import TracebackType

import duckdb
import pyarrow as pa

from oplake.lake.errors import LakeError
from oplake.lake.spec import plain_type
from oplake.models.functions import Function, callable_in

HUGEINT_DIGITS = 38  # DuckDB hands a HUGEINT to Arrow as a decimal of this width
_ANY_DAY = date(2000, 1, 1)  # stands in for every parameter: binding looks at types only


class EmptyLake:
    """An in-memory DuckDB with the lake's tables, empty. A context manager."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(config={"threads": 1})
        self._connection.execute("SET TimeZone = 'UTC'")

    def __enter__(self) -> EmptyLake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def create(self, name: str, schema: pa.Schema) -> None:
        """Create the empty table `schema.table` with these columns."""
        folder, table = name.split(".")
        rows = self._connection.from_arrow(schema.empty_table())
        self._connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{folder}"')
        rows.create(f'"{folder}"."{table}"')

    def bind(self, sql: str, parameters: Collection[str], functions: Collection[Function] = ()) -> pa.Schema:
        """Names and types of a query's columns, as DuckDB hands them to Arrow; `functions` are those in Python.

        Raises:
            duckdb.Error: It does not bind: an unknown column, types that do not fit.
        """
        values = dict.fromkeys(parameters, _ANY_DAY)
        with callable_in(self._connection, functions):
            try:
                relation = self._connection.sql(sql, params=values) if values else self._connection.sql(sql)
            except duckdb.Error:
                # The same error, but with its line; without EXPLAIN before it DuckDB does not count a leading comment.
                self._connection.execute(f"EXPLAIN {sql}", values)
                raise
            return relation.to_arrow_reader().schema

    def sql_types(self, name: str) -> dict[str, str]:
        """The columns of a table with DuckDB's names of their types."""
        rows = self._connection.execute(f"DESCRIBE {name}").fetchall()
        return {str(row[0]): str(row[1]) for row in rows}


def fit(type_: pa.DataType) -> pa.DataType:
    """The type as a Delta table keeps it.

    Raises:
        LakeError: It cannot; the message says what to write instead.
    """
    if pa.types.is_decimal(type_) and type_.precision == HUGEINT_DIGITS and type_.scale == 0:
        raise LakeError("is a HUGEINT, as sums of integers are; write CAST(... AS BIGINT)")
    if pa.types.is_null(type_):
        raise LakeError("is always NULL and has no type; write CAST(NULL AS ...)")
    return plain_type(type_)
