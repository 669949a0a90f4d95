"""The views by which people and DuckDB clients read the lake."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

import oplake
from oplake.lake.catalog import connect, moment, publish_views, refresh, summarize, summarize_all
from oplake.lake.errors import LakeError, TableMissing
from oplake.lake.tables import Column, Lake, TableSpec
from oplake.settings import Settings

NEW_YEAR = date(2026, 1, 1)
STEPS = TableSpec(
    name="work.steps",
    description="What was done, 'quoted'.",
    columns=(
        Column("day", pa.date32(), "the day", is_nullable=False),
        Column("n", pa.int64(), "a number; isn't it"),
        Column("ts", pa.timestamp("us", "UTC"), "when"),
    ),
    partition_by_day=True,
    sort_by=("n",),
    grain=("day", "n"),
)


def rows(count: int, *, day: date = NEW_YEAR) -> pa.Table:
    found = [{"day": day, "n": n, "ts": datetime(2026, 1, 1, 12, tzinfo=UTC)} for n in range(count)]
    return pa.Table.from_pylist(found, schema=STEPS.arrow_schema)


def count(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute("SELECT count(*) FROM work.steps").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def filled(lake: Lake) -> Lake:
    """A lake with one table of three rows."""
    lake.create(STEPS)
    lake.append(STEPS.name, rows(3))
    return lake


def test_an_empty_home_has_no_views(settings: Settings) -> None:
    with connect(settings) as connection:
        assert connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall() == []
    assert not settings.lake.exists(), "looking makes no folder"


def test_every_table_is_a_view_that_says_what_it_means(settings: Settings, filled: Lake) -> None:
    with connect(settings) as connection:
        views = "SELECT schema_name, view_name, comment FROM duckdb_views() WHERE NOT internal"
        assert connection.execute(views).fetchall() == [("work", "steps", "What was done, 'quoted'. Grain: day, n.")]
        columns = "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE table_name = 'steps' ORDER BY ALL"
        assert connection.execute(columns).fetchall() == [
            ("day", "DATE", "the day"),
            ("n", "BIGINT", "a number; isn't it"),
            ("ts", "TIMESTAMP WITH TIME ZONE", "when"),
        ]


def test_times_come_in_utc_wherever_the_machine_is(
    settings: Settings, filled: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    with connect(settings) as connection:
        assert connection.execute("SELECT max(ts)::VARCHAR FROM work.steps").fetchone() == ("2026-01-01 12:00:00+00",)


def test_a_connection_keeps_its_versions_until_it_is_refreshed(settings: Settings, filled: Lake) -> None:
    """A glob would show half of what is being written, and other rows from one question to the next."""
    with connect(settings) as connection:
        filled.replace(STEPS.name, lambda: rows(5), start=NEW_YEAR, stop=NEW_YEAR)
        filled.create(TableSpec("work.more", "New.", STEPS.columns, True, ("n",), ("n",)))
        assert count(connection) == 3
        refresh(connection)
        assert count(connection) == 5
        assert connection.execute("SELECT count(*) FROM work.more").fetchone() == (0,)


def test_what_a_notebook_needs_stands_in_the_package() -> None:
    """`lake.refresh()` is no method of DuckDB's, and nobody looks for a function in oplake.lake.catalog."""
    assert oplake.refresh is refresh
    assert {"connect", "refresh"} <= set(dir(oplake))


def test_only_our_own_connections_are_refreshed() -> None:
    with duckdb.connect() as connection, pytest.raises(LakeError, match=r"oplake\.connect"):
        refresh(connection)


def test_the_past_can_be_asked(settings: Settings, filled: Lake) -> None:
    then = filled.committed_at(STEPS.name, 1)
    while datetime.now(UTC) <= then + timedelta(milliseconds=2):
        pass  # the log's clock ticks in milliseconds
    filled.append(STEPS.name, rows(4))
    for as_of, expected in ((then, 3), (then - timedelta(days=1), 0), (None, 7)):
        with connect(settings, as_of=as_of) as connection:
            assert count(connection) == expected
    with pytest.raises(LakeError, match="no time zone"):
        connect(settings, as_of=datetime(2026, 1, 1))  # noqa: DTZ001 (what the test is about)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        (date(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31 12:30", datetime(2026, 1, 31, 12, 30, tzinfo=UTC)),
        ("2026-01-31T12:30:00Z", datetime(2026, 1, 31, 12, 30, tzinfo=UTC)),
        ("2026-01-31T12:30:00+02:00", datetime(2026, 1, 31, 10, 30, tzinfo=UTC)),
    ],
)
def test_the_past_can_be_named_in_words(settings: Settings, filled: Lake, said: date | str, meant: datetime) -> None:
    assert moment(said) == meant
    with connect(settings, as_of=said) as connection:
        assert count(connection) == 0, "long before the table was made"


def test_what_is_no_time_is_refused(settings: Settings) -> None:
    with pytest.raises(LakeError, match="'yesterday' is no time: give one such as"):
        connect(settings, as_of="yesterday")


def make_more(lake: Lake) -> None:
    lake.create(TableSpec("work.more", "New.", STEPS.columns, True, ("n",), ("n",)))
    lake.append("work.more", rows(2))


def test_a_broken_log_keeps_no_other_table_from_being_asked(settings: Settings, filled: Lake) -> None:
    """One table is one question that fails. An error while the views are made would be every question that fails."""
    make_more(filled)
    (filled.folder("work.more") / "_delta_log" / f"{2:020}.json").write_text('{"x')
    publish_views(settings)
    with connect(settings) as fresh, duckdb.connect(str(settings.views), read_only=True) as published:
        for connection in (fresh, published):
            assert count(connection) == 3
            for query in ("SELECT count(*) FROM work.more", "FROM work.more"):
                with pytest.raises(duckdb.Error, match=r"work\.more: its log cannot be read"):
                    connection.execute(query).fetchall()
            with pytest.raises(duckdb.Error, match="this table cannot be read: oplake doctor says why"):
                connection.execute("SELECT day FROM work.more")
    summaries, broken = summarize_all(settings)
    assert [each.name for each in summaries] == ["work.steps"]
    assert list(broken) == ["work.more"]


@pytest.mark.parametrize("how", ["gone", "damaged", "another"])
def test_a_lost_file_keeps_no_other_table_from_being_asked(settings: Settings, filled: Lake, how: str) -> None:
    make_more(filled)
    [lost] = filled.files("work.more")
    if how == "gone":
        Path(lost).unlink()
    elif how == "damaged":
        Path(lost).write_bytes(b"PAR1")
    else:
        pq.write_table(pa.table({"other": [1]}), lost)
    publish_views(settings)
    with connect(settings) as fresh, duckdb.connect(str(settings.views), read_only=True) as published:
        refresh(fresh)
        for connection in (fresh, published):
            assert count(connection) == 3
            with pytest.raises(duckdb.Error, match=r"work\.more: its files cannot be read: .*; run `oplake rebuild`"):
                connection.execute("SELECT count(n) FROM work.more")


def test_a_past_whose_files_are_gone_says_how_far_back_one_may_ask(settings: Settings, filled: Lake) -> None:
    then = filled.committed_at(STEPS.name, 1)
    filled.replace(STEPS.name, lambda: rows(2), start=NEW_YEAR, stop=NEW_YEAR + timedelta(days=1))
    make_more(filled)
    Lake(settings.lake, retention=timedelta(0)).vacuum(STEPS.name)
    with connect(settings, as_of=then) as connection:
        assert connection.execute("SELECT count(*) FROM work.more").fetchall() == [(0,)]
        with pytest.raises(duckdb.Error, match=r"work\.steps: .*; ask of a time within OPLAKE_VACUUM_AFTER"):
            count(connection)
    with connect(settings) as connection:
        assert count(connection) == 2


def test_a_table_that_does_not_reach_back_keeps_no_other_from_being_asked(settings: Settings, filled: Lake) -> None:
    make_more(filled)
    DeltaTable(str(filled.folder("work.more"))).create_checkpoint()
    (filled.folder("work.more") / "_delta_log" / f"{0:020}.json").unlink()
    with connect(settings, as_of=filled.committed_at(STEPS.name, 0)) as connection:
        assert count(connection) == 0
        for query in (
            "SELECT count(*) FROM work.more",
            "SELECT n FROM work.more WHERE n = 1",
            "SELECT ts FROM work.more WHERE day = DATE '2026-01-01'",
        ):
            with pytest.raises(duckdb.Error, match=r"work\.more can be read as of .* or later"):
                connection.execute(query).fetchall()


def test_settings_bound_what_a_query_may_take(home: Path) -> None:
    settings = Settings(home=home, duckdb_memory="123MiB", duckdb_threads=1)
    with connect(settings) as connection:
        held = connection.execute("SELECT current_setting('memory_limit'), current_setting('threads')").fetchone()
        assert held == ("123.0 MiB", 1)


def test_a_query_too_large_for_memory_spills_into_the_home_and_leaves_nothing(home: Path) -> None:
    settings = Settings(home=home, duckdb_memory="60MB", duckdb_threads=1)
    with connect(settings) as connection:
        query = "SELECT max(text) FROM (SELECT hash(i)::VARCHAR AS text FROM range(1_000_000) r(i) ORDER BY text)"
        connection.execute(query).fetchall()
        assert [path.name.startswith(".spill-") for path in home.iterdir()] == [True]
    assert list(home.iterdir()) == []


def test_a_misspelt_table_is_answered_with_the_right_one(settings: Settings, filled: Lake) -> None:
    with connect(settings) as connection:
        for query in ("FROM steps", "FROM wrok.steps", "FROM work.step"):
            with pytest.raises(duckdb.Error, match="steps"):
                connection.execute(query)


def test_the_file_of_views_can_be_opened_by_any_client(settings: Settings, filled: Lake) -> None:
    assert publish_views(settings) == settings.views
    with duckdb.connect(str(settings.views), read_only=True) as client:
        assert count(client) == 3
        assert client.execute("SELECT comment FROM duckdb_views() WHERE view_name = 'steps'").fetchone() == (
            "What was done, 'quoted'. Grain: day, n.",
        )


def test_publishing_leaves_a_reader_undisturbed(settings: Settings, filled: Lake) -> None:
    """Writing into the file in place would be refused while a reader has it open, or change under its eyes."""
    publish_views(settings)
    with duckdb.connect(str(settings.views), read_only=True) as reader:
        filled.replace(STEPS.name, lambda: rows(9), start=NEW_YEAR, stop=NEW_YEAR)
        publish_views(settings)
        assert count(reader) == 3
    with duckdb.connect(str(settings.views), read_only=True) as reader:
        assert count(reader) == 9


def test_writing_in_place_would_be_refused(settings: Settings, filled: Lake) -> None:
    """The negative control of building beside: with a reader in another process, DuckDB does not open for writing."""
    import subprocess
    import sys

    publish_views(settings)
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print('open', flush=True); input()"
    command = [sys.executable, "-c", hold, str(settings.views)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        with pytest.raises(duckdb.IOException, match="lock"):
            duckdb.connect(str(settings.views))
        publish_views(settings)
        reader.communicate("\n")


def test_what_an_interrupted_publisher_left_is_in_nobodys_way(settings: Settings, filled: Lake) -> None:
    building = settings.views.with_name("oplake.duckdb.building")
    building.write_bytes(b"half a file")
    building.with_name(building.name + ".wal").write_bytes(b"half a log")
    publish_views(settings)
    assert sorted(path.name for path in settings.home.iterdir()) == ["lake", "oplake.duckdb", "oplake.duckdb.lock"]
    with duckdb.connect(str(settings.views), read_only=True) as client:
        assert count(client) == 3


def test_several_may_publish_at_once(settings: Settings, filled: Lake) -> None:
    failures: list[BaseException] = []

    def publish() -> None:
        try:
            publish_views(settings)
        except BaseException as error:  # noqa: BLE001 (whatever it is, the test fails with it)
            failures.append(error)

    publishers = [threading.Thread(target=publish) for _ in range(4)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    assert failures == []


def test_a_summary_tells_size_and_span(settings: Settings, filled: Lake) -> None:
    filled.append(STEPS.name, rows(2, day=NEW_YEAR + timedelta(days=3)))
    summary = summarize(settings, STEPS.name)
    assert (summary.name, summary.version, summary.row_count, summary.files) == (STEPS.name, 2, 5, 2)
    assert (summary.first_day, summary.last_day) == (NEW_YEAR, NEW_YEAR + timedelta(days=3))
    assert summary.bytes == sum(Path(path).stat().st_size for path in filled.files(STEPS.name))
    assert summary.spec == STEPS
    assert summarize_all(settings) == ([summary], {})


@pytest.mark.parametrize(("name", "hint"), [("work.step", "did you mean work.steps"), ("x.y", "there are work.steps")])
def test_a_table_that_is_not_there_is_answered_with_those_that_are(
    settings: Settings, filled: Lake, name: str, hint: str
) -> None:
    with pytest.raises(TableMissing, match=hint):
        summarize(settings, name)


def test_an_empty_lake_says_how_to_fill_it(settings: Settings) -> None:
    with pytest.raises(TableMissing, match="oplake run"):
        summarize(settings, "landed.steps")
