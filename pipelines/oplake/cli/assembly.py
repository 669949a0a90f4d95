"""The command line put together, and its entry point."""

from __future__ import annotations

import os
import sys

import typer

from oplake.cli import agents, imports, playbooks, read, reports, work  # noqa: F401  (they register their commands)
from oplake.cli.app import KEEP, PANELS, app

SIGPIPE_EXIT = 141  # what a shell reports of a program whose reader went away


def assembled() -> typer.Typer:
    """The command line with all its commands, panel by panel."""
    app.registered_commands.sort(key=lambda each: PANELS.index(each.rich_help_panel or KEEP))
    return app


def main() -> None:
    """Run the command line; the entry point of `oplake`."""
    try:
        assembled()()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit is quiet, too
        sys.exit(SIGPIPE_EXIT)
