"""A rebuild makes the same tables from landing alone, and nobody who reads meanwhile notices."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.landed_events import NOON, NOW, event, everything, land, land_bytes, prepare, rows, step, take_in

from oplake.lake.archive import Archive
from oplake.lake.catalog import connect
from oplake.lake.doctor import examine
from oplake.lake.errors import LakeError
from oplake.lake.ingest import IngestBusy, ingest_lock
from oplake.lake.journal import Journal
from oplake.lake.ledger import publish_arrivals
from oplake.lake.rebuild import rebuild
from oplake.lake.rejects import replay
from oplake.lake.tables import Lake
from oplake.lake.upkeep import upkeep
from oplake.landing.accept import reject
from oplake.landing.writer import SegmentWriter
from oplake.orchestration.work import find_work, our_models
from oplake.settings import Settings

pytestmark = pytest.mark.slow  # each makes a whole home twice

LATER = NOW + timedelta(days=1)


@pytest.fixture
def settings(home: Path) -> Settings:
    return prepare(Settings(home=home))


def live_through_much(settings: Settings) -> SegmentWriter:
    """Conflicts, duplicates, rejects, a replay, late events, an archive, and writers that grow side by side."""
    first = SegmentWriter(settings.landing, writer="a", clock=lambda: NOON)
    second = SegmentWriter(settings.landing, writer="b", clock=lambda: NOON)
    second.append([step(n) for n in range(40)])
    second.append([event("note", "n1", user_id="u", note="the second writer was read first")])
    take_in(settings)
    first.append([step(n, received_at=NOON + timedelta(seconds=9)) for n in range(20, 60)])
    first.append([event("note", "n1", user_id="u", note="the name of its segment comes first")])
    land_bytes(settings, b"nonsense\n" + step(70) + b"\n" + step(71)[:30])
    again = b'{"kind": "note", "user_id": "u", "note": "again"}'
    landed = reject(again, reason="r", origin="http", line=0, byte_offset=0, received_at=NOON).line
    land(settings, [landed, step(1, description="other"), step(80, ts=NOON - timedelta(days=9), received_at=NOON)])
    take_in(settings, now=NOW + timedelta(minutes=1))
    replay(settings, now=NOW + timedelta(minutes=2))
    take_in(settings, now=NOW + timedelta(minutes=3))
    first.close()
    upkeep(settings, now=NOW + timedelta(minutes=4))
    second.append([step(90)])
    take_in(settings, now=LATER)
    return second


def models_of(settings: Settings) -> dict[str, list[dict[str, object]]]:
    lake = Lake(settings.lake)
    return {name: rows(settings, name) for name in lake.names() if name.startswith("attribution.")}


def test_a_rebuild_makes_equal_tables(settings: Settings) -> None:
    """Reading the segments by name would keep the other note, and stamp rejects with the time of the rebuild."""
    writer = live_through_much(settings)
    before = everything(settings)
    assert {len(before[f"landed.{table}"]) > 0 for table in ("steps", "notes", "rejects", "replays")} == {True}
    assert Archive(settings.archive).entries()
    rebuild(settings, now=LATER)
    models = models_of(settings)
    assert everything(settings) == before
    assert len(models) > 3
    assert take_in(settings, now=LATER).bytes == 0
    shutil.rmtree(settings.lake)
    reports: list[str] = []
    report = rebuild(
        settings.model_copy(update={"ingest_bytes": 4096}), now=LATER, on_table=lambda *it: reports.append(it[0])
    )
    assert everything(settings) == before, "nor does it depend on the size of batches"
    assert models_of(settings) == models
    assert sorted(reports) == sorted(report.rows)
    assert [finding for finding in examine(settings) if finding.severity == "error"] == []
    writer.close()


def test_a_rebuild_takes_in_what_is_new(settings: Settings) -> None:
    land(settings, [step(n) for n in range(10)])
    take_in(settings)
    land(settings, [step(20)], writer="x")
    assert rebuild(settings, now=LATER).ingest.events == 11
    assert take_in(settings, now=LATER).bytes == 0
    assert len(rows(settings, "landed.steps")) == 11


def test_without_the_journal_a_rebuild_finds_everything_in_the_archive(settings: Settings) -> None:
    land(settings, [step(n) for n in range(10)])
    take_in(settings)
    upkeep(settings, now=LATER)
    Journal(settings.landing).path.unlink()
    rebuild(settings, now=LATER)
    assert len(rows(settings, "landed.steps")) == 10


def test_a_lost_manifest_loses_nothing(settings: Settings) -> None:
    """The archive is landing too: with lake, journal and manifest gone, its files alone make the tables again."""
    land(settings, [step(n) for n in range(10)])
    take_in(settings)
    upkeep(settings, now=LATER)
    Journal(settings.landing).path.unlink()
    Archive(settings.archive).manifest.unlink()
    shutil.rmtree(settings.lake)
    rebuild(settings, now=LATER)
    assert len(rows(settings, "landed.steps")) == 10
    assert len(Archive(settings.archive).listed()) == 1, "the manifest is made again"


def lose(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rename(path: Path) -> None:
    path.rename(path.with_name(f"20260105T000000.000000Z-renamed-000001{path.suffix}"))


@pytest.mark.parametrize(
    ("harm", "glob", "what", "left"),
    [
        (lose, "archive/*/*.jsonl.zst", "the file is gone; it had 10 events", 10),
        (cut, "archive/*/*.jsonl.zst", "its bytes changed.*; it had 10 events", 10),
        (lose, "*-x-*.jsonl", "it is gone, and .* bytes of it were taken in; it had 10 events", 10),
        (cut, "*-x-*.jsonl", "it was cut: .* bytes of it were taken in, and .* are there", 15),
        (rename, "*-x-*.jsonl", "it is gone", 20),
    ],
)
def test_a_rebuild_goes_on_with_what_is_left(
    settings: Settings, harm: Callable[[Path], None], glob: str, what: str, left: int
) -> None:
    """Without a way on, one lost segment of thousands keeps the lake from ever being made again."""
    land(settings, [step(n) for n in range(10)])
    take_in(settings)
    upkeep(settings, now=LATER)
    land(settings, [step(n) for n in range(100, 110)], writer="x")
    take_in(settings, now=LATER)
    before = everything(settings)
    [path] = settings.landing.glob(glob)
    harm(path)
    with pytest.raises(LakeError, match=rf"(?s)nothing was replaced:.*{what}.*--what-is-left"):
        rebuild(settings, now=LATER)
    assert everything(settings) == before
    for _ in range(2):  # and again, for the journal goes on telling of what is lost
        report = rebuild(settings, now=LATER, what_is_left=True)
        assert len(rows(settings, "landed.steps")) in {left - 1, left}  # a line that was cut is a reject
        assert [damage.path for damage in report.lost] == [path]
    assert take_in(settings, now=LATER).bytes == 0


def test_what_was_lost_and_is_restored_comes_back(settings: Settings) -> None:
    land(settings, [step(n) for n in range(10)])
    land(settings, [step(n) for n in range(100, 110)], writer="x")
    take_in(settings)
    before = rows(settings, "landed.steps")
    [path] = settings.landing.glob("*-x-*.jsonl")
    data = path.read_bytes()
    path.unlink()
    assert rebuild(settings, now=LATER, what_is_left=True).lost
    path.write_bytes(data)
    assert rebuild(settings, now=LATER, what_is_left=True).lost == ()
    assert rows(settings, "landed.steps") == before


def test_broken_logs_are_made_anew(settings: Settings) -> None:
    land(settings, [step(n) for n in range(10)])
    take_in(settings)
    lake = Lake(settings.lake)
    publish_arrivals(lake)
    for name in ("landed.steps", "lake.arrivals"):
        for path in (lake.folder(name) / "_delta_log").glob("*.json"):
            path.write_text("nonsense")
    rebuild(settings, now=LATER)
    assert len(rows(settings, "landed.steps")) == 10
    assert [finding for finding in examine(settings) if finding.severity == "error"] == []


def test_a_damaged_archive_stops_a_rebuild_before_it_replaces_anything(settings: Settings) -> None:
    land(settings, [step(n) for n in range(10)])
    take_in(settings)
    upkeep(settings, now=LATER)
    before = everything(settings)
    [path] = settings.archive.glob("*/*.jsonl.zst")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(LakeError, match="backup"):
        rebuild(settings, now=LATER)
    assert everything(settings) == before
    assert not (settings.home / ".rebuilding").exists()


def test_a_rebuild_waits_for_no_ingest(settings: Settings) -> None:
    with ingest_lock(settings), pytest.raises(IngestBusy):
        rebuild(settings, now=LATER)


def test_a_rebuild_leaves_a_run_nothing_to_do(settings: Settings) -> None:
    """Days are those of a run: windows reach beyond the days that have rows, and a run makes none after tomorrow."""
    early, far = NOON - timedelta(days=900), NOON + timedelta(days=40)
    begun = {"agent_id": "a", "action_type": "t"}
    land(
        settings,
        [
            event("action_begun", "b1", action_id="action-0000", **begun),
            step(1),
            event("action_begun", "b2", ts=far, received_at=far, action_id="action-0009", **begun),
            event("action_begun", "b3", ts=early, received_at=early, action_id="a", **begun),
        ],
    )
    rebuild(settings, now=LATER)
    assert {row["action_id"] for row in rows(settings, "attribution.actions")} == {"action-0000"}
    assert not find_work(settings, our_models(settings), now=LATER)
    rebuild(settings, now=far)
    assert {row["action_id"] for row in rows(settings, "attribution.actions")} == {"action-0000", "action-0009"}
    assert not find_work(settings, our_models(settings), now=far)


def test_a_crash_at_any_table_is_made_good(settings: Settings) -> None:
    writer = live_through_much(settings)
    before = everything(settings)
    for steps in (3, 18):
        left = [steps]

        def die(_name: str, _rows: int, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            rebuild(settings, now=LATER, on_table=die)
        take_in(settings, now=LATER)
        assert everything(settings) == before
    writer.close()


def test_no_reader_fails_during_a_rebuild(settings: Settings) -> None:
    """Dropping the tables first, as one would by hand, leaves readers with nothing for as long as it takes."""
    land(settings, [step(n) for n in range(500)])
    take_in(settings)
    failures: list[Exception] = []
    counts: set[tuple[int, int]] = set()
    is_done = threading.Event()

    def read() -> None:
        while not is_done.is_set():
            try:
                with connect(settings) as connection:
                    query = "SELECT (SELECT count(*) FROM landed.steps), (SELECT count(*) FROM lake.segments)"
                    counts.update(connection.execute(query).fetchall())
            except Exception as error:  # noqa: BLE001  # a reader must never fail, in any way
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(2):
        rebuild(settings, now=LATER)
    is_done.set()
    reader.join()
    assert failures == []
    assert counts == {(500, 1)}
