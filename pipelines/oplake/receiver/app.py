"""The receiver put together: which path does what, who may ask, and how errors are told.

A route here reads the request, lets a thread land it, and answers; what it lands is decided in the modules that it
calls. `build_app` takes what tests replace.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oplake.events import encoder
from oplake.landing.accept import REJECT_BYTES, accept_foreign, reject
from oplake.landing.disk import OS_DISK, Disk
from oplake.landing.errors import LandingError, Unusable
from oplake.landing.identity import new_id
from oplake.landing.otlp import Encoding, Signal, encode_status
from oplake.landing.shape import decode
from oplake.landing.writer import SegmentWriter, utc_now
from oplake.playbook.book import Shelf
from oplake.receiver import playbook, status
from oplake.receiver.batches import land_batch
from oplake.receiver.body import media_type, read_body, unpack
from oplake.receiver.door import RETRY_SECONDS, Door
from oplake.receiver.errors import Refused, busy
from oplake.receiver.limits import Limits
from oplake.receiver.openapi import document
from oplake.receiver.operations import operation
from oplake.receiver.telemetry import CONTENT_TYPES, ENCODINGS, land_telemetry
from oplake.settings import Settings

if TYPE_CHECKING:
    from oplake.receiver.history import History

log = logging.getLogger(__name__)

JSON = "application/json"
LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
METRICS = "text/plain; version=0.0.4; charset=utf-8"
TELEMETRY: Mapping[str, Signal] = {"/v1/traces": "traces", "/v1/logs": "logs"}
DISK_FULL = 507
NEVER_KEPT = {"cache-control": "no-store"}  # of what is served: from a cache it would be shown without being landed
BESIDE_SECONDS = 1.0  # between two looks at what else there is


class AnyText(Convertor[str]):
    """The rest of a path, whatever it is: names of classes may have slashes in them, and even the ends of lines."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("any", AnyText())


def build_app(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    disk: Disk = OS_DISK,
    limits: Limits | None = None,
    beside: Callable[[SegmentWriter], object] | None = None,
) -> Starlette:
    """The receiver as an ASGI application; its segment is sealed when its lifespan ends.

    Args:
        settings: Where events land, and the token that requests need if there is one.
        clock: Says what time it is, in UTC.
        disk: What segments are written with.
        limits: What requests may take.
        beside: Called every second in a thread, with the writer of the receiver: what else brings events in.
    """
    door = Door(settings, clock=clock, disk=disk, limits=limits)
    shelf = Shelf(settings.served)

    @cache
    def history() -> History:
        """Made when somebody asks: it loads Delta and DuckDB, which receiving has no need of."""
        from oplake.receiver.history import History

        return History(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        repeating = None if beside is None else asyncio.create_task(_repeat(door, beside))
        yield
        if repeating is not None:
            repeating.cancel()
        door.close()

    async def post_event(request: Request) -> Response:
        _check_media(request, {JSON})
        return await _landed(door, request, lambda body: _land_event(door, body))

    async def post_events(request: Request) -> Response:
        media = _check_media(request, {JSON, *LINES})

        def land(body: bytes) -> Response:
            code, answer = land_batch(door, body, has_lines=media in LINES)
            return _json(answer, code)

        return await _landed(door, request, land)

    def telemetry(signal: Signal) -> Callable[[Request], Any]:
        async def post(request: Request) -> Response:
            return await _post_telemetry(door, request, signal)

        return post

    async def get_health(request: Request) -> Response:
        found = await door.in_thread(status.health, door)
        code = 200 if found["ok"] else 503
        return _json(found if _has_token(request.headers, settings) else {"ok": found["ok"]}, code)

    async def get_stats(_: Request) -> Response:
        return _json(await door.in_thread(lambda: status.stats(door, history())))

    async def get_metrics(_: Request) -> Response:
        return Response(await door.in_thread(status.metrics, door), media_type=METRICS)

    async def get_playbook(request: Request) -> Response:
        asked = playbook.asked(request.path_params["task_class"], request.query_params.multi_items())
        if request.method == "HEAD":  # nothing is shown to whoever asks for the headers alone, so nothing lands
            return Response(headers=NEVER_KEPT)
        body, media = await door.in_thread(playbook.serve, door, shelf, asked)
        return Response(body, headers=NEVER_KEPT, media_type=media)

    async def get_openapi(_: Request) -> Response:
        return _json(document(needs_token=settings.token is not None))

    routes = [
        Route("/event", post_event, methods=["POST"]),
        Route("/events", post_events, methods=["POST"]),
        *(Route(path, telemetry(signal), methods=["POST"]) for path, signal in TELEMETRY.items()),
        Route("/health", get_health, methods=["GET"]),
        Route("/stats", get_stats, methods=["GET"]),
        Route("/metrics", get_metrics, methods=["GET"]),
        Route(f"{playbook.PREFIX}{{task_class:any}}", get_playbook, methods=["GET"]),
        Route("/openapi.json", get_openapi, methods=["GET"]),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Gate, door=door, paths=frozenset(route.path for route in routes))],
        exception_handlers={HTTPException: _tell},
        lifespan=lifespan,
    )


async def _repeat(door: Door, work: Callable[[SegmentWriter], object]) -> None:
    """Works every so many seconds until it is cancelled; what fails is tried again."""
    while True:
        try:
            await door.in_thread(work, door.writer)
        except (LandingError, OSError) as error:
            log.warning("what is read beside the requests could not land: %s", error)
        await asyncio.sleep(BESIDE_SECONDS)


async def _landed(door: Door, request: Request, land: Callable[[bytes], Response]) -> Response:
    """Reads and unpacks the body, and returns what `land` makes of it in a thread."""
    with door.held.holding() as holding:
        packed = await read_body(request, door.limits, holding)
        encoding = request.headers.get("content-encoding", "")
        return await door.in_thread(lambda: land(unpack(packed, encoding, door.limits, holding)))


def _land_event(door: Door, body: bytes) -> Response:
    if len(body) > REJECT_BYTES:
        raise Refused(413, f"an operation takes no more than {REJECT_BYTES} bytes")
    now = door.clock()
    try:
        fields = {"event_id": new_id(), **operation(decode(body))}
        accepted = accept_foreign(encoder.encode(fields), received_at=now)
    except Unusable as error:
        door.land([reject(body, reason=error.reason, origin="POST /event", line=1, byte_offset=0, received_at=now)])
        return _json({"accepted": False, "error": error.reason}, 400)
    door.land([accepted])
    return _json({"accepted": True, "event_id": accepted.event.event_id})


async def _post_telemetry(door: Door, request: Request, signal: Signal) -> Response:
    encoding = ENCODINGS[_check_media(request, ENCODINGS)]
    return await _landed(
        door,
        request,
        lambda body: Response(land_telemetry(door, body, signal, encoding), media_type=CONTENT_TYPES[encoding]),
    )


def _refused(scope: Scope, refusal: Refused) -> Response:
    """The answer to a request that is refused: as OTLP has it on its paths, on all others as `{"error": ...}`."""
    code, headers = refusal.status, refusal.headers
    if scope["path"] not in TELEMETRY:
        return _json({"error": refusal.message}, code, headers)
    if code == DISK_FULL:  # exporters try again after 503, and drop what they sent after any status they do not know
        code, headers = 503, {"retry-after": str(RETRY_SECONDS)}
    encoding: Encoding = ENCODINGS.get(media_type(Request(scope)), "json")
    return Response(encode_status(refusal.message, encoding), code, headers, media_type=CONTENT_TYPES[encoding])


def _check_media(request: Request, known: Any) -> str:
    """
    Raises:
        Refused: The body is said to be something else (415).
    """
    media = media_type(request)
    if media not in known:
        said = f"not {media[:60]!r}" if media else "and say so in content-type"
        raise Refused(415, f"send {' or '.join(sorted(known))}, {said}")
    return media


def _has_token(headers: Mapping[str, str], settings: Settings) -> bool:
    """Whether a request has the token, if there is one; in the same time however much of it is right."""
    if settings.token is None:
        return True
    scheme, _, given = headers.get("authorization", "").partition(" ")
    is_right = hmac.compare_digest(given.strip().encode("latin-1"), settings.token.get_secret_value().encode())
    return is_right and scheme.lower() == "bearer"


class Gate:
    """Stands before all routes: refuses who may not ask and what is too much, tells errors, and counts."""

    def __init__(self, app: ASGIApp, *, door: Door, paths: frozenset[str]) -> None:
        self._app = app
        self._door = door
        self._paths = paths
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        answered = 0

        async def sending(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = message["status"]
            await send(message)

        self._requests += 1
        try:
            self._check(scope)
            await self._app(scope, receive, sending)
        except Refused as refusal:
            await _refused(scope, refusal)(scope, receive, sending)
        except Exception:
            if answered:
                raise
            log.exception("%s %s failed", scope["method"], scope["path"])
            await _refused(scope, Refused(500, "the receiver has a defect; its log says more"))(scope, receive, sending)
        finally:
            self._requests -= 1
            path = self._path_of(scope["path"])
            method = scope["method"] if path != "other" else "any"
            self._door.counts.answer(method, path, answered, time.perf_counter() - began)

    def _path_of(self, path: str) -> str:
        """The path by which a request is counted; what strangers write into theirs makes no counter of its own."""
        if path.startswith(playbook.PREFIX):
            return playbook.PREFIX
        return path if path in self._paths else "other"

    def _check(self, scope: Scope) -> None:
        """
        Raises:
            Refused: The request may not go on.
        """
        limits, settings = self._door.limits, self._door.settings
        if self._requests > limits.requests:
            raise busy(f"{limits.requests} requests are being answered; send it again in a second")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > limits.head_bytes:
            raise Refused(431, f"the headers take more than {limits.head_bytes} bytes", {"connection": "close"})
        headers = Headers(scope=scope)
        if settings.token is None:
            _check_local(headers)
        elif scope["path"] != "/health" and not _has_token(headers, settings):
            raise Refused(401, "send the token: Authorization: Bearer $OPLAKE_TOKEN", {"www-authenticate": "Bearer"})


def _check_local(headers: Headers) -> None:
    """Without a token only programs of this machine are served, and not what a browser runs for a page of elsewhere.

    Raises:
        Refused: It comes from such a page: by its origin, or by a name that was made to lead here.
    """
    if not is_loopback(_host_of(headers.get("host", "localhost"))):
        raise Refused(403, "without OPLAKE_TOKEN the receiver answers to localhost only")
    origin = headers.get("origin")
    if origin is not None and not is_loopback(_host_of(origin.partition("://")[2])):
        raise Refused(403, "without OPLAKE_TOKEN the receiver takes nothing from web pages")
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:  # a link or an image says no origin
        raise Refused(403, "without OPLAKE_TOKEN the receiver answers nothing to web pages")


def _host_of(authority: str) -> str:
    """The host of `host`, `host:port` or `[address]:port`."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority if authority.count(":") > 1 else authority.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's loopback, by its address or as localhost; other names may lead anywhere."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _json(value: Any, code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), code, headers, media_type=JSON)


async def _tell(_: Request, error: Exception) -> Response:
    """Starlette's own errors, such as 404 and 405, as all others are told."""
    assert isinstance(error, HTTPException)
    return _json({"error": error.detail}, error.status_code, error.headers)
