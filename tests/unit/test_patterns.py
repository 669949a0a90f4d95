"""What is proposed from runs: what was planted; hardly ever anything of shuffled outcomes, nothing of echoes."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oplake.learning.lifecycle import Kind
from oplake.learning.patterns import (
    Finding,
    Runs,
    findings,
    is_proposed,
    playbook_entry_id,
    playbook_patterns,
    without_echoes,
)

PATH = ("look_up", "verify", "check_policy", "refund", "respond")
TRAP = "assume_thirty_days"
TRAPPED = ("look_up", "verify", TRAP, "refund", "respond")


def runs(
    items: Sequence[str],
    *,
    successes: int = 0,
    failures: int = 0,
    shown: Sequence[str] = (),
    name: str = "e",
    goals: Sequence[str] = (),
) -> list[Runs]:
    """Runs of one course, with an event each; goals are those of the successes, and then of the failures."""
    return [
        Runs(
            tuple(items),
            is_success,
            units,
            frozenset(shown),
            tuple(f"{name}-{is_success}-{n}" for n in range(units)),
            tuple(goals[:successes] if is_success else goals[successes:]),
        )
        for is_success, units in ((True, successes), (False, failures))
        if units
    ]


def found_in(*groups: list[Runs], least: int = 3, cited: Sequence[str] = ()) -> list[Finding]:
    return findings("refund", None, [each for group in groups for each in group], cited, least=least)


def proposed_in(*groups: list[Runs], least: int = 3) -> list[Finding]:
    found = found_in(*groups, least=least)
    return [each for each in found if is_proposed(each, found, least=least)]


PLANTED = [*runs(PATH, successes=20, failures=2, name="path"), *runs(TRAPPED, successes=1, failures=12, name="trap")]


def test_the_path_is_to_do_and_the_trap_to_avoid_with_the_step_that_it_stands_for() -> None:
    do, avoid = proposed_in(PLANTED)
    assert do.items == PATH
    assert (do.hits, do.runs, do.other_hits, do.other_runs) == (20, 21, 2, 14)
    assert do.words.do == "look_up, then verify, then check_policy, then refund, then respond."
    assert do.words.trigger == "When doing refund"
    assert avoid.items == (TRAP,)
    assert (avoid.hits, avoid.runs, avoid.other_hits, avoid.other_runs) == (12, 14, 1, 21)
    assert (avoid.words.avoid, avoid.words.do) == ("assume_thirty_days.", "check_policy.")
    assert set(avoid.evidence) == {f"trap-False-{n}" for n in range(12)}


def test_what_follows_the_first_thing_that_went_wrong_is_not_to_be_avoided() -> None:
    """An apology is in failures alone, and telling agents not to apologise mends nothing."""
    failed = runs((*TRAPPED[:3], "apologise"), failures=12)
    assert [each.items for each in proposed_in(runs(PATH, successes=20), failed) if each.kind == "avoid"] == [(TRAP,)]


def test_a_loop_is_told_of_and_an_order_where_no_step_alone_tells() -> None:
    looped = runs(("look_up", "look_up again"), failures=9)
    assert found_in(runs(PATH, successes=20), looped)[-1].words.avoid == "look_up 3 times or more in a row."
    rash = runs(("look_up", "refund", "verify", "respond"), failures=9)
    patient = runs(("look_up", "verify", "refund", "respond"), successes=20)
    assert proposed_in(patient, rash)[-1].words.avoid == "refund, and later verify."


def test_an_actor_is_named_behind_what_it_decided() -> None:
    (do,) = proposed_in(runs(("planner > plan", "- > act"), successes=5))
    assert do.words.do == "plan (planner), then act."


@pytest.mark.parametrize(("successes", "proposed"), [(2, 0), (3, 1)])
def test_what_fewer_share_than_asked_for_is_nothing(successes: int, proposed: int) -> None:
    assert len(proposed_in(runs(PATH, successes=successes))) == proposed


def test_what_failures_share_as_well_is_no_advice() -> None:
    assert proposed_in(runs(PATH, successes=20, failures=20)) == []


@pytest.mark.parametrize(("own", "expected"), [(True, 0), (False, 20)])
def test_a_run_that_was_told_so_is_no_evidence_and_one_that_was_told_otherwise_is(own: bool, expected: int) -> None:
    """The second is the negative control: nothing but the words that were shown makes the difference."""
    said = playbook_entry_id("refund", None, "do", "When doing refund", f"{', then '.join(PATH)}.", "")
    told = runs(PATH, successes=20, failures=1, shown=[said if own else "another"])
    found = {each.items: each for each in found_in(told, runs(TRAPPED, failures=12))}
    assert (found[PATH].hits if PATH in found else 0) == expected
    proposed = proposed_in(told, runs(TRAPPED, failures=12))
    assert (PATH in {each.items for each in proposed}) is not own


@pytest.mark.parametrize(
    ("shown", "is_echo"),
    [
        (PATH[:3], True),  # contained in what is done
        ((PATH[0], PATH[3]), True),
        ((*PATH, "confirm"), True),  # containing it
        (("look_up", "apologise"), False),
        (("verify", "look_up"), False),
    ],
)
def test_who_was_told_a_part_or_more_is_no_evidence_for_the_whole(shown: Sequence[str], is_echo: bool) -> None:
    """12 runs that were told `look_up, then verify`, and confirmed besides, would propose both as one new entry."""
    said = playbook_entry_id("refund", None, "do", "When doing refund", f"{', then '.join(shown)}.", "")
    told = [*runs(PATH, successes=12, shown=[said]), *runs((*PATH, "confirm"), successes=1, shown=[said])]
    do = [each.items for each in proposed_in(told, runs(TRAPPED, failures=12)) if each.kind == "do"]
    assert (do == []) is is_echo


@pytest.mark.parametrize(("kind", "is_echo"), [("avoid", True), ("do", False)])
def test_who_was_told_not_to_take_a_step_is_no_evidence_for_the_pair_that_it_is_in(kind: Kind, is_echo: bool) -> None:
    """Told to take it, those who fail with it are evidence: they were told something else."""
    texts = ("", "refund.") if kind == "avoid" else ("refund.", "")
    said = playbook_entry_id("refund", None, kind, "When doing refund", *texts)
    rash = runs(("look_up", "refund", "verify", "respond"), failures=9, shown=[said])
    patient = runs(("look_up", "verify", "refund", "respond"), successes=20)
    avoid = {each.items for each in proposed_in(patient, rash)}
    assert (("refund", "verify") not in avoid) is is_echo


def test_an_entry_whose_other_half_was_seen_otherwise_is_known_again() -> None:
    """A trap is the same trap on a day on which no step of the path stands out as left out."""
    bare = playbook_entry_id("refund", None, "avoid", "When doing refund", "", "assume_thirty_days.")
    told = runs(TRAPPED, failures=12, shown=[bare])
    hits = {each.items: each.hits for each in found_in(runs(PATH, successes=20), told)}
    assert hits.get((TRAP,), 0) == 0


def test_a_group_of_which_nothing_is_known_has_a_row_that_says_so() -> None:
    (row,) = playbook_patterns("refund", "pay", [], None, 3)
    assert (row["kind"], row["pattern"], row["do"], row["hits"], row["is_proposed"]) == ("do", [], "", 0, False)


def test_what_is_cited_is_told_of_and_says_whether_something_else_explains_it() -> None:
    failed = [*runs(TRAPPED, failures=12), *runs((*TRAPPED[:3], "stall"), failures=4), *runs(PATH, failures=20)]
    rare = {each.items: each for each in found_in(runs(PATH, successes=20), failed, cited=["stall"])}[("stall",)]
    assert (rare.hits, rare.unexplained) == (4, 0)


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_runs_makes_no_difference(dice: random.Random) -> None:
    shuffled = list(PLANTED)
    dice.shuffle(shuffled)
    assert found_in(shuffled) == found_in(PLANTED)


@pytest.mark.slow
def test_shuffled_outcomes_are_hardly_ever_proposed() -> None:
    """The floor: of worlds in which nothing makes a difference, at most one in twenty has advice of a kind."""
    worlds, advised = 300, {"do": 0, "avoid": 0}
    for seed in range(worlds):
        dice = random.Random(seed)
        world = [
            each
            for n in range(60)
            for each in runs(
                dice.sample("abcdefgh", dice.randint(3, 6)), **{dice.choice(["successes", "failures"]): 1}, name=str(n)
            )
        ]
        kinds = {each.kind for each in proposed_in(world)}
        for kind in kinds:
            advised[kind] += 1
    most = worlds * 0.05 + 2 * math.sqrt(worlds * 0.05 * 0.95)  # what chance leaves of one in twenty
    assert max(advised.values()) <= most


# --- goals of unequal difficulty --------------------------------------------------------------------------------------


def uneven_world(dice: random.Random) -> list[Runs]:
    """A world in which nothing that is done makes a difference, but easy goals are done otherwise than hard ones."""
    found = []
    of_easy, of_hard = "abcd", "efgh"
    for goal, chance in enumerate((0.95, 0.9, 0.7, 0.4, 0.15, 0.1)):
        habits = dice.sample(of_easy if chance > 0.5 else of_hard, 3)
        for n in range(10):
            items = [item for item in dice.sample("abcdefgh", 8) if dice.random() < (0.8 if item in habits else 0.25)]
            outcome = {"successes" if dice.random() < chance else "failures": 1}
            found += runs(items or ["a"], **outcome, name=f"{goal}-{n}", goals=[f"goal {goal}"])
    return found


@pytest.mark.slow
def test_what_easy_goals_have_in_common_is_hardly_ever_proposed_and_would_be_were_goals_pooled() -> None:
    """The floor shuffles within goals. Pooled, the same pipeline is fooled: the negative control."""
    worlds, advised, fooled = 150, Counter[str](), Counter[str]()
    for seed in range(worlds):
        world = uneven_world(random.Random(seed))
        advised.update({each.kind for each in proposed_in(world)})
        fooled.update({each.kind for each in proposed_in([replace(each, goals=()) for each in world])})
    most = worlds * 0.05 + 2 * math.sqrt(worlds * 0.05 * 0.95)
    assert max(advised.values(), default=0) <= most
    assert min(fooled["do"], fooled["avoid"]) > worlds * 0.5


def test_a_step_of_hard_goals_alone_is_not_to_be_avoided_and_one_within_goals_is() -> None:
    easy = runs(PATH, successes=18, failures=2, goals=["easy"] * 20)
    hard = runs((*PATH, "ask"), successes=2, failures=18, goals=["hard"] * 20)
    assert proposed_in(easy, hard) == []
    pooled = [replace(each, goals=()) for each in (*easy, *hard)]
    assert [(each.kind, each.items) for each in proposed_in(pooled)] == [("avoid", ("ask",))]
    both = [
        *runs(PATH, successes=18, failures=2, goals=["a", "b"] * 10),
        *runs((*PATH, "ask"), failures=9, goals="a" * 9),
    ]
    assert ("ask",) in {each.items for each in proposed_in(both)}


def test_goals_of_one_run_are_compared_with_each_other() -> None:
    alone = [
        *runs(PATH, successes=20, goals=[f"g{n}" for n in range(20)]),
        *runs(TRAPPED, failures=12, goals="abcdefghijkl"),
    ]
    assert proposed_in(alone) == proposed_in([replace(each, goals=()) for each in alone])
    assert {each.kind for each in proposed_in(alone)} == {"do", "avoid"}


def test_a_cited_step_has_to_tell_within_goals_too() -> None:
    """Blame and the value of a step say where to look; what is proposed is tested in one way."""
    easy = runs(PATH, successes=18, failures=2, goals=["easy"] * 20)
    hard = runs((*PATH, "ask"), successes=2, failures=18, goals=["hard"] * 20)
    rows = [{**asdict(each), "shown": [], "evidence": [], "goals": list(each.goals)} for each in (*easy, *hard)]
    (row,) = (row for row in playbook_patterns("refund", None, rows, ["ask"], 3) if row["pattern"] == ["ask"])
    assert (row["is_unexplained"], row["is_proposed"], row["p_value"]) == (True, False, 1.0)
    pooled = [row | {"goals": []} for row in rows]
    (row,) = (row for row in playbook_patterns("refund", None, pooled, ["ask"], 3) if row["pattern"] == ["ask"])
    assert row["is_proposed"]


def test_steps_in_a_row_are_one_and_from_the_third_time_on_a_loop() -> None:
    assert without_echoes(["a", "b", "b", "a", "c", "c", "c"]) == ("a", "b", "a", "c", "c again")
