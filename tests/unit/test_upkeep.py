"""Upkeep and the archive: no row changes, no crash loses a segment, damage is found."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from msgspec import structs
from tests.landed_events import NOON, NOW, everything, land, prepare, rows, step, take_in

from oplake.lake.archive import Archive, Archived
from oplake.lake.catalog import connect
from oplake.lake.durable_log import DurableLog
from oplake.lake.errors import LakeError
from oplake.lake.tables import Lake
from oplake.lake.upkeep import SMALL_FILES, compact, upkeep
from oplake.landing.segments import segments
from oplake.landing.writer import SegmentWriter
from oplake.settings import Settings

pytestmark = pytest.mark.slow

LATER = NOW + timedelta(days=1)


@pytest.fixture
def settings(home: Path) -> Settings:
    return prepare(Settings(home=home))


def archive_of(settings: Settings) -> Archive:
    return Archive(settings.archive)


def test_upkeep_of_an_empty_home_does_nothing(home: Path) -> None:
    settings = Settings(home=home)
    report = upkeep(settings, now=NOW)
    assert (report.archived, report.compacted, report.failures) == ((), {}, {})


def test_what_was_taken_in_moves_to_the_archive_and_nothing_else_does(settings: Settings) -> None:
    land(settings, [step(n) for n in range(50)])
    take_in(settings)
    land(settings, [step(90)], writer="x")  # sealed, but not taken in
    live = SegmentWriter(settings.landing, writer="live", clock=lambda: NOON)
    live.append([step(91)])
    report = upkeep(settings, now=LATER)
    assert [name.split("-")[1] for name in report.archived] == ["w"]
    assert {segment.name.split("-")[1] for segment in segments(settings.landing)} == {"live", "x"}
    [entry] = archive_of(settings).entries().values()
    assert (entry.day, archive_of(settings).path(entry).name) == (NOON.date(), f"{report.archived[0]}.jsonl.zst")
    assert take_in(settings, now=LATER).events == 2
    live.close()


def test_an_archived_segment_comes_back_with_its_index(settings: Settings, tmp_path: Path) -> None:
    land(settings, [step(n) for n in range(50)])
    [before] = segments(settings.landing)
    data = before.path.read_bytes()
    entry = archive_of(settings).store(before, now=NOW)
    assert isinstance(entry, Archived)
    restored = archive_of(settings).restore(entry, tmp_path)
    assert restored.path.read_bytes() == data
    assert restored.seal == before.seal


def test_a_segment_that_changed_is_not_archived(settings: Settings) -> None:
    """A copy of damaged bytes with a fresh checksum would hide the damage for good."""
    land(settings, [step(1)])
    take_in(settings)
    [segment] = segments(settings.landing)
    data = bytearray(segment.path.read_bytes())
    data[-10] ^= 1
    segment.path.write_bytes(data)
    report = upkeep(settings, now=LATER)
    assert report.archived == ()
    [damage] = report.damages
    assert "sha256" in damage.problem
    assert segment.path.read_bytes() == bytes(data)


@pytest.mark.parametrize("stage", ["copied", "listed"])
def test_a_crash_while_archiving_loses_nothing(settings: Settings, stage: str) -> None:
    land(settings, [step(n) for n in range(50)])
    [segment] = segments(settings.landing)
    data, index = segment.path.read_bytes(), segment.path.with_suffix(".idx").read_bytes()
    archive_of(settings).store(segment, now=NOW)
    segment.path.write_bytes(data)  # as if it had not been removed yet
    segment.path.with_suffix(".idx").write_bytes(index)
    if stage == "copied":
        archive_of(settings).manifest.unlink()
    [again] = segments(settings.landing)
    assert isinstance(archive_of(settings).store(again, now=NOW), Archived)
    assert segments(settings.landing) == []
    assert len(archive_of(settings).entries()) == 1
    assert list(archive_of(settings).damages()) == []


def test_the_archive_is_what_lies_there_and_not_what_the_manifest_lists(settings: Settings, tmp_path: Path) -> None:
    """Trusting the list alone, a lost manifest makes every archived event invisible, and a rebuild drops them all."""
    land(settings, [step(n) for n in range(50)])
    [segment] = segments(settings.landing)
    data, seal = segment.path.read_bytes(), segment.seal
    stored = archive_of(settings).store(segment, now=NOW)
    assert isinstance(stored, Archived)
    archive_of(settings).manifest.unlink()
    [entry] = archive_of(settings).entries().values()
    assert structs.replace(entry, archived_at=NOW) == stored
    restored = archive_of(settings).restore(entry, tmp_path)
    assert (restored.path.read_bytes(), restored.seal) == (data, seal)
    assert not archive_of(settings).manifest.exists(), "looking lists nothing"
    upkeep(settings, now=LATER)
    assert list(archive_of(settings).listed()) == [stored.segment]


@pytest.mark.parametrize("harm", ["flip", "cut", "swap"])
def test_what_the_manifest_does_not_list_is_checked(settings: Settings, harm: str) -> None:
    """A file cut at the end of a block unpacks without an error, and another segment's bytes have a right checksum."""
    land(settings, [step(n) for n in range(50)])
    land(settings, [step(n) for n in range(60)], writer="x")
    paths = []
    for segment in segments(settings.landing):
        stored = archive_of(settings).store(segment, now=NOW)
        assert isinstance(stored, Archived)
        paths.append(archive_of(settings).path(stored))
    archive_of(settings).manifest.unlink()
    data = bytearray(paths[0].read_bytes())
    if harm == "flip":
        data[len(data) // 2] ^= 4
    paths[0].write_bytes({"flip": data, "cut": data[:-4], "swap": paths[1].read_bytes()}[harm])
    [damage] = archive_of(settings).damages()
    assert damage.path == paths[0]
    with pytest.raises(LakeError, match=r"the manifest does not list it, and .* backup"):
        archive_of(settings).entries()
    assert len(archive_of(settings).relist()) == 1


def test_the_way_out_of_a_damaged_manifest_is_one(settings: Settings) -> None:
    """The journal's advice, that all is found again from the segments, would here lead to an empty lake."""
    land(settings, [step(n) for n in range(50)])
    take_in(settings)
    upkeep(settings, now=LATER)
    manifest = archive_of(settings).manifest
    manifest.write_bytes(b"nonsense\n")
    with pytest.raises(LakeError, match=r"move it away and run `oplake upkeep`"):
        upkeep(settings, now=LATER)
    manifest.unlink()
    upkeep(settings, now=LATER)
    assert len(archive_of(settings).listed()) == 1


@pytest.mark.parametrize("harm", ["flip", "remove"])
def test_damage_in_the_archive_is_found_and_not_unpacked(settings: Settings, tmp_path: Path, harm: str) -> None:
    land(settings, [step(n) for n in range(50)])
    take_in(settings)
    upkeep(settings, now=LATER)
    [entry] = archive_of(settings).entries().values()
    path = archive_of(settings).path(entry)
    if harm == "flip":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
    else:
        path.unlink()
    assert len(upkeep(settings, now=LATER).damages) == 1
    with pytest.raises(LakeError, match="backup"):
        archive_of(settings).restore(entry, tmp_path)


@pytest.mark.slow
def test_small_files_become_one_sorted_one_and_rows_stay(settings: Settings) -> None:
    for n in range(SMALL_FILES + 1):
        land(settings, [step(k) for k in range(n, 100, SMALL_FILES + 1)], writer=f"w{n}")
        take_in(settings)
    lake = Lake(settings.lake)
    before = everything(settings)
    commits = lake.commits("landed.steps")
    assert len(lake.files("landed.steps")) == SMALL_FILES + 1
    report = upkeep(settings, now=LATER)
    assert report.compacted["landed.steps"] == 1
    [file] = lake.files("landed.steps")
    assert everything(settings) == before
    assert lake.commits("landed.steps").commits == commits.commits, "the ledger sees nothing of it"
    with duckdb.connect() as connection:
        order = connection.execute(f"SELECT action_id, step_index FROM read_parquet('{file}')").fetchall()
    assert order == sorted(order)
    assert take_in(settings, now=LATER).events == 0
    assert upkeep(settings, now=LATER).compacted == {}


def test_a_day_that_others_wrote_meanwhile_is_left_alone(settings: Settings) -> None:
    """Compacted rows of an old version would undo what was written since."""
    for n in range(SMALL_FILES):
        land(settings, [step(n)], writer=f"w{n}")
        take_in(settings)
    lake = Lake(settings.lake)
    version = lake.version("landed.steps")
    old = lake_rows(lake, version)
    land(settings, [step(50)], writer="late")
    take_in(settings)
    assert lake.rearrange("landed.steps", old, version=version, day=NOON.date()) is None
    assert len(rows(settings, "landed.steps")) == SMALL_FILES + 1
    assert compact(settings, lake, "landed.steps") == 1
    assert len(rows(settings, "landed.steps")) == SMALL_FILES + 1


def lake_rows(lake: Lake, version: int):  # type: ignore[no-untyped-def]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.sql(lake.relation_sql("landed.steps", as_of=version)).to_arrow_table()


@pytest.mark.slow
def test_vacuum_keeps_what_readers_may_still_read(home: Path) -> None:
    settings = prepare(Settings(home=home, vacuum_after=timedelta(hours=1)))
    for n in range(SMALL_FILES):
        land(settings, [step(n)], writer=f"w{n}")
        take_in(settings)
    orphan = settings.lake / "landed" / "steps" / f"day={NOON.date()}" / "part-orphan.parquet"
    orphan.write_bytes(b"left by a crash")
    with connect(settings) as reader:
        upkeep(settings, now=LATER)
        assert reader.execute("SELECT count(*) FROM landed.steps").fetchall() == [(SMALL_FILES,)]
    old = time.time() - 7200
    for path in orphan.parent.iterdir():
        if str(path) not in Lake(settings.lake).files("landed.steps"):
            os.utime(path, (old, old))
    assert upkeep(settings, now=LATER).vacuumed["landed.steps"] >= 1
    assert not orphan.exists()
    assert len(rows(settings, "landed.steps")) == SMALL_FILES


def test_a_broken_table_does_not_keep_others_from_upkeep(settings: Settings) -> None:
    for n in range(SMALL_FILES):
        land(settings, [step(n), step(n, ts=NOON + timedelta(days=1))], writer=f"w{n}")
        take_in(settings)
    (settings.lake / "landed" / "notes" / "_delta_log" / f"{0:020}.json").write_text("nonsense")
    report = upkeep(settings, now=LATER)
    assert report.compacted["landed.steps"] == 2
    assert "landed.notes" in report.failures


def test_a_torn_entry_of_a_log_is_written_over(tmp_path: Path) -> None:
    log = DurableLog(tmp_path / "log", Archived)
    entry = Archived("s", NOON.date(), 1, "a", 1, "b", NOON)
    log.append(entry)
    with log.path.open("ab") as file:
        file.write(b'{"segment": "t", "da')
    assert log.entries() == [entry]
    log.append(entry)
    assert log.entries() == [entry, entry]
    log.path.write_bytes(b"nonsense\n" + log.path.read_bytes())
    with pytest.raises(LakeError, match=r"damaged line.*backup"):
        log.entries()


def test_a_log_is_read_from_its_end(tmp_path: Path) -> None:
    log = DurableLog(tmp_path / "log", Archived)
    entries = [Archived(f"s{n}" * 500, NOON.date(), n, "a", 1, "b", NOON) for n in range(200)]
    for entry in entries:
        log.append(entry)
    assert log.entries() == entries
    assert next(log.newest_first()) == entries[-1]
