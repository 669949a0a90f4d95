"""What is sent, and when it arrives: the queue between those who make events and landing.

Events leave it in the order in which they are received, whatever order they were made in, and with only those in memory
that are under way. What goes wrong on the way (late, twice, changed, unreadable) is sent from here; why and how often
is decided by `workload`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from oplake.events import Event
from oplake.simulate.dice import Dice

SOURCE = "simulation"
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(at_us: int) -> datetime:
    """The time `at_us` microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=at_us)


class BadLine(NamedTuple):
    """Bytes that are no event, and where they stood in the stream that sent them."""

    raw: bytes
    origin: str
    line: int
    byte_offset: int


class Sent(NamedTuple):
    """Something that reached landing."""

    received_us: int
    order: int  # of being made; breaks ties
    day: int  # of the simulation that it was made for, from 0
    content: Event | BadLine
    is_plain: bool  # its line is exactly what accept would make of it: nothing to redact, cut, clamp or suspect


class Transit:
    """Events under way.

    An event is made with `envelope`, which sets its times and identity, and handed over with `send`.
    """

    def __init__(self) -> None:
        self.day = 0  # of the simulation that is being made
        self._under_way: list[Sent] = []
        self._made = 0
        self._bad_lines: dict[str, tuple[int, int]] = {}

    def envelope(self, dice: Dice, at_us: int, *, clock_ahead_us: int = 0, delay_us: int = 0) -> dict[str, Any]:
        """The common fields of an event of the time `at_us`; its clock may be ahead, and it may arrive late."""
        received_us = at_us + delay_us + 20_000 + dice.bits(18)  # 20 to 282 ms of network
        ts_us = at_us + clock_ahead_us
        return {
            "event_id": dice.uuid7(ts_us),
            "ts": moment(ts_us),
            "received_at": moment(received_us),
            "source": SOURCE,
        }

    def send(self, event: Event, *, is_plain: bool = True) -> None:
        """Send an event; it arrives at its `received_at`."""
        self._push((event.received_at - _EPOCH) // timedelta(microseconds=1), event, is_plain)

    def send_again(self, event: Event, *, after_us: int, **changes: Any) -> None:
        """Send an event once more, `after_us` later: unchanged, a duplicate; changed, a conflict."""
        received_at = event.received_at + timedelta(microseconds=after_us)
        self.send(msgspec.structs.replace(event, received_at=received_at, **changes), is_plain=False)

    def send_bytes(self, raw: bytes, *, at_us: int, origin: str) -> None:
        """Send bytes that are no event; their place follows what the same origin has sent before."""
        line, byte_offset = self._bad_lines.get(origin, (0, 0))
        self._bad_lines[origin] = line + 1, byte_offset + len(raw) + 1
        self._push(at_us, BadLine(raw, origin, line + 1, byte_offset), is_plain=False)

    def arrived(self, until_us: int) -> Iterator[Sent]:
        """Everything received before `until_us`, in order; nothing made later may be received before it."""
        while self._under_way and self._under_way[0].received_us < until_us:
            yield heapq.heappop(self._under_way)

    def _push(self, received_us: int, content: Event | BadLine, is_plain: bool) -> None:
        heapq.heappush(self._under_way, Sent(received_us, self._made, self.day, content, is_plain))
        self._made += 1
