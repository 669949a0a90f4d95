"""Other people's formats -> events. What all importers share: identity by content, batches, rejects with their place.

**Identity.** What a file says is what counts, not what it is called, where it stands or when it is read. Each line (or
other piece) of a file is known by a running hash of the file's pieces up to and including it; event ids follow from
that. So a renamed, moved, compressed or re-ended (CRLF) copy is the same content and adds nothing, a file that has
grown at its end adds what is new, and the same line at two places is two events. A file that was changed in the middle
is new from there on.

**Time.** Times come from the content, or from a given start and the place in the file. `received_at` alone is the time
of the import, which is no part of an event's identity.

An importer reads and translates; what is accepted and how it lands are decided in `landing`.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast
from uuid import UUID, uuid5

import zstandard
from msgspec import structs

from oplake.events import encoder
from oplake.landing.accept import accept_batch, reject
from oplake.landing.errors import LandingError, Unusable
from oplake.landing.writer import SegmentWriter

START = date(2026, 1, 5)
"""First day of content that has no times of its own, unless another is given: fixed, so that importing again tomorrow
adds nothing."""

BATCH_EVENTS = 5_000  # of one durable write
BATCH_BYTES = 8 * 2**20  # the same, for large events; bounds what an import holds in memory
REJECTS_SHOWN = 20  # of the rejects, how many an import reports itself; all of them land
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_UNITS = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (1e20, 1_000_000_000))  # below: seconds, ms, us, ns
_NAMESPACE = UUID("3f6cf7f4-55d5-5ab0-9b0e-2a7f4c3f6f11")  # of the ids that imports make; never to be changed

Progress: TypeAlias = Callable[[int, int], None]
"""Called now and then with the bytes read of the file and its size; 0 when that is not known."""


FORMATS = ("claude-code", "jsonl", "langfuse", "otlp", "reflexion", "tau-bench", "who-and-when")
"""The formats, as the origins of rejects name them."""


def is_of_file(origin: str) -> bool:
    """Whether a reject came from a file that was imported. Its line alone does not tell what event it would be."""
    return origin.partition(":")[0] in FORMATS


class NotImportable(LandingError):
    """A file cannot be imported as what it was said to be; what was read before that is kept."""


@dataclass(frozen=True)
class Place:
    """Where a piece stands in a file."""

    line: int  # from 1; 0 where there are no lines
    byte_offset: int
    part: str = ""  # the part of the piece that is meant, such as "message 12"
    file: str = ""  # the name of the file, where an import reads several


@dataclass(frozen=True)
class Refused:
    """A piece that became a reject."""

    place: Place
    reason: str


@dataclass(frozen=True)
class Imported:
    """What an import landed. Whether it was there before is known only after ingest, which drops duplicates."""

    taken: int  # events accepted
    rejected: int  # pieces that could not be used, landed as rejects
    by_kind: Mapping[str, int]  # events accepted, by kind
    origin: str  # how the rejects of this content name it: a hash of its beginning
    first_rejects: tuple[Refused, ...]  # at most REJECTS_SHOWN
    first_ts: datetime | None = None  # of the events accepted, the earliest time; None where there are none
    last_ts: datetime | None = None  # the latest
    breaks_off: str = ""  # why the rest of the file could not be read; empty when all of it was


class Identity:
    """The identity of each piece of a file, given in their order: the content of the file up to and including it."""

    def __init__(self, *way: str) -> None:
        """`way` is how the file is read, where that makes other events of the same content."""
        self._way = "\0".join(way).encode()
        self._hash = blake2b(self._way, digest_size=16)
        self._first = ""
        self._last = b""

    def advance(self, piece: bytes) -> None:
        """Go on to the next piece of the file."""
        self._hash.update(len(piece).to_bytes(8, "big"))
        self._hash.update(piece)
        self._last = self._hash.digest()
        self._first = self._first or self._last.hex()[:12]

    @property
    def beginning(self) -> str:
        """A short name for the file, by its first piece."""
        return self._first

    @property
    def present(self) -> bytes:
        """What the ids of the present piece are made of."""
        return self._last

    def id(self, part: str = "") -> str:
        """UUIDv5 of the present piece, or of a part of it."""
        return _id(self._last, part)


def _id(piece: bytes, part: str) -> str:
    return str(uuid5(_NAMESPACE, f"{piece.hex()}/{part}"))


class OfPiece(Identity):
    """An identity of each piece alone, for content that has identities of its own and no order that lasts."""

    def advance(self, piece: bytes) -> None:
        """Go on to another piece."""
        self._last = blake2b(self._way + piece, digest_size=16).digest()
        self._first = self._first or self._last.hex()[:12]


class _Waiting(NamedTuple):
    """What is to land with the next batch: an event, or what cannot be one for a reason."""

    event: bytes | None
    event_id: str
    reason: str
    raw: bytes
    place: Place
    ts: datetime | None
    piece: bytes


class Intake:
    """Takes what an importer reads to landing, in batches.

    Use it as a context manager: what was taken before an error is landed all the same.
    """

    def __init__(
        self, writer: SegmentWriter, identity: Identity, *, name: str, received_at: datetime, begins: datetime
    ) -> None:
        """`name` is that of the format, `received_at` the time of the import, `begins` that of a reject before all."""
        self._writer = writer
        self._identity = identity
        self._name = name
        self._received_at = received_at
        self._latest = begins
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._by_kind: Counter[str] = Counter()
        self._rejects: list[Refused] = []
        self._rejected = 0
        self._breaks_off = ""
        self._span: tuple[datetime, datetime] | None = None

    def __enter__(self) -> Intake:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()

    @property
    def origin(self) -> str:
        """How rejects name the file."""
        return f"{self._name}:{self._identity.beginning}"

    def advance(self, piece: bytes) -> None:
        """Go on to the next piece of what is imported; what is taken from now on is of it."""
        self._identity.advance(piece)

    def id(self, part: str = "") -> str:
        """The identity of the present piece, or of a part of it."""
        return self._identity.id(part)

    def take(self, event: bytes, *, event_id: str, raw: bytes, place: Place, ts: datetime | None = None) -> None:
        """Land an event, or a reject where it is not usable.

        Args:
            event: The event as JSON, with its time.
            event_id: Its identity, when it does not say itself.
            raw: What it was made from, for the reject.
            place: Where that stands.
            ts: When a reject of it happened, by the content; when the event before it did, if that is not known.
        """
        self._await(_Waiting(event, event_id, "", raw, place, ts, self._identity.present))

    def refuse(self, raw: bytes, *, reason: str, place: Place, ts: datetime | None = None) -> None:
        """Land a reject; for `ts` see `take`."""
        self._await(_Waiting(None, "", reason, raw, place, ts, self._identity.present))

    def break_off(self, reason: str) -> None:
        """Remember that the rest of the file cannot be read."""
        self._breaks_off = reason

    def imported(self) -> Imported:
        """The count so far."""
        return Imported(
            taken=self._by_kind.total(),
            rejected=self._rejected,
            by_kind=dict(sorted(self._by_kind.items())),
            origin=self.origin,
            first_rejects=tuple(self._rejects),
            first_ts=self._span and self._span[0],
            last_ts=self._span and self._span[1],
            breaks_off=self._breaks_off,
        )

    def _await(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._bytes += len(waiting.raw)
        if len(self._waiting) >= BATCH_EVENTS or self._bytes >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        batch, self._waiting, self._bytes = self._waiting, [], 0
        events = [waiting for waiting in batch if waiting.event is not None]
        outcomes = iter(
            accept_batch(
                [waiting.event or b"" for waiting in events],
                received_at=self._received_at,
                is_live=False,
                event_ids=[waiting.event_id for waiting in events],
            )
        )
        lines = []
        for waiting in batch:
            outcome = Unusable(waiting.reason) if waiting.event is None else next(outcomes)
            if isinstance(outcome, Unusable):
                lines.append(self._reject(waiting, outcome.reason))
            else:
                self._by_kind[str(outcome.event.__struct_config__.tag)] += 1
                self._latest = ts = outcome.event.ts
                first, last = self._span or (ts, ts)
                self._span = min(first, ts), max(last, ts)
                lines.append(outcome.line)
        self._writer.append(lines)

    def _reject(self, waiting: _Waiting, reason: str) -> bytes:
        """The line of a reject: dated and named by content, so that importing again, whenever that is, adds none."""
        place = waiting.place
        reason = f"{place.part}: {reason}" if place.part else reason
        self._rejected += 1
        if len(self._rejects) < REJECTS_SHOWN:
            self._rejects.append(Refused(place, reason))
        refused = reject(
            waiting.raw,
            reason=reason,
            origin=f"{self._name}:{place.file}" if place.file else self.origin,
            line=place.line,
            byte_offset=place.byte_offset,
            received_at=self._received_at,
        )
        event_id = _id(waiting.piece, f"reject {place.part}")
        return encoder.encode(structs.replace(refused.event, ts=waiting.ts or self._latest, event_id=event_id))


def as_time(value: float) -> Any:
    """A number as the time that it tells, in seconds, ms, us or ns since 1970, by its size.

    One that tells none is left as it is, for accept to refuse.
    """
    for below, per_second in _EPOCH_UNITS:
        if abs(value) < below:
            with suppress(OverflowError):  # before the year 1
                return (_EPOCH + timedelta(microseconds=int(value * 1_000_000) // per_second)).isoformat()
    return value


def midnight(day: date) -> datetime:
    """The beginning of a day, in UTC."""
    return datetime.combine(day, time(), UTC)


def seconds_after(start: datetime, seconds: int) -> datetime:
    """A time derived from a place: `seconds` after the start.

    Raises:
        NotImportable: The calendar ends before that.
    """
    try:
        return start + timedelta(seconds=seconds)
    except OverflowError as error:
        raise NotImportable(
            f"{seconds} s after {start.date()} there is no more calendar; give an earlier start"
        ) from error


@contextmanager
def opened(source: Path | BinaryIO) -> Iterator[tuple[BinaryIO, Callable[[], tuple[int, int]]]]:
    """Open a file for reading, unpacked if its name ends in .gz or .zst, with a function that says how far it was read.

    A stream (standard input) is read as it is.

    Raises:
        NotImportable: It cannot be opened; or, while it is read, it turns out to be broken off or damaged.
    """
    if not isinstance(source, Path):
        yield source, lambda: (0, 0)
        return
    try:
        packed = source.open("rb")
    except OSError as error:
        raise NotImportable(f"cannot read {source}: {error.strerror}. Check the path and its permissions") from error
    with packed:
        size = source.stat().st_size
        try:
            yield _unpacked(packed, source.suffix), lambda: (min(packed.tell(), size), size)
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            raise NotImportable(
                f"{source} is damaged or breaks off: {error}. What precedes that was taken; "
                "importing the whole file later adds only the rest"
            ) from error


def _unpacked(packed: BinaryIO, suffix: str) -> BinaryIO:
    if suffix == ".gz":
        return cast("BinaryIO", gzip.GzipFile(fileobj=packed))
    if suffix == ".zst":
        reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True, closefd=False)
        return cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", reader), 2**20))
    return packed
