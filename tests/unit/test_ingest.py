"""Ingest: what lands is in the tables once, whatever the lines hold and however they were cut into batches."""

from __future__ import annotations

import json
import os
import shutil
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.landed_events import NOON, NOW, event, everything, land, land_bytes, prepare, rows, step, take_in

import oplake.landing.segments as segments_module
from oplake import events
from oplake.lake.catalog import connect
from oplake.lake.doctor import examine
from oplake.lake.ingest import CONFLICT, IngestBusy, Progress, ingest_lock
from oplake.lake.journal import Journal, gaps
from oplake.lake.landed import LANDED
from oplake.lake.ledger import read_ledger
from oplake.lake.lines import Lines
from oplake.lake.rebuild import rebuild
from oplake.lake.stretches import Stretch
from oplake.lake.tables import Lake
from oplake.lake.upkeep import upkeep
from oplake.landing.accept import accept, reject
from oplake.landing.recorder import Recorder
from oplake.landing.segments import Segment
from oplake.landing.writer import SegmentWriter
from oplake.settings import Settings

DAY = date(2026, 1, 5)


@pytest.fixture
def settings(home: Path) -> Settings:
    """Small batches, so that a test has several."""
    return prepare(Settings(home=home, ingest_bytes=16 * 1024))


def test_an_empty_landing_gives_empty_tables_and_a_watermark(home: Path) -> None:
    settings = Settings(home=home)
    report = take_in(settings)
    assert (report.events, report.touched, report.watermark) == (0, {}, NOW)
    assert rows(settings, "landed.steps") == []
    assert rows(settings, "lake.watermark") == [{"watermark": NOW}]


def test_every_line_becomes_a_row_with_its_values(settings: Settings) -> None:
    land(settings, [step(n) for n in range(200)])
    report = take_in(settings)
    assert report.events == 200
    assert report.touched == {"landed.steps": {DAY: 200}}
    first = rows(settings, "landed.steps")[0]
    assert first["day"] == DAY
    assert first["ts"] == NOON
    assert json.loads(first["state"]) == {"n": 0, "is_even": True, "within": {"words": ["a", "b"]}}
    assert (first["decision"], first["actor"], first["extra"], first["ts_suspect"]) == ("", None, "{}", False)


def test_a_second_ingest_adds_nothing(settings: Settings) -> None:
    land(settings, [step(n) for n in range(50)])
    take_in(settings)
    before = everything(settings)
    versions = {name: Lake(settings.lake).version(name) for name in Lake(settings.lake).names()}
    report = take_in(settings)
    assert (report.events, report.bytes, report.touched) == (0, 0, {})
    assert everything(settings) == before
    after = {name: Lake(settings.lake).version(name) for name in Lake(settings.lake).names()}
    assert {name for name in after if after[name] != versions[name]} <= {"lake.watermark"}


def test_kinds_share_a_segment(settings: Settings) -> None:
    """`op.state` is a text and `step.state` an object; read as one JSON column the text would keep its quotes."""
    land(
        settings,
        [
            step(1),
            event("op", "op-1", endpoint="search", success=True, duration_ms=3, state="TX", playbook_ids=["p1", "p2"]),
            event("note", "note-1", user_id="u", note='she said "no"\nand left \u2028 \U0001f600'),
            event("op", "op-2", endpoint="search", success=False, duration_ms=1.5, state='{"a": 1}'),
        ],
    )
    assert take_in(settings).events == 4
    ops = rows(settings, "landed.ops", "event_id, state, playbook_ids, count, success, duration_ms")
    assert [op["state"] for op in ops] == ["TX", '{"a": 1}']
    assert ops[0]["playbook_ids"] == ["p1", "p2"]
    assert ops[1]["playbook_ids"] == []
    assert rows(settings, "landed.notes", "note") == [{"note": 'she said "no"\nand left \u2028 \U0001f600'}]


_FIRST, _LAST = datetime(1, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001  # hypothesis wants its bounds without zone
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_fields = {
    "text": _texts,
    "integer": st.integers(0, 2**63 - 1),
    "number": st.floats(0, 1e300),
    "boolean": st.booleans(),
    "texts": st.lists(_texts, max_size=3),
    "json": st.dictionaries(_texts, _json, max_size=4),
    "time": st.datetimes(_FIRST, _LAST, timezones=st.just(UTC)),
}


@st.composite
def _lines(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(sorted(set(events.KINDS) - {"reject", "session_event"})))
    values: dict[str, Any] = {"kind": kind, "event_id": draw(st.uuids().map(str))}
    for field in events.fields(kind):
        if field.name in {"event_id", "received_at", "ts_suspect", "redactions"} or field.name == "events":
            continue
        if field.is_required or draw(st.booleans()):
            values[field.name] = draw(_fields[field.type])
            if field.type == "text" and not values[field.name]:
                values[field.name] = "x"
    return accept(values, received_at=NOON, is_live=False).line


@pytest.mark.slow
@given(st.lists(_lines(), min_size=1, max_size=12))
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_duckdb_reads_what_python_reads(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    """DuckDB's JSON reader coerces in silence; on lines that accept made it must agree with msgspec on every value."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        decoded = [events.decoder.decode(line) for line in lines]
        kinds = {str(each.__struct_config__.tag) for each in decoded}
        read = Lines(connection, tmp_path_factory.mktemp("lines"), "lines")
        read.add(b"\n".join(lines) + b"\n", kinds)
        for kind in kinds:
            query = f"{read.typed(kind, with_number=True)} ORDER BY line_number"
            for row in connection.sql(query).to_arrow_table().to_pylist():
                _assert_same(decoded[row["line_number"]], kind, row)


def _assert_same(decoded: events.Event, kind: str, row: dict[str, object]) -> None:
    for field in events.fields(kind):
        expected, found = getattr(decoded, field.name), row[field.name]
        if field.type == "json":
            found = json.loads(str(found))
        assert found == expected, field.name
        assert type(found) is type(expected) or isinstance(expected, datetime), field.name
    assert row["day"] == decoded.ts.astimezone(UTC).date()


def test_numbers_of_lines_follow_the_files_though_two_threads_read_them(tmp_path: Path) -> None:
    """Which line came first, and which bytes become a reject, is told by the rowid of a table that DuckDB fills."""
    lines = [step(n, description="x" * (n % 300)) for n in range(30_000)]
    parts = [lines[:9_000], lines[9_000:9_001], lines[9_001:20_000], lines[20_000:]]
    with duckdb.connect(config={"threads": 4}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        read = Lines(connection, tmp_path, "lines")
        for number, part in enumerate(parts):
            data = b"\n".join(part) + b"\n"
            whole = tmp_path / f"whole-{number}.jsonl"
            whole.write_bytes(data)
            if number % 2:
                read.add_file(whole, {"step"}, len(part))
            else:
                read.add(data, {"step"})
        found = connection.execute(f"SELECT event_id FROM {read.as_table()} ORDER BY rowid").fetchall()
        assert [event_id for (event_id,) in found] == [f"step-{n:06d}" for n in range(30_000)]
        assert connection.execute("SELECT min(rowid), max(rowid) FROM lines").fetchall() == [(0, 29_999)]


# -- Identity ----------------------------------------------------------------------------------------------------------


def test_the_same_event_twice_is_one_row(settings: Settings) -> None:
    later = NOON + timedelta(seconds=5)
    land(settings, [step(1), step(2), step(1, received_at=later)])
    first = take_in(settings)
    land(settings, [step(2, received_at=later), step(3)], at=later)
    second = take_in(settings)
    assert (first.events, first.duplicates, second.events, second.duplicates) == (2, 1, 1, 1)
    assert [(row["event_id"], row["received_at"]) for row in rows(settings, "landed.steps")] == [
        ("step-000001", NOON),
        ("step-000002", NOON),
        ("step-000003", NOON),
    ]
    assert rows(settings, "landed.rejects") == []


@pytest.mark.parametrize("is_same_batch", [True, False])
def test_the_same_id_with_another_body_is_a_reject(settings: Settings, is_same_batch: bool) -> None:
    """Keeping the last, or any one, would let a client rewrite what was landed."""
    other = step(1, description="something else")
    land(settings, [step(0), step(1)])
    if not is_same_batch:
        take_in(settings)
    land(settings, [step(2), other, other], at=NOON + timedelta(seconds=1), writer="x")
    report = take_in(settings)
    assert report.rejects == 2
    assert [row["description"] for row in rows(settings, "landed.steps")] == ["step 0", "step 1", "step 2"]
    rejects = sorted(rows(settings, "landed.rejects"), key=lambda row: row["line"])
    assert {row["reason"] for row in rejects} == {CONFLICT}
    assert {row["raw"].encode() for row in rejects} == {other}
    assert [row["line"] for row in rejects] == [2, 3]
    assert [row["byte_offset"] for row in rejects] == [len(step(2)) + 1, len(step(2)) + len(other) + 2]


@pytest.mark.parametrize("is_same_batch", [True, False])
def test_a_time_that_was_stamped_is_no_part_of_a_body(settings: Settings, is_same_batch: bool) -> None:
    """Forbids comparing `ts` as it stands: an event without one, sent again, would be in conflict with itself.

    A time that the sender said is compared, and is the same whether or not it is that of a receipt.
    """
    later = NOON + timedelta(seconds=5)
    said = step(2, ts=NOON - timedelta(hours=1), received_at=NOON)
    land(settings, [step(1, ts=NOON), said, step(3, ts=NOON)])
    if not is_same_batch:
        take_in(settings)
    again = [
        step(1, ts=later, received_at=later),
        step(2, ts=later, received_at=later),
        step(3, ts=NOON, received_at=later),
    ]
    land(settings, again, at=later, writer="x")
    take_in(settings)
    assert [(row["event_id"], row["received_at"]) for row in rows(settings, "landed.steps")] == [
        (f"step-{number:06}", NOON) for number in (1, 2, 3)
    ]
    assert [row["raw"].encode() for row in rows(settings, "landed.rejects")] == [again[1]]


def test_the_same_id_on_another_day_or_of_another_kind_is_another_event(settings: Settings) -> None:
    land(settings, [step(1), step(1, ts=NOON + timedelta(days=1)), event("note", "step-000001", user_id="u", note="n")])
    assert take_in(settings).events == 3


def test_many_duplicates_are_counted_where_they_are(settings: Settings) -> None:
    land(settings, [step(n) for n in range(300)])
    land(settings, [step(n) for n in range(200, 400)], writer="x")
    report = take_in(settings)
    assert (report.events, report.duplicates) == (400, 100)
    told = rows(settings, "lake.segments", "segment, events, duplicates, rejects")
    assert sum(row["duplicates"] for row in told if "-x-" in row["segment"]) == 100
    assert sum(row["duplicates"] for row in told if "-w-" in row["segment"]) == 0


# -- Time --------------------------------------------------------------------------------------------------------------


def test_late_events_join_their_day(settings: Settings) -> None:
    land(settings, [step(n) for n in range(3)])
    take_in(settings)
    old = NOON - timedelta(days=100)
    land(settings, [step(9, ts=old, received_at=NOON)], at=NOON)
    assert take_in(settings).touched == {"landed.steps": {old.date(): 1}}


@pytest.mark.parametrize("off", [timedelta(days=-500), timedelta(days=366)])
def test_an_event_with_a_broken_clock_stands_in_the_day_it_was_received(settings: Settings, off: timedelta) -> None:
    land(settings, [step(1, ts=NOON + off, received_at=NOON)])
    take_in(settings)
    [row] = rows(settings, "landed.steps")
    assert (row["day"], row["ts"], row["ts_suspect"]) == (DAY, NOON + off, True)


def test_a_clock_a_year_ahead_does_not_move_the_watermark_there(settings: Settings) -> None:
    """Every open action would be timed out at once, and for a year."""
    ahead = NOW + timedelta(days=365)
    land(settings, [step(1, ts=ahead)], at=ahead)
    land(settings, [step(2, ts=NOW + timedelta(hours=1))], at=NOW)
    assert take_in(settings).watermark == NOW + timedelta(hours=1)


def test_the_watermark_never_goes_back(settings: Settings) -> None:
    take_in(settings, now=NOW)
    assert take_in(settings, now=NOW - timedelta(days=1)).watermark == NOW
    assert read_ledger(Lake(settings.lake)).watermark == NOW


# -- Batches -----------------------------------------------------------------------------------------------------------


def test_small_segments_share_a_batch_and_large_ones_are_divided(settings: Settings) -> None:
    for n in range(40):
        land(settings, [step(n)], writer=f"w{n:02d}")
    steps: list[Progress] = []
    take_in(settings, progress=steps.append)
    assert len(Journal(settings.landing).after(0)) == 1
    assert [each.step for each in steps] == ["journal", "landed.steps", "lake.segments", "watermark"]
    with SegmentWriterOf(settings) as writer:
        for n in range(100, 400, 10):
            writer.append([step(k) for k in range(n, n + 10)])
    steps.clear()
    take_in(settings, progress=steps.append)
    assert len(Journal(settings.landing).after(1)) > 3
    done = [each.bytes_done for each in steps]
    assert done == sorted(done)
    assert steps[-1].bytes_done == steps[-1].bytes_total
    assert len(rows(settings, "landed.steps")) == 340


class SegmentWriterOf:
    """A writer that is closed at the end of a block."""

    def __init__(self, settings: Settings) -> None:
        self._writer = SegmentWriter(settings.landing, writer="big", clock=lambda: NOON)

    def __enter__(self) -> SegmentWriter:
        return self._writer

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def test_a_writer_that_lives_is_read_up_to_its_last_whole_line(settings: Settings) -> None:
    with SegmentWriterOf(settings) as writer:
        writer.append([step(1)])
        assert take_in(settings).events == 1
        [path] = settings.landing.glob("*.jsonl")
        with path.open("ab") as file:
            file.write(b'{"kind":"step","event_')
        report = take_in(settings)
        assert (report.events, report.rejects, report.bytes) == (0, 0, 0)


def test_the_torn_tail_of_a_writer_that_died_is_one_reject(settings: Settings) -> None:
    land_bytes(settings, step(1) + b"\n" + step(2)[:40])
    assert (take_in(settings).rejects, take_in(settings).rejects) == (1, 0)
    [found] = rows(settings, "landed.rejects")
    assert found["raw"].encode() == step(2)[:40]
    assert (found["line"], found["byte_offset"], found["raw_bytes"]) == (2, len(step(1)) + 1, 40)


def test_a_kind_of_a_later_oplake_is_a_reject_and_not_an_error(settings: Settings) -> None:
    """The index vouches for it, but the contract here does not know its columns."""
    land(settings, [step(1), step(3).replace(b'"kind":"step"', b'"kind":"dream"'), step(2)])
    report = take_in(settings)
    assert (report.events, report.rejects) == (2, 1)
    [found] = rows(settings, "landed.rejects")
    assert "dream" in found["reason"]


def test_a_recorder_that_is_still_open_is_read(settings: Settings) -> None:
    with Recorder(settings) as recorder:
        action = recorder.begin_action("agent", "search")
        recorder.record_step(action, "look")
        assert take_in(settings, now=datetime.now(UTC)).events == 2


def test_only_one_may_ingest(settings: Settings) -> None:
    with ingest_lock(settings), pytest.raises(IngestBusy, match=r"another process is at work.*wait"):
        take_in(settings)


def test_a_lost_index_costs_time_and_nothing_else(settings: Settings, tmp_path: Path) -> None:
    other = prepare(Settings(home=tmp_path / "other", ingest_bytes=settings.ingest_bytes))
    lines = [step(n) for n in range(100)] + [step(5, description="other")]
    for each in (settings, other):
        land(each, lines)
    for index in other.landing.glob("*.idx"):
        index.unlink()
    take_in(settings)
    take_in(other)
    found, expected = everything(other), everything(settings)
    counted = "sum(events) AS e, sum(duplicates) AS d, sum(rejects) AS r"
    assert rows(other, "lake.segments", counted) == rows(settings, "lake.segments", counted)
    assert found | {"lake.segments": []} == expected | {"lake.segments": []}


def test_secrets_are_counted_by_day_kind_and_rule(settings: Settings) -> None:
    secret = "AKIA" + "IOSFODNN7EXAMPLQ"
    land(settings, [step(1, description=f"key {secret}"), event("note", "n1", user_id="u", note=f"{secret} {secret}")])
    take_in(settings)
    land(settings, [step(2, description=f"key {secret}")], writer="x")
    take_in(settings)
    told = rows(settings, "lake.redactions")
    assert {(row["kind"], row["count"]) for row in told} == {("note", 2), ("step", 2)}
    assert secret not in str(everything(settings))


def test_rejects_that_doors_landed_become_rows_beside_those_found_here(settings: Settings) -> None:
    landed = reject(b"\xff\xfe", reason="not UTF-8", origin="http", line=0, byte_offset=0, received_at=NOON).line
    land(settings, [step(1), landed, step(1, description="other")])
    report = take_in(settings)
    assert report.rejects == 1
    assert [row["origin"][:4] for row in rows(settings, "landed.rejects")] == ["2026", "http"]


def test_a_long_reject_is_read(settings: Settings) -> None:
    """DuckDB refuses objects longer than its `maximum_object_size`; a batch that cannot be read would stop all."""
    raw = b"\x01" * 3_000_000
    land_bytes(settings, raw + b"\n" + step(1) + b"\n")
    assert (take_in(settings).events, take_in(settings).rejects) == (1, 0)
    [found] = rows(settings, "landed.rejects", "raw_bytes, raw")
    assert found["raw_bytes"] == len(raw)


# -- Crashes at every point --------------------------------------------------------------------------------------------


class Died(BaseException):
    """Stands for SIGKILL: nothing of ours may catch it."""


@pytest.mark.slow
@pytest.mark.parametrize("is_late", [False, True])
def test_a_crash_after_any_commit_is_made_good(settings: Settings, tmp_path: Path, is_late: bool) -> None:
    """Dropping the duplicates alone would not do: they would be miscounted, unlike in a rebuild."""
    calm = prepare(Settings(home=tmp_path / "calm", ingest_bytes=settings.ingest_bytes))
    for each in (settings, calm):
        land(each, [step(n) for n in range(20)])
        take_in(each)
        land(
            each,
            [
                *(step(n) for n in range(10, 60)),
                event("note", "n1", user_id="u", note="one"),
                step(3, description="other"),
                event("note", "n1", user_id="u", note="two"),
                event("op", "o1", endpoint="e", success=True, duration_ms=1),
            ],
            writer="x",
        )
        land_bytes(each, b"nonsense\n" + step(70))
    take_in(calm)
    deaths = 0
    while _dies(settings):
        deaths += 1
        if is_late and deaths < 5:  # more comes in between; the batch that was begun stays what it was
            for each in (settings, calm):
                land(each, [step(1000 + deaths)], writer=f"late{deaths}")
        assert deaths < 50, "it never gets done"
    take_in(calm)
    assert deaths >= 6
    found, expected = everything(settings), everything(calm)
    for name in found:
        if name != "lake.segments":
            assert found[name] == expected[name], name
    keys = "sum(events) AS e, sum(duplicates) AS d, sum(rejects) AS r"
    assert rows(settings, "lake.segments", keys) == rows(calm, "lake.segments", keys)


def _dies(settings: Settings) -> bool:
    """Ingests, and dies as soon as one more step has become durable; the watermark does not count."""

    def listener(progress: Progress) -> None:
        if progress.step != "watermark":
            raise Died

    try:
        take_in(settings, progress=listener)
    except Died:
        return True
    return False


def test_a_lake_that_was_lost_comes_back_by_itself(settings: Settings) -> None:
    land(settings, [step(n) for n in range(100)])
    take_in(settings)
    land(settings, [step(n) for n in range(50, 150)], writer="x")
    take_in(settings)
    before = everything(settings)
    shutil.rmtree(settings.lake)
    take_in(settings)
    assert everything(settings) == before


def test_a_lost_journal_costs_the_order_and_no_event(settings: Settings) -> None:
    land(settings, [step(n) for n in range(100)])
    take_in(settings)
    Journal(settings.landing).path.unlink()
    land(settings, [step(n) for n in range(100, 110)], writer="x")
    assert take_in(settings).events == 10
    shutil.rmtree(settings.lake)
    take_in(settings)
    assert len(rows(settings, "landed.steps")) == 110


def test_readers_see_whole_batches(settings: Settings) -> None:
    land(settings, [step(n) for n in range(400)])
    take_in(settings)
    failures: list[Exception] = []
    counts: list[int] = []
    is_done = threading.Event()

    def read() -> None:
        try:
            while not is_done.is_set():
                with connect(settings) as connection:
                    counts.append(connection.execute("SELECT count(*) FROM landed.steps").fetchall()[0][0])
        except Exception as error:  # noqa: BLE001  # a reader must never fail, in any way
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(5):
        land(settings, [step(1000 * n + k) for k in range(500, 520)], writer=f"w{n}")
        take_in(settings)
    is_done.set()
    reader.join()
    assert failures == []
    assert counts == sorted(counts)
    assert all((count - 400) % 20 == 0 for count in counts)


# -- Files that somebody else put there -----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_name_that_comes_again_brings_other_lines(settings: Settings) -> None:
    """By name and offset alone, the beginning of the second file would count as taken in."""
    for number in range(3):
        land_bytes(settings, step(10 * number) + b"\n" + step(10 * number + 1) + b"\n", name="events")
        assert take_in(settings).events == 2
    upkeep(settings, now=NOW)
    land_bytes(settings, b"\n".join(step(n) for n in range(100, 105)) + b"\n", name="events")
    assert take_in(settings).events == 5
    before = everything(settings)
    rebuild(settings, now=NOW)
    assert everything(settings)["landed.steps"] == before["landed.steps"]


def test_the_last_line_of_a_file_that_was_just_written_may_still_grow(settings: Settings) -> None:
    path = land_bytes(settings, step(1) + b"\n" + step(2)[:30], name="slow")
    now = datetime.now(UTC)  # the file system has no other clock
    report = take_in(settings, now=now)
    assert (report.events, report.rejects) == (1, 0)
    assert not path.exists()
    [adopted] = settings.landing.glob("*-found.slow-*.jsonl")
    with adopted.open("ab") as file:
        file.write(step(2)[30:] + b"\n")
    report = take_in(settings, now=now)
    assert (report.events, report.rejects) == (1, 0)


def test_what_is_appended_to_a_sealed_segment_comes_in_and_can_be_archived(settings: Settings) -> None:
    path = land_bytes(settings, step(1) + b"\n")
    assert take_in(settings).events == 1
    with path.open("ab") as file:
        file.write(step(2) + b"\n")
    assert take_in(settings).events == 1
    assert not [finding for finding in examine(settings) if "seal" in finding.what]
    assert len(upkeep(settings, now=NOW).archived) == 1


def test_folders_and_pipes_in_landing_stop_nobody(settings: Settings) -> None:
    """Opening a pipe would wait for a writer, for ever and with the lock held."""
    land(settings, [step(1)])
    (settings.landing / "old.jsonl").mkdir()
    os.mkfifo(settings.landing / "pipe.jsonl")
    assert take_in(settings).events == 1


def test_fields_of_a_newer_writer_are_kept_in_extra(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index of its segment vouches for its lines, and DuckDB would read of them what this oplake knows."""
    with monkeypatch.context() as newer:
        newer.setattr(segments_module, "CONTRACT", events.CONTRACT + 1)
        land(settings, [step(1)[:-1] + b',"mood":"glad"}'])
    assert take_in(settings).events == 1
    [row] = rows(settings, "landed.steps")
    assert json.loads(row["extra"]) == {"mood": "glad"}


def test_line_numbers_of_many_rejects_are_found_without_counting_from_the_start(tmp_path: Path) -> None:
    """Counting newlines for each of them took hours for a foreign file of 64 MB."""
    lines = 300_000
    data = b"{}\n" * lines
    path = tmp_path / "s.jsonl"
    path.write_bytes(data)
    stretch = Stretch(Segment("s", path, len(data), False, None), 0, len(data), None, data=data)
    assert [stretch.line_number(3 * n) for n in range(lines)] == list(range(1, lines + 1))


def test_a_watermark_of_a_clock_that_was_ahead_is_taken_back(settings: Settings) -> None:
    """Else every action that begins within that year is a timeout at once."""
    assert take_in(settings, now=NOW + timedelta(days=365)).watermark == NOW + timedelta(days=365)
    assert take_in(settings, now=NOW).watermark == NOW
    assert take_in(settings, now=NOW - timedelta(hours=3)).watermark == NOW


# -- Negative controls -------------------------------------------------------------------------------------------------


def test_control_the_naive_reader_changes_values_in_silence(tmp_path: Path) -> None:
    """Why lines that nobody vouches for never reach DuckDB's reader."""
    path = tmp_path / "foreign.jsonl"
    path.write_bytes(b'{"n": 1.5, "x": 1e999}\n{"n": true, "x": NaN}\nnonsense\n')
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT * FROM read_json('{path}', columns = {{n: 'BIGINT', x: 'DOUBLE'}}, ignore_errors = true, "
            "format = 'newline_delimited')"
        ).fetchall()
    assert [n for n, _ in found] == [2, 1, None], "rounded, coerced, and nonsense became a row of nulls"


def test_control_appending_without_looking_doubles_what_came_twice(settings: Settings) -> None:
    lake = Lake(settings.lake)
    lake.create(LANDED["step"])
    land(settings, [step(1)])
    take_in(settings)
    [row] = rows(settings, "landed.steps")
    lake.append("landed.steps", pa.Table.from_pylist([row], LANDED["step"].arrow_schema))
    assert len(rows(settings, "landed.steps")) == 2


# -- Small things ------------------------------------------------------------------------------------------------------


def test_gaps() -> None:
    assert gaps([], 0) == []
    assert gaps([], 5) == [(0, 5)]
    assert gaps([(0, 5)], 5) == []
    assert gaps([(2, 3), (4, 5)], 9) == [(0, 2), (3, 4), (5, 9)]
