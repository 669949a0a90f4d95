"""`users.meta_evaluations`: every six hours, what a user's notes of these hours say together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated

import pyarrow as pa
from pydantic import BaseModel, Field

from oplake.lake.spec import Column
from oplake.settings import Settings
from oplake.synthesis.facts import Facts
from oplake.synthesis.tables.standing import READS, Trajectory, standings
from oplake.synthesis.tables.tone import complaints, requests
from oplake.synthesis.writing import Evidence, Partition, Subject, Writing, midnight, written_spec

WINDOW = timedelta(hours=6)
FRESH = timedelta(hours=48)  # as long a window is tried again, and as long reports build on what it says
ARRIVED = timedelta(minutes=20)  # after a window's end its notes are in the lake
READ, SHOWN = 100, 50  # notes of a user: the latest that are counted, and those of them that the author sees


class MetaEvaluation(BaseModel):
    """What is asked for."""

    consensus: Annotated[str, Field(description="what the notes agree on")]
    friction_points: Annotated[list[str], Field(description="what got in the user's way")]
    approach_adjustments: Annotated[list[str], Field(description="what should be done differently with this user")]
    trajectory: Annotated[Trajectory, Field(description="improving, stable, declining or volatile")]


def windows(day: date) -> Sequence[Partition]:
    """The four windows of a day; one is named by the hour at which it begins, such as 2026-01-05T06."""
    starts = [midnight(day) + n * WINDOW for n in range(4)]
    return [Partition(f"{start:%Y-%m-%dT%H}", day, start, start + WINDOW) for start in starts]


_NOTES = """
WITH told AS (
    SELECT
        user_id,
        event_id,
        note,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at
    FROM landed.notes
    WHERE day = $day
),

ranked AS (
    SELECT
        *,
        count(*) OVER (PARTITION BY user_id) AS note_count,
        row_number() OVER (PARTITION BY user_id ORDER BY happened_at DESC, event_id DESC) AS recency
    FROM told
    WHERE happened_at >= $start AND happened_at < $stop
)

SELECT user_id, event_id, note, note_count
FROM ranked
WHERE recency <= $shown
ORDER BY user_id, recency DESC
"""


def subjects(facts: Facts, partition: Partition, settings: Settings) -> list[Subject]:
    """The users who left notes in a window."""
    found = facts.rows(_NOTES, day=partition.day, start=partition.start, stop=partition.end, shown=SHOWN)
    notes: dict[str, list[dict[str, str]]] = {}
    counts: dict[str, int] = {}
    for row in found:
        mine = notes.setdefault(row["user_id"], [])
        mine.append({"id": f"n{len(mine) + 1}", "note": row["note"], "event_id": row["event_id"]})
        counts[row["user_id"]] = min(row["note_count"], READ)
    standing = standings(facts, partition.day)
    return [
        Subject(
            key={"user_id": user},
            facts={
                "window_start": f"{partition.start:%Y-%m-%d %H:%M}",
                "window_stop": f"{partition.end:%Y-%m-%d %H:%M}",
                "note_count": counts[user],
                "notes": [{"id": note["id"], "note": note["note"]} for note in mine],
                "standing": standing.get(user),
            },
            plain={
                "trajectory": standing.get(user, {}).get("trajectory", "stable"),
                "friction_points": complaints(_cited(mine)),
                "approach_adjustments": requests(_cited(mine)),
            },
            fixed={"window_start": partition.start, "note_count": counts[user]},
            evidence=tuple(Evidence(note["id"], "landed.notes", (note["event_id"],)) for note in mine),
            weight=counts[user],
        )
        for user, mine in notes.items()
    ]


def _cited(notes: Sequence[dict[str, str]]) -> list[str]:
    """Notes with their cites, the latest first: a friction that is gone matters less."""
    return [f"{note['note']} [{note['id']}]" for note in reversed(notes)]


WRITING = Writing(
    spec=written_spec(
        "users.meta_evaluations",
        "What the notes of six hours say together, for each user who left any.\n\nUsers beyond the cap of a run have a "
        "row `skipped: cap`; they are written by later runs until the window is 48 hours old.",
        key=[Column("user_id", pa.string(), "the user", is_nullable=False)],
        fixed=[
            Column("window_start", pa.timestamp("us", "UTC"), "when the six hours began", is_nullable=False),
            Column("note_count", pa.int64(), "notes of the user in it, of which 100 are counted", is_nullable=False),
        ],
        schema=MetaEvaluation,
    ),
    schema=MetaEvaluation,
    prompt="meta_evaluations",
    tier="flash",
    max_tokens=512,
    partitions=windows,
    subjects=subjects,
    reads={"landed.notes": (0, 0), **READS},
    cap=lambda settings: settings.meta_evaluations_most,
    retried=FRESH,
    settled=ARRIVED,
)
