"""`playbooks.wordings`: entries of the playbook in an author's words. What they say is not his.

Without a model nothing is worded: an entry's own text says it already.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import pyarrow as pa
from pydantic import BaseModel, Field

from oplake.lake.spec import Column
from oplake.settings import Settings
from oplake.synthesis.facts import Facts
from oplake.synthesis.writing import Evidence, Partition, Subject, Writing, whole_day, written_spec

EVIDENCE_DAYS = 28  # as far back as candidates look
WITNESSES = 5  # events that the author sees, of all that an entry rests on


class Wording(BaseModel):
    """What is asked for."""

    trigger: Annotated[
        str, Field(min_length=1, max_length=300, description="when the entry applies, in the author's words")
    ]
    do: Annotated[
        str, Field(max_length=600, description="what to do, in the author's words; empty if the entry has none")
    ] = ""
    avoid: Annotated[str, Field(max_length=600, description="what to avoid, likewise")] = ""


_UNWORDED = """
SELECT entries.*
FROM playbooks.entries AS entries
ANTI JOIN (SELECT entry_id, version FROM playbooks.wordings WHERE status = 'ok' AND day <> $day) AS worded
    ON entries.entry_id = worded.entry_id AND entries.version = worded.version
WHERE entries.status <> 'retired'
ORDER BY entries.task_class, entries.entry_id
"""

_WITNESSES = """
SELECT 'landed.steps' AS source, event_id, decision || ': ' || description AS text
FROM landed.steps WHERE list_contains($ids, event_id)
UNION ALL
SELECT 'landed.ops' AS source, event_id, endpoint || ': ' || coalesce(error, output_summary) AS text
FROM landed.ops WHERE list_contains($ids, event_id)
UNION ALL
SELECT 'landed.corrections' AS source, event_id, correction AS text
FROM landed.corrections WHERE list_contains($ids, event_id)
ORDER BY event_id DESC
"""


def subjects(facts: Facts, partition: Partition, settings: Settings) -> list[Subject]:
    """The entries that stand and that nobody has worded yet as they are."""
    if settings.llm_url is None:
        return []
    entries = facts.rows(_UNWORDED, day=partition.day)
    ids = [each for entry in entries for each in entry["evidence"][-WITNESSES:]]
    events = {row["event_id"]: row for row in facts.rows(_WITNESSES, ids=ids)} if ids else {}
    return [
        _subject(entry, [events[each] for each in entry["evidence"][-WITNESSES:] if each in events])
        for entry in entries
    ]


def _subject(entry: dict[str, Any], seen: list[dict[str, str]]) -> Subject:
    return Subject(
        key={"entry_id": entry["entry_id"], "version": entry["version"]},
        facts={
            "task_class": entry["task_class"],
            "trigger": entry["trigger"],
            "do": entry["do"],
            "avoid": entry["avoid"],
            "witnesses": [{"id": f"w{n}", "text": each["text"]} for n, each in enumerate(seen, 1)],
        },
        evidence=tuple(Evidence(f"w{n}", each["source"], (each["event_id"],)) for n, each in enumerate(seen, 1)),
        weight=entry["exposures"],
    )


WRITING = Writing(
    spec=written_spec(
        "playbooks.wordings",
        "An entry of the playbook in an author's words.\n\nIt is shown and served in place of its own text while "
        "it has the same version and no injection_flags. Which entries there are and how they stand never comes from "
        "here.",
        key=[
            Column("entry_id", pa.string(), "the entry of playbooks.entries", is_nullable=False),
            Column("version", pa.int64(), "its version that is worded", is_nullable=False),
        ],
        schema=Wording,
    ),
    schema=Wording,
    prompt="wordings",
    tier="flash",
    max_tokens=400,
    partitions=whole_day,
    subjects=subjects,
    reads={
        "playbooks.entries": None,
        "landed.steps": (-EVIDENCE_DAYS, 0),
        "landed.ops": (-EVIDENCE_DAYS, 0),
        "landed.corrections": (-EVIDENCE_DAYS, 0),
    },
    earlier={"playbooks.wordings": None},
    cap=lambda settings: settings.wordings_most,
    retried=timedelta(days=1),  # what waits is not worded the next day either, and is then written under that
)
