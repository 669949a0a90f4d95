"""Accepting: strict about JSON, forgiving about length, and the same whichever way an event comes in."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oplake import events
from oplake.events import LINE_BYTES
from oplake.landing.accept import (
    CHUNK_EVENTS,
    REJECT_BYTES,
    Accepted,
    _plain,
    _plain_batch,
    accept,
    accept_batch,
    accept_landed,
    place_id,
    reject,
)
from oplake.landing.errors import Unusable
from oplake.landing.shape import decode, shape

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
STEP: dict[str, Any] = {
    "kind": "step",
    "event_id": "0194365c-0000-7000-8000-000000000001",
    "ts": "2026-01-05T11:59:59.123456Z",
    "action_id": "a1",
    "step_index": 3,
    "description": "looked it up",
    "state": {"order": {"id": 7, "items": ["a", "b"]}, "total": 1.5, "is_open": True, "note": None},
    "decision": "get_order",
    "confidence": 0.75,
}


def wire(**changes: Any) -> bytes:
    return json.dumps(STEP | changes, separators=(",", ":")).encode()


def take(raw: bytes | dict[str, Any], **options: Any) -> Accepted:
    return accept(raw, received_at=NOW, **options)


def fields(accepted: Accepted) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(accepted.line)
    return decoded


def refusal(raw: bytes | dict[str, Any], **options: Any) -> str:
    with pytest.raises(Unusable) as caught:
        take(raw, **options)
    return caught.value.reason


# -- Shape -------------------------------------------------------------------------------------------------------------


def test_a_whole_event_is_stamped_and_written_kind_first() -> None:
    accepted = take(wire())
    assert accepted.line.startswith(b'{"kind":"step","event_id":"0194')
    assert fields(accepted) == STEP | {"received_at": "2026-01-05T12:00:00Z", "source": "agent"}
    assert isinstance(accepted.event, events.Step)
    assert events.decoder.decode(accepted.line).received_at == NOW


def test_what_is_missing_or_null_is_filled_in_and_written_out() -> None:
    raw = {key: value for key, value in STEP.items() if key not in {"confidence", "ts", "state"}}
    for line in (take(raw).line, take({**raw, "confidence": None, "decision": None}).line):
        assert json.loads(line)["confidence"] == 0.5
        assert json.loads(line)["ts"] == "2026-01-05T12:00:00Z"
    assert (
        fields(take({"kind": "op", "event_id": "e", "endpoint": "x", "success": True, "duration_ms": 1}))["source"]
        == "mcp"
    )


def test_texts_are_cut_and_numbers_clamped() -> None:
    accepted = fields(take(wire(description="x" * 501, decision="y" * 300, confidence=7)))
    assert (len(accepted["description"]), len(accepted["decision"]), accepted["confidence"]) == (500, 200, 1.0)
    assert fields(take(wire(confidence=-1)))["confidence"] == 0.0


@pytest.mark.parametrize("is_python", [True, False])
def test_ids_and_the_items_of_lists_are_cut_too_and_both_ways_agree(is_python: bool) -> None:
    """An id that is refused for its length loses the event, and one without a limit no longer joins the cut one."""
    text = "x" * 20_000
    events_of = [
        {"kind": "note", "user_id": text, "note": "n", "session_id": text},
        {"kind": "action_begun", "action_id": text, "agent_id": text, "action_type": "t", "goal_id": text}
        | {"acceptance_criteria": [text, "short"], "playbook_ids": [text]},
        {"kind": "turn", "session_id": text, "turn_index": 0, "provider": "p", "model": "m", "user_id": text},
    ]
    for length in (199, 200, 201, 20_000):
        for event in events_of:
            whole = {"event_id": "e", "ts": STEP["ts"]} | {
                key: value[:length] if value is text else value for key, value in event.items()
            }
            raw = json.dumps(whole).encode()
            accepted = take(whole if is_python else raw)
            assert accepted.line == shape(decode(raw), NOW, "live", None, is_python=False)[1]
            assert accept_landed(accepted.line).line == take(accepted.line).line == accepted.line
            for key, value in fields(accepted).items():
                if key.endswith("_id") and key != "event_id":
                    assert value == text[: min(length, 200)]
    begun = fields(take({"event_id": "e", **events_of[1]}))
    assert (len(begun["acceptance_criteria"][0]), begun["acceptance_criteria"][1]) == (10_000, "short")
    assert len(begun["playbook_ids"][0]) == 200
    for event in (events_of[0] | {"user_id": ""}, events_of[1] | {"action_id": ""}):
        assert "length >= 1" in refusal({"event_id": "e", **event})


def test_long_values_inside_json_become_their_beginnings() -> None:
    state = {
        "text": "x" * 501,
        "just": "y" * 500,
        "inner": {"text": "z" * 900},
        "list": list(range(1000)),
        "ok": [1] * 400,
    }
    shaped = fields(take(wire(state=state)))["state"]
    assert shaped["text"] == "x" * 500 + "..."
    assert shaped["just"] == "y" * 500
    assert shaped["inner"] == {"text": "z" * 500 + "..."}
    assert shaped["list"] == json.dumps(list(range(1000)), separators=(",", ":"))[:1000] + "..."
    assert shaped["ok"] == [1] * 400


def test_unknown_keys_are_kept_in_extra() -> None:
    assert fields(take(wire(mood="good", extra={"old": 1})))["extra"] == {"mood": "good", "old": 1}
    assert "both in extra" in refusal(wire(mood="good", extra={"mood": "bad"}))


def test_times_are_written_in_utc() -> None:
    assert fields(take(wire(ts="2026-01-05T12:59:59+01:00")))["ts"] == "2026-01-05T11:59:59Z"
    local = NOW.astimezone(timezone(timedelta(hours=5)))
    assert fields(take({**STEP, "ts": local}))["ts"] == "2026-01-05T12:00:00Z"
    span = {"kind": "span", "event_id": "e", "ts": NOW, "trace_id": "t", "span_id": "s", "name": "n"}
    accepted = take(span | {"started_at": "2026-01-05T10:00:00-02:00", "ended_at": local})
    assert fields(accepted)["started_at"] == fields(accepted)["ended_at"] == "2026-01-05T12:00:00Z"


def test_keys_of_objects_are_sorted_so_that_equal_values_have_equal_texts() -> None:
    assert (
        take(wire(state={"b": {"z": 1, "a": 2}, "a": 1})).line == take(wire(state={"a": 1, "b": {"a": 2, "z": 1}})).line
    )


def test_a_clock_that_is_far_off_is_flagged_when_live_and_believed_when_history() -> None:
    for ts, is_suspect in [
        (NOW + timedelta(days=1), False),
        (NOW + timedelta(days=1, seconds=1), True),
        (NOW - timedelta(days=400), False),
        (NOW - timedelta(days=400, seconds=1), True),
        (NOW + timedelta(days=365), True),
    ]:
        assert take({**STEP, "ts": ts}).event.ts_suspect is is_suspect
        assert take({**STEP, "ts": ts}, is_live=False).event.ts_suspect is False
    assert take(wire(ts_suspect=True)).event.ts_suspect is False


def test_history_must_say_when_it_happened() -> None:
    assert refusal({**STEP, "ts": None}, is_live=False) == "ts is missing"


def test_an_identity_is_needed_and_may_be_supplied() -> None:
    assert refusal({**STEP, "event_id": None}) == "event_id is missing"
    assert take({**STEP, "event_id": None}, event_id="given").event.event_id == "given"
    assert take(STEP, event_id="given").event.event_id == STEP["event_id"]


def test_whatever_a_producer_says_received_at_is_ours() -> None:
    """A received_at of next year would push the watermark there, and time out every open action."""
    for value in ("2027-01-01T00:00:00Z", "nonsense", 5):
        assert take(wire(received_at=value)).event.received_at == NOW


def test_a_line_found_in_a_segment_keeps_its_stamp_and_flags() -> None:
    line = take(wire(ts="2020-01-01T00:00:00Z")).line
    assert json.loads(line)["ts_suspect"] is True
    assert accept_landed(line).line == line
    history = take(wire(ts="2020-01-01T00:00:00Z"), is_live=False).line
    assert accept_landed(history).line == history
    with pytest.raises(Unusable, match="received_at"):
        accept_landed(wire())


# -- Strictness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b" \r", "empty"),
        (b"{", "not JSON"),
        (b"[1]", "a list, not a JSON object"),
        (b"null", "null, not a JSON object"),
        (b"{}", "kind is missing"),
        (b'{"kind":"stop"}', "there is no kind 'stop'"),
        (b'{"kind":5}', "there is no kind '5'"),
        (b'{"kind":"note","event_id":"e"}', "missing field"),
        (wire(step_index="3"), "step_index: Expected int, got str"),
        (wire(step_index=True), "step_index: Expected int, got bool"),
        (wire(step_index=-1), "step_index"),
        (wire(step_index=2**63), "does not fit into 64 bits"),
        (wire(step_index=10**29), "does not fit into 64 bits"),
        (wire(state={"n": 10**29}), "state.n: 1000000000000"),
        (wire(mood=-(2**63) - 1), "mood: -9223372036854775809 does not fit"),
        (wire(description=None), "missing field description"),
        (wire(description=5), "description: Expected str, got int"),
        (wire(event_id=""), "event_id"),
        (wire(event_id="x" * 201), "event_id"),
        (wire(ts="2026-01-05T12:00:00"), "ts has no offset"),
        (wire(ts="yesterday"), "ts: Invalid"),
        (wire(ts="0001-01-01T00:00:00+05:00"), "before the year 1"),
        (wire(ts=5), "ts: Expected datetime"),
        (wire(state=[1]), "state"),
        (wire(extra=[1]), "extra"),
        (wire(redactions={"x": "y"}), "redactions"),
        (wire()[:-1] + b',"confidence":NaN}', "NaN and Infinity are no JSON numbers"),
        (wire()[:-1] + b',"mood":-Infinity}', "NaN and Infinity are no JSON numbers"),
        (wire(mood="X").replace(b'"X"', b"1e999"), "out of range"),
        (wire(mood="X").replace(b"X", b"\0"), "NUL bytes"),
        (wire(mood="X").replace(b"X", b"\xff"), "not UTF-8"),
        (wire(mood="X").replace(b"X", b"\xed\xa0\x80"), "not UTF-8"),
        (wire(mood="X").replace(b"X", b"\\ud800"), "surrogate"),
        (wire(mood="X").replace(b'"X"', b"9" * 5000), "out of range"),
        (wire()[:-1] + b',"decision":"other"}', "the key 'decision' stands twice"),
        (wire(state={"a": 1, "b": 2}).replace(b'"b"', b'"a"'), "the key 'a' stands twice"),
        (wire()[:-1] + b',"\\u0064ecision":"other"}', "the key 'decision' stands twice"),
        (wire(state={"a": 1, "X": '"'}).replace(b'"X":"\\""', b'"a":"\\u0022\\u0022"'), "the key 'a' stands twice"),
        (b"[" * 100_000 + b"]" * 100_000, "nested more than 64 deep"),
        (b'{"kind":' * 100_000 + b"1" + b"}" * 100_000, "nested more than 64 deep"),
        (wire(state="X").replace(b'"X"', b'{"a":' * 63 + b"1" + b"}" * 63), None),
        (wire(state="X").replace(b'"X"', b'{"a":' * 64 + b"1" + b"}" * 64), "nested more than 64 deep"),
        (wire(mood="X").replace(b'"X"', b"[" * 63 + b"]" * 63), "nested more than 64 deep"),
        (wire(state={str(number): "x" * 100 for number in range(10_000)}), "its line takes"),
        (wire(mood="x" * REJECT_BYTES), "it takes"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_not_an_event_is_refused_with_a_reason(raw: bytes, reason: str | None) -> None:
    if reason is None:
        assert take(raw).line
    else:
        assert reason in refusal(raw)


@pytest.mark.parametrize(
    "raw", [wire() + b"\r", b"\xef\xbb\xbf" + wire(), json.dumps(STEP, indent=2).encode(), wire(mood=None)]
)
def test_what_is_odd_but_clear_is_taken(raw: bytes) -> None:
    assert fields(take(raw))["description"] == "looked it up"


def test_ten_megabytes_of_text_are_cut() -> None:
    accepted = fields(take(wire(description="x" * 5_000_000, state={"y": "z" * 10_000_000})))
    assert (len(accepted["description"]), len(accepted["state"]["y"])) == (500, 503)


def test_negative_control_decoders_alone_let_duplicate_keys_and_huge_numbers_pass() -> None:
    twice = wire()[:-1] + b',"decision":"other"}'
    assert json.loads(twice)["decision"] == "other"
    assert msgspec.json.decode(twice)["decision"] == "other"
    assert msgspec.json.decode(b"1" + b"0" * 29) == 10**29


def test_a_key_that_stands_twice_behind_many_others_is_found_in_one_pass() -> None:
    """Counting each key among all of them takes quadratic time: eight seconds for a line that fits the limit."""
    keys = ",".join(f'"k{number}":1' for number in range(20_000))
    raw = b'{"kind":"note","extra":{%s,"z":1,"z":2}}' % keys.encode()
    start = time.process_time()
    assert "the key 'z' stands twice" in refusal(raw)
    assert time.process_time() - start < 2  # a tenth of a second is usual


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_are_an_event_or_unusable_and_never_a_crash(raw: bytes) -> None:
    with pytest.raises(Unusable):
        take(raw)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from(["x" * 600, "password: hunter2", 'token="abc', "sk-" + "a1" * 20, "y" * 1100]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.text(max_size=8) | st.sampled_from(["password", "api_key", "token", "a"]), inner, max_size=5
        )
    ),
    max_leaves=20,
)


@given(
    state=st.dictionaries(st.text(max_size=8) | st.sampled_from(["password", "secrets"]), JSON, max_size=4),
    extra=st.dictionaries(st.sampled_from(["one", "two", "password"]), JSON, max_size=3),
    description=st.text(max_size=700)
    | st.sampled_from(["p" * 485 + ' password: "hunter2"', "Bearer abcdef123456" * 40]),
    confidence=st.none() | st.floats(-2, 2),
    is_live=st.booleans(),
)
@example(  # cut into a text, under the name of a secret
    state={}, extra={"password": {"a": "", "x" * 1100: ""}}, description="", confidence=None, is_live=False
)
@settings(max_examples=60, deadline=None)
def test_both_ways_give_the_same_line_and_accepting_it_again_changes_nothing(
    state: dict[str, Any], extra: dict[str, Any], description: str, confidence: float | None, is_live: bool
) -> None:
    event = {**STEP, "state": state, "description": description, "confidence": confidence, **extra}
    raw = json.dumps(event).encode()
    if b"\\ud" in raw:  # json.dumps writes what is beyond the basic plane as pairs; text has no halves
        raw = json.dumps(event, ensure_ascii=False).encode()
    accepted = take(raw, is_live=is_live)
    assert take(event, is_live=is_live).line == accepted.line
    assert take(accepted.line, is_live=is_live).line == accepted.line
    assert accept_landed(accepted.line).line == accepted.line
    _, line = shape(decode(raw), NOW, "live" if is_live else "history", None, is_python=False)
    assert line == accepted.line
    assert events.decoder.decode(accepted.line).event_id == STEP["event_id"]


def test_json_is_taken_alike_at_every_depth_and_size() -> None:
    """The short way checks nested values by type, some levels deep; what it does not admit goes the long way."""
    for depth in range(12):
        for leaf in ("x", "x" * 500, "x" * 501, "x" * 503, 2**63 - 1, -(2**63), 1e300, None, True, [], {}):
            value: Any = leaf
            for level in range(depth):
                value = [value] if level % 2 else {"k": value}
            for changes in ({"state": {"v": value}}, {"extra": {"v": value}}):
                raw = wire(**changes)
                assert take(raw).line == shape(decode(raw), NOW, "live", None, is_python=False)[1]
                assert accept_landed(take(raw).line).line == take(raw).line


def test_nearly_all_events_take_the_short_way() -> None:
    """Else every event would cost ten times as much, and no other test would notice."""
    deep = {"order": {"items": [{"id": 1, "options": {"size": "m"}}]}}
    for raw in (wire(), wire(state=deep), wire(extra={"old": 1}), take(wire(confidence=None)).line):
        assert _plain(raw, NOW, "live") is not None
    assert _plain(wire(description="x" * 501), NOW, "live") is None


# -- Together ----------------------------------------------------------------------------------------------------------

ODD = [
    b"",
    b" ",
    b"{}",
    b"{",
    b"}",
    b"[1]",
    wire() + b" " + wire(),
    wire() + b"\n" + wire(),
    wire()[:-1],
    json.dumps(STEP, indent=1).encode(),
    wire(state={"a": "\\u0022"}),
    wire(confidence=None),
    wire()[:-1] + b',"decision":"other"}',
    wire(state={"a": 1, "b": 2}).replace(b'"b"', b'"a"'),
    wire(state={"a": 1, "X": '"'}).replace(b'"X":"\\""', b'"a":"\\u0022\\u0022"'),
    wire(description="x" * 501),
    wire(state={"long": list(range(1000))}),
    wire(state={"password": "hunter2-hunter2"}),
    wire(mood="good"),
    wire(event_id=None),
    wire(ts="2020-01-01T00:00:00Z"),
    wire(mood="X").replace(b"X", b"\xff"),
    b"[" * 100_000,
]
"""What does not take the short way, or must not be taken for its neighbours."""


def outcome(raw: bytes, event_id: str) -> bytes | str:
    try:
        return accept(raw, received_at=NOW, event_id=event_id).line
    except Unusable as error:
        return error.reason


@given(st.lists(st.sampled_from([*ODD, *[wire(step_index=number) for number in range(len(ODD))]]), max_size=8))
@settings(max_examples=200, deadline=None)
def test_events_that_come_together_become_what_each_becomes_alone(raws: list[bytes]) -> None:
    """The batch decoder takes two events on one line and none on the next; pairing by place would then go wrong."""
    ids = [f"given-{number}" for number in range(len(raws))]
    together = accept_batch(raws, received_at=NOW, event_ids=ids)
    made = [each.reason if isinstance(each, Unusable) else each.line for each in together]
    assert made == [outcome(raw, event_id) for raw, event_id in zip(raws, ids, strict=True)]
    assert all(events.encoder.encode(each.event) == each.line for each in together if isinstance(each, Accepted))


def test_a_batch_larger_than_what_is_tried_together_keeps_its_order() -> None:
    raws = [wire(step_index=number) for number in range(2 * CHUNK_EVENTS + 1)]
    raws[CHUNK_EVENTS] = b"?"
    raws[-2] = wire(step_index=len(raws) - 2, description="x" * 400_000)
    together = accept_batch(raws, received_at=NOW)
    assert isinstance(together.pop(CHUNK_EVENTS), Unusable)
    indexes = [each.event.step_index for each in together if isinstance(each.event, events.Step)]
    assert indexes == [number for number in range(len(raws)) if number != CHUNK_EVENTS]


def test_plain_events_take_the_short_way_together_and_a_secret_sends_nobody_else_the_long_way() -> None:
    raws = [wire(step_index=0), wire(state={"password": "hunter2-hunter2"}), wire(step_index=2)]
    assert [accepted is not None for accepted in _plain_batch(raws, NOW, "live")] == [True, False, True]


# -- From Python -------------------------------------------------------------------------------------------------------


def test_what_is_no_json_becomes_its_text() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    state = {
        "set": {1},
        "time": NOW,
        "nan": float("nan"),
        "infinite": float("inf"),
        "huge": 10**29,
        "bytes": b"x",
        "tuple": (1, 2),
        "broken": Broken(),
        "half": "\ud800",
        3: "three",
        (1, 2): "pair",
        "cycle": cycle,
        "deep": deep,
    }
    shaped = fields(take({**STEP, "state": state}))["state"]
    assert shaped["set"] == "{1}"
    assert shaped["time"] == "2026-01-05 12:00:00+00:00"
    assert (shaped["nan"], shaped["infinite"], shaped["huge"]) == ("nan", "inf", "1" + "0" * 29)
    assert (shaped["bytes"], shaped["tuple"], shaped["half"]) == ("b'x'", [1, 2], "\\ud800")
    assert shaped["broken"] == "<Broken: RuntimeError>"
    assert (shaped["3"], shaped["(1, 2)"]) == ("three", "pair")


def test_fields_of_other_types_are_brought_into_theirs_where_that_is_clear() -> None:
    accepted = fields(take({**STEP, "description": 5, "decision": None, "state": "text", "actor": ["a"]}))
    assert (accepted["description"], accepted["state"], accepted["actor"]) == ("5", {"value": "text"}, '["a"]')
    assert fields(take({**STEP, "state": [1]}))["state"] == {"value": [1]}
    begun = {"kind": "action_begun", "event_id": "e", "action_id": "a", "agent_id": "x", "action_type": "t"}
    assert fields(take({**begun, "playbook_ids": ("p1", 2)}))["playbook_ids"] == ["p1", "2"]
    assert fields(take({**begun, "acceptance_criteria": "it works"}))["acceptance_criteria"] == ["it works"]


OP: dict[str, Any] = {"kind": "op", "event_id": "e", "endpoint": "x", "success": True, "duration_ms": 1}


@pytest.mark.parametrize(
    ("event", "field", "given_value", "value"),
    [
        (STEP, "confidence", "0.7", 0.7),
        (STEP, "confidence", Decimal("0.7"), 0.7),
        (STEP, "confidence", Fraction(1, 4), 0.25),
        (STEP, "confidence", True, 1.0),
        (STEP, "confidence", "1e999", 0.5),
        (STEP, "confidence", float("nan"), 0.5),
        (STEP, "confidence", 10**400, 0.5),
        (STEP, "step_index", 5.0, 5),
        (STEP, "step_index", "5", 5),
        (STEP, "step_index", True, 1),
        (OP, "success", 1, True),
        (OP, "success", 0.0, False),
        (OP, "duration_ms", "3.5", 3.5),
        (OP, "duration_ms", Decimal(3), 3.0),
    ],
)
def test_numbers_of_other_types_are_brought_into_that_of_their_field(
    event: dict[str, Any], field: str, given_value: Any, value: Any
) -> None:
    accepted = fields(take({**event, field: given_value}))
    assert (accepted[field], type(accepted[field])) == (value, type(value))


@pytest.mark.parametrize(
    ("event", "field", "value"),
    [
        (STEP, "step_index", 5.5),
        (STEP, "step_index", "five"),
        (STEP, "step_index", "9" * 5000),
        (OP, "success", 2),
        (OP, "success", "yes"),
        (OP, "duration_ms", float("nan")),
        (OP, "count", 10**30),
    ],
)
def test_what_is_not_clear_is_refused(event: dict[str, Any], field: str, value: Any) -> None:
    assert field in refusal({**event, field: value})


class Scalar:
    """A number as numpy has them: none to Python's own types, and `item` says which."""

    shape = ()

    def __init__(self, value: Any) -> None:
        self.value = value

    def item(self) -> Any:
        return self.value


class Float32(Scalar):
    """One that is registered as a number, as numpy's are, but for its booleans."""

    def __float__(self) -> float:
        return float(self.value)


class Int64(Scalar):
    """The same for integers."""

    def __int__(self) -> int:
        return int(self.value)


Real.register(Float32)
Integral.register(Int64)


@dataclass
class Order:
    """What an agent has in its state."""

    number: int
    items: list[Any]


class Model:
    """A model as pydantic makes them, as far as we look at it."""

    def model_dump(self) -> dict[str, Any]:
        return {"city": "Oslo", "at": NOW}


def test_numbers_and_objects_of_other_libraries_are_numbers_and_objects() -> None:
    """As texts they would never meet an expectation, and in a number's field they would lose the event."""
    state = {
        "float": Float32(0.5),
        "int": Int64(7),
        "bool": Scalar(True),
        "time": Scalar(NOW),
        "money": Decimal("1.5"),
        "half": Fraction(1, 2),
        "order": Order(7, [Order(8, [Int64(1)])]),
        "class": Order,
        "model": Model(),
    }
    shaped = fields(take({**STEP, "state": state, "confidence": Float32(0.25), "step_index": Int64(2)}))
    assert (shaped["confidence"], shaped["step_index"]) == (0.25, 2)
    assert fields(take({**OP, "success": Scalar(False)}))["success"] is False
    shaped = shaped["state"]
    assert [shaped[key] for key in ("float", "int", "bool", "money", "half")] == [0.5, 7, True, 1.5, 0.5]
    assert shaped["bool"] is True
    assert shaped["order"] == {"number": 7, "items": [{"number": 8, "items": [1]}]}
    assert shaped["model"] == {"city": "Oslo", "at": "2026-01-05 12:00:00+00:00"}
    assert isinstance(shaped["time"], str)
    assert isinstance(shaped["class"], str)
    assert fields(take({**STEP, "state": Order(7, [])}))["state"] == {"number": 7, "items": []}


class Lazy(dict[str, Any]):
    """A mapping that fails when somebody looks into it."""

    def items(self) -> Any:
        raise RuntimeError("not now")


class LazyModel(Model):
    """A model that does not want to be written."""

    def model_dump(self) -> dict[str, Any]:
        raise RuntimeError("not now")


def test_a_value_that_fails_spoils_only_itself() -> None:
    for value in (Lazy(a=1), LazyModel(), [Lazy()], Scalar(Scalar(1))):
        shaped = fields(take({**STEP, "state": {"set": {1}, "bad": value, "good": 1}}))["state"]
        assert shaped["good"] == 1
        assert shaped["bad"]


def test_keys_that_are_no_json_become_texts_at_the_top_too() -> None:
    extra = fields(take({**STEP, "\ud800": 1, "\\ud800": 2, 3: float("nan")}))["extra"]
    assert extra == {"\\ud800": 1, "\\ud800 2": 2, "3": "nan"}


class Timestamp(datetime):
    """A time of a class of its own, as pandas has them."""


def test_times_from_python_say_which_they_are() -> None:
    """A naive time may be local or UTC: taking it for either would put half of the agents' work hours off."""
    assert "datetime.now(UTC)" in refusal({**STEP, "ts": NOW.replace(tzinfo=None)})
    assert fields(take({**STEP, "ts": NOW.timestamp()}))["ts"] == "2026-01-05T12:00:00Z"
    assert "seconds since 1970" in refusal({**STEP, "ts": NOW.timestamp() * 1000})
    assert "Invalid" in refusal({**STEP, "ts": float("nan")})
    assert fields(take({**STEP, "ts": Timestamp.fromtimestamp(NOW.timestamp(), UTC)}))["ts"] == "2026-01-05T12:00:00Z"


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(st.characters(codec=None))
        | st.binary()
        | st.datetimes()
        | st.complex_numbers()
        | st.sets(st.integers())
        | st.decimals(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.integers() | st.text(), inner)
        ),
        max_leaves=10,
    )
)
@settings(max_examples=60, deadline=None)
def test_nothing_that_an_agent_hands_over_in_state_is_refused(value: Any) -> None:
    accepted = take({**STEP, "state": {"value": value}})
    assert take(accepted.line).line == accepted.line


# -- Rejects -----------------------------------------------------------------------------------------------------------


def test_a_reject_keeps_bytes_place_and_reason() -> None:
    arguments: dict[str, Any] = {
        "reason": "not JSON",
        "origin": "seg",
        "line": 3,
        "byte_offset": 99,
        "received_at": NOW,
    }
    accepted = reject(b'{"oops', **arguments)
    assert isinstance(accepted.event, events.Reject)
    assert fields(accepted)["raw"] == '{"oops'
    assert (fields(accepted)["raw_bytes"], fields(accepted)["byte_offset"]) == (6, 99)
    assert accept_landed(accepted.line).line == accepted.line
    again = reject(b'{"oops', **arguments | {"received_at": NOW + timedelta(days=1)})
    assert again.event.event_id == accepted.event.event_id
    assert reject(b'{"oop', **arguments).event.event_id != accepted.event.event_id
    assert UUID(accepted.event.event_id).version == 5


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"a\0b", b"\x80password=hunter2 \xff"])
def test_bytes_that_are_no_text_are_kept_in_base64_and_redacted_all_the_same(raw: bytes) -> None:
    accepted = reject(raw, reason="r", origin="o", line=0, byte_offset=0, received_at=NOW)
    kept = base64.b64decode(fields(accepted)["raw"])
    assert fields(accepted)["raw_encoding"] == "base64"
    assert kept == raw.replace(b"hunter2", b"[redacted:password]")


def kept_of(raw: bytes) -> tuple[bytes, dict[str, int]]:
    """What a reject keeps of bytes, and what was counted; taking it in again changes nothing."""
    accepted = reject(raw, reason="r", origin="o", line=0, byte_offset=0, received_at=NOW)
    assert accept_landed(accepted.line).line == accepted.line
    event = fields(accepted)
    text = event.get("raw", "")
    kept = base64.b64decode(text) if event.get("raw_encoding") == "base64" else text.encode()
    return kept, event.get("redactions", {})


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (rb'{"kind":"zz", "\u0070assword":"hunter2"}', b'{"kind":"zz","password":"[redacted:password]"}'),
        (b'{"password": ["a1", {"v": "b2"}]}', b'{"password":["[redacted:password]",{"v":"[redacted:password]"}]}'),
        (b'{"password":12345,"a":1}', b'{"password":"[redacted:password]","a":1}'),
        (
            rb'{"a":1,"a":1e999,"b":"\ud800","secrets":{"x":"y1"}}',
            rb'{"a":1,"a":1e999,"b":"\ud800","secrets":{"x":"[redacted:secret]"}}',
        ),
        (b'[{"key":"DB_PASSWORD","x":0,"value":"y"}]', b'[{"key":"DB_PASSWORD","x":0,"value":"[redacted:password]"}]'),
        (rb'{ "b": "\u00e9", "password" : "hunter2" }', rb'{ "b": "\u00e9", "password" : "[redacted:password]" }'),
        (rb'{ "a": 1.0, "b": "\u00e9\u0000" }', rb'{ "a": 1.0, "b": "\u00e9\u0000" }'),
        (b'{"kind":"zz", "password":"hunter2"', b'{"kind":"zz", "password":"[redacted:password]"'),
        (b"[" * 100_000, b"[" * 100_000),
    ],
    ids=lambda raw: repr(raw)[:40],
)  # fmt: skip
def test_a_reject_that_is_json_is_freed_of_secrets_as_an_event_is(raw: bytes, kept: bytes) -> None:
    """Decoding and encoding it would be shorter, and lose the key that stands twice for which it was refused."""
    found, counts = kept_of(raw)
    assert found == kept
    assert sum(counts.values()) == kept.count(b"[redacted:")


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_reject_in_utf_16_is_read_as_such(codec: str) -> None:
    """As bytes, `password` has NULs between its letters, and no rule sees it."""
    for text in ('{"kind":"note","password":"hunter2","b":"ä😀"}', 'password="hunter2" ä'):
        raw = text.encode(codec)
        kept, counts = kept_of(raw)
        assert kept == text.replace("hunter2", "[redacted:password]").encode(codec)
        assert counts == {"password": 1}
    lines = "\nа password=hunter2\nnothing".encode(codec).split(b"\n")  # as they are read: cut within a character
    assert all(b"h\0u\0n" not in kept_of(line)[0] for line in lines)
    for raw in (b"\xff\xfe\xff", b"\0\xd8" * 9, bytes(range(256)), b"\0" * 99, "nichts ä".encode(codec) + b"\n"):
        assert kept_of(raw) == (raw, {})


def test_a_huge_reject_keeps_its_beginning_and_its_true_length() -> None:
    raw = "ä".encode() * (REJECT_BYTES // 2 + 10)
    accepted = reject(b"x" + raw, reason="r", origin="o", line=0, byte_offset=0, received_at=NOW)
    assert isinstance(accepted.event, events.Reject)
    assert accepted.event.raw_encoding == "utf-8"
    assert accepted.event.raw_bytes == len(raw) + 1
    assert len(accepted.event.raw.encode()) == REJECT_BYTES - 1
    assert len(accepted.line) > LINE_BYTES
    assert accept_landed(accepted.line).line == accepted.line


def test_a_place_names_the_same_event_every_time() -> None:
    assert place_id("file", 5) == place_id("file", 5) != place_id("file", 6)
