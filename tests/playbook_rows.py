"""Rows of `playbooks.entries` for tests: a book with a class, as the table has it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa

from oplake.lake.spec import Column, TableSpec
from oplake.lake.tables import Lake

ENTRIES = TableSpec(
    name="playbooks.entries",
    description="What agents are told.",
    columns=(
        Column("entry_id", pa.string(), "the entry", is_nullable=False),
        Column("task_class", pa.string(), "class of tasks"),
        Column("trigger", pa.string(), "when it applies"),
        Column("do", pa.string(), "what to do"),
        Column("avoid", pa.string(), "what to avoid"),
        Column("evidence", pa.list_(pa.string()), "events that it rests on"),
        Column("content_hash", pa.string(), "hash of what it says"),
        Column("version", pa.int64(), "its version"),
        Column("status", pa.string(), "probation, active or retired"),
        Column("created", pa.date32(), "first proposed"),
        Column("last_confirmed", pa.date32(), "last proposed"),
        Column("exposures", pa.int64(), "units shown"),
        Column("controls", pa.int64(), "units withheld"),
        Column("uplift", pa.float64(), "difference"),
        Column("uplift_low", pa.float64(), "lower bound"),
        Column("uplift_high", pa.float64(), "upper bound"),
        Column("tokens", pa.int64(), "cost"),
        Column("retired_on", pa.date32(), "when"),
        Column("retired_why", pa.string(), "why"),
        Column("rank", pa.int64(), "place"),
        Column("active_since", pa.date32(), "since when"),
        Column("active_until", pa.date32(), "until when"),
    ),
    partition_by_day=False,
    sort_by=("task_class", "entry_id"),
    grain=("entry_id",),
)


def row(entry_id: str = "e1", task_class: str = "fix_bug", status: str = "active", **fields: Any) -> dict[str, Any]:
    """An entry; what is not said is that of one that has not been measured."""
    own = {
        "entry_id": entry_id,
        "task_class": task_class,
        "trigger": f"When {entry_id} is at hand",
        "do": f"do {entry_id}",
        "avoid": "",
        "evidence": [f"event-of-{entry_id}"],
        "content_hash": entry_id * 4,
        "version": 1,
        "status": status,
        "created": date(2026, 1, 5),
        "last_confirmed": date(2026, 1, 9),
        "exposures": 0,
        "controls": 0,
        "uplift": None,
        "uplift_low": -1.0,
        "uplift_high": 1.0,
        "tokens": 10,
        "retired_on": None,
        "retired_why": None,
        "rank": None,
        "active_since": None,
        "active_until": None,
    }
    return own | fields


def write_entries(lake: Lake, rows: list[dict[str, Any]]) -> None:
    """Have a lake hold these rows."""
    lake.create(ENTRIES)
    table = pa.Table.from_pylist(rows, schema=ENTRIES.arrow_schema)
    lake.replace(ENTRIES.name, lambda: table, start=None, stop=None)


CANDIDATES = TableSpec(
    name="playbooks.candidates",
    description="What is advised.",
    columns=(
        Column("day", pa.date32(), "last of its days", is_nullable=False),
        Column("entry_id", pa.string(), "the entry"),
        Column("kind", pa.string(), "do, avoid or fix"),
        Column("basis", pa.string(), "what speaks for it"),
        *(Column(name, pa.int64(), name) for name in ("hits", "runs", "other_hits", "other_runs")),
        Column("is_proposed", pa.bool_(), "whether it is good enough"),
    ),
    partition_by_day=True,
    sort_by=("entry_id",),
    grain=("basis", "entry_id"),
)


def write_candidates(lake: Lake, entry_id: str, *, days: int) -> None:
    """Have an entry proposed by blame on so many days, each time in one failure more."""
    lake.create(CANDIDATES)
    numbers = {"runs": 4, "other_hits": 1, "other_runs": 9}
    rows = [
        {"day": date(2026, 1, 5 + n), "entry_id": entry_id, "kind": "avoid", "basis": "blame", "hits": n + 1}
        | numbers
        | {"is_proposed": n < days}
        for n in range(days + 1)
    ]
    table = pa.Table.from_pylist(rows, schema=CANDIDATES.arrow_schema)
    lake.replace(CANDIDATES.name, lambda: table, start=date(2026, 1, 5), stop=date(2026, 1, 5 + days))
