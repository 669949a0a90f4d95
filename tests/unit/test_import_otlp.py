"""Importing OTLP JSON lines: identities of their own, both signals, and rejects that stop nothing."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from tests.otlp_bodies import PARENT, SPAN, logs, record, span, traces

from oplake.landing.importers import Imported
from oplake.landing.importers.otlp import import_otlp
from oplake.landing.otlp import decode_traces
from oplake.landing.segments import segments
from oplake.landing.writer import SegmentWriter

TODAY = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOMORROW = datetime(2026, 3, 2, 12, tzinfo=UTC)
METRICS = b'{"resourceMetrics":[]}'


def imported(
    folder: Path, source: Path | bytes, received_at: datetime = TODAY
) -> tuple[Imported, list[dict[str, Any]]]:
    """Import into landing of its own; returns the summary and what landed, without the time of the import."""
    writer = SegmentWriter(folder)
    try:
        done = import_otlp(io.BytesIO(source) if isinstance(source, bytes) else source, writer, received_at=received_at)
    finally:
        writer.close()
    events = [msgspec.json.decode(line) for part in segments(folder) for line in part.path.read_bytes().splitlines()]
    for event in events:
        del event["received_at"]
    return done, events


def test_a_file_of_both_signals_lands_whole(tmp_path: Path) -> None:
    body = b"\n".join(
        [traces(span(), span(spanId=PARENT)), logs(record(), record()), b"", traces(span(traceId="a" * 32))]
    )
    done, events = imported(tmp_path, body)
    assert (done.taken, done.rejected, done.by_kind) == (5, 0, {"log": 2, "span": 3})
    assert len({event["event_id"] for event in events}) == 5
    assert {event["ts"][:10] for event in events} == {"2026-01-05"}


def test_the_same_file_again_or_packed_is_the_same(tmp_path: Path) -> None:
    body = traces(span()) + b"\n" + METRICS + b"\n" + logs(record()) + b"\n"
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(body))
    _, once = imported(tmp_path / "one", body)
    _, again = imported(tmp_path / "two", packed, TOMORROW)
    assert once == again
    assert once[0]["event_id"] == decode_traces(traces(span()), "json").events[0]["event_id"], "as a receiver has it"


def test_what_cannot_be_used_is_kept_with_its_place(tmp_path: Path) -> None:
    bad = span(traceId="")
    body = b"\n".join([b"{", METRICS, b"{}", traces(span(), bad, span(spanId=PARENT)), b'{"resourceSpans": 7}', b"[1]"])
    done, events = imported(tmp_path, body)
    assert done.by_kind == {"span": 2}
    rejects = [event for event in events if event["kind"] == "reject"]
    assert [reject["line"] for reject in rejects] == [1, 2, 3, 4, 5, 6]
    assert "resourceMetrics" in rejects[1]["reason"]
    assert "trace id" in rejects[3]["reason"]
    assert json.loads(rejects[3]["raw"]) == bad
    assert all(reject["origin"] == done.origin for reject in rejects)
    assert {event.get("span_id") for event in events} == {None, SPAN, PARENT}


def test_two_bad_items_of_a_line_are_two_rejects(tmp_path: Path) -> None:
    done, events = imported(tmp_path, traces(span(traceId=""), span(traceId="")))
    assert done.rejected == 2
    assert len({event["event_id"] for event in events}) == 2


def test_metrics_beside_spans_do_not_stop_them(tmp_path: Path) -> None:
    done, _ = imported(tmp_path, traces(span())[:-1] + b', "resourceMetrics": []}')
    assert (done.by_kind, done.rejected) == ({"span": 1}, 1)
