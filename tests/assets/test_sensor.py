"""The sensor: each tick starts the one thing that is next, or says why nothing is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import dagster as dg
import pytest

from oplake.orchestration.definitions import build_definitions
from oplake.orchestration.jobs import INGEST, REFRESH

from .conftest import World, WriteModels, at, begun, days
from .test_refresh import BEGUN, DOUBLED, OTHER

pytestmark = pytest.mark.slow  # each runs Dagster a few times


@dataclass
class Daemon:
    """Ticks at a time of the test's choosing, and carries out what they ask for."""

    world: World
    now: datetime = field(default_factory=lambda: at(12, 12))

    def definitions(self) -> dg.Definitions:
        return build_definitions(self.world.settings, models=self.world.models, clock=lambda: self.now)

    def tick(self) -> dg.RunRequest | str:
        """The run asked for, or the reason why there is none."""
        definitions = self.definitions()
        sensor = definitions.get_repository_def().get_sensor_def("arrivals")
        with dg.build_sensor_context(instance=self.world.instance, definitions=definitions) as context:
            found = sensor.evaluate_tick(context)
        assert len(found.run_requests or ()) <= 1
        return found.run_requests[0] if found.run_requests else str(found.skip_message)

    def carry_out(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        job = self.definitions().resolve_job_def(str(request.job_name))
        return job.execute_in_process(
            instance=self.world.instance,
            asset_selection=request.asset_selection,
            tags=request.tags,
            raise_on_error=False,
        )


@pytest.fixture
def daemon(world: World, write_models: WriteModels) -> Daemon:
    world.models = write_models(begun=BEGUN, doubled=DOUBLED, other=OTHER)
    return Daemon(world)


def _request(found: dg.RunRequest | str) -> dg.RunRequest:
    assert isinstance(found, dg.RunRequest), found
    return found


def test_it_takes_in_what_landed_then_makes_what_is_stale_then_rests(daemon: Daemon) -> None:
    assert daemon.tick() == "nothing has landed, nothing is stale"
    for day in (5, 6, 9):
        daemon.world.action(f"a{day}", at(day, 12))

    ingest = _request(daemon.tick())
    assert ingest.job_name == INGEST
    assert daemon.carry_out(ingest).success
    daemon.world.made()
    first = _request(daemon.tick())
    assert first.job_name == REFRESH
    assert first.run_key is None  # a key would drop the run of a day that becomes stale again
    assert first.tags["dagster/asset_partition_range_start"] == "2026-01-05"
    assert first.tags["dagster/asset_partition_range_end"] == "2026-01-06"
    assert first.tags["oplake/why"] == "landed.actions_begun has input, landed.steps has input"
    assert daemon.carry_out(first).success
    second = _request(daemon.tick())
    assert daemon.carry_out(second).success
    assert daemon.tick() == "nothing has landed, nothing is stale"
    assert daemon.world.made()["toy.doubled"] == days(5, 6, 9)
    assert daemon.world.ask("SELECT count(*) FROM toy.doubled") == [(3,)]  # published


def test_a_request_that_is_lost_is_made_again(daemon: Daemon) -> None:
    """A cursor or a run key would remember that it was asked for, and never ask again."""
    daemon.world.action("a", at(5, 12))
    assert daemon.tick() == daemon.tick()


def test_it_waits_while_a_run_is_in_progress(daemon: Daemon) -> None:
    daemon.world.action("a", at(5, 12))
    job = daemon.definitions().resolve_job_def(INGEST)
    run = daemon.world.instance.create_run_for_job(job)
    assert daemon.tick() == f"waiting for run {run.run_id} of ingest"
    daemon.world.instance.report_run_canceled(run)
    assert _request(daemon.tick()).job_name == INGEST


def test_time_alone_brings_it_to_ingest(daemon: Daemon, world: World, models_of_ours: Callable[[], None]) -> None:
    """An action without a completion becomes a timeout although nothing lands any more."""
    models_of_ours()
    world.land(begun("a", at(5, 20)))
    daemon.now = at(5, 21)
    assert world.run(daemon.now).is_success

    daemon.now = at(6, 6, 14)
    assert daemon.tick() == "nothing has landed, nothing is stale"
    daemon.now = at(6, 6, 15)
    ingest = _request(daemon.tick())
    assert ingest.job_name == INGEST
    assert daemon.carry_out(ingest).success
    assert _request(daemon.tick()).tags["dagster/asset_partition_range_start"] == "2026-01-05"


@pytest.fixture
def models_of_ours(world: World, models: object) -> Callable[[], None]:
    def use() -> None:
        world.models = models  # type: ignore[assignment]

    return use


def test_after_a_failure_the_rest_goes_on_and_the_broken_waits(daemon: Daemon, write_models: WriteModels) -> None:
    """Trying again at once would fill the records with failures; holding everything back would stop the lake."""
    broken = BEGUN.replace("count(*)", "CAST(max(action_id) AS BIGINT)")
    daemon.world.models = write_models(begun=broken, doubled=DOUBLED, other=OTHER)
    daemon.world.action("a5", at(5, 12))
    daemon.carry_out(_request(daemon.tick()))
    failing = _request(daemon.tick())
    assert not daemon.carry_out(failing).success
    daemon.now = datetime.now(at(1, 0).tzinfo)

    assert daemon.tick() == "backing off after failures of toy.begun"
    daemon.world.action("a6", at(6, 12))
    daemon.carry_out(_request(daemon.tick()))
    rest = _request(daemon.tick())
    assert [key.path[-1] for key in rest.asset_selection or ()] == ["other"]
    assert daemon.carry_out(rest).success

    daemon.now += timedelta(minutes=5)
    again = _request(daemon.tick())
    assert "begun" in [key.path[-1] for key in again.asset_selection or ()]
