"""A person is forgotten everywhere: every byte of a home is searched, whatever it is packed in."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from starlette.responses import Response
from tests.authors import EVALUATION, schema_of, with_server, write
from tests.authors import LATER as WRITTEN_AT
from tests.landed_events import NOON, NOW, event, everything, land, land_bytes, prepare, rows, step, take_in
from tests.model_server import says, serving_model

from oplake.lake.archive import Archive
from oplake.lake.doctor import examine
from oplake.lake.errors import LakeError
from oplake.lake.forget import PLAN, Theirs, find
from oplake.lake.ingest import IngestBusy, ingest_lock
from oplake.lake.rebuild import BESIDE, OLD, rebuild
from oplake.lake.rejects import list_rejects, replay
from oplake.lake.spec import Column, TableSpec
from oplake.lake.tables import Lake
from oplake.lake.upkeep import upkeep
from oplake.landing.accept import reject
from oplake.landing.forward import spool_of
from oplake.landing.writer import SegmentWriter
from oplake.orchestration.forget import forget
from oplake.orchestration.instance import open_instance
from oplake.orchestration.liveness import RunsAreOn, carrying_out, without_runs
from oplake.orchestration.partitions import key_of
from oplake.orchestration.resources import alive_folder
from oplake.orchestration.run import run
from oplake.orchestration.work import find_work, our_models
from oplake.settings import Settings
from oplake.synthesis.tables import WRITTEN

pytestmark = pytest.mark.slow  # each makes every table of a home once or more

ANN, BOB = "u-ann-of-the-tests", "u-bob"
SAID = "the kettle in room 9 has been whistling since Tuesday"
SHORT = "I have the gout"
"""What Ann noted, too short to be a quotation."""
REPORTED, CRITICISED = "The gouty porter Annabel limps [n1].", "Only one note says that Annabel limps."
BOBS_REPORT = "He keeps the second floor in order [n1]."
LATER = NOW + timedelta(days=1)


@pytest.fixture
def settings(home: Path) -> Settings:
    return prepare(Settings(home=home))


def turn(event_id: str, session: str, index: int, user: str | None, **more: Any) -> bytes:
    fields = {"session_id": session, "turn_index": index, "user_id": user, "provider": "openai", "model": "gpt-4o"}
    return event("turn", event_id, **fields, **more)


def work_of(user: str, said: str, session: str) -> list[bytes]:
    """A day's work for somebody."""
    op = {"endpoint": "desk:call", "duration_ms": 5, "session_id": session}
    call = {"turn_index": 0, "call_index": 0, "tool_name": "look_up", "duration_ms": 3, "session_id": session}
    about = {"asset": "users.daily_reports", "partition": "2026-01-05", "user_id": user}
    report = {"event_type": "artifact", "content": json.dumps({"summary": said}), "detail": about}
    return [
        event("note", f"note-{user}", user_id=user, note=said),
        turn(f"turn-{user}", session, 0, user, user_message=said, response=f"I see: {said}"),
        event("tool_call", f"call-{user}", ok=False, error=said, args={"text": said}, **call),
        event("op", f"op-{user}", success=False, error=f"could not: {said}", **op),
        event("session_event", f"report-{user}", session_id=f"r-{user}", source="oplake.synthesis", **report),
        event("operator_note", f"for-{user}", target=user, message=f"mind that {said}"),
    ]


ANNS = work_of(ANN, SAID, "chat-1")
BOBS = work_of(BOB, "nothing to report from the second floor today", "chat-2")
OTHERS = [
    *BOBS,
    step(1, description=f"hand over to {ANN}"),
    event("op", "asked", endpoint="desk:ask", success=True, duration_ms=1, input_summary=f"{ANN} wrote: {SAID}"),
]


def report(settings: Settings) -> None:
    """Has an author write about Ann and Bob, and a critic about that, in words that they never said."""

    def play(body: dict[str, Any]) -> Response:
        is_hers = SHORT in str(body) or "Annabel" in str(body)
        match schema_of(body):
            case "MetaEvaluation":
                return says({**EVALUATION, "consensus": REPORTED if is_hers else BOBS_REPORT})(body)
            case "":
                return says(CRITICISED if is_hers else "So it is.")(body)
        return says({"score": 70, "reasons": [CRITICISED if is_hers else "so it is"]})(body)

    land(settings, [event("note", "short", user_id=ANN, note=SHORT)], writer="short")
    take_in(settings)
    with serving_model(play) as server:
        outcome = write(with_server(settings, server), "users.meta_evaluations")
    assert {row["user_id"] for each in outcome.rows.values() for row in each if row["status"] == "ok"} == {ANN, BOB}


def lived_in(settings: Settings) -> SegmentWriter:
    """Everywhere something of Ann: archive, sealed, torn and open segments, rejects, replays, spool, old versions."""
    land(settings, [*ANNS, *OTHERS])
    report(settings)
    take_in(settings, now=WRITTEN_AT)
    rebuild(settings, now=WRITTEN_AT)
    upkeep(settings, now=WRITTEN_AT)
    assert Archive(settings.archive).entries()
    conflict = event("note", f"note-{ANN}", user_id=ANN, note=f"{SAID}, and Wednesday")
    doors = reject(f'{{"kind":"note","user_id":"{ANN}","note":"{SAID}"}}'.encode(), reason="r", origin="http", line=0,
                   byte_offset=0, received_at=NOON)  # fmt: skip
    packed = reject(f"{ANN}\xff".encode("latin-1"), reason="r", origin="http", line=0, byte_offset=1, received_at=NOON)
    land(settings, [conflict, doors.line, packed.line, step(2)], writer="second")
    land_bytes(settings, f'{{"half": "{SAID}'.encode() + b"\n" + step(3) + b"\n" + ANNS[0][:-5])
    take_in(settings)
    replay(settings, now=NOW)
    rebuild(settings, now=LATER)
    spool = SegmentWriter(spool_of(settings.home, "http://127.0.0.1:9"), writer="r", clock=lambda: NOON)
    spool.append([ANNS[1], BOBS[1]])
    spool.close()
    (settings.home / "export.json").write_text(json.dumps({"user": ANN, "session": "chat-1", "said": SAID, "n": 1}))
    live = SegmentWriter(settings.landing, writer="open", clock=lambda: NOON)
    live.append([step(4), turn("late", "chat-1", 1, ANN, user_message=SAID), step(5)])
    take_in(settings, now=LATER)
    with open_instance(settings) as instance:
        written = [(what.name, SAID) for what in WRITTEN]
        for table, said in (*written, ("landed.notes", f"of {ANN}"), ("landed.ops", "nothing")):
            metadata = {"words": dg.MetadataValue.md(said)}
            instance.report_runless_asset_event(dg.AssetMaterialization(key_of(table), metadata=metadata))
    return live


def unpacked(home: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file of a home as it lies there, and what is in it."""
    for path in home.rglob("*"):
        yield path, str(path.relative_to(home)).encode()
        if not path.is_file():
            continue
        yield path, path.read_bytes()
        if path.suffix == ".zst":
            yield path, zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
        if path.suffix == ".parquet":
            yield path, repr(pq.read_table(path).to_pylist()).encode()
        if path.suffix == ".db":
            with contextlib.closing(sqlite3.connect(path)) as connection:
                yield path, "\n".join(connection.iterdump()).encode("utf-8", "replace")


def traces(home: Path) -> list[Path]:
    words = (ANN, SAID, SHORT, REPORTED, CRITICISED, "Annabel", "chat-1")
    needles = re.compile(b"|".join((*(re.escape(each).encode() for each in words), ANN.encode("utf-16-le"))))
    return sorted({path for path, data in unpacked(home) if needles.search(data)})


def forgotten(settings: Settings, user: str = ANN, **options: Any) -> Any:
    return forget(settings, user, now=lambda: LATER, **options)


def test_no_byte_of_a_home_tells_of_a_person_any_more(settings: Settings) -> None:
    live = lived_in(settings)
    kinds = {str(path.relative_to(settings.home)).split("/")[0] for path in traces(settings.home)}
    assert {"landing", "lake", "spool", "dagster", "export.json"} <= kinds, "the search finds them everywhere before"
    before = everything(settings)
    made = {name for name in Lake(settings.lake).names() if rows(settings, name)}
    reported = rows(settings, "users.meta_evaluations")
    assert {row["consensus"]: row["user_id"] for row in reported} == {REPORTED: ANN, BOBS_REPORT: BOB}

    done = forgotten(settings)

    assert traces(settings.home) == []
    assert done.left == ()
    assert (settings.home / "export.json") in done.files
    assert not (settings.home / PLAN).exists()
    assert [str(each) for each in examine(settings)] == []
    after = everything(settings)
    # What is of others is there as it was, but for the name.
    for name in ("landed.steps", "landed.notes", "landed.turns", "landed.ops", "landed.session_events"):
        kept = [row for row in before[name] if row["event_id"] in {each["event_id"] for each in after[name]}]
        assert json.dumps(after[name], default=str) == re.sub(
            f"{ANN}|{SAID}", "[forgotten]", json.dumps(kept, default=str)
        )
    assert {row["event_id"] for row in after["landed.notes"]} == {f"note-{BOB}"}
    assert len(after["landed.steps"]) == len(before["landed.steps"]) == 5
    assert after["landed.rejects"] == [] == list_rejects(settings)
    assert after["landed.replays"] == []
    # So is what was written about them.
    assert rows(settings, "users.meta_evaluations") == [row for row in reported if row["user_id"] == BOB]
    [bobs] = [row["session_id"] for row in reported if row["user_id"] == BOB]
    for name in ("landed.turns", "landed.session_events"):
        [had, has] = [[row["event_id"] for row in each[name] if row["session_id"] == bobs] for each in (before, after)]
        assert had == has != []
    # The lake is whole: nothing is left to make, and landing alone makes the same tables.
    assert made - {"landed.replays", "landed.rejects"} <= {*Lake(settings.lake).names()}
    work = find_work(settings, our_models(settings), now=LATER)
    assert [reason for refresh in work.refreshes for reason in refresh.reasons] == []
    assert take_in(settings, now=LATER).bytes == 0
    lake = Lake(settings.lake)
    tables = {name: rows(settings, name) for name in lake.names() if name != "lake.arrivals"}
    rebuild(settings, now=LATER)
    assert {name: rows(settings, name) for name in tables} == tables
    assert traces(settings.home) == []
    # Whoever was writing goes on, in another segment.
    live.append([step(6)])
    live.close()
    assert take_in(settings, now=LATER).events == 1
    assert upkeep(settings, now=LATER).damages == ()
    assert [each for each in examine(settings) if each.severity == "error"] == []


def test_what_is_delivered_again_lands_as_new_and_can_be_forgotten_again(settings: Settings) -> None:
    """Nothing remembers whom to refuse: that would be to keep the name."""
    land(settings, [*ANNS, *OTHERS])
    take_in(settings)
    forgotten(settings)
    land(settings, [*ANNS, *OTHERS], writer="again")
    report = take_in(settings, now=LATER)
    # Theirs are back; of the others' those that named them have another body now, and the rest is known.
    assert (report.events, report.duplicates, report.rejects) == (len(ANNS), len(BOBS), 2)
    assert find(settings, ANN).events == dict.fromkeys(
        ("note", "op", "operator_note", "session_event", "tool_call", "turn"), 1
    )
    forgotten(settings)
    assert traces(settings.home) == []
    assert rows(settings, "landed.rejects") == []
    assert [str(each) for each in examine(settings)] == []


def test_looking_changes_nothing(settings: Settings) -> None:
    land(settings, [*ANNS, *OTHERS])
    take_in(settings)
    before = {path: path.stat().st_mtime_ns for path in settings.home.rglob("*") if path.is_file()}
    theirs = find(settings, ANN)
    assert sum(theirs.events.values()) == len(ANNS)
    assert theirs.named == 2
    assert theirs.rows["landed.notes"] == 1
    assert {path: path.stat().st_mtime_ns for path in settings.home.rglob("*") if path.is_file()} == before
    assert find(settings, "u-nobody") == Theirs({}, 0, {})


def test_it_waits_for_others_and_others_wait_for_it(settings: Settings) -> None:
    """A model that had read them before would write of them afterwards."""
    land(settings, ANNS)
    alive = alive_folder(settings)
    with carrying_out(alive, "a-run"), pytest.raises(RunsAreOn):
        forgotten(settings)
    with ingest_lock(settings), pytest.raises(IngestBusy):
        forgotten(settings)
    assert len(find(settings, ANN).events) == len(ANNS)
    began = threading.Event()

    def carry_out() -> None:
        with carrying_out(alive, "another"):
            began.set()

    with without_runs(alive):
        run = threading.Thread(target=carry_out)
        run.start()
        assert not began.wait(0.3)
    assert began.wait(10)
    run.join()


def with_a_table_of_nobody(settings: Settings) -> TableSpec:
    land(settings, ANNS)
    take_in(settings)
    columns = (Column("day", pa.date32(), "d"), Column("user_id", pa.string(), "u"), Column("words", pa.string(), "w"))
    spec = TableSpec("users.old_reports", "Of a model that is gone.", columns, True, ("user_id",), ("day", "user_id"))
    lake = Lake(settings.lake)
    lake.create(spec)
    day = [NOON.date()] * 2
    lake.append(
        spec.name, pa.table({"day": day, "user_id": [ANN, BOB], "words": [SAID, f"ask {ANN}"]}, spec.arrow_schema)
    )
    return spec


def test_a_table_that_nobody_makes_is_carried_over_without_them(settings: Settings) -> None:
    spec = with_a_table_of_nobody(settings)
    forgotten(settings)
    assert rows(settings, spec.name) == [{"day": NOON.date(), "user_id": BOB, "words": "ask [forgotten]"}]
    assert traces(settings.home) == []


def test_a_lake_whose_name_was_taken_is_put_back(settings: Settings) -> None:
    """Whoever dies between the two renamings leaves it under another name; landing could not tell of this table."""
    spec = with_a_table_of_nobody(settings)
    (settings.home / BESIDE).mkdir()
    settings.lake.rename(settings.home / BESIDE / OLD)
    forgotten(settings)
    assert len(rows(settings, spec.name)) == 1
    assert not (settings.home / BESIDE).exists()


def test_figures_of_what_expired_stay_without_what_is_theirs(settings: Settings) -> None:
    """Nothing can make those days again, so that they are carried over; sums that name nobody keep what she was in."""
    land(settings, [*ANNS, *OTHERS])
    run(settings, now=NOW)
    kept = settings.model_copy(update={"operations_kept": timedelta(days=30)})
    night = NOW + timedelta(days=40)
    assert upkeep(kept, now=night).expired == {"landed.ops": 3}
    before = {name: rows(settings, f"operations.{name}") for name in ("endpoint_days", "messages", "failures")}
    assert {row["session_id"] for row in before["messages"]} == {"chat-1", "chat-2"}
    forget(settings, ANN, now=lambda: night)
    assert rows(settings, "operations.endpoint_days") == before["endpoint_days"]
    assert {row["session_id"] for row in rows(settings, "operations.messages")} == {"chat-2"}
    assert {row["session_id"] for row in rows(settings, "operations.failures")} == {"chat-2"}
    assert traces(settings.home) == []
    assert not find_work(settings, our_models(settings), now=night)
    assert [str(each) for each in examine(settings) if each.severity == "error"] == []


def test_what_cannot_be_cleaned_is_told(settings: Settings) -> None:
    land(settings, ANNS)
    land_bytes(settings, step(1) + b"\n", name=f"20260105T130000.000000Z-found.{ANN}-000001")
    take_in(settings)
    (settings.home / "picture").write_bytes(b"\xff\x00" + ANN.encode())
    (settings.home / "backup.parquet").write_bytes(b"PAR1")
    (settings.home / "journal.txt").write_text("nothing of hers")
    inner = prepare(Settings(home=settings.home / "tau"))
    land(inner, ANNS)
    take_in(inner)
    before = {path: path.read_bytes() for path in inner.home.rglob("*") if path.is_file()}
    left = {path.name for path in forgotten(settings).left}
    assert {path: path.read_bytes() for path in inner.home.rglob("*") if path.is_file()} == before
    assert "tau" in left
    assert {"picture", "backup.parquet", f"20260105T130000.000000Z-found.{ANN}-000001.jsonl"} <= left
    assert "journal.txt" not in left


def test_a_table_that_nobody_makes_and_nobody_can_read_stops_it(settings: Settings) -> None:
    """To leave it out in silence would be to lose it."""
    spec = with_a_table_of_nobody(settings)
    for file in Lake(settings.lake).files(spec.name):
        Path(file).unlink()
    with pytest.raises(LakeError, match=r"Move .*old_reports away"):
        forgotten(settings)
    shutil.rmtree(Lake(settings.lake).folder(spec.name))
    forgotten(settings)
    assert traces(settings.home) == []


def test_dagster_may_have_its_records_open(settings: Settings) -> None:
    """As the UI and the daemon have, which go on with them."""
    land(settings, ANNS)
    take_in(settings)
    with open_instance(settings) as instance:
        for name in ("landed.notes", "landed.ops"):
            said = f"of {ANN}" if name == "landed.notes" else "of nobody"
            instance.report_runless_asset_event(dg.AssetMaterialization(key_of(name), description=said))
        forgotten(settings)
        assert instance.get_latest_materialization_event(key_of("landed.ops")) is not None
        assert instance.get_latest_materialization_event(key_of("landed.notes")) is None
        instance.report_runless_asset_event(dg.AssetMaterialization(key_of("landed.notes"), description="again"))
        assert instance.get_latest_materialization_event(key_of("landed.notes")) is not None
    assert traces(settings.home) == []


def test_a_file_that_is_followed_is_not_called_after_them(settings: Settings, tmp_path: Path) -> None:
    """Its next line would bring them back, and its cursor names them."""
    follows = settings.model_copy(update={"tail": (f"{tmp_path}/{ANN}/*.jsonl",)})
    with pytest.raises(LakeError, match="OPLAKE_TAIL follows"):
        forgotten(follows)


def test_somebody_whose_forgetting_was_interrupted_goes_first(settings: Settings) -> None:
    land(settings, [*ANNS, *BOBS])
    take_in(settings)

    def dies(step: str) -> None:
        if step.startswith("rewrote"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        forgotten(settings, say=dies)
    assert (settings.home / PLAN).exists()
    assert [each.remedy for each in examine(settings) if "forgetting" in each.what] != []
    forgotten(settings, BOB)
    assert traces(settings.home) == []
    assert [path for path, data in unpacked(settings.home) if b"u-bob" in data] == []
