"""What accepting has to know of each kind of event, all of it derived from the contract in `oplake.events`.

For each kind there are two structs. One admits only what has its shape: texts within their limits, numbers in range, no
unknown key. The other admits, of free-form JSON too, only what needs no shaping; msgspec checks that in C, at no more
cost than decoding without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeAlias, Union, cast

import msgspec
from msgspec import Meta

from oplake import events
from oplake.events import NESTED_STRING_CHARS, TELEMETRY_STRING_CHARS, Event, Number

TELEMETRY_DEPTH = 2  # the same for attributes, which are flat by their convention
PLAIN_DEPTH = 4  # how deep free-form JSON is checked by type: nearly none is deeper, and each level doubles the types

Time: TypeAlias = Annotated[datetime, Meta(tz=True)]


class Kind(NamedTuple):
    """What accepting has to know of a kind."""

    shaped: type[Event]  # admits what has its shape, and None for what is filled in
    fields: Mapping[str, events.Field]
    fills: tuple[tuple[str, Any], ...]
    nested: tuple[tuple[str, int], ...]  # fields that hold JSON, and how long a string within may be
    condensed: tuple[str, ...]  # those of them in which a long value becomes its beginning
    times: tuple[str, ...]  # beyond the common ones


@cache
def kind_of(name: str) -> Kind:
    """What there is to know of the kind of that name.

    Raises:
        KeyError: There is no such kind.
    """
    fields = {field.name: field for field in events.fields(name)}
    cls = events.KINDS[name]
    admits: list[tuple[str, Any, Any]] = [("received_at", Time | None, None), ("ts", Time | None, None)]
    for field in fields.values():
        if field.name in {"received_at", "ts"}:
            continue
        base: Any = None
        if field.cut is not None:
            base = Annotated[str, Meta(min_length=field.min_chars or None, max_length=field.cut)]
            if field.type == "texts":
                base = list.__class_getitem__(base)
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
    nested = [field for field in fields.values() if field.type == "json" and field.name != "redactions"]
    return Kind(
        _narrowed(cls, admits),
        fields,
        fills=tuple((field.name, field.fill) for field in fields.values() if field.fill is not None),
        nested=tuple((field.name, field.nested_cut or NESTED_STRING_CHARS) for field in nested),
        condensed=tuple(field.name for field in nested if field.nested_cut is None),
        times=tuple(field.name for field in fields.values() if field.type == "time" and field.name[-3:] == "_at")[1:],
    )


class Plain(NamedTuple):
    """Decodes what needs no shaping, of every kind."""

    decoder: msgspec.json.Decoder[Event]
    kinds: Mapping[type[Event], Kind]  # by the class of what was decoded


@cache
def plain() -> Plain:
    """The decoder of the short way; it is made with the first event, because an import should cost nothing."""
    kinds: dict[type[Event], Kind] = {}
    flat, deep = _plain_object(0, NESTED_STRING_CHARS), _plain_object(PLAIN_DEPTH, NESTED_STRING_CHARS)
    told = _plain_object(TELEMETRY_DEPTH, TELEMETRY_STRING_CHARS)
    for name in events.KINDS:
        kind = kind_of(name)
        admits: list[tuple[str, Any, Any]] = [("extra", flat, {})]  # it is rare, and every kind has it
        for nested, chars in kind.nested:
            empty = kind.fields[nested].empty
            admitted = deep if chars == NESTED_STRING_CHARS else told
            if nested != "extra":
                admits.append(
                    (nested, list.__class_getitem__(admitted) if isinstance(empty, list) else admitted, empty)
                )
        kinds[_narrowed(kind.shaped, admits)] = kind
    return Plain(msgspec.json.Decoder(Union[tuple(kinds)]), kinds)  # noqa: UP007  # of types known only here


def _narrowed(cls: type[Event], admits: list[tuple[str, Any, Any]]) -> type[Event]:
    made = msgspec.defstruct(
        cls.__name__,
        admits,
        bases=(cls,),
        namespace={"__doc__": cls.__doc__},
        module=cls.__module__,
        tag=cls.__struct_config__.tag,
        kw_only=True,
        omit_defaults=True,
        forbid_unknown_fields=True,
        gc=False,
    )
    return cast("type[Event]", made)


def _plain_object(depth: int, chars: int) -> Any:
    """The type of a JSON object in which strings need no cut and numbers fit, with so many levels within it."""
    scalar: Any = None | bool | Number | float | Annotated[str, Meta(max_length=chars)]
    value = scalar
    for _ in range(depth):
        value = scalar | dict.__class_getitem__((str, value)) | list.__class_getitem__(value)
    return dict.__class_getitem__((str, value))


def _declared_type(cls: type[Event], name: str) -> Any:
    return next(field.type for field in msgspec.structs.fields(cls) if field.name == name)
