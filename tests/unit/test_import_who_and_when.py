"""Importing Who&When, from small runs written by hand in its shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.importing import landed, of

from oplake.landing.importers import Imported, NotImportable
from oplake.landing.importers.who_and_when import import_who_and_when
from oplake.landing.writer import SegmentWriter

TODAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def message(content: str, who: str, *, is_named: bool = True) -> dict[str, Any]:
    return {"content": content, "name": who, "role": "user"} if is_named else {"content": content, "role": who}


def run(**changes: Any) -> dict[str, Any]:
    made = {
        "question": "How many loaves were sold?",
        "question_ID": "q-1",
        "ground_truth": "8",
        "history": [
            message("```python\nprint(4)\n```", "Baker"),
            message("exitcode: 0 (execution succeeded)\n4", "Terminal"),
            message("It is 4. TERMINATE", "Checker"),
        ],
        "mistake_agent": "Baker",
        "mistake_step": "0",
        "mistake_reason": "It counted one shelf.",
    }
    return made | changes


Import = Callable[..., tuple[Imported, list[dict[str, Any]]]]


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Import runs, each a file by its name, into landing; returns the summary and what landed just now."""

    def do(files: dict[str, Any], *, received_at: datetime = TODAY) -> tuple[Imported, list[dict[str, Any]]]:
        for name, content in files.items():
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        writer = SegmentWriter(tmp_path / "landing")
        already = len(landed(tmp_path / "landing"))
        try:
            done = import_who_and_when(tmp_path / "data", writer, received_at=received_at)
        finally:
            writer.close()
        return done, landed(tmp_path / "landing")[already:]

    return do


def bodies(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(
        ({key: value for key, value in event.items() if key != "received_at"} for event in events),
        key=lambda event: str(event["event_id"]),
    )


def test_a_run_is_a_failed_action_with_a_step_per_message_and_a_label(imported: Import) -> None:
    done, events = imported({"1.json": run()})
    assert done.by_kind == {"action_begun": 1, "action_completed": 1, "observation": 1, "step": 3}
    [begun] = of(events, "action_begun")
    assert (begun["action_type"], begun["goal_id"]) == ("Algorithm-Generated", "q-1")
    assert begun["expected_outcome"] == {"is_correct": True}
    assert [(step["step_index"], step["actor"], step["decision"]) for step in of(events, "step")] == [
        (0, "Baker", "write_code"),
        (1, "Terminal", "report_success"),
        (2, "Checker", "terminate"),
    ]
    [label] = of(events, "observation")
    assert label["observation_type"] == "blame_label"
    assert label["data"] == {"step_index": 0, "actor": "Baker", "reason": "It counted one shelf."}
    [completed] = of(events, "action_completed")
    assert completed["outcome"] == {"status": "completed", "is_correct": False}
    assert {event["action_id"] for event in events} == {begun["action_id"]}


def test_the_role_of_a_handmade_system_names_actor_and_decision(imported: Import) -> None:
    history = [
        message("How many?", "human", is_named=False),
        message("Plan", "Orchestrator (thought)", is_named=False),
        message("Look", "Orchestrator (-> WebSurfer)", is_named=False),
        message("exitcode: 1", "WebSurfer", is_named=False),
    ]
    _, events = imported(
        {"1.json": run(history=history, mistake_step=2, mistake_agent=" Orchestrator (-> WebSurfer) ")}
    )
    assert of(events, "action_begun")[0]["action_type"] == "Hand-Crafted"
    assert [(step["actor"], step["decision"]) for step in of(events, "step")] == [
        ("human", "respond"),
        ("Orchestrator", "thought"),
        ("Orchestrator", "-> WebSurfer"),
        ("WebSurfer", "report_failure"),
    ]
    [label] = of(events, "observation")
    assert label["data"]["actor"] == "Orchestrator"


def test_a_run_is_the_same_events_whatever_lies_beside_it(imported: Import) -> None:
    """Times by the place in the folder would make conflicts of all runs after one that is added."""
    _, first = imported({"b/2.json": run()})
    _, again = imported({"a/1.json": run(question_ID="q-0")}, received_at=TODAY.replace(day=2))
    known = {event["event_id"] for event in first}
    assert bodies([event for event in again if event["event_id"] in known]) == bodies(first)
    assert len(again) == 2 * len(first)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        ([], "a run is an object, not list"),
        (run(history=[]), "it has no history"),
        (run(history=["hello"]), "it has no history"),
        (run(question=" ", question_ID=None), "it has no question"),
    ],
)
def test_a_run_that_cannot_be_used_is_a_reject_beside_good_ones(imported: Import, content: Any, reason: str) -> None:
    done, events = imported({"bad.json": content, "good.json": run()})
    assert done.rejected == 1
    assert done.first_rejects[0].reason.startswith(reason)
    assert done.first_rejects[0].place.file == "bad.json"
    assert len(of(events, "action_begun")) == 1


LABELLED = {"action_type": "Hand-Crafted", "goal_id": "q-1", "is_correct": False, "label": 0}


@pytest.mark.parametrize(
    ("folder", "changes", "expected"),
    [
        (".", {}, {}),
        ("Algorithm-Generated", {}, {"action_type": "Algorithm-Generated"}),
        (".", {"mistake_step": 1.0}, {"label": 1}),
        (".", {"mistake_step": "1.0"}, {"label": 1}),
        (".", {"question": None}, {}),
        (".", {"question_ID": None}, {"goal_id": "8622b52f99f892fc"}),
        (
            ".",
            {"is_correct": True, "mistake_step": None, "mistake_agent": None, "mistake_reason": None},
            {"is_correct": True, "label": None},
        ),
        (".", {"is_correct": True}, {"is_correct": True, "label": None, "rejected": 1}),
        (".", {"is_correct": None}, {}),
    ],
)
def test_what_a_run_says_of_itself_is_taken_however_it_is_written(
    imported: Import, folder: str, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    history = [message("It is 4", "Baker", is_named=False), message("It is not", "Checker", is_named=False)]
    done, events = imported({f"{folder}/1.json": run(**{"history": history} | changes)})
    [begun], [completed] = of(events, "action_begun"), of(events, "action_completed")
    found = {
        "action_type": begun["action_type"],
        "goal_id": begun["goal_id"],
        "is_correct": completed["outcome"]["is_correct"],
        "label": next((label["data"]["step_index"] for label in of(events, "observation")), None),
        "rejected": done.rejected,
    }
    assert found == LABELLED | {"rejected": 0} | expected


@pytest.mark.parametrize("step", ["3", "-1", "1.5", "", None, "zero", [1], "²"])
def test_a_label_that_names_no_message_is_a_reject_and_the_run_lands(imported: Import, step: Any) -> None:
    done, events = imported({"1.json": run(mistake_step=step)})
    assert done.rejected == 1
    assert "mistake_step is" in done.first_rejects[0].reason
    assert of(events, "observation") == []
    assert len(of(events, "step")) == 3


def test_a_folder_without_runs_says_what_to_give(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "landing")
    with pytest.raises(NotImportable, match=r"holds no \.json file"):
        import_who_and_when(tmp_path, writer, received_at=TODAY)
    writer.close()
