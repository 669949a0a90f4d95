"""Cites: the ids in square brackets after a claim, such as `[n3]` or `[q1.0]`, and the claims that they stand after.

An id is letters, then digits, then perhaps digits after a dot; brackets may hold several. Anything else in brackets
(`[search]`, `[sic]`, `[1]`) is text. What an id leads to is known to whoever gave the facts their ids.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, TypedDict

_ID = r"[A-Za-z]+[0-9]+(?:\.[0-9]+)*"
CITE = re.compile(rf"\[\s*({_ID}(?:\s*[,;]\s*{_ID})*)\s*\]")
"""One pair of brackets with one or more ids."""

_SEPARATOR = re.compile(r"\s*[,;]\s*")
# A sentence ends with a line, or with a mark and all that belongs to it, before anything but a lower-case letter; a
# number with a dot in it and "e.g. this" end nothing.
_MARK = r"""(?<![.!?…])[.!?…]++["')\]”’]*"""
_END = re.compile(rf"(?:{_MARK}(?:\s*{CITE.pattern})*+)(?=\s+[^\sa-z])|\n+")
_AFTER_MARK = re.compile(rf"{_MARK}(?:\s*{CITE.pattern})+$")


class Claim(TypedDict):
    """A sentence of an answer, and the ids of what it rests on."""

    field: str  # where it stands: `summary`, `friction_points[0]`, `stages[1].name`
    text: str
    cites: list[str]


def cited(text: str) -> list[str]:
    """The ids that a text cites, each once, in their order."""
    return list(dict.fromkeys(each for found in CITE.finditer(text) for each in _SEPARATOR.split(found[1])))


def claims(fields: Mapping[str, Any]) -> list[Claim]:
    """Every sentence of an answer's texts, those without a cite too.

    A cite before the full stop is its sentence's. One after it is that of all sentences since the last cite, as of a
    quotation: "It did not listen. I had to ask twice. [n1]".
    """
    found: list[Claim] = []
    for place, text in texts_of(fields):
        mine: list[Claim] = []
        following: list[str] = []
        for sentence in reversed(list(_sentences(text))):
            own = cited(sentence)
            if own:
                following = own if _AFTER_MARK.search(sentence) else []
            mine.append(Claim(field=place, text=sentence, cites=own or following))
        found += reversed(mine)
    return found


def unknown(found: Iterable[Claim], known: Collection[str]) -> list[str]:
    """The ids that claims cite and that nobody gave: they lead nowhere."""
    return list(dict.fromkeys(each for claim in found for each in claim["cites"] if each not in known))


def texts_of(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every text of an answer and where it stands, in the order of the fields."""
    for name, value in fields.items():
        yield from _texts_at(name, value)


def _texts_at(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _texts_at(f"{place}.{name}", each)
    elif isinstance(value, (list, tuple)):
        for index, each in enumerate(value):
            yield from _texts_at(f"{place}[{index}]", each)


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for end in [*(found.end() for found in _END.finditer(text)), len(text)]:
        sentence = text[start:end].strip()
        start = end
        if sentence:
            yield sentence


def without_cites(text: str) -> str:
    """A text without its cites, for where they would lead nowhere."""
    return " ".join(CITE.sub("", text).split())


def recited(text: str, cite: str) -> str:
    """A text that cites something else in place of what it cited."""
    return f"{without_cites(text)} [{cite}]"
