"""The client against a real HTTP server: answers good and bad, retries, the fallback, the breaker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from tests.model_server import ModelServer, Play, drips, fails, says, sends, serving_model

from oplake.settings import CHECKOUT, Settings
from oplake.synthesis.client import BREAK_AFTER, Client, Endpoint, Patience, endpoints
from oplake.synthesis.errors import CircuitOpen, ModelError, ProvidersFailed, SynthesisError
from oplake.synthesis.wire import Request

pytestmark = pytest.mark.slow

QUICK = Patience(answer=0.5, connect=0.5, retry=3.0, wait_initial=0.01, wait=1.0)


class Report(BaseModel):
    """A schema."""

    summary: str


ASKED = Request(({"role": "user", "content": "How was it?"},), "flash", 50, schema=Report)


class Failures(list[tuple[str, str | None]]):
    """What the client told of providers that failed."""

    def __call__(self, provider: str, model: str, error: ModelError, instead: str | None) -> None:
        self.append((model, instead))


def client(*servers: ModelServer, patience: Patience = QUICK) -> Client:
    """A client of these servers, in their order."""
    named = (
        Endpoint(f"p{n}", server.url, SecretStr(f"key-{n}"), {"flash": f"flash-{n}", "pro": f"pro-{n}"})
        for n, server in enumerate(servers)
    )
    return Client(tuple(named), patience=patience)


def test_an_answer_with_its_tokens_and_charge() -> None:
    usage = {"prompt_tokens_details": {"cached_tokens": 60}, "completion_tokens_details": None, "cost": 0.25}
    with serving_model(says("fine", **usage)) as server, client(server) as asking:
        reply = asking.ask(ASKED, Failures())
    assert (reply.said.content, reply.said.finish_reason, reply.provider, reply.model) == (
        "fine",
        "stop",
        "p0",
        "flash-0",
    )
    assert reply.tokens == (100, 20, 60, 0, 0)
    assert (reply.charged_usd, reply.attempts) == (0.25, 1)
    assert server.headers[0]["authorization"] == "Bearer key-0"
    assert server.asked[0]["response_format"]["json_schema"]["name"] == "Report"
    assert (server.asked[0]["temperature"], server.asked[0]["max_tokens"]) == (0.4, 50)


def test_a_server_that_takes_no_schema_is_asked_without_from_then_on() -> None:
    script = [fails(400, "response_format is not supported"), says("a"), says("b")]
    with serving_model(*script) as server, client(server) as asking:
        assert [asking.ask(ASKED, Failures()).said.content for _ in range(2)] == ["a", "b"]
    assert ["response_format" in body for body in server.asked] == [True, False, False]


def test_parameters_that_a_model_does_not_take_are_left_out() -> None:
    """Reasoning models take no temperature, and the limit of tokens under its newer name only."""
    script = [
        fails(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        fails(400, "Unsupported value: 'temperature' does not support 0.4"),
        says("fine"),
    ]
    with serving_model(*script) as server, client(server) as asking:
        assert asking.ask(ASKED, Failures()).said.content == "fine"
    last = server.asked[-1]
    assert ("max_tokens" in last, last["max_completion_tokens"], "temperature" in last) == (False, 50, False)


def test_a_complaint_of_what_was_left_out_already_is_final() -> None:
    with serving_model(fails(400, "response_format, temperature, max_completion_tokens")) as server:
        with client(server) as asking, pytest.raises(ModelError, match="HTTP 400"):
            asking.ask(ASKED, Failures())
        assert len(server.asked) == 4


@pytest.mark.slow
def test_429_waits_as_long_as_the_server_says() -> None:
    with serving_model(fails(429, Retry_After="1"), says("fine")) as server, client(server) as asking:
        began = time.monotonic()
        reply = asking.ask(ASKED, Failures())
    assert reply.attempts == 2
    assert time.monotonic() - began >= 1.0


def test_who_asks_to_wait_too_long_is_not_waited_for() -> None:
    with serving_model(fails(429, Retry_After="3600")) as server, client(server) as asking:
        with pytest.raises(ProvidersFailed, match=r"p0 \(flash-0\): HTTP 429"):
            asking.ask(ASKED, Failures())
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "value",
    [
        "\u00b2",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 32 Jan 2026 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 -0000",
        "-1",
        "0.5",
        "soon",
        " 0 ",
    ],
)
def test_an_odd_retry_after_is_no_reason_to_give_up(value: str) -> None:
    with serving_model(fails(429, Retry_After=value), says("fine")) as server, client(server) as asking:
        assert asking.ask(ASKED, Failures()).attempts == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 422])
def test_other_4xx_are_never_asked_again_nor_anybody_else(status: int) -> None:
    with serving_model(fails(status, "not so", Retry_After="0")) as first, serving_model(says("x")) as second:
        with client(first, second) as asking, pytest.raises(ModelError, match=f"HTTP {status}: not so"):
            asking.ask(ASKED, Failures())
        assert (len(first.asked), len(second.asked)) == (1, 0)


@pytest.mark.parametrize(("status", "requests"), [(500, 1), (503, 1), (429, 4)])
def test_the_fallback_serves_for_the_rest_of_the_run(status: int, requests: int) -> None:
    failures = Failures()
    with serving_model(fails(status)) as first, serving_model(says("fine")) as second, client(first, second) as asking:
        assert [asking.ask(ASKED, failures).provider for _ in range(3)] == ["p1"] * 3
        assert (len(first.asked), len(second.asked)) == (requests, 3)
    assert failures == [("flash-0", "p1")]
    assert second.asked[0]["model"] == "flash-1"


def test_without_a_fallback_500_is_asked_again() -> None:
    with serving_model(fails(500), fails(502), says("fine")) as server, client(server) as asking:
        assert asking.ask(ASKED, Failures()).attempts == 3


def test_both_failing_names_both() -> None:
    with (
        serving_model(fails(503, "down")) as first,
        serving_model(fails(500, "broken")) as second,
        client(first, second) as asking,
        pytest.raises(ProvidersFailed) as raised,
    ):
        asking.ask(ASKED, Failures())
    assert "p0 (flash-0): HTTP 503: down" in str(raised.value)
    assert "p1 (flash-1): HTTP 500: broken" in str(raised.value)


def test_the_breaker_asks_nobody_any_more() -> None:
    with serving_model(fails(400)) as server, client(server) as asking:
        for _ in range(BREAK_AFTER):
            with pytest.raises(ModelError):
                asking.ask(ASKED, Failures())
        with pytest.raises(CircuitOpen, match="3 calls in a row failed"):
            asking.ask(ASKED, Failures())
        assert len(server.asked) == BREAK_AFTER


def test_an_answer_closes_the_breaker() -> None:
    with serving_model(fails(400), fails(400), says("fine"), fails(400), fails(400), says("fine")) as server:
        with client(server) as asking:
            for is_fine in (False, False, True) * 2:
                if is_fine:
                    asking.ask(ASKED, Failures())
                else:
                    with pytest.raises(ModelError):
                        asking.ask(ASKED, Failures())
        assert len(server.asked) == 6


@pytest.mark.parametrize(
    ("play", "reason"),
    [
        (drips(5.0), "not whole after|within the time limit"),
        (sends("<html>Sign in</html>", "text/html"), "no chat completion"),
        (sends(b"\xff\xfe\x00"), "no chat completion"),
        (sends('{"choices": []}'), "no choices"),
        (sends("[" * 100_000), "no chat completion"),
        (sends(b"x" * (5 * 2**20)), "more than 4194304 bytes"),
    ],
    ids=["slow stream", "wrong content type", "no text", "no choices", "deep", "huge"],
)
def test_what_is_no_answer_is_an_error(play: Play, reason: str) -> None:
    patience = Patience(answer=0.4, connect=0.4, retry=0.5, wait_initial=0.01, wait=0.1)
    with (
        serving_model(play) as server,
        client(server, patience=patience) as asking,
        pytest.raises(ProvidersFailed, match=reason),
    ):
        asking.ask(ASKED, Failures())


def test_a_right_answer_under_a_wrong_content_type_is_read() -> None:
    body = '{"choices": [{"message": {"content": "fine", "new": 1}, "finish_reason": null}]}'
    with serving_model(sends(body, "text/plain")) as server, client(server) as asking:
        reply = asking.ask(ASKED, Failures())
    assert reply.said.content == "fine"
    assert reply.tokens.input_tokens > 0  # an estimate: what is paid for must not look free


@pytest.mark.parametrize(
    ("usage", "tokens", "charged"),
    [
        ({"prompt_tokens": None, "completion_tokens": 5}, (None, 5), None),
        ({"prompt_tokens": 7.0, "completion_tokens": 5}, (7, 5), None),
        ({"prompt_tokens": 7, "completion_tokens": "5"}, (7, None), None),
        ({"prompt_tokens": 7, "completion_tokens": -5}, (7, None), None),
        ({"prompt_tokens": 7, "completion_tokens": 5, "cost": "0.1"}, (7, 5), None),
        ({"prompt_tokens": 7, "completion_tokens": 5, "cost": True}, (7, 5), None),
        ({"prompt_tokens": 7, "completion_tokens": 5, "cost": 1e300}, (7, 5), None),
        ({"prompt_tokens": 7, "completion_tokens": 5, "cost": 0}, (7, 5), 0.0),
        ({"prompt_tokens": 7, "completion_tokens": 5, "prompt_tokens_details": [1]}, (7, 5), None),
        (
            {"prompt_tokens": 7, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": {}}},
            (7, 5),
            None,
        ),
        ({"prompt_tokens": 2**63, "completion_tokens": 5}, (None, 5), None),
        ({"prompt_tokens": 10**400, "completion_tokens": 5}, (None, None), None),
        ([7, 5], (None, None), None),
        ("many", (None, None), None),
    ],
    ids=str,
)
def test_an_odd_usage_costs_no_answer(usage: Any, tokens: tuple[int | None, int | None], charged: float | None) -> None:
    """It was thrown away and asked for four times, each of them paid. What is not told (None) is estimated."""
    message = {"message": {"content": "fine"}, "finish_reason": "stop"}
    with serving_model(sends(json.dumps({"choices": [message], "usage": usage}))) as server, client(server) as asking:
        reply = asking.ask(ASKED, Failures())
        assert len(server.asked) == 1
    assert (reply.said.content, reply.charged_usd) == ("fine", charged)
    read, written = tokens
    assert reply.tokens.input_tokens == (ASKED.prompt_tokens if read is None else read)
    assert reply.tokens.output_tokens == written or (written is None and 0 < reply.tokens.output_tokens < 500)


def test_nobody_at_the_address() -> None:
    with serving_model(says("x")) as server:
        pass
    with client(server, patience=QUICK) as asking, pytest.raises(ProvidersFailed, match="ConnectError"):
        asking.ask(ASKED, Failures())


def test_servers_of_the_settings(settings: Settings) -> None:
    assert endpoints(settings) == ()
    named = settings.model_copy(
        update={"llm_url": "http://m.example:8/v1/", "llm_pro": "big", "llm_key": SecretStr("k")}
    )
    (server,) = endpoints(named)
    assert (server.provider, server.url, dict(server.models)) == (
        "m.example",
        "http://m.example:8/v1",
        {"flash": "big", "pro": "big"},
    )
    with pytest.raises(SynthesisError, match="OPLAKE_LLM_URL is set but no model"):
        endpoints(settings.model_copy(update={"llm_url": "http://m.example"}))


def importing(pattern: str) -> set[str]:
    """The modules of the engine and the assets that import what a pattern says, wherever in them."""
    found = re.compile(rf"^\s*(?:from|import)\s+({pattern})\b", re.MULTILINE)
    sources = [*(CHECKOUT / "pipelines").rglob("*.py"), *(CHECKOUT / "assets").rglob("*.py")]
    return {path.relative_to(CHECKOUT).as_posix() for path in sources if found.search(path.read_text())}


def test_nothing_but_synthesis_can_reach_a_model() -> None:
    """Only its client has the means. What asks through it is reached in two places: the resource `llm`, and rebuilding,
    which asks nobody. All else may know how tables are declared, and loads no client for that."""
    assert importing("httpx|openai") == {"pipelines/oplake/synthesis/client.py"}
    asking = importing(r"oplake\.synthesis\.(?:calls|client|loop|session|write)|oplake\.synthesis import")
    outside = {path for path in asking if not path.startswith("pipelines/oplake/synthesis/")}
    assert outside == {"pipelines/oplake/lake/rebuild.py", "pipelines/oplake/orchestration/llm.py"}
    script = (
        "import sys, oplake.orchestration.definitions; print({'httpx', 'oplake.synthesis.client'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
