"""The event contract: one typed struct per kind of event.

Everything that has to know what an event looks like follows from these structs: the decoder, the JSON schema, the
columns of the landed tables and the page `docs/events.md`. A kind is added by writing a struct, a field by writing a
line; how its value is brought into shape (cut, clamped, filled in) stands beside it.

Nothing here reads a clock, touches a disk, or knows DuckDB, Delta or Dagster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args, get_type_hints

import msgspec
from msgspec import Meta

STRING_CHARS = 10_000  # any text of an event is cut here: landing keeps evidence, not documents
ID_CHARS = 200  # an id or a name is cut here in every kind alike, so that what is cut still joins
NESTED_STRING_CHARS = 500  # a string inside a JSON object is cut here
NESTED_VALUE_CHARS = (
    1000  # an object or list inside a JSON object whose text is longer becomes the beginning of that text
)
TELEMETRY_STRING_CHARS = STRING_CHARS  # a string inside what OpenTelemetry says: messages and arguments stand there
LINE_BYTES = 1 << 20  # no accepted event takes more; it bounds the buffer of every reader
CONTRACT = 2  # the number of this contract; each field or kind that is added raises it, and readers of old tell by it
SYNTHESIS = "oplake.synthesis"  # the source of what our own author lands: its answers, which it reads back as its cache
DEPTH = 64  # deeper nesting is refused before a recursive decoder runs out of stack
INT_MIN, INT_MAX = -(2**63), 2**63 - 1  # what Arrow, Delta and DuckDB hold

Json: TypeAlias = dict[str, Any]
Texts: TypeAlias = list[str]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=INT_MAX)]
Number: TypeAlias = Annotated[int, Meta(ge=INT_MIN, le=INT_MAX)]
Amount: TypeAlias = Annotated[float, Meta(ge=0)]
Id: TypeAlias = Annotated[str, Meta(min_length=1)]


def says(description: str, **shape: Any) -> Meta:
    """What a field means, and how its value is brought into shape before it is checked.

    Shapes: `cut=n` keeps the first n characters, of each text in a list; `nested_cut=n` the same of each string inside
    JSON objects, whose values are else left whole; `clamp=(low, high)` bounds a number; `fill=value` stands in for a
    missing or null value and is written out, so that a later default never changes what has landed. The JSON schema
    tells them all.
    """
    told = {"default" if name == "fill" else f"x-{name.replace('_', '-')}": value for name, value in shape.items()}
    return Meta(description=description, extra=shape, extra_json_schema=told)


class Event(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False, tag_field="kind"):
    """What every event has. Only empty defaults are left out of a line, and they never change."""

    event_id: Annotated[
        str,
        Meta(min_length=1, max_length=ID_CHARS),  # cut, two would become one
        says("identity of the event: a UUIDv7 from the client, or UUIDv5 of its file and offset"),
    ]
    ts: Annotated[datetime, Meta(tz=True), says("when it happened, by the producer's clock, in UTC")]
    received_at: Annotated[datetime, Meta(tz=True), says("when oplake accepted it, in UTC")]
    source: Annotated[str, says("what sent it in", cut=100, fill="agent")]
    extra: Annotated[Json, says("keys that the contract does not know, kept as they came")] = {}
    ts_suspect: Annotated[
        bool, says("its clock was more than a day ahead or 400 days behind; day is that of receipt")
    ] = False
    redactions: Annotated[dict[str, int], says("secrets replaced before it was written: rule to count")] = {}


class Op(Event, kw_only=True, tag="op"):
    """One operation of a gateway or tool and its outcome."""

    source: Annotated[str, says("what sent it in", cut=100, fill="mcp")]
    endpoint: Annotated[str, says("the operation called", cut=ID_CHARS)]
    input_summary: Annotated[str, says("what it was asked, in short", cut=1000)] = ""
    success: Annotated[bool, says("whether it did what was asked")]
    duration_ms: Annotated[Amount, says("how long it took, in milliseconds")]
    output_summary: Annotated[str, says("what came back, in short", cut=1000)] = ""
    error: Annotated[str | None, says("the error, when it failed", cut=2000)] = None
    staffer_id: Annotated[str | None, says("the member of staff concerned", cut=ID_CHARS)] = None
    sig_hash: Annotated[
        str | None, says("hash of the operation's signature; joins it with corrections", cut=ID_CHARS)
    ] = None
    event_kind: Annotated[str | None, says("kind of event staffed, for scenario operations", cut=ID_CHARS)] = None
    role: Annotated[str | None, says("role to be filled, for scenario operations", cut=ID_CHARS)] = None
    city: Annotated[str | None, says("city, for scenario operations", cut=ID_CHARS)] = None
    state: Annotated[str | None, says("state or region, for scenario operations", cut=ID_CHARS)] = None
    count: Annotated[Number | None, says("how many were asked for, for scenario operations")] = None
    rescue_attempted: Annotated[bool, says("whether a fallback was tried")] = False
    rescue_succeeded: Annotated[bool, says("whether the fallback worked")] = False
    task_class: Annotated[str | None, says("class of the task that it served", cut=ID_CHARS)] = None
    correction: Annotated[str | None, says("advice of an overseer that was applied", cut=STRING_CHARS)] = None
    applied_at_turn: Annotated[Count | None, says("turn at which the advice was applied")] = None
    agent_id: Annotated[str | None, says("the agent that called it", cut=ID_CHARS)] = None
    session_id: Annotated[str | None, says("the session that it belongs to", cut=ID_CHARS)] = None
    action_id: Annotated[str | None, says("the action that it belongs to", cut=ID_CHARS)] = None
    playbook_ids: Annotated[Texts, says("playbook entries shown to the caller", cut=ID_CHARS)] = []


class Note(Event, kw_only=True, tag="note"):
    """What a user said or felt about the work."""

    user_id: Annotated[Id, says("the user", cut=ID_CHARS)]
    note: Annotated[str, says("the note", cut=STRING_CHARS)]
    session_id: Annotated[str | None, says("the session that it is about", cut=ID_CHARS)] = None
    turn_index: Annotated[Count | None, says("the turn that it is about")] = None


class ActionBegun(Event, kw_only=True, tag="action_begun"):
    """An agent set out to do something, and said what to expect."""

    action_id: Annotated[Id, says("the action", cut=ID_CHARS)]
    agent_id: Annotated[str, says("the agent that acts", cut=ID_CHARS)]
    action_type: Annotated[str, says("class of the task", cut=ID_CHARS)]
    goal_id: Annotated[str | None, says("the goal pursued; runs of one task share it", cut=ID_CHARS)] = None
    parent_action_id: Annotated[str | None, says("the action that this one is part of", cut=ID_CHARS)] = None
    expected_outcome: Annotated[Json, says("keys and values that the outcome should have, stated beforehand")] = {}
    acceptance_criteria: Annotated[
        Texts, says("what must hold for the result to be accepted, in words", cut=STRING_CHARS)
    ] = []
    playbook_ids: Annotated[Texts, says("playbook entries shown to the agent", cut=ID_CHARS)] = []


class Step(Event, kw_only=True, tag="step"):
    """What an agent decided at one point of an action."""

    action_id: Annotated[Id, says("the action that it belongs to", cut=ID_CHARS)]
    step_index: Annotated[Count, says("its number within the action, from 0")]
    description: Annotated[str, says("what the agent did, in words", cut=500)]
    state: Annotated[Json, says("what the agent believed at this point")] = {}
    decision: Annotated[str, says("the choice made, as a short name", cut=ID_CHARS)] = ""
    confidence: Annotated[float, says("the agent's own confidence, in [0, 1]", clamp=(0.0, 1.0), fill=0.5)]
    actor: Annotated[str | None, says("which member of a team of agents decided", cut=ID_CHARS)] = None


class Observation(Event, kw_only=True, tag="observation"):
    """What the world reported during an action."""

    action_id: Annotated[Id, says("the action that it belongs to", cut=ID_CHARS)]
    observation_type: Annotated[str, says("what kind of report it is", cut=100)]
    data: Annotated[Json, says("what was reported")] = {}
    reported_by: Annotated[str, says("who or what reported it", cut=100)] = ""
    confidence: Annotated[float, says("how sure the reporter was, in [0, 1]", clamp=(0.0, 1.0), fill=1.0)]


class ActionCompleted(Event, kw_only=True, tag="action_completed"):
    """An action came to its end."""

    action_id: Annotated[Id, says("the action", cut=ID_CHARS)]
    outcome: Annotated[Json, says("what came of it; status says completed, error, timeout or evicted")] = {}


class Usage(Event, kw_only=True):
    """Tokens that a call to a model used."""

    input_tokens: Annotated[Count, says("tokens read, cached ones included")] = 0
    output_tokens: Annotated[Count, says("tokens written, reasoning included")] = 0
    cache_read_tokens: Annotated[Count, says("input tokens read from the provider's cache")] = 0
    cache_write_tokens: Annotated[Count, says("input tokens written to the provider's cache")] = 0
    reasoning_tokens: Annotated[Count, says("output tokens spent on reasoning")] = 0
    charged_usd: Annotated[Amount | None, says("cost in US dollars as charged, where it is known")] = None
    duration_ms: Annotated[Amount, says("how long it took, in milliseconds")] = 0.0


class Turn(Usage, kw_only=True, tag="turn"):
    """One exchange with a model within a session."""

    session_id: Annotated[Id, says("the session", cut=ID_CHARS)]
    turn_index: Annotated[Count, says("its number within the session, from 0")]
    user_id: Annotated[str | None, says("the user served", cut=ID_CHARS)] = None
    agent_id: Annotated[str | None, says("the agent that asked", cut=ID_CHARS)] = None
    provider: Annotated[str, says("who served the model", cut=ID_CHARS)]
    model: Annotated[str, says("the model that answered", cut=ID_CHARS)]
    tier: Annotated[str | None, says("tier of the model, such as flash, pro or reasoning", cut=100)] = None
    user_message: Annotated[str | None, says("what was asked", cut=STRING_CHARS)] = None
    response: Annotated[str | None, says("what was answered", cut=STRING_CHARS)] = None
    finish_reason: Annotated[str | None, says("why the model stopped", cut=100)] = None
    project_id: Annotated[str | None, says("the project that pays", cut=ID_CHARS)] = None


class ToolCall(Event, kw_only=True, tag="tool_call"):
    """One call of a tool within a turn."""

    session_id: Annotated[Id, says("the session", cut=ID_CHARS)]
    turn_index: Annotated[Count, says("the turn that made the call")]
    call_index: Annotated[Count, says("its number within the turn, from 0")]
    tool_name: Annotated[str, says("the tool", cut=ID_CHARS)]
    tool_call_id: Annotated[str | None, says("the model's own id of the call", cut=ID_CHARS)] = None
    args: Annotated[Json, says("what it was called with")] = {}
    ok: Annotated[bool, says("whether it worked")]
    error: Annotated[str | None, says("the error, when it failed", cut=2000)] = None
    output: Annotated[str, says("what it returned, in short", cut=500)] = ""
    duration_ms: Annotated[Amount, says("how long it took, in milliseconds")] = 0.0
    charged_usd: Annotated[Amount | None, says("cost in US dollars as charged, where it is known")] = None
    project_id: Annotated[str | None, says("the project that pays", cut=ID_CHARS)] = None


class Patch(Event, kw_only=True, tag="patch"):
    """A change that an agent made to a file."""

    session_id: Annotated[Id, says("the session", cut=ID_CHARS)]
    turn_index: Annotated[Count, says("the turn that made it")]
    path: Annotated[str, says("the file changed", cut=1000)]
    patch: Annotated[str, says("the change itself, as a diff", cut=STRING_CHARS)] = ""
    quality_issues: Annotated[Texts, says("issues that checks found in it", cut=STRING_CHARS)] = []
    new_failures: Annotated[Texts, says("tests that failed after it and not before", cut=STRING_CHARS)] = []
    coverage_drop: Annotated[float | None, says("percentage points of coverage lost")] = None
    rollback_recommended: Annotated[bool, says("whether a reviewer advised taking it back")] = False
    risk_score: Annotated[float | None, says("risk as estimated before it was made")] = None
    risk_tier: Annotated[str | None, says("tier of that risk", cut=100)] = None
    risk_signals: Annotated[Texts, says("what the estimate rests on", cut=STRING_CHARS)] = []
    is_blocked: Annotated[bool | None, says("whether it was stopped")] = None
    autonomy_level: Annotated[Number | None, says("how freely the agent could act; 3 and above is audited")] = None
    tool_name: Annotated[str | None, says("the tool that made it", cut=ID_CHARS)] = None
    call_index: Annotated[Count | None, says("the call within the turn that made it")] = None


SessionEventType: TypeAlias = Literal[
    "thinking",
    "response",
    "subtask",
    "error",
    "warning",
    "done",
    "escalation",
    "fallback",
    "checkpoint",
    "restored",
    "compressed",
    "confidence",
    "audit",
    "artifact",
    "review",
    "self_critique",
]

DETAIL_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "audit": ("level", "action", "details", "checkpoint_id"),
        "escalation": ("current_tier", "failure_type", "failure_detail", "attempt_number", "cost_spent_usd"),
        "review": ("blocks_merge", "reason", "findings"),
        "confidence": ("score", "reasons"),
        "fallback": ("from_provider", "to_provider", "error"),
    }
)
"""The keys of `session_event.detail` that models read, by event type; a review's findings have severity and message."""


class SessionEvent(Event, kw_only=True, tag="session_event"):
    """Something worth remembering that happened in a session."""

    session_id: Annotated[Id, says("the session", cut=ID_CHARS)]
    turn_index: Annotated[Count | None, says("the turn that it belongs to")] = None
    event_type: Annotated[SessionEventType, says("what happened")]
    content: Annotated[str, says("what happened, in words", cut=STRING_CHARS)] = ""
    detail: Annotated[Json, says("particulars, with fixed keys for some event types")] = {}


class Correction(Event, kw_only=True, tag="correction"):
    """Advice of an overseer after an agent went wrong."""

    model: Annotated[str, says("the model that gave the advice", cut=ID_CHARS, fill="gpt-oss:120b")]
    task_class: Annotated[str, says("class of the task corrected", cut=ID_CHARS)]
    reason: Annotated[str, says("what went wrong", cut=2000)] = ""
    correction: Annotated[str, says("the advice", cut=STRING_CHARS)]
    sig_hash: Annotated[
        str | None, says("hash of the operation's signature; joins it with operations", cut=ID_CHARS)
    ] = None
    applied_at_turn: Annotated[Count, says("turn at which it was applied", fill=0)]
    latency_ms: Annotated[Amount, says("how long the overseer took, in milliseconds", fill=0.0)]


class OperatorNote(Event, kw_only=True, tag="operator_note"):
    """What an operator wants a synthesis asset to take into account."""

    target: Annotated[Id, says("the session, asset or user that it is for", cut=ID_CHARS)]
    message: Annotated[str, says("the message", cut=STRING_CHARS)]


class PlaybookServed(Event, kw_only=True, tag="playbook_served"):
    """A playbook entry was shown to an agent, or withheld to learn what it is worth."""

    entry_id: Annotated[Id, says("the playbook entry", cut=ID_CHARS)]
    entry_version: Annotated[Count, says("its version")]
    task_class: Annotated[str, says("class of the task served", cut=ID_CHARS)]
    withheld: Annotated[bool, says("whether it was withheld, as a control")]
    session_id: Annotated[str | None, says("the session served", cut=ID_CHARS)] = None
    action_id: Annotated[str | None, says("the action served", cut=ID_CHARS)] = None


class Span(Event, kw_only=True, tag="span"):
    """An OpenTelemetry span, kept whole."""

    trace_id: Annotated[Id, says("the trace, in hex", cut=ID_CHARS)]
    span_id: Annotated[Id, says("the span, in hex", cut=ID_CHARS)]
    parent_span_id: Annotated[str | None, says("its parent, in hex", cut=ID_CHARS)] = None
    name: Annotated[str, says("name of the span", cut=1000)]
    span_kind: Annotated[str, says("internal, server, client, producer or consumer", cut=100)] = ""
    started_at: Annotated[datetime, Meta(tz=True), says("when it started, in UTC")]
    ended_at: Annotated[datetime, Meta(tz=True), says("when it ended, in UTC")]
    status: Annotated[str, says("unset, ok or error", cut=100)] = ""
    status_message: Annotated[str | None, says("what went wrong, when the status is error", cut=2000)] = None
    attributes: Annotated[Json, says("its attributes, by their names", nested_cut=TELEMETRY_STRING_CHARS)] = {}
    events: Annotated[
        list[Json], says("its events, in order: name, time, attributes", nested_cut=TELEMETRY_STRING_CHARS)
    ] = []
    resource: Annotated[Json, says("attributes of what sent it")] = {}
    scope: Annotated[str, says("the instrumentation that made it", cut=ID_CHARS)] = ""
    convention: Annotated[str, says("the naming convention that it speaks", cut=100)] = ""


class Log(Event, kw_only=True, tag="log"):
    """An OpenTelemetry log record, kept whole; an event, where it has a name."""

    trace_id: Annotated[str | None, says("the trace that it belongs to, in hex", cut=ID_CHARS)] = None
    span_id: Annotated[str | None, says("the span that it belongs to, in hex", cut=ID_CHARS)] = None
    name: Annotated[str, says("name of the event; empty for a plain log record", cut=1000)] = ""
    severity: Annotated[str, says("trace, debug, info, warn, error or fatal", cut=100)] = ""
    body: Annotated[
        Json, says("its body; one that is no object stands under `value`", nested_cut=TELEMETRY_STRING_CHARS)
    ] = {}
    attributes: Annotated[Json, says("its attributes, by their names", nested_cut=TELEMETRY_STRING_CHARS)] = {}
    resource: Annotated[Json, says("attributes of what sent it")] = {}
    scope: Annotated[str, says("the instrumentation that made it", cut=ID_CHARS)] = ""
    convention: Annotated[str, says("the naming convention that it speaks", cut=100)] = ""


class LlmCall(Usage, kw_only=True, tag="llm_call"):
    """What a synthesis asset asked a model, got and spent."""

    asset: Annotated[str, says("the asset that asked", cut=ID_CHARS)]
    partition: Annotated[str, says("the partition being made", cut=100)]
    user_id: Annotated[str | None, says("the user that it is about", cut=ID_CHARS)] = None
    step: Annotated[str, says("the step of the asset's work", cut=ID_CHARS)]
    provider: Annotated[str, says("who served the model", cut=ID_CHARS)]
    model: Annotated[str, says("the model that answered", cut=ID_CHARS)]
    prompt_hash: Annotated[
        str, says("hash of prompt, model, parameters and schema; the key of the cache", cut=ID_CHARS)
    ]
    prompt_version: Annotated[str, says("hash of the prompt's file", cut=ID_CHARS)]
    response: Annotated[str | None, says("what was answered", cut=200_000)] = None
    error: Annotated[str | None, says("the error, when there was no answer", cut=2000)] = None
    input_rows: Annotated[Count, says("rows of facts in the prompt")] = 0
    cached: Annotated[bool, says("whether an earlier answer served")] = False
    status: Annotated[str, says("how it ended", cut=100)]
    attempt: Annotated[Count, says("number of the attempt, from 1")] = 0


class Reject(Event, kw_only=True, tag="reject"):
    """A line that could not be used, with its bytes, its place and the reason."""

    origin: Annotated[str, says("the file, segment or door that it came through", cut=1000)]
    line: Annotated[Count, says("number of the line there, from 1; 0 where there are no lines")] = 0
    byte_offset: Annotated[Count, says("where it begins there, in bytes")] = 0
    reason: Annotated[str, says("what is wrong with it", cut=1000)]
    raw: Annotated[str, says("the bytes, redacted; see raw_encoding")] = ""
    raw_encoding: Annotated[Literal["utf-8", "base64"], says("how raw holds the bytes", fill="utf-8")]
    raw_bytes: Annotated[Count, says("how many bytes there were; more than raw holds when it was cut")] = 0


class Replay(Event, kw_only=True, tag="replay"):
    """A reject was taken in again."""

    reject_id: Annotated[Id, says("the event_id of the reject", cut=ID_CHARS)]
    replayed_event_id: Annotated[
        str, says("the event that it became; empty when it was rejected again", cut=ID_CHARS)
    ] = ""


KINDS: Mapping[str, type[Event]] = MappingProxyType(
    {
        str(cls.__struct_config__.tag): cls
        for cls in (
            Op,
            Note,
            ActionBegun,
            Step,
            Observation,
            ActionCompleted,
            Turn,
            ToolCall,
            Patch,
            SessionEvent,
            Correction,
            OperatorNote,
            PlaybookServed,
            Span,
            Log,
            LlmCall,
            Reject,
            Replay,
        )
    }
)
"""Every kind by its name."""

_IRREGULAR_PLURALS = {
    "action_begun": "actions_begun",
    "action_completed": "actions_completed",
    "patch": "patches",
    "playbook_served": "playbooks_served",
}

TABLES: Mapping[str, str] = MappingProxyType(
    {kind: "landed." + _IRREGULAR_PLURALS.get(kind, f"{kind}s") for kind in KINDS}
)
"""The landed table of every kind: its plural."""

ColumnType: TypeAlias = Literal["text", "integer", "number", "boolean", "time", "json", "texts"]

_COLUMN_TYPES: Mapping[Any, ColumnType] = MappingProxyType(
    {str: "text", int: "integer", float: "number", bool: "boolean", datetime: "time", Texts: "texts"}
)


@dataclass(frozen=True)
class Field:
    """One field of a kind, as everything but the decoder needs it."""

    name: str
    type: ColumnType
    description: str
    is_required: bool  # present in every line; otherwise a missing key stands for `empty`
    is_nullable: bool
    empty: Any  # the default: None, "", 0, False, [] or {}
    cut: int | None = None
    nested_cut: int | None = None  # of strings inside JSON, whose values then stay whole
    clamp: tuple[float, float] | None = None
    fill: Any = None
    min_chars: int = 0  # 1: an empty text is refused


@cache
def fields(kind: str) -> tuple[Field, ...]:
    """The fields of a kind, the common ones first, in the order of its table's columns.

    Raises:
        KeyError: There is no such kind.
    """
    cls = KINDS[kind]
    hints = get_type_hints(cls, include_extras=True)
    common = [*Event.__struct_fields__]
    names = common + [name for name in cls.__struct_fields__ if name not in common]
    declared = {field.name: field for field in msgspec.structs.fields(cls)}
    return tuple(_field(declared[name], hints[name]) for name in names)


def _field(declared: msgspec.structs.FieldInfo, hint: Any) -> Field:
    base, *metas = get_args(hint)
    shape: dict[str, Any] = {}
    description = ""
    for meta in metas:
        shape |= meta.extra or {}
        description = meta.description or description
        if meta.min_length is not None:
            shape["min_chars"] = meta.min_length
    inner = [arg for arg in get_args(base) if arg is not NoneType] if NoneType in get_args(base) else [base]
    empty = declared.default if declared.default is not msgspec.NODEFAULT else None
    if declared.default_factory is not msgspec.NODEFAULT:
        empty = declared.default_factory()
    return Field(
        name=declared.name,
        type=_column_type(inner[0]),
        description=description,
        is_required=declared.required,
        is_nullable=inner[0] is not base,
        empty=empty,
        **shape,
    )


def _column_type(hint: Any) -> ColumnType:
    if hasattr(hint, "__metadata__"):  # Annotated
        return _column_type(get_args(hint)[0])
    if hint in _COLUMN_TYPES:
        return _COLUMN_TYPES[hint]
    if getattr(hint, "__origin__", None) is Literal:
        return "text"
    return "json"


def json_schema(kind: str | None = None) -> dict[str, Any]:
    """JSON Schema of one kind, or of any event, for those who send them: required is what nobody fills in for them.

    Raises:
        KeyError: There is no such kind.
    """
    schema = msgspec.json.schema(KINDS[kind] if kind else AnyEvent)
    made = {"event_id", "received_at"}  # of its place, and of the time
    for name in KINDS if kind is None else [kind]:
        required = [field.name for field in fields(name) if field.is_required and field.fill is None]
        schema["$defs"][KINDS[name].__name__]["required"] = ["kind", *(key for key in required if key not in made)]
    return schema


AnyEvent: Any = None
for _cls in KINDS.values():
    AnyEvent = _cls if AnyEvent is None else AnyEvent | _cls

if TYPE_CHECKING:
    decoder: msgspec.json.Decoder[Event]
    """Decodes one landed line, strictly, into the struct of its kind."""


def __getattr__(name: str) -> Any:
    """Makes `decoder` when somebody asks for it: that takes as long as all else here, and agents pay for imports."""
    if name != "decoder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = made = msgspec.json.Decoder(AnyEvent)
    return made


encoder = msgspec.json.Encoder(order="deterministic")
"""Encodes an event as one line without its newline: `kind` first, the keys of free-form objects sorted, no spaces.

So the text of a nested value is canonical, and two are equal when their texts are.
"""
