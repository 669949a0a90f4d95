"""How errors are told on the command line; that every command does it stands in the end-to-end tests."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from oplake.cli.app import settings, tell
from oplake.cli.errors import CommandError


def test_a_full_disk_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A write into an open file fails without a file's name; 'No space left on device' alone says not which one."""
    tell(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert f"The disk of {home} is full" in capsys.readouterr().err
    tell(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(home / "x")))
    assert "The disk of" not in capsys.readouterr().err


def test_a_wrong_setting_is_told_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a setting that is an object, its key is no part of the variable's name."""
    monkeypatch.setenv("OPLAKE_BUDGETS", '{"user": "much"}')
    with pytest.raises(CommandError, match=r"OPLAKE_BUDGETS\[user\]='much': "):
        settings()
