"""Computing models in a real lake: versions, days, commits, and rows that break a promise."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.otlp_bodies import traced_days
from tests.sql.tiny_lake import (
    DAY,
    LATER,
    DeltaLake,
    TinyLake,
    at,
    begun,
    by,
    completed,
    observation,
    patch,
    session_event,
    step,
    tool_call,
    turn,
)
from tests.written_rows import NAMED, example_rows

from oplake.lake.engine import SPILL
from oplake.lake.landed import INGESTED
from oplake.models.build import build
from oplake.models.checks import Finding, checks_of, evaluate_checks
from oplake.models.errors import BuildError
from oplake.models.model import Model
from oplake.models.sql_file import load_models

ONE = timedelta(days=1)


def some_days(tiny: TinyLake) -> None:
    """Some actions a day, over midnights, under parents of the day before, with ids that come back."""
    for day in range(5):
        hour = 24 * day
        for number, start in enumerate((1, 12.5, 23.5)):
            name = f"{day}-{number}"
            parent = f"{day - 1}-2" if number == 0 else f"{day}-{number - 1}"
            tiny.land(begun(name, at(hour + start), parent_action_id=parent, expected_outcome={"n": number, "x": True}))
            for index in range(4):
                when = at(hour + start + index / 4)
                tiny.land(step(name, when, index * 2, confidence=index / 4, state={"n": index}))
                tiny.land(observation(name, when, data={"n": number}))
            if number != day % 3:
                tiny.land(completed(name, at(hour + start + 1), {"n": number}))
        tiny.land(begun("daily", at(hour + 22)), step("daily", at(hour + 23)), completed("daily", at(hour + 25)))
        for number in range(3):
            told = {"ts": at(hour + 8 * number), "task_class": "t", "sig_hash": f"{day + number}"}
            fate = {"endpoint": "ask", "success": number == 0, "error": f"no {day - number}", "duration_ms": 1.0}
            tiny.land({"kind": "op"} | told | fate, {"kind": "correction", "correction": f"Try {day}."} | told)
        some_sessions(tiny, day)
        some_attempts(tiny, day)
    tiny.land(*traced_days(5))


def some_sessions(tiny: TinyLake, day: int) -> None:
    """A session of the day and one that goes on from day to day, with all that is counted of them."""
    hour = 24 * day
    for name, start in ((f"session-{day}", 9), ("long", 23)):
        tiny.land(session_event(name, at(hour + start), "checkpoint"))
        for index in range(3):
            when = at(hour + start + index / 4)
            tiny.land(turn(name, when, index, tier="reasoning" if index < 2 else None, user_id="ann", input_tokens=day))
            tiny.land(tool_call(name, when, index, ok=index != day % 3, charged_usd=0.01))
            tiny.land(patch(name, when, index, new_failures=["t"] * (index % 2), autonomy_level=3))
        tiny.land(session_event(name, at(hour + start + 0.8), "confidence", detail={"score": 10 * day}))
        tiny.land(session_event(name, at(hour + start + 0.9), "done"))


def some_attempts(tiny: TinyLake, day: int) -> None:
    """Runs towards two goals, some of which fail by one decision, and what people said of them a day later."""
    for number in range(6):
        name, fails, start = f"attempt-{day}-{number}", number % 3 == day % 2, 24 * day + 3 + number
        tiny.land(
            begun(name, at(start), action_type="fix", goal_id=f"goal-{number % 2}", expected_outcome={"ok": True})
        )
        for index, decision in enumerate(("look", "guess" if fails else "ask", "look", "answer")):
            tiny.land(step(name, at(start + index / 10), index, decision=decision))
        tiny.land(completed(name, at(start + 0.5), {"ok": not fails}))
        told = {"entry_id": f"entry-{number % 2}", "entry_version": 1, "task_class": "fix", "withheld": number % 4 == 0}
        tiny.land({"kind": "playbook_served", "ts": at(start), "action_id": name} | told)
        if fails:
            label = {"data": {"step_index": 1}, "observation_type": "blame_label"}
            tiny.land(observation(name, at(start + 24), **label))


def rows_of(tiny: TinyLake, model: Model) -> list[dict[str, Any]]:
    return tiny.ask(f"FROM {model.name} ORDER BY {model.spec.order_sql}")


def what_is_days_apart(tiny: TinyLake) -> None:
    """Sessions and actions of the first and the last day that were served an entry on the other, ids of actions that
    come back, and advice on errors which the last day has forgotten."""
    for name, worked, told in (("early", 0, 4), ("late", 4, 0), ("again", 2, 1)):
        for kind in ("session_id", "action_id"):
            unit = {kind: f"{name} {kind}"}
            fate = {"endpoint": "ask", "task_class": "fix", "success": True, "duration_ms": 1.0, "input_summary": "i"}
            tiny.land({"kind": "op", "ts": at(24 * worked + 9)} | fate | unit)
            tiny.land({"kind": "op", "ts": at(24 * worked + 1), "action_id": f"attempt-{told}-1"} | fate)
            entry = {"entry_id": name, "entry_version": 1, "task_class": "fix", "withheld": False}
            tiny.land({"kind": "playbook_served", "ts": at(24 * told + 8)} | entry | unit)
    told_before = {"task_class": "t", "sig_hash": "before"}
    for day, is_success in ((FORGOTTEN, False), (ADVISED, True)):
        fate = {"endpoint": "ask", "success": is_success, "duration_ms": 1.0} | (
            {} if is_success else {"error": "gone"}
        )
        tiny.land({"kind": "op", "ts": at(24 * day + 12)} | told_before | fate)
    tiny.land({"kind": "correction", "ts": at(24 * ADVISED), "correction": "Look."} | told_before)


FORGOTTEN, ADVISED = -27, -22
"""Days before the first: only the first sees the error (candidates look back 27 days), all see the advice on it."""


@pytest.mark.slow
def test_a_range_of_days_comes_out_as_its_days_one_by_one(tiny: TinyLake) -> None:
    """One run makes a range, and so sees more than the window of a single day; no model may let that show."""
    some_days(tiny)
    what_is_days_apart(tiny)
    tiny.append(NAMED["users.meta_plans"].spec, example_rows()["users.meta_plans"])
    tiny.budgets = {"user": Decimal("0.05")}
    last = DAY + 4 * ONE
    before = ("operations.failures", "operations.messages", "operations.retries", "playbooks.runs")
    tiny.build(*before, start=DAY + FORGOTTEN * ONE, stop=DAY + ADVISED * ONE)
    tiny.build(start=DAY, stop=last)
    together = {model.name: rows_of(tiny, model) for model in tiny.models}
    assert [name for name, rows in together.items() if not rows] == []
    for model in reversed(tiny.models.models):
        within = f"WHERE day >= '{DAY}'" if model.partition else ""
        tiny.connection.execute(f"DELETE FROM {model.name} {within}")
    for model in tiny.models:
        for back in range(5):
            tiny.build_one(model, last - back * ONE, last - back * ONE)
    assert {model.name: rows_of(tiny, model) for model in tiny.models} == together


def test_building_again_leaves_the_same_rows_and_other_days_alone(delta: DeltaLake) -> None:
    delta.land(begun("a", at(1)), begun("b", at(25)), step("a", at(2)), step("b", at(26)))
    names = ("attribution.actions", "attribution.steps", "attribution.step_credits")
    delta.build(*names, stop=DAY + ONE)
    before = {name: rows_of(delta, delta.models[name]) for name in names}
    delta.build(*names)
    assert {name: rows_of(delta, delta.models[name]) for name in names} == before


def test_the_commit_says_what_it_was_made_from(delta: DeltaLake) -> None:
    delta.land(begun("a", at(1)))
    model = delta.models["attribution.actions"]
    built = delta.built(model, watermark=at(9))
    assert (built.rows, dict(built.rows_per_day)) == (1, {DAY: 1})
    commit = delta.lake.commits(model.name).commits[-1]
    assert (commit.version, commit.days, commit.code_version) == (built.version, {DAY: 1}, model.code_version)
    assert commit.watermark == at(9)
    assert commit.inputs == {
        "landed.actions_begun": delta.lake.version("landed.actions_begun"),
        "landed.actions_completed": -1,  # not there yet: it counts as empty, and news in it is newer than that
        "landed.observations": -1,
        "landed.steps": -1,
        "otel.actions": -1,
        "otel.observations": -1,
        "otel.steps": -1,
    }


def test_a_day_without_input_is_made_empty_and_typed(delta: DeltaLake) -> None:
    for name in ("attribution.actions", "attribution.steps", "attribution.interactions"):
        model = delta.models[name]
        delta.build(name)
        assert delta.lake.spec(model.name).columns == model.spec.columns
        assert rows_of(delta, model) == []
        assert delta.lake.commits(model.name).commits[-1].days == {DAY: 0}


def test_only_files_of_the_window_are_read(delta: DeltaLake) -> None:
    """Reading the whole table and filtering is tempting; a day would then cost more with every day of history."""
    for day in range(5):
        delta.land(begun(f"{day}", at(24 * day + 1)))
    for path in delta.lake.files("landed.actions_begun", stop=DAY):
        Path(path).unlink()
    middle = DAY + 2 * ONE
    assert delta.built(delta.models["attribution.actions"], start=middle).rows == 1
    with pytest.raises(BuildError, match=r"attribution.actions 2026-01-06..2026-01-06: (.|\n)*actions.sql"):
        delta.built(delta.models["attribution.actions"], start=DAY + ONE)


def test_rows_lie_by_day_and_grain(delta: DeltaLake) -> None:
    for name in ("c", "a", "b"):
        delta.land(begun(name, at(1)), step(name, at(2), 1), step(name, at(1.5), 0))
    delta.build("attribution.actions", "attribution.steps")
    (path,) = delta.lake.files("attribution.steps")
    rows = duckdb.sql(f"SELECT action_id, position FROM read_parquet('{path}')").fetchall()
    assert rows == [(name, position) for name in "abc" for position in (0, 1)]


def test_days_are_given_to_models_that_have_them(delta: DeltaLake) -> None:
    model = delta.models["attribution.actions"]
    options: dict[str, Any] = {"settings": delta.settings, "watermark": LATER}
    with pytest.raises(BuildError, match=r"made by the day; give a first and a last day"):
        build(delta.lake, model, start=None, stop=None, **options)
    with pytest.raises(BuildError, match=r"give a first and a last day, not 2026-01-06[.][.]2026-01-05"):
        build(delta.lake, model, start=DAY + ONE, stop=DAY, **options)
    with pytest.raises(BuildError, match="has no days; build it whole"):
        build(delta.lake, replace(model, partition=None), start=DAY, stop=DAY, **options)


def own_model(folder: Path, text: str) -> Model:
    (folder / "own").mkdir(exist_ok=True)
    (folder / "own" / "table.sql").write_text(text)
    (model,) = load_models(folder, INGESTED)
    return model


WHOLE = """-- Actions by type.
-- grain: action_type
-- partition: none
SELECT
    action_type, -- the type [not null]
    count(event_id) AS actions -- how many [..1]
FROM landed.actions_begun
GROUP BY action_type -- the last word is a comment
;
"""


def check(delta: DeltaLake, model: Model, day: date | None = DAY) -> dict[str, Finding]:
    found = evaluate_checks(delta.lake, model, start=day, stop=day, settings=delta.settings)
    assert tuple(finding.check for finding in found) == checks_of(model)
    return {finding.check.name: finding for finding in found}


def test_a_table_without_days_is_made_whole(delta: DeltaLake, tmp_path: Path) -> None:
    model = own_model(tmp_path, WHOLE)
    options: dict[str, Any] = {"start": None, "stop": None, "settings": delta.settings, "watermark": None}
    delta.land(begun("a", at(1)), begun("b", at(25)), begun("c", at(2), action_type="u"))
    built = build(delta.lake, model, **options)
    assert (built.rows, built.rows_per_day) == (2, {})
    assert by(delta.ask("FROM own.table"), "action_type")["t"]["actions"] == 2
    findings = check(delta, model, None)
    assert findings["grain_is_unique"].is_passed
    assert findings["action_type_is_not_null"].rows == 2
    broken = findings["actions_is_in_range"]
    assert (broken.is_passed, broken.offending) == (False, 1)
    assert broken.sample == ({"action_type": "t", "actions": 2},)


def test_changed_columns_make_the_table_anew(delta: DeltaLake, tmp_path: Path) -> None:
    options: dict[str, Any] = {"start": None, "stop": None, "settings": delta.settings, "watermark": None}
    delta.land(begun("a", at(1)))
    build(delta.lake, own_model(tmp_path, WHOLE), **options)
    build(
        delta.lake,
        own_model(tmp_path, WHOLE.replace("count(event_id)", "max(event_id)").replace(" [..1]", "")),
        **options,
    )
    assert delta.ask("FROM own.table") == [{"action_type": "t", "actions": "e000000"}]


BROKEN = """-- Rows that keep no promise.
-- grain: action_id
-- partition: day
-- window: 0..0
SELECT
    day, -- the day [not null]
    action_id, -- the action [not null]
    nullif(agent_id, 'none') AS agent_id, -- the agent [not null]
    CASE action_type WHEN 'nan' THEN CAST('nan' AS DOUBLE) WHEN 'low' THEN -0.1 WHEN 'high' THEN 1.1 END
        AS share -- a share [0..1]
FROM landed.actions_begun
WHERE day BETWEEN $start AND $stop
"""


def test_broken_promises_are_found_with_their_rows(delta: DeltaLake, tmp_path: Path) -> None:
    model = own_model(tmp_path, BROKEN)
    delta.land(
        *(begun("twice", at(1)) for _ in range(2)),
        *(begun(kind, at(2), action_type=kind) for kind in ("low", "high", "nan", "null")),
        begun("x", at(3), agent_id="none"),
        begun("x", at(25)),  # the same key on another day is no duplicate
        begun("y", at(25), agent_id="none"),
    )
    delta.built(model, stop=DAY + ONE)
    findings = check(delta, model)
    assert {name: finding.offending for name, finding in findings.items()} == {
        "grain_is_unique": 2,
        "day_is_not_null": 0,
        "action_id_is_not_null": 0,
        "agent_id_is_not_null": 1,
        "share_is_in_range": 3,
    }
    assert findings["grain_is_unique"].sample == ({"day": DAY, "action_id": "twice", "rows": 2},)
    assert findings["agent_id_is_not_null"].sample == ({"day": DAY, "action_id": "x", "agent_id": None},)
    assert {row["action_id"] for row in findings["share_is_in_range"].sample} == {"low", "high", "nan"}
    assert all(finding.rows == 7 for finding in findings.values())


def test_sql_that_fails_on_a_row_leaves_the_table_as_it_was(delta: DeltaLake, tmp_path: Path) -> None:
    model = own_model(
        tmp_path, BROKEN.replace("nullif(agent_id, 'none')", "CAST(CAST(agent_id AS INTEGER) AS VARCHAR)")
    )
    delta.land(begun("a", at(1), agent_id="7"))
    delta.built(model)
    delta.land(begun("b", at(2), agent_id="seven"))
    with pytest.raises(BuildError, match=r"own.table 2026-01-05..2026-01-05: .*seven(.|\n)*table.sql"):
        delta.built(model)
    assert [row["action_id"] for row in delta.ask("FROM own.table")] == ["a"]
    assert list((delta.settings.home / SPILL).iterdir()) == []
