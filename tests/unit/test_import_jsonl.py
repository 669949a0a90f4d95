"""Importing JSON lines: identity by content, times by content, rejects with their place, maps."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.importing import bodies, landed

from oplake.events import SYNTHESIS
from oplake.landing.importers import Imported, NotImportable, Place, jsonl
from oplake.landing.importers.jsonl import BadMap, Rule, import_jsonl, parse_map
from oplake.landing.writer import SegmentWriter

TODAY = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOMORROW = datetime(2026, 3, 2, 12, tzinfo=UTC)
START = date(2026, 1, 1)
NOTE = {"kind": "note", "ts": "2026-01-02T03:04:05Z", "user_id": "u1", "note": "fine"}


def imported(
    folder: Path, source: Path | bytes, *, received_at: datetime = TODAY, maps: Sequence[str] = (), **options: Any
) -> tuple[Imported, list[dict[str, Any]]]:
    """Import into landing of its own; returns the summary and what landed."""
    with_rules = parse_map(maps)
    writer = SegmentWriter(folder)
    already = len(landed(folder))
    try:
        done = import_jsonl(
            io.BytesIO(source) if isinstance(source, bytes) else source,
            writer,
            received_at=received_at,
            mapping=with_rules,
            **options,
        )
    finally:
        writer.close()
    return done, landed(folder)[already:]


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


# --- identity and time ------------------------------------------------------------------------------------------------


def test_importing_again_tomorrow_makes_the_same_events(tmp_path: Path) -> None:
    """Forbids ids or times that depend on the clock, for rejects too: their day would be another one."""
    content = lines(NOTE, {"no": "kind"}, NOTE)
    _, first = imported(tmp_path, content, received_at=TODAY)
    _, second = imported(tmp_path, content, received_at=TOMORROW)
    assert bodies(first) == bodies(second)
    assert {event["received_at"][:10] for event in second} == {"2026-03-02"}


@pytest.mark.parametrize("name", ["moved/again.jsonl", "packed.jsonl.gz", "packed.jsonl.zst"])
def test_a_copy_under_another_name_is_the_same_content(tmp_path: Path, name: str) -> None:
    content = lines(NOTE, {"no": "kind"}, NOTE)
    original, copy = tmp_path / "original.jsonl", tmp_path / name
    original.write_bytes(content)
    copy.parent.mkdir(exist_ok=True)
    pack = {".gz": gzip.compress, ".zst": zstandard.compress}.get(copy.suffix, bytes)
    copy.write_bytes(pack(content))
    assert bodies(imported(tmp_path / "a", original)[1]) == bodies(imported(tmp_path / "b", copy)[1])


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    content = lines(NOTE, {**NOTE, "note": "second"})
    dressed = b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n")
    assert bodies(imported(tmp_path / "a", content)[1]) == bodies(imported(tmp_path / "b", dressed)[1])


def test_a_file_that_has_grown_adds_only_what_is_new(tmp_path: Path) -> None:
    """Forbids an identity by the hash of the whole file: a log that goes on would come in again from its beginning."""
    content = lines(*({**NOTE, "note": str(number)} for number in range(5)))
    _, first = imported(tmp_path, content.rstrip(b"\n"))
    _, second = imported(tmp_path, content + lines({**NOTE, "note": "new"}))
    assert [event["event_id"] for event in second][:5] == [event["event_id"] for event in first]
    assert len({event["event_id"] for event in second}) == 6


def test_the_same_line_at_two_places_is_two_events(tmp_path: Path) -> None:
    _, events = imported(tmp_path, lines(NOTE, NOTE))
    assert len({event["event_id"] for event in events}) == 2


def test_ids_and_times_that_lines_have_are_kept(tmp_path: Path) -> None:
    _, [event] = imported(tmp_path, lines({**NOTE, "event_id": "mine", "extra_key": 1}))
    assert event["event_id"] == "mine"
    assert event["ts"] == "2026-01-02T03:04:05Z"
    assert event["extra"] == {"extra_key": 1}


def test_lines_without_time_are_dated_from_the_start_by_their_place(tmp_path: Path) -> None:
    undated = {key: value for key, value in NOTE.items() if key != "ts"}
    _, events = imported(tmp_path, b"\n" + lines(undated, undated), start=START)
    assert [event["ts"] for event in events] == ["2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"]


def test_lines_without_time_are_refused_without_a_start(tmp_path: Path) -> None:
    """Forbids dating them by the clock: importing tomorrow would make other events."""
    done, [reject] = imported(tmp_path, lines({"kind": "note", "user_id": "u", "note": "n"}))
    assert done.taken == 0
    assert "--start" in reject["reason"]


def test_history_is_not_suspect(tmp_path: Path) -> None:
    _, [event] = imported(tmp_path, lines({**NOTE, "ts": "2019-05-01T00:00:00Z"}))
    assert event["ts"] == "2019-05-01T00:00:00Z"
    assert "ts_suspect" not in event


def test_a_kind_is_filled_in_for_lines_that_do_not_say(tmp_path: Path) -> None:
    _, [event] = imported(tmp_path, lines({key: NOTE[key] for key in ("ts", "user_id", "note")}), kind="note")
    assert event["kind"] == "note"


# --- lines that cannot be used ----------------------------------------------------------------------------------------

DEEP = b"[" * 100_000 + b"]" * 100_000
HUGE = b"9" * 30 + b',"description":"d"'
BAD = {
    "torn": b'{"kind":"note","ts":"2026-01-02T03:04:05Z","user_id":"u","no',
    "nul bytes": b"\x00\x00\x00",
    "nul within": b'{"kind":"note","ts":"2026-01-02T03:04:05Z","user_id":"u","note":"a\x00b"}',
    "not utf-8": b'{"kind":"note","ts":"2026-01-02T03:04:05Z","user_id":"u","note":"\xff\xfe"}',
    "nested": b'{"kind":"note","ts":"2026-01-02T03:04:05Z","user_id":"u","note":"n","x":' + DEEP + b"}",
    "array": b"[1,2,3]",
    "text": b"hello",
    "nan": b'{"kind":"op","ts":"2026-01-02T03:04:05Z","endpoint":"e","success":true,"duration_ms":NaN}',
    "infinite": b'{"kind":"op","ts":"2026-01-02T03:04:05Z","endpoint":"e","success":true,"duration_ms":1e999}',
    "huge integer": b'{"kind":"step","ts":"2026-01-02T03:04:05Z","action_id":"a","step_index":' + HUGE + b"}",
    "twice": b'{"kind":"note","ts":"2026-01-02T03:04:05Z","user_id":"u","user_id":"v","note":"n"}',
    "no offset": b'{"kind":"note","ts":"2026-01-02T03:04:05","user_id":"u","note":"n"}',
    "no kind": b'{"ts":"2026-01-02T03:04:05Z"}',
    "unknown kind": b'{"kind":"nothing","ts":"2026-01-02T03:04:05Z"}',
    "empty object": b"{}",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_a_reject_with_its_place_and_its_neighbours_land(tmp_path: Path, name: str) -> None:
    good = lines(NOTE)
    done, events = imported(tmp_path, good + b"\r\n" + BAD[name] + b"\n" + good)
    assert [event["kind"] for event in events] == ["note", "reject", "note"]
    reject = events[1]
    assert (reject["line"], reject["byte_offset"]) == (3, len(good) + 2)
    assert reject["origin"] == done.origin
    assert reject["raw_bytes"] == len(BAD[name])
    assert done.rejected == 1
    assert done.taken == 2
    assert done.first_rejects[0].place == Place(3, len(good) + 2)
    assert done.first_rejects[0].reason == reject["reason"]
    assert reject["ts"] == NOTE["ts"]  # that of the event before it: the content's time, not the import's


def test_a_ten_megabyte_string_is_cut_not_rejected(tmp_path: Path) -> None:
    done, [event] = imported(tmp_path, lines({**NOTE, "note": "x" * 10_000_000}))
    assert done.rejected == 0
    assert 9_000 < len(event["note"]) <= 10_000


def test_a_line_beyond_the_limit_is_refused_without_being_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forbids reading a line whole whatever its length: one line without an end would fill the memory."""
    monkeypatch.setattr(jsonl, "LINE_LIMIT", 1_000)
    good = lines(NOTE)
    done, events = imported(tmp_path, good + b'{"kind":"' + b"x" * 5_000 + b'"}\n' + good)
    assert [event["kind"] for event in events] == ["note", "reject", "note"]
    assert "5011 bytes" in events[1]["reason"]
    assert events[1]["raw_bytes"] == 1_000
    assert done.taken == 2


@pytest.mark.parametrize("length", [999, 1_000, 1_001, 2_000])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_lines_around_the_limit_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, end: bytes
) -> None:
    monkeypatch.setattr(jsonl, "LINE_LIMIT", 1_000)
    done, events = imported(tmp_path, lines(NOTE) + b"x" * length + end)
    assert (done.taken, done.rejected) == (1, 1)
    assert events[1]["line"] == 2


def test_secrets_are_redacted_in_events_and_in_rejects(tmp_path: Path) -> None:
    secret = "ghp_" + "aB3dE6gH9" * 4
    _, events = imported(tmp_path, lines({**NOTE, "note": f"use {secret}"}) + f"use {secret} now\n".encode())
    assert secret not in json.dumps(events)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.one_of(st.binary(max_size=40), st.just(lines(NOTE)), st.just(b"\n")), max_size=8))
def test_every_line_that_says_something_is_counted_once(tmp_path: Path, parts: list[bytes]) -> None:
    """Whatever the bytes: each line that is not blank becomes one event or one reject."""
    content = b"".join(parts)
    done, events = imported(tmp_path, content)
    without_mark = content.removeprefix(b"\xef\xbb\xbf")
    said = [line for line in without_mark.split(b"\n") if line.rstrip(b"\r").strip(b" \t")]
    assert done.taken + done.rejected == len(events) == len(said)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_packed_file_that_breaks_off_keeps_what_precedes(tmp_path: Path) -> None:
    content = lines(*({**NOTE, "note": f"{number} " * 50} for number in range(3_000)))
    whole = gzip.compress(content)
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NotImportable, match="breaks off"):
        imported(tmp_path / "landing", path)
    first = landed(tmp_path / "landing")
    path.write_bytes(whole)
    done, _ = imported(tmp_path / "landing", path)
    assert done.taken == 3_000
    good = [event for event in first if event["kind"] == "note"]
    assert good
    assert len({event["event_id"] for event in landed(tmp_path / "landing") if event["kind"] == "note"}) == 3_000


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotImportable, match="cannot read"):
        imported(tmp_path, tmp_path / "absent.jsonl")


def test_an_empty_file_is_no_error(tmp_path: Path) -> None:
    done, events = imported(tmp_path, b"")
    assert (done.taken, done.rejected, events) == (0, 0, [])


def test_progress_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_bytes(lines(*([NOTE] * 2_500)))
    seen: list[tuple[int, int]] = []
    imported(tmp_path / "landing", path, progress=lambda done, size: seen.append((done, size)))
    assert len(seen) == 2
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


# --- maps -------------------------------------------------------------------------------------------------------------

TICKET = {
    "created": 1_767_323_045,
    "who": {"id": 42, "mail": "a@example.org"},
    "lines": [{"text": "it works"}],
    "a.b": "dotted",
    "status": "closed",
}


def test_a_map_takes_fields_from_anywhere_in_a_line(tmp_path: Path) -> None:
    maps = [
        "ts=created",
        "user_id=who.id",
        "note=lines.0.text",
        'session_id="a.b"',
        "source='helpdesk'",
        "turn_index:=3",
    ]
    done, [event] = imported(tmp_path, lines(TICKET), kind="note", maps=maps)
    assert done.by_kind == {"note": 1}
    assert event["ts"] == "2026-01-02T03:04:05Z"
    assert {key: event[key] for key in ("user_id", "note", "session_id", "source", "turn_index")} == {
        "user_id": "42",
        "note": "it works",
        "session_id": "dotted",
        "source": "helpdesk",
        "turn_index": 3,
    }


def test_what_is_not_mapped_whole_is_kept_in_extra(tmp_path: Path) -> None:
    """Forbids dropping in silence what a map does not name: of `who` only the id was taken."""
    _, [event] = imported(tmp_path, lines(TICKET), kind="note", maps=["ts=created", "user_id=who.id", "note=status"])
    assert event["extra"] == {key: TICKET[key] for key in ("who", "lines", "a.b")}


def test_keys_below_a_json_field_can_be_mapped(tmp_path: Path) -> None:
    row = {"run": "r1", "score": 0.5, "t": 1_767_323_045_000}
    maps = ["action_id=run", "ts=t", "outcome.reward=score", "outcome.status='completed'"]
    _, [event] = imported(tmp_path, lines(row), kind="action_completed", maps=maps)
    assert event["outcome"] == {"reward": 0.5, "status": "completed"}
    assert event["ts"] == "2026-01-02T03:04:05Z"


def test_one_file_gives_several_kinds_by_several_maps(tmp_path: Path) -> None:
    """Forbids ids by content alone: the beginning and the end of an action taken from one line would be one event."""
    row = {"run": "r1", "t": 1_767_323_045}
    _, [begun] = imported(
        tmp_path, lines(row), kind="action_begun", maps=["action_id=run", "ts=t", "agent_id='a'", "action_type='b'"]
    )
    _, [completed] = imported(tmp_path, lines(row), kind="action_completed", maps=["action_id=run", "ts=t"])
    assert begun["event_id"] != completed["event_id"]


def test_a_text_that_holds_an_object_becomes_it(tmp_path: Path) -> None:
    row = {"s": "s1", "t": "2026-01-02T03:04:05Z", "arguments": '{"a": 1}'}
    maps = ["session_id=s", "ts=t", "args=arguments", "turn_index:=0", "call_index:=0", "tool_name='x'", "ok:=true"]
    _, [event] = imported(tmp_path, lines(row), kind="tool_call", maps=maps)
    assert event["args"] == {"a": 1}


def test_the_kind_can_be_mapped(tmp_path: Path) -> None:
    rows = [{"what": "note", "t": 1_767_323_045, "u": "u", "n": "n"}, {"what": "dance", "t": 1_767_323_045}]
    done, events = imported(tmp_path, lines(*rows), maps=["kind=what", "ts=t", "user_id=u", "note=n"])
    assert [event["kind"] for event in events] == ["note", "reject"]
    assert "dance" in done.first_rejects[0].reason


def test_lines_that_a_map_does_not_fit_are_rejects(tmp_path: Path) -> None:
    done, events = imported(
        tmp_path,
        lines([1], {"t": 1_767_323_045}, {"u": "u"}) + b"nothing\n",
        kind="note",
        maps=["ts=t", "user_id=u", "note='n'"],
    )
    assert done.taken == 0
    assert len(events) == 4


@pytest.mark.parametrize(
    "text", ["note", "=a", "note=", "note=a..b", "note=.a", "success:=yes", "note='open", "no te=a", 'note="a']
)
def test_a_map_that_cannot_be_understood_says_why(text: str) -> None:
    with pytest.raises(BadMap, match="map"):
        parse_map([text])


def test_maps_are_read_as_written() -> None:
    assert parse_map(["a=b", "a=b.c", 'a="x.y".0', "a='it''s'", "a=''", "a:=[1]", "a.b.c=d"]) == (
        Rule("a", (), ("b",)),
        Rule("a", (), ("b", "c")),
        Rule("a", (), ("x.y", "0")),
        Rule("a", (), (), "it''s"),
        Rule("a", (), (), ""),
        Rule("a", (), (), [1]),
        Rule("a", ("b", "c"), ("d",)),
    )


@pytest.mark.parametrize(
    ("maps", "kind", "complaint"),
    [
        (["user_idd=u"], "note", "no field 'user_idd'"),
        (["note.x=u"], "note", "no keys"),
        (["note=u"], None, "needs a kind"),
        (["note=u"], "nota", "no kind 'nota'"),
        (["kind='nota'"], None, "no kind 'nota'"),
        ([], "nota", "no kind 'nota'"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_before_anything_is_read(
    tmp_path: Path, maps: list[str], kind: str | None, complaint: str
) -> None:
    with pytest.raises(BadMap, match=complaint):
        imported(tmp_path, lines(NOTE), maps=maps, kind=kind)
    assert landed(tmp_path) == []


@pytest.mark.parametrize("maps", [(), ("source=source", "user_id=user_id", "note=note", "ts=ts")])
def test_nobody_speaks_as_our_own_author(tmp_path: Path, maps: tuple[str, ...]) -> None:
    """What it lands is its cache and its reports: a line of a file would be served as an answer that was paid for."""
    content = lines(NOTE, {**NOTE, "source": SYNTHESIS}, NOTE)
    done, events = imported(tmp_path, content, maps=maps, kind="note")
    assert (done.taken, done.rejected) == (2, 1)
    assert done.first_rejects[0].place.line == 2
    assert f"the source {SYNTHESIS} is oplake's own" in done.first_rejects[0].reason
    assert [each["kind"] for each in events] == ["note", "reject", "note"]
