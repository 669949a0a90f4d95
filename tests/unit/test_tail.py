"""Following files that others append to: rotation, truncation, kills and bad lines, on real files."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from pydantic import ValidationError
from tests.landed_events import rows, take_in

from oplake.events import SYNTHESIS
from oplake.lake.rejects import list_rejects, replay
from oplake.landing import tail as module
from oplake.landing.errors import LandingError
from oplake.landing.segments import segments
from oplake.landing.tail import TailError, TailReport, tail
from oplake.landing.writer import SegmentWriter
from oplake.settings import Settings

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)

ROW = {
    "created_at": "2026-01-05T10:00:00Z",
    "model": "kimi-k2",
    "task_class": "staffing.fill",
    "reason": "two loops on one tool",
    "correction": "Ask for the shift first. " * 20,
    "sig_hash": "5f1e",
    "applied_at_turn": 4,
    "usage": {"latency_ms": 812.5, "tokens": 90},
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "work" / "agent.jsonl"


@pytest.fixture
def settings(home: Path, log: Path) -> Settings:
    log.parent.mkdir()
    return Settings(home=home, tail=(str(log),))


def note(number: int) -> bytes:
    return b'{"kind":"note","user_id":"u","note":"%d"}\n' % number


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(lines))


def landed(settings: Settings, kind: str = "note") -> list[dict[str, Any]]:
    events = [json.loads(line) for each in segments(settings.landing) for line in each.path.read_bytes().splitlines()]
    return [event for event in events if event["kind"] == kind]


def notes(settings: Settings) -> list[str]:
    return [event["note"] for event in landed(settings)]


def distinct(settings: Settings) -> list[str]:
    """The notes that ingest would keep."""
    return list({event["event_id"]: event["note"] for event in landed(settings)}.values())


def test_nothing_is_followed_unless_it_is_said(home: Path) -> None:
    assert tail(Settings(home=home), NOW) == TailReport()
    assert not (home / "tail.json").exists()


def test_whole_lines_land_once(settings: Settings, log: Path) -> None:
    append(log, note(0), b"\n", note(1), note(2)[:-1])
    assert tail(settings, NOW).events == 2
    assert tail(settings, NOW).files == []
    append(log, b"\n", note(3))
    assert tail(settings, LATER).events == 2
    assert notes(settings) == ["0", "1", "2", "3"]
    assert [event["ts"] for event in landed(settings)] == ["2026-01-05T12:00:00Z"] * 2 + ["2026-01-05T13:00:00Z"] * 2


def test_the_same_line_twice_is_two_events(settings: Settings, log: Path) -> None:
    append(log, note(1), note(1))
    tail(settings, NOW)
    assert len({event["event_id"] for event in landed(settings)}) == 2


def test_a_line_that_says_its_identity_keeps_it(settings: Settings, log: Path) -> None:
    append(log, b'{"kind":"note","event_id":"mine","user_id":"u","note":"n"}\r\n')
    tail(settings, NOW)
    assert landed(settings)[0]["event_id"] == "mine"


def test_a_row_of_an_overseer_is_a_correction_and_an_op(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "overseer_corrections.jsonl"
    append(path, json.dumps(ROW).encode() + b"\n")
    settings = Settings(home=home, tail=(str(path),))
    assert tail(settings, NOW).events == 2
    [correction], [op] = landed(settings, "correction"), landed(settings, "op")
    shared = {"ts": "2026-01-05T10:00:00Z", "source": "overseer_correction", "sig_hash": "5f1e", "applied_at_turn": 4}
    assert shared.items() <= correction.items()
    assert shared.items() <= op.items()
    assert (correction["model"], correction["latency_ms"]) == ("kimi-k2", 812.5)
    assert (correction["reason"], correction["correction"]) == (ROW["reason"], ROW["correction"])
    assert correction["extra"] == {"usage": ROW["usage"]}
    assert op["endpoint"] == "overseer:kimi-k2"
    assert op["input_summary"] == "staffing.fill: two loops on one tool"
    assert op["output_summary"] == ROW["correction"][:200]  # type: ignore[index]
    assert (op["success"], op["duration_ms"], op["task_class"]) == (True, 812.5, "staffing.fill")


def test_what_a_row_of_an_overseer_leaves_out_is_filled_in(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "overseer_corrections.2026.jsonl"
    append(path, b'{"task_class":"t","reason":null,"correction":"c"}\n')
    settings = Settings(home=home, tail=(str(path),))
    tail(settings, NOW)
    [correction], [op] = landed(settings, "correction"), landed(settings, "op")
    assert (correction["model"], correction["applied_at_turn"], correction["latency_ms"]) == ("gpt-oss:120b", 0, 0)
    assert (op["endpoint"], op["input_summary"], op["duration_ms"]) == ("overseer:gpt-oss:120b", "t: escalation", 0)
    assert op["ts"] == correction["ts"] == "2026-01-05T12:00:00Z"


def test_an_event_among_rows_of_an_overseer_is_an_event(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "overseer_corrections.jsonl"
    append(path, note(1))
    settings = Settings(home=home, tail=(str(path),))
    tail(settings, NOW)
    assert notes(settings) == ["1"]


BAD = [
    b'{"kind":"note"',
    b"\xff\xfe",
    b"\0" * 40,
    b"[1]",
    b'{"kind":"no-such"}',
    b'{"kind":"note","user_id":"u","note":1}',
    b"[" * 5_000,
    b'{"kind":"note","user_id":"u","note":"n","ts":"yesterday"}',
]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_line_is_a_reject_and_stops_no_other(settings: Settings, log: Path, bad: bytes) -> None:
    append(log, note(0), bad + b"\n", note(1))
    report = tail(settings, NOW)
    assert (report.events, report.rejects) == (2, 1)
    assert notes(settings) == ["0", "1"]
    [reject] = landed(settings, "reject")
    assert (reject["line"], reject["byte_offset"], reject["raw_bytes"]) == (2, len(note(0)), len(bad))
    assert reject["origin"].startswith(f"tail:{log}#")


@pytest.mark.parametrize("field", ["task_class", "correction"])
def test_a_row_that_lacks_what_it_is_about_is_a_reject(home: Path, tmp_path: Path, field: str) -> None:
    path = tmp_path / "overseer_corrections.jsonl"
    append(path, json.dumps({**ROW, field: None}).encode() + b"\n", json.dumps(ROW).encode() + b"\n")
    settings = Settings(home=home, tail=(str(path),))
    report = tail(settings, NOW)
    assert (report.events, report.rejects) == (2, 1)
    assert "needs task_class and correction" in landed(settings, "reject")[0]["reason"]


def test_a_line_without_end_is_refused_without_being_held(
    settings: Settings, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINE_LIMIT", 100)
    append(log, b"x" * 1_000 + b"\n", note(1), b"y" * 1_000)
    report = tail(settings, NOW)
    assert (report.events, report.rejects) == (1, 1)
    [reject] = landed(settings, "reject")
    assert (reject["raw"], reject["raw_bytes"]) == ("x" * 100, 1_000)


def test_old_lines_are_believed_and_lines_from_the_future_are_not(settings: Settings, log: Path) -> None:
    for year in (2019, 2031):
        append(log, b'{"kind":"note","user_id":"u","note":"n","ts":"%d-01-01T00:00:00Z"}\n' % year)
    tail(settings, NOW)
    assert [event.get("ts_suspect", False) for event in landed(settings)] == [False, True]


def test_a_renamed_file_is_read_to_its_end(settings: Settings, log: Path) -> None:
    append(log, note(0))
    tail(settings, NOW)
    append(log, note(1), note(2)[:-1])  # after the last look
    log.rename(log.with_name("agent.jsonl.1"))
    append(log, note(3))
    tail(settings, NOW)
    assert sorted(notes(settings)) == ["0", "1", "3"]
    # What has no end is whole once nobody writes to the file that was put aside.
    os.utime(log.with_name("agent.jsonl.1"), times=(NOW.timestamp(), NOW.timestamp()))
    tail(settings, LATER)
    assert sorted(notes(settings)) == ["0", "1", "2", "3"]
    assert tail(settings, LATER).files == []


def test_a_file_that_is_gone_for_a_while_is_followed_where_it_went(settings: Settings, log: Path) -> None:
    append(log, note(0))
    tail(settings, NOW)
    append(log, note(1))
    log.rename(log.with_name("something else"))
    tail(settings, NOW)
    assert notes(settings) == ["0", "1"]


def test_a_file_that_was_copied_and_truncated_is_read_to_its_end(settings: Settings, log: Path) -> None:
    append(log, note(0))
    tail(settings, NOW)
    append(log, note(1))
    shutil.copy(log, log.with_name("agent-20260105.jsonl"))
    os.truncate(log, 0)
    append(log, note(2))
    tail(settings, NOW)
    assert sorted(notes(settings)) == ["0", "1", "2"]


def test_a_truncated_file_that_has_outgrown_its_cursor_is_another(settings: Settings, log: Path) -> None:
    append(log, note(0))
    tail(settings, NOW)
    os.truncate(log, 0)
    append(log, *map(note, range(10, 20)))
    tail(settings, NOW)
    assert notes(settings) == ["0", *map(str, range(10, 20))]


def test_equal_lines_before_and_after_a_truncation_are_two_events(settings: Settings, log: Path) -> None:
    """An identity of the content alone would drop the second."""
    append(log, note(0), note(1))
    tail(settings, NOW)
    os.truncate(log, 0)
    tail(settings, NOW)
    append(log, note(0))
    tail(settings, NOW)
    assert distinct(settings) == ["0", "1", "0"]


def test_a_packed_file_is_read_to_its_end(settings: Settings, log: Path) -> None:
    append(log, note(0))
    tail(settings, NOW)
    append(log, note(1))
    log.with_name("agent.jsonl.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    append(log, note(2))
    tail(settings, NOW)
    assert sorted(notes(settings)) == ["0", "1", "2"]
    assert tail(settings, NOW).files == []


def test_a_pattern_that_holds_the_rotated_files_reads_each_line_once(home: Path, log: Path) -> None:
    log.parent.mkdir()
    settings = Settings(home=home, tail=(f"{log}*",))
    for number in range(0, 9, 3):
        append(log, note(number), note(number + 1))
        tail(settings, NOW)
        append(log, note(number + 2))
        log.with_name("agent.jsonl.1").exists() and log.with_name("agent.jsonl.1").rename(f"{log}.2")
        log.rename(f"{log}.1")
        tail(settings, NOW)
    assert sorted(map(int, notes(settings))) == list(range(9))


def test_a_file_written_anew_with_the_same_beginning_goes_on(settings: Settings, log: Path) -> None:
    """Editors and restored backups write another file under the old name."""
    append(log, note(0))
    tail(settings, NOW)
    other = log.with_name("swap")
    append(other, note(0), note(1))
    other.rename(log)
    tail(settings, NOW)
    assert notes(settings) == ["0", "1"]


def test_a_file_that_is_lost_is_told(settings: Settings, log: Path) -> None:
    append(log, note(0), b"unfinished")
    tail(settings, NOW)
    log.unlink()
    report = tail(settings, NOW)
    assert "is gone, and with it 10 bytes" in report.problems[str(log)]
    assert tail(settings, NOW).problems == {}


def test_one_file_that_cannot_be_read_stops_no_other(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    append(folder / "a.jsonl", note(0))
    append(folder / "b.jsonl", note(1))
    tail(Settings(home=home, tail=(str(folder),)), NOW)
    append(folder / "a.jsonl", note(2))
    append(folder / "b.jsonl", note(3))
    (folder / "a.jsonl.gz").write_bytes(b"no gzip")
    report = tail(Settings(home=home, tail=(f"{folder}/*",)), NOW)
    assert list(report.problems) == [str(folder / "a.jsonl.gz")]
    assert report.events == 2


def test_links_and_patterns_that_lead_to_one_file_read_it_once(home: Path, log: Path) -> None:
    log.parent.mkdir()
    append(log, note(0))
    log.with_name("current.jsonl").symlink_to(log)
    settings = Settings(home=home, tail=(str(log), str(log.parent), f"{log.parent}/**/*.jsonl"))
    assert tail(settings, NOW).events == 1


def test_landing_itself_is_not_followed(settings: Settings, log: Path) -> None:
    append(log, note(0))
    tail(settings, NOW)
    report = tail(settings, NOW, patterns=[f"{settings.home}/**/*.jsonl"])
    assert report.events == 0
    assert all("landing itself" in problem for problem in report.problems.values())
    assert report.problems


def test_damaged_cursors_are_told(settings: Settings, log: Path) -> None:
    append(log, note(0))
    settings.cursors.write_bytes(b"{")
    with pytest.raises(TailError, match="is damaged"):
        tail(settings, NOW)


def test_with_lost_cursors_the_same_lines_are_the_same_events(settings: Settings, log: Path) -> None:
    append(log, note(0), note(1))
    tail(settings, NOW)
    settings.cursors.unlink()
    tail(settings, NOW)
    assert len(landed(settings)) == 4
    assert distinct(settings) == ["0", "1"]


class Doomed(SegmentWriter):
    """Lands, and tells nobody: as after a kill between the two."""

    def append(self, lines: Sequence[bytes]) -> None:
        super().append(lines)
        raise LandingError("killed")


def test_what_lands_again_after_a_kill_is_the_same_to_the_byte(settings: Settings, log: Path) -> None:
    append(log, note(0), b"bad\n", note(1))
    doomed = Doomed(settings.landing)
    with pytest.raises(LandingError, match="killed"):
        tail(settings, NOW, writer=doomed)
    doomed.close()
    append(log, note(2))
    tail(settings, LATER)
    take_in(settings, now=LATER)
    found = sorted(rows(settings, "landed.notes"), key=lambda row: row["note"])
    assert [row["note"] for row in found] == ["0", "1", "2"]
    assert [row["ts"] for row in found] == [NOW, NOW, LATER]  # a second time of reading would be a conflict
    [reject] = rows(settings, "landed.rejects")
    assert reject["raw"] == "bad"


def test_a_full_disk_loses_nothing(settings: Settings, log: Path) -> None:
    class Full(SegmentWriter):
        def append(self, lines: Sequence[bytes]) -> None:
            raise LandingError("no room")

    append(log, note(0))
    with pytest.raises(LandingError, match="no room"):
        tail(settings, NOW, writer=Full(settings.landing))
    assert tail(settings, LATER).events == 1


def test_only_one_reads_at_a_time(settings: Settings, log: Path) -> None:
    append(log, note(0))

    class Meanwhile(SegmentWriter):
        def append(self, lines: Sequence[bytes]) -> None:
            reports.append(tail(settings, NOW))
            super().append(lines)

    reports: list[TailReport] = []
    tail(settings, NOW, writer=Meanwhile(settings.landing))
    assert [report.is_busy for report in reports] == [True]
    assert notes(settings) == ["0"]


def test_many_lines_land_in_batches(settings: Settings, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 100)
    append(log, *map(note, range(50)))
    tail(settings, NOW)
    assert notes(settings) == [str(number) for number in range(50)]


def test_a_reject_of_a_row_can_be_taken_in_after_a_fix(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "overseer_corrections.jsonl"
    append(path, json.dumps(ROW).encode() + b"\n")
    settings = Settings(home=home, tail=(str(path),))
    with monkeypatch.context() as patch:
        patch.setattr(module, "OVERSEER_FILES", "not yet known")
        assert tail(settings, NOW).rejects == 1
    take_in(settings)
    assert len(replay(settings, now=LATER).replayed) == 1
    take_in(settings, now=LATER)
    assert [row["endpoint"] for row in rows(settings, "landed.ops")] == ["overseer:kimi-k2"]
    assert len(rows(settings, "landed.corrections")) == 1
    assert list_rejects(settings, is_open=True) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [("", ()), ("/a/b.jsonl", ("/a/b.jsonl",)), ("~/x/*.jsonl:/y:", (f"{Path.home()}/x/*.jsonl", "/y"))],
)
def test_the_setting_is_written_as_path_is(
    monkeypatch: pytest.MonkeyPatch, written: str, meant: tuple[str, ...]
) -> None:
    monkeypatch.setenv("OPLAKE_TAIL", written)
    assert Settings().tail == meant


class Worker:
    """Writes numbered lines to a file, and does to it what is done to logs. It knows which lines are whole."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.whole: list[str] = []
        self.torn = b""  # the line that is being written
        self.number = 0
        self.aside = 0
        log.parent.mkdir(parents=True)
        log.touch()

    def write(self) -> None:
        line = note(self.number)
        append(self.log, (self.torn and line[len(self.torn) :]) or line)
        self.torn = b""
        self.whole.append(str(self.number))
        self.number += 1

    def write_half(self) -> None:
        if not self.torn:
            self.torn = note(self.number)[:20]
            append(self.log, self.torn)

    def _put_aside(self) -> Path:
        if self.torn:
            self.write()
        self.aside += 1
        return self.log.with_name(f"agent.jsonl.{self.aside}")

    def rename(self) -> None:
        self.log.rename(self._put_aside())
        self.log.touch()

    def truncate(self) -> None:
        shutil.copy(self.log, self._put_aside())
        os.truncate(self.log, 0)

    def rewrite(self) -> None:
        other = self.log.with_name("swap")
        shutil.copy(self.log, other)
        other.rename(self.log)


WORK = ("write", "write", "write", "write_half", "rename", "truncate", "rewrite", "look", "look", "die")


@pytest.mark.slow
@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.lists(st.sampled_from(WORK), max_size=25), st.integers(40, 400))
def test_whatever_is_done_to_a_log_each_whole_line_lands_once(work: list[str], batch_bytes: int) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BATCH_BYTES", batch_bytes)
        worker = Worker(Path(folder) / "logs" / "agent.jsonl")
        settings = Settings(home=Path(folder) / "home", tail=(str(worker.log),))
        tail(settings, NOW)  # a file that comes and goes between two looks leaves no trace
        for step in [*work, "look"]:
            if step in {"truncate", "rewrite"}:  # of a file of which nothing was read a copy cannot be known
                worker.write()
                tail(settings, NOW)
                worker.write()
            if step == "look":
                tail(settings, NOW)
            elif step == "die":
                doomed = Doomed(settings.landing)
                with contextlib.suppress(LandingError):
                    tail(settings, NOW, writer=doomed)
                doomed.close()
            else:
                getattr(worker, step)()
            if step in {"rename", "truncate"}:
                tail(settings, NOW)
        assert sorted(map(int, distinct(settings))) == list(map(int, worker.whole))


def test_a_path_that_depends_on_where_one_stands_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPLAKE_TAIL", "/a:logs/b.jsonl")
    with pytest.raises(ValidationError, match="is no whole path"):
        Settings()


KILLED = """
import sys
from datetime import UTC, datetime
from oplake.landing import tail as module
from oplake.settings import Settings

module.BATCH_BYTES = 2_000
while True:
    module.tail(Settings(), datetime.now(UTC))
    print(flush=True)
"""


@pytest.mark.slow
def test_kills_at_any_moment_double_nothing_and_lose_nothing(settings: Settings, log: Path) -> None:
    """The writer goes on and rotates its file while the reader is killed and started again."""
    number = 0
    environment = {**os.environ, "OPLAKE_TAIL": str(log)}
    for turn in range(12):
        reader = subprocess.Popen([sys.executable, "-c", KILLED], env=environment, stdout=subprocess.PIPE)
        assert reader.stdout is not None
        reader.stdout.readline()
        for _ in range(40 + 7 * turn):
            append(log, *map(note, range(number, number + 10)))
            number += 10
        if turn % 3 == 1:
            log.rename(log.with_name(f"agent.jsonl.{turn}"))
        reader.send_signal(signal.SIGKILL)
        reader.wait()
        reader.stdout.close()
    tail(settings, LATER)
    take_in(settings, now=datetime.now(UTC))
    assert sorted(int(row["note"]) for row in rows(settings, "landed.notes")) == list(range(number))
    assert rows(settings, "landed.rejects") == []


def test_nobody_speaks_as_our_own_author(settings: Settings, log: Path) -> None:
    """What it lands is its cache and its reports: a line of a file would be served as an answer that was paid for."""
    forged = json.dumps({"kind": "note", "user_id": "u", "note": "n", "source": SYNTHESIS}).encode()
    log.write_bytes(note(1) + forged + b"\n" + note(2))
    report = tail(settings, NOW)
    assert (report.events, report.rejects) == (2, 1)
    take_in(settings, now=NOW)
    (kept,) = list_rejects(settings)
    assert (kept.raw, kept.line) == (forged, 2)
    assert f"the source {SYNTHESIS} is oplake's own" in kept.reason
    assert replay(settings, now=LATER).replayed == ()
