"""Fixtures of the model tests: the project's models, and a tiny lake to run them on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sql.tiny_lake import PROJECT_MODELS, DeltaLake, TinyLake

from oplake.models.model import Models
from oplake.settings import Settings


@pytest.fixture(scope="session")
def models() -> Models:
    """The project's own models."""
    return PROJECT_MODELS


@pytest.fixture
def tiny(models: Models) -> TinyLake:
    """An empty lake in memory with the project's models."""
    return TinyLake(models)


@pytest.fixture
def delta(tmp_path: Path, models: Models) -> DeltaLake:
    """An empty lake of files with the project's models."""
    return DeltaLake(Settings(home=tmp_path, duckdb_threads=1, duckdb_memory="512MB"), models)
