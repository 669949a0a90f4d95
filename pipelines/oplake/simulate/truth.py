"""What was true of a simulated workload: the answer sheet for everything that estimates.

The structs below are the format of the truth file. No event says any of this, and no model may read it: only tests and
evaluations do.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

import msgspec

Blunder = Literal["wrong_choice", "false_belief", "loop", "skipped_check", "environment"]
"""How an action went wrong: a choice off the path, a stated belief that the world had contradicted, going round in
circles, leaving out a check, or a failure of the world that no choice of the agent brought about."""

EntryKind = Literal["helpful", "neutral", "harmful"]

Ending = Literal["completed", "error", "timeout", "evicted", "late", "died"]
"""How an action ended: `timeout` looped and never completed, `late` completed after the six hours, `died` lost its
process; neither `late`, `died` nor `evicted` is the fault of a step."""


class Decisive(msgspec.Struct, kw_only=True, frozen=True):
    """The step that decided a failure."""

    event_id: str  # of the step's event
    position: int  # place among the action's steps, dense from 0, in the order in which they were taken
    decision: str
    actor: str | None
    blunder: Blunder
    cause: str  # name of the cause, a key of Truth.causes
    is_agents_choice: bool  # False where the world failed
    why: str


class ActionTruth(msgspec.Struct, kw_only=True, frozen=True):
    """One action: what its chances were and what decided it."""

    action_id: str
    goal_id: str
    action_type: str
    agent_id: str
    began_on: date
    p_success: float  # true probability of success given all that is listed here, had no mishap cut it short
    is_success: bool  # whether it met all that was expected and was completed in time
    ending: Ending
    is_strained: bool  # hidden difficulty of this run; it also makes playbook entries more or less likely (confounding)
    shown: list[str]  # playbook entries shown
    withheld: list[str]  # playbook entries withheld at random
    decisive: Decisive | None = None  # of failures that a step decided


class EntryTruth(msgspec.Struct, kw_only=True, frozen=True):
    """A playbook entry and what it is worth."""

    entry_id: str
    task_class: str
    do: str
    kind: EntryKind
    effect: float  # added to the probability of success wherever it is shown


class EntryTally(msgspec.Struct, kw_only=True):
    """How an entry fared in this workload."""

    shown: int = 0
    shown_successes: int = 0
    withheld: int = 0
    withheld_successes: int = 0


class GoalTruth(msgspec.Struct, kw_only=True, frozen=True):
    """A goal that is pursued again and again."""

    goal_id: str
    difficulty: float  # taken off the probability of success
    runs: int
    successes: int


class CauseTruth(msgspec.Struct, kw_only=True, frozen=True):
    """A cause of errors: every message of it comes from one template."""

    template: str
    errors: int  # errors of it in operations, tool calls and outcomes together


class AdviceTruth(msgspec.Struct, kw_only=True, frozen=True):
    """Advice of an overseer and what it is worth to the next attempt."""

    task_class: str
    advice: str
    effect: float  # added to the probability that the attempt it is applied to succeeds
    corrected: int  # attempts that it was applied to
    corrected_successes: int


class RetryTruth(msgspec.Struct, kw_only=True, frozen=True):
    """Attempts of one number, the confounder of every advice: later ones are harder and get more advice."""

    task_class: str
    attempt: int  # from 2, the first retry
    p_plain: float  # true probability of success without advice
    plain: int
    plain_successes: int


class Truth(msgspec.Struct, kw_only=True, frozen=True):
    """Everything that was true of one simulation."""

    version: int  # of the simulator; another one makes other events of the same arguments
    seed: int
    days: int
    rate: int
    start: date
    withheld_share: float
    actions: list[ActionTruth]
    goals: list[GoalTruth]
    entries: list[EntryTruth]
    tallies: dict[str, EntryTally]
    causes: dict[str, CauseTruth]
    advice: list[AdviceTruth]
    retries: list[RetryTruth]
    mishaps: dict[str, list[str]]  # what befell events on their way: ids of the actions concerned, by mishap


def write_truth(path: Path, truth: Truth) -> None:
    """Write the answer sheet as JSON; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(truth), indent=1) + b"\n")


def read_truth(path: Path) -> Truth:
    """Read an answer sheet back.

    Raises:
        msgspec.ValidationError: It is not one.
    """
    return msgspec.json.decode(path.read_bytes(), type=Truth)
