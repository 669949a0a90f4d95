"""The settings as people write them into the environment: examples, what is wrong with one, and misspelt ones.

What the settings are stands in `oplake.settings`; here is only how they are told.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from oplake.settings import PREFIX, Settings

ALIKE = 0.7  # from which a name is taken for a misspelling of another; one letter of four is off

_EXAMPLES: dict[type, Any] = {
    timedelta: timedelta(days=30),
    Decimal: Decimal(5),
}  # where the default is none
_KINDS = {
    timedelta: "a duration",
    date: "a day",
    int: "a whole number",
    float: "a number",
    Decimal: "a number",
}
_BOUNDS = {  # names of pydantic
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def as_variable(value: Any) -> str:
    """A value as one would write it in the environment."""
    if isinstance(value, timedelta):
        minutes = value.seconds // 60
        clock = "".join(f"{n}{unit}" for n, unit in ((minutes // 60, "H"), (minutes % 60, "M")) if n)
        told = "P" + (f"{value.days}D" if value.days else "") + (f"T{clock}" if clock else "")
        return told if value else "P0D"
    if isinstance(value, tuple):
        return os.pathsep.join(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def what_is_wrong(error: ValidationError, environment: Mapping[str, str]) -> str:
    """The settings that hold what they cannot, each by its variable, with what to write in its place."""
    given = {name.upper(): value for name, value in environment.items()}
    return "; ".join(_told(each, given) for each in error.errors())


def misspelt(environment: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """The variables that look like settings and are none, each with the one that was meant, if any is like it."""
    known = {name.upper() for name in Settings.model_fields}
    for variable in sorted(environment):
        name = variable.upper().removeprefix(PREFIX)
        if not variable.upper().startswith(PREFIX) or name in known:
            continue
        close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=ALIKE)
        yield variable, PREFIX + close[0] if close else None


def _told(error: ErrorDetails, given: Mapping[str, str]) -> str:
    name, *keys = map(str, error["loc"])
    variable = PREFIX + name.upper()
    value = error["input"] if keys else given.get(variable, error["input"])
    return f"{variable}{''.join(f'[{key}]' for key in keys)}={value!r}: {_problem(name, error, value)}"


def _problem(name: str, error: ErrorDetails, value: Any) -> str:
    if error["type"] == "value_error":  # one of our own, which says what to write
        return str(error["ctx"]["error"])
    field = Settings.model_fields[name]
    type_ = next((each for each in (field.annotation, *get_args(field.annotation)) if each in _KINDS), Decimal)
    if type_ is timedelta and str(value).strip().isdigit():
        return f"write P{str(value).strip()}D, if it is days"
    example = field.get_default(call_default_factory=True) if type_ is not Decimal else None
    such_as = f"{_KINDS[type_]} such as {as_variable(example or _EXAMPLES.get(type_, example))}"
    if error["type"] in _BOUNDS:
        key, words = _BOUNDS[error["type"]]
        limits = [getattr(each, key) for each in field.metadata if hasattr(each, key)]
        return f"it must be {words} {as_variable(limits[0])}; write {such_as}"
    return f"that is none; write {such_as}"
