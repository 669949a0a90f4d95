"""The reports of a day as one page of HTML that stands alone: no script, no network, no other file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from oplake.report import content
from oplake.report.charts import Chart
from oplake.report.content import Piece, Report, Section, Source
from oplake.report.reports import Reports
from oplake.synthesis.grounding import MARK

TEMPLATE = Path(__file__).with_name("page.html.jinja")
CURRENT = "currentColor"  # the ink of charts that stand within the page


class View:
    """A report as the template asks for it."""

    def __init__(self, report: Report, number: int) -> None:
        self._report = report
        self.row = report.row
        self.anchor = f"r{number}"  # of its evidence
        self.notices: list[str] = content.notices(report)
        self.sources: list[Source] = content.sources(report)
        self.known = {each.cite for each in self.sources}
        self.provenance = " · ".join(content.provenance(report))
        sections = content.sections(report)
        self.facts: list[Section] = [each for each in sections if each.form == "fact"]
        self.sections: list[Section] = [each for each in sections if each.form != "fact"]

    def pieces(self, text: str) -> Iterator[Piece]:
        """A text in pieces; a cite stands close to what it is for."""
        before = Piece("")
        for piece in content.pieces(self._report, text):
            yield before._replace(text=before.text.rstrip()) if piece.kind == "cite" else before
            before = piece
        yield before


def page(reports: Reports, charts: Sequence[Chart] = ()) -> str:
    """The page; the same reports make the same page.

    Args:
        reports: What is shown.
        charts: Pictures of the team's figures, drawn in the colour `CURRENT`.
    """
    numbers = count()

    def view(report: Report | None) -> View | None:
        return None if report is None else View(report, next(numbers))

    return _template().render(
        day=reports.day,
        is_of_one=reports.is_of_one,
        left_out=reports.left_out,
        team=view(reports.team),
        charts=[(chart, Markup(chart.svg)) for chart in charts],  # noqa: S704  # drawn by vl-convert, which escapes
        users=[(user.user_id, view(user.report), view(user.evaluation), view(user.plan)) for user in reports.present],
        absent=reports.absent,
        errors=[view(each) for each in reports.errors if content.is_written(each)],
        mark=MARK,
    )


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, finalize=_clean, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _clean(value: object) -> object:
    """What is put into the page: texts without control characters; markup of our own as it is."""
    return content.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value
