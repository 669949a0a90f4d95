"""From which columns of which tables a query's columns are made, worked out by sqlglot. No table is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from sqlglot import exp, parse_one
from sqlglot.lineage import Node, lineage

Source: TypeAlias = tuple[str, str]
"""A table and one of its columns."""


def column_lineage(sql: str, inputs: Mapping[str, Mapping[str, str]]) -> dict[str, list[Source]]:
    """For each output column, the sorted (table, column) pairs that it is made from.

    Args:
        sql: One SELECT in DuckDB's dialect.
        inputs: The tables that it reads: columns with DuckDB's names of their types.
    """
    schema: dict[str, dict[str, dict[str, str]]] = {}
    for name, columns in inputs.items():
        folder, table = name.split(".")
        schema.setdefault(folder, {})[table] = dict(columns)
    query = parse_one(sql, read="duckdb")
    # Trimmed, each node would hold a copy of its query for a label that nobody reads: eight times the work.
    nodes = lineage(None, query, schema=schema, dialect="duckdb", trim_selects=False, copy=False)
    return {name: sorted(_sources(node, inputs)) for name, node in nodes.items()}


def _sources(node: Node, inputs: Mapping[str, Mapping[str, str]]) -> set[Source]:
    found: set[Source] = set()
    for part in node.walk():
        source = part.expression
        if part.downstream or not isinstance(source, exp.Table):
            continue
        table, column = f"{source.db}.{source.name}", part.name.rpartition(".")[2].strip('"')
        if column in inputs.get(table, ()):
            found.add((table, column))
    return found
