"""`playbooks.limits`: what the settings say of playbooks as a table, so that models read it as they read anything."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from oplake.lake.spec import Column, TableSpec
from oplake.settings import Settings

LIMITS = TableSpec(
    name="playbooks.limits",
    description="What candidates and entries of playbooks go by, as settings `OPLAKE_PLAYBOOK_*` say.",
    columns=(
        Column("name", pa.string(), "the setting, in small letters and without `OPLAKE_PLAYBOOK_`", is_nullable=False),
        Column("value", pa.int64(), "what it is set to", is_nullable=False),
    ),
    partition_by_day=False,
    sort_by=("name",),
    grain=("name",),
)

NAMES = ("active", "class_successes", "exposures", "successes", "unconfirmed")
"""The settings of playbooks by which entries are made; by the others they are served, which makes no entry another."""


def fingerprint(settings: Settings) -> str:
    """Hash of all that the rows come of."""
    return sha256(repr(_limits(settings)).encode() + Path(__file__).read_bytes()).hexdigest()[:16]


def rows(settings: Settings) -> pa.Table:
    """One row for each setting by which entries are made."""
    made = [{"name": name, "value": value} for name, value in _limits(settings)]
    return pa.Table.from_pylist(made, schema=LIMITS.arrow_schema)


def _limits(settings: Settings) -> list[tuple[str, int]]:
    return [(name, getattr(settings, f"playbook_{name}")) for name in NAMES]
