"""How errors are told on the command line; that every command does it stands in the end-to-end tests."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from oplake.cli.app import tell


def test_a_full_disk_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A write into an open file fails without a file's name; 'No space left on device' alone says not which one."""
    tell(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert f"The disk of {home} is full" in capsys.readouterr().err
    tell(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(home / "x")))
    assert "The disk of" not in capsys.readouterr().err
