"""The tables of the lake: create, append, replace days, read as of a version or a time.

One Delta table a folder, `<root>/<schema>/<table>`, partitioned by `day` where it has days. This module knows Delta's
log and files and nothing of what is in the tables, who writes them, or when. DuckDB does the reading: it is given the
files of one version by name, never a pattern.

Every write is two steps: files are written beside the table, where nobody sees them, then one commit makes them part of
it. Every commit carries one and the same application transaction, so that of two writers who began from one version the
second is told, looks at the table again and commits on top. delta-rs alone would let two replacements of a day that
was empty both succeed, and the day would have its rows twice.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote
from uuid import uuid4

import pyarrow as pa
import stamina
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from oplake.lake import delta_log
from oplake.lake.commit import APPEND, REMOVE, REPLACE, UNKNOWN, Commit, facts, read_commit
from oplake.lake.delta_spec import COMMENT, check_reachable, field_of, is_grown, properties_of, spec_of
from oplake.lake.errors import BadRows, LakeBusy, LakeError, LogBroken, Overtaken, TableMissing, VersionMissing
from oplake.lake.parquet import Batches, DataFile, write_files
from oplake.lake.relation import select
from oplake.lake.spec import DAY, Column, TableSpec, check_name
from oplake.settings import UNSAFE

__all__ = ["Batches", "Column", "Lake", "Replaced", "TableSpec"]

COMMIT_SECONDS = 60.0  # a commit takes milliseconds; who is overtaken for a minute should say so
WORTH_A_CHECKPOINT = 8  # commits worth a checkpoint: 15 of them make opening a table of 365 files take twice as long
RETENTION = timedelta(days=7)  # how long versions can be read after they were replaced; the default of vacuum_after

_WRITER = "oplake.writer"  # the application transaction that all commits share
_MARK = "oplake.commit"  # tells our own commit from another's
_ADD = {"path", "size_bytes", "modification_time", "num_records", f"partition.{DAY}"}  # what is asked of a file


class Replaced(NamedTuple):
    """What a replacement left: the version that it made and the rows of each day, 0 included; no days, no mapping."""

    version: int
    rows_per_day: Mapping[date, int]
    row_count: int


class Size(NamedTuple):
    """How large one version of a table is."""

    row_count: int
    bytes: int
    files: int


class News(NamedTuple):
    """The commits that touched rows since some version, and the last version looked at."""

    commits: tuple[Commit, ...]
    version: int


@dataclass
class _Open:
    """A table as it was last loaded, and what tells whether its folder still holds that same table."""

    delta: DeltaTable
    stamp: tuple[int, int] | None


class Lake:
    """The tables below one folder. Cheap to make; safe to use from several threads; any number of processes may.

    Args:
        root: The folder; it need not exist.
        retention: How long replaced versions can still be read; new tables promise it to whoever vacuums them.

    Raises:
        LakeError: The folder's path has a character that delta-rs or DuckDB would misread.
    """

    def __init__(self, root: Path, *, retention: timedelta = RETENTION) -> None:
        self.root = Path(root).absolute()
        bad = sorted(UNSAFE & set(str(self.root)))
        if bad:
            characters = " ".join(map(repr, bad))
            raise LakeError(f"the lake cannot live in {self.root}: its path must not contain {characters}")
        self.retention = retention
        self._open: dict[str, _Open] = {}
        self._lock = threading.RLock()

    # --- what there is -------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Every table, sorted."""
        found = (
            f"{path.parent.name}.{path.name}"
            for path in self.root.glob("*/*")
            if delta_log.has_commit(path / "_delta_log")
        )
        return sorted(found)

    def folder(self, name: str) -> Path:
        """The folder of a table, which need not exist.

        Raises:
            LakeError: The name is not allowed.
        """
        schema, table = check_name(name)
        return self.root / schema / table

    def exists(self, name: str) -> bool:
        """Whether there is such a table.

        Raises:
            LakeError: The name is not allowed.
        """
        return delta_log.has_commit(self._log(name))

    def version(self, name: str) -> int:
        """The latest version; -1 when there is no such table."""
        with self._lock:
            return self._delta(name).version() if self.exists(name) else -1

    def spec(self, name: str) -> TableSpec:
        """What a table is, as its own metadata tells it.

        Raises:
            TableMissing: There is no such table.
        """
        with self._lock:
            return spec_of(name, self._delta(name))

    def size(self, name: str, *, as_of: int | datetime | None = None) -> Size:
        """Rows, bytes and files of a version, from the log alone."""
        adds = self._adds(name, as_of)
        return Size(sum(each["num_records"] for each in adds), sum(each["size_bytes"] for each in adds), len(adds))

    def data_files(self, name: str, *, as_of: int | datetime | None = None) -> list[DataFile]:
        """The files of a version as the log describes them, without their statistics."""
        return [
            DataFile(
                path=each["path"],
                size=each["size_bytes"],
                day=each.get(f"partition.{DAY}"),
                row_count=each["num_records"],
                written_ms=each["modification_time"],
                statistics="",
            )
            for each in self._adds(name, as_of)
        ]

    def rows_per_day(self, name: str, *, as_of: int | datetime | None = None) -> dict[date, int]:
        """Rows of each day that has any, from the log alone; empty for a table without days."""
        counts: Counter[date] = Counter()
        for each in self._adds(name, as_of):
            day = each.get(f"partition.{DAY}")
            if day is not None and each["num_records"]:
                counts[day] += each["num_records"]
        return dict(sorted(counts.items()))

    def transaction(self, name: str, app_id: str) -> int | None:
        """The last version committed under an application's id; None when there is none, or no such table."""
        with self._lock:
            return self._delta(name).transaction_version(app_id) if self.exists(name) else None

    # --- make ----------------------------------------------------------------------------------------------------

    def create(self, spec: TableSpec) -> None:
        """Make the table, or bring one that stands up to date: columns are added, descriptions changed.

        An added column is nullable, whatever the spec says: the rows that are there have no value for it.

        Raises:
            SchemaChanged: A column is gone or has another type, or the partition changed; see `recreate`.
        """
        if not self.exists(spec.name):
            try:
                self._make(spec, mode="error")
            except DeltaError:
                if not self.exists(spec.name):  # else another process was first
                    raise
        for attempt in _attempts():
            with attempt, self._lock:
                self._bring_up_to_date(spec)

    def recreate(self, spec: TableSpec) -> None:
        """Empty the table and give it new columns, in one commit. Earlier versions can still be read.

        For tables that can be computed again, when `create` finds that the columns changed too much. The commit counts
        as a replacement of the whole table, so that all of it is due to be made again.

        Raises:
            TableMissing: There is no such table.
        """
        with self._lock:
            delta = self._delta(spec.name)
            days = dict.fromkeys(_held_days(delta), 0) if delta.metadata().partition_columns else {}
            said = facts(REPLACE, days, row_count=0, is_whole=True)
            self._make(spec, mode="overwrite", commit=_properties_of(said, {_WRITER: delta.version() + 1}))
            self._open.pop(spec.name, None)

    def _make(self, spec: TableSpec, *, mode: Any, commit: CommitProperties | None = None) -> None:
        folder = self.folder(spec.name)
        folder.mkdir(parents=True, exist_ok=True)
        DeltaTable.create(
            folder.as_uri(),
            Schema([field_of(column) for column in spec.columns]),
            mode=mode,
            partition_by=[DAY] if spec.partition_by_day else None,
            name=spec.name,
            description=spec.description,
            configuration=properties_of(spec, self.retention),
            commit_properties=commit,
            raise_if_key_not_exists=False,
        )

    def _bring_up_to_date(self, spec: TableSpec) -> None:
        delta = self._delta(spec.name)
        standing = spec_of(spec.name, delta)
        check_reachable(standing, spec)
        held = {column.name: column for column in standing.columns}
        added = [column for column in spec.columns if column.name not in held]
        if added:
            delta.alter.add_columns([field_of(column, is_added=True) for column in added])
        for column in spec.columns:
            if column.name not in held:
                continue
            if column.description != held[column.name].description:
                delta.alter.set_column_metadata(column.name, {COMMENT: column.description})
            if column.is_nullable and not held[column.name].is_nullable:
                delta.alter.drop_column_not_null(column.name)
        if spec.description != standing.description:
            delta.alter.set_table_description(spec.description)
        wanted, has = properties_of(spec, self.retention), delta.metadata().configuration
        if any(has.get(key) != value for key, value in wanted.items()):
            delta.alter.set_table_properties(wanted, raise_if_not_exists=False)

    # --- write ---------------------------------------------------------------------------------------------------

    def append(
        self,
        name: str,
        batches: Batches,
        *,
        days: Mapping[date, int] | None = None,
        transactions: Mapping[str, int] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """Add rows, and return the version that this made. Rows of a day come together, sorted as the spec says.

        Args:
            name: The table.
            batches: The rows. They may be none: then the transactions alone are committed, if there are any.
            days: The rows that each day should get, where the caller has counted them: checked before the commit.
            transactions: Application transactions to commit with the rows: id to version, which must grow.
            metadata: More to say in the commit.

        Raises:
            TableMissing: There is no such table.
            BadRows: A row does not fit, or the counts differ from `days`; nothing was written.
            Overtaken: A transaction's version is not newer than the table's; nothing was written.
            LakeBusy: Others kept committing first; nothing was written.
        """
        spec = self.spec(name)
        files = write_files(self.folder(name), spec, batches)
        counts = _rows_per_day(files)
        if days is not None and spec.partition_by_day and counts != {day: n for day, n in days.items() if n}:
            self._discard(name, files)
            raise BadRows(f"{name}: {dict(days)} rows were announced but {counts} came")
        if not files and not transactions:
            return self.version(name)
        commit = _Commit(APPEND, None, None, files, dict(transactions or {}), dict(metadata or {}))
        return self._commit(spec, commit)[0]

    def replace(
        self,
        name: str,
        batches: Callable[[], Batches],
        *,
        start: date | None,
        stop: date | None,
        transactions: Mapping[str, int] | None = None,
        metadata: Mapping[str, str] | None = None,
        is_removal: bool = False,
    ) -> Replaced:
        """Put rows in the place of all rows of the days `start..stop` (both included), or of the whole table, at once.

        Readers see all of it or nothing. When other writers commit meanwhile the commit is done again on top of theirs;
        the rows are not computed again, since they replace whatever stands there. Of two that replace the same day, the
        later one's rows stay.

        Args:
            name: The table.
            batches: Called once, when all else has been checked; gives the rows, which may be none.
            start: First day to replace; None, with `stop`, for the whole table.
            stop: Last day to replace.
            transactions: Application transactions to commit with the rows: id to version, which must grow.
            metadata: More to say in the commit; see `commit.provenance`.
            is_removal: Whether rows are only left out that are not to be kept any longer: see `commit.Commit`.

        Raises:
            TableMissing: There is no such table.
            BadRows: A row does not fit, or belongs to a day outside the range; nothing was written.
            Overtaken: A transaction's version is not newer than the table's; nothing was written.
            LakeBusy: Others kept committing first; nothing was written.
            LakeError: Only one of `start` and `stop` is given, they are the wrong way round, or the table has no days.
        """
        spec = self.spec(name)
        if (start is None) != (stop is None):
            raise LakeError(f"{name}: replace wants both a first and a last day, or neither for the whole table")
        if start is not None and not spec.partition_by_day:
            raise LakeError(f"{name} has no days; it can only be replaced as a whole")
        if start is not None and stop is not None and start > stop:
            raise LakeError(f"{name}: the first day to replace, {start}, is after the last, {stop}")
        files = write_files(self.folder(name), spec, batches(), start=start, stop=stop)
        operation = REMOVE if is_removal else REPLACE
        commit = _Commit(operation, start, stop, files, dict(transactions or {}), dict(metadata or {}))
        version, days = self._commit(spec, commit)
        return Replaced(version, days, sum(file.row_count for file in files))

    def rearrange(self, name: str, batches: Batches, *, version: int, day: date | None) -> int | None:
        """Put the rows that a day had at some version into new files, in one commit that touches no row.

        For compaction: whoever reads sees the same rows before and after, and the ledger sees nothing.

        Args:
            name: The table.
            batches: The same rows, in the order in which they should lie.
            version: The version that they were read from.
            day: The day; None for a table without days.

        Returns:
            The new version; None when others changed the day since, and nothing was written.

        Raises:
            TableMissing: There is no such table.
            BadRows: A row does not fit, or there are more or fewer of them; nothing was written.
        """
        spec = self.spec(name)
        old = [file for file in self.data_files(name, as_of=version) if file.day == day]
        files = write_files(self.folder(name), spec, batches, start=day, stop=day)
        wanted, found = sum(file.row_count for file in old), sum(file.row_count for file in files)
        if wanted != found:
            self._discard(name, files)
            raise BadRows(f"{name}: {found} rows came to stand in for {wanted}")
        mark = uuid4().hex
        with self._lock:
            delta = self._delta(name)
            base = delta.version()
            standing = {file.path for file in self.data_files(name, as_of=base) if file.day == day}
            if {file.path for file in old} == standing:
                removals = [
                    RemoveAction(
                        file.path,
                        data_change=False,
                        deletion_timestamp=files[0].written_ms,
                        size=file.size,
                        partition_values=_partition(day),
                    )
                    for file in old
                ]
                with contextlib.suppress(DeltaError):  # overtaken, or what follows a commit failed: see the log
                    delta.create_write_transaction(
                        [*(_add_action(file, changes_data=False) for file in files), *removals],
                        mode="append",
                        schema=delta.schema(),
                        partition_by=[DAY] if spec.partition_by_day else None,
                        commit_properties=_properties_of({_MARK: mark}, {_WRITER: base + 1}),
                    )
                for new, info in delta_log.commit_infos(self._log(name), base):
                    if info.get(_MARK) == mark:
                        return new
        self._discard(name, files)
        return None

    def vacuum(self, name: str) -> int:
        """Delete files that no version within the retention refers to; returns how many.

        Raises:
            TableMissing: There is no such table.
        """
        with self._lock:
            delta = self._delta(name)
            hours = math.ceil(self.retention / timedelta(hours=1))
            deleted = delta.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)
        return len(deleted)

    def checkpoint(self, name: str) -> bool:
        """Sum the log up in one file, if many commits came since that was done last; returns whether it was.

        Whoever opens the table reads that file and the commits after it.

        Raises:
            TableMissing: There is no such table.
            LogBroken: Its log cannot be read.
        """
        with self._lock:
            delta = self._delta(name)
            if delta.version() - delta_log.last_checkpoint(self._log(name)) < WORTH_A_CHECKPOINT:
                return False
            delta.create_checkpoint()
        return True

    def _commit(self, spec: TableSpec, commit: _Commit) -> tuple[int, dict[date, int]]:
        """Make written files part of the table; discard them when that fails."""
        mark = uuid4().hex
        try:
            for attempt in _attempts():
                with attempt, self._lock:
                    return self._commit_once(spec, self._delta(spec.name), commit, mark)
        except CommitFailedError as error:
            self._discard(spec.name, commit.files)
            raise LakeBusy(f"{spec.name}: others committed first for {COMMIT_SECONDS:.0f} s: {error}") from error
        except LakeError:
            self._discard(spec.name, commit.files)
            raise
        raise AssertionError("the attempts end with a return or an error")

    def _commit_once(
        self, spec: TableSpec, delta: DeltaTable, commit: _Commit, mark: str
    ) -> tuple[int, dict[date, int]]:
        base = delta.version()
        check_reachable(spec, spec_of(spec.name, delta))  # it may have been made anew since the files were written
        for app_id, version in commit.transactions.items():
            held = delta.transaction_version(app_id)
            if held is not None and held >= version:
                raise Overtaken(f"{spec.name}: {app_id} has been committed up to {held}; {version} is not new")
        days = commit.days(spec, delta)
        said = facts(
            commit.operation,
            days,
            row_count=sum(file.row_count for file in commit.files),
            is_whole=not spec.partition_by_day or (commit.operation != APPEND and commit.start is None),
        )
        try:
            delta.create_write_transaction(
                [_add_action(file) for file in commit.files],
                mode="append" if commit.operation == APPEND else "overwrite",
                schema=delta.schema(),
                partition_by=[DAY] if spec.partition_by_day else None,
                partition_filters=_day_filter(commit.start, commit.stop),
                commit_properties=_properties_of(
                    {**commit.metadata, **said, _MARK: mark}, {_WRITER: base + 1, **commit.transactions}
                ),
            )
        except DeltaError as error:
            # What follows a commit (a checkpoint, the cleaning of the log) may fail when the commit has succeeded.
            own = self._own(spec.name, base, mark)
            if own is not None:
                return own
            if isinstance(error, CommitFailedError):
                raise
            raise LakeError(f"{spec.name}: the commit failed: {error}") from error
        own = self._own(spec.name, base, mark)
        if own is None:
            raise LakeError(f"{spec.name}: a commit on top of version {base} left no trace in its log")
        return own

    def _own(self, name: str, after: int, mark: str) -> tuple[int, dict[date, int]] | None:
        """The commit that carries the mark, looked for above a version."""
        for version, info in delta_log.commit_infos(self._log(name), after):
            if info.get(_MARK) == mark:
                commit = read_commit(name, version, info)
                assert commit is not None
                return version, dict(commit.days)
        return None

    def _discard(self, name: str, files: Iterable[DataFile]) -> None:
        for file in files:
            (self.folder(name) / file.path).unlink(missing_ok=True)

    # --- read ----------------------------------------------------------------------------------------------------

    def files(
        self, name: str, *, as_of: int | datetime | None = None, start: date | None = None, stop: date | None = None
    ) -> list[str]:
        """Absolute paths of the files of one version, only those that can hold days of `start..stop`, sorted.

        Args:
            name: The table.
            as_of: A version, or a time with zone; None for the latest. At a time before the table was made it is empty.
            start: First day wanted; None for no bound. Tables without days are always read whole.
            stop: Last day wanted, included; None for no bound.

        Raises:
            TableMissing: There is no such table.
            VersionMissing: That version is not kept any more, or never was.
        """
        with self._lock:
            delta = self._at(name, as_of)
            if delta is None:
                return []
            days = _day_filter(start, stop) if delta.metadata().partition_columns else None
            uris = delta.file_uris(file_pruning_predicate=days)
        return sorted(unquote(uri.removeprefix("file://")) for uri in uris)

    def relation_sql(
        self, name: str, *, as_of: int | datetime | None = None, start: date | None = None, stop: date | None = None
    ) -> str:
        """A SELECT of all columns over exactly the files that `files` lists, typed, also when there are none.

        Filters on `day` skip files, other filters skip row groups. Files older than a column give null for it. Made for
        CREATE VIEW: nothing is read before someone asks. Times are TIMESTAMP WITH TIME ZONE: connections should set
        TimeZone to UTC.

        Raises:
            TableMissing: There is no such table.
            VersionMissing: That version is not kept any more, or never was.
        """
        with self._lock:
            delta = self._at(name, as_of)
            spec = spec_of(name, delta if delta is not None else self._delta(name))
            has_grown = delta is not None and is_grown(delta)
            files = self.files(name, as_of=delta.version(), start=start, stop=stop) if delta is not None else []
        return select(spec, files, is_grown=has_grown)

    def version_at(self, name: str, moment: datetime) -> int | None:
        """The version that was the latest at a moment; None when the table was not there yet.

        Raises:
            TableMissing: There is no such table.
            VersionMissing: The log does not reach back that far.
            LakeError: The moment has no time zone.
        """
        if moment.tzinfo is None:
            raise LakeError(f"as_of {moment} has no time zone; add one, such as +00:00")
        if not self.exists(name):
            raise TableMissing(f"there is no table {name}; the lake has {self.names()}")
        versions = delta_log.versions(self._log(name))
        # From the end: a clock that was set back makes commit times fall, and then a bisection is led astray.
        for version in reversed(versions):
            if self.committed_at(name, version) <= moment:
                return version
        if versions[0] == 0:
            return None
        since = self.committed_at(name, versions[0])
        raise VersionMissing(f"{name} can be read as of {since:%Y-%m-%d %H:%M} UTC or later, not as of {moment}")

    def committed_at(self, name: str, version: int) -> datetime:
        """When a version was committed, in UTC.

        Raises:
            VersionMissing: The log does not have it, or not any more.
        """
        info = delta_log.commit_info(self._log(name), version)
        if info is None:
            raise VersionMissing(f"{name}: version {version} is not in the log")
        return delta_log.committed_at(info)

    def commits(self, name: str, *, after: int = -1) -> News:
        """The commits that touched rows, above a version, oldest first.

        When the log has been cleaned above that version, what happened there cannot be known: a commit `unknown` of the
        whole table stands for it.

        Raises:
            TableMissing: There is no such table.
            LakeError: There is no such version, or the log cannot be understood.
        """
        if not self.exists(name):
            raise TableMissing(f"there is no table {name}; the lake has {self.names()}")
        folder = self._log(name)
        if after >= 0 and delta_log.commit_info(folder, after) is None and delta_log.last_checkpoint(folder) < after:
            raise LakeError(
                f"{name} has no version {after}, though it was seen; it was made anew: run `oplake rebuild`"
            )
        found: list[Commit] = []
        last = after
        for version, info in delta_log.commit_infos(folder, after):
            if version > last + 1:
                days = self.rows_per_day(name)
                count = self.size(name).row_count
                at = delta_log.committed_at(info)
                found.append(Commit(name, version - 1, at, UNKNOWN, days, is_whole=True, row_count=count))
            last = version
            commit = read_commit(name, version, info)
            if commit is not None:
                found.append(commit)
        return News(tuple(found), last)

    def _at(self, name: str, as_of: int | datetime | None) -> DeltaTable | None:
        """The table at a version or time; None when it was not there yet."""
        current = self._delta(name)
        if as_of is None:
            return current
        version = self.version_at(name, as_of) if isinstance(as_of, datetime) else as_of
        if version is None:
            return None
        if version == current.version():
            return current
        if not 0 <= version < current.version():
            raise VersionMissing(f"{name} has no version {version}; its latest is {current.version()}")
        try:
            return DeltaTable(self.folder(name).as_uri(), version=version)
        except DeltaError as error:
            reason = str(error).partition("\n")[0]
            raise VersionMissing(f"{name}: version {version} is not kept any more ({reason})") from error

    def _adds(self, name: str, as_of: int | datetime | None) -> list[dict[str, Any]]:
        with self._lock:
            delta = self._at(name, as_of)
            if delta is None:
                return []
            adds = pa.table(delta.get_add_actions(flatten=True))
        # The statistics of each column are most of it, and every value costs Python its time: a year has 365 files.
        rows: list[dict[str, Any]] = adds.select([name for name in adds.column_names if name in _ADD]).to_pylist()
        return rows

    def _delta(self, name: str) -> DeltaTable:
        """The table at its latest version. What was loaded before is kept and brought up to date by what is new.

        Raises:
            TableMissing: There is no such table.
            LogBroken: Its log cannot be read.
        """
        try:
            return self._loaded(name)
        except DeltaError as error:
            raise LogBroken(name, error) from error

    def _loaded(self, name: str) -> DeltaTable:
        held = self._open.get(name)
        folder = self._log(name)
        if (
            held is None or delta_log.stamp(folder, held.delta.version()) != held.stamp
        ):  # new, or dropped and made again
            self._open.pop(name, None)
            if not delta_log.has_commit(folder):
                raise TableMissing(f"there is no table {name}; the lake has {self.names()}")
            held = self._open[name] = _Open(DeltaTable(self.folder(name).as_uri()), None)
        elif not (folder / delta_log.file_name(held.delta.version() + 1)).exists():
            return held.delta
        else:
            held.delta.update_incremental()
        held.stamp = delta_log.stamp(folder, held.delta.version())
        return held.delta

    def _log(self, name: str) -> Path:
        return self.folder(name) / "_delta_log"


@dataclass(frozen=True)
class _Commit:
    """A commit to be made: files already written, and what goes with them."""

    operation: str
    start: date | None
    stop: date | None
    files: list[DataFile]
    transactions: Mapping[str, int]
    metadata: Mapping[str, str]

    def days(self, spec: TableSpec, delta: DeltaTable) -> dict[date, int]:
        """Rows per day touched; for a replacement also the days that it left without rows."""
        counts = _rows_per_day(self.files)
        if self.operation == APPEND or not spec.partition_by_day:
            return counts
        if self.start is None or self.stop is None:
            replaced = _held_days(delta)
        else:
            replaced = [self.start + timedelta(days=n) for n in range((self.stop - self.start).days + 1)]
        return {day: counts.get(day, 0) for day in sorted({*replaced, *counts})}


def _attempts() -> Iterator[Any]:
    """Try again when another writer was first, soon and often: what is tried takes milliseconds."""
    return iter(
        stamina.retry_context(
            on=CommitFailedError,
            attempts=None,
            timeout=COMMIT_SECONDS,
            wait_initial=0.005,
            wait_max=0.25,
            wait_jitter=0.02,
        )
    )


def _properties_of(metadata: dict[str, str], transactions: Mapping[str, int]) -> CommitProperties:
    return CommitProperties(
        custom_metadata=metadata,
        app_transactions=[Transaction(app_id, version) for app_id, version in transactions.items()],
    )


def _held_days(delta: DeltaTable) -> list[date]:
    return [date.fromisoformat(each[DAY]) for each in delta.partitions()]


def _rows_per_day(files: Iterable[DataFile]) -> dict[date, int]:
    counts: defaultdict[date, int] = defaultdict(int)
    for file in files:
        if file.day is not None:
            counts[file.day] += file.row_count
    return dict(sorted(counts.items()))


def _add_action(file: DataFile, *, changes_data: bool = True) -> AddAction:
    return AddAction(file.path, file.size, _partition(file.day), file.written_ms, changes_data, file.statistics)


def _partition(day: date | None) -> dict[str, str | None]:
    return {} if day is None else {DAY: day.isoformat()}


def _day_filter(start: date | None, stop: date | None) -> list[tuple[str, str, Any]] | None:
    bounds = [(DAY, ">=", start), (DAY, "<=", stop)]
    return [(name, operator, day.isoformat()) for name, operator, day in bounds if day is not None] or None
