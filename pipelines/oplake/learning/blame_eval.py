"""How well blame finds the labelled step, by class of tasks, with intervals and floors: what `oplake eval blame` tells.

Every figure rests on `attribution.blame_trials` of the last day on which the class has some, as floors do. There each
labelled action was ranked without the labels of its goal. The row `blame` is what the lake would have published: for
each goal the method is chosen, too, by the trials of the other goals alone.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from oplake.learning.intervals import Interval, wilson

if TYPE_CHECKING:
    import duckdb

ALL = "all classes"
BLAME = "blame"  # the row of what is published
RESAMPLES, SEED = 2_000, 7  # of goals, for an interval; fixed, so that the page is the same each time
FEWEST_GOALS, WITHIN = 10, 0.02  # the rule of attribution.blame_methods


class Trial(NamedTuple):
    """How one method did on one labelled action; figures in [0, 1]."""

    action: str
    action_type: str
    goal_id: str
    method: str
    evidence: str
    simplicity: int
    top_1: float
    top_3: float
    reciprocal_rank: float
    actor_hit: float


@dataclass(frozen=True)
class MethodResult:
    """One method on one class, or on all; `behind` is by how much more often `blame` finds the step, paired."""

    action_type: str
    method: str
    actions: int
    top_1: Interval
    top_3: Interval
    mean_reciprocal_rank: Interval
    actor_accuracy: Interval
    behind: Interval | None


class Floor(NamedTuple):
    """A row of attribution.estimate_floors; without figures where the verdict is `untested`."""

    estimate: str
    action_type: str
    samples: int
    score: float | None
    floor: float | None
    margin: float | None
    p: float | None
    verdict: str


@dataclass(frozen=True)
class Evaluation:
    """What there is to say of blame; without labels there are no results, and there may be floors all the same."""

    results: tuple[MethodResult, ...]
    floors: tuple[Floor, ...]
    unused_labels: int = 0  # that came too late, or name no step of a closed action


def evaluate(connection: duckdb.DuckDBPyConnection) -> Evaluation:
    """Hold blame against all labels of each class's last day that has trials.

    Args:
        connection: Sees the tables of the lake that are named here.
    """
    trials = [
        Trial(*row)
        for row in connection.sql("""
            SELECT
                action_id || ' ' || action_day, action_type, goal_id, method, evidence, simplicity,
                top_1, top_3, reciprocal_rank, actor_hit
            FROM attribution.blame_trials
            JOIN (SELECT action_type, max(day) AS day FROM attribution.blame_methods GROUP BY ALL)
                USING (action_type, day)
            ORDER BY ALL
        """).fetchall()
    ]
    floors = [
        Floor(*row)
        for row in connection.sql("""
            SELECT
                estimate, action_type, samples, score, floor, margin, p,
                CASE
                    WHEN samples = 0 THEN 'untested'
                    WHEN is_degenerate THEN 'degenerate'
                    WHEN is_above_floor THEN 'above'
                    ELSE 'not above'
                END
            FROM attribution.estimate_floors
            ORDER BY ALL
        """).fetchall()
    ]
    [(unused,)] = connection.sql("""
        SELECT count(*)
        FROM landed.observations AS label
        ANTI JOIN attribution.labelled_steps AS step USING (day, action_id)
        WHERE label.observation_type = 'blame_label'
    """).fetchall()
    return Evaluation(tuple(results(trials)), tuple(floors), unused)


def results(trials: Sequence[Trial]) -> list[MethodResult]:
    """Every method on every class and on all of them, `blame` first."""
    with_blame = [*published(trials), *trials]
    classes = sorted({trial.action_type for trial in trials})
    found = []
    for name in [*classes, ALL] if len(classes) > 1 else classes:
        by_method: dict[str, list[Trial]] = defaultdict(list)
        for trial in with_blame:
            if name in (ALL, trial.action_type):
                by_method[trial.method].append(trial)
        found += [_result(name, method, its, by_method[BLAME]) for method, its in by_method.items()]
    return sorted(found, key=lambda each: (each.action_type == ALL, each.action_type, each.method != BLAME))


def published(trials: Sequence[Trial]) -> list[Trial]:
    """The trials of blame: contrast where the goal has it, else a prior, each chosen by the class's other goals."""
    by_class: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_class[trial.action_type].append(trial)
    made = []
    for its in by_class.values():
        for goal in sorted({trial.goal_id for trial in its}):
            mine = [trial for trial in its if trial.goal_id == goal]
            others = [trial for trial in its if trial.goal_id != goal]
            for evidence in ("runs", "labels"):
                offered = [trial for trial in mine if trial.evidence == evidence]
                if offered:
                    simplest = min(offered, key=lambda trial: trial.simplicity).method
                    method = choose([each for each in others if each.evidence == evidence], simplest)
                    made += [trial._replace(method=BLAME) for trial in offered if trial.method == method]
                    break
    return made


def choose(trials: Iterable[Trial], simplest: str) -> str:
    """The method that speaks for a class, by the rule of attribution.blame_methods; `simplest` where goals are few."""
    ranks: dict[tuple[int, str], list[float]] = defaultdict(list)
    goals = set()
    for trial in trials:
        ranks[trial.simplicity, trial.method].append(trial.reciprocal_rank)
        goals.add(trial.goal_id)
    if len(goals) < FEWEST_GOALS:
        return simplest
    means = {method: sum(values) / len(values) for method, values in ranks.items()}
    return min(method for method, mean in means.items() if mean >= max(means.values()) - WITHIN)[1]


def _result(action_type: str, method: str, trials: Sequence[Trial], blame: Sequence[Trial]) -> MethodResult:
    found = {trial.action: trial.top_1 for trial in trials}
    paired = [(each.goal_id, each.top_1 - found[each.action]) for each in blame if each.action in found]
    return MethodResult(
        action_type,
        method,
        len(trials),
        wilson([trial.top_1 for trial in trials]),
        wilson([trial.top_3 for trial in trials]),
        resampled([(trial.goal_id, trial.reciprocal_rank) for trial in trials]),
        wilson([trial.actor_hit for trial in trials]),
        None if method == BLAME else resampled(paired),
    )


def resampled(values: Sequence[tuple[str, float]]) -> Interval:
    """The mean of values with the 95 % interval of the bootstrap over their goals, which stay whole."""
    per_goal: dict[str, tuple[float, int]] = {}
    for goal, value in values:
        total, count = per_goal.get(goal, (0.0, 0))
        per_goal[goal] = (total + value, count + 1)
    goals = list(per_goal.values())
    dice = random.Random(SEED)  # noqa: S311  # no secret: the same page each time is wanted
    means = []
    for _ in range(RESAMPLES):
        drawn = dice.choices(goals, k=len(goals))
        means.append(sum(total for total, _ in drawn) / sum(count for _, count in drawn))
    means.sort()
    low, high = means[round(0.025 * (RESAMPLES - 1))], means[round(0.975 * (RESAMPLES - 1))]
    return Interval(sum(value for _, value in values) / len(values), low, high)


RESULT_COLUMNS = ("class", "method", "actions", "top-1", "top-3", "MRR", "actor", "blame finds more by")
FLOOR_COLUMNS = ("estimate", "class", "samples", "score", "floor", "margin", "p", "verdict")


def result_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """The results as cells of RESULT_COLUMNS."""
    return [
        (
            each.action_type,
            each.method,
            f"{each.actions:,}",
            str(each.top_1),
            str(each.top_3),
            str(each.mean_reciprocal_rank),
            str(each.actor_accuracy),
            "" if each.behind is None else str(each.behind),
        )
        for each in evaluation.results
    ]


def floor_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """The floors as cells of FLOOR_COLUMNS."""
    return [
        (
            each.estimate,
            each.action_type,
            f"{each.samples:,}",
            *("" if value is None else f"{value:.3f}" for value in (each.score, each.floor)),
            "" if each.margin is None else f"{each.margin:+.3f}",
            "" if each.p is None else f"{each.p:.3f}",
            each.verdict,
        )
        for each in evaluation.floors
    ]


def unused_remark(evaluation: Evaluation) -> str:
    """What there is to say of labels that count for nothing."""
    return (
        f"Labels that count for nothing: {evaluation.unused_labels:,}. They came more than 27 days after the action "
        "began, or name no step of a closed one."
    )


def page(evaluation: Evaluation) -> str:
    """The benchmark page, as Markdown."""
    parts = [
        "# How well blame finds the step\n",
        "Written by `oplake eval blame`. Every labelled action was ranked without the labels of its goal. Intervals "
        "are of 95 %: Wilson's for shares, the bootstrap over goals for MRR (mean reciprocal rank) and for "
        "differences, which are paired by action. `blame` is what is published, the method chosen without the goal, "
        "too.\n",
        _markdown(RESULT_COLUMNS, result_rows(evaluation)) if evaluation.results else "There are no labels.\n",
        *([f"{unused_remark(evaluation)}\n"] if evaluation.unused_labels else []),
        "## Floors\n",
        "What each published estimate scores, and scores on average when labels, outcomes or advice are shuffled 200 "
        "times. What is `untested` has nothing to test it by, and may not be cited.\n",
        _markdown(FLOOR_COLUMNS, floor_rows(evaluation)) if evaluation.floors else "There is nothing to shuffle.\n",
    ]
    return "\n".join(parts)


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
