"""Forgetting a person while nothing else is at work: no run, no ingest, no upkeep."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from oplake.lake.forget import Forgotten, Say
from oplake.lake.forget import forget as forget_in_lake
from oplake.orchestration.liveness import without_runs
from oplake.orchestration.records import forget_in_records
from oplake.orchestration.resources import alive_folder
from oplake.settings import Settings


def forget(settings: Settings, user: str, *, now: Callable[[], datetime], say: Say = lambda _: None) -> Forgotten:
    """Removes a person from landing, lake and Dagster's records. A run that reads what they said would write it again,
    so there must be none; those that begin meanwhile wait.

    Raises:
        RunsAreOn, IngestBusy: Others are at work; try again.
        LakeError, OrchestrationError: Something cannot be cleaned; the same call again does the rest.
    """
    with without_runs(alive_folder(settings)):
        return forget_in_lake(
            settings, user, now=now(), also=lambda person: forget_in_records(settings, person), say=say
        )
