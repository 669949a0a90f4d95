"""The recorder: what a Python agent imports to write down what it does.

Here are the actions that an agent has open, with their bounds, and one method for every kind of event that agents and
gateways send. A call returns when its event is durable. What an event looks like is in `oplake.events`; how it gets
onto the disk in `segments`. Neither Dagster nor DuckDB nor Polars is imported, and a failing disk never breaks the
agent: a call says False, and `stats` counts it.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from oplake.landing.accept import accept
from oplake.landing.errors import LandingError
from oplake.landing.history import find_action
from oplake.landing.identity import new_id
from oplake.landing.writer import OS_DISK, SEGMENT_AGE, SEGMENT_BYTES, Disk, SegmentWriter, utc_now
from oplake.scores import success_score

if TYPE_CHECKING:
    from oplake.settings import Settings

log = logging.getLogger(__name__)

MAX_RECORDS = 1000  # steps and observations of an action; a loop that records more has gone wrong
MAX_OPEN = 500  # open actions of a recorder; more means that somebody forgets to complete them
TIMEOUT = timedelta(hours=6)  # an action closes within it, so that a day is settled by the next morning

Completion = dict[str, Any]
Callback = Callable[[Completion], object]

_BEGUN_FIELDS = (
    "action_id",
    "agent_id",
    "action_type",
    "goal_id",
    "parent_action_id",
    "expected_outcome",
    "acceptance_criteria",
    "playbook_ids",
)


@dataclass(frozen=True)
class Action:
    """An open action, as its recorder knows it."""

    action_id: str
    agent_id: str
    action_type: str
    goal_id: str | None
    parent_action_id: str | None
    expected_outcome: Mapping[str, Any]
    acceptance_criteria: Sequence[str]
    playbook_ids: Sequence[str]
    began_at: datetime
    step_count: int = 0
    observation_count: int = 0


@dataclass(frozen=True)
class Stats:
    """What a recorder has done since it was made."""

    begun: int = 0
    completed: int = 0  # timed out and evicted ones included
    timed_out: int = 0
    evicted: int = 0
    steps: int = 0
    observations: int = 0
    events: int = 0  # of every kind, as far as they are durable
    not_accepted: int = 0  # events that could not be made durable, or could not be used
    open: int = 0


def _is_full(action: Action) -> bool:
    return action.step_count + action.observation_count >= MAX_RECORDS


@dataclass(eq=False)
class _Open:
    """An open action with its lock: its own records go one by one, those of different actions together."""

    action: Action
    next_index: int = 0
    is_closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def _held(found: _Open | None) -> Iterator[_Open | None]:
    """An open action for this thread alone; None when it is unknown or was completed meanwhile."""
    if found is None:
        yield None
        return
    with found.lock:
        yield None if found.is_closed else found


class Recorder:
    """Writes down the work of agents, durably; for any number of threads, and for asyncio, whose loop it holds up for
    the millisecond or two that a commit takes.

    Values that are not JSON become their text; what is too long is cut; secrets are taken out.
    """

    def __init__(
        self,
        home: Path | str | Settings | None = None,
        *,
        strict: bool = False,
        clock: Callable[[], datetime] = utc_now,
        on_complete: Callback | Iterable[Callback] = (),
        disk: Disk = OS_DISK,
    ) -> None:
        """Nothing is opened yet; the first event makes the folder.

        Args:
            home: The folder of all of oplake's state (OPLAKE_HOME), or its settings; those of the environment if None.
            strict: Raise LandingError where a call would return False because its event was not accepted.
            clock: Says what time it is, in UTC.
            on_complete: Called with a summary of each completed action; what they raise is logged.
            disk: What segments are written with.
        """
        folder, segment_bytes, segment_age = _landing(home)
        self._writer = SegmentWriter(
            folder, segment_bytes=segment_bytes, segment_age=segment_age, disk=disk, clock=clock
        )
        self._is_strict = strict
        self._clock = clock
        self._callbacks = [on_complete] if callable(on_complete) else list(on_complete)
        self._lock = threading.Lock()  # of the two below, never held while the disk works
        self._open: dict[str, _Open] = {}  # oldest first
        self._stats = Stats()
        _recorders.add(self)

    # -- Actions ---------------------------------------------------------------------------------------------------

    def begin_action(
        self,
        agent_id: str,
        action_type: str,
        goal_id: str | None = None,
        expected_outcome: Mapping[str, Any] | None = None,
        acceptance_criteria: Sequence[str] | None = None,
        parent_action_id: str | None = None,
        playbook_ids: Sequence[str] = (),
    ) -> str:
        """Says that an agent sets out to do something, and what to expect of it.

        Returns the action's id; the empty text, which every other call answers with False, when it was not accepted.
        """
        self.cleanup_expired()
        self._evict()
        action = Action(
            action_id=new_id(),
            agent_id=agent_id,
            action_type=action_type,
            goal_id=goal_id,
            parent_action_id=parent_action_id or None,
            expected_outcome=dict(expected_outcome or {}),
            acceptance_criteria=list(acceptance_criteria or ()),
            playbook_ids=list(playbook_ids),
            began_at=self._clock(),
        )
        begun = {name: getattr(action, name) for name in _BEGUN_FIELDS}
        if not self._land("action_begun", {**begun, "ts": action.began_at}):
            return ""
        with self._lock:
            self._open[action.action_id] = _Open(action)
        self._count(begun=1)
        return action.action_id

    def record_step(
        self,
        action_id: str,
        description: str,
        state: Mapping[str, Any] | None = None,
        decision: str = "",
        confidence: float = 0.5,
        actor: str | None = None,
    ) -> bool:
        """Writes down what the agent decided. False for an unknown, completed or full action."""
        with _held(self._find(action_id)) as held:
            if held is None or _is_full(held.action):
                return False
            accepted = self._land(
                "step",
                {
                    "action_id": action_id,
                    "step_index": held.next_index,
                    "description": description,
                    "state": {} if state is None else state,
                    "decision": decision,
                    "confidence": confidence,
                    "actor": actor,
                },
            )
            if accepted:
                held.next_index += 1
                held.action = replace(held.action, step_count=held.action.step_count + 1)
                self._count(steps=1)
            return accepted

    def record_observation(
        self,
        action_id: str,
        observation_type: str,
        data: Mapping[str, Any] | None = None,
        reported_by: str = "",
        confidence: float = 1.0,
    ) -> bool:
        """Writes down what the world reported. False for an unknown, completed or full action."""
        with _held(self._find(action_id)) as held:
            if held is None or _is_full(held.action):
                return False
            accepted = self._land(
                "observation",
                {
                    "action_id": action_id,
                    "observation_type": observation_type,
                    "data": {} if data is None else data,
                    "reported_by": reported_by,
                    "confidence": confidence,
                },
            )
            if accepted:
                held.action = replace(held.action, observation_count=held.action.observation_count + 1)
                self._count(observations=1)
            return accepted

    def complete_action(self, action_id: str, outcome: Mapping[str, Any] | None = None) -> bool:
        """Says what came of an action. False for an unknown or completed one."""
        found = self._find(action_id)
        return found is not None and self._complete(found, dict(outcome or {}))

    def get_action(self, action_id: str) -> Action | None:
        """An open action as it stands; None for an unknown or completed one."""
        found = self._find(action_id)
        return None if found is None else found.action

    def attach_action(self, action_id: str) -> bool:
        """Goes on with an action that was begun by another recorder, in another process maybe.

        It is looked up in landing. False when it is not there, is completed, or began more than six hours ago.

        Raises:
            LandingError: Landing cannot be read, and the recorder is strict.
        """
        with self._lock:
            if action_id in self._open:
                return True
        try:
            found = find_action(
                self._writer.folder, action_id, since=self._clock() - TIMEOUT - self._writer.segment_age
            )
        except (LandingError, OSError) as error:
            return self._refuse(f"cannot look for action {action_id}: {error}", error)
        if found is None or found.is_completed or found.begun.ts + TIMEOUT <= self._clock():
            return False
        action = Action(
            **{name: getattr(found.begun, name) for name in _BEGUN_FIELDS},
            began_at=found.begun.ts,
            step_count=len(found.steps),
            observation_count=len(found.observations),
        )
        self._evict()
        with self._lock:
            self._open.setdefault(action_id, _Open(action, next_index=found.next_index))
        return True

    def action(self, agent_id: str, action_type: str, **fields: Any) -> OpenAction:
        """An action as a context manager: it completes by itself, with the error when the block raises.

        Takes what `begin_action` takes.
        """
        return OpenAction(self, agent_id, action_type, fields)

    def cleanup_expired(self) -> int:
        """Completes the actions that are open over six hours as `timeout`, and says how many they were."""
        limit = self._clock() - TIMEOUT
        with self._lock:
            expired = [found for found in self._open.values() if found.action.began_at <= limit]
        return sum(self._complete(found, {"status": "timeout"}) for found in expired)

    # -- Everything else -------------------------------------------------------------------------------------------

    def op(self, endpoint: str, *, success: bool = True, duration_ms: float = 0.0, **fields: Any) -> bool:
        """Lands one operation of a gateway or tool; `fields` are those of `oplake.events.Op`."""
        return self._land("op", {**fields, "endpoint": endpoint, "success": success, "duration_ms": duration_ms})

    def note(self, user_id: str, note: str, **fields: Any) -> bool:
        """Lands what a user said about the work; `fields` are those of `oplake.events.Note`."""
        return self._land("note", {**fields, "user_id": user_id, "note": note})

    def turn(self, session_id: str, turn_index: int, *, provider: str, model: str, **fields: Any) -> bool:
        """Lands one exchange with a model; `fields` are those of `oplake.events.Turn`."""
        own = {"session_id": session_id, "turn_index": turn_index, "provider": provider, "model": model}
        return self._land("turn", {**fields, **own})

    def tool_call(
        self, session_id: str, turn_index: int, call_index: int, tool_name: str, *, ok: bool = True, **fields: Any
    ) -> bool:
        """Lands one call of a tool within a turn; `fields` are those of `oplake.events.ToolCall`."""
        own = {"session_id": session_id, "turn_index": turn_index, "call_index": call_index, "tool_name": tool_name}
        return self._land("tool_call", {**fields, **own, "ok": ok})

    def patch(self, session_id: str, turn_index: int, path: str, patch: str = "", **fields: Any) -> bool:
        """Lands a change to a file; `fields` are those of `oplake.events.Patch`."""
        own = {"session_id": session_id, "turn_index": turn_index, "path": path, "patch": patch}
        return self._land("patch", {**fields, **own})

    def session_event(self, session_id: str, event_type: str, content: str = "", **fields: Any) -> bool:
        """Lands something that happened in a session; `fields` are those of `oplake.events.SessionEvent`."""
        own = {"session_id": session_id, "event_type": event_type, "content": content}
        return self._land("session_event", {**fields, **own})

    def correction(self, task_class: str, correction: str, **fields: Any) -> bool:
        """Lands advice of an overseer; `fields` are those of `oplake.events.Correction`."""
        return self._land("correction", {**fields, "task_class": task_class, "correction": correction})

    def operator_note(self, target: str, message: str, **fields: Any) -> bool:
        """Lands what an operator wants taken into account; `fields` are those of `oplake.events.OperatorNote`."""
        return self._land("operator_note", {**fields, "target": target, "message": message})

    def stats(self) -> Stats:
        """What this recorder has done so far."""
        with self._lock:
            return replace(self._stats, open=len(self._open))

    def flush(self) -> bool:
        """Returns when what other threads brought before is durable or refused; calls return so late anyway."""
        try:
            self._writer.flush()
        except LandingError as error:
            return self._refuse(str(error), error)
        return True

    def close(self) -> None:
        """Seals the segment. Open actions stay open: another recorder may attach to them."""
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- Within ----------------------------------------------------------------------------------------------------

    def _find(self, action_id: str) -> _Open | None:
        """An open action by its id; one that is over its time is completed as such first."""
        with self._lock:
            found = self._open.get(action_id)
        if found is not None and found.action.began_at + TIMEOUT <= self._clock():
            self._complete(found, {"status": "timeout"})
            return None
        return found

    def _evict(self) -> None:
        """Makes room for one more action by completing the oldest."""
        while True:
            with self._lock:
                oldest = next(iter(self._open.values())) if len(self._open) >= MAX_OPEN else None
            if oldest is None:
                return
            self._complete(oldest, {"status": "evicted", "reason": "max_open_actions"})
            with self._lock:  # even if the disk would not take its end: the bound is one of memory
                self._open.pop(oldest.action.action_id, None)

    def _complete(self, found: _Open, outcome: dict[str, Any]) -> bool:
        action_id = found.action.action_id
        with _held(found) as held:
            if held is None:
                return False
            now = self._clock()
            if not self._land("action_completed", {"action_id": action_id, "outcome": outcome, "ts": now}):
                return False
            found.is_closed = True
        with self._lock:
            self._open.pop(action_id, None)
        status = outcome.get("status")
        self._count(completed=1, timed_out=status == "timeout", evicted=status == "evicted")
        self._report(found.action, outcome, now)
        return True

    def _report(self, action: Action, outcome: dict[str, Any], now: datetime) -> None:
        if not self._callbacks:
            return
        completion = {
            "action_id": action.action_id,
            "agent_id": action.agent_id,
            "action_type": action.action_type,
            "goal_id": action.goal_id,
            "duration_seconds": (now - action.began_at).total_seconds(),
            "step_count": action.step_count,
            "success_score": success_score(outcome, action.expected_outcome),
        }
        for callback in self._callbacks:
            try:
                callback(dict(completion))
            except Exception:  # a dashboard's error is none of the agent's
                log.exception("a callback failed for action %s", action.action_id)

    def _land(self, kind: str, fields: dict[str, Any]) -> bool:
        """Accepts an event and makes it durable."""
        now = self._clock()
        event = {"event_id": new_id(), "ts": now, **fields, "kind": kind}
        try:
            self._writer.append([accept(event, received_at=now).line])
        except LandingError as error:
            return self._refuse(f"a {kind} was not accepted: {error}", error)
        self._count(events=1)
        return True

    def _refuse(self, message: str, error: Exception) -> bool:
        self._count(not_accepted=1)
        log.error(message)
        if self._is_strict:
            raise error if isinstance(error, LandingError) else LandingError(message)
        return False

    def _count(self, **counts: int) -> None:
        with self._lock:
            now = {name: getattr(self._stats, name) + count for name, count in counts.items()}
            self._stats = replace(self._stats, **now)

    def _unlock(self) -> None:
        """In a forked child: threads that held the locks are the parent's."""
        self._lock = threading.Lock()
        for found in self._open.values():
            found.lock = threading.Lock()


class OpenAction:
    """An action that lasts as long as a `with` block.

    It is completed at its end with `outcome`, unless the block did so itself; with status `error` when it raises.
    """

    def __init__(self, recorder: Recorder, agent_id: str, action_type: str, fields: dict[str, Any]) -> None:
        self._recorder = recorder
        self._begin = (agent_id, action_type, fields)
        self.action_id = ""
        self.outcome: dict[str, Any] = {}

    def __enter__(self) -> Self:
        agent_id, action_type, fields = self._begin
        self.action_id = self._recorder.begin_action(agent_id, action_type, **fields)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self.outcome = {**self.outcome, "status": "error", "error": describe(error)}
        self._recorder.complete_action(self.action_id, self.outcome)

    def step(self, description: str, **fields: Any) -> bool:
        """As `Recorder.record_step`."""
        return self._recorder.record_step(self.action_id, description, **fields)

    def observe(self, observation_type: str, data: Mapping[str, Any] | None = None, **fields: Any) -> bool:
        """As `Recorder.record_observation`."""
        return self._recorder.record_observation(self.action_id, observation_type, data, **fields)

    def complete(self, outcome: Mapping[str, Any] | None = None) -> bool:
        """As `Recorder.complete_action`; the end of the block changes nothing any more."""
        return self._recorder.complete_action(self.action_id, outcome)


def describe(error: BaseException) -> str:
    """An exception in one line: its type, and what it says."""
    message = str(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _landing(home: Path | str | Settings | None) -> tuple[Path, int, timedelta]:
    """Folder, and size and age at which segments are sealed. Settings are loaded only when they are needed."""
    if home is None:
        from oplake.settings import Settings

        home = Settings()
    if isinstance(home, (str, os.PathLike)):
        return Path(home) / "landing", SEGMENT_BYTES, SEGMENT_AGE
    return home.landing, home.segment_bytes, home.segment_age


_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()


def _unlock_after_fork() -> None:
    for recorder in _recorders:
        recorder._unlock()


os.register_at_fork(after_in_child=_unlock_after_fork)
