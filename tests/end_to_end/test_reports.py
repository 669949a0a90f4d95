"""Reports from the first event to the page, as a person gets them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.model_server import says, serving_model

from oplake.synthesis.grounding import MARK

RunOplake = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("reports")]  # a home is simulated once

DAY = "2026-01-06"

UNKNOWN = """
    WITH cited AS (
        SELECT unnest(evidence, recursive := true) FROM users.meta_evaluations
        UNION ALL SELECT unnest(evidence, recursive := true) FROM users.daily_reports
        UNION ALL SELECT unnest(evidence, recursive := true) FROM operations.error_analyses
    ),
    led AS (SELECT source, unnest(ids) AS id FROM cited WHERE source IN ('landed.notes', 'operations.failures'))
    SELECT
        count(*) AS cites,
        count(*) FILTER (
            id NOT IN (SELECT event_id FROM landed.notes) AND id NOT IN (SELECT event_id FROM operations.failures)
        ) AS lost
    FROM led
"""

DOUBTS = """
    SELECT sum(len(ungrounded_numbers) + len(unknown_cites))::BIGINT AS doubts, count(*) AS reports
    FROM (
        FROM users.meta_evaluations SELECT ungrounded_numbers, unknown_cites
        UNION ALL FROM users.daily_reports SELECT ungrounded_numbers, unknown_cites
        UNION ALL FROM operations.error_analyses SELECT ungrounded_numbers, unknown_cites
        UNION ALL FROM lake.daily_report SELECT ungrounded_numbers, unknown_cites
    )
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, oplake: RunOplake, worked_home: Path) -> Path:
    """Two simulated days with everything written of them, offline."""
    folder = tmp_path_factory.mktemp("reports") / "home"
    shutil.copytree(worked_home, folder)
    none = oplake(folder, "report")
    assert (none.returncode, none.stdout) == (1, "")
    assert "there is no report yet; `oplake write` writes what is due" in none.stderr
    done = oplake(folder, "write", "--from", "2026-01-05", "--to", DAY)
    assert done.returncode == 0, done.stderr
    return folder


def test_reports_are_shown_as_markdown_and_as_a_page(oplake: RunOplake, home: Path, tmp_path: Path) -> None:
    shown = oplake(home, "report")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("# Tuesday, 6 January 2026\n")
    for part in ("## The team", "actions begun", "## Users", "## Errors", "**Evidence**: ", "Failures: "):
        assert part in shown.stdout, part

    file = tmp_path / "report.html"
    made = oplake(home, "report", "--day", DAY, "--html", str(file))
    assert made.returncode == 0, made.stderr
    assert made.stdout == ""
    text = file.read_text(encoding="utf-8")
    assert text.count("<svg") == 4
    assert len(text) < 400_000
    assert "<mark" not in text.replace("mark {", "")


def test_one_user_can_be_looked_at_and_another_day_is_told(oplake: RunOplake, home: Path) -> None:
    users = oplake(
        home,
        "sql",
        f"SELECT user_id FROM users.daily_reports WHERE day = '{DAY}' AND NOT inactivity_flag",
        "-f",
        "json",
    )
    user = json.loads(users.stdout)[0]["user_id"]
    shown = oplake(home, "report", "--user", user)
    assert f"### {user}" in shown.stdout
    assert shown.stdout.count("\n### ") == 1
    assert "## The team" not in shown.stdout
    missing = oplake(home, "report", "--day", "2026-02-01")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "there is no report of 2026-02-01: the latest is of 2026-01-06" in missing.stderr


def test_every_sentence_of_the_embedded_author_is_grounded_and_leads_to_rows(oplake: RunOplake, home: Path) -> None:
    (doubts,) = json.loads(oplake(home, "sql", DOUBTS, "-f", "json").stdout)
    assert doubts["reports"] > 20
    assert doubts["doubts"] == 0
    (found,) = json.loads(oplake(home, "sql", UNKNOWN, "-f", "json").stdout)
    assert found["cites"] > 20
    assert found["lost"] == 0


def test_what_a_model_made_up_is_found_and_marked(
    oplake: RunOplake, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own sum is; the prompt's "seven days before" and a figure of the facts, rounded, are not."""
    (facts,) = json.loads(
        oplake(home, "sql", f"SELECT facts FROM lake.daily_report WHERE day = '{DAY}'", "-f", "json").stdout
    )
    figures = {each["name"]: each for each in json.loads(facts["facts"])["figures"]}
    operations = figures["operations"]
    said = {
        "summary": f"<script>alert(1)</script> {operations['value']:,} operations [{operations['id']}], and [s99].",
        "changes": [
            f"{100 * figures['success rate of operations']['value']:.0f} % succeeded, as in the seven days before."
        ],
        "costs": "It will cost $98,765.43.",
        "look_at": [],
    }
    review = [says("$98,765.43 is no fact."), says(json.dumps({"score": 40, "reasons": ["one number is no fact"]}))]
    with serving_model(says(json.dumps(said)), *review) as server:
        for name, value in (("URL", server.url), ("PRO", "large"), ("FLASH", "mini"), ("KEY", "none")):
            monkeypatch.setenv(f"OPLAKE_LLM_{name}", value)
        copy = tmp_path / "home"
        shutil.copytree(home, copy)
        done = oplake(copy, "write", "lake.daily_report", "--from", DAY, "--again")
    assert done.returncode == 0, done.stderr
    assert f"{DAY}: $98,765.43\n" in done.stderr
    assert f"{DAY}: s99\n" in done.stderr
    shown = oplake(copy, "report").stdout
    assert f"\\$98,765.43{MARK}" in shown
    assert shown.count(MARK) == 1
    file = tmp_path / "report.html"
    oplake(copy, "report", "--html", str(file))
    text = file.read_text(encoding="utf-8")
    assert f'<mark title="not among the facts">$98,765.43{MARK}</mark>' in text
    assert "<script" not in text
    assert "relies on it by 40 of 100 (one number is no fact)" in text


def test_a_file_that_cannot_be_written_is_told(oplake: RunOplake, home: Path, tmp_path: Path) -> None:
    made = oplake(home, "report", "--html", str(tmp_path / "missing" / "report.html"))
    assert made.returncode == 1
    assert f"cannot write {tmp_path / 'missing' / 'report.html'}: No such file or directory" in made.stderr
