"""Reports as Markdown: for the terminal, and for what Dagster keeps with a run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from oplake.report import content
from oplake.report.charts import Chart
from oplake.report.content import Item, Report, Section
from oplake.report.reports import Reports
from oplake.synthesis.grounding import MARK

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&$^=])")
_BEGINNING = re.compile(r"^([-+]|[0-9]+(?=[.)]))([.)]?)")  # what would make a text a list


def markdown(report: Report, *, charts: Sequence[Chart] = ()) -> str:
    """One report, without a heading."""
    blocks = [f"> {escaped(each)}" for each in content.notices(report)]
    blocks += [_section(report, section) for section in content.sections(report)]
    blocks += [f"**{escaped(chart.series.title)}**\n\n![{escaped(chart.text)}]({chart.uri})" for chart in charts]
    sources = content.sources(report)
    if sources:
        named = " · ".join(f"[{each.cite}] {each.table} {each.named}" for each in sources)
        blocks.append(f"**Evidence**: {escaped(named)}")
    provenance = content.provenance(report)
    if provenance:
        blocks.append(f"*{escaped(' · '.join(provenance))}*")
    return "\n\n".join(blocks) + "\n"


def whole(reports: Reports, sparklines: Sequence[str] = ()) -> str:
    """All reports of a day, under headings."""
    blocks = [f"# {escaped(f'{reports.day:%A, %-d %B %Y}')}"]
    blocks += [f"> {escaped(each)}." for each in reports.left_out]
    if reports.team:
        blocks += ["## The team", markdown(reports.team)]
        blocks.append("\n".join(f"- {escaped(each)}" for each in sparklines))
    if reports.users:
        blocks.append("## Users")
    for user in reports.present:
        blocks.append(f"### {escaped(user.user_id)}")
        blocks.append(markdown(user.report) if user.report else "")
        for name, more in (("Evaluation", user.evaluation), ("Plan", user.plan)):
            if more and reports.is_of_one:
                blocks += [f"#### {name} of {escaped(more.row['partition'])}", markdown(more)]
    if reports.present and not reports.is_of_one:
        blocks.append(
            "*oplake report --user ID tells the evaluation and the plan of a user, too; so does --html FILE.*"
        )
    if reports.absent:
        blocks.append(escaped(f"Not seen: {', '.join(reports.absent)}."))
    written = [report for report in reports.errors if content.is_written(report)]
    if written:
        blocks.append("## Errors")
    for report in written:
        blocks += [f"### {escaped(report.row['template'])}", markdown(report)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _section(report: Report, section: Section) -> str:
    name = f"**{escaped(section.label)}**"
    if section.form == "fact":
        return f"{name}: {_text(report, section.items[0].text)}"
    if section.form == "prose":
        return "\n\n".join([name, *(_text(report, item.text) for item in section.items)])
    return "\n".join([name, "", *_lines(report, section.items, 0)])


def _lines(report: Report, items: Sequence[Item], depth: int) -> Iterator[str]:
    for item in items:
        yield f"{'    ' * depth}- {_text(report, item.text)}"
        yield from _lines(report, item.children, depth + 1)


def _text(report: Report, text: str) -> str:
    """A text with its doubtful numbers marked."""
    pieces = content.pieces(report, text)
    return escaped("".join(piece.text + MARK if piece.kind == "ungrounded" else piece.text for piece in pieces))


def escaped(text: str) -> str:
    """A text that Markdown shows as it is, on one line, without spaces around it: Markdown would skip or obey them."""
    return _BEGINNING.sub(
        lambda found: f"{found[1]}\\{found[2]}" if found[2] else f"\\{found[1]}",
        _SPECIAL.sub(r"\\\1", content.clean(text).strip()),
    )
