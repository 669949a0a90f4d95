"""Values from Python as JSON has them.

An agent may hand over anything in its fields: what JSON does not know becomes its text, whatever the value's own code
does. What an event may hold is not decided here, but in `shape`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any

from oplake import events
from oplake.events import DEPTH, INT_MAX, INT_MIN


def as_json(value: dict[Any, Any]) -> dict[str, Any]:
    """Fields from Python as JSON has them; what is none becomes its text."""
    made = {}
    for key, item in value.items():
        if isinstance(item, float) and not isfinite(item):
            continue  # a number that is none says nothing
        made[str(key)] = item if isinstance(item, datetime) else _json_of(item, DEPTH - 1)
    return made


def _json_of(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return str.__str__(value).encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if INT_MIN <= value <= INT_MAX else text_of(value)
    if isinstance(value, float):
        return float(value) if isfinite(value) else text_of(value)
    if depth and isinstance(value, Mapping):
        made: dict[str, Any] = {}
        for key, item in value.items():
            made[free_name(_json_of(key if isinstance(key, str) else text_of(key), 0), made)] = _json_of(
                item, depth - 1
            )
        return made
    if depth and isinstance(value, (list, tuple)):
        return [_json_of(item, depth - 1) for item in value]
    return text_of(value)


def text_of(value: Any) -> str:
    """The text of any object, whatever its own code does."""
    try:
        if isinstance(value, (dict, list, bool)):
            return events.encoder.encode(value).decode()
        text = str(value)
    except Exception as error:  # noqa: BLE001  # it is the code of whoever made the object, and may do anything
        text = f"<{type(value).__name__}: {type(error).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode()


def free_name(name: str, taken: Mapping[str, Any]) -> str:
    """The name, with a number behind it if redaction made two keys the same."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free
