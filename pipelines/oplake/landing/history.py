"""Finding one action in what has landed, so that another process can go on with it.

It reads segments, open ones and archived ones, from the newest on. This is for the few who pick up an action; questions
about many are for SQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec

from oplake import events
from oplake.landing.segments import SUFFIX, segments, started_at

ARCHIVE = "archive"  # folder within landing; a folder a day, a .zst a segment


@dataclass
class Found:
    """What landing says about an action."""

    begun: events.ActionBegun
    steps: dict[str, int] = field(default_factory=dict)  # event_id to step_index
    observations: set[str] = field(default_factory=set)  # event_ids
    is_completed: bool = False

    @property
    def next_index(self) -> int:
        """The number of the step to come."""
        return max(self.steps.values(), default=-1) + 1


def find_action(folder: Path, action_id: str, *, since: datetime) -> Found | None:
    """What landing says about an action; None when it does not say that it began.

    Args:
        folder: The landing folder.
        action_id: The action.
        since: Segments that were opened before are not read.

    Raises:
        OSError: A segment cannot be read.
    """
    found: Found | None = None
    others: list[events.Event] = []
    for event in _events_of(folder, action_id, since):
        if isinstance(event, events.ActionBegun):
            found = found or Found(event)
        else:
            others.append(event)
    if found is None:
        return None
    for event in others:
        if isinstance(event, events.Step):
            found.steps[event.event_id] = event.step_index
        elif isinstance(event, events.Observation):
            found.observations.add(event.event_id)
        elif isinstance(event, events.ActionCompleted):
            found.is_completed = True
    return found


def _events_of(folder: Path, action_id: str, since: datetime) -> Iterator[events.Event]:
    key = b'"action_id":' + msgspec.json.encode(action_id)
    for data in _contents(folder, since):
        place = data.find(key)
        while place >= 0:
            end = data.find(b"\n", place)
            if end < 0:
                break  # a torn tail
            try:
                event = events.decoder.decode(data[data.rfind(b"\n", 0, place) + 1 : end])
            except (msgspec.DecodeError, ValueError, RecursionError):
                pass  # damaged, or not ours: ingest will say so
            else:
                if getattr(event, "action_id", None) == action_id:
                    yield event
            place = data.find(key, end)


def _contents(folder: Path, since: datetime) -> Iterator[bytes]:
    """What stands in the segments opened since then, newest first."""
    archived = {path.name.removesuffix(SUFFIX + ".zst"): path for path in folder.glob(f"{ARCHIVE}/*/*{SUFFIX}.zst")}
    present = {segment.name: segment.path for segment in segments(folder)}
    for name in sorted(archived.keys() | present.keys(), reverse=True):
        opened_at = started_at(name)
        if opened_at is not None and opened_at < since:
            continue
        if name in present:
            try:
                yield present[name].read_bytes()
                continue
            except FileNotFoundError:  # it has just moved to the archive
                archived |= {path.name.removesuffix(SUFFIX + ".zst"): path for path in folder.glob(f"*/*/{name}*.zst")}
        if name in archived:
            import zstandard

            with archived[name].open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
                yield reader.read()
