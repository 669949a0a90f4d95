"""Writing segments: every accepted event is durable before anyone is told so.

Here is the group commit of threads that write at the same time (`SegmentWriter`). What a segment looks like, and how it
is read and recovered, is in `oplake.landing.segments`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from oplake.events import KINDS
from oplake.landing.disk import OS_DISK, Disk
from oplake.landing.errors import DiskFull, LandingError
from oplake.landing.segments import INDEX_SUFFIX, NAME_CHARS, NAME_TIME, SUFFIX, Commit, Seal

log = logging.getLogger(__name__)

SEGMENT_BYTES = 64 * 2**20  # large enough to compress well, small enough to read into memory at once
SEGMENT_AGE = timedelta(days=1)  # so that every segment is archived in the end, however quiet its writer
COMMIT_EVENTS = 1000  # keeps one commit, and so the wait of those who come next, within milliseconds
EXIT_SECONDS = 5.0  # how long the end of the process waits for a commit under way; recovery does the rest
_WRITER = re.compile(rf"[A-Za-z0-9._]{{1,{NAME_CHARS}}}")
_KIND_AT = len(b'{"kind":"')
_KIND_END = _KIND_AT + max(map(len, KINDS)) + 1  # past the longest name and its closing quote, before an id begins
_INTERRUPTED = "interrupted while writing: these events may be durable or not; try them again under the same event_id"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def utc_now() -> datetime:
    """The present time in UTC: the clock at the gateway."""
    return datetime.now(UTC)


@dataclass(eq=False)
class _Batch:
    """The lines of one call of `append`."""

    data: bytes
    events: int
    kinds: list[str]
    closes: bool = False  # seal the segment behind it
    leads: bool = False  # its thread writes for all that wait
    is_done: bool = False
    error: LandingError | None = None
    turn: threading.Lock | None = None  # its thread sleeps on it until it is done or leads


class _OpenSegment:
    """A segment that this process writes. After any error it may only be abandoned."""

    def __init__(self, disk: Disk, folder: Path, name: str, opened_at: datetime) -> None:
        self._disk = disk
        self.path = folder / (name + SUFFIX)
        self.opened_at = opened_at
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._index: int | None = None
        # It is locked before it has its name, so no reader can take it for one whose writer died. Two writers that
        # choose the same name meet at the hidden one, where the second to come finds the first or its segment.
        hidden = folder / f".{name}.new"
        self._data = disk.create(hidden)
        try:
            if self.path.exists():
                hidden.unlink()
                raise FileExistsError(self.path)
            disk.rename(hidden, self.path)
            disk.sync_folder(folder)
        except OSError:
            self.abandon()
            raise
        try:
            self._index = disk.create(self.path.with_suffix(INDEX_SUFFIX))
        except OSError as error:
            log.warning("no index for %s, so it will be read the slow way: %s", self.path, error)

    def append(self, data: bytes, kinds: list[str]) -> None:
        """Appends and makes durable."""
        self._write(self._data, data)
        self._disk.sync(self._data)
        if not self._disk.is_at(self._data, self.path):  # durable where nobody will ever look
            raise FileNotFoundError(errno.ENOENT, "the segment was removed or moved away", str(self.path))
        self.size += len(data)
        self._sha256.update(data)
        self._note(Commit.of(data, self.size, kinds))

    def seal(self) -> None:
        """Says that nothing more will come, and lets go of the file."""
        self._note(Seal(sealed=True, bytes=self.size, sha256=self._sha256.hexdigest()))
        if self._index is not None:
            try:
                self._disk.sync(self._index)
            except OSError as error:
                log.warning("the seal of %s may not be durable: %s", self.path, error)
        self.abandon()

    def abandon(self) -> None:
        """Lets go of the file as it is."""
        for descriptor in (self._index, self._data):
            if descriptor is not None:
                with contextlib.suppress(OSError):  # what was acknowledged is durable, whatever close says
                    self._disk.close(descriptor)
        self._index = None

    def _note(self, entry: Commit | Seal) -> None:
        if self._index is None:
            return
        try:
            self._write(self._index, msgspec.json.encode(entry) + b"\n")
        except OSError as error:
            log.warning("no more index for %s, so it will be read the slow way: %s", self.path, error)
            with contextlib.suppress(OSError):
                self._disk.close(self._index)
            self._index = None

    def _write(self, descriptor: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = self._disk.write(descriptor, rest)
            if written <= 0:
                raise OSError(errno.EIO, "the disk took nothing", str(self.path))
            rest = rest[written:]


@dataclass(eq=False)
class _Log:
    """The state of a writer: apart from it, so that it can be sealed when nobody refers to the writer any more."""

    folder: Path
    writer: str
    segment_bytes: int
    segment_age: timedelta
    disk: Disk
    clock: Callable[[], datetime]
    lock: threading.Lock = field(default_factory=threading.Lock)  # of the queue, never held while the disk works
    queue: deque[_Batch] = field(default_factory=deque)
    has_leader: bool = False  # one thread at a time has the disk, with the fields below
    segment: _OpenSegment | None = None
    sequence: int = 0
    is_closed: bool = False
    inside: set[int] = field(default_factory=set)  # threads that are in `submit`
    aside: _Log | None = None

    def submit(self, batch: _Batch, timeout: float = -1) -> None:
        """Returns when a batch is done, by this thread or by another along with its own.

        A signal handler may call in the middle of a call of its own thread, which it cannot wait for: it writes to a
        segment aside. And it may raise (KeyboardInterrupt) anywhere: then the next in the queue leads.

        Raises:
            LandingError: It was refused.
        """
        me = threading.get_ident()
        if me in self.inside:
            self._beside().submit(batch, timeout)
            return
        try:
            self.inside.add(me)
            with self.lock:
                if self.is_closed:
                    raise LandingError(f"the writer of {self.folder} is closed; make a new one")
                self.is_closed = batch.closes
                self.queue.append(batch)
                if self.has_leader:
                    batch.turn = threading.Lock()
                    batch.turn.acquire()
                else:
                    self.has_leader = batch.leads = True
            if batch.turn is not None:
                batch.turn.acquire(timeout=timeout)
            if batch.leads:
                self._commit()
        finally:
            try:
                self._leave(batch, me)
            except BaseException:
                self._leave(batch, me)  # a signal struck meanwhile; what is done already is not done again
                raise
        if batch.error is not None:
            raise batch.error

    def close(self, timeout: float = -1) -> None:
        """Seals the open segment when what waits is written; gives up after `timeout` seconds."""
        if threading.get_ident() in self.inside:
            return  # a signal handler cannot wait for the call that it struck; the end of the process closes
        if self.aside is not None:
            self.aside.close(timeout)
        if not self.is_closed:
            self.submit(_Batch(b"", 0, [], closes=True), timeout)

    def _beside(self) -> _Log:
        if self.aside is None:
            self.aside = _Log(
                self.folder, f"{self.writer}.aside", self.segment_bytes, self.segment_age, self.disk, self.clock
            )
        return self.aside

    def _leave(self, batch: _Batch, me: int) -> None:
        """Nobody waits for this batch any more, whether it is done, timed out or a signal struck."""
        with self.lock:
            if not batch.is_done and batch in self.queue:
                self.queue.remove(batch)
            if batch.leads:
                self._pass_on(batch)
        self.inside.discard(me)

    def _pass_on(self, leader: _Batch) -> None:
        """Let the next in the queue lead. A signal cannot strike between the lines that must go together: only calls
        let it in."""
        while self.queue and self.queue[0].is_done:  # a signal struck between its end and its leaving
            self.queue.popleft()
        if not self.queue:
            self.has_leader = leader.leads = False
            return
        successor = self.queue[0]
        successor.leads = True
        leader.leads = False
        if successor.turn is not None:
            successor.turn.release()

    def forget(self) -> None:
        """In a forked child: the open segment, the waiting batches and whoever held the locks are the parent's."""
        self._abandon()  # the flock stays with the parent's descriptor
        self.writer = _writer_name()
        self.lock = threading.Lock()
        self.queue = deque()
        self.has_leader = False
        self.inside &= {threading.get_ident()}
        if self.aside is not None:
            self.aside.forget()

    def _commit(self) -> None:
        """Writes what is waiting, whole batches up to COMMIT_EVENTS events but the first in any case.

        Each is done afterwards, with the error that refused it if there was one.
        """
        batches: list[_Batch] = []
        error: LandingError | None = LandingError(_INTERRUPTED)
        try:
            events = 0
            with self.lock:
                while self.queue and (not batches or events + self.queue[0].events <= COMMIT_EVENTS):
                    batch = self.queue[0]
                    if not batch.is_done:
                        events += batch.events
                        batches.append(batch)  # before it leaves the queue, so that it is never in neither
                    self.queue.popleft()
            if events:
                kinds = sorted({kind for batch in batches for kind in batch.kinds})
                self._write(b"".join([batch.data for batch in batches]), kinds)
            if self.segment is not None and any(batch.closes for batch in batches):
                self.segment.seal()
                self.segment = None
            error = None
        except LandingError as refusal:
            error = refusal
        finally:
            try:
                self._finish(batches, error)
            except BaseException:
                self._finish(batches, error)  # as in `submit`
                raise

    def _finish(self, batches: Iterable[_Batch], error: LandingError | None) -> None:
        if error is not None:
            self._abandon()
        for batch in batches:
            if not batch.is_done:
                batch.error, batch.is_done = error, True
                if batch.turn is not None and not batch.leads:
                    batch.turn.release()

    def _write(self, data: bytes, kinds: list[str]) -> None:
        """Writes to the open segment or, when that one fails, to a new one.

        Raises:
            LandingError: Neither took it.
        """
        for is_last in (False, True):
            try:
                segment = self._open(len(data))
                segment.append(data, kinds)
            except OSError as error:
                self._abandon()
                if error.errno in _NO_ROOM:
                    raise DiskFull(self.folder, len(data)) from error
                if is_last:
                    raise LandingError(
                        f"cannot write {len(data)} bytes to a segment in {self.folder}: {error}. "
                        "Nothing of this batch was acknowledged; check the disk and its permissions, and try again."
                    ) from error
                log.warning("a segment in %s failed, going on in a new one: %s", self.folder, error)
            else:
                return

    def _abandon(self) -> None:
        """The end of the open segment is unknown after an error: never touch that descriptor again."""
        if self.segment is not None:
            self.segment.abandon()
            self.segment = None

    def _open(self, needed: int) -> _OpenSegment:
        """The segment to write to: the open one, unless it is full or old."""
        now = self.clock()
        if self.segment is not None and self.segment.size:
            is_full = self.segment.size + needed > self.segment_bytes
            if is_full or abs(now - self.segment.opened_at) >= self.segment_age:  # abs: the clock may go back
                self.segment.seal()
                self.segment = None
        if self.segment is None:
            self.disk.make_folder(self.folder)
            if self.disk.free(self.folder) < needed:  # else a full disk would collect an empty segment a call
                raise DiskFull(self.folder, needed)
            while self.segment is None:
                self.sequence += 1
                name = f"{now.astimezone(UTC).strftime(NAME_TIME)}-{self.writer}-{self.sequence:06d}"
                with contextlib.suppress(FileExistsError):
                    self.segment = _OpenSegment(self.disk, self.folder, name, now)
        return self.segment


class SegmentWriter:
    """Appends lines to segments of its own, from any number of threads, and returns when they are durable.

    Threads that call at the same time share a commit: one of them writes what all brought, up to 1000 events, while
    the next ones gather. Nobody waits for company. A child made by fork writes to segments of its own. A writer that
    is closed, garbage-collected or left open at the end of the process seals its segment.
    """

    def __init__(
        self,
        folder: Path,
        *,
        writer: str | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        segment_age: timedelta = SEGMENT_AGE,
        disk: Disk = OS_DISK,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Nothing is opened yet; the first `append` makes the folder.

        Raises:
            LandingError: `writer` has characters that a file name should not have.
        """
        if writer is not None and not _WRITER.fullmatch(writer):
            raise LandingError(
                f"{writer!r} cannot name a writer; use letters, digits, dots and underscores, 80 at most"
            )
        self._log = _Log(Path(folder), writer or _writer_name(), segment_bytes, segment_age, disk, clock)
        weakref.finalize(self, self._log.close, EXIT_SECONDS)
        _logs.add(self._log)

    @property
    def folder(self) -> Path:
        """Where the segments are."""
        return self._log.folder

    @property
    def segment_age(self) -> timedelta:
        """Age at which a segment is sealed."""
        return self._log.segment_age

    def append(self, lines: Sequence[bytes]) -> None:
        """Makes lines durable, in their order and all in one segment; returns when they are.

        Args:
            lines: Events as `accept` made them, without newlines.

        Raises:
            LandingError: They are not durable, and nothing of the call is acknowledged; `DiskFull` when there is no
                room. Readers may still find such lines, and drop them by their event_id when they are tried again.
        """
        if not lines:
            return
        data = b"\n".join(lines) + b"\n"
        if data.count(b"\n") != len(lines):
            raise LandingError("a line has a newline in it; append takes events as accept made them, one a line")
        self._log.submit(_Batch(data, len(lines), _kinds(lines)))

    def flush(self) -> None:
        """Returns when all that other threads brought before is durable or refused."""
        self._log.submit(_Batch(b"", 0, []))

    def close(self) -> None:
        """Seals the open segment. What is appended afterwards is refused."""
        self._log.close()


_logs: weakref.WeakSet[_Log] = weakref.WeakSet()


def _forget_after_fork() -> None:
    for writer_log in _logs:
        writer_log.forget()


os.register_at_fork(after_in_child=_forget_after_fork)


def _writer_name() -> str:
    return f"{os.getpid()}.{os.urandom(4).hex()}"


def _kinds(lines: Iterable[bytes]) -> list[str]:
    beginnings = {line[_KIND_AT:_KIND_END] for line in lines}  # few differ, so few are taken apart
    return sorted({beginning.partition(b'"')[0].decode("utf-8", "replace") for beginning in beginnings})
