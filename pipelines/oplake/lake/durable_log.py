"""A file of JSON lines that grows, each line durable before `append` returns.

Here is what the journal of ingest and the manifest of the archive have in common. Segments are not written this way:
they have many writers' events to gather (`oplake.landing.writer`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from oplake.lake.errors import LakeError

T = TypeVar("T", bound=msgspec.Struct)

FROM_SEGMENTS = (
    "Restore the file from a backup, or move it away: what it says is found again from the segments, in the order of "
    "their names."
)

TAIL_BYTES = 64 * 1024  # a step of the search for the last entries from the end of the file


class DurableLog(Generic[T]):
    """JSON lines of one type of struct. One process writes at a time: whoever uses it holds a lock.

    Args:
        path: The file.
        entry: The type of its lines.
        way_out: What to do when a line is damaged, as a sentence. It has to be true of this very file.
    """

    def __init__(self, path: Path, entry: type[T], *, way_out: str = FROM_SEGMENTS) -> None:
        self.path = path
        self._way_out = way_out
        self._decoder = msgspec.json.Decoder(entry)

    def append(self, entry: T) -> None:
        """Appends an entry; it is durable afterwards. The torn end of a writer that died is cut off first."""
        is_new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            end = _whole_end(file.fileno(), file.seek(0, os.SEEK_END))
            file.truncate(end)
            file.write(msgspec.json.encode(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(self.path.parent)

    def replace(self, entries: Iterable[T]) -> None:
        """Puts other entries in the place of all, durably and at once."""
        part = self.path.with_name(f".{self.path.name}.part")
        with part.open("wb") as file:
            file.writelines(msgspec.json.encode(entry) + b"\n" for entry in entries)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)
        sync_folder(self.path.parent)

    def entries(self) -> list[T]:
        """All entries, oldest first; none when there is no file.

        Raises:
            LakeError: A line other than a torn last one cannot be read.
        """
        return list(reversed(list(self.newest_first())))

    def newest_first(self) -> Iterator[T]:
        """Entries from the end of the file backwards, reading no more of it than is asked for.

        Raises:
            LakeError: A line other than a torn last one cannot be read.
        """
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            end = _whole_end(file.fileno(), file.seek(0, os.SEEK_END))
            rest = b""
            while end > 0:
                begin = max(0, end - TAIL_BYTES)
                rest = os.pread(file.fileno(), end - begin, begin) + rest
                end = begin
                lines = rest.split(b"\n")
                rest = lines.pop(0) if begin else b""
                for line in reversed(lines):
                    if line:
                        yield self._decode(line)

    def _decode(self, line: bytes) -> T:
        try:
            return self._decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LakeError(f"{self.path} has a damaged line, {line[:80]!r}: {error}. {self._way_out}") from error


def _whole_end(descriptor: int, size: int) -> int:
    """Where the last whole line ends."""
    end = size
    while end > 0:
        begin = max(0, end - TAIL_BYTES)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def sync_folder(folder: Path) -> None:
    """Makes the entries of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
