"""What ingest costs, beside the least that anybody would have to do: parse the bytes once, and compress them once."""

from __future__ import annotations

import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import msgspec

from benchmarks.rows import Row
from oplake.lake.ingest import ingest
from oplake.landing.accept import accept
from oplake.landing.writer import SegmentWriter
from oplake.settings import Settings, default_home

STEPS = 2_000_000
DAYS = 7
LATE = 0.01  # share of steps that come a day late
ROUNDS = 3
BATCH = 1000
START = datetime(2026, 1, 5, tzinfo=UTC)
NOW = START + timedelta(days=DAYS + 1)
AGENTS_AT_ONCE = 50
WORDS = (
    *("search", "filter", "compare", "open", "read", "write", "plan", "verify"),
    *("retry", "refund", "lookup", "book", "order", "cancel", "check"),
)


def run() -> list[Row]:
    """Takes in nested steps of a week; all three jobs are processes of their own, in turns."""
    with TemporaryDirectory(dir=_disk()) as folder:
        home = Path(folder)
        _land(home)
        ratios, rates = [], []
        for _ in range(ROUNDS):
            for path in (home / "lake", home / "landing" / "ingest.journal", home / "landing" / "watermark.json"):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            least = _cpu("parse", home) + _cpu("compress", home)
            took = _cpu("ingest", home)
            ratios.append(took / least)
            rates.append(STEPS / took)
        again = _cpu("ingest", home)
    return [
        Row(
            f"ingest of {STEPS:,} nested steps, sorted, deduplicated, into Delta, CPU-seconds",
            "DuckDB's parse of the same bytes with explicit columns, and zstd -1 of them",
            statistics.median(ratios),
            2.0,
            at_most=True,
        ),
        Row("steps taken in per CPU-second", "–", statistics.median(rates), None, at_most=False),
        Row(
            "an ingest that finds nothing new, start of the process included, CPU-seconds",
            "–",
            again,
            None,
            at_most=True,
        ),
    ]


def _disk() -> Path:
    home = default_home()
    home.mkdir(parents=True, exist_ok=True)
    return home


def _land(home: Path) -> None:
    """Lands the steps in the order in which they would come, most of them on the day that they tell of."""
    with closing(SegmentWriter(home / "landing", writer="bench", clock=lambda: START)) as writer:
        batch: list[bytes] = []
        for line in _steps():
            batch.append(line)
            if len(batch) == BATCH:
                writer.append(batch)
                batch = []
        writer.append(batch)


def _steps() -> Iterator[bytes]:
    """Accepted steps, written as `accept` writes them, which the first of them is held against."""
    dice = random.Random(1)
    words, random_, bits = dice.choices, dice.random, dice.getrandbits
    actions: list[tuple[str, int]] = [(str(UUID(int=bits(128), version=4)), 0) for _ in range(AGENTS_AT_ONCE)]
    for n in range(STEPS):
        agent = n * 7919 % AGENTS_AT_ONCE
        action_id, index = actions[agent]
        actions[agent] = (action_id, index + 1) if index < 12 else (str(UUID(int=bits(128), version=4)), 0)
        ts = START + timedelta(days=DAYS * n / STEPS)
        milliseconds = int(ts.timestamp() * 1000)
        event_id = UUID(int=milliseconds << 80 | 7 << 76 | bits(12) << 64 | 2 << 62 | bits(62))
        if random_() < LATE:
            ts -= timedelta(days=1)
        fields = {
            "kind": "step",
            "event_id": str(event_id),
            "ts": ts,
            "received_at": START + timedelta(days=DAYS * n / STEPS, milliseconds=5),
            "source": "agent",
            "action_id": action_id,
            "step_index": index,
            "description": " ".join(words(WORDS, k=8)),
            "state": {
                "query": " ".join(words(WORDS, k=4)),
                "n": n % 1000,
                "scores": [random_(), random_()],
                "context": {"attempt": n % 5, "ok": n % 3 == 0, "user": f"u{bits(12)}"},
            },
            "decision": WORDS[n % len(WORDS)],
            "confidence": round(random_(), 3),
        }
        line = msgspec.json.encode(fields)
        if n == 0:
            accepted = accept(line, received_at=START + timedelta(milliseconds=5), is_live=False).line
            assert json.loads(accepted) == json.loads(line)
        yield line


def _cpu(job: str, home: Path) -> float:
    """CPU-seconds of a process that does one of the jobs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "benchmarks.ingest", job, str(home)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# -- The jobs, each in a process of its own ----------------------------------------------------------------------------


def _parse(segments: Sequence[Path]) -> None:
    """Every value of every column, converted, and counted instead of handed over: no more than parsing."""
    import duckdb

    from oplake.lake.lines import Lines

    with TemporaryDirectory() as folder, duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        lines = Lines(connection, Path(folder), "lines")
        for path in segments:
            lines.add_file(path, {"step"}, 0)
        connection.execute(f"SELECT count(COLUMNS(*)) FROM {lines.reader()}").fetchall()


def _compress(segments: Sequence[Path]) -> None:
    import zstandard

    for path in segments:
        with path.open("rb") as source, Path("/dev/null").open("wb") as sink:
            zstandard.ZstdCompressor(level=1).copy_stream(source, sink)


def _ingest(home: Path) -> None:
    report = ingest(Settings(home=home), now=NOW)
    assert report.events in {STEPS, 0}
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"ingest of {report.events:,} steps took {megabytes:.0f} MB of memory", file=sys.stderr)


if __name__ == "__main__":
    job, folder = sys.argv[1:]
    found = sorted((Path(folder) / "landing").glob("*.jsonl"))
    {"parse": lambda: _parse(found), "compress": lambda: _compress(found), "ingest": lambda: _ingest(Path(folder))}[
        job
    ]()
