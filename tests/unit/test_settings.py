"""The home, as people write it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from oplake.settings import Settings, default_home


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
