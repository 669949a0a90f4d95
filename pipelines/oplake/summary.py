"""What a lake says at a glance: the findings that `oplake demo` prints once everything is computed.

`find` asks in SQL, `show` puts the answers into words and tables of at most 80 columns. Nothing is worked out here that
a table does not hold already.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import duckdb

    from oplake.settings import Settings

WIDTH = 80  # columns; what every terminal has
BAR_CELLS = 10  # of a bar from 0 to 1
ROWS = 8  # of a list; the tables have the rest
REASON_CHARS = 110  # of the reason of a reject: three lines of its column


class TypeFinding(NamedTuple):
    """Actions of one type."""

    action_type: str
    actions: int
    success: float | None  # mean score of those that are closed
    timeouts: int
    median_seconds: float | None


class WorthFinding(NamedTuple):
    """What a step is worth: success with it less success without it, within goals (attribution.step_value)."""

    action_type: str
    step: str  # actor > decision, or the decision where nobody is named
    value: float
    low: float  # of its 95 % interval
    high: float


class RejectFinding(NamedTuple):
    """Lines that were rejected for one reason."""

    reason: str
    lines: int
    origin: str
    line: int


class RedactionFinding(NamedTuple):
    """Secrets that one rule replaced."""

    rule: str
    secrets: int


@dataclass(frozen=True)
class Findings:
    """What was found in a lake."""

    actions: int
    agents: int
    goals: int
    first_day: date | None
    last_day: date | None
    steps: int
    types: tuple[TypeFinding, ...]
    worths: tuple[WorthFinding, ...]
    rejects: tuple[RejectFinding, ...]
    rejected: int
    redactions: tuple[RedactionFinding, ...]


_OVERALL = """
SELECT
    count(*),
    count(DISTINCT agent_id),
    count(DISTINCT goal_id),
    min(day),
    max(day),
    coalesce(sum(step_count), 0)::BIGINT
FROM attribution.actions
"""

_TYPES = """
SELECT
    action.action_type,
    count(*),
    avg(score.success_score),
    count(*) FILTER (action.status = 'timeout'),
    median(action.duration_ms) FILTER (action.status = 'completed') / 1000
FROM attribution.actions AS action
LEFT JOIN attribution.success_scores AS score USING (day, action_id)
GROUP BY action.action_type
ORDER BY avg(score.success_score) DESC NULLS LAST, action.action_type
"""

# Only what may be cited: of classes whose values are above their shuffled floor, what is seen often and clearly not 0.
# Of each class the best and the worst, so that one class does not fill the list.
_WORTHS = """
WITH cited AS (
    SELECT worth.*, least(abs(worth.value_low), abs(worth.value_high)) AS clearly
    FROM attribution.step_value AS worth
    JOIN attribution.estimate_floors AS floors USING (action_type)
    WHERE
        worth.day = (SELECT max(day) FROM attribution.step_value)
        AND floors.estimate = 'step_value'
        AND floors.is_above_floor
        AND worth.is_seen_often
        AND (worth.value_low > 0 OR worth.value_high < 0)
),
of_classes AS (
    FROM cited
    QUALIFY row_number() OVER (PARTITION BY action_type, value > 0 ORDER BY clearly DESC, component) = 1
)
SELECT action_type, regexp_replace(component, '^- > ', ''), value, value_low, value_high
FROM of_classes
QUALIFY row_number() OVER (PARTITION BY value > 0 ORDER BY clearly DESC, action_type) <= $rows
ORDER BY value DESC, action_type
"""

# Reasons that differ in a number only, such as the byte at which a line breaks off, are one reason.
_REJECTS = """
SELECT min_by(reason, (ts, line)), count(*) AS lines, min_by(origin, (ts, line)), min_by(line, (ts, line))
FROM landed.rejects
GROUP BY regexp_replace(reason, '[0-9]+', '0', 'g')
ORDER BY lines DESC, 1
"""

_REDACTIONS = """
SELECT rule, sum("count")::BIGINT
FROM lake.redactions
GROUP BY rule
ORDER BY sum("count") DESC, rule
"""


def summary(settings: Settings) -> RenderableType:
    """The findings of a lake, ready to be printed."""
    from oplake.lake.catalog import connect

    with connect(settings) as connection:
        return show(find(connection))


def find(connection: duckdb.DuckDBPyConnection) -> Findings:
    """Ask a lake for its findings; the connection is one of `oplake.connect`."""
    actions, agents, goals, first_day, last_day, steps = connection.execute(_OVERALL).fetchall()[0]
    rejects = tuple(RejectFinding(*row) for row in connection.execute(_REJECTS).fetchall())
    return Findings(
        actions=actions,
        agents=agents,
        goals=goals,
        first_day=first_day,
        last_day=last_day,
        steps=steps,
        types=tuple(TypeFinding(*row) for row in connection.execute(_TYPES).fetchall()),
        worths=tuple(WorthFinding(*row) for row in connection.execute(_WORTHS, {"rows": ROWS // 2}).fetchall()),
        rejects=rejects,
        rejected=sum(reject.lines for reject in rejects),
        redactions=tuple(RedactionFinding(*row) for row in connection.execute(_REDACTIONS).fetchall()),
    )


def show(found: Findings) -> RenderableType:
    """Findings in words and tables, at most WIDTH columns wide."""
    if not found.actions:
        return Text("The lake holds no actions yet. Record some, or try: oplake simulate && oplake run")
    parts: list[RenderableType] = [_headline(found), _types(found), _worths(found)]
    parts.append(_rejects(found) if found.rejects else _remark("Nothing was rejected."))
    parts.append(_redactions(found))
    parts.append(_next(found))
    return Group(*(Padding(part, (1, 0, 0, 0)) for part in parts))


def _headline(found: Findings) -> Text:
    return Text.assemble(
        (f"{found.actions:,} actions", "bold"),
        f" of {found.agents} agents towards {found.goals} goals, in {found.steps:,} steps, "
        f"{found.first_day} to {found.last_day}",
    )


def _types(found: Findings) -> Table:
    table = _table("How well they met what was expected, by type")
    table.add_column("action type", max_width=22, overflow="ellipsis")
    table.add_column("actions", justify="right")
    table.add_column("mean success")
    table.add_column("timeouts", justify="right")
    table.add_column("median time", justify="right")
    for kind in found.types[:ROWS]:
        table.add_row(
            kind.action_type,
            f"{kind.actions:,}",
            "" if kind.success is None else f"{_bar(kind.success)} {kind.success:.2f}",
            f"{kind.timeouts:,}" if kind.timeouts else "",
            _duration(kind.median_seconds),
        )
    return table


def _worths(found: Findings) -> RenderableType:
    if not found.worths:
        return _remark("Of no step it is shown, above its shuffled floor, that it goes with success or with failure.")
    table = _table("What steps are worth: success with them less success without, same goals")
    table.add_column("action type", max_width=18, overflow="ellipsis", no_wrap=True)
    table.add_column("step", max_width=30, overflow="ellipsis", no_wrap=True)
    table.add_column("worth", justify="right", min_width=5)
    table.add_column("95 %", justify="right", min_width=14, no_wrap=True)
    for worth in found.worths:
        interval = f"{worth.low:+.2f} to {worth.high:+.2f}"
        table.add_row(worth.action_type, Text(worth.step), f"{worth.value:+.2f}", interval)
    return table


def _rejects(found: Findings) -> Table:
    table = _table(f"{found.rejected:,} lines could not be used, and are kept")
    table.add_column("lines", justify="right")
    table.add_column("why", max_width=39)
    table.add_column("first one", max_width=26, overflow="ellipsis", no_wrap=True)
    for reject in found.rejects[:ROWS]:
        place = f"{reject.origin}:{reject.line}" if reject.line else reject.origin
        table.add_row(f"{reject.lines:,}", Text(_cut(reject.reason)), Text(place))
    return table


def _redactions(found: Findings) -> Text:
    if not found.redactions:
        return _remark("No secrets were found in any text.")
    rules = ", ".join(f"{redaction.rule} {redaction.secrets:,}" for redaction in found.redactions[:ROWS])
    total = sum(redaction.secrets for redaction in found.redactions)
    return _remark(f"{total:,} secrets were replaced before anything was written: {rules}.")


def _next(found: Findings) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(style="dim")
    table.title, table.title_style, table.title_justify = "What to try next", "bold", "left"
    table.add_row("oplake ui", "runs, lineage, checks: in a browser")
    table.add_row("oplake tables attribution.actions", "what each column means")
    table.add_row('oplake sql "FROM attribution.steps LIMIT 5"', "any question in SQL")
    if found.rejects:
        table.add_row("oplake rejects", "what could not be used, and why")
    table.add_row("oplake import tau-bench FILE", "your own trajectories")
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _remark(text: str) -> Text:
    return Text(text, style="dim")


def _cut(reason: str) -> str:
    return reason if len(reason) <= REASON_CHARS else reason[: REASON_CHARS - 1] + "…"


def _bar(share: float) -> str:
    filled = round(min(max(share, 0.0), 1.0) * BAR_CELLS)
    return "█" * filled + "░" * (BAR_CELLS - filled)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
