"""What a written row has to show, whatever it is shown in: sections, evidence, warnings, and how it came about."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from oplake.synthesis.cites import CITE, cited
from oplake.synthesis.grounding import parts
from oplake.synthesis.writing import ANSWERED, COMMON, OK, OVER_BUDGET, OVER_CAP, RAW, STUB, Writing

EXTRACTIVE = "extractive"  # the author without a model
HEADED = frozenset({"day", "partition", "user_id", "template", "window_start", "last_updated"})
"""Columns that head a report where it is shown."""

IDS = 3  # of the rows behind a cite that are named; the table has them all
KEPT_SPACES = "\u00a0\u202f"  # which may stand within a number
_COMMON = frozenset(column.name for column in COMMON)


class Report(NamedTuple):
    """A row, and the table that it is of."""

    what: Writing
    row: Mapping[str, Any]


class Item(NamedTuple):
    """A text of an answer, and what belongs below it."""

    text: str
    children: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Section:
    """One field."""

    label: str
    items: tuple[Item, ...]
    form: Literal["prose", "list", "fact"]  # a fact is a word or a number, which stands beside its label


class Piece(NamedTuple):
    """Part of a text: plain, a number that is not grounded, or a cite with the ids that it names."""

    text: str
    kind: Literal["plain", "ungrounded", "cite"] = "plain"
    ids: tuple[str, ...] = ()


class Source(NamedTuple):
    """What a cite leads to."""

    cite: str
    table: str
    ids: tuple[str, ...]

    @property
    def named(self) -> str:
        """The rows that it leads to, the first of them by their ids."""
        more = len(self.ids) - IDS
        return ", ".join(self.ids[:IDS]) + (f" and {more:,} more" if more > 0 else "")


def sections(report: Report) -> list[Section]:
    """The fields of a report in the order of its columns; those that say nothing are left out."""
    found = (
        _section(label(column.name), report.row[column.name])
        for column in report.what.spec.columns
        if column.name not in _COMMON and column.name not in HEADED and not column.name.endswith("_ids")
    )
    raw = _section("Answer", report.row.get("raw_summary"))
    return [section for section in (*found, raw) if section]


def label(name: str) -> str:
    """A field's name as people write it: `friction_points` is "Friction points"."""
    words = name.removeprefix("is_").removesuffix("_flag").replace("_", " ")
    return words[:1].upper() + words[1:]


def _section(name: str, value: Any) -> Section | None:
    if _says_nothing(value):
        return None
    if isinstance(value, str):
        lines = tuple(Item(line) for line in value.splitlines() if line.strip())
        is_word = len(value.split()) == 1
        return Section(name, lines, "fact" if is_word else "prose") if lines else None
    if isinstance(value, (list, tuple)):
        return Section(name, tuple(_item(each) for each in value), "list")
    if isinstance(value, Mapping):
        return Section(name, tuple(_children(value)), "list")
    return Section(name, (Item(shown(value)),), "fact")


def _says_nothing(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, (str, list, tuple, Mapping)) and not value)


def _item(value: Any) -> Item:
    if not isinstance(value, Mapping):
        return Item(shown(value))
    first, *rest = value.items()
    return Item(shown(first[1]), tuple(_children(dict(rest))))


def _children(value: Mapping[str, Any]) -> Iterator[Item]:
    for name, each in value.items():
        if _says_nothing(each):
            continue
        if isinstance(each, (list, tuple)):
            yield Item(f"{label(name)}:", tuple(_item(inner) for inner in each))
        elif isinstance(each, Mapping):
            yield Item(f"{label(name)}:", tuple(_children(each)))
        else:
            yield Item(f"{label(name)}: {shown(each)}")


def shown(value: Any) -> str:
    """A single value as text."""
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.2f}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M} UTC"
        case date():
            return value.isoformat()
        case _:
            return str(value)


def clean(text: str) -> str:
    """A text on one line, without what steers a terminal or turns the order of letters around."""
    spaced = (" " if each.isspace() and each not in KEPT_SPACES else each for each in text)
    return "".join(each for each in spaced if unicodedata.category(each) not in {"Cc", "Cf", "Cs"})


def pieces(report: Report, text: str) -> Iterator[Piece]:
    """A text of a report in pieces, clean and in their order."""
    for part in parts(clean(text).strip(), report.row.get("ungrounded_numbers") or ()):
        if not part.is_grounded:
            yield Piece(part.text, "ungrounded")
            continue
        end = 0
        for found in CITE.finditer(part.text):
            if found.start() > end:
                yield Piece(part.text[end : found.start()])
            yield Piece(found[0], "cite", tuple(cited(found[0])))
            end = found.end()
        if end < len(part.text):
            yield Piece(part.text[end:])


def notices(report: Report) -> list[str]:
    """What a reader should know before believing a report."""
    row = report.row
    said = _problem(row)
    unsure = row["ungrounded_numbers"] or ()
    if unsure:
        verb = "number is" if len(unsure) == 1 else "numbers are"
        said.append(f"{len(unsure)} {verb} not among the facts, and marked (?).")
    if row["unknown_cites"]:
        said.append(f"It cites {', '.join(row['unknown_cites'])}, and nothing among the facts is called that.")
    if row["injection_flags"]:
        flags = ", ".join(row["injection_flags"])
        said.append(f"The facts hold text that looks like instructions ({flags}); it was treated as data.")
    return said


def _problem(row: Mapping[str, Any]) -> list[str]:
    why = f": {row['error']}" if row["error"] else ""
    said = {
        OK: [],
        STUB: [],
        RAW: ["The answer did not have the form that was asked for, and is shown as it came."],
        OVER_BUDGET: [f"Not written yet, for want of budget{why}."],
        OVER_CAP: ["Not written yet: others came first, and one run writes only so many."],
    }
    return said.get(row["status"], [f"Not written{why}."])


def is_written(report: Report) -> bool:
    """Whether there is something to read."""
    return report.row["status"] in {*ANSWERED, STUB}


def sources(report: Report) -> list[Source]:
    """What the cites of a report lead to, in the order of its evidence."""
    used = {each for claim in report.row["claims"] for each in claim["cites"]}
    return [
        Source(each["cite"], each["source"], tuple(each["ids"]))
        for each in report.row["evidence"]
        if each["cite"] in used
    ]


def facts(report: Report) -> dict[str, Any]:
    """What the author was given."""
    return msgspec.json.decode(report.row["facts"] or "{}", type=dict[str, Any])


def provenance(report: Report) -> list[str]:
    """How a report came about, in short phrases: who wrote it, what that took, how sure its critic is."""
    row = report.row
    if not row["author"]:
        return []
    if row["author"] == EXTRACTIVE:
        return ["Taken from facts and notes, without a model"]
    calls, cached = row["call_count"], row["cached_count"]
    said = [
        f"Written by {row['author']}" + (f" of {row['provider']}" if row["provider"] else ""),
        "cost unknown" if row["cost_usd"] is None else f"${row['cost_usd']:,.4f}",
        f"{row['input_tokens']:,} tokens read, {row['output_tokens']:,} written",
        f"{row['duration_ms'] / 1000:,.1f} s",
        f"{calls} {'call' if calls == 1 else 'calls'}, {cached} of them from the cache",
    ]
    if row["score"] is not None:
        reasons = f" ({'; '.join(row['reasons'])})" if row["reasons"] else ""
        said.append(f"its critic relies on it by {row['score']} of 100{reasons}")
    return said
