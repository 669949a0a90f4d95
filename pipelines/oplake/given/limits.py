"""`playbooks.limits`: what the settings say of playbooks as a table, so that models read it as they read anything."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from oplake.lake.spec import Column, TableSpec
from oplake.settings import Settings

LIMITS = TableSpec(
    name="playbooks.limits",
    description="What candidates and entries of playbooks go by, as the settings `OPLAKE_PLAYBOOK_*` say.",
    columns=(
        Column("name", pa.string(), "the setting, in small letters and without `OPLAKE_PLAYBOOK_`", is_nullable=False),
        Column("value", pa.int64(), "what it is set to", is_nullable=False),
    ),
    partition_by_day=False,
    sort_by=("name",),
    grain=("name",),
)

_PREFIX = "playbook_"


def fingerprint(settings: Settings) -> str:
    """Hash of all that the rows come of."""
    return sha256(repr(_limits(settings)).encode() + Path(__file__).read_bytes()).hexdigest()[:16]


def rows(settings: Settings) -> pa.Table:
    """One row for each setting of playbooks."""
    made = [{"name": name, "value": value} for name, value in _limits(settings)]
    return pa.Table.from_pylist(made, schema=LIMITS.arrow_schema)


def _limits(settings: Settings) -> list[tuple[str, int]]:
    named = (name for name in type(settings).model_fields if name.startswith(_PREFIX))
    return [(name.removeprefix(_PREFIX), getattr(settings, name)) for name in sorted(named)]
