"""What was written when, and from what: the record that staleness is worked out from.

The truth stands in the commits themselves (see `commit`). `lake.arrivals` is a copy of what they say, kept because logs
are cleaned and because people want to ask it in SQL. Reading the ledger is reading that copy and whatever the logs have
beyond it, so that it is right whether or not anyone has published lately.

What the copy tells of a table that is gone, or that was made anew since, holds no longer. A model's table is then due
to be made again; a table that ingest makes can only come from landing, so nothing may be computed before it has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import stamina

from oplake.lake import delta_log
from oplake.lake.commit import REMOVE, Commit, inputs_of, inputs_text, provenance
from oplake.lake.errors import LakeError, LogBroken, Overtaken
from oplake.lake.landed import INGESTED, LANDED, SEGMENTS, TIME, WATERMARK
from oplake.lake.spec import DAY, Column, TableSpec, literal
from oplake.lake.tables import Lake

__all__ = [
    "ARRIVALS",
    "Commit",
    "Ledger",
    "check_landed",
    "known_tables",
    "provenance",
    "publish_arrivals",
    "read_ledger",
]

ARRIVALS = TableSpec(
    name="lake.arrivals",
    description="Which table got how many rows for which day, when, and from what. One row per commit and day touched. "
    "A rebuild makes every table again: from then on it is the rebuild's commits that are told here.",
    columns=(
        Column("table_name", pa.string(), "the table written", is_nullable=False),
        Column("version", pa.int64(), "the version that the commit made", is_nullable=False),
        Column(DAY, pa.date32(), "the day touched; null for the table as a whole"),
        Column("row_count", pa.int64(), "rows added to the day, or left there by a replacement", is_nullable=False),
        Column("committed_at", TIME, "when it was committed, in UTC", is_nullable=False),
        Column(
            "operation",
            pa.string(),
            "append, replace, remove (retention), or unknown when the log was cleaned",
            is_nullable=False,
        ),
        Column("code_version", pa.string(), "hash of the SQL that made the rows; null for what was ingested"),
        Column("inputs", pa.string(), "the version read of each table (JSON)", is_nullable=False),
        Column("watermark", TIME, "nothing received before this was missing from what was read"),
    ),
    partition_by_day=False,
    sort_by=("table_name", "version"),
    grain=("table_name", "version", DAY),
)

IRREPLACEABLE = frozenset(spec.name for spec in INGESTED) - {SEGMENTS.name, WATERMARK.name}
"""Tables that only a rebuild makes again; the next ingest makes the other two of its own."""

AGAIN = "run `oplake rebuild`, which makes every table again from landing"

PUBLISH_ATTEMPTS = 10  # two publishers at once are rare, and each attempt sees what the other has done

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_PUBLISHED = "oplake.published"  # counts publications, so that of two at once the second begins anew


@dataclass(frozen=True)
class Ledger:
    """For every table and day, the newest commit that touched it.

    Made by `read_ledger`; tests make their own from commits with `of`.
    """

    watermark: datetime | None
    _by_day: Mapping[str, Mapping[date, Commit]]
    _whole: Mapping[str, Commit]
    _newest: Mapping[str, Commit]

    @classmethod
    def of(cls, commits: Iterable[Commit], *, watermark: datetime | None = None) -> Ledger:
        """A ledger of some commits, in any order."""
        by_day: defaultdict[str, dict[date, Commit]] = defaultdict(dict)
        whole: dict[str, Commit] = {}
        newest: dict[str, Commit] = {}
        for commit in sorted(commits, key=lambda each: each.version):
            if commit.operation == REMOVE:
                continue
            by_day[commit.table].update(dict.fromkeys(commit.days, commit))
            newest[commit.table] = commit
            if commit.is_whole:
                whole[commit.table] = commit
        return cls(watermark, by_day, whole, newest)

    def tables(self) -> list[str]:
        """Every table that a commit has touched, sorted."""
        return sorted(self._newest)

    def days(self, table: str) -> frozenset[date]:
        """Days of a table that any commit has touched; none for a table without days."""
        return frozenset(self._by_day.get(table, ()))

    def latest(self, table: str, day: date | None = None) -> Commit | None:
        """The newest commit that touched a day, or the whole table; without a day, the newest that touched anything."""
        if day is None:
            return self._newest.get(table)
        own, whole = self._by_day.get(table, {}).get(day), self._whole.get(table)
        return max((each for each in (own, whole) if each is not None), key=lambda each: each.version, default=None)

    def touched(self, table: str, after_version: int) -> frozenset[date]:
        """Days of a table touched in versions above one. A table without days has none: ask `latest` about it."""
        latest = {day: self.latest(table, day) for day in self.days(table)}
        return frozenset(day for day, commit in latest.items() if commit and commit.version > after_version)


class _Copied(NamedTuple):
    """How far `lake.arrivals` has copied a table's log, and when that commit was made."""

    version: int
    committed_at: datetime


def read_ledger(lake: Lake) -> Ledger:
    """What was written, up to the latest commit of every table.

    Raises:
        LakeError: A log cannot be understood, or a table that ingest made is gone or was made anew, though it had rows.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        version = _copy_version(lake)  # one for both, so that what is published meanwhile is missed by neither
        copied = _valid(lake, _copied(lake, connection, version))
        commits = [each for each in _published_commits(lake, connection, version) if each.table in copied]
        watermark = _watermark(lake, connection)
    last: dict[str, int] = {}
    for table in _followed(lake):
        news = lake.commits(table, after=copied[table].version if table in copied else -1)
        last[table] = news.version
        commits += news.commits
    return Ledger.of([_without_lost_inputs(commit, last) for commit in commits], watermark=watermark)


def check_landed(lake: Lake) -> None:
    """Says so when a table that ingest made is gone or was made anew, though it had rows; one that never was may miss.

    Raises:
        LakeError: It is so; the message names it and the way out.
    """
    with duckdb.connect() as connection:
        _valid(lake, _copied(lake, connection, _copy_version(lake)))
        missing = [spec.name for spec in LANDED.values() if not lake.exists(spec.name)]
        if not missing or not lake.exists(SEGMENTS.name):
            return
        # Nothing was copied of it; still `lake.segments` tells how many rows all of them together have to have.
        query = f"SELECT coalesce(sum(events + rejects), 0) FROM ({lake.relation_sql(SEGMENTS.name)})"
        [(told,)] = connection.execute(query).fetchall()
    found = sum(lake.size(spec.name).row_count for spec in LANDED.values() if spec.name not in missing)
    if told > found:
        raise LakeError(
            f"{', '.join(missing)} is gone: {int(told):,} events and rejects were taken in, but the landed tables have "
            f"{found:,} rows: {AGAIN}"
        )


def known_tables(lake: Lake) -> set[str]:
    """Every table that there is, or that `lake.arrivals` or a commit tells of, as far as they can be read."""
    names = set(lake.names())
    told: list[Commit] = []
    with suppress(LogBroken, duckdb.Error), duckdb.connect() as connection:
        told += _published_commits(lake, connection, _copy_version(lake))
    names.update(commit.table for commit in told)
    for table in _followed(lake):
        with suppress(LogBroken):
            told += lake.commits(table).commits
    return names.union(*(_there(commit.inputs) for commit in told))


def _there(inputs: Mapping[str, int]) -> set[str]:
    return {table for table, version in inputs.items() if version >= 0}


def publish_arrivals(lake: Lake) -> int:
    """Copy what the logs have beyond `lake.arrivals` into it, and return how many rows that were. Twice adds nothing.

    Raises:
        Overtaken: Others published first, again and again.
    """
    lake.create(ARRIVALS)
    for attempt in stamina.retry_context(
        on=Overtaken, attempts=PUBLISH_ATTEMPTS, wait_initial=0.01, wait_max=0.5, wait_jitter=0.02
    ):
        with attempt:
            return _publish(lake)
    raise AssertionError("the attempts end with a return or an error")


def _publish(lake: Lake) -> int:
    count = lake.transaction(ARRIVALS.name, _PUBLISHED) or 0
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        version = _copy_version(lake)
        told = _copied(lake, connection, version)
        copied = _valid(lake, told)
        commits = [
            commit
            for table in _followed(lake)
            for commit in lake.commits(table, after=copied[table].version if table in copied else -1).commits
        ]
        rows = pa.Table.from_pylist([row for commit in commits for row in _rows(commit)], schema=ARRIVALS.arrow_schema)
        # A table that is just gone is still told of, so that it is known to be missing.
        anew = [table for table in told if table not in copied and lake.exists(table)]
        if anew:
            listed = ", ".join(map(literal, anew))
            query = f"FROM ({lake.relation_sql(ARRIVALS.name, as_of=version)}) WHERE table_name NOT IN ({listed})"
            kept = connection.sql(query).to_arrow_table().cast(ARRIVALS.arrow_schema)
            both = pa.concat_tables([kept, rows]).sort_by([(name, "ascending") for name in ARRIVALS.sort_by])
            lake.replace(ARRIVALS.name, lambda: both, start=None, stop=None, transactions={_PUBLISHED: count + 1})
        elif commits:
            lake.append(ARRIVALS.name, rows, transactions={_PUBLISHED: count + 1})
    return int(rows.num_rows)


def _followed(lake: Lake) -> list[str]:
    return [name for name in lake.names() if name != ARRIVALS.name]


def _copy_version(lake: Lake) -> int:
    return lake.version(ARRIVALS.name)


def _copied(lake: Lake, connection: duckdb.DuckDBPyConnection, version: int) -> dict[str, _Copied]:
    """The newest commit of each table in a version of `lake.arrivals`."""
    if version < 0:
        return {}
    rows = connection.execute(f"""
        SELECT table_name, max(version), arg_max(epoch_us(committed_at), version)
        FROM ({lake.relation_sql(ARRIVALS.name, as_of=version)})
        GROUP BY table_name
    """).fetchall()
    return {table: _Copied(newest, EPOCH + timedelta(microseconds=at)) for table, newest, at in rows}


def _valid(lake: Lake, copied: Mapping[str, _Copied]) -> dict[str, _Copied]:
    """Of what was copied, that of tables which still are the same ones.

    Raises:
        LakeError: A table that only a rebuild makes again is not.
    """
    valid = {table: newest for table, newest in copied.items() if _is_same(lake, table, newest)}
    lost = sorted(IRREPLACEABLE & (copied.keys() - valid.keys()))
    if lost:
        raise LakeError(
            "; ".join(
                f"{table} has no version {copied[table].version}, though it was seen; it was made anew"
                if lake.exists(table)
                else f"{table} is gone, though it had rows"
                for table in lost
            )
            + f": {AGAIN}"
        )
    return valid


def _is_same(lake: Lake, table: str, newest: _Copied) -> bool:
    """Whether a table still is the one whose log was copied up to a commit. One made anew counts from 0 again."""
    log = lake.folder(table) / "_delta_log"
    info = delta_log.commit_info(log, newest.version)
    if info is None:  # cleaned away, or never in this log
        return delta_log.last_checkpoint(log) >= newest.version
    return delta_log.committed_at(info) == newest.committed_at


def _without_lost_inputs(commit: Commit, last: Mapping[str, int]) -> Commit:
    """A commit that forgets which versions it read of tables that were made anew since: all they have is news to it."""
    lost = {table for table, version in commit.inputs.items() if version > last.get(table, -1)}
    if not lost:
        return commit
    return replace(commit, inputs={table: version for table, version in commit.inputs.items() if table not in lost})


def _rows(commit: Commit) -> list[dict[str, Any]]:
    counts: list[tuple[date | None, int]] = [*commit.days.items()]
    if commit.is_whole:
        counts.append((None, commit.row_count))
    return [
        {
            "table_name": commit.table,
            "version": commit.version,
            DAY: day,
            "row_count": row_count,
            "committed_at": commit.committed_at,
            "operation": commit.operation,
            "code_version": commit.code_version,
            "inputs": inputs_text(commit.inputs),
            "watermark": commit.watermark,
        }
        for day, row_count in counts
    ]


def _published_commits(lake: Lake, connection: duckdb.DuckDBPyConnection, version: int) -> list[Commit]:
    """Of the commits in a version of `lake.arrivals`, those that are the newest of some day: no more of them with age.

    This is read in every run, and after a year there are thousands; so DuckDB puts the rows of a commit together, and
    times come as numbers, which cost Python less than times with a zone.
    """
    if version < 0:
        return []
    rows = connection.execute(f"""
        WITH arrivals AS ({lake.relation_sql(ARRIVALS.name, as_of=version)}),
        newest AS (
            SELECT table_name, max(version) AS version FROM arrivals
            WHERE operation <> {literal(REMOVE)} GROUP BY table_name, day
        )
        SELECT
            table_name,
            version,
            any_value(epoch_us(committed_at)),
            any_value(operation),
            any_value(code_version),
            any_value(inputs),
            any_value(epoch_us(watermark)),
            list(day ORDER BY day),
            list(row_count ORDER BY day)
        FROM arrivals SEMI JOIN newest USING (table_name, version)
        GROUP BY table_name, version
        ORDER BY table_name, version
    """).fetchall()
    return [_commit(*row) for row in rows]


def _commit(
    table: str,
    version: int,
    committed_at: int,
    operation: str,
    code_version: str | None,
    inputs: str,
    watermark: int | None,
    days: list[date | None],
    row_counts: list[int],
) -> Commit:
    """The commit that its rows tell of; the inverse of `_rows`. Times are microseconds of the Unix epoch."""
    per_day = dict(zip(days, row_counts, strict=True))
    whole = per_day.pop(None, None)
    return Commit(
        table=table,
        version=version,
        committed_at=EPOCH + timedelta(microseconds=committed_at),
        operation=operation,
        days={day: count for day, count in per_day.items() if day is not None},
        is_whole=whole is not None,
        row_count=sum(per_day.values()) if whole is None else whole,
        code_version=code_version,
        inputs=inputs_of(inputs),
        watermark=None if watermark is None else EPOCH + timedelta(microseconds=watermark),
    )


def _watermark(lake: Lake, connection: duckdb.DuckDBPyConnection) -> datetime | None:
    if not lake.exists(WATERMARK.name):
        return None
    row = connection.execute(f"SELECT max(watermark) FROM ({lake.relation_sql(WATERMARK.name)})").fetchone()
    return None if row is None else row[0]
