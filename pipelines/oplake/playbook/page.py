"""The book as a page that stands alone: entries with their effects, evidence and history, in one file of HTML.

It loads nothing and runs no script, so that it can be mailed and kept. What entries say came from outside, and is
escaped wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from oplake.playbook import effect
from oplake.playbook.entries import STATUSES, Shown
from oplake.playbook.formats import one_line, skill_name
from oplake.playbook.grounds import Ground

TEMPLATE = Path(__file__).with_name("page.html.jinja")
SAID = {"active": "active", "probation": "on probation", "retired": "retired"}


def page(book: Sequence[Shown], grounds: Mapping[str, Sequence[Ground]] = MappingProxyType({})) -> str:
    """The page of a book; the same book makes the same page.

    Args:
        book: Its entries, in their order.
        grounds: What speaks for them, by their ids.
    """
    by_class = groupby(book, key=lambda each: each.entry.task_class)
    classes = [_class(name, list(entries), grounds) for name, entries in by_class]
    totals = [(SAID[status], sum(each.entry.status == status for each in book)) for status in STATUSES]
    return _template().render(classes=classes, totals=totals)


def _class(name: str, entries: Sequence[Shown], grounds: Mapping[str, Sequence[Ground]]) -> dict[str, Any]:
    bound = effect.bound_of([each.entry for each in entries])
    cards = [_card(each, bound, grounds.get(each.entry.entry_id, ())) for each in entries]
    return {
        "name": one_line(name),
        "anchor": skill_name(name),
        "living": [card for card in cards if card["status"] != "retired"],
        "retired": [card for card in cards if card["status"] == "retired"],
    }


def _card(each: Shown, bound: float, grounds: Sequence[Ground]) -> dict[str, Any]:
    entry, finding = each.entry, effect.finding(each)
    svg = effect.chart(entry, bound, effect.COLOURS.get(finding, effect.UNDECIDED))
    return {
        "entry_id": entry.entry_id,
        "status": entry.status,
        "said": SAID[entry.status],
        "rank": entry.rank,
        "trigger": one_line(each.trigger),
        "do": one_line(each.do),
        "avoid": one_line(each.avoid),
        "author": each.author,
        "verdict": finding,
        "told": effect.told(entry),
        "counts": effect.counts(entry),
        "tokens": entry.tokens,
        "chart": None if svg is None else Markup(svg),  # noqa: S704  # drawn of numbers alone
        "grounds": [str(ground) for ground in grounds],
        "evidence": entry.evidence,
        "history": list(_history(each)),
    }


def _history(each: Shown) -> Iterator[tuple[str, str]]:
    """What became of an entry: days, and what was so on them."""
    entry = each.entry
    yield f"{entry.created:%Y-%m-%d}", "came into the book, on probation"
    if entry.version > 1:
        yield "", f"version {entry.version}: {entry.version} wordings were found to say the same, and are one entry"
    if each.author is not None:
        yield "", f"worded by {one_line(each.author)}; what it says and rests on is its own"
    if entry.active_since is not None:
        yield f"{entry.active_since:%Y-%m-%d}", "found to help, and active"
    if entry.active_until is not None and entry.retired_on is None:
        yield f"{entry.active_until:%Y-%m-%d}", "no longer found to help, and on probation again"
    yield f"{entry.last_confirmed:%Y-%m-%d}", "last proposed, or found to help"
    if entry.retired_on is not None:
        yield f"{entry.retired_on:%Y-%m-%d}", f"retired: {one_line(entry.retired_why or 'no reason was given')}"


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
