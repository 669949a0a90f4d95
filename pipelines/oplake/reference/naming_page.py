"""docs/naming.md: how things are called, and the columns that several tables share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from oplake.lake.spec import Column, TableSpec
from oplake.reference.markdown import GENERATED, table
from oplake.reference.tables_pages import type_name

NAMING = """# Names

One name, one home: `sql/attribution/step_credits.sql` makes the table `attribution.step_credits`, which is the Dagster
asset `attribution/step_credits` and the view `attribution.step_credits` of every connection. A table that Python
computes is a function of the same name in `assets/oplake_assets/`.

| what | how it is called | for instance |
|---|---|---|
| kind of event | singular, what it is or what happened | `step`, `action_begun` |
| table | plural noun; that of a kind is the kind's plural | `landed.steps`, `attribution.success_scores` |
| identity | the thing with `_id` | `action_id`, `event_id` |
| number of a thing | the thing with `_count` | `step_count` |
| place in an order | `_index` as it was sent, `position` as it was repaired; both from 0 | `step_index`, `position` |
| quantity | with its unit at the end | `duration_ms`, `charged_usd`, `input_tokens` |
| moment | `_at`, in UTC; only `ts` is the producer's own | `began_at`, `received_at` |
| day | `day`, a date in UTC, by which tables are partitioned | `day` |
| truth value | `is_` or `has_` in tables that SQL makes | `is_met` |
| function | a verb | `ingest`, `publish_views` |
| error | what went wrong, in a family for each package | `LakeError`, `ModelError` |

The same quantity has the same name everywhere. These columns stand in more than one table:
"""


def naming_page(specs: Sequence[TableSpec]) -> str:
    """docs/naming.md: how things are called, and the columns that several tables share."""
    seen: dict[str, list[tuple[TableSpec, Column]]] = {}
    for spec in specs:
        for column in spec.columns:
            seen.setdefault(column.name, []).append((spec, column))
    rows = [
        [
            f"`{name}`",
            ", ".join(sorted({type_name(column.type) for _, column in uses})),
            _usual([column.description for _, column in uses]),
            str(len(uses)),
        ]
        for name, uses in sorted(seen.items())
        if len(uses) > 1
    ]
    return "\n".join([GENERATED, NAMING, table(["column", "type", "meaning", "tables"], rows)])


def _usual(descriptions: Sequence[str]) -> str:
    """The description that most tables give; of several, the first."""
    return Counter(descriptions).most_common(1)[0][0]
