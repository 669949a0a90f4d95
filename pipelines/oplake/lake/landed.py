"""The tables that ingest writes: one of schema `landed` for each kind of event, and those of schema `lake`.

The landed tables follow from the event contract alone: a field added there is a column added here. `lake.arrivals` is
the ledger's and stands in `ledger`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import pyarrow as pa

from oplake import events
from oplake.lake.spec import DAY, Column, TableSpec

TIME = pa.timestamp("us", "UTC")

ARROW_TYPES: Mapping[events.ColumnType, pa.DataType] = MappingProxyType(
    {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "time": TIME,
        "json": pa.string(),  # the text of the JSON: Delta, Spark and Trino have no such type in common
        "texts": pa.list_(pa.string()),
    }
)

DAY_COLUMN = Column(
    DAY, pa.date32(), "the day of ts in UTC, or of received_at when ts_suspect; the partition", is_nullable=False
)

_SORT_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "op": ("endpoint", "ts"),
        "note": ("user_id", "ts"),
        "action_begun": ("action_id",),
        "step": ("action_id", "step_index"),
        "observation": ("action_id", "ts"),
        "action_completed": ("action_id",),
        "turn": ("session_id", "turn_index"),
        "tool_call": ("session_id", "turn_index", "call_index"),
        "patch": ("session_id", "turn_index"),
        "session_event": ("session_id", "ts"),
        "correction": ("task_class", "ts"),
        "operator_note": ("target", "ts"),
        "playbook_served": ("entry_id", "ts"),
        "span": ("trace_id", "started_at"),
        "log": ("name", "ts"),
        "llm_call": ("asset", "ts"),
        "reject": ("origin", "byte_offset"),
        "replay": ("reject_id",),
    }
)
"""What is looked up together lies together. A kind that is not here lies in the order of ts."""


@cache
def landed_spec(kind: str) -> TableSpec:
    """The landed table of a kind: the day, then the event's fields in the order of the contract.

    A field that may be left out of a line and is not nullable has its empty value in the table, never null.

    Raises:
        KeyError: There is no such kind.
    """
    columns = [
        Column(field.name, ARROW_TYPES[field.type], _meaning(field), is_nullable=field.is_nullable)
        for field in events.fields(kind)
    ]
    summary = (events.KINDS[kind].__doc__ or "").strip().splitlines()[0]
    return TableSpec(
        name=events.TABLES[kind],
        description=f"{summary} One row per event of kind {kind}.",
        columns=(DAY_COLUMN, *columns),
        partition_by_day=True,
        sort_by=_SORT_BY.get(kind, ("ts",)),
        grain=(DAY, "event_id"),
    )


def _meaning(field: events.Field) -> str:
    return f"{field.description} (JSON)" if field.type == "json" else field.description


LANDED: Mapping[str, TableSpec] = MappingProxyType({kind: landed_spec(kind) for kind in events.KINDS})
"""The landed table of every kind."""

SEGMENTS = TableSpec(
    name="lake.segments",
    description="What ingest has taken in: one row per stretch of a segment.",
    columns=(
        Column("segment", pa.string(), "name of the segment", is_nullable=False),
        Column("start_offset", pa.int64(), "where the stretch begins in the segment, in bytes", is_nullable=False),
        Column("end_offset", pa.int64(), "where it ends, in bytes; the next one begins here", is_nullable=False),
        Column("events", pa.int64(), "rows that it added to landed tables, rejects aside", is_nullable=False),
        Column("duplicates", pa.int64(), "events that were there already, and were dropped", is_nullable=False),
        Column("rejects", pa.int64(), "lines that could not be used", is_nullable=False),
        Column("ingested_at", TIME, "when it was taken in, in UTC", is_nullable=False),
        Column("watermark", TIME, "nothing received before this was missing then"),
    ),
    partition_by_day=False,
    sort_by=("segment", "start_offset"),
    grain=("segment", "start_offset"),
)

WATERMARK = TableSpec(
    name="lake.watermark",
    description="One row: how far the lake has caught up with what was received.",
    columns=(Column("watermark", TIME, "nothing received before this is missing from the landed tables"),),
    partition_by_day=False,
    sort_by=(),
    grain=("watermark",),
)

REDACTIONS = TableSpec(
    name="lake.redactions",
    description="How many secrets were replaced before events were written, by rule.",
    columns=(
        Column(DAY, pa.date32(), "the day of the events", is_nullable=False),
        Column("kind", pa.string(), "kind of the events", is_nullable=False),
        Column("rule", pa.string(), "the rule that found the secrets", is_nullable=False),
        Column("count", pa.int64(), "secrets replaced", is_nullable=False),
    ),
    partition_by_day=True,
    sort_by=("kind", "rule"),
    grain=(DAY, "kind", "rule"),
)

INGESTED: tuple[TableSpec, ...] = (*LANDED.values(), SEGMENTS, WATERMARK, REDACTIONS)
"""Every table that ingest makes."""
