"""The command line as people and scripts meet it: what goes where, exit codes, errors in words."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from oplake.cli.assembly import assembled
from oplake.models.sql_file import sql_folder

RunOplake = Callable[..., subprocess.CompletedProcess[str]]

COUNT = "SELECT count(*) AS actions FROM attribution.actions"


@pytest.fixture
def call(home: Path) -> Callable[..., Result]:
    """Run a command in this process on an empty home; much faster than a process of its own."""
    return lambda *arguments: CliRunner().invoke(assembled(), [str(each) for each in arguments])


def test_help_loads_nothing_heavy() -> None:
    """Importing DuckDB, Delta or Dagster for help would cost seconds; commands import what they need."""
    heavy = "{'dagster', 'deltalake', 'duckdb', 'polars', 'pyarrow', 'pydantic', 'sqlglot'}"
    script = f"import sys, oplake.cli.assembly as cli; cli.assembled(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_wrong_call_exits_with_2(call: Callable[..., Result]) -> None:
    for arguments in (["nonsense"], ["sql"], ["run", "--all", "--day", "2026-01-05"], ["simulate", "--days", "0"]):
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
        (["import", "jsonl", "missing.jsonl"], "missing.jsonl"),
        (["import", "tau-bench", "missing.json"], "missing.json"),
        (["import", "jsonl", "-", "--map", "nonsense"], "--map"),
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
