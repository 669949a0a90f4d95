"""Starting the receiver: who may reach it, uvicorn around the application, and clients that hold a connection.

uvicorn reads requests fast, but lets a client take for ever to send its headers, and as many as it likes.
`BoundedProtocol` adds those bounds; those of bodies are in `body`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from oplake.landing.tail import tail
from oplake.landing.writer import utc_now
from oplake.receiver.app import build_app, is_loopback
from oplake.receiver.errors import ReceiverError
from oplake.receiver.limits import Limits
from oplake.settings import Settings

PORT = 4318  # of OTLP/HTTP by custom, so that exporters find it without being told
M_ARENA_MAX = -8  # of malloc.h
SHUTDOWN_SECONDS = 30  # for requests under way at SIGTERM; what is not acknowledged by then is sent again elsewhere


TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
"""The answer to a connection beyond those that there may be; nothing of it is read."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with an end to the patience: for headers, bodies that nobody reads, deaf clients."""

    limits = Limits()

    _patience: asyncio.TimerHandle | None = None
    _head_bytes = _trailer_bytes = 0
    _is_in_head = True
    _is_in_body = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait(self.limits.head_seconds)
        if len(self.connections) > self.limits.connections:
            transport.write(TOO_MANY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if self._is_in_head else 0
        if self._head_bytes > 2 * self.limits.head_bytes:  # it has no end; where it has one, the application tells
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        self._wait(self.limits.head_seconds)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if not self._is_in_head:  # behind a body in chunks
            self._trailer_bytes += len(name) + len(value)
            if self._trailer_bytes > self.limits.head_bytes:
                raise ValueError("the trailers have no end")  # httptools makes an answer of 400 of it

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._is_in_head, self._is_in_body = False, True
        self._trailer_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_in_body = False
        if self.cycle.response_complete:
            self._wait(self.limits.idle_seconds)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_in_body:  # refused before it was there; many clients send it to its end before they read
            self._wait(self.limits.body_seconds)

    def pause_writing(self) -> None:
        super().pause_writing()  # the client does not read what it is answered
        self._stop_waiting()
        self._patience = self.loop.call_later(self.limits.body_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_waiting()

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def serve(settings: Settings, *, host: str, port: int, say: Callable[[str], None] = lambda _: None) -> None:
    """Receives until SIGTERM or SIGINT; then what is under way lands, and the segment is sealed.

    What others append to the files of the settings lands beside the requests.

    Args:
        settings: Where events land, and the token.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        say: Is told where it listens.

    Raises:
        ReceiverError: The address is not this machine's own and there is no token, or nothing can listen there.
    """
    if settings.token is None and not is_loopback(host):
        raise ReceiverError(
            f"whoever reaches {host} could send events: set OPLAKE_TOKEN to a long random text that clients send as "
            "`Authorization: Bearer ...`, or listen on 127.0.0.1"
        )
    _share_memory()
    with contextlib.closing(listen(host, port)) as listening:
        name = f"[{host}]" if ":" in host else host
        say(f"http://{name}:{listening.getsockname()[1]}")
        beside = (lambda writer: tail(settings, utc_now(), writer=writer)) if settings.tail else None
        running = server(settings, beside=beside)
        gc.collect()
        gc.freeze()  # what is loaded now stays; without it each search for garbage would look through it again
        running.run([listening])


def _share_memory() -> None:
    """Have all threads take memory from two arenas.

    glibc gives each an arena of its own, and 32 threads leave pieces in all of them: under 200 clients memory then grew
    by 16 % in two million events before it stayed, with two arenas by 4 %.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def server(settings: Settings, **overrides: Any) -> uvicorn.Server:
    """uvicorn around the application; `overrides` are those of `build_app`."""
    limits = overrides.get("limits") or Limits()
    protocol = type("Protocol", (BoundedProtocol,), {"limits": limits})
    config = uvicorn.Config(
        build_app(settings, **overrides),
        http=protocol,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; 0 is a free port.

    Raises:
        ReceiverError: Nothing can listen there.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ReceiverError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; --port takes another"
        ) from error
