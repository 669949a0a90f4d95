"""Daily partitions in UTC, and how the days of one table relate to those of another."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster._utils.warnings import disable_dagster_warnings

from oplake.orchestration.staleness import DAYS_AHEAD


def daily(first_day: date) -> dg.DailyPartitionsDefinition:
    """The days from `first_day` to tomorrow, in UTC."""
    return dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), timezone="UTC", end_offset=1 + DAYS_AHEAD)


def days_read(window: tuple[int, int]) -> dg.TimeWindowPartitionMapping:
    """How a day relates to the days that it reads: those of the window, relative to itself.

    The window of the first and the last day reaches beyond the partitions; there is nothing, and that is fine.
    """
    low, high = window
    with disable_dagster_warnings():  # the argument is marked as beta; the version of Dagster is locked
        return dg.TimeWindowPartitionMapping(
            start_offset=low, end_offset=high, allow_nonexistent_upstream_partitions=True
        )


def all_in_one_run() -> dg.BackfillPolicy:
    """Any range of days is made by one run, in one statement."""
    with disable_dagster_warnings():
        return dg.BackfillPolicy.single_run()


def range_tags(start: date | None, stop: date | None) -> dict[str, str]:
    """The run tags that tell Dagster which days a run makes; none for what has no days."""
    if start is None or stop is None:
        return {}
    return {ASSET_PARTITION_RANGE_START_TAG: start.isoformat(), ASSET_PARTITION_RANGE_END_TAG: stop.isoformat()}


def key_of(table: str) -> dg.AssetKey:
    """The asset of a table: `attribution.steps` is `attribution/steps`."""
    return dg.AssetKey(table.split("."))


def keys_of(tables: Iterable[str]) -> list[dg.AssetKey]:
    """The assets of several tables, in their order."""
    return [key_of(table) for table in tables]
