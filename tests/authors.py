"""Written tables in tests: a home with what they read, a writer over it, and servers that answer every prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
from pydantic import SecretStr
from starlette.responses import Response
from tests.landed_events import NOON, event, land, take_in
from tests.model_server import PATIENT, ModelServer, says
from tests.sql.tiny_lake import PROJECT_MODELS
from tests.written_rows import NAMED

from oplake.lake.engine import engine
from oplake.lake.tables import Lake
from oplake.orchestration.work import SOURCES
from oplake.settings import Settings
from oplake.synthesis.calls import open_calls
from oplake.synthesis.client import Patience
from oplake.synthesis.write import Outcome, Writer, as_row

SPECS = {spec.name: spec for spec in [*SOURCES, *(model.spec for model in PROJECT_MODELS)]}
DAY = NOON.date()
LATER = NOON + timedelta(hours=24)
"""When that day is over and settled."""

EVALUATION = {
    "consensus": "They want shorter answers [n1].",
    "friction_points": ["Answers are long [n1]."],
    "approach_adjustments": ["Answer in a sentence [n1]."],
    "trajectory": "stable",
}
REPORT = {
    "summary": "A quiet day [n1].",
    "progress": "",
    "friction_points": [],
    "recommended_adjustments": [],
    "trajectory": "stable",
    "inactivity_flag": False,
}
PLAN = {"stages": [{"name": "answer shorter"}], "monthly_objective": "No complaint any more [r1]."}
ANALYSIS = {"cause": "The depot is down [e1].", "approach": "Wait [f1].", "belongs_in_playbook": False, "dont": ""}
PAGE = {"summary": "Quiet [s1].", "changes": [], "costs": "Little [s1].", "look_at": []}
ANSWERS = {
    "MetaEvaluation": EVALUATION,
    "DailyReport": REPORT,
    "MetaPlan": PLAN,
    "ErrorAnalysis": ANALYSIS,
    "LakeReport": PAGE,
    "Assessment": {"score": 70, "reasons": ["short"]},
}


def schema_of(body: Mapping[str, Any]) -> str:
    """What a request asks for: the name of a schema, or nothing for a critique."""
    asked: str = body.get("response_format", {}).get("json_schema", {}).get("name", "")
    system = str(body["messages"][0]["content"])
    named = (name for name, answer in ANSWERS.items() if all(f'"{field}"' in system for field in answer))
    return asked or ("" if len(body["messages"]) == 1 else next(named, ""))


def answers(body: dict[str, Any]) -> Response:
    """A good answer to whatever is asked, always the same."""
    return says(ANSWERS.get(schema_of(body), "Nothing to object."))(body)


def answers_but(refuse: Callable[[str], Callable[[dict[str, Any]], Response] | None]) -> Callable[[Any], Response]:
    """The same, but for prompts to which `refuse` gives another answer."""

    def play(body: dict[str, Any]) -> Response:
        other = refuse(str(body["messages"]))
        return answers(body) if other is None else other(body)

    return play


def note(settings: Settings, user: str, text: str, *, hours: float = 0, id_: str | None = None) -> None:
    """Lands a note, so many hours from noon."""
    at = NOON + timedelta(hours=hours)
    name = id_ or f"{user}-{text}-{hours}"
    land(settings, [event("note", name, user_id=user, note=text, ts=at)], at=at, writer=f"w{abs(hash(name))}")


def notes(settings: Settings, texts: Mapping[str, str]) -> None:
    """Lands a note of each user at noon, and takes them in."""
    land(settings, [event("note", f"{user}-1", user_id=user, note=text) for user, text in texts.items()])
    take_in(settings)


def with_server(settings: Settings, server: ModelServer, **limits: Any) -> Settings:
    """Settings that name the server."""
    named = {"llm_url": server.url, "llm_flash": "mini", "llm_pro": "big", "llm_key": SecretStr("k")}
    return settings.model_copy(update=named | limits)


@contextmanager
def writing(settings: Settings, *, now: datetime = LATER, patience: Patience = PATIENT) -> Iterator[Writer]:
    """A writer, as one run of Dagster has it."""
    lake = Lake(settings.lake)
    with (
        open_calls(settings, lake, clock=lambda: now, patience=patience) as calls,
        engine(settings, keeps_order=False) as connection,
    ):
        yield Writer(settings, lake, calls, connection, SPECS, lambda: now)


def write(
    settings: Settings,
    table: str,
    *days: date,
    now: datetime = LATER,
    patience: Patience = PATIENT,
    **options: Any,
) -> Outcome:
    """Writes days of a table in a run of its own."""
    with writing(settings, now=now, patience=patience) as writer:
        return writer.write(NAMED[table], days or [DAY], **options)


def put(settings: Settings, table: str, *rows: Mapping[str, Any]) -> None:
    """Puts rows into a table that a model makes."""
    spec, lake = SPECS[table], Lake(settings.lake)
    lake.create(spec)
    made = pa.Table.from_pylist([as_row(spec, row) for row in rows], schema=spec.arrow_schema)
    lake.append(table, made)


def rows_of(settings: Settings, table: str) -> list[dict[str, Any]]:
    """The rows of a table, as they lie in it."""
    with engine(settings) as connection:
        found = connection.sql(f"FROM ({Lake(settings.lake).relation_sql(table)}) ORDER BY ALL").to_arrow_table()
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def statuses(settings: Settings, table: str) -> dict[str, str]:
    """The status of each user's row; of several, the last one."""
    return {row["user_id"]: row["status"] for row in rows_of(settings, table)}
