"""The book as files for other systems: Markdown, JSON, or folders of Agent Skills, a file for each class of tasks.

A folder that was exported to before keeps nothing that the book has no more: advice that was retired must not live on
in a forgotten file. What oplake did not write there it leaves alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

import msgspec

from oplake.playbook import effect
from oplake.playbook.entries import Shown
from oplake.playbook.errors import PlaybookError
from oplake.playbook.formats import Form, one_line, skill, skill_name

LISTED = ".oplake-playbooks.json"  # in the folder: what was written into it
PROBATION_TOLD = 10  # entries on probation of a class, the best by rank; a skill is read whole, and has to stay short

Files: TypeAlias = dict[str, str]  # texts by path within the folder


def export(book: Sequence[Shown], folder: Path, form: Form) -> list[Path]:
    """Write the book into a folder, and remove from there what an earlier export wrote and this one does not.

    Raises:
        PlaybookError: The folder cannot be written; another export puts right what is there of this one.
    """
    files: Files = {}
    for task_class, entries in groupby(book, key=lambda each: each.entry.task_class):
        files |= _files(task_class, list(entries), form)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = _listed(folder)
        (folder / LISTED).write_bytes(msgspec.json.encode(sorted({*before, *files})))
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for name in before - files.keys():
            _remove(folder, name)
        (folder / LISTED).write_bytes(msgspec.json.encode(sorted(files)))
    except OSError as error:
        raise PlaybookError(f"cannot write the book into {folder}: {error.strerror or error}") from error
    return [folder / name for name in sorted(files)]


def _listed(folder: Path) -> set[str]:
    """What an earlier export wrote; only paths of the form that an export writes, whatever the list says."""
    try:
        names = msgspec.json.decode((folder / LISTED).read_bytes(), type=list[str])
    except FileNotFoundError:
        return set()
    except msgspec.DecodeError as error:
        raise PlaybookError(f"{folder / LISTED} cannot be read: {error}. Export into another folder") from error
    return {name for name in names if ".." not in name and not name.startswith("/") and name.count("/") <= 1}


def _remove(folder: Path, name: str) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    if path.parent != folder and path.parent.is_dir() and not any(path.parent.iterdir()):
        path.parent.rmdir()


def _files(task_class: str, entries: Sequence[Shown], form: Form) -> Files:
    name = skill_name(task_class)
    if form is Form.json:
        rows = [
            {**asdict(e.entry), "trigger": e.trigger, "do": e.do, "avoid": e.avoid, "finding": effect.finding(e)}
            for e in entries
        ]
        return {f"{name}.json": msgspec.json.format(msgspec.json.encode(rows), indent=1).decode() + "\n"}
    living = [each for each in entries if each.entry.status != "retired"]
    if not living:
        return {}
    body = _body(living)
    if form is Form.md:
        return {f"{name}.md": f"# {one_line(task_class)}\n\n{body}"}
    return {f"{name}/SKILL.md": skill(task_class, [each.trigger for each in living], body)}


def _body(living: Sequence[Shown]) -> str:
    """What is proven first; what is on probation is said to be so, as nobody measures it where a file is read."""
    active = [each for each in living if each.entry.status == "active"]
    probation = [each for each in living if each.entry.status == "probation"]
    parts = ["Learned by oplake from the outcomes of such tasks.\n"]
    if active:
        parts.append("## Found to help\n\n" + "".join(map(_item, active)))
    if probation:
        parts.append("## On probation: it is not known yet whether these help\n")
        parts.append("".join(map(_item, probation[:PROBATION_TOLD])))
    return "\n".join(parts)


def _item(each: Shown) -> str:
    if each.entry.uplift is None:
        return each.text
    finding = effect.finding(each)
    measured = finding.capitalize() if finding == "not told from chance" else "Measured"
    return f"{each.text}  - {measured}: {effect.told(each.entry)}; {effect.counts(each.entry)}\n"
