"""Trees of actions against a slow reference that walks up from each action."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import DAY, TinyLake, at, begun, by, compute

from oplake.models.model import Models

pytestmark = pytest.mark.slow

ONE = timedelta(days=1)


class Place(NamedTuple):
    root: tuple[date, str] | None
    depth: int | None
    share: float | None
    is_parent_missing: bool
    is_chain_cut: bool
    is_cyclic: bool


Actions = dict[tuple[date, str], str | None]
"""Actions by day and id, each with the parent that it names."""


def parent_of(actions: Actions, key: tuple[date, str]) -> tuple[date, str] | None:
    """The action that a parent's name means: on the same day, else on the day before."""
    name = actions[key]
    if name is None:
        return None
    for day in (key[0], key[0] - ONE):
        if (day, name) in actions:
            return (day, name)
    return None


def place(actions: Actions, start: tuple[date, str]) -> Place:
    here, depth, share, passed = start, 0, 1.0, {start}
    while True:
        above = parent_of(actions, here)
        if above is None or above[0] < start[0] - ONE:
            goes_on = actions[here] is not None
            is_cut = goes_on and (here[0] < start[0] or (start[0] + ONE, actions[here]) in actions)
            return Place(here, depth, share, goes_on and not is_cut, is_cut, is_cyclic=False)
        share /= sum(parent_of(actions, other) == above for other in actions)
        if above in passed:
            return Place(None, None, None, is_parent_missing=False, is_chain_cut=False, is_cyclic=True)
        passed.add(above)
        here, depth = above, depth + 1


DAYS = [DAY + timedelta(days=number) for number in range(4)]
NAMES = [*"abcdef", "nobody"]
ACTIONS = st.dictionaries(
    st.tuples(st.sampled_from(DAYS), st.sampled_from(NAMES[:-1])), st.none() | st.sampled_from(NAMES), max_size=14
)


def rows_of(actions: Actions) -> list[dict[str, Any]]:
    return [{"day": day, "action_id": name, "parent_action_id": parent} for (day, name), parent in actions.items()]


@settings(max_examples=60, deadline=None)
@given(ACTIONS)
def test_trees_are_those_of_the_reference(models: Models, actions: Actions) -> None:
    rows = compute(models["attribution.action_trees"], {"attribution.actions": rows_of(actions)}, stop=DAYS[-1])
    got = {(row["day"], row["action_id"]): row for row in rows}
    assert set(got) == set(actions)
    assert len(rows) == len(actions)
    for key, row in got.items():
        expected = place(actions, key)
        root = None if row["root_action_id"] is None else (row["root_day"], row["root_action_id"])
        assert (root, row["depth"]) == (expected.root, expected.depth), key
        assert row["share"] == (None if expected.share is None else pytest.approx(expected.share)), key
        flags = (row["is_parent_missing"], row["is_chain_cut"], row["is_cyclic"])
        assert flags == (expected.is_parent_missing, expected.is_chain_cut, expected.is_cyclic), key


def chain(length: int, day: date = DAY, name: str = "a", above: str | None = None) -> list[dict[str, Any]]:
    """Actions of a day, each the parent of the next; the first has the parent `above`."""
    names = [f"{name}{number}" for number in range(length)]
    return [
        {"day": day, "action_id": own, "parent_action_id": parent}
        for own, parent in zip(names, [above, *names], strict=False)
    ]


def test_a_long_chain_over_midnight_and_a_long_circle(models: Models) -> None:
    """Carrying the way up as a list took the cube of a chain's length: 2000 links did not come to an end."""
    length = 5000
    circle = chain(length, name="c", above=f"c{length - 1}")
    twigs = [{"day": DAY, "action_id": f"t{number}", "parent_action_id": "a10"} for number in range(3)]
    rows = [*chain(length), *chain(length, DAY + ONE, "b", f"a{length - 1}"), *circle, *twigs]
    got = by(compute(models["attribution.action_trees"], {"attribution.actions": rows}, stop=DAY + ONE), "action_id")
    assert (got["a0"]["depth"], got["a0"]["share"]) == (0, 1.0)
    last = got[f"b{length - 1}"]
    assert (last["root_action_id"], last["root_day"], last["depth"]) == ("a0", DAY, 2 * length - 1)
    assert last["share"] == 0.25  # a11 has three siblings
    assert {got[name]["depth"] for name in ("t0", "t1", "t2")} == {11}
    assert all(got[f"c{number}"]["is_cyclic"] for number in range(length))
    assert len(got) == 3 * length + len(twigs)


def test_a_deep_chain_takes_passes_by_the_logarithm_of_its_length(models: Models) -> None:
    """A pass for each link would be quick on the shallow trees of today and take minutes on the first deep one."""
    sql = models["attribution.action_trees"].sql
    head, _, _ = sql.partition("within_day AS (")
    counting = replace(
        models["attribution.action_trees"],
        sql=head.rstrip().removesuffix(",") + " SELECT max(pass) AS passes, count(*) AS rows FROM passes",
        code_version="counting",
    )
    for length, passes in ((3, 3), (1000, 11), (4000, 13)):
        (row,) = compute(counting, {"attribution.actions": chain(length)})
        assert row["passes"] <= passes
        assert row["rows"] <= (passes + 1) * length


def test_a_chain_over_two_midnights_is_cut_and_no_parent_is_missing(tiny: TinyLake) -> None:
    """Its parent exists; calling it missing would send people to look for an event that was never lost."""
    tiny.land(
        begun("a", at(1)),
        begun("b", at(25), parent_action_id="a"),
        begun("c", at(49), parent_action_id="b"),
        begun("orphan", at(49), parent_action_id="nobody"),
        begun("child of orphan", at(73), parent_action_id="orphan"),
    )
    tiny.build(stop=DAY + 3 * ONE)
    rows = by(tiny.ask("FROM attribution.action_trees"), "action_id")
    flags = {name: (row["root_action_id"], row["is_parent_missing"], row["is_chain_cut"]) for name, row in rows.items()}
    assert flags == {
        "a": ("a", False, False),
        "b": ("a", False, False),
        "c": ("b", False, True),
        "orphan": ("orphan", True, False),
        "child of orphan": ("orphan", False, True),
    }


def test_a_parent_that_began_seconds_later_on_the_next_day_is_not_missing(tiny: TinyLake) -> None:
    tiny.land(begun("child", at(24, seconds=-2), parent_action_id="plan"), begun("plan", at(24, seconds=2)))
    tiny.build(stop=DAY + ONE)
    child = by(tiny.ask("FROM attribution.action_trees"), "action_id")["child"]
    assert (child["root_action_id"], child["is_parent_missing"], child["is_chain_cut"]) == ("child", False, True)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(ACTIONS)
def test_a_day_comes_out_the_same_alone_and_among_others(models: Models, actions: Actions) -> None:
    """A range of days is made in one run, and sees more; following a chain as far as one sees would differ by day."""
    model = models["attribution.action_trees"]
    together = compute(model, {"attribution.actions": rows_of(actions)}, stop=DAYS[-1])
    for day in DAYS:
        near = {key: parent for key, parent in actions.items() if abs(key[0] - day) <= ONE}
        alone = compute(model, {"attribution.actions": rows_of(near)}, start=day)
        assert by(alone, "action_id") == by((row for row in together if row["day"] == day), "action_id")


def test_a_tree_over_midnight(tiny: TinyLake) -> None:
    """The worked example, its last child beginning on the next day."""
    tiny.land(
        begun("plan", at(23)),
        begun("one", at(23.1), parent_action_id="plan"),
        begun("two", at(23.2), parent_action_id="plan"),
        begun("three", at(24.1), parent_action_id="two"),
    )
    tiny.build(stop=DAY + ONE)
    rows = by(tiny.ask("FROM attribution.action_trees"), "action_id")
    assert {name: (row["root_action_id"], row["depth"], row["share"]) for name, row in rows.items()} == {
        "plan": ("plan", 0, 1.0),
        "one": ("plan", 1, 0.5),
        "two": ("plan", 1, 0.5),
        "three": ("plan", 2, 0.5),
    }
    assert rows["three"]["root_day"] == DAY
