"""The comment that a `.sql` file begins with: what the table means, and the directives that shape it.

```
-- Share of an action's outcome earned by each of its steps.     the first line is the summary
--
-- Any prose. A worked example with numbers belongs here.
--
-- grain: action_id, position          columns that identify a row (within a day, where there are days)
-- partition: day                      or: none
-- window: 0..1                        days of its inputs that a day reads, relative to itself; only with partition: day
-- window: 0..1, a.b 0..0              the same, but of the table a.b it reads fewer: late events of the others then
--                                     make fewer days again
-- settles: 06:15                      optional: until this time (UTC) of the next day, time alone may change the day
-- alert: a budget was overspent       optional: what it means that there are rows; a check warns of them
-- not portable: reads JSON types      optional: why the SQL cannot run on Spark
-- question: Which step earned most?   optional in the grammar; our own models all have one
-- sql:
--   SELECT ...                        lines that go on are indented by two spaces or more
-- answer:
--   2 | 0.38                          one line a row, values parted by ` | `, true of the events in sql/example.jsonl
```

A line that begins with one lower-case word and a colon is a directive, so that a misspelt one is an error and never
passes for prose. Nothing here reads SQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from oplake.models.errors import Problem

_DIRECTIVES = ("grain", "partition", "window", "settles", "alert", "not portable", "question", "sql", "answer")
_DIRECTIVE = re.compile(r"(not portable|[a-z_]+):(?:\s+(.*))?$")
_WINDOW = re.compile(r"(-?\d+)\.\.(-?\d+)$")
_NARROWER = re.compile(r"([a-z][a-z0-9_]*\.[a-z][a-z0-9_]*) (-?\d+)\.\.(-?\d+)$")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)$")
_INDENT = "  "

_Wrong: TypeAlias = Callable[[int, str], None]
"""Takes the line and the message of a problem."""


@dataclass(frozen=True)
class Question:
    """One question that the table answers, as SQL, with the answer that the example events give."""

    text: str
    sql: str
    answer: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Header:
    """What a header says. `lines` has the file's line number of each directive.

    `narrower` has the windows of those tables of which a day reads fewer days than `window`.
    """

    description: str
    grain: tuple[str, ...]
    partition: Literal["day"] | None
    window: tuple[int, int]
    narrower: dict[str, tuple[int, int]]
    settles: timedelta | None
    alert: str | None
    not_portable: str | None
    question: Question | None
    lines: dict[str, int]

    @property
    def meaning(self) -> str:
        """The directives that change what the table holds, as text; a part of the code version."""
        window = f"{self.window} {sorted(self.narrower.items())}"
        return f"grain={','.join(self.grain)} partition={self.partition} window={window} settles={self.settles}"


class _Value(NamedTuple):
    text: str
    line: int


def read_description(text: str) -> str:
    """The whole opening comment of a file as prose, for files whose header has no directives (ad-hoc queries)."""
    return "\n".join(line for _, line in _comment(text)).strip()


def read_header(text: str, path: Path) -> tuple[Header, list[Problem]]:
    """The header of a model file, and all that is wrong with it.

    A header with problems is returned as far as it could be read; it must not be used for more than further checks.
    """
    problems: list[Problem] = []

    def wrong(line: int, message: str) -> None:
        problems.append(Problem(path, line, message))

    prose, values = _split(text, wrong)
    description = "\n".join(prose).strip()
    if not description:
        wrong(1, "says nothing about the table; begin the file with `-- What a row means.`")
    grain = tuple(name.strip() for name in values["grain"].text.split(",")) if "grain" in values else ()
    if not any(grain):
        wrong(_line(values, "grain"), "has no grain; add `-- grain: column, ...`, the columns that identify a row")
        grain = ()
    partition = _partition(values, wrong)
    window, narrower = _window(values, partition, wrong)
    header = Header(
        description=description,
        grain=grain,
        partition=partition,
        window=window,
        narrower=narrower,
        settles=_settles(values, partition, wrong),
        alert=_reason(values, "alert", "alerts, but does not say of what", wrong),
        not_portable=_reason(values, "not portable", "is not portable, but does not say why", wrong),
        question=_question(values, wrong),
        lines={name: value.line for name, value in values.items()},
    )
    return header, problems


def _comment(text: str) -> list[tuple[int, str]]:
    """The lines of the opening comment with their numbers, without dashes and the one space behind them."""
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare and not bare.startswith("--"):
            break
        if bare:
            lines.append((number, bare[2:].removeprefix(" ").rstrip()))
    return lines


def _split(text: str, wrong: _Wrong) -> tuple[list[str], dict[str, _Value]]:
    prose: list[str] = []
    values: dict[str, _Value] = {}
    current: str | None = None
    for number, line in _comment(text):
        match = _DIRECTIVE.match(line)
        if match is None and current is not None and line.startswith(_INDENT):
            values[current] = values[current]._replace(text=f"{values[current].text}\n{line}")
        elif match is None:
            current = None
            prose.append(line)
        elif match[1] not in _DIRECTIVES:
            current = None
            wrong(
                number,
                f"unknown directive `{match[1]}:`; there are {', '.join(_DIRECTIVES)} (or begin it in upper case)",
            )
        elif match[1] in values:
            current = None
            wrong(number, f"says `{match[1]}:` twice; keep one")
        else:
            current = match[1]
            values[current] = _Value((match[2] or "").strip(), number)
    return prose, values


def _line(values: dict[str, _Value], name: str) -> int:
    return values[name].line if name in values else 1


def _partition(values: dict[str, _Value], wrong: _Wrong) -> Literal["day"] | None:
    said = values.get("partition")
    if said is None:
        wrong(1, "has no partition; add `-- partition: day`, or `-- partition: none` for a table without days")
        return None
    if said.text == "day":
        return "day"
    if said.text != "none":
        wrong(said.line, f"partition is `{said.text}`; it is either day or none")
    return None


def _window(
    values: dict[str, _Value], partition: str | None, wrong: _Wrong
) -> tuple[tuple[int, int], dict[str, tuple[int, int]]]:
    """The window, and the narrower ones of single tables."""
    said = values.get("window")
    if said is None:
        if partition == "day":
            wrong(1, "has no window; add `-- window: 0..0`, the days of its inputs that a day reads")
        return (0, 0), {}
    widest, *others = (part.strip() for part in said.text.split(","))
    match = _WINDOW.match(widest)
    if match is None or int(match[1]) > int(match[2]):
        wrong(said.line, f"window is `{said.text}`; write first..last in days relative to the day made, such as 0..1")
        return (0, 0), {}
    if partition is None:
        wrong(said.line, "has a window but no days; a table with `partition: none` reads all of its inputs")
    low, high = int(match[1]), int(match[2])
    narrower: dict[str, tuple[int, int]] = {}
    for other in others:
        match = _NARROWER.match(other)
        if match is None or not low <= int(match[2]) <= int(match[3]) <= high:
            wrong(said.line, f"window has `{other}`; write a table and days within {widest}, such as a.b {low}..{low}")
        else:
            narrower[match[1]] = (int(match[2]), int(match[3]))
    return (low, high), narrower


def _settles(values: dict[str, _Value], partition: str | None, wrong: _Wrong) -> timedelta | None:
    said = values.get("settles")
    if said is None:
        return None
    match = _CLOCK.match(said.text)
    if match is None:
        wrong(said.line, f"settles is `{said.text}`; write the time (UTC) of the next day as HH:MM")
        return None
    if partition is None:
        wrong(said.line, "settles, but has no days; it means something only with `partition: day`")
    return timedelta(hours=int(match[1]), minutes=int(match[2]))


def _reason(values: dict[str, _Value], name: str, without: str, wrong: _Wrong) -> str | None:
    """What a directive says in words; one `without` them says nothing."""
    said = values.get(name)
    if said is None:
        return None
    if not said.text:
        wrong(said.line, f"{without}; write it after the colon")
    return " ".join(said.text.split())


def _question(values: dict[str, _Value], wrong: _Wrong) -> Question | None:
    parts = ("question", "sql", "answer")
    said = [name for name in parts if name in values]
    if not said:
        return None
    missing = [name for name in parts if name not in values or not values[name].text.strip()]
    if missing:
        wrong(values[said[0]].line, f"has a worked question without its {' and '.join(missing)}; give all of {parts}")
        return None
    answer = (line.strip() for line in values["answer"].text.splitlines())
    return Question(
        text=" ".join(values["question"].text.split()),
        sql="\n".join(line.removeprefix(_INDENT) for line in values["sql"].text.splitlines()).strip(),
        answer=tuple(tuple(cell.strip() for cell in line.split(" | ")) for line in answer if line),
    )
