"""docs/otel.md: which attributes of OpenTelemetry mean what, read from the models that say so."""

from __future__ import annotations

from collections.abc import Iterator

import sqlglot
from sqlglot import exp

from oplake.landing.otlp import CONVENTIONS
from oplake.models.model import Model, Models
from oplake.reference.markdown import GENERATED, DocsError, table

_INSIDE = {"u": "langfuse.observation.usage_details", "c": "langfuse.observation.cost_details"}
_NAMED, _TOLD = "named", "told"  # the CTEs of otel.spans and otel.messages in which names stand in their order

INTRODUCTION = """# OpenTelemetry

Every span and log record lands whole, in `landed.spans` and `landed.logs`; what they mean is worked out by the models
of schema [`otel`](tables/otel.md), so that a better mapping applies to history. The identity of a span is (trace id,
span id): one that is sent again, late or out of order changes nothing.

| a span of | becomes a row of |
|---|---|
| `chat`, `text_completion`, `generate_content`, or with tokens that no span below it tells | `otel.turns` |
| `execute_tool` | `otel.tool_calls` |
| `invoke_agent`, `invoke_workflow`, `plan` | `otel.actions`; what stands right under it, of `otel.steps` |
| an evaluation, as a log record, an event or attributes | `otel.observations` |
| anything else | no other table than `otel.spans` |
"""


def otel_page(models: Models) -> str:
    """The mapping of names to columns, the words of operations, and where messages are looked for.

    Raises:
        DocsError: A model does not have the CTE that this is read from.
    """
    by_name = {model.name: model for model in models}
    spans, messages = by_name["otel.spans"], by_name["otel.messages"]
    meanings = {column.name: column.description for column in spans.columns}
    rows, operations = [], []
    for projection in _cte(spans, _NAMED).selects:
        names = list(dict.fromkeys(_names(projection)))
        column = _PUBLIC.get(projection.output_name, projection.output_name)
        if names and column in meanings:
            rows.append([f"`{column}`", ", ".join(names), meanings[column]])
        if projection.output_name == "operation":
            operations = list(_operations(projection))
    said = [[str(rank), side, ", ".join(names)] for rank, side, names in sorted(_places(_cte(messages, _TOLD)))]
    conventions = [[f"`{name}`", ", ".join(f"`{prefix}`" for prefix in prefixes)] for name, prefixes in CONVENTIONS]
    return "\n".join(
        [
            GENERATED,
            INTRODUCTION,
            "## Which name wins\n\nOf several names that a span has, the first in this table is taken.\n",
            table(["column of `otel.spans`", "names, the first wins", "meaning"], rows),
            "## Operations\n\n`gen_ai.operation.name` is taken as it is. Other conventions are put in its words.\n",
            table(["attribute", "value", "operation"], operations),
            "## Messages\n\nThe first place that has any is taken, for input and output apart.\n",
            table(["place", "side", "what is read there"], said),
            "## Conventions\n\nThe column `convention` says by how names begin which convention a span speaks; "
            "of several, the first.\n",
            table(["convention", "what its names begin with"], conventions),
        ]
    )


_PUBLIC = {"finish_reasons": "finish_reason", "input": "args"}
"""Columns that bear another name once they are put out."""


def _cte(model: Model, name: str) -> exp.Query:
    tree = sqlglot.parse_one(model.sql, read="duckdb")
    for cte in tree.find_all(exp.CTE):
        if cte.alias == name and isinstance(cte.this, exp.Query):
            return cte.this
    raise DocsError(f"{model.path} has no CTE {name}, from which docs/otel.md is made")


def _names(node: exp.Expr) -> Iterator[str]:
    """The attributes that an expression reads, in the order in which they are written."""
    for bracket in node.find_all(exp.Bracket, bfs=False):
        if isinstance(bracket.parent, exp.Bracket):
            continue  # a part of the path that the outermost says
        path: list[str] = []
        inner: exp.Expr = bracket
        while isinstance(inner, exp.Bracket):
            path.insert(0, f"`{inner.expressions[0].name}`")
            inner = inner.this
        if inner.name in _INSIDE:
            path.insert(0, f"`{_INSIDE[inner.name]}`")
        if inner.name in {"a", "r", *_INSIDE}:
            yield " → ".join(path) + (" of the resource" if inner.name == "r" else "")
    for key in node.find_all(exp.JSONPathKey, bfs=False):
        if "." in str(key.this):
            yield f"`{key.this}` of its events"


def _operations(node: exp.Expr) -> Iterator[list[str]]:
    for case in node.find_all(exp.Case, bfs=False):
        subject = next(_names(case.this)) if case.this else ""
        for branch in case.args["ifs"] if subject else ():
            yield [subject, f"`{branch.this.name}`", f"`{branch.args['true'].name}`"]


def _places(told: exp.Query) -> Iterator[tuple[int, str, list[str]]]:
    """Where messages are looked for: rank, side, and names of attributes, events or beginnings of attributes."""
    for struct in told.find_all(exp.Struct):
        member = {part.this.name: part.expression for part in struct.expressions}
        if member.keys() != {"side", "rank", "said"}:
            continue
        names = list(_names(member["said"]))
        select = struct.find_ancestor(exp.Select)
        where = select.args.get("where") if select else None
        names += [f"event `{literal.name}`" for literal in (where.find_all(exp.Literal, bfs=False) if where else ())]
        words = [literal.name for literal in member["side"].find_all(exp.Literal, bfs=False)]
        sides = sorted({word for word in words if word in {"input", "output"}})
        if not where:
            names += [f"`{word}.N.*`" for word in words if word not in sides]
        yield int(member["rank"].name), ", ".join(sides), names
