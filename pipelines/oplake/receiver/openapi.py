"""The paths of the receiver as an OpenAPI document: what each takes, and what it answers.

`GET /openapi.json` gives it, docs/receiver.md is written from it, and a test lets schemathesis hold the receiver to it.
Schemas of events follow from the contract.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from oplake import __version__, events
from oplake.receiver.operations import NUMBER, TEXTS
from oplake.receiver.playbook import FORMATS

_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_COUNT = {"type": "integer", "minimum": 0}
_COUNTS = {"type": "object", "additionalProperties": _COUNT}
_MOMENT = {"type": ["string", "null"], "format": "date-time"}
_TIME = {
    "type": "string",
    "format": "date-time",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2})$",
}
_STRING = {"type": "string"}
_TEXT = {"type": ["string", "null"]}
_OTLP = {"application/x-protobuf": {"schema": {"type": "string", "format": "binary"}}}

_MEANING_OF = {field.name: field.description for field in events.fields("op")}
_STAMPS = {"received_at", "ts_suspect"}  # oplake's own; what a client says there is passed over

MEANINGS = {
    "400": "It cannot be read.",
    "401": "The token is missing or wrong.",
    "403": "Without a token: it comes from another machine's name, or from a web page.",
    "404": "There is no such path.",
    "405": "The path takes another method, which `Allow` names.",
    "408": "The body did not come in time.",
    "413": "It is too large: 64 MiB, unpacked too, and 100,000 events; send it in parts.",
    "415": "It is of another content type or content encoding than those told here.",
    "431": "The headers take more than 32 KiB.",
    "500": "The receiver has a defect.",
    "503": "It may be sent again, after `Retry-After`.",
    "507": "The disk is full; nothing of it was acknowledged, and it may be sent again.",
}
"""What each answer other than 200 means. 404 and 405 are answers to what the document does not have."""

_OF_ALL = ("401", "403", "431", "500", "503")
_OF_BODIES = ("400", "408", "413", "415", "507")


@cache
def document(*, needs_token: bool = True) -> dict[str, Any]:
    """The OpenAPI document, of a receiver that needs a token or has none."""
    made = _document()
    if not needs_token:
        for path in made["paths"].values():
            for operation in path.values():
                operation["security"] = []
    return made


def _document() -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "oplake serve",
            "version": __version__,
            "description": "Takes in the work of agents. What is answered with 200 is on disk.",
        },
        "paths": {
            "/event": {"post": _event()},
            "/events": {"post": _events()},
            "/v1/traces": {"post": _telemetry("traces", "spans", "ExportTraceServiceRequest")},
            "/v1/logs": {"post": _telemetry("logs", "log records", "ExportLogsServiceRequest")},
            "/health": {"get": _health()},
            "/stats": {"get": _stats()},
            "/playbook/{task_class}": {"get": _playbook()},
            "/metrics": {"get": _get("The counts for Prometheus", {"text/plain": {"schema": {"type": "string"}}})},
            "/openapi.json": {"get": _get("This document", _json({"type": "object"}))},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "OPLAKE_TOKEN, if it is set."}
            },
        },
    }


def _schemas() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(events.json_schema()).replace("#/$defs/", "#/components/schemas/"))
    schemas = found.pop("$defs")
    found.get("discriminator", {}).pop("mapping", None)
    return {**schemas, "Event": found, "Operation": _operation(schemas["Op"])}


def _operation(op: dict[str, Any]) -> dict[str, Any]:
    """What `POST /event` takes: an op without anything that has to be there."""
    made = {name: dict(schema) for name, schema in op["properties"].items() if name not in _STAMPS}
    for name in TEXTS & made.keys():
        made[name] = {"type": ["string", "number", "null"], **_described(made[name])}
    for name in ("rescue_attempted", "rescue_succeeded"):
        made[name] = {"type": ["boolean", "null"], **_described(made[name])}
    made["event_id"] = {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": events.ID_CHARS,
        **_described(made["event_id"]),
    }
    for name in ("playbook_ids", "extra", "redactions"):
        made[name] = _says(_MEANING_OF[name], {"anyOf": [made[name], {"type": "null"}]})
    made["kind"] = {"enum": ["op", None], "description": "op, if it is said"}
    made["success"] = {"description": "whether it did what was asked: by truth, so 0, an empty text and null are false"}
    made["duration_ms"] = {
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": events.INT_MAX},
            {"type": "string", "pattern": NUMBER},
            {"type": "null"},
        ],
        "description": "how long it took, in milliseconds; 0 when it is missing",
    }
    moment = {"anyOf": [_TIME, {"type": "null"}]}
    made["ts"] = {**moment, "description": "the same as timestamp"}
    made["timestamp"] = {**moment, "description": "when it happened; now, when it is missing"}
    return {"type": "object", "title": "Operation", "properties": made}


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": schema["description"]} if "description" in schema else {}


def _says(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "description": description}


def _event() -> dict[str, Any]:
    return _post(
        "Land one operation outcome",
        "What is missing is filled in: `timestamp` is now, `endpoint` is `scenario:fill`, `source` is `scenario`, "
        "`success` goes by truth and is false when it is missing, `duration_ms` is 0, `input_summary` is "
        "`{event_kind} {role}×{count} in {city}, {state}` with `?` for what is missing, `output_summary` is `filled`, "
        "or the error, or `failed`, and `rescue_attempted` and `rescue_succeeded` are false.",
        _json({"$ref": "#/components/schemas/Operation"}),
        _json(
            {
                "type": "object",
                "required": ["accepted", "event_id"],
                "properties": {
                    "accepted": _says("it is on disk", {"const": True}),
                    "event_id": _says("its identity: the one given, or a new one", _STRING),
                },
            }
        ),
        {"event_kind": "wedding", "role": "cook", "count": 2, "city": "Austin", "state": "TX", "success": True},
        bad=_json({**_ERROR, "properties": {"accepted": {"const": False}, "error": {"type": "string"}}}),
    )


def _events() -> dict[str, Any]:
    reject = _object(
        line=_says("number of its line, or its number in an array, from 1", {"type": "integer", "minimum": 1}),
        reason=_says("what is wrong with it", _STRING),
    )
    batch = _object(
        accepted=_says("events that are on disk", _COUNT),
        rejected=_says("events that could not be used; they are kept as rejects", _COUNT),
        rejects=_says("those, in their order", {"type": "array", "items": reject}),
    )
    one = {"anyOf": [{"$ref": "#/components/schemas/Event"}, {}]}
    return _post(
        "Land events of any kinds",
        "A JSON array, one JSON object, or JSON lines; `content-encoding` may be gzip or zstd. Good ones land. Bad "
        "ones are named with their line (in an array: their number) and the reason, and are kept as rejects. 400 is "
        "answered when nothing in it is JSON. An event without `ts` happened now; one without `event_id` gets one "
        "from the bytes of the batch and its place in it. A batch that is sent again adds nothing, and gets the same "
        "answer.",
        {
            "application/json": {"schema": {"anyOf": [{"type": "array", "items": one}, one]}},
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
        _json(batch),
        [{"kind": "note", "event_id": "n1", "ts": "2026-01-05T12:00:00Z", "user_id": "ann", "note": "well done"}],
        bad=_json({"anyOf": [batch, _ERROR]}),
    )


def _telemetry(signal: str, noun: str, message: str) -> dict[str, Any]:
    answer = _object()
    answer["properties"] = {"partialSuccess": _says("how many were not taken, and why, if any", {"type": "object"})}
    status = {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}}
    both = {**_OTLP, **_json(status)}
    made = _post(
        f"Land {noun} of OpenTelemetry",
        f"OTLP/HTTP: an `{message}` as protobuf or JSON, `content-encoding` may be gzip or zstd. It is answered in the "
        f"encoding that it came in. {noun.capitalize()} that cannot be used are counted in `partial_success` and kept "
        "as rejects. Errors are a `google.rpc.Status`. A full disk is 503 here, since exporters drop what gets a 507.",
        {**_OTLP, "application/json": {"schema": {"type": "object"}}},
        {**_OTLP, **_json(answer)},
        {"resourceSpans" if signal == "traces" else "resourceLogs": []},
        bad=both,
    )
    del made["responses"]["507"]
    for code in made["responses"].keys() - {"200"}:
        made["responses"][code]["content"] = both
    return made


def _health() -> dict[str, Any]:
    well = {
        "type": "object",
        "required": ["ok"],
        "properties": {
            "ok": _says("whether events can land", {"type": "boolean"}),
            "problem": _says("why they cannot; null when they can", _TEXT),
            "version": _says("version of oplake", _STRING),
            "disk_free_bytes": _says("room on the disk of landing", _COUNT),
            "oldest_unsealed_at": _says("the first event that waits for its segment to be sealed", _MOMENT),
        },
    }
    made = _get("Whether events can land; without the token only that", _json(well))
    made["security"] = [{}, {"token": []}]
    ill = "Events cannot land, as `problem` says, or too much is asked."
    made["responses"]["503"] = {"description": ill, "content": _json({})}
    del made["responses"]["401"]
    return made


def _stats() -> dict[str, Any]:
    totals = {
        "total": _says("operations, corrections of an overseer left out: they are neither success nor failure", _COUNT),
        "successes": _says("operations that did what was asked", _COUNT),
        "failures": _says("operations that did not", _COUNT),
        "by_source": _says("events by what sent them in", _COUNTS),
        "by_kind": _says("events by kind", _COUNTS),
        "rejects": _says("what could not be used, and was kept", _COUNT),
        "open_actions": _says("actions that began within their six hours, and are not completed", _COUNT),
    }
    latest = _object(
        time=_says("when it happened", _TIME),
        ok=_says("whether it did what was asked", {"type": "boolean"}),
        staffer=_says("the member of staff concerned", _TEXT),
        kind=_says("kind of event staffed", _TEXT),
        role=_says("role to be filled", _TEXT),
    )
    body = _object(
        since_start=_says(
            "what was sent to this receiver since it was started and landed; what was sent twice counts twice",
            _object(started_at=_says("when it was started", _TIME), **totals),
        ),
        since_ever=_says(
            "what the lake has of all that ever came in, whichever way, as of its last ingest",
            _object(up_to=_says("nothing received before this is missing in it", _MOMENT), **totals),
        ),
        latest=_says("the last scenario operations, newest first", {"type": "array", "maxItems": 10, "items": latest}),
    )
    return _get("What came in", _json(body))


def _playbook() -> dict[str, Any]:
    entry = _object(
        entry_id=_says("the entry; the value for `playbook_ids`", _STRING),
        version=_says("its version", _COUNT),
        status=_says("whether it has been shown to help", {"enum": ["active", "probation"]}),
        trigger=_says("when it applies", _STRING),
        do=_says("what to do then", _STRING),
        avoid=_says("what to avoid then", _STRING),
        tokens=_says("roughly what showing it costs", _COUNT),
    )
    body = _object(
        task_class=_says("the class asked for", _STRING),
        entries=_says("what to show the agent, the best first; often none", {"type": "array", "items": entry}),
    )
    made = _get(
        "What agents should know for a class of tasks",
        {**_json(body), "text/markdown": {"schema": {"type": "string"}}},
    )
    made["description"] = (
        "Active entries, and some on probation in turn. Each is withheld at random from one session or action in ten "
        "(`OPLAKE_PLAYBOOK_WITHHELD`), so that its effect can be measured. What is shown and what is withheld has "
        "landed as `playbook_served` when it is told. It is for the action, if one is named, else for the session, and "
        "the same one is always served alike. Without either nothing is withheld and nothing lands. A class that has "
        "no playbook gets an empty one."
    )
    parameters = {
        "task_class": "class of the task, an action's `action_type`",
        "session_id": "the session served",
        "action_id": "the action served, if it has begun",
    }
    made["parameters"] = [
        {
            "name": name,
            "in": "path" if name == "task_class" else "query",
            "required": name == "task_class",
            "schema": {"type": "string", "minLength": 1} if name == "task_class" else _STRING,
            "description": description,
        }
        for name, description in parameters.items()
    ]
    made["parameters"].append(
        {
            "name": "format",
            "in": "query",
            "required": False,
            "schema": {"enum": list(FORMATS), "default": FORMATS[0]},
            "description": "`json` as told below, `md` a text for a prompt, `skill` a SKILL.md",
        }
    )
    made["responses"] |= _errors(("400", "507"))
    return made


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _get(summary: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": summary,
        "security": [{"token": []}],
        "responses": {"200": {"description": summary + ".", "content": content}, **_errors(_OF_ALL)},
    }


def _post(
    summary: str, description: str, takes: dict[str, Any], answers: dict[str, Any], example: Any, *, bad: dict[str, Any]
) -> dict[str, Any]:
    made = _get(summary, answers)
    takes["application/json"]["example"] = example
    made["description"] = description
    made["requestBody"] = {"required": True, "content": takes}
    made["responses"] |= _errors(_OF_BODIES)
    made["responses"]["400"]["content"] = bad
    made["responses"]["200"]["description"] = "All that was taken is on disk."
    return made


def _errors(codes: tuple[str, ...]) -> dict[str, Any]:
    return {code: {"description": MEANINGS[code], "content": _json(_ERROR)} for code in codes}
