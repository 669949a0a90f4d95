"""What a request may take of the receiver: bytes, events and time. Tests make them small."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from oplake.receiver.errors import busy


@dataclass(frozen=True)
class Limits:
    """Each with the reason for its default."""

    head_bytes: int = 32 * 2**10  # of the headers; what proxies and tokens add is a tenth of it
    body_bytes: int = 64 * 2**20  # as OpenTelemetry's collector has it, compressed and unpacked alike
    held_bytes: int = 256 * 2**20  # of all requests together, unpacked; the process takes a few times that at most
    connections: int = 900  # at a time; below the 1024 files that a process may usually open
    requests: int = 800  # at a time; more would wait longer than their clients do
    batch_events: int = 100_000  # one line each; their objects take more memory than their bytes
    separators: int = 2_000_000  # commas of a JSON array, which bound what it can fall into before it is decoded
    head_seconds: float = 10  # until all headers are there
    body_seconds: float = 30  # until the body is there, and longer for what arrives at this speed:
    body_bytes_per_second: int = 64 * 2**10
    idle_seconds: int = 75  # a kept connection without a request; longer than clients keep theirs


class Held:
    """Counts the bytes that requests hold in memory, all of them together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self.bytes = 0

    @contextmanager
    def holding(self) -> Iterator[Holding]:
        """What one request holds; it is free afterwards."""
        one = Holding(self)
        try:
            yield one
        finally:
            self.add(-one.bytes)

    def add(self, count: int) -> None:
        """
        Raises:
            Refused: That would be too much at once.
        """
        with self._lock:
            if count > 0 and self.bytes + count > self._most:
                raise busy(f"{self.bytes} bytes of other requests are being landed; send it again in a second")
            self.bytes += count


class Holding:
    """The bytes that one request holds."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self.bytes = 0

    def take(self, count: int) -> None:
        """
        Raises:
            Refused: All requests together would hold too much.
        """
        self._held.add(count)
        self.bytes += count
