"""What Dagster is told of a model: the asset factory.

Everything comes from the model file by way of `Model`; how a table is computed is `build`'s work, what is checked
`checks`'. No `from __future__ import annotations` here: Dagster reads the annotations of the functions that it calls.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import dropwhile
from typing import Any, TypeVar

import dagster as dg

from oplake.lake.spec import TableSpec, duckdb_type
from oplake.models.checks import Finding, checks_of
from oplake.models.model import Model
from oplake.orchestration.partitions import all_in_one_run, days_read, key_of
from oplake.orchestration.resources import Lakehouse

T = TypeVar("T")

OWNER = "team:oplake"
KINDS = {"duckdb", "deltalake", "sql"}


def sql_assets(
    models: Iterable[Model], sources: Iterable[TableSpec], days: dg.DailyPartitionsDefinition
) -> list[dg.AssetsDefinition]:
    """An asset for each model. `sources` are the tables that models read besides each other."""
    every = list(models)
    with_days = {source.name for source in sources if source.partition_by_day}
    with_days |= {model.name for model in every if model.partition is not None}
    return [_sql_asset(model, days, with_days) for model in every]


def _sql_asset(model: Model, days: dg.DailyPartitionsDefinition, with_days: Collection[str]) -> dg.AssetsDefinition:
    """The asset of a model: its table, computed for any range of days in one run, and checked."""

    @dg.asset(
        key=key_of(model.name),
        group_name=model.name.partition(".")[0],
        owners=[OWNER],
        kinds=KINDS,
        code_version=model.code_version,
        description=describe(model),
        metadata=definition_metadata(model),
        partitions_def=days if model.partition else None,
        backfill_policy=all_in_one_run() if model.partition else None,
        deps=[_dependency(model, table, with_days) for table in sorted(model.dependencies)],
        check_specs=[
            dg.AssetCheckSpec(
                name, asset=key_of(model.name), description="; ".join(promise.description for promise in some)
            )
            for name, some in _grouped(checks_of(model), lambda promise: promise.name).items()
        ],
    )
    def compute(context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows it bare
        start, stop = days_of(context)
        built = lakehouse.build(model, start, stop)
        total = lakehouse.lake.size(model.name).row_count
        last = max(built.rows_per_day, default=None)
        for day, rows in built.rows_per_day.items():
            # Lineage is the same for every day; the last one is the one that is shown.
            lineage = lineage_metadata(model.lineage) if day == last else {}
            context.add_asset_metadata({**row_counts(rows, total), **lineage}, partition_key=day.isoformat())
        metadata: dict[str, Any] = {"delta_version": built.version, "seconds": round(built.seconds, 3)}
        if start is None:
            metadata |= {"dagster/row_count": total, **lineage_metadata(model.lineage)}
        return dg.MaterializeResult(
            metadata=metadata,
            check_results=[
                _check_result(name, some)
                for name, some in _grouped(
                    lakehouse.check(model, start, stop), lambda finding: finding.check.name
                ).items()
            ],
        )

    return compute


def days_of(context: dg.AssetExecutionContext) -> tuple[date | None, date | None]:
    """First and last day that a run makes; None for an asset without days."""
    if not context.has_partition_key_range and not context.has_partition_key:
        return None, None
    keys = context.partition_key_range
    return date.fromisoformat(keys.start), date.fromisoformat(keys.end)


def describe(model: Model) -> str:
    """The description of a model's asset, in Markdown: what its file says, its grain, its days and its SQL."""
    lines = [model.description, "", f"**Grain**: {', '.join(model.grain)}."]
    if model.partition is None:
        lines.append("**Partition**: none; it is made whole.")
    else:
        low, high = model.window
        reads = "its own day" if low == high == 0 else f"days {low:+d} to {high:+d} of its inputs"
        lines.append(f"**Partition**: day (UTC); each reads {reads}.")
    if model.question is not None:
        lines += ["", f"**{model.question.text}**", "", "```sql", model.question.sql, "```", ""]
        lines += [f"> {' | '.join(row)}  " for row in model.question.answer]
    lines += ["", "**Model**", "", "```sql", _body(model.sql), "```"]
    return "\n".join(lines)


def _body(sql: str) -> str:
    """The SQL without the comment that it begins with, which stands above it already."""
    return "\n".join(dropwhile(lambda line: line.startswith("--") or not line.strip(), sql.splitlines())).strip()


def definition_metadata(model: Model) -> dict[str, Any]:
    """What can be told of a model before it is made: columns, table and file."""
    return {
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    column.name,
                    duckdb_type(column.type),
                    column.description,
                    dg.TableColumnConstraints(
                        nullable=not column.is_not_null,
                        unique=model.partition is None and model.grain == (column.name,),
                        other=_bounds(column.low, column.high),
                    ),
                )
                for column in model.columns
            ],
            constraints=dg.TableConstraints(other=[f"unique: {', '.join(model.grain)}"]),
        ),
        "dagster/table_name": model.name,
        "dagster/code_references": dg.CodeReferencesMetadataValue(
            code_references=[dg.LocalFileCodeReference(file_path=str(model.path), line_number=1, label=model.path.name)]
        ),
    }


def table_metadata(table: TableSpec) -> dict[str, Any]:
    """What can be told of a table that no model makes: its columns and its name."""
    return {
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    column.name,
                    duckdb_type(column.type),
                    column.description,
                    dg.TableColumnConstraints(
                        nullable=column.is_nullable, unique=table.grain == (column.name,), other=[]
                    ),
                )
                for column in table.columns
            ],
            constraints=dg.TableConstraints(other=[f"unique: {', '.join(table.grain)}"]),
        ),
        "dagster/table_name": table.name,
    }


def row_counts(day: int, table: int) -> dict[str, int]:
    """The rows of a day and of its whole table.

    The page of an asset shows `dagster/row_count` of what was reported last, and that is the last day of a run: often
    an edge of its window, and empty. The day's own rows under that name would say that the table has none.
    """
    return {"dagster/partition_row_count": day, "dagster/row_count": table}


def lineage_metadata(lineage: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, Any]:
    """From which columns each column is made."""
    return {
        "dagster/column_lineage": dg.TableColumnLineage(
            {
                name: [dg.TableColumnDep(key_of(table), column) for table, column in sources]
                for name, sources in lineage.items()
                if sources
            }
        )
    }


CHECKS = {
    "is_unique": "grain_is_unique",
    "is_not_null": "nothing_is_null",
    "is_in_range": "all_in_range",
    "no_alert": "no_alert",
}
"""What Dagster is told of a model's promises: one check for each kind of them, by how their names end.

A check costs three events, and with one for each promise a table of twenty columns would have twenty."""


def _grouped(items: Iterable[T], name_of: Callable[[T], str]) -> dict[str, list[T]]:
    """Promises, or what was found of them, by the check that stands for them."""
    groups: dict[str, list[T]] = {}
    for item in items:
        (check,) = (check for ending, check in CHECKS.items() if name_of(item).endswith(ending))
        groups.setdefault(check, []).append(item)
    return groups


def _check_result(name: str, findings: Sequence[Finding]) -> dg.AssetCheckResult:
    """An outcome that people can act on: how many rows break which promise, and some of them."""
    metadata: dict[str, Any] = {"rows": findings[0].rows}
    broken = [finding for finding in findings if not finding.is_passed]
    for finding in broken:
        rows = [dg.TableRecord({key: _shown(value) for key, value in row.items()}) for row in finding.sample]
        metadata[finding.check.name] = finding.offending
        metadata[f"{finding.check.name}: some rows"] = dg.MetadataValue.table(rows)
    is_alert = any(finding.check.is_alert for finding in findings)
    return dg.AssetCheckResult(
        check_name=name,
        passed=not broken,
        severity=dg.AssetCheckSeverity.WARN if is_alert else dg.AssetCheckSeverity.ERROR,
        description="; ".join(map(_told, broken)) or None,
        metadata=metadata,
    )


def _told(finding: Finding) -> str:
    """What was found, in words; of an alert with the first of its rows, for it is they that one has to know."""
    if not finding.check.is_alert:
        return f"not so in {finding.offending} of {finding.rows} rows: {finding.check.description}"
    rows = "; ".join(
        ", ".join(f"{key} {_said(value)}" for key, value in row.items() if value is not None) for row in finding.sample
    )
    more = f"; and {finding.offending - len(finding.sample)} more" if finding.offending > len(finding.sample) else ""
    return f"{finding.check.description}: {rows}{more}"


def _shown(value: Any) -> str | int | float | bool | None:
    """A value as Dagster's tables take it."""
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _said(value: Any) -> str:
    """A value as one says it: an amount without the zeros that its column adds."""
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def _dependency(model: Model, table: str, with_days: Collection[str]) -> dg.AssetDep:
    follows_days = model.partition is not None and table in with_days
    return dg.AssetDep(key_of(table), partition_mapping=days_read(model.window_of(table)) if follows_days else None)


def _bounds(low: float | None, high: float | None) -> list[str]:
    if low is None and high is None:
        return []
    if high is None:
        return [f"at least {low:g}"]
    return [f"at most {high:g}" if low is None else f"{low:g} to {high:g}"]
