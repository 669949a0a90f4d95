"""Segments: files of JSON lines that hold every accepted event, durable before anyone is told so.

Here is how lines get onto disk (`SegmentWriter`), how they are read while the file still grows (`segments`,
`read_range`), and how a segment whose writer died is closed (`recover`). What a line says is none of its business,
but for the kind that stands first in it.

A segment `<utc start>-<writer>-<seq>.jsonl` has one writer, which holds a flock on it while it lives. Beside it stands
an index, `<the same>.idx`: one JSON line a commit, written after the commit is durable and never waited for, with its
end, its checksum and its kinds; and at last the seal, with the size and sha256 of the whole. Where the index vouches
for bytes, they are exactly what `accept` made. Losing the index loses nothing but that shortcut.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
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
from typing import Protocol
from zlib import crc32

import msgspec

from oplake.landing.errors import DiskFull, LandingError

log = logging.getLogger(__name__)

SEGMENT_BYTES = 64 * 2**20  # large enough to compress well, small enough to read into memory at once
SEGMENT_AGE = timedelta(days=1)  # so that every segment is archived in the end, however quiet its writer
COMMIT_EVENTS = 1000  # keeps one commit, and so the wait of those who come next, within milliseconds
READ_BYTES = 64 * 2**20  # what a reader takes at a time, unless it asks for less
VOUCH_BYTES = 2**20  # read at a time when a whole segment is checked; more only costs fresh memory
EXIT_SECONDS = 5.0  # how long the end of the process waits for a commit under way; recovery does the rest

SUFFIX = ".jsonl"
INDEX_SUFFIX = ".idx"
_NAME_TIME = "%Y%m%dT%H%M%S.%fZ"
_WRITER = re.compile(r"[A-Za-z0-9._]{1,80}")
_KIND_AT = len(b'{"kind":"')
_KIND_END = _KIND_AT + 20  # past the longest name of a kind and its closing quote
_INTERRUPTED = "interrupted while writing: these events may be durable or not; try them again under the same event_id"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def utc_now() -> datetime:
    """The present time in UTC: the clock at the gateway."""
    return datetime.now(UTC)


class Disk(Protocol):
    """What a writer needs of a disk; tests put one in its place that fails."""

    def make_folder(self, folder: Path) -> None:
        """Makes a folder, and the entries that lead to it durable; it may be there already."""

    def free(self, folder: Path) -> int:
        """Bytes that still fit."""

    def create(self, path: Path) -> int:
        """Creates a file, opens it for appending and takes its flock.

        Raises:
            FileExistsError: There is one.
        """

    def rename(self, old: Path, new: Path) -> None:
        """Gives a file another name, at once."""

    def sync_folder(self, folder: Path) -> None:
        """Makes the entries of a folder durable."""

    def write(self, descriptor: int, data: memoryview) -> int:
        """Appends the beginning of `data` and says how many bytes that were."""

    def sync(self, descriptor: int) -> None:
        """Makes what was written durable (fdatasync)."""

    def close(self, descriptor: int) -> None:
        """Closes a file; its flock is free then."""


class OsDisk:
    """The disk of this machine."""

    def make_folder(self, folder: Path) -> None:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for path in missing:
            self.sync_folder(path.parent)

    def free(self, folder: Path) -> int:
        room = os.statvfs(folder)
        return room.f_bavail * room.f_frsize

    def create(self, path: Path) -> int:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def write(self, descriptor: int, data: memoryview) -> int:
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        _fdatasync(descriptor)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)


_fdatasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # macOS has only fsync
OS_DISK = OsDisk()


class Commit(msgspec.Struct, gc=False):
    """A line of the index: bytes that were made durable together, from the end of the commit before."""

    end: int
    crc32: int  # of the bytes, then of the kinds joined by commas: it vouches for both
    kinds: list[str]


class Seal(msgspec.Struct, gc=False):
    """The last line of the index: nothing will be appended any more."""

    sealed: bool
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Segment:
    """A segment as it stood when it was looked at."""

    name: str
    path: Path
    size: int  # bytes
    is_live: bool  # its writer holds the flock, so more may come
    seal: Seal | None

    @property
    def is_sealed(self) -> bool:
        """Whether nothing will be appended any more."""
        return self.seal is not None

    @property
    def started_at(self) -> datetime | None:
        """When it was opened, by its name; None for a file that was named by someone else."""
        return started_at(self.name)


def started_at(name: str) -> datetime | None:
    """When a segment of that name was opened; None for a name that somebody else chose."""
    try:
        return datetime.strptime(name.partition("-")[0], _NAME_TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


@dataclass(frozen=True)
class Range:
    """Whole lines of a segment."""

    data: bytes  # ends in a newline, or is empty
    start: int
    end: int
    is_verified: bool  # the index vouches for every byte
    kinds: frozenset[str]  # the kinds in it, where it is verified
    torn: bytes  # what stands behind `end` without a newline, when its writer is gone


# -- Writing ---------------------------------------------------------------------------------------------------------


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
        self.size += len(data)
        self._sha256.update(data)
        self._note(Commit(end=self.size, crc32=_checksum(data, kinds), kinds=kinds))

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

    def submit(self, batch: _Batch, timeout: float = -1) -> None:
        """Returns when a batch is done, by this thread or by another along with its own.

        Raises:
            LandingError: It was refused.
        """
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
        try:
            if batch.turn is not None:
                batch.turn.acquire(timeout=timeout)
            if batch.leads:
                self._commit()
        finally:  # nobody waits for this batch any more, whether it is done, timed out or a signal struck
            with self.lock:
                if not batch.is_done and batch in self.queue:
                    self.queue.remove(batch)
                if batch.leads:
                    self._pass_on()
        if batch.error is not None:
            raise batch.error

    def close(self, timeout: float = -1) -> None:
        """Seals the open segment when what waits is written; gives up after `timeout` seconds."""
        if not self.is_closed:
            self.submit(_Batch(b"", 0, [], closes=True), timeout)

    def _pass_on(self) -> None:
        self.has_leader = bool(self.queue)
        if self.queue:
            successor = self.queue[0]
            successor.leads = True
            if successor.turn is not None:
                successor.turn.release()

    def forget(self) -> None:
        """In a forked child: the open segment, the waiting batches and whoever held the locks are the parent's."""
        self._abandon()  # the flock stays with the parent's descriptor
        self.writer = _writer_name()
        self.lock = threading.Lock()
        self.queue = deque()
        self.has_leader = False

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
                    events += self.queue[0].events
                    batches.append(self.queue.popleft())
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
            if error is not None:
                self._abandon()
            for batch in batches:
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
                name = f"{now.astimezone(UTC).strftime(_NAME_TIME)}-{self.writer}-{self.sequence:06d}"
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


def _checksum(data: bytes | memoryview, kinds: Iterable[str]) -> int:
    return crc32(_names(kinds), crc32(data))


def _names(kinds: Iterable[str]) -> bytes:
    return ",".join(kinds).encode()


# -- Reading ---------------------------------------------------------------------------------------------------------


def segments(folder: Path) -> list[Segment]:
    """The segments of a folder by name, which is by time; not those in the archive. An absent folder has none."""
    if not folder.is_dir():
        return []
    paths = sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))
    return [found for found in map(look_at, paths) if found is not None]


def look_at(path: Path) -> Segment | None:
    """One segment by its path; None when it is gone, to the archive for example."""
    try:
        is_live = _is_locked(path)  # first: what is not live now is what it says next
        seal = read_seal(path)
        size = path.stat().st_size
    except FileNotFoundError:
        return None
    return Segment(path.stem, path, size, is_live and seal is None, seal)


def read_range(segment: Segment, start: int, limit: int = READ_BYTES) -> Range:
    """Whole lines of a segment from byte `start`, at a boundary of lines, towards its present end, durable.

    Call it again with `start=end` until it gives nothing. A range is either verified, then it is a run of commits that
    the index vouches for, of `limit` bytes or one commit; or it is not, then it ends where the index can vouch again.

    Raises:
        LandingError: The segment is shorter than `start`: somebody cut it.
        FileNotFoundError: It is gone, to the archive for example.
    """
    descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _sync_for_reading(descriptor)
        size = os.fstat(descriptor).st_size
        if start > size:
            raise LandingError(
                f"{segment.path} has {size} bytes, and {start} were read from it before: it was cut or replaced. "
                "Restore it from a backup, or rebuild the lake from what is there (oplake rebuild)."
            )
        begin = 0
        covered: list[tuple[int, int, Commit]] = []
        stop = min(size, start + limit)
        for commit in _read_commits(segment.path):
            if begin < start < commit.end:  # inside a commit that was read in part: its rest first
                stop = min(stop, commit.end)
            elif begin >= start and commit.end <= size and (commit.end <= stop or not covered):
                covered.append((begin - start, commit.end - start, commit))
            begin = commit.end
        if covered and covered[0][0] == 0:
            data = _pread(descriptor, covered[-1][1], start)
            end, kinds = _verify(data, covered)
            if end:
                data = data[:end]
                return Range(data, start, start + end, True, kinds, _torn(segment, descriptor, start + end, size))
            stop = min(stop, start + covered[0][1])
        elif covered:
            stop = min(stop, start + covered[0][0])
        data = _whole_lines(descriptor, start, stop, size)
        end = start + len(data)
        return Range(data, start, end, False, frozenset(), _torn(segment, descriptor, end, size))
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Vouched:
    """What the index vouches for of a whole segment."""

    kinds: frozenset[str]
    lines: int


def vouch(segment: Segment) -> Vouched | None:
    """What a sealed segment holds, if its index vouches for every byte of it; None if it does not.

    For readers that hand the file itself on: `read_range` would hold all of it in memory.

    Raises:
        FileNotFoundError: It is gone, to the archive for example.
    """
    if not segment.is_sealed:
        return None
    begin, lines, kinds = 0, 0, set[str]()
    with segment.path.open("rb", buffering=VOUCH_BYTES) as file:
        for commit in _read_commits(segment.path):
            checksum, left = 0, commit.end - begin
            while left and (part := file.read(min(left, VOUCH_BYTES))):
                checksum = crc32(part, checksum)
                lines += part.count(b"\n")
                left -= len(part)
            if left or crc32(_names(commit.kinds), checksum) != commit.crc32:
                return None
            kinds.update(commit.kinds)
            begin = commit.end
    return Vouched(frozenset(kinds), lines) if begin == segment.size else None


def recover(segment: Segment) -> Segment | None:
    """Seals a segment whose writer died, as it is; a torn tail stays where it is and is `Range.torn`.

    Returns the sealed segment, or None when somebody else has it in hand.

    Raises:
        OSError: Its index cannot be written.
    """
    descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        seal = read_seal(segment.path)
        if seal is None:
            _sync_for_reading(descriptor)
            with open(descriptor, "rb", closefd=False) as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            seal = Seal(sealed=True, bytes=os.fstat(descriptor).st_size, sha256=sha256)
            with segment.path.with_suffix(INDEX_SUFFIX).open("ab") as index:
                index.write(b"\n" + msgspec.json.encode(seal) + b"\n")  # the line before it may be torn
                index.flush()
                os.fsync(index.fileno())
        return Segment(segment.name, segment.path, seal.bytes, False, seal)
    finally:
        os.close(descriptor)


def read_seal(path: Path) -> Seal | None:
    """The seal of a segment, None while it has none."""
    try:
        with path.with_suffix(INDEX_SUFFIX).open("rb") as index:
            index.seek(0, os.SEEK_END)
            index.seek(max(0, index.tell() - 256))  # longer than any seal
            last = index.read().rstrip(b"\n").rpartition(b"\n")[2]
    except FileNotFoundError:
        return None
    try:
        return _seal_decoder.decode(last)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


_commit_decoder = msgspec.json.Decoder(Commit)
_seal_decoder = msgspec.json.Decoder(Seal)


def _read_commits(path: Path) -> list[Commit]:
    """What the index says. A line that cannot be read leaves a gap, which no checksum will vouch for."""
    try:
        lines = path.with_suffix(INDEX_SUFFIX).read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    commits: list[Commit] = []
    for line in lines:
        try:
            commit = _commit_decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if commit.end > (commits[-1].end if commits else 0):
            commits.append(commit)
    return commits


def _verify(data: bytes, covered: Sequence[tuple[int, int, Commit]]) -> tuple[int, frozenset[str]]:
    """The end of the commits from the first on whose checksums are right, and their kinds."""
    view = memoryview(data)
    end, kinds = 0, set[str]()
    for begin, stop, commit in covered:
        if _checksum(view[begin:stop], commit.kinds) != commit.crc32:
            break
        end = stop
        kinds.update(commit.kinds)
    return end, frozenset(kinds)


def _whole_lines(descriptor: int, start: int, stop: int, size: int) -> bytes:
    """Whole lines from `start` to about `stop`; one at least, if there is one before `size`."""
    while True:
        data = _pread(descriptor, stop - start, start)
        end = data.rfind(b"\n") + 1
        if end or stop >= size:
            return data[:end]
        stop = min(size, start + 2 * (stop - start))


def _torn(segment: Segment, descriptor: int, end: int, size: int) -> bytes:
    """What follows the last line of a segment whose writer is gone."""
    if segment.is_live or end == size:
        return b""
    rest = _pread(descriptor, size - end, end)
    return b"" if b"\n" in rest else rest


def _pread(descriptor: int, count: int, offset: int) -> bytes:
    parts = []
    while count > 0 and (part := os.pread(descriptor, count, offset)):  # it gives 2 GiB at most
        parts.append(part)
        count -= len(part)
        offset += len(part)
    return b"".join(parts)


def _sync_for_reading(descriptor: int) -> None:
    try:
        _fdatasync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EROFS, errno.EINVAL}:  # what nobody can write to needs no sync
            raise LandingError(f"cannot make what is read durable first: {error}") from error


def _is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
