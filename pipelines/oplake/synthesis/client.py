"""The client: one request to a model server, whatever the network does.

It speaks OpenAI-style chat completions over httpx. Here are time limits, retries, the switch to the fallback provider
and the circuit breaker. What may be spent, what was answered before and what lands is in `calls`.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import httpx
import msgspec
import stamina
from pydantic import SecretStr

from oplake.settings import Settings
from oplake.synthesis.errors import CircuitOpen, ModelError, ProvidersFailed, SynthesisError
from oplake.synthesis.run_state import RunState
from oplake.synthesis.wire import BYTES_PER_TOKEN, FailedCall, Reply, Request, Said, Tier, Tokens, ToolCall

ANSWER_SECONDS = 60.0  # a whole answer, whether it hangs or drips
CONNECT_SECONDS = 10.0
ANSWER_BYTES = 4 * 2**20  # far above any answer that is asked for; an endless one must not fill the memory
ATTEMPTS = 4  # of one provider
RETRY_SECONDS = 90.0  # for all attempts at one provider; a scheduled run has time, but not for ever
WAIT_SECONDS = 30.0  # the longest wait between two attempts; who asks for more is not waited for
BREAK_AFTER = 3  # calls in a row that failed everywhere
MOST_TOKENS = 10**9  # of a call: no context holds more, and what says so is no count of tokens
MOST_USD = 10**6  # of a call, likewise
LATER = 429  # the one 4xx that is worth asking again
SWITCHED = frozenset({500, 503})  # go to the fallback at once, where there is one


@dataclass(frozen=True)
class Endpoint:
    """A model server: who it is, where, and its model of each tier."""

    provider: str
    url: str
    key: SecretStr | None
    models: Mapping[Tier, str]


def endpoints(settings: Settings) -> tuple[Endpoint, ...]:
    """The servers that the settings name: primary and fallback, as far as they are there.

    Raises:
        SynthesisError: A server is named, but no model.
    """
    found = []
    for which in ("llm", "llm_fallback"):
        url = getattr(settings, f"{which}_url")
        if not url:
            continue
        flash, pro = getattr(settings, f"{which}_flash"), getattr(settings, f"{which}_pro")
        if not flash and not pro:
            name = f"OPLAKE_{which.upper()}"
            raise SynthesisError(f"{name}_URL is set but no model: set {name}_FLASH, {name}_PRO or both")
        models: dict[Tier, str] = {"flash": flash or pro, "pro": pro or flash}
        provider = getattr(settings, f"{which}_provider") or httpx.URL(url).host
        found.append(Endpoint(provider, url.rstrip("/"), getattr(settings, f"{which}_key"), models))
    return tuple(found)


@dataclass(frozen=True)
class Patience:
    """How long one provider is asked, in seconds."""

    answer: float = ANSWER_SECONDS
    connect: float = CONNECT_SECONDS
    retry: float = RETRY_SECONDS
    wait_initial: float = 0.5
    wait: float = WAIT_SECONDS


class Client:
    """Asks the servers of a run: the primary, and once that fails only the fallback.

    Not for several threads at a time. Close it, or use it in a `with` block.
    """

    def __init__(
        self, servers: tuple[Endpoint, ...], *, patience: Patience = Patience(), run: RunState | None = None
    ) -> None:
        """Nothing is opened yet.

        Args:
            servers: In the order in which they are asked; one at least.
            patience: How long.
            run: The run that is under way, which may have had other clients; without it one begins.
        """
        self._servers = servers
        self._patience = patience
        self._run = run or RunState()
        timeout = httpx.Timeout(patience.answer, connect=patience.connect)
        self._http = httpx.Client(timeout=timeout, follow_redirects=False)

    def key(self, request: Request) -> str:
        """The key of the cache: by the primary's model, so that it is the same when the fallback answered."""
        return request.hash(self._servers[0].models[request.tier])

    def priced(self, tier: Tier) -> list[tuple[str, str]]:
        """Provider and model of each that may answer from here on, so that a limit can hold for all of them."""
        return [(server.provider, server.models[tier]) for server in self._servers[self._run.server :]]

    def ask(self, request: Request, failed: FailedCall) -> Reply:
        """Asks until somebody answers.

        Raises:
            ModelError: The request was refused; asking anybody else would be no use.
            ProvidersFailed: All failed.
            CircuitOpen: Calls kept failing, so nobody was asked.
        """
        run = self._run
        if run.failures >= BREAK_AFTER:
            raise CircuitOpen(
                f"{run.failures} calls in a row failed, so no more are made in this run; see the errors before, and "
                f"whether {', '.join(server.url for server in self._servers)} can be reached"
            )
        reasons: list[str] = []
        while True:
            server = self._servers[run.server]
            has_next = run.server + 1 < len(self._servers)
            try:
                reply = self._ask_patiently(server, request, has_next=has_next)
            except ModelError as error:
                reasons.append(f"{server.provider} ({server.models[request.tier]}): {error}")
                instead = self._servers[run.server + 1].provider if has_next and not error.is_final else None
                failed(server.provider, server.models[request.tier], error, instead)
                if error.is_final:
                    run.failures += 1
                    raise
                if not has_next:
                    run.failures += 1
                    raise ProvidersFailed("no model answered: " + "; ".join(reasons)) from error
                run.server += 1  # for the rest of the run
            else:
                run.failures = 0
                return reply

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask_patiently(self, server: Endpoint, request: Request, *, has_next: bool) -> Reply:
        began = time.monotonic()
        attempts = 0

        def wait(error: Exception) -> bool | float:
            """Whether to ask again, and after how many seconds where the server says."""
            if not isinstance(error, ModelError) or error.is_final or (has_next and error.status in SWITCHED):
                return False
            if error.retry_after is None:
                return True
            left = self._patience.retry - (time.monotonic() - began)
            return error.retry_after if error.retry_after <= min(self._patience.wait, left) else False

        try:
            for attempt in stamina.retry_context(
                on=wait,
                attempts=ATTEMPTS,
                timeout=self._patience.retry,
                wait_initial=self._patience.wait_initial,
                wait_max=self._patience.wait,
                wait_jitter=self._patience.wait_initial,
            ):
                with attempt:
                    attempts += 1
                    return self._ask_once(server, request, began, attempts)
        except ModelError as error:
            error.attempts, error.duration_ms = attempts, (time.monotonic() - began) * 1000
            raise
        raise AssertionError("stamina returned without an answer or an error")

    def _ask_once(self, server: Endpoint, request: Request, began: float, attempts: int) -> Reply:
        model = server.models[request.tier]
        refused = self._run.refused.setdefault(f"{server.url} {model}", set())
        while True:
            sent = request.body(model, without=refused)
            status, body, later = self._post(server, sent)
            complaint = _refused(body, sent) if status in {400, 422} else None
            if complaint is None:
                break
            refused.add(complaint)  # another request, not the same again; the prompt says the schema, too
        if status != 200:
            is_final = 300 <= status < 500 and status != LATER
            raise ModelError(f"HTTP {status}: {_excerpt(body)}", status=status, retry_after=later, is_final=is_final)
        said, tokens, charged_usd = _read(body)
        tokens = tokens._replace(  # estimates where it does not say: what is paid for must not look free
            input_tokens=tokens.input_tokens or request.prompt_tokens,
            output_tokens=tokens.output_tokens or len(body) // BYTES_PER_TOKEN,
        )
        took_ms = (time.monotonic() - began) * 1000
        return Reply(said, server.provider, model, tokens, charged_usd, took_ms, attempts)

    def _post(self, server: Endpoint, body: dict[str, Any]) -> tuple[int, bytes, float | None]:
        """Status, body and the seconds of `Retry-After`, within the time and size that an answer may have.

        Raises:
            ModelError: There was no whole answer.
        """
        headers = {"authorization": f"Bearer {server.key.get_secret_value()}"} if server.key else {}
        deadline = time.monotonic() + self._patience.answer
        received = bytearray()
        try:
            with self._http.stream("POST", f"{server.url}/chat/completions", json=body, headers=headers) as response:
                for part in response.iter_bytes():
                    received += part
                    if len(received) > ANSWER_BYTES:
                        raise ModelError(f"the answer has more than {ANSWER_BYTES} bytes")
                    if time.monotonic() > deadline:
                        raise ModelError(f"the answer was not whole after {self._patience.answer:g} s")
                status = response.status_code
                later = _retry_after(response.headers.get("retry-after"))
        except httpx.TimeoutException as error:
            raise ModelError(f"no answer within the time limit ({type(error).__name__})") from error
        except httpx.HTTPError as error:
            raise ModelError(f"{type(error).__name__}: {error}") from error
        return status, bytes(received), later


_COMPLAINTS = {
    "response_format": (b"response_format", b"json_schema"),
    "max_tokens": (b"max_completion_tokens",),  # its newer name, which older servers do not know
    "temperature": (b"temperature",),
}


def _refused(body: bytes, sent: Mapping[str, Any]) -> str | None:
    """The parameter that a refusal complains of, if it is one that can be left out."""
    for name, words in _COMPLAINTS.items():
        if name in sent and any(word in body for word in words):
            return name
    return None


def _excerpt(body: bytes) -> str:
    return " ".join(body[:300].decode(errors="replace").split()) or "an empty body"


_SECONDS = re.compile(r"\s*[0-9]+\s*")  # `isdigit` takes a superscript for a number, which `float` does not


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait by a `Retry-After`, which has seconds or a date."""
    if not value:
        return None
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # nothing of the kind, or a year that no date has
        return None
    return max(0.0, (at - datetime.now(UTC)).total_seconds()) if at.tzinfo else None


class _Function(msgspec.Struct):
    name: str
    arguments: Any = ""


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Answer(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_Call] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    message: _Answer
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: msgspec.Raw = msgspec.Raw()  # read apart: no answer is lost, and asked and paid for again, over it


_decoder = msgspec.json.Decoder(_Completion)


def _read(body: bytes) -> tuple[Said, Tokens, float | None]:
    """What a completion says, whatever its content type is; tokens and charge as far as it tells them.

    Raises:
        ModelError: It is no completion.
    """
    try:
        completion = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"the answer is no chat completion ({error}): {_excerpt(body)}", status=200) from error
    if not completion.choices:
        raise ModelError("the answer has no choices", status=200)
    choice = completion.choices[0]
    said = Said(
        content=choice.message.content or "",
        finish_reason=choice.finish_reason or "",
        tool_calls=tuple(
            ToolCall(call.id or f"call_{number}", call.function.name, _arguments(call.function.arguments))
            for number, call in enumerate(choice.message.tool_calls or [])
        ),
        thinking=choice.message.reasoning_content or choice.message.reasoning or "",
    )
    return said, *_usage(completion.usage)


def _usage(told: msgspec.Raw) -> tuple[Tokens, float | None]:
    """Tokens, and US dollars that were charged, as far as a completion tells them; 0 and None where it does not."""
    try:
        usage = _object(msgspec.json.decode(told))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        usage = {}
    tokens = (
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        _object(usage.get("prompt_tokens_details")).get("cached_tokens"),
        0,
        _object(usage.get("completion_tokens_details")).get("reasoning_tokens"),
    )
    charged = _number(usage.get("cost"), most=MOST_USD)
    return Tokens(*(int(_number(each, most=MOST_TOKENS) or 0) for each in tokens)), charged


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any, *, most: int) -> float | None:
    """A number of JSON that is one, and not absurd."""
    return float(value) if type(value) in {int, float} and 0 <= value <= most else None


def _arguments(value: Any) -> str:
    """As text: some servers send the object itself."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
