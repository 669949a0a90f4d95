"""The commands that only look: they change nothing under `OPLAKE_HOME`. `docs`, for a checkout, writes its pages."""

from __future__ import annotations

import re
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oplake.cli.app import (
    KEEP,
    LOOK,
    app,
    command,
    default_command,
    eval_app,
    export_app,
    rejects_app,
    settings,
    unwrapped,
)
from oplake.cli.errors import CommandError
from oplake.cli.terminal import (
    ExportFormat,
    Format,
    busy,
    console,
    export_format,
    is_terminal,
    print_table,
    progress,
    remark,
    standard_output,
    write_result,
)
from oplake.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from oplake.lake.catalog import TableSummary
    from oplake.lake.rejects import RejectedLine
    from oplake.settings import Settings

RAW_SHOWN = 40  # bytes of a reject in the list; enough to recognise it by
REJECTS = 50  # in the list; a wrong import has thousands, all of the same kind
PLACE_SHOWN, REASON_SHOWN = 36, 72  # characters on a terminal: the width of an id, and two lines beside it
EXPLAIN = re.compile(r"EXPLAIN\s*(ANALYZE\b)?\s*(\([^)]*\))?", re.IGNORECASE)  # what precedes that which is explained
SHOW_TABLES = re.compile(r"SHOW\s+TABLES\s*;?", re.IGNORECASE)  # DuckDB says those of one schema, which has none
TABLES_SHOWN = """
    SELECT schema_name || '.' || view_name AS "table" FROM duckdb_views() WHERE NOT internal ORDER BY ALL
"""
TABLE_ROWS = 100  # more than a screen holds; a table is for reading

OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write to this file; its ending can stand for the format.")
]
AS_DATE = ["%Y-%m-%d"]


@command(app, "sql", panel=LOOK)
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT over the tables; - reads it from standard input.")],
    kind: Annotated[Format | None, typer.Option("--format", "-f", help="How to write the answer.")] = None,
    output: OutputOption = None,
    as_of: Annotated[
        str | None, typer.Option(help="See every table as it was then, such as 2026-01-31T12:30 (UTC).")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows that a table shows; 0 shows all.")] = TABLE_ROWS,
) -> None:
    """Ask the lake a question in SQL.

    `oplake tables` says what there is to ask; `oplake sql - < FILE` asks what a file of sql/queries asks. A query that
    begins with a comment comes after `--`, as what begins like that is an option: oplake sql -- '-- why' ...
    """
    _ask(sys.stdin.read() if query == "-" else query, kind, output, rows=rows, as_of=as_of)


def _ask(query: str, kind: Format | None, output: Path | None, *, rows: int, as_of: str | None) -> None:
    import duckdb

    from oplake.lake.catalog import connect
    from oplake.lake.interrupts import breakable

    home = settings()
    with connect(home, as_of=as_of) as connection, breakable(connection):
        try:
            statements = duckdb.extract_statements(query)
            _check_question(statements)
            if SHOW_TABLES.fullmatch(statements[0].query.strip()):
                query = TABLES_SHOWN
            result = _without_intervals(connection, connection.sql(query))
            reader = result.to_arrow_reader()
            nested = [name for name, type_ in zip(result.columns, result.types, strict=True) if str(type_) == "JSON"]
            write_result(reader, kind, output, rows=rows, json_columns=nested)
        except duckdb.Error as error:
            raise CommandError(f"{error}{_advice(error, home)}") from error


def _advice(error: duckdb.Error, home: Settings) -> str:
    """What DuckDB cannot know: that no table is there yet, and by which variable its memory is set here."""
    import duckdb

    from oplake.lake.tables import Lake

    if isinstance(error, duckdb.CatalogException) and not Lake(home.lake).names():
        return f"\nThere is no table in {home.lake} yet: `oplake run` makes those of what has landed"
    if isinstance(error, duckdb.OutOfMemoryException):
        return f"\nHere the limit is set by OPLAKE_DUCKDB_MEMORY, such as 8GB; it is {home.duckdb_memory} now"
    return ""


def _check_question(statements: Sequence[duckdb.Statement]) -> None:
    """
    Raises:
        CommandError: It is not one question; DuckDB would carry out all and answer the last.
    """
    if len(statements) > 1:
        raise CommandError(f"those are {len(statements)} statements; ask one at a time")
    if not statements or not _is_question(statements[0]):
        raise CommandError(
            "that asks nothing: write one SELECT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN. Tables change through landing "
            "alone, and --output writes an answer to a file"
        )


def _is_question(statement: duckdb.Statement) -> bool:
    """Whether a statement only reads."""
    import duckdb

    kind, text = statement.type, statement.query
    if kind == duckdb.StatementType.EXPLAIN:  # EXPLAIN ANALYZE does what it explains
        explained = duckdb.extract_statements(EXPLAIN.sub("", text, count=1))
        return len(explained) == 1 and explained[0].type == duckdb.StatementType.SELECT
    if kind == duckdb.StatementType.MULTI:  # a PIVOT looks for its columns first
        return text.split(maxsplit=1)[0].lower() in {"pivot", "select", "from", "with"}
    return bool(kind == duckdb.StatementType.SELECT)


def _without_intervals(
    connection: duckdb.DuckDBPyConnection, answer: duckdb.DuckDBPyRelation
) -> duckdb.DuckDBPyRelation:
    """The answer with DuckDB's text of intervals, for which Parquet, JSON and Python have no type."""
    from oplake.lake.spec import quoted

    types = [str(each) for each in answer.types]
    if not any("INTERVAL" in each for each in types):
        return answer
    places = [f"c{index}" for index in range(len(types))]  # names may be there twice
    columns = ", ".join(
        f"CAST({place} AS {type_.replace('INTERVAL', 'VARCHAR')}) AS {quoted(name)}"
        for place, type_, name in zip(places, types, answer.columns, strict=True)
    )
    query = f"SELECT {columns} FROM answer AS answer({', '.join(places)})"  # noqa: S608  # types, and quoted names
    return connection.sql(query)


@command(app, "tables", panel=LOOK)
def tables(
    name: Annotated[str | None, typer.Argument(help="A table, such as attribution.step_credits.")] = None,
) -> None:
    """Say what the tables mean; with a name, what its columns mean."""
    from oplake.lake.catalog import summarize, summarize_all

    home = settings()
    if name is not None:
        _describe(summarize(home, name))
        return
    summaries, broken = summarize_all(home)
    if not summaries and not broken:
        remark(f"There is no table in {home.lake} yet. `oplake demo` or `oplake run` makes them.")
        return
    heading = ["table", "rows", "first day", "last day", "a row is"]
    rows = [
        (each.name, each.row_count, each.first_day, each.last_day, _first_line(each.spec.description))
        for each in summaries
    ]
    if is_terminal():  # where days side by side would leave no room for what a row is
        print_table(
            ["table", "rows", "days", "a row is"],
            [(name, count, f"{first}\n{last}" if first else None, what) for name, count, first, last, what in rows],
            whole=["table"],
        )
    else:
        print_table(heading, rows)
    remark("`oplake tables NAME` explains the columns.")
    if broken:
        raise CommandError("\n  ".join(["not all can be read:", *map(str, broken.values())]))


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _describe(table: TableSummary) -> None:
    from oplake.lake.spec import duckdb_type

    out, spec = console(), table.spec
    out.print(spec.name, style="bold", highlight=False)
    out.print(unwrapped(spec.description), markup=False, highlight=False)
    days = f"{table.first_day} to {table.last_day}, by day (UTC)" if table.first_day else "no days"
    size = f"{table.row_count:,} rows, {days}; version {table.version} of {table.updated_at:%Y-%m-%d %H:%M} UTC."
    out.print(f"\nGrain: {', '.join(spec.grain)}. {size}\n", markup=False, highlight=False)
    print_table(
        ["column", "type", "meaning"],
        [(column.name, duckdb_type(column.type).lower(), column.description) for column in spec.columns],
    )


@command(export_app, "interactions")
def export_interactions(
    form: Annotated[ExportFormat | None, typer.Option("--format", "-f", help="How to write them.")] = None,
    output: OutputOption = None,
    start: Annotated[datetime | None, typer.Option("--from", formats=AS_DATE, help="First day (UTC).")] = None,
    stop: Annotated[datetime | None, typer.Option("--to", formats=AS_DATE, help="Last day (UTC).")] = None,
) -> None:
    """Write attribution.interactions for systems that learn from it: one record per action, oldest first.

    Without a format and a file, it is JSON lines on standard output.
    """
    from oplake.lake.tables import Lake
    from oplake.models.export import export_interactions as export

    if start and stop and start > stop:
        raise typer.BadParameter(f"--from {start:%Y-%m-%d} is later than --to {stop:%Y-%m-%d}")
    home = settings()
    chosen = form or export_format(output)
    try:
        count = export(
            Lake(home.lake),
            output or standard_output(is_binary=chosen is ExportFormat.parquet),
            form=chosen.value,
            settings=home,
            start=start.date() if start else None,
            stop=stop.date() if stop else None,
        )
    except OSError as error:  # which names a draft of the file
        if output is None:
            raise
        raise CommandError(f"cannot write {output}: {error.strerror or error}") from error
    remark(f"Wrote {count:,} interactions.")


@command(app, "schema", panel=LOOK)
def schema(
    kind: Annotated[str | None, typer.Argument(help="A kind of event, such as step; without one, any event.")] = None,
) -> None:
    """Print the JSON Schema of events."""
    import msgspec

    from oplake import events

    if kind is not None and kind not in events.KINDS:
        raise CommandError(f"there is no kind {kind}; there are {', '.join(events.KINDS)}")
    typer.echo(msgspec.json.format(msgspec.json.encode(events.json_schema(kind)), indent=2).decode())


@default_command(rejects_app)
def rejects(
    reason: Annotated[str | None, typer.Option(help="Only those whose reason has this in it.")] = None,
    origin: Annotated[str | None, typer.Option(help="Only those of this segment, file or door.")] = None,
    is_open: Annotated[bool, typer.Option("--open", help="Only those not taken in again yet.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="List no more than the latest so many; 0 lists all.")] = REJECTS,
) -> None:
    """List the lines that could not be used: where they stood, and why. `landed.rejects` has their bytes."""
    from oplake.lake.rejects import list_rejects
    from oplake.landing.importers import is_of_file

    found = list_rejects(settings(), reason=reason, origin=origin, is_open=True if is_open else None)
    if not found:
        remark("There are none.")
        return
    origins = [each.origin for each in found]
    earlier = len(found) - limit if limit else 0
    found = found[-limit:]
    if is_terminal():  # which has no room for all of it; a pipe gets it
        rows = [
            (f"{each.event_id}\n{_cut(_place(each), PLACE_SHOWN)}", _cut(each.reason, REASON_SHOWN)) for each in found
        ]
        print_table(["id and place", "reason"], rows, whole=["id and place"])
    else:
        print_table(
            ["id", "received", "origin", "line", "byte", "reason", "begins with", "open"],
            [
                (
                    each.event_id,
                    f"{each.received_at:%Y-%m-%d %H:%M:%S}",
                    each.origin,
                    each.line,
                    each.byte_offset,
                    _one_line(each.reason),
                    _one_line(each.raw[:RAW_SHOWN].decode(errors="backslashreplace")),
                    each.is_open,
                )
                for each in found
            ],
        )
    if earlier > 0:
        remark(f"Not listed: {counted(earlier, 'earlier one')}; --limit 0 lists all.")
    if not all(map(is_of_file, origins)):
        remark("After a fix: oplake rejects replay, then oplake run.")
    if any(map(is_of_file, origins)):
        remark("What came from a file is not replayed: import it again with other options, or corrected on its own.")


def _one_line(text: str) -> str:
    """The text without line breaks and other characters that would take its row apart."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _place(reject: RejectedLine) -> str:
    place = f"{reject.origin}:{reject.line}" if reject.line else reject.origin
    return place if reject.is_open else f"taken in: {place}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


@command(app, "doctor", panel=KEEP)
def doctor() -> None:
    """Compare landing, tables and views, and say what is wrong and what to do. Exits with 1 when something is."""
    from oplake.lake.doctor import examine

    with busy("Examining landing, archive, tables and views ..."):
        home = settings()
        findings = examine(home)
    if not findings:
        remark(f"All is well in {home.home}.")
        return
    print_table(
        ["", "where", "what is wrong", "what to do"],
        [(each.severity, each.where, each.what, each.remedy) for each in findings],
    )
    if any(each.severity == "error" for each in findings):
        raise typer.Exit(1)


@command(app, "docs", is_hidden=True)
def docs(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a page is not fresh.")] = False,
    answers: Annotated[
        bool, typer.Option("--answers", help="Ask the questions of docs/questions anew; the lake must hold the demo.")
    ] = False,
) -> None:
    """Write the generated pages of docs/."""
    from oplake.lake.catalog import connect
    from oplake.reference import QUESTIONS, pages, stale_pages, write_answers, write_pages

    command_line = context.find_root().command
    if check:
        stale = stale_pages(pages(command_line))
        if stale:
            raise CommandError(f"not fresh: {', '.join(stale)}. `oplake docs` writes them anew")
        return
    if answers:
        with connect(settings()) as connection:
            write_answers(connection, QUESTIONS)
    for name in write_pages(command_line):
        remark(name)


@command(eval_app, "blame")
def eval_blame(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the page to this Markdown file.")] = None,
) -> None:
    """Say how often blame finds the labelled step, by class of tasks, and how far estimates are above their floors.

    Labels are observations of type `blame_label`; docs/methods/blame.md says how they are used.
    """
    from oplake.lake.catalog import connect
    from oplake.learning import blame_eval

    home = settings()
    with connect(home) as connection, busy("Comparing blame with labels ..."):
        _check_made(connection, "attribution.blame_trials", "attribution.estimate_floors")
        found = blame_eval.evaluate(connection)
    if found.results:
        _print_pairs(blame_eval.RESULT_COLUMNS, blame_eval.result_rows(found))
    else:
        remark("There are no labels: no observation of type blame_label names a step of a failure.")
    if found.unused_labels:
        remark(blame_eval.unused_remark(found))
    if found.floors:
        _print_pairs(blame_eval.FLOOR_COLUMNS, blame_eval.floor_rows(found))
    if output is not None:
        output.write_text(blame_eval.page(found), encoding="utf-8")
        remark(f"Wrote {output}")


def _print_pairs(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows that two names tell apart; on a terminal one stands below the other, which leaves room for figures."""
    if is_terminal():
        both = " and ".join(columns[:2])
        print_table([both, *columns[2:]], [("\n".join(row[:2]), *row[2:]) for row in rows], whole=[both, "verdict"])
    else:
        print_table(columns, rows)


@command(eval_app, "playbooks")
def eval_playbooks(
    worlds: Annotated[int, typer.Option("--worlds", min=1, help="Simulated worlds; fewer are quicker.")] = 16,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the page to this Markdown file.")] = None,
) -> None:
    """Say what becomes of playbook entries that are planted in simulated work, and how well their uplift is known.

    Where this lake has playbooks.uptake, its uplifts are held against their shuffled floor, too.
    docs/methods/playbook-lifecycle.md says what the figures mean.
    """
    from oplake.lake.catalog import connect
    from oplake.learning import playbook_eval

    home = settings()
    with connect(home) as connection:
        is_served = "playbooks.uptake" in _made(connection)
        own = playbook_eval.floors(playbook_eval.exposures(connection)) if is_served else {}
    with progress("Following planted entries ...") as done:
        found = playbook_eval.evaluate(own, worlds=worlds, progress=done)
    print_table(playbook_eval.SAFETY_COLUMNS, playbook_eval.safety_rows(found))
    print_table(playbook_eval.COVERAGE_COLUMNS, playbook_eval.coverage_rows(found))
    print_table(playbook_eval.LOOKS_COLUMNS, playbook_eval.looks_rows(found))
    print_table(playbook_eval.FLOOR_COLUMNS, playbook_eval.floor_rows(found))
    if output is not None:
        output.write_text(playbook_eval.page(found), encoding="utf-8")
        remark(f"Wrote {output}")


def _check_made(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """
    Raises:
        CommandError: A table is not there yet.
    """
    there = _made(connection)
    for name in names:
        if name not in there:
            raise CommandError(f"there is no {name} yet; oplake run makes it")


def _made(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The tables that there are, by schema and name."""
    found = connection.execute("SELECT table_schema, table_name FROM information_schema.tables").fetchall()
    return {f"{schema}.{table}" for schema, table in found}
