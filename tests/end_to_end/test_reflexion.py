"""From the public logs of Reflexion to what its corrections are worth, with the two commands that a person says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oplake.lake.catalog import connect
from oplake.settings import Settings

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "reflexion" / "alfworld"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not DATA.is_dir(), reason="the public logs of Reflexion are not beside the checkout (../shared/data)"
    ),
]


def test_corrected_retries_against_plain_ones(tmp_path: Path, oplake: Callable[..., Any]) -> None:
    """Of all retries together the odds ratio is 4.11: it must be that of the strata."""
    for arguments in (["import", "reflexion", str(DATA)], ["run"]):
        done = oplake(tmp_path / "home", *arguments)
        assert done.returncode == 0, done.stderr
    with connect(Settings(home=tmp_path / "home")) as connection:
        rows = connection.sql("FROM operations.correction_effects").to_arrow_table().to_pylist()
        goals = connection.sql("SELECT DISTINCT goal_id FROM attribution.actions").fetchall()
    assert len(goals) == 134
    (row,) = (row for row in rows if row["scope"] == "task_class")
    assert (row["corrected_successes"], row["corrected_retries"]) == (39, 158)
    assert (row["control_successes"], row["control_retries"]) == (17, 230)
    assert row["odds_ratio"] == pytest.approx(3.63, abs=0.01)
    assert (row["odds_ratio_low"], row["odds_ratio_high"]) == pytest.approx((1.943, 6.791), abs=0.001)
    assert (row["uncompared_retries"], row["effect"]) == (42, "helps")
    assert {row["effect"] for row in rows if row["scope"] == "advice"} == {"too_few"}
