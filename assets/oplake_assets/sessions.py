"""The tables of schema `sessions` that are given, not worked out: the price list and the budgets.

All others of the schema are models. How rows come about stands in `oplake.given`.

No `from __future__ import annotations` here: Dagster reads the annotations of the functions that it calls.
"""

import dagster as dg

from oplake.given.budgets import BUDGETS
from oplake.given.prices import PRICES
from oplake.models.sql_assets import OWNER, table_metadata
from oplake.orchestration.partitions import key_of
from oplake.orchestration.resources import Lakehouse

GROUP = "sessions"
KINDS = {"python", "deltalake"}
USABLE = "own_rows_are_usable"


def prices() -> dg.AssetsDefinition:
    """The price list, with a check that names the rows of `prices.csv` that cannot be used."""

    @dg.asset(
        key=key_of(PRICES.name),
        description=PRICES.description,
        group_name=GROUP,
        kinds=KINDS,
        owners=[OWNER],
        metadata=table_metadata(PRICES),
        check_specs=[
            dg.AssetCheckSpec(USABLE, asset=key_of(PRICES.name), description="every row of prices.csv can be used")
        ],
    )
    def write(lakehouse: dg.ResourceParam[Lakehouse]) -> dg.MaterializeResult:  # type: ignore[type-arg]
        made = lakehouse.write_given(PRICES.name)
        check = dg.AssetCheckResult(
            check_name=USABLE,
            passed=not made.problems,
            severity=dg.AssetCheckSeverity.ERROR,
            description="; ".join(made.problems) or None,
            metadata={"unusable": len(made.problems)},
        )
        return dg.MaterializeResult(metadata={"dagster/row_count": made.row_count}, check_results=[check])

    return write


def budgets() -> dg.AssetsDefinition:
    """The limits of the settings."""

    @dg.asset(
        key=key_of(BUDGETS.name),
        description=BUDGETS.description,
        group_name=GROUP,
        kinds=KINDS,
        owners=[OWNER],
        metadata=table_metadata(BUDGETS),
    )
    def write(lakehouse: dg.ResourceParam[Lakehouse]) -> dg.MaterializeResult:  # type: ignore[type-arg]
        return dg.MaterializeResult(metadata={"dagster/row_count": lakehouse.write_given(BUDGETS.name).row_count})

    return write
