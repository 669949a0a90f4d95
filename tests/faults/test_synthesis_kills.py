"""SIGKILL in the middle of the loop: what landed is not paid again, and the work comes to its end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from typing import Any

import pytest
from starlette.responses import Response
from tests.landed_events import event, land, take_in
from tests.model_server import says, serving_model
from tests.receiving import landed

from oplake.settings import CHECKOUT, Settings

pytestmark = pytest.mark.slow

CALLS = 5  # of the task when nothing happens: two queries, the answer, its critique and assessment


def answer(body: dict[str, Any]) -> Response:
    """What the model says depends on what it is asked alone, so that asking again is no matter."""
    if body["max_tokens"] == 300:
        return says("Nothing to object.")(body)
    if body["max_tokens"] == 200:
        return says({"score": 70, "reasons": ["short"]})(body)
    results = sum(message["role"] == "tool" for message in body["messages"])
    if results < 2:
        return says(None, calls=[("query", '{"sql": "SELECT count(*) FROM landed.notes"}')])(body)
    return says({"cause": "slow", "is_a_dont": False})(body)


@pytest.mark.parametrize("after_ms", [None, 0, 5, 60], ids=["in flight", "at once", "landing", "later"])
def test_killed_at_every_call_it_pays_for_nothing_that_landed_twice(settings: Settings, after_ms: int | None) -> None:
    """Killed again and again: while a call is under way, or some time after its answer was sent."""
    land(settings, [event("note", f"n{n}", user_id="ann", note="x") for n in range(3)])
    take_in(settings)
    children: list[subprocess.Popen[str]] = []
    killed: set[str] = set()

    def kill_first_time(body: dict[str, Any]) -> Response:
        asked = str(body["messages"])
        if asked not in killed:
            killed.add(asked)
            child = children[-1]
            if after_ms is None:
                child.kill()
            else:
                threading.Timer(after_ms / 1000, child.kill).start()
        return answer(body)

    with serving_model(kill_first_time) as server:
        environment = {
            **os.environ,
            "OPLAKE_HOME": str(settings.home),
            "OPLAKE_LLM_URL": server.url,
            "OPLAKE_LLM_FLASH": "mini",
        }
        for _ in range(2 * CALLS + 2):
            command = [sys.executable, "-m", "tests.faults.doomed_author"]
            children.append(subprocess.Popen(command, env=environment, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True))
            said, _ = children[-1].communicate(timeout=120)
            if children[-1].returncode == 0:
                break
        assert said == "ok"
        requests = Counter(str(body["messages"]) for body in server.asked)
    assert len(children) > 1
    paid = Counter(call["prompt_hash"] for call in landed(settings.home, "llm_call") if not call.get("cached"))
    assert len(paid) == CALLS
    assert set(paid.values()) == {1}
    assert len(requests) == CALLS
    assert max(requests.values()) <= 2  # a call that was under way, or had not landed, when the process died
    turns = [turn["turn_index"] for turn in landed(settings.home, "turn")]
    assert sorted(turns) == list(range(CALLS))
    results = [(each["turn_index"], each["call_index"]) for each in landed(settings.home, "tool_call")]
    assert sorted(results) == [(0, 0), (1, 0)]
