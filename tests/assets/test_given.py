"""Prices and budgets through Dagster: made before what reads them, told of when they are wrong, and asked for again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest
from tests.assets.conftest import World, at, days

from oplake.lake.rebuild import rebuild
from oplake.models.model import Models
from oplake.orchestration.errors import OrchestrationError
from oplake.settings import Settings

HEADER = "provider,model,token_type,usd_per_mtok\n"
SPENDING = ("sessions.turns", "sessions.tool_calls", "sessions.cost_days", "sessions.budget_breaches")


def turn(ts: datetime, index: int, **fields: Any) -> dict[str, Any]:
    asked = {"session_id": "s", "turn_index": index, "provider": "acme", "model": "m", "user_id": "ann"}
    return {"kind": "turn", "ts": ts, **asked, "input_tokens": 1_000_000, "output_tokens": 0} | fields


@pytest.fixture
def spending(settings: Settings, models: Models) -> Iterator[World]:
    """A home with the models of spending."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(settings, Models(tuple(model for model in models if model.name in SPENDING)), instance)


@pytest.mark.slow
def test_prices_are_there_before_the_first_turn_and_change_no_day_by_themselves(spending: World) -> None:
    spending.settings.prices.write_text(f"{HEADER}acme,m,input,2\n")
    spending.land(turn(at(5, 9), 0), turn(at(6, 9), 1))
    report = spending.run(at(6, 12))
    assert report.is_success
    assert not report.has_new_prices
    assert spending.ask("SELECT day, cost_usd FROM sessions.turns ORDER BY day") == [
        (date(2026, 1, 5), 2),
        (date(2026, 1, 6), 2),
    ]
    spending.made()

    spending.settings.prices.write_text(f"{HEADER}acme,m,input,3\nacme,m,output,x\n")
    report = spending.run(at(6, 13))
    assert report.has_new_prices
    (failed,) = report.failed_checks
    assert failed.table == "sessions.prices"
    assert failed.message.startswith("prices.csv, line 3: usd_per_mtok is 'x'")
    assert set(spending.made()) == {"sessions.prices", "lake.arrivals"}

    assert spending.run(at(6, 14), repriced=(date(2026, 1, 6), date(2026, 1, 6))).is_success
    made = spending.made()
    assert made["sessions.turns"] == made["sessions.cost_days"] == days(6)
    assert spending.ask("SELECT day, cost_usd FROM sessions.turns ORDER BY day") == [
        (date(2026, 1, 5), 2),
        (date(2026, 1, 6), 3),
    ]
    assert not spending.run(at(6, 15)).runs


@pytest.mark.slow
def test_a_day_made_by_hand_has_its_prices(spending: World) -> None:
    """`oplake run --day` in a new home makes that day and no other, but never without prices."""
    spending.settings.prices.write_text(f"{HEADER}acme,m,input,2\n")
    spending.land(turn(at(5, 9), 0))
    spending.run(at(5, 10), day=date(2026, 1, 5))
    assert spending.ask("SELECT cost_usd FROM sessions.turns") == [(2,)]


@pytest.mark.slow
def test_a_budget_that_is_overspent_is_an_alert_and_no_failure(spending: World) -> None:
    spending.settings.prices.write_text(f"{HEADER}acme,m,input,2\n")
    spending.land(turn(at(5, 9), 0), turn(at(5, 9, 1), 1, user_id="bob", charged_usd=0.5))
    assert not spending.run(at(5, 10)).alerts
    spending.made()

    spending.settings = spending.settings.model_copy(update={"budgets": {"user": Decimal("1.5")}})
    report = spending.run(at(5, 11))
    assert report.is_success
    (alert,) = report.alerts
    assert alert.table == "sessions.budget_breaches"
    assert alert.message.startswith("a budget was overspent: day 2026-01-05, scope user, name ann, limit_usd 1.5, ")
    assert spending.made()["sessions.cost_days"] == days(5)
    key = dg.AssetCheckKey(dg.AssetKey(["sessions", "budget_breaches"]), "no_alert")
    (record,) = spending.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert record.event is not None
    assert record.event.dagster_event is not None
    evaluation = record.event.dagster_event.event_specific_data
    assert isinstance(evaluation, dg.AssetCheckEvaluation)
    assert evaluation.severity is dg.AssetCheckSeverity.WARN


def test_days_that_cannot_be_priced_are_refused(spending: World) -> None:
    with pytest.raises(OrchestrationError, match="2020-01-01 cannot be made"):
        spending.run(at(6, 12), repriced=(date(2020, 1, 1), date(2026, 1, 5)))
    with pytest.raises(OrchestrationError, match="the first day, 2026-01-06, is after the last, 2026-01-05"):
        spending.run(at(6, 12), repriced=(date(2026, 1, 6), date(2026, 1, 5)))


@pytest.mark.slow
def test_a_rebuild_has_prices_and_leaves_nothing_to_do(spending: World, models: Models) -> None:
    spending.settings.prices.write_text(f"{HEADER}acme,m,input,2\n")
    spending.land(turn(at(5, 9), 0))
    assert {"sessions.prices", "sessions.budgets"} <= set(rebuild(spending.settings, now=at(5, 10)).rows)
    assert spending.ask("SELECT cost_usd FROM sessions.turns") == [(2,)]
    spending.models = models
    assert not spending.run(at(5, 11)).runs
