"""What `run` says of what it did. Nothing here does anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from oplake.orchestration.staleness import PRICES, SOURCE_CHANGED, Refresh

if TYPE_CHECKING:
    from oplake.lake.ingest import IngestReport
    from oplake.landing.tail import TailReport


@dataclass(frozen=True)
class Failure:
    """A table that could not be made, or a check that did not hold, and what was wrong."""

    table: str
    message: str


@dataclass(frozen=True)
class Made:
    """One Dagster run: what it was to make, and what came of it. `refresh` is None for the ingest."""

    run_id: str
    refresh: Refresh | None
    seconds: float
    failures: tuple[Failure, ...] = ()
    failed_checks: tuple[Failure, ...] = ()
    alerts: tuple[Failure, ...] = ()

    @property
    def what(self) -> str:
        """What was made, in short."""
        return "ingest" if self.refresh is None else str(self.refresh)


@dataclass(frozen=True)
class LeftOut:
    """Events that are in the lake, and that no model is made of: their days lie outside those of the models."""

    events: int
    first: date
    last: date


@dataclass(frozen=True)
class RunReport:
    """What `run` did. Without work there are no runs."""

    runs: tuple[Made, ...]
    ingested: IngestReport | None = None
    tailed: TailReport | None = None  # where files are followed
    too_early: LeftOut | None = None  # before `OPLAKE_FIRST_DAY`
    too_late: LeftOut | None = None  # after tomorrow; they are made when their day comes

    @property
    def failures(self) -> tuple[Failure, ...]:
        """All tables that could not be made; they stay stale, and the next run takes them up again."""
        return tuple(failure for made in self.runs for failure in made.failures)

    @property
    def failed_checks(self) -> tuple[Failure, ...]:
        """All checks that did not hold; their tables were made."""
        return tuple(failure for made in self.runs for failure in made.failed_checks)

    @property
    def alerts(self) -> tuple[Failure, ...]:
        """All that people should know of what the tables say; nothing is wrong with the tables."""
        return tuple(alert for made in self.runs for alert in made.alerts)

    @property
    def has_new_prices(self) -> bool:
        """Whether prices took the place of others, at which days that were made before stay."""
        new = f"{PRICES}: {SOURCE_CHANGED}"
        return any(made.refresh is not None and new in made.refresh.reasons for made in self.runs)

    @property
    def is_success(self) -> bool:
        """Whether everything was made, and every check held; one that did not leaves its table as it was made."""
        return not (self.failures or self.failed_checks)

    @property
    def complaint(self) -> str:
        """What went wrong, in words; empty when nothing did."""
        parts = []
        if self.failures:
            count, stay = _counted(self.failures, "table", "It stays as it was", "They stay as they were")
            parts.append(_listed(f"{count} could not be made. {stay}, and the next run tries again:", self.failures))
        if self.failed_checks:
            count, made = _counted(self.failed_checks, "check", "Its table was made", "Their tables were made")
            parts.append(
                _listed(f"{count} did not hold. {made}, with rows that are not as promised:", self.failed_checks)
            )
        return "\n".join(parts)


def _counted(failures: Sequence[Failure], noun: str, one: str, more: str) -> tuple[str, str]:
    """How many there are, and what is said of one or of more."""
    return (f"1 {noun}", one) if len(failures) == 1 else (f"{len(failures)} {noun}s", more)


def _listed(head: str, failures: Sequence[Failure]) -> str:
    return "\n  ".join([head, *(f"{failure.table}: {failure.message}" for failure in failures)])
