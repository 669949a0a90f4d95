"""Bodies of OTLP/HTTP: from protobuf and JSON come the same events, and what is bad stops nothing else."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from tests.otlp_bodies import NANOS, NOW, PARENT, SPAN, TRACE, accepted, logs, pairs, record, span, told, traces

from oplake.events import LINE_BYTES, TELEMETRY_STRING_CHARS
from oplake.landing.accept import Accepted, accept_batch, accept_landed
from oplake.landing.errors import OtlpError, Unusable
from oplake.landing.otlp import Decoded, convention_of, decode_logs, decode_traces, encode_response, encode_status


def as_protobuf(body: bytes, message: Any) -> bytes:
    """The same request in protobuf: its own JSON mapping takes ids for base64, so that these are put in its terms."""

    def in_base64(value: Any) -> Any:
        if isinstance(value, list):
            return [in_base64(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in {"traceId", "spanId", "parentSpanId"}
            else in_base64(item)
            for key, item in value.items()
        }

    from google.protobuf import json_format

    made = json_format.ParseDict(in_base64(json.loads(body)), message())
    return bytes(made.SerializeToString())


def landed(decoded: Decoded) -> list[Accepted]:
    """The events as accept makes them; each stays what it is when it is read again."""
    lines = accepted(decoded)
    for line in lines:
        assert accept_landed(line.line).line == line.line
    return lines


WHOLE = span(
    parentSpanId=PARENT,
    traceState="a=b",
    flags=257,
    attributes=pairs(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.request.temperature": 0.5,
            "is_streamed": True,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}],
            "digest": b"\x00\xff",
            "nothing": None,
        }
    ),
    events=[{"timeUnixNano": str(NANOS), "name": "exception", "attributes": pairs({"exception.type": "Timeout"})}],
    links=[{"traceId": TRACE, "spanId": PARENT, "attributes": pairs({"why": "retry"})}],
    status={"code": 2, "message": "it broke"},
)


def test_a_span_lands_whole() -> None:
    decoded = decode_traces(traces(WHOLE), "json")
    assert decoded.bad == []
    (line,) = landed(decoded)
    event = json.loads(line.line)
    assert event.pop("event_id") == decoded.events[0]["event_id"]
    assert event == {
        "kind": "span",
        "ts": "2026-01-05T08:00:00.123456Z",
        "received_at": "2026-01-12T12:00:00Z",
        "source": "otlp",
        "trace_id": TRACE,
        "span_id": SPAN,
        "parent_span_id": PARENT,
        "name": "chat m",
        "span_kind": "client",
        "started_at": "2026-01-05T08:00:00.123456Z",
        "ended_at": "2026-01-05T08:00:02.123456Z",
        "status": "error",
        "status_message": "it broke",
        "attributes": {
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.request.temperature": 0.5,
            "is_streamed": True,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}],
            "digest": "AP8=",
            "nothing": None,
        },
        "events": [
            {
                "name": "exception",
                "time": "2026-01-05T08:00:00.123456+00:00",
                "attributes": {"exception.type": "Timeout"},
            }
        ],
        "resource": {"service.name": "shop"},
        "scope": "the.scope",
        "convention": "gen_ai",
        "extra": {
            "scope_version": "1.2",
            "links": [{"trace_id": TRACE, "span_id": PARENT, "attributes": {"why": "retry"}}],
            "trace_state": "a=b",
            "flags": 257,
        },
    }


LOG = record(
    observedTimeUnixNano=NANOS + 5_000,
    traceId=TRACE,
    spanId=SPAN,
    eventName="gen_ai.evaluation.result",
    severityText="INFO",
    body=told({"role": "user", "content": "hello"}),
    attributes=pairs({"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.75}),
)


def test_a_log_record_lands_whole() -> None:
    (line,) = landed(decode_logs(logs(LOG), "json"))
    event = json.loads(line.line)
    del event["event_id"]
    assert event == {
        "kind": "log",
        "ts": "2026-01-05T08:00:00.123456Z",
        "received_at": "2026-01-12T12:00:00Z",
        "source": "otlp",
        "trace_id": TRACE,
        "span_id": SPAN,
        "name": "gen_ai.evaluation.result",
        "severity": "info",
        "body": {"role": "user", "content": "hello"},
        "attributes": {"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.75},
        "convention": "gen_ai",
        "extra": {
            "time_unix_nano": str(NANOS),
            "observed_at": "2026-01-05T08:00:00.123461+00:00",
            "severity_text": "INFO",
        },
    }


def test_protobuf_says_the_same_as_json() -> None:
    body = traces(WHOLE, span(spanId=PARENT))
    assert decode_traces(as_protobuf(body, ExportTraceServiceRequest), "protobuf") == decode_traces(body, "json")
    body = logs(LOG, record(body=told("claude_code.api_request"), attributes=pairs({"event.name": "api_request"})))
    assert decode_logs(as_protobuf(body, ExportLogsServiceRequest), "protobuf") == decode_logs(body, "json")


def test_json_is_taken_as_senders_write_it() -> None:
    """Unknown fields, names of enums, numbers for int64, upper-case hex and nulls are all about."""
    usual = decode_traces(traces(WHOLE), "json")
    odd = WHOLE | {
        "traceId": TRACE.upper(),
        "kind": "SPAN_KIND_CLIENT",
        "status": {"code": "STATUS_CODE_ERROR", "message": "it broke", "novel": []},
        "startTimeUnixNano": NANOS,
        "droppedEventsCount": None,
        "novel": {"a": [1]},
    }
    assert decode_traces(traces(odd), "json") == usual


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )
)
def test_any_value_comes_through_both_ways(value: Any) -> None:
    body = traces(span(attributes=pairs({"a": value})))
    for decoded in (
        decode_traces(body, "json"),
        decode_traces(as_protobuf(body, ExportTraceServiceRequest), "protobuf"),
    ):
        assert decoded.events[0]["attributes"] == {"a": value}


def test_numbers_that_json_does_not_have_become_texts() -> None:
    odd = [{"key": "a", "value": {"doubleValue": "NaN"}}, {"key": "b", "value": {"doubleValue": float("inf")}}]
    request = ExportTraceServiceRequest()
    request.ParseFromString(as_protobuf(traces(span()), ExportTraceServiceRequest))
    one = request.resource_spans[0].scope_spans[0].spans[0]
    for pair in odd:
        one.attributes.add(key=pair["key"]).value.double_value = float(pair["value"]["doubleValue"])
    assert decode_traces(request.SerializeToString(), "protobuf").events[0]["attributes"] == {"a": "nan", "b": "inf"}
    assert decode_traces(traces(span(attributes=odd[:1])), "json").events[0]["attributes"] == {"a": "nan"}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (span(traceId=""), "trace id"),
        (span(spanId="0" * 16), "span id"),
        (span(traceId="W47/95gDgQPSabYzgT/GDA=="), "in hex"),
        (span(parentSpanId="abc"), "parent span id"),
        (span(startTimeUnixNano=0, endTimeUnixNano="0"), "no time"),
        (span(startTimeUnixNano="soon"), "soon"),
        (span(startTimeUnixNano=10**30), ""),
        (span(name=7), "name"),
        (span(attributes={"a": 1}), "attributes"),
    ],
)
def test_a_bad_span_is_counted_and_kept_and_stops_no_other(item: dict[str, Any], reason: str) -> None:
    decoded = decode_traces(traces(span(), item, span(spanId=PARENT)), "json")
    assert [event["span_id"] for event in decoded.events] == [SPAN, PARENT]
    assert len(decoded.bad) == 1
    assert reason in decoded.bad[0]
    assert [json.loads(kept) for kept in decoded.bad_items] == [item]


def test_a_bad_span_in_protobuf_keeps_its_bytes() -> None:
    request = ExportTraceServiceRequest()
    bad = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"short", name="n")
    decoded = decode_traces(request.SerializeToString(), "protobuf")
    assert (decoded.events, decoded.bad_items) == ([], [bad.SerializeToString()])


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"", "json"),
        (b"{", "json"),
        (b"[]", "json"),
        (b'{"resourceSpans": 1}', "json"),
        (b'{"resourceSpans": [{"resource": ' + b'{"a":' * 100_000, "json"),
        (b"\xff\xff\xff", "protobuf"),
        (traces(span()), "protobuf"),
    ],
)
def test_what_cannot_be_decoded_is_an_error(body: bytes, encoding: Any) -> None:
    with pytest.raises(OtlpError, match="not OTLP"):
        decode_traces(body, encoding)


def test_a_value_nested_beyond_reason_spoils_its_span_only() -> None:
    """Beyond 64 levels accept refuses it; beyond a thousand nobody can tell where it ends."""
    deep = b'{"arrayValue":{"values":[' * 70 + b"{}" + b"]}}" * 70
    body = traces(span(), span(spanId=PARENT, attributes=[{"key": "a", "value": "DEEP"}])).replace(b'"DEEP"', deep)
    raws = [msgspec.json.encode(event) for event in decode_traces(body, "json").events]
    plain, nested = accept_batch(raws, received_at=NOW)
    assert isinstance(plain, Accepted)
    assert isinstance(nested, Unusable)


def test_an_empty_request_is_no_error() -> None:
    assert decode_traces(b"", "protobuf") == decode_traces(b"{}", "json") == Decoded([], [], [])
    assert decode_logs(b"", "protobuf") == decode_logs(b'{"resourceLogs": null}', "json") == Decoded([], [], [])


# -- Identity ----------------------------------------------------------------------------------------------------------


def test_a_span_that_is_delivered_again_is_the_same_event() -> None:
    """The identity is trace id and span id, on the day of the start: however the second delivery is written."""
    body = traces(WHOLE)
    first, again = (
        landed(decode_traces(body, "json"))[0],
        landed(decode_traces(as_protobuf(body, ExportTraceServiceRequest), "protobuf"))[0],
    )
    assert first.line == again.line
    other_trace = decode_traces(traces(span(traceId="a" * 32)), "json").events[0]
    other_span = decode_traces(traces(span(spanId="a" * 16)), "json").events[0]
    assert len({first.event.event_id, other_trace["event_id"], other_span["event_id"]}) == 3


def test_the_identity_of_a_span_never_changes() -> None:
    """Another one would land all spans anew when files are imported again."""
    assert decode_traces(traces(WHOLE), "json").events[0]["event_id"] == "37d67173-3cce-553a-a54b-b1adbec9e214"


def test_log_records_are_known_by_what_they_say() -> None:
    """Equal ones of a request are several; the request sent again has the same."""
    body = logs(record(), record(), record(timeUnixNano=str(NANOS + 1)))
    ids = [event["event_id"] for event in decode_logs(body, "json").events]
    assert len(set(ids)) == 3
    assert [event["event_id"] for event in decode_logs(body, "json").events] == ids


# -- Size --------------------------------------------------------------------------------------------------------------


def messages(count: int, chars: int) -> list[dict[str, Any]]:
    return [
        {
            "role": "user" if index % 2 == 0 else "assistant",
            "parts": [{"type": "text", "content": f"{index} " + "é" * chars}],
        }
        for index in range(count)
    ]


def test_messages_can_be_read_however_long_they_are() -> None:
    """A text of JSON that is cut at its end is no JSON any more, and its last message is what the turn is about."""
    said = messages(40, 12_000)
    attributes = {
        "gen_ai.input.messages": json.dumps(said),
        "gen_ai.usage.input_tokens": 480_000,
        "prose": "x" * 20_000,
    }
    (line,) = landed(decode_traces(traces(span(attributes=pairs(attributes))), "json"))
    kept = json.loads(line.line)["attributes"]
    assert kept["gen_ai.usage.input_tokens"] == 480_000
    last = kept["gen_ai.input.messages"][-1]
    assert last["role"] == "assistant"
    assert last["parts"][0]["content"].startswith("39 é")
    assert len(kept["prose"]) <= TELEMETRY_STRING_CHARS + 3


@pytest.mark.parametrize("make", [json.dumps, lambda said: said], ids=["as text", "as structure"])
def test_a_span_of_any_size_fits_into_a_line(make: Any) -> None:
    said = messages(500, 9_000)
    attributes = {"gen_ai.input.messages": make(said), "gen_ai.usage.output_tokens": 7} | {
        f"llm.input_messages.{index}.message.content": "\x01" * 9_000 for index in range(200)
    }
    body = traces(span(attributes=pairs(attributes)))
    (line,) = landed(decode_traces(body, "json"))
    assert len(line.line) < LINE_BYTES
    kept = json.loads(line.line)["attributes"]
    assert kept["gen_ai.usage.output_tokens"] == 7
    assert len(kept["gen_ai.input.messages"]) == 500
    assert len(kept) == 202
    assert landed(decode_traces(body, "json"))[0].line == line.line


def test_the_usual_span_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attributes with messages as text are what SDKs send; the long way costs four times as much."""
    monkeypatch.setattr("oplake.landing.accept.shape", None)
    attributes = {"gen_ai.input.messages": json.dumps(messages(3, 2_000), ensure_ascii=False), "a": [1, 2], "b": 0.5}
    assert len(landed_plainly(traces(span(attributes=pairs(attributes)), WHOLE | {"spanId": PARENT, "flags": 1}))) == 1


def landed_plainly(body: bytes) -> list[Accepted]:
    events = [event for event in decode_traces(body, "json").events if "parent_span_id" not in event]
    outcomes = accept_batch([msgspec.json.encode(event) for event in events], received_at=NOW)
    return [outcome for outcome in outcomes if isinstance(outcome, Accepted)]


def test_counts_of_tokens_are_no_secrets() -> None:
    counted = {
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "llm.token_count.prompt": 12,
        "llm.token_count.completion_details.reasoning": 4,
        "gen_ai.usage.prompt_tokens": 5,
        "session.id": "abc",
    }
    secret = {"authorization": "Bearer abcdefghijklmnop0123456789"}
    (line,) = landed(decode_traces(traces(span(attributes=pairs(counted | secret))), "json"))
    kept = json.loads(line.line)["attributes"]
    assert {name: kept[name] for name in counted} == counted
    assert "abcdefghijklmnop" not in kept["authorization"]


# -- Conventions and answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "convention"),
    [
        (["http.method"], ""),
        (["gen_ai.operation.name", "gen_ai.system"], "gen_ai"),
        (["gen_ai.usage.prompt_tokens", "gen_ai.system"], "openllmetry"),
        (["gen_ai.prompt.0.content"], "openllmetry"),
        (["llm.model_name", "openinference.span.kind"], "openinference"),
        (["gen_ai.operation.name", "traceloop.span.kind"], "openllmetry"),
        (["openinference.span.kind", "langfuse.observation.type", "gen_ai.system"], "langfuse"),
    ],
)
def test_the_convention_is_found_by_its_names(names: list[str], convention: str) -> None:
    assert convention_of(names) == convention
    assert convention_of(reversed(names)) == convention


def test_answers_say_what_was_not_taken() -> None:
    assert encode_response("traces", 0, "", "protobuf") == b""
    assert encode_response("logs", 0, "", "json") == b"{}"
    traced = ExportTraceServiceResponse.FromString(encode_response("traces", 3, "no id", "protobuf"))
    assert (traced.partial_success.rejected_spans, traced.partial_success.error_message) == (3, "no id")
    logged = ExportLogsServiceResponse.FromString(encode_response("logs", 2, "no time", "protobuf"))
    assert (logged.partial_success.rejected_log_records, logged.partial_success.error_message) == (2, "no time")
    assert json.loads(encode_response("traces", 3, "no id", "json")) == {
        "partialSuccess": {"rejectedSpans": "3", "errorMessage": "no id"}
    }
    assert json.loads(encode_response("logs", 2, "", "json")) == {"partialSuccess": {"rejectedLogRecords": "2"}}


@pytest.mark.parametrize("message", ["", "é", "x" * 127, "x" * 128, "x" * 20_000])
def test_a_status_is_googles(message: str) -> None:
    assert Status.FromString(encode_status(message, "protobuf")) == Status(message=message)
    assert json.loads(encode_status(message, "json")) == {"message": message}
