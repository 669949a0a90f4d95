"""The receiver as clients meet it: over HTTP, with uvicorn, the disk and the command."""

from __future__ import annotations

import errno
import gzip
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from tests.conftest import RunOplake
from tests.landed_events import NOON, rows
from tests.landed_events import event as accepted_line
from tests.receiving import JSON, LINES, PROTOBUF, Receiver, receiving, serving

from oplake.events import SYNTHESIS
from oplake.lake.ingest import ingest
from oplake.landing.disk import OsDisk
from oplake.landing.otlp import decode_traces, encode_response
from oplake.landing.segments import segments
from oplake.landing.writer import SegmentWriter, utc_now
from oplake.receiver import app
from oplake.receiver.limits import Limits
from oplake.settings import Settings

pytestmark = pytest.mark.slow

EVERYWHERE = "0.0.0.0"  # noqa: S104  # what a person would write
TOKEN = "a-long-random-text"
NOTE = {"kind": "note", "event_id": "n1", "ts": "2026-01-05T12:00:00Z", "user_id": "ann", "note": "well done"}
NOTE_LINE = json.dumps(NOTE).encode()
TRACE = {
    "resourceSpans": [
        {
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": "0af7651916cd43dd8448eb211c80319c",
                            "spanId": "b7ad6b7169203331",
                            "name": "chat",
                            "kind": 3,
                            "startTimeUnixNano": "1767614400000000000",
                            "endTimeUnixNano": 1767614401000000000,
                            "attributes": [{"key": "gen_ai.usage.input_tokens", "value": {"intValue": "7"}}],
                            "somethingNew": [1],
                        },
                        {"traceId": "", "spanId": "b7ad6b7169203332", "name": "no trace"},
                    ]
                }
            ]
        }
    ]
}


class BrokenDisk(OsDisk):
    """A disk that has no room, or fails, when it is told to."""

    def __init__(self) -> None:
        self.error: int | None = None

    def write(self, descriptor: int, data: memoryview) -> int:
        if self.error is not None:
            raise OSError(self.error, "as told")
        return super().write(descriptor, data)


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    with receiving(settings) as up:
        yield up


# -- Operations and batches --------------------------------------------------------------------------------------------


def test_an_operation_lands_with_what_it_left_out(settings: Settings) -> None:
    with receiving(settings, clock=lambda: NOON) as up:
        answer = up.post("/event", {"event_kind": "wedding", "role": "cook", "count": 2, "city": "Austin"})
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        (landed,) = up.landed("op")
        assert answer.json == {"accepted": True, "event_id": landed["event_id"]}
        assert landed["input_summary"] == "wedding cook×2 in Austin, ?"
        assert (landed["endpoint"], landed["source"], landed["success"]) == ("scenario:fill", "scenario", False)
        assert (landed["ts"], landed["received_at"]) == ("2026-01-05T12:00:00Z", "2026-01-05T12:00:00Z")
        again = up.post("/event", {"event_kind": "wedding", "event_id": "mine", "source": "langfuse"})
        assert again.json["event_id"] == "mine"


def test_what_is_no_operation_is_told_and_kept(receiver: Receiver) -> None:
    bad: list[bytes] = [
        b"",
        b"{",
        b"[]",
        b'{"count": "x"}',
        b'{"duration_ms": -1}',
        b'{"kind": "note"}',
        b"\xff\xfe{\x00",
    ]
    for body in bad:
        answer = receiver.post("/event", body, JSON)
        assert answer.status == 400
        assert answer.json["accepted"] is False
        assert answer.json["error"]
    assert [reject["origin"] for reject in receiver.landed("reject")] == ["POST /event"] * len(bad)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps([NOTE, 3, {**NOTE, "event_id": "n2"}]).encode(), JSON),
        (NOTE_LINE + b"\n3\n" + NOTE_LINE.replace(b"n1", b"n2"), LINES),
        (gzip.compress(NOTE_LINE + b"\n3\n" + NOTE_LINE.replace(b"n1", b"n2")), {**LINES, "content-encoding": "gzip"}),
        (
            zstandard.compress(NOTE_LINE + b"\n3\n" + NOTE_LINE.replace(b"n1", b"n2")),
            {**JSON, "content-encoding": "zstd"},
        ),
    ],
)
def test_good_events_land_and_bad_ones_come_back_and_are_kept(
    receiver: Receiver, settings: Settings, body: bytes, headers: dict[str, str]
) -> None:
    answers = [receiver.post("/events", body, headers) for _ in range(3)]
    assert answers[0].json == {
        "accepted": 2,
        "rejected": 1,
        "rejects": [{"line": 2, "reason": "it is a number, not a JSON object"}],
    }
    assert {(answer.status, answer.body) for answer in answers} == {(200, answers[0].body)}
    ingest(settings, now=utc_now())
    assert [row["event_id"] for row in rows(settings, "landed.notes")] == ["n1", "n2"]
    (reject,) = rows(settings, "landed.rejects")
    assert (reject["line"], reject["raw"], reject["reason"]) == (2, "3", "it is a number, not a JSON object")


def test_a_repeated_batch_without_ids_and_times_is_there_once(settings: Settings) -> None:
    """With a time of its own each, the second would be another event, or in conflict with the first."""
    clock = itertools.count()
    with receiving(settings, clock=lambda: NOON + timedelta(seconds=next(clock))) as up:
        body = b'{"kind":"note","user_id":"a","note":"x"}\n{"kind":"note","user_id":"a","note":"x"}\nbad\n'
        assert len({up.post("/events", body, LINES).body for _ in range(3)}) == 1
        other = body + b"\n"
        assert up.post("/events", other, LINES).json["accepted"] == 2
    ingest(settings, now=NOON + timedelta(days=1))
    assert len(rows(settings, "landed.notes")) == 4
    assert [row["reason"][:8] for row in rows(settings, "landed.rejects")] == ["not JSON"] * 2


def test_what_is_sent_again_after_a_restart_is_there_once(settings: Settings) -> None:
    """Forbids leaving it to the receiver's memory which time of receipt something had: a restart ends it."""
    for second in range(2):
        with receiving(settings, clock=lambda second=second: NOON + timedelta(seconds=second)) as up:
            assert up.post("/event", b'{"event_id":"e1"}', JSON).status == 200
            assert up.post("/event", b"bad", JSON).status == 400
            assert up.post("/events", b'{"kind":"note","user_id":"a","note":"x"}\nworse\n', LINES).status == 200
    ingest(settings, now=NOON + timedelta(days=1))
    assert [len(rows(settings, table)) for table in ("landed.ops", "landed.notes")] == [1, 1]
    assert sorted(row["raw"] for row in rows(settings, "landed.rejects")) == ["bad", "worse"]


BAD_LINES: list[bytes] = [
    b"not json",
    b'{"kind":"note"',
    b'{"kind":"note","event_id":"a","ts":"2026-01-05T12:00:00Z","user_id":"u"}',
    b'{"kind":"nope","event_id":"a"}',
    b'{"event_id":"a"}',
    b'{"kind":"op","event_id":"a","endpoint":"e","success":true,"duration_ms":NaN}',
    b'{"kind":"op","event_id":"a","endpoint":"e","success":true,"duration_ms":1e999}',
    b'{"kind":"op","event_id":"a","endpoint":"e","success":true,"duration_ms":-1}',
    b'{"kind":"op","event_id":"a","endpoint":"e","success":1,"duration_ms":1}',
    b'{"kind":"note","event_id":"a","user_id":"u","note":"x","turn_index":123456789012345678901234567890}',
    b'{"kind":"note","event_id":"a","user_id":"u","note":"x","note":"y"}',
    b'{"kind":"note","event_id":"a","user_id":"u","note":"\xff"}',
    b'{"kind":"note","event_id":"a","user_id":"u","note":"\\ud800"}',
    b'{"kind":"note","event_id":"a","user_id":"u","note":"x","extra":' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}",
    b'{"kind":"note","event_id":"a","user_id":"u","note":"x","deep":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"kind":"note","event_id":"a","user_id":"u","note":"x","ts":"yesterday"}',
    b'{"kind":"note","event_id":"' + b"i" * 300 + b'","user_id":"u","note":"x"}',
    b'\x00{"kind":"note"}',
    b"[1,2]",
    b'"text"',
    b"null",
]
"""Every class of bad input, one event each."""


def test_no_bad_line_keeps_a_good_one_out(receiver: Receiver) -> None:
    good = [NOTE_LINE.replace(b"n1", b"n%d" % number) for number in range(len(BAD_LINES) + 1)]
    mixed = [line for pair in zip(good, [*BAD_LINES, b""], strict=True) for line in pair]
    answer = receiver.post("/events", b"\n".join(mixed), LINES)
    assert answer.status == 200
    assert (answer.json["accepted"], answer.json["rejected"]) == (len(good), len(BAD_LINES))
    assert [reject["line"] for reject in answer.json["rejects"]] == [*range(2, 2 * len(good), 2)]
    assert len(receiver.landed("note")) == len(good)
    kept = receiver.landed("reject")
    assert [reject["raw_bytes"] for reject in kept] == [len(line) for line in BAD_LINES]
    assert [reject["reason"] for reject in kept] == [reject["reason"] for reject in answer.json["rejects"]]


def test_nobody_else_speaks_as_the_author_of_oplake(receiver: Receiver) -> None:
    """Forbids to trust the source: an answer under it would be served from then on as one that was paid for."""
    forged = {"kind": "note", "user_id": "u", "note": "n", "source": SYNTHESIS}
    body = b"\n".join(json.dumps(each).encode() for each in (forged, {**forged, "source": "mine"}))
    answer = receiver.post("/events", body, LINES)
    assert (answer.status, answer.json["accepted"], answer.json["rejected"]) == (200, 1, 1)
    assert SYNTHESIS in answer.json["rejects"][0]["reason"]
    assert [event["source"] for event in receiver.landed("note")] == ["mine"]
    assert len(receiver.landed("reject")) == 1


@pytest.mark.parametrize("line", BAD_LINES, ids=range(len(BAD_LINES)))
def test_no_bad_value_of_an_array_keeps_a_good_one_out(receiver: Receiver, line: bytes) -> None:
    if line in {b'{"kind":"note"', b"not json"}:  # where it ends cannot be told
        line += b"}" if line.startswith(b"{") else b""
    answer = receiver.post(
        "/events", b"[" + b", ".join([NOTE_LINE, line, NOTE_LINE.replace(b"n1", b"n2")]) + b"]", JSON
    )
    assert (answer.status, answer.json["accepted"]) == (200, 2)
    assert [reject["line"] for reject in answer.json["rejects"]] == [2]


@pytest.mark.parametrize(
    "body", [b"nothing here", b"[", b"{", "[1]".encode("utf-16"), b"\x00\x01", b"a\nb\nc", b"[NaN]"]
)
def test_400_when_nothing_can_be_read_and_it_is_kept_all_the_same(receiver: Receiver, body: bytes) -> None:
    answer = receiver.post("/events", body, JSON)
    assert answer.status == 400
    assert answer.json["accepted"] == 0
    assert answer.json["rejected"] == len(receiver.landed("reject")) > 0


def test_a_batch_of_which_a_part_landed_is_there_once_when_it_is_sent_again(settings: Settings) -> None:
    """Its parts keep the times at which they landed: a part with a new one would be in conflict with itself."""
    clock, disk = itertools.count(), BrokenDisk()
    writes = itertools.count()

    def fill_up(descriptor: int, data: memoryview) -> int:
        if next(writes) == 2:  # the first part has been written, and its place in the index
            raise OSError(errno.ENOSPC, "as told")
        return OsDisk.write(disk, descriptor, data)

    disk.write = fill_up  # type: ignore[method-assign]
    body = b"\n".join(b'{"kind":"note","user_id":"u","note":"%d"}' % number for number in range(2500)) + b"\nbad"
    with receiving(settings, clock=lambda: NOON + timedelta(seconds=next(clock)), disk=disk) as up:
        assert up.post("/events", body, LINES).status == 507
        assert len(up.landed("note")) == 1000
        assert up.post("/events", body, LINES).json["accepted"] == 2500
    report = ingest(settings, now=NOON + timedelta(hours=1))
    assert (report.events, report.duplicates) == (2501, 1000)
    assert [row["raw"] for row in rows(settings, "landed.rejects")] == ["bad"]


def test_secrets_are_replaced_whichever_way_they_come(receiver: Receiver) -> None:
    secret = "sk-proj-" + "a1B2" * 12
    receiver.post("/event", {"error": f"key {secret}"})
    receiver.post("/events", f'{{"kind":"note","user_id":"u","note":"{secret}"}}\nbad {secret}'.encode(), LINES)
    receiver.post("/v1/traces", json.loads(json.dumps(TRACE).replace("chat", secret)))
    assert len(receiver.landed()) == 5
    assert not any(secret in segment.path.read_text() for segment in segments(receiver.home / "landing"))


# -- OpenTelemetry -----------------------------------------------------------------------------------------------------


def test_spans_land_and_bad_ones_are_counted_and_kept(receiver: Receiver) -> None:
    answer = receiver.post("/v1/traces", TRACE)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["partialSuccess"]["rejectedSpans"] == "1"
    (span,) = receiver.landed("span")
    assert (span["span_id"], span["attributes"]) == ("b7ad6b7169203331", {"gen_ai.usage.input_tokens": 7})
    (reject,) = receiver.landed("reject")
    assert reject["origin"].startswith("POST /v1/traces ")
    assert b"b7ad6b7169203332" in reject["raw"].encode()


def test_the_answer_is_in_the_encoding_of_the_request(receiver: Receiver) -> None:
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb

    request = pb.ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = bytes(range(16)), bytes(range(1, 9)), "x"
    span.start_time_unix_nano = span.end_time_unix_nano = 1767614400 * 10**9
    body = request.SerializeToString()
    assert decode_traces(body, "protobuf").events
    for headers in (PROTOBUF, {"content-type": "application/x-protobuf; charset=x", "content-encoding": "gzip"}):
        packed = gzip.compress(body) if "content-encoding" in headers else body
        answer = receiver.post("/v1/traces", packed, headers)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/x-protobuf")
        assert answer.body == encode_response("traces", 0, "", "protobuf") == b""
    assert [span["name"] for span in receiver.landed("span")] == ["x", "x"]


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs"])
def test_what_otlp_says_of_bodies_that_are_empty_or_none(receiver: Receiver, path: str) -> None:
    empty = receiver.post(path, b"", PROTOBUF)
    assert (empty.status, empty.headers["content-type"], empty.body) == (200, "application/x-protobuf", b"")
    empty = receiver.post(path, b"{}", JSON)
    assert (empty.status, empty.headers["content-type"], empty.json) == (200, "application/json", {})
    bad = receiver.post(path, b"\xff\xff", PROTOBUF)
    assert (bad.status, bad.headers["content-type"]) == (400, "application/x-protobuf")
    assert bad.body[0] == 2 << 3 | 2  # google.rpc.Status, its message
    bad = receiver.post(path, b"{", JSON)
    assert (bad.status, bad.headers["content-type"]) == (400, "application/json")
    assert "message" in bad.json
    assert receiver.post(path, b"{}", {"content-type": "text/plain"}).status == 415
    assert receiver.post(path, b"{}", {**JSON, "content-encoding": "br"}).status == 415
    assert receiver.post(path, b"{}", {**JSON, "content-encoding": "gzip"}).status == 400


# -- Limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/event", "/events", "/v1/traces"])
def test_64_mib_are_too_much_packed_or_not_announced_or_not(receiver: Receiver, path: str) -> None:
    large = 64 * 2**20 + 1
    assert receiver.post(path, bytes(large), JSON).status == 413
    assert receiver.post(path, gzip.compress(bytes(large), 1), {**JSON, "content-encoding": "gzip"}).status == 413
    assert receiver.post(path, zstandard.compress(bytes(large)), {**JSON, "content-encoding": "zstd"}).status == 413
    pieces = itertools.repeat(bytes(2**20), 65)
    assert receiver.ask("POST", path, pieces, JSON, encode_chunked=True).status == 413
    assert receiver.post("/event", {"success": 1}).status == 200


def test_long_headers_are_refused(receiver: Receiver) -> None:
    assert receiver.ask("GET", "/health", headers={"x-long": "x" * 30_000}).status == 200
    assert receiver.ask("GET", "/health", headers={"x-long": "x" * 33_000}).status == 431
    with socket.create_connection(("127.0.0.1", receiver.port)) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nx-endless: ")
        with pytest.raises(ConnectionError):
            _send_on(client, b"x" * 10_000, 1000)  # without an end it would fill the memory


@pytest.mark.slow
def test_slow_clients_time_out(settings: Settings) -> None:
    limits = Limits(head_seconds=0.5, body_seconds=0.5, body_bytes_per_second=10**6, idle_seconds=1)
    with receiving(settings, limits=limits) as up:
        with socket.create_connection(("127.0.0.1", up.port), timeout=10) as silent:
            assert silent.recv(100) == b""
        with socket.create_connection(("127.0.0.1", up.port), timeout=10) as slow:
            slow.sendall(b"POST /event HTTP/1.1\r\nhost: localhost\r\n")
            assert slow.recv(100) == b""
        with socket.create_connection(("127.0.0.1", up.port), timeout=10) as slow:
            slow.sendall(b"POST /event HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")
            slow.sendall(b"content-length: 100\r\n\r\n{")
            assert slow.recv(100).startswith(b"HTTP/1.1 408 ")
        with socket.create_connection(("127.0.0.1", up.port), timeout=10) as idle:
            idle.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n")
            while idle.recv(10_000):
                pass
        assert up.post("/event", {"success": 1}).status == 200


@pytest.mark.slow
def test_a_client_that_does_not_read_its_answer_is_let_go(settings: Settings) -> None:
    body = b"1\n" * 100_000
    with receiving(settings, limits=Limits(body_seconds=0.5)) as up, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(30)
        deaf.connect(("127.0.0.1", up.port))
        deaf.sendall(b"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n")
        deaf.sendall(b"content-length: %d\r\n\r\n" % len(body) + body)
        answered = 'path="/events",status="200"} 1'
        while answered not in up.ask("GET", "/metrics").body.decode():
            time.sleep(0.05)
        time.sleep(1.5)
        received = 0
        with suppress(ConnectionError):
            while part := deaf.recv(65_536):
                received += len(part)
        assert received < 100_000 * len('{"line":1,"reason":"it is a number, not a JSON object"},')


def test_what_would_hold_too_much_at_once_is_asked_to_come_again(settings: Settings) -> None:
    with receiving(settings, limits=Limits(held_bytes=1000)) as up:
        answer = up.post("/events", b"x" * 2000, LINES)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        answer = up.post("/v1/traces", b"x" * 2000, PROTOBUF)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert up.post("/events", NOTE_LINE, LINES).status == 200
    for none in (Limits(requests=0), Limits(connections=0)):
        with receiving(settings, limits=none) as up:
            answer = up.ask("GET", "/health")
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_a_full_disk_is_507_and_loses_nothing(settings: Settings) -> None:
    disk = BrokenDisk()
    with receiving(settings, disk=disk) as up:
        assert up.post("/events", NOTE_LINE, LINES).status == 200
        disk.error = errno.ENOSPC
        answer = up.post("/events", NOTE_LINE.replace(b"n1", b"n2"), LINES)
        assert answer.status == 507
        assert "disk full" in answer.json["error"]
        assert up.post("/event", {"success": 1}).status == 507
        assert up.post("/v1/traces", TRACE).status == 503  # exporters give up on 507
        disk.error = errno.EIO
        answer = up.post("/events", NOTE_LINE.replace(b"n1", b"n2"), LINES)
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        ill = up.ask("GET", "/health")
        assert (ill.status, ill.json["ok"], "as told" in ill.json["problem"]) == (503, False, True)
        disk.error = None
        assert up.post("/events", NOTE_LINE.replace(b"n1", b"n2"), LINES).status == 200
        well = up.ask("GET", "/health")
        assert (well.status, well.json["ok"], well.json["problem"]) == (200, True, None)
        assert [note["event_id"] for note in up.landed("note")] == ["n1", "n2"]
        assert "oplake_refusals_total 4\n" in up.ask("GET", "/metrics").body.decode()


def test_health_is_of_a_landing_that_cannot_be_written(settings: Settings, monkeypatch: Any) -> None:
    """And a refusal tells of the disk for a minute: who sends to healthy receivers only would never try again."""
    access, now = os.access, [NOON]
    with receiving(settings, clock=lambda: now[0], disk=(disk := BrokenDisk())) as up:
        # The gateway to the disk: root, who may run this, may write everywhere.
        monkeypatch.setattr(os, "access", lambda path, mode: path != settings.home and access(path, mode))
        found = up.ask("GET", "/health")
        assert (found.status, found.json["problem"]) == (503, f"{settings.home} cannot be written")
        monkeypatch.undo()
        disk.error = errno.EROFS
        assert up.post("/events", NOTE_LINE, LINES).status == 503
        assert up.ask("GET", "/health").status == 503
        now[0] += timedelta(minutes=1)
        assert up.ask("GET", "/health").status == 200


def _send_on(client: socket.socket, part: bytes, times: int) -> None:
    for _ in range(times):
        client.sendall(part)
        time.sleep(0.001)


def test_what_else_brings_events_in_lands_beside_the_requests(settings: Settings, monkeypatch: Any) -> None:
    """Files are followed so; what fails once is tried again."""
    monkeypatch.setattr(app, "BESIDE_SECONDS", 0.01)
    calls = itertools.count()

    def beside(writer: SegmentWriter) -> None:
        number = next(calls)
        if number == 0:
            raise OSError("not yet")
        writer.append([accepted_line("note", f"n{number}", user_id="u", note="x")])

    with receiving(settings, beside=beside) as up:
        assert up.post("/event", {"success": 1}).status == 200
        while len(up.landed("note")) < 3:
            time.sleep(0.01)
    assert len(segments(settings.landing)) == 1


# -- Who may ask -------------------------------------------------------------------------------------------------------


def test_without_the_token_nothing_is_taken_and_health_says_only_how_it_is(home: Path, monkeypatch: Any) -> None:
    """Whoever refuses a request, on the paths of OTLP the answer is a Status in the encoding of the request."""
    monkeypatch.setenv("OPLAKE_TOKEN", TOKEN)
    with receiving(Settings(home=home)) as up:
        for path, method in (("/event", "POST"), ("/events", "POST"), ("/v1/traces", "POST"), ("/stats", "GET")):
            for token in ("", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN, "Bearer \xe9"):
                answer = up.ask(method, path, headers={"authorization": token, **JSON})
                assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        for headers in (PROTOBUF, JSON):
            refused = up.post("/v1/traces", b"", headers)
            assert (refused.status, refused.headers["content-type"]) == (401, headers["content-type"])
            assert b"send the token" in refused.body
            assert b'"error"' not in refused.body
        assert up.ask("GET", "/health").json == {"ok": True}
        mine = {"authorization": f"Bearer {TOKEN}"}
        assert up.ask("GET", "/health", headers=mine).json["version"]
        assert up.post("/event", {"success": 1}, {"authorization": f"bearer  {TOKEN}"}).status == 200
        assert len(up.landed()) == 1


def test_pages_of_elsewhere_reach_nothing_without_a_token(receiver: Receiver) -> None:
    """A browser on this machine would carry requests of any page to loopback."""
    assert receiver.post("/event", {}, {"origin": "https://example.org"}).status == 403
    assert receiver.post("/event", {}, {"host": "rebound.example.org"}).status == 403
    assert receiver.post("/event", {}, {"origin": f"http://localhost:{receiver.port}"}).status == 200
    assert receiver.post("/event", b"{}", {"content-type": "text/plain"}).status == 415
    assert len(receiver.landed()) == 1


def test_any_other_address_needs_a_token(home: Path, oplake: RunOplake) -> None:
    done = oplake(home, "serve", "--host", EVERYWHERE, "--port", "0")
    assert done.returncode == 1
    assert "set OPLAKE_TOKEN" in done.stderr
    with serving(home, "--host", EVERYWHERE, OPLAKE_TOKEN=TOKEN) as (_, up):
        assert up.ask("GET", "/stats").status == 401
        assert up.ask("GET", "/stats", headers={"authorization": f"Bearer {TOKEN}"}).status == 200


# -- What it says of itself --------------------------------------------------------------------------------------------


def test_stats_since_the_start_and_since_ever(settings: Settings) -> None:
    with receiving(settings, clock=lambda: NOON) as up:
        for number in range(12):
            up.post("/event", {"role": f"r{number}", "event_kind": "gala", "staffer_id": number, "success": number % 3})
        up.post("/events", [{**NOTE, "source": "helpdesk"}, 1])
        begun = {"kind": "action_begun", "agent_id": "a", "action_type": "t"}
        up.post("/events", [{**begun, "action_id": "one"}, {**begun, "action_id": "two"}])
        up.post("/events", [{"kind": "action_completed", "action_id": "one"}])
        up.post("/event", {"source": "overseer_correction", "endpoint": "overseer:m", "success": True})  # neither
        found = up.ask("GET", "/stats").json
        assert found["since_start"] == {
            "started_at": "2026-01-05T12:00:00Z",
            "total": 12,
            "successes": 8,
            "failures": 4,
            "by_source": {"scenario": 12, "helpdesk": 1, "agent": 3, "overseer_correction": 1},
            "by_kind": {"op": 13, "note": 1, "reject": 1, "action_begun": 2, "action_completed": 1},
            "rejects": 1,
            "open_actions": 1,
        }
        assert found["latest"][0] == {
            "time": "2026-01-05T12:00:00Z",
            "ok": True,
            "staffer": "11",
            "kind": "gala",
            "role": "r11",
        }
        assert [each["role"] for each in found["latest"]] == [f"r{number}" for number in range(11, 1, -1)]
        assert found["since_ever"]["total"] == 0
        ingest(settings, now=NOON + timedelta(hours=1))
        ever = up.ask("GET", "/stats").json["since_ever"]
        assert ever.pop("up_to") == "2026-01-05T13:00:00Z"
        assert ever == {key: value for key, value in found["since_start"].items() if key != "started_at"}
    with receiving(settings, clock=lambda: NOON) as up:
        up.post("/event", {"success": 1})
        ingest(settings, now=NOON + timedelta(hours=2))
        found = up.ask("GET", "/stats").json
        assert (found["since_start"]["total"], found["since_ever"]["total"]) == (1, 13)
        assert len(found["latest"]) == 10, "those of before the start are not forgotten, and none is there twice"
        assert sum(each["role"] is None for each in found["latest"]) == 1
        ingest(settings, now=NOON + timedelta(hours=7))
        assert up.ask("GET", "/stats").json["since_ever"]["open_actions"] == 0, "its time is over"


def test_health_says_which_event_waits_for_its_seal(settings: Settings) -> None:
    with receiving(settings, clock=lambda: NOON) as up:
        assert up.ask("GET", "/health").json["oldest_unsealed_at"] is None
        up.post("/event", {})
        found = up.ask("GET", "/health")
        assert (found.status, found.json["ok"], found.json["oldest_unsealed_at"]) == (200, True, "2026-01-05T12:00:00Z")
        assert found.json["disk_free_bytes"] > 0
    assert all(segment.is_sealed for segment in segments(settings.landing))


def test_metrics_are_what_prometheus_reads(receiver: Receiver) -> None:
    receiver.post("/event", {"success": 1})
    receiver.ask("GET", "/no/such/path")
    answer = receiver.ask("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.body.decode().splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert samples['oplake_events_total{kind="op"}'] == "1"
    assert samples['oplake_requests_total{method="any",path="other",status="404"}'] == "1"
    assert samples["oplake_acknowledgement_seconds_count"] == "1"
    assert float(samples["process_resident_memory_bytes"]) > 10**7
    described = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {
        name.partition("{")[0].removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in samples
    } == described


def test_what_there_is_not_is_told_as_json(receiver: Receiver) -> None:
    assert receiver.ask("GET", "/nope").json == {"error": "Not Found"}
    wrong = receiver.ask("GET", "/event")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")


# -- The command -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lands_what_is_under_way_and_seals(home: Path, number: signal.Signals) -> None:
    with serving(home) as (process, up):
        assert up.post("/event", {"success": 1}).status == 200
        with closing(http.client.HTTPConnection("127.0.0.1", up.port, timeout=30)) as under_way:
            under_way.putrequest("POST", "/event")
            under_way.putheader("content-type", "application/json")
            under_way.putheader("content-length", "2")
            under_way.endheaders(b"{")
            while up.ask("GET", "/metrics").body.decode().count("oplake_held_bytes 1\n") == 0:
                time.sleep(0.01)
            process.send_signal(number)
            time.sleep(0.3)
            under_way.send(b"}")
            assert under_way.getresponse().status == 200
        process.wait(30)
        assert len(up.landed("op")) == 2
        assert all(segment.is_sealed for segment in segments(home / "landing"))


def test_files_are_followed_beside_the_requests(home: Path, tmp_path: Path) -> None:
    followed = tmp_path / "overseer_corrections.jsonl"
    row = {"created_at": "2026-01-05T12:00:00Z", "task_class": "fill", "correction": "ask for the city first"}
    with serving(home, OPLAKE_TAIL=str(followed)) as (_, up):
        assert up.post("/event", {"success": 1}).status == 200
        followed.write_text(json.dumps(row) + "\n")
        while not up.landed("correction"):
            time.sleep(0.05)
    assert [each["correction"] for each in up.landed("correction")] == ["ask for the city first"]


def test_a_port_that_is_taken_is_told(home: Path, oplake: RunOplake) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = oplake(home, "serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "cannot listen on 127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr


def test_curl_is_a_client_too(receiver: Receiver) -> None:
    command = ["curl", "-sS", "--fail", "--json", '{"role": "cook", "success": true}', f"{receiver.url}/event"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("there is no curl")
    assert json.loads(done.stdout)["accepted"] is True
