"""Which tools and files are trouble, whether agents know what they know, and what they did on their own."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from math import sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import DAY, TinyLake, at, begun, by, completed, compute, patch, session_event, step, tool_call

from oplake.models.model import Models

pytestmark = pytest.mark.slow

ONE = timedelta(days=1)
fractions = st.integers(0, 1_000_000).map(lambda millionths: millionths / 1_000_000)
WEEK = timedelta(days=6)


# Tools ----------------------------------------------------------------------------------------------------------------


def test_a_tool_is_judged_by_its_week(tiny: TinyLake) -> None:
    """A window of eight days, or of the calendar's week, would count the first call or lose the second."""
    for day, duration in ((-7, 900.0), (-6, 100.0), (-3, 200.0), (0, 300.0)):
        tiny.land(tool_call("s", at(24 * day + 9), duration_ms=duration))
    tiny.land(tool_call(f"s-{DAY}", at(10), ok=False, error="gone after 3 s", duration_ms=400.0))
    tiny.land(tool_call("s", at(-50), tool_name="other", ok=False, error="gone after 7 s"))
    tiny.build("sessions.tool_calls", "operations.messages", "operations.failures", start=DAY - 7 * ONE, stop=DAY)
    tiny.build("sessions.tool_reliability")
    rows = by(tiny.ask("FROM sessions.tool_reliability"), "tool_name")
    lookup = rows["lookup"]
    assert (lookup["tool_call_count"], lookup["tool_failure_count"], lookup["session_count"]) == (4, 1, 2)
    assert (lookup["p50_duration_ms"], lookup["p95_duration_ms"]) == (250, pytest.approx(385))
    assert lookup["failure_rate_low"] == pytest.approx(0.0456, abs=1e-4)
    assert lookup["failure_rate_high"] == pytest.approx(0.6994, abs=1e-4)
    assert (lookup["most_common_template"], lookup["most_common_template_count"]) == ("gone after <*> s", 1)
    assert rows["other"]["failure_rate"] == 1


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["x", "y"])), min_size=1, max_size=30))
def test_the_interval_and_the_template_are_those_of_the_reference(
    models: Models, calls: list[tuple[bool, str]]
) -> None:
    rows = [
        {"day": DAY, "event_id": str(n), "session_id": "s", "tool_name": "t", "ok": ok, "duration_ms": 1.0}
        for n, (ok, _) in enumerate(calls)
    ]
    failures = [
        {"day": DAY, "event_id": str(n), "kind": "tool_call", "template": template}
        for n, (ok, template) in enumerate(calls)
        if not ok
    ]
    (got,) = compute(
        models["sessions.tool_reliability"], {"sessions.tool_calls": rows, "operations.failures": failures}
    )
    n, share, z = len(calls), len(failures) / len(calls), 1.959963984540054
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    margin = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert got["failure_rate"] == pytest.approx(share)
    assert got["failure_rate_low"] == pytest.approx(max(centre - margin, 0), abs=1e-12)
    assert got["failure_rate_high"] == pytest.approx(min(centre + margin, 1))
    told = [failure["template"] for failure in failures]
    assert got["most_common_template"] == max(sorted(set(told)), key=told.count, default=None)


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "day": st.integers(-7, 0),
                "path": st.sampled_from(["a", "b"]),
                "new_failures": st.sampled_from([[], ["t"], ["t", "u"]]),
                "coverage_drop": st.sampled_from([None, -1.0, 0.0, 0.5]),
                "risk_tier": st.sampled_from([None, "low", "high", "Critical"]),
            }
        ),
        max_size=12,
    )
)
def test_harm_and_what_was_foreseen_of_it(models: Models, patches: list[dict[str, Any]]) -> None:
    rows = [
        {**each, "day": DAY + each["day"] * ONE, "ts": at(24 * each["day"], seconds=n), "event_id": f"{n:02}"}
        | {"ts_suspect": False, "session_id": "s", "quality_issues": [], "rollback_recommended": False}
        for n, each in enumerate(patches)
    ]
    got = by(compute(models["sessions.file_hotspots"], {"landed.patches": rows}), "path")
    is_worked_on = any(row["day"] == DAY for row in rows)
    for path in ("a", "b"):
        own = [row for row in rows if row["path"] == path and row["day"] >= DAY - WEEK]
        own.sort(key=lambda row: row["ts"])
        assert (path in got) == (is_worked_on and bool(own))
        if path not in got:
            continue
        harmed = [bool(row["new_failures"]) or (row["coverage_drop"] or 0) > 0 for row in own]
        risky = [(row["risk_tier"] or "").lower() in ("high", "critical") for row in own]
        assert got[path]["patch_count"] == len(own)
        assert got[path]["harmful_patch_count"] == sum(harmed)
        assert got[path]["has_harm_in_a_row"] == any(map(all, pairwise(harmed)))
        assert got[path]["unforeseen_harm_count"] == sum(h and not r for h, r in zip(harmed, risky, strict=True))
        assert got[path]["false_alarm_count"] == sum(r and not h for h, r in zip(harmed, risky, strict=True))
        assert got[path]["coverage_drop"] == sum(max(row["coverage_drop"] or 0, 0) for row in own)


@pytest.mark.parametrize(
    ("path", "is_sensitive"),
    [
        ("src/Auth/login.py", True),
        ("lib/sessions.ts", True),
        ("db/QueryBuilder.java", True),
        ("migrations/0001.SQL", True),
        ("src/tokenizer.py", True),
        ("docs/readme.md", False),
        ("src/cart.py", False),
    ],
)
def test_paths_that_tell_of_security(tiny: TinyLake, path: str, is_sensitive: bool) -> None:
    tiny.land(patch("s", at(1), path=path))
    tiny.build("sessions.file_hotspots")
    (row,) = tiny.ask("FROM sessions.file_hotspots")
    assert row["is_security_sensitive"] == is_sensitive


# Confidence -----------------------------------------------------------------------------------------------------------


def test_steps_are_held_against_the_outcome_of_their_action(tiny: TinyLake) -> None:
    """The neutral score of an action without expectations is no outcome: it would make every agent look unsure."""
    tiny.land(
        begun("good", at(1), expected_outcome={"x": 1}),
        step("good", at(1.1), 0, confidence=0.9),
        completed("good", at(1.2), {"x": 1}),
        begun("bad", at(2), expected_outcome={"x": 1}),
        step("bad", at(2.1), 0, confidence=0.92),
        step("bad", at(2.2), 1, confidence=0.3),
        completed("bad", at(2.3), {"x": 7}),
        begun("neutral", at(3)),
        step("neutral", at(3.1), 0, confidence=1.0),
        completed("neutral", at(3.2)),
    )
    tiny.build()
    rows = by(tiny.ask("FROM sessions.confidence_calibration"), "bin")
    assert set(rows) == {3, 9}
    assert (rows[9]["statement_count"], rows[9]["mean_outcome"]) == (2, 0.5)
    assert rows[9]["mean_confidence"] == pytest.approx(0.91)
    assert rows[3]["overconfidence"] == pytest.approx(0.3)
    for row in rows.values():
        assert row["brier_score"] == pytest.approx((0.1**2 + 0.92**2 + 0.3**2) / 3)
        assert row["expected_calibration_error"] == pytest.approx((2 * 0.41 + 0.3) / 3)


def test_sessions_are_held_against_how_they_ended(tiny: TinyLake) -> None:
    for name, score, ending in (
        ("hundred", 80, "done"),
        ("fraction", 0.75, "error"),
        ("one of a hundred", 1, "error"),
        ("all of it", 1.0, "done"),
        ("escalated", 70, "escalation"),
        ("silent", 90, "artifact"),
        ("beyond", 101, "done"),
        ("words", "high", "done"),
    ):
        tiny.land(
            session_event(name, at(23), "confidence", detail={"score": score}), session_event(name, at(25), ending)
        )
    tiny.build(stop=DAY + ONE)
    told = tiny.ask("SELECT day, bin, statement_count, mean_outcome FROM sessions.confidence_calibration ORDER BY ALL")
    ended_on = DAY + ONE  # on the day of the statements none of them had
    assert [tuple(row.values()) for row in told] == [
        (ended_on, 0, 1, 0.0),
        (ended_on, 7, 2, 0.0),
        (ended_on, 8, 1, 1.0),
        (ended_on, 9, 1, 1.0),
    ]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(fractions, fractions), min_size=1, max_size=30))
def test_calibration_is_that_of_the_reference(models: Models, statements: list[tuple[float, float]]) -> None:
    """And the same in whichever order rows are met, to the last bit: a rebuild must leave the same rows."""
    steps = [{"day": DAY, "action_id": str(n), "confidence": stated} for n, (stated, _) in enumerate(statements)]
    scores = [
        {"day": DAY, "action_id": str(n), "success_score": came, "expected_count": 1, "is_error": False}
        for n, (_, came) in enumerate(statements)
    ]
    got = compute(
        models["sessions.confidence_calibration"],
        {"attribution.steps": steps, "attribution.success_scores": scores},
    )
    turned_round = compute(
        models["sessions.confidence_calibration"],
        {"attribution.steps": steps[::-1], "attribution.success_scores": scores[::-1]},
    )
    assert by(turned_round, "bin") == by(got, "bin")
    bins: dict[int, list[tuple[float, float]]] = {}
    for stated, came in statements:
        bins.setdefault(min(int(stated * 10), 9), []).append((stated, came))
    gap = {
        number: sum(stated for stated, _ in some) / len(some) - sum(came for _, came in some) / len(some)
        for number, some in bins.items()
    }
    assert {row["bin"]: row["overconfidence"] for row in got} == pytest.approx(gap, abs=1e-9)
    brier = sum((stated - came) ** 2 for stated, came in statements) / len(statements)
    error = sum(abs(gap[number]) * len(some) for number, some in bins.items()) / len(statements)
    for row in got:
        assert row["brier_score"] == pytest.approx(brier, abs=1e-9)
        assert row["expected_calibration_error"] == pytest.approx(error, abs=1e-9)


# Autonomy -------------------------------------------------------------------------------------------------------------


def test_what_was_done_on_its_own_and_where_one_could_go_back_to(tiny: TinyLake) -> None:
    tiny.land(
        session_event("s", at(-1), "checkpoint", detail={"checkpoint_id": "c-1"}),
        patch("s", at(1), autonomy_level=3, path="first.py", risk_tier="low"),
        session_event("s", at(2), "checkpoint", event_id="bare"),
        session_event("other", at(2.5), "checkpoint", detail={"checkpoint_id": "not ours"}),
        patch("s", at(3), autonomy_level=4, path="second.py", tool_name="files.edit", is_blocked=True),
        patch("s", at(4), autonomy_level=2, path="third.py"),
        patch("s", at(4), path="fourth.py"),
        session_event("s", at(5), "audit", detail={"level": 4, "action": "deploy", "details": {"to": "live"}})
        | {"content": "Deployed"},
        session_event("s", at(6), "audit", content="Dropped", detail={"level": "3", "checkpoint_id": "c-0"}),
        session_event("s", at(7), "audit", detail={"level": 2, "action": "look"}),
        session_event("alone", at(8), "audit", detail={"level": 5, "action": "leap"}),
        session_event("s", at(9), "audit", detail={"level": "L3", "action": "move", "checkpoint_id": ""}),
    )
    tiny.build("sessions.autonomy_audit")
    rows = tiny.ask("FROM sessions.autonomy_audit ORDER BY happened_at")
    assert [(row["autonomy_level"], row["action"], row["path"], row["checkpoint_id"]) for row in rows] == [
        (3, "patch", "first.py", "c-1"),  # of the day before
        (4, "files.edit", "second.py", "bare"),
        (4, "deploy", None, "bare"),
        (3, "Dropped", None, "c-0"),
        (5, "leap", None, None),
        (3, "move", None, "bare"),
    ]
    assert [row["is_checkpoint_stated"] for row in rows] == [False, False, False, True, False, False]
    assert rows[2]["details"] == '{"to":"live"}'
    assert [row["is_blocked"] for row in rows[:3]] == [None, True, None]
