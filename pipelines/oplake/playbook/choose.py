"""Who is shown what: which entries on probation have their turn, and what is withheld as a control.

Both are drawn by hashes, so that whoever serves a unit of work, on whatever machine and however often, decides alike.
Nothing here reads a file, a clock or a source of chance.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple

from oplake.events import ID_CHARS
from oplake.playbook.book import Advice, Book

TURN, WITHHELD = "turn", "withheld"  # what is drawn; the two must not know of each other
DRAWS = 2**64


class Choice(NamedTuple):
    """What a unit is offered: what it is shown, and what is withheld from it as a control."""

    shown: tuple[Advice, ...] = ()
    withheld: tuple[Advice, ...] = ()


def unit_of(session_id: str | None, action_id: str | None) -> str | None:
    """What is randomised: the action if there is one, else the session; None without either.

    Outcomes are those of actions, so that they are compared as finely as they were drawn. Who carries what it read from
    one action of a session into the next should say the session alone: then an entry is withheld from all of it.
    """
    unit = action_id or session_id
    return unit[:ID_CHARS] if unit else None  # cut as it lands: the draw has to follow from what can be joined


def choose(book: Book, task_class: str, unit: str | None) -> Choice:
    """What a unit is offered of a class: its active entries, and those on probation whose turn it is.

    Each unit has the same number of entries on probation, those with its lowest draws, so that each entry gets its
    share of units, and a new one changes the turns of few. Of what is offered, each entry is withheld by a draw of its
    own: independent of the others, of its turn and of everything about the work. Nothing takes the place of what is
    withheld; otherwise its absence would be the presence of another, and both effects would be mixed.

    Without a unit there is no outcome to compare: nothing is withheld, those on probation are the ones that come first,
    and whoever serves them must not land it. A made-up unit would count exposures that nothing can ever be joined to.
    """
    entries = book.entries(task_class)
    drawn = unit or ""
    turns = sorted((each for each in entries if each.status == "probation"), key=lambda each: _turn(drawn, each))
    mine = {each.entry_id for each in turns[: book.probation_shown]}
    offered = [each for each in entries if each.status == "active" or each.entry_id in mine]
    if unit is None:
        return Choice(tuple(offered))
    limit = book.withheld_share * DRAWS
    is_withheld = [draw(WITHHELD, unit, each.entry_id) < limit for each in offered]
    return Choice(
        tuple(each for each, withheld in zip(offered, is_withheld, strict=True) if not withheld),
        tuple(each for each, withheld in zip(offered, is_withheld, strict=True) if withheld),
    )


def draw(purpose: str, unit: str, entry_id: str) -> int:
    """A number from 0 to 2^64 - 1 that looks random, and is always the same for the same texts."""
    text = "\0".join((purpose, unit, entry_id)).encode("utf-8", "backslashreplace")
    return int.from_bytes(sha256(text).digest()[:8], "big")


def _turn(unit: str, entry: Advice) -> tuple[int, str]:
    return draw(TURN, unit, entry.entry_id), entry.entry_id


def served(choice: Choice, task_class: str, *, session_id: str | None, action_id: str | None) -> list[dict[str, Any]]:
    """The fields of the events that say what was shown and what withheld, to be landed all or none.

    Were only some of them to land, the shares of shown and withheld would not be those that were drawn.
    """

    def fields(entries: Iterable[Advice], *, withheld: bool) -> list[dict[str, Any]]:
        return [
            {
                "entry_id": each.entry_id,
                "entry_version": each.version,
                "task_class": task_class,
                "withheld": withheld,
                "session_id": session_id or None,
                "action_id": action_id or None,
            }
            for each in entries
        ]

    return fields(choice.shown, withheld=False) + fields(choice.withheld, withheld=True)
