"""What advice is worth: retries and effects of corrections, against slow references, statsmodels and known truths."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import StratifiedTable
from tests.sql.test_operations import WEEK, advice, day_by_day, op, ordered
from tests.sql.tiny_lake import DAY, PROJECT_MODELS, TinyLake, at, by, compute

from oplake.events import Correction, Op
from oplake.simulate import START, Truth
from oplake.simulate.workload import Workload

pytestmark = pytest.mark.slow

ONE = timedelta(days=1)
Row = Mapping[str, Any]
Z = 1.959963984540054
TESTED = 0.05  # the level of the test


# --- which retries there are -----------------------------------------------------------------------------------------

HOURS = st.integers(-10, 10).map(lambda days: 24 * days) | st.integers(-260, 260) | st.integers(0, 4)
"""Times in hours from the midnight of DAY: whole days meet the edges of the seven days, the others one another."""
SIGNATURES = st.sampled_from([None, "", "s1", "s2"])
CLASSES = st.sampled_from(["t", "u"])
TEXTS = {"Ask 1 times.": "Ask <*> times.", "Ask 2 times.": "Ask <*> times.", "Ask again.": "Ask again."}
"""Advice and the template that it folds to."""


APPLIED = st.none() | st.sampled_from([*TEXTS, "", "No event gave it."])


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(HOURS, SIGNATURES, CLASSES | st.none(), st.integers(1, 3), APPLIED), max_size=25),
    st.lists(st.tuples(HOURS, SIGNATURES, CLASSES, st.sampled_from([*TEXTS])), max_size=8),
)
def test_retries_are_those_of_the_reference(
    drawn_ops: list[tuple[int, str | None, str | None, int, str | None]],
    drawn_corrections: list[tuple[int, str | None, str, str]],
) -> None:
    ops = [
        op(f"o{number}", at(hours), success=luck == 1, sig_hash=signature, task_class=task_class, correction=applied)
        for number, (hours, signature, task_class, luck, applied) in enumerate(drawn_ops)
    ]
    ops.append(op("overseer", at(1), sig_hash="s1", task_class="t", source="overseer_correction"))
    corrections = [
        advice(f"c{number}", at(hours), sig_hash=signature, task_class=task_class, correction=text)
        for number, (hours, signature, task_class, text) in enumerate(drawn_corrections)
    ]
    tables: dict[str, Any] = {"landed.ops": ops, "landed.corrections": corrections}
    first, last = DAY - 20 * ONE, DAY + 20 * ONE
    tables["operations.messages"] = compute(PROJECT_MODELS["operations.messages"], tables, start=first, stop=last)
    rows = compute(PROJECT_MODELS["operations.retries"], tables, start=first, stop=last)
    expected = {one["event_id"]: told for one in ops if (told := retried(one, ops, corrections))}
    assert {row["event_id"]: {name: row[name] for name in expected[row["event_id"]]} for row in rows} == expected
    days = sorted({one["day"] for one in ops})
    assert ordered(day_by_day("operations.retries", tables, days)) == ordered(rows)


def retried(this: Row, ops: Sequence[Row], corrections: Sequence[Row]) -> dict[str, Any] | None:
    """The reference: what preceded one operation, looked up one by one; None when it is no retry."""
    if not (this["sig_hash"] and this["task_class"]) or this["source"] == "overseer_correction":
        return None
    judged = [one for one in ops if one["source"] != "overseer_correction"]
    week = [one for one in judged if this["ts"] - WEEK <= one["ts"] < this["ts"]]
    before = [one for one in week if (one["sig_hash"], one["task_class"]) == (this["sig_hash"], this["task_class"])]
    successes = [one["ts"] for one in before if one["success"]]
    failures = [one["ts"] for one in before if not one["success"] and (not successes or one["ts"] > max(successes))]
    if not failures:
        return None
    told = [(one["ts"], one["correction"]) for one in corrections if one["sig_hash"] == this["sig_hash"]]
    told += [
        (one["ts"], "")
        for one in judged
        if (one["sig_hash"], one["task_class"]) == (this["sig_hash"], this["task_class"]) and one["correction"]
    ]
    told = [
        (ts, text)
        for ts, text in told
        if this["ts"] - WEEK <= ts <= this["ts"] and (not successes or ts > max(successes))
    ]
    texts = {text for ts, text in told if ts > max(failures)}
    texts |= {
        one["correction"]
        for one in corrections
        if one["correction"] == this["correction"]
        and one["task_class"] == this["task_class"]
        and this["day"] - WEEK <= one["day"] <= this["day"]
    }
    return {
        "attempt": len(failures) + 1,
        "success": this["success"],
        "is_corrected": any(ts > max(failures) for ts, _ in told),
        "was_corrected_before": any(ts <= max(failures) for ts, _ in told),
        "templates": sorted({TEXTS[text] for text in texts if text}),
    }


def test_at_the_same_instant_the_correction_comes_first(tiny: TinyLake) -> None:
    """As in operations.correction_outcomes: it belongs to the operation of that instant, not to the one after it."""
    told = {"sig_hash": "s", "task_class": "t"}
    tiny.land(
        op("first", at(1), success=False, **told),
        advice("with-second", at(2), **told),
        op("second", at(2), success=False, **told),
        op("third", at(3), success=False, **told),
    )
    tiny.build()
    rows = tiny.ask("SELECT attempt, is_corrected, was_corrected_before FROM operations.retries ORDER BY attempt")
    assert [tuple(row.values()) for row in rows] == [(2, True, False), (3, False, True)]


# --- what a comparison says ------------------------------------------------------------------------------------------


class Stratum(NamedTuple):
    """The retries of one attempt number: successes and failures of the corrected and of the controls."""

    a: int
    b: int
    c: int
    d: int


def retries(strata: Sequence[Stratum], *, task_class: str = "t", template: str = "x") -> list[dict[str, Any]]:
    """Rows of operations.retries, attempts from 2 on."""
    return [
        {
            "event_id": "",
            "day": DAY,
            "task_class": task_class,
            "attempt": attempt,
            "success": is_success,
            "is_corrected": is_corrected,
            "was_corrected_before": False,
            "templates": [template] if is_corrected else [],
        }
        for attempt, stratum in enumerate(strata, 2)
        for (is_corrected, is_success), count in zip(
            ((True, True), (True, False), (False, True), (False, False)), stratum, strict=True
        )
        for _ in range(count)
    ]


def effects(rows: Iterable[Row]) -> list[dict[str, Any]]:
    return compute(PROJECT_MODELS["operations.correction_effects"], {"operations.retries": rows})


COUNT = st.integers(0, 3) | st.integers(0, 40)
STRATA = st.lists(st.builds(Stratum, COUNT, COUNT, COUNT, COUNT), max_size=5)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(STRATA)
def test_effects_are_those_of_the_reference_and_of_statsmodels(strata: list[Stratum]) -> None:
    rows = effects(retries(strata))
    if not any(one.a + one.b for one in strata):
        assert not rows
        return
    (row,) = (row for row in rows if row["scope"] == "advice")
    (whole,) = (row for row in rows if row["scope"] == "task_class")
    assert {**whole, "scope": "advice", "template": "x"} == row
    expected = reference(strata)
    for name, value in expected.items():
        if isinstance(value, float) and value > 0:
            assert row[name] == pytest.approx(value, rel=3e-7), name
        else:
            assert row[name] == value, name
    if row["odds_ratio_low"] is not None:
        compared = [one for one in strata if one.a + one.b and one.c + one.d]
        table = StratifiedTable([np.array([[one.a, one.b], [one.c, one.d]], dtype=float) for one in compared])
        low, high = table.oddsratio_pooled_confint()
        test = table.test_null_odds()
        assert (row["odds_ratio"], row["odds_ratio_low"], row["odds_ratio_high"]) == pytest.approx(
            (table.oddsratio_pooled, low, high), rel=1e-9
        )
        assert row["chi_squared"] == pytest.approx(test.statistic, rel=1e-9, abs=1e-9)
        assert row["p_value"] == pytest.approx(test.pvalue, rel=3e-7)


def reference(strata: Sequence[Stratum]) -> dict[str, Any]:
    """Mantel and Haenszel in fractions, written for reading."""
    compared = [one for one in strata if one.a + one.b and one.c + one.d]
    r = s = pr = ps_qr = qs = e = v = Fraction()
    least = most = 0
    for a, b, c, d in compared:
        n, n1, n0, m1, m0 = Fraction(a + b + c + d), a + b, c + d, a + c, b + d
        big_p, big_q, big_r, big_s = (a + d) / n, (b + c) / n, a * d / n, b * c / n
        r, s = r + big_r, s + big_s
        pr, ps_qr, qs = pr + big_p * big_r, ps_qr + big_p * big_s + big_q * big_r, qs + big_q * big_s
        e, v = e + n1 * m1 / n, v + n1 * n0 * m1 * m0 / (n * n * (n - 1))
        least, most = least + max(0, m1 - n0), most + min(m1, n1)
    successes = sum(one.a for one in compared)
    odds_ratio = float(r / s) if s else None
    margin = Z * math.sqrt(pr / (2 * r * r) + ps_qr / (2 * r * s) + qs / (2 * s * s)) if r and s else None
    chi_squared = float((successes - e) ** 2 / v) if v else None
    p_value = math.erfc(math.sqrt(chi_squared / 2)) if chi_squared is not None else None
    effect = "too_few"
    if p_value is not None and e - least >= 5 and most - e >= 5:
        effect = "no_effect" if p_value >= TESTED else "helps" if successes > e else "harms"
    return {
        "corrected_retries": sum(one.a + one.b for one in compared),
        "corrected_successes": successes,
        "control_retries": sum(one.c + one.d for one in compared),
        "control_successes": sum(one.c for one in compared),
        "compared_attempts": len(compared),
        "uncompared_retries": sum(one.a + one.b for one in strata if not one.c + one.d),
        "expected_successes": float(e) if compared else None,
        "odds_ratio": odds_ratio,
        "odds_ratio_low": odds_ratio * math.exp(-margin) if odds_ratio and margin is not None else None,
        "odds_ratio_high": odds_ratio * math.exp(margin) if odds_ratio and margin is not None else None,
        "chi_squared": chi_squared,
        "p_value": p_value,
        "effect": effect,
    }


def test_the_example_of_the_header_is_right() -> None:
    (row,) = (
        row
        for row in effects(retries([Stratum(6, 4, 3, 7), Stratum(2, 3, 1, 9), Stratum(3, 0, 0, 0)]))
        if row["scope"] == "advice"
    )
    told = ("odds_ratio", "expected_successes", "corrected_successes", "corrected_retries", "uncompared_retries")
    assert [row[name] for name in told] == pytest.approx([4.125, 5.5, 8, 15, 3])


@pytest.mark.parametrize(
    ("stratum", "effect"),
    [
        (Stratum(40, 60, 20, 80), "helps"),
        (Stratum(20, 80, 40, 60), "harms"),
        (Stratum(31, 69, 30, 70), "no_effect"),
        (Stratum(3, 0, 0, 3), "too_few"),
        (Stratum(100, 0, 100, 0), "too_few"),  # nothing varies
    ],
)
def test_what_follows_is_said_in_a_word(stratum: Stratum, effect: str) -> None:
    assert {row["effect"] for row in effects(retries([stratum]))} == {effect}


def test_retries_that_were_corrected_at_an_earlier_attempt_are_no_controls() -> None:
    """As controls they would pull any advice that is remembered towards no effect."""
    rows = retries([Stratum(5, 5, 2, 8)])
    carried = [row | {"was_corrected_before": True} for row in retries([Stratum(0, 0, 6, 0)])]
    found = effects(rows + carried)
    assert {(row["control_retries"], row["control_successes"], row["carried_over_retries"]) for row in found} == {
        (10, 2, 6)
    }


def test_a_retry_with_two_advices_counts_for_both_and_once_for_its_class() -> None:
    (first, *others) = retries([Stratum(1, 0, 1, 1)])
    found = by(effects([first | {"templates": ["x", "y"]}, *others]), "template")
    assert {template: row["corrected_retries"] for template, row in found.items()} == {"(any)": 1, "x": 1, "y": 1}
    unnamed = effects([first | {"templates": []}, *others])
    assert [(row["scope"], row["corrected_retries"]) for row in unnamed] == [("task_class", 1)]


# --- known truths ----------------------------------------------------------------------------------------------------

P_PLAIN = (0.40, 0.28, 0.18)  # of success without advice, by attempt: what is left is harder
P_ADVISED = (0.30, 0.50, 0.70)  # of having advice: the harder, the more
WORLDS = 1000


def worlds(seed: int, odds_ratio: float, each: int, count: int = WORLDS) -> dict[str, list[Stratum]]:
    """Strata of worlds in which advice multiplies the odds of success; `each` retries an attempt."""
    dice = random.Random(seed)
    made = {}
    for number in range(count):
        strata = []
        for p_plain, p_advised in zip(P_PLAIN, P_ADVISED, strict=True):
            odds = p_plain / (1 - p_plain) * odds_ratio
            cells = [0, 0, 0, 0]
            for _ in range(each):
                is_corrected = dice.random() < p_advised
                is_success = dice.random() < (odds / (1 + odds) if is_corrected else p_plain)
                cells[(0 if is_corrected else 2) + (0 if is_success else 1)] += 1
            strata.append(Stratum(*cells))
        made[f"w{number}"] = strata
    return made


def whole(strata: Mapping[str, Sequence[Stratum]]) -> list[dict[str, Any]]:
    """The rows of all worlds, each a class of tasks of its own."""
    rows = [row for name, its in strata.items() for row in retries(its, task_class=name)]
    return [row for row in effects(rows) if row["scope"] == "task_class"]


@pytest.mark.slow
@pytest.mark.parametrize(("odds_ratio", "each"), [(1.0, 40), (2.0, 40), (2.0, 200), (0.5, 80), (4.0, 40)])
def test_the_interval_covers_the_truth_95_times_of_100(odds_ratio: float, each: int) -> None:
    rows = [row for row in whole(worlds(7, odds_ratio, each)) if row["odds_ratio_low"] is not None]
    assert len(rows) > 0.97 * WORLDS
    covered = sum(row["odds_ratio_low"] <= odds_ratio <= row["odds_ratio_high"] for row in rows) / len(rows)
    assert 0.93 <= covered <= 0.975


@pytest.mark.slow
def test_useless_advice_that_hard_cases_get_is_said_to_have_no_effect() -> None:
    """Forbids to pool the attempts: all together, the same advice that is worth nothing looks harmful."""
    useless = worlds(11, 1.0, 400, count=200)
    said = Counter(row["effect"] for row in whole(useless))
    assert said["no_effect"] >= 0.92 * 200
    pooled = {name: [Stratum(*(sum(cell) for cell in zip(*strata, strict=True)))] for name, strata in useless.items()}
    fooled = Counter(row["effect"] for row in whole(pooled))
    assert fooled["harms"] > 0.5 * 200


@pytest.mark.slow
def test_shuffled_within_the_attempt_advice_is_worth_nothing() -> None:
    """The floor: expected_successes and p_value are the mean and the tail of shuffling."""
    (strata,) = (worlds(13, 3.0, 60)["w0"],)
    (real,) = whole({"real": strata})
    assert real["effect"] == "helps"
    shuffled = {f"s{number}": shuffle(strata, number) for number in range(WORLDS)}
    rows = whole(shuffled)
    assert {row["expected_successes"] for row in rows} == {real["expected_successes"]}
    spread = math.sqrt((real["corrected_successes"] - real["expected_successes"]) ** 2 / real["chi_squared"])
    scores = [row["corrected_successes"] for row in rows]
    assert sum(scores) / WORLDS == pytest.approx(real["expected_successes"], abs=4 * spread / math.sqrt(WORLDS))
    assert sum(row["effect"] in ("helps", "harms") for row in rows) / WORLDS == pytest.approx(TESTED, abs=0.025)
    weaker = Stratum(strata[0].a - 6, strata[0].b + 6, strata[0].c, strata[0].d)
    (row,) = whole({"weaker": [weaker, *strata[1:]]})
    far = abs(row["corrected_successes"] - row["expected_successes"])
    as_far = sum(
        abs(sum(one.a for one in shuffle([weaker, *strata[1:]], number)) - row["expected_successes"]) >= far - 1e-9
        for number in range(4 * WORLDS)
    )
    assert as_far / (4 * WORLDS) == pytest.approx(row["p_value"], abs=0.03)


def shuffle(strata: Sequence[Stratum], seed: int) -> list[Stratum]:
    """The same retries, with the advice given at random to as many at each attempt."""
    dice = random.Random(seed)
    shuffled = []
    for a, b, c, d in strata:
        outcomes = [True] * (a + c) + [False] * (b + d)
        successes = sum(dice.sample(outcomes, a + b))
        shuffled.append(Stratum(successes, a + b - successes, a + c - successes, b + d - a - b + successes))
    return shuffled


@pytest.fixture(scope="module")
def simulated() -> tuple[TinyLake, Truth]:
    """Four weeks of a simulated workload, of which the corrections are computed, and their truth."""
    workload = Workload(days=28, seed=3, rate=400, start=START)
    sent = [one.content for one in workload.sent() if isinstance(one.content, (Op, Correction))]
    events = {one.event_id: msgspec.structs.asdict(one) | {"kind": one.__struct_config__.tag} for one in sent}
    tiny = TinyLake(PROJECT_MODELS)
    tiny.land(*events.values())
    names = ("operations.messages", "operations.retries", "operations.correction_effects")
    tiny.build(*names, start=START - ONE, stop=START + 29 * ONE)
    return tiny, workload.truth()


@pytest.mark.slow
def test_every_retry_of_a_simulated_workload_is_counted(simulated: tuple[TinyLake, Truth]) -> None:
    tiny, truth = simulated
    plain = tiny.ask("""
        SELECT task_class, attempt, count(*) AS plain, count_if(success) AS plain_successes
        FROM operations.retries WHERE NOT is_corrected GROUP BY ALL ORDER BY ALL
    """)
    names = ("task_class", "attempt", "plain", "plain_successes")
    assert plain == [{name: getattr(told, name) for name in names} for told in truth.retries]
    corrected = tiny.ask("""
        SELECT task_class, count(*) AS corrected, count_if(success) AS corrected_successes
        FROM (SELECT *, unnest(templates) AS template FROM operations.retries) GROUP BY task_class, template
    """)
    expected = [(told.task_class, told.corrected, told.corrected_successes) for told in truth.advice]
    assert sorted(tuple(row.values()) for row in corrected) == sorted(expected)


@pytest.mark.slow
def test_advice_of_a_simulated_workload_is_told_apart(simulated: tuple[TinyLake, Truth]) -> None:
    tiny, truth = simulated
    worth = {
        (told.task_class, re.sub(r"[0-9]+", "<*>", told.advice)): "helps" if told.effect > 0 else "no_effect"
        for told in truth.advice
    }
    rows = tiny.ask("FROM operations.correction_effects WHERE scope = 'advice'")
    assert {(row["task_class"], row["template"]): row["effect"] for row in rows} == worth
    assert all(row["control_retries"] > 300 and row["carried_over_retries"] > 0 for row in rows)
