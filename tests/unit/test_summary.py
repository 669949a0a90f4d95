"""The findings that the demo prints: asked of tables written by hand, and shown in 80 columns."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date

import duckdb
import pytest
from rich.console import Console

from oplake.summary import WIDTH, RedactionFinding, RejectFinding, StepFinding, TypeFinding, find, show

DAY = date(2026, 1, 5)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A lake of five tables, with the columns that the summary asks for and no rows."""
    with duckdb.connect() as made:
        made.execute("""
            CREATE SCHEMA attribution;
            CREATE SCHEMA landed;
            CREATE SCHEMA lake;
            CREATE TABLE attribution.actions (
                day DATE, action_id TEXT, agent_id TEXT, action_type TEXT, goal_id TEXT, status TEXT,
                duration_ms BIGINT, step_count BIGINT
            );
            CREATE TABLE attribution.success_scores (day DATE, action_id TEXT, success_score DOUBLE);
            CREATE TABLE attribution.steps (day DATE, action_id TEXT, position BIGINT, decision TEXT);
            CREATE TABLE attribution.step_credits (day DATE, action_id TEXT, position BIGINT, credit DOUBLE);
            CREATE TABLE landed.rejects (ts TIMESTAMPTZ, reason TEXT, origin TEXT, line BIGINT);
            CREATE TABLE lake.redactions (day DATE, kind TEXT, rule TEXT, "count" BIGINT);
        """)
        yield made


def add_action(
    connection: duckdb.DuckDBPyConnection,
    action_id: str,
    score: float | None,
    *,
    action_type: str = "bake",
    status: str = "completed",
    credits: dict[str, float] | None = None,  # noqa: A002 - the word of the table
) -> None:
    steps = credits or {}
    connection.execute(
        "INSERT INTO attribution.actions VALUES (?, ?, 'ana', ?, 'goal', ?, 60000, ?)",
        [DAY, action_id, action_type, status, len(steps)],
    )
    if score is not None:
        connection.execute("INSERT INTO attribution.success_scores VALUES (?, ?, ?)", [DAY, action_id, score])
    for position, (decision, credit) in enumerate(steps.items()):
        connection.execute("INSERT INTO attribution.steps VALUES (?, ?, ?, ?)", [DAY, action_id, position, decision])
        connection.execute(
            "INSERT INTO attribution.step_credits VALUES (?, ?, ?, ?)", [DAY, action_id, position, credit]
        )


def printed(connection: duckdb.DuckDBPyConnection, width: int = WIDTH) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(show(find(connection)))
    return out.getvalue()


def test_an_empty_lake_says_what_to_do(connection: duckdb.DuckDBPyConnection) -> None:
    assert "oplake simulate" in printed(connection)


def test_types_are_compared_by_the_mean_score_of_closed_actions(connection: duckdb.DuckDBPyConnection) -> None:
    """Forbids counting an open action as a failure."""
    add_action(connection, "a", 1.0)
    add_action(connection, "b", 0.5)
    add_action(connection, "c", None, status="open")
    add_action(connection, "d", 0.2, action_type="sell", status="timeout")
    assert find(connection).types == (TypeFinding("bake", 3, 0.75, 0, 60.0), TypeFinding("sell", 1, 0.2, 1, None))


def test_credit_of_successes_and_of_failures_is_told_apart(connection: duckdb.DuckDBPyConnection) -> None:
    """Forbids one sum over all: the decision that is in every action would always lead."""
    for number in range(5):
        add_action(connection, f"good{number}", 1.0, credits={"knead": 0.25, "taste": 0.75})
        add_action(connection, f"bad{number}", 0.5, credits={"knead": 0.5, "hurry": 0.5})
    assert find(connection).earners == (StepFinding("bake", "taste", 0.75, "hurry", 0.5),)


def test_rejects_are_grouped_by_reason_with_the_place_of_the_first(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("""
        INSERT INTO landed.rejects VALUES
        ('2026-01-05T10:00Z', 'torn at 70', 'log', 7),
        ('2026-01-05T09:00Z', 'torn at 9', 'log', 3),
        ('2026-01-05', 'odd', 'x', 0)
    """)
    found = find(connection)
    assert found.rejects == (RejectFinding("torn at 9", 2, "log", 3), RejectFinding("odd", 1, "x", 0))
    assert found.rejected == 3


def test_redactions_are_counted_by_rule(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "INSERT INTO lake.redactions VALUES ('2026-01-05', 'step', 'token', 2), ('2026-01-06', 'op', 'token', 1)"
    )
    assert find(connection).redactions == (RedactionFinding("token", 3),)  # fmt: skip


@pytest.mark.parametrize("width", [WIDTH, 10_000])
def test_nothing_is_wider_than_eighty_columns(connection: duckdb.DuckDBPyConnection, width: int) -> None:
    """Long names and reasons are cut; the numbers beside them are not. A pipe has no width at all."""
    for number in range(6):
        add_action(
            connection,
            f"a{number}",
            1.0,
            action_type="a_type_with_a_name_that_never_seems_to_end",
            credits={"a_decision_with_a_name_that_never_seems_to_end_either": 1.0},
        )
    connection.execute(
        "INSERT INTO landed.rejects VALUES ('2026-01-05', repeat('why ', 60), repeat('somewhere/', 20), 123456)"
    )
    connection.execute(
        "INSERT INTO lake.redactions SELECT DATE '2026-01-05', 'op', 'rule ' || i, 1000 FROM range(20) t(i)"
    )
    lines = printed(connection, width).splitlines()
    assert max(len(line.rstrip()) for line in lines if "secrets were replaced" not in line) <= WIDTH
    assert any("1.00" in line for line in lines)
