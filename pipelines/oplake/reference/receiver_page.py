"""docs/receiver.md: every path of the receiver, from its OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from oplake.receiver.openapi import MEANINGS, document
from oplake.reference.markdown import GENERATED, anchor, table

ABOUT = """# The receiver

`oplake serve` takes in events over HTTP, on `127.0.0.1:4318` unless it is told otherwise. What is answered with 200 is
on disk. Secrets are replaced before anything is written. The same as an OpenAPI document: `GET /openapi.json`.

Without `OPLAKE_TOKEN` it listens on loopback only, and answers neither to other host names nor to web pages. With it,
every request but `GET /health` needs `Authorization: Bearer` and the token.

A request may take 64 MiB, packed and unpacked, and 100,000 events; all requests together 256 MiB, beyond which it
answers 503. Headers have 10 seconds and 32 KiB, a body 30 seconds and one more for each 64 KiB of it. A full disk is
507 (503 for OpenTelemetry, whose exporters drop what gets any other answer), and nothing of the request is
acknowledged: send it again. A batch may be sent again at any time; events that are there already are not there twice.
SIGTERM lands what is under way, and seals the segment.

A Python agent has no need of these: `Recorder("http://127.0.0.1:4318")` records as every recorder does, keeps what it
records in a spool of its machine, and sends it from there, also when the receiver was down for a while.
"""


def receiver_page() -> str:
    """docs/receiver.md: every path with what it takes and answers."""
    told = document()
    requests = {
        f"{method.upper()} {path}": request
        for path, methods in told["paths"].items()
        for method, request in methods.items()
    }
    parts = [
        GENERATED,
        ABOUT,
        table(
            ["request", "what for"], [[f"[`{name}`](#{anchor(name)})", it["summary"]] for name, it in requests.items()]
        ),
        'Other answers than 200 say why, as `{"error": ...}` or as told below.\n',
        table(["answer", "when"], [[code, meaning] for code, meaning in sorted(MEANINGS.items())]),
    ]
    for name, request in requests.items():
        parts += [f"## {name}\n", request.get("description", f"{request['summary']}.") + "\n"]
        if "parameters" in request:
            given = [
                [f"`{each['name']}`", _type(each["schema"]), each["description"]] for each in request["parameters"]
            ]
            parts.append(table(["parameter", "type", "what it is"], given))
        if "requestBody" in request:
            parts.append(_example(name, request["requestBody"]["content"]))
        content = request["responses"]["200"]["content"]
        parts.append(f"Answers {_listed(content)}.\n")
        if fields := list(_fields(content.get("application/json", {}).get("schema", {}), "")):
            parts.append(table(["in the answer", "type", "what it is"], fields))
    fields = [
        [f"`{field}`", _type(schema), schema["description"]]
        for field, schema in told["components"]["schemas"]["Operation"]["properties"].items()
    ]
    parts += ["## Fields of an operation\n", "For `POST /event`. All may be missing; others are kept in `extra`.\n"]
    parts.append(table(["field", "type", "what it is"], fields))
    return "\n".join(parts)


def _example(name: str, content: Mapping[str, Any]) -> str:
    body = json.dumps(content["application/json"]["example"], ensure_ascii=False)
    path = name.partition(" ")[2]
    return f"Takes {_listed(content)}.\n\n```sh\ncurl --json '{body}' http://127.0.0.1:4318{path}\n```\n"


def _listed(content: Mapping[str, Any]) -> str:
    return ", ".join(f"`{media}`" for media in content)


def _fields(schema: Mapping[str, Any], within: str) -> Iterator[list[str]]:
    """The fields of an object and of the objects in it, by their paths."""
    for name, field in schema.get("properties", {}).items():
        path = f"{within}{name}"
        items = field.get("items", {})
        yield [f"`{path}`", _type(field), field["description"]]
        yield from _fields(field, f"{path}.")
        yield from _fields(items, f"{path}[].")


def _type(schema: Mapping[str, Any]) -> str:
    """The type of a value in words; null is left out, as nearly everything may be."""
    if "anyOf" in schema:
        return " or ".join(sorted({_type(each) for each in schema["anyOf"]} - {"null"}))
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return " or ".join(f"`{json.dumps(value)}`" for value in values if value is not None)
    kinds = schema.get("type", "any")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    said = " or ".join(kind for kind in kinds if kind != "null") or "null"
    return "time" if schema.get("format") == "date-time" else said
