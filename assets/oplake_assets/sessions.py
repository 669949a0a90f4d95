"""The tables of schema `sessions` that are given, not worked out: the price list and the budgets.

All others of the schema are models.
"""

import dagster as dg

from oplake.given.budgets import BUDGETS
from oplake.given.prices import PRICES
from oplake.orchestration.partitions import key_of
from oplake_assets.given import given_asset

USABLE = "own_rows_are_usable"


def prices() -> dg.AssetsDefinition:
    """The price list, with a check that names the rows of `prices.csv` that cannot be used."""
    key = key_of(PRICES.name)
    return given_asset(
        PRICES, [dg.AssetCheckSpec(USABLE, asset=key, description="every row of prices.csv can be used")]
    )


def budgets() -> dg.AssetsDefinition:
    """The limits of the settings."""
    return given_asset(BUDGETS)
