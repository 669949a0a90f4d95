"""The recorder: what it says is durable, its bounds hold, and a failing disk never breaks the agent."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import oplake.landing.actions as module
from oplake.landing.actions import MAX_OPEN, MAX_RECORDS
from oplake.landing.disk import OsDisk
from oplake.landing.errors import DiskFull, LandingError
from oplake.landing.identity import Identities, new_id
from oplake.landing.recorder import TIMEOUT, OpenAction, Recorder
from oplake.landing.segments import segments
from oplake.scores import success_score
from oplake.settings import Settings

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


class BrokenDisk(OsDisk):
    """A disk that is full while `is_broken`; it becomes so with the next sync but `breaks_after` - 1."""

    def __init__(self) -> None:
        self.is_broken = True
        self.breaks_after: int | None = None

    def write(self, descriptor: int, data: memoryview) -> int:
        if self.is_broken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        if self.breaks_after is not None:
            self.breaks_after -= 1
            if self.breaks_after <= 0:
                self.is_broken, self.breaks_after = True, None


class WaitingDisk(OsDisk):
    """A disk whose first sync waits until it may go."""

    def __init__(self) -> None:
        self.is_entered = threading.Event()
        self.may_go = threading.Event()

    def sync(self, descriptor: int) -> None:
        self.is_entered.set()
        assert self.may_go.wait(10)
        super().sync(descriptor)


class InterruptedDisk(OsDisk):
    """A disk on which a signal strikes when what was written is durable; Ctrl-C, unless there is a handler."""

    def __init__(self) -> None:
        self.strikes = False
        self.handler: Callable[[], object] | None = None

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        if self.strikes:
            self.strikes = False
            if self.handler is None:
                raise KeyboardInterrupt
            self.handler()


class Ambiguous:
    """A value whose truth nobody can tell, as an array of numpy's."""

    def __bool__(self) -> bool:
        raise ValueError("the truth value is ambiguous")

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]  # as arrays have it


class Unsayable(Exception):
    """An error that cannot say what is wrong."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Lazy(dict[str, Any]):
    """A mapping that fails when somebody looks into it."""

    def items(self) -> Any:
        raise RuntimeError("not now")

    def values(self) -> Any:
        raise RuntimeError("not now")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder(tmp_path: Path, clock: Clock) -> Recorder:
    return Recorder(tmp_path, clock=clock)


def landed(home: Path, kind: str | None = None) -> list[dict[str, Any]]:
    lines = [line for segment in segments(home / "landing") for line in segment.path.read_bytes().splitlines()]
    found = [json.loads(line) for line in lines]
    return [event for event in found if kind is None or event["kind"] == kind]


# -- Actions -----------------------------------------------------------------------------------------------------------


def test_an_action_is_written_down_from_its_beginning_to_its_end(tmp_path: Path, clock: Clock) -> None:
    completions: list[dict[str, Any]] = []
    recorder = Recorder(tmp_path, clock=clock, on_complete=completions.append)
    action_id = recorder.begin_action(
        "agent", "refund", "goal-1", {"reward": 1.0, "is_done": True}, ["it is refunded"], "parent", ["p1"]
    )
    clock.now += timedelta(seconds=90)
    assert recorder.record_step(action_id, "looked it up", {"order": 7}, "get_order", 0.8, "planner")
    assert recorder.record_observation(action_id, "tool_result", {"found": True}, "shop", 0.9)
    assert recorder.record_step(action_id, "refunded it")
    action = recorder.get_action(action_id)
    assert action is not None
    assert (action.step_count, action.observation_count, action.began_at) == (2, 1, NOON)
    assert recorder.complete_action(action_id, {"reward": 0.97})
    begun, step, observation, second, completed = landed(tmp_path)
    assert begun["kind"] == "action_begun"
    assert begun["expected_outcome"] == {"reward": 1.0, "is_done": True}
    assert (begun["acceptance_criteria"], begun["playbook_ids"]) == (["it is refunded"], ["p1"])
    assert (begun["parent_action_id"], begun["goal_id"], begun["ts"]) == ("parent", "goal-1", "2026-01-05T12:00:00Z")
    assert (step["step_index"], step["decision"], step["actor"], step["confidence"]) == (0, "get_order", "planner", 0.8)
    assert (observation["data"], observation["reported_by"]) == ({"found": True}, "shop")
    assert (second["step_index"], second["confidence"]) == (1, 0.5)
    assert (completed["outcome"], completed["ts"]) == ({"reward": 0.97}, "2026-01-05T12:01:30Z")
    assert completions == [
        {
            "action_id": action_id,
            "agent_id": "agent",
            "action_type": "refund",
            "goal_id": "goal-1",
            "duration_seconds": 90.0,
            "step_count": 2,
            "success_score": 0.5,
        }
    ]
    stats = recorder.stats()
    assert (stats.begun, stats.completed, stats.steps, stats.observations, stats.events, stats.open) == (
        1,
        1,
        2,
        1,
        5,
        0,
    )


def test_unknown_and_completed_actions_take_nothing(recorder: Recorder, tmp_path: Path) -> None:
    action_id = recorder.begin_action("a", "t")
    recorder.complete_action(action_id)
    for other in (action_id, "unknown", ""):
        assert recorder.record_step(other, "x") is False
        assert recorder.record_observation(other, "x") is False
        assert recorder.complete_action(other) is False
        assert recorder.get_action(other) is None
    assert len(landed(tmp_path)) == 2


def test_a_full_action_takes_no_more_and_can_be_completed(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_RECORDS == 1000
    monkeypatch.setattr(module, "MAX_RECORDS", 5)
    action_id = recorder.begin_action("a", "t")
    taken = [recorder.record_step(action_id, "x") for _ in range(3)]
    taken += [recorder.record_observation(action_id, "x") for _ in range(3)]
    assert taken == [True] * 5 + [False]
    assert recorder.record_step(action_id, "x") is False
    assert recorder.complete_action(action_id)
    assert len(landed(tmp_path)) == 7


def test_the_oldest_open_action_makes_room(recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_OPEN == 500
    monkeypatch.setattr(module, "MAX_OPEN", 3)
    ids = [recorder.begin_action("a", "t") for _ in range(4)]
    (evicted,) = landed(tmp_path, "action_completed")
    assert evicted["action_id"] == ids[0]
    assert evicted["outcome"] == {"status": "evicted", "reason": "max_open_actions"}
    assert (recorder.stats().evicted, recorder.stats().completed, recorder.stats().open) == (1, 1, 3)


def test_threads_that_begin_at_once_keep_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To look for room, land, and then take it in lets every thread that waits for the disk through."""
    monkeypatch.setattr(module, "MAX_OPEN", 4)
    disk = WaitingDisk()
    recorder = Recorder(tmp_path, disk=disk)
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(recorder.begin_action("a", "t"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    assert disk.is_entered.wait(10)
    for _ in range(1000):
        if recorder.stats().open >= 4:
            break
        time.sleep(0.01)
    assert recorder.stats().open == 4
    disk.may_go.set()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == len(landed(tmp_path, "action_begun")) == 12
    assert recorder.stats().open == 4
    kinds: dict[str, list[str]] = {}
    for event in landed(tmp_path):
        kinds.setdefault(event["action_id"], []).append(event["kind"])
    assert sorted(kinds.values()) == [["action_begun"]] * 4 + [["action_begun", "action_completed"]] * 8


def test_what_could_not_begin_takes_no_room(tmp_path: Path, clock: Clock) -> None:
    disk = BrokenDisk()
    recorder = Recorder(tmp_path, clock=clock, disk=disk)
    assert recorder.begin_action("a", "t") == ""
    assert recorder.stats().open == 0


def test_a_refused_eviction_is_no_matter_of_the_action_that_it_makes_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 1)
    disk = BrokenDisk()
    disk.is_broken = False
    recorder = Recorder(tmp_path, disk=disk, strict=True)
    first = recorder.begin_action("a", "t")
    disk.breaks_after = 1
    second = recorder.begin_action("a", "t")
    disk.is_broken = False
    assert recorder.get_action(first) is None
    assert recorder.record_step(second, "goes on")


def test_an_action_open_over_six_hours_is_completed_as_timed_out(
    recorder: Recorder, tmp_path: Path, clock: Clock
) -> None:
    first, second, third = (recorder.begin_action("a", "t") for _ in range(3))
    clock.now += TIMEOUT - timedelta(seconds=1)
    assert recorder.cleanup_expired() == 0
    assert recorder.record_step(first, "in time")
    clock.now += timedelta(seconds=1)
    assert recorder.record_step(second, "too late") is False
    assert recorder.cleanup_expired() == 2
    assert {event["outcome"]["status"] for event in landed(tmp_path, "action_completed")} == {"timeout"}
    assert recorder.get_action(third) is None
    assert recorder.stats().timed_out == 3


def test_a_block_completes_its_action(recorder: Recorder, tmp_path: Path) -> None:
    with recorder.action("a", "t", goal_id="g") as action:
        assert action.step("one", decision="d")
        assert action.observe("tool_result", {"x": 1})
        action.outcome["reward"] = 1.0
    with pytest.raises(ValueError, match="boom"), recorder.action("a", "t") as failing:
        fail(failing)
    with recorder.action("a", "t") as early:
        early.complete({"done": True})
    outcomes = [event["outcome"] for event in landed(tmp_path, "action_completed")]
    assert outcomes == [
        {"reward": 1.0},
        {"reward": 0.5, "status": "error", "error": "ValueError: boom"},
        {"done": True},
    ]


def test_callbacks_errors_stay_away_from_the_agent(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    scores: list[float] = []

    def failing(completion: dict[str, Any]) -> None:
        completion.clear()
        raise RuntimeError("the dashboard is down")

    recorder = Recorder(tmp_path, clock=clock, on_complete=[failing, lambda made: scores.append(made["success_score"])])
    with recorder.action("a", "t", expected_outcome={"x": 1}) as action:
        action.outcome["x"] = 1
    assert scores == [1.0]
    assert "a callback failed" in caplog.text


@pytest.mark.parametrize(
    ("expected", "outcome"),
    [
        ({"x": 1}, {"x": 10**400}),
        ({"x": 1.0}, {"x": Decimal("1.0")}),
        ({"x": [1, 2]}, {"x": (1, 2)}),
        ({"x": {"a": 1}}, {"x": {"a": object()}}),
        ({}, {"error": Ambiguous()}),
        ({"x": "y" * 600}, {"x": "y" * 600 + "z"}),
        (["x"], "done"),
        ("done", "done"),
    ],
)
def test_the_live_score_is_that_of_the_lake(tmp_path: Path, clock: Clock, expected: Any, outcome: Any) -> None:
    """What was handed over may be no JSON, and to compare it may raise; scored is what has landed of it."""
    completions: list[dict[str, Any]] = []
    recorder = Recorder(tmp_path, clock=clock, on_complete=completions.append)
    assert recorder.complete_action(recorder.begin_action("a", "t", expected_outcome=expected), outcome)
    begun, completed = landed(tmp_path)
    score = success_score(completed["outcome"], begun.get("expected_outcome", {}))
    assert [made["success_score"] for made in completions] == [score]


def test_a_clock_that_goes_back_takes_no_time(tmp_path: Path, clock: Clock) -> None:
    completions: list[dict[str, Any]] = []
    recorder = Recorder(tmp_path, clock=clock, on_complete=completions.append)
    action_id = recorder.begin_action("a", "t")
    clock.now -= timedelta(hours=1)
    assert recorder.complete_action(action_id)
    assert completions[0]["duration_seconds"] == 0


def test_a_block_takes_what_the_recorder_takes(recorder: Recorder, tmp_path: Path) -> None:
    with recorder.action("a", "t") as action:
        assert action.step("one", {"order": 7}, "get_order", 0.8, "planner")
        assert action.observe("tool_result", {"found": True}, "shop", 0.9)
    (step,) = landed(tmp_path, "step")
    (observation,) = landed(tmp_path, "observation")
    assert (step["state"], step["decision"], step["actor"]) == ({"order": 7}, "get_order", "planner")
    assert (observation["reported_by"], observation["confidence"]) == ("shop", 0.9)


def test_the_error_of_a_block_is_the_one_to_see(tmp_path: Path) -> None:
    disk = BrokenDisk()
    disk.is_broken = False
    recorder = Recorder(tmp_path, disk=disk, strict=True)
    disk.breaks_after = 1  # it begins, and cannot end
    with pytest.raises(ValueError, match="boom"), recorder.action("a", "t") as action:
        fail(action)
    assert recorder.stats().not_accepted == 1
    disk.is_broken = False
    with pytest.raises(Unsayable), recorder.action("a", "t"):
        raise Unsayable
    (completed,) = landed(tmp_path, "action_completed")
    assert completed["outcome"]["error"].startswith("Unsayable")


def fail(action: OpenAction) -> None:
    action.outcome["reward"] = 0.5
    raise ValueError("boom")


# -- Attaching ---------------------------------------------------------------------------------------------------------


def test_another_process_goes_on_with_an_action(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    action_id = recorder.begin_action("a", "t", expected_outcome={"x": 1}, playbook_ids=["p"])
    recorder.record_step(action_id, "one")
    recorder.record_observation(action_id, "saw")
    code = (
        "import sys; from oplake import Recorder\n"
        "recorder = Recorder(sys.argv[1])\n"
        "assert recorder.attach_action(sys.argv[2])\n"
        "action = recorder.get_action(sys.argv[2])\n"
        "assert (action.step_count, action.observation_count, list(action.playbook_ids)) == (1, 1, ['p']), action\n"
        "assert recorder.record_step(sys.argv[2], 'two')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), action_id], check=True)
    assert [(event["step_index"], event["description"]) for event in landed(tmp_path, "step")] == [
        (0, "one"),
        (1, "two"),
    ]
    third = Recorder(tmp_path)
    assert third.attach_action(action_id)
    assert third.attach_action(action_id)
    assert third.record_step(action_id, "three")
    assert third.complete_action(action_id, {"x": 1})
    assert Recorder(tmp_path).attach_action(action_id) is False
    assert recorder.attach_action("unknown") is False


def test_an_archived_action_is_found(tmp_path: Path, clock: Clock) -> None:
    recorder = Recorder(tmp_path, clock=clock)
    action_id = recorder.begin_action("a", "t")
    recorder.record_step(action_id, "one")
    recorder.close()
    (segment,) = segments(tmp_path / "landing")
    folder = tmp_path / "landing" / "archive" / "2026-01-05"
    folder.mkdir(parents=True)
    (folder / f"{segment.path.name}.zst").write_bytes(zstandard.compress(segment.path.read_bytes()))
    segment.path.unlink()
    second = Recorder(tmp_path, clock=clock)
    assert second.attach_action(action_id)
    assert second.record_step(action_id, "two")
    assert [event["step_index"] for event in landed(tmp_path, "step")] == [1]


def test_an_action_that_timed_out_is_not_gone_on_with(tmp_path: Path, clock: Clock) -> None:
    action_id = Recorder(tmp_path, clock=clock).begin_action("a", "t")
    clock.now += TIMEOUT
    assert Recorder(tmp_path, clock=clock).attach_action(action_id) is False


def test_an_own_action_that_timed_out_is_not_gone_on_with_either(recorder: Recorder, clock: Clock) -> None:
    action_id = recorder.begin_action("a", "t")
    assert recorder.attach_action(action_id)
    clock.now += TIMEOUT
    assert recorder.attach_action(action_id) is False
    assert recorder.stats().timed_out == 1


def test_torn_and_foreign_lines_do_not_hide_an_action(tmp_path: Path, clock: Clock) -> None:
    recorder = Recorder(tmp_path, clock=clock)
    action_id = recorder.begin_action("a", "t")
    (segment,) = segments(tmp_path / "landing")
    with segment.path.open("ab") as file:
        file.write(b'{"kind":"step","action_id":"' + action_id.encode() + b'","step_index":"seven"}\n')
        file.write(b'{"kind":"step","action_id":"' + action_id.encode())
    second = Recorder(tmp_path, clock=clock)
    assert second.attach_action(action_id)
    action = second.get_action(action_id)
    assert action is not None
    assert action.step_count == 0


# -- Everything else ---------------------------------------------------------------------------------------------------


def test_there_is_a_method_for_every_kind_that_agents_send(recorder: Recorder, tmp_path: Path) -> None:
    assert recorder.op("search", duration_ms=12, session_id="s", mood="good")
    assert recorder.note("user", "thanks", turn_index=3)
    assert recorder.turn("s", 0, provider="local", model="m", input_tokens=5, charged_usd=0.1)
    assert recorder.tool_call("s", 0, 0, "grep", args={"pattern": "x"})
    assert recorder.patch("s", 0, "a.py", "+x", rollback_recommended=True)
    assert recorder.session_event("s", "audit", detail={"level": "high"})
    assert recorder.correction("billing", "ask first", sig_hash="h")
    assert recorder.operator_note("user", "be brief")
    found = {event["kind"]: event for event in landed(tmp_path)}
    assert list(found) == ["op", "note", "turn", "tool_call", "patch", "session_event", "correction", "operator_note"]
    assert (found["op"]["source"], found["op"]["success"], found["op"]["extra"]) == ("mcp", True, {"mood": "good"})
    assert found["correction"]["model"] == "gpt-oss:120b"
    assert found["turn"]["charged_usd"] == 0.1
    assert recorder.flush()


def test_what_cannot_be_used_is_said_in_the_log_and_counted(
    recorder: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert recorder.session_event("s", "no such type") is False
    assert recorder.turn("", 0, provider="p", model="m") is False
    assert recorder.stats().not_accepted == 2
    assert "event_type" in caplog.text
    assert landed(tmp_path) == []


def test_one_text_is_one_criterion_and_one_playbook(recorder: Recorder, tmp_path: Path) -> None:
    """A text is a sequence of letters, too; nobody means those."""
    assert recorder.begin_action("a", "t", acceptance_criteria="it works", playbook_ids="p1")
    assert recorder.begin_action("a", "t", acceptance_criteria=iter(["it works"]), playbook_ids={"p1"})  # type: ignore[arg-type]
    assert recorder.begin_action("a", "t", playbook_ids=None)  # type: ignore[arg-type]
    first, second, third = landed(tmp_path)
    for begun in (first, second):
        assert (begun["acceptance_criteria"], begun["playbook_ids"]) == (["it works"], ["p1"])
    assert "playbook_ids" not in third


def test_nothing_that_is_handed_over_raises_into_the_agent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(tmp_path)
    odd: list[Any] = [
        Lazy(a=1),
        [Lazy(a=1)],
        Ambiguous(),
        Unsayable(),
        {Ambiguous: Ambiguous()},
        "\ud800",
        5,
        None,
        [1],
    ]
    for value in odd:
        action_id = recorder.begin_action(value, "t", value, value, value, None, value)
        assert action_id or value is None  # an action needs an agent
        action_id = recorder.begin_action("a", "t")
        assert recorder.record_step(action_id, "s", value, value, actor=value)
        assert recorder.record_observation(action_id, "o", value, value)
        assert recorder.note("u", "n", mood=value, **{"\ud800": value})
        assert recorder.complete_action(action_id, value)
        for other in (value, {}, action_id):
            assert recorder.record_step(other, "unknown") is False
            assert recorder.attach_action(other) is False
    nowhere = tmp_path / "x\0y"
    assert Recorder(nowhere).note("u", "n") is False
    assert "embedded null" in caplog.text
    with pytest.raises(LandingError, match="embedded null"):
        Recorder(nowhere, strict=True).note("u", "n")


def test_an_object_that_another_thread_changes_meanwhile_is_taken_as_it_is(recorder: Recorder, tmp_path: Path) -> None:
    action_id = recorder.begin_action("a", "t")

    class Changing(dict[str, Any]):
        def values(self) -> Any:  # as the short way walks through it
            for value in super().values():
                self[f"{len(self)}"] = 1
                yield value

    assert recorder.record_step(action_id, "x", Changing(a=1))
    assert landed(tmp_path, "step")[0]["state"]["a"] == 1


def test_the_log_does_not_cite_secrets(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    assert recorder.session_event("s", "password=hunter2") is False
    assert "hunter2" not in caplog.text


def test_secrets_are_out_before_anything_is_written(recorder: Recorder, tmp_path: Path) -> None:
    with recorder.action("a", "t") as action:
        action.step("logged in with password=hunter2", state={"api_key": "innocent"})
    (segment,) = segments(tmp_path / "landing")
    assert b"hunter2" not in segment.path.read_bytes()
    assert b"innocent" not in segment.path.read_bytes()


def test_a_failing_disk_never_breaks_the_agent(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    disk = BrokenDisk()
    recorder = Recorder(tmp_path, clock=clock, disk=disk)
    caplog.set_level(logging.ERROR)
    assert recorder.begin_action("a", "t") == ""
    assert recorder.note("u", "n") is False
    assert "disk full" in caplog.text
    disk.is_broken = False
    action_id = recorder.begin_action("a", "t")
    assert recorder.record_step(action_id, "one")
    disk.is_broken = True
    assert recorder.record_step(action_id, "lost") is False
    assert recorder.complete_action(action_id) is False
    disk.is_broken = False
    assert recorder.record_step(action_id, "two")  # and its index leaves no gap
    assert recorder.complete_action(action_id)
    assert [event["step_index"] for event in landed(tmp_path, "step")] == [0, 1]
    assert recorder.stats().not_accepted == 4


def test_strict_raises_instead(tmp_path: Path, clock: Clock) -> None:
    recorder = Recorder(tmp_path, clock=clock, disk=BrokenDisk(), strict=True)
    with pytest.raises(DiskFull):
        recorder.note("u", "n")
    with pytest.raises(DiskFull):
        recorder.begin_action("a", "t")
    with pytest.raises(LandingError, match="event_type"):
        recorder.session_event("s", "no such type")


def test_a_folder_that_cannot_be_made_is_a_failing_disk_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert Recorder(tmp_path / "file").note("u", "n") is False


def test_what_was_interrupted_behind_the_commit_counts_as_taken(tmp_path: Path) -> None:
    """It may be durable: with its number used again there would be two such steps, and two outcomes of an action."""
    disk = InterruptedDisk()
    recorder = Recorder(tmp_path, disk=disk)
    action_id = recorder.begin_action("a", "t")
    for record in (recorder.record_step, recorder.record_observation):
        assert record(action_id, "first")
        disk.strikes = True
        with pytest.raises(KeyboardInterrupt):
            record(action_id, "interrupted")
    assert recorder.record_step(action_id, "next")
    assert [event["step_index"] for event in landed(tmp_path, "step")] == [0, 1, 2]
    action = recorder.get_action(action_id)
    assert action is not None
    assert (action.step_count, action.observation_count) == (3, 2)
    disk.strikes = True
    with pytest.raises(KeyboardInterrupt):
        recorder.complete_action(action_id, {"x": 1})
    assert recorder.complete_action(action_id, {"x": 2}) is False
    assert [event["outcome"] for event in landed(tmp_path, "action_completed")] == [{"x": 1}]
    disk.strikes = True
    with pytest.raises(KeyboardInterrupt):
        recorder.begin_action("a", "t")
    assert recorder.stats().open == 0


def test_a_signal_handler_may_end_the_action_whose_step_it_struck(tmp_path: Path) -> None:
    """As on SIGTERM. A lock that does not let its own thread in again would keep the agent from ever ending."""
    disk = InterruptedDisk()
    recorder = Recorder(tmp_path, disk=disk)
    action_id = recorder.begin_action("a", "t")
    taken: list[bool] = []

    def handle() -> None:
        taken.append(recorder.record_observation(action_id, "signal"))
        taken.append(recorder.complete_action(action_id, {"status": "error", "error": "SIGTERM"}))

    disk.handler, disk.strikes = handle, True
    assert recorder.record_step(action_id, "struck")
    assert taken == [True, True]
    assert recorder.record_step(action_id, "too late") is False
    recorder.close()
    assert [len(landed(tmp_path, kind)) for kind in ("step", "observation", "action_completed")] == [1, 1, 1]


def test_a_relative_home_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened with the first event, it would be where the agent has gone meanwhile."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    recorders = [Recorder("one"), Recorder(Settings(home=Path("two"))), Recorder("~/three")]
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert all(recorder.note("u", "n") for recorder in recorders)
    assert [len(landed(tmp_path / name)) for name in ("one", "two", "three")] == [1, 1, 1]


# -- Threads, loops, processes -----------------------------------------------------------------------------------------


def test_threads_share_one_action_and_its_steps_stay_dense(recorder: Recorder, tmp_path: Path) -> None:
    action_id = recorder.begin_action("a", "t")
    threads = [
        threading.Thread(target=lambda: [recorder.record_step(action_id, "x") for _ in range(20)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event["step_index"] for event in landed(tmp_path, "step")] == list(range(160))
    assert recorder.stats().steps == 160


def test_two_completions_at_once_are_one(recorder: Recorder, tmp_path: Path) -> None:
    action_id = recorder.begin_action("a", "t")
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.append(recorder.complete_action(action_id))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 7 + [True]
    assert len(landed(tmp_path, "action_completed")) == 1


def test_tasks_of_a_loop_record_side_by_side(recorder: Recorder, tmp_path: Path) -> None:
    async def work(name: str) -> None:
        with recorder.action(name, "t") as action:
            await asyncio.sleep(0)
            action.step("one")

    async def everything() -> None:
        await asyncio.gather(*(work(f"agent-{number}") for number in range(20)))

    asyncio.run(everything())
    assert len(landed(tmp_path, "action_completed")) == 20


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_goes_on_in_a_segment_of_its_own(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    action_id = recorder.begin_action("a", "t")
    children = [
        multiprocessing.get_context("fork").Process(target=recorder.record_step, args=(action_id, f"child {number}"))
        for number in range(2)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert recorder.record_step(action_id, "parent")
    assert len(landed(tmp_path, "step")) == 3
    assert len(segments(tmp_path / "landing")) == 3
    assert len({event["event_id"] for event in landed(tmp_path)}) == 4


def test_the_first_event_imports_nothing(tmp_path: Path) -> None:
    """A child forked while another thread imports would wait for the import's lock forever."""
    code = (
        "import sys; from oplake import Recorder\n"
        "recorder = Recorder(sys.argv[1])\n"
        "before = set(sys.modules)\n"
        "recorder.note('u', 'password=hunter2', mood=3)\n"
        "with recorder.action('a', 't') as action: action.step('x', {'a': object()})\n"
        "assert set(sys.modules) <= before, set(sys.modules) - before\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_a_recorder_left_open_seals_its_segment_at_the_end_of_the_process(tmp_path: Path) -> None:
    code = "import sys; from oplake import Recorder; recorder = Recorder(sys.argv[1]); recorder.note('u', 'n')"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert [segment.is_sealed for segment in segments(tmp_path / "landing")] == [True]


def test_settings_and_the_environment_say_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Recorder(Settings(home=tmp_path / "one")).note("u", "n")
    monkeypatch.setenv("OPLAKE_HOME", str(tmp_path / "two"))
    Recorder().note("u", "n")
    assert len(landed(tmp_path / "one")) == len(landed(tmp_path / "two")) == 1


def test_what_an_agent_imports_is_light(tmp_path: Path) -> None:
    """An agent pays for its import at every start; DuckDB alone would cost it more than the work that it records."""
    code = (
        "import sys, time; start = time.process_time()\n"
        "import oplake; oplake.Recorder, oplake.observed\n"
        "spent = time.process_time() - start\n"
        "recorder = oplake.Recorder(sys.argv[1])\n"
        "recorder.complete_action(recorder.begin_action('a', 't'))\n"
        "assert 'decoder' not in vars(sys.modules['oplake.events']), 'made for all kinds, though nothing was read'\n"
        "heavy = {'dagster', 'duckdb', 'polars', 'pyarrow', 'deltalake', 'pydantic', 'rich'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
        "print(spent)\n"
    )
    # As a user has it: compiled once, whatever the environment of the tests says about that.
    env = os.environ | {"PYTHONPYCACHEPREFIX": str(tmp_path / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", code, str(tmp_path)]
    spent = min(float(subprocess.run(command, check=True, capture_output=True, env=env).stdout) for _ in range(5))
    assert spent < 0.15


# -- Identities --------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**48 - 1), min_size=1, max_size=30))
def test_identities_are_uuid7_and_only_grow_whatever_the_clock_does(times: list[int]) -> None:
    clock = iter(times)
    make = Identities(lambda: next(clock))
    made = [make() for _ in times]
    assert made == sorted(set(made))
    for text, highest in zip(made, (max(times[: number + 1]) for number in range(len(times))), strict=True):
        value = UUID(text)
        assert (value.version, value.variant) == (7, "specified in RFC 4122")
        assert value.int >> 80 == highest


def test_identities_of_many_threads_never_meet() -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend(new_id() for _ in range(2000))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 16_000
