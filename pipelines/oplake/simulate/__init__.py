"""A workload whose truth is known: simulated agents, users and sessions, for the demo and for tests of every estimate.

`simulate` lands the events and writes the answer sheet; `read_truth` reads that back. The same arguments make the same
events, on every machine: simulating twice adds no row, and more days only add days. Parts: `dice` (seeded chance),
`world` (the cast), `course` (how an action goes), `mishaps` (what befalls it), `workload` (the events), `transit`
(their order), `truth` (the answer sheet). Nothing here is imported by what computes the lake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from oplake.events import encoder
from oplake.landing.accept import accept, reject
from oplake.landing.errors import Unusable
from oplake.landing.segments import SUFFIX, segments
from oplake.landing.writer import SegmentWriter
from oplake.settings import Settings
from oplake.simulate.transit import BadLine, Sent, moment
from oplake.simulate.truth import Truth, read_truth, write_truth
from oplake.simulate.workload import VERSION, Workload

__all__ = [
    "START",
    "Simulated",
    "SimulationError",
    "Truth",
    "has_landed",
    "holds_other_events",
    "read_truth",
    "simulate",
    "truth_path",
]

START = date(2026, 1, 5)  # a Monday; fixed, so that a second simulation adds no row whenever it is made
DAYS, SEED, RATE = 7, 7, 150  # a week of a small company, which is the demo
BATCH_EVENTS = 5_000  # of one durable write: a million events cost 200 of them


class SimulationError(ValueError):
    """A simulation was asked for that cannot be."""


@dataclass(frozen=True)
class Simulated:
    """What a simulation landed."""

    actions: int  # that it knows of, landed now or before
    events: int  # lines landed now, duplicates, conflicts and rejects included
    rejects: int  # unusable lines among them, landed as rejects
    by_kind: Mapping[str, int]
    truth: Path  # the answer sheet


def truth_path(settings: Settings, *, seed: int = SEED, rate: int = RATE, start: date = START) -> Path:
    """Where the answer sheet goes unless it is told otherwise: more days of the same world are on the same sheet."""
    return settings.home / "simulated" / f"truth-{seed}-{rate}-{start}.json"


def has_landed(
    settings: Settings, *, days: int = DAYS, seed: int = SEED, rate: int = RATE, start: date = START
) -> bool:
    """Whether a simulation with these arguments would land nothing more."""
    path = truth_path(settings, seed=seed, rate=rate, start=start)
    return _landed_days(settings, path, seed=seed, rate=rate, start=start) >= days


def holds_other_events(settings: Settings) -> bool:
    """Whether events landed in a home in which nothing has been simulated, nor been begun to be."""
    if truth_path(settings).parent.exists():
        return False
    packed = settings.archive.glob(f"*/*{SUFFIX}.*")
    return any(segment.size for segment in segments(settings.landing)) or any(packed)


def simulate(
    settings: Settings,
    *,
    days: int = DAYS,
    seed: int = SEED,
    rate: int = RATE,
    start: date = START,
    truth: Path | None = None,
    is_bulk: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Simulated:
    """Land a simulated workload and write its answer sheet.

    Days that the answer sheet says have landed before are not landed again.

    Args:
        days: How many days of work.
        seed: Which world: another seed has other goals and another course of things.
        rate: Actions begun per day; an action comes with 20 to 30 other events.
        start: The first day.
        truth: Where the answer sheet goes; `truth_path` by default.
        is_bulk: Write the lines of ordinary events as accept would make them, without asking it; otherwise every event
            takes the way of one that comes from outside. The lines are the same; only the time it takes is not.
        progress: Called now and then with the share done, in [0, 1].

    Raises:
        SimulationError: `days` is not positive, or `rate` is negative.
        LandingError: The events cannot be made durable.
    """
    if days < 1 or rate < 0:
        raise SimulationError(f"a simulation takes at least 1 day and a rate of at least 0, not {days} and {rate}")
    path = truth or truth_path(settings, seed=seed, rate=rate, start=start)
    landed_days = _landed_days(settings, path, seed=seed, rate=rate, start=start)
    workload = Workload(days=days, seed=seed, rate=rate, start=start)
    truth_path(settings).parent.mkdir(parents=True, exist_ok=True)  # says where it all came from, should we be struck
    writer = SegmentWriter(settings.landing, segment_bytes=settings.segment_bytes, segment_age=settings.segment_age)
    by_kind: Counter[str] = Counter()
    lines: list[bytes] = []
    try:
        for sent in workload.sent():
            if sent.day < landed_days:
                continue
            kind, line = _line(sent, is_bulk=is_bulk)
            by_kind[kind] += 1
            lines.append(line)
            if len(lines) == BATCH_EVENTS:
                writer.append(lines)
                lines.clear()
                if progress:
                    progress(min((moment(sent.received_us).date() - start).days / days, 1.0))
        writer.append(lines)
    finally:
        writer.close()
    known = workload.truth()
    if days > landed_days:
        write_truth(path, known)
    if progress:
        progress(1.0)
    return Simulated(
        actions=len(known.actions),
        events=by_kind.total(),
        rejects=by_kind["reject"],
        by_kind=dict(sorted(by_kind.items())),
        truth=path,
    )


def _landed_days(settings: Settings, path: Path, *, seed: int, rate: int, start: date) -> int:
    """How many days of the same simulation have landed in this home.

    Landing them again would add no event, but one more reject for every event that arrived with another body: such a
    reject is known by its place in landing.
    """
    if not (path.is_file() and settings.landing.is_dir()):
        return 0
    try:
        known = read_truth(path)
    except msgspec.DecodeError:
        return 0
    return known.days if (known.version, known.seed, known.rate, known.start) == (VERSION, seed, rate, start) else 0


def _line(sent: Sent, *, is_bulk: bool) -> tuple[str, bytes]:
    """The kind and the landed line of something that was sent."""
    content = sent.content
    received_at = moment(sent.received_us)
    if isinstance(content, BadLine):
        try:
            accepted = accept(content.raw, received_at=received_at)
        except Unusable as error:
            accepted = reject(
                content.raw,
                reason=error.reason,
                origin=content.origin,
                line=content.line,
                byte_offset=content.byte_offset,
                received_at=received_at,
            )
        return str(accepted.event.__struct_config__.tag), accepted.line
    line = encoder.encode(content)
    if not (is_bulk and sent.is_plain):
        line = accept(line, received_at=received_at).line
    return str(content.__struct_config__.tag), line
