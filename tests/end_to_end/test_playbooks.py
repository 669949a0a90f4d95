"""Playbooks on their way to agents: over HTTP, through a recorder that sends to a receiver, and by the command line."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from pydantic import SecretStr
from tests.playbook_rows import row, write_candidates, write_entries
from tests.receiving import Receiver, landed, receiving
from typer.testing import CliRunner, Result

from oplake.cli.assembly import assembled
from oplake.lake.ingest import ingest
from oplake.lake.tables import Lake
from oplake.landing import forward
from oplake.landing.recorder import Recorder
from oplake.landing.writer import utc_now
from oplake.playbook.book import Shelf
from oplake.playbook.publish import publish_served, republish
from oplake.receiver.limits import Limits
from oplake.settings import CHECKOUT, Settings

TOKEN = "a-long-random-text"
HELPS = {"uplift": 0.12, "uplift_low": 0.04, "uplift_high": 0.2, "exposures": 900, "controls": 100}
ODD = "a/b\nü?"  # a class that a path can hold only between quotes
SERVED = "/playbook/fix_bug?session_id=s1"


@pytest.fixture
def there(tmp_path: Path) -> Settings:
    """The home of a receiver, with a book of ten entries, each withheld from half of its units."""
    settings = Settings(home=tmp_path / "there", playbook_withheld=0.5)
    rows = [row(f"e{number}", rank=number) for number in range(10)]
    publish_served(settings, [*rows, row("o1", task_class=ODD)])
    return settings


@pytest.fixture
def up(there: Settings) -> Iterator[Receiver]:
    with receiving(there) as receiver:
        yield receiver


# -- Over HTTP ---------------------------------------------------------------------------------------------------------


def test_what_is_answered_has_landed(up: Receiver) -> None:
    answer = up.ask("GET", f"{SERVED}&action_id=a1")
    shown = [entry["entry_id"] for entry in answer.json["entries"]]
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert 0 < len(shown) < 10
    events = up.landed("playbook_served")
    assert [event["entry_id"] for event in events if not event["withheld"]] == shown
    assert len(events) == 10
    assert {(event["session_id"], event["action_id"]) for event in events} == {("s1", "a1")}


def test_a_receiver_and_a_recorder_serve_the_same_unit_alike(up: Receiver, there: Settings) -> None:
    with Recorder(there) as recorder:
        for session in map(str, range(20)):
            answer = up.ask("GET", f"/playbook/fix_bug?session_id={session}")
            found = recorder.playbook("fix_bug", session_id=session)
            assert [entry["entry_id"] for entry in answer.json["entries"]] == found.ids


def test_each_format_shows_the_same_entries(up: Receiver) -> None:
    answers = {form: up.ask("GET", f"{SERVED}&format={form}") for form in ("json", "md", "skill")}
    shown = [entry["do"] for entry in answers["json"].json["entries"]]
    for form in ("md", "skill"):
        text = answers[form].body.decode()
        assert answers[form].headers["content-type"] == "text/markdown; charset=utf-8"
        assert [line.split("** ")[1] for line in text.splitlines() if "**Do:**" in line] == shown
    front = yaml.safe_load(answers["skill"].body.decode().split("---\n")[1])
    assert front["name"] == "fix-bug"


def test_without_session_and_action_all_is_shown_and_nothing_lands(up: Receiver) -> None:
    assert len(up.ask("GET", "/playbook/fix_bug").json["entries"]) == 10
    assert len(up.ask("GET", "/playbook/fix_bug?session_id=").json["entries"]) == 10
    assert not up.landed()


def test_a_class_may_be_named_as_it_likes_or_not_be_known(up: Receiver) -> None:
    found = up.ask("GET", f"/playbook/{quote(ODD, safe='')}").json
    assert (found["task_class"], [each["entry_id"] for each in found["entries"]]) == (ODD, ["o1"])
    unknown = up.ask("GET", "/playbook/unknown?session_id=s&format=md")
    assert (unknown.status, unknown.body) == (200, b"")
    assert not up.landed()


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/playbook/fix_bug?format=html", 400, "there are json, md, skill"),
        ("/playbook/fix_bug?session=s1", 400, "there are session_id, action_id, format"),
        (f"{SERVED}&session_id=s2", 400, "twice"),
        ("/playbook/", 404, "Not Found"),
    ],
)
def test_what_is_asked_wrongly_is_refused_and_nothing_lands(up: Receiver, path: str, status: int, says: str) -> None:
    answer = up.ask("GET", path)
    assert (answer.status, says in answer.json["error"]) == (status, True), answer.body
    assert not up.landed()


def test_asking_for_the_headers_alone_lands_nothing(up: Receiver) -> None:
    assert (up.ask("HEAD", SERVED).status, up.landed()) == (200, [])


def test_the_token_is_needed_here_too(there: Settings) -> None:
    with receiving(Settings(home=there.home, token=SecretStr(TOKEN))) as up:
        assert up.ask("GET", SERVED).status == 401
        assert not up.landed()
        assert up.ask("GET", SERVED, headers={"authorization": f"Bearer {TOKEN}"}).status == 200


def test_a_web_page_of_elsewhere_gets_nothing(up: Receiver) -> None:
    """An image or a link of a page asks without saying its origin; it would land what no agent was shown."""
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        assert up.ask("GET", "/playbook/unknown", headers={"sec-fetch-site": site}).status == status


def test_a_book_that_cannot_be_read_is_told(up: Receiver, there: Settings) -> None:
    there.served.write_text("{")
    answer = up.ask("GET", SERVED)
    assert (answer.status, "oplake rebuild" in answer.json["error"]) == (503, True)


def test_classes_make_no_counters(up: Receiver) -> None:
    """Strangers could otherwise have the receiver keep as many as they can think of."""
    for name in ("a", "b", "c"):
        up.ask("GET", f"/playbook/{name}")
    counted = [line for line in up.ask("GET", "/metrics").body.decode().splitlines() if "/playbook/" in line]
    assert counted == ['oplake_requests_total{method="GET",path="/playbook/",status="200"} 3']


def test_limits_hold_here_too(there: Settings) -> None:
    with receiving(there, limits=Limits(head_bytes=2000)) as up:
        assert up.ask("GET", SERVED, headers={"x": "y" * 3000}).status == 431


# -- Through a recorder ------------------------------------------------------------------------------------------------


def test_a_recorder_asks_the_receiver(home: Path, up: Receiver) -> None:
    """And lands nothing itself: what the receiver has landed would be there twice."""
    with Recorder(up.url) as recorder:
        found = recorder.playbook("fix_bug", session_id="s1")
        assert recorder.stats().events == 0
        assert recorder.playbook(ODD).ids == ["o1"]
    assert found.ids == [entry["entry_id"] for entry in up.ask("GET", SERVED).json["entries"]]
    assert len(up.landed("playbook_served")) == 20
    assert not landed(home)


def test_a_recorder_sends_the_token(home: Path, there: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPLAKE_TOKEN", TOKEN)
    with receiving(Settings(home=there.home)) as up, Recorder(f"{up.url}/") as recorder:
        assert recorder.playbook("fix_bug")


def test_a_receiver_that_is_down_is_an_empty_playbook_and_a_warning(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with caplog.at_level(logging.WARNING), Recorder(f"http://127.0.0.1:{port}", strict=True) as recorder:
        assert recorder.playbook("fix_bug", session_id="s").text == ""
    assert "no playbook for fix_bug: ConnectionRefusedError" in caplog.text


def test_a_receiver_that_does_not_answer_is_not_waited_for(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "ASK_SECONDS", 0.1)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        recorder = Recorder(f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert not recorder.playbook("fix_bug", session_id="s")
        assert time.monotonic() - began < 5
        recorder.close()
    assert "TimeoutError" in caplog.text


@pytest.mark.parametrize("content", ["{", json.dumps({"format": 99})])
def test_what_a_receiver_cannot_tell_is_an_empty_playbook(
    home: Path, up: Receiver, there: Settings, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    there.served.write_text(content)
    with Recorder(up.url) as recorder:
        assert not recorder.playbook("fix_bug", session_id="s")
        assert not recorder.playbook("", session_id="s")
    assert "the receiver answered 503" in caplog.text
    assert "the receiver answered 404" in caplog.text


# -- By the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def call(home: Path) -> Callable[..., Result]:
    """Run a command in this process."""
    return lambda *arguments: CliRunner().invoke(assembled(), [str(each) for each in arguments])


@pytest.fixture
def shelved(settings: Settings, lake: Lake) -> Settings:
    """A home whose lake has a book, which is published."""
    with Recorder(settings) as recorder:
        recorder.note("ann", "well done")
        recorder.correction("fix_bug", "Read the log first.")
    ingest(settings, now=utc_now())
    evidence = [event["event_id"] for event in landed(settings.home)]
    rows = [row("e1", evidence=[*evidence, "forgotten"], rank=1, **HELPS), row("e2", status="probation", rank=2)]
    write_entries(lake, rows)
    write_candidates(lake, "e1", days=3)
    republish(settings, lake)
    return settings


def test_the_command_serves_as_agents_are_served(call: Callable[..., Result], shelved: Settings) -> None:
    before = landed(shelved.home)
    assert call("playbook", "fix_bug").stdout.startswith("## Playbook: fix_bug\n\n- When e1 is at hand\n")
    assert landed(shelved.home) == before, "without a session nothing lands"
    done = call("playbook", "fix_bug", "--format", "json", "--session", "s1", "--action", "a1")
    with Recorder(shelved) as recorder:
        assert [each["entry_id"] for each in json.loads(done.stdout)["entries"]] == recorder.playbook(
            "fix_bug", action_id="a1"
        ).ids
    served = landed(shelved.home, "playbook_served")
    assert [(event["session_id"], event["action_id"]) for event in served[:2]] == [("s1", "a1")] * 2
    assert call("playbook", "fix_bug", "-f", "skill").stdout.startswith('---\nname: "fix-bug"\n')


def test_nothing_shown_is_said(call: Callable[..., Result], shelved: Settings) -> None:
    publish_served(Settings(home=shelved.home, playbook_withheld=0.999_999), [row()])
    done = call("playbook", "fix_bug", "--session", "s")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "withheld" in done.stderr


def test_a_class_that_is_not_known_is_told_with_those_that_are(call: Callable[..., Result], shelved: Settings) -> None:
    assert "did you mean fix_bug?" in call("playbook", "fix_bgu").stderr
    assert "there are those for fix_bug" in call("playbook", "something else").stderr
    shelved.served.unlink()
    done = call("playbook", "fix_bug")
    assert (done.exit_code, "oplake run makes them" in done.stderr) == (1, True)


def test_the_book_is_listed_and_its_evidence_shown(call: Callable[..., Result], shelved: Settings) -> None:
    listed = call("playbooks")
    assert (listed.exit_code, "When e1 is at hand Do: do e1" in listed.stdout) == (0, True)
    assert "+12 (+4 to +20)" in listed.stdout
    done = call("playbooks", "--evidence", "e1")
    assert '"note":"well done"' in done.stdout
    assert "landed.corrections" in done.stdout
    assert "1 event of them is not in the lake any more" in done.stderr
    assert "did you mean e1?" in call("playbooks", "--evidence", "e1x").stderr


def test_the_book_is_written_as_a_page_and_as_files(
    call: Callable[..., Result], shelved: Settings, tmp_path: Path
) -> None:
    done = call("playbooks", "--html", tmp_path / "book.html", "--export", tmp_path / "out", "--format", "skill")
    assert (done.exit_code, done.stdout) == (0, "")
    text = (tmp_path / "book.html").read_text()
    assert "When e1 is at hand" in text
    assert "Proposed on 3 days until 2026-01-07, by blame: in 3 of 4 failures and 1 of 9 successes" in text
    assert (tmp_path / "out" / "fix-bug" / "SKILL.md").exists()
    assert call("playbooks", "--format", "skill").exit_code == 2, "where to?"
    failed = call("playbooks", "--html", tmp_path / "none" / "book.html")
    assert (failed.exit_code, "cannot write" in failed.stderr) == (1, True)


def test_without_a_book_the_command_says_what_makes_one(call: Callable[..., Result]) -> None:
    done = call("playbooks")
    assert (done.exit_code, "oplake run makes it" in done.stderr) == (1, True)


def test_the_example_of_the_readme_is_served(settings: Settings) -> None:
    section = (CHECKOUT / "README.md").read_text(encoding="utf-8").partition("\n## Playbooks\n")[2]
    example = section.partition("```python\n")[2].partition("```")[0]
    publish_served(Settings(home=settings.home, playbook_withheld=0.0), [row("e1", task_class="refund_order")])
    said: dict[str, Any] = {}
    exec(example, said)  # noqa: S102  # it is ours
    assert (
        said["prompt"] == "Refund order 1001.\n\n## Playbook: refund_order\n\n- When e1 is at hand\n  - **Do:** do e1\n"
    )
    assert [event["withheld"] for event in landed(settings.home, "playbook_served")] == [False]


@pytest.mark.slow
def test_a_run_and_a_rebuild_publish_the_book(
    call: Callable[..., Result], worked_home: Path, settings: Settings
) -> None:
    shutil.copytree(worked_home, settings.home, dirs_exist_ok=True)
    published = settings.served.read_bytes()
    (task_class, *_) = Shelf(settings.served).book().task_classes
    settings.served.unlink()
    with Recorder(settings) as recorder:
        recorder.note("u", "n")
    assert call("run").exit_code == 0
    assert call("playbook", task_class).exit_code == 0
    assert settings.served.read_bytes() == published
    settings.served.unlink()
    assert call("rebuild").exit_code == 0
    assert settings.served.read_bytes() == published
