"""Segments are rewritten where they lie: places hold, writers go on, and a crash loses nothing."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from pathlib import Path

import pytest
from tests.landed_events import NOON, event, land, land_bytes, rows, take_in

from oplake.lake.doctor import examine
from oplake.landing.errors import LandingError
from oplake.landing.forward import Client, forward
from oplake.landing.rewrite import is_touched, mend, rewrite
from oplake.landing.segments import look_at, read_range, segments
from oplake.landing.writer import SegmentWriter
from oplake.settings import Settings


def note(n: int, user: str = "bob") -> bytes:
    return event("note", f"n{n}", user_id=user, note=f"note {n}")


def without_ann(line: bytes, segment: str, offset: int) -> bytes | None:
    return None if b'"ann"' in line else line


def test_every_byte_that_stays_keeps_its_place(settings: Settings) -> None:
    lines = [note(0), note(1, "ann"), note(2)]
    land(settings, lines)
    [before] = segments(settings.landing)
    data = before.path.read_bytes()
    assert is_touched(before.path, without_ann)
    rewrite(before.path, without_ann)
    [after] = segments(settings.landing)
    assert after.is_sealed
    start, end = len(lines[0]) + 1, len(lines[0]) + 1 + len(lines[1])
    assert after.path.read_bytes() == data[:start] + b" " * len(lines[1]) + data[end:]
    assert not is_touched(after.path, without_ann)
    assert [path.name for path in settings.landing.iterdir() if path.name.startswith(".")] == []


def test_the_index_still_vouches_for_the_other_commits(settings: Settings) -> None:
    with closing(SegmentWriter(settings.landing, writer="w", clock=lambda: NOON)) as writer:
        for n in range(3):
            writer.append([note(n, "ann" if n == 1 else "bob")])
    [segment] = segments(settings.landing)
    rewrite(segment.path, without_ann)
    [segment] = segments(settings.landing)
    position, verified = 0, []
    while position < segment.size:
        found = read_range(segment, position, 1)
        verified.append(found.is_verified)
        position = found.end
    assert verified == [True, False, True]


def test_a_longer_line_is_refused_and_nothing_changes(settings: Settings) -> None:
    land(settings, [note(0)])
    [segment] = segments(settings.landing)
    data = segment.path.read_bytes()
    with pytest.raises(LandingError, match="cannot become"):
        rewrite(segment.path, lambda line, *_: line + b" more")
    assert segment.path.read_bytes() == data


def test_what_was_torn_stays_torn_or_goes(settings: Settings) -> None:
    path = land_bytes(settings, note(0) + b"\n" + note(1, "bob")[:40])
    data = path.read_bytes()
    rewrite(path, lambda line, *_: None if b"note 0" in line else line)
    assert path.read_bytes().strip() == data.rpartition(b"\n")[2]
    assert path.stat().st_size == len(data)


def test_writers_go_on_and_lose_nothing(settings: Settings) -> None:
    """A segment that was copied and then replaced would lose what was acknowledged in between."""
    acknowledged: list[int] = []
    is_over = threading.Event()

    def write(first: int) -> None:
        with closing(SegmentWriter(settings.landing, writer=f"w{first}")) as writer:
            for n in range(first, first + 100_000):
                writer.append([note(n)])
                acknowledged.append(n)
                if is_over.is_set():
                    return

    threads = [threading.Thread(target=write, args=(each,)) for each in (0, 1_000_000)]
    for thread in threads:
        thread.start()
    rewritten = 0
    while rewritten < 20:
        for segment in segments(settings.landing):
            if segment.is_live and segment.size:
                rewrite(segment.path, lambda line, *_: line)
                rewritten += 1
    is_over.set()
    for thread in threads:
        thread.join()
    take_in(settings)
    found = {row["event_id"] for row in rows(settings, "landed.notes", "event_id")}
    assert {f"n{n}" for n in acknowledged} <= found
    assert rows(settings, "landed.rejects") == []
    assert [each for each in examine(settings) if each.severity == "error"] == []


class Receiver(Client):
    """A receiver that takes every line, and counts those that say something, as ours does."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")
        self.taken: list[bytes] = []

    def send(self, lines: bytes) -> None:
        said = lines.splitlines()
        assert all(line.strip() for line in said), "it would not count these, and so never acknowledge the batch"
        self.taken += said


def test_a_spool_goes_on_where_it_was(settings: Settings) -> None:
    """What has been sent is remembered by its offset."""
    spool = settings.home / "spool" / "there"
    with closing(SegmentWriter(spool, writer="r", clock=lambda: NOON)) as writer:
        writer.append([note(0), note(1, "ann"), note(2)])
    [segment] = segments(spool)
    segment.path.with_suffix(".sent").write_text(str(len(note(0)) + 1))
    rewrite(segment.path, without_ann)
    receiver = Receiver()
    forward(spool, receiver)
    assert receiver.taken == [note(2)]
    assert segments(spool) == []


@pytest.mark.parametrize("stop", ["before the new one", "before the rest", "within the rest"])
def test_mending_does_the_rest(settings: Settings, stop: str) -> None:
    land(settings, [note(n, "ann" if n == 2 else "bob") for n in range(5)])
    [segment] = segments(settings.landing)
    data = segment.path.read_bytes()
    whole = segment.path.with_name("whole")
    whole.write_bytes(data)
    rewrite(segment.path, without_ann)
    wanted = segment.path.read_bytes()
    kept = segment.path.with_name(f".{segment.path.name}.kept")
    half = data.index(b"\n", len(data) // 2 + len(data) // 10) + 1
    if stop == "before the new one":
        whole.replace(segment.path)
        os.link(segment.path, kept)
        segment.path.with_name(f".{segment.path.name}.part").write_bytes(wanted[:9])
        wanted = data  # the next rewriting does it
    else:
        whole.replace(kept)
        segment.path.write_bytes(wanted[: half + (7 if stop == "within the rest" else 0)])
    mend(settings.landing, without_ann)
    assert segment.path.read_bytes() == wanted
    assert hidden(settings.landing) == []
    again = look_at(segment.path)
    assert again is not None
    assert stop == "before the new one" or again.is_sealed


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]
