"""Claims and what they cite."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oplake.synthesis.cites import cited, claims, unknown
from oplake.synthesis.transcript import Transcript
from oplake.synthesis.wire import Said, ToolCall

CALL = ToolCall("call-0", "query", "{}")


def test_each_sentence_of_each_text_is_a_claim() -> None:
    fields = {
        "summary": "Search is slow [n3]. It took 0.42 s, e.g. twice. [q1.0, n2] Nobody knows why",
        "points": ["Rows are missing [n1][n3]!\n- and late", ""],
        "stages": [{"name": "Ask for less [c1].", "expected_days": 7}],
        "is_late": True,
    }
    assert claims(fields) == [
        {"field": "summary", "text": "Search is slow [n3].", "cites": ["n3"]},
        {"field": "summary", "text": "It took 0.42 s, e.g. twice. [q1.0, n2]", "cites": ["q1.0", "n2"]},
        {"field": "summary", "text": "Nobody knows why", "cites": []},
        {"field": "points[0]", "text": "Rows are missing [n1][n3]!", "cites": ["n1", "n3"]},
        {"field": "points[0]", "text": "- and late", "cites": []},
        {"field": "stages[0].name", "text": "Ask for less [c1].", "cites": ["c1"]},
    ]


def test_a_cite_after_the_full_stop_is_that_of_all_before_it() -> None:
    """The embedded author cites a whole note behind it; its first sentence would else lead nowhere."""
    text = "Slow [n1]. It did not listen. I asked twice. [n2] Nobody knows. It is [n3]. The end. [n4, n5]"
    assert [(claim["text"], claim["cites"]) for claim in claims({"summary": text})] == [
        ("Slow [n1].", ["n1"]),
        ("It did not listen.", ["n2"]),
        ("I asked twice. [n2]", ["n2"]),
        ("Nobody knows.", []),
        ("It is [n3].", ["n3"]),
        ("The end. [n4, n5]", ["n4", "n5"]),
    ]


@pytest.mark.parametrize("text", ["[search] find staff", "[1]", "[sic]", "[n3", "[n3](url", "x[]", "[n 3]"])
def test_other_brackets_are_text(text: str) -> None:
    assert cited(text) == (["n3"] if text.startswith("[n3]") else [])


def test_ids_that_nobody_gave_are_told() -> None:
    found = claims({"summary": "A [n1]. B [n9, n1]. C [n9]."})
    assert unknown(found, {"n1", "n2"}) == ["n9"]
    assert unknown(found, {"n1", "n9"}) == []


def test_evidence_that_is_cited_in_a_list_stays_in_the_transcript() -> None:
    """A pattern of its own for single ids dropped what `[q0.0, q1.0]` rests on when room was short."""
    transcript = Transcript("system", "facts")
    for turn in range(4):
        transcript.answer(Said("Failures rose [q0.0, q1.0]." if turn == 3 else "Let me see.", tool_calls=(CALL,)))
        transcript.result(CALL.id, f"result {turn}", f"q{turn}.0")
    assert transcript.older_half() == []
    transcript = Transcript("system", "facts")
    for turn in range(4):
        transcript.answer(Said("Let me see.", tool_calls=(CALL,)))
        transcript.result(CALL.id, f"result {turn}", f"q{turn}.0")
    assert [each["content"] for each in transcript.older_half()] == [
        "Let me see.",
        "result 0",
        "Let me see.",
        "result 1",
    ]


@given(st.text(alphabet="aB1. \n[]n,!?e\t"))
def test_nothing_of_a_text_is_lost(text: str) -> None:
    found = claims({"summary": text})
    assert "".join("".join(claim["text"].split()) for claim in found) == "".join(text.split())
    assert list(dict.fromkeys(each for claim in found for each in claim["cites"])) == cited(text)


def test_a_row_of_dots_takes_no_time() -> None:
    """Looking for the end of the sentence from each of them anew takes the square of their number: 8 s for these."""
    dots = "." * 50_000
    began = time.monotonic()
    assert [claim["text"] for claim in claims({"a": dots})] == [dots]
    assert time.monotonic() - began < 2
