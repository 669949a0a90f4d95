"""Old runs go, what assets refer to stays. On Dagster's own SQLite records, with assets that do nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._utils.warnings import suppress_dagster_warnings

from oplake.orchestration.partitions import all_in_one_run, daily, range_tags
from oplake.orchestration.purge import purge

pytestmark = pytest.mark.slow  # each runs Dagster a few times

MONDAY = datetime(2026, 1, 5, tzinfo=UTC).date()
LATER = timedelta(days=1)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@suppress_dagster_warnings
def _definitions() -> dg.Definitions:
    @dg.asset(partitions_def=daily(MONDAY), backfill_policy=all_in_one_run())
    def credit() -> None: ...

    @dg.asset
    def views() -> None: ...

    @dg.asset
    def broken() -> None:
        raise dg.Failure("broken on purpose")

    return dg.Definitions([credit, views, broken], executor=dg.in_process_executor)


def _make(instance: dg.DagsterInstance, names: list[str], first: int = 0, last: int = 0) -> str:
    days = range_tags(MONDAY + timedelta(days=first), MONDAY + timedelta(days=last)) if "credit" in names else {}
    job = _definitions().resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey(name) for name in names]
    return job.execute_in_process(instance=instance, asset_selection=keys, tags=days, raise_on_error=False).run_id


def test_a_run_goes_when_all_that_it_made_was_made_again(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """Deleting every old run would show the days that only it had made as never made."""
    whole = _make(instance, ["credit", "views"], 0, 3)
    part = _make(instance, ["credit"], 0, 2)
    failed = _make(instance, ["broken"])
    last = _make(instance, ["credit", "views"], 0, 1)
    soon = datetime.now(UTC) + LATER

    assert purge(instance, before=datetime.now(UTC) - LATER) == 0
    assert purge(instance, before=soon) == 1  # the failed one; `whole` still has the fourth day, `part` the third
    assert instance.get_run_by_id(failed) is None
    _make(instance, ["credit"], 2, 3)
    assert purge(instance, before=soon) == 2

    kept = {run.run_id for run in instance.get_runs()}
    assert {whole, part}.isdisjoint(kept)
    assert last in kept
    assert instance.get_materialized_partitions(dg.AssetKey("credit")) == {f"2026-01-0{n}" for n in (5, 6, 7, 8)}
    assert instance.get_latest_materialization_event(dg.AssetKey("views")) is not None
    assert not list(tmp_path.rglob(f"{whole}.db*"))
    assert purge(instance, before=soon) == 0


def test_deleting_a_run_forgets_the_days_that_it_made(instance: dg.DagsterInstance) -> None:
    """The negative control: what `purge` guards against does happen."""
    run_id = _make(instance, ["credit"], 0, 1)
    assert instance.get_materialized_partitions(dg.AssetKey("credit"))

    instance.delete_run(run_id)

    assert not instance.get_materialized_partitions(dg.AssetKey("credit"))
