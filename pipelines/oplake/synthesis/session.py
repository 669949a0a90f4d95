"""What has landed of one piece of work: the recorded turns, results and notes that a resumed run goes by.

There is no checkpoint but the events themselves. Answers of models are not here: the cache serves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from oplake.synthesis.memory import SOURCE, Memory

ANSWERED = frozenset({"ok", "raw"})  # statuses of work that ended with an answer
DELIVERED = "operator_note_delivered"  # the `action` of the audit event that marks a note


@dataclass(frozen=True)
class Result:
    """What a tool gave back, as it landed."""

    text: str
    is_ok: bool
    is_escape: bool
    event_id: str = ""  # of the event that holds it


@dataclass
class Session:
    """The record of one session; empty when it has not begun."""

    session_id: str
    turns: set[int] = field(default_factory=set)
    results: dict[tuple[int, int], Result] = field(default_factory=dict)  # by turn and call
    notes: dict[int, list[str]] = field(default_factory=dict)  # ids of the notes told before a turn
    dropped: dict[int, int] = field(
        default_factory=dict
    )  # turns before which the older half was dropped without a digest, and which turn came next
    events: set[tuple[str, int | None, str]] = field(default_factory=set)  # type, turn and content of each that landed
    begun_at: datetime | None = None
    versions: dict[str, int] = field(default_factory=dict)  # of the lake's tables, as the work saw them
    is_finished: bool = False


def read_session(memory: Memory, session_id: str) -> Session:
    """What has landed of a session."""
    session = Session(session_id)
    session.turns = {turn["turn_index"] for turn in memory.find("turn", session_id=session_id, source=SOURCE)}
    for event in memory.find("session_event", session_id=session_id, source=SOURCE):
        turn, detail = event["turn_index"], event["detail"]
        session.events.add((event["event_type"], turn, event["content"]))
        match event["event_type"]:
            case "checkpoint":
                session.begun_at = event["ts"]
                session.versions = msgspec.json.decode(event["content"], type=dict[str, int])
            case "artifact":
                result = Result(event["content"], detail["is_ok"], detail["is_escape"], event["event_id"])
                session.results[turn, detail["call_index"]] = result
            case "audit" if detail.get("action") == DELIVERED:
                session.notes.setdefault(turn, []).append(detail["details"])
            case "compressed" if not detail["has_digest"]:
                session.dropped[turn] = detail.get("next_turn", turn)
            case "done":
                session.is_finished = detail["status"] in ANSWERED
    return session


def due_notes(
    memory: Memory, asset: str, partition: str, user_id: str | None, *, is_newest: bool, session_id: str = ""
) -> list[dict[str, Any]]:
    """Operator notes that this work has yet to be told, oldest first.

    A note for a user is told once, to whatever next asks about that user. A note for an asset is told in one partition
    of it, the newest one of a run, and there once for each user: who writes "mind the outage of Monday" means the
    whole report, and not one of last week of which some row is tried again.
    """
    targets = [target for target in (asset, user_id, session_id) if target]
    marks: dict[str, list[Mapping[str, Any]]] = {}
    for event in memory.find("session_event", event_type="audit", source=SOURCE):
        if event["detail"].get("action") == DELIVERED:
            marks.setdefault(event["detail"]["details"], []).append(event["detail"])

    def is_due(note: Mapping[str, Any]) -> bool:
        told = marks.get(note["event_id"], [])
        if not told:
            return is_newest or note["target"] != asset
        return note["target"] == asset and all(
            mark["partition"] == partition and mark["user_id"] != user_id for mark in told
        )

    return [note for note in memory.find("operator_note", target=targets) if is_due(note)]


def told_at_start(memory: Memory, asset: str, partition: str, user_id: str | None) -> list[str]:
    """Ids of the notes that earlier sessions of this very work began with: they are part of what was asked."""
    return [
        event["detail"]["details"]
        for event in memory.find("session_event", event_type="audit", source=SOURCE)
        if event["turn_index"] == 0
        and event["detail"].get("action") == DELIVERED
        and (event["detail"]["asset"], event["detail"]["partition"], event["detail"]["user_id"])
        == (asset, partition, user_id)
    ]
