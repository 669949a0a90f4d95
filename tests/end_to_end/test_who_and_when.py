"""From the public labelled failures to blame that is measured, with the commands that people use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oplake.lake.catalog import connect
from oplake.learning.blame_eval import ALL, BLAME, evaluate
from oplake.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT.parent / "shared" / "data" / "who-and-when"
AGENTS, HANDMADE = "Algorithm-Generated", "Hand-Crafted"

pytestmark = [
    pytest.mark.xdist_group("who_and_when"),
    pytest.mark.slow,
    pytest.mark.skipif(
        not FOLDER.is_dir(), reason="the labelled failures of Who&When are not beside the checkout (../shared/data)"
    ),
]


@pytest.fixture(scope="module")
def imported_home(tmp_path_factory: pytest.TempPathFactory, oplake: Callable[..., Any]) -> Path:
    """A home into which the folder was imported, and which was computed."""
    home = tmp_path_factory.mktemp("who-and-when") / "home"
    for arguments in (["import", "who-and-when", str(FOLDER)], ["run"]):
        done = oplake(home, *arguments)
        assert done.returncode == 0, done.stderr
    return home


def test_every_run_is_a_failed_action_with_a_label(imported_home: Path) -> None:
    with connect(Settings(home=imported_home)) as connection:
        rows = connection.sql("""
            SELECT action_type, count(DISTINCT action_id), count(*), count(CASE WHEN is_decisive THEN 1 END)
            FROM attribution.labelled_steps WHERE is_failure GROUP BY ALL ORDER BY ALL
        """).fetchall()
        assert rows == [(AGENTS, 60, 531, 60), (HANDMADE, 28, 1530, 28)]
        assert connection.sql("SELECT count(*) FROM landed.rejects").fetchall() == [(0,)]


def test_blame_reaches_its_bars_with_each_goal_left_out(imported_home: Path) -> None:
    """No model and no re-execution; the method is chosen without the goal, too."""
    with connect(Settings(home=imported_home)) as connection:
        found = {(each.action_type, each.method): each for each in evaluate(connection).results}
    assert found[AGENTS, BLAME].top_1.value >= 0.34
    assert found[AGENTS, BLAME].actor_accuracy.value >= 0.53
    for method in ("credit_baseline", "uniform", "earliest", "last"):
        behind = found[ALL, method].behind
        assert behind is not None
        assert behind.low > 0, method


def test_floors_tell_the_prior_that_knows_more_than_positions(imported_home: Path) -> None:
    with connect(Settings(home=imported_home)) as connection:
        floors = {(each.estimate, each.action_type): each for each in evaluate(connection).floors}
    assert floors["prior", AGENTS].verdict == "above"
    assert floors["credit_baseline", AGENTS].verdict == "not above"


def test_the_command_prints_the_table_and_writes_the_page(
    imported_home: Path, oplake: Callable[..., Any], tmp_path: Path
) -> None:
    page = tmp_path / "blame.md"
    done = oplake(imported_home, "eval", "blame", "--output", str(page))
    assert done.returncode == 0, done.stderr
    assert "position_decision" in done.stdout
    assert page.read_text() == (CHECKOUT / "docs" / "methods" / "blame-benchmark.md").read_text()


def test_the_readme_says_what_the_command_prints(imported_home: Path) -> None:
    """Figures that are copied once are wrong after the next change of a method."""
    with connect(Settings(home=imported_home)) as connection:
        found = evaluate(connection)
    results = {(each.action_type, each.method): each.top_1 for each in found.results}
    blame, credit = results[AGENTS, BLAME], results[AGENTS, "credit_baseline"]
    readme = " ".join((CHECKOUT / "README.md").read_text().split())
    interval = f"(95 %: {100 * blame.low:.0f}-{100 * blame.high:.0f})"
    assert f"it names the step in {100 * blame.value:.0f} % of the runs of generated teams {interval}" in readme
    assert f"where crediting the last steps names {100 * credit.value:.0f} %" in readme
    (handmade,) = (each.verdict for each in found.floors if (each.estimate, each.action_type) == ("prior", HANDMADE))
    assert handmade == "not above"
    assert "On the runs of the handmade team it is not shown to be better than on shuffled labels." in readme
