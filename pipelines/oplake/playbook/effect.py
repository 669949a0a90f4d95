"""What showing an entry is worth, in words and as a small chart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from oplake.learning.lifecycle import Entry

if TYPE_CHECKING:
    import altair as alt

    from oplake.playbook.entries import Shown

Verdict: TypeAlias = Literal[
    "helps", "harms", "not told apart from no effect", "not told from chance", "not measured yet"
]

COLOURS = {"helps": "#2e8b6f", "harms": "#c8553d"}  # that are told apart by most eyes, on white and on black
UNDECIDED = "#8a8a8a"
WIDTH, HEIGHT = 300, 22  # of a chart, in pixels; a phone shows it whole
LEAST_BOUND = 0.2  # of its axis: smaller effects look small
STEP = 0.1  # to which its bound is rounded, so that the charts of a class have one scale


def finding(each: Shown) -> Verdict:
    """What may be said of the effect: what its interval says, if the uplifts of its class are above their floor.

    Those of a class are shuffled together (`attribution.estimate_floors`): of twenty entries that do nothing, the
    interval of one says that it does.
    """
    if each.entry.uplift is not None and each.is_above_floor is False:
        return "not told from chance"
    return verdict(each.entry)


def verdict(entry: Entry) -> Verdict:
    """What the 95 % interval of the effect says."""
    if entry.uplift is None:
        return "not measured yet"
    if entry.uplift_low > 0:
        return "helps"
    return "harms" if entry.uplift_high < 0 else "not told apart from no effect"


def told(entry: Entry) -> str:
    """The effect in percentage points with its 95 % interval, or that there is none to tell."""
    if entry.uplift is None:
        return "not measured yet"
    return f"{_points(entry.uplift)} points of success (95 %: {_interval_of(entry)})"


def in_short(each: Shown) -> str:
    """The same for a table: `+12 (+4 to +20)`."""
    entry = each.entry
    if entry.uplift is None:
        return ""
    told = f"{_points(entry.uplift)} ({_interval_of(entry)})"
    return f"{told}, by chance?" if finding(each) == "not told from chance" else told


def counts(entry: Entry) -> str:
    """How often it was shown and withheld."""
    return f"shown to {entry.exposures:,}, withheld from {entry.controls:,}"


def _interval_of(entry: Entry) -> str:
    return f"{_points(entry.uplift_low)} to {_points(entry.uplift_high)}"


def _points(share: float) -> str:
    points = f"{100 * share:+.0f}"
    return "0" if points in {"+0", "-0"} else points.replace("-", "−")


def bound_of(entries: Sequence[Entry]) -> float:
    """How far the axis of their charts has to reach, to either side."""
    most = max((max(-e.uplift_low, e.uplift_high) for e in entries if e.uplift is not None), default=0.0)
    return min(1.0, max(LEAST_BOUND, -(-most // STEP) * STEP))


def chart(entry: Entry, bound: float, colour: str | None = None) -> str | None:
    """The effect as a point with its interval, around a line at no effect: an SVG; None where nothing was measured.

    It has the colour of its verdict unless told otherwise; its axis takes that of the text around it, so that it can be
    read in the dark and on paper.
    """
    if entry.uplift is None:
        return None
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(
        _interval(entry, bound, colour or COLOURS.get(verdict(entry), UNDECIDED)).to_dict()
    )
    return svg


def _interval(entry: Entry, bound: float, colour: str) -> alt.LayerChart:
    import altair as alt

    row = {"value": entry.uplift, "low": entry.uplift_low, "high": entry.uplift_high, "none": 0}
    axis = alt.Axis(
        title=None,
        values=[-bound, -bound / 2, 0, bound / 2, bound],
        labelExpr="(datum.value > 0 ? '+' : '') + format(round(100 * datum.value), ',')",
        labelColor="currentColor",
        domainColor=UNDECIDED,
        tickColor=UNDECIDED,
        grid=False,
    )
    scale = alt.Scale(domain=[-bound, bound], nice=False, clamp=True)
    base = alt.Chart(alt.InlineData(values=[row]))
    x = alt.X("low:Q", scale=scale, axis=axis)
    layers = (
        base.mark_rule(color=UNDECIDED, strokeDash=[2, 2]).encode(x=alt.X("none:Q", scale=scale, axis=axis)),
        base.mark_rule(color=colour, strokeWidth=4, strokeCap="round").encode(x=x, x2="high:Q"),
        base.mark_point(color=colour, filled=True, size=110, opacity=1).encode(x=alt.X("value:Q", scale=scale)),
    )
    look = {"background": "transparent", "padding": {"left": 14, "right": 14, "top": 2, "bottom": 2}}
    drawn: alt.LayerChart = (
        alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, **look).configure_view(stroke=None)
    )
    return drawn
