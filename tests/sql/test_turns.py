"""Turns and what they cost: against genai-prices' own reckoning, against a slow reference, and at the edges."""

from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from time import process_time
from typing import Any

import pytest
import re2
from genai_prices import Usage, calc_price
from genai_prices.data import providers
from genai_prices.types import ClauseEquals, Provider
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import DAY, DeltaLake, TinyLake, at, by, compute, priced, turn

from oplake.events import INT_MAX
from oplake.given import prices
from oplake.models.model import Models

pytestmark = pytest.mark.slow

BILLIONTH = Decimal("0.000000001")

LIST = """\
provider,model,token_type,usd_per_mtok,valid_from,from_input_tokens
acme,swift,input,2,,
acme,swift,input,4,,200001
acme,swift,input,1,2026-01-05,
acme,swift,input,3,2026-01-05,200001
acme,swift,output,10,,
acme,swift,cache_read,0.2,,
acme,swift,cache_write_1h,9,,
acme,swift,reasoning,12.5,2026-01-06,
acme,swift*,input,100,,
acme,swift*,output,100,,
"""


def test_what_was_charged_counts_and_what_has_no_price_is_unpriced(tiny: TinyLake) -> None:
    tiny.land(
        turn("s", at(1), 0, input_tokens=10_000, cache_read_tokens=6_000, output_tokens=500),
        turn("s", at(2), 1, input_tokens=10_000, cache_read_tokens=6_000, output_tokens=500, charged_usd=0.02),
        turn("s", at(3), 2, input_tokens=10_000, output_tokens=500, model="unheard-of"),
        turn("s", at(4), 3, input_tokens=10_000, output_tokens=500, model="unheard-of", charged_usd=0.1 + 0.2),
    )
    tiny.build("sessions.turns")
    rows = by(tiny.ask("FROM sessions.turns"), "turn_index")
    # 4,000 plain input at 2.00 + 6,000 cached at 0.20 + 500 output at 10.00 = 8,000 + 1,200 + 5,000 millionths
    assert rows[0]["computed_usd"] == rows[0]["cost_usd"] == Decimal("0.0142")
    assert rows[0]["charged_usd"] is None
    assert rows[1]["computed_usd"] == Decimal("0.0142")
    assert rows[1]["cost_usd"] == Decimal("0.02")
    assert [rows[n]["is_unpriced"] for n in range(4)] == [False, False, True, True]
    assert rows[2]["computed_usd"] is rows[2]["cost_usd"] is None
    assert rows[3]["cost_usd"] == Decimal("0.3")
    assert rows[0]["price_source"] == "prices.csv"


def test_own_prices_replace_those_of_the_list_one_by_one(tiny: TinyLake) -> None:
    """An own price of output alone must not hide what the list says of input: the turn would be unpriced."""
    own, _ = prices.own_entries(
        b"provider,model,token_type,usd_per_mtok,valid_from,from_input_tokens\n"
        b"openai,gpt-4o,output,20,2026-01-06,\n"
        b"openai,gpt-4o*,output,999,,\n"
        b"openai,gpt-4o,input,5,,100001\n",
        "prices.csv",
    )
    tiny.prices = prices.table_of([*own, *prices.list_entries()])  # 2.50 of input, 1.25 from the cache, 10 of output
    used = {"provider": "openai", "model": "gpt-4o", "input_tokens": 100_000, "cache_read_tokens": 40_000}
    tiny.land(
        turn("s", at(25), 0, output_tokens=1_000, **used),
        turn("s", at(25), 1, output_tokens=1_000, **used | {"input_tokens": 100_001}),
        turn("s", at(1), 2, output_tokens=1_000, **used),
        turn("s", at(1), 3, output_tokens=1_000, **used | {"model": "gpt-4.1"}),
    )
    tiny.build("sessions.turns", stop=date(2026, 1, 6))
    rows = by(tiny.ask("FROM sessions.turns"), "turn_index")
    assert rows[0]["computed_usd"] == Decimal("0.22")  # (60,000 * 2.50 + 40,000 * 1.25 + 1,000 * 20) / 1,000,000
    assert rows[1]["computed_usd"] == Decimal("0.370005")  # 60,001 * 5 in place of 60,000 * 2.50
    assert rows[2]["computed_usd"] == Decimal("1.199")  # before its day the looser row holds: 1,000 * 999
    assert rows[0]["price_source"].startswith("prices.csv over genai-prices ")
    assert rows[3]["price_source"].startswith("genai-prices ")


def test_tokens_without_a_price_of_their_type_are_never_free(tiny: TinyLake) -> None:
    tiny.prices = priced("provider,model,token_type,usd_per_mtok\nacme,embed,input,1\n")
    tiny.land(
        turn("s", at(1), 0, model="embed", input_tokens=1_000_000),
        turn("s", at(2), 1, model="embed", input_tokens=1_000_000, output_tokens=1),
        turn("s", at(3), 2, model="embed"),
    )
    tiny.build("sessions.turns")
    rows = by(tiny.ask("FROM sessions.turns"), "turn_index")
    assert [rows[n]["computed_usd"] for n in range(3)] == [1, None, 0]


def test_absurd_counts_and_charges_stop_no_other_turn(tiny: TinyLake) -> None:
    tiny.land(
        turn("s", at(1), 0, input_tokens=1_000_000),
        turn("s", at(2), 1, input_tokens=INT_MAX, output_tokens=INT_MAX, cache_read_tokens=INT_MAX),
        turn("s", at(3), 2, cache_read_tokens=INT_MAX, cache_write_tokens=INT_MAX, reasoning_tokens=INT_MAX),
        turn("s", at(4), 3, input_tokens=1_000_000, charged_usd=1e300),
    )
    tiny.build("sessions.turns")
    rows = by(tiny.ask("FROM sessions.turns"), "turn_index")
    assert [rows[n]["cost_usd"] for n in range(4)] == [2, None, None, 2]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "day": st.sampled_from([date(2026, 1, 4), DAY, date(2026, 1, 6)]),
                "model": st.sampled_from(["swift", "Swift", "swift-2", "slow"]),
                "input_tokens": st.sampled_from([0, 7, 200_000, 200_001]) | st.integers(0, 10**12),
                "output_tokens": st.integers(0, 10**6),
                "cache_read_tokens": st.integers(0, 10**6),
                "cache_write_tokens": st.integers(0, 10**3),
                "extra": st.sampled_from(["{}", '{"cache_write_1h_tokens":"many"}', '{"cache_write_1h_tokens":-1}'])
                | st.integers(0, 10**3).map('{{"cache_write_1h_tokens":{}}}'.format),
                "reasoning_tokens": st.integers(0, 10**6),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
def test_costs_are_those_of_the_reference(models: Models, turns: list[dict[str, Any]]) -> None:
    table = priced(LIST).to_pylist()
    rows = [{**row, "event_id": str(n), "provider": "acme", "ts_suspect": False} for n, row in enumerate(turns)]
    got = compute(
        models["sessions.turns"],
        {"landed.turns": rows, "sessions.prices": table},
        start=date(2026, 1, 4),
        stop=date(2026, 1, 6),
    )
    assert {row["event_id"]: row["computed_usd"] for row in got} == {row["event_id"]: _cost(row) for row in rows}


def _cost(turn: dict[str, Any]) -> Decimal | None:
    """What LIST says, read as a person would."""
    model = turn["model"].lower()
    if not model.startswith("swift"):
        return None
    is_long = turn["input_tokens"] > 200_000
    if model == "swift":
        old, new = (4, 3) if is_long else (2, 1)
        input_rate = Decimal(old if turn["day"] < DAY else new)
        output_rate, cached_rate = Decimal(10), Decimal("0.2")
        reasoning_rate = Decimal("12.5") if turn["day"] > DAY else output_rate
    else:
        input_rate = output_rate = cached_rate = reasoning_rate = Decimal(100)
    plain = max(turn["input_tokens"] - turn["cache_read_tokens"] - turn["cache_write_tokens"], 0)
    said = json.loads(turn["extra"]).get("cache_write_1h_tokens", 0)
    kept = min(max(said, 0) if isinstance(said, int) else 0, turn["cache_write_tokens"])
    kept_rate = Decimal(9) if model == "swift" else input_rate
    written = max(turn["output_tokens"] - turn["reasoning_tokens"], 0)
    usd = (
        plain * input_rate
        + turn["cache_read_tokens"] * cached_rate
        + (turn["cache_write_tokens"] - kept) * input_rate
        + kept * kept_rate
        + written * output_rate
        + turn["reasoning_tokens"] * reasoning_rate
    ) / 1_000_000
    return usd.quantize(BILLIONTH, ROUND_HALF_UP)


MODELS = [
    ("anthropic", "claude-sonnet-4-5-20250929"),
    ("aws.bedrock", "us.anthropic.claude-3-5-haiku-20241022-v1:0"),
    ("azure", "gpt-4o"),
    ("deepseek", "deepseek-v3.2"),
    ("gcp.gemini", "gemini-2.5-pro"),
    ("google", "gemini-2.5-flash-lite"),
    ("groq", "llama-3.3-70b-versatile"),
    ("huggingface_together", "deepseek-ai/DeepSeek-R1"),
    ("mistral", "mistral-large-latest"),
    ("openai", "gpt-4o-mini-2024-07-18"),
    ("openai", "o3"),
    ("openai", "text-embedding-3-small"),
    ("openrouter", "anthropic/claude-sonnet-4"),
    ("xai", "grok-4-0709"),
    ("", "claude-opus-4-1"),
    ("", "gpt-4.1"),
    ("openai", "no-such-model"),
    ("nobody", "gpt-4o"),
]


def test_the_list_is_read_as_its_makers_read_it(tiny: TinyLake) -> None:
    """An oracle that is not ours: dates, tiers of length, cached tokens, providers that resell, names of all kinds."""
    dice = random.Random(7)
    days = [date(2025, 3, 1), DAY, date(2026, 10, 30)]
    expected = {}
    for number, (provider, model) in enumerate(MODELS * 30):
        day = days[number % 3]
        input_tokens = dice.choice([0, dice.randrange(5_000), dice.randrange(400_000)])
        cache_read = dice.randrange(input_tokens + 1)
        usage = {
            "input_tokens": input_tokens,
            "output_tokens": 0 if "embedding" in model else dice.randrange(9_000),  # theirs would be free
            "cache_read_tokens": cache_read,
            "cache_write_tokens": dice.choice([0, dice.randrange(input_tokens - cache_read + 1)]),
        }
        kept = {"cache_write_1h_tokens": dice.choice([0, dice.randrange(usage["cache_write_tokens"] + 1)])}
        at_noon = datetime.combine(day, time(12), UTC)
        tiny.land(turn("s", at_noon, number, provider=provider, model=model, **usage, extra=kept))
        expected[number] = _as_listed(provider, model, at_noon, usage | kept)
    tiny.prices = prices.table_of(prices.list_entries())
    tiny.build("sessions.turns", start=days[0], stop=days[-1])
    got = tiny.ask("SELECT turn_index, computed_usd FROM sessions.turns")
    assert {row["turn_index"]: row["computed_usd"] for row in got} == expected
    assert sum(usd is None for usd in expected.values()) == 2 * 30


@pytest.mark.slow
def test_a_day_of_many_turns_meets_few_prices(delta: DeltaLake) -> None:
    """Joined with all prices at once, DuckDB may hold each turn of one day against each of them: 4 s of CPU."""
    delta.prices = prices.table_of(prices.list_entries())
    told = [turn("s", at(n / 3600), n, provider="openai", model="gpt-4o", input_tokens=n) for n in range(18_000)]
    delta.land(*told)
    delta.build("sessions.turns")
    began = process_time()
    delta.built(delta.models["sessions.turns"])
    assert process_time() - began < 1.5  # it takes 0.2


def _as_listed(provider: str, model: str, moment: datetime, usage: dict[str, int]) -> Decimal | None:
    try:
        told = calc_price(Usage(**usage), model, provider_id=provider or None, genai_request_timestamp=moment)
    except LookupError:
        return None
    return told.total_price.quantize(BILLIONTH, ROUND_HALF_UP)


def test_names_lead_to_the_entry_to_which_the_list_itself_leads() -> None:
    """A negative look-ahead, which RE2 has not, or an entry in the wrong order would send a name elsewhere."""
    ours: dict[str, list[tuple[Any, str]]] = {}
    for entry in prices.list_entries():
        ours.setdefault(entry.provider, []).append((re2.compile(entry.model_pattern), entry.model))
    wrong = {}
    for provider in providers:
        if provider.id == "openrouter":
            continue  # 900 models, each with its very name for a pattern
        for name in sorted(_names(provider)):
            listed = provider.find_model(name, all_providers=providers)
            found = next((model for pattern, model in ours.get(provider.id, ()) if pattern.search(name)), None)
            if listed is not None and prices.periods_of(listed) and found != listed.id:
                wrong[provider.id, name] = (found, listed.id)
    assert not wrong


def _names(provider: Provider) -> set[str]:
    """Names that a provider's models go by: ids, and all that a rule names in full."""
    rules = [rule for model in provider.models for rule in getattr(model.match, "or_", [model.match])]
    return {model.id.lower() for model in provider.models} | {
        rule.equals.lower() for rule in rules if isinstance(rule, ClauseEquals)
    }
