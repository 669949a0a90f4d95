"""Who&When -> failed actions with a step per message and the label that says which step decided the failure.

Each JSON file is one run: an action of the class of its system, whose goal is the question. The class is the name of
its folder, `Algorithm-Generated` or `Hand-Crafted`; in another folder it is the first where messages name their
speaker, else the second. A run failed unless it says `is_correct: true`; then it has no label. A message is a step, so
that the label's index into `history` is the step's index. Who speaks is the actor; `Orchestrator (-> WebSurfer)` is
the actor `Orchestrator` and the decision `-> WebSurfer`. Messages that name no decision are told apart by what they
do: write code, report on code that ran, end the talk, or respond. The label is an observation `blame_label`, whose
data names the step and the actor, by the same rule.

The files have no times. A run begins at a second of the first day that follows from its content, and its messages
follow each other by a second; so a file is the same events whatever lies beside it. Durations say nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from oplake.landing.importers import (
    START,
    Imported,
    Intake,
    NotImportable,
    OfPiece,
    Place,
    Progress,
    midnight,
    seconds_after,
)
from oplake.landing.writer import SegmentWriter

SOURCE = "who-and-when"
LABEL = "blame_label"  # the type of the observation that names the decisive step
NAMED, UNNAMED = "Algorithm-Generated", "Hand-Crafted"
FILE_BYTES = 2**27  # a hundred times the largest run; what is larger is another file by mistake
DESCRIPTION_CHARS = 500  # what a step's description may hold
LATEST_BEGIN = 18 * 3600  # seconds; leaves the longest run six hours of its day, so that none goes over midnight

_SPEAKER = re.compile(r"(.*?)\s*\((.*)\)\s*$", re.DOTALL)
_INDEX = re.compile(r"([0-9]{1,9})(\.0*)?")  # as a table that passed through a spreadsheet or pandas has it, too


def import_who_and_when(
    path: Path, writer: SegmentWriter, *, received_at: datetime, start: date = START, progress: Progress | None = None
) -> Imported:
    """Land the runs of a folder, of those below it, or of one file.

    Args:
        path: The folder or file; in folders, files that end in .json are read.
        writer: Where they land.
        received_at: The time of the import.
        start: The day on which the runs are said to happen.
        progress: Told of the bytes read.

    Returns:
        What landed. A run that cannot be used is a reject with its file and the reason; so is a label that names no
        message, and the run lands without it.

    Raises:
        NotImportable: There is no JSON file.
        LandingError: The events cannot be made durable.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.json"))
    if not files:
        raise NotImportable(f"{path} holds no .json file; give the folder of Who&When, or one of its runs")
    sizes = [file.stat().st_size for file in files]
    identity = OfPiece(SOURCE, start.isoformat())
    done = 0
    with Intake(writer, identity, name=SOURCE, received_at=received_at, begins=midnight(start)) as intake:
        for file, size in zip(files, sizes, strict=True):
            name = file.name if file == path else file.relative_to(path).as_posix()
            _take_file(file, name, intake, start)
            done += size
            if progress:
                progress(done, sum(sizes))
    return intake.imported()


def _take_file(file: Path, name: str, intake: Intake, start: date) -> None:
    try:
        with file.open("rb") as stream:
            raw = stream.read(FILE_BYTES + 1)
    except OSError as error:
        raise NotImportable(f"cannot read {file}: {error.strerror}. Check its permissions") from error
    intake.advance(raw)
    begins = seconds_after(midnight(start), _second(raw))
    run, reason = _decoded(raw)
    if reason:
        intake.refuse(raw[:FILE_BYTES], reason=reason, place=Place(0, 0, file=name), ts=begins)
        return
    action_id = intake.id("action")

    def take(kind: str, part: str, second: int, source: Any, **values: Any) -> None:
        ts = seconds_after(begins, second)
        event = {"kind": kind, "ts": ts.isoformat(), "source": SOURCE, "action_id": action_id, **values}
        place = Place(0, 0, part, file=name)
        intake.take(_encoded(event), event_id=intake.id(part), raw=_encoded(source), place=place, ts=ts)

    history = run["history"]
    take(
        "action_begun",
        "begun",
        0,
        run,
        agent_id=SOURCE,
        action_type=_system(file, history),
        goal_id=_question_id(run) or _named_after(_question(run)),
        expected_outcome={"is_correct": True},
        acceptance_criteria=[f"the answer is {run['ground_truth']}"] if run.get("ground_truth") else [],
        extra=_present(question=_question(run) or None, level=run.get("level")),
    )
    for number, message in enumerate(history):
        actor, decision = _speaker(message)
        text = str(message.get("content") or "")
        take(
            "step",
            f"message {number}",
            number + 1,
            message,
            step_index=number,
            actor=actor,
            decision=decision or _decision(text),
            description=text[:DESCRIPTION_CHARS],
        )
    is_correct = run.get("is_correct") is True
    take(
        "action_completed",
        "completed",
        len(history) + 1,
        run,
        outcome={"status": "completed", "is_correct": is_correct},
    )
    if is_correct and not any(_label_of(run).values()):
        return
    label, reason = _label(run)
    if reason:
        place = Place(0, 0, "label", file=name)
        intake.refuse(_encoded(_label_of(run)), reason=reason, place=place, ts=begins)
    else:
        take("observation", "label", len(history) + 2, _label_of(run), **label)


def _second(raw: bytes) -> int:
    """Second of the day at which a run begins, in [0, LATEST_BEGIN)."""
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "big") % LATEST_BEGIN


def _decoded(raw: bytes) -> tuple[dict[str, Any], str]:
    """The run of a file, or why it cannot be used."""
    if len(raw) > FILE_BYTES:
        return {}, f"it is larger than {FILE_BYTES} bytes, which no run is"
    try:
        run = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return {}, f"it is not JSON: {error}"
    if not isinstance(run, dict):
        return {}, f"a run is an object, not {type(run).__name__}"
    history = run.get("history")
    if not isinstance(history, list) or not history or not all(isinstance(message, dict) for message in history):
        return {}, "it has no history, a list of messages"
    if not _question_id(run) and not _question(run):
        return {}, "it has no question, and no question_ID"
    return run, ""


def _system(file: Path, history: Sequence[Mapping[str, Any]]) -> str:
    """The class of the system that made a run."""
    folder = file.resolve().parent.name
    if folder in (NAMED, UNNAMED):
        return folder
    return NAMED if any("name" in message for message in history) else UNNAMED


def _question(run: Mapping[str, Any]) -> str:
    """The question as it was asked; empty where there is none."""
    question = run.get("question")
    return question if isinstance(question, str) and question.strip() else ""


def _question_id(run: Mapping[str, Any]) -> str:
    """What names the question; empty where nothing does."""
    return str(run.get("question_ID") or "").strip()


def _speaker(message: Mapping[str, Any]) -> tuple[str, str]:
    """Who speaks, and the decision where the name of the speaker tells it."""
    return _parted(message.get("name") or message.get("role"))


def _parted(told: Any) -> tuple[str, str]:
    """A name without what stands in brackets behind it, and that."""
    name = str(told or "").strip()
    match = _SPEAKER.fullmatch(name)
    return (match[1], match[2]) if match and match[1] else (name, "")


def _decision(text: str) -> str:
    """What a message does, from its text."""
    if text.startswith("exitcode:"):
        return "report_success" if text.startswith("exitcode: 0") else "report_failure"
    if "```" in text:
        return "write_code"
    return "terminate" if "TERMINATE" in text else "respond"


def _label_of(run: Mapping[str, Any]) -> dict[str, Any]:
    return {key: run.get(key) for key in ("mistake_step", "mistake_agent", "mistake_reason")}


def _label(run: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The fields of the label's observation, or why there is none."""
    if run.get("is_correct") is True:
        return {}, "it names a mistake, but is_correct is true"
    told = _INDEX.fullmatch(str(run.get("mistake_step", "")).strip())
    if not told:
        return {}, f"mistake_step is {run.get('mistake_step')!r}, not the index of a message"
    index = int(told[1])
    if index >= len(run["history"]):
        return {}, f"mistake_step is {index}, but the history has {len(run['history'])} messages"
    actor, _ = _parted(run.get("mistake_agent"))
    data = {"step_index": index, **_present(actor=actor or None, reason=run.get("mistake_reason"))}
    return {"observation_type": LABEL, "reported_by": SOURCE, "data": data}, ""


def _named_after(question: str) -> str:
    """An id of a question that has none."""
    return hashlib.blake2b(" ".join(question.split()).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _encoded(value: Any) -> bytes:
    """JSON in ASCII: what was no text in the file is visible as such to accept, which refuses it."""
    return json.dumps(value).encode()


def _present(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
