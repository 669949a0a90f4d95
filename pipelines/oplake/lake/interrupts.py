"""Ctrl-C, for those who wait for DuckDB.

DuckDB looks for signals only where the thread that waits also works. With two threads or more it may do neither, and a
query of an hour then keeps an hour of Ctrl-C. Dagster, for its part, takes the signal for a failure of the step that it
runs. So a thread watches for it, whoever handles it, and breaks off whatever query is under way.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

WATCH_SECONDS = 0.1  # between two looks; a person does not notice, and a look costs microseconds


class Breakable(Protocol):
    """Something with a query under way, such as a connection of DuckDB."""

    def interrupt(self) -> None:
        """Break the query off, from any thread."""


_under_way: set[Breakable] = set()


@contextmanager
def breakable(connection: Breakable) -> Iterator[None]:
    """Ctrl-C breaks off what this connection does in the block, if somebody watches (`watched`)."""
    _under_way.add(connection)
    try:
        yield
    finally:
        _under_way.discard(connection)


@contextmanager
def watched() -> Iterator[Callable[[], bool]]:
    """Watch for Ctrl-C in the block; gives a function that says whether it was pressed.

    Python's wakeup descriptor learns of a signal whoever handles it. In another thread than the main one, where signals
    are nobody's business, nothing is watched.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    seen = bytearray()
    is_over = threading.Event()

    def is_interrupted() -> bool:
        with suppress(BlockingIOError):  # nothing has come
            seen.extend(os.read(read, 4096))
        return signal.SIGINT in seen or signal.SIGTERM in seen  # Dagster has both mean the same

    def watch() -> None:
        while not is_over.wait(WATCH_SECONDS):
            if is_interrupted():
                for connection in tuple(_under_way):  # again and again: the next query may begin just now
                    connection.interrupt()

    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, name="oplake-interrupts", daemon=True)
    watcher.start()
    try:
        yield is_interrupted
    finally:
        is_over.set()
        watcher.join()
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)
