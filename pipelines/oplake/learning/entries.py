"""What SQL knows of candidates and uptake, as `lifecycle` takes it; and what that makes of it, as SQL takes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from oplake.learning.lifecycle import Exposure, Limits, Proposal, fold, units_by_stratum
from oplake.learning.uplift import SHUFFLES, floor

EVIDENCE = 50  # events named of an entry, the latest: enough to look at, few enough for a page


def playbook_entries(
    advice: Sequence[Mapping[str, Any]] | None,
    exposures: Sequence[Mapping[str, Any]] | None,
    until: date | None,
    active: int,
    least_exposures: int,
    unconfirmed: int,
) -> list[dict[str, Any]]:
    """The entries at the end of a day; see `lifecycle.fold`.

    Args:
        advice: Each different one once: its words, the days on which it was proposed, in their order, and the events
            that it rested on at first and at last. (A year has the same words on many days.)
        exposures: The rows of playbooks.uptake.
        until: The day; None where there is nothing at all.
        active: Entries of a class that are active at a time.
        least_exposures: Units before an entry is judged.
        unconfirmed: Days after which one without a proven effect is retired.
    """
    if until is None:
        return []
    limits = Limits(active, least_exposures, unconfirmed)
    proposals = [proposal for each in advice or () for proposal in _proposals(each)]
    entries = fold(proposals, (Exposure(**each) for each in exposures or ()), until=until, limits=limits)
    return [asdict(entry) | {"evidence": list(entry.evidence[-EVIDENCE:])} for entry in entries]


def _proposals(advice: Mapping[str, Any]) -> Iterator[Proposal]:
    """One proposal for each day."""
    days = advice["days"]
    evidence = {days[-1]: tuple(advice["last_evidence"])}
    evidence[days[0]] = tuple(advice["first_evidence"])
    for day in days:
        yield Proposal(
            day=day,
            task_class=advice["task_class"],
            endpoint=advice["endpoint"],
            kind=advice["kind"],
            trigger=advice["trigger"],
            do=advice["do"],
            avoid=advice["avoid"],
            evidence=evidence.get(day, ()),
        )


def uplift_floor(units: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the uplifts of entries come to, and their shuffled floor; see `uplift.floor`.

    Args:
        units: Rows of playbooks.uptake of one class. Their order decides on the shuffles.
    """
    strata = units_by_stratum(Exposure(**each) for each in units)
    compared = [its for of_entry in strata.values() for its in of_entry.values() if len({is_ for is_, _ in its}) > 1]
    found = floor(strata.values())
    return {
        "samples": sum(map(len, compared)),
        "score": found and found.score,
        "floor": found and found.floor,
        "shuffles": SHUFFLES if found else 0,
        "p": found and found.p,
        "is_degenerate": bool(compared) and all(len({success for _, success in its}) == 1 for its in compared),
    }
