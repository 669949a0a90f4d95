"""The tool `query` reads the lake at one version, and nothing that is tried with it does anything else."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pyarrow as pa
import pytest

from oplake.lake.spec import Column, TableSpec
from oplake.lake.tables import Lake
from oplake.synthesis.query import RESULT_BYTES, ROWS, Query, pin

pytestmark = pytest.mark.slow

TABLE = TableSpec(
    name="landed.notes",
    description="Notes.",
    columns=(Column("user_id", pa.string(), "the user"), Column("n", pa.int64(), "a number")),
    partition_by_day=False,
    sort_by=(),
    grain=("n",),
)


def notes(*numbers: int) -> pa.Table:
    return pa.table({"user_id": ["ann"] * len(numbers), "n": list(numbers)})


@pytest.fixture
def query(lake: Lake) -> Query:
    """The tool over a table with the rows 1, 2, 3."""
    lake.create(TABLE)
    lake.append(TABLE.name, notes(1, 2, 3))
    return Query(lake, pin(lake))


def test_a_select_gives_its_rows(query: Query) -> None:
    result = query.call({"sql": "SELECT user_id, sum(n) AS total, NULL AS x FROM landed.notes GROUP BY ALL -- why"})
    assert (result.text, result.is_ok) == ("user_id\ttotal\tx\nann\t6\tnull\n(1 rows)", True)
    assert "landed.notes: Notes." in query.definition["function"]["description"]


def test_it_stays_at_its_version(query: Query, lake: Lake) -> None:
    lake.append(TABLE.name, notes(4))
    lake.replace(TABLE.name, lambda: notes(5), start=None, stop=None)
    assert query.call({"sql": "SELECT count(*), max(n) FROM landed.notes"}).text.split("\n")[1] == "3\t3"


def test_rows_and_bytes_are_limited(query: Query) -> None:
    many = query.call({"sql": "SELECT * FROM range(1000000000)"})
    assert many.text.count("\n") == ROWS + 1
    assert many.text.endswith("there are more rows)")
    long = query.call({"sql": "SELECT repeat('é', 1000000) FROM range(50)"})
    assert RESULT_BYTES / 2 < len(long.text.encode()) < RESULT_BYTES + 200
    assert long.is_ok


def test_names_of_columns_count_among_the_bytes(query: Query) -> None:
    """200,000 characters came out as the name of one column."""
    long = query.call({"sql": f'SELECT 1 AS "{"a" * 200_000}"'})
    assert long.is_ok
    assert len(long.text) < 1_000
    many = query.call({"sql": "SELECT " + ", ".join(f"NULL AS column_{n}" for n in range(3_000))})
    assert "the names of its 3000 columns take more than 6000 bytes" in many.text
    nulls = query.call({"sql": "SELECT " + ", ".join(f"NULL AS c{n}" for n in range(1_000)) + " FROM range(50)"})
    assert len(nulls.text.encode()) < RESULT_BYTES + 200
    assert len(query.call({"sql": "SELECT error(repeat('é', 100000))"}).text.encode()) < RESULT_BYTES


def test_a_query_that_sleeps_ends_in_time(query: Query) -> None:
    """It takes no CPU time, and DuckDB does not interrupt it."""
    begin = time.monotonic()
    result = Query(query.lake, query.versions, seconds=1.0).call({"sql": "SELECT sleep_ms(60000)"})
    assert result.text == "error: it took longer than 1 s; ask for less"
    assert time.monotonic() - begin < 15


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT INTERVAL 10000000 YEAR AS i", "error: Python int too large to convert to C int"),
        ("SELECT '\ud800'", "surrogates not allowed"),
    ],
)
def test_what_python_cannot_hold_is_told_as_that(query: Query, sql: str, said: str) -> None:
    """ "More memory than it may" would have a model ask for less, for ever."""
    result = query.call({"sql": sql})
    assert said in result.text
    assert (result.is_ok, result.is_escape) == (False, False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b",
        "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r) SELECT max(a) FROM r",
        "SELECT length(repeat('x', 4000000000))",
        "SELECT list_transform(range(1000000000), lambda x: x * 2)[1]",
        "SELECT * FROM range(1000000000) ORDER BY random()",
    ],
)
def test_time_and_memory_are_limited(query: Query, sql: str) -> None:
    """Functions on texts and lists keep neither of DuckDB's limits: there it is the process that ends."""
    result = Query(query.lake, query.versions, seconds=1.0).call({"sql": sql})
    assert not result.is_ok
    assert not result.is_escape
    assert query.call({"sql": "SELECT 1 AS x"}).text == "x\n1\n(1 rows)"


@pytest.mark.parametrize("arguments", [{}, {"sql": ""}, {"sql": 7}, {"sql": None}, {"query": "SELECT 1"}])
def test_wrong_arguments_are_an_error_result(query: Query, arguments: dict[str, object]) -> None:
    assert query.call(arguments).text == "error: the argument `sql` is missing"


@pytest.mark.parametrize(
    "sql", ["SELEC 1", "SELECT nothing FROM landed.notes", "SELECT 1 FROM nowhere", "-- only this"]
)
def test_a_wrong_query_is_an_error_and_no_escape(query: Query, sql: str) -> None:
    result = query.call({"sql": sql})
    assert (result.is_ok, result.is_escape) == (False, False)


ESCAPES = {
    # other files, and other files of this very table
    "csv": "SELECT * FROM read_csv('{secret}')",
    "text": "SELECT * FROM read_text('{secret}')",
    "blob": "SELECT * FROM read_blob('/etc/passwd')",
    "replacement": "SELECT * FROM '{secret}'",
    "glob": "SELECT * FROM glob('/etc/*')",
    "sniff": "SELECT * FROM sniff_csv('{secret}')",
    "query_table": "SELECT * FROM query_table('{secret}')",
    "orphan": "SELECT * FROM read_parquet('{orphan}')",
    "pattern": "SELECT * FROM read_parquet('{folder}/*.parquet')",
    "dots": "SELECT * FROM read_parquet('{folder}/../notes/{orphan_name}')",
    "log": "SELECT * FROM read_json('{folder}/_delta_log/00000000000000000000.json')",
    # writing
    "copy": "COPY (SELECT 1) TO '{target}'",
    "copy over": "COPY (SELECT 1) TO '{listed}'",
    "export": "EXPORT DATABASE '{target}'",
    "attach": "ATTACH '{target}' AS x",
    "attach memory": "ATTACH ':memory:' AS x",
    "create": "CREATE TABLE x AS SELECT 1",
    "insert": "INSERT INTO landed.notes VALUES ('x', 1)",
    "drop": "DROP VIEW landed.notes",
    "replace view": "CREATE OR REPLACE VIEW landed.notes AS SELECT 1",
    "explain analyze": "EXPLAIN ANALYZE COPY (SELECT 1) TO '{target}'",
    "logging": "CALL enable_logging(storage = 'file', storage_path = '{target}')",
    # settings, extensions, network
    "set": "SET enable_external_access = true",
    "set threads": "SET threads = 64",
    "unlock": "SET lock_configuration = false",
    "reset": "RESET lock_configuration",
    "pragma": "PRAGMA enable_external_access = true",
    "variable": "SET VARIABLE x = 1",
    "allowed": "SET allowed_paths = ['/etc/passwd']",
    "install": "INSTALL httpfs",
    "load": "LOAD httpfs",
    "http": "SELECT * FROM read_parquet('http://127.0.0.1:{port}/x')",
    "http csv": "SELECT * FROM 'http://127.0.0.1:{port}/x.csv'",
    "s3": "SELECT * FROM read_parquet('s3://bucket/x')",
    "secret": "CREATE SECRET s (TYPE s3)",
    # more than one statement
    "two": "SELECT 1; SELECT 2",
    "two with copy": "SELECT 1; COPY (SELECT 1) TO '{target}'",
    "transaction": "COMMIT; CREATE TABLE x AS SELECT 1",
    "begin": "BEGIN",
    "prepare": "PREPARE q AS SELECT 1",
    "comment": "/* SELECT 1 */ DROP SCHEMA landed CASCADE",
}


@pytest.mark.parametrize("attempt", ESCAPES)
def test_an_escape_is_an_error_and_told_as_such(query: Query, lake: Lake, tmp_path: Path, attempt: str) -> None:
    secret, target = tmp_path / "secret.csv", tmp_path / "target"
    secret.write_text("a,b\n1,2\n")
    (listed,) = lake.files(TABLE.name)
    lake.append(TABLE.name, notes(99))  # a file of the table that the pinned version does not have
    (orphan,) = set(lake.files(TABLE.name)) - {listed}
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        sql = ESCAPES[attempt].format(
            secret=secret,
            target=target,
            listed=listed,
            orphan=orphan,
            orphan_name=Path(orphan).name,
            folder=lake.folder(TABLE.name),
            port=server.getsockname()[1],
        )
        result = query.call({"sql": sql})
        with pytest.raises(BlockingIOError):  # nobody called
            server.accept()
    assert not result.is_ok, result.text
    assert result.is_escape, result.text
    assert str(lake.root) not in result.text
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "sql",
    [
        "WITH x AS (INSERT INTO landed.notes VALUES ('x', 1) RETURNING *) SELECT * FROM x",
        "SELECT getenv('OPLAKE_LLM_KEY')",
        "SELECT * FROM asked",
        "SELECT * FROM connection",
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('CREATE TABLE x AS SELECT 1'))",
        "SELECT nextval('x')",
    ],
)
def test_a_select_that_would_do_more_fails(query: Query, sql: str) -> None:
    assert not query.call({"sql": sql}).is_ok


def test_what_duckdb_tells_of_itself_shows_neither_secrets_nor_where_the_lake_lies(query: Query) -> None:
    assert query.call({"sql": "FROM duckdb_secrets()"}).text.endswith("\n(0 rows)")
    views = query.call({"sql": "SELECT sql FROM duckdb_views() WHERE schema_name = 'landed'"})
    assert "lake/landed/notes/" in views.text
    paths = query.call({"sql": "SELECT value FROM duckdb_settings() WHERE name = 'allowed_paths'"})
    assert str(query.lake.root) not in views.text + paths.text
