"""What could not be used: listing it, and taking it in again after a fix.

How a line becomes a reject is decided where it is found (`landing.accept`, `ingest`). A reject stays where it is; that
it was taken in again is another event, of kind `replay`.
"""

from __future__ import annotations

import base64
import contextlib
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from oplake.events import Event
from oplake.lake.engine import engine
from oplake.lake.errors import LakeError
from oplake.lake.ingest import CONFLICT
from oplake.lake.landed import LANDED
from oplake.lake.tables import Lake
from oplake.landing import tail
from oplake.landing.accept import REJECT_BYTES, accept, accept_foreign, place_id
from oplake.landing.errors import Unusable
from oplake.landing.importers import is_of_file
from oplake.landing.writer import SegmentWriter
from oplake.settings import Settings

REPLAYS = uuid.UUID("6f1d3c5e-4a5b-5c0e-9b7a-2f3f5a1c8e01")  # the namespace of the ids given to replayed events


@dataclass(frozen=True)
class RejectedLine:
    """A row of `landed.rejects`, and whether it has been taken in again."""

    event_id: str
    received_at: datetime
    origin: str  # the segment, file or door that it came through
    line: int  # from 1; 0 where there are no lines
    byte_offset: int
    reason: str
    raw: bytes  # as far as they were kept; secrets are replaced
    raw_bytes: int  # how many there were
    is_open: bool  # not taken in again yet


@dataclass(frozen=True)
class ReplayReport:
    """What a replay did; ids of rejects."""

    replayed: tuple[str, ...]  # they have landed as events now; the next ingest brings them into their tables
    refused: dict[str, str]  # still unusable, with the reason


def list_rejects(
    settings: Settings, *, reason: str | None = None, origin: str | None = None, is_open: bool | None = None
) -> list[RejectedLine]:
    """Rejects by the time at which they were received, then by place.

    Args:
        settings: Where the lake is.
        reason: Only those whose reason has this in it.
        origin: Only those that came through this segment, file or door.
        is_open: Only those that were not (True), or were (False) taken in again.
    """
    lake = Lake(settings.lake)
    rejects, replays = LANDED["reject"].name, LANDED["replay"].name
    if not (lake.exists(rejects) and lake.exists(replays)):
        return []
    query = f"""
        SELECT event_id, received_at, origin, line, byte_offset, reason, raw, raw_encoding, raw_bytes,
            replayed.reject_id IS NULL AS is_open
        FROM ({lake.relation_sql(rejects)}) AS rejects
        LEFT JOIN (
            SELECT DISTINCT reject_id FROM ({lake.relation_sql(replays)}) WHERE replayed_event_id <> ''
        ) AS replayed ON replayed.reject_id = rejects.event_id
        WHERE ($reason IS NULL OR contains(reason, $reason)) AND ($origin IS NULL OR origin = $origin)
        ORDER BY received_at, origin, byte_offset, event_id
    """
    with engine(settings) as connection:
        rows = connection.execute(query, {"reason": reason, "origin": origin}).fetchall()
    found = [_rejected(*row) for row in rows]
    return [each for each in found if is_open is None or each.is_open == is_open]


def _rejected(*row: Any) -> RejectedLine:
    event_id, received_at, origin, line, byte_offset, reason, raw, encoding, raw_bytes, is_open = row
    data = base64.b64decode(raw) if encoding == "base64" else raw.encode()
    return RejectedLine(event_id, received_at, origin, line, byte_offset, reason, data, raw_bytes, is_open)


def replay(settings: Settings, *, now: datetime, ids: Collection[str] | None = None) -> ReplayReport:
    """Takes open rejects in again, as events received when they first came. A second replay adds nothing.

    Those that are unusable still are reported and left as they are.

    Args:
        settings: Where landing and lake are.
        now: The present time.
        ids: The `event_id` of the rejects wanted; None for every open one.

    Raises:
        LakeError: An id is of no reject.
        LandingError: The events could not be made durable; try again.
    """
    known = list_rejects(settings)
    if ids is not None:
        unknown = sorted(set(ids) - {each.event_id for each in known})
        if unknown:
            raise LakeError(f"there is no reject {', '.join(unknown)}; `oplake rejects` lists them")
    wanted = [each for each in known if each.is_open and (ids is None or each.event_id in ids)]
    replayed: list[str] = []
    refused: dict[str, str] = {}
    lines: list[bytes] = []
    for rejected in wanted:
        try:
            lines += _again(rejected)
        except Unusable as error:
            refused[rejected.event_id] = error.reason
        else:
            replayed.append(rejected.event_id)
    if lines:
        _land(settings, lines, now)
    return ReplayReport(tuple(replayed), refused)


def _again(rejected: RejectedLine) -> list[bytes]:
    """The event that a reject becomes, and the replay that says so. Both are the same whenever they are made.

    Raises:
        Unusable: It cannot become one.
    """
    if rejected.reason == CONFLICT:
        raise Unusable("another event has its identity; it could only come in under an event_id of its own")
    if rejected.raw_bytes > REJECT_BYTES:
        raise Unusable(
            f"only {REJECT_BYTES} of its {rejected.raw_bytes} bytes were kept; send it again from its source"
        )
    received_at = rejected.received_at
    if is_of_file(rejected.origin):
        # Without the file there is no map, no place to date it by and no identity that another import would give it.
        try:
            event, line = accept_foreign(rejected.raw, received_at=received_at, is_live=False)
        except Unusable as error:
            raise Unusable(
                "it came from a file and is not whole without it: import that again with other options, or this line "
                f"corrected as a file of its own ({error.reason})"
            ) from error
        return _told(rejected, event, line)
    if rejected.origin.startswith(tail.ORIGIN):
        events = tail.read_line(
            rejected.raw, origin=rejected.origin, byte_offset=rejected.byte_offset, received_at=received_at
        )
        return [*_told(rejected, *events[0]), *(each.line for each in events[1:])]
    event_id = place_id(rejected.origin, rejected.byte_offset)  # should it have none
    event, line = accept_foreign(rejected.raw, received_at=received_at, event_id=event_id)
    return _told(rejected, event, line)


def _told(rejected: RejectedLine, event: Event, line: bytes) -> list[bytes]:
    """The line of the event, and that of the replay which says so."""
    received_at = rejected.received_at
    note = {
        "kind": "replay",
        "event_id": str(uuid.uuid5(REPLAYS, rejected.event_id)),
        "ts": received_at,
        "source": "oplake",
        "reject_id": rejected.event_id,
        "replayed_event_id": event.event_id,
    }
    return [line, accept(note, received_at=received_at).line]


def _land(settings: Settings, lines: Sequence[bytes], now: datetime) -> None:
    with contextlib.closing(SegmentWriter(settings.landing, clock=lambda: now)) as writer:
        writer.append(lines)
