"""Writers killed at random moments: what they were told is durable is there, once and whole.

One process imports oplake and forks the writers, so that a kill costs milliseconds. A writer notes each acknowledged id
in a file, which outlives it; it is killed after some acknowledgements and a moment more.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from oplake.landing.segments import Segment, look_at, read_range, recover, segments

pytestmark = pytest.mark.slow

KILLS = 120
WRITERS = r"""
import os, random, signal, sys, threading, time
from pathlib import Path
from oplake.landing.writer import SegmentWriter

folder, kills, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
acknowledged = os.open(sys.argv[4], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
dice = random.Random(7)

def line(event_id):
    return b'{"kind":"note","event_id":"%s","note":"%s"}' % (event_id, b"x" * dice.randrange(400))

def durable(seen):
    writer = SegmentWriter(folder, segment_bytes=40_000)  # so that some are killed while they seal one
    return writer.append

def buffered(seen):
    file = (folder / f"{os.getpid()}.jsonl").open("ab")
    return lambda lines: file.write(b"".join(one + b"\n" for one in lines))

def work(append, name, seen):
    for number in range(10**6):
        ids = [b"%s-%d-%d" % (name, number, part) for part in range(dice.randrange(1, 4))]
        append([line(one) for one in ids])
        os.write(acknowledged, b"".join(one + b"\n" for one in ids))
        os.write(seen, b".")

for number in range(kills):
    listen, seen = os.pipe()
    pid = os.fork()
    if pid == 0:
        dice.seed(number)
        append = {"durable": durable, "buffered": buffered}[kind](seen)
        for thread in range(3):
            arguments = (append, b"%d-%d" % (number, thread), seen)
            threading.Thread(target=work, args=arguments, daemon=True).start()
        signal.pause()
    os.close(seen)
    for _ in range(dice.randrange(30)):
        os.read(listen, 1)
    time.sleep(dice.random() * 0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(listen)
"""


def lines_of(segment: Segment) -> list[bytes]:
    """The whole lines of a segment."""
    lines: list[bytes] = []
    start = 0
    while (part := read_range(segment, start)).data:
        lines += part.data.splitlines()
        start = part.end
    return lines


def kill_writers(folder: Path, acknowledged: Path, kind: str, kills: int) -> subprocess.Popen[bytes]:
    folder.mkdir()
    return subprocess.Popen([sys.executable, "-c", WRITERS, str(folder), str(kills), kind, str(acknowledged)])


def test_no_acknowledged_event_is_lost_or_doubled_and_no_reader_fails(tmp_path: Path) -> None:
    folder, acknowledged = tmp_path / "landing", tmp_path / "acknowledged"
    writers = kill_writers(folder, acknowledged, "durable", KILLS)
    failures: list[BaseException] = []

    def read() -> None:
        while writers.poll() is None:
            try:
                for segment in segments(folder)[-3:]:
                    for line in lines_of(segment):
                        json.loads(line)
            except BaseException as error:
                failures.append(error)
                raise
            time.sleep(0.01)  # the reader shares two cores with those who are to be killed

    reader = threading.Thread(target=read)
    reader.start()
    assert writers.wait(timeout=120) == 0
    reader.join()
    assert not failures

    found: Counter[str] = Counter()
    for segment in segments(folder):
        assert not segment.is_live
        sealed = segment if segment.is_sealed else recover(segment)
        assert sealed is not None
        assert look_at(segment.path) == sealed
        found.update(json.loads(line)["event_id"] for line in lines_of(sealed))
    ids = acknowledged.read_text().split()
    assert len(ids) > KILLS
    assert len(set(ids)) == len(ids)
    assert not set(ids) - found.keys(), "lost"
    assert {event_id for event_id, count in found.items() if count > 1} == set(), "doubled"
    # Some lines were durable before their writer could be told: they may be there, and do no harm.
    assert len(found.keys() - set(ids)) <= 3 * 3 * KILLS
    assert not any(path.stat().st_size for path in folder.glob(".*.new"))


def test_negative_control_a_buffered_writer_loses_what_it_acknowledged(tmp_path: Path) -> None:
    folder, acknowledged = tmp_path / "landing", tmp_path / "acknowledged"
    assert kill_writers(folder, acknowledged, "buffered", 5).wait(timeout=60) == 0
    found = b"".join(path.read_bytes() for path in folder.glob("*.jsonl"))
    lost = [event_id for event_id in acknowledged.read_text().split() if f'"{event_id}"'.encode() not in found]
    assert lost
