"""The tables that authors write. They are the only assets that hold the resource `llm`, and run on schedules only.

What each tells stands in `oplake.synthesis.tables`, how rows are written in `oplake.synthesis.write`.

No `from __future__ import annotations` here: Dagster reads the annotations of the functions that it calls.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg

from oplake.lake.spec import TableSpec
from oplake.models.sql_assets import OWNER, days_of, row_counts, table_metadata
from oplake.orchestration.llm import LLM_POOL, ONLY_DUE, Llm
from oplake.orchestration.partitions import all_in_one_run, days_read, key_of
from oplake.orchestration.resources import Lakehouse
from oplake.synthesis.writing import Writing

KINDS = {"python", "deltalake"}
WRITTEN_CHECK, GROUNDED_CHECK, CITES_CHECK = "everything_is_written", "numbers_are_grounded", "cites_lead_to_rows"


def written(what: Writing, specs: Mapping[str, TableSpec], days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """The asset of a written table. `specs` are those of every table of the lake."""

    @dg.asset(
        key=key_of(what.name),
        description=what.spec.description,
        group_name=what.name.partition(".")[0],
        kinds=KINDS,
        owners=[OWNER],
        metadata=table_metadata(what.spec),
        partitions_def=days,
        backfill_policy=all_in_one_run(),
        pool=LLM_POOL,
        deps=[
            dg.AssetDep(key_of(table), partition_mapping=days_read(window) if window else None)
            for table, window in what.reads.items()
        ],
        check_specs=[
            dg.AssetCheckSpec(WRITTEN_CHECK, asset=key_of(what.name), description="no row failed"),
            dg.AssetCheckSpec(
                GROUNDED_CHECK, asset=key_of(what.name), description="every number is among the facts that were given"
            ),
            dg.AssetCheckSpec(
                CITES_CHECK, asset=key_of(what.name), description="every cite leads to evidence that was given"
            ),
        ],
    )
    def write(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse], llm: dg.ResourceParam[Llm]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows it bare
        start, stop = days_of(context)
        assert start is not None  # it has days
        assert stop is not None
        every = [start + timedelta(days=n) for n in range((stop - start).days + 1)]
        outcome = llm.write(lakehouse, what, every, specs, only_due=ONLY_DUE.items() <= context.run.tags.items())
        total = lakehouse.lake.size(what.name).row_count
        for day, rows in outcome.rows.items():
            context.add_asset_metadata(
                {**row_counts(len(rows), total), **llm.shown(what, day, rows)}, partition_key=day.isoformat()
            )
        metadata: dict[str, Any] = {
            "rows_written": outcome.new,
            "rows_kept": len(outcome.kept),
            "calls": outcome.call_count,
            "calls_from_cache": outcome.cached_count,
            "run_cost_usd": "unpriced" if outcome.cost_usd is None else float(outcome.cost_usd),
        }
        return dg.MaterializeResult(
            metadata=metadata,
            check_results=[
                _result(WRITTEN_CHECK, outcome.failures, dg.AssetCheckSeverity.ERROR),
                _result(GROUNDED_CHECK, outcome.listed("ungrounded_numbers"), dg.AssetCheckSeverity.WARN),
                _result(CITES_CHECK, outcome.listed("unknown_cites"), dg.AssetCheckSeverity.WARN),
            ],
        )

    return write


def _result(name: str, found: Mapping[str, str], severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
    """A check that fails when something was found, and lists it."""
    return dg.AssetCheckResult(
        check_name=name,
        passed=not found,
        severity=severity,
        description="; ".join(f"{subject}: {what}" for subject, what in found.items()) or None,
        metadata={"found": len(found)},
    )
