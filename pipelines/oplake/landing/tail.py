"""Following files that others append to: each whole line of them lands once, whatever becomes of file or process.

**Which files.** Those that `OPLAKE_TAIL` names. Files whose names begin with `overseer_corrections` hold rows of an
overseer: each becomes a `correction`, and an `op` that says what the overseer was asked. All others, and lines of
those that say their `kind`, hold events of our contract.

**How far.** A cursor a file (`tail.json` in the home) says how many bytes have landed. It is written before a batch
lands, with the time, and after: whoever is killed between the two lands the very same lines again, with the same
identities, and ingest drops them. Where a line has no `event_id`, its identity is that of the file and its offset.

**What a file is.** A cursor belongs to content, not to a name: it knows the inode, and a hash of the file's head and of
what precedes the offset. A file that is found elsewhere in its folder by these (renamed, copied and truncated, packed
with gzip) is read on there to its end, and what stands at its old place is another file, read from its beginning.

Nothing here reads a clock; `oplake serve`, a sensor, `oplake run` and `oplake tail` all call `tail`.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast
from uuid import UUID, uuid5

import msgspec
from msgspec import structs

from oplake.events import encoder
from oplake.landing.accept import REJECT_BYTES, Accepted, accept_foreign, place_id, reject
from oplake.landing.disk import OS_DISK
from oplake.landing.errors import LandingError, Unusable
from oplake.landing.importers import as_time
from oplake.landing.segments import REST
from oplake.landing.writer import SegmentWriter
from oplake.settings import Settings

OVERSEER_FILES = "overseer_corrections"  # how the names of files begin whose lines are rows of an overseer
OVERSEER = "overseer_correction"  # the source of what such a row becomes
OVERSEER_MODEL = "gpt-oss:120b"  # who advised, where the row does not say
OUTPUT_CHARS = 200  # of the advice, in the op; the correction has it whole
BATCH_BYTES = 4 * 2**20  # of one durable write; it bounds what is held in memory
LINE_LIMIT = REJECT_BYTES  # a longer line is refused: a reject could not keep it
MARK_BYTES = 1024  # of the head, and of what precedes the offset, by which a file is known again
ORIGIN = "tail:"  # how the origins of rejects from such files begin

_FILES = UUID("0b7f0f5e-5d0e-5a53-9a57-8f3c6a2b9d42")  # names the identities of files; never to be changed

log = logging.getLogger(__name__)


class TailError(LandingError):
    """How far files were read cannot be told."""


class Cursor(msgspec.Struct):
    """How far a file has been read."""

    pattern: str  # of the setting, that it was found by
    source: str  # where it was found first; decides how its lines are read
    path: str  # where it was found last
    inode: int
    generation: int  # how many files stood at `source` up to this one, from 1
    offset: int = 0  # bytes that have landed
    line: int = 0  # lines that have landed
    mark: str = ""  # hash of the head and of what precedes the offset
    file_id: str = ""  # its identity, from which that of its lines follows; known with its first line
    until: int = 0  # where the batch ends that is landing just now; 0 when none is
    reading_at: datetime | None = None  # when that batch began to land
    size: int = -1  # as it was seen last, with the time of its last change: nothing new, nothing to open
    mtime_ns: int = 0

    @property
    def origin(self) -> str:
        """How rejects name the file."""
        return f"{ORIGIN}{self.source}#{self.file_id[:8]}"


class State(msgspec.Struct):
    """All cursors, and how many files have stood at each place."""

    cursors: list[Cursor] = []
    generations: dict[str, int] = {}


@dataclass
class Tailed:
    """What was read of one file."""

    path: Path
    events: int = 0
    rejects: int = 0


@dataclass
class TailReport:
    """What was read of all files."""

    files: list[Tailed] = field(default_factory=list)  # those that had something new
    problems: dict[str, str] = field(default_factory=dict)  # files that could not be read, or were lost, and why
    missing: list[str] = field(default_factory=list)  # patterns that no file matches, yet
    is_busy: bool = False  # another process was at it, so that nothing was done

    @property
    def events(self) -> int:
        """Events landed; some may have landed before, which ingest finds."""
        return sum(each.events for each in self.files)

    @property
    def rejects(self) -> int:
        """Lines that could not be used, landed as rejects."""
        return sum(each.rejects for each in self.files)


def tail(
    settings: Settings, now: datetime, *, patterns: Sequence[str] | None = None, writer: SegmentWriter | None = None
) -> TailReport:
    """Land what was appended to files since the last call, up to their present ends.

    Args:
        settings: The home, and the files to follow.
        now: The present time.
        patterns: In place of the files of the settings.
        writer: Where it lands; without it a segment of its own.

    Returns:
        What was read. A file that cannot be read is among its problems, and stops no other.

    Raises:
        TailError: The cursors are damaged.
        LandingError: What was read could not be made durable; the next call reads it again.
    """
    report = TailReport()
    patterns = list(settings.tail if patterns is None else patterns)
    if not patterns:
        return report
    with contextlib.ExitStack() as stack:
        if not stack.enter_context(_only_one(settings.cursors)):
            report.is_busy = True
            return report
        if writer is None:
            writer = SegmentWriter(settings.landing, segment_bytes=settings.segment_bytes)
            stack.callback(writer.close)
        store = _Store(settings.cursors)
        for cursor in _followed(store, patterns, settings.landing.resolve(), report):
            try:
                _follow(cursor, store, writer, now, report)
            except (OSError, EOFError, zlib.error) as error:  # of the file: landing raises errors of its own
                report.problems[cursor.path] = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        store.save()
    for path, problem in report.problems.items():
        log.warning("%s %s", path, problem)
    return report


def read_line(raw: bytes, *, origin: str, byte_offset: int, received_at: datetime) -> list[Accepted]:
    """The events that a line of a followed file makes: one of our contract, or two of a row of an overseer.

    Args:
        raw: The line, without its end.
        origin: The file, as rejects name it (`Cursor.origin`).
        byte_offset: Where the line begins there; with the origin it makes the identity of what has none.
        received_at: When it is read, in UTC; the time of what has none.

    Raises:
        Unusable: It makes none.
    """
    event_id = place_id(origin, byte_offset)
    name = Path(origin.removeprefix(ORIGIN).rpartition("#")[0]).name
    if name.startswith(OVERSEER_FILES):
        row = _row(raw)
        if row is not None:
            correction, op = _of_overseer(row)
            return [
                _accept(correction, received_at, event_id),
                _accept(op, received_at, place_id(f"{origin}/op", byte_offset)),
            ]
    return [_accept(raw, received_at, event_id)]


def _accept(raw: bytes, received_at: datetime, event_id: str) -> Accepted:
    """As a live event, but for old ones: a file may have been lying there for years, but not since tomorrow."""
    accepted = accept_foreign(raw, received_at=received_at, event_id=event_id)
    if accepted.event.ts_suspect and accepted.event.ts < received_at:
        return accept_foreign(raw, received_at=received_at, event_id=event_id, is_live=False)
    return accepted


def _row(raw: bytes) -> dict[str, Any] | None:
    """A row of an overseer; None for what is no row, or an event of our contract."""
    try:
        row = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # accept says best what is wrong with it
    return row if isinstance(row, dict) and "kind" not in row else None


def _of_overseer(row: dict[str, Any]) -> tuple[bytes, bytes]:
    """The correction and the op that a row of an overseer amounts to."""
    row = dict(row)
    created_at, usage = row.pop("created_at", None), row.pop("usage", None)
    model = row.pop("model", None) or OVERSEER_MODEL
    latency_ms = usage.get("latency_ms") if isinstance(usage, dict) else None
    task_class, correction, reason = row.get("task_class"), row.get("correction"), row.get("reason")
    if not isinstance(task_class, str) or not isinstance(correction, str):
        raise Unusable("a row of an overseer needs task_class and correction, both of them texts")
    shared = {
        "ts": as_time(created_at) if type(created_at) in {int, float} else created_at,
        "source": OVERSEER,
        "task_class": task_class,
        "sig_hash": row.pop("sig_hash", None),
        "applied_at_turn": row.pop("applied_at_turn", None),
        "correction": correction,
    }
    for known in ("task_class", "correction", "reason"):
        row.pop(known, None)
    rest = {"usage": usage} | row if usage is not None else row
    event = {"kind": "correction", **shared, "model": model, "reason": reason, "latency_ms": latency_ms, "extra": rest}
    op = {
        "kind": "op",
        **shared,
        "endpoint": f"overseer:{model}",
        "input_summary": f"{task_class}: {reason or 'escalation'}",
        "success": True,
        "duration_ms": 0 if latency_ms is None else latency_ms,
        "output_summary": correction[:OUTPUT_CHARS],
    }
    return _encoded(event), _encoded(op)


def _encoded(event: dict[str, Any]) -> bytes:
    return msgspec.json.encode({key: value for key, value in event.items() if value is not None})


# -- Which file a cursor belongs to ------------------------------------------------------------------------------------


def _found(patterns: Sequence[str], landing: Path, report: TailReport) -> dict[Path, str]:
    """The files that patterns name, with the pattern of each."""
    found: dict[Path, str] = {}
    reals: set[Path] = set()  # links lead to files that have been found already
    for pattern in patterns:
        given = Path(pattern).expanduser().absolute()
        if given.is_dir():
            paths = sorted(given.glob("*.jsonl"))
        elif given.exists():
            paths = [given]
        else:
            paths = sorted(Path(given.anchor).glob(str(given.relative_to(given.anchor))))
        if not paths:
            report.missing.append(pattern)
        for path in paths:
            real = path.resolve()
            if not path.is_file() or real in reals:
                continue
            reals.add(real)
            if landing in real.parents:
                report.problems[str(path)] = "is landing itself, which would be read into itself for ever"
            elif not _is_utf8(path):
                report.problems[ascii(str(path))] = "has a name that is not UTF-8"
            else:
                found[path] = pattern
    return found


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _followed(store: _Store, patterns: Sequence[str], landing: Path, report: TailReport) -> list[Cursor]:
    """A cursor for each file that is to be read: those known, wherever their files are now, and new ones."""
    found = _found(patterns, landing, report)
    taken: set[Path] = set()
    followed = []
    for cursor in list(store.state.cursors):
        if cursor.pattern not in patterns and not {Path(cursor.source), Path(cursor.path)} & found.keys():
            continue
        path = _where(cursor, taken)
        if path is None:
            store.state.cursors.remove(cursor)
            if cursor.size > cursor.offset and not _is_packed(cursor.path):
                rest = cursor.size - cursor.offset
                report.problems[cursor.path] = f"is gone, and with it {rest} bytes or more that were not read yet"
            continue
        taken.add(path)
        cursor.path = str(path)
        followed.append(cursor)
    for path, pattern in found.items():
        inode = _inode(path)
        if path not in taken and inode is not None:
            name = str(path)
            generation = store.state.generations[name] = store.state.generations.get(name, 0) + 1
            cursor = Cursor(pattern, name, name, inode, generation)
            store.state.cursors.append(cursor)
            followed.append(cursor)
    return followed


def _where(cursor: Cursor, taken: set[Path]) -> Path | None:
    """Where a cursor's file is now: the same inode first, then a file that was written anew, then a copy of it."""
    source = Path(cursor.source)
    at_hand = [path for path in dict.fromkeys([Path(cursor.path), source]) if path not in taken]
    for path in at_hand:
        if _inode(path) == cursor.inode and _is_of(cursor, path):
            return path
    beside = [path for path in _beside(source) if path not in taken and path not in at_hand]
    for path in beside:
        if _inode(path) == cursor.inode and _is_of(cursor, path):
            return path
    stem = source.name.partition(".")[0]
    copies = [path for path in beside if path.name.startswith(stem)] if cursor.offset else []
    for path in (*at_hand, *copies):
        inode = _inode(path)
        if inode is not None and _is_of(cursor, path):
            cursor.inode = inode
            return path
    return None


def _beside(path: Path) -> list[Path]:
    try:
        return sorted(other for other in path.parent.iterdir() if _is_utf8(other) and other.is_file())
    except OSError:
        return []


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _is_of(cursor: Cursor, path: Path) -> bool:
    """Whether a file begins with what a cursor has seen."""
    try:
        stat = path.stat()
        if cursor.offset == 0 or (stat.st_ino, *_seen(stat)) == (cursor.inode, cursor.size, cursor.mtime_ns):
            return True
        with _opened(path) as file:
            return _mark(file, cursor.offset) == cursor.mark
    except PermissionError:
        return str(path) == cursor.path  # reading it will say so
    except (OSError, EOFError, zlib.error):
        return False


def _seen(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_size, stat.st_mtime_ns


def _is_packed(path: str) -> bool:
    return path.endswith(".gz")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as packed:
        yield cast("BinaryIO", gzip.GzipFile(fileobj=packed)) if _is_packed(path.name) else packed


def _mark(file: BinaryIO, offset: int) -> str:
    """By which a file is known to begin with the `offset` bytes that were read; empty when it is shorter."""
    length = min(offset, MARK_BYTES)
    file.seek(0)
    head = file.read(length)
    file.seek(offset - length)
    last = file.read(length)
    return blake2b(head + last, digest_size=16).hexdigest() if len(head) == len(last) == length else ""


# -- Reading on --------------------------------------------------------------------------------------------------------


class _Line(NamedTuple):
    raw: bytes  # without its end; of one that is too long, its beginning
    byte_offset: int
    end: int
    length: int  # of all of it, without its end


def _follow(cursor: Cursor, store: _Store, writer: SegmentWriter, now: datetime, report: TailReport) -> None:
    """Land the whole lines of a file from its cursor on."""
    path = Path(cursor.path)
    stat = path.stat()
    if _seen(stat) == (cursor.size, cursor.mtime_ns) and not cursor.until and not _has_ended(cursor, stat, now):
        return
    tailed = Tailed(path)
    with _opened(path) as file:
        size = file.seek(0, os.SEEK_END) if _is_packed(path.name) else stat.st_size
        is_final = _is_packed(path.name) or _has_ended(cursor, stat, now)
        while cursor.offset < size:
            at = cursor.reading_at or now
            stop = cursor.until or size
            batch = _read_batch(file, cursor.offset, stop, is_final=is_final)
            if not batch:
                break
            if not cursor.file_id:
                head = blake2b(batch[0].raw, digest_size=16).hexdigest()
                identity = f"{cursor.source}\0{cursor.inode}\0{cursor.generation}\0{head}"
                cursor.file_id = uuid5(_FILES, identity).hex
            cursor.until, cursor.reading_at = batch[-1].end, at
            store.save()
            _land(batch, cursor, writer, at, tailed)
            cursor.offset, cursor.until, cursor.reading_at = batch[-1].end, 0, None
            cursor.line += len(batch)
            cursor.mark = _mark(file, cursor.offset)
            store.save()
        cursor.size, cursor.mtime_ns = _seen(stat)
    if tailed.events or tailed.rejects:
        report.files.append(tailed)


def _has_ended(cursor: Cursor, stat: os.stat_result, now: datetime) -> bool:
    """Whether a last line without an end is whole: the file was put aside, and nobody writes to it any more."""
    is_aside = cursor.path != cursor.source
    return is_aside and cursor.offset < stat.st_size and now.timestamp() - stat.st_mtime >= REST.total_seconds()


def _read_batch(file: BinaryIO, start: int, stop: int, *, is_final: bool) -> list[_Line]:
    """Whole lines from `start` up to `stop`, at most BATCH_BYTES and one more; blank ones too, for they are counted."""
    file.seek(start)
    batch: list[_Line] = []
    offset = start
    while offset < min(stop, start + BATCH_BYTES):
        raw = file.readline(LINE_LIMIT + 1)
        taken, last = len(raw), raw
        while len(last) == LINE_LIMIT + 1 and not last.endswith(b"\n"):
            last = file.readline(LINE_LIMIT + 1)
            taken += len(last)
        is_whole = last.endswith(b"\n")
        if not raw or not (is_whole or (is_final and offset + taken == stop)):
            break
        length = taken - is_whole
        line = raw[:LINE_LIMIT] if length > LINE_LIMIT else raw.removesuffix(b"\n").removesuffix(b"\r")
        batch.append(_Line(line, offset, offset + taken, length))
        offset += taken
    return batch


def _land(batch: Sequence[_Line], cursor: Cursor, writer: SegmentWriter, at: datetime, tailed: Tailed) -> None:
    lines: list[bytes] = []
    for number, line in enumerate(batch, start=cursor.line + 1):
        if not line.raw.strip(b" \t"):
            continue
        try:
            if line.length > LINE_LIMIT:
                raise Unusable(f"the line has {line.length} bytes; at most {LINE_LIMIT} are read")
            events = read_line(line.raw, origin=cursor.origin, byte_offset=line.byte_offset, received_at=at)
        except Unusable as error:
            tailed.rejects += 1
            refused = reject(
                line.raw,
                reason=error.reason,
                origin=cursor.origin,
                line=number,
                byte_offset=line.byte_offset,
                received_at=at,
            )
            if line.length > LINE_LIMIT:
                refused = _of_length(refused, line.length)
            lines.append(refused.line)
        else:
            tailed.events += len(events)
            lines += [event.line for event in events]
    writer.append(lines)


def _of_length(refused: Accepted, length: int) -> Accepted:
    """A reject that says how long its line was, of which it was given the beginning."""
    event = structs.replace(refused.event, raw_bytes=length)
    return Accepted(event, encoder.encode(event))


# -- The cursors on disk -----------------------------------------------------------------------------------------------


class _Store:
    """The cursors of a home. Whoever uses it holds the lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved = b""
        try:
            self._saved = path.read_bytes()
            self.state = msgspec.json.decode(self._saved, type=State)
        except FileNotFoundError:
            self.state = State()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TailError(
                f"{path} is damaged: {error}. Restore it from a backup, or move it away: then all files are read again "
                "from their beginning, and lines that landed before are dropped where they stand in the same file"
            ) from error

    def save(self) -> None:
        """Makes the cursors durable, if they changed."""
        content = msgspec.json.encode(self.state)
        if content == self._saved:
            return
        part = self._path.with_name(self._path.name + ".part")
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
            OS_DISK.sync_folder(self._path.parent)
        except OSError as error:
            raise TailError(
                f"cannot write {self._path}: {error.strerror}. Nothing is lost: what is not noted there is read again"
            ) from error
        self._saved = content


@contextlib.contextmanager
def _only_one(cursors: Path) -> Iterator[bool]:
    """Whether nobody else follows the files of this home just now; then nobody will in the block."""
    cursors.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(cursors.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
