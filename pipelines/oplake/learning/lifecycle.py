"""What becomes of playbook entries: on probation, active, retired. A fold over proposals and exposures, no more.

Nothing here reads or writes a table or asks a clock: `fold` makes the entries of a day anew from all that was proposed
and served up to it, so that the same events give the same entries in whatever order they arrived, at once or day by
day.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

import msgspec

from oplake.learning.intervals import Z
from oplake.learning.uplift import Stratum, Unit, Uplift, uplift

Kind = Literal["do", "avoid", "fix"]
Status = Literal["probation", "active", "retired"]

ID_DIGITS = 16  # of the hash, in an entry's id: 64 bits, so that a million entries do not meet by chance
CHARS_PER_TOKEN = 4  # of English, roughly, with any model

SAME_FROM = 0.8  # of words and pairs shared: one more word in a sentence of ten is the same advice, another word is not
TURNING = frozenset(
    {"no", "not", "never", "none", "nor", "neither", "cannot", "without", "except", "unless", "only", "avoid", "before"}
    | {"after", "first", "last", "always", "more", "less", "fewer", "above", "below", "over", "under", "least", "most"}
    | {"minimum", "maximum", "raise", "lower", "increase", "decrease", "allow", "refuse"}
)
"""Words that turn advice round: what differs in one of them is not the same, however much else is shared."""
_WORD = re.compile(r"[\w']+")

LOOK_GROWTH = 1.25  # of an entry's units from one look to the next, so that a thousandfold history has 31 looks
LEAST_WORTH = 0.05  # of an entry: one success more in twenty; to prove less would take 18,000 units
HARMS = "it harms"  # what the reason begins with, of an entry that is retired for harm
DECISION_Z = 2.92  # standard errors: over those 31 looks as rarely wrong (2.5 % to a side) as 1.96 is at a single one


@dataclass(frozen=True)
class Proposal:
    """Advice that evidence of a day speaks for."""

    day: date
    task_class: str
    endpoint: str | None
    kind: Kind
    trigger: str  # when it applies
    do: str
    avoid: str
    evidence: tuple[str, ...]  # ids of the events that it rests on


@dataclass(frozen=True)
class Exposure:
    """One unit of work for which an entry was shown, or withheld as a control: a row of playbooks.uptake."""

    day: date
    entry_id: str
    is_withheld: bool
    success: float  # in [0, 1]
    goal_id: str | None
    week: date  # the Monday of its week
    unit: str  # the session or action


def units_by_stratum(exposures: Iterable[Exposure]) -> dict[str, dict[tuple[str | None, date], list[Unit]]]:
    """Units of each entry by goal and week, as `uplift.floor` takes them."""
    told: dict[str, dict[tuple[str | None, date], list[Unit]]] = defaultdict(lambda: defaultdict(list))
    for each in exposures:
        told[each.entry_id][each.goal_id, each.week].append(Unit(each.is_withheld, each.success))
    return told


@dataclass(frozen=True)
class Limits:
    """What the lifecycle goes by; docs/methods/playbook-lifecycle.md says what was measured."""

    active_per_class: int = 12  # a book that an agent can read at a glance; the next best wait on probation
    least_exposures: int = 200  # shown and withheld together; below that not even a large effect can be told
    unconfirmed_after: int = (
        180  # days without a proposal or a proven effect, after which what is not worth it is let go
    )


DEFAULT_LIMITS = Limits()
UNKNOWN = Uplift(0.0, -1.0, 1.0)  # bounds of an effect of which nothing is known


@dataclass(frozen=True)
class Entry:
    """A playbook entry as it stands at the end of a day."""

    entry_id: str
    task_class: str
    trigger: str
    do: str
    avoid: str
    evidence: tuple[str, ...]  # ids of events, united over all proposals of it
    content_hash: str
    version: int  # wordings united in it; what is shown is always the first
    status: Status
    created: date
    last_confirmed: date  # last day on which it was proposed, or looked at and found to help
    exposures: int  # units it was shown to
    controls: int  # units it was withheld from
    uplift: float | None  # success with it less success without, within goal and week; None while nothing compares
    uplift_low: float  # bounds of the 95 % interval, -1 and 1 while nothing compares
    uplift_high: float
    tokens: int  # roughly what showing it costs
    retired_on: date | None
    retired_why: str | None
    rank: int | None  # place in its class by the lower bound, from 1; None once retired
    active_since: date | None = None  # day of the look by which it was proven, the last time that it was
    active_until: date | None = None  # day on which that ended, by a look or as it was retired


def content_hash(proposal: Proposal) -> str:
    """SHA-256 of what a proposal says and for whom. Blanks, upper case, the day and the evidence make no difference."""
    said = proposal.trigger, proposal.do, proposal.avoid
    return _hash(proposal.task_class, proposal.endpoint, proposal.kind, *said)


@lru_cache(maxsize=10_000)
def _hash(task_class: str, endpoint: str | None, kind: Kind, *said: str) -> str:
    """The same words are proposed on many days."""
    plain = [" ".join(text.split()).casefold() for text in said]
    return hashlib.sha256(msgspec.json.encode([task_class, endpoint, kind, *plain])).hexdigest()


def entry_id(proposal: Proposal) -> str:
    """The id that an entry of this content has; units served under it count also after it was united with another."""
    return content_hash(proposal)[:ID_DIGITS]


def fold(
    proposals: Iterable[Proposal], exposures: Iterable[Exposure], *, until: date, limits: Limits = DEFAULT_LIMITS
) -> list[Entry]:
    """The entries at the end of a day, from all that was proposed and served up to it.

    Proposals of one content are one entry, and so are those that are as good as equal (`are_equal`). An entry is looked
    at when its units have grown by a quarter, and only then found to help or to harm. It is active while it is proven
    to help and among the best of its class; retired once it is proven to harm, or when nobody has proposed it for long
    and it is hardly used or cannot be worth its place; and on probation otherwise. A retired entry stays as it was when
    it was retired, whoever proposes it again.

    Args:
        proposals: In any order, also those of later days, which do not count.
        exposures: The same; those of a content that nobody had proposed by their day do not count.
        until: The day.
        limits: What the lifecycle goes by.

    Returns:
        The entries by class and rank, retired ones last.
    """
    families = _families(proposal for proposal in proposals if proposal.day <= until)
    of_members = {member: family for family in families for member in family.members}
    units: dict[str, dict[tuple[date, str], Exposure]] = defaultdict(dict)
    for exposure in exposures:
        family = of_members.get(exposure.entry_id)
        if family is None or not family.members[exposure.entry_id] <= exposure.day <= until:
            continue
        its, key = units[family.entry_id], (exposure.day, exposure.unit)
        known = its.get(key)
        its[key] = exposure if known is None else min(known, exposure, key=_precedence)
    return _ranked([_life(each, units[each.entry_id], until, limits) for each in families], until, limits)


# --- which proposals are one entry ------------------------------------------------------------------------------------


@dataclass
class _Family:
    """Proposals that are one entry; the first of them words it."""

    entry_id: str
    first: Proposal
    signs: _Signs
    members: dict[str, date] = field(default_factory=dict)  # ids of the contents, and the day on which each first came
    proposals: list[Proposal] = field(default_factory=list)


class _Signs(NamedTuple):
    """What two wordings are compared by."""

    pieces: frozenset[str]  # words and pairs of neighbours, so that order counts
    turning: frozenset[str]  # numbers, and words that turn advice round; of these none may differ


def are_equal(one: Proposal, other: Proposal) -> bool:
    """Whether two proposals say the same, as far as words tell.

    They are for the same class, endpoint and kind; share SAME_FROM of their words and pairs of neighbouring words
    (Jaccard); and do not differ in a number or in a word that turns advice round, such as `not` and `before`.
    """
    is_like = _likeness(_signs(one), _signs(other)) >= SAME_FROM
    return content_hash(one) == content_hash(other) or (_scope(one) == _scope(other) and is_like)


def _families(proposals: Iterable[Proposal]) -> list[_Family]:
    """Proposals gathered by what they say.

    Contents join the family that they are most like, in the order of their first days; a family is known by its first
    content alone. So later days never part or join what earlier days made, and no chain of small changes makes one
    entry of two that differ.
    """
    by_content: dict[str, list[Proposal]] = defaultdict(list)
    for proposal in proposals:
        by_content[content_hash(proposal)].append(proposal)
    families: list[_Family] = []
    by_scope: dict[tuple[str, str, Kind], list[_Family]] = defaultdict(list)
    for same in by_content.values():
        same.sort(key=_order)
    for first, *later in sorted(by_content.values(), key=lambda same: (same[0].day, content_hash(same[0]))):
        signs, near = _signs(first), by_scope[_scope(first)]
        family = max(near, key=lambda each: _likeness(signs, each.signs), default=None)
        if family is None or _likeness(signs, family.signs) < SAME_FROM:
            family = _Family(entry_id(first), first, signs)
            near.append(family)
            families.append(family)
        family.members[entry_id(first)] = first.day
        family.proposals += [first, *later]
    return families


def _scope(proposal: Proposal) -> tuple[str, str, Kind]:
    return proposal.task_class, proposal.endpoint or "", proposal.kind


def _order(proposal: Proposal) -> tuple[date, str, str, str, tuple[str, ...]]:
    return proposal.day, proposal.trigger, proposal.do, proposal.avoid, proposal.evidence


def _signs(proposal: Proposal) -> _Signs:
    words = _WORD.findall(" ".join((proposal.trigger, proposal.do, proposal.avoid)).casefold().replace("’", "'"))
    turning = (word for word in words if word[0].isdigit() or word in TURNING or word.endswith("n't"))
    return _Signs(frozenset([*words, *map(" ".join, pairwise(words))]), frozenset(turning))


def _likeness(one: _Signs, other: _Signs) -> float:
    if one.turning != other.turning:
        return 0.0
    return len(one.pieces & other.pieces) / max(len(one.pieces | other.pieces), 1)


# --- what became of each ----------------------------------------------------------------------------------------------


@dataclass
class _Life:
    """An entry in the making: what is known of it so far, day after day."""

    family: _Family
    confirmed: date
    strata: dict[tuple[str | None, date], Stratum] = field(default_factory=dict)
    shown: int = 0
    withheld: int = 0
    is_proven: bool = False  # at the last look
    proven_since: date | None = None
    proven_until: date | None = None
    retired_on: date | None = None
    retired_why: str | None = None

    def count(self, exposure: Exposure) -> None:
        stratum = self.strata.setdefault((exposure.goal_id, exposure.week), Stratum())
        stratum.add(exposure.success, is_withheld=exposure.is_withheld)
        self.withheld += exposure.is_withheld
        self.shown += not exposure.is_withheld

    def uplift(self, z: float = Z) -> Uplift | None:
        return uplift(self.strata.values(), z=z)

    def look(self, day: date) -> None:
        found = self.uplift(DECISION_Z)
        was_proven, self.is_proven = self.is_proven, found is not None and found.low > 0
        if self.is_proven:
            self.confirmed = day
        if self.is_proven and not was_proven:
            self.proven_since, self.proven_until = day, None
        elif was_proven and not self.is_proven:
            self.proven_until = day
        if found is not None and found.high < 0:
            self._retire(
                day,
                f"{HARMS}: success changes by {found.value:+.3f} (at most {found.high:+.3f}) where it is shown, after "
                f"{self.shown} units with it and {self.withheld} without",
            )

    def let_go(self, day: date, least_exposures: int) -> None:
        """Retire what has not been confirmed for long, unless it is in use and may yet prove to be worth its place."""
        found = self.uplift()
        if self.shown + self.withheld < least_exposures:
            but = f"only {self.shown + self.withheld} units of work have met it"
        elif found is None:
            but = "no units of work compare, so that nothing will tell whether it helps"
        elif found.high < LEAST_WORTH:
            but = f"success changes by {found.value:+.3f} (at most {found.high:+.3f}) where it is shown"
        else:
            return
        self._retire(day, f"it was last proposed or found to help on {self.confirmed}, and {but}")

    def _retire(self, day: date, why: str) -> None:
        self.retired_on, self.retired_why = day, why
        if self.is_proven:
            self.proven_until = day


def _life(family: _Family, units: Mapping[tuple[date, str], Exposure], until: date, limits: Limits) -> _Life:
    """Follow an entry from its first day to the last, or to the day on which it is retired."""
    proposed = {proposal.day for proposal in family.proposals}
    served: dict[date, list[Exposure]] = defaultdict(list)
    for (day, _), exposure in sorted(units.items()):
        served[day].append(exposure)
    life = _Life(family, family.first.day)
    patience = timedelta(days=limits.unconfirmed_after)
    next_look = float(limits.least_exposures)
    is_overdue = False  # its patience is over, but it may yet prove its worth
    for day in sorted(proposed | served.keys() | {until}):
        due = life.confirmed + patience
        if due < day and not is_overdue:
            is_overdue = True
            life.let_go(due, limits.least_exposures)
            if life.retired_on:
                break
        if day in proposed:
            life.confirmed = day
        for exposure in served[day]:
            life.count(exposure)
        is_look = life.shown + life.withheld >= next_look
        if is_look:
            life.look(day)
            while next_look <= life.shown + life.withheld:
                next_look *= LOOK_GROWTH
        is_due = life.confirmed + patience <= day
        if not life.retired_on and is_due and (is_look or not is_overdue):
            life.let_go(day, limits.least_exposures)
        if life.retired_on:
            break
        is_overdue = is_due
    return life


def _precedence(exposure: Exposure) -> tuple[bool, str, float, str, date]:
    """Of two rows about one unit the one that shows: under two ids of one entry, it was seen if either was shown."""
    return exposure.is_withheld, exposure.entry_id, exposure.success, exposure.goal_id or "", exposure.week


def _ranked(lives: Iterable[_Life], until: date, limits: Limits) -> list[Entry]:
    """Entries of each class in their order, the best of the proven ones active."""
    by_class: dict[str, list[tuple[_Life, Uplift | None]]] = defaultdict(list)
    for life in lives:
        by_class[life.family.first.task_class].append((life, life.uplift()))
    entries = []
    for _, its in sorted(by_class.items()):
        living = sorted((each for each in its if not each[0].retired_on), key=_by_lower_bound)
        room = limits.active_per_class
        for rank, (life, found) in enumerate(living, start=1):
            is_active = life.is_proven and room > 0
            room -= is_active
            entries.append(_entry(life, found, until, "active" if is_active else "probation", rank))
        retired = sorted((each for each in its if each[0].retired_on), key=lambda each: each[0].family.entry_id)
        entries += [_entry(life, found, until, "retired", None) for life, found in retired]
    return entries


def _by_lower_bound(told: tuple[_Life, Uplift | None]) -> tuple[float, float, str]:
    life, found = told
    return -(found or UNKNOWN).low, -(found or UNKNOWN).value, life.family.entry_id


def _entry(life: _Life, found: Uplift | None, until: date, status: Status, rank: int | None) -> Entry:
    """An entry as of the day, or as it was when it was retired."""
    family, stop = life.family, life.retired_on or until
    evidence = dict.fromkeys(
        each for one in sorted(family.proposals, key=_order) if one.day <= stop for each in one.evidence
    )
    first = family.first
    was_active = status == "active" or life.proven_until is not None  # proven without room, it waits on probation
    return Entry(
        entry_id=family.entry_id,
        task_class=first.task_class,
        trigger=first.trigger,
        do=first.do,
        avoid=first.avoid,
        evidence=tuple(evidence),
        content_hash=content_hash(first),
        version=sum(day <= stop for day in family.members.values()),
        status=status,
        created=first.day,
        last_confirmed=life.confirmed,
        exposures=life.shown,
        controls=life.withheld,
        uplift=found.value if found else None,
        uplift_low=(found or UNKNOWN).low,
        uplift_high=(found or UNKNOWN).high,
        tokens=-(-len(" ".join(filter(None, (first.trigger, first.do, first.avoid)))) // CHARS_PER_TOKEN),
        retired_on=life.retired_on,
        retired_why=life.retired_why,
        rank=rank,
        active_since=life.proven_since if was_active else None,
        active_until=life.proven_until,
    )
