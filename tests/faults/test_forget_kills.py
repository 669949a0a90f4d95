"""Kill whoever forgets a person anywhere: the same command again does the rest, and nobody else loses anything."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.landed_events import NOON, NOW, event, land, land_bytes, prepare, rows, step, take_in

from oplake.lake.archive import Archive
from oplake.lake.doctor import examine
from oplake.lake.forget import PLAN
from oplake.lake.upkeep import upkeep
from oplake.landing.writer import SegmentWriter
from oplake.settings import Settings

SCRIPT = Path(__file__).with_name("doomed_forgetter.py")
ANN = "u-ann-of-the-tests"
FIRST, GROWTH = 2, 1.18  # at which steps it is killed: densely where landing is rewritten, then where tables are made


@contextmanager
def forgetter(home: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(SCRIPT), str(home), ANN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert ask(process) == "ready"
        yield process


def ask(process: subprocess.Popen[str], steps: int | None = None) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    if steps is not None:
        process.stdin.write(f"{steps}\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


def work(name: str, user: str) -> list[bytes]:
    turn = {"session_id": f"s-{name}", "turn_index": 0, "user_id": user, "provider": "p", "model": "m"}
    op = {"session_id": f"s-{name}", "endpoint": "e", "success": True, "duration_ms": 1}
    return [
        event("turn", f"t-{name}", **turn),
        event("op", f"o-{name}", **op),
        event("note", f"n-{name}", user_id=user, note=f"what {user} said of {name}, at some length"),
    ]


@pytest.mark.slow
def test_kill_it_anywhere(home: Path) -> None:
    """The turn that says whose a session is goes first: what was found of it has to outlive the process."""
    settings = prepare(Settings(home=home))
    for n in range(2):
        land(settings, [*work(f"a{n}", ANN), *work(f"b{n}", "u-bob"), step(n)], writer=f"w{n}")
    take_in(settings)
    upkeep(settings, now=NOW)
    assert len(Archive(settings.archive).entries()) == 2
    # A turn and what belongs to its session lie in segments of their own: whichever is rewritten first.
    for n, line in enumerate([*work("a2", ANN), *work("b2", "u-bob")]):
        land(settings, [line, step(10 + n)], writer=f"x{n}")
    land_bytes(settings, work("a3", ANN)[2] + b"\n" + work("b3", "u-bob")[2])
    live = SegmentWriter(settings.landing, writer="open", clock=lambda: NOON)
    live.append([*work("a4", ANN), *work("b4", "u-bob")])
    take_in(settings, now=NOW)
    kinds = ("landed.turns", "landed.ops", "landed.notes", "landed.steps", "landed.rejects")
    before = {name: rows(settings, name, "event_id") for name in kinds}
    steps, kills = float(FIRST), 0
    with forgetter(home) as process:
        while (answer := ask(process, int(steps))) == "killed":
            kills += 1
            steps *= GROWTH
            take_in(settings, now=NOW)  # as if nothing were the matter
        assert answer == "done"
    assert kills > 15
    assert not (home / PLAN).exists()
    for path in home.rglob("*"):
        assert ANN not in path.name
        if path.is_file() and path.suffix != ".parquet":
            assert ANN.encode() not in path.read_bytes(), path
    live.append([step(30)])
    live.close()
    take_in(settings, now=NOW + timedelta(days=2))
    for name in kinds:
        kept = [row for row in before[name] if not str(row["event_id"])[1:].startswith("-a")]
        found = rows(settings, name, "event_id")
        assert [row for row in found if row["event_id"] != "step-000030"] == kept, name
    assert [each for each in examine(settings) if each.severity == "error"] == []
