"""The ledger: what the commits say, whether or not it was copied into lake.arrivals."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from oplake.lake import ledger as ledger_module
from oplake.lake.errors import LakeError, Overtaken
from oplake.lake.landed import SEGMENTS, WATERMARK
from oplake.lake.ledger import (
    ARRIVALS,
    Commit,
    Ledger,
    check_landed,
    known_tables,
    provenance,
    publish_arrivals,
    read_ledger,
)
from oplake.lake.tables import Column, Lake, TableSpec
from oplake.models.compute import ABSENT, show_table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MODEL = "attribution.steps"
READER = "attribution.credits"
SOURCE = "landed.steps"


def spec(name: str, *, has_days: bool = True) -> TableSpec:
    columns = (Column("day", pa.date32(), "the day", is_nullable=False), Column("n", pa.int64(), "a number"))
    return TableSpec(name, "A table.", columns, partition_by_day=has_days, sort_by=("n",), grain=("n",))


def day(number: int) -> date:
    return date(2026, 1, 1) + timedelta(days=number)


def rows(*days: int) -> pa.Table:
    return pa.table({"day": pa.array([day(number) for number in days], pa.date32()), "n": pa.array(days, pa.int64())})


def arrivals(lake: Lake) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        query = f"SELECT table_name, version, day, row_count FROM ({lake.relation_sql(ARRIVALS.name)}) ORDER BY ALL"
        return connection.execute(query).fetchall()


def everything(ledger: Ledger) -> dict[tuple[str, date | None], Commit | None]:
    """All that a ledger can be asked."""
    days = {(table, each) for table in ledger.tables() for each in (None, *ledger.days(table), day(99))}
    return {(table, each): ledger.latest(table, each) for table, each in days}


@pytest.fixture
def worked(lake: Lake) -> Lake:
    """A lake in which steps came in for days 0 to 2, day 1 late once more, and a model was made of days 0 and 1."""
    for name in (SOURCE, MODEL):
        lake.create(spec(name))
    lake.append(SOURCE, rows(0, 1, 2))
    said = provenance(code_version="abc", inputs={SOURCE: 1}, watermark=NOON)
    lake.replace(MODEL, lambda: rows(0), start=day(0), stop=day(1), metadata=said)
    lake.append(SOURCE, rows(1))
    return lake


def test_the_ledger_of_an_empty_lake_is_empty(lake: Lake) -> None:
    ledger = read_ledger(lake)
    assert ledger.tables() == []
    assert ledger.watermark is None
    assert ledger.latest("landed.steps") is None
    assert ledger.days("landed.steps") == frozenset()


def test_every_day_has_the_newest_commit_that_touched_it(worked: Lake) -> None:
    ledger = read_ledger(worked)
    newest = {number: ledger.latest(SOURCE, day(number)) for number in range(4)}
    assert {number: commit and commit.version for number, commit in newest.items()} == {0: 1, 1: 2, 2: 1, 3: None}
    assert ledger.days(SOURCE) == {day(0), day(1), day(2)}
    assert ledger.touched(SOURCE, 1) == {day(1)}
    assert ledger.touched(SOURCE, -1) == {day(0), day(1), day(2)}
    assert ledger.touched(SOURCE, 2) == frozenset()


def test_a_models_commit_says_what_it_was_made_from(worked: Lake) -> None:
    made = read_ledger(worked).latest(MODEL, day(1))
    assert made is not None
    assert (made.code_version, made.inputs, made.watermark) == ("abc", {SOURCE: 1}, NOON)
    assert made.days == {day(0): 1, day(1): 0}, "a day that was made and got no rows was made all the same"


def test_a_whole_replacement_stands_for_every_day(worked: Lake) -> None:
    worked.replace(MODEL, lambda: rows(5), start=None, stop=None)
    ledger = read_ledger(worked)
    for number in (0, 5, 77):
        commit = ledger.latest(MODEL, day(number))
        assert commit is not None
        assert commit.version == 2
    assert ledger.touched(MODEL, 1) == {day(0), day(1), day(5)}


def test_a_table_without_days_is_asked_for_as_a_whole(lake: Lake) -> None:
    lake.create(spec("landed.facts", has_days=False))
    lake.append("landed.facts", rows(0))
    ledger = read_ledger(lake)
    newest = ledger.latest("landed.facts")
    assert newest is not None
    assert newest == ledger.latest("landed.facts", day(3)), "a model that has days may read it"
    assert (newest.version, newest.row_count) == (1, 1)
    assert ledger.days("landed.facts") == frozenset()


def test_publishing_changes_nothing_of_what_is_known(worked: Lake) -> None:
    before = everything(read_ledger(worked))
    assert publish_arrivals(worked) == 6
    assert everything(read_ledger(worked)) == before
    worked.append(SOURCE, rows(2))
    beyond = read_ledger(worked).latest(SOURCE, day(2))
    assert beyond is not None
    assert beyond.version == 3, "what came after the copy is read from the log"


def test_publishing_twice_adds_nothing(worked: Lake) -> None:
    publish_arrivals(worked)
    version, held = worked.version(ARRIVALS.name), arrivals(worked)
    assert publish_arrivals(worked) == 0
    assert (worked.version(ARRIVALS.name), arrivals(worked)) == (version, held)
    assert (SOURCE, 1, day(2), 1) in held


def test_upkeep_and_changed_descriptions_are_no_arrivals(worked: Lake) -> None:
    publish_arrivals(worked)
    before = everything(read_ledger(worked))
    DeltaTable(str(worked.folder(SOURCE))).optimize.compact()
    worked.create(TableSpec(SOURCE, "Said better.", spec(SOURCE).columns, True, ("n",), ("n",)))
    assert worked.version(SOURCE) == 4
    assert everything(read_ledger(worked)) == before
    assert publish_arrivals(worked) == 0


def test_a_crash_between_data_and_ledger_cannot_part_them(worked: Lake) -> None:
    """A ledger written beside the data would miss a commit whose process died before it came to write. Here the commit
    is the entry: nothing has to happen after it.
    """
    publish_arrivals(worked)
    Lake(worked.root).append(SOURCE, rows(9))  # and the process is gone
    assert day(9) in read_ledger(Lake(worked.root)).days(SOURCE)


def test_the_ledger_outlives_the_logs(worked: Lake) -> None:
    before = everything(read_ledger(worked))
    publish_arrivals(worked)
    clean_log(worked, SOURCE, below=2)
    assert everything(read_ledger(Lake(worked.root))) == before


def test_a_log_cleaned_before_it_was_copied_touches_everything(worked: Lake) -> None:
    """Nobody knows any more what happened, so that all that was made from it must be looked at again."""
    clean_log(worked, SOURCE, below=2)
    ledger = read_ledger(Lake(worked.root))
    for number in (0, 1, 2):
        commit = ledger.latest(SOURCE, day(number))
        assert commit is not None
        assert commit.version >= 1
    assert ledger.touched(SOURCE, 0) == {day(0), day(1), day(2)}


def clean_log(lake: Lake, table: str, *, below: int) -> None:
    """What delta-rs does with commits that are older than the retention."""
    DeltaTable(str(lake.folder(table))).create_checkpoint()
    for version in range(below):
        (lake.folder(table) / "_delta_log" / f"{version:020}.json").unlink()


def test_a_copy_that_knows_more_than_the_table_is_reported(worked: Lake) -> None:
    publish_arrivals(worked)
    shutil.rmtree(worked.folder(SOURCE))
    worked.create(spec(SOURCE))
    with pytest.raises(LakeError, match=r"landed\.steps has no version 2.*rebuild"):
        read_ledger(worked)


def make(lake: Lake, name: str, *days: int, code: str = "abc", inputs: dict[str, int] | None = None) -> None:
    """What a model does, to a table that may have to be made first."""
    lake.create(spec(name))
    said = provenance(code_version=code, inputs=inputs or {}, watermark=NOON)
    lake.replace(name, lambda: rows(*days), start=day(0), stop=day(9), metadata=said)


def test_a_model_that_is_gone_was_never_made(worked: Lake) -> None:
    """The copy alone says that all is up to date, and the table would stay away for ever."""
    publish_arrivals(worked)
    shutil.rmtree(worked.folder(MODEL))
    ledger = read_ledger(worked)
    assert ledger.latest(MODEL) is None
    assert ledger.days(MODEL) == frozenset()
    assert ledger.latest(SOURCE) is not None
    assert MODEL in known_tables(worked), "still it is known to be missing"


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_a_model_made_anew_is_told_of_anew(worked: Lake, writes: int) -> None:
    """Its versions count from 0 again: those of the copy stand for other commits, or for none."""
    make(worked, MODEL, 0, code="second")
    publish_arrivals(worked)
    clean_log(worked, SOURCE, below=2)
    before = [row for row in arrivals(worked) if row[0] == SOURCE]
    shutil.rmtree(worked.folder(MODEL))
    for number in range(writes):
        make(worked, MODEL, 5, code=f"new {number}")
    for _ in range(2):
        made = read_ledger(Lake(worked.root)).latest(MODEL, day(0))
        assert made is not None
        assert (made.version, made.code_version) == (writes, f"new {writes - 1}")
        publish_arrivals(Lake(worked.root))
    told = arrivals(worked)
    assert [row for row in told if row[0] == SOURCE] == before, "what is told of the others outlives their logs"
    assert {row[1] for row in told if row[0] == MODEL} == set(range(1, writes + 1))
    assert len(told) == len(set(told))


def test_what_was_read_of_a_table_made_anew_is_forgotten(worked: Lake) -> None:
    """Version 5 of the old table would pass for newer than all that the new one has up to its own version 5."""
    for _ in range(3):
        make(worked, MODEL, 0)
    make(worked, READER, 0, inputs={MODEL: worked.version(MODEL), SOURCE: 2})
    publish_arrivals(worked)
    shutil.rmtree(worked.folder(MODEL))
    make(worked, MODEL, 0)
    for _ in range(2):
        made = read_ledger(worked).latest(READER, day(0))
        assert made is not None
        assert made.inputs == {SOURCE: 2}
        publish_arrivals(worked)


def test_a_landed_table_that_is_gone_stops_whatever_would_be_made_of_it(worked: Lake) -> None:
    """Read as empty, it passes for quiet days: its models come out without rows, and all is up to date."""
    publish_arrivals(worked)
    shutil.rmtree(worked.folder(SOURCE))
    with pytest.raises(LakeError, match=r"landed\.steps is gone.*oplake rebuild"):
        read_ledger(worked)
    with duckdb.connect() as connection, pytest.raises(LakeError, match=r"landed\.steps is gone.*oplake rebuild"):
        show_table(connection, worked, SOURCE, {"n": "BIGINT"}, None)


def test_lake_segments_knows_of_a_landed_table_when_nothing_was_copied(worked: Lake) -> None:
    worked.create(SEGMENTS)
    taken = {"segment": "s", "start_offset": 0, "end_offset": 9, "events": 4, "duplicates": 0, "rejects": 0}
    row = taken | {"ingested_at": NOON, "watermark": None}
    worked.append(SEGMENTS.name, pa.Table.from_pylist([row], schema=SEGMENTS.arrow_schema))
    check_landed(worked)  # many others never were
    with duckdb.connect() as connection:
        assert show_table(connection, worked, "landed.notes", {"n": "BIGINT"}, None) == ABSENT
    shutil.rmtree(worked.folder(SOURCE))
    with pytest.raises(LakeError, match=r"landed\.steps.* is gone: 4 events .* 0 rows"):
        check_landed(worked)


def test_of_two_who_publish_at_once_the_second_begins_anew(worked: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have read the same news; without the count of publications both would copy it."""
    worked.create(ARRIVALS)
    other = Lake(worked.root)
    real = Lake.append
    calls: list[str] = []

    def overtaken(self: Lake, name: str, *arguments: object, **options: object) -> int:
        if self is worked and not calls:
            calls.append(name)
            publish_arrivals(other)
        return real(self, name, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Lake, "append", overtaken)
    assert publish_arrivals(worked) == 0
    assert calls
    held = arrivals(worked)
    assert len(held) == len(set(held)) == 6


def test_publishing_gives_up_in_words(worked: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "PUBLISH_ATTEMPTS", 2)
    worked.create(ARRIVALS)
    real = Lake.append

    def always_overtaken(self: Lake, name: str, *arguments: object, **options: object) -> int:
        raise Overtaken(f"{name}: somebody else was first")

    monkeypatch.setattr(Lake, "append", always_overtaken)
    with pytest.raises(Overtaken, match="somebody else"):
        publish_arrivals(worked)
    monkeypatch.setattr(Lake, "append", real)
    assert publish_arrivals(worked) == 6


def test_the_watermark_is_the_lakes(lake: Lake) -> None:
    lake.create(WATERMARK)
    assert read_ledger(lake).watermark is None
    lake.replace(WATERMARK.name, lambda: pa.table({"watermark": [NOON]}), start=None, stop=None)
    assert read_ledger(lake).watermark == NOON


def test_a_ledger_can_be_made_of_commits() -> None:
    """For tests of what is stale, which need no lake."""
    first = Commit(SOURCE, 3, NOON, "append", {day(0): 1, day(1): 1}, row_count=2)
    second = Commit(SOURCE, 4, NOON, "append", {day(1): 1}, row_count=1)
    ledger = Ledger.of([second, first], watermark=NOON)
    assert (ledger.latest(SOURCE, day(0)), ledger.latest(SOURCE, day(1))) == (first, second)
    assert ledger.latest(SOURCE) == second
