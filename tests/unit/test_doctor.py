"""The doctor names what is wrong: each test breaks one thing on purpose."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from tests.landed_events import NOW, event, land, land_bytes, step, take_in

from oplake.lake.archive import Archive
from oplake.lake.catalog import publish_views
from oplake.lake.doctor import examine
from oplake.lake.journal import Journal
from oplake.lake.landed import REDACTIONS
from oplake.lake.ledger import ARRIVALS, provenance, publish_arrivals
from oplake.lake.tables import Column, Lake, TableSpec
from oplake.lake.upkeep import upkeep
from oplake.settings import Settings

pytestmark = pytest.mark.slow  # each examines a whole home

LATER = NOW + timedelta(days=1)
MODEL = TableSpec("work.model", "A model.", (Column("n", pa.int64(), "a number"),), False, ("n",), ("n",))


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an archived segment and one that is not archived yet; for copying."""
    settings = Settings(home=tmp_path_factory.mktemp("well") / "home")
    land(settings, [step(n) for n in range(50)])
    land_bytes(settings, b"nonsense\n\n" + step(60)[:30])
    take_in(settings)
    upkeep(settings, now=LATER)
    land(settings, [event("note", "n", user_id="u", note="n"), step(1, description="other"), step(1)], writer="x")
    take_in(settings, now=LATER)
    lake = Lake(settings.lake)
    lake.create(MODEL)
    said = provenance(code_version="abc", inputs={"landed.steps": lake.version("landed.steps")}, watermark=NOW)
    lake.replace(MODEL.name, lambda: pa.table({"n": pa.array([1], pa.int64())}), start=None, stop=None, metadata=said)
    publish_arrivals(lake)
    return settings.home


@pytest.fixture
def healthy(well: Path, tmp_path: Path) -> Settings:
    """A copy of that home, with fresh views."""
    settings = Settings(home=tmp_path / "home")
    shutil.copytree(well, settings.home)
    publish_views(settings)
    return settings


def test_all_is_well(healthy: Settings) -> None:
    assert examine(healthy) == []


def test_a_quote_in_the_path_makes_no_view_old(settings: Settings) -> None:
    """The SQL of a view has it doubled; looked for as it is, every view was of an older version, for ever."""
    home = settings.model_copy(update={"home": settings.home / "it's"})
    land(home, [step(1)])
    take_in(home)
    publish_views(home)
    assert [each for each in examine(home) if "view" in each.what] == []


def test_a_home_that_is_none_is_not_well(settings: Settings) -> None:
    """Whoever mistyped it would be told that all is well."""
    assert [(each.severity, each.what, each.where) for each in examine(settings)] == [
        ("note", "nothing has landed here yet", str(settings.home))
    ]
    mistyped = settings.model_copy(update={"home": settings.home / "hmoe"})
    assert [(each.severity, each.what, each.where) for each in examine(mistyped)] == [
        ("error", "there is no home here", str(mistyped.home))
    ]
    settings.landing.mkdir()
    assert examine(settings) == []


def test_what_a_first_run_has_not_made_yet_is_not_gone(healthy: Settings) -> None:
    """It publishes what arrived, and views, when it ends; killed before, it lost nothing."""
    drop_arrivals(healthy)
    healthy.views.unlink()
    (finding,) = (each for each in examine(healthy) if "arrivals" in each.what)
    assert (finding.severity, "not there yet" in finding.what, "oplake run" in finding.remedy) == ("note", True, True)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def only(settings: Settings, pattern: str) -> Path:
    [path] = settings.home.glob(pattern)
    return path


def lose_rows(settings: Settings) -> None:
    only(settings, "lake/landed/notes/day=*/*.parquet").unlink()


def harm_parquet(settings: Settings) -> None:
    path = only(settings, "lake/landed/notes/day=*/*.parquet")
    path.write_bytes(path.read_bytes()[:-20])


def edit_row_count(settings: Settings) -> None:
    log = Lake(settings.lake).folder("landed.notes") / "_delta_log"
    last = max(log.glob("*.json"))
    lines = last.read_text().splitlines()
    for n, line in enumerate(lines):
        action = json.loads(line)
        if "add" in action:
            stats = json.loads(action["add"]["stats"])
            action["add"]["stats"] = json.dumps(stats | {"numRecords": 7})
            lines[n] = json.dumps(action)
    last.write_text("\n".join(lines) + "\n")


def drop_a_commit(settings: Settings) -> None:
    log = Lake(settings.lake).folder("landed.notes") / "_delta_log"
    max(log.glob("*.json")).unlink()


def break_log(settings: Settings) -> None:
    for path in (Lake(settings.lake).folder("landed.ops") / "_delta_log").glob("*.json"):
        path.write_text("nonsense")


def append_to_log(settings: Settings) -> None:
    log = Lake(settings.lake).folder("landed.notes") / "_delta_log"
    (log / f"{len(list(log.glob('*.json'))):020}.json").write_text('{"x')


def drop_model(settings: Settings) -> None:
    shutil.rmtree(Lake(settings.lake).folder(MODEL.name))


def drop_arrivals(settings: Settings) -> None:
    shutil.rmtree(Lake(settings.lake).folder(ARRIVALS.name))


def drop_redactions(settings: Settings) -> None:
    shutil.rmtree(Lake(settings.lake).folder(REDACTIONS.name))


def harm_views(settings: Settings) -> None:
    settings.views.write_bytes(b"garbage" * 999)


def lose_manifest(settings: Settings) -> None:
    Archive(settings.archive).manifest.unlink()


def harm_manifest(settings: Settings) -> None:
    Archive(settings.archive).manifest.write_bytes(b"nonsense\n")


def lose_line_of_manifest(settings: Settings) -> None:
    Archive(settings.archive).manifest.write_bytes(b"")


def lose_watermark(settings: Settings) -> None:
    (settings.landing / "watermark.json").unlink()


def drop_table(settings: Settings) -> None:
    shutil.rmtree(Lake(settings.lake).folder("landed.notes"))


def flip_archive(settings: Settings) -> None:
    flip(only(settings, "landing/archive/*/*-w-*.jsonl.zst"))


def lose_archive(settings: Settings) -> None:
    only(settings, "landing/archive/*/*-w-*.jsonl.zst").unlink()


def flip_segment(settings: Settings) -> None:
    flip(only(settings, "landing/*-x-*.jsonl"))


def cut_segment(settings: Settings) -> None:
    path = only(settings, "landing/*-x-*.jsonl")
    path.write_bytes(path.read_bytes()[:-10])


def lose_segment(settings: Settings) -> None:
    only(settings, "landing/*-x-*.jsonl").unlink()


def lose_journal(settings: Settings) -> None:
    Journal(settings.landing).path.unlink()


def harm_journal(settings: Settings) -> None:
    path = Journal(settings.landing).path
    path.write_bytes(path.read_bytes() + b"nonsense\n")


def harm_watermark(settings: Settings) -> None:
    (settings.landing / "watermark.json").write_text("{")


def stale_views(settings: Settings) -> None:
    land(settings, [step(200)], writer="new")
    take_in(settings, now=LATER)


def lose_views(settings: Settings) -> None:
    settings.views.unlink()


def begin_and_die(settings: Settings) -> None:
    land(settings, [step(300)], writer="new")

    def die(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_in(settings, progress=die)


def wait(settings: Settings) -> None:
    land(settings, [step(400)], writer="new")


SHOWS_TWICE = {edit_row_count, drop_a_commit, lose_line_of_manifest, stale_views, begin_and_die}
"""What is rightly seen in several places: several tables or segments, or a table and what it disagrees with."""


@pytest.mark.parametrize(
    ("harm", "severity", "what", "where", "remedy"),
    [
        (lose_rows, "error", "landed.notes is gone, with 1 rows", ".parquet", "oplake rebuild"),
        (harm_parquet, "error", "landed.notes cannot be read", ".parquet", "oplake rebuild"),
        (edit_row_count, "error", "has 1 rows, and its log says 7", ".parquet", "oplake rebuild"),
        (drop_a_commit, "error", "events and rejects were taken in", "landed", "oplake rebuild"),
        (break_log, "error", "landed.ops: its log cannot be read", "landed.ops", "oplake rebuild"),
        (append_to_log, "error", "landed.notes: its log cannot be read", "landed.notes", "oplake rebuild"),
        (drop_model, "error", "table work.model is gone", "model", "oplake run"),
        (drop_arrivals, "error", "table lake.arrivals is gone", "arrivals", "oplake run"),
        (drop_redactions, "error", "table lake.redactions is gone", "redactions", "oplake rebuild"),
        (harm_views, "error", "the views cannot be read", "oplake.duckdb", "oplake upkeep"),
        (lose_manifest, "warning", "the manifest of the archive is gone", "manifest.jsonl", "oplake upkeep"),
        (harm_manifest, "error", "damaged line", "manifest.jsonl", "see there"),
        (lose_line_of_manifest, "warning", "manifest does not list it", ".jsonl.zst", "oplake upkeep"),
        (lose_watermark, "warning", "watermark of ingest is gone", "watermark.json", "oplake rebuild"),
        (drop_table, "error", "landed.notes is gone", "notes", "oplake rebuild"),
        (flip_archive, "error", "its bytes changed", ".jsonl.zst", "backup"),
        (lose_archive, "error", "the file is gone", ".jsonl.zst", "backup"),
        (flip_segment, "error", "changed after it was sealed", ".jsonl", "backup"),
        (cut_segment, "error", "it was cut", ".jsonl", "backup"),
        (lose_segment, "error", "taken in is gone", ".jsonl", "backup"),
        (lose_journal, "warning", "journal of ingest is gone", "ingest.journal", "backup"),
        (harm_journal, "error", "damaged line", "ingest.journal", "see there"),
        (harm_watermark, "error", "is damaged", "watermark.json", "see there"),
        (stale_views, "warning", "view landed.steps shows 50 rows, and the table has 51", "oplake.duckdb", "upkeep"),
        (lose_views, "warning", "there are no views", "oplake.duckdb", "upkeep"),
        (begin_and_die, "note", "1 batches are begun", "ingest.journal", "oplake run"),
        (wait, "note", "bytes are waiting", "landing", "oplake run"),
    ],
)
def test_what_is_broken_is_named(
    healthy: Settings, harm: Callable[[Settings], None], severity: str, what: str, where: str, remedy: str
) -> None:
    """And nothing else is: a view is not to blame for the table that it reads, nor a check for what it cannot read."""
    harm(healthy)
    findings = examine(healthy)
    named = [each for each in findings if what in each.what]
    assert named, findings
    assert len(findings) == 1 or harm in SHOWS_TWICE, findings
    assert "\n" not in named[0].what
    assert (named[0].severity, where in named[0].where, remedy in named[0].remedy) == (severity, True, True), named[0]


def test_the_worst_comes_first(healthy: Settings) -> None:
    wait(healthy)
    lose_views(healthy)
    lose_rows(healthy)
    severities = [finding.severity for finding in examine(healthy)]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert len(set(severities)) == 3


def test_looking_changes_nothing(healthy: Settings) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        files = (path for path in healthy.home.rglob("*") if path.is_file())
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}

    before = state()
    examine(healthy)
    assert state() == before


def test_a_home_that_cannot_be_written_is_examined(healthy: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may only look, at a mounted backup for example, would be told that nothing can be examined."""
    make = os.mkdir

    def read_only(path: str | Path, *arguments: int, **options: int) -> None:
        if Path(path).is_relative_to(healthy.home):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        make(path, *arguments, **options)

    monkeypatch.setattr(os, "mkdir", read_only)  # the gateway to the disk
    assert examine(healthy) == []


def test_a_broken_table_hides_no_missing_one(healthy: Settings) -> None:
    append_to_log(healthy)
    drop_model(healthy)
    drop_redactions(healthy)
    found = {finding.what.partition(" cannot be read")[0] for finding in examine(healthy)}
    assert {"table work.model is gone", "table lake.redactions is gone"} < found
