"""The event contract: what follows from the structs is whole and consistent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from oplake import events
from oplake.events import DETAIL_KEYS, KINDS, TABLES, Event, fields, json_schema

NOW = datetime(2026, 1, 5, tzinfo=UTC)
TYPES = {"text", "integer", "number", "boolean", "time", "json", "texts"}
COMMON = ("event_id", "ts", "received_at", "source", "extra", "ts_suspect", "redactions")
VALUES: dict[str, Any] = {
    "text": "x",
    "integer": 1,
    "number": 0.5,
    "boolean": True,
    "time": NOW,
    "json": {},
    "texts": [],
}
CHOICES = {"event_type": "done", "raw_encoding": "utf-8"}


def least(kind: str) -> dict[str, Any]:
    """An event of that kind with nothing but what it must have."""
    return {"kind": kind} | {
        field.name: CHOICES.get(field.name, VALUES[field.type]) for field in fields(kind) if field.is_required
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_meaning_a_type_and_a_value_for_when_it_is_missing(kind: str) -> None:
    assert tuple(field.name for field in fields(kind))[: len(COMMON)] == COMMON
    for field in fields(kind):
        assert field.description, field.name
        assert field.type in TYPES
        if not field.is_required:
            assert field.is_nullable == (field.empty is None), field.name


@pytest.mark.parametrize("kind", KINDS)
def test_only_empty_defaults_are_left_out_of_a_line(kind: str) -> None:
    """A default other than empty would change what landed long ago on the day that it is changed here."""
    line = events.encoder.encode(msgspec.convert(least(kind), KINDS[kind]))
    assert line.startswith(b'{"kind":"%s","event_id":' % kind.encode())
    assert json.loads(line).keys() == least(kind).keys()
    for field in fields(kind):
        if not field.is_required:
            assert not field.empty, field.name


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_filled_in_is_always_written(kind: str) -> None:
    for field in fields(kind):
        if field.fill is not None:
            assert field.is_required, field.name


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_decodes_to_what_it_was_made_from(kind: str) -> None:
    event = msgspec.convert(least(kind), KINDS[kind])
    assert events.decoder.decode(events.encoder.encode(event)) == event


def test_tables_are_plurals_and_no_two_kinds_share_one() -> None:
    assert len(set(TABLES.values())) == len(KINDS)
    assert TABLES["step"] == "landed.steps"
    assert TABLES["action_begun"] == "landed.actions_begun"
    assert TABLES["patch"] == "landed.patches"


def test_one_name_has_one_type_in_all_kinds_but_for_state() -> None:
    """Readers of mixed segments rely on it: `state` of an op is a region, that of a step an object."""
    types: dict[str, set[str]] = {}
    for kind in KINDS:
        for field in fields(kind):
            types.setdefault(field.name, set()).add(field.type)
    assert {name for name, found in types.items() if len(found) > 1} == {"state"}


def test_every_text_has_a_limit_and_one_name_has_one_in_all_kinds() -> None:
    """Two limits for one id would cut it to two ids, and the rows that it joins would no longer meet."""
    cuts: dict[str, set[int | None]] = {}
    for kind in KINDS:
        for field in fields(kind):
            if field.type in {"text", "texts"}:
                cuts.setdefault(field.name, set()).add(field.cut)
    unlimited = {name for name, found in cuts.items() if None in found}
    # The first is refused instead; the next two are one of few words; a reject keeps its bytes up to its own limit.
    assert unlimited == {"event_id", "event_type", "raw_encoding", "raw"}
    assert {name for name, found in cuts.items() if len(found) > 1} == {"response", "reason"}  # prose, not joined


def test_the_json_schema_requires_what_a_producer_has_to_send_and_tells_what_happens_to_it() -> None:
    """What the struct requires is what a landed line has; a producer neither stamps nor fills in."""
    step = json_schema("step")["$defs"]["Step"]
    assert step["required"] == ["kind", "ts", "action_id", "step_index", "description"]
    assert json_schema()["$defs"]["Step"] == step
    assert step["properties"]["description"]["x-cut"] == 500
    assert step["properties"]["confidence"]["x-clamp"] == (0, 1)
    assert step["properties"]["confidence"]["default"] == 0.5
    for kind, cls in KINDS.items():
        schema = json_schema(kind)["$defs"][cls.__name__]
        for field in fields(kind):
            assert schema["properties"][field.name].get("x-cut") == field.cut


def test_the_json_schema_names_every_kind_and_field() -> None:
    whole = json_schema()
    assert set(whole["discriminator"]["mapping"]) == set(KINDS)
    step = json_schema("step")["$defs"]["Step"]
    assert set(step["properties"]) == {"kind"} | {field.name for field in fields("step")}
    with pytest.raises(KeyError):
        json_schema("stop")


def test_detail_keys_belong_to_event_types_that_exist() -> None:
    schema = json_schema("session_event")["$defs"]["SessionEvent"]
    assert set(DETAIL_KEYS) <= set(schema["properties"]["event_type"]["enum"])


def test_equal_objects_have_equal_texts() -> None:
    """SQL compares nested values by their texts."""
    one, other = {"b": {"y": [1], "x": 2}, "a": 1}, {"a": 1, "b": {"x": 2, "y": [1]}}
    assert events.encoder.encode(one) == events.encoder.encode(other) == b'{"a":1,"b":{"x":2,"y":[1]}}'


def test_every_event_is_an_event() -> None:
    assert all(issubclass(cls, Event) for cls in KINDS.values())


FINGERPRINTS = {1: "26cd54c826f10265", 2: "c45de20460a2e908"}
"""By the number of the contract, of all its kinds and fields."""


def test_a_contract_with_other_fields_has_another_number() -> None:
    """Readers of old trust a writer's lines up to their own number: with the same one they would drop a new field."""
    said = "\n".join(f"{kind}: {', '.join(cls.__struct_fields__)}" for kind, cls in sorted(events.KINDS.items()))
    made = sha256(said.encode()).hexdigest()[:16]
    assert FINGERPRINTS[events.CONTRACT] == made, "raise CONTRACT, and add its fingerprint here"
