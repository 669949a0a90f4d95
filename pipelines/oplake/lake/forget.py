"""Forgetting a person: what is theirs leaves landing, and the lake is made anew of what is left.

Landing is rewritten first, segment by segment (`oplake.landing.rewrite`), then a whole new lake takes the place of the
old one, so that no earlier version of any table is left. What belongs to a person is said in `oplake.landing.person`,
and why all this is so in docs/decisions/0090. Dagster's records are somebody else's: `orchestration` calls this.

A plan stands in the home while it is under way, with what was found before anything was removed. It is the last thing
to go; until then the same command again does the rest, whatever interrupted it.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa

from oplake.lake.archive import MANIFEST, PACKED, Archive
from oplake.lake.durable_log import sync_folder
from oplake.lake.engine import SPILL, engine
from oplake.lake.errors import LakeError
from oplake.lake.ingest import ingest_lock
from oplake.lake.journal import FILE as JOURNAL
from oplake.lake.rebuild import BESIDE, make_anew
from oplake.lake.retention import FILE as KEPT_FROM
from oplake.lake.retention import WORK as EXPIRING
from oplake.lake.sorted_rows import sorted_rows
from oplake.lake.tables import Lake
from oplake.landing.person import NEUTRAL, Known, Person, Search
from oplake.landing.rewrite import is_touched, lines, mend, rewrite
from oplake.landing.segments import INDEX_SUFFIX, SUFFIX, segments
from oplake.settings import Settings

PLAN = "forgetting.json"
WORK = ".forgetting"  # where archived segments are unpacked meanwhile
PACKED_SUFFIXES = frozenset({".gz", ".zst", ".bz2", ".xz", ".zip", ".parquet"})  # of files that only look unnamed
SPILLS = (f"{SPILL}/duckdb-*", ".spill-*")  # what queries of processes that died may have left

Say = Callable[[str], None]


@dataclass(frozen=True)
class Theirs:
    """What there is of a person."""

    events: Mapping[str, int]  # that are theirs, by kind
    named: int  # events of others that name or quote them
    rows: Mapping[str, int]  # of the tables as they stand, by the columns that say whose they are

    def __bool__(self) -> bool:
        return bool(self.events or self.named or self.rows)


@dataclass(frozen=True)
class Forgotten:
    """What was done."""

    theirs: Theirs
    files: tuple[Path, ...]  # other files of the home in which they are not named any more
    left: tuple[Path, ...]  # what may name them: other homes, and files by what they hold or what they are called


def find(settings: Settings, user: str) -> Theirs:
    """Looks for what there is of a person, and changes nothing.

    Raises:
        IngestBusy: Another process is at work on landing; try again.
        LakeError: An archived segment is damaged.
    """
    with ingest_lock(settings):
        _clear(settings)
        return _survey(settings, user)[1]


def forget(
    settings: Settings, user: str, *, now: datetime, also: Callable[[Person], None], say: Say = lambda _: None
) -> Forgotten:
    """Removes a person from everything in a home. After a crash the same call does the rest.

    Args:
        settings: The home.
        user: Their id.
        now: The present time.
        also: Called with the person for what is not the lake's, once nothing in landing and lake names them any more.
        say: Told of every durable step, in words.

    Raises:
        IngestBusy: Another process is at work on landing; try again.
        LakeError: A file that is followed is called after them, landing is not whole, or a table cannot be made.
    """
    followed = [path for path in settings.tail if Person(Known(user)).is_named(path)]
    if followed:
        raise LakeError(f"OPLAKE_TAIL follows {followed[0]}, which names them: take it out of there, and try again")
    with ingest_lock(settings):
        begun = _read_plan(settings)
        if begun is not None and begun.user != user:
            say("somebody else first, whose forgetting was interrupted")
            _forget(settings, begun.user, begun, now, also, say)
            begun = None
        return _forget(settings, user, begun, now, also, say)


def _forget(
    settings: Settings, user: str, begun: Known | None, now: datetime, also: Callable[[Person], None], say: Say
) -> Forgotten:
    _clear(settings)
    folders = [settings.landing, *_spools(settings)]
    before = Person(begun or Known(user))
    for folder in folders:
        mend(folder, before.judge if begun else _as_it_is)
    known, theirs = _survey(settings, user)
    if begun is not None:
        known.add(begun)
    person = Person(known)
    _write_plan(settings, known)
    say("what is theirs is known")
    for folder in folders:
        for segment in segments(folder):
            with suppress(FileNotFoundError):  # what a spool held has been sent
                if is_touched(segment.path, person.judge):
                    rewrite(segment.path, person.judge)
                    say(f"rewrote {segment.name}")
    for name in _rewrite_archive(settings, person):
        say(f"rewrote {name} in the archive")
    make_anew(
        settings,
        now=now,
        carry_over=partial(_carry_over, settings, person),
        on_table=lambda name, rows: say(f"{name}: {rows:,} rows"),
    )
    say("the lake is made anew")
    also(person)
    say("Dagster's records are clean")
    files, left = _clean_files(settings, person)
    (settings.home / PLAN).unlink()
    sync_folder(settings.home)
    return Forgotten(theirs, tuple(files), tuple(left))


def is_interrupted(settings: Settings) -> bool:
    """Whether a forgetting was begun and not finished."""
    return (settings.home / PLAN).exists()


# -- What there is -----------------------------------------------------------------------------------------------------


def _survey(settings: Settings, user: str) -> tuple[Known, Theirs]:
    search = Search(user)
    for path in _segments(settings):
        with path.open("rb") as file:
            for _, line in lines(file):
                search.look(line)
    person = Person(search.known())
    events: Counter[str] = Counter()
    named = 0
    for path in _segments(settings):
        with path.open("rb") as file:
            for offset, line in lines(file):
                said = line.rstrip(b"\n")
                if not said.strip():
                    continue
                judged = person.judge(said, path.stem, offset)
                if judged is None:
                    events[person.learn(said, path.stem, offset)] += 1
                else:
                    named += judged != said
    return person.known, Theirs(dict(sorted(events.items())), named, _rows(settings, person.known))


def _segments(settings: Settings) -> Iterator[Path]:
    """Every segment of landing, of the spools and of the archive; those of the archive are unpacked one by one."""
    for folder in (settings.landing, *_spools(settings)):
        for segment in segments(folder):
            with suppress(FileNotFoundError):
                yield segment.path
    archive = Archive(settings.archive)
    work = settings.home / WORK
    landed = {segment.name for segment in segments(settings.landing)}
    for entry in archive.entries().values():
        if entry.segment not in landed:
            work.mkdir(exist_ok=True)
            yield archive.restore(entry, work).path
            shutil.rmtree(work)


def _spools(settings: Settings) -> list[Path]:
    return sorted(path for path in settings.home.glob("spool/*") if path.is_dir())


def _rows(settings: Settings, known: Known) -> dict[str, int]:
    """How many rows of each table say that they are theirs."""
    lake = Lake(settings.lake)
    found: dict[str, int] = {}
    with engine(settings) as connection:
        for name in lake.names():
            with suppress(LakeError, duckdb.Error):  # what cannot be read is made anew all the same
                if count := _count(connection, lake, name, known):
                    found[name] = count
    return found


def _count(connection: duckdb.DuckDBPyConnection, lake: Lake, name: str, known: Known) -> int:
    columns = {column.name for column in lake.spec(name).columns}
    wanted = ["user_id = $user"] * ("user_id" in columns)
    wanted += ["list_contains($sessions, session_id)"] * ("session_id" in columns)
    if not wanted:
        return 0
    query = f"SELECT count(*) FROM ({lake.relation_sql(name)}) WHERE {' OR '.join(wanted)}"
    values = {"user": known.user, "sessions": sorted(known.sessions)}
    params = {key: value for key, value in values.items() if f"${key}" in query}
    [(count,)] = connection.execute(query, params).fetchall()
    return int(count)


# -- What is done about it ---------------------------------------------------------------------------------------------


def _as_it_is(line: bytes, segment: str, offset: int) -> bytes:
    return line


def _rewrite_archive(settings: Settings, person: Person) -> Iterator[str]:
    archive = Archive(settings.archive)
    work = settings.home / WORK
    for entry in archive.entries().values():
        work.mkdir(exist_ok=True)
        path = archive.restore(entry, work).path
        if is_touched(path, person.judge):
            rewrite(path, person.judge)
            archive.replace(entry, segments(work)[0])
            yield entry.segment
        shutil.rmtree(work)


def _carry_over(settings: Settings, person: Person, old: Lake, new: Lake, name: str, stop: date | None) -> None:
    """Brings the rows of a table up to a day into the new lake, without what is theirs.

    Raises:
        LakeError: The table cannot be read.
    """
    try:
        spec = old.spec(name)
        new.create(spec)
        scrubbed = (_scrubbed(batch, person) for batch in sorted_rows(settings, spec, old, stop=stop))
        rows = pa.RecordBatchReader.from_batches(spec.arrow_schema, scrubbed)
        new.replace(name, lambda: rows, start=None, stop=None)
    except (LakeError, duckdb.Error, pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise LakeError(
            f"{name} cannot be read, and nothing makes it again: {reason}. Move {old.folder(name)} away if it is lost, "
            "and forget again."
        ) from error


def _scrubbed(batch: pa.RecordBatch, person: Person) -> pa.RecordBatch:
    rows = [person.walked(row) for row in batch.to_pylist() if not person.owns_row(row)]
    return pa.RecordBatch.from_pylist(rows, schema=batch.schema)


def _clean_files(settings: Settings, person: Person) -> tuple[list[Path], list[Path]]:
    """Has other files of the home not name them any more; those changed, and those that still may."""
    changed: list[Path] = []
    left = other_homes(settings)
    for path in _own_paths(settings):
        if person.is_named(str(path.relative_to(settings.home))):
            left.append(path)
        if not path.is_file() or path.is_symlink() or _is_ours(settings, path):
            continue
        if path.suffix in PACKED_SUFFIXES:
            left.append(path)
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            if person.is_named(path.read_bytes().decode("latin-1")):
                left.append(path)
            continue
        except FileNotFoundError:
            continue
        clean = person.neutral(text)
        for session in person.known.sessions:
            clean = clean.replace(session, NEUTRAL)
        if clean != text:
            part = path.with_name(f".{path.name}.part")
            part.write_text(clean, encoding="utf-8")
            shutil.copymode(path, part)
            part.replace(path)
            changed.append(path)
    return changed, sorted(set(left))


def other_homes(settings: Settings) -> list[Path]:
    """The homes that lie within this one, such as `data/mine` within the default home.

    Offsets and checksums there hold for the bytes as they are, and only a forgetting of their own keeps them so.
    """
    return sorted(path for path in _own_paths(settings) if path.is_dir() and _is_other_home(settings, path))


def _own_paths(settings: Settings) -> Iterator[Path]:
    """All files and folders of the home, by name; of another home that lies within it, its folder alone."""
    for folder, folders, files in os.walk(settings.home):
        here = Path(folder)
        folders.sort()
        for name in sorted([*folders, *files]):
            yield here / name
        folders[:] = [name for name in folders if not _is_other_home(settings, here / name)]


def _is_other_home(settings: Settings, folder: Path) -> bool:
    own = (settings.lake, settings.dagster_home, *(settings.home / name for name in (BESIDE, EXPIRING, WORK)))
    if any(folder.is_relative_to(each) for each in own):  # the lake has a folder `lake`, and so has one made beside
        return False
    return (folder / settings.landing.name).is_dir() or (folder / settings.lake.name).is_dir()


def _is_ours(settings: Settings, path: Path) -> bool:
    """Whether a file is one that is dealt with as what it is."""
    if settings.lake in path.parents or settings.archive in path.parents or settings.home / BESIDE in path.parents:
        return True
    if path.suffix in {SUFFIX, INDEX_SUFFIX} and path.parent in {settings.landing, *_spools(settings)}:
        return True
    if settings.home / SPILL in path.parents or path.relative_to(settings.home).parts[0].startswith(".spill-"):
        return True  # of a query that is under way
    if path.name in {PLAN, JOURNAL, MANIFEST, KEPT_FROM} or path == settings.views:
        return True
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0" or path.name.endswith(("-wal", "-shm"))


def _clear(settings: Settings) -> None:
    """Removes what interrupted work may have left of anybody's events."""
    shutil.rmtree(settings.home / WORK, ignore_errors=True)
    shutil.rmtree(settings.home / EXPIRING, ignore_errors=True)
    shutil.rmtree(settings.lake.with_name(f".{settings.lake.name}-ingest"), ignore_errors=True)
    for path in settings.archive.glob(f"*/*{PACKED}.tmp"):
        path.unlink()
    in_use = _open_files()
    for pattern in SPILLS:
        for folder in settings.home.glob(pattern):
            if any(folder.iterdir()) and not any(path.startswith(f"{folder.resolve()}/") for path in in_use):
                shutil.rmtree(folder, ignore_errors=True)


def _open_files() -> set[str]:
    """The files that processes of this machine have open, as far as we may know."""
    found: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it is over, or somebody else's
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):  # it is closed
                    found.add(str(descriptor.readlink()))
    return found


# -- The plan ----------------------------------------------------------------------------------------------------------


def _read_plan(settings: Settings) -> Known | None:
    path = settings.home / PLAN
    try:
        return msgspec.json.decode(path.read_bytes(), type=Known)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LakeError(
            f"{path} is damaged: {error}. Remove it, and forget again whoever was to be forgotten."
        ) from error


def _write_plan(settings: Settings, known: Known) -> None:
    path = settings.home / PLAN
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)  # it says what they said
        file.write(msgspec.json.encode(known))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(settings.home)
