"""JSON lines -> events: in the contract of `events`, or any others by a map.

A map says where the fields of one kind stand in a line:

    ts=created_at                 the value of a key
    user_id=user.id               a key within an object; `items.0.id` within an array
    tool_name=attributes."tool.name"    a key with a dot in it
    source='helpdesk'             this text
    success:=true                 this JSON value
    outcome.reward=score          a key within a field that holds JSON

Absent and null values leave a field out. Numbers become text where a field is text; numbers become times where it is a
time (seconds, milliseconds, microseconds or nanoseconds since 1970, by their size); a text that holds a JSON object
becomes it where the field is JSON. Top-level keys that are not mapped whole are kept in `extra`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from oplake.events import KINDS, fields
from oplake.landing.accept import REJECT_BYTES
from oplake.landing.errors import LandingError
from oplake.landing.importers import (
    START,
    Identity,
    Imported,
    Intake,
    Place,
    Progress,
    as_time,
    midnight,
    opened,
    seconds_after,
)
from oplake.landing.writer import SegmentWriter

LINE_LIMIT = REJECT_BYTES  # a longer line is refused unread: a reject could not keep it, and memory is bounded
PROGRESS_LINES = 2_000  # between two reports of progress
_BOM = b"\xef\xbb\xbf"
_PART = re.compile(r'"([^"]*)"|([^."]+)')
_TARGET = re.compile(r"([A-Za-z_][\w.]*)(:?=)(.*)", re.DOTALL)
_ABSENT = object()


class BadMap(LandingError):
    """A map cannot be understood, or does not fit the kind."""


@dataclass(frozen=True)
class Rule:
    """One line of a map: where the value of a field comes from."""

    field: str
    within: tuple[str, ...]  # keys below the field, for a field that holds JSON
    path: tuple[str, ...] = ()  # empty: the constant
    constant: Any = None


def parse_map(texts: Sequence[str]) -> tuple[Rule, ...]:
    """Read the lines of a map.

    Raises:
        BadMap: One of them is not of the form that this module's docstring shows.
    """
    return tuple(map(_parse_rule, texts))


def _parse_rule(text: str) -> Rule:
    match = _TARGET.fullmatch(text.strip())
    if not match:
        raise BadMap(f"--map {text!r}: write field=path.to.value, field='text' or field:=json")
    target, operator, value = match.groups()
    field, *within = target.split(".")
    if operator == ":=":
        try:
            return Rule(field, tuple(within), constant=msgspec.json.decode(value))
        except msgspec.DecodeError as error:
            raise BadMap(f"--map {text!r}: what follows := is not JSON ({error})") from error
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return Rule(field, tuple(within), constant=value[1:-1])
    path = tuple(quoted or plain for quoted, plain in _PART.findall(value))
    if (
        not path
        or value.startswith("'")
        or ".".join(f'"{part}"' if f'"{part}"' in value else part for part in path) != value
    ):
        raise BadMap(f"--map {text!r}: {value!r} is no path; join keys with dots, put keys with dots in double quotes")
    return Rule(field, tuple(within), path=path)


def import_jsonl(
    source: Path | BinaryIO,
    writer: SegmentWriter,
    *,
    received_at: datetime,
    mapping: Sequence[Rule] = (),
    kind: str | None = None,
    start: date | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Land a file of JSON lines; files that end in .gz or .zst are unpacked.

    Args:
        source: The file, or a stream.
        writer: Where it lands.
        received_at: The time of the import.
        mapping: Where the fields stand, for lines that are not in our contract (`parse_map`).
        kind: The kind of lines that do not say.
        start: Lines without a time are dated from this day on, one second a line; without it they are refused.

    Returns:
        What landed. Lines that cannot be used are rejects with line, offset and reason; blank lines are passed over.

    Raises:
        BadMap: The map does not fit the kind.
        NotImportable: The file cannot be read to its end.
        LandingError: The events cannot be made durable.
    """
    if kind is not None and kind not in KINDS:
        raise BadMap(f"there is no kind {kind!r}; there are {', '.join(KINDS)}")
    kind_rule = next((rule for rule in mapping if rule.field == "kind"), None)
    if mapping and not kind and kind_rule is None:
        raise BadMap("a map needs a kind: add --kind KIND, or map it with kind=path")
    if kind_rule and not kind_rule.path and kind_rule.constant not in KINDS:
        raise BadMap(f"there is no kind {kind_rule.constant!r}; there are {', '.join(KINDS)}")
    fixed = kind or (kind_rule.constant if kind_rule and not kind_rule.path else None)
    if mapping and fixed:
        _check_fields(mapping, fixed)
    identity = Identity("jsonl", kind or "", start.isoformat() if start else "")
    beginning = midnight(start) if start else None
    taking = Intake(writer, identity, name="jsonl", received_at=received_at, begins=beginning or midnight(START))
    with opened(source) as (stream, read), taking as intake:
        for number, byte_offset, line, length in lines_of(stream):
            identity.advance(line if length == len(line) else line + str(length).encode())
            place = Place(number, byte_offset)
            derived = seconds_after(beginning, number - 1) if beginning else None
            if length > len(line):
                reason = f"the line has {length} bytes; at most {LINE_LIMIT} are read"
                intake.refuse(line, reason=reason, place=place)
                continue
            try:
                if mapping:
                    event = msgspec.json.encode(_mapped(line, mapping, kind, derived))
                else:
                    event = _completed(line, kind, derived)
            except _NotMapped as error:
                intake.refuse(line, reason=str(error), place=place)
                continue
            intake.take(event, event_id=identity.id(), raw=line, place=place)
            if progress and number % PROGRESS_LINES == 0:
                progress(*read())
        if progress:
            progress(*read())
    return intake.imported()


def _check_fields(mapping: Sequence[Rule], kind: str) -> None:
    known = {field.name: field for field in fields(kind)}
    for rule in mapping:
        if rule.field == "kind":
            continue
        if rule.field not in known:
            raise BadMap(f"{kind} has no field {rule.field!r}; it has {', '.join(known)}")
        if rule.within and known[rule.field].type != "json":
            raise BadMap(f"{kind}.{rule.field} holds {known[rule.field].type}, no keys; map it as a whole")


def lines_of(stream: BinaryIO) -> Iterator[tuple[int, int, bytes, int]]:
    """Number, byte offset, content and true length of each line that is not blank; at most LINE_LIMIT of it is read."""
    number = byte_offset = 0
    while line := stream.readline(LINE_LIMIT):
        number += 1
        taken = len(line)
        rest = line
        while len(rest) == LINE_LIMIT and not rest.endswith(b"\n"):
            rest = stream.readline(LINE_LIMIT)
            taken += len(rest)
        content = (line.removeprefix(_BOM) if number == 1 else line).rstrip(b"\r\n")
        if content.strip(b" \t"):
            yield number, byte_offset, content, len(content) if taken == len(line) else taken - rest.endswith(b"\n")
        byte_offset += taken


class _NotMapped(Exception):
    """A line does not have the shape that the map needs."""


def _completed(line: bytes, kind: str | None, derived: datetime | None) -> bytes:
    """A line in our contract, with what it does not say: its kind and its time."""
    try:
        keys = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return line  # accept says best what is wrong with it
    given: dict[str, Any] = {}
    if kind and "kind" not in keys:
        given["kind"] = kind
    if "ts" not in keys:
        if derived is None:
            raise _NotMapped("it has no ts; give a start (--start) to date such lines by their place")
        given["ts"] = derived
    if not given or not keys:
        return line
    # Joined as text: accept is to see the line itself, such as a key that is there twice.
    return msgspec.json.encode(given)[:-1] + b"," + line[line.index(b"{") + 1 :]


def _mapped(line: bytes, mapping: Sequence[Rule], kind: str | None, derived: datetime | None) -> dict[str, Any]:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _NotMapped(f"not JSON: {error}") from error
    if not isinstance(row, dict):
        raise _NotMapped(f"a map needs an object, not {type(row).__name__}")
    values = [(rule, _value(row, rule)) for rule in mapping]
    chosen = next((value for rule, value in values if rule.field == "kind" and value is not None), kind)
    if chosen not in KINDS:
        raise _NotMapped(f"there is no kind {chosen!r}")
    types = {field.name: field.type for field in fields(chosen)}
    event: dict[str, Any] = {"kind": chosen}
    if derived is not None:
        event["ts"] = derived.isoformat()
    for rule, value in values:
        if value is None or value is _ABSENT or rule.field == "kind":
            continue
        if rule.within:
            _put(event, (rule.field, *rule.within), value)
        else:
            event[rule.field] = _converted(value, types.get(rule.field, ""))
    whole = {rule.path[0] for rule in mapping if len(rule.path) == 1}
    rest = {key: value for key, value in row.items() if key not in whole}
    if rest:
        event["extra"] = {**rest, **event.get("extra", {})}
    if "ts" not in event:
        raise _NotMapped("it has no ts; map one (ts=path), or give a start (--start) to date such lines by their place")
    return event


def _value(row: Any, rule: Rule) -> Any:
    if not rule.path:
        return rule.constant
    value = row
    for part in rule.path:
        if isinstance(value, dict):
            value = value.get(part, _ABSENT)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return None if value is _ABSENT else value


def _put(event: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    for key in keys[:-1]:
        event = event.setdefault(key, {})
        if not isinstance(event, dict):
            raise _NotMapped(f"{keys[0]} is mapped both as a whole and by keys")
    event[keys[-1]] = value


def _converted(value: Any, column: str) -> Any:
    """The value as a field of that type takes it; what does not fit is left for accept to refuse."""
    convert = _CONVERSIONS.get((column, type(value)))
    return convert(value) if convert else value


def _as_object(value: str) -> Any:
    try:
        made = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value
    return made if isinstance(made, dict) else value


_CONVERSIONS: Mapping[tuple[str, type], Callable[[Any], Any]] = {
    ("text", int): str,
    ("text", float): repr,
    ("time", int): as_time,
    ("time", float): as_time,
    ("json", str): _as_object,
    ("texts", str): lambda value: [value],
}
