"""`observed`: times a call and lands one operation that says how it went.

Here is how a call, its result and its error become the fields of an `op`. Nothing of it changes what the call returns
or raises.
"""

from __future__ import annotations

import functools
import inspect
import json
import time
from collections.abc import Callable, Mapping
from functools import cache
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from oplake.landing.recorder import Recorder, describe

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
            raise TypeError(f"{function.__qualname__} is a generator; observe the calls that it makes instead")
        signature = inspect.signature(function)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaiting(*args: P.args, **kwargs: P.kwargs) -> Any:
                fields = {"input_summary": summarise_input(signature, args, kwargs), **self._fields}
                call = Observed(self._endpoint, self._recorder, fields)
                call._started = time.perf_counter()
                try:
                    call.result = await function(*args, **kwargs)
                except BaseException as error:
                    await call.__aexit__(type(error), error, None)
                    raise
                await call.__aexit__(None, None, None)
                return call.result

            return cast("Callable[P, R]", awaiting)

        @functools.wraps(function)
        def calling(*args: P.args, **kwargs: P.kwargs) -> R:
            fields = {"input_summary": summarise_input(signature, args, kwargs), **self._fields}
            with Observed(self._endpoint, self._recorder, fields) as call:
                result = function(*args, **kwargs)
                call.result = result
            return result

        return calling

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._land(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        import asyncio  # a quarter of the time that importing oplake takes; whoever awaits has it already

        await asyncio.to_thread(self._land, error)

    def _land(self, error: BaseException | None) -> None:
        duration_ms = (time.perf_counter() - self._started) * 1000
        failure = describe(error) if error is not None else error_of(self.result)
        summary = f"ERROR: {failure}" if failure is not None else summarise_output(self.result)
        (self._recorder or _default()).op(
            self._endpoint,
            success=failure is None,
            duration_ms=duration_ms,
            **{"output_summary": summary, "error": failure, **self._fields},
        )


def error_of(result: Any) -> str | None:
    """The error that a returned mapping tells of: not null, false, 0 or empty."""
    error = result.get("error") if isinstance(result, Mapping) else None
    if not error:
        return None
    return error if isinstance(error, str) else _beginning(error, JSON_CHARS)


def summarise_output(result: Any) -> str:
    """What came back, in one line."""
    if isinstance(result, Mapping):
        if "sql_matches" in result or "vector_reranked" in result:
            return f"hybrid: {_many(result.get('sql_matches'))} sql → {_many(result.get('vector_reranked'))} results"
        if "rows" in result:
            return f"{_many(result['rows'])} rows"
        if "answer" in result:
            return f"answer: {str(result['answer'])[:ANSWER_CHARS]}"
        if "sources" in result:
            return f"{_many(result['sources'])} sources"
    return _beginning(result, JSON_CHARS)


def summarise_input(signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """What a function was called with: its arguments by name, but for `self` and `cls`."""
    try:
        arguments = signature.bind(*args, **kwargs).arguments
    except TypeError:  # the call itself is about to say so
        return ""
    named = {name: value for name, value in arguments.items() if name not in {"self", "cls"}}
    return ", ".join(f"{name}={_beginning(value, ARGUMENT_CHARS)}" for name, value in named.items())


def _many(value: Any) -> int:
    """How many there are: a number, or the length of a list."""
    if isinstance(value, (list, tuple, Mapping, set)):
        return len(value)
    return int(value) if isinstance(value, (int, float)) else 0


def _beginning(value: Any, chars: int) -> str:
    """The first characters of a value's JSON, without writing the rest of it."""
    parts: list[str] = []
    length = 0
    try:
        for part in _encoder.iterencode(value):
            parts.append(part)
            length += len(part)
            if length >= chars:
                break
    except Exception as error:  # noqa: BLE001  # what an object does when it is written as text is its own code
        parts.append(f"<{type(error).__name__}>")
    return "".join(parts)[:chars]


_encoder = json.JSONEncoder(ensure_ascii=False, default=str, separators=(",", ":"))


@cache
def _default() -> Recorder:
    """The recorder of whoever names none."""
    return Recorder()
