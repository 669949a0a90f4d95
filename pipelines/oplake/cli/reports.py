"""The command that shows what authors wrote: on the terminal, or as a page."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oplake.cli.app import LOOK, app, command, settings
from oplake.cli.errors import CommandError
from oplake.cli.terminal import PAGE_WIDTH, busy, console, is_terminal, remark

if TYPE_CHECKING:
    from oplake.report.charts import Series
    from oplake.report.reports import Reports


@command(app, "report", panel=LOOK)
def report(
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day (UTC); without it the latest with a report.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only what there is of this user.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write it to this file, as a page that stands alone.")] = None,
) -> None:
    """Show a day's reports: the team's page, how each user fares, and what is behind the errors.

    Numbers that are not among the facts are marked (?). What is piped is Markdown.
    """
    import duckdb

    from oplake.lake.catalog import connect
    from oplake.report.reports import reports_of

    with connect(settings()) as connection:
        try:
            found = reports_of(connection, day.date() if day else None, user)
        except duckdb.Error as error:
            raise CommandError(f"the reports cannot be read: {error}") from error
    if html is None:
        _print(found)
    else:
        _write(found, html)


def _print(found: Reports) -> None:
    from oplake.report.markdown import whole

    text = whole(found, [f"{each.title}: {each.sparkline} {each.last}" for each in _series(found)])
    if not is_terminal():
        typer.echo(text, nl=False)
        return
    from rich.markdown import Markdown

    console().print(Markdown(text), width=min(console().width, PAGE_WIDTH))


def _write(found: Reports, file: Path) -> None:
    from oplake.report.charts import draw
    from oplake.report.page import CURRENT, page

    with busy("Drawing the page ..."):
        text = page(found, draw(_series(found), ink=CURRENT))
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror or error}") from error
    remark(f"Wrote {file}")


def _series(found: Reports) -> list[Series]:
    from oplake.report.charts import series_of
    from oplake.report.content import facts

    return series_of(facts(found.team)) if found.team else []
