"""Charts of a report's series: for each figure of a day its values on that day and on those before.

Drawn by altair and vl-convert, as SVG that is small enough to stand within a page or beside a run. Nothing is counted
here.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from oplake.synthesis.writing import CHARTED

FIGURES = "figures"  # the fact that has the means of the days before, by name
FIRST = ("cost in US dollars", "failures", "success rate of operations", "actions begun")
"""What is drawn before all else."""

CHARTS = 4  # of a report: more are for a dashboard
WIDTH, HEIGHT = 260, 80  # pixels: two side by side on a page, one on a phone
COLOUR, INK = "#2f86b5", "#7c848c"  # that are seen on white and on black
BEFORE = 0.4  # opacity of the days before
BARS = "▁▂▃▄▅▆▇█"
_TICKS = {
    "money": "format(datum.value, abs(datum.value) < 1 ? '$.2~r' : '$,.2~f')",
    "share": "format(datum.value, '.0%')",
    "count": "format(datum.value, abs(datum.value) < 1000 ? '.3~r' : '.3~s')",
}
"""How values stand beside an axis, in Vega's words: thousands as 1.5k, but half of one as 0.5 and not as 500m."""


@dataclass(frozen=True)
class Series:
    """A figure on the days up to one."""

    name: str
    points: tuple[tuple[date, float | None], ...]  # each day up to the one that is told of, which is the last
    usual: float | None = None  # the mean of the days before

    @property
    def form(self) -> Literal["money", "share", "count"]:
        """What its values are."""
        if "US dollars" in self.name:
            return "money"
        values = [value for _, value in self.points if value is not None]
        is_share = any(word in self.name for word in ("rate", "share", "score"))
        return "share" if is_share and all(0 <= value <= 1 for value in values) else "count"

    @property
    def title(self) -> str:
        """Its name as a heading."""
        return self.name[:1].upper() + self.name[1:]

    @property
    def last(self) -> str:
        """Its value on the day."""
        value = self.points[-1][1]
        return "nothing" if value is None else self.said(value)

    def said(self, value: float) -> str:
        """A value as text."""
        count = f"{value:,.1f}".removesuffix(".0")
        return {"money": f"${value:,.2f}", "share": f"{value:.1%}", "count": count}[self.form]

    @property
    def sparkline(self) -> str:
        """Its course from zero, in a few letters."""
        top = max((value for _, value in self.points if value is not None), default=0) or 1
        return "".join(
            " " if value is None else BARS[min(len(BARS) - 1, int(max(0.0, value) / top * len(BARS)))]
            for _, value in self.points
        )


@dataclass(frozen=True)
class Chart:
    """A series, drawn."""

    series: Series
    svg: str

    @property
    def text(self) -> str:
        """What it shows, for who cannot see it."""
        return f"{self.series.title} from {self.series.points[0][0]} to {self.series.points[-1][0]}: {self.series.last}"

    @property
    def uri(self) -> str:
        """The picture as an address that holds all of it."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


def series_of(facts: Mapping[str, Any]) -> list[Series]:
    """The series among facts, those first that are worth most.

    Those with less than two days show no course, and neither do those that are 0 throughout.
    """
    named = facts.get(CHARTED)
    if not named:
        return []
    last = date.fromisoformat(facts["day"])
    usual = {each["name"]: each["week_mean"] for each in facts.get(FIGURES) or ()}
    names = sorted(named, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    return [found for name in names if (found := _series(name, named[name], usual.get(name), last))][:CHARTS]


def _series(name: str, rows: Sequence[Mapping[str, Any]], usual: float | None, last: date) -> Series | None:
    values = {date.fromisoformat(row["day"]): row["value"] for row in rows}
    if len(values) < 2 or not any(values.values()):
        return None
    first = min(values)
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return Series(name, tuple((day, values.get(day)) for day in days), usual)


def draw(series: Sequence[Series], *, ink: str = INK) -> list[Chart]:
    """The charts of series, with their texts in a colour."""
    return [Chart(each, _svg(each, ink)) for each in series]


def _svg(series: Series, ink: str) -> str:
    import altair as alt  # a second to load, for what most commands do not draw
    import vl_convert

    last = series.points[-1][0]
    rows = [{"day": f"{day}", "value": value, "is_last": day == last} for day, value in series.points]
    days = alt.Axis(labelExpr="slice(datum.label, 8)", labelAngle=0, grid=False)
    values = alt.Axis(tickCount=3, labelExpr=_TICKS[series.form])
    scale = alt.Scale(domain=[0, 1]) if series.form == "share" else alt.Undefined
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("day:O", title=None, axis=days), y=alt.Y("value:Q", title=None, axis=values, scale=scale)
    )
    opacity = alt.condition("datum.is_last", alt.value(1), alt.value(BEFORE))
    marks: list[alt.Chart | alt.LayerChart] = [base.mark_bar(color=COLOUR).encode(opacity=opacity)]
    if series.form == "share":
        points = base.mark_point(color=COLOUR, filled=True, size=40).encode(opacity=opacity)
        marks = [base.mark_line(color=COLOUR, opacity=0.6), points]
    if series.usual is not None:
        usual = alt.Chart(alt.InlineData(values=[{"usual": series.usual}]))
        marks.append(usual.mark_rule(color=INK, strokeDash=[3, 3]).encode(y="usual:Q"))
    drawn = (
        alt.layer(*marks)
        .properties(width=WIDTH, height=HEIGHT)
        .configure(
            aria=False,  # it would be most of the bytes; `Chart.text` says more
            background="transparent",
            padding=2,
            view=alt.ViewConfig(stroke=None),
            axis=alt.AxisConfig(
                domain=False, ticks=False, labelColor=ink, gridColor=INK, gridOpacity=0.25, labelFontSize=11, aria=False
            ),
        )
    )
    svg: str = vl_convert.vegalite_to_svg(drawn.to_dict())
    return svg
