"""Fixtures of the model tests: the project's models, and a tiny lake to run them on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sql.tiny_lake import TinyLake

from oplake.lake.landed import INGESTED
from oplake.models.sql_file import Models, load_models, sql_folder
from oplake.settings import Settings


@pytest.fixture(scope="session")
def models() -> Models:
    """The project's own models."""
    return load_models(sql_folder(), INGESTED)


@pytest.fixture
def tiny(tmp_path: Path, models: Models) -> TinyLake:
    """An empty lake with the project's models."""
    return TinyLake(Settings(home=tmp_path, duckdb_threads=1, duckdb_memory="512MB"), models)
