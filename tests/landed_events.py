"""Events for tests of what happens after landing, and how to compare two lakes row by row."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from oplake.lake.ingest import IngestReport, ingest
from oplake.lake.landed import INGESTED
from oplake.lake.tables import Lake
from oplake.landing.accept import accept
from oplake.landing.writer import SegmentWriter
from oplake.orchestration.work import our_models
from oplake.settings import Settings

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
NOW = NOON + timedelta(hours=6)


@cache
def _empty_lake() -> TemporaryDirectory[str]:
    """A home in which nothing has landed, with every table and the models as read; it lasts as long as the process."""
    folder = TemporaryDirectory(prefix="empty-lake-")
    settings = Settings(home=Path(folder.name))
    take_in(settings, now=NOON - timedelta(days=1))
    our_models(settings)
    return folder


def prepare(settings: Settings) -> Settings:
    """Puts empty tables and models into a home, which is quicker than to make them; returns settings for tests."""
    shutil.copytree(Path(_empty_lake().name) / "lake", settings.lake)
    shutil.copytree(Path(_empty_lake().name) / "dagster", settings.dagster_home)
    return settings.model_copy(update={"duckdb_threads": 1})


def step(n: int, *, ts: datetime = NOON, received_at: datetime | None = None, **fields: Any) -> bytes:
    """An accepted step, the same for the same arguments."""
    event = {
        "kind": "step",
        "event_id": f"step-{n:06d}",
        "ts": ts,
        "action_id": f"action-{n // 10:04d}",
        "step_index": n % 10,
        "description": f"step {n}",
        "state": {"n": n, "is_even": n % 2 == 0, "within": {"words": ["a", "b"]}},
        "confidence": 0.25,
    } | fields
    return accept(event, received_at=received_at or ts).line


def event(
    kind: str, event_id: str, *, ts: datetime = NOON, received_at: datetime | None = None, **fields: Any
) -> bytes:
    """An accepted event of any kind."""
    return accept({"kind": kind, "event_id": event_id, "ts": ts, **fields}, received_at=received_at or ts).line


def land(settings: Settings, lines: Sequence[bytes], *, at: datetime = NOON, writer: str = "w") -> None:
    """Lands lines in a sealed segment of their own."""
    with contextlib.closing(SegmentWriter(settings.landing, writer=writer, clock=lambda: at)) as segment:
        segment.append(lines)


def land_bytes(settings: Settings, data: bytes, *, name: str = "20260105T130000.000000Z-foreign-000001") -> Path:
    """Puts bytes that nobody accepted into landing, as a segment whose writer is gone."""
    settings.landing.mkdir(parents=True, exist_ok=True)
    path = settings.landing / f"{name}.jsonl"
    path.write_bytes(data)
    return path


def take_in(settings: Settings, *, now: datetime = NOW, **options: Any) -> IngestReport:
    """Ingests."""
    return ingest(settings, now=now, **options)


def rows(settings: Settings, table: str, columns: str = "*") -> list[dict[str, Any]]:
    """The rows of a table, sorted by all they hold."""
    return _rows(Lake(settings.lake), table, columns)


def everything(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables that ingest makes."""
    lake = Lake(settings.lake)
    return {spec.name: _rows(lake, spec.name, "*") for spec in INGESTED}


def _rows(lake: Lake, table: str, columns: str) -> list[dict[str, Any]]:
    query = f"SELECT {columns} FROM ({lake.relation_sql(table)}) ORDER BY ALL"
    found: list[dict[str, Any]] = _connection().sql(query).to_arrow_table().to_pylist()
    return found


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    return connection
