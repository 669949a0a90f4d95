"""Result files of Reflexion -> actions, the operations within them, and the corrections between them.

A run of Reflexion is a folder of files `env_results_trial_0.json`, `env_results_trial_1.json`, ...: after each trial,
the list of all environments with whether they are solved by now and what the agent wrote to itself after each failure.
One that is solved is not tried again.

Each attempt at an environment is an action (goal = the environment) and one operation within it; its signature is that
of the environment within the run. What was written after a failure is a correction of that signature, and the operation
of the next trial has it as `correction`. In a run without memory the agent was shown nothing of it: its retries are
plain, and no memory that its files may hold becomes a correction. The files do not say which runs those are; by the
names that Reflexion gives its folders, they begin with `base`.

The files have no times either: the entry at place i of a run happens SPACING_SECONDS * i after the start, so that all
trials of 134 environments fit into a day. Durations therefore say nothing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

from oplake.landing.importers import (
    REJECTS_SHOWN,
    START,
    Identity,
    Imported,
    Intake,
    NotImportable,
    Place,
    Progress,
    midnight,
    opened,
    seconds_after,
)
from oplake.landing.writer import SegmentWriter

SOURCE = "reflexion"
DOMAIN = "alfworld"  # what Reflexion's agents with such files were first run on; the files do not say
SPACING_SECONDS = 10  # between two entries; 60,000 of them are within the week in which a retry follows its failure
CORRECTED_AFTER = timedelta(seconds=5)  # from the failure to what is written of it; before the next entry
FILE_BYTES = 2**28  # a larger file would not fit into the memory of a small machine
PLAIN_PREFIX = "base"  # how the names of folders begin that hold runs without memory

_TRIAL = re.compile(r"env_results_trial_(\d+)\.json(\.gz|\.zst)?$")


@dataclass(frozen=True)
class _Run:
    """A folder with the results of one run."""

    folder: Path
    files: Mapping[int, Path]  # by trial
    has_memory: bool  # whether the agent was shown what it had written

    @property
    def agent_id(self) -> str:
        return "react+reflexion" if self.has_memory else "react"


@dataclass(frozen=True)
class _Known:
    """What is known of an environment after a trial."""

    memory: tuple[str, ...]
    is_success: bool
    advice: tuple[str, ...] = ()  # written after that trial


def import_reflexion(
    folder: Path,
    writer: SegmentWriter,
    *,
    received_at: datetime,
    start: date = START,
    domain: str = DOMAIN,
    agent_id: str | None = None,
    has_memory: bool | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Land the results of one run of Reflexion, or of all runs that stand side by side in a folder.

    Args:
        folder: Holds `env_results_trial_*.json`, or folders that do; .gz and .zst are unpacked.
        writer: Where it lands.
        received_at: The time of the import.
        start: The day on which each run is said to begin.
        domain: Class of the task; goals are `domain/environment`.
        agent_id: Who acted; by default `react+reflexion`, and `react` in runs without memory.
        has_memory: Whether the agent was shown its memory; by default, unless the folder's name begins with `base`.
        progress: Is told the bytes read.

    Returns:
        What landed. Entries that cannot be used are rejects with their place.

    Raises:
        NotImportable: There are no such files, or two runs that cannot be told apart.
        LandingError: The events cannot be made durable.
    """
    runs = _runs(folder, has_memory)
    size = sum(path.stat().st_size for run in runs for path in run.files.values())
    done = 0
    imported = []
    beginnings: dict[str, Path] = {}
    for run in runs:
        agent = agent_id or run.agent_id
        way = (SOURCE, start.isoformat(), domain, agent, "memory" if run.has_memory else "plain")
        identity = Identity(*way)
        known: dict[str, _Known] = {}
        number = 0  # of the entry within the run
        signature = ""
        with Intake(writer, identity, name=SOURCE, received_at=received_at, begins=midnight(start)) as intake:
            for trial, (path, entries) in enumerate(_trials(run, intake)):
                if trial == 0:
                    signature = _hash(*way, _encoded(entries))
                    if signature in beginnings:
                        raise NotImportable(
                            f"{run.folder} and {beginnings[signature]} begin alike and cannot be told apart; "
                            "import each for itself, with --agent"
                        )
                    beginnings[signature] = run.folder
                into = _Trial(trial, path, intake, run, domain, agent, signature)
                known = _take_trial(into, entries, known, midnight(start), number)
                number += len(entries)
                done += path.stat().st_size
                if progress:
                    progress(done, size)
        imported.append(intake.imported())
    return _together(imported)


@dataclass(frozen=True)
class _Trial:
    """Where the entries of a trial go, and what all of them share."""

    trial: int
    path: Path
    intake: Intake
    run: _Run
    domain: str
    agent_id: str
    signature: str  # of the run


def _runs(folder: Path, has_memory: bool | None) -> list[_Run]:
    try:
        folders = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
        found = [(path, _files(path)) for path in folders]
    except OSError as error:
        raise NotImportable(
            f"cannot read {error.filename}: {error.strerror}. Name the folder of a run of Reflexion"
        ) from error
    runs = [
        _Run(path, files, not path.resolve().name.startswith(PLAIN_PREFIX) if has_memory is None else has_memory)
        for path, files in found
        if files
    ]
    if not runs:
        raise NotImportable(f"{folder} holds no env_results_trial_0.json, nor does a folder in it")
    return runs


def _files(folder: Path) -> dict[int, Path]:
    """The result files of a folder by trial."""
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        match = _TRIAL.match(path.name)
        if match and path.is_file():
            found.setdefault(int(match[1]), path)
    return found


def _trials(run: _Run, intake: Intake) -> Iterator[tuple[Path, list[Any]]]:
    """The trials from the first on, until one is missing or broken: what was tried after that is not known."""
    for trial in range(max(run.files) + 1):
        path = run.files.get(trial)
        if path is None:
            intake.break_off(f"{run.folder.name} has no trial {trial}, so that what was tried after it is not known")
            return
        with opened(path) as (stream, _):
            content = stream.read(FILE_BYTES + 1)
        try:
            entries = json.loads(content) if len(content) <= FILE_BYTES else None
        except (ValueError, RecursionError) as error:
            intake.break_off(f"{run.folder.name}/{path.name} is not JSON ({error})")
            return
        if not isinstance(entries, list):
            intake.break_off(f"{run.folder.name}/{path.name} is no list of environments of up to {FILE_BYTES} bytes")
            return
        yield path, entries


def _take_trial(
    into: _Trial, entries: list[Any], before: Mapping[str, _Known], start: datetime, number: int
) -> dict[str, _Known]:
    """Land the attempts of a trial; what is known of each environment after it."""
    known = dict(before)
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        at = seconds_after(start, (number + index) * SPACING_SECONDS)
        raw = _encoded(entry)
        into.intake.advance(f"trial {into.trial} ".encode() + raw)
        reason = _unusable_because(entry, seen)
        if reason:
            place = Place(0, 0, f"{into.run.folder.name}/{into.path.name} entry {index}")
            into.intake.refuse(raw, reason=reason, place=place, ts=at)
            continue
        name = entry["name"]
        seen.add(name)
        earlier = before.get(name)
        if earlier is not None and earlier.is_success and entry["is_success"]:
            continue  # solved before, and so not tried again
        memory = tuple(entry["memory"])
        advice = _written(memory, earlier.memory if earlier else ()) if into.run.has_memory else ()
        known[name] = _Known(memory, entry["is_success"], () if entry["is_success"] else advice)
        _take_attempt(into, name, known[name], earlier.advice if earlier else (), at, raw)
    return known


def _take_attempt(into: _Trial, name: str, known: _Known, advised: tuple[str, ...], at: datetime, raw: bytes) -> None:
    """Land one attempt: the action, its operation, and what was written after it failed."""
    intake, trial = into.intake, into.trial
    action_id = intake.id("action")
    sig_hash = _hash(into.signature, name.encode())

    def take(kind: str, part: str, after: timedelta, **values: Any) -> None:
        event = {"kind": kind, "ts": (at + after).isoformat(), "source": SOURCE, **values}
        place = Place(0, 0, f"{into.run.folder.name}/{into.path.name} {name} {part}")
        intake.take(_encoded(event), event_id=intake.id(part), raw=raw, place=place, ts=at + after)

    take(
        "action_begun",
        "begun",
        timedelta(),
        action_id=action_id,
        agent_id=into.agent_id,
        action_type=into.domain,
        goal_id=f"{into.domain}/{name}",
        expected_outcome={"is_success": True},
        extra={"trial": trial},
    )
    take(
        "op",
        "operation",
        timedelta(),
        endpoint=into.domain,
        input_summary=f"{name}, trial {trial}",
        success=known.is_success,
        duration_ms=0.0,
        output_summary="solved" if known.is_success else "not solved",
        sig_hash=sig_hash,
        task_class=into.domain,
        correction=advised[-1] if advised else None,
        applied_at_turn=trial if advised else None,
        agent_id=into.agent_id,
        action_id=action_id,
    )
    outcome = {"status": "completed", "is_success": known.is_success}
    take("action_completed", "completed", timedelta(seconds=1), action_id=action_id, outcome=outcome)
    for place, advice in enumerate(known.advice):
        take(
            "correction",
            f"correction {place}",
            CORRECTED_AFTER,
            model=into.agent_id,
            task_class=into.domain,
            reason=f"{name} was not solved in trial {trial}",
            correction=advice,
            sig_hash=sig_hash,
            applied_at_turn=trial + 1,
        )


def _unusable_because(entry: Any, seen: set[str]) -> str:
    """Why an entry cannot be used; empty when it can."""
    if not isinstance(entry, dict):
        return f"an environment is an object, not {type(entry).__name__}"
    name, memory = entry.get("name"), entry.get("memory")
    if not isinstance(name, str) or not name:
        return "it has no name"
    if name in seen:
        return f"{name} stands in this trial already"
    if not isinstance(entry.get("is_success"), bool):
        return "is_success is neither true nor false"
    if not isinstance(memory, list) or not all(isinstance(text, str) for text in memory):
        return "memory is no list of texts"
    return ""


def _written(memory: tuple[str, ...], before: tuple[str, ...]) -> tuple[str, ...]:
    """What a memory has that it had not before; empty texts advise nothing."""
    new = memory[len(before) :] if memory[: len(before)] == before else tuple(Counter(memory) - Counter(before))
    return tuple(text.strip() for text in new if text.strip())


def _together(imported: list[Imported]) -> Imported:
    """What several runs brought, as one; the origin is that of the first with rejects."""
    kinds: Counter[str] = Counter()
    for one in imported:
        kinds.update(one.by_kind)
    times = [time for one in imported for time in (one.first_ts, one.last_ts) if time]
    return Imported(
        taken=sum(one.taken for one in imported),
        rejected=sum(one.rejected for one in imported),
        by_kind=dict(sorted(kinds.items())),
        origin=next((one.origin for one in imported if one.rejected), imported[0].origin),
        first_rejects=tuple(refused for one in imported for refused in one.first_rejects)[:REJECTS_SHOWN],
        first_ts=min(times, default=None),
        last_ts=max(times, default=None),
        breaks_off="; ".join(one.breaks_off for one in imported if one.breaks_off),
    )


def _hash(*parts: str | bytes) -> str:
    """A signature of 16 hex digits."""
    digest = blake2b(digest_size=8)
    for part in parts:
        piece = part.encode() if isinstance(part, str) else part
        digest.update(len(piece).to_bytes(8, "big") + piece)
    return digest.hexdigest()


def _encoded(value: Any) -> bytes:
    """JSON in ASCII, canonical, so that how a file is indented makes no difference."""
    return json.dumps(value, sort_keys=True).encode()
