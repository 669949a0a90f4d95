"""Sessions and what they cost: one session reckoned by hand, and streaks, sums and budgets against slow references."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import DAY, TinyLake, at, compute, session_event, tool_call, turn

from oplake.events import INT_MAX
from oplake.models.model import Models

pytestmark = pytest.mark.slow

ONE = timedelta(days=1)


@pytest.fixture
def by_hand(tiny: TinyLake) -> TinyLake:
    """A session of two days. A million tokens of swift cost 2.00 US dollars, 0.20 from the cache, 2.50 to the cache and
    10.00 of output; those of deep 10.00, and 40.00 of output (OWN_PRICES)."""
    ann = {"user_id": "ann", "agent_id": "clerk", "project_id": "shop"}
    deep = {"model": "deep", "tier": "reasoning", **ann}
    tiny.land(
        # 1: (12,000 - 8,000 - 1,000) * 2.00 + 8,000 * 0.20 + 1,000 * 2.50 + 600 * 10.00
        #    = 6,000 + 1,600 + 2,500 + 6,000 = 16,100 millionths
        turn("s", at(23.0), 0, **ann, input_tokens=12_000, cache_read_tokens=8_000, cache_write_tokens=1_000)
        | {"output_tokens": 600, "tier": "pro", "duration_ms": 1_500.0},
        tool_call("s", at(23.1), 0, duration_ms=200.0),
        tool_call("s", at(23.2), 0, call_index=1, ok=False, error="no route", duration_ms=300.0, charged_usd=0.0042),
        session_event("s", at(23.25), "error"),
        # 2: reasoning is priced as output: 3,000 * 10.00 + 900 * 40.00 = 30,000 + 36,000 = 66,000 millionths
        turn(
            "s", at(23.5), 1, **deep, input_tokens=3_000, output_tokens=900, reasoning_tokens=700, duration_ms=4_000.0
        ),
        # 3: as charged, 0.05, though 1,000 * 10.00 = 10,000 millionths were computed
        turn("s", at(23.75), 2, **deep, input_tokens=1_000, charged_usd=0.05, duration_ms=500.0),
        # --- midnight ---
        session_event("s", at(24.1), "restored"),
        session_event("s", at(24.2), "fallback"),
        # 4: nobody has prices of this model
        turn("s", at(24.25), 3, model="homemade", tier="reasoning", user_id="ann", input_tokens=50, output_tokens=5),
        tool_call("s", at(24.3), 3, charged_usd=0.0008, project_id="lab", duration_ms=100.0),
        session_event("s", at(24.4), "compressed"),
        session_event("s", at(24.5), "done"),
    )
    tiny.budgets = {"user": Decimal("0.1"), "user:bob": Decimal(9), "project:shop": Decimal(1), "total": Decimal("0.5")}
    tiny.build(stop=DAY + ONE)
    return tiny


def test_the_days_of_the_session(by_hand: TinyLake) -> None:
    first, second = by_hand.ask("FROM sessions.session_days ORDER BY day")
    # turns 16,100 + 66,000 + 50,000 = 132,100 millionths; tools 4,200
    assert first["cost_usd"] == Decimal("0.1363")
    assert (first["turn_count"], first["uncosted_turn_count"]) == (3, 0)
    assert (first["tool_call_count"], first["tool_failure_count"]) == (2, 1)
    assert (first["input_tokens"], first["output_tokens"], first["reasoning_tokens"]) == (16_000, 1_500, 700)
    assert (first["model_ms"], first["tool_ms"]) == (6_000, 500)
    assert [first[f"{which}_reasoning_streak"] for which in ("first", "longest", "last")] == [0, 2, 2]
    assert (first["ending"], first["ending_at"] < first["last_turn_at"]) == ("error", True)
    # only the tool's cost is known
    assert second["cost_usd"] == Decimal("0.0008")
    assert (second["turn_count"], second["uncosted_turn_count"]) == (1, 1)
    assert [second[f"{which}_reasoning_streak"] for which in ("first", "longest", "last")] == [1, 1, 1]


def test_the_session(by_hand: TinyLake) -> None:
    (session,) = by_hand.ask("FROM sessions.sessions")
    assert (session["first_day"], session["last_day"], session["day_count"]) == (DAY, DAY + ONE, 2)
    assert session["duration_ms"] == 1.5 * 3600 * 1000  # from 23:00 to 00:30
    assert session["cost_usd"] == Decimal("0.1371")  # 0.1363 + 0.0008
    assert session["longest_reasoning_streak"] == 3  # two before midnight, one after
    assert not session["has_long_reasoning_streak"]
    assert (session["error_count"], session["fallback_count"], session["compression_count"]) == (1, 1, 1)
    assert session["is_restored"]
    assert session["ending"] == "done"
    assert (session["user_id"], session["agent_id"], session["project_id"]) == ("ann", "clerk", "shop")


def test_the_costs_of_the_session(by_hand: TinyLake) -> None:
    rows = by_hand.ask("FROM sessions.cost_days ORDER BY day, model NULLS LAST, project_id")
    told = [(row["day"], row["project_id"], row["model"], row["cost_usd"], row["charged_usd"]) for row in rows]
    assert told == [
        (DAY, "shop", "deep", Decimal("0.116"), Decimal("0.05")),  # 66,000 computed + 50,000 charged
        (DAY, "shop", "swift", Decimal("0.0161"), None),
        (DAY, "shop", None, Decimal("0.0042"), Decimal("0.0042")),  # the tool pays for the project of its turn
        (DAY + ONE, None, "homemade", None, None),
        (DAY + ONE, "lab", None, Decimal("0.0008"), Decimal("0.0008")),  # but for its own where it says so
    ]
    # 0.1363 of ann's 0.10, of the shop's 1.00 and of all's 0.50; the lab has no limit
    assert [rows[0][f"{whose}_budget_share"] for whose in ("user", "project", "total")] == pytest.approx(
        [1.363, 0.1363, 0.2726]
    )
    assert rows[4]["project_budget_share"] is None
    assert rows[3]["user_budget_share"] == pytest.approx(0.008)  # what is known of the day: the tool


def test_the_breaches_of_the_session(by_hand: TinyLake) -> None:
    (breach,) = by_hand.ask("FROM sessions.budget_breaches")
    assert (breach["day"], breach["scope"], breach["name"]) == (DAY, "user", "ann")
    assert (breach["limit_usd"], breach["spent_usd"], breach["excess_usd"]) == (
        Decimal("0.1"),
        Decimal("0.1363"),
        Decimal("0.0363"),
    )


def test_costs_agree_with_turns_and_tools(by_hand: TinyLake) -> None:
    (row,) = by_hand.ask("""
        SELECT
            (SELECT sum(cost_usd) FROM sessions.cost_days) AS days,
            (SELECT sum(cost_usd) FROM sessions.session_days) AS sessions,
            (SELECT sum(cost_usd) FROM sessions.turns) + (SELECT sum(charged_usd) FROM sessions.tool_calls) AS parts
    """)
    assert row["days"] == row["sessions"] == row["parts"] == Decimal("0.1371")


def test_streaks_count_whichever_way_the_tier_is_written(tiny: TinyLake) -> None:
    tiny.land(*(turn("s", at(1 + n), n, tier=("Reasoning", "reasoning")[n % 2]) for n in range(6)))
    tiny.build()
    (row,) = tiny.ask("FROM sessions.sessions")
    assert (row["longest_reasoning_streak"], row["has_long_reasoning_streak"]) == (6, True)


def test_a_call_after_midnight_is_paid_by_whom_its_turn_served(tiny: TinyLake) -> None:
    """A day's turns alone would leave it to nobody, and hold the user's budget against less than was spent."""
    tiny.budgets = {"user": Decimal("0.01"), "project": Decimal("0.01")}
    tiny.land(
        turn("s", at(23.9), 3, user_id="ann", agent_id="a", project_id="shop", charged_usd=0.005),
        tool_call("s", at(24.1), 3, charged_usd=0.02),
        turn("s", at(24.2), 4, user_id="ann", agent_id="a", project_id="shop", charged_usd=0.005),
        tool_call("s", at(24.3), 4, charged_usd=0.04, project_id="lab"),
        tool_call("s", at(48.1), 3, charged_usd=0.08),  # two days later it is another one's, whoever that was
    )
    tiny.build(stop=DAY + 2 * ONE)
    told = tiny.ask(
        "SELECT day, user_id, agent_id, project_id, cost_usd FROM sessions.cost_days WHERE tool_call_count > 0"
    )
    assert sorted(map(tuple, (row.values() for row in told)), key=lambda row: row[-1]) == [
        (DAY + ONE, "ann", "a", "shop", Decimal("0.02")),
        (DAY + ONE, "ann", "a", "lab", Decimal("0.04")),
        (DAY + 2 * ONE, None, None, None, Decimal("0.08")),
    ]
    breaches = tiny.ask("SELECT day, name, spent_usd FROM sessions.budget_breaches WHERE scope = 'user'")
    assert breaches == [{"day": DAY + ONE, "name": "ann", "spent_usd": Decimal("0.065")}]


def test_absurd_counts_of_tokens_are_neither_nothing_nor_a_broken_promise(tiny: TinyLake) -> None:
    """Their sum is past what a column holds: as null it failed the check of the whole day, and a session had used 0."""
    tiny.land(*(turn("s", at(23 + n), n, input_tokens=INT_MAX, output_tokens=7) for n in range(3)))
    tiny.build(stop=DAY + ONE)
    for table in ("cost_days", "session_days", "sessions"):
        for row in tiny.ask(f"FROM sessions.{table}"):
            assert (row["input_tokens"], row["output_tokens"]) == (INT_MAX, 7 * row["turn_count"])


@pytest.mark.parametrize(
    ("happened", "ending"),
    [
        (["turn", "done"], "done"),
        (["turn", "done", "turn"], None),
        (["turn", "error", "turn", "done"], "done"),
        (["turn", "error", "escalation"], "escalation"),
        (["turn", "done", "warning"], "done"),
        (["turn"], None),
        (["error"], "error"),
        (["turn", "done", "midnight", "turn"], None),
        (["turn", "midnight", "done"], "done"),
        (["turn", "done", "midnight", "artifact"], "done"),
    ],
)
def test_how_a_session_ends(tiny: TinyLake, happened: list[str], ending: str | None) -> None:
    hours = 20.0
    for index, what in enumerate(happened):
        hours = 25.0 if what == "midnight" else hours + 0.1
        if what == "turn":
            tiny.land(turn("s", at(hours), index))
        elif what != "midnight":
            tiny.land(session_event("s", at(hours), what))
    tiny.build("sessions.turns", "sessions.session_days", "sessions.sessions", stop=DAY + ONE)
    (session,) = tiny.ask("FROM sessions.sessions")
    assert session["ending"] == ending


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["reasoning", "reasoning", "pro", None])), max_size=25))
def test_streaks_go_over_midnight(models: Models, turns: list[tuple[int, str | None]]) -> None:
    """The longest streak of each day is not enough: a naive maximum over the days fails here."""
    turns.sort(key=lambda each: each[0])
    rows = [
        {"day": DAY + day * ONE, "event_id": str(n), "session_id": "s", "turn_index": n, "tier": tier}
        | {"happened_at": at(24 * day + n / 100), "cost_usd": None, "duration_ms": 0.0}
        | dict.fromkeys(TOKENS, 0)
        for n, (day, tier) in enumerate(turns)
    ]
    days = compute(models["sessions.session_days"], {"sessions.turns": rows}, stop=DAY + 3 * ONE)
    got = compute(models["sessions.sessions"], {"sessions.session_days": days})
    runs = (len(list(run)) for tier, run in groupby(tier for _, tier in turns) if tier == "reasoning")
    expected = max(runs, default=0)
    assert [row["longest_reasoning_streak"] for row in got] == ([expected] if turns else [])
    assert [row["has_long_reasoning_streak"] for row in got] == ([expected > 5] if turns else [])


TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
usd = st.none() | st.decimals(0, 10_000, places=9)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["x", None]), usd), max_size=12),
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["x", "y", None]), usd), max_size=8),
    st.dictionaries(
        st.sampled_from(["total", "user", "user:a", "project", "project:x"]), st.decimals(0, 100, places=2), max_size=5
    ),
)
def test_costs_and_breaches_are_exact(
    models: Models, turns: list[Any], tools: list[Any], limits: dict[str, Decimal]
) -> None:
    """To the billionth, whatever the split: as doubles the sums of a day and of its parts drift apart."""
    turn_rows = [
        {"day": DAY, "event_id": str(n), "session_id": "s", "turn_index": n, "user_id": user, "project_id": project}
        | {"provider": "p", "model": "m", "cost_usd": cost}
        | dict.fromkeys(TOKENS, 0)
        for n, (user, project, cost) in enumerate(turns)
    ]
    tool_rows = [
        {"day": DAY, "event_id": str(n), "session_id": "s", "turn_index": index, "project_id": own, "charged_usd": cost}
        for n, (index, own, cost) in enumerate(tools)
    ]
    budgets = [
        {"scope": key.partition(":")[0], "name": key.partition(":")[2] or None, "limit_usd": limit}
        for key, limit in limits.items()
    ]
    costs = compute(
        models["sessions.cost_days"],
        {"sessions.turns": turn_rows, "sessions.tool_calls": tool_rows, "sessions.budgets": budgets},
    )
    makers = {index: (user, project) for index, (user, project, _) in enumerate(turns)}
    paid = [*turns]
    for index, own, cost in tools:
        user, project = makers.get(index, (None, None))
        paid.append((user, own or project, cost))
    spent: dict[tuple[str, str | None], Decimal] = {}
    for user, project, cost in paid:
        for scope, name in (("total", None), ("user", user), ("project", project)):
            if cost is not None and (scope == "total" or name is not None):
                spent[scope, name] = spent.get((scope, name), Decimal(0)) + cost
    assert sum(row["cost_usd"] or 0 for row in costs) == spent.get(("total", None), 0)

    breaches = compute(models["sessions.budget_breaches"], {"sessions.cost_days": costs, "sessions.budgets": budgets})
    expected = {}
    for (scope, name), total in spent.items():
        limit = limits.get(f"{scope}:{name}", limits.get(scope))
        if limit is not None and total > limit:
            expected[scope, name] = total - limit
    assert {(row["scope"], row["name"]): row["excess_usd"] for row in breaches} == expected
