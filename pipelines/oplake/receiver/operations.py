"""`POST /event`: the outcome of one operation, with what a scenario leaves out filled in.

Nothing here knows HTTP, a clock or a disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from oplake import events
from oplake.landing.errors import Unusable
from oplake.landing.kinds import Time

ENDPOINT = "scenario:fill"
SOURCE = "scenario"
UNKNOWN = "?"  # stands in a summary for what was not said
NUMBER = r"^[0-9]{1,15}(\.[0-9]{1,15})?$"  # a duration written as a text
TEXTS = frozenset(field.name for field in events.fields("op") if field.type == "text") - {"event_id"}
INTEGERS = frozenset(field.name for field in events.fields("op") if field.type == "integer")


def operation(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an `op` by what was posted; what was given stands, `timestamp` is its `ts`.

    Example: `{"event_kind": "wedding", "role": "cook", "count": 2, "city": "Austin", "success": 1}` is an operation
    `scenario:fill` of 0 ms with input `wedding cook×2 in Austin, ?` and output `filled`.

    Raises:
        Unusable: It is of another kind, or its duration is no number.
    """
    if given.get("kind") is not None and given["kind"] != "op":
        raise Unusable(f"POST /event takes operations, not {str(given['kind'])[:100]!r}; POST /events takes every kind")
    fields = {key: _in_type(key, value) for key, value in given.items() if value is not None}
    if "timestamp" in fields:
        _check_time(fields["timestamp"])
        if "ts" not in fields:
            fields["ts"] = fields.pop("timestamp")
    success = bool(fields.get("success"))
    return {
        "endpoint": ENDPOINT,
        "source": SOURCE,
        "input_summary": _input_summary(fields),
        "output_summary": "filled" if success else fields.get("error") or "failed",
        "rescue_attempted": False,
        "rescue_succeeded": False,
        **fields,
        "kind": "op",
        "success": success,
        "duration_ms": _number(fields.get("duration_ms", 0)),
    }


def _input_summary(fields: Mapping[str, Any]) -> str:
    said = {name: UNKNOWN if fields.get(name, "") == "" else fields[name] for name in _SUMMARISED}
    return "{event_kind} {role}×{count} in {city}, {state}".format_map(said)


_SUMMARISED = ("event_kind", "role", "count", "city", "state")


def _check_time(value: Any) -> None:
    try:
        msgspec.convert(value, Time)
    except msgspec.ValidationError as error:
        raise Unusable(f"timestamp: {str(error).replace('`', '')}") from error


def _in_type(name: str, value: Any) -> Any:
    """Numbers as texts, where ids of staff and the like are, and 2.0 as 2; the rest is for the contract to refuse."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if name in TEXTS:
            return str(value)
        if name in INTEGERS and isinstance(value, float) and value.is_integer():
            return int(value)
    return value


def _number(value: Any) -> Any:
    """A number that came as a text; anything else is left for the contract to refuse."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(NUMBER, value, re.ASCII):
        raise Unusable(f"duration_ms: {value[:100]!r} is no number")
    return float(value)
