"""Rejects: listed with their place and reason, and taken in again once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.landed_events import NOON, NOW, land, land_bytes, prepare, rows, step, take_in

from oplake.lake.errors import LakeError
from oplake.lake.rejects import list_rejects, replay
from oplake.landing.accept import reject
from oplake.settings import Settings

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def settings(home: Path) -> Settings:
    return prepare(Settings(home=home))


def refused_once(raw: bytes, *, offset: int = 0) -> bytes:
    """A reject that an earlier oplake landed, of a line that the present one understands."""
    return reject(raw, reason="kind: unknown", origin="http", line=0, byte_offset=offset, received_at=NOON).line


def test_an_empty_home_has_no_rejects(home: Path) -> None:
    settings = Settings(home=home)
    assert list_rejects(settings) == []
    assert replay(settings, now=NOW).replayed == ()


def test_rejects_are_listed_with_their_bytes_and_place(settings: Settings) -> None:
    land_bytes(settings, step(1) + b"\n\xff\xfe\nnonsense\n")
    take_in(settings)
    first, second = list_rejects(settings)
    assert (first.raw, first.line, first.byte_offset) == (b"\xff\xfe", 2, len(step(1)) + 1)
    assert (second.raw, second.line, second.is_open) == (b"nonsense", 3, True)
    assert list_rejects(settings, reason=second.reason[:10], is_open=False) == []
    assert list_rejects(settings, origin="elsewhere") == []


def test_a_replay_lands_the_event_and_closes_the_reject(settings: Settings) -> None:
    raw = b'{"kind": "note", "user_id": "u", "note": "hello"}'
    land(settings, [refused_once(raw), refused_once(b"nonsense", offset=9)])
    take_in(settings)
    report = replay(settings, now=LATER)
    assert len(report.replayed) == len(report.refused) == 1
    take_in(settings, now=LATER)
    [note] = rows(settings, "landed.notes")
    assert (note["note"], note["received_at"]) == ("hello", NOON)
    [told] = rows(settings, "landed.replays")
    assert (told["reject_id"], told["replayed_event_id"]) == (report.replayed[0], note["event_id"])
    assert [each.is_open for each in list_rejects(settings)] == [False, True]
    assert len(list_rejects(settings, is_open=True)) == 1


@pytest.mark.parametrize("is_ingested_between", [True, False])
def test_a_second_replay_adds_nothing(settings: Settings, is_ingested_between: bool) -> None:
    """An id or a time of the second attempt would make it another event."""
    land(settings, [refused_once(b'{"kind": "note", "user_id": "u", "note": "hello"}')])
    take_in(settings)
    replay(settings, now=LATER)
    if is_ingested_between:
        take_in(settings, now=LATER)
    replay(settings, now=LATER + timedelta(days=3))
    report = take_in(settings, now=LATER + timedelta(days=3))
    assert (len(rows(settings, "landed.notes")), len(rows(settings, "landed.replays")), report.rejects) == (1, 1, 0)


def test_a_conflict_stays_open(settings: Settings) -> None:
    """Its identity is taken: taken in again it would only conflict again, as one more reject each time."""
    land(settings, [step(1), step(1, description="other")])
    take_in(settings)
    [reason] = replay(settings, now=LATER).refused.values()
    assert "identity" in reason
    assert take_in(settings, now=LATER).bytes == 0


def test_only_the_rejects_asked_for_are_replayed(settings: Settings) -> None:
    lines = [b'{"kind": "note", "user_id": "u", "note": "%d"}' % n for n in range(3)]
    land(settings, [refused_once(line, offset=n) for n, line in enumerate(lines)])
    take_in(settings)
    wanted = list_rejects(settings)[1].event_id
    assert replay(settings, now=LATER, ids=[wanted]).replayed == (wanted,)
    with pytest.raises(LakeError, match="no reject nobody"):
        replay(settings, now=LATER, ids=["nobody"])


def test_what_came_from_a_file_is_replayed_only_when_it_is_whole(settings: Settings) -> None:
    """The map, the date that its place gives it and its identity are with the file: an event made without them would be
    dated by the import, and be another one than importing again makes."""
    note = b'{"kind": "note", "user_id": "u", "note": "hello"}'
    whole = note[:-1] + b', "event_id": "n1", "ts": "2026-01-05T00:00:00Z"}'
    land(
        settings,
        [
            reject(raw, reason="r", origin="jsonl:0123456789ab", line=n, byte_offset=n, received_at=NOON).line
            for n, raw in enumerate([note, whole, b'{"who": "u"}'], start=1)
        ],
    )
    take_in(settings)
    report = replay(settings, now=LATER)
    assert len(report.replayed) == 1
    assert all("came from a file" in reason for reason in report.refused.values())
    take_in(settings, now=LATER)
    assert [row["event_id"] for row in rows(settings, "landed.notes")] == ["n1"]
