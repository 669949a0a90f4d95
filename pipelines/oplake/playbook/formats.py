"""Entries as text: Markdown for prompts and people, and Agent Skills.

Texts of entries come from outside: corrections, messages of errors, names that agents gave. Each is brought onto one
line, so that none can begin a heading, a list or a front matter of its own. Nothing here knows files or HTTP.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

import msgspec

NAME_CHARS = 64  # of a skill's name, by the format: lower-case letters, digits and single hyphens within
DESCRIPTION_CHARS = 1024  # of its description, by the format
HASH_DIGITS = 8  # that tell names apart which would be the same
TRIGGERS_TOLD = 5  # in a description; what else there is stands in the skill

RESERVED = ("anthropic", "claude")  # words that a name must not hold, where such skills are uploaded
NO_LETTERS = "\ufeff\ufffe\uffff"  # which YAML does not take, or takes for a mark of its encoding


def markdown(trigger: str, do: str, avoid: str) -> str:
    """An entry as an item of a list; what is empty is left out. Triggers say `When ...` themselves."""
    labelled = ((one_line(trigger), ""), (one_line(do), "**Do:** "), (one_line(avoid), "**Avoid:** "))
    parts = [label + text for text, label in labelled if text]
    if not parts:
        return ""
    first, *rest = parts
    return "\n".join([f"- {first}", *(f"  - {part}" for part in rest)]) + "\n"


def one_line(text: str) -> str:
    """A text on one line, without what cannot be seen: control characters, marks of direction, halves of pairs."""
    return " ".join("".join(" " if each.isspace() else each for each in text if not _is_unseen(each)).split())


def _is_unseen(letter: str) -> bool:
    is_unseen = unicodedata.category(letter) in {"Cc", "Cf", "Cs"} and not letter.isspace()
    return is_unseen or letter in NO_LETTERS


def skill_name(task_class: str) -> str:
    """The name of a skill, which is that of its folder, by the rules of the format.

    `fix_bug` is `fix-bug`. A class that is written otherwise gets a part of its hash, so that no two share a folder.
    """
    plain = unicodedata.normalize("NFKD", task_class).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    is_plain = slug != "" and slug.replace("-", "_") == task_class and len(slug) <= NAME_CHARS
    if is_plain and not any(word in slug for word in RESERVED):
        return slug
    for word in RESERVED:
        slug = slug.replace(word, word[0])
    mark = sha256(task_class.encode("utf-8", "backslashreplace")).hexdigest()[:HASH_DIGITS]
    return f"{slug[: NAME_CHARS - HASH_DIGITS - 1].strip('-')}-{mark}".strip("-")


class Form(StrEnum):
    """How a book is written."""

    json = "json"
    md = "md"
    skill = "skill"


class Words(Protocol):
    """An entry, as far as it is written here."""

    @property
    def trigger(self) -> str: ...
    @property
    def text(self) -> str: ...


def skill_of(task_class: str, entries: Sequence[Words]) -> str:
    """A `SKILL.md` that holds entries."""
    body = "".join(entry.text for entry in entries) or "There is no advice for such tasks yet.\n"
    return skill(task_class, [entry.trigger for entry in entries], body)


def skill(task_class: str, triggers: Iterable[str], body: str) -> str:
    """A `SKILL.md`: front matter, then what agents should know, in Markdown."""
    front = [
        f"name: {_yaml(skill_name(task_class))}",
        f"description: {_yaml(skill_description(task_class, triggers))}",
        "metadata:",
        "  source: oplake",
        f"  task-class: {_yaml(task_class)}",
    ]
    return "\n".join(["---", *front, "---", "", f"# {one_line(task_class)}", "", body])


def skill_description(task_class: str, triggers: Iterable[str]) -> str:
    """What the skill does and when to use it, within the limits of the format: no markup, not empty, not too long."""
    named = _plain(task_class) or "unnamed"
    told = f"What has worked and what to avoid in tasks of the class {named}, learned from their outcomes."
    cases = [*dict.fromkeys(case for trigger in triggers if (case := _plain(trigger)))][:TRIGGERS_TOLD]
    told += f" Use it for such tasks{': ' + '; '.join(cases) if cases else ''}."
    return told if len(told) <= DESCRIPTION_CHARS else told[: DESCRIPTION_CHARS - 1].rstrip() + "…"


def _plain(text: str) -> str:
    """A text in which nothing is taken for a tag of markup."""
    return one_line(text.replace("<", " ").replace(">", " "))


def _yaml(text: str) -> str:
    """A text as YAML has it between quotes. `one_line` left nothing in it that JSON and YAML write in two ways."""
    return msgspec.json.encode(one_line(text)).decode()
