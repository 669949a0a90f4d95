"""Dagster's part: what is stale (`staleness`), what that means for Dagster (`definitions`), and how it is run.

Computing tables is the work of `lake` and `models`; nothing here opens a table to look at its rows.
"""
