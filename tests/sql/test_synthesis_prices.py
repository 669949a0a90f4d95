"""A call costs under a budget what its turn costs in sessions.turns."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.test_turns import LIST
from tests.sql.tiny_lake import compute, priced

from oplake.given.prices import PRICES
from oplake.lake.tables import Lake
from oplake.models.model import Models
from oplake.synthesis.spending import Prices
from oplake.synthesis.wire import Tokens

pytestmark = pytest.mark.slow

DAYS = [date(2026, 1, 4), date(2026, 1, 5), date(2026, 1, 6)]


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Prices:
    """The price list of the tests of sessions.turns, in a lake."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    lake.create(PRICES)
    lake.replace(PRICES.name, lambda: priced(LIST), start=None, stop=None)
    return Prices(lake, duckdb.connect())


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(DAYS),
            st.sampled_from(["swift", "Swift", "swift-2", "slow"]),
            st.sampled_from([0, 7, 200_000, 200_001]) | st.integers(0, 10**9),
            *[st.integers(0, 10**6)] * 4,
        ),
        min_size=1,
        max_size=8,
    )
)
def test_costs_of_calls_are_costs_of_turns(models: Models, prices: Prices, calls: list[tuple[Any, ...]]) -> None:
    rows = [
        {
            "day": day,
            "model": model,
            **Tokens(*tokens)._asdict(),
            "event_id": str(n),
            "provider": "acme",
            "ts_suspect": False,
        }
        for n, (day, model, *tokens) in enumerate(calls)
    ]
    turns = compute(
        models["sessions.turns"],
        {"landed.turns": rows, "sessions.prices": priced(LIST).to_pylist()},
        start=DAYS[0],
        stop=DAYS[-1],
    )
    expected = {turn["event_id"]: turn["computed_usd"] for turn in turns}
    got = {str(n): prices.cost("acme", model, day, Tokens(*tokens)) for n, (day, model, *tokens) in enumerate(calls)}
    assert got == expected
