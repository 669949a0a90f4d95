"""Receivers that are killed under load: what they acknowledged is there, once, whatever moment it was."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.landed_events import rows
from tests.receiving import JSON, LINES, Receiver, landed, serving

from oplake.lake.ingest import ingest
from oplake.landing.segments import recover, segments
from oplake.landing.writer import utc_now
from oplake.settings import Settings

pytestmark = pytest.mark.slow

KILLS = 8  # each takes the start of a process; tests of the writer itself kill far more
CLIENTS = 12
LOAD_SECONDS = 0.6  # at most, before a kill


def _load(up: Receiver, name: str, acknowledged: list[str], *, repeats: list[bytes]) -> None:
    """Sends batches until the receiver is gone; first those that were not acknowledged by the one before."""
    connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=30)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        for number in range(10**6):
            if repeats:
                body = repeats[0]
            else:
                ids = [f"{name}-{number}-{part}" for part in range(1 + number % 4)]
                body = "\n".join(
                    json.dumps(
                        {
                            "kind": "note",
                            "event_id": each,
                            "ts": utc_now().isoformat(),
                            "user_id": "u",
                            "note": "x" * (17 * number % 900),
                        }
                    )
                    for each in ids
                ).encode()
                repeats.append(body)
            connection.request("POST", "/events", body, LINES)
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert (response.status, answer["rejected"]) == (200, 0)
            acknowledged += [json.loads(line)["event_id"] for line in body.splitlines()]
            repeats.clear()


def test_what_was_acknowledged_survives_kill_9_and_what_was_not_can_be_sent_again(home: Path) -> None:
    dice = random.Random(3)
    acknowledged: list[list[str]] = [[] for _ in range(CLIENTS)]
    repeats: list[list[bytes]] = [[] for _ in range(CLIENTS)]
    for kill in range(KILLS):
        with serving(home) as (process, up):
            threads = [
                threading.Thread(
                    target=_load,
                    args=(up, f"{kill}-{client}", acknowledged[client]),
                    kwargs={"repeats": repeats[client]},
                )
                for client in range(CLIENTS)
            ]
            for thread in threads:
                thread.start()
            time.sleep(dice.random() * LOAD_SECONDS)
            process.send_signal(signal.SIGKILL)
            for thread in threads:
                thread.join(60)
                assert not thread.is_alive()
    told = [event_id for client in acknowledged for event_id in client]
    assert len(told) > KILLS * CLIENTS
    assert len(set(told)) == len(told)
    found = Counter(note["event_id"] for note in landed(home, "note"))
    assert not set(told) - found.keys(), "lost"
    for segment in segments(home / "landing"):
        assert recover(segment) is not None
    settings = Settings(home=home)
    ingest(settings, now=utc_now())
    ids = [row["event_id"] for row in rows(settings, "landed.notes", "event_id")]
    assert len(set(ids)) == len(ids) >= len(told)
    assert set(told) <= set(ids)


def test_negative_control_what_is_answered_before_it_is_landed_is_lost(home: Path) -> None:
    """The client of the test above finds out a receiver that acknowledges too early."""
    code = """
import sys, threading, time
from oplake.receiver import app, door
land = door.Door.land
door.Door.land = lambda self, accepted: threading.Timer(0.2, land, (self, accepted)).start()
sys.argv = ["oplake", "serve", "--port", "0"]
from oplake.cli import main
main()
"""
    acknowledged: list[str] = []
    with serving(home, code=code) as (process, up):
        client = threading.Thread(target=_load, args=(up, "c", acknowledged), kwargs={"repeats": []})
        client.start()
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        client.join(60)
    assert set(acknowledged) - {note["event_id"] for note in landed(home, "note")}


def test_sigterm_under_load_loses_nothing_and_leaves_nothing_open(home: Path) -> None:
    acknowledged: list[list[str]] = [[] for _ in range(CLIENTS)]
    with serving(home) as (process, up):
        threads = [
            threading.Thread(target=_load, args=(up, f"{client}", acknowledged[client]), kwargs={"repeats": []})
            for client in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        process.wait(30)
    told = [event_id for client in acknowledged for event_id in client]
    assert told
    assert set(told) <= {note["event_id"] for note in landed(home, "note")}
    assert all(segment.is_sealed for segment in segments(home / "landing"))


def test_a_disk_that_is_really_full_is_507_and_nothing_acknowledged_is_lost(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(100_000))
    told: list[str] = []
    with serving(small_disk) as (_, up):
        for number in range(2000):
            event = {"kind": "note", "event_id": str(number), "user_id": "u", "note": "x" * 900}
            answer = up.post("/events", json.dumps([event]).encode(), JSON)
            if answer.status == 507:
                break
            assert answer.status == 200
            told.append(str(number))
        assert answer.status == 507
        assert len(told) > 20
        filler.unlink()
        assert up.post("/events", [event]).status == 200
        told.append(event["event_id"])
    found = Counter(note["event_id"] for note in landed(small_disk, "note"))
    assert [event_id for event_id in found if event_id in set(told)] == told
