"""Real instrumentations, exporters and clients, against a stub of a model server: what they send becomes turns."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.receiving import receiving
from tests.sql.tiny_lake import PROJECT_MODELS, DeltaLake

from oplake.lake.ingest import ingest
from oplake.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the libraries under test, which date faster than us
]

CALL = {"id": "call_1", "type": "function", "function": {"name": "price", "arguments": '{"item": 7}'}}
ANSWERS = [
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "assistant", "content": "It costs 12 euros."},
]
USAGE = {
    "prompt_tokens": 50,
    "completion_tokens": 9,
    "total_tokens": 59,
    "prompt_tokens_details": {"cached_tokens": 32},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
QUESTION = {"role": "user", "content": "What does item 7 cost?"}
TOOLS = [{"type": "function", "function": {"name": "price", "parameters": {"type": "object", "properties": {}}}}]


@pytest.fixture
def door(settings: Settings) -> Iterator[str]:
    """The receiver, up; what it acknowledged has landed."""
    with receiving(settings) as up:
        yield up.url


class ModelServer(BaseHTTPRequestHandler):
    """A stub of a server of models, which asks for a tool first and answers then."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        message = ANSWERS[min(sum(said["role"] == "tool" for said in asked["messages"]), 1)]
        reason = "stop" if message["content"] else "tool_calls"
        choices = [{"index": 0, "message": message, "finish_reason": reason}]
        answered = {"id": "c1", "object": "chat.completion", "created": 1, "model": "stub-1", "choices": choices}
        content = json.dumps(answered | {"usage": USAGE}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def model_server() -> Iterator[str]:
    """The address of a model server, on a free port of loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), ModelServer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def converse(model_server: str, tracer: Any) -> None:
    """An agent asks a model, calls a tool as it says, and asks again."""
    import openai

    with openai.OpenAI(api_key="none", base_url=f"{model_server}/v1", max_retries=0) as client:
        about = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk", "gen_ai.conversation.id": "s1"}
        with tracer.start_as_current_span("invoke_agent clerk", attributes=about):
            messages: list[Any] = [QUESTION]
            for _ in range(2):
                done = client.chat.completions.create(model="stub", messages=messages, tools=TOOLS)  # type: ignore[call-overload]
                for call in done.choices[0].message.tool_calls or []:
                    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": call.function.name}
                    said = {"gen_ai.tool.call.id": call.id, "gen_ai.tool.call.arguments": call.function.arguments}
                    with tracer.start_as_current_span("execute_tool", attributes=tool | said):
                        answer = {"role": "tool", "tool_call_id": call.id, "content": "12"}
                    messages += [done.choices[0].message.model_dump(exclude_none=True), answer]


@contextmanager
def tracing(door: str, **options: Any) -> Iterator[Any]:
    """A tracer provider of the SDK that exports over OTLP/HTTP; all is sent in the end."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{door}/v1/traces", **options)))
    try:
        yield provider
        assert provider.force_flush()
    finally:
        provider.shutdown()


def openinference(provider: Any) -> Any:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    return instrumentor


def openllmetry(provider: Any) -> Any:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    return instrumentor


@pytest.fixture
def lake_of(settings: Settings) -> Callable[[], DeltaLake]:
    """Takes in what has landed, and makes the tables of spans and actions for the days around now."""

    def make() -> DeltaLake:
        now = datetime.now(UTC)
        ingest(settings, now=now)
        delta = DeltaLake(settings.model_copy(update={"duckdb_threads": 1}), PROJECT_MODELS)
        names = [model.name for model in PROJECT_MODELS if model.name.startswith("otel.")]
        around = (now - timedelta(hours=1)).date(), now.date()
        delta.build(*names, "attribution.actions", start=around[0], stop=around[1], watermark=now)
        return delta

    return make


@pytest.mark.parametrize(
    ("instrument", "convention"),
    [(openinference, "openinference"), (openllmetry, "gen_ai")],
    ids=["openinference", "openllmetry"],
)
def test_an_instrumented_client_gives_turns_tools_and_an_action(
    door: str,
    model_server: str,
    lake_of: Callable[[], DeltaLake],
    instrument: Callable[[Any], Any],
    convention: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with tracing(door) as provider:
        instrumentor = instrument(provider)
        try:
            converse(model_server, provider.get_tracer("shop"))
        finally:
            instrumentor.uninstrument()
    delta = lake_of()
    turns = delta.ask("FROM otel.turns ORDER BY turn_index")
    assert len(turns) == 2
    for turn in turns:
        assert (turn["input_tokens"], turn["output_tokens"]) == (50, 9)
        assert (turn["cache_read_tokens"], turn["reasoning_tokens"]) == (32, 4)
        assert (turn["provider"], turn["model"], turn["agent_id"], turn["session_id"]) == (
            "openai",
            "stub-1",
            "clerk",
            "s1",
        )
        assert turn["user_message"] == QUESTION["content"]
        assert turn["duration_ms"] > 0
    assert [turn["requested_tools"] for turn in turns] == [["price"], []]
    assert [turn["response"] for turn in turns] == [None, ANSWERS[1]["content"]]
    assert {turn["convention"] for turn in turns} == {convention}
    (call,) = delta.ask("SELECT tool_name, tool_call_id, args, ok, turn_index FROM otel.tool_calls")
    assert call == {
        "tool_name": "price",
        "tool_call_id": "call_1",
        "args": CALL["function"]["arguments"],
        "ok": True,
        "turn_index": 0,
    }
    (action,) = delta.ask("SELECT action_type, status, step_count FROM attribution.actions")
    assert action == {"action_type": "clerk", "status": "completed", "step_count": 3}


def test_the_sdk_s_own_spans_and_logs_land_gzipped(door: str, lake_of: Callable[[], DeltaLake]) -> None:
    """An exception within an agent, and an evaluation that is reported as an event of the logs signal."""
    from opentelemetry._logs import LogRecord
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.trace import set_span_in_context

    logging = LoggerProvider()
    logging.add_log_record_processor(
        BatchLogRecordProcessor(OTLPLogExporter(endpoint=f"{door}/v1/logs", compression=Compression.Gzip))
    )
    with tracing(door, compression=Compression.Gzip) as provider:
        tracer = provider.get_tracer("shop", "1.0")
        about = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk"}

        def work() -> None:
            with tracer.start_as_current_span("invoke_agent clerk", attributes=about) as span:
                evaluation = LogRecord(
                    timestamp=int(datetime.now(UTC).timestamp() * 1e9),
                    event_name="gen_ai.evaluation.result",
                    context=set_span_in_context(span),
                    attributes={"gen_ai.evaluation.name": "politeness", "gen_ai.evaluation.score.value": 0.5},
                )
                logging.get_logger("judge").emit(evaluation)
                raise TimeoutError("the depot did not answer")

        with pytest.raises(TimeoutError):
            work()
    assert logging.force_flush()
    logging.shutdown()
    delta = lake_of()
    (action,) = delta.ask("SELECT outcome FROM otel.actions")
    assert json.loads(action["outcome"]) == {
        "status": "error",
        "error": "TimeoutError: the depot did not answer",
        "error_type": "TimeoutError",
    }
    (observation,) = delta.ask("SELECT data, reported_by FROM otel.observations")
    assert json.loads(observation["data"]) == {"name": "politeness", "score": 0.5}
    assert observation["reported_by"] == "judge"
    assert len(delta.ask("FROM landed.logs")) == len(delta.ask("FROM landed.spans")) == 1


def test_what_the_exporter_sends_again_is_one_span(door: str, lake_of: Callable[[], DeltaLake]) -> None:
    """An exporter that got no answer sends the same request once more."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    with provider.get_tracer("shop").start_as_current_span("chat", attributes={"gen_ai.usage.input_tokens": 3}):
        pass
    exporter = OTLPSpanExporter(endpoint=f"{door}/v1/traces")
    exporter.export(memory.get_finished_spans())
    exporter.export(memory.get_finished_spans())
    exporter.shutdown()
    provider.shutdown()
    delta = lake_of()
    assert len(delta.ask("FROM landed.spans")) == 1
    assert delta.ask("FROM landed.rejects") == []
