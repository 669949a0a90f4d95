"""How one action goes: its chances, its moves, where it goes wrong, and what comes of it. No events, no times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from oplake.simulate.dice import Dice
from oplake.simulate.truth import Blunder, Ending, EntryTruth
from oplake.simulate.world import (
    BELIEF_ERROR,
    LOOP_ERROR,
    OFFERED,
    SKIP_ERROR,
    STRAIN,
    STRAINED_SHARE,
    WITHHELD_SHARE,
    WORLD_ERRORS,
    Agent,
    Expectation,
    Goal,
    Stage,
    Trap,
)

P_BOUNDS = (0.03, 0.97)  # nobody always fails, nobody never does

BLUNDERS: tuple[tuple[Blunder, float], ...] = (
    ("wrong_choice", 0.71),
    ("false_belief", 0.10),
    ("loop", 0.11),
    ("environment", 0.05),
    ("skipped_check", 0.03),
)
"""How failures come about; most are choices, which contrast between runs of a goal can find."""

RECOVERED_SHARE = 0.06  # of successes that took a wrong turn and came back, so that a wrong turn is no proof
FLAKY_SHARE = 0.05  # of successes in which a tool failed once, so that neither an error nor a retry is proof of failure
HARMLESS_DOUBT_SHARE = 0.02  # of moves whose stated belief is off without consequence
UNNOTICED_SHARE = 0.6  # of wrong choices after which the agent carries on to the end
AFTERTHOUGHT_SHARE = 0.08  # of successes that end with a consequence of failures, so that one is no proof of failure
STUCK_FOR_EVER_SHARE = 0.6  # of loops that never complete

CONSEQUENCES = (
    Stage("apologise", "Apologise and ask what to do"),
    Stage("ask_to_rephrase", "Ask for the request in other words"),
    Stage("escalate_to_human", "Hand over to a human colleague"),
)
STEP_BACK = Stage("step_back", "Notice the mistake and undo it")
RETRY = "retry_after_error"


@dataclass(frozen=True)
class Chances:
    """What the outcome of an action depends on, and how it fell."""

    is_strained: bool
    shown: tuple[EntryTruth, ...]
    withheld: tuple[EntryTruth, ...]
    p_success: float
    is_success: bool


@dataclass
class Move:
    """One step of an action, with what its tool reported."""

    stage: Stage
    confidence: float
    state: dict[str, Any]
    report: dict[str, Any] | None = None
    error: str | None = None


@dataclass
class Course:
    """The moves of an action and their end."""

    moves: list[Move] = field(default_factory=list)
    ending: Ending = "completed"
    outcome: dict[str, Any] = field(default_factory=dict)
    blunder: Blunder | None = None
    decisive: int = -1  # index into moves; -1: no step decided it
    cause: str = ""
    why: str = ""
    error: str = ""


def chances(dice: Dice, goal: Goal, agent: Agent) -> Chances:
    """Draw the playbook exposure and the success of one run of a goal."""
    is_strained = dice.chance(STRAINED_SHARE)
    shown: list[EntryTruth] = []
    withheld: list[EntryTruth] = []
    for entry in goal.entries:
        if dice.chance(OFFERED[entry.kind][is_strained]):
            (withheld if dice.chance(WITHHELD_SHARE) else shown).append(entry)
    raw = goal.kind.success + agent.skill - goal.difficulty - STRAIN * is_strained + sum(e.effect for e in shown)
    low, high = P_BOUNDS
    p_success = int(min(max(raw, low), high) * 10_000 + 0.5) / 10_000
    return Chances(is_strained, tuple(shown), tuple(withheld), p_success, dice.chance(p_success))


def course(dice: Dice, goal: Goal, *, is_success: bool) -> Course:
    """Draw the moves of an action that is to succeed, or to fail."""
    if is_success:
        return _success(dice, goal)
    blunder = dice.weighted(BLUNDERS)
    taken = Course(blunder=blunder)
    stages = goal.kind.stages
    if blunder == "wrong_choice":
        _take_wrong_turn(dice, goal, taken, dice.pick(goal.traps))
    elif blunder == "false_belief":
        _believe_wrongly(dice, goal, taken)
    elif blunder == "loop":
        _go_in_circles(dice, goal, taken)
    elif blunder == "skipped_check":
        skipped = goal.kind.skippable
        _walk(dice, taken, stages[:skipped] + stages[skipped + 1 :])
        taken.decisive, taken.cause = skipped, SKIP_ERROR[0]
        taken.why = f"Went on to {stages[skipped + 1].decision} without {stages[skipped].decision}."
        taken.error = _message(dice, SKIP_ERROR[1])
    else:
        _meet_the_world(dice, goal, taken)
    if taken.ending != "timeout":
        is_error = blunder in ("loop", "environment") or dice.chance(0.5)
        taken.ending = "error" if is_error else "completed"
        taken.outcome = _outcome(dice, goal, is_success=False)
        if is_error:
            taken.outcome = {"status": "error", "error": taken.error}
    return taken


def cut_short(dice: Dice, goal: Goal) -> Course:
    """Draw the first moves of an action that something outside it ends."""
    taken = Course(ending="died")
    _walk(dice, taken, goal.kind.stages[: dice.between(1, len(goal.kind.stages) - 1)])
    return taken


def _success(dice: Dice, goal: Goal) -> Course:
    taken = Course()
    stages = goal.kind.stages
    if dice.chance(RECOVERED_SHARE):
        trap = dice.pick(goal.traps)
        stages = (*stages[: trap.instead_of], _wrong(goal, trap), STEP_BACK, *stages[trap.instead_of :])
    if dice.chance(AFTERTHOUGHT_SHARE):
        stages = (*stages, dice.pick(CONSEQUENCES))
    flaky = -1
    if dice.chance(FLAKY_SHARE):
        flaky = dice.pick([index for index, stage in enumerate(stages) if stage.tool])
        stages = (*stages[: flaky + 1], _again(stages[flaky]), *stages[flaky + 1 :])
    _walk(dice, taken, stages)
    if flaky >= 0:
        taken.cause = dice.pick(tuple(WORLD_ERRORS))
        taken.moves[flaky].error = _world_error(dice, taken.cause, stages[flaky])
    taken.outcome = _outcome(dice, goal, is_success=True)
    return taken


def _walk(dice: Dice, taken: Course, stages: tuple[Stage, ...], *, is_unsure: bool = False) -> None:
    """Take the stages one after the other; what a tool reports is what later steps believe."""
    for stage in stages:
        state: dict[str, Any] = {}
        for move in taken.moves[-2:]:
            if move.report:
                state |= move.report
        if state and dice.chance(HARMLESS_DOUBT_SHARE):
            _misremember(dice, state)
        low, high = (35, 85) if is_unsure else (60, 96)
        move = Move(stage, dice.between(low, high) / 100, state)
        if stage.key:
            move.report = {stage.key: dice.between(1, 60)}
        taken.moves.append(move)


def _misremember(dice: Dice, state: dict[str, Any]) -> str:
    """Change the newest belief of a state; returns its key."""
    key = next(reversed(state))
    state[key] += dice.between(2, 20)
    return key


def _wrong(goal: Goal, trap: Trap) -> Stage:
    right = goal.kind.stages[trap.instead_of]
    return Stage(trap.decision, trap.text, right.tool, right.key, right.actor)


def _take_wrong_turn(dice: Dice, goal: Goal, taken: Course, trap: Trap) -> None:
    stages = goal.kind.stages
    _walk(dice, taken, stages[: trap.instead_of])
    taken.decisive, taken.cause, taken.why = len(taken.moves), trap.cause, trap.why
    taken.error = _message(dice, trap.error)
    _walk(dice, taken, (_wrong(goal, trap),), is_unsure=True)
    rest = stages[trap.instead_of + 1 :]
    if dice.chance(UNNOTICED_SHARE):
        _walk(dice, taken, rest)
    else:
        _walk(dice, taken, (*rest[: dice.between(0, 1)], dice.pick(CONSEQUENCES)), is_unsure=True)
    taken.moves[-1].error = taken.error if taken.moves[-1].stage.tool else None


def _believe_wrongly(dice: Dice, goal: Goal, taken: Course) -> None:
    stages = goal.kind.stages
    told = [index for index in range(1, len(stages)) if stages[index - 1].key]
    decisive = dice.pick(told)
    _walk(dice, taken, stages)
    move = taken.moves[decisive]
    observed = taken.moves[decisive - 1].report or {}
    move.state = dict(observed)
    key = _misremember(dice, move.state)
    taken.decisive, taken.cause = decisive, BELIEF_ERROR[0]
    taken.why = f"Believed {key} = {move.state[key]}; {stages[decisive - 1].tool} had reported {observed[key]}."
    taken.error = BELIEF_ERROR[1].replace("{key}", key).replace("{n}", str(move.state[key]))


def _go_in_circles(dice: Dice, goal: Goal, taken: Course) -> None:
    at = goal.kind.loops_at
    stage = goal.kind.stages[at]
    times = dice.between(5, 10)
    _walk(dice, taken, goal.kind.stages[:at])
    _walk(dice, taken, (stage,) * times, is_unsure=True)
    taken.decisive, taken.cause = at, LOOP_ERROR[0]
    taken.why = f"Called {stage.tool} {times} times and never got past it."
    taken.error = LOOP_ERROR[1].replace("{tool}", str(stage.tool)).replace("{n}", str(times))
    if dice.chance(STUCK_FOR_EVER_SHARE):
        taken.ending = "timeout"


def _meet_the_world(dice: Dice, goal: Goal, taken: Course) -> None:
    stages = goal.kind.stages
    at = dice.pick([index for index, stage in enumerate(stages) if stage.tool])
    stage = stages[at]
    taken.decisive, taken.cause = at, dice.pick(tuple(WORLD_ERRORS))
    taken.error = _world_error(dice, taken.cause, stage)
    taken.why = f"{stage.tool} failed; no choice of the agent brought it about."
    _walk(dice, taken, stages[: at + 1])
    _walk(dice, taken, (_again(stage),) * dice.between(1, 2))
    for move in taken.moves[at:]:
        move.error = taken.error
    if dice.chance(0.5):
        _walk(dice, taken, (dice.pick(CONSEQUENCES),), is_unsure=True)


def _again(stage: Stage) -> Stage:
    return Stage(RETRY, f"Try {stage.tool} again", stage.tool, stage.key, stage.actor)


def _world_error(dice: Dice, cause: str, stage: Stage) -> str:
    return _message(dice, WORLD_ERRORS[cause].replace("{tool}", str(stage.tool)))


def _message(dice: Dice, template: str) -> str:
    return template.replace("{n}", str(dice.between(11, 9_999))).replace("{id}", f"{dice.bits(32):08x}")


def _outcome(dice: Dice, goal: Goal, *, is_success: bool) -> dict[str, Any]:
    """What came of it: every expected key is met, or at least one is not."""
    unmet = dice.between(0, len(goal.kind.expects) - 1)
    outcome: dict[str, Any] = {"status": "completed"}
    for index, (key, what) in enumerate(goal.kind.expects):
        expected = goal.expected[key]
        if is_success or (index != unmet and dice.chance(0.6)):
            outcome[key] = _near(dice, expected) if what == "amount" else expected
        elif dice.chance(0.85):  # else the key is missing, which is unmet as well
            outcome[key] = _missed(dice, what, expected)
    return outcome


def _near(dice: Dice, expected: Any) -> float:
    """An amount within 4 % of the expected one; 10 % is tolerated."""
    return int(expected * dice.between(9_600, 10_400) / 100) / 100


def _missed(dice: Dice, what: Expectation, expected: Any) -> Any:
    if what == "true":
        return False
    if what == "severity":
        return "SEV4"
    if what == "zero":
        return dice.between(1, 9)
    return int(expected * dice.between(30, 80)) / 100
