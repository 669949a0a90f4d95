"""Importing exports of Langfuse, from small ones written by hand in its shapes."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.importing import landed, of

from oplake.landing.importers import Imported, NotImportable
from oplake.landing.importers.langfuse import import_langfuse
from oplake.landing.importers.langfuse.fields import cost_of, provider_of, tokens_of
from oplake.landing.writer import SegmentWriter

TODAY = datetime(2026, 3, 1, 12, tzinfo=UTC)
Row = dict[str, Any]


def at(second: float) -> str:
    return (datetime(2026, 2, 3, 9, tzinfo=UTC) + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")


TRACE = {
    "id": "trace-1",
    "timestamp": at(0),
    "name": "refund",
    "sessionId": "session-1",
    "userId": "user-1",
    "projectId": "shop",
    "tags": ["eu"],
    "input": {"order": 7},
    "output": {"refunded": True},
}


def observation(id_: str, kind: str, began: float, ended: float, parent: str | None = None, **fields: Any) -> Row:
    return {
        "id": id_,
        "traceId": "trace-1",
        "type": kind,
        "name": f"{kind.lower()}-{id_}",
        "startTime": at(began),
        "endTime": at(ended),
        "parentObservationId": parent,
        "level": "DEFAULT",
    } | fields


OBSERVATIONS = [
    observation("a1", "AGENT", 0, 9, name="clerk", input={"order": 7}, output="Refunded."),
    observation(
        "g1",
        "GENERATION",
        1,
        3,
        "a1",
        name="plan",
        model="gpt-4o-mini",
        input=[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Refund order 7"}],
        output={"role": "assistant", "content": "I look it up."},
        usageDetails={
            "input": 100,
            "input_cached_tokens": 40,
            "output": 20,
            "output_reasoning_tokens": 5,
            "total": 165,
        },
        costDetails={"input": 0.001, "output": 0.002, "total": 0.003},
        promptName="clerk",
        promptVersion=3,
    ),
    observation("t1", "TOOL", 4, 4.5, "a1", name="look_up", input={"order": 7}, output={"paid": True}),
    observation("r1", "RETRIEVER", 4.6, 5, "a1", input="refund rules", output=["rule 1"]),
    observation("t2", "TOOL", 5, 6, "a1", name="refund", level="ERROR", statusMessage="the till is closed"),
    observation("e1", "EVENT", 6, 6, "a1", name="handed over", input={"to": "Ann"}),
    observation("g2", "GENERATION", 7, 9, "a1", model="claude-sonnet-4-5", input="Say it", output="Refunded."),
    observation("s1", "SPAN", 9, 10, name="write log"),
]
SCORES = [
    {"id": "sc1", "traceId": "trace-1", "name": "helpful", "value": 0.9, "dataType": "NUMERIC", "source": "EVAL"}
    | {"timestamp": at(20), "comment": "well done", "trace": {"userId": "user-1", "tags": []}},
    {"id": "sc2", "traceId": "trace-1", "observationId": "g1", "name": "tone", "value": 1, "stringValue": "kind"}
    | {"dataType": "CATEGORICAL", "source": "ANNOTATION", "authorUserId": "ann", "timestamp": at(21)},
    {"id": "sc3", "sessionId": "session-1", "name": "mood", "value": 0, "dataType": "NUMERIC", "timestamp": at(22)},
]
EVERYTHING = [TRACE, *OBSERVATIONS, *SCORES]

Import = Callable[..., tuple[Imported, list[Row]]]


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Import content under a name, or what stands in the folder; returns the counts and what landed."""

    def do(content: Any = None, name: str = "export.json", *, now: datetime = TODAY) -> tuple[Imported, list[Row]]:
        folder = tmp_path / "exports"
        folder.mkdir(exist_ok=True)
        path = folder
        if content is not None:
            path = folder / name
            path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        already = len(landed(tmp_path / "landing"))
        writer = SegmentWriter(tmp_path / "landing")
        try:
            done = import_langfuse(path, writer, received_at=now)
        finally:
            writer.close()
        return done, landed(tmp_path / "landing")[already:]

    return do


def bodies(events: list[Row]) -> list[Row]:
    made = [{key: value for key, value in event.items() if key != "received_at"} for event in events]
    return sorted(made, key=lambda event: str(event["event_id"]))


def test_a_trace_and_an_agent_are_actions(imported: Import) -> None:
    done, events = imported(EVERYTHING)
    assert done.by_kind == {
        "action_begun": 2,
        "action_completed": 2,
        "observation": 6,
        "session_event": 2,
        "step": 6,
        "tool_call": 3,
        "turn": 2,
    }
    trace, agent = of(events, "action_begun")
    assert (trace["action_id"], trace["action_type"], trace["agent_id"], trace["ts"]) == (
        "trace-1",
        "refund",
        "refund",
        at(0),
    )
    assert trace["extra"]["tags"] == ["eu"]
    assert (agent["action_id"], agent["action_type"], agent["parent_action_id"]) == ("a1", "clerk", "trace-1")
    ended = {event["action_id"]: event for event in of(events, "action_completed")}
    assert ended["trace-1"]["outcome"] == {"status": "completed", "output": {"refunded": True}}
    assert (ended["trace-1"]["ts"], ended["a1"]["ts"]) == (at(10), at(9))
    steps = [(step["action_id"], step["step_index"], step["decision"]) for step in of(events, "step")]
    assert steps == [
        ("a1", 0, "plan"),
        ("a1", 1, "look_up"),
        ("a1", 2, "retriever-r1"),
        ("a1", 3, "refund"),
        ("a1", 4, "generation-g2"),
        ("trace-1", 0, "write log"),
    ]


def test_a_generation_is_a_turn(imported: Import) -> None:
    _, events = imported(EVERYTHING)
    first, second = of(events, "turn")
    assert {key: value for key, value in first.items() if key not in {"kind", "event_id", "received_at"}} == {
        "ts": at(1),
        "source": "langfuse",
        "session_id": "session-1",
        "turn_index": 0,
        "user_id": "user-1",
        "agent_id": "clerk",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "user_message": "Refund order 7",
        "response": "I look it up.",
        "project_id": "shop",
        "input_tokens": 140,
        "output_tokens": 25,
        "cache_read_tokens": 40,
        "reasoning_tokens": 5,
        "charged_usd": 0.003,
        "duration_ms": 2_000.0,
        "extra": {"observation_id": "g1", "trace_id": "trace-1", "prompt_name": "clerk", "prompt_version": 3},
    }
    assert (second["turn_index"], second["provider"], second.get("charged_usd")) == (1, "anthropic", None)


def test_tools_belong_to_the_turn_before_them(imported: Import) -> None:
    _, events = imported(EVERYTHING)
    look_up, retriever, refund = of(events, "tool_call")
    assert [(call["turn_index"], call["call_index"]) for call in (look_up, retriever, refund)] == [
        (0, 0),
        (0, 1),
        (0, 2),
    ]
    assert (look_up["args"], look_up["ok"], look_up["output"], look_up["duration_ms"]) == (
        {"order": 7},
        True,
        '{"paid": true}',
        500.0,
    )
    assert retriever["args"] == {"input": "refund rules"}
    assert (refund["ok"], refund["error"]) == (False, "the till is closed")
    [error] = [event for event in of(events, "session_event") if event["event_type"] == "error"]
    assert (error["content"], error["detail"]["name"]) == ("the till is closed", "refund")
    seen = [(each["observation_type"], each["data"]) for each in of(events, "observation")][:4]
    assert seen == [
        ("tool_result", {"result": {"paid": True}}),
        ("tool_result", {"result": ["rule 1"]}),
        ("tool_result", {"error": "the till is closed"}),
        ("handed over", {"input": {"to": "Ann"}}),
    ]


def test_scores_are_observations_of_what_they_are_about(imported: Import) -> None:
    _, events = imported(EVERYTHING)
    helpful, tone = of(events, "observation")[4:]
    assert (helpful["action_id"], helpful["observation_type"], helpful["reported_by"]) == ("trace-1", "helpful", "EVAL")
    assert helpful["data"] == {"value": 0.9, "data_type": "NUMERIC", "comment": "well done"}
    assert (tone["action_id"], tone["reported_by"], tone["ts"]) == ("a1", "ann", at(21))
    assert tone["data"] == {"value": 1, "label": "kind", "data_type": "CATEGORICAL", "observation_id": "g1"}
    [mood] = [event for event in of(events, "session_event") if event["event_type"] == "review"]
    assert (mood["session_id"], mood["content"]) == ("session-1", "mood: 0")


def test_scores_that_are_columns_of_a_table_are_observations_too(imported: Import) -> None:
    """Forbids passing over keys that are not known: tables of the UI have their scores there, and nowhere else.

    A column repeats what has a row of its own, and that of a trace what those of its observations say.
    """
    trace = TRACE | {"answer_relevance": [0.5, 0.75], "tone": ["kind"], "mood": None, "helpful": [0.9]}
    generation = next(row for row in OBSERVATIONS if row["id"] == "g1") | {"tone": ["kind"], "toolCallNames": ["pay"]}
    done, events = imported([trace, generation, SCORES[0]])
    found = [(each["action_id"], each["observation_type"], each["data"]) for each in of(events, "observation")]
    assert done.rejected == 0
    assert found == [
        ("trace-1", "helpful", {"value": 0.9, "data_type": "NUMERIC", "comment": "well done"}),
        ("trace-1", "tone", {"label": "kind", "observation_id": "g1"}),
        ("trace-1", "answer_relevance", {"value": 0.5}),
        ("trace-1", "answer_relevance", {"value": 0.75}),
    ]


def snake(row: Row) -> Row:
    """As scheduled exports write it: snake_case, times in UTC without saying so, JSON in texts."""
    made = {re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", key): value for key, value in row.items()}
    for name in ("timestamp", "start_time", "end_time"):
        if name in made:
            made[name] = made[name].replace("T", " ").removesuffix("Z") + ("" if "." in made[name] else ".000000")
    for name in ("input", "output", "usage_details", "cost_details"):
        if isinstance(made.get(name), dict | list):
            made[name] = json.dumps(made[name])
    return made


def lines(rows: list[Row]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


SHAPES: dict[str, list[tuple[str, Any]]] = {
    "a list": [("all.json", EVERYTHING)],
    "lines": [("all.jsonl", lines(EVERYTHING))],
    "lines, packed": [("all.jsonl.gz", gzip.compress(lines(EVERYTHING)))],
    "in any order": [("all.jsonl", lines(EVERYTHING[::-1]))],
    "pages of the API": [
        ("t.json", {"data": [TRACE | {"observations": ["g1"], "scores": ["sc1"]}], "meta": {"page": 1}}),
        ("o.json", {"data": OBSERVATIONS, "meta": {}}),
        ("s.json", {"data": SCORES}),
    ],
    "a trace of the API": [
        ("t.json", TRACE | {"observations": OBSERVATIONS, "scores": SCORES[:2]}),
        ("s.jsonl", lines(SCORES[2:])),
    ],
    "a trace of the UI": [
        ("t.json", {"trace": TRACE | {"scores": SCORES[:2]}, "observations": OBSERVATIONS}),
        ("s.jsonl", lines(SCORES[2:])),
    ],
    "a session": [
        ("s.json", {"id": "session-1", "traces": [TRACE | {"observations": OBSERVATIONS}], "scores": SCORES})
    ],
    "twice": [("a.jsonl", lines(EVERYTHING)), ("b.json", EVERYTHING)],
    "scheduled": [
        ("traces/1.jsonl", lines([snake(TRACE)])),
        ("observations/1.jsonl", lines([snake(row) for row in OBSERVATIONS])),
        ("scores/1.json", [snake(row) for row in SCORES]),
    ],
    "scheduled, enriched": [
        (
            "observations_v2/1.jsonl",
            lines(
                [
                    snake({"sessionId": "session-1", "userId": "user-1", "projectId": "shop"} | row)
                    for row in OBSERVATIONS
                ]
            ),
        ),
        ("traces/1.jsonl", lines([snake(TRACE)])),
        ("scores/1.jsonl", lines(SCORES)),
    ],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_all_shapes_say_the_same(imported: Import, tmp_path: Path, shape: str) -> None:
    for name, content in SHAPES[shape]:
        path = tmp_path / "exports" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content, indent=1).encode())
    done, events = imported()
    assert (done.rejected, done.breaks_off) == (0, "")
    assert bodies(events) == bodies(imported(EVERYTHING, "reference.json")[1])


def test_importing_again_adds_nothing(imported: Import) -> None:
    content = lines(EVERYTHING) + b"{broken\n[1]\n"
    _, first = imported(content, "a.jsonl")
    _, second = imported(content, "a.jsonl", now=TODAY + timedelta(days=1))
    assert bodies(first) == bodies(second)
    assert len({event["event_id"] for event in first}) == len(first)


BAD: list[tuple[Any, str]] = [
    (7, "is an object"),
    ({"id": "x"}, "neither a trace nor an observation nor a score"),
    (observation("", "SPAN", 0, 1), "no id"),
    (observation("x", "HOLOGRAM", 0, 1), "no observation of type"),
    (observation("x", "SPAN", 0, 1, traceId=None), "no traceId"),
    (observation("x", "SPAN", 0, 1, startTime="yesterday"), "no time"),
    (TRACE | {"id": "x", "timestamp": "soon"}, "no time"),
    ({"name": "s", "value": 1}, "no id"),
    ({"data": [{"what": 1}]}, "data 0: it is neither"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_bad_row_is_a_reject_and_stops_no_other(imported: Import, bad: Any, reason: str, name: str) -> None:
    rows = [*EVERYTHING[:3], bad, *EVERYTHING[3:]]
    done, events = imported(rows if name == "a.json" else lines(rows), name)
    assert done.rejected == 1
    assert done.taken == imported(EVERYTHING, "b.json")[0].taken
    [reject] = of(events, "reject")
    assert reason in reject["reason"]
    assert reject["origin"] == f"langfuse:{name}"
    assert (reject.get("line") == 4) == (name == "a.jsonl")


def test_a_line_that_is_no_json_stops_no_other(imported: Import) -> None:
    done, _ = imported(lines(EVERYTHING[:4]) + b"{broken\n\xff\xfe\n" + lines(EVERYTHING[4:]), "a.jsonl")
    assert (done.rejected, done.by_kind["turn"]) == (2, 2)


def test_a_list_that_breaks_off_gives_what_precedes_that(imported: Import) -> None:
    text = json.dumps(EVERYTHING).encode()
    done, _ = imported(text[: text.index(b'"s1"')])
    assert done.by_kind["turn"] == 2
    assert done.rejected == 1
    assert "it is no JSON" in done.breaks_off
    assert "has no end" in imported(text[:-1], "b.json")[0].breaks_off


def test_what_is_no_export_is_told(imported: Import, tmp_path: Path) -> None:
    with pytest.raises(NotImportable, match="there are no exports"):
        imported()
    with pytest.raises(NotImportable, match="there is no such file"):
        import_langfuse(tmp_path / "missing", SegmentWriter(tmp_path / "landing"), received_at=TODAY)
    done, _ = imported(b"", "empty.json")
    assert (done.taken, done.rejected) == (0, 0)


def test_a_circle_of_parents_ends(imported: Import) -> None:
    rows = [
        observation("x", "SPAN", 0, 1, "y"),
        observation("y", "SPAN", 0, 1, "x"),
        observation("z", "TOOL", 0, 1, "z"),
    ]
    assert imported(rows)[0].by_kind["step"] == 3


@pytest.mark.parametrize(
    ("row", "tokens"),
    [
        ({"usageDetails": {"input": 9, "output": 2, "total": 11}}, (9, 2, 0, 0, 0)),
        (
            {"usageDetails": {"input": 4, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 6}},
            (100, 0, 90, 6, 0),
        ),
        ({"usageDetails": {"input": 9, "input_cached_tokens": 5, "output": 2, "total": 11}}, (9, 2, 5, 0, 0)),
        ({"usage": {"input": 9, "output": 2, "total": 11, "unit": "TOKENS"}}, (9, 2, 0, 0, 0)),
        ({"usage": {"promptTokens": 9, "completionTokens": 2, "totalTokens": 11}}, (9, 2, 0, 0, 0)),
        ({"usage": {"input": 9, "output": 2, "unit": "CHARACTERS"}}, (0, 0, 0, 0, 0)),
        ({"promptTokens": 9, "completionTokens": 2}, (9, 2, 0, 0, 0)),
        ({"usageDetails": {"input": "9", "output": None}}, (0, 0, 0, 0, 0)),
        ({}, (0, 0, 0, 0, 0)),
    ],
)
def test_tokens_are_counted_once(row: Row, tokens: tuple[int, ...]) -> None:
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    found = tokens_of(row)
    assert tuple(found.get(name, 0) for name in names) == tokens


@pytest.mark.parametrize(
    ("row", "usd"),
    [
        ({"costDetails": {"total": 0.5}}, 0.5),
        ({"costDetails": {"input": 0.25, "output": 0.5}}, 0.75),
        ({"costDetails": {}, "calculatedTotalCost": 0.5}, 0.5),
        ({"totalCost": 0}, None),
        ({}, None),
    ],
)
def test_a_cost_that_is_not_known_is_none(row: Row, usd: float | None) -> None:
    assert cost_of(row) == usd


@pytest.mark.parametrize(
    ("row", "model", "provider"),
    [
        ({"metadata": {"ls_provider": "azure"}}, "gpt-4o", "azure"),
        ({"metadata": {"attributes": {"gen_ai.system": "groq"}}}, "llama", "groq"),
        ({"metadata": "none"}, "openai/gpt-4o", "openai"),
        ({}, "o3-mini", "openai"),
        ({}, "house-model", "unknown"),
    ],
)
def test_who_served_a_model_is_found(row: Row, model: str, provider: str) -> None:
    assert provider_of(row, model) == provider
