"""Values from Python as JSON has them, and in the types of their fields.

An agent may hand over anything in its fields: numbers of other libraries become numbers, dataclasses and models become
objects, and what JSON does not know becomes its text, whatever the value's own code does. None of those libraries is
imported. What an event may hold is not decided here, but in `shape`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import UTC, datetime
from math import isfinite
from numbers import Complex, Integral, Number, Real
from typing import Any, SupportsFloat, cast

from oplake import events
from oplake.events import DEPTH, INT_MAX, INT_MIN, Field
from oplake.landing.errors import Unusable


def as_json(value: dict[Any, Any]) -> dict[str, Any]:
    """Fields from Python as JSON has them; what is none becomes its text. Times stay times."""
    made: dict[str, Any] = {}
    for key, item in value.items():
        made[free_name(_key(key), made)] = _time_or_json(item)
    return made


def _time_or_json(value: Any) -> Any:
    if not isinstance(value, datetime):
        return json_of(value, DEPTH - 1)
    return value if type(value) is datetime else datetime.fromisoformat(value.isoformat())  # such as pandas' own


def json_of(value: Any, depth: int) -> Any:
    """A value as JSON has it, so many levels deep; what is none, or deeper, becomes its text."""
    if value is None or value.__class__ is bool:
        return value
    try:
        if isinstance(value, str):
            return str.__str__(value).encode("utf-8", "backslashreplace").decode()
        number = _number(value)
        if number is not None:
            return number
        if depth and isinstance(value, (list, tuple)):
            return [json_of(item, depth - 1) for item in value]
        items = _items(value) if depth else None
        if items is not None:
            made: dict[str, Any] = {}
            for key, item in items:
                made[free_name(_key(key), made)] = json_of(item, depth - 1)
            return made
    except Exception:  # noqa: BLE001, S110  # it is the code of whoever made the object: its text is what is left
        pass
    return text_of(value)


def _key(key: Any) -> str:
    return text_of(str.__str__(key) if isinstance(key, str) else key)


def _number(value: Any) -> bool | int | float | None:
    """A number that JSON can hold, of whatever library; None if it is none."""
    if value.__class__ is int:  # nearly all are, and to ask for what they can do takes longer
        return value if INT_MIN <= value <= INT_MAX else None
    if value.__class__ is float:
        return value if isfinite(value) else None
    if getattr(value, "shape", None) == () and not isinstance(value, Number):  # such as numpy's bool
        value = value.item()
        if type(value) not in {bool, int, float}:
            return None
        if value is True or value is False:
            return bool(value)
    if isinstance(value, Integral):
        whole = int(value)
        return whole if INT_MIN <= whole <= INT_MAX else None
    if isinstance(value, Number) and (isinstance(value, Real) or not isinstance(value, Complex)):  # or a Decimal
        number = float(cast("SupportsFloat", value))
        return number if isfinite(number) else None
    return None


def _items(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Keys and values of what is an object in JSON, as they are now: another thread may go on changing it."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, type):
        return None
    if is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in dataclass_fields(value)]
    if hasattr(value, "model_dump"):  # pydantic's models
        return list(dict(value.model_dump()).items())
    return None


def as_type(value: Any, field: Field) -> Any:
    """A value in the type of its field, where that is clear; else as it is, for the contract to refuse.

    Raises:
        Unusable: It is a time that does not say which.
    """
    match field.type:
        case "text":
            return value if isinstance(value, str) else text_of(value)
        case "texts":
            items = value if isinstance(value, list) else [value]
            return [item if isinstance(item, str) else text_of(item) for item in items]
        case "json":
            is_right = isinstance(value, type(field.empty)) or field.name == "redactions"
            return value if is_right else ([value] if isinstance(field.empty, list) else {"value": value})
        case "time":
            return _as_time(value, field.name)
        case "boolean":
            return bool(value) if isinstance(value, (int, float)) and value in {0, 1} else value
        case "integer" | "number":
            return _as_number(value, field)


def _as_time(value: Any, name: str) -> Any:
    if isinstance(value, datetime) and value.utcoffset() is None:  # local time, or UTC? it would be off by hours
        raise Unusable(f"{name} has no offset: take datetime.now(UTC)")
    if isinstance(value, (int, float)) and not isinstance(value, bool):  # as time.time() says it
        try:
            return datetime.fromtimestamp(value, UTC)
        except (OverflowError, ValueError, OSError) as error:
            raise Unusable(f"{name}: {value} is no time in seconds since 1970") from error
    return value


def _as_number(value: Any, field: Field) -> Any:
    if isinstance(value, str):
        try:
            value = int(value) if field.type == "integer" else float(value)
        except ValueError:
            return value
    if isinstance(value, float):
        if not isfinite(value):  # a number that is none says nothing
            return field.empty if field.fill is None else field.fill
        if field.type == "integer" and value.is_integer():
            return int(value)
    return int(value) if isinstance(value, bool) else value


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
