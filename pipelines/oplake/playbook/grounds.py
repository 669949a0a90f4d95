"""What speaks for entries: how often `playbooks.candidates` proposed their words, and in what numbers at last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from oplake.settings import Settings

CANDIDATES = "playbooks.candidates"
BASES: Mapping[str, str] = {
    "sequences": "what runs have in common",
    "step_value": "the value of a step",
    "blame": "blame",
    "error_pattern": "an error pattern",
    "correction": "a correction that worked",
}
"""The bases of candidates, in words."""


class Ground(NamedTuple):
    """Why an entry was proposed, as of the last day on which it was."""

    basis: str
    kind: str
    last_day: date
    days: int
    hits: int
    runs: int
    other_hits: int
    other_runs: int

    def __str__(self) -> str:
        """Such as `Proposed on 12 days until 2026-01-20, by blame: in 9 of 12 failures and 1 of 30 successes`."""
        often = "on 1 day" if self.days == 1 else f"on {self.days:,} days until {self.last_day:%Y-%m-%d}"
        return f"Proposed {often}, by {BASES.get(self.basis, self.basis)}: {self._numbers()}"

    def _numbers(self) -> str:
        mine, others = f"{self.hits:,} of {self.runs:,}", f"{self.other_hits:,} of {self.other_runs:,}"
        if self.kind == "fix":
            return f"{mine} attempts with it succeeded, and {others} without"
        outcomes = ("successes", "failures") if self.kind == "do" else ("failures", "successes")
        return f"in {mine} {outcomes[0]} and {others} {outcomes[1]}"


def read_grounds(settings: Settings) -> dict[str, Sequence[Ground]]:
    """What speaks for entries by their ids, oldest first; nothing where there are no candidates.

    Raises:
        LakeError: The table cannot be read.
    """
    from oplake.lake.engine import engine
    from oplake.lake.tables import Lake

    lake, found = Lake(settings.lake), defaultdict(list)
    if not lake.exists(CANDIDATES):
        return {}
    query = (
        "SELECT entry_id, basis, min(kind), max(day), count(DISTINCT day), arg_max(hits, day), "  # noqa: S608  # paths, quoted
        "arg_max(runs, day), arg_max(other_hits, day), arg_max(other_runs, day) "
        f"FROM ({lake.relation_sql(CANDIDATES)}) WHERE is_proposed GROUP BY entry_id, basis ORDER BY min(day), basis"
    )
    with engine(settings) as connection:
        for entry_id, *fields in connection.execute(query).fetchall():
            found[entry_id].append(Ground(*fields))
    return dict(found)
