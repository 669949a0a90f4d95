"""docs/tables/: an index of all tables and a page per schema, from the table specs and the model files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import sqlglot
from sqlglot import exp

from oplake.lake.spec import TableSpec, duckdb_type
from oplake.models.functions import functions_named
from oplake.models.header import Question
from oplake.models.model import Model, Models, OutputColumn
from oplake.reference.markdown import GENERATED, anchor, table

SCHEMAS: Mapping[str, str] = {
    "landed": "Events as they arrived, one table a kind, each event once. Ingest writes them.",
    "otel": "What OpenTelemetry spans and events mean: turns, tool calls, actions, steps and observations.",
    "attribution": "What actions were worth: how they ended, what was expected, and which steps earned it.",
    "operations": "What runs, how well and how fast, what fails and with what, and whether correcting it helped.",
    "sessions": "What happened in sessions: turns and tools, what they cost, which tools and files are trouble.",
    "users": "What is written of users and for them: evaluations of their notes, daily reports, weekly plans.",
    "playbooks": "Advice that is measured: whom it was shown to or withheld from, and what came of it.",
    "lake": "The lakehouse about itself: what was taken in and when, and what was redacted.",
}
"""What each schema is for. A new schema needs a line here."""


def tables_pages(models: Models, sources: Sequence[TableSpec], questions: Mapping[str, Question]) -> dict[str, str]:
    """docs/tables/: an index, and a page per schema. `questions` are those of tables that no model file makes."""
    made = {model.name: model for model in models}
    specs = {spec.name: spec for spec in [*sources, *(model.spec for model in models)]}
    readers: dict[str, list[str]] = {name: [] for name in specs}
    for model in models:
        for table_name in sorted(model.dependencies):
            readers[table_name].append(model.name)
    by_schema: dict[str, list[TableSpec]] = {}
    for spec in specs.values():
        by_schema.setdefault(spec.name.split(".")[0], []).append(spec)
    pages = {"docs/tables/README.md": _tables_index(by_schema)}
    for schema, its_specs in by_schema.items():
        parts = [GENERATED, f"# Tables of `{schema}`\n", f"{SCHEMAS[schema]} [All tables](README.md)\n"]
        parts.append(table(["table", "a row is"], [[_link(spec.name, schema), _headline(spec)] for spec in its_specs]))
        for spec in its_specs:
            maker = made.get(spec.name)
            question = maker.question if maker else questions.get(spec.name)
            parts.append(_table_section(spec, maker, readers[spec.name], question))
        pages[f"docs/tables/{schema}.md"] = "\n".join(parts)
    return pages


def _tables_index(by_schema: Mapping[str, Sequence[TableSpec]]) -> str:
    parts = [
        GENERATED,
        "# Tables\n",
        "Every table of the lake and what a row of it is. `oplake tables NAME` says the same in a terminal, and the "
        "views and their columns carry it as their comments.\n",
    ]
    for schema, specs in by_schema.items():
        parts += [f"## {schema}\n", f"{SCHEMAS[schema]}\n"]
        parts.append(table(["table", "a row is"], [[_link(spec.name, None), _headline(spec)] for spec in specs]))
    return "\n".join(parts)


def _headline(spec: TableSpec) -> str:
    return spec.description.partition("\n")[0]


def _link(name: str, here: str | None) -> str:
    """A link to a table's section, from the page of the schema `here` or from the index."""
    schema = name.split(".")[0]
    page = "" if schema == here else f"{schema}.md"
    return f"[`{name}`]({page}#{anchor(name)})"


def _table_section(spec: TableSpec, model: Model | None, readers: Sequence[str], question: Question | None) -> str:
    schema = spec.name.split(".")[0]
    facts = [f"grain: {', '.join(f'`{name}`' for name in spec.grain)}"]
    facts.append("partition: `day` (UTC)" if spec.partition_by_day else "partition: none")
    if model is not None:
        if model.partition:
            first, last = model.window
            reads = f"days {first:+d} to {last:+d} of its inputs" if first or last else "the same day of its inputs"
            facts.append(f"window: a day reads {reads.replace('+0', '0')}")
        if model.settles is not None:
            clock = ":".join(str(model.settles).split(":")[:2]).zfill(5)
            facts.append(f"settles: at {clock} UTC of the next day; until then time alone may change a day")
        if model.functions:
            named = (f"`{function.name}` of `{function.module}`" for function in functions_named(model.functions))
            facts.append(f"calls {' and '.join(named)}, which are Python")
        if model.not_portable:
            facts.append(f"not portable to Spark: {model.not_portable}")
        file = f"sql/{schema}/{model.path.name}"
        facts.append(
            f"made by [`{file}`](../../{file}) from {', '.join(_link(n, schema) for n in sorted(model.dependencies))}"
        )
    facts.append("read by " + (", ".join(_link(name, schema) for name in readers) if readers else "no other table"))
    parts = [f"## {spec.name}\n", f"{spec.description}\n", "\n".join(f"- {fact}" for fact in facts) + "\n"]
    parts.append(_columns_table(spec, model))
    if question is not None:
        parts += [f"**{question.text}**\n", f"```sql\n{question.sql}\n```\n", _answer(question)]
    return "\n".join(parts)


def _columns_table(spec: TableSpec, model: Model | None) -> str:
    if model is None:
        return table(
            ["column", "type", "meaning"],
            [[f"`{c.name}`", type_name(c.type), c.description] for c in spec.columns],
        )
    lineage = model.lineage
    return table(
        ["column", "type", "meaning", "made from"],
        [
            [
                f"`{c.name}`",
                type_name(c.type) + _checked(c),
                c.description,
                ", ".join(f"`{source}.{column}`" for source, column in lineage.get(c.name, [])),
            ]
            for c in model.columns
        ],
    )


def type_name(type_: pa.DataType) -> str:
    """A type as the pages write it."""
    plain = duckdb_type(type_).lower()
    return plain.replace("timestamp with time zone", "timestamp (UTC)")


def _checked(column: OutputColumn) -> str:
    """What a check holds a column to, in words."""
    words = ["not null"] if column.is_not_null else []
    if column.low is not None or column.high is not None:
        low, high = ("" if bound is None else f"{bound:g}" for bound in (column.low, column.high))
        words.append(f"{low}..{high}")
    return ", " + ", ".join(words) if words else ""


def _answer(question: Question) -> str:
    """The answer as a table; its columns are named as the SQL names them. A `<name>` in it is no tag."""
    if not question.answer:
        return "No rows: nothing of the kind happens in the demo.\n"
    query = sqlglot.parse_one(question.sql, read="duckdb")
    assert isinstance(query, exp.Query), f"a question is a SELECT: {question.sql}"
    names = [column.output_name for column in query.selects]
    return table(names, [[cell.replace("<", "&lt;") for cell in row] for row in question.answer])
