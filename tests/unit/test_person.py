"""What belongs to a person, line by line, and what is said of them elsewhere."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.landed_events import NOON, event

from oplake.landing.accept import accept_landed, reject
from oplake.landing.person import NEUTRAL, Known, Person, Search

ANN = "u-ann-lee"
SAID = "my sister's wedding is on the 14th, so no overtime"


def person(*lines: bytes, user: str = ANN) -> Person:
    """The person, once all these lines have been searched and learned from."""
    search = Search(user)
    for line in lines:
        search.look(line)
    found = Person(search.known())
    for place, line in enumerate(lines):
        if found.judge(line, "s", place) is None:
            found.learn(line, "s", place)
    return Person(found.known)


def turn(event_id: str, session: str, index: int = 0, user: str | None = ANN, **more: Any) -> bytes:
    return event("turn", event_id, session_id=session, turn_index=index, user_id=user, provider="p", model="m", **more)


def in_session(kind: str, session: str, index: int = 0, **more: Any) -> bytes:
    fields: dict[str, dict[str, Any]] = {
        "tool_call": {"turn_index": index, "call_index": 0, "tool_name": "t", "ok": True, "duration_ms": 1},
        "patch": {"turn_index": index, "path": "p"},
        "session_event": {"turn_index": index, "event_type": "response", "content": "c"},
        "op": {"endpoint": "e", "success": True, "duration_ms": 1},
        "playbook_served": {"entry_id": "e", "entry_version": 1, "task_class": "c", "withheld": False},
    }
    return event(kind, f"{kind}-{session}-{index}", session_id=session, **fields[kind], **more)


KINDS_OF_SESSIONS = ("tool_call", "patch", "session_event", "op", "playbook_served")


def test_their_sessions_go_with_all_that_is_in_them() -> None:
    ann = person(turn("1", "s1"), turn("2", "s2", user="u-bob"), turn("3", "s1", 1, user=None))
    for kind in KINDS_OF_SESSIONS:
        assert ann.judge(in_session(kind, "s1"), "s", 0) is None
        assert ann.judge(in_session(kind, "s2"), "s", 0) == in_session(kind, "s2")
    assert ann.judge(turn("3", "s1", 1, user=None), "s", 0) is None
    assert ann.judge(event("note", "n", user_id=ANN, note="x"), "s", 0) is None
    assert ann.judge(event("operator_note", "o", target=ANN, message="x"), "s", 0) is None
    assert ann.judge(event("operator_note", "o", target="s1", message="x"), "s", 0) is None


def test_of_a_shared_session_only_their_own_turns_go() -> None:
    """To take the whole session would forget what somebody else said in it."""
    bobs = turn("2", "s1", 1, user="u-bob")
    ann = person(turn("1", "s1", 0), bobs)
    assert ann.judge(bobs, "s", 0) == bobs
    for kind in ("tool_call", "patch", "session_event"):
        assert ann.judge(in_session(kind, "s1", 0), "s", 0) is None
        assert ann.judge(in_session(kind, "s1", 1), "s", 0) == in_session(kind, "s1", 1)
    assert ann.judge(in_session("op", "s1"), "s", 0) is not None


def test_what_synthesis_wrote_about_them_goes_by_its_detail() -> None:
    about = {"event_type": "artifact", "content": "{}", "source": "oplake.synthesis", "session_id": "x"}
    detail = {"asset": "users.daily_reports", "partition": "2026-01-05", "user_id": ANN}
    ann = person()
    assert ann.judge(event("session_event", "1", detail=detail, **about), "s", 0) is None
    bobs = event("session_event", "1", detail=detail | {"user_id": "u-bob"}, **about)
    assert ann.judge(bobs, "s", 0) == bobs


def asked(event_id: str, user: str | None, session: object) -> bytes:
    """A call of a model about somebody; it keeps its session among what no field is for."""
    told = {"asset": "a", "partition": "p", "step": "answer", "provider": "p", "model": "m", "prompt_hash": "h"}
    told |= {"prompt_version": "v", "status": "ok", "source": "oplake.synthesis"}
    return event("llm_call", event_id, user_id=user, session_id=session, turn_index=0, **told)


def written(event_id: str, user: str | None, session: str) -> list[bytes]:
    """What lands of an author's session about somebody: only the call says about whom."""
    said = {"user_message": "Write about the notes below: [n1] gout", "response": "Gouty."}
    return [
        asked(f"{event_id}-call", user, session),
        turn(f"{event_id}-turn", session, user=None, source="oplake.synthesis", **said),
        in_session("session_event", session, source="oplake.synthesis"),
        in_session("tool_call", session, source="oplake.synthesis"),
    ]


def test_sessions_of_an_author_are_whose_their_calls_say() -> None:
    """The words about them stand in turns and events that name nobody; prompts are no quotes, for all share them."""
    anns, bobs, teams = written("1", ANN, "a/1"), written("2", "u-bob", "a/2"), written("3", None, "a/3")
    ann = person(*anns, *bobs, *teams, asked("4", ANN, ["no session"]))
    assert [ann.judge(line, "s", 0) for line in anns] == [None] * 4
    assert [ann.judge(line, "s", 0) for line in [*bobs, *teams]] == [*bobs, *teams]


def span(event_id: str, trace: str, **attributes: str) -> bytes:
    return event(
        "span",
        event_id,
        trace_id=trace,
        span_id=event_id,
        name="chat",
        started_at=NOON.isoformat(),
        ended_at=NOON.isoformat(),
        attributes={name.replace("_", "."): value for name, value in attributes.items()},
    )


def test_a_trace_goes_whole_by_any_span_that_names_them_or_their_session() -> None:
    lines = [
        span("1", "t1", user_id=ANN, session_id="chat-1"),
        span("2", "t1"),
        span("3", "t2", session_id="chat-1"),
        span("4", "t3", session_id="chat-2", user_id="u-bob"),
    ]
    ann = person(*lines)
    assert [ann.judge(line, "s", 0) is None for line in lines] == [True, True, True, False]
    assert ann.judge(in_session("op", "chat-1"), "s", 0) is None


def test_where_others_name_them_it_says_so_no_more() -> None:
    line = event("op", "1", endpoint="e", success=True, duration_ms=2, input_summary=f"call {ANN}, or ask her team")
    judged = person().judge(line, "s", 0)
    assert judged is not None
    assert msgspec.json.decode(judged)["input_summary"] == "call *********, or ask her team"
    assert accept_landed(judged).line == judged


def test_longer_ids_become_the_neutral_text_in_json_within_json() -> None:
    user = "ann.lee@example.org"
    inner = json.dumps({"to": user, "why": f"line one\n{user} said"})
    line = event("session_event", "1", session_id="s", event_type="artifact", content=inner, detail={user: [user]})
    judged = person(user=user).judge(line, "s", 0)
    assert judged is not None
    assert user.encode() not in judged
    made = msgspec.json.decode(judged)
    assert json.loads(made["content"]) == {"to": NEUTRAL, "why": f"line one\n{NEUTRAL} said"}
    assert made["detail"] == {NEUTRAL: [NEUTRAL]}


@pytest.mark.parametrize(
    ("user", "text", "expected"),
    [
        ("ann", "ann, Ann and anna; joann", "***, Ann and anna; joann"),
        ("ann", "/home/ann/x.md chat-ann ann's", "/home/***/x.md chat-*** ***'s"),
        ("42", "took 42 ms", "took 42 ms"),
        ("42", "42", "**"),
        ("42", '{"user": "42", "ms": 42}', '{"user": "**", "ms": 42}'),
        ("true", "it is true", "it is true"),
        ("mary.ann", "ann", "ann"),
    ],
)
def test_what_counts_as_their_name(user: str, text: str, expected: str) -> None:
    assert Person(Known(user)).neutral(text) == expected


def test_the_ids_of_others_are_left_alone() -> None:
    """ann@x.org stands within mary-ann@x.org as a whole word, and is somebody else."""
    marys = event("note", "1", user_id="mary-ann@x.org", note="as ann@x.org said")
    judged = person(marys, user="ann@x.org").judge(marys, "s", 0)
    assert judged is not None
    assert msgspec.json.decode(judged)["user_id"] == "mary-ann@x.org"
    assert msgspec.json.decode(judged)["note"] == "as ********* said"


def test_quotations_go_where_they_are_named_and_from_reports_about_all() -> None:
    note = event("note", "1", user_id=ANN, note=SAID)
    ann = person(note)
    named = event("op", "2", endpoint="e", success=True, duration_ms=1, output_summary=f"{ANN}: {SAID}")
    call = dict.fromkeys(("asset", "partition", "step", "provider", "model", "prompt_hash", "prompt_version"), "x")
    call |= {"source": "oplake.synthesis", "status": "ok", "response": f"One wrote: {SAID}."}
    report = event("llm_call", "3", **call)
    for line in (named, report):
        judged = ann.judge(line, "s", 0)
        assert judged is not None
        assert SAID.encode() not in judged


def test_a_template_of_what_they_said_is_a_quotation_too() -> None:
    """Tables of messages fold numbers away; the sentence would still be theirs."""
    said = "since gate 12 opened, my sister has been waiting for the night shift"
    ann = person(event("note", "1", user_id=ANN, note=said))
    folded = ann.neutral("gave up: since gate <*> opened, my sister has been waiting for the night shift")
    assert folded == f"gave up: since gate <*> {NEUTRAL}"


def test_rejects_that_name_or_quote_them_go_whole() -> None:
    ann = person(event("note", "1", user_id=ANN, note=SAID), turn("2", "s-of-ann"))
    for raw in (
        f'{{"user_id": "{ANN}"'.encode(),
        f'{{"note": "{SAID}", "us'.encode(),
        b'{"kind":"op","session_id":"s-of-ann",',
        f'{{"user_id": "{ANN}", "x": \xff}}'.encode("latin-1"),
        f"user {ANN}".encode("utf-16-le"),
    ):
        line = reject(raw, reason="r", origin="http", line=0, byte_offset=0, received_at=NOON).line
        assert ann.judge(line, "s", 0) is None, raw
        assert ann.judge(raw, "s", 0) is None, "nor may the line itself stay"
    other = reject(b"nonsense", reason="r", origin="http", line=0, byte_offset=0, received_at=NOON).line
    assert ann.judge(other, "s", 0) == other
    assert base64.b64encode(b"x") not in other


def test_the_replay_of_a_reject_goes_with_it() -> None:
    made = reject(f"{{{ANN}".encode(), reason="r", origin="http", line=0, byte_offset=0, received_at=NOON)
    again = event("replay", "r", reject_id=made.event.event_id, replayed_event_id="x")
    assert person(made.line).judge(again, "s", 0) is None
    assert person().judge(again, "s", 0) == again


@given(
    user=st.text(min_size=1, max_size=12),
    texts=st.lists(st.text(max_size=40), min_size=1, max_size=3),
    place=st.integers(0, 2),
)
def test_no_line_grows_and_no_whole_value_stays(user: str, texts: list[str], place: int) -> None:
    """Every byte of a segment keeps its place only if no line becomes longer."""
    texts.insert(min(place, len(texts)), user)
    said = {"kind": "session_event", "event_id": "1", "detail": {"said": texts}, "content": json.dumps(texts)}
    line = msgspec.json.encode(said)
    judged = Person(Known(user)).judge(line, "s", 0)
    assert judged is not None
    assert len(judged) <= len(line)
    made = msgspec.json.decode(judged)
    assert user not in made["detail"]["said"] or set(user) == {"*"}
    assert made.keys() == said.keys()
