"""`sessions.budgets`: the limits of `OPLAKE_BUDGETS` as a table, so that models read them as they read anything."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from oplake.lake.spec import Column, TableSpec

LIMIT_SCALE = 9  # places of a dollar, as of costs

BUDGETS = TableSpec(
    name="sessions.budgets",
    description="What may be spent in a day (UTC), as OPLAKE_BUDGETS says. One row per limit.",
    columns=(
        Column("scope", pa.string(), "what is limited: total, user or project", is_nullable=False),
        Column("name", pa.string(), "the user or project; null for each that has no limit of its own, and for total"),
        Column("limit_usd", pa.decimal128(18, LIMIT_SCALE), "limit of a day in US dollars", is_nullable=False),
    ),
    partition_by_day=False,
    sort_by=("scope", "name"),
    grain=("scope", "name"),
)


def fingerprint(budgets: Mapping[str, Decimal]) -> str:
    """Hash of all that the rows come of."""
    said = repr(sorted((key, str(limit)) for key, limit in budgets.items()))
    return sha256(said.encode() + Path(__file__).read_bytes()).hexdigest()[:16]


def rows(budgets: Mapping[str, Decimal]) -> pa.Table:
    """The limits: `user` is for every user, `user:ann` for one."""
    made = []
    for key, limit in sorted(budgets.items()):
        scope, _, name = key.partition(":")
        made.append({"scope": scope, "name": name or None, "limit_usd": round(limit, LIMIT_SCALE)})
    return pa.Table.from_pylist(made, schema=BUDGETS.arrow_schema)
