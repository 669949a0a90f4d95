"""Which days are made again, proved by counting materialisations in Dagster's records."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import dagster as dg
import pytest

from oplake.orchestration.errors import OrchestrationError
from oplake.orchestration.report import LeftOut
from oplake.orchestration.resources import Step
from oplake.orchestration.run import run
from oplake.settings import Settings

from .conftest import World, WriteModels, at, begun, completed, days, step

pytestmark = pytest.mark.slow  # each runs Dagster a few times


def test_nothing_to_do_starts_nothing(world: World) -> None:
    assert world.run(at(12, 12)).runs == ()
    assert world.instance.get_runs_count() == 0
    assert not world.settings.lake.exists()


def test_late_events_make_exactly_the_days_that_they_touch_again(world: World) -> None:
    """Making everything after the late day again, or only the day itself, would both be wrong."""
    for day in (5, 6, 7, 8):
        world.action(f"a{day}", at(day, 12))
    assert world.run(at(12, 12)).is_success
    first = world.made()
    assert first["attribution.actions"] == days(5, 6, 7, 8)
    assert first["landed.steps"] == days(5, 6, 7, 8)
    assert world.run(at(12, 13)).runs == ()

    world.land(step("a7", 2, at(7, 12, 5)), received_at=at(12, 14))
    report = world.run(at(12, 15))

    assert report.is_success
    made = world.made()
    assert made["landed.steps"] == days(7)
    assert "landed.actions_begun" not in made
    assert made["attribution.actions"] == days(6, 7)  # an action of the 6th may reach into the 7th
    assert made["attribution.steps"] == days(6, 7)
    assert made["attribution.step_credits"] == days(6, 7)
    assert all(count == 1 for counts in made.values() for count in counts.values())
    assert world.ask("SELECT step_count FROM attribution.actions WHERE action_id = 'a7'") == [(3,)]
    assert world.run(at(12, 16)).runs == ()
    assert world.made() == {}


def test_an_action_over_midnight_is_whole(world: World) -> None:
    """Taking the steps of a day by the step's own day would cut it in two."""
    world.land(begun("a", at(5, 23, 50)), step("a", 0, at(5, 23, 55)))
    world.run(at(5, 23, 56))
    assert world.ask("SELECT day::VARCHAR, status, step_count FROM attribution.actions") == [("2026-01-05", "open", 1)]
    world.made()

    world.land(step("a", 1, at(6, 0, 5)), completed("a", at(6, 0, 10)))
    world.run(at(6, 0, 11))

    made = world.made()
    assert made["landed.steps"] == days(6)
    assert made["attribution.actions"] == days(5, 6)
    assert made["attribution.step_credits"] == days(5, 6)
    assert world.ask("SELECT day::VARCHAR, status, step_count FROM attribution.actions") == [
        ("2026-01-05", "completed", 2)
    ]
    credit = world.ask(
        "SELECT day::VARCHAR, count(*), round(sum(credit), 9) FROM attribution.step_credits GROUP BY day"
    )
    assert credit == [("2026-01-05", 2, 1.0)]


def test_a_timeout_appears_without_any_new_event(world: World) -> None:
    """A model that waited for an event, or a sensor that looked at landing alone, would leave it open for ever."""
    world.land(begun("a", at(5, 20)))
    world.run(at(5, 21))
    assert world.ask("SELECT status FROM attribution.actions") == [("open",)]
    world.made()

    assert world.run(at(6, 6, 14)).runs == ()
    report = world.run(at(6, 6, 15))

    assert report.ingested is not None
    assert report.ingested.bytes == 0
    made = world.made()
    assert made["attribution.actions"] == days(5)
    assert not any(table.startswith("landed.") for table in made)
    assert world.ask("SELECT status FROM attribution.actions") == [("timeout",)]
    assert world.run(at(6, 6, 16)).runs == ()


def test_changed_sql_makes_its_model_and_what_reads_it_again(world: World, write_models: WriteModels) -> None:
    world.models = write_models(begun=BEGUN, doubled=DOUBLED, other=OTHER)
    world.action("a", at(5, 12))
    world.run(at(12, 12))
    world.made()

    world.models = write_models(begun=BEGUN.replace("count(*)", "count(*) + 1"), doubled=DOUBLED, other=OTHER)
    world.run(at(12, 12))

    made = world.made()
    assert {table: counts for table, counts in made.items() if table.startswith("toy.")} == {
        "toy.begun": days(5),
        "toy.doubled": days(5),
    }
    assert world.ask("SELECT actions, twice FROM toy.begun JOIN toy.doubled USING (day)") == [(2, 4)]


def test_everything_and_one_day_by_name(world: World, write_models: WriteModels) -> None:
    world.models = write_models(begun=BEGUN, doubled=DOUBLED, total=TOTAL)
    for day in (5, 6, 9):
        world.action(f"a{day}", at(day, 12))
    world.run(at(12, 12))
    assert world.made()["toy.total"] == {None: 1}

    world.run(at(12, 12), day=at(6, 0).date())
    assert world.made() == {"toy.begun": days(6), "toy.doubled": days(6), "lake.arrivals": {None: 1}}
    world.run(at(12, 12))  # what the day changed
    assert world.made() == {"toy.total": {None: 1}, "lake.arrivals": {None: 1}}

    world.run(at(12, 12), everything=True)
    made = world.made()
    assert made["toy.begun"] == made["toy.doubled"] == days(5, 6, 9)
    assert made["toy.total"] == {None: 1}
    assert world.ask("SELECT actions FROM toy.total") == [(3,)]
    with pytest.raises(OrchestrationError, match="OPLAKE_FIRST_DAY"):
        world.run(at(12, 12), day=at(20, 0).date())


def test_a_model_that_fails_leaves_its_days_stale_and_the_rest_is_made(world: World, write_models: WriteModels) -> None:
    world.models = write_models(
        begun=BEGUN.replace("count(*)", "CAST(max(action_id) AS BIGINT)"), doubled=DOUBLED, other=OTHER
    )
    world.action("a", at(5, 12))

    report = world.run(at(12, 12))

    assert not report.is_success
    assert report.complaint.startswith("1 table could not be made. It stays as it was, and the next run tries again:")
    (failure,) = report.failures
    assert failure.table == "toy.begun"
    assert "toy.begun 2026-01-05" in failure.message
    assert "Could not convert string 'a'" in failure.message
    assert world.ask("SELECT count(*) FROM toy.other") == [(2,)]  # published although its run failed
    world.made()
    world.models = write_models(begun=BEGUN, doubled=DOUBLED, other=OTHER)
    assert world.run(at(12, 12)).is_success
    assert world.made() == {"toy.begun": days(5), "toy.doubled": days(5), "lake.arrivals": {None: 1}}


def test_ctrl_c_is_no_failure_of_a_table(world: World, write_models: WriteModels) -> None:
    """DuckDB tells of the signal as of an error in the query: taken for one, the other tables would still be made."""
    every = ", ".join(f"landed.actions_begun AS {name}" for name in "abcd")  # 10^12 of them
    endless = ENDLESS.replace("landed.actions_begun", every)
    world.models = write_models(begun=endless, other=OTHER)
    world.land(*(begun(f"a{number}", at(5, 12)) for number in range(1000)), step("a0", 0, at(5, 12)))
    timers: list[threading.Timer] = []

    def press(step: Step) -> None:
        if step.table == "toy.begun":
            timers.append(threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)))
            timers[0].start()

    with pytest.raises(KeyboardInterrupt):
        world.run(at(12, 12), watch=press)
    assert "toy.other" not in world.made()
    world.models = write_models(begun=BEGUN, other=OTHER)
    assert world.run(at(12, 12)).is_success


def test_days_that_no_model_is_made_for_are_told(world: World, write_models: WriteModels) -> None:
    """Left out in silence, an import of two years ago looks as if it had never been."""
    world.models = write_models(begun=BEGUN)
    for moment in (at(5, 12), datetime(2023, 3, 1, 12, tzinfo=UTC), datetime(2023, 3, 9, 12, tzinfo=UTC), at(20, 12)):
        world.land({"kind": "action_begun", "ts": moment, "action_id": "a", "agent_id": "a", "action_type": "t"})
    world.land({"kind": "note", "ts": at(25, 12), "user_id": "u", "note": "no model reads notes"})
    early = LeftOut(2, date(2023, 3, 1), date(2023, 3, 9))
    late = LeftOut(1, date(2026, 1, 20), date(2026, 1, 20))
    for _ in range(2):  # also when there is nothing to do
        report = world.run(at(12, 12))
        assert (report.too_early, report.too_late) == (early, late)
    world.settings = world.settings.model_copy(update={"first_day": date(2023, 1, 1)})
    report = world.run(at(20, 12))
    assert (report.too_early, report.too_late) == (None, None)
    assert world.ask("SELECT sum(actions) FROM toy.begun") == [(4,)]


def test_a_broken_promise_is_a_failed_check_with_rows(world: World, write_models: WriteModels) -> None:
    """The negative control of the checks: rows that break each kind of promise."""
    world.models = write_models(broken=BROKEN)
    world.action("a", at(5, 12))

    report = world.run(at(12, 12))

    assert report.failures == ()
    assert not report.is_success  # else `oplake run` in a script would go on with rows that are wrong
    assert {failure.table for failure in report.failed_checks} == {"toy.broken"}
    assert report.complaint.startswith(
        "3 checks did not hold. Their tables were made, with rows that are not as promised:"
    )
    (run_id,) = [made.run_id for made in report.runs if made.refresh]
    entries = world.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    evaluations = [entry.get_dagster_event().asset_check_evaluation_data for entry in entries]
    checks = {evaluation.check_name: evaluation for evaluation in evaluations}
    assert {name: check.passed for name, check in checks.items()} == {
        "grain_is_unique": False,
        "nothing_is_null": False,
        "all_in_range": False,
    }
    for check in checks.values():
        assert check.severity is dg.AssetCheckSeverity.ERROR
        (sample,) = [value for name, value in check.metadata.items() if name.endswith("some rows")]
        assert isinstance(sample, dg.TableMetadataValue)
        assert sample.records


def test_two_at_once_do_not_hurt_each_other(world: World, settings: Settings) -> None:
    """Both ingest and make the same days; the lake is as if one had."""
    for day in (5, 6):
        world.action(f"a{day}", at(day, 12))
    with dg.DagsterInstance.ephemeral() as other, ThreadPoolExecutor(2) as pool:
        reports = list(
            pool.map(
                lambda instance: run(settings, now=at(12, 12), instance=instance, models=world.models),
                [world.instance, other],
            )
        )

    assert all(report.is_success for report in reports)
    assert sum(report.ingested.events for report in reports if report.ingested) == 8
    assert world.ask("SELECT action_id, step_count FROM attribution.actions ORDER BY ALL") == [("a5", 2), ("a6", 2)]
    assert world.ask("SELECT count(*) FROM attribution.steps") == [(4,)]
    assert world.run(at(12, 12)).runs == ()


BEGUN = """-- Actions begun, counted.
--
-- grain: day
-- partition: day
-- window: 0..0
SELECT
    day, -- the day
    count(*) AS actions -- how many
FROM landed.actions_begun
WHERE day BETWEEN $start AND $stop
GROUP BY day
"""

ENDLESS = """-- What takes a day to work out.
--
-- grain: day
-- partition: day
-- window: 0..0
SELECT
    a.day, -- the day
    CAST(sum(length(a.event_id || b.event_id || c.event_id || d.event_id)) AS BIGINT) AS actions -- some number
FROM landed.actions_begun
WHERE a.day BETWEEN $start AND $stop
GROUP BY a.day
"""

DOUBLED = """-- Twice as many.
--
-- grain: day
-- partition: day
-- window: 0..0
SELECT
    day, -- the day
    2 * actions AS twice -- twice as many
FROM toy.begun
WHERE day BETWEEN $start AND $stop
"""

OTHER = """-- Steps, as they are.
--
-- grain: event_id
-- partition: day
-- window: 0..0
SELECT
    day, -- the day
    event_id -- the step
FROM landed.steps
WHERE day BETWEEN $start AND $stop
"""

TOTAL = """-- Actions of all days.
--
-- grain: actions
-- partition: none
SELECT CAST(sum(actions) AS BIGINT) AS actions -- how many
FROM toy.begun
"""

BROKEN = """-- Rows that break every promise.
--
-- grain: kind
-- partition: day
-- window: 0..0
SELECT
    day, -- the day
    'step' AS kind, -- the same for all [not null]
    CASE WHEN step_index = 0 THEN step_index END AS number, -- null for some [not null]
    step_index + 2 AS share -- out of range [0..1]
FROM landed.steps
WHERE day BETWEEN $start AND $stop
"""
