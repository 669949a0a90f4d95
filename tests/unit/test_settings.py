"""The home, as people write it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from pydantic import ValidationError

from oplake.environment import misspelt
from oplake.lake.errors import LakeError
from oplake.lake.tables import Lake
from oplake.settings import UNSAFE, Settings, default_home


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", default_home()),  # a path of no text would be the current folder, wherever that is
        ("~/lake", Path.home() / "lake"),  # in a file of settings no shell expands it
        ("/srv/lake", Path("/srv/lake")),
    ],
)
def test_a_home_is_read_as_a_shell_would(monkeypatch: pytest.MonkeyPatch, written: str, meant: Path) -> None:
    monkeypatch.setenv("OPLAKE_HOME", written)
    assert Settings().home == meant


def test_budgets_are_read_from_json_and_a_misspelt_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that nothing would ever be held against must not pass for one that is kept."""
    monkeypatch.setenv("OPLAKE_BUDGETS", '{"total": 50, "user": 2.5, "user:ann": 20, "project:a:b": 0}')
    assert Settings().budgets == {"total": 50, "user": Decimal("2.5"), "user:ann": 20, "project:a:b": 0}
    for wrong in ('{"totl": 1}', '{"total:x": 1}', '{"user:": 1}', '{"user": -1}', '{"user": 1e10}'):
        monkeypatch.setenv("OPLAKE_BUDGETS", wrong)
        with pytest.raises(ValidationError, match="limit"):
            Settings()


def test_a_file_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValidationError, match="is a file, not a folder"):
        Settings(home=tmp_path / "file")


@pytest.mark.parametrize("character", sorted(UNSAFE - {"\n"}))
def test_a_home_in_which_no_lake_can_be_is_refused_before_anything_lands(tmp_path: Path, character: str) -> None:
    """`simulate` landed there, and every run, question and examination of it failed."""
    with pytest.raises(ValidationError, match="no lake can live in"):
        Settings(home=tmp_path / f"a{character}b")
    with pytest.raises(LakeError, match="must not contain"):
        Lake(tmp_path / f"a{character}b")


@pytest.mark.parametrize("written", ["2GB", "512 MiB", "1.5gb", "80%", "2T"])
def test_sizes_of_memory_are_those_of_duckdb(written: str) -> None:
    assert Settings(duckdb_memory=written).duckdb_memory == written
    duckdb.connect(config={"memory_limit": written, "threads": 1}).close()


def test_a_misspelt_variable_is_known_for_what_was_meant() -> None:
    """OPLAKE_LLM_DAY_USB would be a limit that nothing is held against."""
    environment = {"OPLAKE_HOEM": "/x", "OPLAKE_LLM_DAY_USB": "5", "OPLAKE_XYZZY": "1", "OPLAKE_HOME": "", "HOME": "/"}
    assert list(misspelt(environment)) == [
        ("OPLAKE_HOEM", "OPLAKE_HOME"),
        ("OPLAKE_LLM_DAY_USB", "OPLAKE_LLM_DAY_USD"),
        ("OPLAKE_XYZZY", None),
    ]
