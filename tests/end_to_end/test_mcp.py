"""`oplake mcp`, asked by the protocol's own client: in this process for the tools, over stdio as agents start it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import StdioServerParameters
from mcp.client import Client
from mcp.client.stdio import stdio_client
from mcp.types import TextContent
from tests.landed_events import event, land, take_in
from tests.playbook_rows import row
from tests.receiving import landed
from tests.written_rows import NAMED, example_rows, written_row

from oplake.lake.tables import Lake
from oplake.landing.recorder import Recorder
from oplake.mcp_server import build_server
from oplake.playbook.publish import publish_served
from oplake.settings import Settings
from oplake.synthesis.write import as_table

pytestmark = pytest.mark.slow

Ask = Callable[..., Awaitable[tuple[str, bool]]]


@pytest.fixture
def home(settings: Settings) -> Settings:
    """A home with a note, a playbook, a plan and reports of 12 January."""
    land(settings, [event("note", "n1", user_id="ann", note="quick, thank you")])
    take_in(settings)
    publish_served(settings, [row(do="read the failing test first")])
    lake = Lake(settings.lake)
    rows = {
        **example_rows(),
        "lake.daily_report": [written_row("lake.daily_report", date(2026, 1, 12), summary="Calm.")],
    }
    for table, several in rows.items():
        lake.create(NAMED[table].spec)
        lake.replace(table, partial(as_table, NAMED[table].spec, several), start=None, stop=None)
    return settings


def asking(settings: Settings, ask: Callable[[Ask], Awaitable[None]]) -> None:
    """Has a client ask the server of a home; what it gets is the text, and whether that is an error."""

    async def main() -> None:
        with Recorder(settings) as recorder:
            async with Client(build_server(settings, recorder)) as client:
                await ask(lambda tool, **arguments: called(client, tool, arguments))

    anyio.run(main)


async def called(client: Client, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
    result = await client.call_tool(tool, arguments)
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text, bool(result.is_error)


def test_the_playbook_is_served_and_that_lands(home: Settings) -> None:
    async def ask(call: Ask) -> None:
        text, is_error = await call("playbook", task_class="fix_bug", session_id="s-1")
        assert not is_error
        withheld = [each["withheld"] for each in landed(home.home, "playbook_served")]
        assert ("read the failing test first" in text) == (withheld == [False])
        assert len(withheld) == 1
        text, is_error = await call("playbook", task_class="fix_bugs")
        assert (is_error, "did you mean fix_bug?" in text) == (True, True)

    asking(home, ask)


def test_plan_and_reports(home: Settings) -> None:
    async def ask(call: Ask) -> None:
        text, is_error = await call("plan", user_id="ann")
        assert not is_error
        assert "fewer redone figures" in text
        assert (await call("plan", user_id="nobody"))[1]
        assert "Calm" in (await call("report"))[0]
        assert "All went well" in (await call("report", user_id="ann"))[0]
        text, is_error = await call("report", day="2026-01-05")
        assert (is_error, "2026-01-12" in text) == (True, True)
        text, is_error = await call("report", day="yesterday")
        assert (is_error, "write it as" in text) == (True, True)

    asking(home, ask)


def test_a_query_reads_and_does_nothing_else(home: Settings, tmp_path: Path) -> None:
    target = tmp_path / "stolen.csv"

    async def ask(call: Ask) -> None:
        assert await call("query", sql="SELECT note FROM landed.notes") == ("note\nquick, thank you\n(1 rows)", False)
        for escape in (
            f"COPY (SELECT 1) TO '{target}'",
            "SELECT * FROM read_csv('/etc/passwd')",
            "DROP TABLE landed.notes",
            "SELECT 1; SELECT 2",
        ):
            text, is_error = await call("query", sql=escape)
            assert is_error, escape
            assert "root:" not in text

    asking(home, ask)
    assert not target.exists()


def test_agents_start_it_over_stdio(home: Settings) -> None:
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "oplake", "mcp", "--home", str(home.home)], env=None
    )

    async def main() -> None:
        async with Client(stdio_client(server)) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {"playbook", "plan", "report", "query"}
            assert all(tool.description for tool in tools.values())
            text, is_error = await called(client, "query", {"sql": "SELECT count(*) AS notes FROM landed.notes"})
            assert (text, is_error) == ("notes\n1\n(1 rows)", False)

    anyio.run(main)
