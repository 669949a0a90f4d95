"""A recorder that sends to a receiver: durable here at once, there in order and once, whatever happens on the way."""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.receiving import landed, receiving

from oplake.lake.ingest import ingest
from oplake.landing import forward as module
from oplake.landing.errors import LandingError
from oplake.landing.forward import Client, NotAcknowledged, forward, spool_of
from oplake.landing.recorder import Recorder
from oplake.landing.segments import segments
from oplake.landing.writer import utc_now
from oplake.receiver.server import listen
from oplake.settings import Settings

URL = "http://127.0.0.1:{port}"
TOKEN = "a-long-random-text"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again at once."""
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 0.05)


@pytest.fixture
def there(tmp_path: Path) -> Settings:
    """The home of the receiver; `home` is that of the recorder."""
    return Settings(home=tmp_path / "there")


def free_port() -> int:
    with contextlib.closing(listen("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(3000):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to that")


def send(spool: Path, url: str, **options: Any) -> int:
    with contextlib.closing(Client(url)) as client:
        return forward(spool, client, **options)


def notes(home: Path) -> list[str]:
    return [event["note"] for event in landed(home, "note")]


def in_spool(home: Path, url: str) -> list[str]:
    found = [line for segment in segments(spool_of(home, url)) for line in segment.path.read_bytes().splitlines()]
    return [json.loads(line)["note"] for line in found]


def test_what_is_recorded_reaches_the_receiver_in_order(home: Path, there: Settings) -> None:
    with receiving(there) as up:
        with Recorder(up.url) as recorder:
            action_id = recorder.begin_action("a", "t")
            for number in range(50):
                assert recorder.record_step(action_id, f"step {number}")
            assert recorder.complete_action(action_id)
            assert recorder.note("u", "password=hunter2")
        assert [event["kind"] for event in up.landed()] == ["action_begun", *["step"] * 50, "action_completed", "note"]
        assert [event["step_index"] for event in up.landed("step")] == list(range(50))
        assert "hunter2" not in json.dumps(up.landed())
    assert segments(spool_of(home, up.url)) == [], "what was sent is removed"
    assert not (home / "landing").exists()


def test_a_call_is_true_when_its_event_is_durable_here(home: Path) -> None:
    url = URL.format(port=free_port())
    recorder = Recorder(url)
    began = time.monotonic()
    assert recorder.note("u", "one")
    recorder.close()
    assert time.monotonic() - began < module.CLOSE_SECONDS, "a receiver that is down is not waited for"
    assert in_spool(home, url) == ["one"]


@pytest.mark.usefixtures("quick")
def test_what_was_spooled_follows_in_order_and_once(home: Path, there: Settings) -> None:
    port = free_port()
    url = URL.format(port=port)
    with Recorder(url) as first:
        assert first.note("u", "0")
    recorder = Recorder(url)
    for number in range(1, 20):
        assert recorder.note("u", str(number))
    assert in_spool(home, url) == [str(number) for number in range(20)]
    with receiving(there, port=port):
        until(lambda: len(notes(there.home)) == 20)
    for number in range(20, 40):  # it is down again, and nobody waits
        assert recorder.note("u", str(number))
    with receiving(there, port=port):
        until(lambda: len(notes(there.home)) == 40)
        recorder.close()
    assert notes(there.home) == [str(number) for number in range(40)]
    assert not segments(spool_of(home, url))


def test_the_end_of_a_recorder_tries_once_more(home: Path, there: Settings, monkeypatch: Any) -> None:
    """Forbids giving up on a receiver that was down: with nobody to record after it, nothing would ever be sent."""
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 600.0)
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 600.0)
    port = free_port()
    recorder = Recorder(URL.format(port=port))
    assert recorder.note("u", "one")
    until(lambda: recorder._forwarder is not None and recorder._forwarder._is_down)
    with receiving(there, port=port):
        recorder.close()
        assert notes(there.home) == ["one"]


@pytest.mark.usefixtures("quick")
def test_an_answer_that_is_lost_makes_no_event_twice(home: Path, there: Settings, monkeypatch: Any) -> None:
    """It is sent again, with the same ids; only the lake can know that it has it."""
    check, lost = module._check_answer, [True, True]

    def losing(*answer: Any) -> None:
        check(*answer)
        if lost:
            lost.pop()
            raise NotAcknowledged("the answer was lost")

    monkeypatch.setattr(module, "_check_answer", losing)
    with receiving(there) as up, Recorder(up.url) as recorder:
        recorder.note("u", "once")
        until(lambda: not recorder._forwarder or not recorder._forwarder.waiting())
    assert notes(there.home) == ["once"] * 3
    report = ingest(there, now=utc_now())
    assert (report.events, report.duplicates, report.rejects) == (1, 2, 0)


def test_a_token_is_taken_from_the_settings(home: Path, there: Settings, monkeypatch: Any) -> None:
    monkeypatch.setenv("OPLAKE_TOKEN", TOKEN)
    with receiving(Settings(home=there.home)) as up, Recorder(up.url) as recorder:
        recorder.note("u", "with a token")
    assert notes(there.home) == ["with a token"]


class Other(http.server.BaseHTTPRequestHandler):
    """Something else than a receiver, which answers 200 to everything."""

    status, body = 200, b"<html>welcome</html>"

    def do_POST(self) -> None:  # as http.server wants it
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def other() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield URL.format(port=server.server_port)
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>welcome</html>"),
        (200, b'{"accepted": 0, "rejected": 0, "rejects": []}'),
        (401, b"{}"),
        (400, b'{"error": "no"}'),
        (413, b""),
        (500, b""),
    ],
)
def test_nothing_leaves_the_spool_for_an_answer_that_is_none(
    home: Path, other: str, monkeypatch: Any, caplog: Any, status: int, body: bytes
) -> None:
    """A proxy, or another program on that port, would swallow the work of days."""
    monkeypatch.setattr(Other, "status", status)
    monkeypatch.setattr(Other, "body", body)
    with caplog.at_level(logging.WARNING), Recorder(other) as recorder:
        recorder.note("u", "mine")
        until(lambda: bool(caplog.records))
    assert in_spool(home, other) == ["mine"]
    assert f"it answered {status}" in caplog.text


def test_what_the_receiver_rejects_it_has(home: Path, there: Settings, caplog: Any) -> None:
    with receiving(there) as up:
        spool = spool_of(home, up.url)
        spool.mkdir(parents=True)
        (spool / "20260105T120000.000000Z-other-000001.jsonl").write_bytes(b'not an event\n{"torn')
        assert send(spool, up.url) == 20
        assert send(spool, up.url) == 0
        assert [reject["raw"] for reject in up.landed("reject")] == ["not an event", '{"torn']
    assert "kept them" in caplog.text
    assert not segments(spool)


def test_it_goes_on_where_it_stopped(home: Path, there: Settings, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 1000)
    url = URL.format(port=free_port())
    with Recorder(url) as recorder:
        for number in range(30):
            recorder.note("u", str(number))
    with receiving(there) as up:
        spool = spool_of(home, url)
        stops = iter([False, False, True])
        part = send(spool, up.url, should_stop=lambda: next(stops))
        assert 0 < part < segments(spool)[0].size
        assert part + send(spool, up.url) > 30 * 100
    assert notes(there.home) == [str(number) for number in range(30)]


AGENT = """
import os, sys, time
from oplake import Recorder
recorder = Recorder(sys.argv[1])
recorder.note("u", "parent 1")
pid = os.fork()
if pid == 0:
    recorder.note("u", "child 1")
    recorder.note("u", "child 2")
    if sys.argv[2] == "orphan":
        time.sleep(1)
    os._exit(0)
if sys.argv[2] != "orphan":
    os.waitpid(pid, 0)
recorder.note("u", "parent 2")
"""


@pytest.mark.parametrize("how", ["child", "orphan"])
def test_a_forked_child_and_its_parent_are_both_heard(home: Path, there: Settings, how: str) -> None:
    """The end of the process sends what is left. A child that outlives its parent must not keep its lock."""
    with receiving(there) as up:
        subprocess.run([sys.executable, "-c", AGENT, up.url, how], check=True, timeout=60)
        until(lambda: len(notes(there.home)) == 4)
    found = notes(there.home)
    assert sorted(found) == ["child 1", "child 2", "parent 1", "parent 2"]
    assert found.index("child 1") < found.index("child 2")
    assert found.index("parent 1") < found.index("parent 2")


def test_a_process_that_is_killed_loses_nothing(home: Path, there: Settings) -> None:
    code = (
        "import sys, time; from oplake import Recorder; recorder = Recorder(sys.argv[1])\n"
        "for number in range(10): recorder.note('u', str(number))\n"
        "print('done', flush=True); time.sleep(60)"
    )
    url = URL.format(port=free_port())
    agent = subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert agent.stdout is not None
    assert agent.stdout.readline() == b"done\n"
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    agent.stdout.close()
    with receiving(there) as up:
        send(spool_of(home, url), up.url)
    assert notes(there.home) == [str(number) for number in range(10)]
    assert not segments(spool_of(home, url))


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://host:port", "http://u:p@host", "http://host/?q"])
def test_what_is_no_address_is_told_at_once(home: Path, url: str) -> None:
    with pytest.raises(LandingError, match="is no address of a receiver"):
        Recorder(url)


def test_sending_imports_neither_http_client_nor_settings_unless_there_is_an_address(tmp_path: Path) -> None:
    code = (
        "import sys; from oplake import Recorder\n"
        "Recorder(sys.argv[1]).note('u', 'n')\n"
        "heavy = {'http.client', 'starlette', 'uvicorn', 'httptools', 'pydantic'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=dict(os.environ))
