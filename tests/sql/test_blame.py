"""Blame and what it is made of, against references written for reading, and on a world whose truth is known."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import DAY, TinyLake, at, begun, by, completed, compute, observation, step

from oplake.lake.catalog import connect
from oplake.lake.ingest import ingest
from oplake.lake.tables import Lake
from oplake.learning.blame_eval import evaluate, page
from oplake.models.build import build
from oplake.models.model import Models
from oplake.settings import Settings
from oplake.simulate import START, read_truth, simulate

pytestmark = pytest.mark.slow

FEATURES = ("place", "actor", "decision", "repetition", "doubt")
PRIORS: dict[str, dict[str, float]] = {
    "position": {"place": 1},
    "decision_position": {"decision": 1, "place": 0.1},
    "position_actor": {"place": 1, "actor": 1},
    "position_decision": {"place": 1, "decision": 1},
    "repetition": {"place": 1, "decision": 1, "repetition": 1, "doubt": 1},
}
"""The features whose lifts a prior multiplies, each to a power."""
Rows = list[dict[str, Any]]


def run(
    action_id: str,
    decisions: Sequence[str],
    *,
    is_success: bool,
    goal: str = "g",
    kind: str = "t",
    label: int | None = None,
    labelled_actor: str | None = "a",
    actors: Sequence[str] = (),
    hour: float = 1,
) -> Rows:
    """The events of an action with these decisions, of which `label` is said to have decided the failure."""
    events = [
        begun(action_id, at(hour), action_type=kind, goal_id=goal, expected_outcome={"done": True}),
        *(
            step(action_id, at(hour, seconds=i + 1), i, decision=name, actor=actors[i] if actors else "a")
            for i, name in enumerate(decisions)
        ),
        completed(action_id, at(hour, seconds=90), {"done": is_success}),
    ]
    if label is not None:
        data = {"step_index": label} | ({} if labelled_actor is None else {"actor": labelled_actor})
        events.append(
            observation(action_id, at(hour, seconds=99), observation_type="blame_label", data=data, reported_by="ann")
        )
    return events


def upstream(models: Models, name: str) -> set[str]:
    """A model and all that it is made of."""
    found = {name}
    for each in models[name].dependencies:
        if each in models:
            found |= upstream(models, each)
    return found


def build_blame(lake: TinyLake, days: int = 1) -> None:
    """Build blame and what it is made of, from DAY on."""
    lake.build(*upstream(lake.models, "attribution.blame"), stop=DAY + timedelta(days=days - 1))


def signs(rows: Sequence[tuple[str, str, int, int]], failures: int, passes: int) -> Rows:
    """Rows of blame_signs for goals with so many failing and passing runs: (goal, component, failing, passing)."""
    empty = {"day": DAY, "action_type": "t", "failing_occurrences": 1, "passing_occurrences": 1, "failing_places": 0}
    counted = [(goal, f"did: a > {name}", a, b) for goal, name, a, b in rows]
    counted += [(goal, "run", failures, passes) for goal in {row[0] for row in rows}]
    return [
        {**empty, "goal_id": goal, "sign": sign, "failing_runs": a, "passing_runs": b}
        | {"failing_damped": a, "passing_damped": b}
        for goal, sign, a, b in counted
    ]


@pytest.mark.slow
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_contrast_and_ochiai_are_what_the_header_says(models: Models, data: st.DataObject) -> None:
    f, p = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    counts = st.tuples(st.integers(0, f), st.integers(0, p)).filter(any)
    told = {
        (goal, name): data.draw(counts) for goal in "gh" for name in "xy" if data.draw(st.booleans()) or name == "x"
    }
    tables = {
        "attribution.blame_steps": [{"day": DAY, "action_id": "1", "position": 0}],
        "attribution.blame_signs": signs([(goal, name, *ab) for (goal, name), ab in told.items()], f, p),
    }
    rows = compute(models["attribution.blame_contrasts"], tables)
    assert len(rows) == len(told)
    for row in rows:
        goal, name = row["goal_id"], row["sign"][-1]
        a, b = told[goal, name]
        elsewhere = [(c, d) for (other, same), (c, d) in told.items() if other != goal and same == name]
        failing = sum(c * p / (f + p) for c, _ in elsewhere) + 0.5
        passing = sum(d * f / (f + p) for _, d in elsewhere) + 0.5
        tilt = math.sqrt(failing / passing)
        others = max(a - 1, 0)
        rate = (others + b + 0.5) / (f + p)
        expected = math.log((others + 2 * min(rate * tilt, 1)) / (f + 1)) - math.log(
            (b + 2 * min(rate / tilt, 1)) / (p + 2)
        )
        assert row["contrast"] == pytest.approx(expected, abs=1e-5)
        assert row["ochiai"] == pytest.approx(a / math.sqrt(f * (a + b)))
        assert row["kulczynski2"] == pytest.approx((a / f + a / (a + b)) / 2)


def labelled(action: str, kind: str, goal: str, values: Sequence[tuple[str, str]], decisive: int) -> Rows:
    """Rows of labelled_steps for an action with steps of these actors and decisions."""
    same = {"day": DAY, "action_day": DAY, "action_id": action, "action_type": kind, "goal_id": goal}
    return [
        same
        | {"position": i, "place": min(i, 2), "actor": actor, "decision": decision, "component": actor + decision}
        | {"doubt": "none", "occurrences": 1, "is_first": True, "repetition": "few"}
        | {"is_decisive": i == decisive, "is_failure": True}
        | {"step_count": len(values), "credit": 0.9 ** (len(values) - 1 - i), "labelled_actor": values[decisive][0]}
        for i, (actor, decision) in enumerate(values)
    ]


def reference_lift(rows: Rows, kind: str, held: str, feature: str, value: str) -> float:
    """The lift by its definition, counting anew each time."""
    kept = [row for row in rows if row["goal_id"] != held]

    def shrunk(chosen: Rows, towards: float) -> float:
        rate = sum(row["is_decisive"] for row in chosen) / len(chosen) if chosen else 0
        if not rate:
            return towards
        having = [row for row in chosen if str(row[feature]) == value]
        return (sum(row["is_decisive"] for row in having) + 5 * rate * towards) / (len(having) + 5) / rate

    return shrunk([row for row in kept if row["action_type"] == kind], shrunk(kept, 1.0))


@pytest.mark.slow
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_lifts_leave_the_goal_out_and_back_off_to_all_classes(models: Models, data: st.DataObject) -> None:
    rows: Rows = []
    for number in range(data.draw(st.integers(1, 6))):
        values = data.draw(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), min_size=1, max_size=4))
        kind, goal = data.draw(st.sampled_from("tu")), data.draw(st.sampled_from("ghi"))
        rows += labelled(f"r{number}", kind, goal, values, data.draw(st.integers(0, len(values) - 1)))
    tables = {
        "attribution.blame_steps": [{"day": DAY, "action_id": "1", "position": 0}],
        "attribution.labelled_steps": rows,
    }
    lifts = compute(models["attribution.blame_lifts"], tables)
    checked = [row for row in lifts if row["feature"] in ("place", "actor", "decision")]
    assert {row["held_goal"] for row in checked} == {"", *(row["goal_id"] for row in rows)}
    for row in checked:
        expected = reference_lift(rows, row["action_type"], row["held_goal"], row["feature"], row["value"])
        assert row["lift"] == pytest.approx(expected), row


def judged(
    action: str, kind: str, goal: str, decisions: Sequence[str], *, is_failure: bool, doubts: Sequence[str] = ()
) -> Rows:
    """Rows of blame_steps for a run in which one actor decided so."""
    same = {"day": DAY, "action_id": action, "action_type": kind, "goal_id": goal, "is_failure": is_failure}
    rows = []
    for i, name in enumerate(decisions):
        times, is_first = decisions.count(name), name not in decisions[:i]
        rows.append(
            same
            | {"position": i, "step_index": i, "step_count": len(decisions), "place": min(i, 2), "actor": "a"}
            | {"decision": name, "component": f"a > {name}", "occurrences": times, "is_first": is_first}
            | {"repetition": "few" if times < 3 else "first" if is_first else "again"}
            | {"doubt": doubts[i] if doubts else "none"}
        )
    return rows


def reference_weights(run: Rows, lifts: Rows, contrasts: Rows, prior: str | None, contrast: str) -> list[float]:
    """What each step of a failure weighs, by the definitions, looked up one by one."""
    kind, goal = run[0]["action_type"], run[0]["goal_id"]
    known = {(row["action_type"], row["held_goal"]) for row in lifts}
    kind_of_lifts = kind if kind in {name for name, _ in known} else ""
    held = goal if (kind, goal) in known else ""
    table = {(row["action_type"], row["held_goal"], row["feature"], row["value"]): row["lift"] for row in lifts}
    scores = {row["sign"]: row for row in contrasts if (row["action_type"], row["goal_id"]) == (kind, goal)}
    weights, explained = [], 0.0
    for row in run:
        lift = {name: table.get((kind_of_lifts, held, name, str(row[name])), 1.0) for name in FEATURES}
        if not scores:
            weight = math.prod(lift[name] ** power for name, power in PRIORS[prior or "position"].items())
            components = [each["component"] for each in run[row["position"] :]]
            before = run[row["position"] - 1]["component"] if row["position"] else None
            is_first_in_a_row = components[:3] == components[:1] * 3 and before != components[0]
            weights.append(weight * 1.5 if prior is None and is_first_in_a_row else weight)
            continue
        did = scores[f"did: {row['component']}"]
        c = 0.0
        if row["is_first"]:
            repeated = scores.get(f"repeated: {row['component']}", did)
            c += max(did["contrast"], repeated["contrast"] if row["occurrences"] >= 3 else 0, 0)
        if row["doubt"] == "contradicted":
            c += max(scores["contradicted"]["contrast"], 0)
        weight = {
            "contrast": (1.02 - math.exp(-c)) * math.exp(-explained),
            "ochiai": did["ochiai"],
            "kulczynski2": did["kulczynski2"],
            "famas": did["famas"] * (1 + math.log(row["occurrences"]) / -math.log(0.9)),
        }[contrast]
        explained += c
        weights.append(lift["place"] * weight)
    return weights


@pytest.mark.slow
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_blame_is_what_the_methods_weigh(models: Models, data: st.DataObject) -> None:
    """All that comes after lifts and contrasts, which have references of their own."""
    runs: dict[str, Rows] = {}
    labels: Rows = []
    for number in range(data.draw(st.integers(1, 8))):
        name, kind, goal = f"r{number}", data.draw(st.sampled_from("tu")), data.draw(st.sampled_from("gh"))
        decisions = data.draw(st.lists(st.sampled_from("xyz"), min_size=1, max_size=6))
        doubts = [data.draw(st.sampled_from(["none", "unsure", "contradicted"])) for _ in decisions]
        is_failure = data.draw(st.booleans())
        runs[name] = judged(name, kind, goal, decisions, is_failure=is_failure, doubts=doubts)
        if is_failure and data.draw(st.booleans()):
            decisive = data.draw(st.integers(0, len(decisions) - 1))
            same = {"action_day": DAY, "credit": 0.5, "labelled_actor": "a"}
            labels += [row | same | {"is_decisive": row["position"] == decisive} for row in runs[name]]
    prior = data.draw(st.sampled_from([None, *PRIORS]))
    contrast = data.draw(st.sampled_from(["contrast", "ochiai", "kulczynski2", "famas"]))
    tables: dict[str, Any] = {
        "attribution.blame_steps": [row for rows in runs.values() for row in rows],
        "attribution.labelled_steps": labels,
        "attribution.blame_methods": [
            {"day": DAY, "action_type": kind, "method": method, "evidence": evidence, "is_chosen": True}
            | {"labelled_actions": 1}
            for kind in "tu"
            for method, evidence in ((prior, "labels"), (contrast, "runs"))
            if method is not None
        ],
    }
    for name in ("blame_signs", "blame_lifts", "blame_contrasts", "blame_evidence", "blame"):
        tables[f"attribution.{name}"] = compute(models[f"attribution.{name}"], tables)
    found: dict[str, Rows] = defaultdict(list)
    for row in sorted(tables["attribution.blame"], key=lambda row: row["position"]):
        found[row["action_id"]].append(row)
    assert set(found) == {name for name, rows in runs.items() if rows[0]["is_failure"]}
    for name, rows in found.items():
        run = runs[name]
        outcomes = [
            each[0]["is_failure"]
            for each in runs.values()
            if (each[0]["action_type"], each[0]["goal_id"]) == (run[0]["action_type"], run[0]["goal_id"])
        ]
        lifts, contrasts = tables["attribution.blame_lifts"], tables["attribution.blame_contrasts"]
        weights = reference_weights(run, lifts, contrasts, prior, contrast)
        shares = [weight / sum(weights) for weight in weights]
        assert [row["blame"] for row in rows] == pytest.approx(shares)
        assert sum(row["blame"] for row in rows) == pytest.approx(1)
        best, *others = sorted(shares, reverse=True)
        assert rows[0]["margin"] == pytest.approx(best - (others[0] if others else 0), abs=1e-9)
        ranked = sorted(rows, key=lambda row: row["blame_rank"])
        assert [row["blame"] for row in ranked] == pytest.approx([best, *others])
        is_repeating = prior == "repetition" and any(row["occurrences"] >= 3 for row in run)
        kind_of_evidence = "contrast" if not all(outcomes) else "repetition" if is_repeating else "prior_only"
        for row in rows:
            assert (row["failures"], row["passes"]) == (sum(outcomes), len(outcomes) - sum(outcomes))
            assert row["evidence_kind"] == kind_of_evidence
            assert row["estimate"] == ("contrast" if kind_of_evidence == "contrast" else "prior")
            assert row["method"] == (contrast if kind_of_evidence == "contrast" else prior or "position")


def test_where_failures_and_successes_differ_contrast_names_the_step(tiny: TinyLake) -> None:
    for number in range(3):
        tiny.land(*run(f"good{number}", ["look", "ask", "do"], is_success=True))
        tiny.land(*run(f"bad{number}", ["look", "guess", "do"], is_success=False))
    build_blame(tiny)
    rows = tiny.ask("SELECT * FROM attribution.blame ORDER BY action_id, position")
    assert {row["action_id"] for row in rows} == {"bad0", "bad1", "bad2"}
    for row in rows:
        assert (row["evidence_kind"], row["failures"], row["passes"]) == ("contrast", 3, 3)
        assert (row["blame_rank"] == 1) == (row["position"] == 1)
        assert row["stats_through"] == DAY
    assert sum(row["blame"] for row in rows) == pytest.approx(3)
    first = [row["blame"] for row in rows if row["action_id"] == "bad0"]
    assert rows[0]["margin"] == pytest.approx(max(first) - sorted(first)[-2])


def test_contrast_is_not_claimed_without_successes(tiny: TinyLake) -> None:
    """Where all runs of a goal fail, what they have in common tells nothing; successes of another goal do not help."""
    tiny.land(*run("good", ["look", "ask"], is_success=True, goal="another"))
    for number in range(4):
        tiny.land(*run(f"bad{number}", ["look", "guess"], is_success=False))
    build_blame(tiny)
    rows = tiny.ask("SELECT DISTINCT evidence_kind, passes, blame, margin FROM attribution.blame")
    assert rows == [{"evidence_kind": "prior_only", "passes": 0, "blame": 0.5, "margin": 0.0}]


def test_without_labels_and_successes_the_first_step_of_a_circle_is_suspected(tiny: TinyLake) -> None:
    """Equal blame is given to the first step by ties, so that a loop was never named. What recurs among other things
    does not count: whoever takes turns recurs, and is no likelier to have decided anything."""
    circling = ["look", "ask", "ask", "ask", "ask", "look", "look"]
    tiny.land(*run("circles", circling, is_success=False))
    tiny.land(*run("turns", ["look", "ask", "look", "ask", "look", "ask"], is_success=False))
    build_blame(tiny)
    rows = tiny.ask("SELECT * FROM attribution.blame ORDER BY action_id, position")
    assert {row["evidence_kind"] for row in rows} == {"prior_only"}
    found = {name: [row["blame"] for row in rows if row["action_id"] == name] for name in ("circles", "turns")}
    assert found["circles"] == pytest.approx([1 / 7.5, 1.5 / 7.5, *[1 / 7.5] * 5])
    assert found["turns"] == pytest.approx([1 / 6] * 6)


def test_what_a_run_alone_shows_is_no_evidence_against_it(tiny: TinyLake) -> None:
    """Counting the run that is explained among those that explain it would blame whatever is rare."""
    for number in range(3):
        tiny.land(*run(f"good{number}", ["look", "do"], is_success=True))
        tiny.land(*run(f"bad{number}", ["look", "guess", "do"], is_success=False))
    tiny.land(*run("odd", ["look", "guess", "sing"], is_success=False))
    build_blame(tiny)
    [first] = tiny.ask("SELECT position FROM attribution.blame WHERE action_id = 'odd' AND blame_rank = 1")
    assert first == {"position": 1}


@pytest.mark.slow
def test_a_label_does_not_judge_its_own_goal(tiny: TinyLake, models: Models) -> None:
    """Otherwise blame could only be held against labels that it has not seen."""
    for label in (0, 2):
        lake = tiny if label == 0 else TinyLake(models)
        for number in range(5):
            lake.land(*run(f"r{number}", ["x", "y", "z"], is_success=False, goal=f"g{number}", label=1))
        lake.land(*run("judged", ["x", "y", "z"], is_success=False, goal="own", label=label))
        build_blame(lake)
        rows = lake.ask("SELECT position, blame FROM attribution.blame WHERE action_id = 'judged' ORDER BY position")
        if label == 0:
            before = rows
    assert rows == before
    assert rows[1]["blame"] > rows[0]["blame"]


def test_a_label_counts_from_the_day_on_which_it_came(tiny: TinyLake) -> None:
    """Blame of older days changes only when it is made again."""
    tiny.land(*run("r", ["x", "y"], is_success=False, goal="g"))
    tiny.land(*run("next", ["x", "y"], is_success=False, goal="h", hour=49))
    late = observation("r", at(50), observation_type="blame_label", data={"step_index": 1}, reported_by="ann")
    tiny.land(late)
    build_blame(tiny, days=3)
    rows = tiny.ask("SELECT action_id, position, labelled_actions, blame FROM attribution.blame ORDER BY ALL")
    assert [row["labelled_actions"] for row in rows] == [1, 1, 0, 0]
    assert rows[1]["blame"] > rows[0]["blame"]
    assert rows[2]["blame"] == rows[3]["blame"] == 0.5


@pytest.mark.parametrize("told", ["Worker_1", " worker_1\n", None, ""])
def test_a_label_names_an_actor_however_it_is_spelt_or_left_out(tiny: TinyLake, told: str | None) -> None:
    """An actor spelt in one way in steps and in another in labels would be missed where its step is found."""
    actors = ["worker_1", "Worker_2", " Chief \t of staff "]
    for number, (label, name) in enumerate([(0, told), (1, "worker_2"), (2, "chief of  Staff"), (0, "worker_2")]):
        run_of = {"label": label, "labelled_actor": name, "actors": actors, "goal": f"g{number}"}
        tiny.land(*run(f"r{number}", ["x", "y", "z"], is_success=False, **run_of))
    lake_of = upstream(tiny.models, "attribution.blame_trials")
    tiny.build(*lake_of, stop=DAY)
    trials = "SELECT action_id, top_1, actor_hit FROM attribution.blame_trials WHERE method = 'earliest' ORDER BY ALL"
    found = [(row["top_1"], row["actor_hit"]) for row in tiny.ask(trials)]
    assert found == [(1, 1), (0, 0), (0, 0), (1, 0)]
    lasts = tiny.ask("SELECT actor_hit FROM attribution.blame_trials WHERE method = 'last' ORDER BY action_id")
    assert [row["actor_hit"] for row in lasts] == [0, 0, 1, 0]


def test_actors_with_numbers_are_two_and_do_the_same(tiny: TinyLake) -> None:
    """Made one actor, nothing could be said of one of them; components of their own would be compared with nothing."""
    actors = ["Worker 1", "worker 22", "worker 1"]
    tiny.land(*run("r", ["ask 5", "ask 6", "tell"], is_success=False, actors=actors))
    tiny.build(*upstream(tiny.models, "attribution.blame_signs"), stop=DAY)
    rows = tiny.ask("SELECT actor, component, occurrences FROM attribution.blame_steps ORDER BY position")
    assert [tuple(row.values()) for row in rows] == [
        ("worker 1", "worker # > ask #", 2),
        ("worker 22", "worker # > ask #", 2),
        ("worker 1", "worker # > tell", 1),
    ]
    rows = tiny.ask("SELECT sign, failing_occurrences FROM attribution.blame_signs WHERE sign LIKE 'actor%'")
    assert [tuple(row.values()) for row in rows] == [("actor: worker #", 3)]


def test_a_label_counts_on_a_day_on_which_nothing_else_happened(tiny: TinyLake) -> None:
    """Days taken from steps alone have no trial of it until somebody acts again, for whatever else."""
    for number, is_success in enumerate((True, False, False)):
        tiny.land(*run(f"r{number}", ["look", "guess"], is_success=is_success))
    label = {"observation_type": "blame_label", "data": {"step_index": 1}}
    tiny.land(observation("r1", at(74), **label))
    tiny.build(*upstream(tiny.models, "attribution.estimate_floors"), stop=DAY + timedelta(days=3))
    trials = "SELECT DISTINCT day - DATE '2026-01-05' AS days, evidence FROM attribution.blame_trials ORDER BY ALL"
    assert [tuple(row.values()) for row in tiny.ask(trials)] == [(3, "labels"), (3, "none"), (3, "runs")]
    found = evaluate(tiny.connection.cursor())
    assert {each.method for each in found.results} > {"blame", "position", "contrast"}
    assert ("prior", 1) in {(each.estimate, each.samples) for each in found.floors}


def test_results_and_floors_are_of_the_last_day_on_which_labels_count(tiny: TinyLake) -> None:
    """Of the last day with actions there are no floors once labels are 90 days old, whoever acts then; and of results
    that stand without them nobody can tell what they are worth."""
    for number in range(3):
        tiny.land(*run(f"r{number}", ["x", "y"], is_success=False, goal=f"g{number}", label=1))
    tiny.land(*run("late", ["x"], is_success=False, kind="another", hour=24 * 100))
    tiny.land(*run("later", ["x", "y"], is_success=False, hour=24 * 101))
    tiny.build(*upstream(tiny.models, "attribution.estimate_floors"), stop=DAY + timedelta(days=101))
    found = evaluate(tiny.connection.cursor())
    assert {each.action_type for each in found.results} == {"t"}
    assert {(each.estimate, each.action_type): each.samples for each in found.floors} == {
        ("credit_baseline", "t"): 3,
        ("prior", "another"): 0,
        ("prior", "t"): 3,
    }
    through = tiny.ask("SELECT DISTINCT stats_through FROM attribution.estimate_floors WHERE action_type = 't'")
    assert through == [{"stats_through": DAY}]  # so that blame of `later`, which knows no label, is not measured by it


@pytest.mark.parametrize(("hours", "unused"), [(24 * 27, 0), (24 * 28, 1)])
def test_labels_that_come_too_late_are_counted_where_labels_are_told(tiny: TinyLake, hours: int, unused: int) -> None:
    """They have no rows and are no rejects: without that, nobody learns that they count for nothing."""
    tiny.land(*run("r", ["x", "y"], is_success=False))
    tiny.land(observation("r", at(hours), observation_type="blame_label", data={"step_index": 1}))
    tiny.build(*upstream(tiny.models, "attribution.estimate_floors"), stop=DAY + timedelta(days=28))
    found = evaluate(tiny.connection.cursor())
    assert found.unused_labels == unused
    assert ("Labels that count for nothing: 1." in page(found)) == bool(unused)


def test_of_several_labels_the_latest_counts(tiny: TinyLake) -> None:
    """From its day on; together they would say that one failure had two decisive steps."""
    tiny.land(*run("r", ["x", "y"], is_success=False, label=0), *run("next", ["x"], is_success=True, hour=25))
    tiny.land(observation("r", at(26), observation_type="blame_label", data={"step_index": 1}, reported_by="bob"))
    build_blame(tiny, days=2)
    decided = "SELECT action_id, position FROM attribution.blame_evidence WHERE is_decisive ORDER BY day"
    assert [row["position"] for row in tiny.ask(decided)] == [0, 1]
    places = "SELECT value, decisive_count FROM attribution.blame_lifts WHERE feature = 'place' AND held_goal = ''"
    rows = tiny.ask(f"{places} AND action_type = 't' ORDER BY day, value")
    assert [(row["value"], row["decisive_count"]) for row in rows] == [("0", 1), ("1", 0), ("0", 0), ("1", 1)]


def test_a_label_is_no_report_of_the_world(tiny: TinyLake) -> None:
    """A state with a key of the label's would be contradicted by it, and the label would leak into the evidence."""
    tiny.land(*run("r", ["x", "y"], is_success=False, label=0))
    tiny.land(step("r", at(1, seconds=100), 2, decision="z", state={"step_index": 7}))
    build_blame(tiny)
    assert tiny.ask("SELECT DISTINCT doubt FROM attribution.blame_steps") == [{"doubt": "none"}]


@pytest.mark.parametrize("data", [{}, {"step_index": 9}, {"step_index": "one"}, {"step_index": None}])
def test_a_label_that_names_no_step_changes_nothing(tiny: TinyLake, data: Mapping[str, Any]) -> None:
    tiny.land(*run("r", ["x", "y"], is_success=False))
    tiny.land(observation("r", at(2), observation_type="blame_label", data=data))
    build_blame(tiny)
    assert tiny.ask("FROM attribution.labelled_steps") == []
    assert [row["blame"] for row in tiny.ask("FROM attribution.blame")] == [0.5, 0.5]


def test_a_label_of_long_ago_has_no_contrast_with_runs_of_today(tiny: TinyLake) -> None:
    """What that run did is not counted among that of 28 days: the step that decided it would have no rank at all."""
    tiny.land(*run("old", ["x", "y"], is_success=False, label=1))
    for number, is_success in enumerate((True, False)):
        tiny.land(*run(f"new{number}", ["x", "z"], is_success=is_success, hour=24 * 29))
    build_blame(tiny, days=30)
    rows = tiny.ask("SELECT DISTINCT evidence FROM attribution.blame_trials WHERE day = DATE '2026-02-03' ORDER BY ALL")
    assert [row["evidence"] for row in rows] == ["labels", "none"]


def test_each_trial_ranks_without_its_goal_and_methods_are_means_of_them(models: Models) -> None:
    rows: Rows = []
    for number in range(12):
        values = [("a", "plan" if number % 3 else "code"), ("b", "code" if number % 3 else "talk"), ("b", "check")]
        rows += labelled(f"r{number}", "t", f"g{number}", values, 1 if number % 3 else 0)
    tables: dict[str, Any] = {
        "attribution.blame_steps": [{"day": DAY, "action_id": "1", "position": 0}],
        "attribution.labelled_steps": rows,
    }
    for name in ("attribution.blame_lifts", "attribution.blame_evidence"):
        tables[name] = compute(models[name], tables)
    trials = compute(models["attribution.blame_trials"], tables)
    for trial in trials:
        if trial["method"] not in PRIORS:
            continue
        mine = [row for row in rows if row["action_id"] == trial["action_id"]]
        weights = [
            math.prod(
                reference_lift(rows, "t", trial["goal_id"], feature, str(row[feature])) ** power
                for feature, power in PRIORS[trial["method"]].items()
            )
            for row in mine
        ]
        decisive = next(row["position"] for row in mine if row["is_decisive"])
        ranks = sorted(range(3), key=lambda i: (-round(weights[i], 9), i))
        assert trial["decisive_rank"] == ranks.index(decisive) + 1
    tables["attribution.blame_trials"] = trials
    found = by(compute(models["attribution.blame_methods"], tables), "method")
    assert found["earliest"]["top_1"] == pytest.approx(4 / 12)
    assert found["uniform"]["top_1"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["uniform"]["mean_reciprocal_rank"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3, abs=1e-6)
    assert found["decision_position"]["top_1"] == 1
    assert [name for name, row in found.items() if row["is_chosen"]] == ["decision_position"]


def test_a_place_that_tells_of_the_decision_is_not_counted_twice(models: Models) -> None:
    """Guesses are made at the beginning and break the run wherever they are; times the lift of the place a late one
    loses against the talk at the beginning, which breaks some runs, too."""
    runs = [["guess", "talk", "talk"]] * 12 + [["talk", "talk", "guess"]] * 3 + [["talk", "ask", "ask"]] * 6
    rows: Rows = []
    for number, decisions in enumerate(runs):
        decisive = decisions.index("guess") if "guess" in decisions else 0
        rows += labelled(f"r{number}", "t", f"g{number}", [("a", name) for name in decisions], decisive)
    tables: dict[str, Any] = {
        "attribution.blame_steps": [{"day": DAY, "action_id": "1", "position": 0}],
        "attribution.labelled_steps": rows,
    }
    for name in ("blame_lifts", "blame_evidence", "blame_trials", "blame_methods"):
        tables[f"attribution.{name}"] = compute(models[f"attribution.{name}"], tables)
    found = by(tables["attribution.blame_methods"], "method")
    assert found["position_decision"]["top_1"] == pytest.approx(18 / 21, abs=1e-6)
    assert found["decision_position"]["top_1"] == 1
    assert found["decision_position"]["is_chosen"]


@pytest.mark.slow
def test_step_value_covers_what_decisions_are_worth(models: Models) -> None:
    """Effects are drawn as the shrinkage supposes, over goals of different difficulty: 95 % intervals hold 93-97 %."""
    dice = random.Random(3)
    rows: Rows = []
    truth: dict[str, float] = {}
    for number in range(1500):
        kind = f"k{number}"
        truth[kind] = effect = max(min(dice.gauss(0, 0.2), 0.35), -0.35)
        for goal in range(3):
            base = dice.uniform(0.4, 0.6)
            n1, n0 = dice.randint(8, 20), dice.randint(8, 20)
            s1 = sum(dice.random() < base + effect for _ in range(n1))
            s0 = sum(dice.random() < base for _ in range(n0))
            both = [("did: a > x", n1 - s1, s1), ("run", n1 - s1 + n0 - s0, s1 + s0)]
            rows += [
                {"day": DAY, "action_type": kind, "goal_id": str(goal), "sign": sign}
                | {"failing_runs": a, "passing_runs": b}
                for sign, a, b in both
            ]
    found = compute(models["attribution.step_value"], {"attribution.blame_signs": rows})
    assert len(found) == len(truth)
    covered = [row["value_low"] <= truth[row["action_type"]] <= row["value_high"] for row in found]
    assert 0.93 <= sum(covered) / len(covered) <= 0.97
    error = [abs(row["value"] - truth[row["action_type"]]) for row in found]
    plain = [abs(row["difference"] - truth[row["action_type"]]) for row in found]
    assert sum(error) < sum(plain)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_step_value_is_what_the_header_says(models: Models, data: st.DataObject) -> None:
    counts = st.tuples(*(st.integers(0, 8) for _ in range(4)))  # failures and successes with it, then without it
    goals = [data.draw(counts.filter(lambda its: its[0] + its[1] > 0)) for _ in range(data.draw(st.integers(1, 4)))]
    rows = [
        {"day": DAY, "action_type": "t", "goal_id": str(goal), "sign": sign, "failing_runs": a, "passing_runs": b}
        for goal, (f1, s1, f0, s0) in enumerate(goals)
        for sign, a, b in (("did: a > x", f1, s1), ("run", f1 + f0, s1 + s0))
    ]
    found = compute(models["attribution.step_value"], {"attribution.blame_signs": rows})
    both = [(s1, f1 + s1, s0, f0 + s0) for f1, s1, f0, s0 in goals if f0 + s0]
    assert len(found) == bool(both)
    for row in found:
        weights = [n1 * n0 / (n1 + n0) for _, n1, _, n0 in both]
        differences = [s1 / n1 - s0 / n0 for s1, n1, s0, n0 in both]
        shrunk = [((s1 + 0.5) / (n1 + 1), (s0 + 0.5) / (n0 + 1)) for s1, n1, s0, n0 in both]
        variances = [
            q1 * (1 - q1) / n1 + q0 * (1 - q0) / n0 for (q1, q0), (_, n1, _, n0) in zip(shrunk, both, strict=True)
        ]
        difference = sum(w * d for w, d in zip(weights, differences, strict=True)) / sum(weights)
        variance = sum(w * w * v for w, v in zip(weights, variances, strict=True)) / sum(weights) ** 2
        half_width = 1.959963984540054 * math.sqrt(0.04 * variance / (0.04 + variance))
        value = difference * 0.04 / (0.04 + variance)
        expected = (difference, value, value - half_width, value + half_width)
        names = ("difference", "value", "value_low", "value_high")
        assert [row[name] for name in names] == pytest.approx(expected, abs=1e-6)
        runs = (sum(n1 for _, n1, _, _ in both), sum(n0 for _, _, _, n0 in both))
        assert (row["goals"], row["runs_with"], row["runs_without"]) == (len(both), *runs)
        assert row["is_seen_often"] == (min(runs) >= 5)


def test_step_value_has_the_figures_of_its_example(models: Models) -> None:
    rows = [
        {"day": DAY, "action_type": "t", "goal_id": "g", "sign": sign, "failing_runs": a, "passing_runs": b}
        for sign, a, b in (("did: a > x", 1, 9), ("run", 8, 12))
    ]
    [row] = compute(models["attribution.step_value"], {"attribution.blame_signs": rows})
    found = [round(row[name], 3) for name in ("difference", "value", "value_low", "value_high")]
    assert found == [0.6, 0.327, 0.062, 0.591]


BLAME = (
    "blame_steps",
    "blame_signs",
    "labelled_steps",
    "blame_lifts",
    "blame_contrasts",
    "blame_evidence",
    "blame_trials",
    "blame_methods",
    "blame",
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 8])
def test_the_simulated_world_is_blamed_right(tmp_path: Path, models: Models, seed: int) -> None:
    """Decisive steps are known there: 80 % are named where outcomes are mixed, and without that nothing is claimed."""
    home = Settings(home=tmp_path)
    days = 10
    truth = read_truth(simulate(home, days=days, seed=seed, rate=120).truth)
    report = ingest(home, now=datetime(2026, 3, 1, tzinfo=UTC))
    lake = Lake(home.lake)
    stop = START + timedelta(days=days - 1)
    needed = upstream(models, "attribution.blame")
    for model in models:
        if model.name in needed:
            span = {"start": START, "stop": stop} if model.partition else {"start": None, "stop": None}
            build(lake, model, **span, settings=home, watermark=report.watermark)
    with connect(home) as connection:
        firsts = {
            action: (event, evidence, passes)
            for action, event, evidence, passes in connection.sql("""
                SELECT action_id, event_id, evidence_kind, passes
                FROM attribution.blame JOIN attribution.steps USING (day, action_id, position)
                WHERE blame_rank = 1
            """).fetchall()
        }
        failed = connection.sql("FROM attribution.blame_steps WHERE is_failure").to_arrow_table().to_pylist()
    hits: dict[str, list[bool]] = defaultdict(list)
    for action in truth.actions:
        if action.decisive is not None and action.action_id in firsts:
            event, evidence, passes = firsts[action.action_id]
            assert (evidence == "contrast") == (passes > 0)
            hits[evidence].append(event == action.decisive.event_id)
    assert len(hits["contrast"]) > 300
    assert sum(hits["contrast"]) / len(hits["contrast"]) >= 0.8
    tables: dict[str, Any] = {"attribution.blame_steps": failed}
    for name in BLAME[1:]:
        tables[f"attribution.{name}"] = compute(models[f"attribution.{name}"], tables, start=START, stop=stop)
    assert Counter(row["evidence_kind"] for row in tables["attribution.blame"]) == {"prior_only": len(failed)}
