"""Importing result files of tau-bench, from small files written by hand in its shape."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.importing import bodies, landed, of

from oplake.landing.importers import Imported, NotImportable
from oplake.landing.importers.tau_bench import RUN_SECONDS, import_tau_bench
from oplake.landing.writer import SegmentWriter

TODAY = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOMORROW = datetime(2026, 3, 2, 12, tzinfo=UTC)

SYSTEM = {"role": "system", "content": "# Bakery agent policy\n\nSell no bread older than a day."}


def called(tool: str, arguments: Any, content: str | None = None) -> dict[str, Any]:
    function = {"name": tool, "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments)}
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }


def answered(tool: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "c1", "name": tool, "content": content}


def run(task_id: int = 0, trial: int = 0, reward: Any = 1.0, **changes: Any) -> dict[str, Any]:
    made = {
        "task_id": task_id,
        "reward": reward,
        "info": {"task": {"user_id": "u1", "instruction": "Buy two loaves.", "outputs": ["7.50"]}},
        "traj": [
            SYSTEM,
            {"role": "user", "content": "Two loaves, please."},
            called("get_stock", {"item": "loaf"}),
            answered("get_stock", '{"loaf": 4}'),
            called("sell", {"item": "loaf", "count": 2}, content="Selling two."),
            answered("sell", "Error: the till is closed"),
            {"role": "assistant", "content": "That is 7.50."},
            {"role": "user", "content": "Thanks ###STOP###"},
        ],
        "trial": trial,
    }
    return made | changes


Import = Callable[..., tuple[Imported, list[dict[str, Any]]]]


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Import content under a name into landing of its own; returns the summary and what landed."""

    def do(
        content: Any, *, name: str = "results.json", received_at: datetime = TODAY, **options: Any
    ) -> tuple[Imported, list[dict[str, Any]]]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        writer = SegmentWriter(tmp_path / "landing")
        already = len(landed(tmp_path / "landing"))
        try:
            done = import_tau_bench(path, writer, received_at=received_at, **options)
        finally:
            writer.close()
        return done, landed(tmp_path / "landing")[already:]

    return do


def test_a_run_is_an_action_with_its_steps_and_observations(imported: Import) -> None:
    done, events = imported([run()])
    assert done.by_kind == {"action_begun": 1, "action_completed": 1, "observation": 4, "step": 3}
    [begun] = of(events, "action_begun")
    assert {key: begun[key] for key in ("action_type", "goal_id", "agent_id", "expected_outcome")} == {
        "action_type": "bakery",
        "goal_id": "bakery/0",
        "agent_id": "tau-bench",
        "expected_outcome": {"reward": 1.0},
    }
    assert begun["acceptance_criteria"] == ["the answer says 7.50"]
    assert begun["extra"] == {"trial": 0, "instruction": "Buy two loaves."}
    steps = of(events, "step")
    assert [(s["step_index"], s["decision"]) for s in steps] == [(0, "get_stock"), (1, "sell"), (2, "respond")]
    assert steps[0]["state"] == {"item": "loaf"}
    assert steps[1]["description"] == "Selling two."
    assert steps[2]["description"] == "That is 7.50."
    seen = of(events, "observation")
    assert [(o["observation_type"], o["reported_by"]) for o in seen] == [
        ("user_message", "user"),
        ("tool_result", "get_stock"),
        ("tool_result", "sell"),
        ("user_message", "user"),
    ]
    assert seen[1]["data"] == {"result": {"loaf": 4}}
    assert seen[2]["data"] == {"error": "Error: the till is closed"}
    [completed] = of(events, "action_completed")
    assert completed["outcome"] == {"status": "completed", "reward": 1.0}
    assert {event["action_id"] for event in events} == {begun["action_id"]}


def test_times_follow_from_the_start_and_the_place(imported: Import) -> None:
    _, events = imported([run(0), run(1)], start=date(2026, 2, 1))
    assert [event["ts"] for event in of(events, "action_begun")] == ["2026-02-01T00:00:00Z", "2026-02-01T00:10:00Z"]
    times = [event["ts"] for event in events]
    assert times == sorted(times)
    assert RUN_SECONDS == 600


def test_every_trial_is_an_action_of_its_own_and_shares_its_goal(imported: Import) -> None:
    _, events = imported([run(3, trial, reward=trial % 2) for trial in range(4)])
    begun = of(events, "action_begun")
    assert len({event["action_id"] for event in begun}) == 4
    assert {event["goal_id"] for event in begun} == {"bakery/3"}
    assert [event["outcome"]["reward"] for event in of(events, "action_completed")] == [0, 1, 0, 1]


def test_runs_that_are_alike_to_the_letter_stay_apart(imported: Import) -> None:
    """Forbids ids by the content of a run alone: a deterministic agent repeats itself in files that have no trial."""
    alike = {key: value for key, value in run().items() if key != "trial"}
    _, events = imported([alike, alike])
    assert len({event["action_id"] for event in events}) == 2


def test_importing_again_tomorrow_under_another_name_makes_the_same_events(imported: Import) -> None:
    content = [run(0), run(1, reward=0.0), {"task_id": 2}]
    _, first = imported(content)
    _, second = imported(content, name="renamed.json", received_at=TOMORROW)
    _, third = imported(gzip.compress(json.dumps(content, indent=None).encode()), name="packed.json.gz")
    assert bodies(first) == bodies(second) == bodies(third)


def test_results_that_were_added_later_leave_the_earlier_ones_alone(imported: Import) -> None:
    """tau-bench rewrites its file after every run."""
    _, first = imported([run(0)])
    _, second = imported([run(0), run(1)])
    assert bodies(second)[: len(first)] == bodies(first)


def test_another_start_makes_other_actions(imported: Import) -> None:
    """Forbids two beginnings of one action on two days."""
    _, first = imported([run()], start=date(2026, 2, 1))
    _, second = imported([run()], start=date(2026, 2, 2))
    assert not {event["action_id"] for event in first} & {event["action_id"] for event in second}


def test_a_run_that_crashed_is_an_error(imported: Import) -> None:
    crashed = run(reward=0.0, info={"error": "RateLimitError: slow down", "traceback": "…"}, traj=[])
    _, events = imported([crashed], domain="bakery")
    assert [event["kind"] for event in events] == ["action_begun", "action_completed"]
    assert events[1]["outcome"] == {"status": "error", "error": "RateLimitError: slow down", "reward": 0.0}


@pytest.mark.parametrize("info", [None, "text", {}, {"reward_info": {"info": None}}, {"task": None}])
def test_info_may_be_anything(imported: Import, info: Any) -> None:
    done, _ = imported([run(info=info)])
    assert done.rejected == 0


def test_older_ways_to_write_calls_are_read(imported: Import) -> None:
    messages = [
        SYSTEM,
        {"role": "assistant", "content": None, "function_call": {"name": "get_stock", "arguments": "{}"}},
        {"role": "function", "name": "get_stock", "content": "plenty"},
        called("note_down", "not json"),
        {"role": "assistant", "content": [{"type": "text", "text": "Done."}]},
        {"role": "assistant", "content": None},
    ]
    _, events = imported([run(traj=messages)])
    steps = of(events, "step")
    assert [step["decision"] for step in steps] == ["get_stock", "note_down", "respond"]
    assert steps[1]["state"] == {"arguments": "not json"}
    assert of(events, "observation")[0]["data"] == {"result": "plenty"}


def test_several_calls_in_one_message_are_several_steps(imported: Import) -> None:
    both = called("a", {})
    both["tool_calls"] += called("b", {"x": 1})["tool_calls"]
    _, events = imported([run(traj=[SYSTEM, both])])
    steps = of(events, "step")
    assert [(step["step_index"], step["decision"]) for step in steps] == [(0, "a"), (1, "b")]
    assert len({step["event_id"] for step in steps}) == 2


def test_simulations_of_tau2_are_read(imported: Import) -> None:
    document = {
        "timestamp": "2026-01-01T00:00:00",
        "info": {"environment_info": {"domain_name": "telecom"}, "agent_info": {"llm": "some-model"}},
        "tasks": [{"id": "t1"}],
        "simulations": [
            {
                "id": "s1",
                "task_id": "t1",
                "trial": 0,
                "reward_info": {"reward": 1.0},
                "termination_reason": "user_stop",
                "messages": [
                    {"role": "assistant", "content": "Hello"},
                    {"role": "user", "content": None, "tool_calls": [{"name": "toggle", "arguments": {"on": True}}]},
                    {"role": "tool", "requestor": "user", "content": "Roaming is on", "error": False},
                    {"role": "assistant", "content": "", "tool_calls": [{"name": "check", "arguments": {"n": 1}}]},
                ],
            }
        ],
    }  # fmt: skip
    done, events = imported(document)
    assert done.rejected == 0
    [begun] = of(events, "action_begun")
    assert (begun["action_type"], begun["agent_id"], begun["goal_id"]) == ("telecom", "some-model", "telecom/t1")
    assert [step["decision"] for step in of(events, "step")] == ["respond", "check"]
    assert of(events, "observation")[0]["data"] == {"tool_calls": [{"name": "toggle", "arguments": {"on": True}}]}
    assert of(events, "action_completed")[0]["outcome"]["termination_reason"] == "user_stop"


def test_one_result_a_line_is_read(imported: Import) -> None:
    content = "\n".join(json.dumps(run(task)) for task in range(3)).encode()
    _, events = imported(content + b'\n{"torn": \n' + json.dumps(run(3)).encode() + b"\n")
    assert len(of(events, "action_begun")) == 4
    [reject] = of(events, "reject")
    assert reject["line"] == 4
    assert reject["byte_offset"] == len(content) + 1


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (5, "not int"),
        ({"reward": 1.0, "traj": []}, "task_id"),
        (run(reward="high"), "reward"),
        (run(reward=float("nan")), "reward"),
        ({"task_id": 1, "reward": 1.0}, "messages"),
    ],
)
def test_a_run_that_cannot_be_used_is_one_reject_and_its_neighbours_land(
    imported: Import, broken: Any, reason: str
) -> None:
    done, events = imported([run(0), broken, run(2)])
    assert [event["goal_id"] for event in of(events, "action_begun")] == ["bakery/0", "bakery/2"]
    [reject] = of(events, "reject")
    assert reason in reject["reason"]
    assert reject["byte_offset"] == len(json.dumps([run(0)])) + 1
    assert reject["origin"] == done.origin


def test_a_message_that_cannot_be_read_is_a_reject_with_its_number(imported: Import) -> None:
    messages = [SYSTEM, {"role": "narrator", "content": "…"}, 7, {"role": "assistant", "content": "Hello"}]
    _, events = imported([run(traj=messages)])
    assert [reject["reason"].split(":")[0] for reject in of(events, "reject")] == ["message 1", "message 2"]
    assert [step["step_index"] for step in of(events, "step")] == [0]


def test_bytes_that_are_not_text_are_rejects(imported: Import) -> None:
    content = json.dumps([run(0), run(1)]).encode().replace(b"That is 7.50.", b"That is \xff\xfe.", 1)
    _, events = imported(content)
    assert Counter(event["kind"] for event in events)["reject"] == 1
    assert len(of(events, "action_completed")) == 2


def test_a_file_that_breaks_off_keeps_its_whole_runs(imported: Import) -> None:
    content = json.dumps([run(0), run(1), run(2)]).encode()
    done, events = imported(content[:-200])
    assert "no JSON" in done.breaks_off
    assert len(of(events, "action_begun")) == 2
    [reject] = of(events, "reject")
    assert "not JSON" in reject["reason"]
    assert reject["raw_bytes"] > 500


def test_a_file_that_breaks_off_between_two_runs_is_not_whole(imported: Import) -> None:
    done, events = imported(json.dumps([run(0), run(1)]).encode()[:-1] + b", ")
    assert "no end" in done.breaks_off
    assert len(of(events, "action_completed")) == 2
    assert not imported([run(0), run(1)])[0].breaks_off


def test_nesting_without_end_is_a_reject(imported: Import) -> None:
    content = json.dumps([run(0)]).encode()[:-1] + b", " + b"[" * 200_000
    _, events = imported(content)
    assert len(of(events, "action_begun")) == 1
    assert len(of(events, "reject")) == 1


@pytest.mark.parametrize(
    ("system", "name", "domain", "action_type"),
    [
        ("# Retail agent policy", "airline.json", None, "retail"),  # what the content says comes first
        ("Be kind.", "model-airline.json", None, "airline"),
        ("# Retail agent policy", "results.json", "shop", "shop"),
    ],
)
def test_the_domain_is_found(imported: Import, system: str, name: str, domain: str | None, action_type: str) -> None:
    messages = [{"role": "system", "content": system}]
    _, events = imported([run(traj=messages)], name=name, domain=domain)
    assert of(events, "action_begun")[0]["action_type"] == action_type


def test_an_unknown_domain_is_asked_for(imported: Import) -> None:
    with pytest.raises(NotImportable, match="--domain"):
        imported([run(traj=[])])


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00\x01", b"12"])
def test_a_file_of_another_kind_says_so(imported: Import, content: bytes) -> None:
    with pytest.raises(NotImportable, match="no result file"):
        imported(content)


def test_the_agent_can_be_named(imported: Import) -> None:
    _, events = imported([run()], agent_id="my-agent")
    assert of(events, "action_begun")[0]["agent_id"] == "my-agent"


def test_progress_ends_at_the_size_of_the_file(imported: Import) -> None:
    seen: list[tuple[int, int]] = []
    imported([run(0), run(1)], progress=lambda done, size: seen.append((done, size)))
    assert seen[-1][0] == seen[-1][1] > 0
