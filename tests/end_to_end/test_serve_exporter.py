"""The real OTLP exporter of OpenTelemetry's SDK sends to the receiver, and understands what it answers."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr
from tests.end_to_end.test_serve import BrokenDisk
from tests.receiving import Receiver, receiving

from oplake.receiver import app, door
from oplake.settings import Settings

TOKEN = "a-long-random-text"


def _export(up: Receiver, count: int, **options: Any) -> bool:
    """Sends so many spans, each a child of the one before; whether the exporter says that it could."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("invoke_agent a", attributes={"gen_ai.operation.name": "invoke_agent"}):
        for number in range(count - 1):
            with tracer.start_as_current_span("chat m") as span:
                span.set_attribute("gen_ai.usage.input_tokens", number)
                span.set_attribute("gen_ai.response.finish_reasons", ["stop"])
    sending = OTLPSpanExporter(endpoint=f"{up.url}/v1/traces", **options)
    done = sending.export(memory.get_finished_spans())
    sending.shutdown()
    provider.shutdown()
    return bool(done is SpanExportResult.SUCCESS)


def test_spans_of_the_sdk_land_packed_or_not(settings: Settings) -> None:
    with receiving(settings) as up:
        assert _export(up, 5)
        assert _export(up, 3, compression=Compression.Gzip)
        spans = up.landed("span")
    assert len(spans) == len({(span["trace_id"], span["span_id"]) for span in spans}) == 8
    assert sorted(span["attributes"].get("gen_ai.usage.input_tokens", -1) for span in spans[:5]) == [-1, 0, 1, 2, 3]


def test_the_exporter_sends_a_token(tmp_path: Path) -> None:
    with receiving(Settings(home=tmp_path, token=SecretStr(TOKEN))) as up:
        assert _export(up, 2, headers={"authorization": f"Bearer {TOKEN}"})
        assert not _export(up, 2)
        assert len(up.landed("span")) == 2


def test_the_exporter_tries_again_when_the_disk_was_full(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives up on a 507, as on every status that OTLP does not name."""
    monkeypatch.setattr(app, "RETRY_SECONDS", 1)
    monkeypatch.setattr(door, "RETRY_SECONDS", 1)
    disk = BrokenDisk()
    disk.error = errno.ENOSPC
    with receiving(settings, disk=disk) as up:
        threading.Timer(0.5, lambda: setattr(disk, "error", None)).start()
        assert _export(up, 3)
        assert len(up.landed("span")) == 3
