"""The command line as people and scripts meet it: what goes where, exit codes, errors in words."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer
from rich.console import Console
from tests.landed_events import event, land
from typer.testing import CliRunner, Result

from oplake.cli import terminal
from oplake.cli.assembly import assembled
from oplake.lake.ingest import ingest
from oplake.lake.landed import LANDED
from oplake.lake.tables import Lake
from oplake.landing.accept import reject
from oplake.landing.writer import SegmentWriter
from oplake.models.model import sql_folder
from oplake.settings import Settings

RunOplake = Callable[..., subprocess.CompletedProcess[str]]

COUNT = "SELECT count(*) AS actions FROM attribution.actions"


@pytest.fixture
def call(home: Path) -> Callable[..., Result]:
    """Run a command in this process on an empty home; much faster than a process of its own."""
    return lambda *arguments: CliRunner().invoke(assembled(), [str(each) for each in arguments])


def test_help_loads_nothing_heavy() -> None:
    """Importing DuckDB, Delta or Dagster for help would cost seconds; commands import what they need."""
    heavy = "{'altair', 'dagster', 'deltalake', 'duckdb', 'polars', 'pyarrow', 'pydantic', 'sqlglot'}"
    script = f"import sys, oplake.cli.assembly as cli; cli.assembled(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_wrong_call_exits_with_2(call: Callable[..., Result]) -> None:
    for arguments in (
        ["nonsense"],
        ["sql"],
        ["run", "--all", "--day", "2026-01-05"],
        ["run", "--from", "2026-01-05", "--day", "2026-01-05"],
        ["write", "--to", "2026-01-05"],
        ["simulate", "--days", "0"],
        ["simulate", "--rate", "0"],
    ):
        assert call(*arguments).exit_code == 2, arguments


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sql", "SELECT * FROM attribution.nothing"], "attribution.nothing"),
        (["sql", "SELEC 1"], "SELEC"),
        (["sql", "SELECT 1", "-o", "answer.txt"], "--format"),
        (["tables", "attribution.nothing"], "attribution.nothing"),
        (["schema", "stepp"], "stepp"),
        (["run", "--day", "1999-01-01"], "OPLAKE_FIRST_DAY"),
        (["run", "--from", "1999-01-01"], "OPLAKE_FIRST_DAY"),
        (["write"], "nothing to write about yet"),
        (["write", "lake.nothing"], "no author writes lake.nothing; those that are written are users.meta_evaluations"),
        (["write", "--from", "1999-01-01"], "OPLAKE_FIRST_DAY"),
        (["write", "--from", "2999-01-01"], "to today"),
        (["write", "--from", "2026-01-06", "--to", "2026-01-05"], "2026-01-06 to 2026-01-05 cannot be written"),
        (["import", "who-and-when", "missing"], "missing"),
        (["eval", "blame"], "oplake run makes it"),
        (["report"], "`oplake write` writes what is due"),
        (["import", "jsonl", "missing.jsonl"], "missing.jsonl"),
        (["import", "tau-bench", "missing.json"], "missing.json"),
        (["import", "claude-code", "missing"], "no such folder"),
        (["import", "langfuse", "missing.json"], "missing.json"),
        (["import", "reflexion", "missing"], "missing"),
        (["import", "jsonl", "-", "--map", "nonsense"], "--map"),
        (["sql", ""], "asks nothing"),
        (["sql", "CREATE TABLE mine AS SELECT 1"], "asks nothing"),
        (["sql", "SELECT 1; SELECT 2"], "2 statements"),
        (["sql", "SELECT 1", "-o", "no-such-folder/a.csv"], "no-such-folder/a.csv:"),
        (["export", "interactions", "-o", "interactions.csv"], "interactions.csv"),
        (["rejects", "replay", "no-such-id"], "no-such-id"),
    ],
)
def test_an_error_is_told_in_words_and_exits_with_1(
    call: Callable[..., Result], arguments: list[str], says: str
) -> None:
    result = call(*arguments)
    assert result.exit_code == 1, result.output
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert not result.stdout


@pytest.mark.slow
def test_files_that_others_append_to_are_read_by_hand_and_by_run(
    call: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "OPLAKE_TAIL" in call("tail").stderr
    missing = call("tail", tmp_path / "missing.jsonl")
    assert (missing.exit_code, "missing.jsonl" in missing.stderr) == (1, True)
    path = tmp_path / "overseer_corrections.jsonl"
    path.write_text('{"task_class":"t","correction":"c"}\n{"task_class":"t"}\n')
    monkeypatch.setenv("OPLAKE_TAIL", str(path))
    told = call("tail").stderr
    assert f"Read 2 events of {path}, 1 line could not be used." in told
    assert "Nothing was appended" in call("tail").stderr
    with path.open("a") as file:
        file.write('{"task_class":"t","correction":"d"}\n')
    assert f"Read 2 events of {path}." in call("run").stderr
    counted = "SELECT count(*) FROM landed.ops UNION ALL SELECT count(*) FROM landed.corrections"
    assert call("sql", counted, "--format", "csv").stdout.split()[1:] == ["2", "2"]
    (tmp_path / "home" / "tail.json").write_text("{")
    done = call("run")
    assert (done.exit_code, "tail.json is damaged" in done.stderr) == (0, True)  # the rest was done all the same


BROKEN = """-- Steps whose number is promised to be 0.
-- grain: event_id
-- partition: day
-- window: 0..0
SELECT
    day, -- the day
    event_id, -- the step
    step_index -- its number [0..0]
FROM landed.steps
WHERE day BETWEEN $start AND $stop
"""


@pytest.mark.slow
def test_a_check_that_does_not_hold_exits_with_1(
    call: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is made, so that exit 0 is tempting; a script would go on with rows that are not as promised."""
    example = sql_folder() / "example.jsonl"
    models = tmp_path / "models"
    (models / "toy").mkdir(parents=True)
    (models / "toy" / "broken.sql").write_text(BROKEN)
    monkeypatch.setattr("oplake.orchestration.work.sql_folder", lambda: models)
    assert call("import", "jsonl", example).exit_code == 0
    done = call("run")
    assert done.exit_code == 1
    told = " ".join(done.stderr.split())
    assert "1 check did not hold. Its table was made" in told
    assert "toy.broken: not so in" in told
    assert "could not be made" not in told


@pytest.mark.slow
def test_eval_playbooks_needs_no_lake_and_writes_its_page(call: Callable[..., Result], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    done = call("eval", "playbooks", "--worlds", "1", "--output", page)
    assert done.exit_code == 0, done.output
    assert all(name in done.stdout for name in ("at random", "not offered", "small strata", "every week", "planted"))
    assert page.read_text().startswith("# How playbook entries fare")
    assert call("eval", "playbooks", "--worlds", "0").exit_code == 2


def test_debug_shows_the_traceback(call: Callable[..., Result]) -> None:
    result = call("tables", "attribution.nothing", "--debug")
    assert result.exception is not None
    assert not isinstance(result.exception, SystemExit)


def test_a_wrong_setting_is_named(oplake: RunOplake, home: Path) -> None:
    done = oplake(home, "tables", env={**os.environ, "OPLAKE_HOME": str(home), "OPLAKE_DUCKDB_THREADS": "many"})
    assert done.returncode == 1
    assert "OPLAKE_DUCKDB_THREADS='many'" in done.stderr


def test_an_empty_home_says_what_to_do(call: Callable[..., Result]) -> None:
    result = call("tables")
    assert result.exit_code == 0
    assert "oplake demo" in result.stderr


def test_nothing_landed_is_not_everything_done(call: Callable[..., Result], home: Path) -> None:
    """ "Every table is up to date" would send a beginner round in circles: `oplake tables` says that run makes them."""
    result = call("run")
    assert result.exit_code == 0
    assert str(home / "landing") in result.stderr
    assert "oplake demo" in result.stderr


def test_the_demo_does_not_mix_with_other_events(call: Callable[..., Result], home: Path) -> None:
    """After `export OPLAKE_HOME=...` it put 22,655 simulated events among those of a company, for good."""
    land(Settings(home=home), [event("note", "n", user_id="ann", note="n")])
    before = {path: path.stat().st_size for path in home.rglob("*")}
    result = call("demo")
    assert result.exit_code == 1
    assert str(home) in result.stderr
    assert "--into-this-home" in result.stderr
    assert {path: path.stat().st_size for path in home.rglob("*")} == before


def test_a_user_that_no_event_is_of_is_told_before_what_names_them(call: Callable[..., Result], home: Path) -> None:
    """A misspelt id that is an ordinary word too would be taken out of everybody's texts."""
    land(Settings(home=home), [event("note", "n", user_id="ann", note="nobody came")])
    result = call("forget", "--user", "nobody", "--dry-run")
    assert result.exit_code == 0
    assert "No event is of a user 'nobody'" in result.stderr
    assert "name them, and will not" in result.stdout
    assert "No event is of" not in call("forget", "--user", "ann", "--dry-run").stderr


def test_what_asks_nothing_does_nothing(call: Callable[..., Result], tmp_path: Path) -> None:
    """DuckDB would carry it out: COPY writes a file, and so does EXPLAIN ANALYZE of it."""
    target = tmp_path / "copied.csv"
    copy = f"COPY (SELECT 1) TO '{target}'"
    for query in (
        copy,
        f"EXPLAIN ANALYZE {copy}",
        f"-- why\nEXPLAIN (ANALYZE) {copy}",
        "DROP VIEW x",
        "SET threads = 1",
    ):
        assert call("sql", "--", query).exit_code == 1, query
    assert not target.exists()


@pytest.mark.parametrize(
    "query",
    [
        "-- a note\nSELECT 1",
        "SELECT 1; -- the end",
        "FROM range(3)",
        "DESCRIBE SELECT 1",
        "SHOW TABLES",
        "EXPLAIN ANALYZE SELECT 1",
        "PIVOT (SELECT 1 AS a, 2 AS b) ON a USING sum(b)",
        "WITH a AS (SELECT 1) FROM a",
    ],
)
def test_every_kind_of_question_is_answered(call: Callable[..., Result], query: str) -> None:
    result = call("sql", "--", query)
    assert result.exit_code == 0, result.output
    assert result.stdout


def test_show_tables_shows_those_of_every_schema(call: Callable[..., Result], home: Path) -> None:
    """DuckDB shows those of the schema main, which holds none; and our own message says to ask SHOW."""
    Lake(home / "lake").create(LANDED["reject"])
    for query in ("SHOW TABLES", "-- all\nshow tables;"):
        assert call("sql", "-f", "csv", "--", query).stdout == "table\nlanded.rejects\n", query


def test_a_question_to_an_empty_lake_says_what_fills_it(call: Callable[..., Result], home: Path) -> None:
    assert "`oplake run` makes those of what has landed" in call("sql", "SELECT * FROM landed.steps").stderr
    Lake(home / "lake").create(LANDED["reject"])
    assert "oplake run" not in call("sql", "SELECT * FROM landed.steps").stderr


def test_too_little_memory_names_its_setting(call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPLAKE_DUCKDB_MEMORY", "20MB")
    result = call("sql", "SELECT list(range) FROM range(100000000)")
    assert result.exit_code == 1
    assert "OPLAKE_DUCKDB_MEMORY, such as 8GB; it is 20MB now" in result.stderr


def test_intervals_come_as_text_in_every_format(call: Callable[..., Result], tmp_path: Path) -> None:
    """Arrow's own are (months, days, nanoseconds), and Parquet has no place for them."""
    query = "SELECT INTERVAL '14 months' AS a, [INTERVAL '90 seconds'] AS b"
    assert call("sql", query, "-f", "jsonl").stdout == '{"a":"1 year 2 months","b":["00:01:30"]}\n'
    assert call("sql", query, "-f", "csv").stdout == 'a,b\n1 year 2 months,"[""00:01:30""]"\n'
    assert "1 year 2 months" in call("sql", query).stdout
    target = tmp_path / "intervals.parquet"
    assert call("sql", query, "-o", target).exit_code == 0
    assert pq.read_table(target).to_pylist() == [{"a": "1 year 2 months", "b": ["00:01:30"]}]


def test_numbers_and_columns_of_one_name_survive_in_json(call: Callable[..., Result]) -> None:
    """sum() makes a DECIMAL of an integer, which would be text; and an object keeps the last of two equal keys."""
    query = "SELECT sum(range) AS n, 0.1::DECIMAL(4, 2) AS n, (10::HUGEINT ** 30)::HUGEINT AS n_1 FROM range(4)"
    line = call("sql", query, "-f", "jsonl").stdout
    assert line == '{"n":6,"n_2":0.10,"n_1":1000000000000000019884624838656}\n'


def test_a_read_only_home_can_be_looked_at(call: Callable[..., Result], home: Path) -> None:
    """Every reader wanting a folder to spill into below the home would shut out who may only read it."""
    Lake(home / "lake").create(LANDED["reject"])
    Lake(home / "lake").create(LANDED["replay"])
    (home / "tmp").touch()  # what no folder can be made at, by root neither
    result = call("rejects")
    assert (result.exit_code, result.stderr) == (0, "There are none.\n")


def test_a_home_that_is_a_file_is_named(call: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = call("tables", "--home", tmp_path / "file")
    assert result.exit_code == 1
    assert "is a file, not a folder" in result.stderr


def test_an_import_of_nothing_usable_fails(call: Callable[..., Result], tmp_path: Path) -> None:
    """A script that imports with a wrong map must not go on as if it had worked."""
    path = tmp_path / "log.jsonl"
    path.write_text('{"who": "u"}\n{"who": "v"}\n')
    result = call("import", "jsonl", path, "--kind", "note", "--map", "user_id=who")
    assert result.exit_code == 1
    assert f"{path}, line 2, byte 13" in result.stderr
    assert "import the file again" in result.stderr
    assert "replay" not in result.stderr  # which knows neither the map nor the place


def test_an_import_of_nothing_says_so(call: Callable[..., Result], tmp_path: Path) -> None:
    """An empty export of a quiet day is no failure, but nothing is to be run after it either."""
    lines, runs = tmp_path / "empty.jsonl", tmp_path / "empty.json"
    lines.touch()
    runs.write_text("[]")
    for arguments in (["jsonl", lines], ["tau-bench", runs]):
        result = call("import", *arguments)
        assert (result.exit_code, result.stdout) == (0, ""), result.output
        assert f"{arguments[1]} holds nothing to bring in." in result.stderr
        assert "Next" not in result.stderr


def test_an_import_promises_no_more_than_was_read(call: Callable[..., Result], tmp_path: Path) -> None:
    """ "Landed 1 event" of a file that adds nothing was taken for a second copy of it."""
    path = tmp_path / "notes.jsonl"
    path.write_text('{"kind": "note", "ts": "2026-01-05T00:00:00Z", "user_id": "u", "note": "n"}\n')
    for _ in range(2):
        said = call("import", "jsonl", path).stderr
        assert "Read 1 event: 1 note." in said
        assert "What is there already adds nothing" in said


def test_an_import_tells_of_days_that_no_model_is_made_for(call: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text(
        '{"kind": "note", "ts": "2023-01-05T00:00:00Z", "user_id": "u", "note": "n"}\n'
        '{"kind": "note", "ts": "2999-01-05T00:00:00Z", "user_id": "u", "note": "n"}\n'
    )
    said = call("import", "jsonl", path).stderr
    assert "before OPLAKE_FIRST_DAY=2024-01-01" in said
    assert "2999-01-05 lie after tomorrow" in said
    assert "came repeatedly" in said  # that the file was there before is known to `oplake run` only


def test_an_interval_of_days_has_an_order(call: Callable[..., Result]) -> None:
    result = call("export", "interactions", "--from", "2026-01-06", "--to", "2026-01-05")
    assert result.exit_code == 2


def test_rejects_fit_on_a_terminal(
    call: Callable[..., Result], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fourteen took two hundred lines: an id that is folded cannot be copied, and one reason filled a screen."""
    reason = "there is no kind 'stepp'; there are " + "x" * 500
    origin = "20260105T130000.000000Z-foreign-and-long-000001"
    now = datetime.now(UTC)
    with closing(SegmentWriter(settings.landing)) as writer:
        writer.append([reject(b"{}", reason=reason, origin=origin, line=12, byte_offset=0, received_at=now).line])
    ingest(settings, now=now)
    piped = call("rejects").stdout
    assert reason in piped
    (identity,) = re.findall("[0-9a-f]{8}-[0-9a-f-]{27}", piped)
    printed = io.StringIO()
    screen = Console(file=printed, force_terminal=True, width=80, no_color=True)
    monkeypatch.setattr(terminal, "console", lambda: screen)
    call("rejects")
    lines = [line for line in printed.getvalue().splitlines() if line.strip()]
    assert len(lines) == 4  # two of them are the heading
    assert identity in lines[2]
    assert "there is no kind 'stepp'" in lines[2]


def test_rejects_are_listed_up_to_a_limit_and_a_row_each(call: Callable[..., Result], settings: Settings) -> None:
    """A wrong import has thousands; and a line break among the bytes took its row apart."""
    now = datetime.now(UTC)
    with closing(SegmentWriter(settings.landing)) as writer:
        for n in range(4):
            raw = f"{{\n{n}".encode()
            writer.append([reject(raw, reason=f"why {n}", origin="o", line=n + 1, byte_offset=n, received_at=now).line])
    ingest(settings, now=now)
    listed = call("rejects", "--limit", 2)
    assert re.findall(r"why \d", listed.stdout) == ["why 2", "why 3"]
    assert len([line for line in listed.stdout.splitlines() if line.strip()]) == 4  # two of them are the heading
    assert r"{\n3" in listed.stdout
    assert "Not listed: 2 earlier ones; --limit 0 lists all." in listed.stderr
    every = call("rejects", "--limit", 0)
    assert every.stdout.count("why") == 4
    assert "Not listed" not in every.stderr


def test_a_command_that_is_not_there_leads_to_those_that_are(call: Callable[..., Result]) -> None:
    assert "`oplake doctor` says whether all is well" in " ".join(call("status").stderr.replace("│", " ").split())
    assert "Did you mean 'tables'" in call("tabels").stderr


def test_help_has_defaults_in_words_and_paragraphs_of_one_line(call: Callable[..., Result]) -> None:
    """Where typer escapes markup it was shown as it is written; and a line break in a paragraph breaks it twice."""
    for arguments in (["ui"], ["playbooks"], ["import", "reflexion"]):
        assert "[dim]" not in call(*arguments, "--help").stdout
    assert "3000" in call("ui", "--help").stdout
    command = typer.main.get_command(assembled()).commands["sql"]  # type: ignore[attr-defined]
    assert command.help.count("\n") == 2


def test_home_option_stands_for_the_variable(call: Callable[..., Result], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    assert call("simulate", "--days", 1, "--rate", 1, "--home", elsewhere).exit_code == 0
    assert list((elsewhere / "landing").glob("*.jsonl"))


def test_schema_is_json(call: Callable[..., Result]) -> None:
    assert "decision" in json.dumps(json.loads(call("schema", "step").stdout))
    assert "landed" not in json.loads(call("schema").stdout)


@pytest.mark.slow
def test_answers_come_in_every_format(oplake: RunOplake, worked_home: Path, tmp_path: Path) -> None:
    """One lake, every way out; what is piped has no colours, no box around data, and nothing cut off."""
    query = "SELECT action_id, day, began_at, playbook_ids, CAST(outcome AS JSON) AS outcome FROM attribution.actions"
    as_json = json.loads(oplake(worked_home, "sql", query, "--format", "json").stdout)
    as_csv = list(csv.DictReader(io.StringIO(oplake(worked_home, "sql", query, "--format", "csv").stdout)))
    target = tmp_path / "actions.parquet"
    assert oplake(worked_home, "sql", query, "-o", str(target)).returncode == 0
    as_parquet = pq.read_table(target).to_pylist()
    assert len(as_json) == len(as_csv) == len(as_parquet) > 0
    assert [row["action_id"] for row in as_json] == [row["action_id"] for row in as_csv]
    assert isinstance(as_json[0]["outcome"], dict)
    assert isinstance(as_json[0]["playbook_ids"], list)
    assert date.fromisoformat(as_csv[0]["day"]) == as_parquet[0]["day"]
    piped = oplake(worked_home, "sql", query)
    assert "\x1b" not in piped.stdout
    assert as_json[0]["action_id"] in piped.stdout
    assert "first 100 rows" in piped.stderr or len(as_json) <= 100


@pytest.mark.slow
def test_commands_after_a_run(oplake: RunOplake, worked_home: Path, tmp_path: Path) -> None:
    """The rest of the commands, each once, on a lake that holds something."""
    listed = oplake(worked_home, "tables")
    assert "attribution.step_credits" in listed.stdout
    explained = oplake(worked_home, "tables", "attribution.step_credits")
    assert "credit_rounded" in explained.stdout
    nearly = oplake(worked_home, "tables", "attribution.step_credit")
    assert nearly.returncode == 1
    assert "attribution.step_credits" in nearly.stderr
    rejected = oplake(worked_home, "rejects")
    assert "oplake rejects replay" in rejected.stderr
    exported = oplake(worked_home, "export", "interactions").stdout.splitlines()
    (counted,) = json.loads(oplake(worked_home, "sql", COUNT, "-f", "json").stdout)
    assert 0 < len(exported) <= counted["actions"]
    first = json.loads(exported[0])
    assert first["attribution_chain"]["action"]["action_id"] == first["prompt_id"]
    asked = oplake(worked_home, "sql", "-", "-f", "csv", input=COUNT)
    assert asked.stdout == f"actions\n{counted['actions']}\n"
    assert oplake(worked_home, "doctor").returncode == 0


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(worked_home: Path) -> None:
    """`oplake sql ... | head -1` must not end in a traceback, neither while writing nor at exit."""
    command = [sys.executable, "-m", "oplake", "sql", "SELECT * FROM range(3000000)", "-f", "csv"]
    environment = {**os.environ, "OPLAKE_HOME": str(worked_home)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"range\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) != 0


@pytest.mark.slow
def test_ctrl_c_is_quiet(worked_home: Path) -> None:
    command = [sys.executable, "-m", "oplake", "import", "jsonl", "-"]
    environment = {**os.environ, "OPLAKE_HOME": str(worked_home)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "Importing" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stderr.read() == ""


@pytest.mark.slow
def test_ctrl_c_stops_a_run(home: Path, oplake: RunOplake) -> None:
    """Dagster makes a failed step of the signal; told as a failed table, the run would go on with the others."""
    assert oplake(home, "simulate", "--days", "1", "--rate", "20").returncode == 0
    with subprocess.Popen([sys.executable, "-m", "oplake", "run"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        log = home / "dagster" / "alive"
        while not (log.is_dir() and list(log.iterdir())):  # a run is being carried out
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert "could not be made" not in process.stderr.read()
    assert oplake(home, "run").returncode == 0
