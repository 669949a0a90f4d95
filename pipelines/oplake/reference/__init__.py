"""The generated pages of docs/: events, receiver, tables, settings, commands, naming and OpenTelemetry.

Each page is written from what the code itself goes by, so that it cannot say anything else. Pages hold no date, version
or machine, so that they change only when their subject does. What a person has to think up stands elsewhere: prose in
the other pages of docs/, a question worth asking of a table in the header of its model or in docs/questions/.

Nothing here opens a lake, and nothing but `oplake docs` and its tests imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oplake.models.model import sql_folder
from oplake.models.sql_file import load_models
from oplake.orchestration.work import SOURCES
from oplake.reference.commands_page import commands_page
from oplake.reference.events_page import events_page
from oplake.reference.markdown import DocsError
from oplake.reference.naming_page import naming_page
from oplake.reference.otel_page import otel_page
from oplake.reference.questions import read_questions, write_answers
from oplake.reference.receiver_page import receiver_page
from oplake.reference.settings_page import settings_page
from oplake.reference.tables_pages import tables_pages
from oplake.settings import CHECKOUT, is_checkout

__all__ = ["QUESTIONS", "DocsError", "pages", "stale_pages", "write_answers", "write_pages"]

QUESTIONS = CHECKOUT / "docs" / "questions"


def pages(command_line: Any) -> dict[str, str]:
    """Every generated page by its path in the checkout; `command_line` is the tree that typer makes of `oplake`.

    Raises:
        ModelFileError: A model file cannot be loaded.
        DocsError: A file of docs/questions cannot be read.
    """
    models = load_models(sql_folder(), SOURCES)
    questions = read_questions(QUESTIONS)
    specs = [*SOURCES, *(model.spec for model in models)]
    return {
        "docs/events.md": events_page(),
        "docs/receiver.md": receiver_page(),
        "docs/settings.md": settings_page(),
        "docs/commands.md": commands_page(command_line),
        "docs/naming.md": naming_page(specs),
        "docs/otel.md": otel_page(models),
        **tables_pages(models, SOURCES, questions),
    }


def stale_pages(wanted: Mapping[str, str]) -> list[str]:
    """Those of the wanted pages that are missing or out of date, and those of docs/tables that are not wanted."""
    stale = [name for name, text in wanted.items() if not (CHECKOUT / name).is_file() or _text(name) != text]
    found = (path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "docs" / "tables").glob("*.md"))
    return stale + sorted(set(found) - set(wanted))


def write_pages(command_line: Any) -> list[str]:
    """Write the pages that are not fresh, remove those that no schema has, and return their names.

    Raises:
        DocsError: This is no checkout.
    """
    if not is_checkout():
        raise DocsError("the pages of docs/ are written in a checkout of oplake; an installed one has none")
    wanted = pages(command_line)
    stale = stale_pages(wanted)
    for name in stale:
        path = CHECKOUT / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
    return stale


def _text(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding="utf-8")
