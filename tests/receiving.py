"""A receiver for tests: uvicorn with the real application, in a thread of this process or in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from oplake.landing.segments import segments
from oplake.receiver.server import listen, server
from oplake.settings import Settings

JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/x-ndjson"}
PROTOBUF = {"content-type": "application/x-protobuf"}
ANSWER_SECONDS = 60  # who waits longer for an answer hangs, however busy the machine is


class Answer(NamedTuple):
    """What the receiver answered."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Receiver:
    """A receiver that is up."""

    port: int
    home: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        """One request on a connection of its own; a list or an object is sent as JSON."""
        if isinstance(body, (dict, list)):
            body, headers = json.dumps(body).encode(), {**JSON, **(headers or {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}), **options)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """A POST."""
        return self.ask("POST", path, body, headers)

    def landed(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The events in its segments."""
        return landed(self.home, kind)


def landed(home: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """The events in the segments of a home; a torn tail is none."""
    found = []
    for segment in segments(home / "landing"):
        for line in segment.path.read_bytes().split(b"\n")[:-1]:
            event = json.loads(line)
            if kind is None or event["kind"] == kind:
                found.append(event)
    return found


@contextlib.contextmanager
def receiving(settings: Settings, *, port: int = 0, **overrides: Any) -> Iterator[Receiver]:
    """A receiver in a thread; `overrides` are those of `build_app`. In the end it has sealed its segment."""
    listening = listen("127.0.0.1", port)
    running = server(settings, **overrides)
    thread = threading.Thread(target=running.run, args=([listening],), name="receiver")
    thread.start()
    try:
        yield Receiver(listening.getsockname()[1], settings.home)
    finally:
        running.should_exit = True
        thread.join()
        listening.close()


@contextlib.contextmanager
def serving(
    home: Path, *arguments: str, code: str | None = None, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], Receiver]]:
    """`oplake serve` in a process of its own, or what `code` makes of it; killed in the end, if it is there still."""
    command = ["-m", "oplake", "serve", "--port", "0", *arguments] if code is None else ["-c", code]
    process = subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "OPLAKE_HOME": str(home), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        found = re.search(r"Receiving at http://\S+:(\d+)", said)
        assert found, said + process.stderr.read()
        yield process, Receiver(int(found[1]), home)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
