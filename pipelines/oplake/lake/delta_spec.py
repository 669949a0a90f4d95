"""What a table is, as the metadata of its Delta table spells it: to there and back.

Columns with their meaning, grain, order and retention stand in the table itself, so that whoever has its folder knows
what it means. This is the only place that knows the keys. What commits say of themselves stands in `commit`.
"""

from __future__ import annotations

import json
from datetime import timedelta

import pyarrow as pa
from deltalake import DeltaTable, Field, Schema

from oplake.lake.errors import SchemaChanged
from oplake.lake.spec import DAY, Column, TableSpec, plain_type

CHECKPOINT_COMMITS = 50  # opening a table reads at most so many small files after its last checkpoint
LOG_MARGIN = timedelta(days=1)  # the log outlives the files that it names, never the other way round

COMMENT = "comment"  # where Spark and Trino look for a column's description
_ADDED = "oplake.added"  # marks a column that older files do not have
_GRAIN, _SORT_BY = "oplake.grain", "oplake.sort_by"


def spec_of(name: str, delta: DeltaTable) -> TableSpec:
    """What a table is."""
    metadata = delta.metadata()
    fields = delta.schema().fields
    types = pa.schema(delta.schema().to_arrow())
    return TableSpec(
        name=name,
        description=metadata.description or "",
        columns=tuple(
            Column(
                field.name, plain_type(types.field(field.name).type), field.metadata.get(COMMENT, ""), field.nullable
            )
            for field in fields
        ),
        partition_by_day=metadata.partition_columns == [DAY],
        sort_by=tuple(json.loads(metadata.configuration.get(_SORT_BY, "[]"))),
        grain=tuple(json.loads(metadata.configuration.get(_GRAIN, "[]"))),
    )


def is_grown(delta: DeltaTable) -> bool:
    """Whether columns were added, which older files do not have."""
    return any(_ADDED in field.metadata for field in delta.schema().fields)


def field_of(column: Column, *, is_added: bool = False) -> Field:
    """A column as Delta has it; one that is added to a standing table is nullable and marked."""
    metadata = {COMMENT: column.description} | ({_ADDED: "true"} if is_added else {})
    arrow = pa.field(column.name, column.type, nullable=column.is_nullable or is_added, metadata=metadata)
    return Schema.from_arrow(pa.schema([arrow])).fields[0]


def properties_of(spec: TableSpec, retention: timedelta) -> dict[str, str]:
    """The properties of a table whose replaced versions can be read for so long."""
    keeps = {
        "delta.deletedFileRetentionDuration": _interval(retention),
        "delta.logRetentionDuration": _interval(retention + LOG_MARGIN),
        "delta.checkpointInterval": str(CHECKPOINT_COMMITS),
        _GRAIN: json.dumps(spec.grain),
        _SORT_BY: json.dumps(spec.sort_by),
    }
    indexed = [name for name in spec.sort_by if name != DAY]
    # Statistics are loaded whenever the table is opened, so only those columns have them that tell files apart.
    skipping = ("StatsColumns", ",".join(indexed)) if indexed else ("NumIndexedCols", "0")
    return {**keeps, f"delta.dataSkipping{skipping[0]}": skipping[1]}


def check_reachable(standing: TableSpec, spec: TableSpec) -> None:
    """Whether a standing table becomes another by adding columns.

    Raises:
        SchemaChanged: It does not; it has to be made anew.
    """
    wanted = {column.name: column for column in spec.columns}
    if standing.partition_by_day != spec.partition_by_day:
        raise SchemaChanged(f"{spec.name} cannot change whether it has days while it stands; make it anew")
    for column in standing.columns:
        if column.name not in wanted:
            raise SchemaChanged(f"{spec.name} has lost its column {column.name}; make it anew")
        if wanted[column.name].type != column.type:
            raise SchemaChanged(
                f"{spec.name}.{column.name} is {column.type}, it cannot become {wanted[column.name].type}; make it anew"
            )


def _interval(span: timedelta) -> str:
    return f"interval {max(1, round(span.total_seconds()))} seconds"
