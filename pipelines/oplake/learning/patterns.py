"""What tells successes from failures in what was done: the patterns that playbook candidates propose, in words.

Runs of one class of task are told apart by their steps alone. What to do is a closed sub-sequence that many successes
share; what to avoid is a step, or one step after another, that failures have and successes do not. Either is proposed
only where outcomes shuffled among the runs of each goal would hardly ever do as much, all patterns looked at counted:
what is done for easy goals alone is no reason for their success. Which runs there are, and what else speaks for advice,
is SQL's (sql/playbooks/candidates.sql).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import combinations, groupby, permutations
from typing import Any, TypeAlias

from oplake.learning.lifecycle import Kind, Proposal, entry_id
from oplake.learning.sequences import Items, closed_sequences, occurs_in, sub_sequences
from oplake.learning.shuffles import Seen, chance_within

LEAST_SHARE = 0.2  # of the successes: what fewer share is a habit of some, not what they have in common
MOST_SHARED = 0.8  # share of the successes from which on, of patterns that tell as little, the longest says most
MOST_DO, MOST_AVOID = 3, 5  # patterns of a group: an agent reads one page, and the best is mostly one path
KINDS_TO_AVOID = 2  # single steps and pairs: each family is allowed half of what shuffled outcomes may do
SIGNIFICANT = 0.05  # chance that shuffled outcomes do as much as what is proposed
TELLING = 0.8  # share of the runs that went wrong so, which lack the step to be taken instead
MOSTLY = (
    0.5  # share of its runs in which a step comes after another suspect, or together with one, to be explained by it
)
MOST_PAIRED = 30  # items of which pairs are looked at: 900 pairs
EVIDENCE = 20  # events named as evidence: enough to look at, few enough to carry along
MOST_PARTS = 1_024  # of a pattern that an entry shown may have been: all of ten steps
MOST_KNOWN = 8_000  # patterns of which the words are looked up among the entries shown: 0.1 s
ACTOR, NO_ACTOR = " > ", "-"  # how attribution.blame_steps parts an actor from what it decided, and names nobody
LOOP, AGAIN = 3, " again"  # so often in a row is a loop, and how the step is called that says so

Stratum: TypeAlias = str | bool | None
"""A goal; the goals whose runs all ended alike, by how; or the runs that are alone on their goals."""


@dataclass(frozen=True)
class Runs:
    """Runs that did the same, ended alike, and were shown the same entries."""

    items: Items
    is_success: bool
    units: int
    shown: frozenset[str]
    evidence: tuple[str, ...]  # ids of events of them, the latest first
    goals: tuple[str, ...] = ()  # of each run that has one; its others are compared with each other


@dataclass(frozen=True)
class Finding:
    """A pattern, what it says in words, and how often it occurs.

    It is in `hits` of `runs` of the outcome that it is about (success for `do`, failure for `avoid`), and in
    `other_hits` of `other_runs` of the other outcome.
    """

    kind: Kind
    items: Items
    words: Proposal
    hits: int
    runs: int
    other_hits: int
    other_runs: int
    unexplained: int  # hits in runs that no other finding explains
    p_value: float
    evidence: tuple[str, ...]

    @property
    def support(self) -> float:
        """Share of the runs of its outcome that have it."""
        return self.hits / self.runs if self.runs else 0.0

    @property
    def lift(self) -> float:
        """How many times as often as in runs of the other outcome; half a run is added to each count."""
        return (self.hits + 0.5) / (self.runs + 1) * (self.other_runs + 1) / (self.other_hits + 0.5)


def playbook_patterns(
    task_class: str,
    endpoint: str | None,
    rows: Sequence[Mapping[str, Any]],
    cited: Sequence[str] | None,
    least: int,
) -> list[dict[str, Any]]:
    """What runs of a class (and endpoint) say, as rows for SQL; see `findings`. Where nothing is found to do, a row
    without words says so."""
    runs = [
        Runs(
            items=without_echoes(row["items"]),
            is_success=row["is_success"],
            units=row["units"],
            shown=frozenset(row["shown"]),
            evidence=tuple(row["evidence"]),
            goals=tuple(row["goals"]),
        )
        for row in rows
    ]
    found = findings(task_class, endpoint, runs, cited or (), least=least)
    if all(each.kind != "do" for each in found):
        found.insert(0, _nothing(_Words(task_class, endpoint).nothing()))
    return [
        {
            "entry_id": entry_id(each.words),
            "kind": each.kind,
            "pattern": list(each.items),
            "trigger": each.words.trigger,
            "do": each.words.do,
            "avoid": each.words.avoid,
            "hits": each.hits,
            "runs": each.runs,
            "other_hits": each.other_hits,
            "other_runs": each.other_runs,
            "support": each.support,
            "lift": each.lift,
            "p_value": each.p_value,
            "is_proposed": is_proposed(each, found, least=least),
            "is_unexplained": each.unexplained >= max(least, MOSTLY * each.hits),
            "evidence": list(each.evidence),
        }
        for each in found
    ]


def playbook_entry_id(task_class: str, endpoint: str | None, kind: Kind, trigger: str, do: str, avoid: str) -> str:
    """The id of the entry that advice in these words makes."""
    return entry_id(Proposal(date.min, task_class, endpoint, kind, trigger, do, avoid, ()))


def without_echoes(steps: Sequence[str]) -> Items:
    """Steps with what was done several times in a row said once; from the third time on, that too is a step."""
    items: list[str] = []
    for step, group in groupby(steps):
        items.append(step)
        if len(list(group)) >= LOOP:
            items.append(f"{step}{AGAIN}")
    return tuple(items)


def findings(
    task_class: str, endpoint: str | None, runs: Sequence[Runs], cited: Iterable[str], *, least: int
) -> list[Finding]:
    """The best patterns of a class, those to do first.

    Runs that were shown an entry of the same kind whose pattern contains it, or is contained in it, are not counted for
    a pattern: that an agent does what it was told, and something besides, is no evidence that it should be.

    Args:
        task_class: The class of task.
        endpoint: The operation called; None for whole actions.
        runs: What was done and how it ended, each different one once.
        cited: Steps that estimates elsewhere hold for harmful; they are told of, whatever the counts say.
        least: Runs that a pattern needs.
    """
    group = _Group([each for each in runs if each.items])
    successes = _units(group.successes)
    if successes < least:
        return []
    words = _Words(task_class, endpoint)
    to_do = _to_do(group, words, least=max(least, math.ceil(successes * LEAST_SHARE)))
    path = to_do[0].items if to_do else ()
    return to_do + _to_avoid(group, words, path, frozenset(cited), least=least)


def is_proposed(finding: Finding, among: Iterable[Finding], *, least: int) -> bool:
    """Whether a pattern is good enough for the book.

    Where there are hardly any failures to hold it against, the best of what the successes share is proposed all the
    same: there is nothing better, and as an entry it is measured.
    """
    if finding.hits < least:
        return False
    if finding.p_value <= SIGNIFICANT:
        return True
    first = next(each for each in among if each.kind == finding.kind)
    return finding.kind == "do" and finding is first and finding.other_runs < least


class _Group:
    """Runs that are held against each other, each towards its own goal.

    A goal of several runs is a stratum. Those of one run are one together, as are runs without a goal: they have only
    each other to be compared with. Goals whose runs all ended alike say nothing, and are told of as one.
    """

    def __init__(self, runs: Sequence[Runs]) -> None:
        self.runs = runs
        self.successes = [each for each in runs if each.is_success]
        self.failures = [each for each in runs if not each.is_success]
        self._with: dict[str, set[int]] = defaultdict(set)
        for number, each in enumerate(runs):
            for item in each.items:
                self._with[item].add(number)
        ends = {True: Counter[str](), False: Counter[str]()}
        for each in runs:
            ends[each.is_success].update(each.goals)
        several = {goal for goal in ends[True] | ends[False] if ends[True][goal] + ends[False][goal] > 1}
        self._strata: list[Counter[Stratum]] = [
            Counter(
                [goal if ends[not each.is_success][goal] else each.is_success for goal in each.goals if goal in several]
            )
            for each in runs
        ]
        for each, strata in zip(runs, self._strata, strict=True):
            strata[None] = each.units - strata.total()

    def having(self, items: Items) -> list[int]:
        """The numbers of the runs that have a pattern, in their order."""
        both = set.intersection(*sorted((self._with[item] for item in items), key=len))
        return [number for number in sorted(both) if len(items) == 1 or occurs_in(items, self.runs[number].items)]

    @cached_property
    def _every(self) -> Mapping[Stratum, Mapping[bool, int]]:
        """How many runs of each stratum succeeded and failed."""
        return self._by_stratum(range(len(self.runs)))

    def _by_stratum(self, numbers: Iterable[int]) -> Mapping[Stratum, Mapping[bool, int]]:
        found: dict[Stratum, dict[bool, int]] = defaultdict(lambda: {True: 0, False: 0})
        for number in numbers:
            is_success = self.runs[number].is_success
            for stratum, units in self._strata[number].items():
                found[stratum][is_success] += units
        return found

    def seen(self, having: Iterable[int], without: Collection[int], *, is_success: bool) -> list[Seen]:
        """How often the outcome and the other one have a pattern, of each stratum.

        Args:
            having: The runs that have it.
            without: Runs that are not counted.
            is_success: The outcome.
        """
        hits, left_out = self._by_stratum(having), self._by_stratum(without)
        none = {True: 0, False: 0}
        found = []
        for stratum, every in self._every.items():
            its, out = hits.get(stratum, none), left_out.get(stratum, none)
            one, other = is_success, not is_success
            found.append(Seen(its[one], every[one] - out[one], its[other], every[other] - out[other]))
        return found


class _Echoes:
    """What the entries that runs were shown told them to do, or not to do.

    A run names an entry by its id, a hash of its words, which a pattern alone decides on. So it is known by writing
    down patterns that it may have had.
    """

    def __init__(self, group: _Group) -> None:
        self._shown = frozenset(entry for each in group.runs for entry in each.shown)
        self._patterns: dict[str, Items] = {}
        self._left = MOST_KNOWN

    @property
    def is_open(self) -> bool:
        """Whether there is anything to find out."""
        return bool(self._shown) and self._left > 0

    def look_up(self, items: Items, wordings: Iterable[Proposal]) -> None:
        """Keep a pattern if an entry in one of these wordings was shown."""
        for words in wordings:
            self._left -= 1
            if (known := entry_id(words)) in self._shown:
                self._patterns[known] = items

    def of(self, items: Items) -> set[str]:
        """The entries shown whose pattern contains these items, or is contained in them."""
        return {entry for entry, known in self._patterns.items() if occurs_in(known, items) or occurs_in(items, known)}


def _told_to_do(group: _Group, words: _Words, mined: Sequence[Items]) -> _Echoes:
    """What entries to do told: patterns of today, parts of them, and parts of what those did who were shown any."""
    echoes = _Echoes(group)
    followed = sorted((each for each in group.successes if each.shown), key=lambda each: (-each.units, each.items))
    looked_up: set[Items] = set()
    for parts in (1, MOST_PARTS):  # the patterns themselves before any part
        for items in (*mined, *(each.items for each in followed)):
            for part in sub_sequences(items, most=parts):
                if not echoes.is_open:
                    return echoes
                if part not in looked_up:
                    looked_up.add(part)
                    echoes.look_up(part, [words.to_do(part)])
    return echoes


def _told_to_avoid(group: _Group, words: _Words, steps: Sequence[str], path: Items) -> _Echoes:
    """What entries to avoid told: steps of failures, alone or one after the other."""
    echoes = _Echoes(group)
    for items in ((step,) for step in steps), permutations(steps[:MOST_PAIRED], 2):
        for each in items:
            if echoes.is_open:
                echoes.look_up(each, words.not_to_do(each, path))
    return echoes


def _to_do(group: _Group, words: _Words, *, least: int) -> list[Finding]:
    """What successes have in common: the patterns that tell them best from failures, none within another."""
    weighed = [(each.items, each.units) for each in group.successes]
    mined = closed_sequences(weighed, least=least).patterns
    echoes = _told_to_do(group, words, [pattern.items for pattern in mined])
    found = [
        _finding("do", pattern.items, group, words.to_do(pattern.items), len(mined), echoes.of(pattern.items))
        for pattern in mined
    ]
    # A p-value that differs in its seventh digit is the same: then what most share, and the longest that says it.
    found.sort(
        key=lambda each: (
            round(each.p_value, 6) if each.p_value <= SIGNIFICANT else 1,
            -min(each.support, MOST_SHARED),
            -len(each.items),
            -each.support,
            each.items,
        )
    )
    chosen: list[Finding] = []
    for each in found:
        if len(chosen) < MOST_DO and not any(
            occurs_in(each.items, other.items) or occurs_in(other.items, each.items) for other in chosen
        ):
            chosen.append(each)
    return chosen


def _to_avoid(group: _Group, words: _Words, path: Items, cited: frozenset[str], *, least: int) -> list[Finding]:
    """What failures do: single steps, then those cited, then one step after another where no step alone tells.

    The first thing that goes wrong explains a failure: a step that mostly comes after another one to avoid, such as an
    apology, is a consequence, and left out.
    """
    failures, failing = group.failures, Counter[str]()
    for each in failures:
        for item in set(each.items):
            failing[item] += each.units
    common = sorted(
        (item for item, units in failing.items() if units >= least), key=lambda item: (-failing[item], item)
    )

    echoes = _told_to_avoid(group, words, common, path)

    def told(patterns: Sequence[Items], known: frozenset[str], looked_at: int) -> list[Finding]:
        times = looked_at * KINDS_TO_AVOID
        return [
            _finding("avoid", items, group, words.to_avoid(items, group, path), times, echoes.of(items), known)
            for items in patterns
        ]

    steps = [(item,) for item in common]
    singles = [each for each in told(steps, frozenset(), len(steps)) if each.p_value <= SIGNIFICANT]
    suspects = {each.items[0] for each in singles}
    singles = [each for each in singles if not _is_consequence(each.items[0], suspects, failures)]
    singles.sort(key=lambda each: (round(each.p_value, 9), each.items))
    found = singles[:MOST_AVOID]
    known = frozenset(each.items[0] for each in found)
    found += told([(item,) for item in common if item in cited - known], known, len(steps))
    rest = [item for item in common if item not in cited | suspects][:MOST_PAIRED]
    looked_at = len(rest) * (len(rest) - 1)
    pairs = [pair for pair in _suspect_pairs(group.runs, rest, least=least) if not occurs_in(pair, path)]
    paired = [
        each for each in told(pairs, known, looked_at) if each.p_value <= SIGNIFICANT and each.unexplained >= least
    ]
    paired.sort(key=lambda each: (round(each.p_value, 9), each.items))
    return found + paired[: max(0, MOST_AVOID - len(found))]


def _suspect_pairs(runs: Sequence[Runs], items: Sequence[str], *, least: int) -> list[Items]:
    """The pairs of steps, one after the other, that enough failures have, and more than chance would leave to them."""
    asked, counts = frozenset(items), {True: Counter[Items](), False: Counter[Items]()}
    for each in runs:
        steps = [item for item in each.items if item in asked]
        for pair in {(one, other) for one, other in combinations(steps, 2) if one != other}:
            counts[each.is_success][pair] += each.units
    totals = {outcome: _units(each for each in runs if each.is_success is outcome) for outcome in counts}
    return [
        pair
        for pair, hits in sorted(counts[False].items())
        if hits >= least and hits * totals[True] > counts[True][pair] * totals[False]
    ]


def _is_consequence(item: str, suspects: set[str], failures: Sequence[Runs]) -> bool:
    """Whether a step mostly comes after another suspect."""
    having = [each for each in failures if item in each.items]
    after = [each for each in having if not (suspects - {item}).isdisjoint(each.items[: each.items.index(item)])]
    return _units(after) >= MOSTLY * _units(having)


def _finding(
    kind: Kind,
    items: Items,
    group: _Group,
    words: Proposal,
    looked_at: int,
    echoed: Collection[str],
    known: frozenset[str] = frozenset(),
) -> Finding:
    """Counts of a pattern over the runs that were not shown an entry that it may be an echo of; of those, what the
    steps that are `known` to be wrong do not explain."""
    told = {number for number, each in enumerate(group.runs) if not each.shown.isdisjoint(echoed)}
    having = [number for number in group.having(items) if number not in told]
    seen = group.seen(having, told, is_success=kind == "do")
    own = [each for number in having if (each := group.runs[number]).is_success is (kind == "do")]
    return Finding(
        kind=kind,
        items=items,
        words=words,
        hits=sum(each.hits for each in seen),
        runs=sum(each.runs for each in seen),
        other_hits=sum(each.other_hits for each in seen),
        other_runs=sum(each.other_runs for each in seen),
        unexplained=_units(each for each in own if known.isdisjoint(each.items)),
        p_value=chance_within(seen, looked_at=max(1, looked_at)),
        evidence=tuple(sorted({event for each in own for event in each.evidence}, reverse=True)[:EVIDENCE]),
    )


def _nothing(words: Proposal) -> Finding:
    """What is found where nothing is."""
    return Finding("do", (), words, 0, 0, 0, 0, 0, 1.0, ())


def _units(runs: Iterable[Runs]) -> int:
    return sum(each.units for each in runs)


class _Words:
    """How patterns of a class are worded: plainly, and without figures, so that the same pattern has the same words on
    every day and is known again."""

    def __init__(self, task_class: str, endpoint: str | None) -> None:
        self._task_class = task_class
        self._endpoint = endpoint
        self._act = "Call " if endpoint else ""
        self._trigger = f"When calling {endpoint} for {task_class}" if endpoint else f"When doing {task_class}"

    def nothing(self) -> Proposal:
        """No advice."""
        return self._proposal("do", do="", avoid="")

    def to_do(self, items: Items) -> Proposal:
        """All of a pattern, in its order."""
        return self._proposal("do", do=f"{self._act}{', then '.join(_said(item) for item in items)}.", avoid="")

    def to_avoid(self, items: Items, group: _Group, path: Items) -> Proposal:
        """What to avoid, and the step that it is mostly taken for."""
        return self._not_to_do(items, _left_out(items, group, path))

    def not_to_do(self, items: Items, path: Items) -> Iterator[Proposal]:
        """The same in all words that it may have had on days on which another step, or none, was left out."""
        return (self._not_to_do(items, step) for step in (None, *path))

    def _not_to_do(self, items: Items, step: str | None) -> Proposal:
        wrong = ", and later ".join(_said(item) for item in items) + "."
        return self._proposal("avoid", do=f"{self._act}{_said(step)}." if step else "", avoid=wrong)

    def _proposal(self, kind: Kind, *, do: str, avoid: str) -> Proposal:
        return Proposal(date.min, self._task_class, self._endpoint, kind, self._trigger, do, avoid, ())


def _left_out(items: Items, group: _Group, path: Items) -> str | None:
    """The first step of the path that nearly all failures with these items lack; None where they lack none."""
    failing = [each for number in group.having(items) if not (each := group.runs[number]).is_success]
    lacking = TELLING * _units(failing)
    for step in path:
        if step not in items and _units(each for each in failing if step not in each.items) >= lacking:
            return step
    return None


def _said(item: str) -> str:
    """A step as one says it: `write_patch (coder)` for `coder > write_patch`."""
    step = item.removesuffix(AGAIN)
    actor, arrow, decision = step.partition(ACTOR)
    said = step if not arrow else decision if actor == NO_ACTOR else f"{decision} ({actor})"
    return f"{said} {LOOP} times or more in a row" if step != item else said
