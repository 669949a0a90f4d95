"""The body of a request: read within limits of size and time, and unpacked within the same limit of size.

What it says is not looked at here.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator

import zstandard
from starlette.requests import Request

from oplake.receiver.errors import Refused
from oplake.receiver.limits import Holding, Limits

PIECE_BYTES = 2**20  # unpacked at a time, so that a bomb is noticed a piece after the limit
ZSTD_INPUT_BYTES = 2**10  # given to zstd at a time: four bytes can stand for 128 KiB, so these for 32 MiB at most
ZSTD_WINDOW_BYTES = 2**23  # memory that a frame may ask for; what RFC 8878 wants every decoder to have
GZIP = 16 + zlib.MAX_WBITS  # zlib's name for a gzip header


def media_type(request: Request) -> str:
    """The content type without its parameters, in lower case; empty when there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, limits: Limits, holding: Holding) -> bytes:
    """The body as it was sent, still packed.

    Raises:
        Refused: It is too large (413), or comes too slowly (408) or not to its end (400).
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limits.body_bytes:
        raise _too_large(limits)
    parts: list[bytes] = []
    size = 0
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(began + limits.body_seconds) as deadline:
            while True:
                message = await request.receive()
                if message["type"] != "http.request":
                    raise Refused(400, "the connection ended before the body did")
                part = message.get("body", b"")
                size += len(part)
                if size > limits.body_bytes:
                    raise _too_large(limits)
                holding.take(len(part))
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
                deadline.reschedule(began + limits.body_seconds + size / limits.body_bytes_per_second)
    except TimeoutError:
        raise Refused(408, f"only {size} bytes of the body came in time", {"connection": "close"}) from None


def unpack(body: bytes, encoding: str, limits: Limits, holding: Holding) -> bytes:
    """What a body says, by its content encoding; for a thread, since it takes its time.

    Raises:
        Refused: It cannot be unpacked (400), there is no such encoding here (415), or it is too large (413).
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in _UNPACKERS:
        known = ", ".join(_UNPACKERS)
        raise Refused(415, f"there is no content encoding {name[:40]!r} here; use {known}", {"accept-encoding": known})
    parts: list[bytes] = []
    size = 0
    try:
        for part in _UNPACKERS[name](body):
            size += len(part)
            if size > limits.body_bytes:
                raise _too_large(limits)
            holding.take(len(part))
            parts.append(part)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise Refused(400, f"the body is no {name}: {error}") from error
    return b"".join(parts)


def _gzip(data: bytes) -> Iterator[bytes]:
    """The pieces of one or more gzip members."""
    while data:
        unpacker = zlib.decompressobj(GZIP)
        while not unpacker.eof:
            part = unpacker.decompress(data, PIECE_BYTES)
            data = unpacker.unconsumed_tail
            if not part and not data and not unpacker.eof:
                raise EOFError("it breaks off")
            yield part
        data = unpacker.unused_data


def _zstd(data: bytes) -> Iterator[bytes]:
    """The pieces of one or more zstd frames."""
    while data:
        unpacker = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()
        place = 0
        while not unpacker.eof:
            if place >= len(data):
                raise EOFError("it breaks off")
            yield unpacker.decompress(data[place : place + ZSTD_INPUT_BYTES])
            place += ZSTD_INPUT_BYTES
        data = unpacker.unused_data + data[place:]


_UNPACKERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {"gzip": _gzip, "zstd": _zstd}


def _too_large(limits: Limits) -> Refused:
    return Refused(413, f"the body takes more than {limits.body_bytes} bytes, unpacked; send it in parts")
