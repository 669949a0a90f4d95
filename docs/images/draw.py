"""Draws the result that the README shows, from the lake of the demo: `.venv/bin/python docs/images/draw.py`."""

from __future__ import annotations

from pathlib import Path

import altair as alt

import oplake

QUERY = """
    SELECT
        action_type,
        decision,
        avg(success_score) AS success,
        avg(avg(success_score)) OVER (PARTITION BY action_type) AS usual
    FROM attribution.steps
    INNER JOIN attribution.success_scores USING (day, action_id)
    INNER JOIN attribution.actions USING (day, action_id)
    GROUP BY action_type, decision
    HAVING count(*) >= 20
"""
TYPES = ["fix_bug", "write_report", "fill_shift"]


def main() -> None:
    """Write decisions.png beside this file."""
    with oplake.connect() as lake:
        decisions = lake.sql(QUERY).pl()
    chart = (
        alt.Chart(decisions)
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            alt.X("success:Q", title="mean success", axis=alt.Axis(format="%", grid=False, tickCount=4)),
            alt.Y("decision:N", title=None, sort="-x"),
            color=alt.condition(alt.datum.success < alt.datum.usual * 0.6, alt.value("#c8553d"), alt.value("#2f6f8f")),
        )
        .properties(width=140)
    )
    panels = [
        chart.transform_filter(alt.datum.action_type == each).properties(title=each.replace("_", " ")) for each in TYPES
    ]
    picture = alt.hconcat(*panels, title="How actions end in which a decision was taken").configure_view(stroke=None)
    picture.save(Path(__file__).with_name("decisions.png"), scale_factor=1.5)


if __name__ == "__main__":
    main()
