"""A model server for tests: uvicorn with a scripted OpenAI-style application, in a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from oplake.synthesis.client import Patience

PATIENT = Patience(answer=20, connect=20, retry=20, wait_initial=0.01, wait=0.05)
"""Enough for a busy machine: an answer that is not waited for is asked for twice, and tests count requests."""

Play: TypeAlias = Callable[[dict[str, Any]], Response]
"""Makes the answer to a request's JSON."""


@dataclass
class ModelServer:
    """A server that is up: plays its script, its last line again and again, and keeps what it was asked."""

    script: list[Play]
    port: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def complete(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        play = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return play(body)


@contextlib.contextmanager
def serving_model(*script: Play) -> Iterator[ModelServer]:
    """A model server with a script."""
    model = ModelServer(list(script))
    app = Starlette(routes=[Route("/v1/chat/completions", model.complete, methods=["POST"])])
    listening = socket.create_server(("127.0.0.1", 0))
    model.port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listening],), name="model-server")
    thread.start()
    try:
        yield model
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def completion(
    content: str | None, *, calls: Sequence[tuple[str, str]] = (), finish: str | None = None, **usage: Any
) -> dict[str, Any]:
    """The JSON of an answer; `calls` are names and arguments."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [
            {"id": f"call-{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for n, (name, arguments) in enumerate(calls)
        ]
    reason = finish or ("tool_calls" if calls else "stop")
    used = {"prompt_tokens": 100, "completion_tokens": 20, **usage}
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": used}


def says(content: Any, **options: Any) -> Play:
    """An answer: a text, or an object as JSON."""
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    return lambda _: Response(json.dumps(completion(text, **options)), media_type="application/json")


def fails(status: int, body: str = "no", **headers: str) -> Play:
    """An error; `Retry_After="1"` is a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Response(body, status_code=status, headers=named)


def sends(body: bytes | str, media_type: str = "application/json") -> Play:
    """Any body with status 200."""
    return lambda _: Response(body, media_type=media_type)


def drips(seconds: float) -> Play:
    """A right answer, byte by byte, over so many seconds and more."""
    text = json.dumps(completion("late"))

    async def parts() -> AsyncIterator[str]:
        for each in text:
            yield each
            await asyncio.sleep(seconds / 20)

    return lambda _: StreamingResponse(parts(), media_type="application/json")
