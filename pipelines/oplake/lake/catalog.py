"""The lake as people see it: a DuckDB view for every table, with what it means, and a list of the tables.

A view reads the files of the version that was the latest when the view was made. So a question gets the same answer
from one minute to the next, whatever is written, compacted or replaced meanwhile, for as long as replaced files are
kept (`OPLAKE_VACUUM_AFTER`). To see what is new, connect again or call `refresh`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from uuid import uuid4

import duckdb

from oplake.lake.errors import FilesBroken, LakeError, LogBroken, TableMissing, VersionMissing
from oplake.lake.locks import only_one
from oplake.lake.spec import TableSpec, check_name, duckdb_type, literal, quoted
from oplake.lake.tables import Lake
from oplake.settings import Settings

_ROOT = "oplake_lake"  # the variable of a connection that remembers which lake its views read


def connect(settings: Settings | None = None, as_of: datetime | date | str | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in memory with a view for every table, such as `attribution.steps`.

    It takes no lock and blocks nobody: tables may be written, compacted and rebuilt meanwhile. Times come in UTC. A
    table that cannot be read, or not as of that time, keeps no other from being asked: a query of it fails and says
    why.

    Args:
        settings: Where the lake is, and how much memory and how many threads a query may take; None for the defaults
            and the environment.
        as_of: See every table as it was at that time, within what is kept; a table that was made later is empty. See
            `moment` for what it may be. None for the latest versions.

    Raises:
        LakeError: `as_of` is no time, or a `datetime` without zone.
    """
    settings = settings or Settings()
    then = None if as_of is None else moment(as_of)
    connection = duckdb.connect(config=_config(settings))
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET VARIABLE {_ROOT} = {literal(str(settings.lake))}")
        _make_views(connection, Lake(settings.lake), then)
    except BaseException:
        connection.close()
        raise
    return connection


def moment(as_of: datetime | date | str) -> datetime:
    """The instant that is meant by a time with zone, a day, or ISO text of either.

    Text without a zone is in UTC. A day means its first instant, as it does in Spark's `TIMESTAMP AS OF` over the same
    tables: for the state at its end, give the next day.

    Raises:
        LakeError: It is no time, or a `datetime` without zone.
    """
    if isinstance(as_of, str):
        try:
            found = datetime.fromisoformat(as_of.strip())
        except ValueError as error:
            raise LakeError(
                f"{as_of!r} is no time: give one such as 2026-01-31, 2026-01-31T12:30 or 2026-01-31T12:30:00+02:00"
            ) from error
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    if not isinstance(as_of, datetime):
        return datetime.combine(as_of, time(), UTC)
    if as_of.tzinfo is None:
        raise LakeError(f"as_of {as_of} has no time zone; add one, such as tzinfo=UTC, or give it as text")
    return as_of


def refresh(connection: duckdb.DuckDBPyConnection) -> None:
    """Let the views of a connection made by `connect` read the latest versions, and show tables that are new.

    Raises:
        LakeError: The connection was not made by `connect`.
    """
    row = connection.execute(f"SELECT getvariable('{_ROOT}')").fetchone()
    if row is None or row[0] is None:
        raise LakeError("this connection was not made by oplake.connect, so it is not known what lake it reads")
    _make_views(connection, Lake(Path(row[0])), None)


def publish_views(settings: Settings, lake: Lake | None = None) -> Path:
    """Write the DuckDB file that holds one view per table and nothing else, and return its path.

    It is built beside and moved over, so that who has the old file open keeps reading it undisturbed and who opens the
    new one finds it whole. Open it read-only (`duckdb -readonly oplake.duckdb`) and `SET TimeZone = 'UTC'`: a file of
    DuckDB cannot keep that setting.

    Args:
        settings: Where the lake and the file are.
        lake: The lake, where the caller has it open already; that saves loading every table.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    building = settings.views.with_name(settings.views.name + ".building")
    with only_one(settings.views.with_name(settings.views.name + ".lock")):
        for leftover in (building, building.with_name(building.name + ".wal")):
            leftover.unlink(missing_ok=True)
        with duckdb.connect(str(building), config=_config(settings)) as connection:
            _make_views(connection, lake or Lake(settings.lake), None)
        building.replace(settings.views)
    return settings.views


@dataclass(frozen=True)
class TableSummary:
    """A table at its latest version. Days are None where it has none; `updated_at` is None when the log forgot it."""

    spec: TableSpec
    version: int
    updated_at: datetime
    row_count: int
    bytes: int
    files: int
    first_day: date | None
    last_day: date | None

    @property
    def name(self) -> str:
        """`schema.table`."""
        return self.spec.name


def summarize(settings: Settings, name: str) -> TableSummary:
    """What a table means and how large it is, from its log alone.

    Raises:
        TableMissing: There is no such table; the message names those that sound like it.
    """
    lake = Lake(settings.lake)
    names = lake.names()
    if name not in names:
        raise TableMissing(f"there is no table {name}; {_instead(name, names)}")
    return _summary(lake, name)


def summarize_all(settings: Settings) -> tuple[list[TableSummary], dict[str, LogBroken]]:
    """The summaries of all tables, by name; and those that cannot be read, with what is wrong."""
    lake = Lake(settings.lake)
    found: list[TableSummary] = []
    broken: dict[str, LogBroken] = {}
    for name in lake.names():
        try:
            found.append(_summary(lake, name))
        except LogBroken as error:
            broken[name] = error
    return found, broken


def _summary(lake: Lake, name: str) -> TableSummary:
    version = lake.version(name)
    size = lake.size(name, as_of=version)
    days = lake.rows_per_day(name, as_of=version)
    return TableSummary(
        spec=lake.spec(name),
        version=version,
        updated_at=lake.committed_at(name, version),
        row_count=size.row_count,
        bytes=size.bytes,
        files=size.files,
        first_day=min(days, default=None),
        last_day=max(days, default=None),
    )


def _instead(name: str, names: list[str]) -> str:
    if not names:
        return "the lake is empty: `oplake run` makes the tables of what has landed"
    close = difflib.get_close_matches(name, names) or [each for each in names if each.endswith(f".{name}")]
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)}"


def _make_views(connection: duckdb.DuckDBPyConnection, lake: Lake, as_of: datetime | None) -> None:
    """Make the view of every table, all at once: another cursor of the connection sees the old ones or the new ones."""
    unreadable: dict[str, LakeError] = {}
    while not _all_made(connection, lake, as_of, unreadable):
        pass


def _all_made(
    connection: duckdb.DuckDBPyConnection, lake: Lake, as_of: datetime | None, unreadable: dict[str, LakeError]
) -> bool:
    """Whether all views were made, or one more was found to be `unreadable`, and none was made."""
    connection.begin()
    try:
        for name in lake.names():
            try:
                _make_view(connection, lake, name, as_of, unreadable.get(name))
            except TableMissing:  # dropped since it was listed
                continue
            except FilesBroken as error:  # DuckDB goes on with no transaction in which something was refused
                unreadable[name] = error
                connection.rollback()
                return False
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    return True


def _make_view(
    connection: duckdb.DuckDBPyConnection, lake: Lake, name: str, as_of: datetime | None, problem: LakeError | None
) -> None:
    """Make the view of one table; where there is a problem, one that says so when it is asked."""
    schema, table = check_name(name)
    spec: TableSpec | None = None
    try:
        spec = lake.spec(name)
        select = _failing(str(problem), spec) if problem else lake.relation_sql(name, as_of=as_of)
    except (LogBroken, VersionMissing) as error:
        problem = error
        select = _failing(str(error), spec)
    view = f"{quoted(schema)}.{quoted(table)}"
    meaning, columns = (_meaning(spec), spec.columns) if spec else (f"{name} cannot be read.", ())
    comments = [f"COMMENT ON VIEW {view} IS {literal(meaning)}"]
    comments += [
        f"COMMENT ON COLUMN {view}.{quoted(column.name)} IS {literal(column.description)}" for column in columns
    ]
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
    try:
        connection.execute(f"CREATE OR REPLACE VIEW {view} AS {select}")
    except (duckdb.IOException, duckdb.InvalidInputException, duckdb.BinderException) as error:
        if problem:
            raise
        raise FilesBroken(name, error, is_past=as_of is not None) from error
    connection.execute("; ".join(comments))


def _failing(message: str, spec: TableSpec | None) -> str:
    """A SELECT that can be bound, and fails with a message when it is run, whichever columns are asked for.

    Where the columns are not known the only one is named for what to do: whoever asks for another one reads that.
    """
    unknown = "this table cannot be read: oplake doctor says why"
    failure = f"error({literal(message)})"
    columns = [(each.name, duckdb_type(each.type)) for each in spec.columns] if spec else [(unknown, "VARCHAR")]
    listed = ", ".join(f"CAST({failure} AS {type_}) AS {quoted(name)}" for name, type_ in columns)
    return f"SELECT {listed} WHERE CAST({failure} AS BOOLEAN)"


def _meaning(spec: TableSpec) -> str:
    return f"{spec.description} Grain: {', '.join(spec.grain)}." if spec.grain else spec.description


def _config(settings: Settings) -> dict[str, str | bool | int | float | list[str]]:
    # A query too large for memory spills into a folder that DuckDB makes when it comes to that, and removes again. By
    # default that would be below the current folder, wherever that is.
    spill = settings.home / f".spill-{uuid4().hex[:12]}"
    return {
        "memory_limit": settings.duckdb_memory,
        "threads": settings.duckdb_threads,
        "temp_directory": str(spill),
    }
