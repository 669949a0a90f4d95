"""Models as they were read: found again until something changes on which they depend, and never believed when torn."""

from __future__ import annotations

from pathlib import Path

import pytest

from oplake.lake.landed import INGESTED
from oplake.models import lineage, sql_file
from oplake.models.errors import ModelFileError
from oplake.models.kept import SUFFIX, kept_models
from oplake.models.model import Models
from oplake.orchestration.work import KEPT, our_models
from oplake.settings import Settings

MODEL = """-- How many steps a day has.
--
-- grain: day
-- partition: day
-- window: 0..0
SELECT
    day, -- the day
    count(*) AS steps -- how many
FROM landed.steps
WHERE day BETWEEN $start AND $stop
GROUP BY day
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "sql" / "toy"
    path.mkdir(parents=True)
    (path / "days.sql").write_text(MODEL)
    return path.parent


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A folder each time that model files are read."""
    seen: list[Path] = []
    real = sql_file.load_models
    monkeypatch.setattr(sql_file, "load_models", lambda path, sources: seen.append(path) or real(path, sources))
    return seen


def kept(folder: Path) -> Models:
    return kept_models(folder, INGESTED, folder.parent / "kept")


def test_models_are_read_once_until_a_file_changes(folder: Path, reads: list[Path]) -> None:
    first = kept(folder)
    assert kept(folder) == first
    assert len(reads) == 1
    (folder / "toy" / "days.sql").write_text(MODEL.replace("how many", "their number"))
    assert kept(folder)["toy.days"].columns[1].description == "their number"
    (folder / "toy" / "more.sql").write_text(MODEL)
    assert [model.name for model in kept(folder)] == ["toy.days", "toy.more"]
    assert len(reads) == 3
    assert len(list((folder.parent / "kept").glob(f"*{SUFFIX}"))) == 1


def test_the_lineage_of_columns_is_kept_with_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(folder)
    monkeypatch.setattr(lineage, "column_lineage", None)  # not asked any more
    assert kept(folder)["toy.days"].lineage == {"day": [("landed.steps", "day")], "steps": []}


def test_other_tables_to_read_are_other_models(folder: Path, reads: list[Path]) -> None:
    """The types of columns follow from those of the tables; with the files alone a new contract would be missed."""
    kept(folder)
    fewer = [spec for spec in INGESTED if spec.name != "landed.steps"]
    with pytest.raises(ModelFileError, match=r"landed.steps"):
        kept_models(folder, fewer, folder.parent / "kept")
    assert len(reads) == 2


def test_what_is_torn_is_read_anew(folder: Path, reads: list[Path]) -> None:
    kept(folder)
    (path,) = (folder.parent / "kept").glob(f"*{SUFFIX}")
    for content in (b"", path.read_bytes()[:-1], b"x" * 100):
        path.write_bytes(content)
        assert kept(folder)["toy.days"].grain == ("day",)
    assert len(reads) == 4


@pytest.mark.slow
def test_nothing_is_kept_where_there_is_no_home(tmp_path: Path) -> None:
    """To look at the definitions makes no folder; the first run of a home keeps what every other one needs."""
    models = our_models(Settings(home=tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    home = Settings(home=tmp_path)
    assert our_models(home) == models
    assert len(list((home.dagster_home / KEPT).glob(f"*{SUFFIX}"))) == 1


def test_where_nothing_can_be_kept_models_are_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()  # as a full disk or a wrong owner would
    assert len(kept(folder)) == 1
