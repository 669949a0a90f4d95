"""What a model answered, as the schema that was asked for: fences stripped, validated, never lost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from oplake.synthesis.wire import json_schema

RAW_CHARS = 500  # of an answer that fits no schema: enough to see what it was about
PROBLEM_CHARS = 1_000  # of a validation error that the model is shown; the first problems explain the rest
_FENCED = re.compile(r"```[a-zA-Z]*\s*\n?(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Parsed:
    """An answer that fits, or why it does not."""

    value: BaseModel | None
    problem: str = ""


def parse(content: str, schema: type[BaseModel]) -> Parsed:
    """The JSON object in an answer: as it is, within a code fence, or between other words."""
    text = content.strip()
    fenced = _FENCED.search(text)
    if fenced and not text.startswith("{"):
        text = fenced[1].strip()
    if not text.startswith("{") and "{" in text:
        text = text[text.index("{") : text.rindex("}") + 1] if "}" in text else text
    try:
        return Parsed(schema.model_validate_json(text))
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, each['loc'])) or 'the answer'}: {each['msg']}"
            for each in error.errors(include_url=False, include_context=False, include_input=False)
        )
        return Parsed(None, "; ".join(problems)[:PROBLEM_CHARS])


def raw(content: str) -> dict[str, Any]:
    """What is kept of an answer that fits no schema."""
    return {"summary": content.strip()[:RAW_CHARS], "raw": True}


def schema_text(schema: type[BaseModel]) -> str:
    """A schema as prompts show it, for servers that take no `response_format`."""
    return msgspec.json.format(msgspec.json.encode(json_schema(schema), order="sorted"), indent=1).decode()
