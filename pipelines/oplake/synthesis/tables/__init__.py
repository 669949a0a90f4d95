"""The tables that authors write, one module each: what a row tells, what is known before, and what is asked.

None of them calls a model; `write` does, for all of them alike.
"""

from __future__ import annotations

from oplake.synthesis.tables import daily_reports, error_analyses, lake_report, meta_evaluations, meta_plans, wordings
from oplake.synthesis.writing import Writing

WRITTEN: tuple[Writing, ...] = (
    meta_evaluations.WRITING,
    daily_reports.WRITING,
    meta_plans.WRITING,
    error_analyses.WRITING,
    wordings.WRITING,
    lake_report.WRITING,
)
"""Every such table, in the order in which one day of all of them is written."""
