"""Floors of estimates: against a slow reference that shuffles in the same order, and with a signal and without one."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from hashlib import md5
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.test_blame import PRIORS, Rows, judged, labelled
from tests.sql.tiny_lake import DAY, by, compute

from oplake.models.model import Models

pytestmark = pytest.mark.slow

SHUFFLES = 200
CLASSES = 40  # of a world with or without a signal; of those without, one in twenty may pass
ABOVE = [(True, 0.9, 1.0), (False, 0.0, 0.15)]  # whether there is a signal, and the share of classes above their floor

TOP_1 = ("prior", "credit_baseline", "contrast_top_1")  # degenerate, too, where all steps of each action tie
Row = Mapping[str, Any]


# --- the reference ---------------------------------------------------------------------------------------------------


def digest(text: str) -> str:
    """What shuffles are ordered by."""
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def order(shuffle: int, rows: Iterable[Row], key: Callable[[Row], str], is_first: str) -> list[Row]:
    """Rows as a shuffle orders them: by MD5 of its number and their keys; those that are marked first before any."""
    return sorted(
        rows,
        key=lambda row: (
            digest(f"{shuffle}{key(row)}") if shuffle else "",
            not row[is_first],
            key(row),
        ),
    )


def share_explained(a: int, k: int, f: int, n: int) -> float:
    """What a component explains of a failure that shows it, as a of f failures and k of n runs do."""
    rate = (a - 1 + k - a + 0.5) / n
    contrast = math.log((a - 1 + 2 * rate) / (f + 1)) - math.log((k - a + 2 * rate) / (n - f + 2))
    return max(1 - math.exp(-contrast), 0)


class World:
    """The runs of one class, some of them labelled: what estimates score in each shuffle."""

    def __init__(
        self, runs: Sequence[Rows], lifts: Mapping[tuple[str, int], float], decisive: Mapping[str, int]
    ) -> None:
        self.steps = {rows[0]["action_id"]: rows for rows in runs}
        self.goals: dict[str, Rows] = defaultdict(list)
        for rows in runs:
            self.goals[rows[0]["goal_id"]].append(rows[0])
        self.goals = {goal: its for goal, its in self.goals.items() if len({row["is_failure"] for row in its}) > 1}
        self.shown = {name: {row["component"] for row in rows} for name, rows in self.steps.items()}
        self.lifts = lifts
        self.labelled = decisive
        self.decisive = {
            name: position for name, position in decisive.items() if self.steps[name][0]["goal_id"] in self.goals
        }

    def failing(self, goal: str, shuffle: int) -> set[str]:
        """The runs of a goal that are failures in a shuffle."""
        runs = self.goals[goal]
        ordered = order(shuffle, runs, lambda row: f"{row['action_id']} {DAY}", "is_failure")
        return {row["action_id"] for row in ordered[: sum(row["is_failure"] for row in runs)]}

    def having(self, goal: str, component: str) -> set[str]:
        """The runs of a goal that show a component."""
        return {row["action_id"] for row in self.goals[goal] if component in self.shown[row["action_id"]]}

    def dealt(self, shuffle: int) -> dict[str, int]:
        """The decisive position of each labelled run in a shuffle: another's, or the end of the run before that."""
        names = sorted(self.labelled, key=lambda name: (digest(name), name))
        others = sorted(names, key=lambda name: digest(f"{shuffle}{name} {DAY}")) if shuffle else names
        return {
            name: min(self.labelled[other], len(self.steps[name]) - 1)
            for name, other in zip(names, others, strict=True)
        }

    def prior(self, shuffle: int, powers: Mapping[str, float]) -> float | None:
        """How often what is learned from other goals ranks the dealt position first."""
        dealt, hits = self.dealt(shuffle), []
        for name, decisive in dealt.items():
            goal = self.steps[name][0]["goal_id"]
            learned = [
                (row, row["position"] == dealt[other])
                for other in dealt
                for row in self.steps[other]
                if row["goal_id"] != goal
            ]
            rate = sum(is_decisive for _, is_decisive in learned) / len(learned) if learned else 0
            scores = []
            for row in self.steps[name]:
                score = 0.0
                for feature, power in powers.items() if rate else ():
                    having = [is_decisive for other, is_decisive in learned if other[feature] == row[feature]]
                    score += power * math.log((sum(having) + 5 * rate) / (len(having) + 5) / rate)
                scores.append(round(score, 7))
            hits.append(float(scores.index(max(scores)) == decisive))
        return fmean(hits) if hits else None

    def credit_baseline(self, shuffle: int) -> float | None:
        """How often the last step, which has most credit, is the dealt one."""
        hits = [position == len(self.steps[name]) - 1 for name, position in self.dealt(shuffle).items()]
        return fmean(hits) if hits else None

    def contrast(self, shuffle: int) -> float | None:
        """Mean over failures of what their best component explains."""
        best = []
        for goal, runs in self.goals.items():
            failing = self.failing(goal, shuffle)
            for name in failing:
                counts = [self.having(goal, component) for component in self.shown[name]]
                best.append(
                    max(share_explained(len(its & failing), len(its), len(failing), len(runs)) for its in counts)
                )
        return fmean(best) if best else None

    def step_value(self, shuffle: int) -> float | None:
        """Mean of what components that are seen often differ by."""
        found = []
        for component in {name for shown in self.shown.values() for name in shown}:
            weighed = weights = with_it = without = 0.0
            for goal, runs in self.goals.items():
                failing, having = self.failing(goal, shuffle), self.having(goal, component)
                others = {row["action_id"] for row in runs} - having
                if having and others:
                    weight = len(having) * len(others) / len(runs)
                    weighed += weight * (len(having - failing) / len(having) - len(others - failing) / len(others))
                    weights += weight
                    with_it, without = with_it + len(having), without + len(others)
            if with_it >= 5 and without >= 5:
                found.append(abs(weighed / weights))
        return fmean(found) if found else None

    def contrast_top_1(self, shuffle: int) -> float | None:
        """How often contrast ranks the labelled step first, the run itself left out of what is counted."""
        hits = []
        for name, decisive in self.decisive.items():
            goal = self.steps[name][0]["goal_id"]
            failing = self.failing(goal, shuffle) - {name}
            others = {row["action_id"] for row in self.goals[goal]} - {name}
            scores, explained = [], 0.0
            for row in self.steps[name]:
                contrast = 0.0
                if row["is_first"]:
                    having = self.having(goal, row["component"]) - {name}
                    rate = (len(having) + 0.5) / len(self.goals[goal])
                    failed = math.log((len(having & failing) + 2 * rate) / (len(failing) + 2))
                    passed = math.log((len(having - failing) + 2 * rate) / (len(others - failing) + 2))
                    contrast = max(failed - passed, 0)
                lift = self.lifts[name, row["position"]]
                scores.append(round(math.log(lift * (1.02 - math.exp(-contrast))) - explained, 7))
                explained += contrast
            hits.append(float(scores.index(max(scores)) == decisive))
        return fmean(hits) if hits else None


def correction_score(retries: Sequence[Row], shuffle: int) -> float | None:
    """By how much corrected retries are off from what all of their attempt let expect."""
    off = corrected = 0.0
    for attempt in {row["attempt"] for row in retries}:
        its = [row for row in retries if row["attempt"] == attempt]
        n1 = sum(row["is_corrected"] for row in its)
        if 0 < n1 < len(its):
            advised = order(shuffle, its, lambda row: str(row["event_id"]), "is_corrected")[:n1]
            off += sum(row["success"] for row in advised) - n1 * sum(row["success"] for row in its) / len(its)
            corrected += n1
    return abs(off) / corrected if corrected else None


def assert_is(row: Row | None, score: Callable[[int], float | None]) -> None:
    """A row of the table says what a score and its shuffles say; without a score there is no row, or one untested."""
    real = score(0)
    if real is None:
        assert row is None or (row["samples"], row["score"], row["is_above_floor"]) == (0, None, False)
        return
    assert row is not None
    shuffled = [value for shuffle in range(1, SHUFFLES + 1) if (value := score(shuffle)) is not None]
    assert (row["score"], row["floor"]) == pytest.approx((real, fmean(shuffled)), abs=1e-6)
    assert row["margin"] == pytest.approx(real - fmean(shuffled), abs=1e-6)
    assert row["shuffles"] == len(shuffled) == SHUFFLES
    least, most = (1 + sum(value >= real + off for value in shuffled) for off in (1e-6, -1e-6))
    assert least / (1 + SHUFFLES) - 1e-9 <= row["p"] <= most / (1 + SHUFFLES) + 1e-9
    assert row["is_above_floor"] == (row["p"] <= 0.05 and not row["is_degenerate"])
    if max(shuffled) - min(shuffled) > 1e-6:
        assert row["estimate"] in TOP_1 or not row["is_degenerate"]


@pytest.mark.slow
@given(st.data())
@settings(max_examples=12, deadline=None)
def test_floors_are_those_of_the_reference(models: Models, data: st.DataObject) -> None:
    runs: dict[str, list[Rows]] = defaultdict(list)
    labels: Rows = []
    decisive: dict[str, int] = {}
    for number in range(data.draw(st.integers(2, 26))):
        kind, name = data.draw(st.sampled_from("tu")), f"r{number}"
        decisions = data.draw(st.lists(st.sampled_from("xyz"), min_size=1, max_size=4))
        is_failure = data.draw(st.booleans())
        rows = judged(name, kind, data.draw(st.sampled_from("gh")), decisions, is_failure=is_failure)
        runs[kind].append(rows)
        if is_failure and data.draw(st.integers(0, 2)) == 0:
            decisive[name] = data.draw(st.integers(0, len(rows) - 1))
            same = {"action_day": DAY, "labelled_actor": "a"}
            labels += [
                row | same | {"is_decisive": row["position"] == decisive[name], "credit": 0.1 + 0.1 * row["position"]}
                for row in rows
            ]
    method = data.draw(st.sampled_from([*PRIORS]))
    chosen = {"day": DAY, "method": method, "evidence": "labels", "is_chosen": True}
    tables: dict[str, Any] = {
        "attribution.blame_steps": [row for each in runs.values() for rows in each for row in rows],
        "attribution.labelled_steps": labels,
        "attribution.blame_methods": [chosen | {"action_type": kind} for kind in "tu"],
    }
    for name in ("blame_signs", "blame_lifts", "blame_contrasts", "blame_evidence", "estimate_floors"):
        tables[f"attribution.{name}"] = compute(models[f"attribution.{name}"], tables)
    found = {(row["estimate"], row["action_type"]): row for row in tables["attribution.estimate_floors"]}
    lifts = {(row["action_id"], row["position"]): row["place_lift"] for row in tables["attribution.blame_evidence"]}
    for kind, its in runs.items():
        names = {rows[0]["action_id"] for rows in its}
        world = World(its, lifts, {name: position for name, position in decisive.items() if name in names})
        assert_is(found.get(("prior", kind)), partial(world.prior, powers=PRIORS[method]))
        assert_is(found.get(("credit_baseline", kind)), world.credit_baseline)
        assert_is(found.get(("contrast", kind)), world.contrast)
        assert_is(found.get(("step_value", kind)), world.step_value)
        assert_is(found.get(("contrast_top_1", kind)), world.contrast_top_1)


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from("tu"), st.integers(2, 4), st.booleans(), st.booleans()), max_size=30))
@settings(max_examples=20, deadline=None)
def test_floors_of_corrections_are_those_of_the_reference(
    models: Models, drawn: list[tuple[str, int, bool, bool]]
) -> None:
    retries = [
        {"task_class": kind, "attempt": attempt, "is_corrected": is_corrected, "success": success}
        | {"day": DAY, "event_id": f"e{number}", "was_corrected_before": False}
        for number, (kind, attempt, is_corrected, success) in enumerate(drawn)
    ]
    found = by(compute(models["attribution.estimate_floors"], {"operations.retries": retries}), "action_type")
    for kind in "tu":
        its = [row for row in retries if row["task_class"] == kind]
        assert (kind in found) == any(row["is_corrected"] for row in its)
        assert_is(found.get(kind), lambda shuffle, its=its: correction_score(its, shuffle))


# --- with a signal and without ---------------------------------------------------------------------------------------


def floors(models: Models, tables: dict[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The floors of labelled steps, by estimate."""
    for name in ("blame_lifts", "blame_evidence", "blame_trials", "blame_methods", "estimate_floors"):
        tables[f"attribution.{name}"] = compute(models[f"attribution.{name}"], tables)
    return by(tables["attribution.estimate_floors"], "estimate")


def test_a_prior_that_knows_is_above_its_floor_and_one_that_only_knows_positions_is_not(models: Models) -> None:
    """Shuffled positions leave the prior of positions as good as it was: what it scores is no knowledge of steps."""
    dice = random.Random(5)
    knowing: Rows = []
    guessing: Rows = []
    for number in range(40):
        values = [("a", "talk"), ("a", "talk"), ("a", "talk")]
        decisive = dice.choice([0, 1, 1, 1, 2])
        guessing += labelled(f"r{number}", "t", f"g{number}", values, decisive)
        values[decisive] = ("a", "code")
        knowing += labelled(f"r{number}", "t", f"g{number}", values, decisive)
    steps = [{"day": DAY, "action_id": "1", "position": 0}]
    found = floors(models, {"attribution.blame_steps": steps, "attribution.labelled_steps": knowing})["prior"]
    assert (found["score"], found["is_above_floor"], found["shuffles"]) == (1.0, True, 200)
    found = floors(models, {"attribution.blame_steps": steps, "attribution.labelled_steps": guessing})["prior"]
    assert not found["is_above_floor"]
    assert found["score"] > 1 / 3  # though it looks good


def test_a_scorer_that_tells_no_step_from_another_is_called_degenerate(models: Models) -> None:
    rows = [row for number in range(12) for row in labelled(f"r{number}", "t", f"g{number}", [("a", "x")], 0)]
    steps = [{"day": DAY, "action_id": "1", "position": 0}]
    found = floors(models, {"attribution.blame_steps": steps, "attribution.labelled_steps": rows})
    assert {name: row["is_degenerate"] for name, row in found.items()} == {"prior": True, "credit_baseline": True}
    assert not any(row["is_above_floor"] for row in found.values())


@pytest.mark.slow
@pytest.mark.parametrize(("is_real", "low", "high"), ABOVE)
def test_contrast_is_above_its_floor_where_there_is_one(models: Models, is_real: bool, low: float, high: float) -> None:
    """Of classes in which nothing tells failures from successes about one in twenty passes by chance, not more."""
    dice = random.Random(11)
    steps: Rows = []
    for number in range(4000):
        did_guess = dice.random() < 0.4
        is_failure = dice.random() < (0.85 if did_guess else 0.15) if is_real else dice.random() < 0.5
        same = {"day": DAY, "action_id": f"r{number}", "action_type": f"t{number % 40}", "is_failure": is_failure}
        for position, name in enumerate(["look", "guess" if did_guess else "ask", dice.choice("pqr")]):
            goal = f"g{number // 40 % 5}"
            steps.append(same | {"goal_id": goal, "position": position, "component": name, "is_first": True})
    found = compute(models["attribution.estimate_floors"], {"attribution.blame_steps": steps})
    for estimate in ("contrast", "step_value"):
        above = [row["is_above_floor"] for row in found if row["estimate"] == estimate]
        assert len(above) == 40
        assert low <= sum(above) / 40 <= high, estimate


@pytest.mark.slow
@pytest.mark.parametrize(("is_real", "low", "high"), ABOVE)
def test_priors_of_steps_are_above_their_floor_where_they_know_something(
    models: Models, is_real: bool, low: float, high: float
) -> None:
    """Where labels fall on any step alike, what a prior learned of them is chance."""
    dice = random.Random(13)
    rows: Rows = []
    for number in range(CLASSES * 30):
        values = [("a", dice.choice("pqr")) for _ in range(4)]
        decisive = dice.randrange(4)
        if is_real and dice.random() < 0.7:
            values[decisive] = ("a", "guess")
        rows += labelled(f"r{number}", f"t{number % CLASSES}", f"g{number}", values, decisive)
    tables: dict[str, Any] = {
        "attribution.blame_steps": [{"day": DAY, "action_id": "1", "position": 0}],
        "attribution.labelled_steps": rows,
        "attribution.blame_methods": [
            {
                "day": DAY,
                "action_type": f"t{kind}",
                "method": "position_decision",
                "evidence": "labels",
                "is_chosen": True,
            }
            for kind in range(CLASSES)
        ],
    }
    for name in ("blame_lifts", "blame_evidence", "estimate_floors"):
        tables[f"attribution.{name}"] = compute(models[f"attribution.{name}"], tables)
    above = [row["is_above_floor"] for row in tables["attribution.estimate_floors"] if row["estimate"] == "prior"]
    assert len(above) == CLASSES
    assert low <= sum(above) / CLASSES <= high


@pytest.mark.slow
@pytest.mark.parametrize(("is_real", "low", "high"), ABOVE)
def test_contrast_finds_labelled_steps_more_often_than_shuffled_outcomes_let_it(
    models: Models, is_real: bool, low: float, high: float
) -> None:
    """Where outcomes have nothing to do with decisions, the step that contrast names is one of four by chance."""
    dice = random.Random(17)
    steps: Rows = []
    labels: Rows = []
    for number in range(CLASSES * 60):
        decisions = ["p", "q", "r", "s"]
        dice.shuffle(decisions)
        wrong = dice.randrange(4)
        is_failure = dice.random() < 0.5
        if is_failure if is_real else dice.random() < 0.5:
            decisions[wrong] = "guess"
        kind, goal = f"t{number % CLASSES}", f"g{number // CLASSES % 4}"
        rows = judged(f"r{number}", kind, goal, decisions, is_failure=is_failure)
        steps += rows
        if is_failure:
            same = {"action_day": DAY, "credit": 0.5, "labelled_actor": "a"}
            labels += [row | same | {"is_decisive": row["position"] == wrong} for row in rows]
    tables: dict[str, Any] = {"attribution.blame_steps": steps, "attribution.labelled_steps": labels}
    needed = ("blame_signs", "blame_lifts", "blame_contrasts", "blame_evidence", "blame_trials", "blame_methods")
    for name in (*needed, "estimate_floors"):
        tables[f"attribution.{name}"] = compute(models[f"attribution.{name}"], tables)
    rows = [row for row in tables["attribution.estimate_floors"] if row["estimate"] == "contrast_top_1"]
    assert len(rows) == CLASSES
    assert low <= sum(row["is_above_floor"] for row in rows) / CLASSES <= high


@pytest.mark.slow
@pytest.mark.parametrize(("is_real", "low", "high"), ABOVE)
def test_corrections_are_above_their_floor_where_they_help(
    models: Models, is_real: bool, low: float, high: float
) -> None:
    """Later attempts are harder and get more advice: worthless advice must not look like harm."""
    dice = random.Random(19)
    retries: Rows = []
    for number in range(CLASSES * 240):
        attempt = 2 + number // CLASSES % 3
        is_corrected = dice.random() < 0.2 * attempt
        chance = 0.6 - 0.12 * attempt + (0.3 if is_real and is_corrected else 0)
        retries.append(
            {"day": DAY, "event_id": f"e{number}", "task_class": f"t{number % CLASSES}", "attempt": attempt}
            | {"is_corrected": is_corrected, "success": dice.random() < chance, "was_corrected_before": False}
        )
    rows = compute(models["attribution.estimate_floors"], {"operations.retries": retries})
    assert [row["estimate"] for row in rows] == ["correction_effects"] * CLASSES
    assert low <= sum(row["is_above_floor"] for row in rows) / CLASSES <= high


def test_what_is_published_without_anything_to_test_it_by_is_above_nothing(models: Models) -> None:
    """A class without labels has a prior all the same, and reports look for its row."""
    steps = judged("r", "t", "g", ["x", "y"], is_failure=True)
    value = {"day": DAY, "action_type": "t", "component": "a > x"}
    advised = {"day": DAY, "event_id": "e", "task_class": "t", "attempt": 2, "is_corrected": True, "success": True}
    rows = compute(
        models["attribution.estimate_floors"],
        {"attribution.blame_steps": steps, "attribution.step_value": [value], "operations.retries": [advised]},
    )
    assert {row["estimate"] for row in rows} == {"prior", "step_value", "correction_effects"}
    for row in rows:
        assert (row["samples"], row["score"], row["p"], row["shuffles"]) == (0, None, None, 0)
        assert (row["is_degenerate"], row["is_above_floor"]) == (False, False)


@pytest.mark.slow
@pytest.mark.parametrize(("is_real", "low", "high"), ABOVE)
def test_uplifts_are_above_their_floor_where_an_entry_helps(
    models: Models, is_real: bool, low: float, high: float
) -> None:
    """Goals differ in how hard they are, and entries are withheld as often from each: only showing them may tell."""
    dice = random.Random(23)
    uptake: Rows = []
    for number in range(CLASSES * 500):
        goal, is_withheld = number // CLASSES % 4, dice.random() < 0.1
        chance = 0.2 + 0.1 * goal + (0.4 if is_real and not is_withheld else 0)
        uptake.append(
            {"day": DAY, "week": DAY, "entry_id": f"e{number % 2}", "unit": f"u{number}", "goal_id": f"g{goal}"}
            | {"task_class": f"t{number % CLASSES}", "is_withheld": is_withheld, "success": dice.random() < chance}
        )
    tables: dict[str, Any] = {"playbooks.uptake": uptake}
    tables["playbooks.uplift_floors"] = floors = compute(models["playbooks.uplift_floors"], tables)
    rows = compute(models["attribution.estimate_floors"], tables)
    assert [row["estimate"] for row in rows] == ["uplift"] * CLASSES
    assert low <= sum(row["is_above_floor"] for row in rows) / CLASSES <= high
    assert {row["action_type"]: row["p"] for row in rows} == {row["task_class"]: row["p"] for row in floors}
    dice.shuffle(uptake)
    assert compute(models["playbooks.uplift_floors"], tables) == floors


def test_an_uplift_that_nothing_compares_or_that_no_shuffle_changes_is_above_nothing(models: Models) -> None:
    """All shown, and all successful."""
    both = [False, True]
    uptake = [
        {"day": DAY, "week": DAY, "entry_id": "e", "unit": f"{name} {n} {is_withheld}", "goal_id": "g"}
        | {"task_class": name, "is_withheld": is_withheld, "success": 1.0}
        for name, arms in (("shown", both[:1]), ("flat", both))
        for n in range(30)
        for is_withheld in arms
    ]
    floors = compute(models["playbooks.uplift_floors"], {"playbooks.uptake": uptake})
    rows = by(compute(models["attribution.estimate_floors"], {"playbooks.uplift_floors": floors}), "action_type")
    assert (rows["shown"]["samples"], rows["shown"]["score"], rows["shown"]["shuffles"]) == (0, None, 0)
    assert (rows["flat"]["samples"], rows["flat"]["p"], rows["flat"]["is_degenerate"]) == (60, 1.0, True)
    assert not any(row["is_above_floor"] for row in rows.values())
