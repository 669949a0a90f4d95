"""A home with a lake, worked on through Dagster, whose materialisations can be counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from oplake.lake.catalog import connect
from oplake.landing.accept import accept
from oplake.landing.writer import SegmentWriter
from oplake.models.model import Models, sql_folder
from oplake.models.sql_file import load_models
from oplake.orchestration.report import RunReport
from oplake.orchestration.run import run
from oplake.orchestration.work import SOURCES
from oplake.settings import Settings


@dataclass
class World:
    """A home, its Dagster records and a count of what was materialised."""

    settings: Settings
    models: Models
    instance: dg.DagsterInstance
    _seen: dict[str, int] = field(default_factory=dict)
    _events: int = 0

    def land(self, *events: dict[str, Any], received_at: datetime | None = None) -> None:
        """Land events; without a time of receipt each is received a second after it happened."""
        lines = []
        for event in events:
            self._events += 1
            fields = {"event_id": f"e{self._events}", **event, "ts": event["ts"].isoformat()}
            stamp = received_at or event["ts"] + timedelta(seconds=1)
            lines.append(accept(fields, received_at=stamp).line)
        with closing(SegmentWriter(self.settings.landing)) as writer:
            writer.append(lines)

    def action(self, action_id: str, began_at: datetime, *, steps: int = 2, minutes: float = 10) -> None:
        """Land an action whose steps are a minute apart, and which is completed after so many minutes."""
        self.land(begun(action_id, began_at))
        for index in range(steps):
            self.land(step(action_id, index, began_at + timedelta(minutes=index + 1)))
        self.land(completed(action_id, began_at + timedelta(minutes=minutes)))

    def run(self, now: datetime, **options: Any) -> RunReport:
        """What `oplake run` does at some time."""
        return run(self.settings, now=now, instance=self.instance, models=self.models, **options)

    def made(self) -> dict[str, Counter[str | None]]:
        """Partitions materialised since this was last asked, counted, by table."""
        counts: dict[str, Counter[str | None]] = {}
        for key in self.instance.all_asset_keys():
            records = self.instance.fetch_materializations(key, limit=1000).records
            table = ".".join(key.path)
            new = [record for record in records if record.storage_id > self._seen.get(table, 0)]
            if new:
                counts[table] = Counter(record.partition_key for record in new)
                self._seen[table] = max(record.storage_id for record in new)
        return counts

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query over the lake's views."""
        with closing(connect(self.settings)) as connection:
            return connection.execute(sql).fetchall()


def begun(action_id: str, ts: datetime) -> dict[str, Any]:
    """An action sets out."""
    return {"kind": "action_begun", "ts": ts, "action_id": action_id, "agent_id": "a", "action_type": "t"}


def step(action_id: str, index: int, ts: datetime) -> dict[str, Any]:
    """A step of it."""
    return {"kind": "step", "ts": ts, "action_id": action_id, "step_index": index, "description": "d"}


def completed(action_id: str, ts: datetime) -> dict[str, Any]:
    """Its end."""
    return {"kind": "action_completed", "ts": ts, "action_id": action_id, "outcome": {"status": "completed"}}


def days(*numbers: int) -> Counter[str | None]:
    """Days of January 2026, each made once."""
    return Counter(f"2026-01-{number:02}" for number in numbers)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """A time in January 2026, in UTC."""
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


@pytest.fixture(scope="session")
def models() -> Models:
    """The models of this checkout, loaded once."""
    return load_models(sql_folder(), SOURCES)


CORE = ("attribution.actions", "attribution.steps", "attribution.step_credits")
"""Enough of our models to show windows in; each further one costs every run of every test."""


@pytest.fixture
def world(settings: Settings, models: Models) -> Iterator[World]:
    """An empty home with records of its own in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(settings, Models(tuple(model for model in models if model.name in CORE)), instance)


WriteModels = Callable[..., Models]


@pytest.fixture
def write_models(tmp_path: Path) -> WriteModels:
    """Make models from texts: `write_models(spend="SELECT ...")` is `toy.spend`."""

    def write(**texts: str) -> Models:
        folder = tmp_path / "sql"
        for name, text in texts.items():
            path = folder / "toy" / f"{name}.sql"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return load_models(folder, SOURCES)

    return write
