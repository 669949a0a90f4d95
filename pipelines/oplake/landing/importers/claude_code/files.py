"""Where transcripts of Claude Code lie, and which of them belong to one session. What lines say is not in here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from oplake.landing.importers import NotImportable
from oplake.landing.importers.claude_code.history import History
from oplake.landing.importers.claude_code.lines import ts_of

HEAD_BYTES = 256 * 2**10  # of a file's beginning and end, in which its session and its times are looked for


class File(NamedTuple):
    """A transcript, by its beginning and its end."""

    path: Path
    session_id: str
    agent_type: str | None  # what Claude Code says beside the transcript of a sub-agent; None for no sub-agent's
    is_agent: bool
    first: datetime | None
    last: datetime | None
    size: int


def sessions(folder: Path, history: History) -> list[list[File]]:
    """The transcripts below a folder by session, a session's own file first; the session that began first comes first.

    Of two that begin alike, one was copied from the other: it goes on for longer.
    """
    if folder.is_file():
        paths = [folder]
    elif folder.is_dir():
        root = folder / "projects" if (folder / "projects").is_dir() else folder
        paths = sorted(path for path in root.rglob("*.jsonl") if path.is_file())
        others = {path for path in paths if _session_above(path) and not _is_agent(path)}  # journals of workflows
        history.not_taken.update(f"file {path.name}" for path in others)
        paths = [path for path in paths if path not in others]
    else:
        raise NotImportable(f"cannot read {folder}: there is no such folder. Claude Code keeps its own in ~/.claude")
    by_session: dict[str, list[File]] = {}
    for path in paths:
        try:
            file = _looked_at(path)
        except OSError as error:
            history.unreadable[str(path)] = error.strerror or str(error)
            continue
        by_session.setdefault(file.session_id, []).append(file)
    if not by_session:
        why = "".join(f" ({path}: {reason})" for path, reason in history.unreadable.items())
        raise NotImportable(f"no transcript can be read in {folder}{why}. Claude Code keeps its own in ~/.claude")
    groups = [sorted(files, key=lambda file: (file.is_agent, file.path.name)) for files in by_session.values()]
    never = datetime.max.replace(tzinfo=UTC)
    return sorted(groups, key=lambda group: (group[0].first or never, group[0].last or never, group[0].session_id))


def _looked_at(path: Path) -> File:
    """What the beginning and the end of a file say of it."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(HEAD_BYTES).splitlines()
        file.seek(max(0, size - HEAD_BYTES))
        tail = file.read().splitlines()
    said = next((line["sessionId"] for line in _decoded(head) if isinstance(line.get("sessionId"), str)), "")
    session_id = (_session_above(path) or said or path.stem) if _is_agent(path) else path.stem
    first = next((ts for ts in map(ts_of, _decoded(head)) if ts), None)
    last = next((ts for ts in map(ts_of, _decoded(reversed(tail))) if ts), None)
    return File(path, session_id, _agent_type(path), _is_agent(path), first, last, size)


def _is_agent(path: Path) -> bool:
    return path.name.startswith("agent-")


def _session_above(path: Path) -> str:
    """The session below whose folder a file of its sub-agents lies, at whatever depth; empty for other files."""
    above = next((folder for folder in path.parents if folder.name == "subagents"), None)
    return above.parent.name if above else ""


def _agent_type(path: Path) -> str | None:
    try:
        said = msgspec.json.decode(path.with_suffix(".meta.json").read_bytes()) if _is_agent(path) else None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    kind = said.get("agentType") if isinstance(said, dict) else None
    return kind if isinstance(kind, str) and kind else None


def _decoded(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value
