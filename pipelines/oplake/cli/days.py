"""Days on the command line: how they are given, what the clock says, and what is told of days that no model has."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from oplake.cli.terminal import remark
from oplake.words import counted

if TYPE_CHECKING:
    from oplake.settings import Settings

AS_DATE = ["%Y-%m-%d"]
FIRST_DAY = datetime(2026, 1, 5, tzinfo=UTC)  # of simulated and undated work; fixed, so that a second time adds nothing


def now() -> datetime:
    """The present time: the command line is where the clock is read."""
    return datetime.now(UTC)


def warn_of_days(home: Settings, first: date, last: date) -> None:
    """Say so where events lie on days that no model is made for."""
    from oplake.orchestration.staleness import ONE_DAY, last_day

    tomorrow = last_day(now())
    if first < home.first_day:
        warn_of_early(home, None, first, min(last, home.first_day - ONE_DAY))
    if last > tomorrow:
        warn_of_late(None, max(first, tomorrow + ONE_DAY), last)


def warn_of_early(home: Settings, events: int | None, first: date, last: date) -> None:
    remark(
        f"{_events_of(events, first, last)} before OPLAKE_FIRST_DAY={home.first_day}: they are kept, but no model is "
        f"made of them. To have them, set it to {first} or before, and say oplake run."
    )


def warn_of_late(events: int | None, first: date, last: date) -> None:
    remark(f"{_events_of(events, first, last)} after tomorrow: models are made of them when their day has come.")


def _events_of(events: int | None, first: date, last: date) -> str:
    days = f"{first}" if first == last else f"{first} to {last}"
    if events is None:
        return f"Events of {days} lie"
    return f"{counted(events, 'event')} of {days} {'lies' if events == 1 else 'lie'}"
