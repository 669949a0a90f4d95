"""The tables of the lake, on real Delta tables in a folder of the test's own."""

from __future__ import annotations

import dataclasses
import json
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from oplake.lake import parquet
from oplake.lake.delta_spec import CHECKPOINT_COMMITS
from oplake.lake.errors import BadRows, LakeError, LogBroken, Overtaken, SchemaChanged, TableMissing, VersionMissing
from oplake.lake.tables import WORTH_A_CHECKPOINT, Column, Lake, Replaced, TableSpec

NEW_YEAR = date(2026, 1, 1)
TIME = pa.timestamp("us", "UTC")
STEPS = TableSpec(
    name="work.steps",
    description="What was done.",
    columns=(
        Column("day", pa.date32(), "the day it was done", is_nullable=False),
        Column("action_id", pa.string(), "the action", is_nullable=False),
        Column("step_index", pa.int64(), "its number", is_nullable=False),
        Column("note", pa.string(), "what was said; é, 'quoted'"),
        Column("ts", TIME, "when"),
        Column("tags", pa.list_(pa.string()), "labels"),
    ),
    partition_by_day=True,
    sort_by=("action_id", "step_index"),
    grain=("action_id", "step_index"),
)
FACTS = TableSpec(
    name="work.facts",
    description="What is known.",
    columns=(Column("name", pa.string(), "of what", is_nullable=False), Column("value", pa.int64(), "how much")),
    partition_by_day=False,
    sort_by=("name",),
    grain=("name",),
)


def day(number: int) -> date:
    return NEW_YEAR + timedelta(days=number)


def steps(*days: int, count: int = 2, action: str = "a") -> pa.Table:
    """`count` steps of one action on each of the days."""
    rows = [
        {"day": day(number), "action_id": action, "step_index": index, "ts": datetime(2026, 1, 1, 12, tzinfo=UTC)}
        for number in days
        for index in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=STEPS.arrow_schema)


def facts(**values: int) -> pa.Table:
    return pa.table({"name": list(values), "value": pa.array(values.values(), pa.int64())})


def ask(query: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(query).fetchall()


def per_day(lake: Lake, **where: object) -> dict[date, int]:
    """Rows of each day as DuckDB reads them."""
    query = f"SELECT day, count(*) FROM ({lake.relation_sql(STEPS.name, **where)}) GROUP BY day ORDER BY day"  # type: ignore[arg-type]
    return dict(ask(query))  # type: ignore[arg-type]


def parquet_files(lake: Lake) -> set[str]:
    return {str(path) for path in lake.folder(STEPS.name).rglob("*.parquet") if "_delta_log" not in path.parts}


@pytest.fixture
def made(lake: Lake) -> Lake:
    """A lake with both tables, empty."""
    lake.create(STEPS)
    lake.create(FACTS)
    return lake


# --- what a table is -----------------------------------------------------------------------------------------------


def test_spec_is_read_back_as_it_was_written(made: Lake) -> None:
    assert made.spec(STEPS.name) == STEPS
    assert made.spec(FACTS.name) == FACTS
    assert made.names() == ["work.facts", "work.steps"]


def test_descriptions_stand_where_spark_and_trino_look(made: Lake) -> None:
    delta = DeltaTable(str(made.folder(STEPS.name)))
    assert delta.metadata().description == "What was done."
    assert {field.name: field.metadata["comment"] for field in delta.schema().fields}[
        "note"
    ] == "what was said; é, 'quoted'"
    assert delta.protocol().min_reader_version == 1, "no feature that another reader may lack"


@pytest.mark.parametrize(
    "name",
    ["steps", "work.", "../up.steps", "work/../../etc.passwd", "Work.steps", "work.steps.more", "work.st eps", ""],
)
def test_a_name_that_is_no_table_is_refused(lake: Lake, name: str) -> None:
    with pytest.raises(LakeError, match=r"schema\.table"):
        lake.exists(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grain": ("nothing",)}, "no column nothing"),
        ({"sort_by": ("nothing",)}, "no column nothing"),
        ({"columns": STEPS.columns[1:]}, "no column day"),
        ({"columns": (*STEPS.columns, STEPS.columns[1])}, "declared twice"),
        ({"columns": (*STEPS.columns, Column("bad name", pa.int64(), ""))}, "cannot be the name"),
        ({"columns": (*STEPS.columns, Column("naive", pa.timestamp("us"), ""))}, "cannot hold"),
        ({"columns": (*STEPS.columns, Column("text", pa.large_string(), ""))}, "must be string"),
    ],
)
def test_a_spec_that_cannot_be_a_table_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(LakeError, match=message):
        dataclasses.replace(STEPS, **change)  # type: ignore[arg-type]


def test_a_missing_table_is_named_with_those_that_there_are(made: Lake) -> None:
    assert not made.exists("work.none")
    assert made.version("work.none") == -1
    assert made.transaction("work.none", "app") is None
    with pytest.raises(TableMissing, match=r"no table work\.none.*work\.steps"):
        made.spec("work.none")


@pytest.mark.parametrize("name", ["a%20b", "env=prod", "what[1]", "any*", "a\nb"])
def test_a_folder_that_readers_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    """DuckDB would take `n=5` in the path for a column n of 5 and a bracket for a pattern; delta-rs unescapes %20."""
    with pytest.raises(LakeError, match="must not contain"):
        Lake(tmp_path / name / "lake")


def test_a_folder_with_spaces_and_accents_is_fine(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "mes données #1" / "lake")
    lake.create(STEPS)
    lake.append(STEPS.name, steps(0))
    assert per_day(lake) == {day(0): 2}
    assert all(Path(path).is_file() for path in lake.files(STEPS.name))


# --- create, grow, make anew -------------------------------------------------------------------------------------


def test_creating_again_changes_nothing(made: Lake) -> None:
    made.create(STEPS)
    assert made.version(STEPS.name) == 0


def test_two_threads_may_create_the_same_table(lake: Lake) -> None:
    others = [threading.Thread(target=Lake(lake.root).create, args=(STEPS,)) for _ in range(4)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert lake.spec(STEPS.name) == STEPS


def test_an_added_column_is_null_in_older_files(made: Lake) -> None:
    made.append(STEPS.name, steps(0, 1))
    grown = dataclasses.replace(
        STEPS, description="More.", columns=(*STEPS.columns, Column("cost", pa.float64(), "dollars", is_nullable=False))
    )
    made.create(grown)
    assert made.spec(STEPS.name).column("cost") == Column("cost", pa.float64(), "dollars", is_nullable=True)
    assert made.spec(STEPS.name).description == "More."
    assert ask(f"SELECT count(*), count(cost) FROM ({made.relation_sql(STEPS.name)})") == [(4, 0)]

    made.append(STEPS.name, steps(2).append_column("cost", pa.array([1.0, 2.0])))
    assert ask(f"SELECT count(*), sum(cost) FROM ({made.relation_sql(STEPS.name)})") == [(6, 3.0)]
    assert ask(f"SELECT sum(cost) FROM ({made.relation_sql(STEPS.name, start=day(0), stop=day(1))})") == [(None,)]
    assert made.version(STEPS.name) == made_version_after(made, grown), "growing again is no commit"


def made_version_after(lake: Lake, spec: TableSpec) -> int:
    lake.create(spec)
    return lake.version(spec.name)


def test_pruning_reaches_through_a_grown_table(made: Lake) -> None:
    made.append(STEPS.name, steps(0, 1, 2))
    made.create(dataclasses.replace(STEPS, columns=(*STEPS.columns, Column("cost", pa.float64(), ""))))
    assert "Scanning Files: 1/3" in explain(made, f"day = '{day(1)}'")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (STEPS.columns[:-1], "lost its column tags"),
        ((*STEPS.columns[:-1], Column("tags", pa.string(), "")), "cannot become string"),
    ],
)
def test_columns_that_cannot_be_reached_by_adding_need_a_new_table(
    made: Lake, columns: tuple[Column, ...], message: str
) -> None:
    made.append(STEPS.name, steps(0, 1))
    changed = dataclasses.replace(STEPS, columns=columns)
    with pytest.raises(SchemaChanged, match=message):
        made.create(changed)
    before = made.version(STEPS.name)
    made.recreate(changed)
    assert made.spec(STEPS.name) == changed
    assert made.files(STEPS.name) == []
    assert len(made.files(STEPS.name, as_of=before)) == 2, "what was there can still be read"


def test_making_anew_counts_as_touching_every_day(made: Lake) -> None:
    """Saying nothing in that commit would leave the days looking made: a model changed and changed back stays empty."""
    made.append(STEPS.name, steps(0, 1))
    made.recreate(STEPS)
    last = made.commits(STEPS.name).commits[-1]
    assert (last.is_whole, dict(last.days), last.code_version) == (True, {day(0): 0, day(1): 0}, None)


def test_rows_written_for_older_columns_are_not_committed_to_newer_ones(made: Lake) -> None:
    changed = dataclasses.replace(STEPS, columns=STEPS.columns[:-1])

    def rows() -> pa.Table:
        made.recreate(changed)
        return steps(0)

    with pytest.raises(SchemaChanged):
        made.replace(STEPS.name, rows, start=day(0), stop=day(0))
    assert made.files(STEPS.name) == []
    assert parquet_files(made) == set()


# --- append -------------------------------------------------------------------------------------------------------


def test_append_adds_rows_and_says_so_in_its_own_commit(made: Lake) -> None:
    version = made.append(STEPS.name, steps(0, 2), days={day(0): 2, day(2): 2}, metadata={"why": "test"})
    (commit,) = made.commits(STEPS.name).commits
    assert (version, commit.version, commit.operation) == (1, 1, "append")
    assert commit.days == {day(0): 2, day(2): 2}
    assert not commit.is_whole
    assert per_day(made) == {day(0): 2, day(2): 2}
    assert made.rows_per_day(STEPS.name) == {day(0): 2, day(2): 2}
    assert made.size(STEPS.name).row_count == 4
    assert DeltaTable(str(made.folder(STEPS.name))).history(1)[0]["why"] == "test"


def test_appending_nothing_is_no_commit_unless_it_carries_a_transaction(made: Lake) -> None:
    nothing = steps()
    assert made.append(STEPS.name, nothing) == 0
    assert made.append(STEPS.name, nothing, transactions={"ingest": 3}) == 1
    assert made.transaction(STEPS.name, "ingest") == 3


def test_a_transaction_is_committed_once(made: Lake) -> None:
    made.append(STEPS.name, steps(0), transactions={"ingest": 10})
    other = Lake(made.root)
    for stale in (10, 9):
        with pytest.raises(Overtaken, match="up to 10"):
            other.append(STEPS.name, steps(0), transactions={"ingest": stale})
    other.append(STEPS.name, steps(0), transactions={"ingest": 11})
    assert made.transaction(STEPS.name, "ingest") == 11
    assert per_day(made) == {day(0): 4}


def test_counts_that_do_not_hold_are_refused(made: Lake) -> None:
    with pytest.raises(BadRows, match="announced"):
        made.append(STEPS.name, steps(0), days={day(0): 3})
    assert made.version(STEPS.name) == 0
    assert parquet_files(made) == set()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (pa.table({"day": [NEW_YEAR], "action_id": ["a"]}), "step_index is null"),
        (
            pa.table({"day": pa.array([None], pa.date32()), "action_id": ["a"], "step_index": [1]}),
            "day is null in 1 rows",
        ),
        (pa.table({"day": [NEW_YEAR], "action_id": ["a"], "step_index": [1], "more": [1]}), "no column more"),
        (pa.table({"day": [NEW_YEAR], "action_id": ["a"], "step_index": ["x"]}), "step_index must be int64"),
        (pa.table({"day": [NEW_YEAR], "action_id": ["a"], "step_index": [1.5]}), "step_index must be int64"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_leave_nothing(made: Lake, rows: pa.Table, message: str) -> None:
    with pytest.raises(BadRows, match=message):
        made.append(STEPS.name, rows)
    assert made.version(STEPS.name) == 0
    assert parquet_files(made) == set()


def test_types_that_mean_the_same_are_taken(made: Lake) -> None:
    made.append(
        STEPS.name,
        pa.table(
            {
                "step_index": pa.array([1], pa.int32()),
                "action_id": pa.array(["a"], pa.large_string()),
                "day": [NEW_YEAR],
                "ts": pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("ms", "UTC")),
            }
        ),
    )
    assert ask(f"SELECT step_index, action_id, ts::VARCHAR FROM ({made.relation_sql(STEPS.name)})") == [
        (1, "a", "2026-01-01 00:00:00+00")
    ]


# --- replace ------------------------------------------------------------------------------------------------------


def test_replace_puts_rows_in_the_place_of_a_range_of_days(made: Lake) -> None:
    made.append(STEPS.name, steps(0, 1, 2, 3))
    done = made.replace(STEPS.name, lambda: steps(1, count=5), start=day(1), stop=day(2))
    assert done == Replaced(2, {day(1): 5, day(2): 0}, 5)
    assert per_day(made) == {day(0): 2, day(1): 5, day(3): 2}
    assert made.commits(STEPS.name).commits[-1].days == {day(1): 5, day(2): 0}


def test_replacing_with_nothing_takes_the_rows_away(made: Lake) -> None:
    """Skipping the commit when there are no rows would leave yesterday's result standing."""
    made.append(STEPS.name, steps(0, 1))
    assert made.replace(STEPS.name, steps, start=day(0), stop=day(0)).rows_per_day == {day(0): 0}
    assert per_day(made) == {day(1): 2}
    done = made.replace(STEPS.name, steps, start=None, stop=None)
    assert done.rows_per_day == {day(1): 0}
    assert per_day(made) == {}


def test_replacing_the_whole_table_tells_of_the_days_that_went(made: Lake) -> None:
    made.append(STEPS.name, steps(0, 1))
    done = made.replace(STEPS.name, lambda: steps(1, 2, count=1), start=None, stop=None)
    assert done.rows_per_day == {day(0): 0, day(1): 1, day(2): 1}
    assert made.commits(STEPS.name).commits[-1].is_whole


def test_a_table_without_days_is_replaced_whole(made: Lake) -> None:
    made.replace(FACTS.name, lambda: facts(one=1, two=2), start=None, stop=None)
    done = made.replace(FACTS.name, lambda: facts(three=3), start=None, stop=None)
    assert done == Replaced(2, {}, 1)
    assert ask(made.relation_sql(FACTS.name)) == [("three", 3)]
    assert made.commits(FACTS.name).commits[-1].is_whole
    with pytest.raises(LakeError, match="has no days"):
        made.replace(FACTS.name, facts, start=day(0), stop=day(0))


@pytest.mark.parametrize(("start", "stop"), [(day(0), None), (None, day(0)), (day(1), day(0))])
def test_half_a_range_is_refused_before_anything_is_computed(made: Lake, start: date | None, stop: date | None) -> None:
    with pytest.raises(LakeError, match="last"):
        made.replace(STEPS.name, lambda: pytest.fail("computed"), start=start, stop=stop)


@pytest.mark.parametrize("outside", [0, 3])
def test_rows_outside_the_range_are_refused(made: Lake, outside: int) -> None:
    """Letting them in would add them beside the rows of a day that was not replaced: there twice, without an error."""
    made.append(STEPS.name, steps(0, 1, 2, 3))
    with pytest.raises(BadRows, match="do not belong"):
        made.replace(STEPS.name, lambda: steps(*sorted({1, outside})), start=day(1), stop=day(2))
    assert made.version(STEPS.name) == 1
    assert len(parquet_files(made)) == 4


def test_a_computation_that_breaks_off_leaves_the_table_as_it_was(made: Lake) -> None:
    made.append(STEPS.name, steps(0))

    def broken() -> pa.RecordBatchReader:
        def batches() -> object:
            yield from steps(0, count=3).to_batches()
            raise RuntimeError("out of memory")

        return pa.RecordBatchReader.from_batches(STEPS.arrow_schema, batches())

    with pytest.raises(RuntimeError, match="out of memory"):
        made.replace(STEPS.name, broken, start=day(0), stop=day(0))
    assert per_day(made) == {day(0): 2}
    assert len(parquet_files(made)) == 1


# --- two writers --------------------------------------------------------------------------------------------------


def during(made: Lake, rows: pa.Table, meanwhile: Callable[[], object]) -> Callable[[], pa.Table]:
    """Rows in whose computation something else is committed."""

    def compute() -> pa.Table:
        meanwhile()
        return rows

    return compute


def test_a_replacement_is_committed_on_top_of_one_that_came_between(made: Lake) -> None:
    other = Lake(made.root)
    other.version(STEPS.name)
    rows = during(
        made, steps(0, count=3), lambda: other.replace(STEPS.name, lambda: steps(0, count=5), start=day(0), stop=day(0))
    )
    assert made.replace(STEPS.name, rows, start=day(0), stop=day(0)).version == 2
    assert per_day(made) == {day(0): 3}


@pytest.mark.parametrize("is_guarded", [True, False])
def test_two_who_replace_a_day_that_was_empty_do_not_both_stay(made: Lake, is_guarded: bool) -> None:
    """The shared transaction makes the second look again. Without it (the negative control) the day has both results:
    delta-rs sees no conflict, because neither removes a file that the other read.
    """

    def commit(delta: DeltaTable, name: str) -> None:
        path = f"day={NEW_YEAR}/{name}.parquet"
        file = made.folder(STEPS.name) / path
        file.parent.mkdir(exist_ok=True)
        pq.write_table(steps(0).drop_columns(["day"]), file)
        guard = [Transaction("oplake.writer", delta.version() + 1)] if is_guarded else None
        delta.create_write_transaction(
            [AddAction(path, file.stat().st_size, {"day": str(NEW_YEAR)}, 0, True, json.dumps({"numRecords": 2}))],
            mode="overwrite",
            schema=delta.schema(),
            partition_by=["day"],
            partition_filters=[("day", "=", str(NEW_YEAR))],
            commit_properties=CommitProperties(app_transactions=guard),
        )

    first, second = (DeltaTable(str(made.folder(STEPS.name))) for _ in range(2))
    commit(first, "first")
    if is_guarded:
        with pytest.raises(CommitFailedError):
            commit(second, "second")
        assert per_day(made) == {day(0): 2}
    else:
        commit(second, "second")
        assert per_day(made) == {day(0): 4}, "this is what the guard is for"


def test_a_lake_sees_what_another_wrote(made: Lake) -> None:
    other = Lake(made.root)
    assert other.version(STEPS.name) == 0
    made.append(STEPS.name, steps(0))
    assert other.version(STEPS.name) == 1
    assert per_day(other) == {day(0): 2}


def test_a_log_that_cannot_be_read_is_told_in_one_line(made: Lake) -> None:
    """delta-rs would show thirty lines of its own backtrace, Python one of json, and neither names the table."""
    made.append(STEPS.name, steps(0))
    path = made.folder(STEPS.name) / "_delta_log" / f"{2:020}.json"
    path.write_text('{"x')
    for ask in (made.spec, made.version, made.files, made.relation_sql, made.commits, Lake(made.root).size):
        with pytest.raises(LogBroken, match=r"^work\.steps: its log cannot be read: .*; run `oplake rebuild`$"):
            ask(STEPS.name)
    assert made.files(FACTS.name) == []


def test_a_lake_sees_that_a_table_was_dropped_and_made_again(made: Lake) -> None:
    """The table loaded before would otherwise go on naming files that are gone."""
    made.append(STEPS.name, steps(0))
    assert made.version(STEPS.name) == 1
    shutil.rmtree(made.folder(STEPS.name))
    assert made.version(STEPS.name) == -1
    other = Lake(made.root)
    other.create(STEPS)
    other.append(STEPS.name, steps(5))
    assert per_day(made) == {day(5): 2}


def test_a_clock_set_back_hides_no_version(made: Lake) -> None:
    """A bisection over the times of the commits finds version 0 here, for the times do not rise."""
    for number in range(4):
        made.append(STEPS.name, steps(number))
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for version, minutes in enumerate((0, 50, 60, 10, 20)):  # an hour's correction came before version 3
        path = made.folder(STEPS.name) / "_delta_log" / f"{version:020}.json"
        actions = [json.loads(line) for line in path.read_text().splitlines()]
        for action in actions:
            if "commitInfo" in action:
                action["commitInfo"]["timestamp"] = int((noon + timedelta(minutes=minutes)).timestamp() * 1000)
        path.write_text("\n".join(map(json.dumps, actions)) + "\n")
    found = {minutes: made.version_at(STEPS.name, noon + timedelta(minutes=minutes)) for minutes in (-1, 5, 15, 30, 99)}
    assert found == {-1: None, 5: 0, 15: 3, 30: 4, 99: 4}


def test_a_failure_after_the_commit_is_no_failure_of_the_commit(made: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that fails after the commit must not make the caller write the same rows again."""
    real = DeltaTable.create_write_transaction

    def commits_then_fails(self: DeltaTable, *args: object, **options: object) -> None:
        real(self, *args, **options)  # type: ignore[arg-type]
        raise DeltaError("no space left for the checkpoint")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", commits_then_fails)  # the gateway to the disk
    assert made.append(STEPS.name, steps(0)) == 1
    assert per_day(made) == {day(0): 2}


# --- order and files ----------------------------------------------------------------------------------------------


def sorted_stream(days: int, rows_a_day: int, batch_rows: int) -> pa.RecordBatchReader:
    connection = duckdb.connect()
    query = f"""
        SELECT DATE '2026-01-01' + (i // {rows_a_day})::INTEGER AS day, 'action' AS action_id, i AS step_index
        FROM range({days * rows_a_day}) r(i) ORDER BY day, step_index
    """
    return connection.sql(query).to_arrow_reader(batch_rows)


def is_sorted(lake: Lake, name: str) -> list[bool]:
    columns = [pq.read_table(path, columns=["step_index"], partitioning=None) for path in lake.files(name)]
    return [(values := column["step_index"].to_pylist()) == sorted(values) for column in columns]


def test_rows_keep_their_order_within_a_file(made: Lake) -> None:
    made.append(STEPS.name, sorted_stream(2, 150_000, 10_000))
    assert is_sorted(made, STEPS.name) == [True, True]


def test_files_are_closed_at_a_size_and_row_groups_at_a_number_of_rows(
    made: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "FILE_BYTES", 10_000)
    monkeypatch.setattr(parquet, "GROUP_ROWS", 5_000)
    made.append(STEPS.name, sorted_stream(1, 30_000, 1_000))
    files = made.files(STEPS.name)
    assert len(files) > 1
    assert is_sorted(made, STEPS.name) == [True] * len(files)
    assert all(
        pq.read_metadata(path).row_group(group).num_rows <= 5_000
        for path in files
        for group in range(pq.read_metadata(path).num_row_groups)
    )
    assert per_day(made) == {day(0): 30_000}


def test_days_that_come_mixed_make_one_file_a_day_and_batch(made: Lake) -> None:
    mixed = pa.concat_tables([steps(number % 3, count=1) for number in range(30)]).combine_chunks()
    made.append(STEPS.name, mixed)
    assert per_day(made) == {day(0): 10, day(1): 10, day(2): 10}
    assert len(made.files(STEPS.name)) == 3


def test_files_are_zstd_and_their_bounds_stand_in_the_log(made: Lake) -> None:
    made.append(STEPS.name, steps(0, count=9))
    (path,) = made.files(STEPS.name)
    assert pq.read_metadata(path).row_group(0).column(0).compression == "ZSTD"
    (add,) = DeltaTable(str(made.folder(STEPS.name))).get_add_actions(flatten=True).to_struct_array().to_pylist()
    assert (add["num_records"], add["min.step_index"], add["max.step_index"], add["max.action_id"]) == (9, 0, 8, "a")
    assert "min.note" not in add or add["min.note"] is None


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    days=st.lists(st.integers(0, 4), max_size=40),
    chunk=st.integers(1, 7),
    replaced=st.tuples(st.integers(0, 4), st.integers(0, 4)).map(sorted),
    news=st.lists(st.integers(0, 4), max_size=10),
)
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, days: list[int], chunk: int, replaced: list[int], news: list[int]
) -> None:
    """Any rows in any order and batches, then any replacement: the table holds what a list in memory would."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    lake.create(STEPS)
    first, last = replaced
    rows = [(number, index) for index, number in enumerate(days)]
    others = [(number, 1000 + index) for index, number in enumerate(news) if first <= number <= last]

    def table(pairs: list[tuple[int, int]]) -> pa.Table:
        found = [{"day": day(number), "action_id": "a", "step_index": index} for number, index in pairs]
        return pa.Table.from_pylist(found, schema=STEPS.arrow_schema)

    batches = table(rows).to_batches(max_chunksize=chunk)
    lake.append(STEPS.name, pa.RecordBatchReader.from_batches(STEPS.arrow_schema, batches))
    lake.replace(STEPS.name, lambda: table(others), start=day(first), stop=day(last))
    expected = [pair for pair in rows if not first <= pair[0] <= last] + others
    held = ask(f"SELECT day, step_index FROM ({lake.relation_sql(STEPS.name)})")
    assert sorted(held) == sorted((day(number), index) for number, index in expected)


# --- reading ------------------------------------------------------------------------------------------------------


def explain(lake: Lake, condition: str) -> str:
    ((_, plan),) = ask(f"EXPLAIN SELECT max(step_index) FROM ({lake.relation_sql(STEPS.name)}) WHERE {condition}")
    return str(plan)


def test_an_empty_table_has_its_types(made: Lake) -> None:
    described = ask(f"DESCRIBE {made.relation_sql(STEPS.name)}")
    assert [(row[0], row[1]) for row in described] == [
        ("day", "DATE"),
        ("action_id", "VARCHAR"),
        ("step_index", "BIGINT"),
        ("note", "VARCHAR"),
        ("ts", "TIMESTAMP WITH TIME ZONE"),
        ("tags", "VARCHAR[]"),
    ]
    made.append(STEPS.name, steps(0))
    assert [row[:2] for row in ask(f"DESCRIBE {made.relation_sql(STEPS.name)}")] == [row[:2] for row in described]


def test_only_files_of_the_wanted_days_are_read(made: Lake) -> None:
    made.append(STEPS.name, steps(0, 1, 2, 3))
    assert len(made.files(STEPS.name, start=day(1), stop=day(2))) == 2
    assert len(made.files(STEPS.name, start=day(3))) == 1
    assert len(made.files(STEPS.name, stop=day(0))) == 1
    assert per_day(made, start=day(2), stop=day(9)) == {day(2): 2, day(3): 2}
    assert per_day(made, start=day(8), stop=day(9)) == {}
    assert "Scanning Files: 2/4" in explain(made, f"day BETWEEN '{day(1)}' AND '{day(2)}'")


def test_tables_without_days_are_read_whole(made: Lake) -> None:
    made.append(FACTS.name, facts(one=1))
    assert len(made.files(FACTS.name, start=day(1), stop=day(2))) == 1


def test_files_that_a_glob_would_find_are_not_read(made: Lake) -> None:
    """A crash leaves files behind that belong to no version; a pattern would read them, and read them twice."""
    made.append(STEPS.name, steps(0))
    (path,) = made.files(STEPS.name)
    Path(path).with_name("part-orphan.zstd.parquet").write_bytes(Path(path).read_bytes())
    Path(path).with_name("part-torn.zstd.parquet").write_bytes(b"PAR1")
    assert per_day(made) == {day(0): 2}


def test_versions_and_times_can_be_read_again(made: Lake) -> None:
    made.append(STEPS.name, steps(0))
    first = made.committed_at(STEPS.name, 1)
    while datetime.now(UTC) <= first + timedelta(milliseconds=2):
        pass  # the log's clock ticks in milliseconds
    made.replace(STEPS.name, lambda: steps(0, count=7), start=day(0), stop=day(0))
    assert per_day(made, as_of=0) == {}
    assert per_day(made, as_of=1) == per_day(made, as_of=first) == {day(0): 2}
    assert per_day(made) == per_day(made, as_of=first + timedelta(days=1)) == {day(0): 7}
    assert per_day(made, as_of=first - timedelta(days=1)) == {}, "the table was not there yet"
    assert made.version_at(STEPS.name, first - timedelta(days=1)) is None


def test_a_version_that_is_not_there_is_refused(made: Lake) -> None:
    for version in (1, -1):
        with pytest.raises(VersionMissing, match="its latest is 0"):
            made.files(STEPS.name, as_of=version)
    with pytest.raises(LakeError, match="no time zone"):
        made.files(STEPS.name, as_of=datetime(2026, 1, 1))  # noqa: DTZ001 (what the test is about)


def test_what_the_log_has_forgotten_is_said(made: Lake) -> None:
    for number in range(3):
        made.append(STEPS.name, steps(number))
    DeltaTable(str(made.folder(STEPS.name))).create_checkpoint()
    for version in (0, 1):
        (made.folder(STEPS.name) / "_delta_log" / f"{version:020}.json").unlink()
    again = Lake(made.root)
    with pytest.raises(VersionMissing, match="not kept any more"):
        again.files(STEPS.name, as_of=1)
    with pytest.raises(VersionMissing, match="or later"):
        again.files(STEPS.name, as_of=datetime(2020, 1, 1, tzinfo=UTC))
    unknown, known = again.commits(STEPS.name).commits[0], again.commits(STEPS.name).commits[1:]
    assert (unknown.operation, unknown.is_whole, unknown.version) == ("unknown", True, 1)
    assert set(unknown.days) == {day(0), day(1), day(2)}
    assert [commit.version for commit in known] == [2, 3]


def test_upkeep_by_others_touches_nothing(made: Lake) -> None:
    for _ in range(3):
        made.append(STEPS.name, steps(0))
    delta = DeltaTable(str(made.folder(STEPS.name)))
    delta.optimize.compact()
    assert delta.version() == 4
    news = made.commits(STEPS.name, after=3)
    assert news == ((), 4)
    assert per_day(made) == {day(0): 6}
    made.replace(STEPS.name, lambda: steps(0, count=1), start=day(0), stop=day(0))
    assert per_day(made) == {day(0): 1}


def test_opening_a_table_with_a_long_log_reads_little_of_it(made: Lake) -> None:
    """Every so many commits a checkpoint sums up the log; without one the log would be read from its beginning."""
    for number in range(CHECKPOINT_COMMITS + 1):
        made.append(FACTS.name, facts(one=number))
    assert list((made.folder(FACTS.name) / "_delta_log").glob("*.checkpoint.parquet"))
    assert Lake(made.root).size(FACTS.name).row_count == CHECKPOINT_COMMITS + 1


def test_a_checkpoint_is_made_when_it_spares_many_commits(made: Lake) -> None:
    """After few commits it would cost more than it spares; another process reads the table through it."""
    log = made.folder(FACTS.name) / "_delta_log"
    for number in range(WORTH_A_CHECKPOINT - 2):
        made.append(FACTS.name, facts(one=number))
    assert not made.checkpoint(FACTS.name)
    made.append(FACTS.name, facts(one=-1))
    assert made.checkpoint(FACTS.name)
    assert not made.checkpoint(FACTS.name)
    (log / f"{0:020}.json").unlink()  # as when the log is cleaned: what it said is in the checkpoint
    assert Lake(made.root).size(FACTS.name).row_count == WORTH_A_CHECKPOINT - 1


def test_other_delta_readers_read_the_same(made: Lake) -> None:
    made.append(STEPS.name, steps(0, 1))
    assert DeltaTable(str(made.folder(STEPS.name))).count() == 4
    other = pa.table({"day": [NEW_YEAR], "action_id": ["z"], "step_index": [9]})
    write_deltalake(str(made.folder(STEPS.name)), other, mode="append", schema_mode="merge")
    assert per_day(made) == {day(0): 3, day(1): 2}
