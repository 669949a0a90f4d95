"""The book that agents are served from: `served.json` of the home, what stands in it, and how it is read.

Who is shown what is decided in `choose`, and how it is written in `formats`. Recorders load this, so it imports nothing
heavy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from oplake.playbook.errors import PlaybookError
from oplake.playbook.formats import markdown, one_line

SERVED = "served.json"  # within the home
FORMAT = 1  # of that file; a reader of another number says so, and serves nothing


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as an agent is shown it."""

    entry_id: str
    version: int
    status: Literal["active", "probation"]
    trigger: str  # when it applies
    do: str
    avoid: str
    tokens: int  # roughly what showing it costs

    @property
    def text(self) -> str:
        """It in Markdown, for a prompt."""
        return markdown(self.trigger, self.do, self.avoid)


class Playbook(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody is shown for a class of tasks; a sequence of its entries. It may be empty."""

    task_class: str
    entries: tuple[Advice, ...] = ()

    @property
    def text(self) -> str:
        """All of it in Markdown, for a prompt; the empty text where there is nothing."""
        if not self.entries:
            return ""
        return f"## Playbook: {one_line(self.task_class)}\n\n" + "".join(entry.text for entry in self.entries)

    @property
    def ids(self) -> list[str]:
        """The entries shown, as `begin_action` takes them for `playbook_ids`."""
        return [entry.entry_id for entry in self.entries]

    def __iter__(self) -> Iterator[Advice]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that may be served, and how: the settings of when it was published hold for whoever serves it."""

    format: int = FORMAT
    withheld_share: float = 0.0
    probation_shown: int = 0
    task_classes: Mapping[str, tuple[Advice, ...]] = {}

    def entries(self, task_class: str) -> tuple[Advice, ...]:
        """The entries of a class, the best first; none for a class that has none."""
        return self.task_classes.get(task_class, ())


EMPTY = Book()


class Shelf:
    """Where the book stands. It is read again when another one was moved into its place; for any number of threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[tuple[int, int, int], Book] | None = None

    def book(self) -> Book:
        """The book as it stands; the empty one where none was published.

        Raises:
            PlaybookError: It is no book, or of a format that this oplake does not know.
            OSError: It cannot be read.
        """
        try:
            found = self._path.stat()
            mark = (found.st_ino, found.st_mtime_ns, found.st_size)
            known = self._read
            if known is not None and known[0] == mark:
                return known[1]
            text = self._path.read_bytes()
        except FileNotFoundError:
            return EMPTY
        book = _decoded(text, self._path)
        self._read = (
            mark,
            book,
        )  # should another have come in between, the mark is the older one, and it is read again
        return book


class _Head(msgspec.Struct):
    format: int


def _decoded(text: bytes, path: Path) -> Book:
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.format != FORMAT:
            raise PlaybookError(
                f"{path} has format {head.format}, and this oplake reads {FORMAT}: use the oplake that published it"
            )
        return msgspec.json.decode(text, type=Book)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PlaybookError(f"{path} cannot be read: {error}. oplake rebuild publishes it anew") from error
