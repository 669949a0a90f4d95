"""What is wrong with landing, the tables, the views and Dagster's records, in words, and the way out of it.

Everything is read and compared: the bytes of landing with their checksums, what was taken in with what there is, what
the logs say with what the files hold, and the views with the tables. Of Dagster's records it is only looked whether
they can be opened. Nothing is changed, not even to repair it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import duckdb
from deltalake.exceptions import DeltaError

from oplake.lake.archive import Archive, Archived, file_sha256
from oplake.lake.commit import APPEND, REMOVE, REPLACE, Commit
from oplake.lake.engine import engine
from oplake.lake.errors import LakeError
from oplake.lake.forget import PLAN
from oplake.lake.ingest import APP
from oplake.lake.journal import Journal, Piece, covered
from oplake.lake.landed import INGESTED, LANDED, SEGMENTS
from oplake.lake.ledger import ARRIVALS, known_tables, read_ledger
from oplake.lake.remains import GO_ON
from oplake.lake.spec import literal, quoted
from oplake.lake.tables import Lake
from oplake.lake.watermark import FILE as WATERMARK_FILE
from oplake.lake.watermark import read_watermark
from oplake.landing.segments import SUFFIX, Segment, segments
from oplake.settings import Settings

READ_BYTES = 1 << 20  # of a segment at a time, to count its lines
REBUILD = "oplake rebuild makes every table again from landing"
BACKUP = "restore it from a backup"
LOST = f"{BACKUP}; without one, {GO_ON}"
VIEWS = "SELECT schema_name || '.' || view_name, sql FROM duckdb_views() WHERE NOT internal"
NO_HOME = "see whether --home or OPLAKE_HOME is as meant; what brings events in makes a home: oplake demo, for example"
RENEW = "oplake upkeep publishes fresh ones"
RELIST = "oplake upkeep lists it again"
# Codes of SQLite: a table is not there yet, somebody is writing, or the folder takes no files beside the database
NO_FAULT = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN})
RECORDS_LOST = "stop oplake ui and move it away: Dagster shows some earlier runs no more, and no table is lost"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or worth knowing."""

    severity: Literal["error", "warning", "note"]
    what: str
    where: str  # a file, folder, table or view
    remedy: str


def examine(settings: Settings) -> list[Finding]:
    """Looks at everything and says what is wrong, the worst first; empty when all is well.

    What is being written meanwhile may look unfinished; look again then.

    Args:
        settings: Where everything is.
    """
    if not settings.home.exists():
        return [Finding("error", "there is no home here", str(settings.home), NO_HOME)]
    if not (settings.landing.exists() or settings.lake.exists()):
        return [Finding("note", "nothing has landed here yet", str(settings.home), NO_HOME)]
    lake = Lake(settings.lake, retention=settings.vacuum_after)
    findings = [*_guarded(_examine_state, settings, lake)]
    taken: dict[str, list[tuple[int, int]]] = {}
    findings += _guarded(_examine_landing, settings, lake, taken)
    findings += _guarded(_examine_archive, settings, taken)
    rows: dict[str, int] = {}
    with engine(settings) as connection:
        for name in lake.names():
            findings += _guarded(_examine_table, connection, lake, name, rows)
    gone: set[str] = set()
    findings += _guarded(_examine_missing, settings, lake, rows, gone)
    findings += _guarded(_examine_counts, settings, lake, rows, gone)
    findings += _guarded(_examine_views, settings, lake, rows, gone)
    findings += _guarded(_examine_records, settings)
    order = ("error", "warning", "note")
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def _guarded(check: Callable[..., Iterator[Finding]], *arguments: object) -> Iterator[Finding]:
    """The findings of a check; one that cannot be carried out finds just that."""
    try:
        yield from check(*arguments)
    except (LakeError, DeltaError, duckdb.Error, OSError) as error:
        where = next((each for each in reversed(arguments) if isinstance(each, str)), "the lake")
        yield Finding("error", f"it cannot be examined: {_first_line(error)}", where, REBUILD)


def _first_line(error: Exception) -> str:
    """What an error says, without the backtrace of delta-rs and the query of DuckDB."""
    return str(error).partition("\n")[0]


def _examine_state(settings: Settings, lake: Lake) -> Iterator[Finding]:
    """The journal, the watermark and what a crash may have left."""
    plan = settings.home / PLAN
    if plan.exists():
        yield Finding(
            "error",
            "forgetting a person was interrupted: some of what is theirs is gone, and some is there",
            str(plan),
            "oplake forget of the same person, or of anybody, finishes it",
        )
    journal = Journal(settings.landing)
    done = lake.transaction(SEGMENTS.name, APP) or 0
    try:
        pending = journal.after(done)
    except LakeError as error:
        yield Finding("error", str(error), str(journal.path), "see there")
    else:
        if pending:
            yield Finding(
                "note",
                f"an ingest is under way, or was interrupted: {len(pending)} batches are begun and not finished",
                str(journal.path),
                "the next ingest finishes them: oplake run",
            )
        if done and not journal.path.exists():
            yield Finding(
                "warning",
                "the journal of ingest is gone: of two events that share an id, a rebuild may keep the other one",
                str(journal.path),
                f"{BACKUP}; without one, go on: ingest begins a new one",
            )
    watermark = settings.landing / WATERMARK_FILE
    try:
        if read_watermark(settings.landing) is None and done:
            yield Finding(
                "warning",
                "the watermark of ingest is gone: until there is one, no action times out",
                str(watermark),
                f"{BACKUP}, or have a new one written: oplake rebuild",
            )
    except LakeError as error:
        yield Finding("error", str(error), str(watermark), "see there")


def _examine_landing(settings: Settings, lake: Lake, taken: dict[str, list[tuple[int, int]]]) -> Iterator[Finding]:
    """The segments that are not archived, with what was taken in of them. Fills `taken`."""
    counts: Counter[str] = Counter()
    if lake.exists(SEGMENTS.name):
        columns = "segment, start_offset, end_offset, events + duplicates + rejects"
        with engine(settings) as connection:
            told = connection.execute(f"SELECT {columns} FROM ({lake.relation_sql(SEGMENTS.name)})").fetchall()
        taken |= covered(Piece(segment, start, end) for segment, start, end, _ in told)
        for segment, _, _, count in told:
            counts[segment] += count
    there = {segment.name: segment for segment in segments(settings.landing)}
    archive = Archive(settings.archive)
    archived = {path.name.partition(SUFFIX)[0] for path in archive.files()}
    with suppress(LakeError):  # a damaged manifest is named where the archive is examined
        archived |= archive.listed().keys()
    for name in sorted(taken.keys() - there.keys() - archived):
        yield Finding(
            "error",
            "a segment that was taken in is gone: its events are in the tables, but not in landing, which is the truth",
            str(settings.landing / f"{name}{SUFFIX}"),
            LOST,
        )
    fresh = 0
    for segment in there.values():
        end = taken.get(segment.name, [(0, 0)])[-1][1]
        fresh += max(0, segment.size - end)
        yield from _examine_segment(segment, taken.get(segment.name, []), counts[segment.name])
    if fresh:
        yield Finding("note", f"{fresh:,} bytes are waiting to be taken in", str(settings.landing), "oplake run")


def _examine_segment(segment: Segment, intervals: list[tuple[int, int]], count: int) -> Iterator[Finding]:
    end = intervals[-1][1] if intervals else 0
    where = str(segment.path)
    if segment.size < end:
        yield Finding("error", f"it was cut: {end:,} bytes were taken in and {segment.size:,} are there", where, LOST)
        return
    if segment.seal is not None and file_sha256(segment.path) != segment.seal.sha256:
        yield Finding(
            "error",
            "its bytes changed after it was sealed: the sha256 is not that of the seal",
            where,
            f"{BACKUP}; without one, remove its .idx file, and it counts as it is",
        )
        return
    if len(intervals) > 1 or (intervals and intervals[0][0] > 0):
        yield Finding("error", f"only these bytes of it were taken in: {intervals}", where, REBUILD)
        return
    lines = _count_lines(segment.path, end)
    if lines != count:
        yield Finding(
            "error",
            f"{lines:,} lines of it were read, but {count:,} are accounted for as events, duplicates or rejects",
            where,
            REBUILD,
        )


def _count_lines(path: Path, end: int) -> int:
    """Lines with something in them, up to a byte."""
    lines, left, rest = 0, end, b""
    with path.open("rb") as file:
        while left and (part := file.read(min(left, READ_BYTES))):
            left -= len(part)
            whole, newline, rest = (rest + part).rpartition(b"\n")
            lines += sum(1 for line in whole.split(b"\n") if newline and line.strip())
    return lines + bool(rest.strip())


def _examine_archive(settings: Settings, taken: Mapping[str, list[tuple[int, int]]]) -> Iterator[Finding]:
    """The archived segments."""
    archive = Archive(settings.archive)
    try:
        listed = archive.listed()
    except LakeError as error:
        yield Finding("error", str(error), str(archive.manifest), "see there")
        return
    for damage in archive.damages():
        yield Finding("error", f"archived segment: {damage.problem}", str(damage.path), LOST)
    unlisted = [each for each in archive.unlisted() if isinstance(each, Archived)]
    if unlisted and not archive.manifest.exists():
        what = f"the manifest of the archive is gone; the {len(unlisted)} segments that it listed are there and whole"
        yield Finding("warning", what, str(archive.manifest), RELIST)
    else:
        for entry in unlisted:
            what = "archived segment: the manifest does not list it; it is whole"
            yield Finding("warning", what, str(archive.path(entry)), RELIST)
    for entry in (*listed.values(), *unlisted):
        yield from _examine_entry(archive, entry, taken.get(entry.segment, []))
    for path in sorted(settings.archive.glob("*/*.tmp")):
        yield Finding("note", "what an interrupted move to the archive left", str(path), "remove it")


def _examine_entry(archive: Archive, entry: Archived, intervals: list[tuple[int, int]]) -> Iterator[Finding]:
    if entry.bytes and intervals != [(0, entry.bytes)]:
        yield Finding(
            "error",
            f"it is archived, but of its {entry.bytes:,} bytes only {intervals or 'none'} were taken in",
            str(archive.path(entry)),
            REBUILD,
        )


def _examine_table(
    connection: duckdb.DuckDBPyConnection, lake: Lake, name: str, rows: dict[str, int]
) -> Iterator[Finding]:
    """One table: what its log says, and what its files hold. Notes its rows in `rows`."""
    version = lake.version(name)
    files = lake.data_files(name, as_of=version)
    is_whole = True
    for file in files:
        path = lake.folder(name) / file.path
        if not path.exists():
            yield Finding("error", f"a file of table {name} is gone, with {file.row_count:,} rows", str(path), REBUILD)
            is_whole = False
            continue
        try:
            # All values are read, for a file that was changed may well have its footer intact.
            query = f"SELECT count(*), bit_xor(hash(held)) FROM read_parquet({literal(str(path))}) AS held"
            [(count, _)] = connection.execute(query).fetchall()
        except duckdb.Error as error:
            yield Finding("error", f"a file of table {name} cannot be read: {_first_line(error)}", str(path), REBUILD)
            is_whole = False
            continue
        if count != file.row_count:
            what = f"a file of table {name} has {count:,} rows, and its log says {file.row_count:,}"
            yield Finding("error", what, str(path), REBUILD)
            is_whole = False
    if is_whole:
        rows[name] = sum(file.row_count for file in files)
    yield from _examine_commits(lake, name, version)


def _examine_commits(lake: Lake, name: str, version: int) -> Iterator[Finding]:
    """Whether the days of a table have as many rows as its commits say that they got."""
    expected = _expected_rows([commit for commit in lake.commits(name).commits if commit.version <= version])
    if expected is None or not lake.spec(name).partition_by_day:
        return
    found = lake.rows_per_day(name, as_of=version)
    for day in sorted(expected.keys() | found.keys()):
        if expected.get(day, 0) != found.get(day, 0):
            yield Finding(
                "error",
                f"day {day} of {name} has {found.get(day, 0):,} rows, but its commits brought {expected.get(day, 0):,}",
                str(lake.folder(name)),
                REBUILD,
            )


def _expected_rows(commits: list[Commit]) -> dict[date, int] | None:
    """Rows by day as the commits tell; None where they do not reach back to a beginning."""
    begins = [n for n, commit in enumerate(commits) if commit.operation in (REPLACE, REMOVE) and commit.is_whole]
    if not begins and any(commit.operation not in (APPEND, REPLACE, REMOVE) for commit in commits):
        return None
    rows: dict[date, int] = {}
    for commit in commits[begins[-1] if begins else 0 :]:
        for day, count in commit.days.items():
            rows[day] = rows.get(day, 0) + count if commit.operation == APPEND else count
    return {day: count for day, count in rows.items() if count}


def _examine_missing(settings: Settings, lake: Lake, rows: Mapping[str, int], gone: set[str]) -> Iterator[Finding]:
    """Tables that were there and are gone, noted in `gone`. One that nothing tells of was never made."""
    known = known_tables(lake)
    standing = set(lake.names())
    ingested = {spec.name for spec in INGESTED}
    if rows.get(SEGMENTS.name) or ingested & (known - standing):
        known |= ingested  # they are made together
    if any(name not in ingested for name in standing - {ARRIVALS.name}):
        known.add(ARRIVALS.name)  # whoever makes a model publishes
    gone |= known - standing
    for name in sorted(gone):
        if name in ingested:
            remedy = REBUILD
        elif name == ARRIVALS.name:
            remedy = "the next oplake run that has something to do writes it again, or oplake rebuild"
            if name not in _shown(settings):
                what = f"table {name} is not there yet: the first run is under way, or was interrupted"
                yield Finding("note", what, str(lake.folder(name)), remedy)
                continue
        else:
            remedy = "oplake run makes it again, if it still has a model"
        yield Finding("error", f"table {name} is gone", str(lake.folder(name)), remedy)


def _shown(settings: Settings) -> set[str]:
    """The tables that have a view, as far as the views can be read."""
    if not settings.views.exists():
        return set()
    with suppress(duckdb.Error), duckdb.connect(str(settings.views), read_only=True) as views:
        return {name for name, _ in views.execute(VIEWS).fetchall()}
    return set()


def _examine_counts(
    settings: Settings, lake: Lake, rows: Mapping[str, int], gone: Collection[str]
) -> Iterator[Finding]:
    """Landing against the tables: what was taken in, and what stands there."""
    landed = [spec.name for spec in LANDED.values()]
    if not all(name in rows for name in (*landed, SEGMENTS.name)):
        return  # named already, or nothing was ingested yet
    try:
        if Journal(settings.landing).after(lake.transaction(SEGMENTS.name, APP) or 0):
            return  # an ingest is half done
    except LakeError:
        return  # named already
    query = f"SELECT coalesce(sum(events + rejects), 0) FROM ({lake.relation_sql(SEGMENTS.name)})"
    with engine(settings) as connection:
        [(told,)] = connection.execute(query).fetchall()
    found = sum(rows[name] for name in landed)
    if told != found:
        yield Finding(
            "error",
            f"{int(told):,} events and rejects were taken in, but the landed tables have {found:,} rows",
            str(lake.root / "landed"),
            REBUILD,
        )
    elif not gone and rows.keys() == set(lake.names()):
        try:
            read_ledger(lake)
        except LakeError as error:  # lake.arrivals and the logs disagree
            yield Finding("error", str(error), str(lake.folder(ARRIVALS.name)), REBUILD)


def _examine_views(settings: Settings, lake: Lake, rows: Mapping[str, int], gone: Collection[str]) -> Iterator[Finding]:
    """The views in `oplake.duckdb` against the tables. Those of tables in which something is wrong are left out."""
    where = str(settings.views)
    if not settings.views.exists():
        if rows:
            yield Finding("warning", "there are no views", where, RENEW)
        return
    try:
        views = duckdb.connect(where, read_only=True)
    except duckdb.Error as error:
        yield Finding("error", f"the views cannot be read: {_first_line(error)}", where, RENEW)
        return
    with views as connection:
        connection.execute("SET TimeZone = 'UTC'")
        shown: dict[str, str] = dict(connection.execute(VIEWS).fetchall())
        for name, row_count in rows.items():
            if name not in shown:
                yield Finding("warning", f"table {name} has no view", where, RENEW)
                continue
            schema, table = name.split(".")
            try:
                query = f"SELECT count(*) FROM {quoted(schema)}.{quoted(table)}"
                [(count,)] = connection.execute(query).fetchall()
            except duckdb.Error as error:
                yield Finding("error", f"view {name} cannot be read: {_first_line(error)}", where, RENEW)
                continue
            if count != row_count:
                what = f"view {name} shows {count:,} rows, and the table has {row_count:,}: it is of an older version"
                yield Finding("warning", what, where, RENEW)
            elif not all(literal(path)[1:-1] in shown[name] for path in lake.files(name)):
                yield Finding("note", f"view {name} is of an older version of the table", where, RENEW)
        for name in sorted(shown.keys() - set(lake.names()) - set(gone)):
            if not name.startswith("main."):
                yield Finding("warning", f"view {name} is of a table that is no more", where, RENEW)


def _examine_records(settings: Settings) -> Iterator[Finding]:
    """Dagster's databases."""
    for path in sorted(settings.dagster_home.rglob("*.db")):
        try:
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                (stamps,) = connection.execute("SELECT count(*) FROM alembic_version").fetchone()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in NO_FAULT:
                continue
            yield Finding("error", f"Dagster cannot read what it wrote of its runs: {error}", str(path), RECORDS_LOST)
            continue
        if stamps > 1:
            what = "two processes made Dagster's records at once, and none can open them now"
            yield Finding("error", what, str(path), "oplake run puts them right")
