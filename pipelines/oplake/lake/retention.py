"""Retention: what is kept only so long. See docs/decisions/0090."""

REPORTS = (
    "users.daily_reports",
    "users.meta_evaluations",
    "users.meta_plans",
    "operations.error_analyses",
    "lake.daily_report",
)
"""The tables of prose that `reports_kept` holds for, each with a column `day`."""
