"""What holds for a whole run, however many tables it writes: limits, fallback and breaker would begin anew with each.

A run is one of Dagster's, or one `oplake write` with all its rounds. Nothing here asks anybody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass
class RunState:
    """How far a run has come; its calls keep it up to date."""

    spent_usd: Decimal = Decimal()  # on calls whose price is known
    server: int = 0  # of the servers, the one in use
    failures: int = 0  # calls in a row that failed everywhere
    refused: dict[str, set[str]] = field(default_factory=dict)  # parameters not taken, by a server's URL and model
