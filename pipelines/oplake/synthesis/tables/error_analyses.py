"""`operations.error_analyses`: what is behind each of a day's error patterns, and what agents should do about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any

import pyarrow as pa
from pydantic import BaseModel, Field

from oplake.lake.spec import Column
from oplake.settings import Settings
from oplake.synthesis.facts import Facts
from oplake.synthesis.figures import shortened
from oplake.synthesis.writing import Evidence, Partition, Subject, Writing, whole_day, written_spec
from oplake.words import counted

EXAMPLES = 10  # latest failures of a pattern that the author sees
EXAMPLE_CHARS = 400
DAYS_BEFORE = 7  # that a pattern is held against, as in operations.error_patterns
CORRECTIONS = 5  # kinds of advice for the same tasks
REPEATED = 3  # failures of a pattern, on a day after others with it, from which it is worth a "don't"


class ErrorAnalysis(BaseModel):
    """What is asked for."""

    cause: Annotated[str, Field(description="why it fails")]
    approach: Annotated[str, Field(description="how the agent should change its approach")]
    belongs_in_playbook: Annotated[bool, Field(description="whether that belongs in the playbook as a don't")]
    dont: Annotated[str, Field(description="the don't, in one sentence; empty when it does not belong there")] = ""


_PATTERNS = """
SELECT day, kind, template, failure_count, week_before_count, trend, is_new, endpoints
FROM operations.error_patterns
WHERE day = $day
ORDER BY failure_count DESC, kind, template
"""

_EXAMPLES = """
WITH failed AS (
    SELECT
        failures.kind,
        failures.template,
        failures.event_id,
        failures.ts,
        failures.name,
        coalesce(ops.input_summary, tool_calls.args, '') AS asked,
        coalesce(failures.message, '') AS message
    FROM operations.failures AS failures
    LEFT JOIN landed.ops AS ops
        ON failures.kind = 'op' AND failures.day = ops.day AND failures.event_id = ops.event_id
    LEFT JOIN sessions.tool_calls AS tool_calls
        ON failures.kind = 'tool_call' AND failures.day = tool_calls.day AND failures.event_id = tool_calls.event_id
    WHERE failures.day = $day
)

SELECT kind, template, event_id, '[' || name || '] ' || asked || ': ' || message AS text
FROM failed
QUALIFY row_number() OVER (PARTITION BY kind, template ORDER BY ts DESC, event_id DESC) <= $examples
ORDER BY kind, template, ts, event_id
"""

_CORRECTIONS = """
WITH touched AS (
    SELECT DISTINCT failures.template, ops.task_class, ops.sig_hash
    FROM operations.failures AS failures
    INNER JOIN landed.ops AS ops ON failures.day = ops.day AND failures.event_id = ops.event_id
    WHERE failures.day = $day AND failures.kind = 'op'
),

related AS (
    SELECT DISTINCT touched.template AS pattern, outcomes.*
    FROM operations.correction_outcomes AS outcomes
    INNER JOIN touched ON outcomes.task_class = touched.task_class OR outcomes.sig_hash = touched.sig_hash
    WHERE outcomes.day BETWEEN $day - 7 AND $day
)

SELECT
    pattern,
    template,
    max_by(correction, happened_at) AS text,
    list_sort(list(event_id)) AS event_ids,
    count(*) AS times_given,
    count(CASE WHEN has_next_succeeded THEN 1 END) AS next_succeeded,
    count(has_next_succeeded) AS next_known,
    CAST(sum(task_ops_after) AS BIGINT) AS ops_after,
    CAST(sum(task_successes_after) AS BIGINT) AS successes_after,
    CAST(sum(task_ops_before) AS BIGINT) AS ops_before,
    CAST(sum(task_failures_before) AS BIGINT) AS failures_before,
    bool_or(is_repeated_advice) AS is_repeated_advice
FROM related
GROUP BY pattern, template
QUALIFY row_number() OVER (PARTITION BY pattern ORDER BY times_given DESC, template) <= $corrections
ORDER BY pattern, times_given DESC, template
"""

_TASK_CLASSES = """
SELECT failures.template, mode(ops.task_class ORDER BY ops.task_class) AS task_class
FROM operations.failures AS failures
INNER JOIN landed.ops AS ops ON failures.day = ops.day AND failures.event_id = ops.event_id
WHERE failures.day = $day AND failures.kind = 'op' AND ops.task_class IS NOT NULL
GROUP BY failures.template
"""


def subjects(facts: Facts, partition: Partition, settings: Settings) -> list[Subject]:
    """The error patterns of a day, those with most failures first."""
    day = partition.day
    failures = [
        {**row, "text": shortened(row["text"], EXAMPLE_CHARS)}
        for row in facts.rows(_EXAMPLES, day=day, examples=EXAMPLES)
    ]
    examples = _grouped(failures, ("kind", "template"))
    corrections = _grouped(facts.rows(_CORRECTIONS, day=day, corrections=CORRECTIONS), ("pattern",))
    classes = {row["template"]: row["task_class"] for row in facts.rows(_TASK_CLASSES, day=day)}
    return [
        _subject(
            pattern,
            examples.get((pattern["kind"], pattern["template"]), []),
            corrections.get((pattern["template"],), []) if pattern["kind"] == "op" else [],
            classes.get(pattern["template"]) if pattern["kind"] == "op" else None,
        )
        for pattern in facts.rows(_PATTERNS, day=day)
    ]


def _grouped(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def _subject(
    pattern: dict[str, Any], examples: list[dict[str, Any]], corrections: list[dict[str, Any]], task_class: str | None
) -> Subject:
    day: date = pattern["day"]
    places = ", ".join(pattern["endpoints"])
    is_repeated = pattern["failure_count"] >= REPEATED and pattern["week_before_count"] > 0
    is_gap = any(row["is_repeated_advice"] for row in corrections)
    evidence = [Evidence("e1", "operations.error_patterns", (day.isoformat(), pattern["kind"], pattern["template"]))]
    evidence += [Evidence(f"f{n}", "operations.failures", (row["event_id"],)) for n, row in enumerate(examples, 1)]
    evidence += [
        Evidence(f"c{n}", "operations.correction_outcomes", tuple(row["event_ids"]))
        for n, row in enumerate(corrections, 1)
    ]
    worked = next(
        (f"c{n}" for n, row in enumerate(corrections, 1) if row["next_succeeded"] * 2 > row["next_known"]), None
    )
    advice = next((row["text"] for n, row in enumerate(corrections, 1) if f"c{n}" == worked), None)
    return Subject(
        key={"kind": pattern["kind"], "template": pattern["template"]},
        facts={
            "day": day.isoformat(),
            "template": pattern["template"],
            "endpoints": places,
            "task_class": task_class,
            "failure_count": pattern["failure_count"],
            "week_before_count": pattern["week_before_count"],
            "trend": pattern["trend"],
            "is_new": pattern["is_new"],
            "days_compared": DAYS_BEFORE,
            "failures": [{"id": f"f{n}", "text": row["text"]} for n, row in enumerate(examples, 1)],
            "corrections": [
                {
                    "id": f"c{n}",
                    "text": row["text"],
                    **{
                        name: row[name]
                        for name in (
                            "times_given", "next_succeeded", "next_known", "ops_after", "successes_after", "ops_before",
                            "failures_before", "is_repeated_advice",
                        )
                    },
                }
                for n, row in enumerate(corrections, 1)
            ],
        },
        plain={
            "cause": f"{counted(pattern['failure_count'], 'failure')} of {places} "
            f"{'says' if pattern['failure_count'] == 1 else 'say'} “{pattern['template']}” [e1].",
            "approach": f"Advice that was followed by a success: {advice} [{worked}]" if worked
            else f"Nothing that was tried is known to help; look at the latest failures of {places} first [f1].",
            "belongs_in_playbook": is_repeated or is_gap,
            "dont": f"Do not go on with {places} as before when it says “{pattern['template']}” [e1]."
            if is_repeated or is_gap else "",
        },
        fixed={
            "task_class": task_class,
            "failure_count": pattern["failure_count"],
            "is_repeated_advice": is_gap,
            "event_ids": [row["event_id"] for row in examples],
        },
        evidence=tuple(evidence),
        weight=pattern["failure_count"],
    )  # fmt: skip


WRITING = Writing(
    spec=written_spec(
        "operations.error_analyses",
        "What is behind an error pattern of a day, what agents should do about it, and whether that belongs in the "
        "playbook as a don't.\n\nThe patterns with most failures are analysed, as many as the cap lets.",
        key=[
            Column("kind", pa.string(), "of the pattern: op or tool_call", is_nullable=False),
            Column("template", pa.string(), "of the pattern; see operations.error_patterns", is_nullable=False),
        ],
        fixed=[
            Column("task_class", pa.string(), "class of the tasks that failed so; null where operations name none"),
            Column("failure_count", pa.int64(), "failures of the day", is_nullable=False),
            Column("is_repeated_advice", pa.bool_(), "whether the same advice was given three times in a week, so that "
                   "advice does not help", is_nullable=False),
            Column("event_ids", pa.list_(pa.string()), "the latest failures that it rests on", is_nullable=False),
        ],
        schema=ErrorAnalysis,
    ),
    schema=ErrorAnalysis,
    prompt="error_analyses",
    tier="flash",
    max_tokens=400,
    partitions=whole_day,
    subjects=subjects,
    reads={
        "operations.error_patterns": (0, 0),
        "operations.failures": (0, 0),
        "operations.correction_outcomes": (-7, 0),
        "landed.ops": (0, 0),
        "sessions.tool_calls": (0, 0),
    },
    cap=lambda settings: settings.error_analyses_most,
    temperature=0.2,
    max_turns=4,
)  # fmt: skip
