"""Which runs are being worked on, whatever Dagster's records say.

A run whose process was killed stays "started" in Dagster's records for ever, and what waits for it would, too. So each
process holds a file lock for the run that it carries out; the kernel drops it with the process. All of them share the
lock of the folder, which whoever must have no run beside him holds alone. Nothing here knows Dagster.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oplake.orchestration.errors import OrchestrationError


class RunsAreOn(OrchestrationError):
    """Runs are being carried out, and what was asked for cannot be done beside them."""


@contextmanager
def without_runs(folder: Path) -> Iterator[None]:
    """Hold off all runs while the block lasts: those that begin meanwhile wait.

    Raises:
        RunsAreOn: A run is being carried out; try again.
    """
    with _gate(folder) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunsAreOn("a run is being carried out; wait for it to end, and try again") from error
        yield


@contextmanager
def _gate(folder: Path) -> Iterator[int]:
    """The folder itself, for a lock on it."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def carrying_out(folder: Path, run_id: str) -> Iterator[None]:
    """Hold the lock of a run while the block lasts; afterwards there is no trace of it.

    While somebody holds off all runs, this waits.
    """
    with _gate(folder) as gate, _locked(folder, run_id):
        fcntl.flock(gate, fcntl.LOCK_SH)
        yield


@contextmanager
def _locked(folder: Path, run_id: str) -> Iterator[None]:
    path = folder / run_id
    new = folder / f"{run_id}.new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        new.rename(path)  # under its name it is locked from the beginning: there, and free, means that a process died
        yield
    finally:
        path.unlink(missing_ok=True)  # while the lock is held, for the same reason
        os.close(descriptor)


def is_carried_out(folder: Path, run_id: str) -> bool | None:
    """Whether a process is at work on a run: yes, no longer (it died), or None when there is no trace of any."""
    try:
        descriptor = os.open(folder / run_id, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def forget(folder: Path, run_id: str) -> None:
    """Remove what the dead process of a run left."""
    (folder / run_id).unlink(missing_ok=True)
