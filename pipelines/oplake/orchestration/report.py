"""What `run` says of what it did. Nothing here does anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from oplake.orchestration.staleness import Refresh

if TYPE_CHECKING:
    from oplake.lake.ingest import IngestReport


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

    @property
    def what(self) -> str:
        """What was made, in short."""
        return "ingest" if self.refresh is None else str(self.refresh)


@dataclass(frozen=True)
class RunReport:
    """What `run` did. Without work there are no runs."""

    runs: tuple[Made, ...]
    ingested: IngestReport | None = None

    @property
    def failures(self) -> tuple[Failure, ...]:
        """All tables that could not be made; they stay stale, and the next run takes them up again."""
        return tuple(failure for made in self.runs for failure in made.failures)

    @property
    def failed_checks(self) -> tuple[Failure, ...]:
        """All checks that did not hold; their tables were made."""
        return tuple(failure for made in self.runs for failure in made.failed_checks)

    @property
    def is_success(self) -> bool:
        """Whether everything was made; a check that did not hold does not undo that."""
        return not self.failures
