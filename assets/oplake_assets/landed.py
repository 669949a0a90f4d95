"""The tables `landed.*`: what arrived, one table a kind of event. The asset `lake/segments` writes them all."""

from collections.abc import Iterable

import dagster as dg

from oplake.lake.tables import TableSpec
from oplake.models.sql_assets import OWNER, table_metadata
from oplake.orchestration.partitions import key_of

GROUP = "landed"
KINDS = {"duckdb", "deltalake"}


def landed(tables: Iterable[TableSpec], days: dg.DailyPartitionsDefinition) -> list[dg.AssetSpec]:
    """One asset for each landed table: events of a day, by the day on which they happened."""
    return [
        dg.AssetSpec(
            key_of(table.name),
            deps=[key_of("lake.segments")],
            description=table.description,
            group_name=GROUP,
            kinds=KINDS,
            owners=[OWNER],
            metadata=table_metadata(table),
            partitions_def=days if table.partition_by_day else None,
        )
        for table in tables
    ]
