"""The actions that a recorder has open: what it knows of each, and how many there may be.

This is memory only, for any number of threads. A signal handler may call in the middle of a call of its own thread,
which it cannot wait for; so every lock lets its own thread in again. What is written of an action, and when it ends, is
in `recorder`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from oplake import events

MAX_RECORDS = 1000  # steps and observations of an action; a loop that records more has gone wrong
MAX_OPEN = 500  # open actions of a recorder; more means that somebody forgets to complete them


@dataclass(frozen=True)
class Action:
    """An open action, as its recorder knows it: with what has landed, not with what was handed over."""

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

    @classmethod
    def of(cls, begun: events.Event, *, steps: int = 0, observations: int = 0) -> Self:
        """An action by its beginning, and by how much has been recorded of it."""
        assert isinstance(begun, events.ActionBegun)
        return cls(
            action_id=begun.action_id,
            agent_id=begun.agent_id,
            action_type=begun.action_type,
            goal_id=begun.goal_id,
            parent_action_id=begun.parent_action_id,
            expected_outcome=begun.expected_outcome,
            acceptance_criteria=begun.acceptance_criteria,
            playbook_ids=begun.playbook_ids,
            began_at=begun.ts,
            step_count=steps,
            observation_count=observations,
        )


@dataclass(eq=False)
class Open:
    """An open action with its lock: its own records go one by one, those of different actions together."""

    action: Action
    next_index: int = 0
    is_closed: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def is_full(self) -> bool:
        """Whether it takes no more steps and observations."""
        return self.action.step_count + self.action.observation_count >= MAX_RECORDS

    def count(self, *, steps: int = 0, observations: int = 0) -> None:
        """Adds what was recorded."""
        self.next_index += steps
        self.action = replace(
            self.action,
            step_count=self.action.step_count + steps,
            observation_count=self.action.observation_count + observations,
        )


@contextmanager
def held(found: Open | None) -> Iterator[Open | None]:
    """An open action for this thread alone; None when it is unknown or was completed meanwhile."""
    if found is None:
        yield None
        return
    with found.lock:
        yield None if found.is_closed else found


class OpenActions:
    """The open actions of one recorder by their ids, never more than MAX_OPEN."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open: dict[str, Open] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._open)

    def get(self, action_id: str) -> Open | None:
        """One of them; None if it is unknown, whatever was asked for."""
        with self._lock:
            return self._open.get(action_id) if isinstance(action_id, str) else None

    def place(self, found: Open) -> Open | None:
        """Takes one in, unless it is there. Returns the oldest, if that had to make room.

        Both at once: between a look and a step threads would each find room for theirs, and the bound is one of memory.
        """
        with self._lock:
            if found.action.action_id in self._open:
                return None
            oldest = self._open.pop(next(iter(self._open))) if len(self._open) >= MAX_OPEN else None
            self._open[found.action.action_id] = found
            return oldest

    def forget(self, found: Open) -> None:
        """Lets go of one, if it is there."""
        with self._lock:
            if self._open.get(found.action.action_id) is found:
                del self._open[found.action.action_id]

    def begun_until(self, limit: datetime) -> list[Open]:
        """Those that began so long ago."""
        with self._lock:
            return [found for found in self._open.values() if found.action.began_at <= limit]

    def unlock(self) -> None:
        """In a forked child: threads that held the locks are the parent's."""
        self._lock = threading.RLock()
        for found in self._open.values():
            found.lock = threading.RLock()
