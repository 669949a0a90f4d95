"""How a user's work stands, measured: what their sessions did on a day and in the week before, and where that leads.

The trajectory is a comparison of success rates of tool calls. It is `improving` or `declining` where the 95 % interval
of the difference between the day and the week before leaves out 0 (Newcombe 1998, method 10, from two intervals of
Wilson), `volatile` where the rates of the days differ far more than chance makes them differ, and else `stable`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal, TypeAlias

from oplake.learning.intervals import score_interval
from oplake.synthesis.facts import Facts

Trajectory: TypeAlias = Literal["improving", "stable", "declining", "volatile"]

VOLATILE = 3.0  # chi-square over its degrees of freedom; chance alone gives about 1
FEWEST = 5  # tool calls of a day for its rate to say something of how days differ
FEWEST_DAYS = 4

DAYS_BEFORE = 7

READS: Mapping[str, tuple[int, int] | None] = {"sessions.session_days": (-DAYS_BEFORE, 0)}

_STANDING = """
SELECT
    user_id,
    day,
    CAST(sum(turn_count) AS BIGINT) AS turns,
    count(*) AS sessions,
    CAST(sum(tool_call_count) AS BIGINT) AS calls,
    CAST(sum(tool_failure_count) AS BIGINT) AS failures,
    CAST(sum(cost_usd) AS DOUBLE) AS cost_usd
FROM sessions.session_days
WHERE user_id IS NOT NULL
GROUP BY user_id, day
ORDER BY user_id, day
"""


def standings(facts: Facts, day: date) -> dict[str, dict[str, Any]]:
    """What each user's sessions did on a day, and in the seven days before where there were any."""
    days: dict[str, list[dict[str, Any]]] = {}
    for row in facts.rows(_STANDING):
        days.setdefault(row["user_id"], []).append(row)
    return {user: _standing(rows, day) for user, rows in days.items()}


def _standing(rows: Sequence[Mapping[str, Any]], day: date) -> dict[str, Any]:
    today = [row for row in rows if row["day"] == day]
    before = [row for row in rows if row["day"] < day]

    def total(some: Sequence[Mapping[str, Any]], name: str) -> Any:
        return sum(row[name] or 0 for row in some)

    counts = ("sessions", "turns", "calls", "failures")
    return {
        **{name: total(today, name) for name in counts},
        "cost_usd": round(total(today, "cost_usd"), 4),
        **{f"{name}_week_before": total(before, name) for name in counts},
        "active_days_week_before": len(before),
        "days_compared": DAYS_BEFORE,
        "trajectory": trajectory([(row["calls"] - row["failures"], row["calls"]) for row in before],
                                 (total(today, "calls") - total(today, "failures"), total(today, "calls"))),
    }  # fmt: skip


def trajectory(before: Sequence[tuple[int, int]], now: tuple[int, int]) -> Trajectory:
    """Where a success rate is going.

    Args:
        before: Successes and trials of each earlier day.
        now: Successes and trials of this one.
    """
    successes, trials = sum(each for each, _ in before), sum(each for _, each in before)
    days = [(won, n) for won, n in [*before, now] if n >= FEWEST]
    if len(days) >= FEWEST_DAYS and _dispersion(days) > VOLATILE:
        return "volatile"
    if not trials or not now[1]:
        return "stable"
    low, high = _difference(now, (successes, trials))
    return "improving" if low > 0 else "declining" if high < 0 else "stable"


def _dispersion(days: Sequence[tuple[int, int]]) -> float:
    """Chi-square of equal rates, per degree of freedom; 0 where all succeeded or all failed."""
    rate = sum(won for won, _ in days) / sum(n for _, n in days)
    if rate in (0, 1):
        return 0.0
    return sum((won - n * rate) ** 2 / (n * rate * (1 - rate)) for won, n in days) / (len(days) - 1)


def _difference(one: tuple[int, int], other: tuple[int, int]) -> tuple[float, float]:
    """The 95 % interval of the difference of two shares, each given as successes and trials."""
    p, q = score_interval(*one), score_interval(*other)
    apart = p.value - q.value
    return (
        apart - math.hypot(p.value - p.low, q.high - q.value),
        apart + math.hypot(p.high - p.value, q.value - q.low),
    )
