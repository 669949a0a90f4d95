"""The commands that change something: they bring events in, compute tables, and keep the home in order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oplake.cli.app import BRING, COMPUTE, KEEP, START, app, command, rejects_app, settings
from oplake.cli.days import AS_DATE, FIRST_DAY, now, warn_of_days, warn_of_early, warn_of_late
from oplake.cli.errors import CommandError
from oplake.cli.terminal import PAGE_WIDTH, busy, console, log_retries, print_table, progress, remark
from oplake.words import counted

if TYPE_CHECKING:
    from oplake.lake.forget import Theirs
    from oplake.lake.ingest import IngestReport
    from oplake.landing.tail import TailReport
    from oplake.settings import Settings

DEMO_SEED = 7
DEMO_END = FIRST_DAY + timedelta(days=7, hours=8)  # when its reports are written, for events to be the same every time
DEMO_WRITTEN = 3  # days of the demo that reports are written of


@command(app, "demo", panel=START)
def demo(
    into_this_home: Annotated[
        bool, typer.Option("--into-this-home", help="Also where other events have landed, and would be mixed with it.")
    ] = False,
) -> None:
    """Simulate a week of agent work, ingest it, compute every table, and show what was found.

    Doing it again adds no row.
    """
    from oplake.simulate import has_landed, holds_other_events, simulate

    home = settings()
    if holds_other_events(home) and not into_this_home:
        raise CommandError(
            f"events have landed in {home.home} that are not the demo's, and its simulated ones would be mixed in for "
            "good: give it a home of its own (--home, or another OPLAKE_HOME), or say --into-this-home"
        )
    from oplake.summary import summary

    if has_landed(home, seed=DEMO_SEED):
        remark("The simulated week has landed already.")
    else:
        with progress("Landing a simulated week of agent work ...") as done:
            landed = simulate(home, seed=DEMO_SEED, progress=done)
        remark(f"Landed {landed.events:,} events of {landed.actions:,} actions.")
    _compute(home)
    _write(home, DEMO_END, days=(DEMO_END.date() - timedelta(days=DEMO_WRITTEN), DEMO_END.date()))
    _compute(home)
    console(width=PAGE_WIDTH).print(summary(home))


@command(app, "run", panel=COMPUTE)
def run(
    everything: Annotated[bool, typer.Option("--all", help="Make every day again that has input.")] = False,
    day: Annotated[datetime | None, typer.Option(formats=AS_DATE, help="Make this day (UTC) again, no other.")] = None,
    since: Annotated[
        datetime | None, typer.Option("--from", formats=AS_DATE, help="Make this day (UTC) and all after it again.")
    ] = None,
) -> None:
    """Ingest what has landed, and make all tables again that it makes stale.

    It is what the daemon does by itself under `oplake ui`; the UI shows these runs, too.
    """
    if sum(map(bool, (everything, day, since))) > 1:
        raise typer.BadParameter("give one of --all, --day and --from")
    _compute(
        settings(),
        everything=everything,
        day=day.date() if day else None,
        since=since.date() if since else None,
    )


@command(app, "write", panel=COMPUTE)
def write(
    tables: Annotated[list[str] | None, typer.Argument(help="Only these tables, such as lake.daily_report.")] = None,
    start: Annotated[
        datetime | None, typer.Option("--from", formats=AS_DATE, help="First day (UTC), due or not.")
    ] = None,
    stop: Annotated[
        datetime | None, typer.Option("--to", formats=AS_DATE, help="Last day (UTC); without it the first one.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Write anew what is written already.")] = False,
) -> None:
    """Write the reports, plans and analyses that are due. Only here is a model asked, if OPLAKE_LLM_URL names one.

    It is what the schedules do by themselves under `oplake ui`. What was answered before is not paid for again.
    """
    if stop and not start:
        raise typer.BadParameter("give --from as well")
    days = (start.date(), (stop or start).date()) if start else None
    _write(settings(), now(), tables=tables or (), days=days, again=again)


def _write(
    home: Settings,
    at: datetime,
    *,
    tables: Sequence[str] = (),
    days: tuple[date, date] | None = None,
    again: bool = False,
) -> None:
    log_retries()
    with busy("Loading Dagster ...") as say:
        from oplake.orchestration.llm import Llm
        from oplake.orchestration.write import write as write_reports
        from oplake.synthesis.spending import total

        llm = Llm(again=again, stamp=now)
        report = write_reports(
            home, now=at, tables=tables, days=days, llm=llm, watch=lambda step: say(f"now {step.table}")
        )
    if not report.runs:
        remark("Nothing is due; --from DAY writes a day that is not.")
    for table in dict.fromkeys(outcome.table for outcome in llm.outcomes):  # which may be written in several runs
        mine = [outcome for outcome in llm.outcomes if outcome.table == table]
        waiting, cost = sum(each.left_out for each in mine), total(each.cost_usd for each in mine)
        waits = f"; {counted(waiting, 'row')} must wait" if waiting else ""
        paid = f", for {cost:.4f} USD" if cost else ""
        if cost is None:
            paid = ", at a cost that is not known, for some model has no price in sessions.prices"
        remark(f"Wrote {counted(sum(each.new for each in mine), 'row')} of {table}{paid}{waits}.")
    for alert in report.alerts:
        remark(f"Note, {alert.table}: {alert.message}")
    if not report.is_success:
        raise CommandError(f"{report.complaint}\n`oplake ui` shows the runs with their logs")


@command(app, "reprice", panel=COMPUTE)
def reprice(
    start: Annotated[datetime, typer.Option("--from", formats=AS_DATE, help="First day (UTC).")],
    stop: Annotated[datetime, typer.Option("--to", formats=AS_DATE, help="Last day (UTC), included.")],
) -> None:
    """Compute what turns cost again, with the prices of the moment, and all tables that follow from it.

    New prices change no day that is made already: that is asked for here. Own prices stand in prices.csv of the home.
    """
    _compute(settings(), repriced=(start.date(), stop.date()))


def _compute(
    home: Settings,
    *,
    everything: bool = False,
    day: date | None = None,
    since: date | None = None,
    repriced: tuple[date, date] | None = None,
) -> None:
    log_retries()
    with busy("Loading Dagster ...") as say:
        from oplake.orchestration.run import run as compute

        report = compute(
            home,
            now=now(),
            everything=everything,
            day=day,
            since=since,
            repriced=repriced,
            watch=lambda step: say(f"now {step.table}"),
        )
    if report.tailed is not None:
        _tell_tailed(report.tailed)
    if not report.runs:
        remark(_why_nothing(home))
    if report.ingested is not None:
        remark(_of_ingest(report.ingested))
    for made in report.runs:
        if made.refresh is not None and not made.failures:
            names = made.refresh.models
            what = names[0] if len(names) == 1 else f"{len(names)} tables"
            remark(f"Made {what}, {made.what}, in {made.seconds:.1f} s.")
    if report.has_new_prices and not repriced:
        remark("Prices are new; days that were made before keep theirs: oplake reprice --from DAY --to DAY")
    for alert in report.alerts:
        remark(f"Note, {alert.table}: {alert.message}")
    if report.too_early:
        warn_of_early(home, report.too_early.events, report.too_early.first, report.too_early.last)
    if report.too_late:
        warn_of_late(report.too_late.events, report.too_late.first, report.too_late.last)
    if not report.is_success:
        raise CommandError(f"{report.complaint}\n`oplake ui` shows the runs with their logs")


def _tell_tailed(report: TailReport) -> None:
    """Say what was read of files that are followed."""
    for pattern in report.missing:
        remark(f"There is no {pattern} yet.")
    for path, problem in report.problems.items():
        remark(f"{path} {problem}.")
    for tailed in report.files:
        rejects = f", {counted(tailed.rejects, 'line')} could not be used" if tailed.rejects else ""
        remark(f"Read {counted(tailed.events, 'event')} of {tailed.path}{rejects}.")
    if report.is_busy:
        remark("Another process is reading the files that are followed; what it finds lands by it.")


def _why_nothing(home: Settings) -> str:
    from oplake.lake.tables import Lake

    if Lake(home.lake).names():
        return "Nothing to do: every table is up to date."
    return f"Nothing has landed in {home.landing} yet. Try `oplake demo`, or bring something in with `oplake import`."


def _of_ingest(took: IngestReport) -> str:
    """What an ingest did, in the terms of the tables: a reject that landed as one counts as unusable, not as event."""
    unusable = sum(took.touched.get("landed.rejects", {}).values())
    events = took.events - (unusable - took.rejects)
    return (
        f"Ingested {counted(events, 'event')}; {took.duplicates:,} came repeatedly, "
        f"{counted(unusable, 'line')} could not be used."
    )


@command(app, "ui", panel=COMPUTE)
def ui(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, show_default="3000", help="Where to listen on loopback.")
    ] = None,
) -> None:
    """Open Dagster's UI and start its daemon, on loopback: runs, lineage, checks, schedules."""
    from oplake.orchestration.ui import start_ui

    start_ui(settings(), port=port, say=remark)


@command(app, "serve", panel=BRING)
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs OPLAKE_TOKEN.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 4318,
) -> None:
    """Receive events over HTTP: operations, events of any kind, OpenTelemetry. docs/receiver.md lists the paths.

    What is acknowledged is on disk. SIGTERM and Ctrl-C land what is under way, and seal the segment.
    """
    from oplake.receiver.server import serve as receive

    receive(settings(), host=host, port=port, say=lambda address: remark(f"Receiving at {address}"))


@command(app, "simulate", panel=BRING)
def simulate(
    days: Annotated[int, typer.Option(min=1, help="Days of work.")] = 7,
    seed: Annotated[int, typer.Option(help="Which world; another seed goes another way.")] = DEMO_SEED,
    rate: Annotated[int, typer.Option(min=1, help="Actions begun per day; each has 20 to 30 events.")] = 150,
    start: Annotated[
        datetime, typer.Option(formats=AS_DATE, show_default=f"{FIRST_DAY:%Y-%m-%d}", help="The first day (UTC).")
    ] = FIRST_DAY,
) -> None:
    """Land a simulated workload whose truth is known, and write that truth down beside it.

    The same arguments make the same events, everywhere.
    """
    from oplake.simulate import simulate as land

    home = settings()
    with progress(f"Simulating {counted(days, 'day')} ...") as done:
        landed = land(home, days=days, seed=seed, rate=rate, start=start.date(), progress=done)
    if landed.events:
        remark(f"Landed {counted(landed.events, 'event')} of {counted(landed.actions, 'action')}.")
    else:
        remark("These days have landed already.")
    warn_of_days(home, start.date(), start.date() + timedelta(days=days - 1))
    remark(f"What is true of them: {landed.truth}")
    remark("Next: oplake run")


@command(app, "tail", panel=BRING)
def tail(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Files, patterns or folders, in place of those of $OPLAKE_TAIL.")
    ] = None,
) -> None:
    """Land what was appended to files since the last time, whole lines only, each once.

    `oplake run` does it first of all, and the daemon does it all the time under `oplake ui`, for the files of
    $OPLAKE_TAIL.
    """
    from oplake.landing.tail import tail as read_on

    home = settings()
    if not (paths or home.tail):
        raise CommandError("no files are followed: name some, or set OPLAKE_TAIL, as docs/settings.md says")
    whole = [str(Path(path).expanduser().absolute()) for path in paths or ()]
    report = read_on(home, now(), patterns=whole or None)
    _tell_tailed(report)
    if not report.files and (report.problems or (paths and report.missing)):
        raise CommandError("nothing could be read; above is why")
    if report.files:
        remark("Next: oplake run")
    elif not report.is_busy:
        remark("Nothing was appended.")


@command(rejects_app, "replay")
def rejects_replay(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of rejects; without any, all that are open.")] = None,
) -> None:
    """Take rejects in again, after a fix. Doing it twice adds nothing."""
    from oplake.lake.rejects import replay

    report = replay(settings(), now=now(), ids=ids or None)
    for reject, reason in report.refused.items():
        remark(f"{reject}: {reason}")
    total = len(report.replayed) + len(report.refused)
    if report.replayed:
        remark(f"Took in {len(report.replayed):,} of {total:,}. Next: oplake run")
    elif total:
        remark(f"Took in none of {total:,}; above is why.")
    else:
        remark("There is none to take in.")


@command(app, "rebuild", panel=KEEP)
def rebuild(
    what_is_left: Annotated[
        bool, typer.Option("--what-is-left", help="Go on without segments that are lost, and say what is lost.")
    ] = False,
) -> None:
    """Make every table again from landing alone; it comes out the same. Readers see the old ones until then."""
    from oplake.lake.rebuild import rebuild as make_again

    log_retries()
    with busy("Making every table again from landing ...") as say:
        report = make_again(
            settings(),
            now=now(),
            what_is_left=what_is_left,
            progress=lambda at: say(f"read {at.bytes_done:,} of {at.bytes_total:,} bytes"),
            on_table=lambda name, rows: say(f"{name}: {rows:,} rows"),
        )
    remark(f"Made {len(report.rows)} tables with {sum(report.rows.values()):,} rows, of {report.ingest.bytes:,} bytes.")
    for damage in report.lost:
        remark(f"Without {damage.path}: {damage.problem}")


@command(app, "upkeep", panel=KEEP)
def upkeep() -> None:
    """Keep the home small and checked: archive, compact, vacuum, purge old runs, publish fresh views.

    The daemon does it every night under `oplake ui`.
    """
    from oplake.lake.upkeep import upkeep as look_after
    from oplake.orchestration.instance import open_instance
    from oplake.orchestration.purge import purge

    log_retries()
    home = settings()
    with busy("Looking after the tables and the archive ..."):
        report = look_after(home, now=now())
        with open_instance(home) as instance:
            purged = purge(instance, before=now() - home.runs_kept)
    remark(
        f"Archived {counted(len(report.archived), 'segment')}, put the files of "
        f"{counted(sum(report.compacted.values()), 'day')} together, deleted "
        f"{counted(sum(report.vacuumed.values()), 'file')} of old versions and {counted(purged, 'run')} of Dagster."
    )
    for table, count in report.expired.items():
        remark(f"Removed {counted(count, 'row')} of {table}, not kept any longer.")
    problems = [f"{each.path}: {each.problem}" for each in report.damages]
    problems += [f"{table}: {reason}" for table, reason in report.failures.items()]
    if problems:
        raise CommandError("\n  ".join(["not all is well:", *problems]) + "\n`oplake doctor` says more")


def _tell_theirs(theirs: Theirs) -> None:
    """Show what there is of a person: events by kind, then the rows that came of them, by table."""
    found: list[tuple[str, str, int]] = [(kind, "removed", count) for kind, count in theirs.events.items()]
    found += [("events of others", "name them, and will not", theirs.named)] if theirs.named else []
    found += [(table, "made anew without these", count) for table, count in theirs.rows.items()]
    print_table(("what", "what becomes of it", "count"), found)


@command(app, "forget", panel=KEEP)
def forget(
    user: Annotated[str, typer.Option("--user", help="The id of the person, as events say it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what there is of them, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a person everywhere: landing, archive, rejects, spools, tables and their old versions, Dagster's records.

    Events that are theirs go; where events of others name them, it says [forgotten] instead. Every table is made anew.
    Doing it again finishes what was interrupted. What arrives later lands as ever: end it at its source first.
    """
    from oplake.lake.forget import find, is_interrupted, other_homes

    home = settings()
    if not user.strip():
        raise typer.BadParameter("it is empty", param_hint="--user")
    with busy("Looking for what there is of them ..."):
        theirs = find(home, user)
    others = other_homes(home)
    for path in others:
        remark(f"{path} is another home, and stays as it is: run oplake forget --home there.")
    if not theirs and not is_interrupted(home):
        remark(f"Nothing in {home.home} is theirs or names them.")
        return
    if theirs and not (theirs.events or theirs.rows or is_interrupted(home)):
        remark(f"No event is of a user {user!r}: is it misspelt? Events of others have the word in them.")
    if theirs:
        _tell_theirs(theirs)
    if dry_run:
        return
    if not yes and not typer.confirm("Remove all of it for good?", err=True):
        raise CommandError("nothing was removed")
    log_retries()
    with busy("Forgetting ...") as say:
        from oplake.orchestration.forget import forget as remove

        done = remove(home, user, now=now, say=say)
    remark(f"Removed {counted(sum(done.theirs.events.values()), 'event')}, and made every table anew.")
    for path in done.files:
        remark(f"Named them, and does no more: {path}")
    for path in sorted({*done.left} - {*others}):
        remark(f"May name them still, in what it holds or by its name: {path}")
