"""Trials of uplift and of the lifecycle of playbook entries on simulated work, where the truth is known.

Three questions: do the intervals cover, how often do repeated looks retire what does no harm, and what becomes of
planted entries that help, do nothing, or harm. The last is also asked without chance deciding what is withheld, as a
negative control. Everything is seeded and comes out the same on every machine.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal, NamedTuple

from oplake.learning.intervals import Interval, wilson
from oplake.learning.lifecycle import HARMS, Entry, Exposure, Limits, Proposal, entry_id, fold, units_by_stratum
from oplake.learning.uplift import Floor, Stratum, floor, uplift
from oplake.simulate import START
from oplake.simulate.course import chances
from oplake.simulate.dice import Dice
from oplake.simulate.truth import EntryKind
from oplake.simulate.world import AGENTS, ENTRIES, Goal, goals

COVERAGE_WORLDS = 2_000  # per case: a coverage of 95 % is then known to within 1 %
UNITS = (1_000, 2_000, 3_000, 4_000)  # per entry, shown and withheld together, after which fates are told
ACTIONS_A_DAY = 30  # per class, so that a goal has some seven units of an entry a week, and less than one withheld
IDLE_ENTRIES = 400  # that do nothing, for the rate of false retirements

Design = Literal["at random", "not offered"]
"""What the controls are: units from which the entry was withheld at random, or those that it was not offered to."""

Progress = Callable[[float], None]


# --- do the intervals cover? ------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A setting in which the true difference is known."""

    name: str
    strata: int
    units: int  # per stratum on average; drawn from 1 to 2 units - 1
    withheld: float  # share of the units
    low: float  # success rates without the entry are drawn from here
    high: float  # to here, one for each stratum
    effect: float
    spread: float = 0.0  # effects of strata differ by as much to either side
    is_partial: bool = False  # successes are 0, 0.5 and 1


CASES = (
    Case("one stratum", 1, 400, 0.1, 0.6, 0.6, 0.15),
    Case("goals and weeks", 150, 12, 0.1, 0.4, 0.8, 0.12),
    Case("small strata", 300, 3, 0.1, 0.4, 0.8, 0.12),
    Case("many strata", 600, 4, 0.1, 0.2, 0.9, -0.1),
    Case("half withheld", 40, 6, 0.5, 0.3, 0.7, 0.0),
    Case("rare success", 150, 12, 0.1, 0.02, 0.08, 0.0),
    Case("rare failure", 150, 12, 0.1, 0.92, 0.98, -0.05),
    Case("goals of all kinds", 150, 12, 0.1, 0.05, 0.85, 0.1),
    Case("great harm", 150, 12, 0.1, 0.4, 0.9, -0.3),
    Case("effects that differ", 150, 12, 0.1, 0.4, 0.7, 0.1, spread=0.2),
    Case("partial success", 150, 12, 0.1, 0.3, 0.7, 0.1, is_partial=True),
    Case("partial success, harm", 150, 12, 0.1, 0.4, 0.9, -0.2, is_partial=True),
    Case("20 controls", 10, 20, 0.1, 0.4, 0.8, 0.12),
    Case("20 controls, rare success", 10, 20, 0.1, 0.02, 0.08, 0.0),
)


@dataclass(frozen=True)
class Coverage:
    """How often intervals held the truth."""

    case: Case
    controls: float  # withheld units that were compared, on average
    covered: Interval
    width: float  # of the intervals, on average


def coverage(case: Case, *, worlds: int = COVERAGE_WORLDS) -> Coverage:
    """Draw worlds of a case and count the intervals that hold the true difference.

    The truth is that of the strata which can be compared, weighted as the estimate weights them.
    """
    dice = Dice("coverage", *case)
    covered: list[float] = []
    controls, width = 0, 0.0
    while len(covered) < worlds:
        strata, truths = [], []
        for _ in range(case.strata):
            base = case.low + (case.high - case.low) * dice.unit()
            effect = case.effect + case.spread * (2 * dice.unit() - 1)
            with_it = min(max(base + effect, 0.0), 1.0)
            stratum = Stratum()
            for _ in range(dice.between(1, 2 * case.units - 1)):
                is_withheld = dice.chance(case.withheld)
                stratum.add(_success(dice, base if is_withheld else with_it, case), is_withheld=is_withheld)
            n1, n0 = stratum.shown.units, stratum.withheld.units
            if n1 and n0:
                strata.append(stratum)
                truths.append((n1 * n0 / (n1 + n0), with_it - base))
        found = uplift(strata)
        if found is None:  # nothing to compare, so that nothing is said
            continue
        truth = sum(weight * difference for weight, difference in truths) / sum(weight for weight, _ in truths)
        covered.append(float(found.low - 1e-12 <= truth <= found.high + 1e-12))
        controls += sum(stratum.withheld.units for stratum in strata)
        width += found.high - found.low
    return Coverage(case, controls / worlds, wilson(covered), width / worlds)


def _success(dice: Dice, p: float, case: Case) -> float:
    return (dice.chance(p) + dice.chance(p)) / 2 if case.is_partial else float(dice.chance(p))


# --- what do repeated looks cost? -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FalseRetirements:
    """How often entries that do nothing are retired for harm over 4,000 units, 90 a week."""

    entries: int
    by_schedule: Interval  # as the lifecycle looks
    by_week: Interval  # were the 95 % interval looked at every week


def false_retirements(*, entries: int = IDLE_ENTRIES) -> FalseRetirements:
    """Follow entries that do nothing, of twelve goals each."""
    dice = Dice("false retirements")
    proposal = Proposal(START, "idle", None, "do", "", "Keep calm.", "", ())
    limits = Limits(unconfirmed_after=10_000)
    by_schedule, by_week = [], []
    for _ in range(entries):
        rates = [0.4 + 0.4 * dice.unit() for _ in range(12)]
        exposures: list[Exposure] = []
        strata: dict[tuple[int, int], Stratum] = defaultdict(Stratum)
        is_out = False
        for week in range(UNITS[-1] // 90):
            monday = START + timedelta(days=7 * week)
            for number in range(90):
                goal = dice.between(0, 11)
                success, is_withheld = float(dice.chance(rates[goal])), dice.chance(0.1)
                strata[goal, week].add(success, is_withheld=is_withheld)
                day, unit = monday + timedelta(days=number % 7), f"{week}-{number}"
                exposures.append(Exposure(day, entry_id(proposal), is_withheld, success, str(goal), monday, unit))
            found = uplift(strata.values())
            is_out = is_out or (len(exposures) >= limits.least_exposures and found is not None and found.high < 0)
        [entry] = fold([proposal], exposures, until=exposures[-1].day + timedelta(days=7), limits=limits)
        by_schedule.append(float(entry.status == "retired"))
        by_week.append(float(is_out))
    return FalseRetirements(entries, wilson(by_schedule), wilson(by_week))


# --- what becomes of planted entries? ---------------------------------------------------------------------------------

PROPOSALS = {each.entry_id: Proposal(START, each.task_class, None, "do", "", each.do, "", ()) for each in ENTRIES}
"""The planted entries of the simulator, as if somebody had proposed them on its first day."""
PROPOSED_EVERY = timedelta(days=28)  # while evidence stands: of the window of candidates, the last day that may do it
PLANTED = {entry_id(PROPOSALS[each.entry_id]): each for each in ENTRIES}
"""What they are worth, by the ids that they have as entries."""


@dataclass(frozen=True)
class Fates:
    """What became of the planted entries of one kind after so many units each."""

    design: Design
    units: int
    kind: EntryKind
    entries: int
    planted: float  # effect, on average
    measured: float  # uplift, on average
    retired: Interval
    for_harm: Interval  # retired because they were proven to harm, not let go because nobody proposed them any more
    active: Interval
    upper_half: Interval  # of its class, by rank among the entries that are not retired


def fates(
    design: Design,
    *,
    worlds: int,
    actions_a_day: int = ACTIONS_A_DAY,
    evidence_lasts: bool = True,
    progress: Progress = lambda _: None,
) -> list[Fates]:
    """Follow the entries of simulated worlds, eight of each kind in each, and tell what became of them.

    Both designs see the same kind of work, and the same pipeline judges it; only what they take for a control differs.

    Args:
        design: What the controls are.
        worlds: How many worlds, each with other goals and another course of things.
        actions_a_day: Of each class.
        evidence_lasts: Whether entries are proposed as long as they are served, so that nothing is let go for want of
            a proposal, and who is retired was proven to harm; else they are proposed on the first day alone.
        progress: Called after each world with the share done.
    """
    found: dict[tuple[int, EntryKind], list[tuple[Entry, bool]]] = defaultdict(list)
    for seed in range(worlds):
        drawn = list(planted_exposures(seed, design, actions_a_day=actions_a_day))
        for units in UNITS:
            exposures = [exposure for nth, exposure in drawn if nth <= units]
            until = max(exposure.day for exposure in exposures)
            proposals = proposed_until(until) if evidence_lasts else PROPOSALS.values()
            entries = fold(proposals, exposures, until=until)
            for entry, is_upper in zip(entries, in_upper_half(entries), strict=True):
                found[units, PLANTED[entry.entry_id].kind].append((entry, is_upper))
        progress((seed + 1) / worlds)
    return [_fates(design, units, kind, its) for (units, kind), its in sorted(found.items())]


def proposed_until(day: date) -> Iterator[Proposal]:
    """The planted entries as the evidence of a day speaks for them, again and again until then."""
    for number in range((day - START) // PROPOSED_EVERY + 1):
        for proposal in PROPOSALS.values():
            yield replace(proposal, day=START + number * PROPOSED_EVERY)


def _fates(design: Design, units: int, kind: EntryKind, told: Sequence[tuple[Entry, bool]]) -> Fates:
    return Fates(
        design=design,
        units=units,
        kind=kind,
        entries=len(told),
        planted=sum(PLANTED[entry.entry_id].effect for entry, _ in told) / len(told),
        measured=sum(entry.uplift or 0.0 for entry, _ in told) / len(told),
        retired=wilson([float(entry.status == "retired") for entry, _ in told]),
        for_harm=wilson([float((entry.retired_why or "").startswith(HARMS)) for entry, _ in told]),
        active=wilson([float(entry.status == "active") for entry, _ in told]),
        upper_half=wilson([float(is_upper) for _, is_upper in told]),
    )


def planted_exposures(
    seed: int, design: Design, *, actions_a_day: int = ACTIONS_A_DAY
) -> Iterator[tuple[int, Exposure]]:
    """The units of a world's planted entries, each with its number among those of its entry.

    Outcomes and what is offered fall as in the simulator (`chances`), where hard runs are offered other entries than
    easy ones; but each entry is alone on its goals, so that nothing else tells it from the others.
    """
    dice = Dice("planted exposures", seed)
    by_class: dict[str, list[Goal]] = defaultdict(list)
    for goal in goals(seed):
        by_class[goal.kind.name].append(goal)
    for planted in ENTRIES:
        mine = [replace(goal, entries=(planted,)) for goal in by_class[planted.task_class]]
        agents = [agent for agent in AGENTS if planted.task_class in agent.classes]
        name = entry_id(PROPOSALS[planted.entry_id])
        nth = number = 0
        while nth < UNITS[-1]:
            goal = dice.pick(mine)
            fallen = chances(dice, goal, dice.pick(agents))
            day = START + timedelta(days=number // actions_a_day)
            number += 1
            if design == "at random" and not (fallen.shown or fallen.withheld):
                continue
            nth += 1
            week = day - timedelta(days=day.weekday())
            success = float(fallen.is_success)
            yield nth, Exposure(day, name, not fallen.shown, success, goal.goal_id, week, str(number))


def in_upper_half(entries: Sequence[Entry]) -> list[bool]:
    """Of each entry whether it stands in the upper half of those of its class that are not retired."""
    living = Counter(entry.task_class for entry in entries if entry.rank)
    return [entry.rank is not None and entry.rank <= max(living[entry.task_class] // 2, 1) for entry in entries]


def planted_floors(seed: int = 0) -> dict[str, Floor]:
    """The shuffled floor of a world's planted entries, of all and of those that do nothing."""
    told = units_by_stratum(exposure for nth, exposure in planted_exposures(seed, "at random") if nth <= UNITS[0])
    idle = [strata for name, strata in told.items() if PLANTED[name].kind == "neutral"]
    floors = {"planted": floor(told.values()), "planted, neutral ones": floor(idle)}
    return {name: each for name, each in floors.items() if each}
