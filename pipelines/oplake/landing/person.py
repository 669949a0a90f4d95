"""What belongs to a person: which landed events are theirs, and which of others only name them.

`Search` looks at every line and gathers what tells (sessions, traces, what they said); `Person` then says of each line
what becomes of it when they are forgotten. docs/decisions/0090 says why so. Nothing here opens a file.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import msgspec

from oplake.events import SYNTHESIS
from oplake.landing.accept import accept_landed, reject
from oplake.landing.errors import Unusable

NEUTRAL = "[forgotten]"  # what stands where others named them; no longer than what it stands for
QUOTE_CHARS = 20  # of what they said: shorter texts are said by many, and are no quotation
WORD_CHARS = 3  # of an id that is looked for as a word; a shorter one only as a whole value

UNUSABLE = "unusable line"  # what counts are told of lines that are no event

_USER_KEYS = (
    "langfuse.user.id",
    "user.id",
    "enduser.id",
    "traceloop.association.properties.user_id",
    "ai.telemetry.metadata.userId",
)
_SESSION_KEYS = (
    "langfuse.session.id",
    "session.id",
    "traceloop.association.properties.session_id",
    "ai.telemetry.metadata.sessionId",
)
"""Where spans say whose they are, as `sql/otel/spans.sql` reads them."""

_OF_SESSIONS = frozenset({"turn", "tool_call", "patch", "session_event", "op", "playbook_served"})
_OF_TURNS = frozenset({"turn", "tool_call", "patch", "session_event"})
_SAID = {"note": "note", "turn": "user_message", "operator_note": "message"}
_KEPT_KEYS = frozenset({"kind", "ts", "received_at", "started_at", "ended_at", "event_type", "raw_encoding"})
_NO_WORDS = frozenset({"true", "false", "null"})
_WITH_DIGITS = re.compile(r"\S*\d\S*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Known(msgspec.Struct):
    """What the search found, and a run that was interrupted goes on with."""

    user: str
    sessions: set[str] = set()  # theirs as a whole
    turns: set[tuple[str, int]] = set()  # theirs, of sessions that they share
    traces: set[str] = set()
    rejects: set[str] = set()  # event ids of the rejects that go
    said: set[str] = set()  # long texts of theirs
    others: set[str] = set()  # ids of other users that have theirs in them as a word

    def add(self, other: Known) -> None:
        """Takes in what another search found of the same person."""
        for name in ("sessions", "turns", "traces", "rejects", "said", "others"):
            getattr(self, name).update(getattr(other, name))


class _Head(msgspec.Struct):
    """What a line says about whose it is."""

    kind: str
    event_id: str = ""
    source: str = ""
    user_id: str | None = None
    session_id: str | None = None
    turn_index: int | None = None
    target: str | None = None
    trace_id: str | None = None
    reject_id: str | None = None
    raw_encoding: str = ""
    detail: msgspec.Raw = msgspec.Raw(b"{}")
    extra: msgspec.Raw = msgspec.Raw(b"{}")
    attributes: msgspec.Raw = msgspec.Raw(b"{}")
    resource: msgspec.Raw = msgspec.Raw(b"{}")
    raw: msgspec.Raw = msgspec.Raw(b'""')


_head = msgspec.json.Decoder(_Head)
_spans = (b'{"kind":"span"', b'{"kind":"log"')
_telling = (b'{"kind":"turn"', b'{"kind":"note"', b'{"kind":"llm_call"', *_spans)
_kind_first = b'{"kind":"'


def _head_of(line: bytes) -> _Head | None:
    try:
        return _head.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class Search:
    """Looks through all lines for whose sessions and traces are whose."""

    def __init__(self, user: str) -> None:
        self._user = user
        self._word = _word(user)
        self._mine: dict[str, set[int]] = {}  # turns of theirs, by session
        self._of_others: set[str] = set()  # sessions with turns of somebody else
        self._sessions: dict[str, set[str]] = {}  # of each trace
        self._users: dict[str, set[str]] = {}  # named in each trace
        self._others: set[str] = set()

    def look(self, line: bytes) -> None:
        """Takes note of a line."""
        if line.startswith(_kind_first) and not line.startswith(_telling):
            return
        head = _head_of(line)
        if head is None:
            return
        user, session = head.user_id, head.session_id
        if head.kind in {"span", "log"} and head.trace_id:
            user, session = _told(head)
            if user:
                self._users.setdefault(head.trace_id, set()).add(user)
            if session:
                self._sessions.setdefault(head.trace_id, set()).add(session)
        if head.kind == "llm_call":  # of whom our own author writes in a session is said here, and in no turn of it
            told = _object(head.extra).get("session_id") if head.source == SYNTHESIS else None
            session = next(_texts([told]), None)
        if head.kind in {"turn", "span", "llm_call"} and session and user:
            if user == self._user:
                self._mine.setdefault(session, set()).update([] if head.turn_index is None else [head.turn_index])
            else:
                self._of_others.add(session)
        if user and user != self._user and self._word.search(user):
            self._others.add(user)

    def known(self) -> Known:
        """What was found. A session with turns of somebody else is shared: there only their own turns are theirs."""
        sessions = self._mine.keys() - self._of_others
        traces = {trace for trace, users in self._users.items() if users == {self._user}}
        is_news = True
        while is_news:
            found = {
                trace
                for trace, named in self._sessions.items()
                if not named.isdisjoint(sessions) and self._users.get(trace, {self._user}) == {self._user}
            }
            told = {session for trace in traces | found for session in self._sessions.get(trace, ())} - self._of_others
            is_news = not (found <= traces and told <= sessions)
            traces |= found
            sessions |= told
        return Known(
            self._user,
            sessions=set(sessions) | traces,  # a trace that names no session is one
            turns={(name, turn) for name, turns in self._mine.items() if name not in sessions for turn in turns},
            traces=traces,
            others=self._others,
        )


class Person:
    """Says of lines what becomes of them when a person is forgotten."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self._user = known.user
        self._written = {each.encode() for each in _spellings(known.user)}
        self._word = _word(known.user, known.others)

    def judge(self, line: bytes, segment: str, offset: int) -> bytes | None:
        """What a line becomes: itself, another that does not name them, or None when it is theirs."""
        head = _head_of(line)
        if head is None:
            return None if self._is_about(line) else line
        if self._owns(head):
            return None
        is_named = any(each in line for each in self._written)
        if is_named or (head.source == SYNTHESIS and self._is_for_all(head)):
            return self._without(line)
        return line

    def learn(self, line: bytes, segment: str, offset: int) -> str:
        """Takes note of what is lost with a line that is theirs; returns its kind."""
        head = _head_of(line)
        try:
            accept_landed(line)
        except Unusable:  # then ingest makes a reject of it, by this name
            made = reject(line, reason="", origin=segment, line=0, byte_offset=offset, received_at=_EPOCH)
            self.known.rejects.add(made.event.event_id)
        if head is None:
            return UNUSABLE
        if head.kind == "reject":
            self.known.rejects.add(head.event_id)
        if head.kind in _SAID and head.source != SYNTHESIS:  # a prompt is mostly words that stand in all prompts
            text = msgspec.json.decode(line).get(_SAID[head.kind])
            if isinstance(text, str) and len(text) >= QUOTE_CHARS:
                self.known.said.add(text)
        return head.kind

    def neutral(self, text: str) -> str:
        """A text that does not name them, and quotes nothing that they said."""
        text = self._word.sub(lambda found: found[0] if found["other"] else _neutral(found[0]), text)
        for said in self._quotes:
            if said in text:
                text = text.replace(said, NEUTRAL)
        return text

    def is_named(self, text: str) -> bool:
        """Whether a text names them."""
        return any(not found["other"] for found in self._word.finditer(text))

    def owns_row(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of a table is theirs, by the columns that say so."""
        return row.get("user_id") == self._user or row.get("session_id") in self.known.sessions

    @cached_property
    def _quotes(self) -> list[str]:
        # Templates of messages have something else in the place of words with digits; the rest is quoted still.
        parts = {part.strip() for said in self.known.said for part in (said, *_WITH_DIGITS.split(said))}
        long = {each for part in parts if len(part) >= QUOTE_CHARS for each in _spellings(part)}
        return sorted(long, key=len, reverse=True)

    def _owns(self, head: _Head) -> bool:
        known = self.known
        match head.kind:
            case "span" | "log":
                if head.trace_id in known.traces:
                    return True
                user, session = _told(head)
                return user == self._user or session in known.sessions
            case "operator_note":
                return head.target == self._user or head.target in known.sessions
            case "reject":
                return self._is_about(_raw(head))
            case "replay":
                return head.reject_id in known.rejects
        if head.user_id == self._user:
            return True
        if head.kind in _OF_SESSIONS and head.session_id in known.sessions:
            return True
        if head.kind in _OF_TURNS and (head.session_id, head.turn_index) in known.turns:
            return True
        if head.kind == "session_event" and head.source == SYNTHESIS:
            return _object(head.detail).get("user_id") == self._user
        return False

    def _is_for_all(self, head: _Head) -> bool:
        """Whether a piece of our own author's work is about nobody in particular, and so may quote anybody."""
        return head.user_id is None and not _object(head.detail).get("user_id")

    def _is_about(self, raw: bytes) -> bool:
        """Whether bytes that are no event name them, a session of theirs, or what they said."""
        texts = [raw.decode("utf-8", "replace")] + ([raw.decode("utf-16-le", "replace")] if b"\0" in raw else [])
        needles = [*self._quotes, *self.known.sessions]
        return any(self.is_named(text) or any(needle in text for needle in needles) for text in texts)

    def _without(self, line: bytes) -> bytes:
        value = msgspec.json.decode(line)
        changed = {key: each if key in _KEPT_KEYS else self.walked(each) for key, each in value.items()}
        if changed == value:
            return line
        made = msgspec.json.encode(changed)
        # What somebody else wrote may have been shorter than we write it.
        return made if len(made) <= len(line) else self.neutral(line.decode()).encode()

    def walked(self, value: Any) -> Any:
        """A value of JSON or of a table whose texts do not name them, and quote nothing that they said."""
        if isinstance(value, str):
            return self.neutral(value)
        if isinstance(value, list):
            return [self.walked(each) for each in value]
        if isinstance(value, dict):
            return {self.neutral(key): self.walked(each) for key, each in value.items()}
        return value


def _told(head: _Head) -> tuple[str | None, str | None]:
    """The user and the session that a span or log record names."""
    attributes, resource = _object(head.attributes), _object(head.resource)
    return (
        next(_texts([*map(attributes.get, _USER_KEYS), resource.get("user.id")]), None),
        next(_texts([*map(attributes.get, _SESSION_KEYS), resource.get("session.id")]), None),
    )


def _texts(values: Iterable[Any]) -> Iterator[str]:
    return (str(value) for value in values if value not in (None, ""))


def _object(raw: msgspec.Raw) -> Mapping[str, Any]:
    value = msgspec.json.decode(raw)
    return value if isinstance(value, dict) else {}


def _raw(head: _Head) -> bytes:
    """The bytes that a reject keeps."""
    text = msgspec.json.decode(head.raw)
    if not isinstance(text, str):
        return b""
    if head.raw_encoding == "base64":
        try:
            return base64.b64decode(text)
        except binascii.Error:
            return b""
    return text.encode()


def _neutral(named: str) -> str:
    size = len(named.encode())
    return NEUTRAL if size >= len(NEUTRAL) else "*" * size


def _spellings(text: str) -> set[str]:
    """A text as it stands in JSON, and in JSON within JSON, with and without escapes for letters beyond ASCII."""
    found = {text}
    for _ in range(2):
        found |= {msgspec.json.encode(each).decode()[1:-1] for each in found} | {
            json.dumps(each)[1:-1] for each in found
        }
    return found


def _word(user: str, others: Iterable[str] = ()) -> re.Pattern[str]:
    """Where a text names a user: as a whole word; an id that may well be a number or half a word, as a whole value.

    Ids of other users that have it in them are found first, as the group `other`.
    """
    spelt = "|".join(map(re.escape, sorted(_spellings(user), key=len, reverse=True)))
    is_word = len(user) >= WORD_CHARS and user not in _NO_WORDS and any(map(str.isalpha, user))
    if is_word:  # a letter before it may be the end of an escape: \nann
        named = rf"(?:(?<!\w)|(?<=\\[bfnrt]))(?:{spelt})(?!\w)"
    else:
        named = rf"\A(?:{spelt})\Z|(?<=[\"'])(?:{spelt})(?=\\*[\"'])"
    longer = "|".join(map(re.escape, sorted(others, key=len, reverse=True)))
    return re.compile(rf"(?P<other>(?!){'|' + longer if longer else ''})|(?:{named})")
