"""Result files of tau-bench -> actions with their steps and observations.

One action per task and trial: each tool call is a step (decision = the tool, state = its arguments), each answer is one
(decision = `respond`); each tool result and each message of the user is an observation. The action expects
`reward: 1.0`, and its outcome has the reward and a status.

Read are the lists that tau-bench writes, the same one a line, and the `simulations` of tau2. The files have no times
that could be relied on: the run at place i of the file begins RUN_SECONDS * i after the start, and its messages follow
each other by one second. Durations therefore say nothing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec

from oplake.landing.importers import (
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

RUN_SECONDS = 600  # divides a day, and exceeds the messages of any run, so that no run goes over midnight by accident
SOURCE = "tau-bench"
RESPOND = "respond"  # the decision to answer the user
DESCRIPTION_CHARS = 500  # what a step's description may hold; cut here already, for a shorter line
FILE_BYTES = 2**30  # a larger file would not fit into the memory of a small machine

_POLICY = re.compile(r"\b(\w+) agent policy\b", re.IGNORECASE)  # the heading of the system message names the domain
_DOMAINS = ("airline", "retail", "telecom", "banking")  # looked for in the file's name when the content does not say
_SEPARATORS = re.compile(r"[\s,\x1e]*")


@dataclass(frozen=True)
class _Piece:
    """One run as it stands in the file."""

    text: str
    place: Place
    run: Any  # decoded; None where it is not JSON
    error: str = ""


@dataclass(frozen=True)
class _Message:
    """What one message of a run amounts to, in the terms of events."""

    kind: str
    fields: dict[str, Any]


def import_tau_bench(
    path: Path,
    writer: SegmentWriter,
    *,
    received_at: datetime,
    start: date = START,
    domain: str | None = None,
    agent_id: str | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Land a result file of tau-bench; one that ends in .gz or .zst is unpacked.

    Args:
        path: The file.
        writer: Where it lands.
        received_at: The time of the import.
        start: The day on which its first run is said to begin.
        domain: The domain, where neither the content nor the file's name say it.
        agent_id: Who acted; by default the model that the file names, else `tau-bench`.

    Returns:
        What landed. Runs and messages that cannot be used are rejects with their place.

    Raises:
        NotImportable: It is no result file, or its domain is not known.
        LandingError: The events cannot be made durable.
    """
    with opened(path) as (stream, read):
        content = stream.read(FILE_BYTES + 1)
        if len(content) > FILE_BYTES:
            raise NotImportable(f"{path} is larger than {FILE_BYTES} bytes unpacked; split its list into several files")
        size = read()[1]
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    identity = Identity(SOURCE, start.isoformat(), domain or "", agent_id or "")
    with Intake(writer, identity, name=SOURCE, received_at=received_at, begins=midnight(start)) as intake:
        for number, (piece, head) in enumerate(_pieces(text, path, intake.break_off)):
            identity.advance(piece.text.encode("utf-8", "surrogateescape"))
            begins = seconds_after(midnight(start), number * RUN_SECONDS)
            _take_run(
                piece,
                intake,
                identity,
                begins,
                domain=domain or _domain_of(piece.run, head) or _domain_by_name(path),
                agent_id=agent_id or _agent_of(head) or SOURCE,
                path=path,
            )
            if progress:
                progress(size * piece.place.byte_offset // max(len(content), 1), size)
        if progress:
            progress(size, size)
    return intake.imported()


def _pieces(text: str, path: Path, break_off: Callable[[str], None]) -> Iterator[tuple[_Piece, Mapping[str, Any]]]:
    """The runs of a file with what the file says about all of them; the last one may be broken.

    `break_off` is told why, where the list of a file does not come to its end.
    """
    decoder = json.JSONDecoder()
    at = _skip(text, 0)
    head: Mapping[str, Any] = {}
    is_list = text.startswith("[", at)
    if not is_list:
        document = _document(text)
        if document is not None:  # tau2: one document with all simulations
            head = {key: value for key, value in document.items() if key != "simulations"}
            for number, run in enumerate(document["simulations"]):
                yield _Piece(json.dumps(run, sort_keys=True), Place(0, 0, f"simulation {number}"), run), head
            return
        if not text.startswith("{", at):
            raise NotImportable(f"{path} is no result file of tau-bench: it begins with neither a list nor an object")
    else:
        at = _skip(text, at + 1)
    counted, offset = 0, 0  # how far the byte offset has been counted, in characters
    while at < len(text) and text[at] != "]":
        offset += len(text[counted:at].encode("utf-8", "surrogateescape"))
        counted = at
        line = text.count("\n", 0, at) + 1 if not is_list else 0
        try:
            run, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            # Where a broken run ends is not known, so the rest is one reject; a line of JSON lines does end.
            end = text.find("\n", at) if not is_list else -1
            end = len(text) if end < 0 else end
            message = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            if is_list:
                break_off(f"from byte {offset} on it is no JSON ({message})")
            yield _Piece(text[at:end], Place(line, offset), None, f"not JSON from here on: {message}"), head
        else:
            yield _Piece(text[at:end], Place(line, offset), run), head
            if is_list and _skip(text, end) == len(text):
                break_off("its list has no end")
        at = _skip(text, end)


def _document(text: str) -> dict[str, Any] | None:
    """The document of tau2, if the text is one."""
    if '"simulations"' not in text:
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_one = isinstance(document, dict) and isinstance(document.get("simulations"), list)
    return document if is_one else None


def _skip(text: str, at: int) -> int:
    match = _SEPARATORS.match(text, at)
    return match.end() if match else at


def _take_run(
    piece: _Piece,
    intake: Intake,
    identity: Identity,
    begins: datetime,
    *,
    domain: str | None,
    agent_id: str,
    path: Path,
) -> None:
    raw = piece.text.encode("utf-8", "surrogateescape")
    run = piece.run
    reason = piece.error or _unusable_because(run)
    if reason:
        intake.refuse(raw, reason=reason, place=piece.place, ts=begins)
        return
    if not domain:
        raise NotImportable(f"the domain of {path} is not known: neither its content nor its name say it; add --domain")
    action_id = identity.id("action")
    reward = _reward(run)
    info = _object(run.get("info"))
    common = {"source": SOURCE, "action_id": action_id}

    def take(kind: str, part: str, second: int, raw: bytes = raw, **values: Any) -> None:
        ts = seconds_after(begins, second)
        event = {"kind": kind, "ts": ts.isoformat(), **common, **values}
        place = Place(piece.place.line, piece.place.byte_offset, " ".join(filter(None, (piece.place.part, part))))
        intake.take(_encoded(event), event_id=identity.id(part), raw=raw, place=place, ts=ts)

    task = _object(info.get("task"))
    take(
        "action_begun",
        "begun",
        0,
        agent_id=agent_id,
        action_type=domain,
        goal_id=f"{domain}/{run['task_id']}",
        expected_outcome={"reward": 1.0},
        acceptance_criteria=[f"the answer says {output}" for output in _listed(task.get("outputs"))],
        extra=_present(trial=run.get("trial"), instruction=task.get("instruction")),
    )
    messages = _messages(run)
    step_index = 0
    for number, message in enumerate(messages):
        part = f"message {number}"
        try:
            found = list(_read_message(message))
        except _Unreadable as unreadable:
            place = Place(piece.place.line, piece.place.byte_offset, part)
            intake.refuse(_encoded(message), reason=str(unreadable), place=place, ts=seconds_after(begins, number + 1))
            continue
        for index, event in enumerate(found):
            values = event.fields
            if event.kind == "step":
                values = {**values, "step_index": step_index}
                step_index += 1
            where = f"{part} part {index}" if index else part
            take(event.kind, where, number + 1, _encoded(message), **values)
    error = info.get("error")
    outcome = (
        {"status": "error", "error": error, "reward": reward} if error else {"status": "completed", "reward": reward}
    )
    if run.get("termination_reason"):
        outcome["termination_reason"] = run["termination_reason"]
    take("action_completed", "completed", len(messages) + 1, outcome=outcome)


def _unusable_because(run: Any) -> str:
    """Why a run cannot be used; empty when it can."""
    if not isinstance(run, dict):
        return f"a run is an object, not {type(run).__name__}"
    if "task_id" not in run or isinstance(run["task_id"], dict | list) or run["task_id"] in (None, ""):
        return "it has no task_id"
    reward = _reward(run)
    if isinstance(reward, bool) or not isinstance(reward, int | float) or not math.isfinite(reward):
        return "it has no reward that is a number"
    if not isinstance(run.get("traj", run.get("messages")), list):
        return "it has no list of messages (traj or messages)"
    return ""


def _messages(run: Mapping[str, Any]) -> list[Any]:
    messages = run.get("traj", run.get("messages"))
    return messages if isinstance(messages, list) else []


def _reward(run: Mapping[str, Any]) -> Any:
    """The reward; tau2 has it within `reward_info`."""
    if "reward" in run:
        return run["reward"]
    reward_info = run.get("reward_info")
    return reward_info.get("reward") if isinstance(reward_info, dict) else None


class _Unreadable(Exception):
    """A message does not have the shape of any that tau-bench writes."""


def _read_message(message: Any) -> Iterator[_Message]:
    """The events of one message; a system message has none."""
    if not isinstance(message, dict):
        raise _Unreadable(f"a message is an object, not {type(message).__name__}")
    role = message.get("role")
    text = _text(message.get("content"))
    calls = _calls(message)
    if role == "assistant":
        for tool, arguments in calls:
            said = text or f"{tool}({_shown(arguments)})"
            yield _Message(
                "step", {"description": said[:DESCRIPTION_CHARS], "decision": tool, "state": _as_object(arguments)}
            )
        if not calls and text:
            yield _Message("step", {"description": text[:DESCRIPTION_CHARS], "decision": RESPOND})
    elif role == "user":
        # In tau2 users have tools, too; to the agent what they do with them is what the world does.
        data = _present(content=text or None, tool_calls=[{"name": n, "arguments": a} for n, a in calls] or None)
        yield _Message("observation", {"observation_type": "user_message", "reported_by": "user", "data": data})
    elif role in ("tool", "function"):
        data = {"result": _as_json(text)}
        if text.startswith("Error") or message.get("error"):
            data = {"error": text}
        reporter = str(message.get("name") or message.get("requestor") or "tool")
        yield _Message("observation", {"observation_type": "tool_result", "reported_by": reporter, "data": data})
    elif role not in ("system", "developer"):
        raise _Unreadable(f"there is no role {role!r} in tau-bench")


def _calls(message: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The tool calls of a message in any of the three ways they are written: tool and arguments."""
    given = message.get("tool_calls") or []
    if message.get("function_call"):
        given = [message["function_call"]]
    if not isinstance(given, list):
        raise _Unreadable("tool_calls is no list")
    calls = []
    for call in given:
        function = call.get("function", call) if isinstance(call, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name:
            raise _Unreadable("a tool call has no name")
        arguments = function.get("arguments")
        calls.append((name, _as_json(arguments) if isinstance(arguments, str) else arguments))
    return calls


def _text(content: Any) -> str:
    """The text of a message; some models give a list of parts."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in content)
    return "" if content is None else content if isinstance(content, str) else _shown(content)


def _as_json(text: str) -> Any:
    """What a text says in JSON; itself where it does not."""
    if not text or text[0] not in "{[":
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text


def _as_object(arguments: Any) -> dict[str, Any]:
    if isinstance(arguments, dict):
        return arguments
    return {} if arguments in (None, "") else {"arguments": arguments}


def _shown(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _encoded(message: Any) -> bytes:
    """JSON in ASCII: what was no text in the file is visible as such to accept, which refuses it."""
    return json.dumps(message).encode()


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _present(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _domain_of(run: Any, head: Mapping[str, Any]) -> str | None:
    """The domain as the content has it: in tau2's head, or in the heading of the system message."""
    name = _within(head, "info", "environment_info", "domain_name")
    if isinstance(name, str) and name:
        return name
    if not isinstance(run, dict):
        return None
    for message in _messages(run)[:1]:
        if isinstance(message, dict) and message.get("role") == "system":
            match = _POLICY.search(_text(message.get("content")))
            return match.group(1).lower() if match else None
    return None


def _domain_by_name(path: Path) -> str | None:
    return next((domain for domain in _DOMAINS if domain in path.name.lower()), None)


def _agent_of(head: Mapping[str, Any]) -> str | None:
    name = _within(head, "info", "agent_info", "llm")
    return name if isinstance(name, str) and name else None


def _within(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
