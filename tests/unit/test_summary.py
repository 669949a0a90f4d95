"""The findings that the demo prints: asked of tables written by hand, and shown in 80 columns."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date

import duckdb
import pytest
from rich.console import Console

from oplake.summary import WIDTH, RedactionFinding, RejectFinding, TypeFinding, WorthFinding, find, show

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
            CREATE TABLE attribution.step_value (
                day DATE, action_type TEXT, component TEXT, value DOUBLE, value_low DOUBLE, value_high DOUBLE,
                is_seen_often BOOLEAN
            );
            CREATE TABLE attribution.estimate_floors (estimate TEXT, action_type TEXT, is_above_floor BOOLEAN);
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
) -> None:
    connection.execute(
        "INSERT INTO attribution.actions VALUES (?, ?, 'ana', ?, 'goal', ?, 60000, 2)",
        [DAY, action_id, action_type, status],
    )
    if score is not None:
        connection.execute("INSERT INTO attribution.success_scores VALUES (?, ?, ?)", [DAY, action_id, score])


def add_worth(
    connection: duckdb.DuckDBPyConnection,
    component: str,
    value: float,
    *,
    action_type: str = "bake",
    half_width: float = 0.1,
    is_seen_often: bool = True,
    day: date = DAY,
) -> None:
    connection.execute(
        "INSERT INTO attribution.step_value VALUES (?, ?, ?, ?, ?, ?, ?)",
        [day, action_type, component, value, value - half_width, value + half_width, is_seen_often],
    )


def add_floor(connection: duckdb.DuckDBPyConnection, estimate: str, action_type: str, *, is_above: bool) -> None:
    connection.execute("INSERT INTO attribution.estimate_floors VALUES (?, ?, ?)", [estimate, action_type, is_above])


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


def test_only_what_may_be_cited_is_told_of_what_steps_are_worth(connection: duckdb.DuckDBPyConnection) -> None:
    """Forbids credit, which no floor was ever passed by, and values that chance could have made."""
    add_action(connection, "a", 1.0)
    add_floor(connection, "step_value", "bake", is_above=True)
    add_floor(connection, "step_value", "sell", is_above=False)
    add_floor(connection, "contrast", "sell", is_above=True)
    add_worth(connection, "ana > taste", 0.5)
    add_worth(connection, "- > knead", 0.4)
    add_worth(connection, "- > hurry", -0.3)
    add_worth(connection, "- > sing", 0.9, half_width=1)
    add_worth(connection, "- > pray", 0.9, is_seen_often=False)
    add_worth(connection, "- > rest", 0.9, day=date(2026, 1, 4))
    add_worth(connection, "- > flatter", 0.9, action_type="sell")
    taste, hurry = WorthFinding("bake", "ana > taste", 0.5, 0.4, 0.6), WorthFinding("bake", "hurry", -0.3, -0.4, -0.2)
    found = find(connection).worths
    assert [each[:2] for each in found] == [taste[:2], hurry[:2]]
    assert [each[2:] for each in found] == [pytest.approx(each[2:]) for each in (taste, hurry)]
    text = printed(connection)
    assert "+0.50" in text
    assert "-0.40 to -0.20" in text


def test_it_is_said_where_no_step_is_above_its_floor(connection: duckdb.DuckDBPyConnection) -> None:
    add_action(connection, "a", 1.0)
    add_worth(connection, "- > taste", 0.5)
    add_floor(connection, "step_value", "bake", is_above=False)
    assert find(connection).worths == ()
    assert "Of no step it is shown" in printed(connection)


def test_a_few_of_the_best_and_of_the_worst_are_told(connection: duckdb.DuckDBPyConnection) -> None:
    for number in range(9):
        add_floor(connection, "step_value", f"type {number}", is_above=True)
        for sign in (1, -1):
            add_worth(connection, f"- > {sign}", sign * (0.3 + number / 20), action_type=f"type {number}")
    kinds = [each.action_type for each in find(connection).worths]
    assert kinds == ["type 8", "type 7", "type 6", "type 5", "type 5", "type 6", "type 7", "type 8"]


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
        )
    add_floor(connection, "step_value", "a_type_with_a_name_that_never_seems_to_end", is_above=True)
    add_worth(
        connection,
        "an_actor_with_a_long_name > a_decision_with_a_name_that_never_seems_to_end_either",
        0.5,
        action_type="a_type_with_a_name_that_never_seems_to_end",
    )
    connection.execute(
        "INSERT INTO landed.rejects VALUES ('2026-01-05', repeat('why ', 60), repeat('somewhere/', 20), 123456)"
    )
    connection.execute(
        "INSERT INTO lake.redactions SELECT DATE '2026-01-05', 'op', 'rule ' || i, 1000 FROM range(20) t(i)"
    )
    lines = printed(connection, width).splitlines()
    assert max(len(line.rstrip()) for line in lines if "secrets were replaced" not in line) <= WIDTH
    assert any("+0.50   +0.40 to +0.60" in line for line in lines)
    assert any("1.00" in line for line in lines)
