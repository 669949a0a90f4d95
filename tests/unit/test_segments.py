"""Segments: what is acknowledged is there once and whole, whatever the disk does; readers see it while it grows."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oplake.landing.writer as writer_module
from oplake.landing.disk import OsDisk
from oplake.landing.errors import DiskFull, LandingError
from oplake.landing.segments import Range, Segment, look_at, read_range, recover, segments
from oplake.landing.writer import SegmentWriter

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def line(number: int, kind: str = "note", filler: str = "") -> bytes:
    return json.dumps({"kind": kind, "event_id": f"e{number}", "filler": filler}, separators=(",", ":")).encode()


class FaultyDisk(OsDisk):
    """A disk that does what `faults` say, by operation and the number of the call from 1; else it works."""

    def __init__(self, **faults: Callable[[int], int | None]) -> None:
        self.faults = faults
        self.calls: dict[str, int] = {}
        self.touched: list[tuple[str, int]] = []

    def _fault(self, operation: str, descriptor: int = -1) -> int | None:
        self.calls[operation] = self.calls.get(operation, 0) + 1
        self.touched.append((operation, descriptor))
        fault = self.faults.get(operation)
        return fault(self.calls[operation]) if fault else None

    def create(self, path: Path) -> int:
        self._fault("create")
        return super().create(path)

    def write(self, descriptor: int, data: memoryview) -> int:
        taken = self._fault("write", descriptor)
        return super().write(descriptor, data if taken is None else data[:taken])

    def sync(self, descriptor: int) -> None:
        self._fault("sync", descriptor)
        super().sync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        self._fault("sync_folder")
        super().sync_folder(folder)

    def free(self, folder: Path) -> int:
        free = self._fault("free")
        return super().free(folder) if free is None else free


def failing(number: int, code: int, *, after: bool = False) -> Callable[[int], int | None]:
    """A fault that strikes the call of that number, or that one and all after it."""

    def fault(call: int) -> int | None:
        if call == number or (after and call > number):
            raise OSError(code, os.strerror(code))
        return None

    return fault


def ranges(segment: Segment, limit: int = 2**26) -> list[Range]:
    found, start = [], 0
    while (part := read_range(segment, start, limit)).data:
        found.append(part)
        start = part.end
    return found


def landed(folder: Path) -> list[bytes]:
    """Every whole line of every segment, in order."""
    return [one for segment in segments(folder) for part in ranges(segment) for one in part.data.splitlines()]


# -- Writing ---------------------------------------------------------------------------------------------------------


def test_what_is_appended_is_there_in_order_verified_and_sealed_at_the_end(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "deep" / "landing", writer="w", clock=lambda: NOON)
    writer.append([line(0), line(1, "step")])
    writer.append([line(2, "op")])
    (live,) = segments(writer.folder)
    assert live.name == "20260105T120000.000000Z-w-000001"
    assert live.started_at == NOON
    assert live.is_live
    assert not live.is_sealed
    (part,) = ranges(live)
    assert part.is_verified
    assert part.kinds == {"note", "op", "step"}
    assert part.data.splitlines() == [line(0), line(1, "step"), line(2, "op")]
    writer.close()
    (done,) = segments(writer.folder)
    assert not done.is_live
    assert done.seal is not None
    assert done.seal.sha256 == sha256(done.path.read_bytes()).hexdigest()
    assert done.seal.bytes == done.size == done.path.stat().st_size


def test_an_empty_append_opens_nothing(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    writer.append([])
    writer.flush()
    writer.close()
    assert segments(tmp_path) == []


def test_a_segment_is_sealed_by_size_and_by_age(tmp_path: Path) -> None:
    now = [NOON]
    writer = SegmentWriter(tmp_path, segment_bytes=100, segment_age=timedelta(hours=1), clock=lambda: now[0])
    writer.append([line(0, filler="x" * 60)])
    writer.append([line(1)])  # would pass 100 bytes
    now[0] += timedelta(hours=1)
    writer.append([line(2)])  # is too late for the second
    assert [segment.is_sealed for segment in segments(tmp_path)] == [True, True, False]
    assert landed(tmp_path) == [line(0, filler="x" * 60), line(1), line(2)]


def test_a_clock_that_goes_back_a_day_begins_a_new_segment_and_loses_nothing(tmp_path: Path) -> None:
    now = [NOON]
    writer = SegmentWriter(tmp_path, clock=lambda: now[0])
    writer.append([line(0)])
    now[0] -= timedelta(days=1)
    writer.append([line(1)])
    assert sorted(landed(tmp_path)) == [line(0), line(1)]


def test_two_writers_of_one_name_at_one_instant_have_segments_of_their_own(tmp_path: Path) -> None:
    """Renaming onto an existing segment would replace it, and with it everything acknowledged."""
    writers = [SegmentWriter(tmp_path, writer="w", clock=lambda: NOON) for _ in range(3)]
    for number, writer in enumerate(writers):
        writer.append([line(number)])
    assert landed(tmp_path) == [line(0), line(1), line(2)]
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_newline_inside_a_line_is_refused_whole(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    with pytest.raises(LandingError, match="newline"):
        writer.append([line(0), b'{"kind":\n"note"}'])
    assert landed(tmp_path) == []


def test_a_closed_writer_refuses(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    writer.close()
    with pytest.raises(LandingError, match="closed"):
        writer.append([line(0)])


def test_a_writer_cannot_be_named_after_a_path(tmp_path: Path) -> None:
    with pytest.raises(LandingError, match="name"):
        SegmentWriter(tmp_path, writer="../x")


def test_a_writer_that_nobody_refers_to_seals_its_segment(tmp_path: Path) -> None:
    SegmentWriter(tmp_path).append([line(0)])
    assert [segment.is_sealed for segment in segments(tmp_path)] == [True]


def test_many_threads_share_commits_and_each_line_is_there_once(tmp_path: Path) -> None:
    class SlowDisk(FaultyDisk):
        def sync(self, descriptor: int) -> None:
            time.sleep(0.002)  # what others bring meanwhile goes into the next commit together
            super().sync(descriptor)

    disk = SlowDisk()
    writer = SegmentWriter(tmp_path, disk=disk)

    def work(thread: int) -> None:
        for number in range(20):
            writer.append([line(thread * 1000 + number)])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = landed(tmp_path)
    assert sorted(found) == sorted(line(thread * 1000 + number) for thread in range(16) for number in range(20))
    assert disk.calls["sync"] < 320 / 4
    for first in range(0, 16_000, 1000):  # a thread's own lines keep their order
        own = [line(first + number) for number in range(20)]
        assert [one for one in found if one in own] == own


def test_a_forked_child_writes_to_a_segment_of_its_own(tmp_path: Path) -> None:
    """Two processes on one descriptor would share a flock and an index, and the seal would not know the other's."""
    writer = SegmentWriter(tmp_path)
    writer.append([line(0)])
    child = os.fork()
    if child == 0:
        try:
            writer.append([line(1)])
            writer.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    writer.append([line(2)])
    states = {landed_line: segment.is_sealed for segment in segments(tmp_path) for landed_line in _lines(segment)}
    assert states == {line(0): False, line(2): False, line(1): True}


def _lines(segment: Segment) -> list[bytes]:
    return segment.path.read_bytes().splitlines()


# -- Failing disks ---------------------------------------------------------------------------------------------------


@given(takes=st.lists(st.integers(1, 40), min_size=1, max_size=10))
@settings(max_examples=20, deadline=None)
def test_short_writes_are_gone_on_with(tmp_path_factory: pytest.TempPathFactory, takes: list[int]) -> None:
    folder = tmp_path_factory.mktemp("short")
    writer = SegmentWriter(folder, disk=FaultyDisk(write=lambda call: takes[call % len(takes)]))
    for number in range(3):
        writer.append([line(number), line(number + 10)])
    writer.close()
    (segment,) = segments(folder)
    assert segment.is_sealed
    assert all(part.is_verified for part in ranges(segment))
    assert landed(folder) == [line(0), line(10), line(1), line(11), line(2), line(12)]


def test_a_disk_that_takes_nothing_does_not_hang(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, disk=FaultyDisk(write=lambda call: 0))
    with pytest.raises(LandingError, match="took nothing"):
        writer.append([line(0)])


def test_after_a_failed_fsync_that_descriptor_is_never_touched_again(tmp_path: Path) -> None:
    """Linux reports a failed write-back once and then calls the pages clean: a second fsync would lie."""
    disk = FaultyDisk(sync=failing(2, errno.EIO))
    writer = SegmentWriter(tmp_path, disk=disk)
    writer.append([line(0)])
    poisoned = disk.touched[-2][1] if disk.touched[-1][0] == "write" else disk.touched[-1][1]
    writer.append([line(1)])  # acknowledged: it went to a new segment
    struck = [index for index, (operation, _) in enumerate(disk.touched) if operation == "sync"][1]
    assert disk.touched[struck][1] == poisoned
    reopened = next(index for index in range(struck, len(disk.touched)) if disk.touched[index][0] == "create")
    assert all(operation not in {"write", "sync"} for operation, _ in disk.touched[struck + 1 : reopened])
    first, second = segments(tmp_path)
    assert not first.is_live
    assert _lines(second) == [line(1)]
    # What is in the poisoned segment beyond the acknowledged is a duplicate at most, and not vouched for.
    assert [part.is_verified for part in ranges(first)] == [True, False]
    assert set(landed(tmp_path)) == {line(0), line(1)}


class ForgetfulDisk(OsDisk):
    """A disk that fails the way Linux does: what a failed fsync did not write is called clean, and is lost."""

    def __init__(self, fails_at: int) -> None:
        self.fails_at = fails_at
        self.syncs = 0
        self.clean: dict[int, int] = {}  # bytes of a descriptor that need no writing any more
        self.lost: list[tuple[str, int, int]] = []

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        begin, end = self.clean.get(descriptor, 0), os.fstat(descriptor).st_size
        self.clean[descriptor] = end
        if self.syncs == self.fails_at:
            self.lost.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), begin, end))
            raise OSError(errno.EIO, "Input/output error")

    def lose_power(self) -> None:
        for path, begin, end in self.lost:
            with Path(path).open("r+b") as file:
                file.seek(begin)
                file.write(bytes(end - begin))


def test_what_was_acknowledged_after_a_failed_fsync_survives_the_power(tmp_path: Path) -> None:
    disk = ForgetfulDisk(fails_at=2)
    writer = SegmentWriter(tmp_path, disk=disk)
    for number in range(3):
        writer.append([line(number)])
    writer.close()
    disk.lose_power()
    assert {line(0), line(1), line(2)} <= set(landed(tmp_path))


def test_negative_control_fsync_tried_again_on_the_same_descriptor_loses_an_acknowledged_line(tmp_path: Path) -> None:
    disk = ForgetfulDisk(fails_at=2)
    descriptor = disk.create(tmp_path / "naive.jsonl")
    acknowledged = []
    for number in range(3):
        disk.write(descriptor, memoryview(line(number) + b"\n"))
        try:
            disk.sync(descriptor)
        except OSError:
            disk.sync(descriptor)  # the tempting retry: it succeeds
        acknowledged.append(line(number))
    disk.close(descriptor)
    disk.lose_power()
    assert line(1) in set(acknowledged) - set(landed(tmp_path))


def test_a_disk_that_stays_broken_refuses_and_acknowledges_nothing(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, disk=FaultyDisk(sync=failing(1, errno.EIO, after=True)))
    with pytest.raises(LandingError, match="Nothing of this batch was acknowledged"):
        writer.append([line(0)])


def test_a_full_disk_is_said_clearly_and_the_writer_goes_on_when_there_is_room(tmp_path: Path) -> None:
    def full(call: int) -> int | None:
        if call == 3:
            return 10  # a short write first, as file systems do
        if call == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return None

    writer = SegmentWriter(tmp_path, disk=FaultyDisk(write=full))
    writer.append([line(0)])
    with pytest.raises(DiskFull) as refusal:
        writer.append([line(1), line(2)])
    assert str(tmp_path) in str(refusal.value)
    assert "disk full" in str(refusal.value)
    assert str(len(line(1)) + len(line(2)) + 2) in str(refusal.value)
    writer.append([line(3)])
    assert landed(tmp_path) == [line(0), line(3)]
    first, _ = segments(tmp_path)
    assert read_range(first, len(line(0)) + 1).torn == line(1)[:10]


def test_a_disk_known_to_be_full_collects_no_empty_segments(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, disk=FaultyDisk(free=lambda call: 10))
    for _ in range(3):
        with pytest.raises(DiskFull):
            writer.append([line(0)])
    assert list(tmp_path.iterdir()) == []


def test_a_failing_index_costs_the_shortcut_and_nothing_else(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, disk=FaultyDisk(write=failing(4, errno.ENOSPC)))  # data, index, data, index
    writer.append([line(0)])
    writer.append([line(1)])
    writer.append([line(2)])
    writer.close()
    (segment,) = segments(tmp_path)
    assert not segment.is_sealed
    assert [part.is_verified for part in ranges(segment)] == [True, False]
    assert landed(tmp_path) == [line(0), line(1), line(2)]
    sealed = recover(segment)
    assert sealed is not None
    assert sealed.is_sealed


def test_the_folder_is_synced_before_the_first_line_of_a_segment_is_acknowledged(tmp_path: Path) -> None:
    """A durable file without a durable name is lost with the power."""
    disk = FaultyDisk(sync_folder=failing(1, errno.EIO, after=True))
    with pytest.raises(LandingError):
        SegmentWriter(tmp_path, disk=disk).append([line(0)])
    disk = FaultyDisk()
    SegmentWriter(tmp_path, disk=disk).append([line(0)])
    operations = [operation for operation, _ in disk.touched]
    assert operations.index("sync_folder") < operations.index("write")


def test_an_error_in_a_shared_commit_reaches_every_caller_of_it(tmp_path: Path) -> None:
    gate = threading.Event()

    class GatedDisk(FaultyDisk):
        def sync(self, descriptor: int) -> None:
            gate.wait(10)
            super().sync(descriptor)

    writer = SegmentWriter(tmp_path, disk=GatedDisk(sync=failing(2, errno.ENOSPC)))
    refused: list[bytes] = []

    def work(number: int) -> None:
        try:
            writer.append([line(number)])
        except DiskFull:
            refused.append(line(number))

    first = threading.Thread(target=work, args=(0,))
    first.start()
    while not any(segment.size for segment in segments(tmp_path)):  # until it stands before the gate
        time.sleep(0.001)
    others = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 3)]
    for thread in others:
        thread.start()
    while len(writer._log.queue) < 3:
        time.sleep(0.001)
    gate.set()
    for thread in [first, *others]:
        thread.join()
    assert sorted(refused) == [line(1), line(2), line(3)]


@pytest.mark.parametrize("lose", [shutil.rmtree, lambda folder: folder.rename(folder.with_name("elsewhere"))])
def test_a_folder_that_is_removed_or_moved_while_a_segment_is_open_loses_nothing_after(
    tmp_path: Path, lose: Callable[[Path], object]
) -> None:
    """Writing on to the open file succeeds and is durable, where nobody will ever find it."""
    writer = SegmentWriter(tmp_path / "landing")
    writer.append([line(1)])
    lose(tmp_path / "landing")
    writer.append([line(2)])
    writer.append([line(3)])
    assert landed(tmp_path / "landing") == [line(2), line(3)]


# -- Signals ---------------------------------------------------------------------------------------------------------


class StruckDisk(OsDisk):
    """A disk during whose next sync something happens once, in the thread that syncs: as a signal handler runs."""

    def __init__(self) -> None:
        self.handler: Callable[[], None] | None = None

    def sync(self, descriptor: int) -> None:
        handler, self.handler = self.handler, None
        if handler is not None:
            handler()


def test_a_signal_handler_that_writes_in_the_middle_of_a_write_does_not_wait_for_itself(tmp_path: Path) -> None:
    """One queue for all would have it wait for the thread that it interrupted, which is its own, for good."""
    disk = StruckDisk()
    writer = SegmentWriter(tmp_path, disk=disk)

    def handle() -> None:
        writer.append([line(2)])
        writer.flush()
        writer.close()  # cannot be done here; the end of the process does it

    disk.handler = handle
    writer.append([line(1)])
    writer.append([line(3)])
    writer.close()
    assert sorted(landed(tmp_path)) == [line(1), line(2), line(3)]
    assert all(segment.is_sealed for segment in segments(tmp_path))


def test_a_signal_handler_that_raises_anywhere_leaves_a_writer_that_goes_on(tmp_path: Path) -> None:
    """Python runs handlers where a function begins and where a call of C ends. At each such place of a write for which
    another thread waits too, KeyboardInterrupt is raised once; a leader that is gone must not be waited for."""
    number = 0
    while _is_struck(tmp_path / str(number), number):
        number += 1
    assert number > 30  # places


def _is_struck(folder: Path, number: int) -> bool:
    """Interrupt a write at one place; False when it has not so many."""
    disk = StruckDisk()
    writer = SegmentWriter(folder, disk=disk)
    writer.append([line(0)])
    taken: list[bool] = []

    def take(event: int) -> None:
        writer.append([line(event)])
        taken.append(True)

    waiting = threading.Thread(target=take, args=(2,), daemon=True)

    def begin_to_wait() -> None:
        waiting.start()
        while not writer._log.queue:
            time.sleep(0.0001)

    disk.handler = begin_to_wait
    places = iter(range(number))

    def strike(frame: FrameType, event: str, _: object) -> None:
        is_ours = event in {"call", "c_return"} and frame.f_code.co_filename == writer_module.__file__
        if is_ours and next(places, None) is None:
            sys.setprofile(None)
            raise KeyboardInterrupt

    is_struck = False
    sys.setprofile(strike)
    try:
        writer.append([line(1)])
    except KeyboardInterrupt:
        is_struck = True
    finally:
        sys.setprofile(None)
    after = threading.Thread(target=take, args=(3,), daemon=True)
    after.start()
    after.join(10)
    waiting.join(10) if waiting.ident else None
    assert taken == [True] * (1 + bool(waiting.ident)), f"nobody writes any more after a signal at place {number}"
    writer.close()
    assert {line(0), line(3)} <= set(landed(folder))
    return is_struck


# -- Reading ---------------------------------------------------------------------------------------------------------


def sample(folder: Path, commits: int = 5, lines: int = 3) -> Segment:
    """A sealed segment with that many commits of that many lines."""
    writer = SegmentWriter(folder)
    for commit in range(commits):
        writer.append([line(100 * commit + number, f"kind{commit}") for number in range(lines)])
    writer.close()
    (segment,) = segments(folder)
    return segment


def test_reading_goes_on_where_it_stopped_and_never_waits_for_a_seal(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    writer.append([line(0)])
    (segment,) = segments(tmp_path)
    first = read_range(segment, 0)
    writer.append([line(1)])
    second = read_range(segment, first.end)
    assert (first.data, second.data) == (line(0) + b"\n", line(1) + b"\n")
    assert read_range(segment, second.end) == Range(b"", second.end, second.end, False, frozenset(), b"")


@pytest.mark.parametrize("limit", [1, 100, 139, 140, 300, 699, 2000])
def test_a_limit_bounds_what_is_read_but_for_one_commit(tmp_path: Path, limit: int) -> None:
    segment = sample(tmp_path)
    parts = ranges(segment, limit)
    assert b"".join(part.data for part in parts) == segment.path.read_bytes()
    assert all(part.is_verified for part in parts)
    assert all(len(part.data) <= limit or len(part.kinds) == 1 for part in parts)


def test_a_flipped_bit_is_never_vouched_for_and_costs_only_its_commit(tmp_path: Path) -> None:
    segment = sample(tmp_path)
    whole = segment.path.read_bytes()

    @given(place=st.integers(0, len(whole) - 1), bit=st.integers(0, 7))
    @settings(deadline=None)
    def holds(place: int, bit: int) -> None:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        segment.path.write_bytes(flipped)
        parts = ranges(segment)
        assert b"".join(part.data for part in parts) + read_range(segment, parts[-1].end).torn == bytes(flipped)
        unverified = [part for part in parts if not part.is_verified]
        assert all(part.data == whole[part.start : part.end] for part in parts if part.is_verified)
        # Of five commits two, when it hits the newline between them.
        assert sum(len(part.data) for part in unverified) <= 0.42 * len(whole)

    holds()


def test_a_damaged_index_never_hides_a_line_nor_names_a_wrong_kind(tmp_path: Path) -> None:
    """The reader asks only for the kinds of a verified range: a wrong name there would drop events in silence."""
    segment = sample(tmp_path)
    index = segment.path.with_suffix(".idx")
    whole = index.read_bytes()

    @given(
        damages=st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=3),
        kept=st.integers(0, len(whole)),
    )
    @settings(deadline=None)
    def holds(damages: list[tuple[int, int]], kept: int) -> None:
        damaged = bytearray(whole)
        for place, value in damages:
            damaged[place] = value
        index.write_bytes(damaged[:kept])
        parts = ranges(segment)
        assert b"".join(part.data for part in parts) == segment.path.read_bytes()
        for part in parts:
            if part.is_verified:
                assert part.kinds == {json.loads(one)["kind"] for one in part.data.splitlines()}

    holds()


def test_a_start_inside_a_commit_reads_its_rest_the_slow_way_and_goes_on_verified(tmp_path: Path) -> None:
    segment = sample(tmp_path)
    start = len(line(0, "kind0")) + 1
    rest = read_range(segment, start)
    assert not rest.is_verified
    assert rest.data.splitlines() == [line(1, "kind0"), line(2, "kind0")]
    assert read_range(segment, rest.end).is_verified


def test_a_torn_tail_is_shown_only_when_the_writer_is_gone(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    writer.append([line(0)])
    (live,) = segments(tmp_path)
    with live.path.open("ab") as file:
        file.write(b'{"kind":"no')
    assert read_range(live, 0).torn == b""
    writer.close()
    dead = look_at(live.path)
    assert dead is not None
    assert read_range(dead, 0).torn == b'{"kind":"no'


def test_foreign_bytes_are_read_but_not_vouched_for(tmp_path: Path) -> None:
    (tmp_path / "by-hand.jsonl").write_bytes(b"\xef\xbb\xbf{}\r\n\x00\n\xff\xfe\n\n" + b"x" * 100_000 + b"\ntail")
    (tmp_path / "empty.jsonl").write_bytes(b"")
    by_hand, empty = segments(tmp_path)
    assert by_hand.started_at is None
    assert b"".join(part.data for part in ranges(by_hand, 10)) == by_hand.path.read_bytes()[: -len("tail")]
    assert read_range(by_hand, by_hand.size - 4).torn == b"tail"
    assert read_range(empty, 0).data == b""


def test_a_segment_that_was_cut_is_an_error_and_not_an_empty_range(tmp_path: Path) -> None:
    segment = sample(tmp_path)
    os.truncate(segment.path, 10)
    with pytest.raises(LandingError, match="cut or replaced"):
        read_range(segment, segment.size)


def test_recovering_seals_a_dead_segment_once_and_leaves_a_live_one(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    writer.append([line(0)])
    (live,) = segments(tmp_path)
    assert recover(live) is None
    writer._log._abandon()  # as when the process is killed
    dead = look_at(live.path)
    assert dead is not None
    assert (dead.is_live, dead.is_sealed) == (False, False)
    with dead.path.with_suffix(".idx").open("ab") as index:
        index.write(b'{"end":12')  # torn
    sealed = recover(dead)
    assert sealed is not None
    assert sealed.seal is not None
    assert sealed.seal.sha256 == sha256(dead.path.read_bytes()).hexdigest()
    assert look_at(dead.path) == sealed
    assert recover(dead) == sealed
    assert [part.is_verified for part in ranges(sealed)] == [True]


def test_an_absent_folder_has_no_segments(tmp_path: Path) -> None:
    assert segments(tmp_path / "absent") == []
    assert look_at(tmp_path / "absent.jsonl") is None
