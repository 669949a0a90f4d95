"""The events of a simulated workload: actions with their sessions and operations, scenarios with corrections, notes.

Each day is drawn from a stream of chance of its own, so that a longer simulation only adds days to a shorter one. What
is drawn about an action stands in `course`, what it is about in `world`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from oplake.events import (
    ActionBegun,
    ActionCompleted,
    Correction,
    Note,
    Observation,
    Op,
    OperatorNote,
    Patch,
    PlaybookServed,
    SessionEvent,
    SessionEventType,
    Step,
    ToolCall,
    Turn,
    encoder,
)
from oplake.simulate import mishaps
from oplake.simulate.course import Chances, Course, Move, chances, course, cut_short
from oplake.simulate.dice import Dice
from oplake.simulate.mishaps import Mishap
from oplake.simulate.transit import DAY, HOUR, MINUTE, SECOND, Sent, Transit
from oplake.simulate.truth import (
    ActionTruth,
    AdviceTruth,
    CauseTruth,
    Decisive,
    EntryTally,
    GoalTruth,
    RetryTruth,
    Truth,
)
from oplake.simulate.world import (
    ADVICE,
    ADVISED,
    AGENTS,
    BELIEF_ERROR,
    CHILD_CLASS,
    CITIES,
    CLASSES,
    COMPLAINTS,
    ENTRIES,
    EVENTS,
    FIRST_ATTEMPT,
    LOOP_ERROR,
    MODELS,
    OPERATOR_NOTES,
    PARENT_CLASS,
    PATIENCE,
    PRAISE,
    RETRIES,
    ROLES,
    SCENARIOS,
    SKIP_ERROR,
    USERS,
    WITHHELD_SHARE,
    WORLD_ERRORS,
    Advice,
    Agent,
    Goal,
    Model,
    User,
    goals,
)

VERSION = (
    1  # part of every key of chance: a change of what is drawn makes other ids, so that old and new never conflict
)

SESSION_SHARE = 0.7  # of the actions that happen in a session with a user
OPERATION_SHARE = 0.3  # of the tool uses that went well and are also logged by the gateway; failed ones always are
SCENARIO_SHARE = 0.4  # of the actions beside which somebody works through a staffing scenario
NOTE_SHARE = 0.3  # of the sessions after which the user says something
LONGEST_WAIT_MS = 3_500  # for a tool: shorter than any pause after a step, so that what it reports is known to the next
NO_EXPECTATION_SHARE = 0.03  # of the actions that say nothing about what they expect
DIFF = """\
--- a/src/{name}.py
+++ b/src/{name}.py
@@ -12 +12 @@
-    return value
+    return checked(value)
"""
BUSY_HOURS = ((7, 1.0), (8, 2.0), (9, 4.0), (10, 5.0), (11, 5.0), (12, 3.0), (13, 4.0), (14, 5.0), (15, 5.0),
              (16, 4.0), (17, 3.0), (18, 2.0), (19, 1.5), (20, 1.0), (21, 1.0), (2, 0.5))  # fmt: skip
"""When work begins: hour of the day (UTC) and how busy it is; a few at night."""


@dataclass
class _Session:
    session_id: str
    user: User
    model: Model


@dataclass
class _Run:
    """One run of a goal while its events are made."""

    action_id: str
    agent: Agent
    goal: Goal
    began_us: int
    mishap: Mishap | None
    chances: Chances
    course: Course
    session: _Session | None
    clock_us: int
    delay_us: int = 0


class Workload:
    """A simulated workload: iterate `sent()` once to the end, then ask for its `truth()`."""

    def __init__(self, *, days: int, seed: int, rate: int, start: date) -> None:
        self.days, self.seed, self.rate, self.start = days, seed, rate, start
        self._goals = {kind.name: [goal for goal in goals(seed) if goal.kind.name == kind.name] for kind in CLASSES}
        self._agents = {kind.name: [agent for agent in AGENTS if kind.name in agent.classes] for kind in CLASSES}
        self._transit = Transit()
        self._actions: list[ActionTruth] = []
        self._tallies = {entry.entry_id: EntryTally() for entry in ENTRIES}
        self._errors: dict[str, int] = {}
        self._advised: dict[str, list[int]] = {advice.advice: [0, 0] for advice in ADVICE}
        self._retried: dict[tuple[str, int], list[int]] = {}
        self._mishaps: dict[str, list[str]] = {mishap: [] for mishap in mishaps.SHARES}

    def sent(self) -> Iterator[Sent]:
        """Everything that reaches landing, in the order in which it is received."""
        midnight = int((datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC)).timestamp()) * SECOND
        for day in range(self.days):
            self._transit.day = day
            dice = Dice("oplake", VERSION, self.seed, self.rate, self.start, day)
            yield from self._day(dice, day, midnight + day * DAY)
        yield from self._transit.arrived(midnight + (self.days + 365) * DAY)

    def _day(self, dice: Dice, day: int, midnight_us: int) -> Iterator[Sent]:
        if self.rate:
            self._operator_note(dice, midnight_us + 6 * HOUR)
        befalls = mishaps.assign(dice, self.rate)
        times = sorted(
            midnight_us + dice.weighted(BUSY_HOURS) * HOUR + dice.between(0, HOUR // SECOND - 1) * SECOND
            for _ in range(self.rate)
        )
        number = 0
        while number < self.rate:
            began_us = times[number]
            yield from self._transit.arrived(began_us)
            kind = dice.pick(CLASSES)
            children = min(dice.between(1, 2), self.rate - number - 1) if kind.name == PARENT_CLASS else 0
            week = day // 7
            mishap = befalls.get(number)
            if mishap == "midnight":
                began_us = midnight_us + DAY - dice.between(20, 90) * SECOND
            parent = self._action(dice, kind.name, began_us, mishap, week)
            for child in range(1, children + 1):
                later_us = began_us + child * 10 * SECOND
                # A child over midnight would begin earlier in the day than the queue has come to, so it has none.
                mishap = befalls.get(number + child)
                self._action(
                    dice, CHILD_CLASS, later_us, None if mishap == "midnight" else mishap, week, parent_action_id=parent
                )
            if dice.chance(SCENARIO_SHARE):
                self._scenario(dice, began_us + dice.between(0, 300) * SECOND)
            number += 1 + children

    # --- actions -----------------------------------------------------------------------------------------------------

    def _action(
        self,
        dice: Dice,
        class_name: str,
        began_us: int,
        mishap: Mishap | None,
        week: int,
        parent_action_id: str | None = None,
    ) -> str:
        goal = dice.pick(self._goals[class_name])
        agent = dice.pick(self._agents[class_name])
        fallen = chances(dice, goal, agent)
        is_cut_short = mishap in ("died", "evicted")
        taken = cut_short(dice, goal) if is_cut_short else course(dice, goal, is_success=fallen.is_success)
        if mishap == "evicted":
            taken.ending, taken.outcome = "evicted", {"status": "evicted", "reason": "max_open_actions"}
        elif mishap == "completed_late":
            if taken.ending == "timeout":  # it does complete, only too late
                taken.outcome = {"status": "error", "error": taken.error}
            taken.ending = "late"
        session = None
        if dice.chance(SESSION_SHARE):
            session = _Session(dice.uuid7(began_us), dice.pick(USERS), dice.weighted(MODELS))
        run = _Run(
            action_id=dice.uuid7(began_us),
            agent=agent,
            goal=goal,
            began_us=began_us,
            mishap=mishap,
            chances=fallen,
            course=taken,
            session=session,
            clock_us=agent.clock_ahead_ms * 1000,
        )
        self._begin(dice, run, parent_action_id)
        times = self._step_times(dice, run)
        step_ids = self._steps(dice, run, times)
        end_us = times[-1] + dice.skewed(8_000) * 1000
        self._complete(dice, run, end_us)
        if session:
            self._session(dice, run, session, times, end_us, week)
        self._remember(run, step_ids)
        return run.action_id

    def _envelope(self, dice: Dice, run: _Run, at_us: int) -> dict[str, Any]:
        return self._transit.envelope(dice, at_us, clock_ahead_us=run.clock_us, delay_us=run.delay_us)

    def _begin(self, dice: Dice, run: _Run, parent_action_id: str | None) -> None:
        shown = [entry.entry_id for entry in run.chances.shown]
        expected: dict[str, Any] = {} if dice.chance(NO_EXPECTATION_SHARE) else run.goal.expected
        self._transit.send(
            ActionBegun(
                **self._envelope(dice, run, run.began_us),
                action_id=run.action_id,
                agent_id=run.agent.agent_id,
                action_type=run.goal.kind.name,
                goal_id=run.goal.goal_id,
                parent_action_id=parent_action_id,
                expected_outcome=expected,
                acceptance_criteria=list(run.goal.kind.criteria),
                playbook_ids=shown,
            )
        )
        for entries, is_withheld in ((run.chances.shown, False), (run.chances.withheld, True)):
            for entry in entries:
                self._transit.send(
                    PlaybookServed(
                        **self._envelope(dice, run, run.began_us),
                        entry_id=entry.entry_id,
                        entry_version=1,
                        task_class=entry.task_class,
                        withheld=is_withheld,
                        session_id=run.session.session_id if run.session else None,
                        action_id=run.action_id,
                    )
                )

    def _step_times(self, dice: Dice, run: _Run) -> list[int]:
        at_us = run.began_us
        times = []
        for _ in run.course.moves:
            # An action over midnight begins at most 90 s before it; its second step is then past it.
            at_us += 60 * SECOND if run.mishap == "midnight" else dice.skewed(12_000) * 1000
            times.append(at_us)
        return times

    def _steps(self, dice: Dice, run: _Run, times: Sequence[int]) -> list[str]:
        """Send steps, observations and operations; returns the event ids of the steps."""
        moves = run.course.moves
        struck = dice.between(0, len(moves) - 1)  # where the mishap happens
        step_ids = []
        step_index = 0
        for position, (move, at_us) in enumerate(zip(moves, times, strict=True)):
            is_struck = position == struck
            if is_struck and run.mishap == "late":
                run.delay_us = dice.between(3 * 60, 30 * 60) * MINUTE
            if is_struck and run.mishap == "index_gap":
                step_index += 2
            if is_struck and run.mishap == "index_twice" and step_index:
                step_index -= 1
            description, is_plain = move.stage.text, True
            if is_struck and run.mishap == "secret":
                description, is_plain = f"{description}. {mishaps.secret(dice)[0]}", False
            step = Step(
                **self._envelope(dice, run, at_us),
                action_id=run.action_id,
                step_index=step_index,
                description=description,
                state=move.state,
                decision=move.stage.decision,
                confidence=move.confidence,
                actor=move.stage.actor,
            )
            self._transit.send(step, is_plain=is_plain)
            if is_struck and run.mishap == "duplicate":
                self._transit.send_again(step, after_us=dice.between(2, 300) * SECOND)
            if is_struck and run.mishap == "unusable":
                bad = mishaps.unusable(dice, encoder.encode(step))
                self._transit.send_bytes(bad, at_us=at_us + SECOND, origin=f"simulation-{self.seed}/{step.ts.date()}")
            step_ids.append(step.event_id)
            step_index += 1
            if move.stage.tool:
                wait_ms = min(dice.skewed(800), LONGEST_WAIT_MS)
                self._report(dice, run, move, at_us + wait_ms * 1000, is_struck=is_struck)
        return step_ids

    def _report(self, dice: Dice, run: _Run, move: Move, at_us: int, *, is_struck: bool) -> None:
        tool = move.stage.tool or ""
        data: dict[str, Any] = {"error": move.error} if move.error else dict(move.report or {})
        envelope = self._envelope(dice, run, at_us)
        is_plain = True
        if is_struck and run.mishap == "old_clock":
            envelope["ts"] -= timedelta(days=500)
            is_plain = False
        self._transit.send(
            Observation(
                **envelope,
                action_id=run.action_id,
                observation_type="tool_error" if move.error else "tool_result",
                data=data,
                reported_by=tool,
                confidence=1.0,
            ),
            is_plain=is_plain,
        )
        if not move.error and not dice.chance(OPERATION_SHARE):
            return
        if move.error:
            self._count_error(run.course.cause)
        found = next(iter((move.report or {}).values()), 0)
        self._transit.send(
            Op(
                **self._envelope(dice, run, at_us),
                endpoint=tool,
                input_summary=move.stage.text,
                success=move.error is None,
                duration_ms=float(dice.skewed(400)),
                output_summary=f"ERROR: {move.error}"[:100] if move.error else f"{found} rows",
                error=move.error,
                task_class=run.goal.kind.name,
                agent_id=run.agent.agent_id,
                session_id=run.session.session_id if run.session else None,
                action_id=run.action_id,
                playbook_ids=[entry.entry_id for entry in run.chances.shown],
            )
        )

    def _complete(self, dice: Dice, run: _Run, end_us: int) -> None:
        ending = run.course.ending
        if ending in ("timeout", "died"):
            return
        if ending == "late":
            end_us = run.began_us + dice.between(6 * 60 + 20, 9 * 60) * MINUTE
        if "error" in run.course.outcome:
            self._count_error(run.course.cause)
        completed = ActionCompleted(
            **self._envelope(dice, run, end_us), action_id=run.action_id, outcome=run.course.outcome
        )
        self._transit.send(completed)
        if run.mishap == "conflict":
            changed = {**run.course.outcome, "note": "corrected by hand"}
            self._transit.send_again(completed, after_us=dice.between(1, 30) * MINUTE, outcome=changed)

    def _remember(self, run: _Run, step_ids: Sequence[str]) -> None:
        taken, fallen = run.course, run.chances
        is_success = fallen.is_success and taken.ending == "completed"
        decisive = None
        if taken.blunder and taken.ending != "late":
            stage = taken.moves[taken.decisive].stage
            decisive = Decisive(
                event_id=step_ids[taken.decisive],
                position=taken.decisive,
                decision=stage.decision,
                actor=stage.actor,
                blunder=taken.blunder,
                cause=taken.cause,
                is_agents_choice=taken.blunder != "environment",
                why=taken.why,
            )
        if run.mishap:
            self._mishaps[run.mishap].append(run.action_id)
        for entry in fallen.shown:
            self._tallies[entry.entry_id].shown += 1
            self._tallies[entry.entry_id].shown_successes += is_success
        for entry in fallen.withheld:
            self._tallies[entry.entry_id].withheld += 1
            self._tallies[entry.entry_id].withheld_successes += is_success
        began_on = datetime.fromtimestamp((run.began_us + run.clock_us) // SECOND, UTC).date()
        self._actions.append(
            ActionTruth(
                action_id=run.action_id,
                goal_id=run.goal.goal_id,
                action_type=run.goal.kind.name,
                agent_id=run.agent.agent_id,
                began_on=began_on,
                p_success=fallen.p_success,
                is_success=is_success,
                ending=taken.ending,
                is_strained=fallen.is_strained,
                shown=[entry.entry_id for entry in fallen.shown],
                withheld=[entry.entry_id for entry in fallen.withheld],
                decisive=decisive,
            )
        )

    def _count_error(self, cause: str) -> None:
        self._errors[cause] = self._errors.get(cause, 0) + 1

    # --- sessions ----------------------------------------------------------------------------------------------------

    def _session(self, dice: Dice, run: _Run, session: _Session, times: Sequence[int], end_us: int, week: int) -> None:
        """Send the turns of a session around the moves of its action, one to three moves a turn."""
        moves = run.course.moves
        is_success = run.chances.is_success and run.course.ending == "completed"
        first = 0
        turn_index = 0
        while first < len(moves):
            last = min(first + dice.between(1, 3), len(moves))
            turn_at_us = times[last - 1] + 3 * SECOND
            for call_index, position in enumerate(range(first, last)):
                self._tool_call(dice, run, session, moves[position], times[position], turn_index, call_index)
            is_end = last == len(moves)
            self._turn(
                dice,
                run,
                session,
                turn_at_us,
                turn_index,
                asks=run.goal.kind.asks if turn_index == 0 else None,
                answers=self._answer(run, moves[last - 1], is_end=is_end),
            )
            first = last
            turn_index += 1
        self._session_events(dice, run, session, end_us, turn_index - 1)
        if run.course.ending in ("completed", "error") and dice.chance(NOTE_SHARE):
            patience = session.user.patience + week * session.user.trend
            texts = PRAISE if is_success else PATIENCE if dice.chance(patience) else COMPLAINTS
            self._transit.send(
                Note(
                    **self._transit.envelope(dice, end_us + dice.skewed(240) * SECOND),
                    user_id=session.user.user_id,
                    note=dice.pick(texts),
                    session_id=session.session_id,
                    turn_index=turn_index - 1,
                )
            )

    def _answer(self, run: _Run, move: Move, *, is_end: bool) -> str:
        if not is_end:
            return f"{move.stage.text}."
        if run.course.error:
            return f"I could not finish this: {run.course.error}."
        return run.goal.kind.answers

    def _turn(
        self, dice: Dice, run: _Run, session: _Session, at_us: int, turn_index: int, *, asks: str | None, answers: str
    ) -> None:
        model = session.model
        input_tokens = 900 + 1_400 * turn_index + dice.skewed(700)
        output_tokens = dice.skewed(180)
        charged_usd = None
        if model.input_usd is not None and model.output_usd is not None:
            charged_usd = (input_tokens * model.input_usd + output_tokens * model.output_usd) / 1_000_000
        self._transit.send(
            Turn(
                **self._envelope(dice, run, at_us),
                session_id=session.session_id,
                turn_index=turn_index,
                user_id=session.user.user_id,
                agent_id=run.agent.agent_id,
                provider=model.provider,
                model=model.name,
                tier=model.tier,
                user_message=asks,
                response=answers,
                finish_reason="stop",
                project_id=run.goal.kind.name.replace("_", "-"),
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cache_read_tokens=input_tokens // 2 if turn_index else 0,
                reasoning_tokens=output_tokens // 3 if model.tier == "reasoning" else 0,
                charged_usd=charged_usd,
                duration_ms=float(dice.skewed(2_500)),
            )
        )

    def _tool_call(
        self, dice: Dice, run: _Run, session: _Session, move: Move, at_us: int, turn_index: int, call_index: int
    ) -> None:
        if not move.stage.tool:
            return
        if move.error:
            self._count_error(run.course.cause)
        self._transit.send(
            ToolCall(
                **self._envelope(dice, run, at_us + SECOND),
                session_id=session.session_id,
                turn_index=turn_index,
                call_index=call_index,
                tool_name=move.stage.tool,
                tool_call_id=f"call_{dice.bits(48):012x}",
                args={"about": run.goal.thing},
                ok=move.error is None,
                error=move.error,
                output=", ".join(f"{key}={value}" for key, value in (move.report or {}).items()),
                duration_ms=float(dice.skewed(400)),
            )
        )
        if move.stage.tool == "files.edit":
            name = run.goal.thing.replace("-", "_")
            is_risky = move.confidence < 0.6
            self._transit.send(
                Patch(
                    **self._envelope(dice, run, at_us + SECOND),
                    session_id=session.session_id,
                    turn_index=turn_index,
                    path=f"src/{name}.py",
                    patch=DIFF.replace("{name}", name),
                    quality_issues=["function is longer than 60 lines"] if is_risky else [],
                    new_failures=[f"test_{name}"] if not run.chances.is_success and dice.chance(0.6) else [],
                    coverage_drop=0.5 if is_risky else 0.0,
                    rollback_recommended=is_risky,
                    risk_score=int((1 - move.confidence) * 100) / 100,
                    risk_tier="high" if is_risky else "low",
                    risk_signals=["touches shared code"] if is_risky else [],
                    is_blocked=False,
                    autonomy_level=3 if is_risky else 2,
                    tool_name=move.stage.tool,
                    call_index=call_index,
                )
            )

    def _session_events(self, dice: Dice, run: _Run, session: _Session, end_us: int, turn_index: int) -> None:
        """Send what else is worth remembering of a session: each kind where it would come up."""
        happened: list[tuple[SessionEventType, str, dict[str, Any]]] = []
        detail: dict[str, Any]
        taken = run.course
        if dice.chance(0.5):
            happened.append(
                ("thinking", f"The goal is to {run.goal.kind.goal}; {taken.moves[0].stage.text} first.", {})
            )
        if taken.blunder == "environment":
            detail = {"from_provider": session.model.provider, "to_provider": "ollama", "error": taken.error}
            happened.append(("fallback", "Switched provider after the error.", detail))
        if taken.error:
            happened.append(("error", taken.error, {}))
        if taken.blunder and taken.moves[-1].stage.decision == "escalate_to_human":
            detail = {
                "current_tier": session.model.tier,
                "failure_type": taken.blunder,
                "failure_detail": taken.error,
                "attempt_number": 1,
                "cost_spent_usd": dice.between(1, 40) / 100,
            }
            happened.append(("escalation", "Handed over to a human colleague.", detail))
        if taken.blunder == "loop":
            happened.append(("warning", "The same call was made five times.", {}))
        if run.goal.kind.name == "fix_bug" and taken.ending == "completed":
            blocks = not run.chances.is_success
            finding = {"severity": "major" if blocks else "minor", "message": taken.why or "name could say more"}
            detail = {"blocks_merge": blocks, "reason": taken.why, "findings": [finding]}
            happened.append(("review", "Reviewed the pull request.", detail))
        if dice.chance(0.2):
            score = taken.moves[-1].confidence
            happened.append(("confidence", "Confidence at the end.", {"score": score, "reasons": ["own estimate"]}))
        if run.chances.is_success and taken.ending == "completed":
            happened.append(("done", run.goal.kind.answers, {}))
        for number, (event_type, content, detail) in enumerate(happened):
            self._transit.send(
                SessionEvent(
                    **self._envelope(dice, run, end_us + number * 1000),
                    session_id=session.session_id,
                    turn_index=turn_index,
                    event_type=event_type,
                    content=content,
                    detail=detail,
                )
            )

    # --- scenarios and notes -----------------------------------------------------------------------------------------

    def _scenario(self, dice: Dice, at_us: int) -> None:
        """Send up to four attempts at one staffing operation; after a failure an overseer may give advice."""
        scenario = dice.pick(SCENARIOS)
        role, event, count = dice.pick(ROLES), dice.pick(EVENTS), dice.between(2, 12)
        city, state = dice.pick(CITIES)
        agent = dice.pick(AGENTS)
        sig_hash = f"{dice.bits(64):016x}"
        cause, template = scenario.error
        says = {"{count}": str(count), "{role}": role, "{event}": event, "{city}": city}
        asks = _filled(scenario.asks, says)
        advice: Advice | None = None
        for attempt in range(1, 2 + len(RETRIES)):
            p_success = FIRST_ATTEMPT if attempt == 1 else RETRIES[attempt - 2]
            if attempt > 1 and dice.chance(ADVISED[attempt - 2]):
                advice = dice.pick([given for given in ADVICE if given.task_class == scenario.task_class])
                self._transit.send(
                    Correction(
                        **self._transit.envelope(dice, at_us - 2 * SECOND),
                        model="gpt-oss:120b",
                        task_class=scenario.task_class,
                        reason=advice.reason,
                        correction=advice.advice,
                        sig_hash=sig_hash,
                        applied_at_turn=attempt,
                        latency_ms=float(dice.skewed(1_800)),
                    )
                )
                p_success += advice.effect
            else:
                advice = None
            is_success = dice.chance(p_success)
            self._tally_attempt(scenario.task_class, attempt, advice, is_success=is_success)
            error = None
            if not is_success:
                error = _filled(template, says | {"{n}": str(dice.between(0, 9)), "{id}": f"{dice.bits(24):06x}"})
                self._count_error(cause)
            is_last = attempt == 1 + len(RETRIES)
            is_rescue = is_last and not is_success and dice.chance(0.5)
            self._transit.send(
                Op(
                    **self._transit.envelope(dice, at_us),
                    endpoint=scenario.endpoint,
                    input_summary=asks,
                    success=is_success,
                    duration_ms=float(dice.skewed(900)),
                    output_summary=self._summary(dice, scenario.endpoint) if is_success else f"ERROR: {error}"[:100],
                    error=error,
                    sig_hash=sig_hash,
                    event_kind=event,
                    role=role,
                    city=city,
                    state=state,
                    count=count,
                    rescue_attempted=is_rescue,
                    rescue_succeeded=is_rescue and dice.chance(0.4),
                    task_class=scenario.task_class,
                    correction=advice.advice if advice else None,
                    applied_at_turn=attempt if advice else None,
                    agent_id=agent.agent_id,
                )
            )
            if is_success or not dice.chance(0.8):  # the others give up
                return
            at_us += (20 + dice.skewed(40)) * SECOND

    def _summary(self, dice: Dice, endpoint: str) -> str:
        if endpoint == "hybrid_search":
            return f"hybrid: {dice.between(20, 90)} sql → {dice.between(3, 12)} results"
        if endpoint == "ask":
            return f"answer: {dice.between(10, 400)} placements last month"
        return f"{dice.between(2, 12)} rows"

    def _tally_attempt(self, task_class: str, attempt: int, advice: Advice | None, *, is_success: bool) -> None:
        if attempt == 1:
            return
        tally = self._advised[advice.advice] if advice else self._retried.setdefault((task_class, attempt), [0, 0])
        tally[0] += 1
        tally[1] += is_success

    def _operator_note(self, dice: Dice, at_us: int) -> None:
        self._transit.send(
            OperatorNote(
                **self._transit.envelope(dice, at_us),
                target=dice.pick(("synthesis/daily_report", *(user.user_id for user in USERS[:3]))),
                message=dice.pick(OPERATOR_NOTES),
            )
        )

    # --- truth -------------------------------------------------------------------------------------------------------

    def truth(self) -> Truth:
        """What was true of the workload; complete once `sent()` is exhausted."""
        runs: dict[str, list[int]] = {}
        for action in self._actions:
            tally = runs.setdefault(action.goal_id, [0, 0])
            tally[0] += 1
            tally[1] += action.is_success
        return Truth(
            version=VERSION,
            seed=self.seed,
            days=self.days,
            rate=self.rate,
            start=self.start,
            withheld_share=WITHHELD_SHARE,
            actions=self._actions,
            goals=[
                GoalTruth(goal_id=goal.goal_id, difficulty=goal.difficulty, runs=count, successes=successes)
                for of_class in self._goals.values()
                for goal in of_class
                for count, successes in [runs.get(goal.goal_id, [0, 0])]
            ],
            entries=list(ENTRIES),
            tallies=self._tallies,
            causes={
                cause: CauseTruth(template=template, errors=self._errors.get(cause, 0))
                for cause, template in _templates().items()
            },
            advice=[
                AdviceTruth(
                    task_class=given.task_class,
                    advice=given.advice,
                    effect=given.effect,
                    corrected=self._advised[given.advice][0],
                    corrected_successes=self._advised[given.advice][1],
                )
                for given in ADVICE
            ],
            retries=[
                RetryTruth(
                    task_class=task_class,
                    attempt=attempt,
                    p_plain=RETRIES[attempt - 2],
                    plain=plain,
                    plain_successes=successes,
                )
                for (task_class, attempt), (plain, successes) in sorted(self._retried.items())
            ],
            mishaps=self._mishaps,
        )


def _filled(template: str, says: dict[str, str]) -> str:
    for name, text in says.items():
        template = template.replace(name, text)
    return template


def _templates() -> dict[str, str]:
    """Every cause of errors and the template of its messages."""
    made = {trap.cause: trap.error for kind in CLASSES for trap in kind.traps}
    made |= WORLD_ERRORS
    made |= dict([LOOP_ERROR, BELIEF_ERROR, SKIP_ERROR])
    return made | dict(scenario.error for scenario in SCENARIOS)
