"""What `oplake eval playbooks` tells: whether uplift and the lifecycle of entries do what they promise.

On simulated work (`playbook_trials`) the truth is known; of the lake at hand only the shuffled floor can be told.
Nothing is drawn here, only put together and shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oplake.learning import playbook_trials
from oplake.learning.lifecycle import Exposure, units_by_stratum
from oplake.learning.playbook_trials import CASES, Coverage, FalseRetirements, Fates
from oplake.learning.uplift import Floor, floor
from oplake.reference.markdown import table

if TYPE_CHECKING:
    import duckdb

WORLDS = 16  # 128 entries of each kind: none of so many is, with 95 %, less than 3 % in truth
CONFOUNDED_WORLDS = 8  # enough to see that it fails
MOST_UNITS = 50_000  # of a class, the latest, for its floor; all of a large lake would take minutes


@dataclass(frozen=True)
class Evaluation:
    """All that there is to say of playbooks; the lake's own floors only where entries were served."""

    coverages: tuple[Coverage, ...]
    false_retirements: FalseRetirements
    fates: tuple[Fates, ...]
    planted_floors: dict[str, Floor]
    own_floors: dict[str, Floor]


def evaluate(
    own_floors: dict[str, Floor], *, worlds: int = WORLDS, progress: Callable[[float], None] = lambda _: None
) -> Evaluation:
    """Run all trials.

    Args:
        own_floors: Of the lake at hand, as `floors` has them.
        worlds: How many simulated worlds, and with them how long it takes; the other trials are scaled alike.
        progress: Called now and then with the share done, in [0, 1].
    """
    scale = worlds / WORLDS
    coverages = []
    for number, case in enumerate(CASES, start=1):
        coverages.append(playbook_trials.coverage(case, worlds=max(round(playbook_trials.COVERAGE_WORLDS * scale), 1)))
        progress(0.3 * number / len(CASES))
    idle = playbook_trials.false_retirements(entries=max(round(playbook_trials.IDLE_ENTRIES * scale), 1))
    progress(0.45)
    at_random = playbook_trials.fates("at random", worlds=worlds, progress=lambda share: progress(0.45 + 0.4 * share))
    fooled = playbook_trials.fates(
        "not offered",
        worlds=max(round(CONFOUNDED_WORLDS * scale), 1),
        progress=lambda share: progress(0.85 + 0.1 * share),
    )
    planted = playbook_trials.planted_floors()
    progress(1.0)
    return Evaluation(tuple(coverages), idle, (*at_random, *fooled), planted, own_floors)


def exposures(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, Exposure]]:
    """The units of `playbooks.uptake` with the class that they were served for, at most MOST_UNITS of each."""
    rows = connection.execute(
        """
        SELECT task_class, day, entry_id, is_withheld, success, goal_id, week, unit
        FROM playbooks.uptake
        QUALIFY row_number() OVER (PARTITION BY task_class ORDER BY day DESC, entry_id, unit) <= $most
        ORDER BY ALL
        """,
        {"most": MOST_UNITS},
    ).fetchall()
    return [(task_class, Exposure(*row)) for task_class, *row in rows]


def floors(told: Sequence[tuple[str, Exposure]]) -> dict[str, Floor]:
    """The shuffled floor of uplift, of each class of tasks."""
    by_class: dict[str, list[Exposure]] = defaultdict(list)
    for task_class, exposure in told:
        by_class[task_class].append(exposure)
    found = {name: floor(units_by_stratum(its).values()) for name, its in sorted(by_class.items())}
    return {name: each for name, each in found.items() if each}


SAFETY_COLUMNS = (
    "controls", "units", "kind", "entries", "planted", "measured", "retired", "for harm", "active", "in the upper half",
)  # fmt: skip
COVERAGE_COLUMNS = ("case", "strata", "units", "withheld", "controls", "coverage", "width")
LOOKS_COLUMNS = ("looked at", "entries", "retired for harm, though they do nothing")
FLOOR_COLUMNS = ("entries", "score", "floor", "margin", "p")


def safety_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """What became of the planted entries, as cells of SAFETY_COLUMNS."""
    return [
        (
            each.design,
            f"{each.units:,}",
            each.kind,
            f"{each.entries:,}",
            f"{each.planted:+.3f}",
            f"{each.measured:+.3f}",
            str(each.retired),
            str(each.for_harm),
            str(each.active),
            str(each.upper_half),
        )
        for each in evaluation.fates
    ]


def coverage_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """How often intervals held the truth, as cells of COVERAGE_COLUMNS."""
    return [
        (
            each.case.name,
            f"{each.case.strata:,}",
            f"{each.case.units:,}",
            f"{each.case.withheld:.0%}",
            f"{each.controls:,.0f}",
            str(each.covered),
            f"{each.width:.3f}",
        )
        for each in evaluation.coverages
    ]


def looks_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """What repeated looks cost, as cells of LOOKS_COLUMNS."""
    found = evaluation.false_retirements
    return [
        ("when units have grown by a quarter, at 2.92 standard errors", f"{found.entries:,}", str(found.by_schedule)),
        ("every week, at 1.96", f"{found.entries:,}", str(found.by_week)),
    ]


def floor_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Floors, as cells of FLOOR_COLUMNS; those of the lake at hand are named by their class."""
    return [
        (name, f"{each.score:.3f}", f"{each.floor:.3f}", f"{each.margin:+.3f}", f"{each.p:.3f}")
        for name, each in [*evaluation.planted_floors.items(), *evaluation.own_floors.items()]
    ]


def page(evaluation: Evaluation) -> str:
    """The benchmark page, as Markdown."""
    return "\n".join(
        [
            "# How playbook entries fare, and how well their uplift is known\n",
            "Written by `oplake eval playbooks`. Intervals of shares are Wilson's, of 95 %.\n",
            "## What becomes of planted entries\n",
            "Entries of the simulator that help, do nothing or harm, after so many units each, shown and withheld "
            "together. With controls `at random` a tenth is withheld by chance. With controls `not offered` the same "
            "pipeline takes the runs for controls that were not offered the entry, which are the easy ones for entries "
            "that help and the hard ones for those that harm: it is fooled. Uplifts of retired entries stay as they "
            "were at that look, and exaggerate. `in the upper half` is by rank in the class, among entries that are "
            "not retired.\n",
            table(SAFETY_COLUMNS, safety_rows(evaluation)),
            "## How often 95 % intervals hold the truth\n",
            table(COVERAGE_COLUMNS, coverage_rows(evaluation)),
            "## What repeated looks cost\n",
            "Entries that do nothing, followed over 4,000 units.\n",
            table(LOOKS_COLUMNS, looks_rows(evaluation)),
            "## Floors\n",
            "The mean absolute uplift of entries, and what it is on average when shown and withheld are shuffled "
            "within goal and week 200 times.\n",
            table(FLOOR_COLUMNS, floor_rows(evaluation)),
        ]
    )
