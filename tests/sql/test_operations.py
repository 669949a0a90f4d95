"""What the tables of operations count, against slow references, and against the truth of a simulated workload."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from math import ceil, floor, sqrt
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import DAY, PROJECT_MODELS, TinyLake, at, by, compute

from oplake.events import ActionCompleted, Correction, Op, ToolCall
from oplake.simulate import START, Truth
from oplake.simulate.workload import Workload

pytestmark = pytest.mark.slow

ONE = timedelta(days=1)
WEEK = timedelta(days=7)
Row = Mapping[str, Any]
Tables = Mapping[str, Sequence[Row]]


def op(event_id: str, happened: datetime, *, success: bool = True, **fields: Any) -> dict[str, Any]:
    """An operation as a row of landed.ops."""
    row = {"kind": "op", "event_id": event_id, "day": happened.date(), "ts": happened, "ts_suspect": False}
    row |= {"source": "mcp", "endpoint": "ask", "success": success, "duration_ms": 100.0}
    return row | {"rescue_attempted": False, "rescue_succeeded": False} | fields


def advice(event_id: str, happened: datetime, **fields: Any) -> dict[str, Any]:
    """A correction as a row of landed.corrections."""
    row = {"kind": "correction", "event_id": event_id, "day": happened.date(), "ts": happened, "ts_suspect": False}
    return row | {"model": "m", "task_class": "t", "reason": "", "correction": "Look.", "latency_ms": 1.0} | fields


def failure(event_id: str, happened: datetime, **fields: Any) -> dict[str, Any]:
    """A row of operations.failures."""
    row = {"event_id": event_id, "day": happened.date(), "ts": happened, "kind": "op", "name": "ask"}
    return row | {"template": "no <*>", "message": f"no {event_id}"} | fields


def day_by_day(table: str, tables: Tables, days: Iterable[date]) -> list[dict[str, Any]]:
    """A model's rows made one day at a time, each from no more than the days of its window."""
    model = PROJECT_MODELS[table]
    rows = []
    for day in days:
        seen = {
            name: [row for row in given if day + low * ONE <= row["day"] <= day + high * ONE]
            for name, given in tables.items()
            for low, high in [model.window_of(name)]
        }
        rows += compute(model, seen, start=day)
    return rows


def ordered(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["day"], *(str(value) for value in row.values())))


# --- rates, intervals and quantiles ----------------------------------------------------------------------------------

Z = 1.959963984540054


def wilson(successes: int, count: int) -> tuple[float, float]:
    """The rates that a score test does not reject: |successes/count - p| <= z sqrt(p (1 - p) / count), by bisection."""
    rate = successes / count

    def bound(outside: float) -> float:
        inside = rate
        for _ in range(100):
            p = (inside + outside) / 2
            if abs(rate - p) <= Z * sqrt(p * (1 - p) / count):
                inside = p
            else:
                outside = p
        return inside

    return bound(0.0), bound(1.0)


def quantile(values: Iterable[float], share: float) -> float:
    """The value at `share` of the way from the least to the greatest, between two of them in proportion."""
    of = sorted(values)
    place = (len(of) - 1) * share
    return of[floor(place)] + (of[ceil(place)] - of[floor(place)]) * (place - floor(place))


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_the_published_one(successes: int, count: int, low: float, high: float) -> None:
    """Newcombe (1998), Two-sided confidence intervals for the single proportion, table I, method 3."""
    ops = [op(str(number), at(1), success=number < successes) for number in range(count)]
    (row,) = compute(PROJECT_MODELS["operations.endpoint_days"], {"landed.ops": ops})
    assert (round(row["success_rate_low"], 4), round(row["success_rate_high"], 4)) == (low, high)
    assert wilson(successes, count) == pytest.approx((low, high), abs=5e-5)


OPS = st.lists(
    st.fixed_dictionaries(
        {
            "hours": st.sampled_from([1, 2, 25]),
            "endpoint": st.sampled_from(["ask", "fill"]),
            "source": st.sampled_from(["mcp", "scenario", "overseer_correction"]),
            "success": st.booleans(),
            "duration_ms": st.floats(0, 1e9),
            "rescue_attempted": st.booleans(),
            "rescue_succeeded": st.booleans(),
            "role": st.sampled_from([None, "", "usher", "server"]),
            "city": st.sampled_from([None, "Austin"]),
        }
    ),
    max_size=25,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(OPS)
def test_days_are_counted_like_the_reference(drawn: list[dict[str, Any]]) -> None:
    ops = [op(str(number), at(one["hours"]), **_without(one, "hours")) for number, one in enumerate(drawn)]
    judged = [one for one in ops if one["source"] != "overseer_correction"]
    expected: dict[tuple[Any, ...], dict[str, Any]] = {}
    dimensions = ("endpoint", "source", "role", "city", "state", "staffer_id", "event_kind", "task_class")
    for (day, endpoint, source), its in grouped(judged, "day", "endpoint", "source").items():
        expected[day, endpoint, source] = measures(its)
    by_value = {
        (day, dimension, value): measures(its)
        for dimension in dimensions
        for (day, value), its in grouped([one for one in judged if one.get(dimension)], "day", dimension).items()
    }
    for table, key, reference in (
        ("operations.endpoint_days", ("day", "endpoint", "source"), expected),
        ("operations.dimension_days", ("day", "dimension", "value"), by_value),
    ):
        rows = compute(PROJECT_MODELS[table], {"landed.ops": ops}, stop=DAY + ONE)
        found = {tuple(row[name] for name in key): _without(row, *key) for row in rows}
        assert found.keys() == reference.keys()
        for place, row in found.items():
            assert row == pytest.approx(reference[place], rel=1e-9, abs=1e-9), place


def _without(row: Row, *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def grouped(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by some of their columns."""
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[name] for name in names)].append(row)
    return found


def measures(ops: Sequence[Row]) -> dict[str, Any]:
    """What is told of a group of operations."""
    successes = sum(one["success"] for one in ops)
    low, high = wilson(successes, len(ops))
    attempted = [one for one in ops if one["rescue_attempted"]]
    return {
        "op_count": len(ops),
        "success_count": successes,
        "success_rate": successes / len(ops),
        "success_rate_low": low,
        "success_rate_high": high,
        "p50_duration_ms": quantile((one["duration_ms"] for one in ops), 0.50),
        "p95_duration_ms": quantile((one["duration_ms"] for one in ops), 0.95),
        "p99_duration_ms": quantile((one["duration_ms"] for one in ops), 0.99),
        "rescue_attempted_count": len(attempted),
        "rescue_succeeded_count": sum(one["rescue_succeeded"] for one in attempted),
    }


# --- error patterns --------------------------------------------------------------------------------------------------

FAILURES = st.lists(
    st.fixed_dictionaries(
        {
            "days": st.integers(-9, 2),
            "hours": st.sampled_from([0, 1, 1, 23]),
            "kind": st.sampled_from(["op", "tool_call"]),
            "name": st.sampled_from(["ask", "fill"]),
            "template": st.sampled_from(["no <*>", "late"]),
        }
    ),
    max_size=15,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(FAILURES, st.sets(st.integers(-9, 2)), st.randoms(use_true_random=False))
def test_patterns_are_counted_like_the_reference_whatever_the_order(
    drawn: list[dict[str, Any]], quiet: set[int], random: Any
) -> None:
    """`quiet` are days with operations that all went well: they count in the mean, days without any do not."""
    failures = [
        failure(f"f{number:02d}", at(24 * one["days"] + one["hours"]), **_without(one, "days", "hours"))
        for number, one in enumerate(drawn)
    ]
    worked = {("op", DAY + number * ONE) for number in quiet} | {(one["kind"], one["day"]) for one in failures}
    tables: dict[str, list[dict[str, Any]]] = {
        "operations.failures": failures,
        "landed.ops": [op(str(day), datetime.combine(day, at(1).timetz())) for kind, day in worked if kind == "op"],
        "sessions.tool_calls": [{"day": day} for kind, day in worked if kind == "tool_call"],
    }
    days = [DAY + number * ONE for number in range(3)]
    rows = compute(PROJECT_MODELS["operations.error_patterns"], tables, stop=days[-1])
    assert ordered(rows) == ordered(patterns(failures, worked, days))
    for given_rows in tables.values():
        random.shuffle(given_rows)
    again = compute(PROJECT_MODELS["operations.error_patterns"], tables, stop=days[-1])
    assert ordered(again) == ordered(rows)
    assert ordered(day_by_day("operations.error_patterns", tables, days)) == ordered(rows)


def patterns(failures: Sequence[Row], worked: set[tuple[str, date]], days: Sequence[date]) -> list[Row]:
    """The reference: each day, kind and template on its own."""
    rows = []
    for (day, kind, template), today in grouped(failures, "day", "kind", "template").items():
        if day not in days:
            continue
        week = [day - number * ONE for number in range(1, 8)]
        before = [one for one in failures if one["day"] in week and one["kind"] == kind and one["template"] == template]
        worked_days = sum((kind, earlier) in worked for earlier in week)
        newest = sorted(today, key=lambda one: (one["ts"], one["event_id"]))[-3:]
        rows.append(
            {
                "day": day,
                "kind": kind,
                "template": template,
                "failure_count": len(today),
                "endpoints": sorted({one["name"] for one in today}),
                "first_seen_at": min(one["ts"] for one in [*before, *today]),
                "last_seen_at": max(one["ts"] for one in today),
                "week_before_count": len(before),
                "trend": len(today) / (len(before) / worked_days) if before else None,
                "is_new": worked_days > 0 and not before,
                "sample_event_ids": sorted(one["event_id"] for one in newest),
                "sample_message": newest[-1]["message"],
            }
        )
    return rows


def test_a_failure_of_an_unknown_kind_of_trouble_is_new(tiny: TinyLake) -> None:
    """On the first day of all nothing is new: there is nothing to hold it against."""
    tiny.land(op("1", at(1), success=False, error="no 1"), op("2", at(25), success=False, error="late"))
    tiny.build(
        "sessions.tool_calls",
        "operations.messages",
        "operations.failures",
        "operations.error_patterns",
        stop=DAY + ONE,
    )
    assert [(row["template"], row["is_new"]) for row in tiny.ask("FROM operations.error_patterns ORDER BY day")] == [
        ("no <*>", False),
        ("late", True),
    ]


# --- corrections -----------------------------------------------------------------------------------------------------

HOURS = st.integers(-10, 10).map(lambda days: 24 * days) | st.integers(-260, 260)
"""Times in hours from the midnight of DAY: whole days meet the edges of the seven days."""
SIGNATURES = st.sampled_from([None, "", "s1", "s2"])
CLASSES = st.sampled_from(["t", "u"])


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(HOURS, SIGNATURES, CLASSES | st.none(), st.booleans(), st.booleans()), max_size=20),
    st.lists(st.tuples(HOURS, SIGNATURES, CLASSES, st.integers(1, 2), st.booleans()), max_size=8),
)
def test_outcomes_of_corrections_are_those_of_the_reference(
    drawn_ops: list[tuple[int, str | None, str | None, bool, bool]],
    drawn_corrections: list[tuple[int, str | None, str, int, bool]],
) -> None:
    ops = [
        op(f"o{number}", at(hours), success=success, sig_hash=signature, task_class=task_class)
        | ({"source": "overseer_correction"} if is_advice else {})
        for number, (hours, signature, task_class, success, is_advice) in enumerate(drawn_ops)
    ]
    corrections = [
        advice(
            f"z{number}",  # sorts behind operations: of the same instant, they still come after it
            at(hours),
            sig_hash=signature,
            task_class=task_class,
            correction=f"Ask {words} times." if is_precise else "Ask again.",
        )
        for number, (hours, signature, task_class, words, is_precise) in enumerate(drawn_corrections)
    ]
    tables: dict[str, Any] = {"landed.ops": ops, "landed.corrections": corrections}
    first, last = DAY - 20 * ONE, DAY + 20 * ONE
    tables["operations.messages"] = compute(PROJECT_MODELS["operations.messages"], tables, start=first, stop=last)
    rows = compute(PROJECT_MODELS["operations.correction_outcomes"], tables, start=first, stop=last)
    found = by(rows, "event_id")
    assert found.keys() == {one["event_id"] for one in corrections}
    for one in corrections:
        expected = outcome(one, ops, corrections)
        assert {name: found[one["event_id"]][name] for name in expected} == expected
    days = sorted({one["day"] for one in corrections})
    assert ordered(day_by_day("operations.correction_outcomes", tables, days)) == ordered(rows)


def outcome(correction: Row, ops: Sequence[Row], corrections: Sequence[Row]) -> dict[str, Any]:
    """The reference: what came before one correction and after it, looked up one by one."""
    told = correction["ts"]
    judged = [one for one in ops if one["source"] != "overseer_correction"]
    before = [one for one in judged if told - WEEK <= one["ts"] < told]
    after = sorted((one for one in judged if told <= one["ts"] <= told + WEEK), key=lambda one: one["event_id"])
    signature = correction["sig_hash"] or None

    def of_signature(its: Sequence[Row]) -> list[Row]:
        return [one for one in its if one["sig_hash"] == signature]

    def of_class(its: Sequence[Row]) -> list[Row]:
        return [one for one in its if one["task_class"] == correction["task_class"]]

    next_ones = sorted(of_signature(after), key=lambda one: one["ts"])
    is_precise = correction["correction"] != "Ask again."
    equal = [
        one
        for one in of_class(corrections)
        if told - WEEK <= one["ts"] <= told and (one["correction"] != "Ask again.") == is_precise
    ]
    return {
        "day": correction["day"],
        "sig_hash": signature,
        "sig_failures_before": sum(not one["success"] for one in of_signature(before)) if signature else None,
        "sig_ops_after": len(of_signature(after)) if signature else None,
        "sig_successes_after": sum(one["success"] for one in of_signature(after)) if signature else None,
        "has_next_succeeded": next_ones[0]["success"] if signature and next_ones else None,
        "task_ops_before": len(of_class(before)),
        "task_failures_before": sum(not one["success"] for one in of_class(before)),
        "task_ops_after": len(of_class(after)),
        "task_successes_after": sum(one["success"] for one in of_class(after)),
        "template": "Ask <*> times." if is_precise else "Ask again.",
        "equal_corrections": len(equal),
        "is_repeated_advice": len(equal) >= 3,
    }


def test_the_op_that_a_correction_also_is_counts_nowhere(tiny: TinyLake) -> None:
    """It says success, and would lift the rates of whatever needs the most correcting."""
    told = {"task_class": "t", "sig_hash": "s"}
    tiny.land(
        op("bad", at(1), success=False, error="no", **told),
        advice("advice", at(2), **told) | {"sig_hash": "s"},
        op("advice-op", at(2), source="overseer_correction", endpoint="overseer:gpt-oss:120b", **told),
        op("good", at(3), **told),
    )
    tiny.build()
    assert [row["op_count"] for row in tiny.ask("FROM operations.endpoint_days")] == [2]
    assert {row["value"] for row in tiny.ask("FROM operations.dimension_days")} == {"ask", "mcp", "t"}
    assert [row["failure_count"] for row in tiny.ask("FROM operations.error_patterns")] == [1]
    (row,) = tiny.ask("FROM operations.correction_outcomes")
    assert (row["sig_ops_after"], row["task_ops_after"], row["has_next_succeeded"]) == (1, 1, True)


# --- a workload whose truth is known ---------------------------------------------------------------------------------

STOP = START + 2 * ONE


@pytest.fixture(scope="module")
def simulated() -> tuple[TinyLake, Truth]:
    """Three days of a simulated workload, computed, and their truth."""
    workload = Workload(days=3, seed=11, rate=120, start=START)
    kinds = (Op, ToolCall, Correction, ActionCompleted)
    sent = [one.content for one in workload.sent() if isinstance(one.content, kinds)]
    events = {one.event_id: msgspec.structs.asdict(one) | {"kind": one.__struct_config__.tag} for one in sent}
    tiny = TinyLake(PROJECT_MODELS)
    tiny.land(*events.values())
    operations = (model.name for model in PROJECT_MODELS if model.name.startswith("operations."))
    tiny.build("sessions.tool_calls", *operations, stop=STOP)
    return tiny, workload.truth()


@pytest.mark.slow
def test_a_template_has_one_cause_and_a_cause_one_template(simulated: tuple[TinyLake, Truth]) -> None:
    """But for errors that name what they struck: each pod that crashes is a trouble of its own."""
    tiny, truth = simulated
    shapes = {
        cause: re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(told.template)))
        for cause, told in truth.causes.items()
    }

    def cause_of(message: str) -> str:
        (cause,) = (cause for cause, shape in shapes.items() if shape.fullmatch(message))
        return cause

    causes: dict[str, set[str]] = defaultdict(set)
    errors = Counter[str]()
    for row in tiny.ask("SELECT template, message FROM operations.failures"):
        cause = cause_of(row["message"])
        causes[row["template"]].add(cause)
        errors[cause] += 1
    assert len(causes) > 15
    assert all(len(found) == 1 for found in causes.values())
    templates = Counter(cause for found in causes.values() for cause in found)
    names_a_thing = {cause for cause, told in truth.causes.items() if "{thing}" in told.template}
    assert {cause for cause, count in templates.items() if count > 1} <= names_a_thing

    outcomes = tiny.ask("SELECT json_extract_string(outcome, '$.error') AS error FROM landed.actions_completed")
    errors.update(cause_of(row["error"]) for row in outcomes if row["error"])
    assert errors == {cause: told.errors for cause, told in truth.causes.items() if told.errors}
    (counted,) = tiny.ask("SELECT sum(failure_count) AS errors FROM operations.error_patterns")
    assert counted["errors"] == sum(errors.values()) - sum(row["error"] is not None for row in outcomes)


@pytest.mark.slow
def test_each_advice_is_followed_by_what_truly_came(simulated: tuple[TinyLake, Truth]) -> None:
    tiny, truth = simulated
    rows = tiny.ask(
        """
        SELECT
            task_class, correction, count(has_next_succeeded) AS followed,
            count_if(has_next_succeeded) AS successes, min(sig_failures_before) AS failures
        FROM operations.correction_outcomes
        GROUP BY ALL
        """
    )
    assert {(row["task_class"], row["correction"]): (row["followed"], row["successes"]) for row in rows} == {
        (told.task_class, told.advice): (told.corrected, told.corrected_successes)
        for told in truth.advice
        if told.corrected
    }
    assert all(row["failures"] >= 1 for row in rows)  # advice follows a failure
