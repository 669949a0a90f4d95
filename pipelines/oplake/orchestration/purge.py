"""Removing old runs from Dagster's records.

Deleting a run deletes what it said of assets, too: a day whose last materialisation were in it would be shown as never
made. So a run goes only when all that it materialised was materialised again since. What the lake itself knows
(versions, row counts, when) does not depend on any of this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
PAGE = 100  # runs looked at at a time


def purge(instance: dg.DagsterInstance, *, before: datetime) -> int:
    """Delete the runs that ended before an instant and that nothing refers to any more; returns how many."""
    newest = _Newest(instance)
    doomed = [run for run in _old_runs(instance, before) if _is_superseded(instance, run, newest)]
    for run_id in doomed:
        instance.delete_run(run_id)
        _delete_file(instance, run_id)
    return len(doomed)


def _old_runs(instance: dg.DagsterInstance, before: datetime) -> Iterator[str]:
    cursor = None
    while True:
        page = instance.get_run_records(
            dg.RunsFilter(statuses=FINISHED, updated_before=before), limit=PAGE, cursor=cursor
        )
        for record in page:
            yield record.dagster_run.run_id
        if len(page) < PAGE:
            return
        cursor = page[-1].dagster_run.run_id


def _is_superseded(instance: dg.DagsterInstance, run_id: str, newest: _Newest) -> bool:
    """Whether each materialisation of a run has a later one in another run."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
        event = entry.get_dagster_event()
        if event.asset_key is not None and newest.run_of(event.asset_key, event.partition) == run_id:
            return False
    return True


class _Newest:
    """Which run materialised an asset, or a day of it, last; asked once for each."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._known: dict[tuple[dg.AssetKey, str | None], str | None] = {}

    def run_of(self, key: dg.AssetKey, partition: str | None) -> str | None:
        """The run's id; None when there is no record of any."""
        if (key, partition) not in self._known:
            which = dg.AssetRecordsFilter(asset_key=key, asset_partitions=None if partition is None else [partition])
            records = self._instance.fetch_materializations(which, limit=1).records
            self._known[key, partition] = records[0].run_id if records else None
        return self._known[key, partition]


def _delete_file(instance: dg.DagsterInstance, run_id: str) -> None:
    """SQLite storage keeps a file per run, which `delete_run` empties and leaves."""
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        path = Path(storage.path_for_shard(run_id))
        for each in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
            with suppress(FileNotFoundError):
                each.unlink()
