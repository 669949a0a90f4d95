"""A recorder's events on their way to a receiver: spooled to segments of this machine, and sent from there.

Every event is durable in the spool before its call returns; so nothing depends on the receiver being up. One process
at a time sends what is in a spool, whoever wrote it: the lines of each segment in their order, the segments by their
names, which is by time. What the receiver acknowledged is remembered beside the segment (`.sent`), and the segment
removed when all of it is and its writer is gone. What is sent again after a crash has the same ids, and the lake has it
once.

The spool of a receiver is `spool/<name>` in the home, by its address. It is made of segments as landing is, so that a
person can move them to `landing` of a home by hand.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from oplake.landing.errors import LandingError
from oplake.landing.segments import INDEX_SUFFIX, Segment, segments
from oplake.playbook.book import Playbook

log = logging.getLogger(__name__)

BATCH_BYTES = 2**20  # sent at a time; so much is in memory, and is sent again when an answer is lost
POLL_SECONDS = 0.5  # until what other processes wrote is looked for
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.25, 30.0  # between tries, doubled each time
ANSWER_SECONDS = 60.0  # longer than a receiver takes for a batch, whatever its disk does
ASK_SECONDS = 2.0  # that an agent waits for a playbook at each step of asking; without one it works as it always did
ANSWER_BYTES = 2**20  # of a playbook; a longer answer is none
CLOSE_SECONDS = 5.0  # that the end of a recorder waits for what is not sent yet; it follows later
SEGMENT_BYTES = 8 * 2**20  # of the spool: what has been sent takes no more room than that
SENT_SUFFIX = ".sent"
LOCK = "sending.lock"


class NotAcknowledged(LandingError):
    """The receiver did not take a batch; it stays in the spool."""

    def __init__(self, message: str, *, after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


def spool_of(home: Path, url: str) -> Path:
    """The folder in which events for a receiver wait."""
    host = "".join(letter if letter.isalnum() else "_" for letter in urlsplit(url).netloc)
    return home / "spool" / f"{host[:60]}-{sha256(url.encode()).hexdigest()[:8]}"


class Client:
    """Sends batches to a receiver, over one connection while it holds."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """
        Raises:
            LandingError: That is no address of a receiver.
        """
        parts = urlsplit(url)
        try:
            self._host, self._port = parts.hostname, parts.port
        except ValueError as error:
            raise LandingError(f"{url} is no address of a receiver: {error}") from error
        is_address = parts.scheme in {"http", "https"} and parts.hostname
        if not is_address or parts.query or parts.fragment or parts.username:
            raise LandingError(f"{url} is no address of a receiver; one is http://127.0.0.1:4318")
        self._is_secure = parts.scheme == "https"
        self._base = parts.path.rstrip("/")
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._connection: http.client.HTTPConnection | None = None

    def send(self, lines: bytes) -> None:
        """Returns when the receiver has acknowledged lines, each ending in a newline.

        Raises:
            NotAcknowledged: It has not; they may be sent again.
        """
        is_old = self._connection is not None
        try:
            status, retry_after, body = self._post(lines)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if is_old:  # the receiver does not keep a connection on which nothing comes
                self.send(lines)
                return
            raise NotAcknowledged(f"{type(error).__name__}: {error}") from error
        _check_answer(status, body, lines.count(b"\n"), retry_after)

    def _post(self, lines: bytes) -> tuple[int, str, bytes]:
        if self._connection is None:
            self._connection = self._connect(ANSWER_SECONDS)
        headers = {**self._headers, "content-type": "application/x-ndjson"}
        self._connection.request("POST", f"{self._base}/events", lines, headers)
        response = self._connection.getresponse()
        return response.status, response.headers.get("retry-after", ""), response.read()

    def ask(self, path: str) -> bytes:
        """What a receiver answers to a question, on a connection of its own: another thread sends on the first.

        Raises:
            LandingError: It answers anything but 200, or too much.
            OSError, HTTPException: It does not answer.
        """
        with contextlib.closing(self._connect(ASK_SECONDS)) as connection:
            connection.request("GET", self._base + path, headers=self._headers)
            response = connection.getresponse()
            body = response.read(ANSWER_BYTES + 1)
        if response.status != 200 or len(body) > ANSWER_BYTES:
            raise LandingError(f"the receiver answered {response.status}: {body[:200]!r}")
        return body

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        make = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
        return make(str(self._host), self._port, timeout=seconds)

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _check_answer(status: int, body: bytes, sent: int, retry_after: str) -> None:
    """
    Raises:
        NotAcknowledged: The answer is not that of a receiver which has dealt with so many lines.
    """
    after_seconds = float(retry_after) if retry_after.isdecimal() else 0.0
    if status not in {200, 400}:  # 400: none was usable, and each was kept
        raise NotAcknowledged(f"it answered {status}: {body[:200]!r}", after_seconds=after_seconds)
    try:
        answer: Any = msgspec.json.decode(body, type=dict[str, Any])
        accepted, rejected = answer["accepted"], answer["rejected"]
        if accepted + rejected != sent:
            raise ValueError(f"{accepted} + {rejected} of {sent}")
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise NotAcknowledged(f"it answered {status}, and not as a receiver: {body[:200]!r}") from error
    if rejected:
        log.warning("the receiver could not use %s of %s events, and kept them: %s", rejected, sent, body[:500])


class Forwarder:
    """Sends what is in a spool, in a thread of its own, from the first event on."""

    def __init__(self, spool: Path, client: Client, *, poll_seconds: float = POLL_SECONDS) -> None:
        self.spool = spool
        self._client = client
        self._poll_seconds = poll_seconds
        self._descriptor: int | None = None  # of the lock, while this process is the one that sends
        self._renew()
        _forwarders.add(self)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._wakes = threading.Event()
        self._stops = threading.Event()
        self._is_down = False
        self._until = 0.0  # a last try may take, once it is told to stop
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Says that there is something to send."""
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._stops.is_set():
                    self._thread = threading.Thread(target=self._run, name="oplake-forward", daemon=True)
                    self._thread.start()
        self._wakes.set()

    def playbook(self, task_class: str, *, session_id: str, action_id: str) -> Playbook:
        """What the receiver serves; it lands there what it shows and withholds.

        An answer that is lost on the way has landed as shown: like any offer that an agent does not take, that makes an
        effect look smaller, never larger.

        Raises:
            LandingError, OSError, HTTPException, msgspec.MsgspecError: It answers none.
        """
        given = {name: text for name, text in (("session_id", session_id), ("action_id", action_id)) if text}
        path = f"/playbook/{quote(task_class, safe='')}?{urlencode({'format': 'json', **given})}"
        return msgspec.json.decode(self._client.ask(path), type=Playbook)

    def close(self, timeout: float = CLOSE_SECONDS) -> bool:
        """Waits until all is sent, while the receiver takes it and for so many seconds at most; returns whether it is.

        A receiver that was down is tried once more. What is not sent yet follows with the next recorder for it.
        """
        self._until = deadline = time.monotonic() + timeout
        while self._thread is not None and not self._is_down and self.waiting() and time.monotonic() < deadline:
            self._wakes.set()
            time.sleep(0.01)
        self._stops.set()
        self._wakes.set()
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self.waiting()

    def waiting(self) -> bool:
        """Whether something in the spool has not been acknowledged yet."""
        return any(_sent(segment) < segment.size for segment in segments(self.spool))

    def _run(self) -> None:
        """Sends until it is told to stop; whatever fails is tried again."""
        wait = FIRST_WAIT_SECONDS
        while not self._stops.is_set():
            self._wakes.clear()
            try:
                if self._descriptor is None:
                    self._descriptor = _taken(self.spool / LOCK)
                if self._descriptor is not None:
                    forward(self.spool, self._client, should_stop=self._stops.is_set)
                wait, self._is_down = FIRST_WAIT_SECONDS, False
                self._wakes.wait(self._poll_seconds)
            except (LandingError, OSError) as error:
                self._is_down = True
                log.warning("events wait in %s, to be sent in %.3g s again: %s", self.spool, wait, error)
                after = error.after_seconds if isinstance(error, NotAcknowledged) else 0.0
                self._stops.wait(min(max(wait, after), LONGEST_WAIT_SECONDS))
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        if self._descriptor is not None:
            with contextlib.suppress(LandingError, OSError):  # it is still down, or the next one tidies up
                forward(self.spool, self._client, should_stop=lambda: time.monotonic() > self._until)
        self._let_go()

    def _let_go(self) -> None:
        self._client.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def after_fork(self) -> None:
        """In a forked child: thread, connection and lock are the parent's; the lock would outlive it."""
        self._let_go()
        self._renew()


def forwarder_to(url: str) -> Forwarder:
    """What sends to a receiver, with the home and the token of the environment.

    Raises:
        LandingError: That is no address of a receiver.
    """
    from oplake.settings import Settings

    settings = Settings()
    client = Client(url, None if settings.token is None else settings.token.get_secret_value())
    return Forwarder(spool_of(settings.home.absolute(), url), client)


def forward(spool: Path, client: Client, *, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Sends what is in a spool and has not been sent, and removes what is done with. Returns how many bytes it sent.

    Raises:
        NotAcknowledged: The receiver did not take a batch; what it took before is remembered.
        OSError: The spool cannot be read, or what was sent not be remembered.
    """
    total = 0
    for segment in segments(spool):
        sent = _sent(segment)
        while not should_stop() and (lines := _lines(segment, sent)):
            if said := _said(lines):
                client.send(said)
            sent += len(lines)
            total += len(lines)
            _remember(segment, sent)
        if not segment.is_live and sent >= segment.path.stat().st_size:
            for path in (segment.path, segment.path.with_suffix(INDEX_SUFFIX), _cursor(segment)):
                path.unlink(missing_ok=True)
    return total


def _lines(segment: Segment, start: int) -> bytes:
    """Whole lines from byte `start`. What a writer left torn when it died is one too: it becomes a reject."""
    with segment.path.open("rb") as file:
        file.seek(start)
        data = file.read(BATCH_BYTES)
        while data and b"\n" not in data and (more := file.read(BATCH_BYTES)):
            data += more
    end = data.rfind(b"\n") + 1
    return data + b"\n" if data and not end and not segment.is_live else data[:end]


def _said(lines: bytes) -> bytes:
    """Lines without the blank ones, which `oplake forget` leaves behind and a receiver does not count."""
    return b"".join(line + b"\n" for line in lines.split(b"\n") if line.strip())


def _cursor(segment: Segment) -> Path:
    return segment.path.with_suffix(SENT_SUFFIX)


def _sent(segment: Segment) -> int:
    try:
        return int(_cursor(segment).read_text())
    except (FileNotFoundError, ValueError):  # ValueError: the machine stopped while it was written
        return 0


def _remember(segment: Segment, sent: int) -> None:
    """Not made durable: what is sent again after a crash of the machine does no harm."""
    partial = _cursor(segment).with_suffix(f"{SENT_SUFFIX}.new")
    partial.write_text(str(sent))
    partial.replace(_cursor(segment))


def _taken(path: Path) -> int | None:
    """The lock of a spool, by its descriptor; None while another process, or another recorder of this one, has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


_forwarders: weakref.WeakSet[Forwarder] = weakref.WeakSet()


def _renew_after_fork() -> None:
    for forwarder in _forwarders:
        forwarder.after_fork()


os.register_at_fork(after_in_child=_renew_after_fork)
