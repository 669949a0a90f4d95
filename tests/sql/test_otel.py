"""What spans mean: five conventions say one thing, no token counts twice, and no order of arrival matters."""

from __future__ import annotations

import json
import random
import re
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.otlp_bodies import NOW, as_landed, logs, pairs, record, short, told, traces, working
from tests.sql.tiny_lake import DAY, PROJECT_MODELS, TinyLake, at, compute

from oplake.models.model import Model, Models

pytestmark = pytest.mark.slow

OTEL = [model.name for model in PROJECT_MODELS if model.name.startswith("otel.")]
NEXT = DAY + timedelta(days=1)


def land(tiny: TinyLake, *spans: dict[str, Any], **resource: Any) -> None:
    tiny.land(*as_landed(traces(*spans, **resource)))


def build(tiny: TinyLake, stop: date = DAY, *more: str) -> None:
    tiny.build(*OTEL, *more, stop=stop)


def parts(role: str, *texts: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text} for text in texts]}


# -- Conventions -------------------------------------------------------------------------------------------------------

ASKED = [parts("system", "be brief"), parts("user", "hi"), parts("assistant", "yes?"), parts("user", "how", "much?")]
CALLS = [{"type": "tool_call", "id": "c1", "name": "price", "arguments": {"item": 7}}]
ANSWERED = [
    {"role": "assistant", "parts": [{"type": "text", "content": "let me see"}, *CALLS], "finish_reason": "stop"}
]
OPENAI = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "hi"},
    {"role": "user", "content": [{"type": "text", "text": "how"}, {"type": "text", "text": "much?"}]},
]
OPENAI_ANSWER = {
    "role": "assistant",
    "content": "let me see",
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "price", "arguments": "{}"}}],
}
COMMON = {"gen_ai.usage.cost": 0.25}
CONVENTIONS: dict[str, dict[str, Any]] = {
    "gen_ai": {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "c",
        "gen_ai.response.model": "c-2",
        "gen_ai.conversation.id": "s",
        "user.id": "u",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.cache_creation.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.input.messages": json.dumps(ASKED),
        "gen_ai.output.messages": json.dumps(ANSWERED),
    },
    "gen_ai, messages as structure": {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.system": "Anthropic",
        "gen_ai.response.model": "c-2",
        "session.id": "s",
        "enduser.id": "u",
        "gen_ai.usage.input_tokens": "100",
        "gen_ai.usage.output_tokens": 20.0,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.cache_creation.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "gen_ai.input.messages": ASKED,
        "gen_ai.output.messages": ANSWERED,
    },
    "openinference": {
        "openinference.span.kind": "LLM",
        "llm.provider": "anthropic",
        "llm.model_name": "c-2",
        "session.id": "s",
        "user.id": "u",
        "llm.token_count.prompt": 100,
        "llm.token_count.completion": 20,
        "llm.token_count.prompt_details.cache_read": 60,
        "llm.token_count.prompt_details.cache_write": 10,
        "llm.token_count.completion_details.reasoning": 5,
        "llm.finish_reason": "stop",
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "be brief",
        "llm.input_messages.10.message.role": "user",
        "llm.input_messages.10.message.contents.0.message_content.type": "text",
        "llm.input_messages.10.message.contents.0.message_content.text": "how",
        "llm.input_messages.10.message.contents.1.message_content.text": "much?",
        "llm.input_messages.2.message.role": "user",
        "llm.input_messages.2.message.content": "hi",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "let me see",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "price",
        "input.value": "raw",
    },
    "openllmetry": {
        "llm.request.type": "chat",
        "gen_ai.system": "Anthropic",
        "gen_ai.request.model": "c-2",
        "traceloop.association.properties.session_id": "s",
        "traceloop.association.properties.user_id": "u",
        "gen_ai.usage.prompt_tokens": 100,
        "gen_ai.usage.completion_tokens": 20,
        "gen_ai.usage.cache_read_input_tokens": 60,
        "gen_ai.usage.cache_creation_input_tokens": 10,
        "gen_ai.usage.reasoning_tokens": 5,
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": json.dumps(OPENAI[2]["content"]),
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "let me see",
        "gen_ai.completion.0.finish_reason": "stop",
        "gen_ai.completion.0.tool_calls.0.name": "price",
    },
    "langfuse": {
        "langfuse.observation.type": "generation",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.system": "anthropic",
        "langfuse.observation.model.name": "c-2",
        "langfuse.session.id": "s",
        "langfuse.user.id": "u",
        "langfuse.observation.usage_details": json.dumps(
            {
                "input": 30,
                "output": 15,
                "cache_read_input_tokens": 60,
                "cache_creation_input_tokens": 10,
                "output_reasoning_tokens": 5,
            }
        ),
        "langfuse.observation.cost_details": json.dumps({"input": 0.2, "output": 0.05}),
        "langfuse.observation.input": json.dumps({"messages": OPENAI}),
        "langfuse.observation.output": json.dumps(OPENAI_ANSWER),
    },
    "langfuse, its client of OpenAI": {
        "langfuse.observation.type": "generation",
        "gen_ai.provider.name": "anthropic",
        "langfuse.observation.model.name": "c-2",
        "session.id": "s",
        "user.id": "u",
        "langfuse.observation.usage_details": json.dumps(
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 120,
                "prompt_tokens_details": {"cached_tokens": 60},
                "completion_tokens_details": {"reasoning_tokens": 5},
                "cache_creation_input_tokens": 10,
            }
        ),
        "langfuse.observation.input": json.dumps(OPENAI),
        "langfuse.observation.output": json.dumps(OPENAI_ANSWER),
    },
    "by model and tokens alone": {
        "ai.model.provider": "anthropic",
        "ai.model.id": "c-2",
        "ai.telemetry.metadata.sessionId": "s",
        "ai.telemetry.metadata.userId": "u",
        "ai.usage.promptTokens": 100,
        "ai.usage.completionTokens": 20,
        "gen_ai.usage.cache_read_input_tokens": 60,
        "gen_ai.usage.cache_creation_input_tokens": 10,
        "gen_ai.usage.reasoning_tokens": 5,
        "input.value": json.dumps({"model": "c", "messages": OPENAI}),
        "output.value": json.dumps({"choices": [{"message": OPENAI_ANSWER, "finish_reason": "stop"}]}),
    },
}


@pytest.mark.parametrize("attributes", CONVENTIONS.values(), ids=CONVENTIONS)
def test_every_convention_says_the_same_of_a_turn(tiny: TinyLake, attributes: dict[str, Any]) -> None:
    land(tiny, working("chat", 9, COMMON | attributes, seconds=1.5))
    build(tiny)
    (turn,) = tiny.ask("FROM otel.turns")
    kept = {name: value for name, value in turn.items() if name in {
        "session_id", "turn_index", "user_id", "provider", "model", "user_message", "response", "input_tokens",
        "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "charged_usd", "duration_ms",
        "requested_tools", "error_type",
    }}  # fmt: skip
    assert kept == {
        "session_id": "s",
        "turn_index": 0,
        "user_id": "u",
        "provider": "anthropic",
        "model": "c-2",
        "user_message": "how\nmuch?",
        "response": "let me see",
        "input_tokens": 100,
        "output_tokens": 20,
        "cache_read_tokens": 60,
        "cache_write_tokens": 10,
        "reasoning_tokens": 5,
        "charged_usd": pytest.approx(0.25),
        "duration_ms": 1500,
        "requested_tools": ["price"],
        "error_type": None,
    }
    if "langfuse.observation.type" not in attributes and "ai.model.id" not in attributes:
        assert turn["finish_reason"] == "stop"


@pytest.mark.parametrize("place", ["span", "log"])
@pytest.mark.parametrize("style", ["details", "messages"])
def test_messages_are_found_in_events_beside_the_span(tiny: TinyLake, place: str, style: str) -> None:
    """Content stands on events in some versions of the conventions; as log records they may come on the next day."""
    if style == "details":
        attributes = {"gen_ai.input.messages": ASKED, "gen_ai.output.messages": ANSWERED}
        events = [("gen_ai.client.inference.operation.details", attributes)]
    else:
        events = [
            ("gen_ai.user.message", {"content": "hi"}),
            ("gen_ai.user.message", {"content": "how\nmuch?"}),
            ("gen_ai.choice", {"message": {"content": "let me see"}}),
        ]
    nanos = 1_767_657_600 * 10**9  # midnight
    if place == "span":
        beside = [{"name": name, "timeUnixNano": nanos, "attributes": pairs(values)} for name, values in events]
        land(tiny, working("chat", 23.99, {"gen_ai.operation.name": "chat"}, events=beside))
    else:
        land(tiny, working("chat", 23.99, {"gen_ai.operation.name": "chat"}))
        about = {"traceId": short("t", 32), "spanId": short("chat")}
        tiny.land(
            *as_landed(
                logs(
                    *(
                        record(
                            **about,
                            eventName=name,
                            timeUnixNano=nanos + number,
                            **({"attributes": pairs(values)} if style == "details" else {"body": told(values)}),
                        )
                        for number, (name, values) in enumerate(events)
                    )
                ),
                "logs",
            )
        )
    build(tiny)
    (turn,) = tiny.ask("SELECT user_message, response FROM otel.turns")
    assert turn == {"user_message": "how\nmuch?", "response": "let me see"}


def used(**parts: Any) -> dict[str, Any]:
    return {"langfuse.observation.usage_details": json.dumps(parts)}


TOKENS: list[tuple[dict[str, Any], int, int]] = [
    ({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 80}, 100, 0),
    ({"gen_ai.usage.input_tokens": 20, "gen_ai.usage.cache_read.input_tokens": 80}, 100, 0),
    ({"gen_ai.usage.input_tokens": 80, "gen_ai.usage.cache_creation.input_tokens": 80}, 80, 0),
    ({"gen_ai.usage.cache_read.input_tokens": 80}, 80, 0),
    ({"gen_ai.usage.output_tokens": 3, "gen_ai.usage.reasoning.output_tokens": 9}, 0, 12),
    ({"gen_ai.usage.output_tokens": 10, "gen_ai.usage.reasoning.output_tokens": 9}, 0, 10),
    (used(input_tokens=20, output_tokens=3, cache_read_input_tokens=80), 100, 3),
    (used(input_tokens=100, input_tokens_details={"cached_tokens": 80}), 100, 0),
    (used(input=20, input_cached_tokens=80, output=3, output_reasoning_tokens=1), 100, 4),
    ({"gen_ai.usage.input_tokens": -5, "gen_ai.usage.output_tokens": "many"}, 0, 0),
    ({"gen_ai.usage.input_tokens": 2**63 - 1, "gen_ai.usage.cache_read.input_tokens": 2**63 - 1}, 0, 0),
]


def test_cached_and_reasoning_tokens_are_within(tiny: TinyLake) -> None:
    """Parts that are more than the whole were left out of it; impossible counts are none, and spoil no other."""
    for number, (attributes, _, _) in enumerate(TOKENS):
        known = {"gen_ai.operation.name": "chat", "gen_ai.usage.cost": float("inf")}
        land(tiny, working("chat", number, known | attributes, trace=f"t{number}"))
    build(tiny)
    turns = tiny.ask("SELECT input_tokens, output_tokens, charged_usd FROM otel.turns ORDER BY ts")
    assert [tuple(turn.values()) for turn in turns] == [(read, written, None) for _, read, written in TOKENS]


SHAPES = [
    *("[", "7", "null", '"text"', "[]", "{}", "[1, null, [2]]", "x" * 20_000, "\u0000", '{"messages": {}}'),
    *('[{"role": 5, "content": 7}]', '[{"parts": {"a": 1}}]', '{"choices": [1]}', '{"input": {}, "total": []}'),
    *('[{"content": [null, 3, "a", {"type": 9}]}]', '[{"content": "[{\\"type\\": oh"}]'),
]


def test_messages_of_any_shape_do_no_harm(tiny: TinyLake) -> None:
    for number, said in enumerate(SHAPES):
        attributes = CHAT | {"gen_ai.input.messages": said, "gen_ai.output.messages": said}
        attributes |= {"langfuse.observation.usage_details": said, "langfuse.observation.cost_details": said}
        tool = TOOL | {"gen_ai.tool.call.arguments": said, "gen_ai.tool.call.result": said}
        for span in (("agent", AGENT, None), ("chat", attributes, "agent"), ("tool", tool, "agent")):
            name, attributes, under = span
            land(tiny, working(name, 9, attributes, under=under, trace=f"t{number}"))
    build(tiny)
    for table, per_trace in {"turns": 1, "tool_calls": 1, "steps": 2, "actions": 1}.items():
        assert len(tiny.ask(f"FROM otel.{table}")) == per_trace * len(SHAPES), table
    for row in tiny.ask("SELECT args FROM otel.tool_calls"):
        assert isinstance(json.loads(row["args"]), dict)


def test_each_name_stands_once_in_the_list_and_once_in_its_order(models: Models) -> None:
    """A name that is read but in no coalesce, or the other way round, would be lost in silence."""
    for name in ("otel.spans", "otel.messages"):
        (model,) = (model for model in models if model.name == name)
        names = re.findall(r'"([\w.]+)": (?:"VARCHAR"|\{)', model.sql)
        assert len(names) > 5
        for attribute in names:
            assert f"['{attribute}']" in model.sql, attribute
        for attribute in re.findall(r"\b[arcu]\['([\w.]+)'\]", model.sql):
            assert attribute in names, attribute


# -- Trees -------------------------------------------------------------------------------------------------------------

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk"}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.provider.name": "p"}
EMBEDDINGS = {"gen_ai.operation.name": "embeddings"}
PLAIN = working("x", 9, {}, under="a")
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
USAGE = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 1}


def usage(read: int) -> dict[str, Any]:
    return {"gen_ai.usage.input_tokens": read}


@pytest.mark.parametrize(
    ("spans", "read"),
    [
        ([working("a", 9, AGENT | usage(30)), working("b", 9, CHAT | usage(10), under="a")], [10]),
        ([working("a", 9, AGENT | usage(30))], [30]),
        ([working("a", 9, AGENT | usage(30)), working("b", 9, AGENT | usage(30), under="a")], [30]),
        ([working("a", 9, AGENT | usage(30)), working("b", 9, CHAT, under="a")], [0, 30]),
        ([working("a", 9, CHAT | usage(9)), working("b", 9, CHAT | usage(9), under="a")], [9]),
        ([working("a", 9, CHAT), working("b", 9, CHAT, under="a")], [0]),
        ([working("a", 9, AGENT | usage(9)), working("b", 9, EMBEDDINGS | usage(2), under="a")], [9]),
        ([working("a", 9, AGENT | usage(9)), PLAIN, working("b", 9, CHAT | usage(8), under="x")], [8]),
        ([working("a", 9, AGENT | usage(9)), working("b", 9, CHAT | usage(9), under="gone")], [9, 9]),
        ([working("a", 9, CHAT | usage(1), trace="t"), working("b", 9, CHAT | usage(2), under="a", trace="u")], [1, 2]),
    ],
)  # fmt: skip
def test_no_token_counts_twice(tiny: TinyLake, spans: list[dict[str, Any]], read: list[int]) -> None:
    land(tiny, *spans)
    build(tiny)
    assert [row["input_tokens"] for row in tiny.ask("SELECT input_tokens FROM otel.turns ORDER BY ALL")] == read


def test_the_usage_that_an_agent_alone_tells_is_that_of_its_action(tiny: TinyLake) -> None:
    """Forbids looking only above a turn: an agent at the top of its trace would have no cost."""
    land(tiny, working("a", 9, AGENT | usage(9)), working("b", 5, AGENT | usage(4), under="a"))
    build(tiny)
    [turn] = tiny.ask("SELECT span_id, action_id FROM otel.turns")
    assert turn["action_id"].endswith("-" + turn["span_id"])
    assert tiny.ask("SELECT action_id FROM otel.actions WHERE parent_action_id IS NOT NULL") == [
        {"action_id": turn["action_id"]}
    ]


@st.composite
def forests(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows of otel.spans in two traces over three days; parents are earlier spans, absent ones, or none."""
    count = draw(st.integers(1, 14))
    spans: list[dict[str, Any]] = []
    for index in range(count):
        earlier = [None, "gone", *(span["span_id"] for span in spans)]
        day = draw(st.integers(-1, 1))
        operation = draw(st.sampled_from([None, "chat", "invoke_agent", "execute_tool", "chain", "embeddings"]))
        started = at(24 * day, seconds=index)
        spans.append(
            {
                "day": started.date(),
                "event_id": f"e{index:02d}",
                "trace_id": draw(st.sampled_from("tu")),
                "span_id": f"s{index}",
                "parent_span_id": draw(st.sampled_from(earlier)),
                "started_at": started,
                "operation": operation,
                "tool_name": draw(st.sampled_from("xy")) if operation == "execute_tool" else None,
                "session_id": draw(st.sampled_from([None, None, f"session {index}"])),
                "has_usage": draw(st.booleans()),
            }
        )
    return spans


def reference(span: dict[str, Any], spans: list[dict[str, Any]]) -> dict[str, Any]:
    """What otel.span_trees should say of a span, by walking, for reading."""
    by_id = {(other["trace_id"], other["span_id"]): other for other in spans}

    def above(one: dict[str, Any]) -> list[dict[str, Any]]:
        chain, last = [], one
        while last["parent_span_id"]:
            found = by_id.get((one["trace_id"], last["parent_span_id"]))
            if found is None or not one["day"] - timedelta(days=1) <= found["day"] <= last["day"]:
                break
            chain.append(found)
            last = found
        return chain

    def bills(one: dict[str, Any]) -> bool:
        return one["has_usage"] and one["operation"] != "embeddings"

    chain = above(span)
    below = [other for other in spans if span in above(other)]
    actions = [one for one in chain if one["operation"] == "invoke_agent"]
    doing = [one for one in chain if one["operation"] not in {None, "chain"}]
    has_usage_below = any(map(bills, below))
    has_call_below = any(one["operation"] == "chat" for one in below)
    is_turn = not has_usage_below and (bills(span) or (span["operation"] == "chat" and not has_call_below))
    said = [one["session_id"] for one in (span, *chain) if one["session_id"]]
    near = [one for one in spans if one["trace_id"] == span["trace_id"] and abs(one["day"] - span["day"]).days <= 1]
    said += [one["session_id"] for one in sorted(near, key=lambda one: one["started_at"]) if one["session_id"]]
    return {
        "action_id": f"{span['trace_id']}-{actions[0]['span_id']}" if actions else None,
        "is_step": bool(actions) and actions[0] is doing[0] and span["operation"] not in {None, "chain"},
        "is_turn": is_turn,
        "session_id": [*said, span["trace_id"]][0],
        "is_tool_again": [one["tool_name"] for one in doing[:1]] == [span["tool_name"] or "no tool"],
    }


@settings(max_examples=20, deadline=None)
@given(forests())
def test_trees_are_what_one_finds_by_walking(spans: list[dict[str, Any]]) -> None:
    """Each day by itself, and all of them at once: a range must not see more than its days would."""
    trees = model("otel.span_trees")
    days = [DAY + timedelta(days=day) for day in (-1, 0, 1)]
    window = timedelta(days=1)
    singly = [
        row
        for day in days
        for row in compute(
            trees, {"otel.spans": [span for span in spans if abs(span["day"] - day) <= window]}, start=day
        )
    ]
    together = compute(trees, {"otel.spans": spans}, start=days[0], stop=days[-1])

    def key(row: dict[str, Any]) -> str:
        return str(row["event_id"])

    assert sorted(singly, key=key) == sorted(together, key=key)
    found = {row["event_id"]: row for row in together}
    for span in spans:
        expected = reference(span, spans)
        assert {name: found[span["event_id"]][name] for name in expected} == expected


def model(name: str) -> Model:
    return next(model for model in PROJECT_MODELS if model.name == name)


def test_spans_in_a_circle_end(tiny: TinyLake) -> None:
    """Ids come from outside; what points at itself must not keep a day from being made."""
    land(tiny, working("a", 9, CHAT, under="b"), working("b", 9, AGENT, under="a"), working("c", 9, CHAT, under="c"))
    build(tiny)
    assert len(tiny.ask("FROM otel.span_trees")) == 3


# -- A whole trace -----------------------------------------------------------------------------------------------------

WORK = [
    working("agent", 23.9, AGENT | USAGE | {"gen_ai.conversation.id": "s", "user.id": "u"}, seconds=900),
    working("one", 23.91, CHAT | USAGE | {"gen_ai.output.messages": ANSWERED}, under="agent"),
    working("chain", 23.92, {"openinference.span.kind": "CHAIN"}, under="agent", seconds=60),
    working(
        "tool",
        23.93,
        TOOL | {"gen_ai.tool.call.arguments": '{"q": 1}', "error.type": "Timeout"},
        under="chain",
        status={"code": 2, "message": "too slow"},
        events=[{"name": "exception", "attributes": pairs({"exception.message": "late", "exception.type": "T"})}],
    ),
    working("again", 23.931, TOOL, under="tool"),
    working("two", 24.01, CHAT | USAGE | {"gen_ai.output.messages": [parts("assistant", "done")]}, under="agent"),
    working("late", 24.02, TOOL | {"gen_ai.tool.name": "send", "gen_ai.tool.call.arguments": "[1]"}, under="agent"),
    working("sub", 24.03, AGENT | {"gen_ai.agent.name": "helper"}, under="late"),
    working("three", 24.031, CHAT | USAGE, under="sub"),
    working("http", 24.04, {"http.method": "GET"}, under="agent"),
]


def agent_id(name: str) -> str:
    return f"{short('t', 32)}-{short(name)}"


def test_a_trace_over_midnight_is_one_piece_of_work(tiny: TinyLake) -> None:
    land(tiny, *WORK)
    build(tiny, NEXT, "attribution.actions", "attribution.steps")
    turns = tiny.ask("SELECT session_id, turn_index, user_id, agent_id, action_id FROM otel.turns ORDER BY turn_index")
    assert turns == [
        {"session_id": "s", "turn_index": 0, "user_id": "u", "agent_id": "clerk", "action_id": agent_id("agent")},
        {"session_id": "s", "turn_index": 1, "user_id": "u", "agent_id": "clerk", "action_id": agent_id("agent")},
        {"session_id": "s", "turn_index": 2, "user_id": "u", "agent_id": "helper", "action_id": agent_id("sub")},
    ]
    calls = tiny.ask(
        "SELECT turn_index, call_index, tool_name, args, ok, error, error_type FROM otel.tool_calls ORDER BY ts"
    )
    assert calls == [
        {
            "turn_index": 0,
            "call_index": 0,
            "tool_name": "search",
            "args": '{"q": 1}',
            "ok": False,
            "error": "too slow",
            "error_type": "Timeout",
        },
        {
            "turn_index": 1,
            "call_index": 0,
            "tool_name": "send",
            "args": '{"value":[1]}',
            "ok": True,
            "error": None,
            "error_type": None,
        },
    ]
    steps = tiny.ask("SELECT action_id, step_index, decision, actor FROM otel.steps ORDER BY ts")
    assert steps == [
        {"action_id": agent_id("agent"), "step_index": 0, "decision": "price", "actor": "clerk"},
        {"action_id": agent_id("agent"), "step_index": 1, "decision": "search", "actor": "clerk"},
        {"action_id": agent_id("agent"), "step_index": 2, "decision": "respond", "actor": "clerk"},
        {"action_id": agent_id("agent"), "step_index": 3, "decision": "send", "actor": "clerk"},
        {"action_id": agent_id("sub"), "step_index": 0, "decision": "respond", "actor": "helper"},
    ]
    actions = tiny.ask(
        "SELECT action_type, parent_action_id, status, duration_ms, step_count FROM attribution.actions ORDER BY 1"
    )
    assert [tuple(row.values()) for row in actions] == [
        ("clerk", None, "completed", 900_000, 4),
        ("helper", agent_id("agent"), "completed", 1_000, 1),
    ]
    united = tiny.ask("SELECT decision FROM attribution.steps WHERE day = DATE '2026-01-05' ORDER BY position")
    assert [row["decision"] for row in united] == ["price", "search", "respond", "send"]


def test_the_order_of_arrival_and_repetition_change_nothing(tiny: TinyLake, models: Models) -> None:
    """Spans come as they end, children first, and again when an answer was lost; ingest drops equal ids."""
    land(tiny, *WORK)
    build(tiny, NEXT)
    shuffled = TinyLake(models)
    spans = [*WORK]
    random.Random(7).shuffle(spans)
    for span in spans:
        land(shuffled, span)
    build(shuffled, DAY)
    shuffled.build(*OTEL, start=NEXT)
    for name in OTEL:
        assert tiny.ask(f"FROM {name} ORDER BY day, event_id") == shuffled.ask(f"FROM {name} ORDER BY day, event_id")


def test_a_span_that_came_in_under_two_identities_counts_once(tiny: TinyLake) -> None:
    """Whoever sends spans as events of the contract names them as he likes."""
    (landed,) = as_landed(traces(working("chat", 9, CHAT | USAGE)))
    tiny.land(landed, landed | {"event_id": "another"})
    build(tiny)
    assert len(tiny.ask("FROM otel.turns")) == 1


def test_a_child_waits_for_no_parent(tiny: TinyLake) -> None:
    land(tiny, working("one", 9, CHAT | USAGE, under="agent"))
    build(tiny, DAY)
    assert tiny.ask("SELECT session_id, action_id FROM otel.turns") == [
        {"session_id": short("t", 32), "action_id": None}
    ]
    land(tiny, working("agent", 8.9, AGENT | {"session.id": "s"}, seconds=900))
    build(tiny, DAY)
    assert tiny.ask("SELECT session_id, action_id FROM otel.turns") == [
        {"session_id": "s", "action_id": agent_id("agent")}
    ]


@pytest.mark.parametrize(
    ("attributes", "status", "error_type", "error"),
    [
        ({"error.type": "rate_limit"}, {}, "rate_limit", "rate_limit"),
        ({}, {"code": 2, "message": "it broke"}, "_OTHER", "it broke"),
        ({}, {"code": 2}, "_OTHER", None),
        ({}, {"code": 1}, None, None),
        ({"langfuse.observation.level": "ERROR", "langfuse.observation.status_message": "no"}, {}, "_OTHER", "no"),
    ],
)
def test_failures_carry_their_class(tiny: TinyLake, attributes: Any, status: Any, error_type: Any, error: Any) -> None:
    land(
        tiny,
        working("agent", 9, AGENT | attributes, status=status),
        working("chat", 9, CHAT | attributes, status=status),
    )
    build(tiny)
    assert tiny.ask("SELECT error_type, error FROM otel.turns") == [{"error_type": error_type, "error": error}]
    (action,) = tiny.ask("SELECT outcome FROM otel.actions")
    assert json.loads(action["outcome"])["status"] == ("error" if error_type else "completed")
    assert json.loads(action["outcome"]).get("error_type") == error_type


def test_a_chain_that_begins_a_trace_is_the_workflow(tiny: TinyLake) -> None:
    chain = {"openinference.span.kind": "CHAIN"}
    land(
        tiny, working("top", 9, chain), working("inner", 9, chain, under="top"), working("chat", 9, CHAT, under="inner")
    )
    build(tiny)
    assert [row["operation"] for row in tiny.ask("SELECT operation FROM otel.actions")] == ["invoke_workflow"]
    assert tiny.ask("SELECT action_id FROM otel.steps") == [{"action_id": agent_id("top")}]


@pytest.mark.parametrize("way", ["log", "event", "attributes", "evaluator", "annotation"])
def test_an_evaluation_is_an_observation_of_the_action(tiny: TinyLake, way: str) -> None:
    said = {
        "gen_ai.evaluation.name": "relevance",
        "gen_ai.evaluation.score.value": 0.75,
        "gen_ai.evaluation.score.label": "pass",
    }
    old = {"evaluation.name": "relevance", "evaluation.score": 0.75, "evaluation.label": "pass"}
    agent = working("agent", 9, AGENT)
    if way == "event":
        event = {"name": "gen_ai.evaluation.result", "attributes": pairs(said)}
        land(tiny, agent, working("chat", 9, CHAT, under="agent", events=[event]))
    elif way == "attributes":
        land(tiny, agent, working("chat", 9, CHAT | said, under="agent"))
    else:
        land(tiny, agent, working("chat", 9, CHAT, under="agent"))
    if way == "evaluator":
        land(tiny, working("judge", 9.1, {"openinference.span.kind": "EVALUATOR"} | old, under="chat"))
    if way == "annotation":
        noted = {name.replace("evaluation", "annotation"): value for name, value in old.items()}
        land(tiny, working("note", 9.1, noted, under="agent"))
    if way == "log":
        about = {"traceId": short("t", 32), "spanId": short("chat"), "eventName": "gen_ai.evaluation.result"}
        nanos = 1_767_607_200 * 10**9
        tiny.land(*as_landed(logs(record(**about, timeUnixNano=nanos, attributes=pairs(said))), "logs"))
    build(tiny, DAY, "attribution.actions", "attribution.observations")
    (found,) = tiny.ask("SELECT action_id, observation_type, data FROM otel.observations")
    assert found["action_id"] == agent_id("agent")
    assert json.loads(found["data"]) == {"name": "relevance", "score": 0.75, "label": "pass"}
    assert len(tiny.ask("FROM attribution.observations")) == 1


def test_a_span_with_a_broken_clock_is_of_the_day_it_was_received(tiny: TinyLake) -> None:
    land(tiny, working("chat", -24 * 900, CHAT | USAGE))
    tiny.build(*OTEL, start=NOW.date())
    assert tiny.ask("SELECT day, ts FROM otel.turns") == [{"day": NOW.date(), "ts": NOW}]
