"""The entries of the book as the lake has them, with the wordings of an author, for whoever publishes or shows them.

Facts (status, version, figures, evidence) are those of `playbooks.entries` alone; a wording only says the same in other
words.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from oplake.learning.lifecycle import Entry, Status
from oplake.playbook.errors import PlaybookError
from oplake.playbook.formats import markdown, one_line

if TYPE_CHECKING:
    from oplake.lake.tables import Lake
    from oplake.settings import Settings

log = logging.getLogger(__name__)

ENTRIES, WORDINGS, FLOORS = "playbooks.entries", "playbooks.wordings", "attribution.estimate_floors"
UPLIFT = "uplift"  # the estimate of FLOORS that tests what showing entries is worth
USABLE = "ok"  # status of a wording that may be shown

STATUSES: tuple[Status, ...] = ("active", "probation", "retired")
"""What an entry can be, in the order in which people look at them."""


class Wording(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `playbooks.wordings`: how an author words a version of an entry."""

    entry_id: str
    version: int
    trigger: str | None = None
    do: str | None = None
    avoid: str | None = None
    author: str | None = None
    status: str | None = None
    injection_flags: Sequence[str] = ()
    written_at: datetime


class Shown(NamedTuple):
    """An entry with the words that are shown of it, and whose they are; None where they are its own.

    `is_above_floor` is whether the uplifts of its class are told from chance; None where that was not tested.
    """

    entry: Entry
    trigger: str
    do: str
    avoid: str
    author: str | None = None
    is_above_floor: bool | None = None

    @property
    def text(self) -> str:
        """It in Markdown."""
        return markdown(self.trigger, self.do, self.avoid)

    @property
    def line(self) -> str:
        """It on one line, for a list."""
        do, avoid = (f"{label}: {text}" if text else "" for label, text in (("Do", self.do), ("Avoid", self.avoid)))
        return one_line(" ".join((self.trigger, do, avoid)))

    @property
    def key(self) -> tuple[str, int, int, str]:
        """By class, those in use first, and then by rank."""
        entry = self.entry
        rank = len(STATUSES) * 10**9 if entry.rank is None else entry.rank
        return entry.task_class, STATUSES.index(entry.status), rank, entry.entry_id


Row: TypeAlias = Mapping[str, Any] | object
"""A row as a mapping, or as an object that has the columns as attributes."""


def shown(rows: Iterable[Row], wordings: Iterable[Row] = (), floors: Iterable[Row] = ()) -> list[Shown]:
    """The entries of rows in the words in which they are to be shown, in the order of a book.

    A wording counts if it is usable, of facts that nothing like an order to a model was found in, and of the very
    version; the latest of them. It has a say only in the parts that the entry has itself: an author cannot add advice,
    nor leave some out. A row that is no wording changes nothing.

    Args:
        rows: Those of playbooks.entries.
        wordings: Those of playbooks.wordings.
        floors: Those of attribution.estimate_floors.

    Raises:
        PlaybookError: A row of entries is none.
    """
    entries = [_entry(row) for row in rows]
    words = {(each.entry_id, each.version): each for each in sorted(_usable(wordings), key=_age)}
    told = (msgspec.convert(each, _UpliftFloor, from_attributes=True) for each in floors)
    is_above = {each.action_type: each.is_above_floor for each in told if each.estimate == UPLIFT}
    found = (_worded(entry, words.get((entry.entry_id, entry.version))) for entry in entries)
    placed = (each._replace(is_above_floor=is_above.get(each.entry.task_class)) for each in found)
    return sorted(placed, key=lambda each: each.key)


class _UpliftFloor(msgspec.Struct):
    estimate: str
    action_type: str
    is_above_floor: bool


def _age(wording: Wording) -> tuple[datetime, str]:
    return wording.written_at, wording.author or ""


def _worded(entry: Entry, wording: Wording | None) -> Shown:
    if wording is None:
        return Shown(entry, entry.trigger, entry.do, entry.avoid)
    return Shown(
        entry,
        _part(entry.trigger, wording.trigger),
        _part(entry.do, wording.do),
        _part(entry.avoid, wording.avoid),
        author=wording.author or "an author without a name",
    )


def _part(own: str, worded: str | None) -> str:
    return worded if own.strip() and worded and worded.strip() else own


def _entry(row: Row) -> Entry:
    try:
        return msgspec.convert(row, Entry, from_attributes=True)
    except msgspec.ValidationError as error:
        raise PlaybookError(f"{ENTRIES} has a row that is no entry: {error}. oplake rebuild makes it anew") from error


def _usable(rows: Iterable[Row]) -> Iterator[Wording]:
    for row in rows:
        try:
            wording = msgspec.convert(row, Wording, from_attributes=True)
        except msgspec.ValidationError as error:
            log.warning("%s has a row that is no wording, and is passed over: %s", WORDINGS, error)
            continue
        if wording.status == USABLE and not wording.injection_flags:
            yield wording


def read_book(settings: Settings) -> list[Shown]:
    """All entries of the lake as they are to be shown.

    Raises:
        PlaybookError: There is no such table yet.
        LakeError: It cannot be read.
    """
    from oplake.lake.tables import Lake

    lake = Lake(settings.lake)
    if not lake.exists(ENTRIES):
        raise PlaybookError(f"there is no {ENTRIES} yet; oplake run makes it of what has landed")
    return shown(*(rows_of(settings, lake, table) for table in (ENTRIES, WORDINGS, FLOORS)))


def rows_of(settings: Settings, lake: Lake, table: str) -> list[dict[str, Any]]:
    """All rows of a table; none where there is no such table."""
    from oplake.lake.engine import engine

    if not lake.exists(table):
        return []
    with engine(settings) as connection:
        rows: list[dict[str, Any]] = connection.sql(lake.relation_sql(table)).to_arrow_table().to_pylist()
        return rows


def of_class(book: Sequence[Shown], task_class: str) -> list[Shown]:
    """The entries of a class.

    Raises:
        PlaybookError: There are none; the message names the classes that there are, close ones first.
    """
    found = [each for each in book if each.entry.task_class == task_class]
    if not found:
        raise unknown_class(task_class, {each.entry.task_class for each in book})
    return found


def unknown_class(task_class: str, known: Iterable[str]) -> PlaybookError:
    """What to say of a class that has no playbook."""
    names = sorted(known)
    if not names:
        return PlaybookError(
            "there is no playbook yet: entries come of repeated successes, of errors and of corrections, and "
            "oplake run makes them"
        )
    close = difflib.get_close_matches(task_class, names)
    instead = f"did you mean {' or '.join(close)}?" if close else f"there are those for {', '.join(names)}"
    return PlaybookError(f"there is no playbook for {task_class}; {instead}")
