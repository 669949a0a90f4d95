"""The file `served.json`, by which entries reach agents: made of the table, moved into place whole.

It holds the settings by which entries are shown and withheld, too. So recorders, which read no settings, and receivers
on other machines all serve alike.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from oplake.lake.durable_log import sync_folder
from oplake.learning.lifecycle import CHARS_PER_TOKEN
from oplake.playbook.book import Advice, Book
from oplake.playbook.entries import ENTRIES, WORDINGS, Row, Shown, rows_of, shown

if TYPE_CHECKING:
    from oplake.lake.tables import Lake
    from oplake.settings import Settings


def publish_served(settings: Settings, rows: Iterable[Row], wordings: Iterable[Row] = ()) -> Path:
    """Publish the entries that agents may be served, and return the path of the file.

    The same rows give the same bytes, in whatever order they come; and a file that says the same already stays as it
    is. Whoever reads it meanwhile finds the old one or the new one, whole.

    Args:
        settings: Where the file stands, and how many entries are shown on probation and withheld.
        rows: Those of `playbooks.entries`, retired ones among them or not.
        wordings: Those of `playbooks.wordings`, if there are any.

    Raises:
        PlaybookError: A row is none of its table; nothing was written.
        OSError: The disk is full, or the folder cannot be written.
    """
    classes: dict[str, list[Advice]] = {}
    for each in shown(rows, wordings):
        if each.entry.status != "retired":
            classes.setdefault(each.entry.task_class, []).append(_advice(each))
    book = Book(
        withheld_share=settings.playbook_withheld,
        probation_shown=settings.playbook_probation,
        task_classes={name: tuple(entries) for name, entries in classes.items()},
    )
    _move_into_place(settings.served, msgspec.json.format(msgspec.json.encode(book), indent=1) + b"\n")
    return settings.served


def republish(settings: Settings, lake: Lake) -> None:
    """Publish what the lake has, if it has a book at all.

    Raises:
        PlaybookError, OSError: As `publish_served`.
        LakeError: A table cannot be read.
    """
    if lake.exists(ENTRIES):
        publish_served(settings, rows_of(settings, lake, ENTRIES), rows_of(settings, lake, WORDINGS))


def _advice(each: Shown) -> Advice:
    assert each.entry.status != "retired"
    words = " ".join(filter(None, (each.trigger, each.do, each.avoid)))
    return Advice(
        entry_id=each.entry.entry_id,
        version=each.entry.version,
        status=each.entry.status,
        trigger=each.trigger,
        do=each.do,
        avoid=each.avoid,
        tokens=each.entry.tokens if each.author is None else -(-len(words) // CHARS_PER_TOKEN),
    )


def _move_into_place(path: Path, content: bytes) -> None:
    """Write a file beside, durably, and move it over; the process is in its name, so that two do not write into one."""
    try:
        if path.read_bytes() == content:
            return
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)
