"""From a public result file of tau-bench to credit, with the commands that the README shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "tau-bench" / "gpt-4o-airline.json"

pytestmark = [
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


@pytest.fixture
def ask(imported_home: Path, oplake: Callable[..., Any]) -> Callable[[str], list[dict[str, Any]]]:
    """Ask the lake in SQL, as a person would."""

    def do(query: str) -> list[dict[str, Any]]:
        done = oplake(imported_home, "sql", query, "--format", "json")
        assert done.returncode == 0, done.stderr
        answer: list[dict[str, Any]] = json.loads(done.stdout)
        return answer

    return do


def test_200_actions_84_of_them_successful(ask: Callable[[str], list[dict[str, Any]]]) -> None:
    rows = ask("SELECT success_score, count(*) AS actions FROM attribution.success_scores GROUP BY ALL ORDER BY ALL")
    assert [(row["success_score"], row["actions"]) for row in rows] == [(0.0, 116), (1.0, 84)]
    [row] = ask("""
        SELECT count(*) AS actions, count(DISTINCT goal_id) AS goals, min(action_type) AS type, min(status) AS status
        FROM attribution.actions
    """)
    assert row == {"actions": 200, "goals": 50, "type": "airline", "status": "completed"}


def test_every_step_has_its_credit(ask: Callable[[str], list[dict[str, Any]]]) -> None:
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


def test_nothing_of_it_was_rejected(ask: Callable[[str], list[dict[str, Any]]]) -> None:
    assert ask("SELECT count(*) AS rejects FROM landed.rejects") == [{"rejects": 0}]


def test_importing_it_again_adds_no_row(
    imported_home: Path, oplake: Callable[..., Any], ask: Callable[[str], list[dict[str, Any]]]
) -> None:
    counts = "SELECT (SELECT count(*) FROM landed.steps) AS steps, (SELECT count(*) FROM landed.rejects) AS rejects"
    before = ask(counts)
    for arguments in (["import", "tau-bench", str(FILE)], ["run"]):
        done = oplake(imported_home, *arguments)
        assert done.returncode == 0, done.stderr
    assert ask(counts) == before
