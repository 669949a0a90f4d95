"""The SELECT by which DuckDB reads exactly the given files of a table."""

from __future__ import annotations

from oplake.lake.spec import DAY, TableSpec, duckdb_type, literal, quoted


def select(spec: TableSpec, files: list[str], *, is_grown: bool) -> str:
    """A SELECT of all columns of a table over the files, typed, also when there are none.

    Args:
        spec: The table.
        files: Absolute paths, none of which may look like a pattern or have a line break.
        is_grown: Whether some of the files may lack a column, which is then null. Costs reading every file's footer
            whenever a query is bound, so tables that never grew do without: measured with 366 files, 25 ms against 6.
    """
    names = ", ".join(quoted(column.name) for column in spec.columns)
    nulls = ", ".join(f"CAST(NULL AS {duckdb_type(column.type)}) AS {quoted(column.name)}" for column in spec.columns)
    empty = f"SELECT {nulls} WHERE false"
    if not files:
        return empty
    # One text, a file a line: DuckDB parses a list of 365 literals in 2 ms, this in none, and binds it faster.
    listed = "string_split(" + literal("\n".join(files)) + ", chr(10))"
    options = "hive_partitioning = false"
    if spec.partition_by_day:
        options = f"hive_partitioning = true, hive_types = {{{literal(DAY)}: DATE}}"
    if not is_grown:
        return f"SELECT {names} FROM read_parquet({listed}, {options})"
    # The empty half stands in for a column that none of the files has.
    held = f"SELECT * FROM read_parquet({listed}, {options}, union_by_name = true)"
    return f"SELECT {names} FROM ({empty} UNION ALL BY NAME {held})"
