"""From segments into the landed tables, each event exactly once.

A batch of bytes is noted in the journal, made into typed rows, compared with what the tables hold, and committed: one
commit a table, each with the number of the batch as an application transaction, `lake.segments` last. A crash in
between is followed by the same batch, in which tables that have its number already are passed over.

Two events are one when they are of the same kind, day and event_id. The first to come stays; another with the same
body, `received_at` and flags aside, is a duplicate and dropped; one with another body becomes a reject. A `ts` that is
the time of receipt was stamped with it, and is aside like it. So what ends up where depends on the order of the journal
and not on how it was cut into batches, and `oplake rebuild`, which takes many batches at a time, makes the same tables.

Which bytes there are to read stands in `stretches`, how lines become columns in `lines`, how rows become a table in
`tables`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from oplake import events
from oplake.lake import delta_log
from oplake.lake.engine import engine
from oplake.lake.errors import LakeError
from oplake.lake.journal import Batch, Journal, Piece
from oplake.lake.landed import INGESTED, LANDED, REDACTIONS, SEGMENTS
from oplake.lake.lines import Lines
from oplake.lake.parquet import GROUP_ROWS
from oplake.lake.spec import DAY, literal, quoted
from oplake.lake.stretches import Source, Stretch
from oplake.lake.tables import Lake
from oplake.lake.watermark import publish_watermark, read_watermark, write_watermark
from oplake.landing.accept import accept_landed, reject
from oplake.landing.errors import Unusable
from oplake.settings import Settings

log = logging.getLogger(__name__)

APP = "oplake.ingest"  # the application transaction of a batch; its version is the batch's number
DUPLICATES = "oplake.duplicates"  # what a commit says of the duplicates that it dropped, in case it is the last one
REJECT = "reject"
ASIDE = ("received_at", "ts_suspect", "redactions")  # what two deliveries of one event may differ in
CONFLICT = "conflict: an event of the same kind, day and event_id came before, with another body"
AHEAD = timedelta(days=1)  # a received_at further ahead of the present comes of a wrong clock, and is no watermark
LOCK = "ingest.lock"
_NEW = "SELECT * EXCLUDE (line_number) FROM typed ANTI JOIN repeats USING (line_number)"


class IngestBusy(LakeError):
    """Another process is taking in events, or looking after the tables; one at a time does."""


@dataclass(frozen=True)
class Progress:
    """How far an ingest has come."""

    step: str  # what was just made durable: "journal", the name of a table, or "watermark"
    bytes_done: int
    bytes_total: int


Listener: TypeAlias = Callable[[Progress], None]


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did."""

    touched: Mapping[str, Mapping[date, int]]  # rows added, by table and day
    events: int  # events that became rows
    duplicates: int
    rejects: int  # lines that could not be used, conflicts included
    bytes: int
    watermark: datetime | None


@contextlib.contextmanager
def ingest_lock(settings: Settings) -> Iterator[None]:
    """Holds what only one process may do at a time: ingest, rebuild, upkeep of landed tables and of the archive.

    Raises:
        IngestBusy: Another process holds it.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise IngestBusy(
                f"another process is at work on {settings.home} (it holds {LOCK}); wait for it to end, and try again"
            ) from error
        yield
    finally:
        os.close(descriptor)


def ingest(
    settings: Settings, *, now: datetime, progress: Listener | None = None, lake: Lake | None = None
) -> IngestReport:
    """Takes in every event that has landed, up to the present end of every segment.

    Args:
        settings: Where landing and lake are, and how many bytes to take in per commit.
        now: The present time, which becomes the watermark once everything is read.
        progress: Called after every durable step.
        lake: The lake, where the caller has it open already.

    Raises:
        IngestBusy: Another process is at it.
        LakeError: The journal, a table or an archived segment is damaged.
    """
    with (
        ingest_lock(settings),
        Intake(settings, lake or Lake(settings.lake, retention=settings.vacuum_after), now, progress) as intake,
    ):
        intake.finish()
        intake.take_in_new()
        return intake.report()


@dataclass(frozen=True)
class _Unusable:
    """A line that could not be used, at an offset within a stretch."""

    stretch: Stretch
    offset: int
    reason: str


class _Repeated(Exception):
    """Some of the rows came before."""


@dataclass
class _Passing:
    """What has to be known of rows that flow by."""

    until: datetime  # a received_at after this comes of a wrong clock
    count: int = 0
    days: set[date] = field(default_factory=set)
    redacted: set[date] = field(default_factory=set)  # days on which secrets were replaced
    received_at: datetime | None = None  # the latest
    identities: list[pa.RecordBatch] = field(default_factory=list)

    def note(self, batch: pa.RecordBatch) -> None:
        """Looks at some of the rows."""
        if not batch.num_rows:
            return
        self.count += batch.num_rows
        self.identities.append(batch.select([DAY, "event_id"]))
        self.days.update(pc.unique(batch[DAY]).to_pylist())
        self.redacted.update(pc.unique(batch[DAY].filter(pc.not_equal(batch["redactions"], "{}"))).to_pylist())
        received = batch["received_at"]
        latest = pc.max(received.filter(pc.less_equal(received, self.until))).as_py()
        self.received_at = max(filter(None, (self.received_at, latest)), default=None)


class Intake:
    """An ingest while it runs; also that of a rebuild, into a lake beside. Whoever makes one holds the lock.

    Args:
        settings: Where landing is.
        lake: Where the tables are.
        now: The present time.
        progress: Called after every durable step.
        is_rebuild: Whether the archive is to be looked through for what the journal does not tell of.
    """

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        now: datetime,
        progress: Listener | None = None,
        *,
        is_rebuild: bool = False,
    ) -> None:
        self.settings = settings
        self.lake = lake
        self.now = now.astimezone(UTC)
        self.journal = Journal(settings.landing)
        self.is_rebuild = is_rebuild
        self._listener = progress
        self._work = lake.root.with_name(f".{lake.root.name}-ingest")
        self._source = Source(settings, self._work, now=self.now)
        self._watermark = read_watermark(settings.landing)
        self._received: datetime | None = None
        self._touched: dict[str, Counter[date]] = {}
        self._events = self._duplicates = self._rejects = self._bytes = self._expected = 0

    def __enter__(self) -> Intake:
        shutil.rmtree(self._work, ignore_errors=True)  # of one that was killed
        self._work.mkdir(parents=True)
        with contextlib.ExitStack() as stack:
            self._connection = stack.enter_context(engine(self.settings))
            stack.callback(shutil.rmtree, self._work, ignore_errors=True)
            self._stack = stack.pop_all()
        for spec in INGESTED:
            self.lake.create(spec)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # -- What to take in ---------------------------------------------------------------------------------------------

    @property
    def done(self) -> int:
        """Number of the last batch that is wholly in the tables; 0 before the first."""
        return self.lake.transaction(SEGMENTS.name, APP) or 0

    def finish(self) -> None:
        """Takes in the batches of the journal that did not get as far as `lake.segments`, several at a time."""
        pending = self.journal.after(self.done)
        if not pending:
            return
        self._expected += sum(map(_bytes, pending))
        # A group never reaches over the last batch of a table: that table has it whole, or nothing of it.
        marks = {self.lake.transaction(spec.name, APP) for spec in LANDED.values()}
        group: list[Batch] = []
        for batch in pending:
            is_full = sum(map(_bytes, group)) + _bytes(batch) > self.settings.ingest_bytes
            if group and (is_full or group[-1].number in marks):
                self._take_in(group)
                group = []
            group.append(batch)
        self._take_in(group)

    def take_in_new(self) -> None:
        """Takes in what no batch has covered, as it lies now, and moves the watermark on."""
        query = f"SELECT segment, start_offset, end_offset FROM ({self.lake.relation_sql(SEGMENTS.name)})"
        known = [Piece(*row) for row in self._connection.execute(query).fetchall()]
        missing = self._source.uncovered(known, with_archive=self.is_rebuild or not known)
        self._expected += sum(end - start for _, start, end in missing)
        found: list[Stretch] = []
        size = 0
        for segment, start, end in missing:
            position = start
            while position < end:
                if found and size + end - position > self.settings.ingest_bytes:  # segments are best read whole
                    self._begin(found)
                    found, size = [], 0
                read = self._source.read(segment, position, self.settings.ingest_bytes)
                if not read:
                    break
                found += read
                size += read[-1].end - position
                position = read[-1].end
        if found:
            self._begin(found)
        # Every segment was read to the end that it had after `now`.
        is_ahead = self._watermark is not None and self._watermark > self.now + AHEAD
        if is_ahead:
            log.warning("the watermark %s comes of a clock that was ahead; it is taken back", self._watermark)
        self._watermark = max(filter(None, (None if is_ahead else self._watermark, self._received, self.now)))
        write_watermark(self.settings.landing, self._watermark)
        publish_watermark(self.lake, self._watermark)
        self._tell("watermark")

    def report(self) -> IngestReport:
        """What has been done so far."""
        return IngestReport(
            touched={name: dict(sorted(days.items())) for name, days in sorted(self._touched.items())},
            events=self._events,
            duplicates=self._duplicates,
            rejects=self._rejects,
            bytes=self._bytes,
            watermark=self._watermark,
        )

    def _begin(self, stretches: list[Stretch]) -> None:
        """Notes a new batch, and takes it in."""
        batch = Batch(
            number=max([self.done, *(each.number for each in self.journal.after(self.done))]) + 1,
            at=self.now,
            watermark=self._watermark,
            pieces=tuple(stretch.piece for stretch in stretches),
        )
        self.journal.append(batch)
        self._tell("journal")
        self._take_in([batch], stretches)

    # -- What becomes of it ------------------------------------------------------------------------------------------

    def _take_in(self, batches: Sequence[Batch], stretches: Iterable[Stretch] | None = None) -> None:
        """Brings batches into the tables, with one commit a table."""
        taking = _Taking(batches)
        if stretches is None:
            stretches = (stretch for batch in batches for stretch in self._source.noted(batch))
        with contextlib.closing(Lines(self._connection, self._work, "lines")) as lines:
            for stretch in stretches:
                taking.add(stretch, lines)
            counts = lines.counts()
            for kind in sorted(counts.keys() - {REJECT}):
                self._bring(kind, counts[kind], lines, taking)
            self._bring_rejects(counts.get(REJECT, 0), lines, taking)
        for first, last in _runs(sorted(taking.redacted)):
            self._count_redactions(first, last)
        self._commit_segments(taking)
        self._source.trim()

    def _bring(self, kind: str, count: int, lines: Lines, taking: _Taking) -> None:
        """Brings the lines of one kind, of which there are `count`, into its table.

        Most batches hold nothing twice. So rows flow from DuckDB into files and are looked at on the way; when one
        turns out to have come before, nothing is committed, and all is done again with more care.
        """
        spec = LANDED[kind]
        if not self._is_there(kind, taking):
            passing = _Passing(until=self.now + AHEAD)
            reader = self._reader(f"{lines.typed(kind)} ORDER BY {spec.order_sql}")
            flow = pa.RecordBatchReader.from_batches(reader.schema, self._checked(kind, reader, count, passing))
            try:
                self._append(kind, flow, taking, Counter())
            except _Repeated:
                pass
            else:
                self._note(passing, taking)
                return
        duplicates, new_count = self._compare(kind, count, lines, taking)
        if self._is_there(kind, taking):
            # It has these rows since before a crash, so that all of them have just looked like duplicates.
            duplicates = self._said_duplicates(spec.name, taking)
        elif new_count:
            self._append(kind, self._reader(f"{_NEW} ORDER BY {spec.order_sql}"), taking, duplicates)
        taking.duplicates += duplicates

    def _bring_rejects(self, count: int, lines: Lines, taking: _Taking) -> None:
        """Brings rejects into their table: those that doors landed, and the lines found unusable here."""
        duplicates: Counter[Piece] = Counter()
        parts: list[str] = []
        if count:
            duplicates, new_count = self._compare(REJECT, count, lines, taking)
            parts += [_NEW] if new_count else []
        with contextlib.closing(Lines(self._connection, self._work, "unusable")) as found:
            if taking.unusable:
                found.add(b"".join(taking.rejects()), {REJECT})
                days = {taking.batch_of[unusable.stretch.piece].at.date() for unusable in taking.unusable}
                parts.append(
                    f"SELECT * FROM ({found.typed(REJECT)}) ANTI JOIN ({self._held(REJECT, days)}) AS held "
                    f"USING ({DAY}, event_id)"
                )
            if not parts:
                rows = None
            else:
                rows = self._reader(f"{' UNION ALL '.join(parts)} ORDER BY {LANDED[REJECT].order_sql}").read_all()
        if self._is_there(REJECT, taking):
            duplicates = self._said_duplicates(LANDED[REJECT].name, taking)
        elif rows is not None and rows.num_rows:
            self._append(REJECT, rows, taking, duplicates)
        taking.duplicates += duplicates

    def _checked(
        self, kind: str, reader: pa.RecordBatchReader, count: int, passing: _Passing
    ) -> Iterator[pa.RecordBatch]:
        """Rows as they flow by; at their end, an error if they may not be committed.

        Raises:
            _Repeated: Some identity stands twice, in the rows or in the rows and the lake.
        """
        for batch in reader:
            passing.note(batch)
            yield batch
        if passing.count != count:
            raise LakeError(f"{count} lines of kind {kind} gave {passing.count} rows: the index of a segment is wrong")
        with self._registered(identities=pa.Table.from_batches(passing.identities)):
            # Hashes are counted in a quarter of the time; where two collide, a closer look is taken for nothing.
            if self._count(f"SELECT count(DISTINCT hash({DAY}, event_id)) FROM identities") < count:
                raise _Repeated
            held = self._held(kind, passing.days)
            if self._count(f"SELECT count(*) FROM ({held}) SEMI JOIN identities USING ({DAY}, event_id)"):
                raise _Repeated

    def _compare(self, kind: str, count: int, lines: Lines, taking: _Taking) -> tuple[Counter[Piece], int]:
        """Compares every row with those of the same identity that came before, in the lines or in the lake.

        Leaves table `typed` with the rows, by line, and `repeats` with the lines that add nothing. Conflicts are
        refused. Returns the duplicates by piece, and how many lines are new.
        """
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE typed AS {lines.typed(kind, with_number=True)}")
        passing = _Passing(until=self.now + AHEAD)
        for batch in self._reader(f"SELECT {DAY}, event_id, received_at, redactions FROM typed"):
            passing.note(batch)
        self._note(passing, taking)
        held = self._held(kind, passing.days)
        aside = {DAY, "event_id", "ts", *ASIDE}
        said = [quoted(column.name) for column in LANDED[kind].columns if column.name not in aside]
        body = f"md5(CAST(to_json(struct_pack({', '.join(said)})) AS VARCHAR))"
        what = f"{body} AS body, ts, ts = received_at AS is_stamped"
        self._connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE repeats AS
            WITH repeated AS (
                SELECT {DAY}, event_id FROM typed GROUP BY ALL HAVING count(*) > 1
                UNION
                SELECT {DAY}, event_id FROM typed SEMI JOIN ({held}) AS held USING ({DAY}, event_id)
            ), bodies AS (
                SELECT {DAY}, event_id, -1 AS line_number, {what}
                FROM ({held}) AS held SEMI JOIN repeated USING ({DAY}, event_id)
                UNION ALL
                SELECT {DAY}, event_id, line_number, {what} FROM typed SEMI JOIN repeated USING ({DAY}, event_id)
            ), compared AS (
                SELECT
                    line_number,
                    row_number() OVER came AS place,
                    body = first_value(body) OVER came
                    AND (ts = first_value(ts) OVER came OR is_stamped AND first_value(is_stamped) OVER came) AS is_same
                FROM bodies WINDOW came AS (PARTITION BY {DAY}, event_id ORDER BY line_number)
            )
            SELECT line_number, is_same FROM compared WHERE place > 1 AND line_number >= 0
            """
        )
        repeats = self._connection.execute("SELECT line_number, is_same FROM repeats ORDER BY line_number").fetchall()
        duplicates: Counter[Piece] = Counter()
        for line, is_same in repeats:
            stretch = taking.stretch_of(line)
            if is_same:
                duplicates[stretch.piece] += 1
            else:
                taking.refuse(stretch, stretch.offset_of(line), CONFLICT, was_usable=True)
        return duplicates, count - len(repeats)

    def _held(self, kind: str, days: Iterable[date]) -> str:
        """A SELECT of the rows that the lake holds of a kind, on some days."""
        return " UNION ALL ".join(
            self.lake.relation_sql(LANDED[kind].name, start=first, stop=last) for first, last in _runs(sorted(days))
        )

    def _note(self, passing: _Passing, taking: _Taking) -> None:
        """Remembers what the rows of a kind mean for the watermark and for `lake.redactions`."""
        taking.redacted |= passing.redacted
        self._received = max(filter(None, (self._received, passing.received_at)), default=None)

    # -- Commits -----------------------------------------------------------------------------------------------------

    def _is_there(self, kind: str, taking: _Taking) -> bool:
        """Whether a table has these batches already, since before a crash."""
        return (self.lake.transaction(LANDED[kind].name, APP) or 0) >= taking.number

    def _append(
        self, kind: str, rows: pa.RecordBatchReader | pa.Table, taking: _Taking, duplicates: Counter[Piece]
    ) -> None:
        name = LANDED[kind].name
        said = [[piece.segment, piece.start, count] for piece, count in duplicates.items()]
        version = self.lake.append(
            name, rows, transactions={APP: taking.number}, metadata={DUPLICATES: json.dumps(said)}
        )
        for commit in self.lake.commits(name, after=version - 1).commits:
            self._touched.setdefault(name, Counter()).update(commit.days)
        self._tell(name)

    def _said_duplicates(self, name: str, taking: _Taking) -> Counter[Piece]:
        """The duplicates that a table's commits say they dropped of these batches."""
        pieces = {(piece.segment, piece.start): piece for piece in taking.batch_of}
        said: Counter[Piece] = Counter()
        for _, info in delta_log.commit_infos(self.lake.folder(name) / "_delta_log", -1):
            for segment, start, count in json.loads(info.get(DUPLICATES, "[]")):
                if (segment, start) in pieces:
                    said[pieces[segment, start]] = count
        return said

    def _count_redactions(self, first: date, last: date) -> None:
        """Makes some days of `lake.redactions` from the landed tables, again and again the same."""
        parts = " UNION ALL ".join(
            f"SELECT {DAY}, {literal(kind)} AS kind, redactions "
            f"FROM ({self.lake.relation_sql(spec.name, start=first, stop=last)}) WHERE redactions <> '{{}}'"
            for kind, spec in LANDED.items()
        )
        rows = self._reader(
            f"""
            SELECT {DAY}, kind, rule.key AS rule, CAST(sum(rule.value) AS BIGINT) AS count
            FROM (
                SELECT {DAY}, kind, unnest(map_entries(CAST(CAST(redactions AS JSON) AS MAP(VARCHAR, BIGINT)))) AS rule
                FROM ({parts})
            )
            GROUP BY ALL ORDER BY {DAY}, kind, rule
            """
        ).read_all()
        self.lake.replace(REDACTIONS.name, lambda: rows, start=first, stop=last)
        self._tell(REDACTIONS.name)

    def _commit_segments(self, taking: _Taking) -> None:
        """Says what was taken in; with this the batches are done."""
        rows = [
            {
                "segment": piece.segment,
                "start_offset": piece.start,
                "end_offset": piece.end,
                "events": taking.usable[piece] - taking.duplicates[piece],
                "duplicates": taking.duplicates[piece],
                "rejects": taking.refused[piece],
                "ingested_at": batch.at,
                "watermark": batch.watermark,
            }
            for piece, batch in sorted(taking.batch_of.items(), key=lambda item: (item[0].segment, item[0].start))
        ]
        self.lake.append(
            SEGMENTS.name, pa.Table.from_pylist(rows, SEGMENTS.arrow_schema), transactions={APP: taking.number}
        )
        self._events += taking.usable.total() - taking.duplicates.total()
        self._duplicates += taking.duplicates.total()
        self._rejects += taking.refused.total()
        self._bytes += sum(map(_bytes, taking.batches))
        self._tell(SEGMENTS.name)

    # -- Small things ------------------------------------------------------------------------------------------------

    def _tell(self, step: str) -> None:
        if self._listener is not None:
            self._listener(Progress(step, self._bytes, max(self._expected, self._bytes)))

    def _reader(self, query: str) -> pa.RecordBatchReader:
        return self._connection.sql(query).to_arrow_reader(GROUP_ROWS)

    def _count(self, query: str) -> int:
        [(count,)] = self._connection.execute(query).fetchall()
        return int(count)

    @contextlib.contextmanager
    def _registered(self, **tables: pa.Table) -> Iterator[None]:
        for name, table in tables.items():
            self._connection.register(name, table)
        try:
            yield
        finally:
            for name in tables:
                self._connection.unregister(name)


class _Taking:
    """Batches on their way into the tables: which line came from where, and what became of how many, by piece."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches
        self.number = batches[-1].number
        self.batch_of = {piece: batch for batch in batches for piece in batch.pieces}
        self.usable: Counter[Piece] = Counter()
        self.duplicates: Counter[Piece] = Counter()
        self.refused: Counter[Piece] = Counter()
        self.unusable: list[_Unusable] = []
        self.redacted: set[date] = set()
        self._stretches: list[Stretch] = []
        self._first_lines: list[int] = []

    def add(self, stretch: Stretch, lines: Lines) -> None:
        """Adds the usable lines of a stretch to those of the batches."""
        stretch.first_line = lines.count
        if stretch.kinds is None or not stretch.kinds <= events.KINDS.keys():
            usable = self._add_one_by_one(stretch, lines)
        elif stretch.whole_lines is not None:
            usable = lines.add_file(stretch.segment.path, stretch.kinds, stretch.whole_lines)
        else:
            usable = lines.add(stretch.data, stretch.kinds)
        self.usable[stretch.piece] += usable
        self._stretches.append(stretch)
        self._first_lines.append(stretch.first_line)
        stretch.release()

    def _add_one_by_one(self, stretch: Stretch, lines: Lines) -> int:
        """Puts every line to the test, where nobody vouches that it was put before."""
        stretch.kinds = None
        accepted: list[bytes] = []
        kinds: set[str] = set()
        offset = 0
        for raw in stretch.data.split(b"\n"):
            if raw.strip():  # what is blank says nothing
                try:
                    event, line = accept_landed(raw)
                except Unusable as error:
                    self.refuse(stretch, offset, error.reason)
                else:
                    accepted.append(line + b"\n")
                    kinds.add(str(event.__struct_config__.tag))
                    stretch.usable.append(offset)
            offset += len(raw) + 1
        return lines.add(b"".join(accepted), kinds)

    def rejects(self) -> list[bytes]:
        """The rejects that the unusable lines become, as lines; each once."""
        made: dict[str, bytes] = {}
        for unusable in self.unusable:
            stretch = unusable.stretch
            event, line = reject(
                stretch.line_at(unusable.offset),
                reason=unusable.reason,
                origin=stretch.segment.name,
                line=stretch.line_number(unusable.offset),
                byte_offset=stretch.start + unusable.offset,
                received_at=self.batch_of[stretch.piece].at,
            )
            made[event.event_id] = line + b"\n"
        return list(made.values())

    def refuse(self, stretch: Stretch, offset: int, reason: str, *, was_usable: bool = False) -> None:
        """Notes that a line becomes a reject."""
        self.unusable.append(_Unusable(stretch, offset, reason))
        self.refused[stretch.piece] += 1
        if was_usable:
            self.usable[stretch.piece] -= 1

    def stretch_of(self, line: int) -> Stretch:
        """Where a line came from."""
        return self._stretches[bisect_right(self._first_lines, line) - 1]


def _bytes(batch: Batch) -> int:
    return sum(piece.end - piece.start for piece in batch.pieces)


def _runs(days: Iterable[date]) -> list[tuple[date, date]]:
    """Days in order as runs of days without a gap: the first and the last of each."""
    runs: list[tuple[date, date]] = []
    for day in days:
        if runs and day - runs[-1][1] == timedelta(days=1):
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs
