"""Segments: files of JSON lines that hold every accepted event, as they lie on disk and as they are read.

Here is how lines are read while the file still grows (`segments`, `read_range`), and how a segment whose writer died is
closed (`recover`). They are written by `oplake.landing.writer`. What a line says is none of their business, but for the
kind that stands first in it.

A segment `<utc start>-<writer>-<seq>.jsonl` has one writer, which holds a flock on it while it lives. Beside it stands
an index, `<the same>.idx`: one JSON line a commit, written after the commit is durable and never waited for, with its
end, its checksum and its kinds; and at last the seal, with the size and sha256 of the whole. Where the index vouches
for bytes, they are exactly what `accept` made. Losing the index loses nothing but that shortcut.

A file that somebody else put into landing is a segment too. It is given a name like ours (`adopt`): its own may come
again, with other lines in it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

import msgspec

from oplake.events import CONTRACT
from oplake.landing.errors import LandingError

READ_BYTES = 64 * 2**20  # what a reader takes at a time, unless it asks for less
VOUCH_BYTES = 2**20  # read at a time when a whole segment is checked; more only costs fresh memory
SUFFIX = ".jsonl"
INDEX_SUFFIX = ".idx"
NAME_TIME = "%Y%m%dT%H%M%S.%fZ"
NAME_CHARS = 80  # of a file's own name, or a writer's, within the name of a segment
FOUND = "found."  # how the writer is called of a file that was found in landing
REST = timedelta(minutes=1)  # after the last change of such a file its last line is taken to be whole
_UNFIT = re.compile(r"[^A-Za-z0-9._]+")

fdatasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # macOS has only fsync


class Commit(msgspec.Struct, gc=False):
    """A line of the index: bytes that were made durable together, from the end of the commit before."""

    end: int
    crc32: int  # of the bytes, then of all else that is said of them: it vouches for both
    kinds: list[str]
    contract: int = 0  # by which they were accepted: what is newer than ours may have fields that we do not know

    @classmethod
    def of(cls, data: bytes, end: int, kinds: list[str]) -> Commit:
        """Of bytes that this oplake accepted."""
        return cls(end, crc32(_said(kinds, CONTRACT), crc32(data)), kinds, CONTRACT)

    def vouches_for(self, checksum: int) -> bool:
        """Whether bytes with this CRC-32 are those that were committed, and hold nothing that we do not know."""
        return self.contract <= CONTRACT and crc32(_said(self.kinds, self.contract), checksum) == self.crc32


def _said(kinds: Iterable[str], contract: int) -> bytes:
    return f"{','.join(kinds)};{contract}".encode()


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
        return datetime.strptime(name.partition("-")[0], NAME_TIME).replace(tzinfo=UTC)
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


def segments(folder: Path) -> list[Segment]:
    """The segments of a folder by name, which is by time; not those in the archive. An absent folder has none."""
    if not folder.is_dir():
        return []
    paths = sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))
    return [found for found in map(look_at, paths) if found is not None]


def look_at(path: Path) -> Segment | None:
    """One segment by its path; None when it is gone, to the archive for example, or is no file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None  # to open a pipe would wait for its other end
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
                "Restore it from a backup, or rebuild the lake from what is there (oplake rebuild --what-is-left)."
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
            if left or not commit.vouches_for(checksum):
                return None
            kinds.update(commit.kinds)
            begin = commit.end
    return Vouched(frozenset(kinds), lines) if begin == segment.size else None


def adopt(segment: Segment, *, now: datetime, known: Collection[str]) -> Segment:
    """Gives a file that somebody else named a name like ours, and unlike those known; whoever has it open writes on.

    Raises:
        OSError: The folder cannot be written.
    """
    stem = _UNFIT.sub("_", segment.name)[:NAME_CHARS]
    sequence = 1
    while True:
        name = f"{now.astimezone(UTC).strftime(NAME_TIME)}-{FOUND}{stem}-{sequence:06d}"
        path = segment.path.with_name(name + SUFFIX)
        if name not in known and not path.exists():
            break
        sequence += 1
    segment.path.with_suffix(INDEX_SUFFIX).unlink(missing_ok=True)  # nobody here wrote it
    segment.path.rename(path)
    return replace(segment, name=name, path=path, seal=None)


def is_at_rest(segment: Segment, *, now: datetime) -> bool:
    """Whether nobody seems to write any more: a writer of ours holds a lock, others may only be between two lines."""
    if FOUND not in segment.name:
        return not segment.is_live
    age = now - datetime.fromtimestamp(segment.path.stat().st_mtime, UTC)
    return not segment.is_live and abs(age) >= REST  # abs: a clock may be wrong


def recover(segment: Segment) -> Segment | None:
    """Seals a segment whose writer died, as it is; a torn tail stays where it is and is `Range.torn`.

    One to which somebody has appended since it was sealed is sealed anew, if it is what it was up to there.

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
        size = os.fstat(descriptor).st_size
        if seal is None or (size > seal.bytes and _sha256(descriptor, seal.bytes) == seal.sha256):
            _sync_for_reading(descriptor)
            seal = Seal(sealed=True, bytes=size, sha256=_sha256(descriptor, size))
            with segment.path.with_suffix(INDEX_SUFFIX).open("ab") as index:
                index.write(b"\n" + msgspec.json.encode(seal) + b"\n")  # the line before it may be torn
                index.flush()
                os.fsync(index.fileno())
        return Segment(segment.name, segment.path, size, False, seal)
    finally:
        os.close(descriptor)


def write_index(path: Path, touched: Sequence[tuple[int, int]], size: int) -> None:
    """Puts in the place of a segment's index one that vouches no more for the commits in which bytes were touched.

    It has no seal: the segment is sealed (`recover`) when it is what it is going to be.

    Args:
        path: The segment.
        touched: The bytes, as intervals in order.
        size: How many bytes of the segment count; commits beyond are left out.
    """
    commits, begin, place = [commit for commit in _read_commits(path) if commit.end <= size], 0, 0
    told: list[bytes] = []
    for commit in commits:
        while place < len(touched) and touched[place][1] <= begin:
            place += 1
        if place < len(touched) and touched[place][0] < commit.end:
            commit = Commit(commit.end, commit.crc32 ^ 1, [], commit.contract)  # noqa: PLW2901  # no bytes have it
        told.append(msgspec.json.encode(commit) + b"\n")
        begin = commit.end
    index = path.with_suffix(INDEX_SUFFIX)
    part = index.with_name(f".{index.name}.part")
    with part.open("wb") as file:
        file.writelines(told)
        file.flush()
        os.fsync(file.fileno())
    part.replace(index)


def _sha256(descriptor: int, size: int) -> str:
    digest = hashlib.sha256()
    for start in range(0, size, VOUCH_BYTES):
        digest.update(_pread(descriptor, min(VOUCH_BYTES, size - start), start))
    return digest.hexdigest()


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
        if not commit.vouches_for(crc32(view[begin:stop])):
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
        fdatasync(descriptor)
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
