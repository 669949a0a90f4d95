"""Numbers of answers: which are read, which are among the facts, and how those that are not are shown."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oplake.synthesis.figures import SCALES, numbers
from oplake.synthesis.grounding import MARK, mark, ungrounded

FACTS: dict[str, Any] = {
    "day": date(2026, 1, 5),
    "made_at": datetime(2026, 1, 6, 6, 15, tzinfo=UTC),
    "success_rate": 0.4237,
    "failures": 1234,
    "change": -17,
    "cost_usd": 0.1249,
    "duration_ms": 1234.0,
    "budget_percent": 81.5,
    "last_7_days": {"turns": 2_345_678, "p95_ms": 90_000},
    "size": 15_360,
    "is_late": True,
    "nothing": None,
    "endpoints": [{"id": "n1", "note": "gpt-4o took 30 s for 250 rows, 12 % too slow, at 09:41"}, {"model": "v1.2.3"}],
    "notes": ["a", "b", "c", "d", "sess-9f3a2c1 failed"],
}


def not_among(text: str) -> list[str]:
    return ungrounded({"summary": text}, FACTS)


@pytest.mark.parametrize(
    "text",
    [
        "0.4237, 0.424, 0.42, 0.4 and 42 %, 42.4%, 42.37 percent",
        "1,234 failures, 1234 failures, 1.2k, 1.23 K, 1.234 thousand, about 1,200, ~1,230",
        "17 fewer, a change of -17, and of \N{MINUS SIGN}17",
        "$0.12, $0.125, 0.12 USD, US$0.1, 12 cents",
        "1.2 s, 1,234 ms, 1.23 seconds",
        "81.5 %, 82 percent of the budget",
        "2.3M turns, 2.35 million, 2,345,678; in the last 7 days; p95 90 s or 1.5 min, a 1.5-minute wait",
        "15 kB, 15.4 kB, 15 KiB",
        "gpt-4o, GPT-4o, v1.2.3, sess-9f3a2c1",
        "30 s, 250 rows, 12 %, a 30-second timeout",
        "2026-01-05, 5 January 2026, January 5th, Jan 5, the 5th of January, 2026-01, in 2026",
        "2026-01-06T06:15:00Z, 2026-01-06 06:15, at 6:15 am, at 09:41, 9:41 am",
        "the week of January 5–6, 5-6 January 2026, Jan 5 to Jan 6",
        "失败1,234次，成功率４２％，共5条，٤٢ %",
        "five notes, 5 notes, the 3rd note, two endpoints",
        "failed [n7], [q1.0, n12] and so on [n99]",
        "no number at all, one of them, decisions, market, may be",
    ],
)
def test_what_the_facts_say_is_grounded_however_it_is_said(text: str) -> None:
    assert not_among(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.43 or 0.4238", ["0.43", "0.4238"]),
        ("43 %, and 42 of them, 1234 %", ["43 %", "42", "1234 %"]),
        ("1,235, 1.3k, 1.2M, 1,200", ["1,235", "1.3k", "1.2M", "1,200"]),
        ("about 1,300", ["1,300"]),
        ("a change of +17", ["+17"]),
        ("$0.13", ["$0.13"]),
        ("1.3 s, 1.2 min", ["1.3 s", "1.2 min"]),
        ("20-30 s", ["20"]),
        ("1251 failures in all, that is 1234 + 17", ["1251"]),  # a sum that the author worked out
        ("eleven notes, eight notes", ["eleven", "eight"]),
        ("2026-01-04, 6 June, Jan 5 2025, 2026-02", ["2026-01-04", "6 June", "Jan 5 2025", "2026-02"]),
        ("2026-01-06T07:15:00Z at 10:41, 9:41 pm", ["2026-01-06T07:15:00Z", "10:41", "9:41 pm"]),
        ("gpt-9, v1.2.4, 10.0.0.1, sess-9f3a2c2, p99", ["gpt-9", "v1.2.4", "10.0.0.1", "sess-9f3a2c2", "p99"]),
        ("the 6th note", ["6th"]),
        ("January 5–9, 8-6 January", ["9", "8"]),
        ("失败1,235次，成功率４３％，٤٣ %", ["1,235", "４３％", "٤٣ %"]),
        ("66 decisions, 77 markets", ["66", "77"]),  # neither December nor March
        ("(99), [88], *77*, 66: 55; 44/33, =22.", ["99", "88", "77", "66", "55", "44", "33", "22"]),
    ],
)
def test_everything_else_is_found(text: str, found: list[str]) -> None:
    assert not_among(text) == found


def test_all_texts_of_an_answer_count_and_each_number_is_listed_once() -> None:
    fields = {"summary": "99 and 99", "points": ["98", {"name": "97 and 1,234"}], "days": 7, "raw": True, "none": None}
    assert ungrounded(fields, FACTS) == ["99", "98", "97"]


def test_results_of_tools_are_facts_too() -> None:
    assert ungrounded({"summary": "2 users in 31 rows, 4 %"}, {}, ["n\tm\n2\t0.0412\n(31 rows)"]) == []


def test_two_numbers_of_a_list_are_not_taken_for_one_with_a_separator() -> None:
    """A note that says "1,234" may mean either; whoever reads it either way made nothing up."""
    facts = {"note": "rows 1,234"}
    assert ungrounded({"summary": "1 and 234, or 1,234"}, facts) == []


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers(-(2**63), 2**63) | st.text(), st.lists))
def test_no_fact_and_no_text_is_too_odd(value: Any) -> None:
    text = str(value)
    assert "".join(mark(text, []).split()) == "".join(text.split())
    for number in numbers(text):
        assert text[number.start :].startswith(number.text)
    ungrounded({"summary": text}, {"value": value, text: value})


@given(st.text(alphabet="0123456789.,-+%$kMs: \u00a0[]naxe/Jan"))
def test_what_is_quoted_from_the_facts_is_grounded(text: str) -> None:
    assert ungrounded({"summary": text}, {"note": text}) == []


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("Twenty-three", "23", ""),
        ("a hundred", "100", ""),
        ("thirteen hundred", "1300", ""),
        ("one hundred and five", "105", ""),
        ("a dozen", "12", ""),
        ("two dozen", "24", ""),
        ("half a dozen", "6", ""),
        ("twice", "2", ""),
        ("forty-two percent", "42", "percent"),
        ("one percent", "1", "percent"),
        ("thirty-second", "30", "second"),
        ("two and a half hours", "2.5", "hours"),
        ("half a million", "0.5", "million"),
        ("half an hour", "0.5", "hour"),
        ("a quarter of an hour", "0.25", "hour"),
        ("three quarters", "0.75", ""),
        ("four fifths", "0.8", ""),
        ("½", "0.5", ""),
        ("2¾ h", "2.75", "h"),
    ],
)
def test_numbers_in_words_are_read(text: str, value: str, unit: str) -> None:
    (found,) = numbers(f"It was {text}, they said.")
    assert (found.text, found.value, found.unit) == (text, Decimal(value), unit)


@pytest.mark.parametrize("text", ["half of them", "half the time", "a third of all users", "one tenth of it"])
def test_a_share_in_words_is_one_of_what_it_names(text: str) -> None:
    assert not_among(text) == [text.split(" of ")[0].split(" the ")[0]]


@pytest.mark.parametrize(
    "text",
    [
        "one of them, someone, once, one day, a single one",
        "the second half of the day, the other half of it, a better half, half-finished, half past",
        "a second attempt, a third user, the third of May, the first quarter of the year, quarterly, a tenth",
        "dozens, hundreds of users, a few hundred, several thousand, a couple, many times over, doubled, halved",
        "often, weight, eleven-year, nine-to-five, tent, twofold, attend, \u017fix, s\u0131x, halve\u017f of",
    ],
)
def test_ordinary_prose_has_no_numbers(text: str) -> None:
    """A mark on what is none teaches people to look past marks."""
    assert numbers(text) == []


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("half of them, nearly half of the calls, 50 %", {"rate": 0.497}),
        ("two thirds, about two-thirds of them", {"rate": 0.664}),
        ("twenty-three of a hundred and five, two dozen", {"counts": [23, 105, 24]}),
        ("about a hundred, some two hundred", {"counts": [104, 195]}),
        ("a ninety-second wait, a minute and thirty seconds", {"wait_ms": 90_000, "rest_s": 30}),
        ("two thousand", {"count": 2_345}),
        ("half an hour, ½ h", {"wait_ms": 1_800_000}),
    ],
)
def test_words_are_grounded_as_digits_are(text: str, facts: dict[str, Any]) -> None:
    assert ungrounded({"summary": text}, facts) == []


ONES = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
ONES += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(value: int) -> str:
    """A number as people write it out."""
    if value < 20:
        return ONES[value - 1]
    if value < 100:
        return TENS[value // 10 - 2] + (f"-{in_words(value % 10)}" if value % 10 else "")
    for size, name in ((10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if value >= size:
            rest = value % size
            joint = " and " if rest < 100 else " "
            return f"{in_words(value // size)} {name}" + (joint + in_words(rest) if rest else "")
    raise AssertionError(value)


@given(st.integers(2, 10**9 - 1))
def test_a_number_written_out_is_that_number(value: int) -> None:
    (found,) = numbers(f"There were {in_words(value)} of them.")
    assert found.value is not None
    assert found.value * SCALES.get(found.unit, 1) == value


# --- a number at any rounding ----------------------------------------------------------------------------------------


FLOATS = st.floats(1e-4, 1e6) | st.floats(0, 1)  # larger ones times 100 are not what they were by the last digit
PLACES = st.integers(0, 4)


def renderings(value: float, places: int) -> list[str]:
    """Ways in which people write a number that stands among facts."""
    return [
        f"{value:.{places}f}",
        f"{value:,.{places}f}",
        f"-{value:.{places}f}" if value < 0 else f"+{value:.{places}f}",
        f"{value * 100:.{places}f} %",
        f"${value:,.{places}f}",
        f"{value / 1000:.{places}f}k",
        f"{value / 1e6:,.{places}f} million",
        f"{value / 1000:.{places}f} s",
        f"{value / 60_000:.{places}f} min",
    ]


@given(FLOATS, PLACES, st.data())
def test_a_fact_is_grounded_at_any_rounding(value: float, places: int, data: st.DataObject) -> None:
    shown = data.draw(st.sampled_from(renderings(value, places)))
    nested = data.draw(
        st.sampled_from([value, [value], {"value": value}, [{"value": [1, value]}], Decimal(repr(value))])
    )
    text = data.draw(st.sampled_from([f"It was {shown}.", f"({shown})", f"**{shown}**, then", f"cost: {shown};"]))
    facts = {"duration_ms": nested, "more": 5}
    assert ungrounded({"summary": text}, facts) == []


@given(FLOATS, st.integers(1, 4), st.integers(1, 9))
def test_a_last_digit_that_is_off_is_found(value: float, places: int, off: int) -> None:
    """Against the definition: half a step is the most that a rounded number may differ."""
    step = Decimal(1).scaleb(-places)
    shown = Decimal(f"{value:.{places}f}") + off * step
    assume(abs(shown - Decimal(repr(value))) > step / 2)  # 0.25 may be 0.3 as well as 0.2
    assert ungrounded({"summary": f"It was {shown:f}."}, {"value": value}) == [f"{shown:f}"]


def test_numbers_made_up_are_found() -> None:
    """The rate for numbers of three digits among facts as a report has them: 60 counts, rates and costs."""
    dice = random.Random(7)
    facts = {
        "counts": [dice.randrange(5_000) for _ in range(20)],
        "rates": [dice.random() for _ in range(20)],
        "costs_usd": [round(dice.random() * 30, 4) for _ in range(20)],
    }
    made_up = [
        shown
        for _ in range(1_000)
        for shown in (
            f"{dice.randrange(100, 9_999):,}",
            f"{dice.random():.3f}",
            f"{dice.random():.1%}",
            f"${dice.random() * 30:.2f}",
        )
    ]
    found = ungrounded({"summary": "; ".join(made_up)}, facts)
    rate = sum(each in found for each in made_up) / len(made_up)
    print(f"{rate:.1%} of made-up numbers of three digits are found")
    assert rate > 0.97


# --- showing it ------------------------------------------------------------------------------------------------------


def test_a_mark_stands_after_the_number_and_nowhere_else() -> None:
    text = "4 of 42 failed, 42 % (42), at 4242 [n4]."
    assert mark(text, ["42", "4242"]) == f"4 of 42{MARK} failed, 42 % (42{MARK}), at 4242{MARK} [n4]."
    assert mark(text, []) == text
