"""The disk that segments are written to, as much of it as a writer needs: tests put another in its place."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

from oplake.landing.segments import fdatasync


class Disk(Protocol):
    """What a writer needs of a disk; tests put one in its place that fails."""

    def make_folder(self, folder: Path) -> None:
        """Makes a folder, and the entries that lead to it durable; it may be there already."""

    def free(self, folder: Path) -> int:
        """Bytes that still fit."""

    def create(self, path: Path) -> int:
        """Creates a file, opens it for appending and takes its flock.

        Raises:
            FileExistsError: There is one.
        """

    def rename(self, old: Path, new: Path) -> None:
        """Gives a file another name, at once."""

    def sync_folder(self, folder: Path) -> None:
        """Makes the entries of a folder durable."""

    def write(self, descriptor: int, data: memoryview) -> int:
        """Appends the beginning of `data` and says how many bytes that were."""

    def sync(self, descriptor: int) -> None:
        """Makes what was written durable (fdatasync)."""

    def is_at(self, descriptor: int, path: Path) -> bool:
        """Whether an open file still stands under this name."""

    def close(self, descriptor: int) -> None:
        """Closes a file; its flock is free then."""


class OsDisk:
    """The disk of this machine."""

    def make_folder(self, folder: Path) -> None:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for path in missing:
            self.sync_folder(path.parent)

    def free(self, folder: Path) -> int:
        room = os.statvfs(folder)
        return room.f_bavail * room.f_frsize

    def create(self, path: Path) -> int:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def write(self, descriptor: int, data: memoryview) -> int:
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        fdatasync(descriptor)

    def is_at(self, descriptor: int, path: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), path.stat())
        except FileNotFoundError:
            return False

    def close(self, descriptor: int) -> None:
        os.close(descriptor)


OS_DISK = OsDisk()
