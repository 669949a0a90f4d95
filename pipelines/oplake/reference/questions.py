"""The worked questions of docs/questions: one for each table that no model file makes. A model's stands in its header.

A file asks in a comment, then comes the SQL, then the answer that the lake of the demo gives, in comments. Answers are
written down by `write_answers`, and a test checks that they are true.
"""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oplake.models.header import Question
from oplake.reference.markdown import DocsError

if TYPE_CHECKING:
    import duckdb

ANSWER_MARK = "-- answer:"


def read_questions(folder: Path) -> dict[str, Question]:
    """The worked questions of docs/questions, by table: a comment that asks, the SQL, and the answer in comments.

    Raises:
        DocsError: A file does not have all of them in this order.
    """
    return {path.stem: _read_question(path) for path in sorted(folder.glob("*.sql"))}


def _read_question(path: Path) -> Question:
    lines = path.read_text(encoding="utf-8").splitlines()
    marks = [number for number, line in enumerate(lines) if line == ANSWER_MARK]
    asked = list(takewhile(_is_comment, lines))
    if len(marks) != 1 or not asked:
        raise DocsError(
            f"{path}: begin it with the question as a comment, and end it with `{ANSWER_MARK}` and the answer"
        )
    return Question(
        text=" ".join(_uncommented(line) for line in asked),
        sql="\n".join(lines[len(asked) : marks[0]]).strip(),
        answer=tuple(tuple(_uncommented(line).split(" | ")) for line in lines[marks[0] + 1 :]),
    )


def _is_comment(line: str) -> bool:
    return line.startswith("--")


def _uncommented(line: str) -> str:
    return line.removeprefix("--").strip()


def answer(connection: duckdb.DuckDBPyConnection, question: Question) -> tuple[tuple[str, ...], ...]:
    """What a lake answers to a question, as docs write it: fractions have four digits."""
    return tuple(tuple(_written(value) for value in row) for row in connection.sql(question.sql).fetchall())


def _written(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_answers(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Ask the questions of docs/questions of a lake that holds the demo, and write the answers down in their files."""
    for name, question in read_questions(folder).items():
        path = folder / f"{name}.sql"
        kept = path.read_text(encoding="utf-8").split(ANSWER_MARK)[0]
        rows = ["-- " + " | ".join(row) for row in answer(connection, question)]
        path.write_text("\n".join([kept + ANSWER_MARK, *rows]) + "\n", encoding="utf-8")
