"""Folding of messages to templates: what varies goes, what tells one trouble from another stays."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import DAY, PROJECT_MODELS, TinyLake, at, by, compute

pytestmark = pytest.mark.slow


def folded(*messages: str | None, **fields: Any) -> list[str]:
    """The templates of operations that failed with these messages."""
    ops = [
        {"day": DAY, "event_id": f"{number:04d}", "ts": at(1), "ts_suspect": False, "source": "mcp", "endpoint": "ask"}
        | {"success": False, "error": message}
        | fields
        for number, message in enumerate(messages)
    ]
    rows = by(compute(PROJECT_MODELS["operations.messages"], {"landed.ops": ops}), "event_id")
    return [rows[op["event_id"]]["template"] for op in ops]


TRACEBACK = """Command failed
Traceback (most recent call last):
  File "/srv/app.py", line 3, in <module>
    main()
ValueError: bad rate 17 for 'Ana'
"""


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ("rate limit, retry after 12.5 s", "rate limit, retry after <*> s"),
        ("1,000 of 2,500 rows at 10:32:05", "<*> of <*> rows at <*>"),
        ("code -5 in [1, -2, 3e-5]", "code <*> in [<*>]"),
        ("request 550e8400-e29b-41d4-a716-446655440000 lost", "request <*> lost"),
        ("commit 3FA2b1c at 0xdead01", "commit <*> at <*>"),
        ("call req_011CSHoEeqs5C35K2UUqR7Fy", "call req_<*>"),
        ("first: test_regression_3fa2b1", "first: test_regression_<*>"),
        ("first: test_regression_123456", "first: test_regression_<*>"),
        ("pod cart-api-0a1b2c crashed (exit code 137)", "pod cart-api-<*> crashed (exit code <*>)"),
        ("a faded café is no id", "a faded café is no id"),
        ("can't open 'a b.txt' or \"it's\"", "can't open <text> or <text>"),
        ("„Anna“ or «Anne» or ‘Ann’ or “Annie” isn’t there", "<text> or <text> or <text> or <text> isn’t there"),
        ("columns 'a', 'b', 'c' missing in `t`", "columns <text> missing in <text>"),
        ("no name ''", "no name <text>"),
        ("GET https://a.example:8080/v1?q=a&n=1, then 503", "GET <path>, then <*>"),
        ("no /srv/data/josé.csv, no ./x/y.", "no <path>, no <path>."),
        ("no C:\\tmp\\a.txt", "no <path>"),
        ("read src/app.py:12:5", "read <path>:<*>"),
        ("and/or, N/A, text/html", "and/or, N/A, text/html"),
        ("/healthz is down", "<path> is down"),
        ('400: {"type": "bad_request", "id": 12}', '<*>: {"type": "bad_request", "id": <*>}'),
        ("429: {'type': 'rate_limit', 'id': 7}", "<*>: {'type': 'rate_limit', 'id': <*>}"),
        ("  ERROR:  two\n\tlines ", "two lines"),
        (TRACEBACK, "ValueError: bad rate <*> for <text>"),
        ("x" * 400, "x" * 300),
        (" \n", "(no message)"),
        (None, "(no message)"),
    ],
)
def test_what_varies_is_folded_and_the_rest_stays(message: str | None, template: str) -> None:
    assert folded(message) == [template]


def test_names_of_the_operation_are_folded_as_whole_words_only() -> None:
    """Replacing the endpoint `ask` wherever it stands would make a task a t<name>."""
    names = {"role": "line cook", "city": "Austin", "state": "TX", "event_kind": "gala", "staffer_id": "s-7"}
    (one,) = folded("ask: no line cook in Austin, TX for the gala; s-7 left the task", **names)
    assert one == "<name>: no <name> in <name>, <name> for the <name>; <name> left the task"


@pytest.mark.parametrize("name", ["", ".", "(", "\\E.*", "a|b", "[a-", "\n", "*", "é", "\\", "(?i)x", "\x00", "a\nb"])
def test_no_name_acts_as_a_pattern(name: str) -> None:
    """A name is a producer's text: it may neither break the day nor fold what it is not."""
    assert folded("it is down", endpoint=name, role=name) == ["it is down"]


def test_an_output_stands_in_for_a_missing_error() -> None:
    assert folded(None, output_summary="ERROR: 12 left") == folded("7 left") == ["<*> left"]
    assert folded("", output_summary="") == ["(no message)"]


WORD_LIST = ("fetch", "of", "user", "failed:", "(try", "café", "isn't", "retry_", "->", "a,")
WORDS = st.sampled_from(WORD_LIST)
IDS = st.uuids().map(UUID.__str__) | st.integers(0, 2**64 - 1).map("{:016x}".format) | st.integers(0).map(str)
PATHS = st.lists(st.from_regex(r"[a-z0-9_][a-z0-9_.-]*[a-z_]", fullmatch=True), min_size=2, max_size=5).map(
    lambda parts: "/" + "/".join(parts)
)
TEXTS = st.text(st.characters(exclude_characters="\"'`“”{\n", exclude_categories=["C", "Z"]), max_size=12).map(
    '"{}"'.format
)
NUMBERS = st.integers().map(str) | st.floats(0, 1e6).map("{:.3f}".format)
PART = WORDS.map(lambda word: (word,) * 4) | st.one_of(
    *(st.tuples(slot, slot, slot, slot) for slot in (IDS, PATHS, TEXTS, NUMBERS))
)
"""One part of a message in four variants, all the same when it is a word."""


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(PART, min_size=1, max_size=6))
def test_messages_that_differ_in_what_varies_have_one_template(parts: list[tuple[str, str, str, str]]) -> None:
    said = [" ".join(variants) for variants in zip(*parts, strict=True)]
    templates = folded(*said)
    assert len(set(templates)) == 1, (said, templates)
    words = [part[0] for part in parts if len(set(part)) == 1]
    assert all(word in templates[0] for word in words if word in WORD_LIST), "what is said stays"


def test_only_failures_and_corrections_say_something(tiny: TinyLake) -> None:
    op = {"kind": "op", "ts": at(1), "endpoint": "ask", "duration_ms": 1.0}
    call = {"kind": "tool_call", "ts": at(1), "session_id": "s", "turn_index": 0, "call_index": 0, "tool_name": "ls"}
    tiny.land(
        op | {"success": True, "event_id": "well"},
        op | {"success": False, "error": "no 1", "event_id": "ill", "session_id": "s"},
        op | {"success": False, "source": "overseer_correction", "event_id": "advised"},
        call | {"ok": True, "event_id": "well"},
        call | {"ok": False, "output": "ls: no '/x'", "event_id": "ill"},
        {"kind": "correction", "ts": at(1), "task_class": "t", "correction": "Try 2.", "event_id": "ill"},
    )
    tiny.build("sessions.tool_calls", "operations.messages", "operations.failures")
    rows = tiny.ask("SELECT kind, event_id, name, template, session_id FROM operations.messages ORDER BY kind")
    assert [tuple(row.values()) for row in rows] == [
        ("correction", "ill", "t", "Try <*>.", None),
        ("op", "ill", "ask", "no <*>", "s"),
        ("tool_call", "ill", "ls", "<name>: no <text>", "s"),
    ]
    assert {row["kind"] for row in tiny.ask("FROM operations.failures")} == {"op", "tool_call"}


def test_a_clock_that_is_off_is_replaced_by_the_receipt(tiny: TinyLake) -> None:
    op = {"kind": "op", "endpoint": "ask", "success": False, "duration_ms": 1.0}
    tiny.land(op | {"ts": at(-9000), "received_at": at(2), "ts_suspect": True})
    tiny.build("sessions.tool_calls", "operations.messages", "operations.failures")
    assert [row["ts"] for row in tiny.ask("FROM operations.failures")] == [at(2)]
