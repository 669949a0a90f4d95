"""docs/events.md: every kind of event with its fields, from the event structs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from oplake import events
from oplake.reference.markdown import GENERATED, anchor, table


def events_page() -> str:
    """docs/events.md: every kind with its fields."""
    common = {field.name for field in events.fields("op")} & {field.name for field in events.fields("replay")}
    parts = [
        GENERATED,
        "# Events\n",
        "One line of JSON an event, `kind` first. Unknown keys are kept in `extra`; text over its limit is cut, and "
        "only an `event_id` refused for it; secrets are replaced in every string before anything is written. `oplake "
        "schema KIND` prints the JSON Schema of a kind.\n",
        table(
            ["kind", "meaning", "table"],
            [
                [
                    f"[`{kind}`](#{kind})",
                    _first_line(cls),
                    f"[`{events.TABLES[kind]}`](tables/landed.md#{anchor(events.TABLES[kind])})",
                ]
                for kind, cls in events.KINDS.items()
            ],
        ),
        "## Fields of every event\n",
        _fields_table(field for field in events.fields("note") if field.name in common),
        "A segment line always has all three of `event_id`, `ts` and `received_at`. Who sends an event may leave out "
        "`received_at`, which is stamped, and, through a recorder, `event_id` and `ts`, which are made.\n",
    ]
    for kind, cls in events.KINDS.items():
        own = [field for field in events.fields(kind) if field.name not in common]
        parts += [f"## {kind}\n", f"{inspect.getdoc(cls)}\n", _fields_table(own)]
    parts += [
        "## Keys of `session_event.detail`\n",
        "These keys are read by models; others are kept as they came.\n",
        table(
            ["event_type", "keys"],
            [[name, ", ".join(f"`{key}`" for key in keys)] for name, keys in events.DETAIL_KEYS.items()],
        ),
    ]
    return "\n".join(parts)


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or "").splitlines()[0]


def _fields_table(fields: Iterable[events.Field]) -> str:
    return table(
        ["field", "type", "when missing", "meaning", "shape"],
        [[f"`{field.name}`", field.type, _when_missing(field), field.description, _shape(field)] for field in fields],
    )


def _when_missing(field: events.Field) -> str:
    if field.fill is not None:
        return f"`{field.fill}`"
    if field.is_required:
        return "rejected"
    return "null" if field.empty is None else f"`{events.encoder.encode(field.empty).decode()}`"


def _shape(field: events.Field) -> str:
    shapes = []
    if field.cut is not None:
        shapes.append(f"cut at {field.cut:,} characters")
    if field.nested_cut is not None:
        shapes.append(f"strings inside cut at {field.nested_cut:,} characters, values left whole")
    if field.clamp is not None:
        shapes.append(f"clamped to {field.clamp[0]:g}..{field.clamp[1]:g}")
    return ", ".join(shapes)
