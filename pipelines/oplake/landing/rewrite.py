"""Segments rewritten where they lie: lines taken out or changed, and every byte that stays keeps its place.

A line that goes leaves spaces behind, which say nothing to any reader; a changed one is no longer than it was and ends
in spaces. So whatever names bytes of a segment by their offsets (the journal of ingest, `lake.segments`, the identity
of a reject, the cursor of a spool) holds before, during and after, and a segment may be rewritten at any time, one
after the other, whoever reads or writes. Which lines go is for the caller to say; see `docs/decisions/0090`.

A writer that has the segment open finds at its next append that another file has its name, and goes on in a new
segment with what it was writing (`oplake.landing.writer`). What it had appended to the old file until then is kept
under a hidden name until it stands in the new one, so that a crash loses nothing: `mend` does the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

from oplake.landing.disk import OS_DISK
from oplake.landing.errors import LandingError
from oplake.landing.segments import SUFFIX, look_at, recover, write_index

Judge: TypeAlias = Callable[[bytes, str, int], bytes | None]
"""What becomes of a line, given without its newline, with its segment and offset: the same bytes, others that are no
more of them, or None when it has to go."""

KEPT, PART = ".kept", ".part"  # what hidden files end in: the old file while it is replaced, and the new one
SPACE = b" "


def lines(file: BinaryIO, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """The lines of an open file from byte `start`, each with its offset and with its newline, if it has one."""
    file.seek(start)
    for line in file:
        yield start, line
        start += len(line)


def is_touched(path: Path, judge: Judge) -> bool:
    """Whether a line of a segment would not stay as it is."""
    with path.open("rb") as file:
        return any(_judged(line, judge, path.stem, offset) != line for offset, line in lines(file))


def rewrite(path: Path, judge: Judge) -> None:
    """Rewrites a segment in its folder, durably and at once; afterwards it is sealed.

    Raises:
        OSError: The folder cannot be written; the segment is as it was.
    """
    kept, part = _hidden(path, KEPT), _hidden(path, PART)
    segment = look_at(path)
    if segment is None:
        return
    with path.open("rb") as old:
        touched, end = _copy(old, part, judge, path.stem, 0, is_live=segment.is_live)
    os.link(path, kept)
    # First the index: what it does not vouch for any more is looked at line by line, in either file.
    write_index(path, touched, end)
    part.replace(path)
    OS_DISK.sync_folder(path.parent)
    _catch_up(path, kept, judge, is_live=segment.is_live)


def mend(folder: Path, judge: Judge) -> None:
    """Finishes what a crash interrupted in a folder; call it before its segments are read."""
    for part in folder.glob(f".*{SUFFIX}{PART}"):
        part.unlink()
    for kept in folder.glob(f".*{SUFFIX}{KEPT}"):
        path = folder / kept.name.removeprefix(".").removesuffix(KEPT)
        if not path.exists() or path.samefile(kept):  # archived since: it was whole, or it could not have been
            kept.unlink()
        else:
            _catch_up(path, kept, judge, is_live=False)


def _hidden(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}{suffix}")


def _catch_up(path: Path, kept: Path, judge: Judge, *, is_live: bool) -> None:
    """Appends what the old file has beyond the new one, seals the new one, and lets the old one go."""
    with kept.open("rb") as old, path.open("r+b") as new:
        size = path.stat().st_size
        if size < kept.stat().st_size:
            start = _last_line_end(path)
            new.truncate(start)
            new.seek(start)
            for offset, line in lines(old, start):
                if is_live and not line.endswith(b"\n"):
                    break  # of a batch that nobody acknowledged: its writer puts it into its next segment
                new.write(_judged(line, judge, path.stem, offset))
            new.flush()
            os.fsync(new.fileno())
    sealed = look_at(path)
    if sealed is not None and recover(sealed) is None:
        raise LandingError(f"{path} is locked by somebody who does not write it; end that process, and try again")
    kept.unlink()
    OS_DISK.sync_folder(path.parent)


def _last_line_end(path: Path) -> int:
    data = path.read_bytes()
    return data.rfind(b"\n") + 1


def _copy(
    old: BinaryIO, target: Path, judge: Judge, segment: str, start: int, *, is_live: bool
) -> tuple[list[tuple[int, int]], int]:
    """Writes the judged lines durably; returns the bytes that differ, as intervals in order, and where they end."""
    touched: list[tuple[int, int]] = []
    end = start
    with target.open("wb") as new:
        for offset, line in lines(old, start):
            if is_live and not line.endswith(b"\n"):
                break  # it is being written
            judged = _judged(line, judge, segment, offset)
            end = offset + len(line)
            if judged != line:
                touched.append((offset, end))
            new.write(judged)
        new.flush()
        os.fsync(new.fileno())
    return touched, end


def _judged(line: bytes, judge: Judge, segment: str, offset: int) -> bytes:
    """What stands in the place of a line, as many bytes of it."""
    said = line.removesuffix(b"\n")
    if not said.strip():
        return line
    newline = line[len(said) :]
    judged = judge(said, segment, offset)
    if judged is None:
        return SPACE * len(said) + newline
    if len(judged) > len(said):
        raise LandingError(f"byte {offset} of {segment}: a line of {len(said)} bytes cannot become {len(judged)}")
    return judged.ljust(len(said), SPACE) + newline
