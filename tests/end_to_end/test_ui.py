"""The real UI with its daemon, looked at through a real browser. Screenshots stay in artifacts/screenshots."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, ViewportSize, expect

from oplake.lake.catalog import connect
from oplake.landing.accept import accept
from oplake.landing.writer import SegmentWriter
from oplake.orchestration.schedules import CRONS
from oplake.orchestration.ui import stop_leftovers
from oplake.settings import CHECKOUT, Settings

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ui")]

SCREENSHOTS = CHECKOUT / "artifacts" / "screenshots"
START_SECONDS = 120  # Dagster's webserver, daemon and code server on two busy cores
WORK_SECONDS = 150  # a tick, an ingest and a refresh, each in a process of its own
STOP_SECONDS = 60
PAGE_MS = 60_000
VIEWPORT: ViewportSize = {"width": 2050, "height": 1360}  # in a smaller one the graph shows nothing but names
SCALE = 0.8


@dataclass
class Ui:
    """The UI of a home, as `oplake ui` started it."""

    home: Path
    url: str
    process: subprocess.Popen[str]
    strangers: set[str] = field(default_factory=set)  # requests of its pages that left this machine

    def ask(self, query: str) -> dict[str, Any]:
        """The answer of its GraphQL."""
        body = json.dumps({"query": query}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/graphql", body, headers)  # noqa: S310  (our own loopback address)
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  (the same)
            answer: dict[str, Any] = json.load(response)["data"]
        return answer


def _until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Ask again and again: another process brings it about, and tells nobody."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what} did not come about in {seconds} s"
        time.sleep(0.5)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as_a_background_job() -> None:
    """What a shell script does to a command that ends in `&`: it would ignore Ctrl-C for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.fixture(scope="module")
def ui(worked_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    home = tmp_path_factory.mktemp("ui") / "home"
    shutil.copytree(worked_home, home)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with (
        (home / "ui.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", "oplake", "ui", "--port", str(port)],
            env={**os.environ, "OPLAKE_HOME": str(home)},
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=_as_a_background_job,  # noqa: PLW1509  (no other thread runs yet)
        ) as process,
    ):
        found = Ui(home, url, process)

        def is_up() -> bool:
            assert process.poll() is None, (home / "ui.log").read_text()
            with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                return bool(found.ask("{ version }")["version"])
            return False

        try:
            _until(is_up, START_SECONDS, "the UI")
            yield found
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)  # killed, it would leave its webserver and daemon behind
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            stop_leftovers(home / "dagster")


@pytest.fixture(scope="module")
def page(ui: Ui, browser: Browser) -> Iterator[Page]:
    def note(request: Request) -> None:
        if not request.url.startswith((ui.url, "data:", "blob:")):
            ui.strangers.add(request.url)

    page = browser.new_page(viewport=VIEWPORT, device_scale_factor=SCALE)
    page.set_default_timeout(PAGE_MS)
    expect.set_options(timeout=PAGE_MS)
    page.on("request", note)
    yield page
    page.close()


def _shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def test_sensors_and_schedules_are_running(ui: Ui) -> None:
    query = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
        location { name }
        sensors { name sensorState { status } }
        schedules { name scheduleState { status } }
    } } } }"""
    (repository,) = ui.ask(query)["repositoriesOrError"]["nodes"]
    assert repository["location"]["name"] == "oplake"
    assert [(each["name"], each["sensorState"]["status"]) for each in repository["sensors"]] == [
        ("arrivals", "RUNNING")
    ]
    assert sorted((each["name"], each["scheduleState"]["status"]) for each in repository["schedules"]) == [
        (name, "RUNNING") for name in sorted(("daily_upkeep", *CRONS))
    ]


def test_the_graph_shows_the_groups_and_opens_them(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.url}/asset-groups")
    for group in ("landed", "otel", "attribution", "operations", "sessions", "lake"):
        expect(page.get_by_text(group, exact=True).last).to_be_visible()
    expect(page.get_by_text("fetching statuses")).to_have_count(0)
    _shoot(page, "groups")
    page.goto(f"{ui.url}/asset-groups?expanded=global%40global%3Aattribution")  # fits what it opens with into view
    for table in ("actions", "steps", "step_credits", "success_scores", "interactions"):
        expect(page.locator("foreignObject").get_by_text(table, exact=True).first).to_be_visible()
    _shoot(page, "asset-graph")
    page.goto(f"{ui.url}/locations/oplake/asset-groups/operations/lineage")  # few enough to say all of each
    expect(page.get_by_text("Passed").first).to_be_visible()
    _shoot(page, "asset-group")


def test_an_asset_page_says_what_the_table_is(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.url}/assets/attribution/step_credits")
    expect(page.get_by_text("Share of an action's outcome earned by each of its steps.", exact=True)).to_be_visible()
    expect(page.get_by_text("unique: action_id, position")).to_be_visible()
    expect(page.get_by_text("share of the outcome; sums to 1 per action").first).to_be_visible()
    expect(page.get_by_text("Row count")).to_be_visible()
    _shoot(page, "asset")


def test_a_day_of_an_asset_has_its_row_count(ui: Ui, page: Page) -> None:
    with closing(connect(Settings(home=ui.home))) as connection:
        row = connection.execute(
            "SELECT count(*) FROM attribution.step_credits WHERE day = DATE '2026-01-05'"
        ).fetchone()
    assert row is not None
    page.goto(f"{ui.url}/assets/attribution/step_credits?view=partitions&partition=2026-01-05")
    entry = page.locator("tr").filter(has_text="dagster/partition_row_count")
    expect(entry).to_contain_text(str(row[0]))
    _shoot(page, "asset-day")


def test_an_asset_has_its_place_in_the_graph(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.url}/assets/attribution/step_credits?view=lineage")
    for table in ("actions", "steps", "interactions"):
        expect(page.locator("foreignObject").get_by_text(table, exact=True).first).to_be_visible()
    _shoot(page, "asset-lineage")


def test_runs_and_automation_are_there(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.url}/runs")
    expect(page.get_by_text("oplake/by: oplake run").first).to_be_visible()
    expect(page.get_by_text("refresh", exact=True).first).to_be_visible()
    _shoot(page, "runs")
    page.goto(f"{ui.url}/automation")
    expect(page.get_by_text("arrivals", exact=True)).to_be_visible()
    expect(page.get_by_text("daily_upkeep", exact=True)).to_be_visible()
    _shoot(page, "automation")


def test_the_pages_ask_nobody_outside(ui: Ui, page: Page) -> None:
    """Telemetry, update checks, fonts from elsewhere: none of it."""
    page.goto(f"{ui.url}/overview")
    expect(page.get_by_text("Overview").first).to_be_visible()
    assert ui.strangers == set()


def test_a_second_start_says_that_there_is_one(ui: Ui) -> None:
    """Two daemons on one home would start everything twice."""
    second = subprocess.run(
        [sys.executable, "-m", "oplake", "ui"],
        env={**os.environ, "OPLAKE_HOME": str(ui.home)},
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert second.returncode == 1
    assert f"this home has its UI already at {ui.url}" in second.stderr


def test_the_daemon_takes_in_what_lands(ui: Ui) -> None:
    """From an event to its row with nobody at the keyboard."""
    settings = Settings(home=ui.home)
    began_at = datetime.now(UTC)
    fields = {"event_id": "late", "kind": "action_begun", "agent_id": "a", "action_type": "t", "action_id": "new"}
    with closing(SegmentWriter(settings.landing)) as writer:
        writer.append([accept(fields, received_at=began_at).line])

    def is_made() -> bool:
        with closing(connect(settings)) as connection:
            rows = connection.execute("SELECT status FROM attribution.actions WHERE action_id = 'new'").fetchall()
        return rows == [("open",)]

    _until(is_made, WORK_SECONDS, "the row of the new action")


def test_it_stops_when_told_to_although_a_shell_put_it_in_the_background(ui: Ui) -> None:
    """`dagster dev &` in a script ignores SIGINT and SIGTERM; so would we, had we not reset the signals. Runs last."""
    ui.process.send_signal(signal.SIGINT)
    ui.process.wait(STOP_SECONDS)
    with pytest.raises(urllib.error.URLError):
        ui.ask("{ version }")
