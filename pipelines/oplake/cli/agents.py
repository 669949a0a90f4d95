"""The command by which agents ask: `oplake mcp`."""

from __future__ import annotations

from oplake.cli.app import LOOK, app, command, settings


@command(app, "mcp", panel=LOOK)
def mcp() -> None:
    """Offer playbook, plan, report and read-only query to agents, over stdin and stdout (Model Context Protocol).

    An agent starts it by itself: name `oplake mcp` in its list of servers.
    """
    from oplake.landing.recorder import Recorder
    from oplake.mcp_server import build_server

    home = settings()
    with Recorder(home) as recorder:
        build_server(home, recorder).run("stdio")
