"""Assets of tables that are given, not worked out; how their rows come about stands in `oplake.given`.

No `from __future__ import annotations` here: Dagster reads the annotations of the functions that it calls.
"""

from collections.abc import Sequence

import dagster as dg

from oplake.lake.spec import TableSpec
from oplake.models.sql_assets import OWNER, table_metadata
from oplake.orchestration.partitions import key_of
from oplake.orchestration.resources import Lakehouse

KINDS = {"python", "deltalake"}


def given_asset(spec: TableSpec, checks: Sequence[dg.AssetCheckSpec] = ()) -> dg.AssetsDefinition:
    """The asset that writes a given table; each check fails when some of what it comes of cannot be used."""

    @dg.asset(
        key=key_of(spec.name),
        description=spec.description,
        group_name=spec.name.partition(".")[0],
        kinds=KINDS,
        owners=[OWNER],
        metadata=table_metadata(spec),
        check_specs=checks,
    )
    def write(lakehouse: dg.ResourceParam[Lakehouse]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows it bare
        made = lakehouse.write_given(spec.name)
        results = [
            dg.AssetCheckResult(
                check_name=check.name,
                passed=not made.problems,
                severity=dg.AssetCheckSeverity.ERROR,
                description="; ".join(made.problems) or None,
                metadata={"unusable": len(made.problems)},
            )
            for check in checks
        ]
        return dg.MaterializeResult(metadata={"dagster/row_count": made.row_count}, check_results=results)

    return write
