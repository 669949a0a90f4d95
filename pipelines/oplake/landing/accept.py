"""Accepting: the one door through which everything becomes an event.

Whatever came in, from a Python agent or over the wire, is decoded strictly, brought into the shape of its kind, freed
of secrets, stamped and encoded as one line; or it is `Unusable` with a reason, and `reject` keeps its bytes. Accepting
a line again gives the same line. Nothing here reads a clock or touches a disk.

There are two ways to the same line. Nearly every event needs nothing but its stamp: msgspec checks that at full speed
against a struct that admits only what needs no shaping (`_plain`). Anything else goes the long way (`_shape`).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from hashlib import sha256
from math import isfinite
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, cast
from uuid import UUID, uuid5

import msgspec
from msgspec import Meta

from oplake import events
from oplake.events import DEPTH, INT_MAX, INT_MIN, LINE_BYTES, NESTED_STRING_CHARS, NESTED_VALUE_CHARS, Event
from oplake.landing.errors import Unusable
from oplake.landing.redaction import is_replacement, may_hold_secret, redact, replacement, rule_of_name

AHEAD = timedelta(days=1)  # a producer's clock may be in another time zone by mistake; more is a broken clock
BEHIND = timedelta(days=400)  # an agent may have been offline for long; before that, partitions are settled
REJECT_BYTES = 16 * 2**20  # what is kept of a line that cannot be used; also what a reader has to be ready for
ELLIPSIS = "..."

_IDENTITY = UUID("6f1d3a52-9c3e-5b0e-8a55-2f3f6b1c7d10")  # names the ids that we derive from places, and nothing else
_BOM = b"\xef\xbb\xbf"
_Clock: TypeAlias = Literal["live", "history", "landed"]


class Accepted(NamedTuple):
    """An event and its line, without a newline, `kind` first."""

    event: Event
    line: bytes


_accepted: Callable[[tuple[Event, bytes]], Accepted] = partial(tuple.__new__, Accepted)  # a third of the usual time


def accept(
    raw: bytes | Mapping[str, Any], *, received_at: datetime, is_live: bool = True, event_id: str | None = None
) -> Accepted:
    """Makes an event of what came in.

    Args:
        raw: JSON as it came over the wire, or the fields from Python, `kind` among them. In Python's fields a value
            that is not JSON becomes its text; in JSON everything must be as the contract says.
        received_at: Now, in UTC. It is stamped on the event, whatever that says itself.
        is_live: Whether the event tells of now. Then a missing `ts` is `received_at`, and a clock that is far off is
            flagged. History must say when it happened, and is believed.
        event_id: Its identity, when it does not say itself.

    Raises:
        Unusable: It cannot be an event; the reason says why.
    """
    clock: _Clock = "live" if is_live else "history"
    if received_at.tzinfo is UTC:
        plain = _plain(raw, received_at, clock)
        if plain is not None:
            return plain
    return _accept(raw, _utc(received_at, "received_at"), clock, event_id)


def accept_landed(line: bytes) -> Accepted:
    """Makes an event of a line that was found in a segment: as `accept`, but stamps and flags stay as they are.

    Raises:
        Unusable: It cannot be an event, or does not say when it was received.
    """
    match = _decode(line).get("received_at")
    try:
        received_at = msgspec.convert(match, _Time)
    except msgspec.ValidationError as error:
        raise Unusable(f"received_at: {error}") from error
    return _accept(line, received_at, "landed", None)


def reject(raw: bytes, *, reason: str, origin: str, line: int, byte_offset: int, received_at: datetime) -> Accepted:
    """Makes an event of what cannot be one, so that it is kept: a `reject` with its bytes, free of secrets.

    The same bytes at the same place are the same event. Its line may take more than LINE_BYTES, but no more than
    what REJECT_BYTES take in base64.

    Args:
        raw: The bytes, without a newline; those beyond REJECT_BYTES are not kept.
        reason: What is wrong with them.
        origin: The file, segment or door that they came through.
        line: Number of the line there, from 1; 0 where there are no lines.
        byte_offset: Where they begin there.
        received_at: When they came in, in UTC.
    """
    kept = raw[:REJECT_BYTES]
    encoding: Literal["utf-8", "base64"] = "utf-8"
    counts: dict[str, int] = {}
    try:
        text = kept.decode("utf-8", "ignore" if len(kept) < len(raw) and _is_cut_short(kept) else "strict")
        if "\0" in text:  # which databases cut texts at
            raise ValueError("a NUL byte")
        text = redact(text, counts)
    except ValueError:
        encoding = "base64"
        text = base64.b64encode(redact(kept.decode("latin-1"), counts).encode("latin-1")).decode("ascii")
    place = f"{origin}\0{byte_offset}\0{sha256(raw).hexdigest()}"
    event = events.Reject(
        event_id=str(uuid5(_IDENTITY, place)),
        ts=received_at,
        received_at=received_at,
        source="landing",
        origin=redact(origin, {})[:1000],
        line=line,
        byte_offset=byte_offset,
        reason=redact(reason, {})[:1000],
        raw=text,
        raw_encoding=encoding,
        raw_bytes=len(raw),
        redactions=counts,
    )
    return Accepted(event, events.encoder.encode(event))


def place_id(origin: str, byte_offset: int) -> str:
    """The `event_id` of an event that has none, from where it stands: the same place is the same event."""
    return str(uuid5(_IDENTITY, f"{origin}\0{byte_offset}"))


def _is_cut_short(data: bytes) -> bool:
    """Whether bytes are UTF-8 but for a last character that was cut through."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.end == len(data) and error.reason == "unexpected end of data"
    return False


# -- What each kind admits ---------------------------------------------------------------------------------------------

_Time: TypeAlias = Annotated[datetime, Meta(tz=True)]


class _Kind(NamedTuple):
    """What accepting has to know of a kind."""

    plain: type[Event]  # admits what needs no shaping, and None for what is filled in
    fields: Mapping[str, events.Field]
    fills: tuple[tuple[str, Any], ...]
    nested: tuple[str, ...]  # fields that hold JSON
    times: tuple[str, ...]  # beyond the common ones


@cache
def _kind(name: str) -> _Kind:
    fields = {field.name: field for field in events.fields(name)}
    cls = events.KINDS[name]
    admits: list[tuple[str, Any, Any]] = [("received_at", _Time | None, None), ("ts", _Time | None, None)]
    for field in fields.values():
        if field.name in {"received_at", "ts"}:
            continue
        base: Any = None
        if field.cut is not None:
            base = Annotated[str, Meta(max_length=field.cut)]
        elif field.clamp is not None:
            base = Annotated[float, Meta(ge=field.clamp[0], le=field.clamp[1])]
        elif field.fill is not None:
            base = _declared_type(cls, field.name)
        if base is None:
            continue
        if field.fill is not None or field.is_nullable:
            admits.append((field.name, base | None, None))
        elif field.is_required:
            admits.append((field.name, base, msgspec.NODEFAULT))
        else:
            admits.append((field.name, base, field.empty))
    plain = msgspec.defstruct(
        cls.__name__,
        admits,
        bases=(cls,),
        namespace={"__doc__": cls.__doc__},
        module=cls.__module__,
        tag=name,
        kw_only=True,
        omit_defaults=True,
        forbid_unknown_fields=True,
        gc=False,
    )
    return _Kind(
        cast("type[Event]", plain),
        fields,
        fills=tuple((field.name, field.fill) for field in fields.values() if field.fill is not None),
        nested=tuple(field.name for field in fields.values() if field.type == "json" and field.name != "redactions"),
        times=tuple(field.name for field in fields.values() if field.type == "time" and field.name[-3:] == "_at")[1:],
    )


def _declared_type(cls: type[Event], name: str) -> Any:
    return next(field.type for field in msgspec.structs.fields(cls) if field.name == name)


class _Plain(NamedTuple):
    decoder: msgspec.json.Decoder[Event]
    by_class: Mapping[type[Event], _Kind]


@cache
def _plain_kinds() -> _Plain:
    kinds = [_kind(name) for name in events.KINDS]
    union: Any = kinds[0].plain
    for kind in kinds[1:]:
        union = union | kind.plain
    return _Plain(msgspec.json.Decoder(union), {kind.plain: kind for kind in kinds})


# -- Both ways ---------------------------------------------------------------------------------------------------------


def _accept(raw: bytes | Mapping[str, Any], received_at: datetime, clock: _Clock, event_id: str | None) -> Accepted:
    plain = _plain(raw, received_at, clock)
    if plain is not None:
        return plain
    if isinstance(raw, Mapping):
        return _shape(_as_json(dict(raw)), received_at, clock, event_id, is_python=True)
    return _shape(_decode(raw, clock), received_at, clock, event_id, is_python=False)


def _decode(raw: bytes, clock: _Clock = "landed") -> dict[str, Any]:
    """One JSON object, decoded strictly.

    Raises:
        Unusable: It is none, or has what strict JSON does not allow.
    """
    raw = raw.removeprefix(_BOM)
    if not raw.strip():
        raise Unusable("the line is empty")
    if len(raw) > REJECT_BYTES and clock != "landed":
        raise Unusable(f"it takes {len(raw)} bytes, more than {REJECT_BYTES}")
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
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Unusable(f"the key {redact(twice, {})[:100]!r} stands twice in one object")
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


def _utc(moment: datetime, field: str) -> datetime:
    if moment.utcoffset() is None:
        raise Unusable(f"{field} has no offset: say Z for UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise Unusable(f"{field} is before the year 1 or after 9999 in UTC") from error


def _is_suspect(ts: datetime, received_at: datetime) -> bool:
    return not -AHEAD <= received_at - ts <= BEHIND


# -- The short way -----------------------------------------------------------------------------------------------------

_HEAD = re.compile(  # what no rule of redaction can apply to: names, ids in hex, and times
    rb'\{"kind":"[a-z_]{1,20}","event_id":"[0-9a-f-]{36}","ts":"[0-9TZ:.-]{20,27}","received_at":"[0-9TZ:.-]{20,27}",'
    rb'"source":"[a-z]{1,20}"(?:,"(?:action|session)_id":"[0-9a-f-]{36}")?'
)


def _plain(raw: bytes | Mapping[str, Any], received_at: datetime, clock: _Clock) -> Accepted | None:
    """The event and its line, if it needs nothing but its stamp; None if it needs the long way, or is unusable."""
    decoder, by_class = _plain_kinds()
    text = raw if isinstance(raw, bytes) else None
    event: Any  # its received_at, ts and fills may be None yet
    try:
        if isinstance(raw, bytes):
            event = decoder.decode(raw)
            kind = by_class[type(event)]
        else:
            kind = _kind(raw["kind"])
            event = msgspec.convert(raw, kind.plain)
    except (msgspec.DecodeError, ValueError, KeyError, TypeError, RecursionError):
        return None
    ts = event.ts
    if ts is None or ts.tzinfo is not UTC:
        return None
    if clock != "landed" and (event.ts_suspect or (clock == "live" and _is_suspect(ts, received_at))):
        return None
    added = 0 if event.received_at else 4  # quotes in the line that were not there before
    event.received_at = received_at
    for name, value in kind.fills:
        if getattr(event, name) is None:
            setattr(event, name, value)
            added += 4 if value.__class__ is str else 2
    for name in kind.times:
        if getattr(event, name).tzinfo is not UTC:
            return None
    for name in kind.nested:
        nested = getattr(event, name)
        if nested and not (_is_plain(nested, DEPTH - 2) and (text is not None or _has_text_keys(nested))):
            return None
    try:
        line = events.encoder.encode(event)
    except (UnicodeEncodeError, TypeError):
        return None
    if len(line) > NESTED_VALUE_CHARS:  # else nothing within it can be longer
        if len(line) > LINE_BYTES:
            return None
        for name in kind.nested:
            if _is_long(getattr(event, name)):
                return None
    # A key that stood twice is gone with its quotes, and so is a null that was written out.
    if text is not None and (text.count(b'"') + added != line.count(b'"') or (b"\\" in text and b"\\u" in text)):
        return None
    head = _HEAD.match(line)
    if may_hold_secret(line, head.end() if head else 0):
        return None
    return _accepted((event, line))


def _is_plain(nested: dict[str, Any] | list[Any], depth: int) -> bool:
    """Whether what is in a JSON field is JSON, of numbers that fit and strings that need no cut, and not too deep."""
    item: Any
    for item in nested.values() if isinstance(nested, dict) else nested:
        kind = item.__class__
        if kind is str:
            if len(item) > NESTED_STRING_CHARS:
                return False
        elif kind is int:
            if not INT_MIN <= item <= INT_MAX:
                return False
        elif kind is float:
            if item - item != 0:  # NaN or infinite
                return False
        elif kind is dict or kind is list:
            if depth == 0 or not _is_plain(item, depth - 1):
                return False
        elif item is not None and kind is not bool:
            return False
    return True


def _has_text_keys(nested: dict[Any, Any] | list[Any]) -> bool:
    if isinstance(nested, dict) and not all(key.__class__ is str for key in nested):
        return False
    values = nested.values() if isinstance(nested, dict) else nested
    return all(_has_text_keys(item) for item in values if isinstance(item, (dict, list)))


def _is_long(nested: dict[str, Any] | list[Any]) -> bool:
    values = nested.values() if isinstance(nested, dict) else nested
    return any(
        len(events.encoder.encode(item)) > NESTED_VALUE_CHARS for item in values if isinstance(item, (dict, list))
    )


# -- The long way ------------------------------------------------------------------------------------------------------


def _shape(
    value: dict[str, Any], received_at: datetime, clock: _Clock, event_id: str | None, *, is_python: bool
) -> Accepted:
    kind = _kind(_kind_name(value))
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
        shaped["ts_suspect"] = clock == "live" and _is_suspect(shaped["ts"], received_at)
    redactions = shaped.get("redactions", {})
    if counts and isinstance(redactions, dict):
        for rule, count in redactions.items():
            counts[rule] = counts.get(rule, 0) + count
        shaped["redactions"] = counts
    try:
        event = msgspec.convert(shaped, kind.plain)
    except msgspec.ValidationError as error:
        raise Unusable(_reason(error)) from error
    line = events.encoder.encode(event)
    if len(line) > LINE_BYTES and not isinstance(event, events.Reject):
        raise Unusable(f"its line takes {len(line)} bytes, more than {LINE_BYTES}")
    return Accepted(event, line)


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
        if field.type == "text":
            if self._is_python and not isinstance(value, str):
                value = _text_of(value)
            return self._cut(value, field.cut) if isinstance(value, str) else value
        if field.type == "texts":
            if self._is_python and isinstance(value, str):
                value = [value]
            return [self._text(item) for item in value] if _is_texts(value) else value
        if field.type == "json":
            if field.name == "redactions":
                return value
            if isinstance(value, list):
                return [self.object(item) if isinstance(item, dict) else item for item in value]
            if self._is_python and not isinstance(value, dict):
                value = {"value": value}
            return self.object(value) if isinstance(value, dict) else value
        if field.type == "time":
            return _time(value, field.name)
        if field.clamp is not None and type(value) in {int, float}:
            return min(max(value, field.clamp[0]), field.clamp[1])
        return value

    def object(self, value: dict[str, Any]) -> dict[str, Any]:
        """A free-form JSON object: long strings and long values within it become their beginnings."""
        return self._renamed((key, self._value(item)) for key, item in value.items())

    def _value(self, value: Any) -> Any:
        if isinstance(value, str) and _is_beginning(value):
            return self._text(value)
        value = self._within(value)
        if isinstance(value, (dict, list)):
            text = events.encoder.encode(value).decode()
            if len(text) > NESTED_VALUE_CHARS:
                text = self._cut(text, NESTED_VALUE_CHARS, ELLIPSIS)
                return text if _is_beginning(text) else self._within(text)  # a secret at the cut made it shorter
        return value

    def _within(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._renamed((key, self._within(item)) for key, item in value.items())
        if isinstance(value, list):
            return [self._within(item) for item in value]
        return self._cut(value, NESTED_STRING_CHARS, ELLIPSIS) if isinstance(value, str) else value

    def _renamed(self, items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        """An object whose keys are free of secrets too, and whose values are hidden where the key says secret."""
        if self._counts is None:
            return dict(items)
        made: dict[str, Any] = {}
        for key, item in items:
            rule = rule_of_name(key)
            value = item if rule is None else self._hidden(item, rule, self._counts)
            made[_free(self._text(key), made)] = value
        return made

    def _hidden(self, value: Any, rule: str, counts: dict[str, int]) -> Any:
        if isinstance(value, list):
            return [self._hidden(item, rule, counts) for item in value]
        is_number = type(value) in {int, float} and rule == "password"  # other numbers are counts and ids
        if is_number or (isinstance(value, str) and value and not is_replacement(value)):
            return replacement(rule, counts)
        return value

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


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """The name, with a number behind it if redaction made two keys the same."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _time(value: Any, name: str) -> datetime:
    try:
        moment = msgspec.convert(value, datetime)
    except msgspec.ValidationError as error:
        raise Unusable(f"{name}: {str(error).replace('`', '')}") from error
    return _utc(moment, name)


# -- From Python -------------------------------------------------------------------------------------------------------


def _as_json(value: dict[Any, Any]) -> dict[str, Any]:
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
        return int(value) if INT_MIN <= value <= INT_MAX else _text_of(value)
    if isinstance(value, float):
        return float(value) if isfinite(value) else _text_of(value)
    if depth and isinstance(value, Mapping):
        made: dict[str, Any] = {}
        for key, item in value.items():
            made[_free(_json_of(key if isinstance(key, str) else _text_of(key), 0), made)] = _json_of(item, depth - 1)
        return made
    if depth and isinstance(value, (list, tuple)):
        return [_json_of(item, depth - 1) for item in value]
    return _text_of(value)


def _text_of(value: Any) -> str:
    """The text of any object, whatever its own code does."""
    try:
        if isinstance(value, (dict, list, bool)):
            return events.encoder.encode(value).decode()
        text = str(value)
    except Exception as error:  # noqa: BLE001  # it is the code of whoever made the object, and may do anything
        text = f"<{type(value).__name__}: {type(error).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode()
