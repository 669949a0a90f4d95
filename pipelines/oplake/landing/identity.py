"""Identities of events and actions that begin here: UUIDv7, which sort by the time at which they were made.

The standard library has them from Python 3.14 on. Those that are derived from a place are in `accept`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from uuid import UUID

_COUNTER_BITS = 42  # rand_a and the first 30 bits of rand_b count within a millisecond; 32 bits stay random
_VERSION, _VARIANT = 7, 0b10


def unix_ms() -> int:
    """The present time in milliseconds since 1970: the clock at the gateway."""
    return time.time_ns() // 1_000_000


class Identities:
    """Makes UUIDv7s that only ever grow within a process, whatever the clock does. A forked child makes
    others, by chance."""

    def __init__(self, clock_ms: Callable[[], int] = unix_ms) -> None:
        self._clock_ms = clock_ms
        self.renew()
        self._last = 0  # time and counter together

    def renew(self) -> None:
        """In a forked child: a thread that held the lock is the parent's."""
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """The next one, in lower-case hex with hyphens."""
        random = int.from_bytes(os.urandom(9), "big")
        seed, tail = random >> 32 & (1 << _COUNTER_BITS - 1) - 1, random & 0xFFFFFFFF
        with self._lock:
            # Its highest bit begins as 0, so that a counter has 2^41 steps to go before it reaches into the time.
            now = self._clock_ms() << _COUNTER_BITS | seed
            self._last = now if now >> _COUNTER_BITS > self._last >> _COUNTER_BITS else self._last + 1
            stamp = self._last
        ms, counter = stamp >> _COUNTER_BITS, stamp & (1 << _COUNTER_BITS) - 1
        high = ms << 16 | _VERSION << 12 | counter >> 30
        low = _VARIANT << 62 | (counter & (1 << 30) - 1) << 32 | tail
        return str(UUID(int=high << 64 | low))


new_id = Identities()
os.register_at_fork(after_in_child=new_id.renew)
