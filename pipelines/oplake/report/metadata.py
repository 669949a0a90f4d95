"""Reports beside a run, as Dagster shows them: as Markdown with charts, and what they took.

Dagster's UI draws pictures in Markdown whose addresses hold their data (tried with 1.13).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from oplake.report import content
from oplake.report.charts import draw, series_of
from oplake.report.content import Report
from oplake.report.markdown import escaped, markdown
from oplake.synthesis.writing import OVER_BUDGET, OVER_CAP, Writing

SHOWN = 20  # reports of a day: Dagster keeps and sends all of it at once
REPORT = "report"


def metadata(what: Writing, rows: Sequence[Mapping[str, Any]]) -> dict[str, dg.MetadataValue[Any]]:
    """What Dagster shows of the rows of a day.

    Args:
        what: Their table.
        rows: The rows.
    """
    reports = sorted((Report(what, row) for row in rows), key=lambda each: not content.is_written(each))
    costs = [row["cost_usd"] for row in rows]
    authors = sorted({row["author"] for row in rows if row["author"]})
    found: dict[str, dg.MetadataValue[Any]] = {
        REPORT: dg.MetadataValue.md(_whole(reports)),
        "author": dg.MetadataValue.text(", ".join(authors) or "nobody was asked"),
        "input_tokens": dg.MetadataValue.int(sum(row["input_tokens"] for row in rows)),
        "output_tokens": dg.MetadataValue.int(sum(row["output_tokens"] for row in rows)),
        "duration_ms": dg.MetadataValue.float(float(sum(row["duration_ms"] for row in rows))),
        "cache_hits": dg.MetadataValue.int(sum(row["cached_count"] for row in rows)),
        "left_out": dg.MetadataValue.int(sum(row["status"] in {OVER_BUDGET, OVER_CAP} for row in rows)),
    }
    if None not in costs:
        found["cost_usd"] = dg.MetadataValue.float(float(sum(costs)))
    return found


def _whole(reports: Sequence[Report]) -> str:
    blocks = []
    for report in reports[:SHOWN]:
        title = " ".join(str(report.row[name]) for name in report.what.key)
        if title:
            blocks.append(f"### {escaped(title)}")
        blocks.append(markdown(report, charts=draw(series_of(content.facts(report)))))
    if len(reports) > SHOWN:
        blocks.append(f"*{len(reports) - SHOWN} more: `oplake report` shows them.*")
    return "\n\n".join(blocks)
