"""The commands about playbooks: one serves them as agents are served, the other shows the whole book to people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oplake.cli.app import LOOK, app, command, settings
from oplake.cli.errors import CommandError
from oplake.cli.terminal import busy, is_terminal, print_table, remark
from oplake.playbook.formats import Form
from oplake.words import counted

if TYPE_CHECKING:
    from oplake.playbook.entries import Shown

SAID_CHARS = 100  # of an entry in the list


@command(app, "playbook", panel=LOOK)
def playbook(
    task_class: Annotated[str, typer.Argument(help="Class of the task: the action_type of its actions.")],
    form: Annotated[Form, typer.Option("--format", "-f", help="Text for a prompt, data, or a SKILL.md.")] = Form.md,
    session: Annotated[str | None, typer.Option(help="The session that it is for.")] = None,
    action: Annotated[str | None, typer.Option(help="The action that it is for, if it has begun.")] = None,
) -> None:
    """Serve what agents should know for a class of tasks: what has worked there, and what to avoid.

    With --session or --action each entry is withheld from one in ten at random, and what is shown and withheld lands,
    so that its effect can be measured. Without either nothing is withheld, and nothing lands.
    """
    import msgspec

    from oplake.landing.recorder import Recorder
    from oplake.playbook.book import Shelf
    from oplake.playbook.entries import unknown_class
    from oplake.playbook.formats import skill_of

    home = settings()
    book = Shelf(home.served).book()
    if task_class not in book.task_classes:
        raise unknown_class(task_class, book.task_classes)
    with Recorder(home, strict=True) as recorder:
        found = recorder.playbook(task_class, session_id=session, action_id=action)
    match form:
        case Form.json:
            text = msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n"
        case Form.skill:
            text = skill_of(task_class, found.entries)
        case Form.md:
            text = found.text
    typer.echo(text, nl=False)
    if not found:
        remark("Nothing of it is shown this time: it is withheld to learn what it is worth, or it has not its turn.")


@command(app, "playbooks", panel=LOOK)
def playbooks(
    html: Annotated[Path | None, typer.Option(help="Write the book to this file as a page that stands alone.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--export", help="Write it into this folder, a file for each class of tasks.")
    ] = None,
    form: Annotated[
        Form | None,
        typer.Option(
            "--format",
            "-f",
            help="What to export: Markdown, JSON, or folders of Agent Skills.",
            show_default="md",
        ),
    ] = None,
    evidence: Annotated[str | None, typer.Option(help="Show the events that this entry rests on.")] = None,
) -> None:
    """Show the playbooks: what they advise, what showing it was found to be worth, and what became of it."""
    from oplake.playbook.entries import read_book

    if form is not None and folder is None:
        raise typer.BadParameter("--format is for --export FOLDER")
    home = settings()
    book = read_book(home)
    if evidence is not None:
        _show_evidence(book, evidence)
    if html is not None:
        from oplake.playbook.grounds import read_grounds
        from oplake.playbook.page import page

        with busy("Drawing the page ..."):
            text = page(book, read_grounds(home))
        try:
            html.write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"cannot write {html}: {error.strerror or error}") from error
        remark(f"Wrote {html}")
    if folder is not None:
        from oplake.playbook.export import export

        remark(f"Wrote {counted(len(export(book, folder, form or Form.md)), 'file')} into {folder}.")
    if html is None and folder is None and evidence is None:
        _list(book)


def _list(book: list[Shown]) -> None:
    from oplake.playbook import effect

    if not book:
        remark("There is no entry yet: they come of repeated successes, of errors and of corrections.")
        return
    rows = [
        (
            each.entry.task_class,
            each.entry.entry_id,
            each.entry.status,
            _cut(each.line),
            effect.in_short(each),
            each.entry.exposures,
            each.entry.controls,
        )
        for each in book
    ]
    if is_terminal():  # where names side by side would leave no room for what an entry says
        print_table(
            ["class and entry", "says", "effect", "shown", "withheld"],
            [(f"{class_}\n{entry}\n{status}", *rest) for class_, entry, status, *rest in rows],
            whole=("class and entry", "effect"),
        )
    else:
        print_table(["class", "entry", "status", "says", "effect", "shown", "withheld"], rows)
    remark(
        "Effects are points of success with their 95 % intervals. --html FILE has evidence and history, too; "
        "--evidence ENTRY shows the events that one rests on."
    )


def _cut(text: str) -> str:
    return text if len(text) <= SAID_CHARS else text[: SAID_CHARS - 1].rstrip() + "…"


def _show_evidence(book: list[Shown], entry_id: str) -> None:
    import msgspec

    from oplake.playbook.evidence import entry_of, witnesses

    entry = entry_of(book, entry_id).entry
    with busy("Looking for the events ..."):
        found = witnesses(settings(), entry.evidence)
    print_table(
        ["when", "table", "event", "says"],
        [
            (f"{each.ts:%Y-%m-%d %H:%M:%S}", each.table, each.event_id, msgspec.json.encode(each.fields).decode())
            for each in found
        ],
    )
    missing = len(set(entry.evidence) - {each.event_id for each in found})
    if missing:
        remark(f"{counted(missing, 'event')} of them {'is' if missing == 1 else 'are'} not in the lake any more.")
