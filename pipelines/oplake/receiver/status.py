"""What the receiver says of itself: its health, what came in, and the same for Prometheus."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oplake import __version__
from oplake.landing.segments import segments
from oplake.receiver.counts import SECONDS
from oplake.receiver.door import Door

if TYPE_CHECKING:
    from oplake.receiver.history import History

FREE_BYTES = 16 * 2**20  # with less the disk takes no large batch any more, and the receiver is not well


def health(door: Door) -> dict[str, Any]:
    """Whether events can land, and how long some have waited for their segment to be sealed; for a thread."""
    free = _free_bytes(door.settings.landing)
    problem = _problem(door, free)
    return {
        "ok": problem is None,
        "problem": problem,
        "version": __version__,
        "disk_free_bytes": free,
        "oldest_unsealed_at": oldest_unsealed(door.settings.landing),
    }


def _problem(door: Door, free: int) -> str | None:
    """Why events cannot land, as far as it can be seen without writing one."""
    folder = _existing(door.settings.landing)
    if free < FREE_BYTES:
        return f"the disk of {folder} has {free:,} bytes left"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{folder} cannot be written"
    return door.refusal()


def oldest_unsealed(landing: Path) -> datetime | None:
    """When the oldest segment was opened, by its first event, that is not sealed; None if all are."""
    return min(
        (each.started_at for each in segments(landing) if not each.is_sealed and each.size and each.started_at),
        default=None,
    )


def stats(door: Door, history: History) -> dict[str, Any]:
    """What came in since the receiver was started, and what the lake has of all that ever did; for a thread.

    Raises:
        Refused: A table cannot be read just now.
    """
    counts, past = door.counts, history.read()
    open_actions = counts.open_actions(door.clock())
    return {
        "since_start": {"started_at": counts.started_at, **counts.totals(), "open_actions": open_actions},
        "since_ever": past.totals,
        "latest": counts.latest(past.latest),
    }


def metrics(door: Door) -> str:
    """The counts in Prometheus' text format; for a thread."""
    counts, page = door.counts, _Page()
    totals = counts.totals()
    page.add("oplake_events_total", "counter", "Events landed, by kind.", totals["by_kind"], "kind")
    page.add("oplake_rejects_total", "counter", "Events that could not be used, and were kept.", totals["rejects"])
    results = {"success": totals["successes"], "failure": totals["failures"]}
    page.add("oplake_operations_total", "counter", "Operations landed, by how they ended.", results, "result")
    page.add("oplake_refusals_total", "counter", "Requests that the disk did not take.", counts.refusals)
    page.head("oplake_requests_total", "counter", "Requests answered.")
    for (method, path, status), count in sorted(counts.requests().items()):
        page.line("oplake_requests_total", count, method=method, path=path, status=str(status))
    _add_acknowledgements(page, door)
    page.add("oplake_open_actions", "gauge", "Actions begun here and not completed.", counts.open_actions(door.clock()))
    page.add("oplake_held_bytes", "gauge", "Bytes of requests that are being landed.", door.held.bytes)
    page.add("oplake_disk_free_bytes", "gauge", "Room on the disk of landing.", _free_bytes(door.settings.landing))
    oldest = oldest_unsealed(door.settings.landing)
    age = max(0.0, (door.clock() - oldest).total_seconds()) if oldest else 0.0
    page.add("oplake_oldest_unsealed_seconds", "gauge", "Age of the oldest segment that is not sealed.", age)
    page.add("process_resident_memory_bytes", "gauge", "Memory of the process.", _resident_bytes())
    page.add("process_start_time_seconds", "gauge", "When it was started.", counts.started_at.timestamp())
    return page.text()


def _add_acknowledgements(page: _Page, door: Door) -> None:
    name = "oplake_acknowledgement_seconds"
    page.head(name, "histogram", "From a request that landed something to its answer.")
    by_bound, seconds = door.counts.acknowledgements()
    below = 0
    for bound in SECONDS:
        below += by_bound.get(bound, 0)
        page.line(f"{name}_bucket", below, le=f"{bound:g}")
    page.line(f"{name}_bucket", sum(by_bound.values()), le="+Inf")
    page.line(f"{name}_sum", seconds)
    page.line(f"{name}_count", sum(by_bound.values()))


class _Page:
    """Lines of Prometheus' text format. Labels here are words of our own, but for nothing that needs an escape."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def head(self, name: str, kind: str, meaning: str) -> None:
        self._lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]

    def line(self, name: str, value: float, **labels: str) -> None:
        said = ",".join(f'{label}="{text}"' for label, text in labels.items())
        self._lines.append(f"{name}{{{said}}} {value!r}" if said else f"{name} {value!r}")

    def add(self, name: str, kind: str, meaning: str, value: float | dict[str, int], label: str = "") -> None:
        self.head(name, kind, meaning)
        if isinstance(value, dict):
            for text, count in sorted(value.items()):
                self.line(name, count, **{label: text})
        else:
            self.line(name, value)

    def text(self) -> str:
        return "\n".join([*self._lines, ""])


def _free_bytes(folder: Path) -> int:
    """Room on the disk of a folder that need not exist yet."""
    return shutil.disk_usage(_existing(folder)).free


def _existing(folder: Path) -> Path:
    """A folder, or the one above it in which it would be made."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no Linux
        return 0
