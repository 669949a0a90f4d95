"""A process that works on one task against the server of its environment; a test kills it in the middle."""

from __future__ import annotations

import sys

from pydantic import BaseModel

from oplake.settings import Settings
from oplake.synthesis.calls import open_calls
from oplake.synthesis.loop import Task, write


class Analysis(BaseModel):
    cause: str
    is_a_dont: bool


TASK = Task(
    asset="operations.error_analyses",
    partition="2026-01-05",
    prompt="error_analyses",
    facts={
        "day": "2026-01-05",
        "template": "timeout",
        "endpoints": "search",
        "failure_count": 7,
        "week_before_count": 0,
        "trend": None,
        "is_new": True,
        "days_compared": 7,
        "failures": [],
        "corrections": [],
    },
    schema=Analysis,
    tier="flash",
    max_tokens=400,
    max_turns=4,
    uses_query=True,
)


def main() -> None:
    with open_calls(Settings()) as calls:
        sys.stdout.write(write(TASK, calls).status)


if __name__ == "__main__":
    main()
