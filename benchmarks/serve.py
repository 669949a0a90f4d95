"""What it costs to take events in over HTTP, beside landing them in the process; and what a crowd of clients gets."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.landing import _disk, _step
from benchmarks.rows import Row
from oplake.landing.accept import accept_batch
from oplake.landing.errors import Unusable
from oplake.landing.otlp import decode_traces
from oplake.landing.segments import segments
from oplake.landing.writer import SegmentWriter

BATCH = 100  # events of a request
BATCHES = 200  # requests of a round
ROUNDS = 7
SPANS = 100  # of a request
CLIENTS = 200  # at once
CLIENT_SECONDS = 30
WARM_SECONDS = 5
FLAT = 1.1  # memory at the end beside that when all is warm; a leak of one event in a hundred would show
CLIENT_EVENTS = 5  # of a request of theirs: many small ones are what a crowd of agents sends
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def run() -> list[Row]:
    """The receiver is a process of its own, whose CPU is read from outside; the client's is nobody's."""
    return [*_against_landing(), *_against_decoding(), *_crowd()]


def _against_landing() -> list[Row]:
    dice = random.Random(5)
    batches = [[_step(dice) for _ in range(BATCH)] for _ in range(BATCHES)]
    bodies = [b"\n".join(batch) for batch in batches]
    ratios, own = [], []
    with _serving() as (port, process, folder):
        for _ in range(ROUNDS):
            landing = _cpu_of_landing(folder, batches)
            before = _cpu(process.pid)
            _post(port, "/events", "application/x-ndjson", bodies)
            ratios.append((_cpu(process.pid) - before) / landing)
            own.append(landing / BATCHES / BATCH * 1e6)
    return [
        Row(
            f"CPU of receiving steps in batches of {BATCH} over HTTP",
            f"landing them in the process ({statistics.median(own):.1f} µs an event)",
            statistics.median(ratios),
            3,
            at_most=True,
        )
    ]


def _cpu_of_landing(folder: Path, batches: Sequence[Sequence[bytes]]) -> float:
    before = time.process_time()
    with closing(SegmentWriter(folder / "beside")) as writer:
        for batch in batches:
            outcomes = accept_batch(batch, received_at=NOW)
            writer.append([outcome.line for outcome in outcomes if not isinstance(outcome, Unusable)])
    return time.process_time() - before


def _against_decoding() -> list[Row]:
    bodies = [_trace(number) for number in range(BATCHES // 2)]
    ratios, rates = [], []
    with _serving() as (port, process, _):
        for _ in range(ROUNDS):
            before = time.process_time()
            for body in bodies:
                decode_traces(body, "protobuf")
            alone = time.process_time() - before
            before = _cpu(process.pid)
            _post(port, "/v1/traces", "application/x-protobuf", bodies)
            received = _cpu(process.pid) - before
            ratios.append(alone / received)
            rates.append(len(bodies) * SPANS / received)
    return [
        Row(
            f"spans received a CPU-second, OTLP protobuf of {SPANS} each ({statistics.median(rates):,.0f})",
            "decoding and flattening them alone",
            statistics.median(ratios),
            0.4,
            at_most=False,
        )
    ]


def _trace(number: int) -> bytes:
    """A request of spans as instrumented agents send them, with their messages."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    messages = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "what? " * 30}]}])
    request = ExportTraceServiceRequest()
    sent = request.resource_spans.add()
    sent.resource.attributes.add(key="service.name").value.string_value = "agent"
    scope = sent.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.openai"
    for index in range(SPANS):
        span = scope.spans.add()
        span.trace_id, span.span_id = (number + 1).to_bytes(16, "big"), (index + 1).to_bytes(8, "big")
        span.name, span.kind = "chat gpt-4o", 3
        span.start_time_unix_nano = 1767614400 * 10**9 + index
        span.end_time_unix_nano = span.start_time_unix_nano + 10**9
        texts = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.conversation.id": f"c-{number}",
            "gen_ai.input.messages": messages,
        }
        for key, text in texts.items():
            span.attributes.add(key=key).value.string_value = text
        for key in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"):
            span.attributes.add(key=key).value.int_value = index
    return bytes(request.SerializeToString())


def _crowd() -> list[Row]:
    """Clients that send as fast as they are answered; what was acknowledged is looked for in the segments then."""
    with _serving() as (port, process, folder):
        asyncio.run(_clients(port, range(CLIENTS), WARM_SECONDS))  # what a process only does once
        before = _memory(process.pid)
        seconds, told, failures = asyncio.run(_clients(port, range(CLIENTS, 2 * CLIENTS), CLIENT_SECONDS))
        after = _memory(process.pid)
        found = {
            line[line.index(b'"event_id":"') + 12 :].partition(b'"')[0].decode()
            for segment in segments(folder / "home" / "landing")
            for line in segment.path.read_bytes().splitlines()
        }
    lost = sum(event_id not in found for batch in told for event_id in _ids(*batch))
    seconds.sort()
    p50, p99 = (seconds[int(len(seconds) * share)] * 1000 for share in (0.5, 0.99))
    rate = len(seconds) * CLIENT_EVENTS / CLIENT_SECONDS
    crowd = f"{CLIENTS} clients for {CLIENT_SECONDS} s"
    sent = len(seconds) * CLIENT_EVENTS
    warm = f"after {WARM_SECONDS} s of them ({before / 2**20:.0f} MiB)"
    return [
        Row(f"events acknowledged to {crowd} and not found, of {sent:,}", "–", lost, 0, at_most=True),
        Row(f"requests of {crowd} that failed", "–", failures, 0, at_most=True),
        Row(f"acknowledgement to {crowd}, p50 in ms, at {rate:,.0f} events a second", "–", p50, None, at_most=True),
        Row(f"acknowledgement to {crowd}, p99 in ms", "–", p99, None, at_most=True),
        Row(f"memory of the receiver after {crowd}", warm, after / before, FLAT, at_most=True),
    ]


async def _clients(port: int, numbers: range, seconds: float) -> tuple[list[float], list[tuple[int, int]], int]:
    taken: list[float] = []
    told: list[tuple[int, int]] = []
    failures = 0
    until = time.perf_counter() + seconds

    async def client(number: int) -> None:
        nonlocal failures
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in range(10**9):
            if time.perf_counter() >= until:
                break
            body = b"\n".join(
                b'{"kind":"note","event_id":"%s","ts":"2026-01-05T12:00:00Z","user_id":"u","note":"%s"}'
                % (event_id.encode(), b"x" * 200)
                for event_id in _ids(number, request)
            )
            began = time.perf_counter()
            writer.write(
                b"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length
            answer = await reader.readexactly(int(length[1]))
            if b'"accepted":%d,' % CLIENT_EVENTS in answer:
                taken.append(time.perf_counter() - began)
                told.append((number, request))
            else:
                failures += 1
        writer.close()

    await asyncio.gather(*(client(number) for number in numbers))
    return taken, told, failures


def _ids(client: int, request: int) -> list[str]:
    return [f"{client}-{request}-{part}" for part in range(CLIENT_EVENTS)]


@contextmanager
def _serving() -> Iterator[tuple[int, subprocess.Popen[str], Path]]:
    """A receiver in a process of its own: its port, its process, and the folder that its home is in."""
    with TemporaryDirectory(dir=_disk()) as name:
        folder = Path(name)
        env = {**os.environ, "OPLAKE_HOME": str(folder / "home")}
        command = [sys.executable, "-m", "oplake", "serve", "--port", "0"]
        process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            said = re.search(r":(\d+)\s*$", process.stderr.readline())
            assert said
            yield int(said[1]), process, folder
        finally:
            process.terminate()
            process.wait()
            process.stderr.close()


def _post(port: int, path: str, media: str, bodies: Sequence[bytes]) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        for body in bodies:
            connection.request("POST", path, body, {"content-type": media})
            response = connection.getresponse()
            response.read()
            assert response.status == 200, response.status


def _cpu(pid: int) -> float:
    """CPU-seconds of a process so far, those of the system for it included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    """Bytes of a process in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
