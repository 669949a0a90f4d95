"""The Delta log as it lies on disk: which commits there are, what each says of itself, which table it belongs to.

The log's files are opened by their names, so that asking for news costs what is new and not what has been; delta-rs
would list the folder and load the table. Nothing here writes, and nothing knows what a commit means: see `commit`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oplake.lake.errors import LakeError, LogBroken


def file_name(version: int) -> str:
    """The file of a version within the log's folder."""
    return f"{version:020}.json"


def has_commit(log: Path) -> bool:
    """Whether the folder is the log of a table; one without a commit is what an interrupted creation leaves."""
    try:
        with os.scandir(log) as entries:  # it is asked often, and a glob reads the whole folder before its first answer
            return any(entry.name.endswith(".json") for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False


def versions(log: Path) -> list[int]:
    """The versions whose commits the log still has, in order."""
    return sorted(int(path.stem) for path in log.glob("*.json") if path.stem.isdigit())


def stamp(log: Path, version: int) -> tuple[int, int] | None:
    """What tells one writing of a version from another: a table dropped and made again reuses the numbers."""
    try:
        status = (log / file_name(version)).stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def commit_info(log: Path, version: int) -> dict[str, Any] | None:
    """The `commitInfo` of a version; None when the log does not have it.

    Raises:
        LogBroken: The file cannot be read.
        LakeError: The file tells nothing of its commit.
    """
    path = log / file_name(version)
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            action: dict[str, Any] = json.loads(line)
            if "commitInfo" in action:
                info: dict[str, Any] = action["commitInfo"]
                return info
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:  # no JSON, no UTF-8, or no object
        raise LogBroken(_table(log), error) from error
    raise LakeError(f"{path} tells nothing of its commit; was it written by another program?")


def committed_at(info: dict[str, Any]) -> datetime:
    """When a commit was made, in UTC."""
    return datetime.fromtimestamp(info["timestamp"] / 1000, UTC)


def commit_infos(log: Path, after: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Versions above one with their `commitInfo`, in order, as far as the log still has them.

    A version missing from the sequence was cleaned away.
    """
    version = after + 1
    while True:
        info = commit_info(log, version)
        if info is not None:
            yield version, info
            version += 1
            continue
        kept = [each for each in versions(log) if each > version] if last_checkpoint(log) > version else []
        if not kept:
            return
        version = kept[0]


def last_checkpoint(log: Path) -> int:
    """The version of the last checkpoint; -1 when there is none. Only versions below it are ever cleaned away."""
    try:
        return int(json.loads((log / "_last_checkpoint").read_text(encoding="utf-8"))["version"])
    except FileNotFoundError:
        return -1
    except (ValueError, TypeError, KeyError) as error:
        raise LogBroken(_table(log), error) from error


def _table(log: Path) -> str:
    return f"{log.parent.parent.name}.{log.parent.name}"
