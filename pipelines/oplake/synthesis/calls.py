"""Calls: every request of a run goes through here, so that it is paid once, under the budget, and lands.

A call that landed with an answer to work with is the cache for the same request. All others land, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from oplake import events
from oplake.lake.tables import Lake
from oplake.landing.redaction import hide, redact
from oplake.landing.shape import json_or_text
from oplake.landing.writer import utc_now
from oplake.settings import Settings
from oplake.synthesis.client import Client, Patience, endpoints
from oplake.synthesis.errors import ModelError
from oplake.synthesis.extractive import Extractive
from oplake.synthesis.memory import CLEAN, SOURCE, Memory, clean
from oplake.synthesis.run_state import RunState
from oplake.synthesis.spending import Budget, Prices
from oplake.synthesis.wire import NO_TOKENS, Author, Request, Said, Tokens, flaw

RESPONSE_CHARS = 190_000  # a little less than `llm_call.response` holds: redaction may make it longer
OK, FAILED = "ok", "error"  # of `llm_call.status`


@dataclass(frozen=True)
class Purpose:
    """What a call is for: the columns of `llm_call` and `turn` that say so."""

    asset: str
    partition: str
    user_id: str | None
    step: str
    prompt_version: str
    session_id: str
    turn_index: int
    input_rows: int = 0


@dataclass(frozen=True)
class Made:
    """An answer as it landed, and what it took this time: nothing, when it was served from landing."""

    said: Said
    provider: str
    model: str
    prompt_hash: str
    is_cached: bool
    tokens: Tokens = NO_TOKENS
    charged_usd: float | None = None
    cost_usd: Decimal | None = Decimal()  # as charged, else by the price list; None when neither is known
    duration_ms: float = 0.0
    attempts: int = 0


@dataclass(frozen=True)
class Failure:
    """A provider that failed, and who was asked instead."""

    provider: str
    model: str
    error: str
    instead: str | None


@contextmanager
def open_calls(
    settings: Settings,
    lake: Lake | None = None,
    *,
    clock: Callable[[], datetime] = utc_now,
    patience: Patience = Patience(),  # noqa: B008  # it cannot change
    run: RunState | None = None,
) -> Iterator[Calls]:
    """The calls of a run, or of a part of it: of the servers that the settings name, or of the author that needs none.

    Args:
        settings: Who is asked, and what that may cost.
        lake: The lake, where the caller has it open.
        clock: What tells the time.
        patience: How long a server is asked.
        run: The run that is under way; without it one begins.

    Raises:
        SynthesisError: A server is named, but no model.
    """
    servers = endpoints(settings)
    with Memory(settings, lake, clock=clock) as memory:
        if not servers:
            yield Calls(Extractive(), memory, settings)
            return
        run = run or RunState()
        with Client(servers, patience=patience, run=run) as client:
            yield Calls(client, memory, settings, run)


@dataclass
class Calls:
    """Makes the calls of a run."""

    author: Author
    memory: Memory
    settings: Settings
    run: RunState = field(default_factory=RunState)
    failures: list[Failure] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.prices = Prices(self.memory.lake, self.memory.connection)
        self.budget = Budget(self.settings, self.memory, self.prices, self.run)

    def make(
        self, request: Request, purpose: Purpose, *, is_replay: bool = False, also: Sequence[Mapping[str, Any]] = ()
    ) -> Made:
        """The answer to a request: from landing if it is there, else from the author, landed before it is returned.

        What an author says may have a `flaw`; it is returned and lands all the same, and serves nobody later.

        Args:
            request: What is asked.
            purpose: What for.
            is_replay: Whether the turn has landed already, so that it does not land again unless it is paid again.
            also: More events to land together with the answer.

        Raises:
            OverBudget: Asking could pass a limit.
            SynthesisError: Nobody answered.
            LandingError: What was answered could not be made durable.
        """
        key = self.author.key(request)
        made = self._earlier(request, key) or self._ask(request, purpose, key)
        call = {
            **_call(purpose, made.provider, made.model, key),
            "status": OK,
            "cached": made.is_cached,
            **_usage(made),
        }
        if not made.is_cached:
            call |= {"attempt": made.attempts, CLEAN: {"response": _fitting(_clean(made.said))}}
        landed = self.memory.land(
            [call, *([] if is_replay and made.is_cached else [_turn(request, purpose, made)]), *also]
        )
        if made.is_cached:
            return made
        self.run.spent_usd += made.cost_usd or Decimal()
        assert isinstance(landed[0], events.LlmCall)
        return replace(made, said=_decoder.decode(landed[0].response or ""))  # as landing will serve it: redacted

    def _earlier(self, request: Request, key: str) -> Made | None:
        """The last answer to the same request that is one to work with: served the others, no retry could succeed."""
        for row in reversed(self.memory.find("llm_call", prompt_hash=key, status=OK, cached=False, source=SOURCE)):
            said = _decoder.decode(row["response"])
            if not flaw(said, request):
                return Made(said, row["provider"], row["model"], key, is_cached=True)
        return None

    def _ask(self, request: Request, purpose: Purpose, key: str) -> Made:
        day = self.memory.now().date()
        if isinstance(self.author, Client):
            most = Tokens(request.prompt_tokens, request.max_tokens)
            self.budget.check(self.author.priced(request.tier), most, day)

        def failed(provider: str, model: str, error: ModelError, instead: str | None) -> None:
            self.failures.append(Failure(provider, model, str(error), instead))
            call = _call(purpose, provider, model, key)
            call |= {"status": FAILED, "error": str(error), "attempt": error.attempts, "duration_ms": error.duration_ms}
            happened = [call]
            if instead is not None:
                detail = {"from_provider": provider, "to_provider": instead, "error": str(error)}
                happened.append(
                    {
                        "kind": "session_event",
                        "session_id": purpose.session_id,
                        "turn_index": purpose.turn_index,
                        "event_type": "fallback",
                        "content": f"{provider} failed, so {instead} is asked for the rest of the run",
                        "detail": detail,
                    }
                )
            self.memory.land(happened)

        reply = self.author.ask(request, failed)
        cost: Decimal | None = None
        if reply.charged_usd is not None:
            cost = Decimal(str(reply.charged_usd))
        elif isinstance(self.author, Client):
            cost = self.prices.cost(reply.provider, reply.model, day, reply.tokens)
        return Made(
            said=reply.said,
            provider=reply.provider,
            model=reply.model,
            prompt_hash=key,
            is_cached=False,
            tokens=reply.tokens,
            charged_usd=reply.charged_usd,
            cost_usd=cost,
            duration_ms=reply.duration_ms,
            attempts=reply.attempts,
        )


_decoder = msgspec.json.Decoder(Said)


def _call(purpose: Purpose, provider: str, model: str, key: str) -> dict[str, Any]:
    return {
        "kind": "llm_call",
        "asset": purpose.asset,
        "partition": purpose.partition,
        "user_id": purpose.user_id,
        "step": purpose.step,
        "provider": provider,
        "model": model,
        "prompt_hash": key,
        "prompt_version": purpose.prompt_version,
        "input_rows": purpose.input_rows,
        "session_id": purpose.session_id,  # no field of an llm_call: it goes to `extra`
        "turn_index": purpose.turn_index,
    }


def _turn(request: Request, purpose: Purpose, made: Made) -> dict[str, Any]:
    asked = next((each["content"] for each in reversed(request.messages) if each["role"] != "assistant"), None)
    return {
        "kind": "turn",
        "session_id": purpose.session_id,
        "turn_index": purpose.turn_index,
        "agent_id": purpose.asset,
        "provider": made.provider,
        "model": made.model,
        "tier": request.tier,
        "user_message": asked,
        "response": made.said.content,
        "finish_reason": made.said.finish_reason,
        **_usage(made),
    }


def _usage(made: Made) -> dict[str, Any]:
    charged = 0.0 if made.is_cached else made.charged_usd
    return {**made.tokens._asdict(), "charged_usd": charged, "duration_ms": made.duration_ms}


def _clean(said: Said) -> Said:
    """An answer free of secrets, in which JSON is still JSON."""
    calls = tuple(msgspec.structs.replace(call, arguments=_clean_text(call.arguments)) for call in said.tool_calls)
    content, thinking = _clean_text(said.content), redact(said.thinking, {})
    return msgspec.structs.replace(said, content=content, tool_calls=calls, thinking=thinking)


def _clean_text(text: str) -> str:
    value = json_or_text(text)
    if isinstance(value, str):
        return redact(text, {})
    cleaned = clean(hide(value, {}))
    return text if cleaned == value else msgspec.json.encode(cleaned).decode()


def _fitting(said: Said) -> str:
    """The JSON of an answer, shortened until an event can hold it: cut by landing, it would be no JSON any more."""
    while len(text := msgspec.json.encode(said).decode()) > RESPONSE_CHARS:
        kept, calls = said.content[: len(said.content) // 2], said.tool_calls[: len(said.tool_calls) // 2]
        said = msgspec.structs.replace(said, content=kept, tool_calls=calls, thinking="")
    return text
