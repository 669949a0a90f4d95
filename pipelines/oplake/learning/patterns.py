"""What tells successes from failures in what was done: the patterns that playbook candidates propose, in words.

Runs of one class of task are told apart by their steps alone. What to do is a closed sub-sequence that many successes
share; what to avoid is a step, or one step after another, that failures have and successes do not. Either is proposed
only where outcomes shuffled among the runs would hardly ever do as much, all patterns looked at counted. Which runs
there are, and what else speaks for advice, is SQL's (sql/playbooks/candidates.sql).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations, groupby
from typing import Any

from oplake.learning.lifecycle import Kind, Proposal, entry_id
from oplake.learning.sequences import Items, closed_sequences, occurs_in

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
ACTOR, NO_ACTOR = " > ", "-"  # how attribution.blame_steps parts an actor from what it decided, and names nobody
LOOP, AGAIN = 3, " again"  # so often in a row is a loop, and how the step is called that says so


@dataclass(frozen=True)
class Runs:
    """Runs that did the same, ended alike, and were shown the same entries."""

    items: Items
    is_success: bool
    units: int
    shown: frozenset[str]
    evidence: tuple[str, ...]  # ids of events of them, the latest first


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
        )
        for row in rows
    ]
    found = findings(task_class, endpoint, runs, cited or (), least=least)
    if all(each.kind != "do" for each in found):
        found.insert(0, _finding("do", (), [], [_Words(task_class, endpoint).nothing()], 0))
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

    Runs that were shown an entry with the very words of a pattern are not counted for it: that an agent does what it
    was told is no evidence that it should be.

    Args:
        task_class: The class of task.
        endpoint: The operation called; None for whole actions.
        runs: What was done and how it ended, each different one once.
        cited: Steps that estimates elsewhere hold for harmful; they are told of, whatever the counts say.
        least: Runs that a pattern needs.
    """
    with_items = [each for each in runs if each.items]
    successes = sum(each.units for each in with_items if each.is_success)
    if successes < least:
        return []
    words = _Words(task_class, endpoint)
    to_do = _to_do(with_items, words, least=max(least, math.ceil(successes * LEAST_SHARE)))
    path = to_do[0].items if to_do else ()
    return to_do + _to_avoid(with_items, words, path, frozenset(cited), least=least)


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


def chance_of_as_many(hits: int, runs: int, other_hits: int, other_runs: int) -> float:
    """How often outcomes shuffled among all runs leave at least `hits` of those that have a pattern to its own outcome:
    the upper tail of the hypergeometric distribution."""
    total, drawn = runs + other_runs, hits + other_hits
    whole = _log_choose(total, drawn)
    tail = (
        math.exp(_log_choose(runs, k) + _log_choose(other_runs, drawn - k) - whole)
        for k in range(hits, min(runs, drawn) + 1)
    )
    return min(1.0, math.fsum(tail))


def _log_choose(n: int, k: int) -> float:
    if not 0 <= k <= n:
        return -math.inf
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _to_do(runs: Sequence[Runs], words: _Words, *, least: int) -> list[Finding]:
    """What successes have in common: the patterns that tell them best from failures, none within another."""
    weighed = [(each.items, each.units) for each in runs if each.is_success]
    mined = closed_sequences(weighed, least=least).patterns
    found = [_finding("do", pattern.items, runs, [words.to_do(pattern.items)], len(mined)) for pattern in mined]
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


def _to_avoid(runs: Sequence[Runs], words: _Words, path: Items, cited: frozenset[str], *, least: int) -> list[Finding]:
    """What failures do: single steps, then those cited, then one step after another where no step alone tells.

    The first thing that goes wrong explains a failure: a step that mostly comes after another one to avoid, such as an
    apology, is a consequence, and left out.
    """
    failures = [each for each in runs if not each.is_success]
    failing = Counter[str]()
    for each in failures:
        for item in set(each.items):
            failing[item] += each.units
    common = sorted(
        (item for item, units in failing.items() if units >= least), key=lambda item: (-failing[item], item)
    )

    def told(patterns: Sequence[Items], left: Sequence[Runs], looked_at: int) -> list[Finding]:
        return [
            _finding("avoid", items, runs, words.to_avoid(items, runs, path), looked_at * KINDS_TO_AVOID, left)
            for items in patterns
        ]

    steps = [(item,) for item in common]
    singles = [each for each in told(steps, failures, len(steps)) if each.p_value <= SIGNIFICANT]
    suspects = {each.items[0] for each in singles}
    singles = [each for each in singles if not _is_consequence(each.items[0], suspects, failures)]
    singles.sort(key=lambda each: (round(each.p_value, 9), each.items))
    found = singles[:MOST_AVOID]
    known = {each.items[0] for each in found}
    left = [each for each in failures if known.isdisjoint(each.items)]
    found += told([(item,) for item in common if item in cited - known], left, len(steps))
    rest = [item for item in common if item not in cited | suspects][:MOST_PAIRED]
    looked_at = len(rest) * (len(rest) - 1)
    pairs = [pair for pair in _suspect_pairs(runs, rest, least=least) if not occurs_in(pair, path)]
    paired = [
        each for each in told(pairs, left, looked_at) if each.p_value <= SIGNIFICANT and each.unexplained >= least
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
    runs: Sequence[Runs],
    wordings: Sequence[Proposal],
    looked_at: int,
    left: Sequence[Runs] | None = None,
) -> Finding:
    """Counts of a pattern over the runs that were not told to follow it, and of those over the runs that are `left`.

    It is said in the first of its wordings; the others are those that it may have had on other days.
    """
    own_ids = {entry_id(words) for words in wordings}
    fresh = [each for each in runs if own_ids.isdisjoint(each.shown)]
    own = [each for each in fresh if each.is_success is (kind == "do")]
    others = [each for each in fresh if each.is_success is not (kind == "do")]
    having = [each for each in own if occurs_in(items, each.items)]
    hits, total = _units(having), _units(own)
    other_hits, other_total = _units(each for each in others if occurs_in(items, each.items)), _units(others)
    unexplained = hits
    if left is not None:
        unexplained = _units(each for each in left if own_ids.isdisjoint(each.shown) and occurs_in(items, each.items))
    return Finding(
        kind=kind,
        items=items,
        words=wordings[0],
        hits=hits,
        runs=total,
        other_hits=other_hits,
        other_runs=other_total,
        unexplained=unexplained,
        p_value=min(1.0, chance_of_as_many(hits, total, other_hits, other_total) * max(1, looked_at)),
        evidence=tuple(sorted({event for each in having for event in each.evidence}, reverse=True)[:EVIDENCE]),
    )


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

    def to_avoid(self, items: Items, runs: Sequence[Runs], path: Items) -> list[Proposal]:
        """What to avoid, and the step that it is mostly taken for; after that, what may be said on days on which that
        is seen otherwise."""
        wrong = ", and later ".join(_said(item) for item in items) + "."
        missing = _left_out(items, runs, path)
        steps = [missing, *(step for step in (None, *path) if step != missing)]
        return [self._proposal("avoid", do=f"{self._act}{_said(step)}." if step else "", avoid=wrong) for step in steps]

    def _proposal(self, kind: Kind, *, do: str, avoid: str) -> Proposal:
        return Proposal(date.min, self._task_class, self._endpoint, kind, self._trigger, do, avoid, ())


def _left_out(items: Items, runs: Sequence[Runs], path: Items) -> str | None:
    """The first step of the path that nearly all failures with these items lack; None where they lack none."""
    failing = [each for each in runs if not each.is_success and occurs_in(items, each.items)]
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
