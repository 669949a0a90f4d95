"""Bodies of OTLP/HTTP in JSON for tests, and the landed events that they become."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, datetime
from typing import Any

import msgspec

from oplake.landing.accept import Accepted, accept_batch
from oplake.landing.otlp import Decoded, decode_logs, decode_traces

NOW = datetime(2026, 1, 12, 12, tzinfo=UTC)
NANOS = 1_767_600_000_123_456_789  # 2026-01-05T08:00:00.123456789Z
TRACE, SPAN, PARENT = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174", "eee19b7ec3c1b173"


def told(value: Any) -> dict[str, Any]:
    """A value as an AnyValue of OTLP's JSON."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else str(value)}
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return {"arrayValue": {"values": [told(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": pairs(value)}}
    return {} if value is None else {"stringValue": value}


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Attributes as OTLP's JSON has them."""
    return [{"key": key, "value": told(value)} for key, value in attributes.items()]


def span(**changes: Any) -> dict[str, Any]:
    """A span of OTLP's JSON."""
    return {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": "chat m",
        "kind": 3,
        "startTimeUnixNano": str(NANOS),
        "endTimeUnixNano": NANOS + 2_000_000_000,
    } | changes


def traces(*spans: dict[str, Any], **resource: Any) -> bytes:
    """A body of spans."""
    about = {"attributes": pairs(resource or {"service.name": "shop"})}
    scope = {"name": "the.scope", "version": "1.2"}
    return json.dumps(
        {"resourceSpans": [{"resource": about, "scopeSpans": [{"scope": scope, "spans": spans}]}]}
    ).encode()


def record(**changes: Any) -> dict[str, Any]:
    """A log record of OTLP's JSON."""
    return {"timeUnixNano": str(NANOS), "severityNumber": 9} | changes


def logs(*records: dict[str, Any]) -> bytes:
    """A body of log records."""
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()


def accepted(decoded: Decoded) -> list[Accepted]:
    """The events as accept makes them; each is usable."""
    outcomes = accept_batch([msgspec.json.encode(event) for event in decoded.events], received_at=NOW)
    for outcome in outcomes:
        assert isinstance(outcome, Accepted), outcome
    return [outcome for outcome in outcomes if isinstance(outcome, Accepted)]


def short(number: int | str, length: int = 16) -> str:
    """An id in hex, of a number or a short name."""
    text = f"{number:x}" if isinstance(number, int) else number.encode().hex()
    return text.rjust(length, "0")


def working(
    name: str,
    hours: float,
    attributes: dict[str, Any],
    *,
    under: str | None = None,
    trace: str = "t",
    seconds: float = 1,
    **changes: Any,
) -> dict[str, Any]:
    """A span of that name, which is also its id, at a time counted from 2026-01-05."""
    start = 1_767_571_200 * 10**9 + int(hours * 3_600 * 10**9)
    return span(
        traceId=short(trace, 32),
        spanId=short(name[:8]),
        name=name,
        parentSpanId=short(under[:8]) if under else "",
        startTimeUnixNano=str(start),
        endTimeUnixNano=str(start + int(seconds * 10**9)),
        attributes=pairs(attributes),
        **changes,
    )


def as_landed(body: bytes, signal: str = "traces") -> list[dict[str, Any]]:
    """What a body lands as: events with kind and fields, for the tiny lake."""
    decoded = decode_traces(body, "json") if signal == "traces" else decode_logs(body, "json")
    assert not decoded.bad
    return [
        {"kind": line.event.__struct_config__.tag} | msgspec.structs.asdict(line.event) for line in accepted(decoded)
    ]


def traced_days(days: int) -> list[dict[str, Any]]:
    """A trace that goes on over midnights: each day an agent under that of the day before, with what it does."""
    landed: list[dict[str, Any]] = []
    for day in range(days):
        agent, hour = f"a{day}", 24 * day + 20
        said = {"gen_ai.agent.name": agent, "gen_ai.usage.input_tokens": 9}
        session = {"gen_ai.conversation.id": f"s{day // 2}"} if day % 2 == 0 else {}
        spans = [
            working(agent, hour, {"gen_ai.operation.name": "invoke_agent"} | said | session, under=f"a{day - 1}"),
            working(f"{agent}.tl", hour + 3, {"gen_ai.operation.name": "execute_tool"}, under=agent),
        ]
        for number in range(4):
            spoken = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": number}
            if number:
                spoken["gen_ai.output.messages"] = json.dumps([{"role": "assistant", "content": "yes"}])
            spans.append(working(f"{agent}.{number}", hour + 2 * number, spoken, under=agent))
        landed += as_landed(traces(*spans))
        about = {"traceId": short("t", 32), "spanId": short(f"{agent}.1"), "eventName": "gen_ai.evaluation.result"}
        later = 1_767_571_200 * 10**9 + (hour + 5) * 3_600 * 10**9
        score = pairs({"gen_ai.evaluation.name": "n", "gen_ai.evaluation.score.value": 0.5})
        landed += as_landed(logs(record(**about, timeUnixNano=later, attributes=score)), "logs")
    return landed
