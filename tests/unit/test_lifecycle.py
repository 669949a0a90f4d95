"""The lifecycle of playbook entries: any order of arrival, what is the same advice, and what becomes of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oplake.learning.lifecycle import Entry, Exposure, Limits, Proposal, are_equal, content_hash, entry_id, fold

MONDAY = date(2026, 1, 5)
SMALL = Limits(active_per_class=2, least_exposures=8, unconfirmed_after=10)
ASK = "Ask the customer for the order number and look it up in the shop"
TEXTS = (
    ASK,
    f"Please {ASK}",
    f"{ASK} system",
    f"Please {ASK} system",
    f"Never {ASK}",
    "Refund within 30 days",
    "Refund within 14 days",
    "Send the same offer again",
)


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


def proposal(do: str = ASK, on: int = 0, **fields: Any) -> Proposal:
    told = {"task_class": "t", "endpoint": None, "kind": "do", "trigger": "refund", "avoid": "", "evidence": ("e1",)}
    return Proposal(**({"day": day(on), "do": do} | told | fields))


def served(to: Proposal, on: int, unit: str, *, is_withheld: bool, success: float, goal: str = "g") -> Exposure:
    week = day(on) - timedelta(days=day(on).weekday())
    return Exposure(day(on), entry_id(to), is_withheld, success, goal, week, unit)


def units(to: Proposal, on: int, *, shown: tuple[int, int], withheld: tuple[int, int]) -> list[Exposure]:
    """Units of a day: of so many shown and so many withheld, so many successful."""
    return [
        served(to, on, f"{is_withheld}-{number}", is_withheld=is_withheld, success=float(number < successes))
        for is_withheld, (successes, count) in ((False, shown), (True, withheld))
        for number in range(count)
    ]


HELPS = {"shown": (40, 40), "withheld": (0, 10)}
HARMS = {"shown": (0, 40), "withheld": (10, 10)}
NOTHING = {"shown": (20, 40), "withheld": (5, 10)}
WORTHLESS = {"shown": (1900, 4000), "withheld": (200, 400)}  # and known to be


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Proposal], list[Exposure]]:
    """Five weeks of a book: proposals of texts alike and unlike, and units to which some do good and some harm."""
    dice = random.Random(draw(st.integers(0, 2**32)))
    proposals = [
        proposal(
            do,
            on,
            kind=kind,
            endpoint=endpoint,
            evidence=tuple(f"e{n}" for n in evidence),
        )
        for do, on, kind, endpoint, evidence in draw(
            st.lists(
                st.tuples(
                    st.sampled_from(TEXTS),
                    st.integers(0, 34),
                    st.sampled_from(["do", "fix"]),
                    st.sampled_from([None, "shop"]),
                    st.lists(st.integers(0, 20), max_size=4),
                ),
                min_size=1,
                max_size=14,
            )
        )
    ]
    exposures = []
    for number in range(draw(st.integers(0, 150))):
        to = dice.choice(proposals)
        is_withheld = dice.random() < 0.3
        effect = (0.45, 0.0, -0.45)[TEXTS.index(to.do) % 3]
        success = float(dice.random() < 0.5 + effect * (not is_withheld))
        on, goal = dice.randrange(35), f"g{dice.randrange(3)}"
        exposures.append(served(to, on, f"u{number}", is_withheld=is_withheld, success=success, goal=goal))
    return proposals, exposures


@settings(max_examples=60, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same_entries(
    history: tuple[list[Proposal], list[Exposure]], dice: random.Random
) -> None:
    """Forbids merging into whatever came first, and sums that depend on the order; what comes twice counts once."""
    proposals, exposures = history
    expected = fold(proposals, exposures, until=day(40), limits=SMALL)
    more, again = [*proposals, *proposals[:3]], [*exposures, *exposures[:20]]
    dice.shuffle(more)
    dice.shuffle(again)
    assert fold(more, again, until=day(40), limits=SMALL) == expected


@settings(max_examples=30, deadline=None)
@given(histories())
def test_day_by_day_is_the_same_as_at_once_and_tombstones_stay(
    history: tuple[list[Proposal], list[Exposure]],
) -> None:
    """A later day changes nothing that an earlier one said, but what has happened since: no entry goes, none rises."""
    proposals, exposures = history
    known: set[str] = set()
    tombstones: dict[str, Entry] = {}
    for number in range(0, 50, 3):
        until = day(number)
        entries = fold(proposals, exposures, until=until, limits=SMALL)
        so_far = [each for each in proposals if each.day <= until], [each for each in exposures if each.day <= until]
        assert fold(*so_far, until=until, limits=SMALL) == entries
        by_id = {each.entry_id: each for each in entries}
        assert known <= by_id.keys()
        assert {name: by_id[name] for name in tombstones} == tombstones
        known = set(by_id)
        tombstones |= {name: each for name, each in by_id.items() if each.status == "retired"}
        for each in entries:
            assert (each.retired_on is None) == (each.retired_why is None) == (each.status != "retired")
            assert each.retired_on is None or each.retired_on <= until
            assert each.created <= each.last_confirmed <= until
        ranks = [each.rank for each in entries if each.rank]
        assert ranks == list(range(1, len(ranks) + 1))
        lows = [each.uplift_low for each in entries if each.rank]
        assert lows == sorted(lows, reverse=True)
        assert sum(each.status == "active" for each in entries) <= SMALL.active_per_class


def test_the_first_wording_stands_and_evidence_is_united() -> None:
    first = proposal(on=1, evidence=("b", "a"))
    found = fold(
        [proposal(f"please {ASK} ", on=2, evidence=("c", "a")), first, proposal(ASK.upper(), on=3, evidence=("d",))],
        [],
        until=day(4),
    )
    [entry] = found
    assert (entry.do, entry.entry_id) == (ASK, entry_id(first))
    assert entry.evidence == ("b", "a", "c", "d")
    assert (entry.version, entry.created, entry.last_confirmed) == (2, day(1), day(3))
    assert (entry.status, entry.exposures, entry.uplift, entry.uplift_low, entry.uplift_high) == (
        "probation", 0, None, -1.0, 1.0,
    )  # fmt: skip
    assert entry.tokens == 18  # 71 characters


def test_units_served_under_a_wording_that_was_united_count_for_the_entry() -> None:
    one, other = proposal(), proposal(TEXTS[1], on=1)
    same_unit = [served(each, 2, "u", is_withheld=each is one, success=1.0) for each in (one, other)]
    [entry] = fold([one, other], [*units(other, 2, **NOTHING), *same_unit], until=day(2))
    assert (entry.exposures, entry.controls) == (41, 10)


def test_units_count_from_the_day_on_which_their_wording_was_proposed() -> None:
    """Counted from the first, a wording that joins would change what earlier days had said, and wake the retired."""
    first, joins = proposal(), proposal(TEXTS[1], on=20)
    units_before = units(joins, 2, **HELPS)
    assert fold([first, joins], units_before, until=day(30), limits=SMALL)[0].retired_on == day(10)
    [entry] = fold([first, joins], [*units_before, *units(joins, 20, **NOTHING)], until=day(30))
    assert (entry.exposures, entry.controls) == (40, 10)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (ASK, f"  {ASK.upper()}", True),
        (ASK, f"Please {ASK}.", True),
        (ASK, f"{ASK} first", False),
        (ASK, f"Never {ASK}", False),
        (ASK, f"Don't {ASK}", False),
        (f"{ASK} within 30 days", f"{ASK} within 14 days", False),
        ("Book the flight and confirm the fare then", "Confirm the flight and book the fare then", False),
        ("Ask", "Tell", False),
    ],
)  # fmt: skip
def test_what_is_the_same_advice(one: str, other: str, is_same: bool) -> None:
    """Words alone are not enough: in a long sentence a `not`, a number or the order is one word of twenty."""
    assert are_equal(proposal(one), proposal(other)) is is_same
    assert len(fold([proposal(one), proposal(other)], [], until=day(0))) == 2 - is_same


def test_advice_for_another_class_endpoint_or_kind_is_another() -> None:
    others = [proposal(), proposal(task_class="u"), proposal(endpoint="shop"), proposal(kind="fix")]
    assert len({content_hash(each) for each in others}) == len(fold(others, [], until=day(0))) == 4


def test_no_chain_makes_one_entry_of_two_that_differ() -> None:
    """Joined link by link, ever more would follow until an entry stands for advice that shares nothing with it."""
    chain = [proposal(" ".join(f"w{n}" for n in range(start, start + 20)), on=start) for start in range(8)]
    assert all(are_equal(one, other) for one, other in pairwise(chain))
    entries = fold(chain, [], until=day(8))
    assert [each.version for each in entries] != [8]
    assert sum(each.version for each in entries) == 8


def test_what_is_proven_to_help_is_active_and_the_best_only() -> None:
    book = [proposal(text) for text in ("one", "two", "three", "four")]
    exposures = [*units(book[0], 1, **HELPS), *units(book[1], 1, **NOTHING), *units(book[2], 1, **HELPS)]
    exposures += units(book[3], 1, shown=(38, 40), withheld=(0, 10))
    entries = fold(book, exposures, until=day(1), limits=SMALL)
    assert [each.status for each in entries] == ["active", "active", "probation", "probation"]
    assert {each.do for each in entries[:2]} == {"one", "three"}
    assert [each.do for each in entries[2:]] == ["four", "two"]
    assert entries[2].uplift_low > 0  # proven, but no room
    assert entries[0].last_confirmed == day(1)
    assert [each.rank for each in entries] == [1, 2, 3, 4]


def test_an_entry_knows_since_when_it_is_active_and_until_when_it_was() -> None:
    """The last of its spells: days without a look change nothing."""
    each, early = proposal(), units(proposal(), 2, **HELPS)
    assert _spell([each], early, 1) == (None, None)
    assert _spell([each], early, 2) == _spell([each], early, 9) == (day(2), None)
    assert _spell([each], [*early, *units(each, 3, **HELPS), *units(each, 4, **HELPS)], 5) == (day(2), None)
    [lost] = fold([each], [*early, *units(each, 4, shown=(0, 40), withheld=(9, 10))], until=day(4), limits=SMALL)
    assert (lost.status, lost.active_since, lost.active_until) == ("probation", day(2), day(4))
    again = [unit for on in (6, 7, 8) for unit in units(each, on, **HELPS)]
    found = _spell([each], [*early, *units(each, 4, shown=(0, 40), withheld=(9, 10)), *again], 8)
    assert found[0] is not None
    assert found[0] > day(4)
    assert found[1] is None


def test_what_is_proven_without_room_is_not_active_yet() -> None:
    book = [proposal(text) for text in ("one", "two", "three")]
    entries = fold(book, [u for each in book for u in units(each, 1, **HELPS)], until=day(1), limits=SMALL)
    assert [(each.status, each.active_since) for each in entries] == [
        ("active", day(1)),
        ("active", day(1)),
        ("probation", None),
    ]


def _spell(proposals: list[Proposal], exposures: list[Exposure], until: int) -> tuple[date | None, date | None]:
    [entry] = fold(proposals, exposures, until=day(until), limits=SMALL)
    return entry.active_since, entry.active_until


def test_what_is_proven_to_harm_is_retired_and_stays_so() -> None:
    bad = proposal()
    exposures = [*units(bad, 3, **HARMS), *units(bad, 9, **HELPS), *units(bad, 10, **HELPS)]
    [entry] = fold(
        [bad, proposal(on=20), proposal(TEXTS[1], on=21, evidence=("x",))], exposures, until=day(30), limits=SMALL
    )
    assert (entry.status, entry.retired_on, entry.rank) == ("retired", day(3), None)
    assert (entry.exposures, entry.controls, entry.uplift) == (40, 10, -1.0)
    assert (entry.version, entry.evidence) == (1, ("e1",))
    assert entry.retired_why is not None
    assert entry.retired_why.startswith("it harms: success changes by -1.000")


def test_nothing_is_retired_for_harm_before_it_had_its_chance() -> None:
    bad = proposal()
    few = Limits(least_exposures=51)
    assert fold([bad], units(bad, 3, **HARMS), until=day(3), limits=few)[0].status == "probation"
    assert fold([bad], units(bad, 3, **HARMS), until=day(3), limits=Limits(least_exposures=50))[0].status == "retired"


def test_an_entry_is_looked_at_when_its_units_have_grown_and_not_every_day() -> None:
    """Looked at every day, chance has ever new chances: see the simulation of false retirements in docs/methods."""
    each = proposal()
    first = units(each, 1, **NOTHING)  # 50 units: looks at 50, 62.5 and so on
    then = [served(each, 2, f"u{n}", is_withheld=n % 2 == 0, success=float(n % 2 == 0)) for n in range(12)]
    enough = [*then, *(served(each, 3, f"v{n}", is_withheld=n % 2 == 0, success=float(n % 2 == 0)) for n in range(60))]
    limits = Limits(least_exposures=50)
    assert fold([each], [*first, *then], until=day(3), limits=limits)[0].retired_on is None
    assert fold([each], [*first, *enough], until=day(3), limits=limits)[0].retired_on == day(3)


@pytest.mark.parametrize(
    ("exposures", "why"),
    [
        ([], "only 0 units of work have met it"),
        (units(proposal(), 1, shown=(4, 5), withheld=(1, 2)), "only 7 units of work have met it"),
        (units(proposal(), 1, shown=(9, 9), withheld=(0, 0)), "no units of work compare, so that nothing will tell"),
        (units(proposal(), 1, **WORTHLESS), "success changes by -0.025 (at most +0.026) where it is shown"),
        (units(proposal(), 1, **NOTHING), None),
        (units(proposal(), 1, **HELPS), None),
    ],
)
def test_what_nobody_proposes_any_more_is_let_go_unless_it_may_prove_its_worth(
    exposures: Sequence[Exposure], why: str | None
) -> None:
    """To go by the sign of the estimate is tempting: of entries that help, with few units, a third would be let go."""
    book = [proposal(), proposal(on=5)]
    assert fold(book, exposures, until=day(14), limits=SMALL)[0].status != "retired"
    [entry] = fold([*book, proposal(on=16)], exposures, until=day(99), limits=SMALL)
    if why is None:
        assert entry.status != "retired"
        return
    assert (entry.status, entry.retired_on, entry.last_confirmed) == ("retired", day(15), day(5))
    assert entry.retired_why is not None
    assert entry.retired_why.startswith(f"it was last proposed or found to help on 2026-01-10, and {why}")


def test_what_might_have_helped_is_let_go_at_the_look_that_says_otherwise() -> None:
    each = proposal()
    exposures = [*units(each, 1, **NOTHING), *units(each, 20, **WORTHLESS)]
    assert fold([each], exposures, until=day(19), limits=SMALL)[0].status == "probation"
    assert fold([each], exposures, until=day(40), limits=SMALL)[0].retired_on == day(20)
    assert fold([each, proposal(on=18)], exposures, until=day(20), limits=SMALL)[0].status == "probation"


def test_units_of_entries_that_nobody_proposed_make_none() -> None:
    assert fold([], units(proposal(), 1, **HELPS), until=day(2)) == []
