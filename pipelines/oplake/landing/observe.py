"""`observed`: times a call and lands one operation that says how it went.

Here is how a call, its result and its error become the fields of an `op`. Nothing of it changes what the call returns
or raises: what fails on the way is logged.

An operation is landed where its call ended, in a loop too, which it holds up for the millisecond or two of a commit. To
await that elsewhere would be a place where a cancellation takes the result away, where a coroutine that is closed
cannot go on, and where a full pool of threads waits for itself.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from oplake.events import DEPTH, STRING_CHARS, encoder
from oplake.landing.errors import LandingError
from oplake.landing.from_python import json_of, text_of
from oplake.landing.recorder import Recorder, describe
from oplake.landing.redaction import redact

log = logging.getLogger(__name__)

SEEN_CHARS = 1000  # of a text before it is cut to less: a secret that begins before the cut has to be seen whole
ANSWER_CHARS = 80  # of an answer, enough to recognise it
JSON_CHARS = 100  # of any other result
ARGUMENT_CHARS = 200  # of one argument, so that the others are seen too

P = ParamSpec("P")
R = TypeVar("R")


def observed(endpoint: str, recorder: Recorder | None = None, **fields: Any) -> Observed:
    """Times a call and lands one `op`: as a decorator of a function, async ones too, or as a context manager.

    A returned mapping with an error, or an exception, which is raised on, is a failure.

        @observed("search")
        def search(query): ...

        with observed("search", session_id=session) as call:
            call.result = search(query)

    Args:
        endpoint: What the operation is called.
        recorder: Where it lands; a recorder of this process with the settings of the environment, if None.
        fields: Further fields of `oplake.events.Op`, such as session_id or task_class.
    """
    return Observed(endpoint, recorder, fields)


class Observed:
    """One way of observing; each call, or each `with` block, is an operation of its own."""

    def __init__(self, endpoint: str, recorder: Recorder | None, fields: dict[str, Any]) -> None:
        self._endpoint = endpoint
        self._recorder = recorder
        self._fields = fields
        self._started = 0.0
        self.result: Any = None  # in a `with` block: what is to be summed up

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            name = getattr(function, "__qualname__", repr(function))
            raise TypeError(f"{name} is a generator; observe the calls that it makes instead")
        signature = _signature(function)
        # An object that is called like an async function is one.
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):

            @functools.wraps(function)
            async def awaiting(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._call(signature, args, kwargs) as call:
                    result = await cast("Any", function)(*args, **kwargs)
                    call.result = result
                return result

            return cast("Callable[P, R]", awaiting)

        @functools.wraps(function)
        def calling(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._call(signature, args, kwargs) as call:
                result = function(*args, **kwargs)
                call.result = result
            return result

        return calling

    def __enter__(self) -> Self:
        self.result = None  # not that of the block before
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        duration_ms = (time.perf_counter() - self._started) * 1000
        try:
            counts = dict(self._fields.get("redactions", {}))
            failure, summary = _outcome(self.result, error, counts)
            told = {"output_summary": summary, "error": failure, **self._fields, "redactions": counts}
            measured = {"success": failure is None, "duration_ms": duration_ms}
            (self._recorder or _default()).op(self._endpoint, **told | measured)
        except LandingError:
            pass  # a strict recorder has logged and counted it; what the call says is not to be changed
        except Exception as problem:  # noqa: BLE001  # settings, say; the call has nothing to do with it
            log.error("a call of %s was not recorded: %s", self._endpoint, redact(describe(problem), {}))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _call(self, signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Observed:
        """One call of what is decorated: calls that overlap have nothing in common."""
        counts: dict[str, int] = {}
        fields = {"input_summary": summarise_input(signature, args, kwargs, counts), "redactions": counts}
        return Observed(self._endpoint, self._recorder, fields | self._fields)


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # many builtins have none
        return None


def _outcome(result: Any, error: BaseException | None, counts: dict[str, int]) -> tuple[str | None, str]:
    """The error of a call, if it is a failure, and what came back."""
    try:
        failure = describe(error) if error is not None else error_of(result, counts)
        summary = f"ERROR: {failure}" if failure is not None else summarise_output(result, counts)
    except Exception as problem:  # noqa: BLE001  # the result's own code: what a mapping does when it is read
        return None, f"<{type(problem).__name__}>"
    return failure, summary


def error_of(result: Any, counts: dict[str, int]) -> str | None:
    """The error that a returned mapping tells of: not null, false, 0 or empty."""
    error = result.get("error") if isinstance(result, Mapping) else None
    if error is None or _is_empty(error):
        return None
    return error[:STRING_CHARS] if isinstance(error, str) else _beginning(error, JSON_CHARS, counts)


def _is_empty(value: Any) -> bool:
    try:
        return not value
    except Exception:  # noqa: BLE001  # an array of many says that it cannot say: then there is something
        return False


def summarise_output(result: Any, counts: dict[str, int]) -> str:
    """What came back, in one line; what is secret in it is replaced and counted."""
    if isinstance(result, Mapping):
        if "sql_matches" in result or "vector_reranked" in result:
            return f"hybrid: {_many(result.get('sql_matches'))} sql → {_many(result.get('vector_reranked'))} results"
        if "rows" in result:
            return f"{_many(result['rows'])} rows"
        if "answer" in result:
            answer = result["answer"]
            if isinstance(answer, str):
                return f"answer: {redact(answer[:SEEN_CHARS], counts)[:ANSWER_CHARS]}"
            return f"answer: {_beginning(answer, ANSWER_CHARS, counts)}"
        if "sources" in result:
            return f"{_many(result['sources'])} sources"
    return _beginning(result, JSON_CHARS, counts)


def summarise_input(
    signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: Mapping[str, Any], counts: dict[str, int]
) -> str:
    """What a function was called with: its arguments by name, but for `self` and `cls`."""
    try:
        arguments = None if signature is None else signature.bind(*args, **kwargs).arguments
    except TypeError:  # the call itself is about to say so
        return ""
    named = [("", value) for value in args] + [*kwargs.items()] if arguments is None else arguments.items()
    return ", ".join(
        _beginning(value, ARGUMENT_CHARS, counts, f"{name}=" if name else "")
        for name, value in named
        if name not in {"self", "cls"}
    )


def _many(value: Any) -> int:
    """How many there are: a whole number, or the length of what has one."""
    if isinstance(value, (bool, str, bytes)):
        return 0
    try:
        return len(value)
    except Exception:  # noqa: BLE001  # an object of whatever kind, so it may be a number
        number = json_of(value, 0)
    is_whole = isinstance(number, (int, float)) and not isinstance(number, bool) and number % 1 == 0
    return int(number) if is_whole else 0


def _beginning(value: Any, chars: int, counts: dict[str, int], name: str = "") -> str:
    """A name and the first characters of a value's JSON, free of secrets before it is cut. The rest is not written."""
    parts = [name]
    length = 0
    try:
        for part in _written(value, DEPTH):
            parts.append(part)
            length += len(part)
            if length >= SEEN_CHARS:
                break
    except Exception as error:  # noqa: BLE001  # what an object does when it is looked into is its own code
        parts.append(f"<{type(error).__name__}>")
    return redact("".join(parts), counts)[: len(name) + chars]


def _written(value: Any, depth: int) -> Iterator[str]:
    """A value's JSON in pieces, of which none is much longer than what is looked at."""
    if depth and isinstance(value, Mapping):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield f"{',' if number else ''}{_quoted(text_of(key)[:SEEN_CHARS])}:"
            yield from _written(item, depth - 1)
        yield "}"
    elif depth and isinstance(value, (list, tuple)):
        yield "["
        for number, item in enumerate(value):
            if number:
                yield ","
            yield from _written(item, depth - 1)
        yield "]"
    else:
        whole = json_of(value[:SEEN_CHARS] if isinstance(value, (str, bytes, bytearray)) else value, 0)
        yield _quoted(whole[:SEEN_CHARS] if isinstance(whole, str) else whole)


def _quoted(scalar: Any) -> str:
    return encoder.encode(scalar).decode()


@cache
def _default() -> Recorder:
    """The recorder of whoever names none."""
    return Recorder()
