"""Written tables through Dagster: checks that fail where runs do not, schedules, and who opens sockets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest
from tests.authors import (
    ANSWERS,
    EVALUATION,
    answers,
    answers_but,
    note,
    notes,
    rows_of,
    schema_of,
    statuses,
    with_server,
)
from tests.landed_events import NOON, event, land, prepare, take_in
from tests.model_server import fails, says, serving_model
from tests.receiving import landed
from tests.unit.test_synthesis_calls import priced
from typer.testing import CliRunner

from oplake.cli.assembly import assembled
from oplake.cli.days import now
from oplake.cli.work import DEMO_END
from oplake.cli.work import _write as write_at
from oplake.lake.tables import Lake
from oplake.lake.upkeep import upkeep
from oplake.models.model import Models
from oplake.orchestration.definitions import build_definitions
from oplake.orchestration.execution import BY
from oplake.orchestration.jobs import INGEST, WRITE
from oplake.orchestration.llm import ONLY_DUE
from oplake.orchestration.partitions import key_of, range_tags
from oplake.orchestration.runs import in_progress
from oplake.orchestration.schedules import CRONS
from oplake.orchestration.write import rounds, write
from oplake.settings import Settings
from oplake.synthesis.client import BREAK_AFTER
from oplake.synthesis.tables import WRITTEN

from .conftest import at

pytestmark = pytest.mark.slow

TABLE = "users.meta_evaluations"
DAY = NOON.date()


def test_a_failed_user_fails_the_check_and_not_the_run(settings: Settings, models: Models) -> None:
    """And a number that nobody measured is an alert. What was written, and what it took, is with the day."""
    ready = prepare(settings)
    notes(ready, {"ann": "fine", "bob": "unlucky"})
    false = {**EVALUATION, "consensus": "It took 17 minutes [n1], say all [n7]."}
    refuse = answers_but(lambda text: fails(400, "not you") if "unlucky" in text else None)

    def play(body: dict[str, Any]) -> Any:
        is_false = schema_of(body) == "MetaEvaluation" and "unlucky" not in str(body)
        return says(false)(body) if is_false else refuse(body)

    with serving_model(play) as server, dg.DagsterInstance.ephemeral() as instance:
        home = with_server(ready, server)
        report = write(home, now=at(6, 12), tables=[TABLE], days=(DAY, DAY), instance=instance, models=models)
        (record,) = instance.fetch_materializations(key_of(TABLE), limit=10).records
        asked = len(server.asked)
        again = write(home, now=at(6, 13), tables=[TABLE], days=(DAY, DAY), instance=instance, models=models)
        assert len(server.asked) == asked + 1  # bob is tried again, and nobody else
    assert report.failures == ()
    (failed,) = report.failed_checks
    assert (failed.table, failed.message) == (TABLE, failed.message)
    assert "2026-01-05T12 bob: " in failed.message
    assert "HTTP 400: not you" in failed.message
    assert {alert.message for alert in report.alerts} == {"2026-01-05T12 ann: 17 minutes", "2026-01-05T12 ann: n7"}
    assert not again.is_success
    assert statuses(ready, TABLE) == {"ann": "ok", "bob": "failed"}
    assert record.asset_materialization is not None
    found = {name: value.value for name, value in record.asset_materialization.metadata.items()}
    assert record.partition_key == "2026-01-05"
    assert (found["dagster/partition_row_count"], found["rows_written"], found["left_out"]) == (2, 2, 0)
    assert (found["calls"], found["calls_from_cache"]) == (3, 0)
    assert found["run_cost_usd"] == "unpriced"  # and not 0: nobody knows what the server takes


def test_the_command_line_says_what_it_paid_or_that_nobody_knows(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = prepare(settings)
    notes(ready, {"ann": "fine"})
    costs = {"": "at a cost that is not known", "dear": "for 0.7500 USD"}
    with serving_model(lambda body: says(ANSWERS.get(schema_of(body), "Fine."), **charges)(body)) as server:
        for name, value in {"HOME": ready.home, "LLM_URL": server.url, "LLM_FLASH": "mini"}.items():
            monkeypatch.setenv(f"OPLAKE_{name}", str(value))
        for model, said in costs.items():
            charges = {"cost": 0.25} if model else {}
            monkeypatch.setenv("OPLAKE_LLM_FLASH", model or "mini")
            done = CliRunner().invoke(assembled(), ["write", TABLE, "--from", DAY.isoformat(), "--again"])
            assert done.exit_code == 0, done.stderr
            assert f"Wrote 1 row of {TABLE}, {said}" in " ".join(done.stderr.split())


def test_what_the_demo_writes_is_kept_from_today(settings: Settings) -> None:
    """Its clock stands in January, so that its events are the same every time; upkeep would have none of it left."""
    ready = prepare(settings)
    notes(ready, {"ann": "fine"})
    write_at(ready, DEMO_END, tables=[TABLE], days=(DAY, DAY))
    (row,) = rows_of(ready, TABLE)
    assert row["written_at"] - DEMO_END > ready.reports_kept
    assert upkeep(ready, now=now()).expired == {}


def test_the_clock_goes_on_while_tables_are_written(settings: Settings, models: Models) -> None:
    """As in scheduled runs. When it stands no call takes time, and what midnight saw spent is of the day before."""
    ready = prepare(settings)
    notes(ready, {"ann": "fine"})
    query = ("query", json.dumps({"sql": "SELECT count(*) FROM landed.notes"}))

    def play(body: dict[str, Any]) -> Any:
        is_told = any(message["role"] == "tool" for message in body["messages"])
        return (says(None, calls=[query]) if schema_of(body) == "LakeReport" and not is_told else answers)(body)

    midnight = at(7, 0)
    with serving_model(play) as server, dg.DagsterInstance.ephemeral() as instance:
        home, now = with_server(ready, server), midnight - timedelta(milliseconds=1)
        write(home, now=now, tables=["lake.daily_report"], days=(DAY, DAY), instance=instance, models=models)
        (run,) = instance.get_runs()
    assert run.tags[BY] == "oplake write"
    (call,) = landed(home.home, "tool_call")
    assert call["duration_ms"] > 0
    times = [datetime.fromisoformat(each["ts"]) for each in landed(home.home, "llm_call")]
    assert midnight < times[0] < times[-1] < midnight + timedelta(minutes=5)


# --- one run ---------------------------------------------------------------------------------------------------------

DAILY = [what.name for what in CRONS["daily_reports"][1]]


def scheduled_runs(home: Settings, models: Models, count: int = 1) -> None:
    """What the schedule `daily_reports` asks for, of one day, so many times."""
    definitions = build_definitions(home, models=models, clock=lambda: at(6, 12))
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(count):
            done = definitions.resolve_job_def(WRITE).execute_in_process(
                instance=instance, asset_selection=[key_of(name) for name in DAILY], tags=range_tags(DAY, DAY)
            )
            assert done.success


def test_the_limit_of_a_run_holds_for_all_its_tables(settings: Settings, models: Models) -> None:
    """Calls are opened for each table anew, and what a run has spent must not begin with 0 in each."""
    ready = prepare(settings)
    notes(ready, {"ann": "fine"})
    priced(Lake(ready.lake), *((model, kind, "0") for model in ("mini", "big") for kind in ("input", "output")))

    def play(body: dict[str, Any]) -> Any:
        return says(ANSWERS.get(schema_of(body), "Nothing to object."), cost=0.01)(body)

    with serving_model(play) as server:
        scheduled_runs(with_server(ready, server, llm_run_usd=Decimal("0.02")), models)
        assert len(server.asked) == 3  # 0.02 may be spent, and the third call was expected to cost nothing
        (row,) = rows_of(ready, "lake.daily_report")
        assert row["status"] == "skipped: budget"
        assert "0.03 USD of the run are spent" in row["error"]


def test_once_the_first_server_has_failed_a_run_asks_the_fallback_alone(settings: Settings, models: Models) -> None:
    ready = prepare(settings)
    notes(ready, {"ann": "fine"})
    with serving_model(fails(503)) as first, serving_model(answers) as second:
        other = {"llm_fallback_url": second.url, "llm_fallback_flash": "o", "llm_fallback_pro": "o"}
        scheduled_runs(with_server(ready, first, **other), models)
        assert len(first.asked) == 1
    assert {row["author"] for name in DAILY for row in rows_of(ready, name)} == {"o"}


def test_the_breaker_stops_a_run_in_all_its_tables(settings: Settings, models: Models) -> None:
    ready = prepare(settings)
    notes(ready, {f"user{n}": f"note {n}" for n in range(4)})
    with serving_model(fails(400)) as server:
        home = with_server(ready, server)
        scheduled_runs(home, models, count=2)
        assert len(server.asked) == 2 * BREAK_AFTER  # the next run tries again
    (row,) = rows_of(ready, "lake.daily_report")
    assert "3 calls in a row failed" in row["error"]


def test_all_rounds_of_one_command_are_one_run(settings: Settings, models: Models) -> None:
    """Whoever sets a limit and writes ten weeks by hand does not expect to pay it twenty times."""
    ready = prepare(settings)
    notes(ready, {"ann": "fine"})
    note(ready, "ann", "a week later", hours=7 * 24)
    take_in(ready)
    priced(Lake(ready.lake), *((model, kind, "0") for model in ("mini", "big") for kind in ("input", "output")))
    with serving_model(says(EVALUATION, cost=0.01)) as server, dg.DagsterInstance.ephemeral() as instance:
        home = with_server(ready, server, llm_run_usd=Decimal(0))
        days = (DAY, DAY + timedelta(days=7))
        report = write(home, now=at(14, 12), tables=[TABLE], days=days, instance=instance, models=models)
        assert len(report.runs) == 2
        assert len(server.asked) == 1
    assert [row["status"] for row in rows_of(ready, TABLE)] == ["ok", "skipped: budget"]


def test_of_several_rounds_the_last_one_is_told_what_the_operator_wants(settings: Settings, models: Models) -> None:
    ready = prepare(settings)
    for week, text in enumerate(("a note", "a week later")):
        note(ready, "ann", text, hours=week * 7 * 24)
    take_in(ready)
    land(ready, [event("operator_note", "o1", target=TABLE, message="Mind the outage.")], writer="operator")
    with serving_model(answers) as server, dg.DagsterInstance.ephemeral() as instance:
        days = (DAY, DAY + timedelta(days=7))
        home = with_server(ready, server)
        write(home, now=at(14, 12), tables=[TABLE], days=days, instance=instance, models=models)
        asked = [str(body["messages"]) for body in server.asked if schema_of(body) == "MetaEvaluation"]
    assert ["Mind the outage." in text for text in asked] == [False, True]


# --- schedules -------------------------------------------------------------------------------------------------------


@dataclass
class Clock:
    """A clock that a test sets."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def scheduled(models: Models, tmp_path_factory: pytest.TempPathFactory) -> tuple[dg.RepositoryDefinition, Clock]:
    clock = Clock(at(1, 0))
    home = Settings(home=tmp_path_factory.mktemp("s"), first_day=date(2026, 1, 1))
    return build_definitions(home, models=models, clock=clock).get_repository_def(), clock


def requested(scheduled: tuple[dg.RepositoryDefinition, Clock], name: str, now: datetime) -> tuple[str, str] | str:
    """The first and the last day that a schedule asks for; or why it does not."""
    repository, clock = scheduled
    clock.now = now
    with dg.build_schedule_context(scheduled_execution_time=now) as context:
        found = repository.get_schedule_def(name).evaluate_tick(context)
    if not found.run_requests:
        return str(found.skip_message)
    (request,) = found.run_requests
    assert request.asset_selection == [key_of(what.name) for what in CRONS[name][1]]
    assert ONLY_DUE.items() <= request.tags.items()
    assert request.run_key is None  # a key would drop the run of a window that is tried again
    return request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"]


@pytest.mark.parametrize(
    ("name", "now", "days"),
    [
        ("six_hourly_evaluations", at(20, 6, 25), ("2026-01-18", "2026-01-20")),
        ("six_hourly_evaluations", at(20, 0, 25), ("2026-01-18", "2026-01-19")),
        ("six_hourly_evaluations", at(1, 6, 25), ("2026-01-01", "2026-01-01")),  # no window of the year before
        ("six_hourly_evaluations", at(1, 0, 25), "no day is due"),
        ("daily_reports", at(20, 6, 35), ("2026-01-13", "2026-01-19")),
        ("daily_reports", at(2, 6, 35), ("2026-01-01", "2026-01-01")),
        ("daily_reports", at(1, 6, 35), "no day is due"),
        ("daily_reports", at(20, 6, 14), ("2026-01-12", "2026-01-18")),  # actions of the 19th may still be open
        ("weekly_plans", at(12, 7, 5), ("2026-01-12", "2026-01-12")),
        ("late_plans", at(14, 7, 5), ("2026-01-12", "2026-01-12")),
        ("late_plans", at(18, 7, 5), ("2026-01-12", "2026-01-12")),
        ("weekly_plans", at(12, 6, 40), ("2026-01-05", "2026-01-05")),  # the reports of Sunday are not written yet
        ("late_plans", at(3, 7, 5), "no day is due"),
    ],
)
def test_what_schedules_ask_for(
    scheduled: tuple[dg.RepositoryDefinition, Clock], name: str, now: datetime, days: tuple[str, str] | str
) -> None:
    """After days off, all that is due is asked for at once: what is due does not depend on what was done before."""
    assert requested(scheduled, name, now) == days


def test_schedules_are_in_utc_and_miss_no_monday() -> None:
    """Two cover a week of plans: each day has exactly one of them."""
    weekly, late = CRONS["weekly_plans"][0].split()[-1], CRONS["late_plans"][0].split()[-1]
    assert (weekly, late) == ("1", "0,2-6")


def test_all_schedules_of_a_week_ask_for_every_window_while_it_is_due(
    scheduled: tuple[dg.RepositoryDefinition, Clock],
) -> None:
    """Each window is asked for at the first tick after its end, and at every one until it is 48 hours old."""
    what = WRITTEN[0]
    ticks = [at(10, 0, 25) + n * timedelta(hours=6) for n in range(24)]
    for partition in what.partitions(date(2026, 1, 11)):
        due = [tick for tick in ticks if what.is_due(partition, tick)]
        assert len(due) == 8
        assert due[0] - partition.end == timedelta(minutes=25)
        for tick in due:
            start, stop = requested(scheduled, "six_hourly_evaluations", tick)
            assert start <= partition.day.isoformat() <= stop


def test_a_run_that_writes_does_not_hold_up_what_arrives(scheduled: tuple[dg.RepositoryDefinition, Clock]) -> None:
    """A model may take an hour; numbers must not wait for it. An ingest under way is waited for."""
    repository, _ = scheduled
    with dg.DagsterInstance.ephemeral() as instance:
        instance.create_run_for_job(repository.get_job(WRITE))
        assert in_progress(instance) == []
        run = instance.create_run_for_job(repository.get_job(INGEST))
        assert [each.run_id for each in in_progress(instance)] == [run.run_id]


def test_plans_come_before_the_reports_that_tell_of_them() -> None:
    """And after those that they are made of, which are of the week before."""
    monday = date(2026, 1, 12)
    week = [monday + timedelta(days=n) for n in range(-3, 4)]
    planned = rounds({"users.daily_reports": week, "users.meta_plans": [monday], "lake.daily_report": week})
    assert [(each.tables, each.start, each.stop) for each in planned] == [
        (("users.daily_reports", "lake.daily_report"), week[0], week[2]),
        (("users.meta_plans",), monday, monday),
        (("users.daily_reports", "lake.daily_report"), monday, week[-1]),
    ]
    alone = rounds({"users.daily_reports": [monday], "users.meta_plans": [monday]})
    assert [each.tables for each in alone] == [("users.meta_plans",), ("users.daily_reports",)]


# --- sockets ---------------------------------------------------------------------------------------------------------

GUARD = """
import socket, sys
def refuse(event, arguments):
    is_outside = event == "socket.__new__" and arguments[1] != socket.AF_UNIX
    if is_outside or event in ("socket.connect", "socket.getaddrinfo"):
        raise RuntimeError(f"a socket was opened: {event}")
sys.addaudithook(refuse)
import typer
from oplake.cli.assembly import assembled
def oplake(*arguments):
    typer.main.get_command(assembled()).main(list(arguments), standalone_mode=False)
"""


def guarded(settings: Settings, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a script in a process that may open no socket to anywhere."""
    return subprocess.run(
        [sys.executable, "-c", GUARD + script],
        env={**os.environ, "OPLAKE_HOME": str(settings.home), **environment},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_a_run_of_everything_else_opens_no_socket(settings: Settings) -> None:
    """Though a model server is named: nothing but written tables may ask it. Nor is a client of it loaded."""
    script = """
oplake("simulate", "--days", "1", "--rate", "5")
oplake("run")
assert "httpx" not in sys.modules and "oplake.synthesis.client" not in sys.modules
"""
    done = guarded(settings, script, OPLAKE_LLM_URL="http://127.0.0.1:9", OPLAKE_LLM_FLASH="mini")
    assert done.returncode == 0, done.stderr
    assert Lake(settings.lake).size("attribution.step_credits").row_count > 0


@pytest.mark.parametrize(
    "opens", ["import httpx; httpx.get('http://127.0.0.1:9')", "socket.create_connection(('127.0.0.1', 9))"]
)
def test_the_guard_catches_whoever_opens_one(settings: Settings, opens: str) -> None:
    done = guarded(settings, opens)
    assert done.returncode != 0
    assert "a socket was opened" in done.stderr
