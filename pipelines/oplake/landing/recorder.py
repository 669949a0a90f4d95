"""The recorder: what a Python agent imports to write down what it does.

Here is one method for every kind of event that agents and gateways send. A call returns when its event is durable. What
an event looks like is in `oplake.events`; how it gets onto the disk in `segments`, and from there to a receiver in
`forward`; the actions that are open are in `actions`. Neither Dagster nor DuckDB nor Polars is imported, and a failing
disk never breaks the agent: a call says False, and `stats` counts it.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from oplake import events
from oplake.landing.accept import Accepted, accept_foreign
from oplake.landing.actions import Action, Open, OpenActions, held
from oplake.landing.disk import OS_DISK, Disk
from oplake.landing.errors import LandingError
from oplake.landing.from_python import as_json, text_of
from oplake.landing.history import find_action
from oplake.landing.identity import new_id
from oplake.landing.redaction import redact
from oplake.landing.writer import SEGMENT_AGE, SEGMENT_BYTES, SegmentWriter, utc_now
from oplake.playbook.book import SERVED, Playbook, Shelf
from oplake.playbook.choose import choose, served, unit_of
from oplake.scores import success_score

if TYPE_CHECKING:
    from oplake.landing.forward import Forwarder
    from oplake.settings import Settings

log = logging.getLogger(__name__)

TIMEOUT = timedelta(hours=6)  # an action closes within it, so that a day is settled by the next morning

Completion = dict[str, Any]
Callback = Callable[[Completion], object]


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


class Recorder:
    """Writes down the work of agents, durably; for any number of threads, and for asyncio, whose loop it holds up for
    the millisecond or two that a commit takes.

    Values that are not JSON become their text; what is too long is cut; secrets are taken out. What cannot be accepted,
    whatever it is, makes a call return False, and raises nothing.

    With the address of a receiver, such as "http://127.0.0.1:4318", what is durable on this machine is sent there in
    the background, in order and once. A call's True means durable here: it reaches the receiver when that is up.

    One recorder at a time goes on with an action. It counts the action's steps by itself: another that records on would
    use the same numbers, and could complete it with another outcome.
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
                A relative one is where it is now, wherever the process goes later. Or the address of a receiver: then
                the settings of the environment say where events wait for it, and its OPLAKE_TOKEN.
            strict: Raise LandingError where a call would return False because its event was not accepted.
            clock: Says what time it is, in UTC.
            on_complete: Called with a summary of each completed action; what they raise is logged.
            disk: What segments are written with.
        """
        import re2  # noqa: F401  # here, not with the first event: a child forked then would wait for its import forever

        self._forwarder: Forwarder | None = None
        if isinstance(home, str) and "://" in home:
            from oplake.landing.forward import SEGMENT_BYTES as spool_bytes
            from oplake.landing.forward import forwarder_to

            self._forwarder = forwarder_to(home)
            folder, segment_bytes, segment_age = self._forwarder.spool, spool_bytes, SEGMENT_AGE
        else:
            folder, segment_bytes, segment_age = _landing(home)
        self._shelf = Shelf(folder.parent / SERVED)
        self._writer = SegmentWriter(
            folder, segment_bytes=segment_bytes, segment_age=segment_age, disk=disk, clock=clock
        )
        if self._forwarder is not None:
            weakref.finalize(self, _end, self._writer, self._forwarder)
        self._is_strict = strict
        self._clock = clock
        self._callbacks = [on_complete] if callable(on_complete) else list(on_complete)
        self._open = OpenActions()
        self._lock = threading.RLock()  # of the stats
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
        begun = self._accept(
            "action_begun",
            {
                "action_id": new_id(),
                "agent_id": agent_id,
                "action_type": action_type,
                "goal_id": goal_id,
                "parent_action_id": parent_action_id or None,
                "expected_outcome": {} if expected_outcome is None else expected_outcome,
                "acceptance_criteria": _listed(acceptance_criteria),
                "playbook_ids": _listed(playbook_ids),
            },
        )
        if begun is None:
            return ""
        found = Open(Action.of(msgspec.json.decode(begun.line, type=events.ActionBegun)))
        found.lock.acquire()  # whoever evicts it waits until it has begun
        evicted = self._open.place(found)
        has_begun = False
        try:
            found.is_closed = True  # unless it is written
            has_begun = self._write(begun)
            found.is_closed = not has_begun
        finally:
            if found.is_closed:
                self._open.forget(found)
            found.lock.release()  # from here on it may be evicted
            self._evict(evicted)
        if not has_begun:
            return ""
        self._count(begun=1)
        return found.action.action_id

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
        step = {
            "description": description,
            "state": {} if state is None else state,
            "decision": decision,
            "confidence": confidence,
            "actor": actor,
        }
        return self._record(action_id, "step", step)

    def record_observation(
        self,
        action_id: str,
        observation_type: str,
        data: Mapping[str, Any] | None = None,
        reported_by: str = "",
        confidence: float = 1.0,
    ) -> bool:
        """Writes down what the world reported. False for an unknown, completed or full action."""
        observation = {
            "observation_type": observation_type,
            "data": {} if data is None else data,
            "reported_by": reported_by,
            "confidence": confidence,
        }
        return self._record(action_id, "observation", observation)

    def complete_action(self, action_id: str, outcome: Mapping[str, Any] | None = None) -> bool:
        """Says what came of an action. False for an unknown or completed one."""
        found = self._find(action_id)
        return found is not None and self._complete(found, outcome)

    def get_action(self, action_id: str) -> Action | None:
        """An open action as it stands; None for an unknown or completed one."""
        found = self._find(action_id)
        return None if found is None else found.action

    def attach_action(self, action_id: str) -> bool:
        """Goes on with an action that was begun by another recorder, in another process maybe.

        It is looked up in landing, or in what waits here for a receiver. False when it is not there, is completed, or
        began more than six hours ago. Whoever attaches goes on alone: the other recorder should leave the action to it.

        Raises:
            LandingError: Landing cannot be read, and the recorder is strict.
        """
        if self._find(action_id) is not None:
            return True
        try:
            found = find_action(
                self._writer.folder, action_id, since=self._clock() - TIMEOUT - self._writer.segment_age
            )
        except Exception as error:  # noqa: BLE001  # nothing that an agent asks for raises into it
            return self._refuse(f"cannot look for action {text_of(action_id)}", error)
        if found is None or found.is_completed or found.begun.ts + TIMEOUT <= self._clock():
            return False
        action = Action.of(found.begun, steps=len(found.steps), observations=len(found.observations))
        self._evict(self._open.place(Open(action, next_index=found.next_index)))
        return True

    def action(self, agent_id: str, action_type: str, **fields: Any) -> OpenAction:
        """An action as a context manager: it completes by itself, with the error when the block raises.

        Takes what `begin_action` takes.
        """
        return OpenAction(self, agent_id, action_type, fields)

    def cleanup_expired(self) -> int:
        """Completes the actions that are open over six hours as `timeout`, and says how many they were."""
        expired = self._open.begun_until(self._clock() - TIMEOUT)
        return sum(self._complete(found, {"status": "timeout"}) for found in expired)

    # -- Playbooks -------------------------------------------------------------------------------------------------

    def playbook(self, task_class: str, *, session_id: str | None = None, action_id: str | None = None) -> Playbook:
        """What has worked and what to avoid in tasks of a class, for a prompt: `.text`, or the entries one by one.

        It is for the action, if one is named, else for the session. What it is shown and what is withheld from it at
        random lands, so that each entry's effect can be measured; the same one is always served alike. Without either
        nothing is withheld and nothing lands, as there would be no outcome to compare. `oplake.playbook.choose` says
        more.

        Through a receiver it is asked and lands there, which takes a network's time: in asyncio, use a thread. Where
        there is no book, or it cannot be read or had within two seconds, the playbook is empty, and a warning is
        logged; that raises nothing, from a strict recorder neither.
        """
        asked, session, action = (_name(each) for each in (task_class, session_id, action_id))
        try:
            if self._forwarder is not None:
                return self._forwarder.playbook(asked, session_id=session, action_id=action)
            unit = unit_of(session, action)
            choice = choose(self._shelf.book(), asked, unit)
        except Exception as error:  # noqa: BLE001  # nothing that an agent asks for raises into it
            log.warning("no playbook for %s: %s", asked, redact(describe(error), {}))
            return Playbook(task_class=asked)
        if unit is not None:
            events_of = served(choice, asked, session_id=session, action_id=action)
            accepted = [self._accept("playbook_served", fields) for fields in events_of]
            whole = [each for each in accepted if each is not None]
            if whole and len(whole) == len(accepted):  # all or none: their shares are those that were drawn
                self._write(*whole)
        return Playbook(task_class=asked, entries=choice.shown)

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
            return self._refuse("what waits cannot be written", error)
        return True

    def close(self) -> None:
        """Seals the segment; what goes to a receiver is sent first, if it takes it within five seconds.

        Open actions stay open: another recorder may attach to them.
        """
        self._writer.close()
        if self._forwarder is not None:
            self._forwarder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- Within ----------------------------------------------------------------------------------------------------

    def _find(self, action_id: str) -> Open | None:
        """An open action by its id; one that is over its time is completed as such first."""
        found = self._open.get(action_id)
        if found is not None and found.action.began_at + TIMEOUT <= self._clock():
            self._complete(found, {"status": "timeout"})
            return None
        return found

    def _evict(self, found: Open | None) -> None:
        """Completes what made room. If that is refused, it is no matter of the action that it made room for."""
        if found is not None:
            with suppress(LandingError):
                self._complete(found, {"status": "evicted", "reason": "max_open_actions"})

    def _record(self, action_id: str, kind: Literal["step", "observation"], fields: dict[str, Any]) -> bool:
        with held(self._find(action_id)) as found:
            if found is None or found.is_full:
                return False
            number = {"step_index": found.next_index} if kind == "step" else {}
            accepted = self._accept(kind, {**fields, **number, "action_id": action_id})
            return accepted is not None and self._write(accepted, taken=lambda: self._recorded(found, kind))

    def _recorded(self, found: Open, kind: Literal["step", "observation"]) -> None:
        counts = {"steps" if kind == "step" else "observations": 1}
        found.count(**counts)
        self._count(**counts)

    def _complete(self, found: Open, outcome: Any) -> bool:
        with held(found) as still_open:
            if still_open is None:
                return False
            fields = {"action_id": found.action.action_id, "outcome": {} if outcome is None else outcome}
            completed = self._accept("action_completed", fields)
            if completed is None or not self._write(completed, taken=lambda: self._completed(found, completed.event)):
                return False
        self._report(found.action, completed.event)
        return True

    def _completed(self, found: Open, event: events.Event) -> None:
        assert isinstance(event, events.ActionCompleted)  # as it was accepted
        found.is_closed = True
        self._open.forget(found)
        status = event.outcome.get("status")
        self._count(completed=1, timed_out=int(status == "timeout"), evicted=int(status == "evicted"))

    def _report(self, action: Action, event: events.Event) -> None:
        assert isinstance(event, events.ActionCompleted)  # as it was accepted
        for callback in self._callbacks:
            try:
                callback(
                    {
                        "action_id": action.action_id,
                        "agent_id": action.agent_id,
                        "action_type": action.action_type,
                        "goal_id": action.goal_id,
                        "duration_seconds": max(0.0, (event.ts - action.began_at).total_seconds()),
                        "step_count": action.step_count,
                        "success_score": success_score(event.outcome, action.expected_outcome),
                    }
                )
            except Exception:  # a dashboard's error is none of the agent's
                log.exception("a callback failed for action %s", action.action_id)

    def _land(self, kind: str, fields: dict[str, Any]) -> bool:
        """Accepts an event and makes it durable."""
        accepted = self._accept(kind, fields)
        return accepted is not None and self._write(accepted)

    def _accept(self, kind: str, fields: dict[str, Any]) -> Accepted | None:
        """Makes an event of what an agent handed over; None if it is refused, for whatever reason."""
        try:
            now = self._clock()
            return _accepted({"event_id": new_id(), "ts": now, **fields, "kind": kind}, now)
        except Exception as error:  # noqa: BLE001  # values run code of their own, which may raise anything
            self._refuse(f"a {kind} was not accepted", error)
            return None

    def _write(self, *accepted: Accepted, taken: Callable[[], None] = lambda: None) -> bool:
        """Makes events durable, all or none, and calls `taken` when they are or may be.

        An interrupt can strike behind the commit, where nobody knows. What it stopped counts as taken: written again,
        it would be there twice, while a number that is not there is made good later.
        """
        is_refused = False
        try:
            self._writer.append([each.line for each in accepted])
        except Exception as error:  # noqa: BLE001  # a disk, or a path, that fails in whatever way
            is_refused = True
            return self._refuse("an event was not made durable", error)
        finally:
            if not is_refused:
                taken()
        self._count(events=len(accepted))
        if self._forwarder is not None:
            self._forwarder.wake()
        return True

    def _refuse(self, message: str, error: Exception) -> bool:
        self._count(not_accepted=1)
        reason = str(error) if isinstance(error, LandingError) else describe(error)
        log.error("%s: %s", message, redact(reason, {}))  # it may cite what was handed over
        if self._is_strict:
            raise error if isinstance(error, LandingError) else LandingError(f"{message}: {reason}") from error
        return False

    def _count(self, **counts: int) -> None:
        with self._lock:
            now = {name: getattr(self._stats, name) + count for name, count in counts.items()}
            self._stats = replace(self._stats, **now)

    def _unlock(self) -> None:
        """In a forked child: threads that held the locks are the parent's."""
        self._lock = threading.RLock()
        self._open.unlock()


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
        if error is None:
            self._recorder.complete_action(self.action_id, self.outcome)
            return
        outcome = self.outcome if isinstance(self.outcome, dict) else {"value": self.outcome}
        self.outcome = {**outcome, "status": "error", "error": describe(error)}
        with suppress(LandingError):  # a strict recorder's; the block's own error is the one to see
            self._recorder.complete_action(self.action_id, self.outcome)

    def step(
        self,
        description: str,
        state: Mapping[str, Any] | None = None,
        decision: str = "",
        confidence: float = 0.5,
        actor: str | None = None,
    ) -> bool:
        """As `Recorder.record_step`."""
        return self._recorder.record_step(self.action_id, description, state, decision, confidence, actor)

    def observe(
        self,
        observation_type: str,
        data: Mapping[str, Any] | None = None,
        reported_by: str = "",
        confidence: float = 1.0,
    ) -> bool:
        """As `Recorder.record_observation`."""
        return self._recorder.record_observation(self.action_id, observation_type, data, reported_by, confidence)

    def playbook(self, task_class: str | None = None) -> Playbook:
        """As `Recorder.playbook`, for this action; of its own class, if no other is named."""
        return self._recorder.playbook(task_class or self._begin[1], action_id=self.action_id)

    def complete(self, outcome: Mapping[str, Any] | None = None) -> bool:
        """As `Recorder.complete_action`; the end of the block changes nothing any more."""
        return self._recorder.complete_action(self.action_id, outcome)


def describe(error: BaseException) -> str:
    """An exception in one line: its type, and what it says."""
    message = text_of(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _accepted(event: dict[str, Any], now: datetime) -> Accepted:
    try:
        return accept_foreign(event, received_at=now)
    except LandingError:
        raise
    except Exception:  # noqa: BLE001  # a value failed when it was looked into, or another thread changed it just then
        return accept_foreign(as_json(event), received_at=now)


def _name(given: Any) -> str:
    """An id or a name as it lands; empty if there is none."""
    return "" if given is None else text_of(given)[: events.ID_CHARS]


def _listed(texts: Any) -> Any:
    """Any texts as a list; one text is one of them, or it would fall apart into letters."""
    if texts is None or isinstance(texts, str):
        return [] if texts is None else [texts]
    try:
        return list(texts)
    except Exception:  # noqa: BLE001  # it is none: it counts as one text
        return texts


def _end(writer: SegmentWriter, forwarder: Forwarder) -> None:
    """What `close` does, for a recorder that nobody refers to any more, or at the end of the process."""
    writer.close()
    forwarder.close()


def _landing(home: Path | str | Settings | None) -> tuple[Path, int, timedelta]:
    """Folder, and size and age at which segments are sealed. Settings are loaded only when they are needed."""
    if home is None:
        from oplake.settings import Settings

        home = Settings()
    if isinstance(home, (str, os.PathLike)):
        return Path(home).expanduser().absolute() / "landing", SEGMENT_BYTES, SEGMENT_AGE
    return home.landing.absolute(), home.segment_bytes, home.segment_age


_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()


def _unlock_after_fork() -> None:
    for recorder in _recorders:
        recorder._unlock()


os.register_at_fork(after_in_child=_unlock_after_fork)
