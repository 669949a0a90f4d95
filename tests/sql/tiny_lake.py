"""A tiny lake that tests land events in, with models over it. Fixtures are in `conftest`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from oplake import events
from oplake.lake.landed import LANDED
from oplake.lake.tables import Lake
from oplake.models.build import Built, build
from oplake.models.checks import evaluate_checks
from oplake.models.sql_file import Model, Models
from oplake.settings import Settings

DAY = date(2026, 1, 5)
MIDNIGHT = datetime(2026, 1, 5, tzinfo=UTC)
LATER = MIDNIGHT + timedelta(days=300)
"""A watermark at which no action is open any more."""


def at(hours: float = 0, *, seconds: float = 0) -> datetime:
    """A time counted from the midnight with which DAY begins."""
    return MIDNIGHT + timedelta(hours=hours, seconds=seconds)


class TinyLake:
    """Lands events as rows, without files or ingest between, builds models, and answers SQL."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self.settings = settings
        self.models = models
        self.lake = Lake(settings.lake)
        self._ids = count()

    def land(self, *landed: Mapping[str, Any]) -> None:
        """Land events: `kind` and its fields; what is left out gets the contract's empty value."""
        by_kind: dict[str, list[dict[str, Any]]] = {}
        for event in landed:
            by_kind.setdefault(event["kind"], []).append(self._row(event))
        for kind, rows in by_kind.items():
            spec = LANDED[kind]
            rows.sort(key=lambda row: row["day"])
            self.lake.create(spec)
            self.lake.append(spec.name, pa.Table.from_pylist(rows, schema=spec.arrow_schema))

    def build(
        self, *names: str, start: date = DAY, stop: date | None = None, watermark: datetime | None = LATER
    ) -> dict[str, Built]:
        """Build the models of these names, or all of them, upstream first, and hold them against their checks."""
        built = {}
        for model in self.models:
            if names and model.name not in names:
                continue
            built[model.name] = self.build_one(model, start, stop or start, watermark)
        return built

    def build_one(self, model: Model, start: date, stop: date, watermark: datetime | None = LATER) -> Built:
        """Build some days of one model and hold them against their checks."""
        settings = self.settings
        built = build(self.lake, model, start=start, stop=stop, settings=settings, watermark=watermark)
        for finding in evaluate_checks(self.lake, model, start=start, stop=stop, settings=settings):
            assert finding.is_passed, finding
        return built

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query over all tables that there are."""
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for name in self.lake.names():
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name.partition('.')[0]}")
                connection.execute(f"CREATE VIEW {name} AS {self.lake.relation_sql(name)}")
            result = connection.execute(sql)
            names = [column[0] for column in result.description or ()]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def _row(self, event: Mapping[str, Any]) -> dict[str, Any]:
        known = {field.name: field for field in events.fields(event["kind"])}
        unknown = set(event) - set(known) - {"kind", "day"}
        assert not unknown, f"{event['kind']} has no {unknown}"
        row: dict[str, Any] = {"event_id": f"e{next(self._ids):06d}", "ts": MIDNIGHT}
        for name, field in known.items():
            value = event.get(name, row.get(name, field.fill if field.fill is not None else field.empty))
            if name == "received_at" and value is None:
                value = event.get("ts", MIDNIGHT)
            row[name] = _json(value) if field.type == "json" else value
        row["day"] = event.get("day", row["received_at"].date() if row["ts_suspect"] else row["ts"].date())
        return row


def _json(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def begun(action_id: str, ts: datetime, **fields: Any) -> dict[str, Any]:
    """An `action_begun`."""
    return {"kind": "action_begun", "action_id": action_id, "ts": ts, "agent_id": "a", "action_type": "t"} | fields


def step(action_id: str, ts: datetime, index: int = 0, **fields: Any) -> dict[str, Any]:
    """A `step`."""
    return {"kind": "step", "action_id": action_id, "ts": ts, "step_index": index, "description": "d"} | fields


def observation(action_id: str, ts: datetime, **fields: Any) -> dict[str, Any]:
    """An `observation`."""
    return {"kind": "observation", "action_id": action_id, "ts": ts, "observation_type": "o"} | fields


def completed(action_id: str, ts: datetime, outcome: Any = None, **fields: Any) -> dict[str, Any]:
    """An `action_completed`."""
    return {"kind": "action_completed", "action_id": action_id, "ts": ts, "outcome": outcome or {}} | fields


def by(rows: Iterable[Mapping[str, Any]], key: str) -> dict[Any, Mapping[str, Any]]:
    """Rows by one of their columns."""
    return {row[key]: row for row in rows}
