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
        history.files += 1
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
    is_agent = path.name.startswith("agent-")
    named = path.parent.parent.name if path.parent.name == "subagents" else ""
    said = next((line["sessionId"] for line in _decoded(head) if isinstance(line.get("sessionId"), str)), "")
    session_id = (named or said or path.stem) if is_agent else path.stem
    first = next((ts for ts in map(ts_of, _decoded(head)) if ts), None)
    last = next((ts for ts in map(ts_of, _decoded(reversed(tail))) if ts), None)
    return File(path, session_id, is_agent, first, last, size)


def _decoded(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value
