"""Trees of actions against a slow reference that walks up from each action."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import DAY, TinyLake, at, begun, by, compute

from oplake.models.sql_file import Models

ONE = timedelta(days=1)


class Place(NamedTuple):
    root: tuple[date, str] | None
    depth: int | None
    share: float | None
    is_parent_missing: bool
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
            return Place(here, depth, share, actions[here] is not None, is_cyclic=False)
        share /= sum(parent_of(actions, other) == above for other in actions)
        if above in passed:
            return Place(None, None, None, is_parent_missing=False, is_cyclic=True)
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
        assert (row["is_parent_missing"], row["is_cyclic"]) == (expected.is_parent_missing, expected.is_cyclic), key


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
