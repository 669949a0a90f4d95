"""The long way from what came in to an event: decoded strictly, brought into the shape of its kind, freed of secrets.

Every rule of the contract is carried out here: limits of texts and numbers, unknown keys, times, identities. The short
way of `accept` takes only what would come through here unchanged, and tests hold it to that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

import msgspec

from oplake import events
from oplake.events import DEPTH, INT_MAX, INT_MIN, LINE_BYTES, NESTED_STRING_CHARS, NESTED_VALUE_CHARS, Event
from oplake.landing.errors import Unusable
from oplake.landing.from_python import as_type, free_name
from oplake.landing.kinds import kind_of
from oplake.landing.redaction import hide, may_hold_secret, redact

AHEAD = timedelta(days=1)  # a producer's clock may be in another time zone by mistake; more is a broken clock
BEHIND = timedelta(days=400)  # an agent may have been offline for long; before that, partitions are settled
ELLIPSIS = "..."

Clock: TypeAlias = Literal["live", "history", "landed"]

_BOM = b"\xef\xbb\xbf"

# -- Strict decoding ---------------------------------------------------------------------------------------------------


def decode(raw: bytes) -> dict[str, Any]:
    """One JSON object, decoded strictly.

    Raises:
        Unusable: It is none, or has what strict JSON does not allow.
    """
    raw = raw.removeprefix(_BOM)
    if not raw.strip():
        raise Unusable("the line is empty")
    try:
        value = _decoder.decode(raw)
        _check(value, "", DEPTH)
        if raw.count(b'"') != events.encoder.encode(value).count(b'"') or b"\\u" in raw:
            # Some key may stand twice: only then is it worth to decode it again.
            json.loads(raw, object_pairs_hook=_unique)
    except RecursionError as error:
        raise Unusable(f"it is nested more than {DEPTH} deep") from error
    except UnicodeDecodeError as error:
        raise Unusable(f"it is not UTF-8: {error.reason} at byte {error.start}") from error
    except msgspec.DecodeError as error:
        raise Unusable(f"not JSON: {_hint(raw) or error}") from error
    if not isinstance(value, dict):
        raise Unusable(f"it is {_name(value)}, not a JSON object")
    return value


_decoder = msgspec.json.Decoder()


def json_or_text(text: str) -> Any:
    """The object or list that a text is in JSON; the text itself if it is none."""
    if text[:1] not in {"{", "["}:
        return text
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text


def _hint(raw: bytes) -> str | None:
    """What is often wrong with JSON that does not decode, in plainer words than the decoder's."""
    if b"\0" in raw:
        return "it holds NUL bytes"
    if re.search(rb"[\[:,]\s*-?(?:NaN|Infinity)", raw):
        return "NaN and Infinity are no JSON numbers"
    if re.search(rb"\\u[dD][89a-fA-F]", raw):
        return "it holds half of a surrogate pair, or is cut"
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Unusable(f"the key {redact(key, {})[:100]!r} stands twice in one object")
            seen.add(key)
    return made


def _check(value: Any, path: str, depth: int) -> None:
    """Checks what decoders let pass: depth, and the size of numbers.

    Raises:
        Unusable: It is too deep, or a number does not fit into 64 bits.
    """
    if type(value) is int and not INT_MIN <= value <= INT_MAX:
        raise Unusable(f"{path or 'it'}: {str(value)[:40]} does not fit into 64 bits")
    if isinstance(value, (dict, list)):
        if depth == 0:
            raise Unusable(f"it is nested more than {DEPTH} deep")
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if item.__class__ in _NUMBER_OR_NESTED:
                _check(item, f"{path}.{key}" if path else str(key), depth - 1)


_NUMBER_OR_NESTED = frozenset({int, dict, list})


def _name(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object")


def in_utc(moment: datetime, field: str) -> datetime:
    """The same moment in UTC.

    Raises:
        Unusable: It has no offset, or lies beyond what UTC can say.
    """
    if moment.utcoffset() is None:
        raise Unusable(f"{field} has no offset: say Z for UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise Unusable(f"{field} is before the year 1 or after 9999 in UTC") from error


def is_suspect(ts: datetime, received_at: datetime) -> bool:
    """Whether a live event's clock is too far off to be believed."""
    return not -AHEAD <= received_at - ts <= BEHIND


# -- Shape -------------------------------------------------------------------------------------------------------------


def shape(
    value: dict[str, Any], received_at: datetime, clock: Clock, event_id: str | None, *, is_python: bool
) -> tuple[Event, bytes]:
    """The event that decoded JSON makes, and its line.

    Args:
        value: The event as JSON has it. It is not changed.
        received_at: When it was received, in UTC.
        clock: Whether it tells of now, of history, or has been accepted before.
        event_id: Its identity, when it does not say itself.
        is_python: Whether values of another type than their field's may be brought into it.

    Raises:
        Unusable: It cannot be an event; the reason says why.
    """
    kind = kind_of(_kind_name(value))
    counts: dict[str, int] = {}
    hides = may_hold_secret(events.encoder.encode(value))
    shaper = _Shaper(counts if hides else None, is_python)
    shaped: dict[str, Any] = {"kind": value["kind"]}
    extra: dict[str, Any] = {}
    for key, item in value.items():
        field = kind.fields.get(key)
        if field is None:
            if key != "kind":
                _check(item, key, DEPTH - 2)  # it goes one deeper now
                extra[key] = item
        elif item is not None and key != "received_at":
            shaped[key] = shaper.field(field, item)
    given = shaped.get("extra")
    if isinstance(given, dict):
        both = extra.keys() & given.keys()
        if both:
            raise Unusable(f"{min(both)!r} stands both in extra and beside it")
        shaped["extra"] = {**given, **shaper.object(extra)}
    elif given is None:
        shaped["extra"] = shaper.object(extra)
    for name, fill in kind.fills:
        shaped.setdefault(name, fill)
    shaped["received_at"] = received_at
    if "ts" not in shaped and clock == "live":
        shaped["ts"] = received_at
    if "event_id" not in shaped and event_id is not None:
        shaped["event_id"] = event_id
    for name in ("event_id", "ts"):
        if name not in shaped:
            raise Unusable(f"{name} is missing")
    if clock != "landed":
        shaped["ts_suspect"] = clock == "live" and is_suspect(shaped["ts"], received_at)
    redactions = shaped.get("redactions", {})
    if counts and isinstance(redactions, dict):
        for rule, count in redactions.items():
            counts[rule] = counts.get(rule, 0) + count
        shaped["redactions"] = counts
    try:
        event = msgspec.convert(shaped, kind.shaped)
    except msgspec.ValidationError as error:
        raise Unusable(_reason(error)) from error
    line = events.encoder.encode(event)
    if len(line) > LINE_BYTES and not isinstance(event, events.Reject):
        raise Unusable(f"its line takes {len(line)} bytes, more than {LINE_BYTES}")
    return event, line


def _kind_name(value: dict[str, Any]) -> str:
    name = value.get("kind")
    if isinstance(name, str) and name in events.KINDS:
        return name
    if name is None:
        raise Unusable("kind is missing")
    raise Unusable(f"there is no kind {redact(str(name), {})[:100]!r}; there are {', '.join(events.KINDS)}")


def _reason(error: msgspec.ValidationError) -> str:
    message, _, path = str(error).partition(" - at `")
    place = path.rstrip("`").removeprefix("$").removeprefix(".")
    message = message.replace("Object missing required field", "missing field").replace("`", "")
    return f"{place}: {message}" if place else message


class _Shaper:
    """Brings the values of one event into shape; free of secrets first, so that no cut leaves half of one."""

    def __init__(self, counts: dict[str, int] | None, is_python: bool) -> None:
        self._counts = counts  # None: there is nothing secret in it
        self._is_python = is_python

    def field(self, field: events.Field, value: Any) -> Any:
        """The value of a field of the contract. What has the wrong type is left for the contract to refuse."""
        if self._is_python:
            value = as_type(value, field)
        if field.type == "text":
            return self._cut(value, field.cut) if isinstance(value, str) else value
        if field.type == "texts":
            if not _is_texts(value):
                return value
            hidden = value if self._counts is None else hide(value, self._counts)
            return [self._cut(item, field.cut) for item in hidden]
        if field.type == "json":
            if field.name == "redactions":
                return value
            if isinstance(value, list):
                return [self.object(item, field.nested_cut) if isinstance(item, dict) else item for item in value]
            return self.object(value, field.nested_cut) if isinstance(value, dict) else value
        if field.type == "time":
            return _time(value, field.name)
        if field.clamp is not None and type(value) in {int, float}:
            return min(max(value, field.clamp[0]), field.clamp[1])
        return value

    def object(self, value: dict[str, Any], chars: int | None = None) -> dict[str, Any]:
        """A free-form JSON object: long strings and long values within it become their beginnings.

        With `chars` only strings do, of that length.
        """
        if self._counts is None:
            return {key: self._value(item, chars) for key, item in value.items()}
        hidden = hide(value, self._counts)
        made = self._renamed((key, self._value(item, chars)) for key, item in hidden.items())
        # The beginning of an object is a text, and as such secret under the name of a secret.
        safe: dict[str, Any] = hide(made, self._counts)
        return safe

    def _value(self, value: Any, chars: int | None) -> Any:
        if chars is not None:
            return self._within(value, chars)
        if isinstance(value, str) and _is_beginning(value):
            return self._text(value)
        value = self._within(value)
        if isinstance(value, (dict, list)):
            text = events.encoder.encode(value).decode()
            if len(text) > NESTED_VALUE_CHARS:
                text = self._cut(text, NESTED_VALUE_CHARS, ELLIPSIS)
                return text if _is_beginning(text) else self._within(text)  # a secret at the cut made it shorter
        return value

    def _within(self, value: Any, chars: int = NESTED_STRING_CHARS) -> Any:
        if isinstance(value, dict):
            return self._renamed((key, self._within(item, chars)) for key, item in value.items())
        if isinstance(value, list):
            return [self._within(item, chars) for item in value]
        return self._cut(value, chars, ELLIPSIS) if isinstance(value, str) else value

    def _renamed(self, items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        """An object whose keys are free of secrets too."""
        if self._counts is None:
            return dict(items)
        made: dict[str, Any] = {}
        for key, item in items:
            made[free_name(self._text(key), made)] = item
        return made

    def _text(self, text: str) -> str:
        return text if self._counts is None else redact(text, self._counts)

    def _cut(self, text: str, chars: int | None, ellipsis: str = "") -> str:
        text = self._text(text)
        while chars is not None and len(text) > chars and not (ellipsis and _is_cut(text, chars, ellipsis)):
            cut = text[:chars] + ellipsis
            text = self._text(cut)  # the cut may leave what now looks like a secret; let it be one at once
            if text == cut:
                break
        return text


def _is_cut(text: str, chars: int, ellipsis: str) -> bool:
    return len(text) == chars + len(ellipsis) and text.endswith(ellipsis)


def _is_beginning(text: str) -> bool:
    """Whether a string is what was left of a long object or list; then it stays as it is."""
    return text[:1] in {"{", "["} and _is_cut(text, NESTED_VALUE_CHARS, ELLIPSIS)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _time(value: Any, name: str) -> datetime:
    try:
        moment = msgspec.convert(value, datetime)
    except msgspec.ValidationError as error:
        raise Unusable(f"{name}: {str(error).replace('`', '')}") from error
    return in_utc(moment, name)
