"""What all requests share: the segment that they land in, the threads that wait for the disk, and what came so far.

The loop that talks to clients never waits for the disk or unpacks anything: a thread does it for each request, and the
threads that wait at the same time share a commit. A refused write refuses the request; nothing is told to be landed
before it is.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Lock
from typing import ParamSpec, TypeVar

from oplake.landing.accept import Accepted
from oplake.landing.disk import OS_DISK, Disk
from oplake.landing.errors import DiskFull, LandingError
from oplake.landing.writer import SegmentWriter, utc_now
from oplake.receiver.counts import Counts
from oplake.receiver.errors import Refused, busy
from oplake.receiver.limits import Held, Limits
from oplake.settings import Settings

THREADS = (
    32  # requests that are decoded or wait for the disk at a time; a commit of so many is still one of milliseconds
)
REMEMBERED = 10_000  # parts of batches whose time of receipt is remembered; clients try again within minutes
REFUSED = timedelta(seconds=60)  # that a refusal tells of the disk; whoever sends to healthy ones only has to try again
RETRY_SECONDS = 5  # after a disk refused; a client that knows better may come earlier

P = ParamSpec("P")
R = TypeVar("R")


class Door:
    """The one door of a receiver to its landing folder."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], datetime] = utc_now,
        disk: Disk = OS_DISK,
        limits: Limits | None = None,
    ) -> None:
        """Nothing is opened yet; the first event makes the folder."""
        self.settings = settings
        self.clock = clock
        self.limits = limits or Limits()
        self.held = Held(self.limits.held_bytes)
        self.counts = Counts(clock())
        self.writer = SegmentWriter(
            settings.landing,
            segment_bytes=settings.segment_bytes,
            segment_age=settings.segment_age,
            disk=disk,
            clock=clock,
        )
        self._threads = ThreadPoolExecutor(THREADS, "landing")
        self._refusal: tuple[datetime, str] | None = None  # the last one, unless something landed since
        self._received: OrderedDict[Hashable, datetime] = OrderedDict()
        self._lock = Lock()

    async def in_thread(self, work: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """What a function returns that takes its time."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*arguments, **named))

    def land(self, accepted: Sequence[Accepted]) -> None:
        """Makes events durable, and counts them; for a thread.

        Raises:
            Refused: They are not: the disk is full (507) or does not take them (503). They may be sent again.
        """
        try:
            self.writer.append([one.line for one in accepted])
        except DiskFull as error:
            self._refuse(error)
            raise Refused(507, str(error), {"retry-after": str(RETRY_SECONDS)}) from error
        except LandingError as error:
            self._refuse(error)
            raise busy(str(error), after_seconds=RETRY_SECONDS) from error
        self._refusal = None
        self.counts.add(one.event for one in accepted)

    def _refuse(self, error: LandingError) -> None:
        self.counts.refuse()
        self._refusal = self.clock(), str(error)

    def refusal(self) -> str | None:
        """Why the disk refused what was sent last, unless that was too long ago to say how it is now."""
        last = self._refusal  # others land meanwhile
        return last[1] if last is not None and self.clock() - last[0] < REFUSED else None

    def land_at(self, key: Hashable, make: Callable[[datetime], Sequence[Accepted]]) -> None:
        """Lands what `make` makes of the time at which it came in: now, or when the very same landed, if that is known.

        What is stamped into events is then the same, and ingest takes what was sent again for what it is.

        Args:
            key: What tells it from anything else that comes in.
            make: Makes events of a time of receipt.

        Raises:
            Refused: As for `land`.
        """
        with self._lock:
            received_at = self._received.get(key) or self.clock()
        self.land(make(received_at))
        with self._lock:
            self._received[key] = received_at
            if len(self._received) > REMEMBERED:
                self._received.popitem(last=False)

    def close(self) -> None:
        """Lands what is under way, and seals the segment."""
        self._threads.shutdown()
        self.writer.close()
