"""The table of schema `playbooks` that is given, not worked out: the limits. All others of the schema are models."""

import dagster as dg

from oplake.given.limits import LIMITS
from oplake_assets.given import given_asset


def limits() -> dg.AssetsDefinition:
    """What the settings say of playbooks."""
    return given_asset(LIMITS)
