"""`GET /playbook/{task_class}`: what a unit of work is shown of the book, landed before it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from oplake.events import ID_CHARS, encoder
from oplake.landing.accept import accept
from oplake.landing.errors import Unusable
from oplake.landing.identity import new_id
from oplake.playbook.book import Playbook, Shelf
from oplake.playbook.choose import choose, served, unit_of
from oplake.playbook.errors import PlaybookError
from oplake.playbook.formats import Form, skill_of
from oplake.receiver.door import Door
from oplake.receiver.errors import Refused, busy

PREFIX = "/playbook/"
JSON, MARKDOWN = "application/json", "text/markdown; charset=utf-8"
FORMATS = tuple(map(str, Form))  # the first is what is answered when none is asked for
PARAMETERS = ("session_id", "action_id", "format")


class Asked(NamedTuple):
    """What a request asks for."""

    task_class: str
    session_id: str = ""
    action_id: str = ""
    format: str = "json"


def asked(task_class: str, query: Sequence[tuple[str, str]]) -> Asked:
    """What is asked by a path and a query.

    Raises:
        Refused: A parameter is unknown or stands twice, or the format is none (400). A misspelt session would be served
            without ever being measured.
    """
    given: dict[str, str] = {}
    for name, value in query:
        if name not in PARAMETERS:
            raise Refused(400, f"there is no parameter {name[:60]!r}; there are {', '.join(PARAMETERS)}")
        if name in given:
            raise Refused(400, f"{name} stands there twice")
        given[name] = value
    form = given.get("format", FORMATS[0])
    if form not in FORMATS:
        raise Refused(400, f"there is no format {form[:60]!r}; there are {', '.join(FORMATS)}")
    return Asked(_cut(task_class), _cut(given.get("session_id", "")), _cut(given.get("action_id", "")), form)


def _cut(text: str) -> str:
    """A text as it lands. Bytes that are no UTF-8 have reached us as halves of pairs, which nothing can write."""
    return text.encode("utf-8", "backslashreplace").decode()[:ID_CHARS]


def serve(door: Door, shelf: Shelf, request: Asked) -> tuple[bytes, str]:
    """The answer and its content type, once what it shows and withholds is on disk; for a thread.

    Raises:
        Refused: The book cannot be read (503), or the disk does not take it (503, 507).
    """
    try:
        book = shelf.book()
    except (PlaybookError, OSError) as error:
        raise busy(f"no playbook: {error}") from error
    unit = unit_of(request.session_id, request.action_id)
    choice = choose(book, request.task_class, unit)
    if unit is not None:
        fields = served(choice, request.task_class, session_id=request.session_id, action_id=request.action_id)
        _land(door, fields)
    shown = Playbook(task_class=request.task_class, entries=choice.shown)
    if request.format == "json":
        return msgspec.json.encode(shown), JSON
    text = shown.text if request.format == "md" else skill_of(shown.task_class, shown.entries)
    return text.encode(), MARKDOWN


def _land(door: Door, events: Sequence[Mapping[str, object]]) -> None:
    now = door.clock()
    try:
        accepted = [
            accept(
                encoder.encode({"kind": "playbook_served", "event_id": new_id(), "ts": now, **fields}), received_at=now
            )
            for fields in events
        ]
    except Unusable as error:
        raise Refused(400, f"that cannot be landed: {error.reason}") from error
    if accepted:
        door.land(accepted)
