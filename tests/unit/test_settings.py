"""The home, as people write it."""

from __future__ import annotations

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


def test_a_file_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValidationError, match="is a file, not a folder"):
        Settings(home=tmp_path / "file")
