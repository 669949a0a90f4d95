"""The sensors: `arrivals` starts what there is to do, `tail` reads on in the files that are followed.

`arrivals` asks the lake, not its own memory: a run that failed, was killed or was never started leaves its days stale,
and the next tick finds them. It starts one run at a time and waits while it is in progress, leaves tables alone for a
while after they failed, and starts nothing without work.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import dagster as dg

from oplake.lake.ledger import read_ledger
from oplake.landing.tail import tail
from oplake.landing.writer import SegmentWriter
from oplake.models.model import Models
from oplake.orchestration.jobs import QUIET, SEGMENTS, Jobs
from oplake.orchestration.partitions import keys_of, range_tags
from oplake.orchestration.resources import alive_folder
from oplake.orchestration.runs import attempts, bury_abandoned, held_back, in_progress
from oplake.orchestration.staleness import AGAIN, Refresh, without
from oplake.orchestration.work import find_stale, find_work, open_lake
from oplake.settings import Settings

EVERY_SECONDS = 20
"""Between ticks: an event is in its tables well within two minutes; a tick that finds nothing costs milliseconds."""

WHY_TAG = "oplake/why"
WHY_CHARS = 200  # of the reasons, in a run's tag


def build_sensor(
    settings: Settings, models: Models, jobs: Jobs, *, clock: Callable[[], datetime]
) -> dg.SensorDefinition:
    """The sensor over a home."""

    def tick(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = clock()
        bury_abandoned(context.instance, alive_folder(settings), now)
        running = in_progress(context.instance)
        if running:
            return dg.SkipReason(f"waiting for run {running[0].run_id} of {running[0].job_name}")
        work = find_work(settings, models, now=now)
        held = held_back(attempts(context.instance), now)
        if work.must_ingest and SEGMENTS not in held:
            return dg.RunRequest(job_name=jobs.ingest.name, run_config=QUIET)
        stale = work.refreshes
        if work.must_ingest:  # but that fails at present; what is in the lake can be worked on all the same
            stale = tuple(find_stale(settings, models, read_ledger(open_lake(settings)), now=now))
        refreshes = without(stale, models, held)
        if refreshes:
            return _request(refreshes[0])
        if work:
            return dg.SkipReason(f"backing off after failures of {', '.join(sorted(held))}")
        return dg.SkipReason("nothing has landed, nothing is stale")

    def _request(refresh: Refresh) -> dg.RunRequest:
        return dg.RunRequest(
            job_name=jobs.refresh.name,
            run_config=QUIET,  # the job's own is not taken when assets are selected
            asset_selection=keys_of(refresh.models),
            tags={**range_tags(refresh.start, refresh.stop), **why(refresh)},
        )

    return dg.SensorDefinition(
        name="arrivals",
        evaluation_fn=tick,
        jobs=[jobs.ingest, jobs.refresh],
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Takes in what has landed, and makes again what that made stale.",
    )


def build_tail(settings: Settings, *, clock: Callable[[], datetime]) -> dg.SensorDefinition:
    """The sensor that lands what others appended to the files of `OPLAKE_TAIL`; `arrivals` finds what landed."""
    writer: list[SegmentWriter] = []  # one for as long as this process lives: else there would be a segment a tick

    def tick() -> dg.SkipReason:
        if not writer:
            writer.append(
                SegmentWriter(settings.landing, segment_bytes=settings.segment_bytes, segment_age=settings.segment_age)
            )
        report = tail(settings, clock(), writer=writer[0])
        if report.is_busy:
            return dg.SkipReason("another process is reading these files")
        said = [f"{path} {problem}" for path, problem in report.problems.items()]
        said += [f"{each.path}: {each.events} events, {each.rejects} rejects" for each in report.files]
        return dg.SkipReason("; ".join(said) or "nothing was appended")

    return dg.SensorDefinition(
        name="tail",
        evaluation_fn=tick,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Lands what was appended to the files of OPLAKE_TAIL.",
    )


def why(refresh: Refresh) -> dict[str, str]:
    """A run's tag that says what made its days stale: the causes at the bottom, not all that followed from them."""
    causes = [reason.partition(": ")[2] or reason for reason in refresh.reasons]
    roots = [cause for cause in causes if not cause.endswith(AGAIN)] or causes
    text = ", ".join(dict.fromkeys(roots))
    return {WHY_TAG: text if len(text) <= WHY_CHARS else text[: WHY_CHARS - 1] + "…"}
