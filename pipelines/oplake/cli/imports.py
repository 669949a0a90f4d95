"""The commands `oplake import`: they bring history in from other people's files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oplake.cli.app import command, import_app, settings
from oplake.cli.days import AS_DATE, FIRST_DAY, now, warn_of_days
from oplake.cli.errors import CommandError
from oplake.cli.terminal import PAGE_WIDTH, busy, console, progress, remark
from oplake.words import counted

if TYPE_CHECKING:
    from oplake.landing.importers import Imported
    from oplake.landing.writer import SegmentWriter
    from oplake.settings import Settings


@command(import_app, "jsonl")
def import_jsonl(
    path: Annotated[Path, typer.Argument(help="The file, also as .gz or .zst; - reads standard input.")],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help="Where a field stands: field=path.to.value, field='text' or field:=json."),
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of the lines that do not say.")] = None,
    start: Annotated[
        datetime | None, typer.Option(formats=AS_DATE, help="Date lines without a time from this day on (UTC).")
    ] = None,
) -> None:
    """Bring in JSON lines: events in oplake's own contract, or anything with --map.

    The same file again adds nothing.
    """
    from oplake.landing.importers.jsonl import import_jsonl as land
    from oplake.landing.importers.jsonl import parse_map

    home = settings()
    rules = parse_map(mapping or [])
    source = sys.stdin.buffer if str(path) == "-" else path
    with _landing(home, f"Importing {path} ...") as (writer, done):
        imported = land(
            source,
            writer,
            received_at=now(),
            mapping=rules,
            kind=kind,
            start=start.date() if start else None,
            progress=done,
        )
    _tell(home, path, imported)


@command(import_app, "tau-bench")
def import_tau_bench(
    path: Annotated[Path, typer.Argument(help="A result file, also as .gz or .zst.")],
    start: Annotated[
        datetime,
        typer.Option(formats=AS_DATE, show_default=f"{FIRST_DAY:%Y-%m-%d}", help="Day (UTC) of its first run."),
    ] = FIRST_DAY,
    domain: Annotated[str | None, typer.Option(help="Domain, where the file does not say it.")] = None,
    agent: Annotated[str | None, typer.Option(help="Who acted, where the file does not say it.")] = None,
) -> None:
    """Bring in a result file of tau-bench: an action per task and trial, a step per decision.

    The same file again adds nothing.
    """
    from oplake.landing.importers.tau_bench import import_tau_bench as land

    home = settings()
    with _landing(home, f"Importing {path} ...") as (writer, done):
        imported = land(
            path, writer, received_at=now(), start=start.date(), domain=domain, agent_id=agent, progress=done
        )
    _tell(home, path, imported)


@command(import_app, "claude-code")
def import_claude_code(
    folder: Annotated[Path, typer.Argument(help="~/.claude, its projects, one of them, or one transcript.")] = Path(
        "~/.claude"
    ),
) -> None:
    """Bring in your own sessions of Claude Code, those of sub-agents included, and show what they hold.

    A turn is one answer of the model. Importing again adds what is new.
    """
    from oplake.cli.claude_code import estimate, show
    from oplake.landing.importers.claude_code import import_claude_code as land

    home = settings()
    with _landing(home, f"Importing {folder} ...") as (writer, done):
        imported, history = land(folder.expanduser(), writer, received_at=now(), progress=done)
    with busy("Estimating what it cost ..."):
        cost = estimate(history.models)
    console(width=PAGE_WIDTH).print(show(history, imported, cost))
    if imported.first_ts and imported.last_ts:
        warn_of_days(home, imported.first_ts.date(), imported.last_ts.date())
    if not imported.taken:
        raise CommandError(f"nothing in {folder} could be used; above is why")
    remark("Next: oplake run")


@command(import_app, "langfuse")
def import_langfuse(
    path: Annotated[Path, typer.Argument(help="A JSON or JSON lines file, also as .gz or .zst, or a folder of them.")],
) -> None:
    """Bring in an export of Langfuse: traces, observations and scores.

    Traces and agents become actions, generations turns, tools tool calls, scores observations. Give all that belongs to
    a session in one import; importing it again adds nothing.
    """
    from oplake.landing.importers.langfuse import import_langfuse as land

    home = settings()
    with _landing(home, f"Importing {path} ...") as (writer, done):
        imported = land(path, writer, received_at=now(), progress=done)
    _tell(home, path, imported, has_ids=True)


@command(import_app, "otlp")
def import_otlp(
    path: Annotated[Path, typer.Argument(help="The file, also as .gz or .zst; - reads standard input.")],
) -> None:
    """Bring in OTLP JSON lines, as the OpenTelemetry collector's file exporter writes them: spans and log records.

    The same file again adds nothing, nor does what a receiver took in already.
    """
    from oplake.landing.importers.otlp import import_otlp as land

    home = settings()
    source = sys.stdin.buffer if str(path) == "-" else path
    with _landing(home, f"Importing {path} ...") as (writer, done):
        imported = land(source, writer, received_at=now(), progress=done)
    _tell(home, path, imported, has_ids=True)


@command(import_app, "reflexion")
def import_reflexion(
    folder: Annotated[Path, typer.Argument(help="Holds env_results_trial_*.json, or folders that do: one a run.")],
    start: Annotated[
        datetime,
        typer.Option(formats=AS_DATE, show_default=f"{FIRST_DAY:%Y-%m-%d}", help="Day (UTC) on which each run begins."),
    ] = FIRST_DAY,
    domain: Annotated[str, typer.Option(help="Class of the task.")] = "alfworld",
    agent: Annotated[
        str | None, typer.Option(help="Who acted.", show_default="react+reflexion; react without memory")
    ] = None,
    memory: Annotated[
        bool | None,
        typer.Option(
            "--memory/--no-memory",
            help="Whether the agent was shown what it wrote.",
            show_default="no, if the folder's name begins with base",
        ),
    ] = None,
) -> None:
    """Bring in runs of Reflexion: an action per environment and trial, a correction per failure written about.

    The same files again add nothing.
    """
    from oplake.landing.importers.reflexion import import_reflexion as land

    home = settings()
    with _landing(home, f"Importing {folder} ...") as (writer, done):
        imported = land(
            folder,
            writer,
            received_at=now(),
            start=start.date(),
            domain=domain,
            agent_id=agent,
            has_memory=memory,
            progress=done,
        )
    _tell(home, folder, imported)


@command(import_app, "who-and-when")
def import_who_and_when(
    path: Annotated[Path, typer.Argument(help="The folder of Who&When, or one of its runs.")],
    start: Annotated[
        datetime,
        typer.Option(formats=AS_DATE, show_default=f"{FIRST_DAY:%Y-%m-%d}", help="Day (UTC) of its runs."),
    ] = FIRST_DAY,
) -> None:
    """Bring in Who&When: failed runs of teams of agents, each with the step that decided it.

    A run is an action, a message a step, the label an observation `blame_label`. The same files again add nothing.
    """
    from oplake.landing.importers.who_and_when import import_who_and_when as land

    home = settings()
    with _landing(home, f"Importing {path} ...") as (writer, done):
        imported = land(path, writer, received_at=now(), start=start.date(), progress=done)
    _tell(home, path, imported)


@contextmanager
def _landing(home: Settings, text: str) -> Iterator[tuple[SegmentWriter, Any]]:
    """A writer to landing, closed in the end, and how far the import is."""
    from oplake.landing.writer import SegmentWriter

    writer = SegmentWriter(home.landing, segment_bytes=home.segment_bytes, segment_age=home.segment_age)
    try:
        with progress(text) as done:
            yield writer, lambda read, size: done(read / size if size else 0.0)
    finally:
        writer.close()


def _tell(home: Settings, path: Path, imported: Imported, *, has_ids: bool = False) -> None:
    """Say what an import brought; `has_ids`, if what it reads has identities of its own, wherever it stands.

    Raises:
        CommandError: That is nothing, or not the whole file.
    """
    if not (imported.taken or imported.rejected or imported.breaks_off):
        remark(f"{path} holds nothing to bring in.")
        return
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in imported.by_kind.items())
    remark(f"Read {counted(imported.taken, 'event')}" + (f": {kinds}." if kinds else "."))
    for refused in imported.first_rejects:
        place = refused.place
        file = place.file if path.is_dir() else path
        at = f"line {place.line}, byte {place.byte_offset}" if place.line else f"byte {place.byte_offset}"
        remark(f"  {file}, {at}: {refused.reason}")
    if imported.rejected:
        origin = "" if any(refused.place.file for refused in imported.first_rejects) else f" --origin {imported.origin}"
        remark(f"{counted(imported.rejected, 'reject')}, kept with what could not be used: oplake rejects{origin}")
        if has_ids:
            remark("Correct them and import all of it again: what landed before adds nothing.")
        else:
            remark(
                "If an option was wrong, import the file again with the right one. If lines are wrong, import them "
                "corrected as a file of their own: a file that was changed is another file from there on."
            )
    if imported.first_ts and imported.last_ts:
        warn_of_days(home, imported.first_ts.date(), imported.last_ts.date())
    if imported.breaks_off:
        raise CommandError(
            f"{path} breaks off: {imported.breaks_off}. What precedes that has landed; importing the whole file later "
            "adds only the rest"
        )
    if imported.rejected and not imported.taken:
        raise CommandError(f"nothing in {path} could be used; above is why")
    remark(
        "Next: oplake run. What is there already adds nothing: it says how many came repeatedly, and counts what came "
        "before with another content among the lines that could not be used."
    )
