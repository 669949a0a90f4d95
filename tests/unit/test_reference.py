"""The generated pages are fresh and say everything; links in all pages lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from oplake import events, reference
from oplake.cli.assembly import assembled
from oplake.reference.markdown import DocsError, anchor, table
from oplake.reference.questions import read_questions
from oplake.settings import CHECKOUT, Settings

pytestmark = [pytest.mark.xdist_group("reference"), pytest.mark.slow]  # the pages are made once

PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "data/README.md")
    for page in CHECKOUT.glob(pattern)
    if ".venv" not in page.parts
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
TABLE = re.compile(r"^\|.*\n(?:\|.*\n)+", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
COMMANDS: Any = typer.main.get_command(assembled())


@pytest.fixture(scope="session")
def pages() -> dict[str, str]:
    return reference.pages(COMMANDS)


def test_the_pages_are_fresh(pages: dict[str, str]) -> None:
    assert not reference.stale_pages(pages), "run `oplake docs`"


def test_a_page_that_no_schema_has_is_stale(pages: dict[str, str]) -> None:
    fewer = {name: text for name, text in pages.items() if name != "docs/tables/lake.md"}
    assert reference.stale_pages(fewer) == ["docs/tables/lake.md"]


def test_every_table_has_its_meaning_and_a_question_with_its_answer(pages: dict[str, str]) -> None:
    """A table ships with its grain, its meaning and one worked question with its answer, or not at all."""
    for name, page in pages.items():
        if not name.startswith("docs/tables/") or name.endswith("README.md"):
            continue
        for section in page.split("\n## ")[1:]:
            title = section.partition("\n")[0]
            assert "- grain: `" in section, title
            assert re.search(r"^\*\*.+\?\*\*$", section, re.MULTILINE), f"{title} answers no question"
            assert "```sql" in section, title


def test_every_row_of_every_page_has_its_meaning(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        for lines in TABLE.findall(page):
            header, _, *rows = (_cells(line) for line in lines.splitlines())
            meaning = [index for index, title in enumerate(header) if title.startswith(("meaning", "what", "a row is"))]
            for row in rows:
                assert len(row) == len(header), f"{name}: {row}"
                assert all(row[index] for index in meaning), f"{name}: {row}"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_every_event_setting_and_command_has_its_place(pages: dict[str, str]) -> None:
    for kind in events.KINDS:
        assert f"\n## {kind}\n" in pages["docs/events.md"]
        for field in events.fields(kind):
            assert f"| `{field.name}` |" in pages["docs/events.md"]
    for name in Settings.model_fields:
        assert f"`OPLAKE_{name.upper()}`" in pages["docs/settings.md"]
    for name in COMMANDS.commands:
        if name != "docs":
            assert f"## oplake {name}" in pages["docs/commands.md"]


def test_links_lead_somewhere() -> None:
    """A page that was moved, or a heading that was renamed, leaves links behind that nobody clicks."""
    broken = []
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in LINK.findall(text):
            if target.startswith(("http://", "https://")):
                continue
            path, _, fragment = target.partition("#")
            aim = (page.parent / path).resolve() if path else page
            if not aim.exists():
                broken.append(f"{page.name}: {target}")
            elif fragment and aim.suffix == ".md":
                headings = HEADING.findall(aim.read_text(encoding="utf-8"))
                if fragment not in {anchor(heading) for heading in headings}:
                    broken.append(f"{page.name}: {target}")
    assert not broken


def test_a_cell_cannot_break_out_of_its_table() -> None:
    assert table(["a"], [["one | two\nthree"]]) == "| a |\n|---|\n| one \\| two three |\n"


def test_a_question_without_its_answer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "landed.ops.sql").write_text("-- How many?\nSELECT count(*) AS ops FROM landed.ops\n")
    with pytest.raises(DocsError, match="answer"):
        read_questions(tmp_path)
