"""The simulator: the same bytes every time, lines as accept would make them, and a truth that the events bear out."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.importing import landed

from oplake.events import decoder, encoder
from oplake.landing.accept import accept
from oplake.landing.recorder import Recorder
from oplake.landing.segments import segments
from oplake.scores import success_score
from oplake.settings import Settings
from oplake.simulate import (
    START,
    Simulated,
    SimulationError,
    Truth,
    has_landed,
    holds_other_events,
    read_truth,
    simulate,
    truth_path,
)
from oplake.simulate.dice import Dice
from oplake.simulate.mishaps import SHARES
from oplake.simulate.truth import ActionTruth
from oplake.simulate.workload import Workload

DAYS, SEED, RATE = 3, 11, 120
NOT_SAID = {"event_id", "action_id", "parent_action_id", "received_at", "source"}  # what a recorder makes itself
EXPECTED_DRAWS = [85, 3, 25, 48, 70]
EXPECTED_WAITS = [1764, 524, 838]
EXPECTED_UUID = "019b8b74-1800-744a-b696-59281a2c928e"


def run_workload(**changes: Any) -> Workload:
    workload = Workload(**({"days": DAYS, "seed": SEED, "rate": RATE, "start": START} | changes))
    for _ in workload.sent():
        pass
    return workload


def fingerprint(**changes: Any) -> str:
    workload = Workload(**({"days": 1, "seed": SEED, "rate": 60, "start": START} | changes))
    digest = hashlib.sha256()
    for sent in workload.sent():
        digest.update(sent.content.raw if isinstance(sent.content, tuple) else encoder.encode(sent.content))
    digest.update(msgspec.json.encode(workload.truth()))
    return digest.hexdigest()


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def simulated(simulation: Settings) -> Simulated:
    return simulate(simulation, days=DAYS, seed=SEED, rate=RATE)


@pytest.fixture(scope="module")
def truth(simulated: Simulated) -> Truth:
    return read_truth(simulated.truth)


@pytest.fixture(scope="module")
def events(simulated: Simulated, simulation: Settings) -> dict[str, list[dict[str, Any]]]:
    """What landed, by kind, as ingest would have it: the first of each id."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    seen = set()
    for event in landed(simulation.landing):
        if event["event_id"] not in seen:
            seen.add(event["event_id"])
            found[event["kind"]].append(event)
    return found


def by_action(events: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        found[event["action_id"]].append(event)
    return found


# --- the same everywhere ----------------------------------------------------------------------------------------------


def test_another_process_with_another_hash_seed_makes_the_same_bytes() -> None:
    """Forbids hash() and the order of sets: both differ from process to process."""
    script = "import sys; sys.path.insert(0, sys.argv[1]); from test_simulate import fingerprint; print(fingerprint())"
    folder = str(Path(__file__).parent)
    seen = {
        subprocess.run(
            [sys.executable, "-c", script, folder],
            env={"PYTHONHASHSEED": hash_seed, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed, zone in (("1", "UTC"), ("2", "Pacific/Apia"))
    }
    assert seen == {fingerprint()}


def test_chance_is_fixed_for_ever() -> None:
    """Forbids sources of chance that differ between Python versions or C libraries: these values are written down."""
    dice = Dice("a key", 7)
    assert [dice.between(1, 100) for _ in range(5)] == EXPECTED_DRAWS
    assert [dice.skewed(1000) for _ in range(3)] == EXPECTED_WAITS
    assert dice.uuid7(1_767_571_200_000_000) == EXPECTED_UUID


def test_simulating_again_lands_the_same_lines(simulation: Settings, simulated: Simulated, tmp_path: Path) -> None:
    again = simulate(Settings(home=tmp_path), days=DAYS, seed=SEED, rate=RATE)
    assert landed(tmp_path / "landing") == landed(simulation.landing)
    assert again.truth.read_bytes() == simulated.truth.read_bytes()


def test_more_days_only_add_days() -> None:
    """Forbids one stream of chance for all days, with which `--days 14` would conflict with `--days 7`."""
    short = {encoder.encode(s.content) for s in Workload(days=1, seed=3, rate=60, start=START).sent() if s.is_plain}
    long = {encoder.encode(s.content) for s in Workload(days=2, seed=3, rate=60, start=START).sent() if s.is_plain}
    assert short < long


def test_days_that_have_landed_are_not_landed_again(tmp_path: Path) -> None:
    """Forbids landing them again: each event that arrived with another body would be rejected at one more place."""
    home = Settings(home=tmp_path)
    simulate(home, days=2, seed=SEED, rate=60)
    first = landed(home.landing)
    assert simulate(home, days=1, seed=SEED, rate=60).events == 0
    again = simulate(home, days=2, seed=SEED, rate=60)
    assert (again.events, again.actions) == (0, 120)
    simulate(home, days=3, seed=SEED, rate=60)
    assert read_truth(again.truth).days == 3
    simulate(Settings(home=tmp_path / "at once"), days=3, seed=SEED, rate=60)
    at_once = landed(tmp_path / "at once" / "landing")
    assert landed(home.landing)[: len(first)] == first
    assert Counter(map(str, landed(home.landing))) == Counter(map(str, at_once))


def test_every_world_has_a_sheet_of_its_own(tmp_path: Path) -> None:
    """A name by the seed alone has the sheet of one world overwritten by another, and a demo take any for its week."""
    home = Settings(home=tmp_path)
    simulate(home, days=1, seed=SEED, rate=10)
    simulate(home, days=2, seed=SEED, rate=20)
    simulate(home, days=1, seed=SEED, rate=10, start=date(2026, 2, 2))
    assert len(list((tmp_path / "simulated").iterdir())) == 3
    assert read_truth(truth_path(home, seed=SEED, rate=10)).rate == 10
    assert has_landed(home, days=2, seed=SEED, rate=20)
    for missing in ({"days": 3, "rate": 20}, {"days": 1, "rate": 30}, {"days": 1, "rate": 20, "seed": SEED + 1}):
        assert not has_landed(home, **({"seed": SEED} | missing))


@pytest.mark.parametrize("sheet", ["no answer sheet", None])
def test_a_landing_that_was_emptied_is_filled_again(tmp_path: Path, sheet: str | None) -> None:
    home = Settings(home=tmp_path)
    done = simulate(home, days=1, rate=10)
    if sheet:
        done.truth.write_text(sheet)
    else:
        shutil.rmtree(home.landing)
    assert simulate(home, days=1, rate=10).events == done.events


def test_other_seeds_rates_and_starts_are_other_worlds() -> None:
    worlds = [{}, {"seed": 12}, {"rate": 61}, {"start": date(2026, 2, 2)}]
    ids = [
        {
            sent.content.event_id
            for sent in Workload(**({"days": 1, "seed": 1, "rate": 20, "start": START} | world)).sent()
            if sent.is_plain
        }
        for world in worlds
    ]  # fmt: skip
    assert len(set.union(*ids)) == sum(map(len, ids))


# --- what lands -------------------------------------------------------------------------------------------------------


def test_the_short_way_lands_the_lines_of_the_long_way(
    simulation: Settings, simulated: Simulated, tmp_path: Path
) -> None:
    """Forbids a bulk path that writes what accept would not have written, such as a text longer than its cut."""
    long_way = simulate(Settings(home=tmp_path), days=DAYS, seed=SEED, rate=RATE, is_bulk=False)
    assert [s.path.read_bytes() for s in segments(tmp_path / "landing")] == [
        s.path.read_bytes() for s in segments(simulation.landing)
    ]
    assert long_way.by_kind == simulated.by_kind


def test_every_line_is_what_accept_makes_of_it(simulation: Settings, simulated: Simulated) -> None:
    for segment in segments(simulation.landing):
        for line in segment.path.read_bytes().splitlines():
            event = decoder.decode(line)
            assert accept(line, received_at=event.received_at).line == line


def test_the_counts_are_those_of_what_landed(simulation: Settings, simulated: Simulated, truth: Truth) -> None:
    lines = landed(simulation.landing)
    assert simulated.events == len(lines)
    assert simulated.by_kind == Counter(line["kind"] for line in lines)
    assert simulated.rejects == simulated.by_kind["reject"] == len(truth.mishaps["unusable"])
    assert simulated.actions == len(truth.actions) == DAYS * RATE
    assert simulated.truth == truth_path(simulation, seed=SEED, rate=RATE)


def test_lines_stand_in_the_order_in_which_they_were_received(simulation: Settings, simulated: Simulated) -> None:
    received = [line["received_at"] for line in landed(simulation.landing)]
    assert received == sorted(received, key=datetime.fromisoformat)


def test_a_simulation_of_nothing_lands_nothing(tmp_path: Path) -> None:
    assert simulate(Settings(home=tmp_path), days=1, rate=0).events == 0


@pytest.mark.parametrize(("days", "rate"), [(0, 10), (1, -1)])
def test_impossible_sizes_are_refused(tmp_path: Path, days: int, rate: int) -> None:
    with pytest.raises(SimulationError, match="at least"):
        simulate(Settings(home=tmp_path), days=days, rate=rate)


def test_progress_ends_at_one(tmp_path: Path) -> None:
    seen: list[float] = []
    simulate(Settings(home=tmp_path), days=2, rate=130, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_a_recorder_would_have_landed_the_same(tmp_path: Path) -> None:
    """The simulator says what an agent says: one that recorded the same work lands the same, ids and arrival aside."""
    now = [datetime(2026, 1, 5, tzinfo=UTC)]
    recorder = Recorder(tmp_path, strict=True, clock=lambda: now[0])
    began: dict[str, str] = {}
    told: list[dict[str, Any]] = []
    for sent in Workload(days=1, seed=SEED, rate=20, start=START).sent():
        if not sent.is_plain:
            continue
        event = msgspec.to_builtins(sent.content)
        now[0] = sent.content.ts
        kind, action_id = event["kind"], event.get("action_id")
        if kind == "action_begun":
            keys = ("agent_id", "action_type", "goal_id", "expected_outcome", "acceptance_criteria", "playbook_ids")
            began[action_id] = recorder.begin_action(**{key: event[key] for key in keys if key in event})
        elif kind == "step":
            keys = ("description", "state", "decision", "confidence", "actor")
            assert recorder.record_step(began[action_id], **{key: event[key] for key in keys if key in event})
        elif kind == "observation":
            keys = ("observation_type", "data", "reported_by", "confidence")
            assert recorder.record_observation(began[action_id], **{key: event[key] for key in keys if key in event})
        elif kind == "action_completed":
            assert recorder.complete_action(began[action_id], event["outcome"])
        else:
            continue
        told.append({key: value for key, value in event.items() if key not in NOT_SAID})
    recorder.close()
    heard = [
        {key: value for key, value in event.items() if key not in NOT_SAID}
        for event in landed(tmp_path / "landing")
        if event.get("outcome") != {"status": "timeout"}  # the recorder closes what never completed
    ]
    assert heard == told
    assert len(told) > 150


# --- what goes wrong on purpose ---------------------------------------------------------------------------------------


def test_every_mishap_befalls_an_action_a_day(truth: Truth) -> None:
    assert all(len(truth.mishaps[mishap]) >= DAYS - (mishap == "midnight") for mishap in SHARES), {
        mishap: len(ids) for mishap, ids in truth.mishaps.items()
    }


def test_late_events_arrive_hours_after_their_time(truth: Truth, events: dict[str, list[dict[str, Any]]]) -> None:
    steps = by_action(events["step"])
    for action_id in truth.mishaps["late"]:
        waits = [_time(step, "received_at") - _time(step, "ts") for step in steps[action_id]]
        assert max(waits) > timedelta(hours=2)


def test_actions_over_midnight_begin_and_end_on_two_days(truth: Truth, events: dict[str, list[dict[str, Any]]]) -> None:
    steps = by_action(events["step"])
    for action in events["action_begun"]:
        if action["action_id"] in truth.mishaps["midnight"]:
            last = max(_time(step, "ts") for step in steps[action["action_id"]])
            began = _time(action, "ts")
            assert last.date() == began.date() + timedelta(days=1) or began.hour == 0  # or a clock that is ahead


def test_ids_arrive_twice_with_the_same_and_with_another_body(simulation: Settings, truth: Truth) -> None:
    bodies: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in landed(simulation.landing):
        bodies[line["event_id"]].append({k: v for k, v in line.items() if k != "received_at"})
    twice = [found for found in bodies.values() if len(found) > 1]
    assert sum(found[0] == found[1] for found in twice) == len(truth.mishaps["duplicate"])
    conflicts = [found[0]["action_id"] for found in twice if found[0] != found[1]]
    completed = {a.action_id for a in truth.actions if a.ending not in ("timeout", "died")}
    assert sorted(conflicts) == sorted(set(truth.mishaps["conflict"]) & completed)


def test_endings_are_as_the_truth_says(truth: Truth, events: dict[str, list[dict[str, Any]]]) -> None:
    completed = by_action(events["action_completed"])
    began = by_action(events["action_begun"])
    for action in truth.actions:
        ends = completed[action.action_id]
        if action.ending in ("timeout", "died"):
            assert not ends
            continue
        took = _time(ends[0], "ts") - _time(began[action.action_id][0], "ts")
        assert (took > timedelta(hours=6)) == (action.ending == "late")
        if action.ending == "evicted":
            assert ends[0]["outcome"] == {"status": "evicted", "reason": "max_open_actions"}


def test_step_indices_have_gaps_and_repetitions_only_where_planted(
    truth: Truth, events: dict[str, list[dict[str, Any]]]
) -> None:
    planted = {*truth.mishaps["index_gap"], *truth.mishaps["index_twice"]}
    broken = {
        action_id
        for action_id, steps in by_action(events["step"]).items()
        if [s["step_index"] for s in sorted(steps, key=lambda s: _time(s, "ts"))] != list(range(len(steps)))
    }
    assert set(truth.mishaps["index_gap"]) <= broken <= planted


def test_made_up_secrets_are_redacted_before_they_land(truth: Truth, events: dict[str, list[dict[str, Any]]]) -> None:
    redacted = {step["action_id"] for step in events["step"] if step.get("redactions")}
    assert redacted == set(truth.mishaps["secret"])


def test_old_clocks_are_suspect(truth: Truth, events: dict[str, list[dict[str, Any]]]) -> None:
    suspect = {seen["action_id"] for seen in events["observation"] if seen.get("ts_suspect")}
    assert suspect
    assert suspect <= set(truth.mishaps["old_clock"])


def test_unusable_lines_are_rejects_that_say_why(events: dict[str, list[dict[str, Any]]]) -> None:
    assert len({reject["reason"] for reject in events["reject"]}) >= 2
    for reject in events["reject"]:
        assert reject["origin"].startswith(f"simulation-{SEED}/")
        assert reject["line"] >= 1
        assert reject["raw"]


def test_no_more_is_in_flight_than_a_few_actions() -> None:
    """Forbids holding a whole day in memory before it is sorted."""
    workload = Workload(days=2, seed=1, rate=400, start=START)
    most = 0
    for _ in workload.sent():
        most = max(most, len(workload._transit._under_way))
    assert most < 4_000  # of about 17,000


# --- the truth --------------------------------------------------------------------------------------------------------


def test_success_is_meeting_what_was_expected(truth: Truth, events: dict[str, list[dict[str, Any]]]) -> None:
    """Where the truth says success the score is 1, and where it says failure it is not."""
    began = by_action(events["action_begun"])
    completed = by_action(events["action_completed"])
    for action in truth.actions:
        expected = began[action.action_id][0].get("expected_outcome")
        if not expected or action.ending not in ("completed", "error"):
            continue
        score = success_score(completed[action.action_id][0]["outcome"], expected)
        assert (score == 1.0) == action.is_success, action


def test_decisive_steps_are_steps_of_failures(truth: Truth, events: dict[str, list[dict[str, Any]]]) -> None:
    steps = by_action(events["step"])
    for action in truth.actions:
        if action.decisive is None:
            assert action.is_success or action.ending in ("died", "evicted", "late")
            continue
        assert not action.is_success
        taken = sorted(steps[action.action_id], key=lambda s: _time(s, "ts"))
        step = taken[action.decisive.position]
        assert step["event_id"] == action.decisive.event_id
        assert step["decision"] == action.decisive.decision
        assert action.decisive.cause in truth.causes


def test_wrong_choices_stand_out_within_a_goal(truth: Truth, events: dict[str, list[dict[str, Any]]]) -> None:
    """What contrast can find: a decisive wrong choice is common in the failures of its goal and rare in its passes."""
    steps = by_action(events["step"])
    passes: Counter[tuple[str, str]] = Counter()
    fails: Counter[tuple[str, str]] = Counter()
    for action in truth.actions:
        for decision in {step["decision"] for step in steps[action.action_id]}:
            (passes if action.is_success else fails)[action.goal_id, decision] += 1
    wrong = {
        (a.goal_id, a.decisive.decision) for a in truth.actions if a.decisive and a.decisive.blunder == "wrong_choice"
    }
    assert sum(passes[key] for key in wrong) < 0.2 * sum(fails[key] for key in wrong)


def test_false_beliefs_disagree_with_what_was_observed(truth: Truth, events: dict[str, list[dict[str, Any]]]) -> None:
    states = {step["event_id"]: step.get("state", {}) for step in events["step"]}
    observed = by_action(events["observation"])
    for action in truth.actions:
        if not action.decisive or action.decisive.blunder != "false_belief":
            continue
        reported: dict[str, Any] = {}
        for seen in observed[action.action_id]:
            reported |= seen["data"]
        state = states[action.decisive.event_id]
        assert any(reported[key] != value for key, value in state.items() if key in reported)


@pytest.fixture(scope="module")
def many() -> Truth:
    return run_workload(days=6, rate=1_000, seed=5).truth()


@pytest.mark.slow
def test_successes_are_as_frequent_as_their_probabilities_say(many: Truth) -> None:
    whole = [a for a in many.actions if a.ending not in ("died", "evicted", "late")]
    assert sum(a.is_success for a in whole) / len(whole) == pytest.approx(
        sum(a.p_success for a in whole) / len(whole), abs=0.015
    )


@pytest.mark.slow
def test_goals_are_run_often_with_mixed_outcomes(many: Truth) -> None:
    assert all(goal.runs >= 15 and 0 < goal.successes < goal.runs for goal in many.goals)


@pytest.mark.slow
def test_withholding_finds_the_effects_and_mere_comparison_does_not(many: Truth) -> None:
    """Shown against withheld finds what was planted; shown against not shown takes help and harm for little."""
    for kind, is_fooled in (("helpful", True), ("neutral", False), ("harmful", True)):
        true, fair, naive = 0.0, 0.0, 0.0
        entries = [entry for entry in many.entries if entry.kind == kind]
        for entry in entries:
            actions = [a for a in many.actions if a.action_type == entry.task_class]
            shown = [a for a in actions if entry.entry_id in a.shown]
            withheld = [a for a in actions if entry.entry_id in a.withheld]
            others = [a for a in actions if entry.entry_id not in a.shown]
            true += entry.effect / len(entries)
            fair += (_chance(shown) - _chance(withheld)) / len(entries)
            naive += (_chance(shown) - _chance(others)) / len(entries)
        assert fair == pytest.approx(true, abs=0.03)
        assert (abs(naive - true) > 0.08) == is_fooled, (kind, true, fair, naive)


@pytest.mark.slow
def test_advice_works_as_planted_within_attempts(many: Truth) -> None:
    plain = {(r.task_class, r.attempt): r for r in many.retries}
    assert {attempt for _, attempt in plain} == {2, 3, 4}
    for retry in many.retries:
        if retry.plain > 200:
            assert retry.plain_successes / retry.plain == pytest.approx(retry.p_plain, abs=0.08)
    helpful = [given for given in many.advice if given.effect > 0.1]
    useless = [given for given in many.advice if given.effect == 0]
    assert min(g.corrected_successes / g.corrected for g in helpful) > max(
        g.corrected_successes / g.corrected for g in useless
    )


def _chance(actions: Sequence[ActionTruth]) -> float:
    """Their mean chance: success without its noise, so that few actions are enough."""
    return sum(action.p_success for action in actions) / len(actions)


def _time(event: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(event[name]).astimezone(UTC)


def test_a_simulation_that_was_broken_off_left_nothing_of_others(settings: Settings) -> None:
    """The demo refuses a home with other events, but goes on with its own."""
    assert not holds_other_events(settings)

    def die(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(settings, days=1, rate=40, progress=die)
    assert segments(settings.landing)
    assert not holds_other_events(settings)
    shutil.rmtree(settings.home / "simulated")
    assert holds_other_events(settings)
    archived = settings.archive / "2026-01-05"
    archived.mkdir(parents=True)
    for segment in segments(settings.landing):
        segment.path.rename(archived / f"{segment.path.name}.zst")
    assert holds_other_events(settings)
