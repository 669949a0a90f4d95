"""The rows of an export: reading them from files, telling what each is, and keeping what is needed of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from oplake.landing.importers import Intake, NotImportable, Place, opened
from oplake.landing.importers.jsonl import lines_of
from oplake.landing.shape import json_or_text

FILE_BYTES = 2**30  # a larger document would not fit into the memory of a small machine; JSON lines may be longer
HELD_CHARS = 20_000  # of a text that is held until all rows are read; twice what lands, so that no secret is cut
ENDINGS = (".json", ".jsonl", ".ndjson")
PACKED = (".gz", ".zst")

ANSWERING = frozenset({"GENERATION", "EMBEDDING"})
CALLING = frozenset({"TOOL", "RETRIEVER"})
STEPPING = ANSWERING | CALLING | frozenset({"SPAN", "CHAIN", "EVALUATOR", "GUARDRAIL"})
TYPES = STEPPING | frozenset({"AGENT", "EVENT"})
ROOMS = ("trace", "traces", "data", "observations", "scores")
"""Keys that hold rows."""

LISTS = frozenset({*ROOMS, "comments", "input", "metadata", "output", "tags", "traceTags"}) | frozenset(
    {"availableToolNames", "calledToolNames", "toolCallNames", "toolCalls", "toolDefinitions"}
)
"""Keys of lists that are no scores."""

_HUMP = re.compile(r"_([a-z0-9])")
_SEPARATORS = re.compile(r"[\s,]*")

Row: TypeAlias = dict[str, Any]


@dataclass
class Observation:
    """A row of an observation, as far as it is needed."""

    row: Row
    place: Place
    began: datetime
    ended: datetime

    @property
    def id(self) -> str:
        return str(self.row["id"])

    @property
    def kind(self) -> str:
        return str(self.row["type"])


@dataclass
class Export:
    """All rows of an import, by what they are."""

    traces: dict[str, tuple[Row, Place]] = field(default_factory=dict)
    observations: dict[str, Observation] = field(default_factory=dict)
    scores: dict[str, tuple[Row, Place]] = field(default_factory=dict)
    columns: dict[str, tuple[Row, Place]] = field(default_factory=dict)  # scores that are columns of other rows

    def all_scores(self) -> Iterator[tuple[Row, Place]]:
        """Each score once: a column repeats what has a row, and one of a trace what one of its observations has."""
        yield from self.scores.values()
        known = {(row.get("traceId"), row["name"]) for row, _ in self.scores.values()}
        of_observations = [(row, place) for row, place in self.columns.values() if row["observationId"]]
        of_traces = [(row, place) for row, place in self.columns.values() if not row["observationId"]]
        for columns in (of_observations, of_traces):
            new = [(row, place) for row, place in columns if (row["traceId"], row["name"]) not in known]
            yield from new
            known |= {(row["traceId"], row["name"]) for row, _ in new}


class Unusable(Exception):
    """A row has no shape that Langfuse writes."""


def files_of(path: Path) -> list[Path]:
    if not path.exists():
        raise NotImportable(f"cannot read {path}: there is no such file or folder")
    if path.is_file():
        return [path]
    named = [*ENDINGS, *(ending + packed for ending in ENDINGS for packed in PACKED)]
    found = sorted(each for each in path.rglob("*") if each.is_file() and each.name.lower().endswith(tuple(named)))
    if not found:
        raise NotImportable(f"there are no exports in {path}: no file whose name ends in {', '.join(ENDINGS)}")
    return found


def rows_of(path: Path, intake: Intake) -> Iterator[tuple[Any, bytes, Place, str]]:
    """The rows of a file with their bytes and place, and what is wrong with those that cannot be read."""
    with opened(path) as (stream, _):
        first = next((line for line in lines_of(stream)), None)
    if first is None:
        return
    _, _, line, length = first
    try:
        is_lines = length == len(line) and isinstance(msgspec.json.decode(line), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        is_lines = not line.lstrip().startswith((b"[", b"{")) or _ending(path) != ".json"
    yield from _of_lines(path) if is_lines else _of_document(path, intake)


def _ending(path: Path) -> str:
    return (path.with_suffix("") if path.suffix in PACKED else path).suffix.lower()


def _of_lines(path: Path) -> Iterator[tuple[Any, bytes, Place, str]]:
    with opened(path) as (stream, _):
        for number, byte_offset, raw, length in lines_of(stream):
            place = Place(number, byte_offset, file=path.name)
            if length > len(raw):
                yield None, raw, place, f"the line has {length} bytes; at most {len(raw)} are read"
                continue
            try:
                yield msgspec.json.decode(raw), raw, place, ""
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield None, raw, place, f"not JSON: {error}"


def _of_document(path: Path, intake: Intake) -> Iterator[tuple[Any, bytes, Place, str]]:
    """The items of a list, read one by one so that a broken one does not take the others with it; or one object."""
    with opened(path) as (stream, _):
        content = stream.read(FILE_BYTES + 1)
    if len(content) > FILE_BYTES:
        raise NotImportable(f"{path} is larger than {FILE_BYTES} bytes unpacked; export it as JSON lines")
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    at = _skip(text, 0)
    is_list = text.startswith("[", at)
    at = _skip(text, at + 1) if is_list else at
    number, offset, counted = 0, 0, 0
    while at < len(text) and text[at] != "]":
        offset += len(text[counted:at].encode())
        counted = at
        place = Place(0, offset, f"item {number}" if is_list else "", path.name)
        try:
            row, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            intake.break_off(f"from byte {offset} of {path.name} on it is no JSON ({why})")
            yield None, text[at:].encode(), place, f"not JSON from here on: {why}"
            return
        yield row, text[at:end].encode(), place, ""
        number += 1
        at = _skip(text, end)
    if is_list and at >= len(text):
        intake.break_off(f"the list of {path.name} has no end")


def _skip(text: str, at: int) -> int:
    found = _SEPARATORS.match(text, at)
    return found.end() if found else at


def sort(given: Any, place: Place, export: Export, within: Row | None = None) -> None:
    """Put a row, or all rows of what holds some, where it belongs.

    Raises:
        Unusable: It is none, or one within it is none; the others have been taken.
    """
    if not isinstance(given, dict):
        raise Unusable(f"a row is an object, not {type(given).__name__}")
    row = {_HUMP.sub(lambda found: found[1].upper(), key): value for key, value in given.items()}
    if within is not None:
        row.setdefault("traceId", within["id"])
    if _is_score(row):
        _keep(export.scores, row, place)
    elif isinstance(row.get("type"), str) and "startTime" in row:
        _take_observation(row, place, export)
        _take_columns(given, row["traceId"], row["id"], place, export)
    elif "timestamp" in row and "id" in row:
        if time_of(row["timestamp"]) is None:
            raise Unusable(f"timestamp is no time: {str(row['timestamp'])[:40]}")
        held: Row = {room: row.pop(room) for room in ("observations", "scores") if room in row}
        _keep(export.traces, row, place)
        _take_columns(given, row["id"], None, place, export)
        _sort_held(held, place, export, row)
    elif any(isinstance(row.get(room), dict | list) for room in ROOMS):
        _sort_held(row, place, export, None)  # a page, a session, or a file around a trace
    else:
        raise Unusable("it is neither a trace nor an observation nor a score")


def _sort_held(holder: Row, place: Place, export: Export, within: Row | None) -> None:
    wrong = None
    for room in ROOMS:
        held = holder.get(room)
        for number, row in enumerate(held if isinstance(held, list) else [held]):
            if row is None or isinstance(row, str):
                continue  # the API's lists of traces have ids in place of rows
            inner = f"{room} {number}" if isinstance(held, list) else room
            part = f"{place.part} {inner}".strip()
            try:
                sort(row, Place(place.line, place.byte_offset, part, place.file), export, within)
            except Unusable as error:
                wrong = wrong or Unusable(f"{inner}: {error}")
    if wrong:
        raise wrong


def _is_score(row: Row) -> bool:
    return "name" in row and ("value" in row or "stringValue" in row) and "startTime" not in row


def _keep(rows: dict[str, tuple[Row, Place]], row: Row, place: Place) -> None:
    if not isinstance(row.get("id"), str) or not row["id"]:
        raise Unusable("it has no id")
    row = _held(row)
    known = rows.get(row["id"])
    rows[row["id"]] = (_filled(known[0], row), known[1]) if known else (row, place)


def _take_columns(given: Row, trace_id: str, observation_id: str | None, place: Place, export: Export) -> None:
    """Scores of a table that the UI exports: a column a name, of all its values, which have no ids there."""
    for name, values in given.items():
        if not isinstance(values, list) or _HUMP.sub(lambda found: found[1].upper(), name) in LISTS:
            continue
        for number, value in enumerate(values):
            if type(value) in {int, float, str}:
                about = {"traceId": trace_id, "observationId": observation_id, "name": name}
                id_ = f"{observation_id or trace_id}/{name}/{number}"
                said = {"stringValue" if isinstance(value, str) else "value": value}
                export.columns.setdefault(id_, ({"id": id_, **about, **said}, place))


def _take_observation(row: Row, place: Place, export: Export) -> None:
    began = time_of(row["startTime"])
    row["type"] = row["type"].upper()
    if row["type"] not in TYPES:
        raise Unusable(f"there is no observation of type {row['type'][:40]!r}")
    if not isinstance(row.get("id"), str) or not row["id"]:
        raise Unusable("it has no id")
    if not isinstance(row.get("traceId"), str) or not row["traceId"]:
        raise Unusable("it has no traceId")
    if began is None:
        raise Unusable(f"startTime is no time: {str(row['startTime'])[:40]}")
    ended = time_of(row.get("endTime"))
    if ended is None and is_amount(row.get("latency")):
        ended = began + timedelta(seconds=row["latency"])
    row = _held(row)
    known = export.observations.get(row["id"])
    if known:
        known.row = _filled(known.row, row)
        known.ended = max(known.ended, ended or began)
    else:
        export.observations[row["id"]] = Observation(row, place, began, max(ended or began, began))


def _filled(known: Row, row: Row) -> Row:
    """A row with what only its other copy says."""
    return known | {key: value for key, value in row.items() if known.get(key) in (None, "", {}, [])}


def _held(row: Row) -> Row:
    """A row with its long texts cut, and what is JSON in a text as what it is; it is held until all rows are read."""
    made = dict(row)
    for name in ("input", "output", "metadata", "usageDetails", "costDetails"):
        value = made.get(name)
        if isinstance(value, str):
            made[name] = value = json_or_text(value)
        made[name] = _cut(value)
    return made


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value[:HELD_CHARS]
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in value.items()}
    return [_cut(item) for item in value] if isinstance(value, list) else value


def time_of(value: Any) -> datetime | None:
    """A time as Langfuse writes it: with its offset, or in UTC without one."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def any_time(row: Any) -> datetime | None:
    names = ("startTime", "start_time", "timestamp", "createdAt", "created_at")
    return next(filter(None, (time_of(row.get(name)) for name in names)), None) if isinstance(row, dict) else None


def is_amount(value: Any) -> bool:
    return type(value) in {int, float} and 0 <= value < float("inf")
