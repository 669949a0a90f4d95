"""What is only kept so long goes, from the tables and from landing; what was made of it stays, whoever makes tables."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from tests.authors import notes, put, write
from tests.landed_events import NOON, event, everything, land, prepare, rows, take_in
from tests.written_rows import written_row

from oplake.lake.doctor import examine
from oplake.lake.errors import LakeError
from oplake.lake.journal import Journal
from oplake.lake.ledger import publish_arrivals, read_ledger
from oplake.lake.rebuild import rebuild
from oplake.lake.retention import FILE, REPORTS, read_kept_from
from oplake.lake.spec import Column, TableSpec
from oplake.lake.tables import Lake
from oplake.lake.upkeep import upkeep
from oplake.landing.writer import SegmentWriter
from oplake.orchestration.errors import OrchestrationError
from oplake.orchestration.resources import Lakehouse
from oplake.orchestration.run import run
from oplake.orchestration.staleness import stale
from oplake.orchestration.work import find_stale, find_work, our_models
from oplake.settings import Settings
from oplake.synthesis.tables import WRITTEN, meta_plans

pytestmark = pytest.mark.slow  # each makes tables of a home

MONTH = timedelta(days=30)
OLD, YOUNG = NOON, NOON + timedelta(days=20)
NIGHT = NOON + timedelta(days=33)  # what is kept for 30 days began three days after OLD
FIRST_KEPT = (NIGHT - MONTH).date()


@pytest.fixture
def settings(home: Path) -> Settings:
    return prepare(Settings(home=home))


def op(n: int, ts: datetime, *, success: bool = False, **more: Any) -> bytes:
    fields = {"endpoint": "desk:call", "success": success, "duration_ms": 5, "error": f"line {n} was busy"}
    return event("op", f"op-{n}", ts=ts, **fields, **more)


def note(n: int, ts: datetime, said: str = "") -> bytes:
    return event("note", f"note-{n}", ts=ts, user_id="u", note=said or f"this is what note {n} says")


def landed_bytes(settings: Settings) -> bytes:
    data = [path.read_bytes() for path in settings.landing.glob("*.jsonl")]
    packed = settings.archive.glob("*/*.zst")
    return b"".join(data + [zstandard.ZstdDecompressor().decompressobj().decompress(p.read_bytes()) for p in packed])


# -- Reports -----------------------------------------------------------------------------------------------------------


def reports(settings: Settings, name: str, *days: date) -> None:
    """A table of reports, each written on its own day."""
    columns = (
        Column("day", pa.date32(), "day"),
        Column("written_at", pa.timestamp("us", "UTC"), "when"),
        Column("summary", pa.string(), "summary"),
    )
    spec = TableSpec(name, "Reports.", columns, partition_by_day=True, sort_by=(), grain=("day",))
    lake = Lake(settings.lake)
    lake.create(spec)
    written = [datetime.combine(day, time(8), UTC) for day in days]
    values = {"day": list(days), "written_at": written, "summary": [f"of {day}" for day in days]}
    table = pa.table(values, spec.arrow_schema)
    lake.replace(name, lambda: table, start=None, stop=None)


@pytest.mark.parametrize("name", REPORTS)
def test_reports_are_kept_ninety_days(settings: Settings, name: str) -> None:
    today = NIGHT.date()
    days = [today - timedelta(days=age) for age in (200, 91, 90, 89, 0)]
    reports(settings, name, *days)
    reports(settings, "users.other_reports", *days)
    report = upkeep(settings, now=NIGHT)
    assert report.expired == {name: 2}
    assert report.failures == {}
    assert [row["day"] for row in rows(settings, name)] == sorted(days[2:])
    assert len(rows(settings, "users.other_reports")) == 5, "a table that is not listed keeps all"
    assert upkeep(settings, now=NIGHT).expired == {}
    assert [each for each in examine(settings) if each.severity == "error"] == []


def test_nothing_is_made_of_what_goes(settings: Settings) -> None:
    """To list plans or error analyses would be to lose stages and entries when a model is made again."""
    readers = {(model.name, name) for model in our_models(settings) for name in model.dependencies if name in REPORTS}
    assert readers == {("users.plan_stages", "users.daily_reports")}, "which asks only for the last day"
    kept = Settings(home=settings.home).reports_kept.days
    for what in WRITTEN:
        for name, days in {**what.reads, **what.earlier}.items():
            assert name not in REPORTS or (days is not None and -days[0] < kept)


def test_plans_stay_as_versions(settings: Settings) -> None:
    """A user whose last plan was long ago gets the next number, and keeps the stages of that one."""
    long_ago = OLD.date() - timedelta(days=98)
    stages = [meta_plans.Stage(name="ask once").model_dump()]
    plan = written_row("users.meta_plans", long_ago, user_id="ann", version=5, stages=stages, last_updated=long_ago)
    put(settings, "users.meta_plans", plan)
    days = [OLD.date() - timedelta(days=n) for n in (1, 2)]
    put(settings, REPORTS[0], *(written_row(REPORTS[0], day, user_id="ann", trajectory="stable") for day in days))
    assert upkeep(settings, now=OLD).expired == {}
    outcome = write(settings, "users.meta_plans", OLD.date(), now=OLD + timedelta(days=1))
    assert [row["version"] for row in outcome.rows[OLD.date()]] == [6]


def test_how_long_reports_are_kept_is_a_setting(settings: Settings) -> None:
    reports(settings, REPORTS[0], NIGHT.date() - timedelta(days=8), NIGHT.date())
    weekly = settings.model_copy(update={"reports_kept": timedelta(days=7)})
    assert upkeep(weekly, now=NIGHT).expired == {REPORTS[0]: 1}


def test_reports_of_long_ago_are_kept_from_when_they_were_written(settings: Settings) -> None:
    """To go by their day alone took what was paid for yesterday, of history that was brought in; each row goes by
    itself, for a day may be written in parts, and a rebuild must come to the same."""
    weekly = settings.model_copy(update={"reports_kept": timedelta(days=7)})
    name, day = "users.meta_evaluations", OLD.date()
    notes(weekly, {"ann": "too long"})
    later = OLD + timedelta(days=30)
    write(weekly, name, now=later)
    land(weekly, [note(7, OLD)], writer="late")
    take_in(weekly, now=later)
    write(weekly, name, now=later + timedelta(days=4))

    def standing() -> dict[str, int]:
        found = rows(weekly, name)
        assert {row["day"] for row in found} <= {day}
        return {user: sum(row["user_id"] == user for row in found) for user in ("ann", "u")}

    before = standing()
    assert min(before.values()) > 0
    assert upkeep(weekly, now=later + timedelta(days=7)).expired == {}
    assert upkeep(weekly, now=later + timedelta(days=8)).expired == {name: before["ann"]}
    assert standing() == {"ann": 0, "u": before["u"]}
    assert [str(each) for each in examine(weekly) if each.severity == "error"] == []
    rebuild(weekly, now=later + timedelta(days=8))
    assert standing() == {"ann": 0, "u": before["u"]}, "a rebuild finds them in landing, and leaves them out again"
    assert upkeep(weekly, now=later + timedelta(days=12)).expired == {name: before["u"]}
    assert upkeep(weekly, now=later + timedelta(days=12)).expired == {}


def test_a_removal_makes_nothing_stale_and_a_replacement_would(settings: Settings) -> None:
    name = REPORTS[0]
    reports(settings, name, OLD.date())
    lake = Lake(settings.lake)
    nothing = lake.spec(name).arrow_schema.empty_table()
    for is_removal in (True, False):
        before = read_ledger(lake).latest(name)
        lake.replace(name, lambda: nothing, start=OLD.date(), stop=OLD.date(), is_removal=is_removal)
        for is_published in (False, True):
            if is_published:
                publish_arrivals(lake)
            after = read_ledger(lake).latest(name)
            assert before is not None
            assert after is not None
            assert (after.version == before.version) == is_removal


# -- Notes and operations ----------------------------------------------------------------------------------------------


def a_month_of(settings: Settings) -> SegmentWriter:
    """Old and young notes and ops: archived, sealed and open, twice and in conflict, with something else among them."""
    land(settings, [op(1, OLD), note(1, OLD), op(2, YOUNG), note(2, YOUNG)], writer="a")
    take_in(settings, now=YOUNG)
    upkeep(settings, now=YOUNG)
    land(settings, [note(1, OLD), note(1, OLD, "another body of an old note"), op(3, OLD, success=True)], writer="b")
    live = SegmentWriter(settings.landing, writer="c", clock=lambda: YOUNG)
    live.append([op(4, OLD), op(5, YOUNG), note(3, OLD)])
    take_in(settings, now=YOUNG)
    assert len(rows(settings, "landed.rejects")) == 1
    return live


def test_they_go_from_tables_landing_and_archive(settings: Settings) -> None:
    with closing(a_month_of(settings)) as live:
        assert upkeep(settings, now=NIGHT).expired == {}, "without the settings all is kept"
        assert b"this is what note 1 says" in landed_bytes(settings)
        kept = settings.model_copy(update={"notes_kept": MONTH, "operations_kept": MONTH})
        report = upkeep(kept, now=NIGHT)
        assert (report.expired, report.failures, report.damages) == ({"landed.notes": 2, "landed.ops": 3}, {}, ())
        assert {row["event_id"] for row in rows(settings, "landed.notes")} == {"note-2"}
        assert {row["event_id"] for row in rows(settings, "landed.ops")} == {"op-2", "op-5"}
        assert rows(settings, "landed.rejects") == [], "one was a note of such a day"
        for said in (b"note 1", b"note 3", b"another body", b"line 1 was", b"line 4 was"):
            assert said not in landed_bytes(settings)
        assert b"note 2" in landed_bytes(settings)
        assert read_kept_from(settings.landing) == {"landed.notes": FIRST_KEPT, "landed.ops": FIRST_KEPT}
        assert [str(each) for each in examine(settings) if each.severity != "note"] == []
        assert take_in(settings, now=NIGHT).bytes == 0
        assert upkeep(kept, now=NIGHT).expired == {}
        live.append([op(6, YOUNG)])
    assert take_in(settings, now=NIGHT).events == 1


def test_only_what_is_asked_for_goes(settings: Settings) -> None:
    a_month_of(settings).close()
    assert upkeep(settings.model_copy(update={"notes_kept": MONTH}), now=NIGHT).expired == {"landed.notes": 2}
    assert len(rows(settings, "landed.ops")) == 5
    assert read_kept_from(settings.landing) == {"landed.notes": FIRST_KEPT}


def test_what_comes_later_for_such_days_goes_the_next_time(settings: Settings) -> None:
    a_month_of(settings).close()
    kept = settings.model_copy(update={"notes_kept": MONTH})
    upkeep(kept, now=NIGHT)
    land(settings, [note(1, OLD), note(9, OLD)], writer="late")
    assert take_in(settings, now=NIGHT).events == 2
    assert upkeep(kept, now=NIGHT).expired == {"landed.notes": 2}
    assert [str(each) for each in examine(settings) if each.severity == "error"] == []


def test_killed_between_landing_and_tables_it_goes_on(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    a_month_of(settings).close()
    kept = settings.model_copy(update={"notes_kept": MONTH, "operations_kept": MONTH})
    replace = Lake.replace

    def full_disk(self: Lake, name: str, *arguments: Any, **options: Any) -> Any:
        if options.get("is_removal") and name == "landed.ops":
            raise LakeError("the disk is full")
        return replace(self, name, *arguments, **options)

    monkeypatch.setattr(Lake, "replace", full_disk)
    assert list(upkeep(kept, now=NIGHT).failures.values()) == ["the disk is full"]
    monkeypatch.undo()
    assert upkeep(kept, now=NIGHT).expired == {"landed.ops": 3}
    assert [str(each) for each in examine(settings) if each.severity == "error"] == []


def test_without_the_journal_it_says_what_to_do(settings: Settings) -> None:
    """Counted by the order of names, `lake.segments` would tell another story than the landed tables."""
    a_month_of(settings).close()
    Journal(settings.landing).path.unlink()
    kept = settings.model_copy(update={"notes_kept": MONTH})
    [problem] = upkeep(kept, now=NIGHT).failures.values()
    assert "oplake rebuild" in problem
    assert len(rows(settings, "landed.notes")) == 3


def test_a_damaged_mark_is_told(settings: Settings) -> None:
    settings.landing.mkdir()
    (settings.landing / FILE).write_text("{")
    with pytest.raises(LakeError, match="is damaged"):
        read_kept_from(settings.landing)


# -- What was made of them ---------------------------------------------------------------------------------------------


def figures(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    lake = Lake(settings.lake)
    made = {name: rows(settings, name) for name in lake.names() if name.startswith("operations.")}
    return {name: found for name, found in made.items() if found}


def test_derived_figures_stay_whoever_makes_tables(settings: Settings) -> None:
    """A rebuild that made the days again of what is left would change them in silence."""
    a_month_of(settings).close()
    run(settings, now=NIGHT)
    before = figures(settings)
    assert {row["day"] for row in before["operations.endpoint_days"]} == {OLD.date(), YOUNG.date()}
    kept = settings.model_copy(update={"operations_kept": MONTH})
    assert upkeep(kept, now=NIGHT).expired == {"landed.ops": 3}
    models = our_models(settings)
    assert not find_work(settings, models, now=NIGHT), "nothing is stale"
    assert figures(settings) == before
    run(settings, now=NIGHT, everything=True)
    assert figures(settings) == before
    run(settings, now=NIGHT, day=OLD.date())
    assert figures(settings) == before
    landed = everything(settings)
    rebuild(settings, now=NIGHT)
    assert figures(settings) == before
    assert everything(settings) == landed, "and brings nothing back"
    assert not find_work(settings, models, now=NIGHT)
    # The negative control: a history that does not know what is gone makes the old day again.
    ledger = read_ledger(Lake(settings.lake))
    span = {"first_day": settings.first_day, "last_day": NIGHT.date()}
    asked = {name for each in stale(models, ledger, everything=True, **span) if each.start == OLD.date()
             for name in each.models}  # fmt: skip
    knowing = find_stale(settings, models, ledger, now=NIGHT, everything=True)
    assert "operations.endpoint_days" in asked
    assert all("operations.endpoint_days" not in each.models for each in knowing if each.start == OLD.date())
    house = Lakehouse(settings, clock=lambda: NIGHT)
    [model] = [model for model in models if model.name == "operations.endpoint_days"]
    with pytest.raises(OrchestrationError, match="stays as it was made"):
        house.build(model, OLD.date(), OLD.date())
    house.close()
