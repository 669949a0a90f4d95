"""Model files: one SELECT in `sql/<schema>/<table>.sql` is the table `<schema>.<table>`.

Everything about a model is read from its file: header (`header`), columns and the comments beside them, dependencies,
parameters and code version here; types by binding it (`binding`), column lineage (`lineage`). Nothing is listed twice.
Computing a model is `build`'s work; what Dagster is told is `sql_assets`'.

A column is explained by the comment on the line where it ends; lines that hold nothing but a comment continue it. Tags
at its end become checks: `[not null]`, `[0..1]`, `[0..]`, `[..1]`.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from codecs import BOM_UTF8
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlglot import Dialect, Token, exp
from sqlglot.errors import ParseError

from oplake.lake.errors import LakeError
from oplake.lake.spec import TableSpec
from oplake.models import binding
from oplake.models.errors import ModelFileError, Problem
from oplake.models.functions import Function, functions_named
from oplake.models.header import Header, read_description, read_header
from oplake.models.model import QUERIES, Model, Models, OutputColumn, Query

DIALECT = "duckdb"

PARAMETERS = frozenset({"start", "stop"})
"""What a model may ask for: the first and the last day being made."""

_NAME = re.compile(r"[a-z][a-z0-9_]*$")
_TAG = re.compile(r"\s*\[([^\[\]]*)\]$")
_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER})?\.\.({_NUMBER})?$")
_DUCKDB_PLACE = re.compile(r"\n\nLINE (\d+):.*", re.DOTALL)
_HASH_CHARS = 16  # 64 bits: plenty to tell the versions of one file apart


def load_models(folder: Path, sources: Iterable[TableSpec]) -> Models:
    """Read, check and bind every model of a folder.

    Args:
        folder: Holds `<schema>/<table>.sql`; its `queries/` is left out.
        sources: The tables that models may read besides each other.

    Raises:
        ModelFileError: At least one file is wrong. All that is wrong with all of them is in it.
    """
    known = list(sources)
    taken = {source.name for source in known}
    drafts, problems = [], _misplaced(folder)
    for path in sorted(folder.glob("*/*.sql")):
        if path.parent.name == QUERIES:
            continue
        name = _name_of(path)
        if name in taken:
            problems.append(Problem(path, 1, f"has the name of {name}, which no model makes; give the file another"))
            continue
        draft, wrong = _read(path)
        problems += wrong
        taken.add(name)  # also of a file that cannot be read: what reads it may be right
        if draft is not None:
            drafts.append(draft)
    problems += _unknown_tables(drafts, taken)
    ordered, cycle = _upstream_first(drafts)
    problems += cycle
    models = _bind(ordered, known, problems)
    if problems:
        raise ModelFileError(problems)
    return Models(tuple(models))


def load_queries(folder: Path) -> tuple[Query, ...]:
    """The ad-hoc queries of `folder/queries`, by name.

    Raises:
        ModelFileError: A file does not say what it is for, or is not one SELECT without parameters.
    """
    queries, problems = [], []
    for path in sorted((folder / QUERIES).glob("*.sql")):
        text, wrong = _text(path)
        if text is None:
            problems += wrong
            continue
        description = read_description(text)
        if not description:
            problems.append(Problem(path, 1, "does not say what it is for; begin it with a comment"))
        problems += _statement_problems(path, text, parameters=frozenset())
        queries.append(Query(path.stem, path, description, text))
    if problems:
        raise ModelFileError(problems)
    return tuple(queries)


@dataclass(frozen=True)
class _Draft:
    """A model before it is bound: all that its own file tells."""

    name: str
    path: Path
    header: Header
    columns: Mapping[str, _Explained]
    tables: Mapping[str, int]  # what it reads, and the line where
    parameters: frozenset[str]
    functions: tuple[Function, ...]
    sql: str
    code_version: str
    is_sound: bool  # nothing was wrong with the file itself


@dataclass(frozen=True)
class _Explained:
    """An output column as its file explains it."""

    line: int
    description: str
    is_not_null: bool
    low: float | None
    high: float | None


def _read(path: Path) -> tuple[_Draft | None, list[Problem]]:
    """One file; no draft when its SQL cannot even be parsed."""
    text, wrong = _text(path)
    if text is None:
        return None, wrong
    header, problems = read_header(text, path)
    if not (_NAME.match(path.stem) and _NAME.match(path.parent.name)):
        problems.append(Problem(path, 1, "is not named like a table; use lower-case letters, digits and _"))
    wrong = _statement_problems(path, text, PARAMETERS)
    if wrong:
        return None, problems + wrong
    dialect = Dialect.get_or_raise(DIALECT)
    tokens = dialect.tokenize(text)  # once, for all that look at them: it is the largest part of loading a file
    try:
        tree = dialect.parser().parse(tokens, text)[0]
    except ParseError as error:
        line = int(error.errors[0].get("line") or 1)
        message = (
            f"is SQL that DuckDB takes but sqlglot does not: {error.errors[0].get('description')}; write it otherwise"
        )
        return None, [*problems, Problem(path, line, message)]
    assert tree is not None  # DuckDB found one statement in the text
    columns, wrong = _columns(path, text, tree, tokens)
    problems += wrong
    problems += _named_windows(path, text, tree)
    problems += [
        Problem(path, header.lines["window"], f"window names {table}, which the SELECT does not read; take it out")
        for table in header.narrower
        if table not in _tables(text, tree)
    ]
    if header.partition == "day" and columns and "day" not in columns:
        problems.append(
            Problem(path, header.lines["partition"], "is partitioned by day but has no column day; select it")
        )
    for name in header.grain if columns else ():
        if name not in columns:
            close = difflib.get_close_matches(name, columns, 1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(columns)}"
            problems.append(
                Problem(path, header.lines["grain"], f"grain names {name}, which it does not put out{hint}")
            )
    (statement,) = duckdb.extract_statements(text)
    functions = functions_named({call.name for call in tree.find_all(exp.Anonymous)})
    draft = _Draft(
        name=_name_of(path),
        path=path,
        header=header,
        columns=columns,
        tables=_tables(text, tree),
        parameters=frozenset(statement.named_parameters),
        functions=functions,
        sql=text,
        code_version=_code_version(text, header, tokens, functions),
        is_sound=not problems,
    )
    return draft, problems


def _name_of(path: Path) -> str:
    """The table that a model file makes."""
    return f"{path.parent.name}.{path.stem}"


def _misplaced(folder: Path) -> list[Problem]:
    """Files that nobody would ever read, because they lie elsewhere than in a schema's folder; hidden ones may."""
    return [
        Problem(path, 1, "lies where no model is looked for; move it to <schema>/<table>.sql")
        for path in sorted(folder.rglob("*.sql"))
        for inner in [path.relative_to(folder)]
        if len(inner.parts) != 2 and not any(part.startswith(".") for part in inner.parts)
    ]


def _text(path: Path) -> tuple[str | None, list[Problem]]:
    """The text of a file with plain line ends; None, and why, when it is no plain UTF-8."""
    raw = path.read_bytes()
    if raw.startswith(BOM_UTF8):
        return None, [Problem(path, 1, "begins with a byte order mark; save it as UTF-8 without one")]
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return None, [Problem(path, line, f"is not in UTF-8 (byte 0x{raw[error.start]:02x}); save it as UTF-8")]
    return text.replace("\r\n", "\n").replace("\r", "\n"), []


def _statement_problems(path: Path, text: str, parameters: frozenset[str]) -> list[Problem]:
    """What keeps a text from being one SELECT that asks for no more than the given parameters."""
    try:
        statements = duckdb.extract_statements(text)
    except duckdb.ParserException as error:
        return [duckdb_problem(path, error)]
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        return [Problem(path, 1, "is not one SELECT; a file holds a single SELECT and nothing else")]
    unknown = sorted(set(statements[0].named_parameters) - parameters)
    if unknown:
        offered = ", ".join(f"${name}" for name in sorted(parameters)) or "none"
        return [
            Problem(path, _line_of(text, f"${unknown[0]}"), f"asks for ${unknown[0]}; the parameters are: {offered}")
        ]
    return []


def duckdb_problem(path: Path, error: duckdb.Error) -> Problem:
    """An error of DuckDB as a problem: its own words, and the line that it points at."""
    text = str(error)
    place = _DUCKDB_PLACE.search(text)
    message = " ".join(_DUCKDB_PLACE.sub("", text).split())
    return Problem(path, int(place[1]) if place else 1, message)


def _line_of(text: str, needle: str) -> int:
    return text[: text.find(needle)].count("\n") + 1


def _columns(
    path: Path, text: str, tree: exp.Expr, tokens: Sequence[Token]
) -> tuple[dict[str, _Explained], list[Problem]]:
    """The output columns, each explained by the comment on the line where it ends."""
    outer: exp.Expr = tree
    while isinstance(outer, exp.SetOperation | exp.Subquery):
        outer = outer.this
    comments = _trailing_comments(text, tokens)
    columns: dict[str, _Explained] = {}
    problems = []
    for projection in outer.selects if isinstance(outer, exp.Select) else ():
        name = projection.output_name
        line = _last_line(projection, text)
        if not name or name == "*":
            problems.append(
                Problem(path, line, "has an output column without a name; write out every column, `... AS name`")
            )
            continue
        if name in columns:
            problems.append(Problem(path, line, f"has two columns named {name}; rename one"))
        description, tags = _tags(comments.get(line, ""))
        if not description:
            message = f"column {name} is not explained; put `-- what it means` at the end of its line"
            problems.append(Problem(path, line, message))
        checks: dict[str, object] = {}
        for tag in tags:
            check = _check(tag)
            if not check:
                problems.append(
                    Problem(
                        path, line, f"column {name} has the tag [{tag}]; there are [not null] and ranges such as [0..1]"
                    )
                )
            checks |= check
        beside = [other for other, explained in columns.items() if explained.line == line and other != name]
        if beside:
            message = f"columns {beside[-1]} and {name} end on one line and so share its comment; give each its own"
            problems.append(Problem(path, line, message))
        columns[name] = _Explained(
            line=line,
            description=description,
            is_not_null=bool(checks.get("is_not_null")),
            low=checks.get("low"),  # type: ignore[arg-type]
            high=checks.get("high"),  # type: ignore[arg-type]
        )
    return columns, problems


def _last_line(projection: exp.Expr, text: str) -> int:
    """The line of the name under which a projection is put out, which is where it ends."""
    name = projection.args["alias"] if isinstance(projection, exp.Alias) else projection
    return max((_line(node, text) for node in name.walk()), default=1)


def _line(node: exp.Expr, text: str) -> int:
    """The line of an identifier, counted from its offset: sqlglot's own count goes astray in long comments."""
    return text.count("\n", 0, int(node.meta.get("start", 0))) + 1


def _trailing_comments(text: str, tokens: Sequence[Token]) -> dict[int, str]:
    """For each line that ends in SQL and a comment, the comment with the pure comment lines that follow it."""
    lines = text.splitlines()
    ends: dict[int, int] = {}  # line -> offset behind its last token
    for token in tokens:
        ends[text.count("\n", 0, token.end) + 1] = token.end + 1
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    comments = {}
    for number, end in ends.items():
        rest = text[end : starts[number] - 1].strip() if number < len(starts) else text[end:].strip()
        if not rest.startswith("--"):
            continue
        parts = [rest[2:].strip()]
        for below in range(number, len(lines)):
            bare = lines[below].strip()
            if below + 1 in ends or not bare.startswith("--"):
                break
            parts.append(bare[2:].strip())
        comments[number] = " ".join(parts)
    return comments


def _tags(comment: str) -> tuple[str, list[str]]:
    """A comment without the tags at its end, and the tags."""
    tags: list[str] = []
    while match := _TAG.search(comment):
        tags.insert(0, match[1].strip())
        comment = comment[: match.start()]
    return comment.strip(), tags


def _check(tag: str) -> dict[str, object]:
    """What a tag demands; empty when it is unknown."""
    if tag == "not null":
        return {"is_not_null": True}
    match = _RANGE.match(tag)
    if match is None or (match[1] is None and match[2] is None):
        return {}
    return {
        name: float(bound) for name, bound in zip(("low", "high"), match.groups(), strict=True) if bound is not None
    }


def _named_windows(path: Path, text: str, tree: exp.Expr) -> list[Problem]:
    """Named windows, which sqlglot's lineage does not follow."""
    return [
        Problem(
            path, _last_line(window, text), "names a window, which hides its keys from lineage; write OVER (...) out"
        )
        for select in tree.find_all(exp.Select)
        for window in select.args.get("windows") or ()
    ]


def _tables(text: str, tree: exp.Expr) -> dict[str, int]:
    """The tables that a query reads, with the line where each is first named; its own CTEs left out."""
    own = {cte.alias for cte in tree.find_all(exp.CTE)}
    tables: dict[str, int] = {}
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier) or (not table.db and table.name in own):
            continue
        name = f"{table.db}.{table.name}" if table.db else table.name
        line = _line(table.this, text)
        tables[name] = min(line, tables.get(name, line))
    return tables


def _code_version(text: str, header: Header, tokens: Sequence[Token], functions: Sequence[Function]) -> str:
    """Hash of what a file computes: its tokens, the directives that shape the table and the functions in Python that it
    calls, but no comment or blank.

    The text between the tokens' offsets is taken as it stands: what sqlglot would write changes with its version, and a
    new version must not make the whole lake stale.
    """
    words = [text[token.start : token.end + 1] for token in tokens]
    called = [function.code_version for function in functions]
    normalised = "\n".join([header.meaning, *(word for word in words if word != ";"), *called])
    return hashlib.sha256(normalised.encode()).hexdigest()[:_HASH_CHARS]


def _unknown_tables(drafts: list[_Draft], known: Collection[str]) -> list[Problem]:
    problems = []
    for draft in drafts:
        for table, line in draft.tables.items():
            if table in known:
                continue
            close = difflib.get_close_matches(table, known, 1)
            hint = f"did you mean {close[0]}?" if close else "add its .sql file, or correct the name"
            problems.append(Problem(draft.path, line, f"reads {table}, which is no table of the lake; {hint}"))
    return problems


def _upstream_first(drafts: list[_Draft]) -> tuple[list[_Draft], list[Problem]]:
    by_name = {draft.name: draft for draft in drafts}
    graph = {draft.name: [table for table in sorted(draft.tables) if table in by_name] for draft in drafts}
    try:
        return [by_name[name] for name in TopologicalSorter(graph).static_order()], []
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        first = by_name[circle[0]]
        way = " reads ".join(circle)
        message = f"goes round in a circle: {way}; take one of these reads out"
        return [], [Problem(first.path, first.tables[circle[1]], message)]


def _bind(ordered: list[_Draft], sources: list[TableSpec], problems: list[Problem]) -> list[Model]:
    """Bind the sound drafts, adding to `problems`. What reads an unsound one is left alone: it may be right."""
    types: dict[str, pa.Schema] = {source.name: source.arrow_schema for source in sources}
    models = []
    with binding.EmptyLake() as lake:
        for name, schema in types.items():
            lake.create(name, schema)
        for draft in ordered:
            if not draft.is_sound or any(table not in types for table in draft.tables):
                continue
            try:
                schema = lake.bind(draft.sql, draft.parameters, draft.functions)
            except duckdb.Error as error:
                problems.append(duckdb_problem(draft.path, error))
                continue
            schema, wrong = _fit(draft, schema)
            problems += wrong
            if wrong:
                continue
            types[draft.name] = schema
            lake.create(draft.name, schema)
            models.append(_model(draft, schema, lake))
    return models


def _fit(draft: _Draft, schema: pa.Schema) -> tuple[pa.Schema, list[Problem]]:
    """The schema in the types that a Delta table keeps, and the columns for which it has none."""
    fields, problems = [], []
    for column in schema:
        try:
            fields.append(pa.field(column.name, binding.fit(column.type)))
        except LakeError as error:
            line = draft.columns[column.name].line
            problems.append(Problem(draft.path, line, f"column {column.name}: {error}"))
    return pa.schema(fields), problems


def _model(draft: _Draft, schema: pa.Schema, lake: binding.EmptyLake) -> Model:
    header = draft.header
    return Model(
        name=draft.name,
        path=draft.path,
        description=header.description,
        grain=header.grain,
        partition=header.partition,
        window=header.window,
        narrower=header.narrower,
        settles=header.settles,
        alert=header.alert,
        not_portable=header.not_portable,
        question=header.question,
        columns=tuple(
            OutputColumn(
                name=name,
                description=explained.description,
                type=schema.field(name).type,
                is_not_null=explained.is_not_null,
                low=explained.low,
                high=explained.high,
            )
            for name, explained in draft.columns.items()
        ),
        dependencies=frozenset(draft.tables),
        parameters=draft.parameters,
        functions=tuple(function.name for function in draft.functions),
        sql=draft.sql,
        code_version=draft.code_version,
        input_types={table: lake.sql_types(table) for table in sorted(draft.tables)},
    )
