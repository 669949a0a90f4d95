"""Landing on a disk that is really full."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.faults.conftest import SIZE

from oplake.landing.errors import DiskFull
from oplake.landing.recorder import Recorder
from oplake.landing.segments import read_range, segments
from oplake.landing.writer import SegmentWriter


def line(number: int) -> bytes:
    return json.dumps({"kind": "note", "event_id": f"e{number}", "note": "x" * 900}).encode()


def fill(writer: SegmentWriter, acknowledged: list[bytes]) -> None:
    """Appends pairs of lines for as long as they are taken."""
    for number in range(10_000):
        pair = [line(2 * number), line(2 * number + 1)]
        writer.append(pair)
        acknowledged += pair


def whole_lines(folder: Path) -> list[bytes]:
    found: list[bytes] = []
    for segment in segments(folder):
        start = 0
        while (part := read_range(segment, start)).data:
            found += part.data.splitlines()
            start = part.end
    return found


def test_a_full_disk_refuses_clearly_keeps_what_it_acknowledged_and_goes_on_when_there_is_room(
    small_disk: Path,
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(SIZE // 2))
    writer = SegmentWriter(small_disk / "landing")
    acknowledged: list[bytes] = []
    with pytest.raises(DiskFull, match=r"disk full: \d+ bytes do not fit into .*landing"):
        fill(writer, acknowledged)
    assert len(acknowledged) > 20
    for _ in range(50):  # an agent that tries on leaves no litter
        with pytest.raises(DiskFull):
            writer.append([line(-1)] * 200)
    assert len(segments(small_disk / "landing")) < 5
    filler.unlink()
    writer.append([line(999_999)])
    writer.close()
    found = whole_lines(small_disk / "landing")
    assert [one for one in found if one in set(acknowledged)] == acknowledged
    assert found[-1] == line(999_999)


def test_an_agent_works_on_while_the_disk_is_full(small_disk: Path) -> None:
    recorder = Recorder(small_disk)
    action_id = recorder.begin_action("a", "t")
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(2 * SIZE))
    steps = [recorder.record_step(action_id, "x" * 500) for _ in range(40)]
    assert steps[-1] is False
    assert recorder.complete_action(action_id) is False
    assert recorder.stats().not_accepted > 0
    filler.unlink()
    assert recorder.record_step(action_id, "there is room again")
    assert recorder.complete_action(action_id)
    indices = [json.loads(one)["step_index"] for one in whole_lines(small_disk / "landing") if b'"step"' in one]
    assert indices == list(range(steps.count(True) + 1))


def test_negative_control_a_write_that_is_not_looped_acknowledges_half_a_line(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(SIZE - 8192))
    path = small_disk / "naive.jsonl"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    acknowledged = []
    try:
        for number in range(100):
            os.write(descriptor, line(number) + b"\n")
            acknowledged.append(line(number))
    except OSError:
        pass  # the disk is full now, and the naive writer knows
    finally:
        os.close(descriptor)
    assert acknowledged[-1] not in path.read_bytes().splitlines()
