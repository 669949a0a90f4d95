"""Calls: served from landing, held to budgets, and landed whatever becomes of them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from tests.landed_events import NOON, event, land, take_in
from tests.model_server import PATIENT, ModelServer, fails, says, serving_model
from tests.receiving import landed

from oplake.given.prices import PRICES, own_entries, table_of
from oplake.lake.tables import Lake
from oplake.settings import Settings
from oplake.synthesis.calls import Calls, Purpose, open_calls
from oplake.synthesis.errors import OverBudget, ProvidersFailed, Unpriced
from oplake.synthesis.memory import Memory
from oplake.synthesis.spending import Prices
from oplake.synthesis.wire import Request, Tokens

pytestmark = pytest.mark.slow

PURPOSE = Purpose("users.daily_reports", "2026-01-05", "ann", "answer", "v1", "s1", 0, 7)


class Report(BaseModel):
    summary: str


def asked(question: str = "How was it?", **options: Any) -> Request:
    return Request(({"role": "user", "content": question},), **{"tier": "flash", "max_tokens": 100} | options)


def priced(lake: Lake, *rows: tuple[str, str, str]) -> None:
    """Makes the price list of one's own rows alone: model, type of token, US dollars per million tokens."""
    lines = ["provider,model,token_type,usd_per_mtok", *(f"*,{model},{kind},{usd}" for model, kind, usd in rows)]
    entries, problems = own_entries("\n".join(lines).encode(), "prices.csv")
    assert not problems
    lake.create(PRICES)
    lake.replace(PRICES.name, lambda: table_of(entries), start=None, stop=None)


def at(settings: Settings, server: ModelServer, **limits: Any) -> Settings:
    return settings.model_copy(
        update={"llm_url": server.url, "llm_flash": "mini", "llm_pro": "big", "llm_key": SecretStr("k"), **limits}
    )


def calling(settings: Settings, now: datetime = NOON) -> AbstractContextManager[Calls]:
    """The calls of one run."""
    return open_calls(settings, clock=lambda: now, patience=PATIENT)


def test_the_same_request_is_paid_once(settings: Settings) -> None:
    with serving_model(says("fine")) as server:
        for is_cached in (False, True):
            with calling(at(settings, server)) as calls:
                made = calls.make(asked(), PURPOSE)
                assert (made.said.content, made.is_cached) == ("fine", is_cached)
        assert len(server.asked) == 1
    first, second = sorted(landed(settings.home, "llm_call"), key=lambda call: call["event_id"])
    assert (first["response"], first["input_tokens"], first["provider"]) == (
        '{"content":"fine","finish_reason":"stop"}',
        100,
        "127.0.0.1",
    )
    assert (second["cached"], second.get("response"), second.get("input_tokens")) == (True, None, None)
    assert first["prompt_hash"] == second["prompt_hash"]
    assert [turn["response"] for turn in landed(settings.home, "turn")] == ["fine", "fine"]


@pytest.mark.parametrize(
    "change",
    [{"tier": "pro"}, {"max_tokens": 101}, {"temperature": 0.2}, {"schema": Report}, {"question": "And today?"}],
    ids=lambda change: next(iter(change)),
)
def test_another_prompt_model_parameter_or_schema_is_another_request(settings: Settings, change: Any) -> None:
    with serving_model(says("fine")) as server, calling(at(settings, server)) as calls:
        calls.make(asked(), PURPOSE)
        calls.make(asked(**change), PURPOSE)
        assert len(server.asked) == 2


def test_what_was_ingested_and_archived_still_serves(settings: Settings) -> None:
    with serving_model(says("fine")) as server:
        with calling(at(settings, server)) as calls:
            calls.make(asked(), PURPOSE)
        take_in(settings)
        with calling(at(settings, server)) as calls:
            assert calls.make(asked(), PURPOSE).is_cached
        assert len(server.asked) == 1


def test_what_is_ingested_in_the_middle_of_a_run_is_seen_once(settings: Settings) -> None:
    with serving_model(says("fine")) as server, calling(at(settings, server)) as calls:
        calls.make(asked(), PURPOSE)
        take_in(settings)
        land(settings, [event("operator_note", "n1", target="ann", message="be short")], writer="other")
        assert len(calls.memory.find("llm_call")) == 1
        take_in(settings)  # the sealed segment of the other goes to the archive
        assert [note["message"] for note in calls.memory.find("operator_note", target=["ann"])] == ["be short"]
        assert calls.make(asked(), PURPOSE).is_cached


def test_a_failed_call_lands_and_is_no_cache(settings: Settings) -> None:
    script = [*[fails(429)] * 4, says("fine")]
    with serving_model(*script) as server, calling(at(settings, server)) as calls:
        with pytest.raises(ProvidersFailed):
            calls.make(asked(), PURPOSE)
        assert calls.make(asked(), PURPOSE).said.content == "fine"
    failed, made = landed(settings.home, "llm_call")
    assert (failed["status"], failed["attempt"], failed["error"]) == ("error", 4, "HTTP 429: no")
    assert (made["status"], made["attempt"]) == ("ok", 1)


def test_the_fallback_answers_under_the_same_key(settings: Settings) -> None:
    with serving_model(fails(503)) as first, serving_model(says("fine")) as second:
        named = at(settings, first).model_copy(update={"llm_fallback_url": second.url, "llm_fallback_flash": "other"})
        for _ in range(2):
            with calling(named) as calls:
                assert calls.make(asked(), PURPOSE).model == "other"
        assert (len(first.asked), len(second.asked)) == (1, 1)
    (fallback,) = landed(settings.home, "session_event")
    assert (fallback["event_type"], fallback["detail"]["error"]) == ("fallback", "HTTP 503: no")


def test_what_lands_is_redacted_and_that_is_what_is_worked_with(settings: Settings) -> None:
    """Served from landing, the answer would differ from the first time, and so would every prompt that follows."""
    secret = "AKIA" + "Z7QXWV5TKJ3MNPRB"
    with serving_model(says(f"use {secret} now")) as server:
        made = []
        for _ in range(2):
            with calling(at(settings, server)) as calls:
                made.append(calls.make(asked(), PURPOSE).said.content)
    assert made[0] == made[1]
    assert secret not in made[0]


def test_a_huge_answer_is_shortened_and_stays_json(settings: Settings) -> None:
    with serving_model(says('"' * 300_000)) as server:
        lengths = []
        for _ in range(2):
            with calling(at(settings, server)) as calls:
                lengths.append(len(calls.make(asked(), PURPOSE).said.content))
    assert lengths == [75_000, 75_000]


# --- budgets -------------------------------------------------------------------------------------------------------


def test_prices_as_in_sessions_turns(settings: Settings, lake: Lake) -> None:
    """The example of sql/sessions/turns.sql."""
    priced(lake, ("mini", "input", "3"), ("mini", "cache_read", "0.30"), ("mini", "output", "15"))
    with Memory(settings) as memory:
        prices = Prices(lake, memory.connection)
        assert prices.cost("any", "MINI", date(2026, 1, 5), Tokens(10_000, 500, 6_000)) == Decimal("0.0213")
        assert prices.cost("any", "other", date(2026, 1, 5), Tokens(1)) is None


def test_a_price_that_is_missing_for_some_tokens_is_none(settings: Settings, lake: Lake) -> None:
    priced(lake, ("mini", "input", "3"))
    with Memory(settings) as memory:
        prices = Prices(lake, memory.connection)
        assert prices.cost("any", "mini", date(2026, 1, 5), Tokens(10, 5)) is None
        assert prices.cost("any", "mini", date(2026, 1, 5), Tokens(10)) == Decimal("0.00003")


def test_the_daily_budget_stops_before_the_call_that_would_pass_it(settings: Settings, lake: Lake) -> None:
    """A call costs 0.02 and is estimated at 0.10, of its 100 output tokens: after two, a third could pass 0.139."""
    priced(lake, ("mini", "input", "0"), ("mini", "output", "1000"))
    with serving_model(says("fine")) as server:
        limited = at(settings, server, llm_day_usd=Decimal("0.139"))
        with calling(limited) as calls:
            calls.make(asked("one"), PURPOSE)
        take_in(settings)  # what was ingested counts like what was not
        with calling(limited) as calls:
            calls.make(asked("two"), PURPOSE)
            assert calls.budget.spent(NOON.date()) == Decimal("0.04")
            with pytest.raises(OverBudget, match=r"may cost 0\.1.* 0\.04.* of the day .*LLM_DAY_USD is 0\.139"):
                calls.make(asked("three"), PURPOSE)
            assert calls.make(asked("one"), PURPOSE).is_cached  # which costs nothing
        with calling(limited, now=datetime(2026, 1, 6, 1, tzinfo=UTC)) as calls:
            calls.make(asked("three"), PURPOSE)  # there is budget again
        assert [body["messages"][0]["content"] for body in server.asked] == ["one", "two", "three"]


def test_the_limit_of_a_run_counts_that_run_alone(settings: Settings, lake: Lake) -> None:
    priced(lake, ("mini", "input", "0"), ("mini", "output", "1000"))
    with serving_model(says("fine", cost=0.05)) as server:
        limited = at(settings, server, llm_run_usd=Decimal("0.14"))
        for question in ("a", "b"):
            with calling(limited) as calls:
                calls.make(asked(question), PURPOSE)
                with pytest.raises(OverBudget, match=r"0\.05 USD of the run"):
                    calls.make(asked(question * 2), PURPOSE)
        assert len(server.asked) == 2


def test_under_a_budget_a_model_without_a_price_is_not_asked(settings: Settings, lake: Lake) -> None:
    with serving_model(says("fine")) as server, calling(at(settings, server, llm_day_usd=Decimal(1))) as calls:
        with pytest.raises(Unpriced, match=r"mini of 127\.0\.0\.1 has no price"):
            calls.make(asked(), PURPOSE)
        assert not server.asked


def test_the_fallback_has_to_be_affordable_too(settings: Settings, lake: Lake) -> None:
    priced(lake, ("mini", "input", "0"), ("mini", "output", "1"))
    with serving_model(says("fine")) as server:
        limited = at(settings, server, llm_day_usd=Decimal(1), llm_fallback_url=server.url, llm_fallback_flash="dear")
        with calling(limited) as calls, pytest.raises(Unpriced, match="dear"):
            calls.make(asked(), PURPOSE)


def test_without_a_server_the_embedded_author_answers_and_lands(settings: Settings) -> None:
    with calling(settings) as calls:
        made = calls.make(asked(schema=Report, facts={"summary": "all well"}), PURPOSE)
        assert made.said.content == '{"summary":"all well"}'
        assert calls.make(asked(schema=Report, facts={"summary": "all well"}), PURPOSE).is_cached
        assert not calls.make(asked(schema=Report, facts={"summary": "not well"}), PURPOSE).is_cached
    call = landed(settings.home, "llm_call")[0]
    assert (call["provider"], call["model"], call["charged_usd"]) == ("oplake", "extractive", 0.0)
