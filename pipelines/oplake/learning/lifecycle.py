"""What becomes of playbook entries: on probation, active, retired. A fold over proposals and exposures, no more.

Nothing here reads or writes a table or asks a clock: `fold` makes the entries of a day anew from all that was proposed
and served up to it, so that the same events give the same entries in whatever order they arrived, at once or day by
day.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Literal

import msgspec

Kind = Literal["do", "avoid", "fix"]
Status = Literal["probation", "active", "retired"]

ID_DIGITS = 16  # of the hash, in an entry's id: 64 bits, so that a million entries do not meet by chance


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


@dataclass(frozen=True)
class Limits:
    """What the lifecycle goes by; docs/methods/playbook-lifecycle.md says what was measured."""

    active_per_class: int = 12  # a book that an agent can read at a glance; the next best wait on probation
    least_exposures: int = 200  # shown and withheld together; below that not even a large effect can be told
    unconfirmed_after: int = 180  # days without a proposal or a proven effect, after which what shows none is let go


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


def content_hash(proposal: Proposal) -> str:
    """SHA-256 of what a proposal says and for whom. Blanks, upper case, the day and the evidence make no difference."""
    said = [" ".join(text.split()).casefold() for text in (proposal.trigger, proposal.do, proposal.avoid)]
    return hashlib.sha256(
        msgspec.json.encode([proposal.task_class, proposal.endpoint, proposal.kind, *said])
    ).hexdigest()


def entry_id(proposal: Proposal) -> str:
    """The id that an entry of this content has; units served under it count also after it was united with another."""
    return content_hash(proposal)[:ID_DIGITS]
