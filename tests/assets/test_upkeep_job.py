"""The nightly job: the lake is looked after, old runs go, and damage makes it fail with words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from oplake.orchestration.definitions import build_definitions
from oplake.orchestration.jobs import UPKEEP

from .conftest import World, WriteModels, at
from .test_refresh import BEGUN

pytestmark = pytest.mark.slow


def _night(world: World, now: datetime) -> dg.ExecuteInProcessResult:
    definitions = build_definitions(world.settings, models=world.models, clock=lambda: now)
    return definitions.resolve_job_def(UPKEEP).execute_in_process(instance=world.instance, raise_on_error=False)


def test_it_archives_purges_and_tells_of_damage(world: World, write_models: WriteModels) -> None:
    world.models = write_models(begun=BEGUN)
    for _ in range(2):
        world.action("a", at(5, 12))
        world.land()
        assert world.run(at(12, 12)).is_success
    first = world.instance.get_runs()[-1].run_id
    later = datetime.now(UTC) + world.settings.runs_kept + timedelta(days=1)

    assert _night(world, later).success
    assert world.instance.get_run_by_id(first) is None  # all that it materialised was materialised again
    assert world.ask("SELECT actions FROM toy.begun") == [(2,)]
    archived = sorted(world.settings.archive.rglob("*.jsonl.zst"))
    assert archived

    archived[0].write_bytes(b"not what it was")
    result = _night(world, later)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert archived[0].name in str(failure.step_failure_data.user_failure_data or failure.step_failure_data.error)
