"""What model calls cost, and the limits that stop them: the price list of `sessions.prices`, and what was spent.

Costs are worked out as in `sessions.turns`: as charged, else tokens at the prices of the day, exact decimals.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

import duckdb

from oplake.given.prices import PRICES
from oplake.lake.tables import Lake
from oplake.settings import Settings
from oplake.synthesis.errors import OverBudget, Unpriced
from oplake.synthesis.memory import Memory
from oplake.synthesis.run_state import RunState
from oplake.synthesis.wire import Tokens

PLACES = Decimal("1e-9")  # of a dollar, as in every table of costs
MILLION = 1_000_000

_RATES = """
WITH fitting AS (
    SELECT min(priority) AS priority
    FROM prices
    WHERE
        valid_from <= $day
        AND regexp_matches(lower($provider), provider_pattern)
        AND regexp_matches(lower($model), model_pattern)
)
SELECT token_type, usd_per_mtok
FROM prices
INNER JOIN fitting USING (priority)
WHERE
    valid_from <= $day AND ($day < valid_until OR valid_until IS NULL)
    AND from_input_tokens <= $tokens AND ($tokens < until_input_tokens OR until_input_tokens IS NULL)
"""


def total(costs: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of costs in US dollars; None where one of them is not known: it is not 0."""
    known = Decimal()
    for cost in costs:
        if cost is None:
            return None
        known += cost
    return known


class Prices:
    """The price list as it is now; empty where `sessions.prices` has not been made yet."""

    def __init__(self, lake: Lake, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._is_there = lake.exists(PRICES.name)
        if self._is_there:
            connection.execute(f"CREATE OR REPLACE TEMP TABLE prices AS {lake.relation_sql(PRICES.name)}")
        self._rates = cache(self._look_up)

    def cost(self, provider: str, model: str, day: date, tokens: Tokens) -> Decimal | None:
        """US dollars for tokens; None where a price is missing for some of them."""
        rates = self._rates(provider, model, day, tokens.input_tokens)
        if not rates:
            return None
        cached = tokens.cache_read_tokens + tokens.cache_write_tokens
        parts = [
            (max(0, tokens.input_tokens - cached), rates.get("input")),
            (tokens.cache_read_tokens, rates.get("cache_read", rates.get("input"))),
            (tokens.cache_write_tokens, rates.get("cache_write", rates.get("input"))),
            (max(0, tokens.output_tokens - tokens.reasoning_tokens), rates.get("output")),
            (tokens.reasoning_tokens, rates.get("reasoning", rates.get("output"))),
        ]
        if any(count and rate is None for count, rate in parts):
            return None
        total = sum((count * rate for count, rate in parts if rate is not None), Decimal())
        return (total / MILLION).quantize(PLACES, ROUND_HALF_UP)

    def _look_up(self, provider: str, model: str, day: date, input_tokens: int) -> dict[str, Decimal]:
        if not self._is_there:
            return {}
        asked = {"provider": provider, "model": model, "day": day, "tokens": input_tokens}
        return dict(self._connection.execute(_RATES, asked).fetchall())


class Budget:
    """The limits of one run, and of the day. Spent is what has landed, whether it was ingested or not."""

    def __init__(self, settings: Settings, memory: Memory, prices: Prices, run: RunState) -> None:
        self._run_limit, self._day_limit = settings.llm_run_usd, settings.llm_day_usd
        self._memory, self._prices, self._run = memory, prices, run

    def spent(self, day: date) -> Decimal:
        """US dollars of all calls of a day; those whose price is not known count nothing."""
        calls = self._memory.find("llm_call", since=day, cached=False)
        costs = (
            Decimal(str(call["charged_usd"]))
            if call["charged_usd"] is not None
            else self._prices.cost(
                call["provider"], call["model"], day, Tokens(*(call[name] for name in Tokens._fields))
            )
            for call in calls
            if call["ts"].date() == day
        )
        return sum((cost for cost in costs if cost is not None), Decimal())

    def check(self, asked: Iterable[tuple[str, str]], tokens: Tokens, day: date) -> None:
        """Stops before a call that could pass a limit.

        Args:
            asked: Provider and model of each that may answer.
            tokens: The most that it may use.
            day: Today.

        Raises:
            OverBudget: It could pass the limit of the run or the day.
            Unpriced: Nobody knows what it would cost.
        """
        if self._run_limit is None and self._day_limit is None:
            return
        most = Decimal()
        for provider, model in asked:
            cost = self._prices.cost(provider, model, day, tokens)
            if cost is None:
                raise Unpriced(
                    f"{model} of {provider} has no price in {PRICES.name}, so it is not asked under a budget: add rows "
                    "to prices.csv (`0` if it costs nothing) and run `oplake run`, or unset OPLAKE_LLM_DAY_USD and "
                    "OPLAKE_LLM_RUN_USD"
                )
            most = max(most, cost)
        limits = [
            ("run", "OPLAKE_LLM_RUN_USD", self._run_limit, self._run.spent_usd),
            (
                "day",
                "OPLAKE_LLM_DAY_USD",
                self._day_limit,
                self.spent(day) if self._day_limit is not None else Decimal(),
            ),
        ]
        for scope, name, limit, spent in limits:
            if limit is not None and spent + most > limit:
                raise OverBudget(
                    f"the next call may cost {most:f} USD, {spent:f} USD of the {scope} are spent, "
                    f"and {name} is {limit:f}"
                )
