"""What a line of a transcript says: ids, tokens, texts, results of tools, changes to files. Nothing here remembers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import msgspec

TEXT_CHARS = 20_000  # of a text that is held until its session is read; twice what lands, so that no secret is cut
ARG_CHARS = 8_000  # the same of an argument or an output of a tool, of which 500 characters land
DEPTH = 500  # of a line; how deep a decoder can go differs between versions of Python, what an import lands must not
EDITING = frozenset({"Edit", "MultiEdit", "Write", "NotebookEdit"})  # tools that change a file


class Unreadable(Exception):
    """A line does not have the shape of any that Claude Code writes."""


@dataclass
class Call:
    """One use of a tool within an answer."""

    id: str
    name: str
    args: dict[str, Any]
    ts: datetime
    result: Result | None = None


@dataclass(frozen=True)
class Result:
    """What came of a call."""

    ok: bool
    text: str
    duration_ms: float
    patch: str | None  # the change to a file; None where there is none
    path: str


def decode(raw: bytes) -> Any:
    """A line as JSON. JavaScript cuts texts within characters, and writes the halves; they become question marks.

    Raises:
        Unreadable: It is nested deeper than DEPTH.
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: It is no JSON, or deeper still.
    """
    line = _decoded(raw)
    if raw.count(b"{") + raw.count(b"[") > DEPTH and _is_too_deep(line):
        raise Unreadable(f"it is nested more than {DEPTH} deep")
    return line


def _is_too_deep(line: Any) -> bool:
    level = [line]
    for _ in range(DEPTH + 1):
        level = [
            item
            for value in level
            if isinstance(value, (dict, list))
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return False
    return True


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        if b"\\ud" not in raw.lower():
            raise
        try:
            text = json.dumps(json.loads(raw), ensure_ascii=False)
        except ValueError as error:
            raise msgspec.DecodeError(str(error)) from error
        return msgspec.json.decode(text.encode("utf-8", "replace"))


def ts_of(line: Mapping[str, Any]) -> datetime | None:
    """When a line was written, in UTC; None where it does not say."""
    try:
        ts = msgspec.convert(line.get("timestamp"), datetime)
        return ts.astimezone(UTC) if ts.tzinfo else None
    except (msgspec.ValidationError, OverflowError):
        return None


def answer_key(line: Mapping[str, Any], message: Mapping[str, Any]) -> str:
    """By which the lines of one answer are known. Gateways may leave out the id of the request, or both."""
    id_, request = message.get("id"), line.get("requestId")
    if isinstance(id_, str) and id_:
        return f"{id_}/{request}" if isinstance(request, str) else id_
    return str(request or line.get("uuid") or msgspec.json.encode(line))


def usage_of(usage: Any) -> Counter[str]:
    """The tokens that a line counts, by the names of the API; `1h` are those written to the cache for an hour.

    Raises:
        Unreadable: They are no counts.
    """
    if usage is None:
        return Counter()
    if not isinstance(usage, dict):
        raise Unreadable("usage is no object")
    found: Counter[str] = Counter()
    for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
        count = usage.get(name) or 0
        if type(count) is not int or count < 0:
            raise Unreadable(f"usage.{name} is no count: {str(count)[:40]}")
        found[name] = count
    creation, server = usage.get("cache_creation"), usage.get("server_tool_use")
    hour = creation.get("ephemeral_1h_input_tokens") if isinstance(creation, dict) else None
    searches = server.get("web_search_requests") if isinstance(server, dict) else None
    found["1h"] = hour if type(hour) is int else 0
    found["web_search_requests"] = searches if type(searches) is int else 0
    return found


def provider_of(model: str) -> str:
    """Who serves a model, by how it is called there."""
    if "anthropic.claude" in model:
        return "aws"
    if model.startswith("claude"):
        return "google" if "@" in model else "anthropic"
    return "unknown"


def is_queued(line: Mapping[str, Any]) -> bool:
    """Whether a line is what the user said while the model was still answering."""
    attachment = line.get("attachment")
    if line.get("type") != "attachment" or not isinstance(attachment, dict):
        return False
    return attachment.get("type") == "queued_command" and attachment.get("commandMode", "prompt") == "prompt"


def content_of(line: Mapping[str, Any]) -> Any:
    """What the message of a line says: a text, parts, or nothing."""
    message = line.get("message")
    return message.get("content") if isinstance(message, dict) else None


def text_of(content: Any) -> str:
    """The text of what has parts; images and results of tools are none of it."""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "\n\n".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def as_typed(text: str) -> str:
    """A command as the user typed it."""
    if not text.startswith(("<command-name>", "<command-message>")):
        return text
    name = _between(text, "<command-name>", "</command-name>")
    return f"{name} {_between(text, '<command-args>', '</command-args>')}".strip() or text


def _between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0].strip()


def result_of(block: Mapping[str, Any], detail: Any, call: Call, ts: datetime) -> Result:
    """What came of a call. `detail` is what Claude Code knows of it besides what it told the model."""
    detail = detail if isinstance(detail, dict) else {}
    ok = block.get("is_error") is not True
    content = block.get("content")
    text = text_of(content) if isinstance(content, (str, list)) else ""
    text = text.removeprefix("<tool_use_error>").removesuffix("</tool_use_error>")
    took = next((detail[name] for name in ("durationMs", "totalDurationMs") if _is_amount(detail.get(name))), None)
    elapsed = max((ts - call.ts).total_seconds() * 1000, 0.0)
    path = detail.get("filePath") or call.args.get("file_path") or call.args.get("notebook_path")
    return Result(
        ok,
        text[:ARG_CHARS],
        float(elapsed if took is None else took),
        _patch(call, detail) if ok and call.name in EDITING else None,
        path if isinstance(path, str) else "",
    )


def _patch(call: Call, detail: Mapping[str, Any]) -> str:
    """The change that a call made to a file: as Claude Code worked it out, else as the model gave it."""
    hunks = detail.get("structuredPatch")
    parts = [_hunk(hunk) for hunk in hunks if isinstance(hunk, dict)] if isinstance(hunks, list) else []
    if not parts:
        edits = call.args.get("edits")
        for edit in edits if isinstance(edits, list) else [call.args]:
            if isinstance(edit, dict):
                parts.append(_prefixed("-", edit.get("old_string")))
                new = (edit.get(name) for name in ("new_string", "content", "new_source"))
                parts.append(_prefixed("+", next((text for text in new if text is not None), None)))
    return "\n".join(filter(None, parts))[:TEXT_CHARS]


def _hunk(hunk: Mapping[str, Any]) -> str:
    old = f"{hunk.get('oldStart')},{hunk.get('oldLines')}"
    lines = hunk.get("lines")
    body = [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []
    return "\n".join([f"@@ -{old} +{hunk.get('newStart')},{hunk.get('newLines')} @@", *body])


def _prefixed(sign: str, text: Any) -> str:
    return "\n".join(sign + line for line in text.splitlines()) if isinstance(text, str) else ""


def cut(values: Mapping[str, Any]) -> dict[str, Any]:
    """An object with its texts cut, which is held until its session is read."""
    return {key: _cut_value(value) for key, value in values.items()}


def _cut_value(value: Any) -> Any:
    if isinstance(value, str):
        return value[:ARG_CHARS]
    if isinstance(value, dict):
        return cut(value)
    return [_cut_value(item) for item in value] if isinstance(value, list) else value


def most(known: float | None, said: Any) -> float | None:
    """The larger of two amounts, of which either may be unknown."""
    return max(known or 0.0, float(said)) if _is_amount(said) else known


def _is_amount(value: Any) -> bool:
    return type(value) in {int, float} and value >= 0


def hash_of(text: str) -> str:
    """By which equal texts are known."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def present(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {key: value for key, value in values.items() if value is not None}
