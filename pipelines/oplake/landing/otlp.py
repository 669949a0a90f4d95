"""OpenTelemetry -> events: bodies of OTLP/HTTP, as protobuf or JSON, become events of the kinds `span` and `log`.

What a span means is SQL (`sql/otel`); here it is only read and laid out in the contract, so that a better mapping
applies to history. JSON is decoded by structs that have the names of the protobuf messages, so that one way leads from
both to events: protobuf's own JSON mapping would take the ids for base64 and refuse fields that it does not know.

**Identity.** A span is known by trace id and span id, a log record, which has no id, by all that it says and by its
number among the equal ones of its body. Delivered again, both are the same event.

**Time.** `ts` of a span is its start. A child never starts before its parent, so that whoever looks for what a span
brought about looks at its own day and the next; by their ends, which come later the higher a span stands, a long trace
would be spread the other way round. That a span arrives only after its end makes no difference to its day.

**Size.** A span must fit into one line, however much was said in it: texts are cut, from the longest down, rather than
a span lost with its token counts. JSON that stands in a text (messages, arguments) is cut inside: it can still be read.

Nothing here reads a clock or touches a disk.
"""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Literal, TypeAlias
from uuid import UUID, uuid5

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from oplake.events import LINE_BYTES, TELEMETRY_STRING_CHARS, encoder
from oplake.landing.errors import OtlpError
from oplake.landing.shape import json_or_text

SOURCE = "otlp"
FITTING_BYTES = LINE_BYTES * 3 // 4  # of an event; the rest is for its resource, stamps and replaced secrets
CERTAIN_BYTES = FITTING_BYTES // 6  # an item of this size fits: JSON makes at most six bytes of one
SHORTER_CHARS = (2_000, 500, 100, 20)  # texts of an event that does not fit are cut to these, in turn, until it does
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_NAMESPACE = UUID("0d4f4a0e-6c0e-5b0b-9d7b-5d1d0c3a8e21")  # of spans and log records; never to be changed
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ELLIPSIS = "..."

Encoding: TypeAlias = Literal["protobuf", "json"]
Signal: TypeAlias = Literal["traces", "logs"]


@dataclass(frozen=True)
class Decoded:
    """What a body says."""

    events: list[dict[str, Any]]  # in the contract, without their stamps: what `accept` takes
    bad: list[str]  # why an item cannot be an event, for each that cannot
    bad_items: list[bytes]  # these items as they came: JSON, or protobuf


def decode_traces(body: bytes, encoding: Encoding) -> Decoded:
    """The spans of an ExportTraceServiceRequest as events of kind `span`.

    Raises:
        OtlpError: The body is none.
    """
    request: Any = _decode(body, ExportTraceServiceRequest if encoding == "protobuf" else _traces_decoder)
    decoded = Decoded([], [], [])
    for sent in request.resource_spans or ():
        resource = _attributes(sent.resource and sent.resource.attributes)
        for scoped in sent.scope_spans or ():
            scope, extra = _scope(scoped, sent)
            for item in scoped.spans or ():
                _take(item, _span, resource, scope, extra, decoded)
    return decoded


def decode_logs(body: bytes, encoding: Encoding) -> Decoded:
    """The records of an ExportLogsServiceRequest as events of kind `log`.

    Raises:
        OtlpError: The body is none.
    """
    request: Any = _decode(body, ExportLogsServiceRequest if encoding == "protobuf" else _logs_decoder)
    decoded = Decoded([], [], [])
    for sent in request.resource_logs or ():
        resource = _attributes(sent.resource and sent.resource.attributes)
        for scoped in sent.scope_logs or ():
            scope, extra = _scope(scoped, sent)
            for item in scoped.log_records or ():
                _take(item, _log, resource, scope, extra, decoded)
    equal: Counter[bytes] = Counter()
    for event in decoded.events:
        said = blake2b(encoder.encode([event.get(name) for name in _SAID]), digest_size=16).digest()
        event["event_id"] = str(uuid5(_NAMESPACE, f"log/{said.hex()}/{equal[said]}"))
        equal[said] += 1
    return decoded


_SAID = ("ts", "trace_id", "span_id", "name", "severity", "body", "attributes", "resource", "scope", "extra")
"""What a log record is known by; the convention is only our view of it."""


def encode_response(signal: Signal, rejected: int, message: str, encoding: Encoding) -> bytes:
    """The body of an answer of 200; `rejected` items were not taken, for the reason that `message` gives."""
    noun = "spans" if signal == "traces" else "log_records"
    if encoding == "json":
        partial: dict[str, Any] = {}
        if rejected:
            partial["rejectedSpans" if signal == "traces" else "rejectedLogRecords"] = str(rejected)
        if message:
            partial["errorMessage"] = message
        return msgspec.json.encode({"partialSuccess": partial} if partial else {})
    response = ExportTraceServiceResponse() if signal == "traces" else ExportLogsServiceResponse()
    if rejected or message:
        setattr(response.partial_success, f"rejected_{noun}", rejected)
        response.partial_success.error_message = message
    return bytes(response.SerializeToString())


def encode_status(message: str, encoding: Encoding) -> bytes:
    """The body of an answer of 400 or more: a google.rpc.Status that says what was wrong, its code left open."""
    if encoding == "json":
        return msgspec.json.encode({"message": message})
    text = message.encode()
    length, size = bytearray(), len(text)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([2 << 3 | 2, *length, size]) + text if text else b""  # field 2, by its length


# -- Bodies ------------------------------------------------------------------------------------------------------------


class _Message(msgspec.Struct, rename="camel"):
    """A message of OTLP's JSON. Fields that are not here are ignored, null is as good as absent."""


class _AnyValue(_Message):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    array_value: _Values | None = None
    kvlist_value: _KeyValues | None = None
    bytes_value: str | None = None

    def WhichOneof(self, _: str) -> str | None:  # as protobuf calls it
        return next((name for name in self.__struct_fields__ if getattr(self, name) is not None), None)


class _Values(_Message):
    values: list[_AnyValue] | None = None


class _KeyValue(_Message):
    key: str = ""
    value: _AnyValue | None = None


class _KeyValues(_Message):
    values: list[_KeyValue] | None = None


class _Resource(_Message):
    attributes: list[_KeyValue] | None = None


class _Scope(_Message):
    name: str | None = None
    version: str | None = None
    attributes: list[_KeyValue] | None = None


class _Moment(_Message):
    """An event of a span."""

    time_unix_nano: int | str | None = None
    name: str | None = None
    attributes: list[_KeyValue] | None = None
    dropped_attributes_count: int | None = None


class _Link(_Message):
    trace_id: str | None = None
    span_id: str | None = None
    trace_state: str | None = None
    attributes: list[_KeyValue] | None = None


class _Status(_Message):
    code: int | str | None = None
    message: str | None = None


class _Span(_Message):
    trace_id: str | None = None
    span_id: str | None = None
    trace_state: str | None = None
    parent_span_id: str | None = None
    flags: int | None = None
    name: str | None = None
    kind: int | str | None = None
    start_time_unix_nano: int | str | None = None
    end_time_unix_nano: int | str | None = None
    attributes: list[_KeyValue] | None = None
    dropped_attributes_count: int | None = None
    events: list[_Moment] | None = None
    dropped_events_count: int | None = None
    links: list[_Link] | None = None
    dropped_links_count: int | None = None
    status: _Status | None = None


class _LogRecord(_Message):
    time_unix_nano: int | str | None = None
    observed_time_unix_nano: int | str | None = None
    severity_number: int | str | None = None
    severity_text: str | None = None
    body: _AnyValue | None = None
    attributes: list[_KeyValue] | None = None
    dropped_attributes_count: int | None = None
    flags: int | None = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class _ScopeSpans(_Message):
    scope: _Scope | None = None
    spans: list[msgspec.Raw] | None = None  # decoded one by one: a bad one stops no other
    schema_url: str | None = None


class _ScopeLogs(_Message):
    scope: _Scope | None = None
    log_records: list[msgspec.Raw] | None = None
    schema_url: str | None = None


class _ResourceSpans(_Message):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None
    schema_url: str | None = None


class _ResourceLogs(_Message):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None
    schema_url: str | None = None


class _Traces(_Message):
    resource_spans: list[_ResourceSpans] | None = None


class _Logs(_Message):
    resource_logs: list[_ResourceLogs] | None = None


_traces_decoder, _logs_decoder = msgspec.json.Decoder(_Traces), msgspec.json.Decoder(_Logs)
_item_decoders: Mapping[Any, msgspec.json.Decoder[Any]]


def _decode(body: bytes, how: Any) -> Any:
    if isinstance(how, msgspec.json.Decoder):
        try:
            return how.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise OtlpError(f"the body is not OTLP in JSON: {error}") from error
        except RecursionError as error:
            raise OtlpError("the body is not OTLP in JSON: it is nested too deep") from error
    try:
        return how.FromString(body)
    except DecodeError as error:
        raise OtlpError(f"the body is not OTLP in protobuf: {error}") from error


class _Bad(Exception):
    """An item cannot be an event."""


def _take(
    item: Any,
    read: Callable[[Any], dict[str, Any]],
    resource: dict[str, Any],
    scope: str,
    extra: dict[str, Any],
    decoded: Decoded,
) -> None:
    """Add what an item says to what was decoded."""
    try:
        if isinstance(item, msgspec.Raw):
            event, size = read(_item_decoders[read].decode(item)), len(bytes(item))
        else:
            event, size = read(item), item.ByteSize()
        if size > CERTAIN_BYTES:
            _fit(event)
    except (
        _Bad,
        ValueError,
        OverflowError,
        RecursionError,
    ) as error:  # msgspec's errors and UnicodeError are ValueErrors
        decoded.bad.append(str(error))
        decoded.bad_items.append(bytes(item) if isinstance(item, msgspec.Raw) else item.SerializeToString())
        return
    if resource:
        event["resource"] = resource
    if scope:
        event["scope"] = scope
    if extra:
        event["extra"] = {**extra, **event.get("extra", {})}
    decoded.events.append(event)


def _scope(scoped: Any, sent: Any) -> tuple[str, dict[str, Any]]:
    """The name of what instrumented, and what else is said of all its items."""
    scope = scoped.scope
    if not scope:
        return "", _present(schema_url=scoped.schema_url or sent.schema_url)
    return scope.name or "", _present(
        scope_version=scope.version,
        scope_attributes=_attributes(scope.attributes),
        schema_url=scoped.schema_url or sent.schema_url,
    )


# -- Spans and log records ---------------------------------------------------------------------------------------------

_SPAN_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")
_SEVERITIES = ("trace", "debug", "info", "warn", "error", "fatal")  # of four numbers each, from 1


def _span(span: Any) -> dict[str, Any]:
    trace_id, span_id = _id(span.trace_id, _TRACE_ID_BYTES, "trace id"), _id(span.span_id, _SPAN_ID_BYTES, "span id")
    if not trace_id or not span_id:
        raise _Bad(f"a span without a {'span' if trace_id else 'trace'} id")
    started, ended = int(span.start_time_unix_nano or 0), int(span.end_time_unix_nano or 0)
    if not started and not ended:
        raise _Bad(f"span {span_id} of trace {trace_id} has no time")
    attributes = _attributes(span.attributes)
    status = span.status
    event: dict[str, Any] = {
        "kind": "span",
        "event_id": str(uuid5(_NAMESPACE, f"span/{trace_id}/{span_id}")),
        "ts": _time(started or ended),
        "source": SOURCE,
        "trace_id": trace_id,
        "span_id": span_id,
        "name": span.name or "",
        "started_at": _time(started or ended),
        "ended_at": _time(ended or started),
        "status": _named(status.code, _STATUSES, "STATUS_CODE_") if status else "unset",
    }
    if parent := _id(span.parent_span_id, _SPAN_ID_BYTES, "parent span id"):
        event["parent_span_id"] = parent
    if kind := _named(span.kind, _SPAN_KINDS, "SPAN_KIND_"):
        event["span_kind"] = kind
    if status and status.message:
        event["status_message"] = status.message
    if attributes:
        event["attributes"] = attributes
    if span.events:
        event["events"] = [_moment(moment) for moment in span.events]
    convention = convention_of(attributes) or next(
        filter(None, (convention_of(moment.get("attributes", ())) for moment in event.get("events", ()))), ""
    )
    if convention:
        event["convention"] = convention
    extra: dict[str, Any] = {}
    if span.links:
        extra["links"] = [
            {"trace_id": _hex(link.trace_id), "span_id": _hex(link.span_id)}
            | _present(attributes=_attributes(link.attributes), trace_state=link.trace_state)
            for link in span.links
        ]
    for name in ("trace_state", "flags", "dropped_attributes_count", "dropped_events_count", "dropped_links_count"):
        if value := getattr(span, name):
            extra[name] = value
    if extra:
        event["extra"] = extra
    return event


def _moment(moment: Any) -> dict[str, Any]:
    event = {"name": moment.name or ""}
    if time := int(moment.time_unix_nano or 0):
        event["time"] = _time(time)
    return event | _present(
        attributes=_attributes(moment.attributes), dropped_attributes_count=moment.dropped_attributes_count
    )


def _log(record: Any) -> dict[str, Any]:
    time, observed = int(record.time_unix_nano or 0), int(record.observed_time_unix_nano or 0)
    if not time and not observed:
        raise _Bad("a log record has no time")
    attributes = _attributes(record.attributes)
    body = None if record.body is None else _value(record.body)
    name = record.event_name or attributes.get("event.name")
    text = body if isinstance(body, str) and " " not in body else ""  # Claude Code puts the event's name there
    event: dict[str, Any] = {"kind": "log", "ts": _time(time or observed), "source": SOURCE} | _present(
        trace_id=_id(record.trace_id, _TRACE_ID_BYTES, "trace id"),
        span_id=_id(record.span_id, _SPAN_ID_BYTES, "span id"),
        name=name if isinstance(name, str) else "",
        severity=_severity(record),
        body=body if isinstance(body, dict) or body is None else {"value": body},
        attributes=attributes,
        convention=convention_of(attributes) or convention_of((name if isinstance(name, str) else "", text)),
        extra=_present(
            time_unix_nano=str(time) if time % 1000 else "",  # what ts cannot say
            observed_at=_time(observed) if observed and time else "",
            severity_text=record.severity_text,
            flags=record.flags,
            dropped_attributes_count=record.dropped_attributes_count,
        ),
    )
    return event


def _severity(record: Any) -> str:
    number = record.severity_number or 0
    if isinstance(number, str):
        return number.removeprefix("SEVERITY_NUMBER_").rstrip("234").lower().replace("unspecified", "")
    if 1 <= number <= 24:
        return _SEVERITIES[(number - 1) // 4]
    text = (record.severity_text or "").lower()
    return "warn" if text == "warning" else text


def convention_of(names: Iterable[str]) -> str:
    """The naming convention that attributes of these names speak; empty when it is none that we know.

    Where one speaks several, the most particular is meant: who instruments for Langfuse or OpenInference says so on
    purpose, and OpenLLMetry adds its own names to those of the GenAI conventions.
    """
    known = [name for name in names if name.startswith(_ANY_PREFIX)]
    if not known:
        return ""
    return next(convention for convention, prefixes in CONVENTIONS if any(name.startswith(prefixes) for name in known))


CONVENTIONS = (
    ("langfuse", ("langfuse.",)),
    ("openinference", ("openinference.",)),
    (
        "openllmetry",
        (
            *("traceloop.", "llm.request.type", "llm.usage.", "gen_ai.prompt.", "gen_ai.completion."),
            *("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"),
        ),
    ),
    ("gen_ai", ("gen_ai.",)),
    ("claude_code", ("claude_code.",)),
)
"""How the names of each convention begin; the first that is found is what is spoken."""
_ANY_PREFIX = tuple(prefix for _, prefixes in CONVENTIONS for prefix in prefixes)

_item_decoders = {_span: msgspec.json.Decoder(_Span), _log: msgspec.json.Decoder(_LogRecord)}


# -- Values ------------------------------------------------------------------------------------------------------------


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs or ()}


def _value(value: Any) -> Any:
    which = None if value is None else value.WhichOneof("value")
    if which is None:
        return None
    said = getattr(value, which)
    if which == "string_value":
        return json_or_text(said) if len(said) > TELEMETRY_STRING_CHARS else said
    if which == "int_value":
        return int(said)
    if which == "double_value":
        number = float(said)
        return number if math.isfinite(number) else str(number)
    if which == "array_value":
        return [_value(item) for item in said.values or ()]
    if which == "kvlist_value":
        return _attributes(said.values)
    if which == "bytes_value" and isinstance(said, bytes):
        return base64.b64encode(said).decode()
    return said


def _fit(event: dict[str, Any]) -> None:
    """Cut the texts of an event as far as it takes to make it fit into a line."""
    for chars in SHORTER_CHARS:
        if len(encoder.encode(event)) <= FITTING_BYTES:
            break
        for field in ("attributes", "events", "body"):
            if field in event:
                event[field] = _shortened(event[field], chars)


def _shortened(value: Any, chars: int) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(item, chars) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item, chars) for item in value]
    if isinstance(value, str) and len(value) > chars:
        said = json_or_text(value)
        return value[: chars - len(_ELLIPSIS)] + _ELLIPSIS if said is value else _shortened(said, chars)
    return value


def _id(given: bytes | str | None, length: int, what: str) -> str:
    """An id in lower-case hex; empty where there is none, which a zero says as well."""
    if not given:
        return ""
    text = _hex(given)
    if len(text) != 2 * length or not _HEX.issuperset(text):
        raise _Bad(f"a {what} has {length} bytes, in hex where the body is JSON; {text[:40]!r} is none")
    return text if text.strip("0") else ""


_HEX = frozenset("0123456789abcdef")


def _hex(given: bytes | str | None) -> str:
    return given.hex() if isinstance(given, bytes) else (given or "").lower()


def _time(nanos: int) -> str:
    """Nanoseconds since 1970 as ISO 8601 in UTC, to the microsecond."""
    return (_EPOCH + timedelta(microseconds=nanos // 1000)).isoformat()


def _named(number: int | str | None, names: tuple[str, ...], prefix: str) -> str:
    """The name of an enum's value; some senders write the name itself."""
    if isinstance(number, str):
        name = number.removeprefix(prefix).lower()
        return name if name in names else names[0]
    return names[number] if number and 0 < number < len(names) else names[0]


def _present(**values: Any) -> dict[str, Any]:
    """Those values that say something: a line leaves empty ones out."""
    return {name: value for name, value in values.items() if value}
