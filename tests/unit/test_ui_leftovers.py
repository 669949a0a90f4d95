"""What is left of a UI that was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from oplake.orchestration.ui import stop_leftovers

WAIT = "import sys; sys.stdin.read()"


def _process(home: Path, part: str) -> subprocess.Popen[bytes]:
    """A process that looks like a part of the UI of a home, and runs until its standard input ends."""
    environment = {"DAGSTER_HOME": str(home)}
    return subprocess.Popen([sys.executable, "-S", "-c", WAIT, part], env=environment, stdin=subprocess.PIPE)


def test_the_daemon_of_a_killed_ui_is_stopped_and_nothing_else(tmp_path: Path) -> None:
    """Trusting the lock alone would let a daemon that outlived `dagster dev` start everything a second time."""
    leftover = _process(tmp_path, "dagster._daemon")
    others = [_process(tmp_path / "other", "dagster._daemon"), _process(tmp_path, "oplake")]
    try:
        assert stop_leftovers(tmp_path) == [leftover.pid]
        assert leftover.wait(timeout=30) != 0
        for other in others:
            assert other.poll() is None
    finally:
        for process in (leftover, *others):
            process.communicate()
