"""Draws the result that the README shows, from the lake of the demo: `.venv/bin/python docs/images/draw.py`."""

from __future__ import annotations

from pathlib import Path

import altair as alt

import oplake

QUERY = """
    WITH earned AS (
        SELECT
            action_type,
            decision,
            sum(credit * success_score) AS earned
        FROM attribution.steps
        INNER JOIN attribution.step_credits USING (day, action_id, position)
        INNER JOIN attribution.success_scores USING (day, action_id)
        INNER JOIN attribution.actions USING (day, action_id)
        GROUP BY action_type, decision
    )
    SELECT
        action_type,
        decision,
        earned / sum(earned) OVER (PARTITION BY action_type) AS share
    FROM earned
    QUALIFY row_number() OVER (PARTITION BY action_type ORDER BY earned DESC, decision) <= 5
"""
TYPES = ["refund_order", "fix_bug", "triage_incident"]


def main() -> None:
    """Write decisions.png beside this file."""
    with oplake.connect() as lake:
        decisions = lake.sql(QUERY).pl()
    chart = (
        alt.Chart(decisions)
        .mark_bar(color="#2f6f8f", cornerRadiusEnd=2)
        .encode(
            alt.X("share:Q", title="share of the success", axis=alt.Axis(format="%", grid=False, tickCount=4)),
            alt.Y("decision:N", title=None, sort="-x"),
        )
        .properties(width=150, height=110)
    )
    panels = [
        chart.transform_filter(alt.datum.action_type == each).properties(title=each.replace("_", " ")) for each in TYPES
    ]
    picture = alt.hconcat(*panels, title="Which decisions earn the success of an action").configure_view(stroke=None)
    picture.save(Path(__file__).with_name("decisions.png"), scale_factor=1.5)


if __name__ == "__main__":
    main()
