"""The resource `llm`: what writes prose. Only the assets of `oplake_assets.synthesis` may hold it, which a test proves.

One lasts as long as a run: what the run may spend, which server it asks and whether it has given up holds for all its
tables.

A client of models is loaded when something is written, and not before: a run of anything else opens no socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from oplake.orchestration.resources import Step
from oplake.synthesis.run_state import RunState

if TYPE_CHECKING:
    from oplake.lake.spec import TableSpec
    from oplake.orchestration.resources import Lakehouse
    from oplake.synthesis.write import Outcome
    from oplake.synthesis.writing import Writing

LLM = "llm"
"""Key of the resource that written assets ask for."""

LLM_POOL = "llm"
"""Their pool, of size 1 (dagster.yaml)."""

ONLY_DUE = {"oplake/only_due": "yes"}
"""Tag of a run that leaves alone what no schedule would write: of a day that is due, some partitions may be too old."""

PATIENCE = 3600.0  # seconds to wait for another process that writes


@dataclass
class Llm:
    """Writes the tables of one run, with the models that the settings name, or with the author that needs none.

    `again` writes rows that are there anew. `stamp` says when they are written, where the clock of the run does not:
    what is simulated lies in the past, and is kept from today on. `last_days` is the last day of each table that the
    run will write, where it comes in several rounds. `outcomes` is what was written so far.
    """

    again: bool = False
    stamp: Callable[[], datetime] | None = None
    last_days: dict[str, date] = field(default_factory=dict, init=False)
    outcomes: list[Outcome] = field(default_factory=list, init=False)
    _run: RunState = field(default_factory=RunState, init=False)

    def write(
        self,
        lakehouse: Lakehouse,
        what: Writing,
        days: Iterable[date],
        specs: Mapping[str, TableSpec],
        *,
        only_due: bool = False,
    ) -> Outcome:
        """Writes what is missing in some days of a table, or of them what is due.

        Raises:
            WriteBusy: Another process was writing for an hour.
            SynthesisError: A server is named, but no model.
            LakeError: A table could not be read or written.
        """
        from oplake.synthesis.calls import open_calls
        from oplake.synthesis.write import Writer, only_writer

        every = sorted(days)
        lakehouse.watch(Step(what.name, every[0], every[-1]))
        lakehouse.has_written = True
        settings, lake, clock = lakehouse.settings, lakehouse.lake, lakehouse.clock
        opened = open_calls(settings, lake, clock=clock, run=self._run)
        with only_writer(settings, patience=PATIENCE), opened as calls:
            writer = Writer(settings, lake, calls, lakehouse.connection, specs, clock, self.stamp)
            are_last = self.last_days.get(what.name, every[-1]) <= every[-1]
            outcome = writer.write(what, every, again=self.again, only_due=only_due, are_last=are_last)
        self.outcomes.append(outcome)
        return outcome

    def shown(self, what: Writing, day: date, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What Dagster shows of the rows of a day."""
        from oplake.report.metadata import metadata  # draws charts, which takes a second to load

        return dict(metadata(what, rows))


def llm_resource() -> dg.ResourceDefinition:
    """The resource that assets ask for under `llm`: another one for each run."""
    return dg.ResourceDefinition(resource_fn=lambda _: Llm(), description="What writes prose in one run.")
