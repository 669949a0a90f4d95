"""SIGKILL in the middle of writing a table: the next run pays for no answer twice, and completes the table."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter

import pytest
from tests.authors import LATER, answers, notes, rows_of, statuses
from tests.landed_events import prepare, take_in
from tests.model_server import serving_model
from tests.receiving import landed
from tests.written_rows import NAMED

from oplake.lake.tables import Lake
from oplake.settings import CHECKOUT, Settings
from oplake.synthesis.write import restore

pytestmark = pytest.mark.slow

TABLE = "users.meta_evaluations"
USERS = ("ann", "bob")
CALLS = 5  # an answer and its critique for each; the assessment is asked only once, for both get the same critique


def run(settings: Settings, url: str, die_at: str = "") -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "OPLAKE_HOME": str(settings.home),
        "OPLAKE_LLM_URL": url,
        "OPLAKE_LLM_FLASH": "mini",
        "DIE_AT": die_at,
    }
    command = [sys.executable, "-m", "tests.faults.doomed_writer"]
    return subprocess.run(
        command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.mark.parametrize("points", [("answer 2", "row 1", "table 1"), ("done 1",)], ids=", then ".join)
def test_killed_and_run_again_it_pays_once_and_completes_the_table(settings: Settings, points: tuple[str, ...]) -> None:
    settings = prepare(settings)
    notes(settings, {user: f"a note of {user}" for user in USERS})
    with serving_model(answers) as server:
        for die_at in points:
            assert run(settings, server.url, die_at).returncode == -signal.SIGKILL
        last = run(settings, server.url)
        assert last.returncode == 0, last.stderr
        assert last.stdout.endswith("0 failed")
        asked = Counter(str(body["messages"]) for body in server.asked)
    assert set(asked.values()) == {1}
    assert len(asked) == CALLS
    assert statuses(settings, TABLE) == dict.fromkeys(USERS, "ok")
    paid = [call for call in landed(settings.home, "llm_call") if not call.get("cached")]
    assert len(paid) == CALLS
    before = rows_of(settings, TABLE)
    take_in(settings)
    restore(settings, Lake(settings.lake), [NAMED[TABLE]], now=LATER)
    assert rows_of(settings, TABLE) == before
