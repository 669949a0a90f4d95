"""What an entry rests on: the rows of the events that its evidence names."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from oplake.events import TABLES
from oplake.lake.spec import quoted
from oplake.lake.tables import Lake
from oplake.playbook.entries import Shown
from oplake.playbook.errors import PlaybookError

if TYPE_CHECKING:
    from oplake.settings import Settings

COMMON = frozenset({"event_id", "ts", "day", "received_at", "source", "extra", "ts_suspect", "redactions"})
"""Columns that every event has; what it says stands in the others."""


EMPTY_JSON = ("{}", "[]")  # columns of JSON are texts of it


class Witness(NamedTuple):
    """An event that speaks for an entry."""

    ts: datetime
    table: str
    event_id: str
    fields: dict[str, Any]  # what it says, as far as anything is said


def entry_of(book: Sequence[Shown], entry_id: str) -> Shown:
    """An entry by its id.

    Raises:
        PlaybookError: There is none; the message names ids that are close.
    """
    for each in book:
        if each.entry.entry_id == entry_id:
            return each
    close = difflib.get_close_matches(entry_id, [each.entry.entry_id for each in book])
    instead = f"did you mean {' or '.join(close)}?" if close else "oplake playbooks lists those that there are"
    raise PlaybookError(f"there is no entry {entry_id}; {instead}")


def witnesses(settings: Settings, event_ids: Sequence[str]) -> list[Witness]:
    """The rows of events as they landed, oldest first. Those that were forgotten are left out.

    Raises:
        LakeError: The lake cannot be read.
    """
    from oplake.lake.catalog import connect
    from oplake.lake.interrupts import breakable

    lake, found = Lake(settings.lake), []
    with connect(settings) as connection, breakable(connection):
        for table in filter(lake.exists, TABLES.values()):
            schema, name = map(quoted, table.split("."))
            query = (
                f"SELECT ts, event_id, CAST(to_json(each) AS VARCHAR) FROM {schema}.{name} AS each "  # noqa: S608  # our own name
                "WHERE event_id IN (SELECT unnest($ids))"
            )
            for ts, event_id, text in connection.execute(query, {"ids": list(event_ids)}).fetchall():
                told = json.loads(text).items()
                fields = {key: value for key, value in told if key not in COMMON and value and value not in EMPTY_JSON}
                found.append(Witness(ts, table, event_id, fields))
    return sorted(found, key=lambda each: (each.ts, each.event_id))
