"""From the simulator's events over playbooks.uptake to what becomes of its planted playbook entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta

import msgspec
import pytest
from tests.sql.tiny_lake import PROJECT_MODELS, TinyLake

from oplake.events import ActionBegun, ActionCompleted, PlaybookServed
from oplake.learning.lifecycle import HARMS, Entry, Exposure, entry_id, fold
from oplake.learning.playbook_eval import exposures, floors
from oplake.learning.playbook_trials import PLANTED, PROPOSALS, in_upper_half
from oplake.simulate import START, Truth
from oplake.simulate.workload import Workload

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("simulated playbooks")]

DAYS, RATE, SEED = 60, 600, 5  # some 1,700 units of an entry that is offered in four of ten runs, 2,500 in six of ten
NAMES = ("attribution.actions", "attribution.expectations", "attribution.success_scores", "playbooks.uptake")
UNTIL = START + timedelta(days=DAYS + 1)
IDS = {name: entry_id(proposal) for name, proposal in PROPOSALS.items()}


@pytest.fixture(scope="module")
def simulated() -> tuple[TinyLake, Truth]:
    workload = Workload(days=DAYS, seed=SEED, rate=RATE, start=START)
    sent = (one.content for one in workload.sent())
    kept = [each for each in sent if isinstance(each, (ActionBegun, ActionCompleted, PlaybookServed))]
    events = {each.event_id: msgspec.structs.asdict(each) | {"kind": each.__struct_config__.tag} for each in kept}
    tiny = TinyLake(PROJECT_MODELS)
    tiny.land(*events.values())
    tiny.build(*NAMES, start=START - timedelta(days=1), stop=UNTIL)
    return tiny, workload.truth()


def folded(told: Iterable[Exposure]) -> list[Entry]:
    """The entries at the end, for planted ids as the events have them."""
    return fold(PROPOSALS.values(), [replace(each, entry_id=IDS[each.entry_id]) for each in told], until=UNTIL)


def of_kind(entries: Iterable[Entry], kind: str) -> list[Entry]:
    return [each for each in entries if PLANTED[each.entry_id].kind == kind]


def test_every_serving_of_the_simulation_is_a_unit(simulated: tuple[TinyLake, Truth]) -> None:
    tiny, truth = simulated
    counts: Counter[tuple[str, bool]] = Counter()
    for _, each in exposures(tiny.connection):
        counts[each.entry_id, each.is_withheld] += 1
    expected = {(name, False): tally.shown for name, tally in truth.tallies.items()}
    assert counts == expected | {(name, True): tally.withheld for name, tally in truth.tallies.items()}


def test_what_harms_is_retired_and_what_helps_is_kept_and_first(simulated: tuple[TinyLake, Truth]) -> None:
    tiny, _ = simulated
    entries = folded(each for _, each in exposures(tiny.connection))
    harmful, helpful, neutral = (of_kind(entries, kind) for kind in ("harmful", "helpful", "neutral"))
    assert len(harmful) == len(helpful) == len(neutral) == 8
    assert all(each.status == "retired" and each.retired_why.startswith(HARMS) for each in harmful)
    assert max(each.exposures + each.controls for each in harmful) < 2_500
    assert "retired" not in {each.status for each in helpful}
    assert sum(each.status == "active" for each in helpful) >= 4
    assert {each.status for each in neutral} == {"probation"}
    is_upper = dict(zip((each.entry_id for each in entries), in_upper_half(entries), strict=True))
    assert not any(is_upper[each.entry_id] for each in neutral)


def test_uplift_is_above_its_shuffled_floor(simulated: tuple[TinyLake, Truth]) -> None:
    tiny, _ = simulated
    found = floors([("all", each) for _, each in exposures(tiny.connection)])
    assert found["all"].p == 1 / 201
    assert found["all"].margin > 0.05


def test_without_chance_deciding_what_is_withheld_the_same_fold_is_fooled(simulated: tuple[TinyLake, Truth]) -> None:
    """The tempting control is every run without the entry. But hard runs are offered what helps, easy ones what harms:
    the half of what entries help is lost, and with it the truth from nearly every interval.
    """
    tiny, _ = simulated
    at_random = folded(each for _, each in exposures(tiny.connection))
    rows = tiny.connection.execute("""
        WITH entries AS (SELECT DISTINCT entry_id, task_class FROM playbooks.uptake)
        SELECT
            action.day, entry_id, NOT list_contains(action.playbook_ids, entry_id), success_score, goal_id,
            CAST(date_trunc('week', action.day) AS DATE), action.action_id
        FROM entries
        JOIN attribution.actions AS action ON action.action_type = task_class
        JOIN attribution.success_scores USING (day, action_id)
    """).fetchall()
    fooled = folded(Exposure(*row) for row in rows)
    assert understated(at_random) <= 2
    assert understated(fooled) >= 7


def understated(entries: list[Entry]) -> int:
    """How many of those that help have an interval below what they help."""
    return sum(each.uplift_high < PLANTED[each.entry_id].effect for each in of_kind(entries, "helpful"))


def test_planted_entries_are_proposed_on_the_first_day() -> None:
    """Units count from the day of the proposal; served before it, they would be lost without a word."""
    assert {each.day for each in PROPOSALS.values()} == {START} == {date(2026, 1, 5)}
