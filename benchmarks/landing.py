"""What it costs to land events: checking, redaction and durability beside the bare disk."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import uuid4

import msgspec

from benchmarks.rows import Row
from oplake.landing.accept import accept, accept_batch
from oplake.landing.errors import Unusable
from oplake.landing.redaction import may_hold_secret
from oplake.landing.writer import SegmentWriter
from oplake.settings import default_home

BATCH = 100  # events that a caller brings at once
BATCHES = 130  # a round; each writes a segment, which takes 64 MiB, a thousand batches, before the next
ROUNDS = 15
SINGLES = 300  # events of a round that are made durable one by one
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
WORDS = (
    *("the", "order", "was", "placed", "by", "a", "customer", "who", "asked", "for", "refund", "because", "it", "came"),
    *("late", "and", "agent", "looked", "up", "its", "state", "in", "shop", "then", "compared", "what", "promised"),
    *("with", "before", "offered", "another", "date", "or", "money", "back", "of", "that", "is", "not", "on", "be"),
)


def run() -> list[Row]:
    """Lands steps, operations and turns; the bar is for steps, of which there are most."""
    dice = random.Random(5)
    rows = []
    with TemporaryDirectory(dir=_disk()) as folder:
        for kind, make in (("steps", _step), ("operations", _op), ("turns", _turn)):
            batches = [[make(dice) for _ in range(BATCH)] for _ in range(BATCHES)]
            found = _against_the_bare_disk(Path(folder), batches)
            what = f"landing {kind} of {found.line_bytes} bytes in batches of {BATCH}, wall time"
            bar = 0.35 if kind == "steps" else None
            rows += [
                Row(what, "write and fdatasync of the same bytes", found.ratio, bar, at_most=False),
                Row(f"share of redaction in landing {kind}", "all of it", found.redaction_share, None, at_most=True),
                Row(f"landing {kind} beyond write and fdatasync, µs an event", "–", found.own_us, None, at_most=True),
                Row(f"write and fdatasync of {BATCH} {kind}, ms", "–", found.disk_ms, None, at_most=True),
            ]
        ratio = _against_singles(Path(folder), [_step(dice) for _ in range(BATCH * BATCHES)])
        rows.append(
            Row(f"landing steps in batches of {BATCH}, events a second", "one by one", ratio, 25, at_most=False)
        )
    return rows


def _disk() -> Path:
    """The disk that events land on; a temporary folder may be in memory, where a sync costs nothing."""
    home = default_home()
    home.mkdir(parents=True, exist_ok=True)
    return home


class _Found(NamedTuple):
    """Landing beside the bare disk. On a disk that syncs in microseconds the ratio says how fast Python is, on one that
    takes milliseconds how fast the disk is; so what either takes is told too."""

    ratio: float  # speed of landing as a part of the bare disk's
    redaction_share: float
    own_us: float  # what landing takes beyond the bare disk, an event
    disk_ms: float  # what the bare disk takes, a batch
    line_bytes: int


def _against_the_bare_disk(folder: Path, batches: Sequence[Sequence[bytes]]) -> _Found:
    blocks = [b"".join(line + b"\n" for line in _accepted(batch)) for batch in batches]

    def land() -> None:
        writer = SegmentWriter(folder / "landing")
        for batch in batches:
            writer.append(_accepted(batch))
        writer.close()

    def bare() -> None:
        descriptor = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for block in blocks:
            os.write(descriptor, block)
            os.fdatasync(descriptor)
        os.close(descriptor)

    def redaction() -> None:
        for block in blocks:
            may_hold_secret(block)

    rounds = _interleaved(land, bare, redaction, clean=folder)
    return _Found(
        ratio=statistics.median(disk / landing for landing, disk, _ in rounds),
        redaction_share=statistics.median(looking / landing for landing, _, looking in rounds),
        own_us=statistics.median(landing - disk for landing, disk, _ in rounds) / (BATCH * BATCHES) * 1e6,
        disk_ms=statistics.median(disk for _, disk, _ in rounds) / BATCHES * 1e3,
        line_bytes=len(blocks[0]) // BATCH,
    )


def _accepted(batch: Sequence[bytes]) -> list[bytes]:
    """The lines of a batch: strictly decoded, shaped, free of secrets, stamped and encoded."""
    outcomes = accept_batch(batch, received_at=NOW)
    return [outcome.line for outcome in outcomes if not isinstance(outcome, Unusable)]


def _against_singles(folder: Path, raws: Sequence[bytes]) -> float:
    """How many times more events a second land in batches than one by one."""

    def batches() -> None:
        writer = SegmentWriter(folder / "landing")
        for start in range(0, len(raws), BATCH):
            writer.append(_accepted(raws[start : start + BATCH]))
        writer.close()

    def singles() -> None:
        writer = SegmentWriter(folder / "landing")
        for raw in raws[:SINGLES]:
            writer.append([accept(raw, received_at=NOW).line])
        writer.close()

    rounds = _interleaved(batches, singles, clean=folder)
    return statistics.median((apart / SINGLES) / (together / len(raws)) for together, apart in rounds)


def _interleaved(*works: Callable[[], None], clean: Path) -> list[list[float]]:
    """Wall seconds of each work in each round; a round does all of them, so that a busy moment strikes all alike."""
    rounds = []
    for _ in range(ROUNDS):
        seconds = []
        for work in works:
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
            for path in clean.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        rounds.append(seconds)
    return rounds


def _text(dice: random.Random, words: int) -> str:
    return " ".join(dice.choice(WORDS) for _ in range(words))


def _encode(kind: str, **fields: object) -> bytes:
    return msgspec.json.encode(
        {"kind": kind, "event_id": str(uuid4()), "ts": "2026-01-05T11:59:59.123456Z", **fields},
    )


def _step(dice: random.Random) -> bytes:
    state = {
        "customer": f"c-{dice.randrange(10**6)}",
        "belief": _text(dice, 8),
        "order": {"id": dice.randrange(10**6), "items": [_text(dice, 1), _text(dice, 1)], "total": dice.random() * 100},
    }
    return _encode(
        "step",
        action_id=str(uuid4()),
        step_index=dice.randrange(30),
        description=_text(dice, 10),
        state=state,
        decision="_".join(_text(dice, 2).split()),
        confidence=dice.random(),
    )


def _op(dice: random.Random) -> bytes:
    return _encode(
        "op",
        endpoint=f"shop.{_text(dice, 1)}",
        input_summary=_text(dice, 10),
        success=dice.random() < 0.9,
        duration_ms=dice.random() * 1000,
        output_summary=_text(dice, 6),
        session_id=str(uuid4()),
    )


def _turn(dice: random.Random) -> bytes:
    return _encode(
        "turn",
        session_id=str(uuid4()),
        turn_index=dice.randrange(30),
        provider="local",
        model="small",
        user_message=_text(dice, 40),
        response=_text(dice, 120),
        input_tokens=dice.randrange(4000),
        output_tokens=dice.randrange(500),
        duration_ms=dice.random() * 9000,
    )
