"""From a public result file of tau-bench to credit, with the commands that the README shows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from oplake.lake.catalog import connect
from oplake.lake.ingest import ingest
from oplake.settings import Settings

FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "tau-bench" / "gpt-4o-airline.json"

pytestmark = [
    pytest.mark.xdist_group("tau_bench"),
    pytest.mark.slow,
    pytest.mark.skipif(
        not FILE.is_file(), reason="the public trajectories are not beside the checkout (../shared/data)"
    ),
]


@pytest.fixture(scope="module")
def imported_home(tmp_path_factory: pytest.TempPathFactory, oplake: Callable[..., Any]) -> Path:
    """A home into which the file was imported, and which was computed."""
    home = tmp_path_factory.mktemp("tau-bench") / "home"
    for arguments in (["import", "tau-bench", str(FILE)], ["run"]):
        done = oplake(home, *arguments)
        assert done.returncode == 0, done.stderr
    return home


Ask = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def ask(imported_home: Path) -> Ask:
    """Ask the lake in SQL; each time anew, so that what a command wrote meanwhile is seen."""

    def do(query: str) -> list[dict[str, Any]]:
        with connect(Settings(home=imported_home)) as connection:
            return connection.sql(query).to_arrow_table().to_pylist()

    return do


def test_200_actions_84_of_them_successful(ask: Ask) -> None:
    rows = ask("SELECT success_score, count(*) AS actions FROM attribution.success_scores GROUP BY ALL ORDER BY ALL")
    assert [(row["success_score"], row["actions"]) for row in rows] == [(0.0, 116), (1.0, 84)]
    [row] = ask("""
        SELECT count(*) AS actions, count(DISTINCT goal_id) AS goals, min(action_type) AS type, min(status) AS status
        FROM attribution.actions
    """)
    assert row == {"actions": 200, "goals": 50, "type": "airline", "status": "completed"}


def test_every_step_has_its_credit(ask: Ask) -> None:
    """1,164 tool calls and 1,290 answers; the credits of each action sum to 1."""
    [row] = ask("""
        SELECT
            (SELECT count(*) FROM attribution.steps) AS steps,
            (SELECT count(*) FROM attribution.steps WHERE decision <> 'respond') AS tool_calls,
            (SELECT count(*) FROM landed.observations) AS observations,
            count(*) AS credited_steps,
            count(DISTINCT action_id) AS credited_actions
        FROM attribution.step_credits
    """)
    assert row == {
        "steps": 2454,
        "tool_calls": 1164,
        "observations": 1490 + 1164,
        "credited_steps": 2454,
        "credited_actions": 200,
    }
    [row] = ask("""
        SELECT max(abs(total - 1)) AS worst
        FROM (SELECT sum(credit) AS total FROM attribution.step_credits GROUP BY action_id)
    """)
    assert row["worst"] < 1e-9


def test_nothing_of_it_was_rejected(ask: Ask) -> None:
    assert ask("SELECT count(*) AS rejects FROM landed.rejects") == [{"rejects": 0}]


def test_importing_it_again_adds_no_row(imported_home: Path, oplake: Callable[..., Any], ask: Ask) -> None:
    counts = "SELECT (SELECT count(*) FROM landed.steps) AS steps, (SELECT count(*) FROM landed.rejects) AS rejects"
    before = ask(counts)
    done = oplake(imported_home, "import", "tau-bench", str(FILE))
    assert done.returncode == 0, done.stderr
    report = ingest(Settings(home=imported_home), now=datetime.now(UTC))
    assert report.duplicates == 5508
    assert ask(counts) == before
