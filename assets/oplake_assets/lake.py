"""The tables `lake.*`: what the lakehouse knows of itself.

`segments` takes in what has landed and so writes `landed.*`, too; `arrivals` writes down what every run committed and
publishes the views. How either is done stands in `oplake.lake`. No `from __future__ import annotations` here: Dagster
reads the annotations of the functions that it calls.
"""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from oplake.lake.tables import TableSpec
from oplake.models.sql_assets import OWNER, table_metadata
from oplake.orchestration.partitions import key_of
from oplake.orchestration.resources import Lakehouse
from oplake.orchestration.staleness import last_day

GROUP = "lake"
KINDS = {"python", "deltalake"}
SEGMENTS, ARRIVALS = "lake.segments", "lake.arrivals"


def segments(table: TableSpec) -> dg.AssetsDefinition:
    """The asset that takes in what has landed. It tells of each table and day that it touched."""

    @dg.asset(
        key=key_of(SEGMENTS),
        description=table.description,
        group_name=GROUP,
        kinds=KINDS,
        owners=[OWNER],
        metadata=table_metadata(table),
    )
    def ingest(context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]) -> dg.MaterializeResult:  # type: ignore[type-arg]
        report = lakehouse.ingest()
        first, last = lakehouse.settings.first_day, last_day(lakehouse.clock())
        for name, added in report.touched.items():
            rows = lakehouse.lake.rows_per_day(name)
            for day in sorted(added):
                if first <= day <= last:  # Dagster knows no other partitions
                    context.log_event(
                        dg.AssetMaterialization(
                            key_of(name),
                            partition=day.isoformat(),
                            metadata={"dagster/row_count": rows.get(day, 0), "rows_added": added[day]},
                        )
                    )
        metadata: dict[str, Any] = {
            "dagster/row_count": lakehouse.lake.size(SEGMENTS).row_count,
            "events": report.events,
            "duplicates": report.duplicates,
            "rejects": report.rejects,
            "bytes": report.bytes,
        }
        if report.watermark is not None:
            metadata["watermark"] = dg.MetadataValue.timestamp(report.watermark)
        return dg.MaterializeResult(metadata=metadata)

    return ingest


def arrivals(table: TableSpec, upstream: Iterable[str]) -> dg.AssetsDefinition:
    """The asset that ends every run: it writes down which (table, day) got how many rows, and publishes the views."""

    @dg.asset(
        key=key_of(ARRIVALS),
        deps=[key_of(name) for name in upstream],
        description=table.description,
        group_name=GROUP,
        kinds=KINDS,
        owners=[OWNER],
        metadata=table_metadata(table),
    )
    def publish(lakehouse: dg.ResourceParam[Lakehouse]) -> dg.MaterializeResult:  # type: ignore[type-arg]
        rows_added = lakehouse.publish()
        return dg.MaterializeResult(
            metadata={"dagster/row_count": lakehouse.lake.size(ARRIVALS).row_count, "rows_added": rows_added}
        )

    return publish


def written_by_ingest(tables: Iterable[TableSpec], days: dg.DailyPartitionsDefinition) -> list[dg.AssetSpec]:
    """The other tables of `lake` that `segments` writes."""
    return [
        dg.AssetSpec(
            key_of(table.name),
            deps=[key_of(SEGMENTS)],
            description=table.description,
            group_name=GROUP,
            kinds=KINDS,
            owners=[OWNER],
            metadata=table_metadata(table),
            partitions_def=days if table.partition_by_day else None,
        )
        for table in tables
    ]
