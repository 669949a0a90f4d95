"""What is asked of a model and what comes back, whoever answers: values, and how they look on the wire.

The wire is that of OpenAI's chat completions, which nearly every server speaks. No request is made here.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import msgspec
from pydantic import BaseModel

from oplake.synthesis.errors import ModelError

Tier: TypeAlias = Literal["flash", "pro"]
Message: TypeAlias = dict[str, Any]
"""A message as the wire has it: `role`, `content`, and for some roles `tool_calls` or `tool_call_id`."""

BYTES_PER_TOKEN = 3  # no tokenizer is at hand offline; English takes about 4, so this is on the safe side
MESSAGE_TOKENS = 4  # what a message costs beyond its text
CUT = "length"  # how an answer ends that was longer than it may be
WHOLE = frozenset({"stop", ""})  # how an answer ends that is all there; some servers do not say
CALLING = WHOLE | {"tool_calls", "function_call"}  # how a turn ends that calls tools; some servers call that a stop


class ToolCall(msgspec.Struct, frozen=True):
    """A call of a tool as the model made it; `arguments` is meant to be the JSON of an object."""

    id: str
    name: str
    arguments: str


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer of a model. Its JSON is what lands as `llm_call.response`, so that landing can serve it again."""

    content: str
    finish_reason: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    thinking: str = ""

    def as_message(self) -> Message:
        """The assistant's turn: its text and its calls together."""
        message: Message = {"role": "assistant", "content": self.content or None}
        if self.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.tool_calls
            ]
        return message


class Tokens(NamedTuple):
    """What a call used, as `events.Usage` counts it."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


NO_TOKENS = Tokens()


@dataclass(frozen=True)
class Reply:
    """An answer, who gave it and what it took."""

    said: Said
    provider: str
    model: str
    tokens: Tokens = NO_TOKENS
    charged_usd: float | None = None
    duration_ms: float = 0.0
    attempts: int = 1


@dataclass(frozen=True)
class Request:
    """One call of a model. `facts` is for the author that needs no model; it never leaves this machine."""

    messages: tuple[Message, ...]
    tier: Tier
    max_tokens: int
    temperature: float = 0.4
    schema: type[BaseModel] | None = None
    tools: tuple[Message, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def body(self, model: str, *, without: Set[str] = frozenset()) -> dict[str, Any]:
        """The request's JSON, without parameters that a server does not take: `response_format`, `temperature`, or
        `max_tokens`, which then has its newer name."""
        limit = "max_completion_tokens" if "max_tokens" in without else "max_tokens"
        body: dict[str, Any] = {"model": model, "messages": list(self.messages), limit: self.max_tokens}
        if "temperature" not in without:
            body["temperature"] = self.temperature
        if self.tools:
            body["tools"] = list(self.tools)
        elif self.schema is not None and "response_format" not in without:  # many servers refuse both together
            named = {"name": self.schema.__name__, "schema": json_schema(self.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return body

    def hash(self, model: str, facts: Mapping[str, Any] | None = None) -> str:
        """A hash of prompt, model, parameters and schema; of facts too, where the answer comes of them directly."""
        schema = json_schema(self.schema) if self.schema is not None else None
        asked = [self.body(model), schema, facts]
        return sha256(msgspec.json.encode(asked, order="sorted", enc_hook=str)).hexdigest()

    @property
    def prompt_tokens(self) -> int:
        """An estimate of the tokens that the request reads, rather too many than too few."""
        extra = msgspec.json.encode([self.tools, json_schema(self.schema) if self.schema else None])
        return count_tokens(self.messages) + len(extra) // BYTES_PER_TOKEN


def flaw(said: Said, request: Request) -> str:
    """Why an answer is nothing to work with, though it came; empty when it is.

    Cut short, filtered or empty it says nothing that can be relied on, and its calls of tools may be half of what they
    were meant to be. Asked again, a model may do better. Only prose that is for reading (a critique, a digest) may be
    cut: what is there of it still says something.
    """
    if said.tool_calls and not request.tools:
        return "the model called tools where it has none"
    if said.finish_reason == CUT and said.content and not (request.schema or request.tools):
        return ""
    is_whole = said.finish_reason in (CALLING if said.tool_calls else WHOLE)
    if not is_whole or not (said.content or said.tool_calls):
        return f"the model ended with {said.finish_reason or 'nothing'!r}, and not with an answer"
    return ""


class Author(Protocol):
    """Whoever answers requests: a client of model servers, or the author that needs none."""

    def key(self, request: Request) -> str:
        """The key under which its answer is kept: the same request to the same author has the same."""
        ...

    def ask(self, request: Request, failed: FailedCall) -> Reply:
        """Answers a request; `failed` is told of each provider that did not.

        Raises:
            SynthesisError: Nobody answered.
        """
        ...


class FailedCall(Protocol):
    """Is told of a provider that failed, and who is asked instead, if anybody is."""

    def __call__(self, provider: str, model: str, error: ModelError, instead: str | None) -> None: ...


@cache
def json_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of an answer, worked out once. For looking only."""
    return schema.model_json_schema()


def count_tokens(messages: tuple[Message, ...] | list[Message]) -> int:
    """An estimate of the tokens of messages."""
    return sum(MESSAGE_TOKENS + len(msgspec.json.encode(message)) // BYTES_PER_TOKEN for message in messages)
