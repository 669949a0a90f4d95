"""Importing runs of Reflexion, from small folders written by hand in its shape."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.importing import bodies, landed, of

from oplake.landing.importers import Imported, NotImportable
from oplake.landing.importers.reflexion import import_reflexion
from oplake.landing.writer import SegmentWriter

TODAY = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOMORROW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "reflexion" / "alfworld"

Trials = Sequence[Any]


def entry(name: str, success: bool, *memory: str) -> dict[str, Any]:
    return {"name": name, "memory": list(memory), "is_success": success}


FAILS_THEN_SOLVED = (
    [entry("env_0", True), entry("env_1", False, "Take the mug.")],
    [entry("env_0", True), entry("env_1", False, "Take the mug.", "Open the cabinet.")],
    [entry("env_0", True), entry("env_1", True, "Take the mug.", "Open the cabinet.")],
)

Import = Callable[..., tuple[Imported, list[dict[str, Any]]]]


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Import runs, each a list of trials under its folder's name; returns the summary and what landed."""

    def do(received_at: datetime = TODAY, options: Any = None, **runs: Trials) -> tuple[Imported, list[dict[str, Any]]]:
        folder = tmp_path / f"runs-{'-'.join(runs)}"
        for name, trials in runs.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            for trial, entries in enumerate(trials):
                if entries is not None:
                    content = entries if isinstance(entries, str) else json.dumps(entries)
                    (folder / name / f"env_results_trial_{trial}.json").write_text(content)
        writer = SegmentWriter(tmp_path / "landing")
        already = len(landed(tmp_path / "landing"))
        try:
            done = import_reflexion(folder, writer, received_at=received_at, **options or {})
        finally:
            writer.close()
        return done, landed(tmp_path / "landing")[already:]

    return do


def test_an_attempt_is_an_action_with_its_operation_and_a_failure_has_its_correction(imported: Import) -> None:
    done, events = imported(mine=FAILS_THEN_SOLVED)
    assert done.by_kind == {"action_begun": 4, "action_completed": 4, "correction": 2, "op": 4}
    begun = of(events, "action_begun")
    assert [(one["goal_id"], one["extra"]["trial"]) for one in begun] == [
        ("alfworld/env_0", 0),
        ("alfworld/env_1", 0),
        ("alfworld/env_1", 1),
        ("alfworld/env_1", 2),
    ]
    assert {(one["action_type"], one["agent_id"]) for one in begun} == {("alfworld", "react+reflexion")}
    assert [one["outcome"]["is_success"] for one in of(events, "action_completed")] == [True, False, False, True]
    assert {one["action_id"] for one in of(events, "op")} == {one["action_id"] for one in begun}
    tried = [one for one in of(events, "op") if one["input_summary"].startswith("env_1")]
    assert len({one["sig_hash"] for one in tried}) == 1
    assert [(one["success"], one.get("correction"), one.get("applied_at_turn")) for one in tried] == [
        (False, None, None),
        (False, "Take the mug.", 1),
        (True, "Open the cabinet.", 2),
    ]
    corrections = of(events, "correction")
    assert [(one["correction"], one["applied_at_turn"]) for one in corrections] == [
        ("Take the mug.", 1),
        ("Open the cabinet.", 2),
    ]
    assert {one["sig_hash"] for one in corrections} == {tried[0]["sig_hash"]}
    times = [event["ts"] for event in events if event["kind"] in ("op", "correction")]
    assert times == sorted(times)
    assert tried[0]["ts"] < corrections[0]["ts"] < tried[1]["ts"]


@pytest.mark.parametrize(("name", "options"), [("base_run_logs", {}), ("mine", {"has_memory": False})])
def test_a_run_without_memory_has_plain_retries_whatever_its_files_hold(
    imported: Import, name: str, options: dict[str, Any]
) -> None:
    """Forbids to take a memory that no agent was shown for advice: the controls would be gone."""
    done, events = imported(options=options, **{name: FAILS_THEN_SOLVED})
    assert done.by_kind == {"action_begun": 4, "action_completed": 4, "op": 4}
    assert not any(one.get("correction") for one in of(events, "op"))


def test_runs_side_by_side_share_goals_and_no_signatures(imported: Import) -> None:
    done, events = imported(base=FAILS_THEN_SOLVED, reflexion=FAILS_THEN_SOLVED)
    assert done.by_kind["op"] == 8
    assert len({one["goal_id"] for one in of(events, "action_begun")}) == 2
    assert len({one["sig_hash"] for one in of(events, "op")}) == 4
    assert len({one["event_id"] for one in events}) == len(events)


def test_importing_again_tomorrow_and_with_a_further_trial_adds_only_that(imported: Import) -> None:
    _, first = imported(mine=FAILS_THEN_SOLVED[:2])
    _, second = imported(received_at=TOMORROW, mine=FAILS_THEN_SOLVED)
    assert bodies(second)[: len(first)] == bodies(first)
    assert len(second) == len(first) + 3
    indented = [json.dumps(trial, indent=4) for trial in FAILS_THEN_SOLVED]
    assert bodies(imported(other=indented)[1]) == bodies(second)


def test_another_start_makes_other_actions_of_that_day(imported: Import) -> None:
    _, first = imported(mine=FAILS_THEN_SOLVED)
    _, second = imported(options={"start": date(2026, 2, 1)}, mine=FAILS_THEN_SOLVED)
    assert not {event["event_id"] for event in first} & {event["event_id"] for event in second}
    assert min(event["ts"] for event in second).startswith("2026-02-01T00:00:00")


def test_two_runs_that_begin_alike_are_not_mixed(imported: Import) -> None:
    with pytest.raises(NotImportable, match="--agent"):
        imported(one=FAILS_THEN_SOLVED, two=FAILS_THEN_SOLVED)


def test_memory_that_was_cut_short_gives_what_is_new(imported: Import) -> None:
    trials = [[entry("e", False, "a")], [entry("e", False, "a", "b")], [entry("e", False, "b", "c", " ")]]
    _, events = imported(mine=trials)
    assert [one["correction"] for one in of(events, "correction")] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (7, "not int"),
        ({"memory": [], "is_success": True}, "name"),
        ({"name": "env_9", "memory": [], "is_success": 1}, "is_success"),
        ({"name": "env_9", "memory": "none", "is_success": True}, "memory"),
        (entry("env_0", True), "already"),
    ],
)
def test_an_entry_that_cannot_be_used_is_one_reject_and_its_neighbours_land(
    imported: Import, broken: Any, reason: str
) -> None:
    done, events = imported(mine=[[entry("env_0", True), broken, entry("env_2", False)]])
    assert [one["goal_id"] for one in of(events, "action_begun")] == ["alfworld/env_0", "alfworld/env_2"]
    [reject] = of(events, "reject")
    assert reason in reject["reason"]
    assert "mine/env_results_trial_0.json entry 1" in reject["reason"]
    assert (reject["origin"], done.rejected) == (done.origin, 1)


@pytest.mark.parametrize(
    ("trials", "says"),
    [
        ((FAILS_THEN_SOLVED[0], None, FAILS_THEN_SOLVED[2]), "no trial 1"),
        ((FAILS_THEN_SOLVED[0], "[{", FAILS_THEN_SOLVED[2]), "not JSON"),
        ((FAILS_THEN_SOLVED[0], "{}", FAILS_THEN_SOLVED[2]), "no list"),
    ],
)
def test_a_run_breaks_off_where_a_trial_is_missing_or_broken(imported: Import, trials: Trials, says: str) -> None:
    done, events = imported(mine=trials)
    assert says in done.breaks_off
    assert Counter(event["kind"] for event in events)["op"] == 2


def test_a_folder_of_another_kind_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotImportable, match="env_results_trial_0"):
        import_reflexion(tmp_path, SegmentWriter(tmp_path / "landing"), received_at=TODAY)
    with pytest.raises(NotImportable, match="missing"):
        import_reflexion(tmp_path / "missing", SegmentWriter(tmp_path / "landing"), received_at=TODAY)


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the public logs of Reflexion are not beside the checkout (../shared/data)"
)
def test_the_public_logs_are_read_whole(tmp_path: Path) -> None:
    """The files of `base` hold memories, too, up to its trial 3."""
    writer = SegmentWriter(tmp_path / "landing")
    try:
        done = import_reflexion(DATA, writer, received_at=TODAY)
    finally:
        writer.close()
    assert (done.rejected, done.breaks_off) == (0, "")
    events = landed(tmp_path / "landing")
    corrected = [one for one in of(events, "op") if one.get("correction")]
    early = [one for one in corrected if one["applied_at_turn"] <= 6]
    assert (len(early), sum(one["success"] for one in early)) == (158, 39)
    plain = [one for one in of(events, "op") if one["agent_id"] == "react"]
    assert (len(plain), sum(one["success"] for one in plain)) == (134 + 230, 84 + 17)
    assert len(of(events, "correction")) == len(corrected)
