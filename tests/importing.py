"""What tests of the importers look at: the events that landed, and their bodies without the time of the import."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from oplake.landing.segments import segments

Row = dict[str, Any]


def landed(folder: Path) -> list[Row]:
    """Every event of a landing folder, in the order of its segments."""
    return [
        msgspec.json.decode(line) for segment in segments(folder) for line in segment.path.read_bytes().splitlines()
    ]


def of(events: Iterable[Row], kind: str) -> list[Row]:
    """The events of a kind."""
    return [event for event in events if event["kind"] == kind]


def bodies(events: Iterable[Row]) -> list[Row]:
    """The events without the time of the import."""
    return [{key: value for key, value in event.items() if key != "received_at"} for event in events]
