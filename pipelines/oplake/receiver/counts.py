"""What a receiver has taken in since it was started: counted as it lands, in memory, for any number of threads."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime
from threading import Lock
from typing import Any, NamedTuple

from oplake import events
from oplake.landing.recorder import TIMEOUT
from oplake.landing.tail import OVERSEER
from oplake.receiver.operations import ENDPOINT

LATEST = 10  # scenario operations that are shown
SOURCES = 200  # told apart; sources are free text, and what comes later counts as one
OTHER_SOURCES = "(others)"
OPEN_ACTIONS = 100_000  # kept in mind; the oldest make room
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # Prometheus' usual bounds


class Operation(NamedTuple):
    """A scenario operation, as it is shown."""

    event_id: str
    time: datetime
    ok: bool
    staffer: str | None
    kind: str | None
    role: str | None


class Counts:
    """Counts since `started_at`. An event that was sent twice is counted twice; the lake has it once."""

    def __init__(self, started_at: datetime) -> None:
        self.started_at = started_at
        self._lock = Lock()
        self._kinds: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._successes = self._failures = self._refusals = 0
        self._latest: deque[Operation] = deque(maxlen=LATEST)
        self._open: dict[str, datetime] = {}  # action to its beginning, oldest first
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: Counter[float] = Counter()
        self._all_seconds = 0.0

    def add(self, landed: Iterable[events.Event]) -> None:
        """Counts events that are durable."""
        with self._lock:
            for event in landed:
                self._kinds[str(event.__struct_config__.tag)] += 1
                if not isinstance(event, events.Reject):
                    known = event.source in self._sources or len(self._sources) < SOURCES
                    self._sources[event.source if known else OTHER_SOURCES] += 1
                if isinstance(event, events.Op):
                    self._count_operation(event)
                elif isinstance(event, events.ActionBegun):
                    self._open[event.action_id] = event.received_at
                    if len(self._open) > OPEN_ACTIONS:
                        del self._open[next(iter(self._open))]
                elif isinstance(event, events.ActionCompleted):
                    self._open.pop(event.action_id, None)

    def _count_operation(self, event: events.Op) -> None:
        if event.source == OVERSEER:
            return  # a correction is neither success nor failure
        if event.success:
            self._successes += 1
        else:
            self._failures += 1
        if event.endpoint == ENDPOINT:
            found = Operation(event.event_id, event.ts, event.success, event.staffer_id, event.event_kind, event.role)
            self._latest.append(found)

    def refuse(self) -> None:
        """Counts a request whose events the disk did not take."""
        with self._lock:
            self._refusals += 1

    def answer(self, method: str, path: str, status: int, seconds: float) -> None:
        """Counts a request by what it was answered; `path` is one of ours, or a word for all others."""
        with self._lock:
            self._requests[method, path, status] += 1
            if status == 200 and method == "POST":
                self._seconds[next((bound for bound in SECONDS if seconds <= bound), float("inf"))] += 1
                self._all_seconds += seconds

    def open_actions(self, now: datetime) -> int:
        """Actions that began here and were not completed here within their time."""
        with self._lock:
            while self._open and next(iter(self._open.values())) + TIMEOUT <= now:
                del self._open[next(iter(self._open))]
            return len(self._open)

    def totals(self) -> dict[str, Any]:
        """How many events of which kind and source, how many operations ended how, and how many rejects."""
        with self._lock:
            return {
                "total": self._successes + self._failures,
                "successes": self._successes,
                "failures": self._failures,
                "by_source": dict(self._sources),
                "by_kind": dict(self._kinds),
                "rejects": self._kinds["reject"],
            }

    def latest(self, before: Iterable[Operation]) -> list[dict[str, Any]]:
        """The last scenario operations, newest first: of those that landed here and of others that are known."""
        with self._lock:
            found = {each.event_id: each for each in [*before, *self._latest]}
        newest = sorted(found.values(), key=lambda each: (each.time, each.event_id), reverse=True)[:LATEST]
        return [{name: value for name, value in each._asdict().items() if name != "event_id"} for each in newest]

    @property
    def refusals(self) -> int:
        """Requests whose events the disk did not take."""
        return self._refusals

    def requests(self) -> dict[tuple[str, str, int], int]:
        """Requests by method, path and status."""
        with self._lock:
            return dict(self._requests)

    def acknowledgements(self) -> tuple[dict[float, int], float]:
        """Requests that landed something, by the bound of seconds that they took; and the seconds of all."""
        with self._lock:
            return dict(self._seconds), self._all_seconds
