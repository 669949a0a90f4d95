"""Whatever bytes stand in a segment, what is usable lands and what is not becomes a reject with its bytes."""

from __future__ import annotations

import base64
import contextlib
import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.landed_events import NOON, NOW, event, land, land_bytes, prepare, rows, step, take_in

from oplake.lake.catalog import connect
from oplake.lake.rejects import list_rejects
from oplake.lake.upkeep import upkeep
from oplake.landing.segments import segments
from oplake.landing.writer import SegmentWriter
from oplake.settings import Settings

pytestmark = pytest.mark.slow

GOOD = step(1)
DEEP = b'{"kind":"step","event_id":"deep","state":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
LONG = b'{"kind":"note","event_id":"long","user_id":"u","note":"' + b"x" * 10_000_000 + b'"}'  # says no time


def with_state(state: bytes) -> bytes:
    """The good step with another state, raw."""
    return GOOD.replace(json.dumps(json.loads(GOOD)["state"], separators=(",", ":")).encode(), state)


HOSTILE = {
    "nonsense": b"nonsense",
    "half a line": GOOD[:50],
    "two lines in one": GOOD + GOOD,
    "NUL bytes": b"\0" * 512,
    "a NUL byte within": GOOD[:50] + b"\0" + GOOD[50:],
    "invalid UTF-8": GOOD.replace(b"step 1", b"step \xff\xfe"),
    "a lone surrogate": GOOD.replace(b"step 1", b"step \\ud800"),
    "an encoded surrogate": GOOD.replace(b"step 1", b"step \xed\xa0\x80"),
    "NaN": with_state(b'{"x":NaN}'),
    "infinity by exponent": with_state(b'{"x":1e999}'),
    "infinity as confidence": GOOD.replace(b'"confidence":0.25', b'"confidence":1e999'),
    "an integer of 30 digits": with_state(b'{"x":123456789012345678901234567890}'),
    "an index of 30 digits": GOOD.replace(b'"step_index":1', b'"step_index":123456789012345678901234567890'),
    "a fraction for a count": GOOD.replace(b'"step_index":1', b'"step_index":1.5'),
    "true for a count": GOOD.replace(b'"step_index":1', b'"step_index":true'),
    "a duplicate key": GOOD.replace(b'"step_index":1', b'"step_index":1,"step_index":2'),
    "a duplicate key within": with_state(b'{"x":1,"x":2}'),
    "nesting 100,000 deep": DEEP,
    "a string of 10 MB": LONG,
    "another kind": GOOD.replace(b'"kind":"step"', b'"kind":"stop"'),
    "no kind": GOOD.replace(b'"kind":"step",', b""),
    "an array": b"[1, 2, 3]",
    "a number": b"17",
    "no time zone": GOOD.replace(b"12:00:00Z", b"12:00:00"),
    "year 10000": GOOD.replace(b'"ts":"2026', b'"ts":"10000'),
}


@pytest.fixture
def settings(home: Path) -> Settings:
    return prepare(Settings(home=home))


@pytest.fixture(scope="module")
def hostile_home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A segment with every hostile line between two good ones, taken in."""
    settings = Settings(home=tmp_path_factory.mktemp("hostile"))
    data = b"\n".join([step(10), *HOSTILE.values(), step(11)]) + b"\n"
    land_bytes(settings, data)
    report = take_in(settings)
    assert (report.events, report.rejects, report.duplicates) == (2, len(HOSTILE), 0)
    return settings


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_line_is_a_reject_with_its_place_and_bytes(hostile_home: Settings, name: str) -> None:
    number = [*HOSTILE].index(name)
    offset = sum(len(line) + 1 for line in [step(10), *HOSTILE.values()][: number + 1])
    found = {each.line: each for each in list_rejects(hostile_home)}[number + 2]
    assert found.byte_offset == offset
    assert found.raw == HOSTILE[name]
    assert found.raw_bytes == len(HOSTILE[name])
    assert len(found.reason) > 5


def test_the_lines_around_hostile_ones_are_there(hostile_home: Settings) -> None:
    assert [row["event_id"] for row in rows(hostile_home, "landed.steps")] == ["step-000010", "step-000011"]


@pytest.mark.parametrize(
    "data",
    [
        GOOD + b"\r\n",
        b"\r\n\r\n" + GOOD + b"\r\n\r\n",
        b"\n\n  \n" + GOOD + b"\n\t\n",
        b"  " + GOOD + b"  \n",
        GOOD,  # whole, but for its newline
        b"\xef\xbb\xbf" + GOOD + b"\n",
    ],
)
def test_blanks_carriage_returns_and_a_bom_do_no_harm(settings: Settings, data: bytes) -> None:
    land_bytes(settings, data)
    report = take_in(settings)
    assert (report.events, report.rejects) == (1, 0)
    assert take_in(settings).bytes == 0


def test_a_text_of_10_mb_is_cut(settings: Settings) -> None:
    times = b'"ts":"2026-01-05T12:00:00Z","received_at":"2026-01-05T12:00:00Z",'
    land_bytes(settings, LONG.replace(b'"user_id"', times + b'"user_id"') + b"\n")
    assert take_in(settings).events == 1
    [note] = rows(settings, "landed.notes", "length(note) AS length")
    assert note["length"] == 10_000


def test_empty_files_do_no_harm(settings: Settings) -> None:
    land_bytes(settings, b"", name="20260105T130000.000000Z-empty-000001")
    land_bytes(settings, b"", name="named-by-somebody")
    assert take_in(settings).bytes == 0


@pytest.mark.parametrize("harm", ["flip", "zeros", "insert"])
def test_damage_in_the_middle_of_a_segment_costs_only_what_it_hit(settings: Settings, harm: str) -> None:
    """The index does not vouch for those bytes any more; trusting it would let DuckDB make of them what it likes."""
    lines = [step(n) for n in range(3000)]
    with contextlib.closing(SegmentWriter(settings.landing, writer="w", clock=lambda: NOON)) as writer:
        for n in range(0, 3000, 500):
            writer.append(lines[n : n + 500])
    [segment] = segments(settings.landing)
    data = bytearray(segment.path.read_bytes())
    at = data.index(b"step 1700") - 1
    match harm:
        case "flip":
            data[at] ^= 0x80  # the quote before the text
        case "zeros":
            data[at : at + 40] = bytes(40)
        case "insert":
            data[at:at] = b"\nforeign\n"
    segment.path.write_bytes(data)
    report = take_in(settings)
    assert report.rejects == (3 if harm == "insert" else 1)
    assert report.events == 2999
    assert "step-001700" not in {row["event_id"] for row in rows(settings, "landed.steps", "event_id")}


def test_a_flip_that_leaves_a_valid_line_is_not_trusted(settings: Settings) -> None:
    """Such a line cannot be told from a good one; but the seal can tell, and the segment never reaches the archive."""
    land(settings, [step(1), step(2)])
    [segment] = segments(settings.landing)
    segment.path.write_bytes(segment.path.read_bytes().replace(b"step 2", b"stop 2"))
    assert take_in(settings).events == 2
    report = upkeep(settings, now=NOW)
    assert (len(report.damages), report.archived) == (1, ())


def test_a_clock_a_day_back_keeps_every_event(settings: Settings) -> None:
    """Segments are named by the clock; one that goes back must not hide what comes after."""
    land(settings, [step(1)], at=NOON)
    take_in(settings, now=NOW)
    back = NOON - timedelta(days=1)
    land(settings, [step(2, ts=back)], at=back)
    report = take_in(settings, now=NOW - timedelta(days=1))
    assert (report.events, report.watermark) == (1, NOW)
    ahead = NOON + timedelta(days=365)
    land(settings, [step(3, ts=ahead)], at=ahead)
    land(settings, [step(4)], at=NOON, writer="x")
    assert take_in(settings, now=NOW).events == 2


def test_secrets_in_hostile_bytes_are_replaced(settings: Settings) -> None:
    secret = b"AKIA" + b"IOSFODNN7EXAMPLQ"
    land_bytes(settings, b"\xff key=" + secret + b"\n{" + secret + b"\n")
    assert take_in(settings).rejects == 2
    for each in list_rejects(settings):
        assert secret not in each.raw
    assert secret not in base64.b64decode(base64.b64encode(str(rows(settings, "landed.rejects")).encode()))


def test_control_a_glob_reads_what_a_crash_left(settings: Settings) -> None:
    """Files that were written and never committed are no part of the table; a pattern finds them all the same."""
    land(settings, [event("note", "n", user_id="u", note="n")])
    take_in(settings)
    [file] = (settings.lake / "landed" / "notes").glob("day=*/*.parquet")
    file.with_name("part-orphan.zstd.parquet").write_bytes(file.read_bytes())
    with connect(settings) as connection:
        assert connection.execute("SELECT count(*) FROM landed.notes").fetchall() == [(1,)]
        pattern = f"{settings.lake}/landed/notes/*/*.parquet"
        assert connection.execute(f"SELECT count(*) FROM read_parquet('{pattern}')").fetchall() == [(2,)]
