"""The book as a page and as files: effects told as they are, nothing that came from outside taken for markup."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, ViewportSize
from tests.playbook_rows import row

from oplake.playbook import effect
from oplake.playbook.entries import Shown, shown
from oplake.playbook.errors import PlaybookError
from oplake.playbook.export import LISTED, PROBATION_TOLD, export
from oplake.playbook.formats import Form
from oplake.playbook.grounds import Ground
from oplake.playbook.page import page

HELPS = {"uplift": 0.12, "uplift_low": 0.04, "uplift_high": 0.2, "exposures": 900, "controls": 100, "rank": 1}
HARMS = {"uplift": -0.2, "uplift_low": -0.3, "uplift_high": -0.1, "exposures": 400, "controls": 40}
UNTOLD = {"uplift": 0.0, "uplift_low": -0.1, "uplift_high": 0.1, "exposures": 50, "controls": 5, "rank": 2}
ROWS = [
    row("good", avoid="haste", version=3, **HELPS),
    row("unclear", status="probation", **UNTOLD),
    row("new", status="probation", rank=3),
    row("bad", status="retired", retired_on=date(2026, 3, 1), retired_why="it harms", **HARMS),
    row("other", task_class="write_report", rank=1),
]
PHONE: ViewportSize = {"width": 360, "height": 700}


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def entry(**fields: Any) -> Any:
    [each] = shown([row(**fields)])
    return each.entry


# -- Effects -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "verdict", "told"),
    [
        (HELPS, "helps", "+12 points of success (95 %: +4 to +20)"),
        (HARMS, "harms", "−20 points of success (95 %: −30 to −10)"),
        (UNTOLD, "not told apart from no effect", "0 points of success (95 %: −10 to +10)"),
        ({}, "not measured yet", "not measured yet"),
        (HELPS | {"uplift_low": 0.0}, "not told apart from no effect", "+12 points of success (95 %: 0 to +20)"),
    ],
)
def test_an_effect_is_told_with_its_interval(fields: dict[str, Any], verdict: str, told: str) -> None:
    assert (effect.verdict(entry(**fields)), effect.told(entry(**fields))) == (verdict, told)


@given(st.lists(st.tuples(st.floats(-1, 0), st.floats(0, 1)), max_size=5))
@settings(max_examples=50)
def test_every_interval_of_a_class_fits_on_its_axis(intervals: list[tuple[float, float]]) -> None:
    entries = [entry(uplift=0.0, uplift_low=low, uplift_high=high) for low, high in intervals]
    bound = effect.bound_of(entries)
    assert effect.LEAST_BOUND <= bound <= 1
    assert all(-bound <= each.uplift_low and each.uplift_high <= bound for each in entries)


def test_a_chart_shows_where_the_interval_lies() -> None:
    """Read back from the drawing: the axis is 300 wide, with no effect in its middle."""
    for fields, colour in ((HELPS, "#2e8b6f"), (HARMS, "#c8553d"), (UNTOLD, "#8a8a8a")):
        drawn = effect.chart(entry(**fields), bound=0.5)
        assert drawn is not None
        [line] = re.findall(
            rf'<line [^>]*translate\(([\d.]+),[\d.]+\)" x2="([\d.]+)"[^>]*stroke="{colour}"[^>]*round', drawn
        )
        low, width = map(float, line)
        assert low == pytest.approx(300 * (0.5 + fields["uplift_low"]), abs=0.1)
        assert width == pytest.approx(300 * (fields["uplift_high"] - fields["uplift_low"]), abs=0.1)
    assert effect.chart(entry(), bound=0.5) is None


# -- The page ----------------------------------------------------------------------------------------------------------


def test_the_page_shows_entries_effects_evidence_and_history() -> None:
    made = Elements(page(shown(ROWS)))
    said = " ".join(made.texts)
    for text in (
        "2 active, 2 on probation, 1 retired",
        "+12 points of success (95 %: +4 to +20) : helps.",
        "Shown to 900, withheld from 100 units of work; 10 tokens.",
        "Not measured yet.",
        "--evidence good",
        "event-of-good",
        "version 3: 3 wordings",
        "retired: it harms",
    ):
        assert text in said
    charts = [attributes["aria-label"] for _, attributes in made.found if attributes.get("role") == "img"]
    assert charts[0] == "Effect: +12 points of success (95 %: +4 to +20); it helps."
    assert len(charts) == 3, "one for each that was measured"


@pytest.mark.parametrize(
    ("floors", "says"),
    [
        ({"fix_bug": True}, "helps"),
        ({"fix_bug": False}, "not told from chance"),
        ({"write_report": False}, "helps"),
        ({}, "helps"),
    ],
)
def test_an_uplift_is_no_finding_while_those_of_its_class_are_as_large_shuffled(
    tmp_path: Path, floors: dict[str, bool], says: str
) -> None:
    """The interval of one entry among many that do nothing is above 0 by chance; the status rests on stricter looks."""
    rows = [{"estimate": "uplift", "action_type": name, "is_above_floor": above} for name, above in floors.items()]
    book = shown(ROWS, floors=[{"estimate": "prior", "action_type": "fix_bug", "is_above_floor": False}, *rows])
    text = page(book)
    assert (f"<b>+12 points of success (95 %: +4 to +20)</b>: {says}." in text) is True
    assert (effect.COLOURS["helps"] in text.split("</style>")[1]) is (says == "helps")
    assert effect.in_short(book[0]) == "+12 (+4 to +20)" + ("" if says == "helps" else ", by chance?")
    export(book, tmp_path, Form.md)
    told = "Measured" if says == "helps" else "Not told from chance"
    assert f"  - {told}: +12 points of success" in (tmp_path / "fix-bug.md").read_text()
    export(book, tmp_path, Form.json)
    found = json.loads((tmp_path / "fix-bug.json").read_text())
    assert (found[0]["finding"], found[2]["finding"]) == (says, "not measured yet")
    assert "2 active" in text


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({"active_since": date(2026, 2, 3)}, ["2026-02-03 found to help, and active"]),
        (
            {"active_since": date(2026, 2, 3), "active_until": date(2026, 2, 9), "status": "probation"},
            ["2026-02-03 found to help, and active", "2026-02-09 no longer found to help, and on probation again"],
        ),
        ({}, []),
    ],
)
def test_history_tells_when_an_entry_became_active(fields: dict[str, Any], lines: list[str]) -> None:
    texts = " ".join(Elements(page(shown([row("good", **fields)]))).texts)
    assert [line for line in lines if line not in texts] == []
    assert ("found to help, and active" in texts) is bool(lines)


@pytest.mark.parametrize(
    ("kind", "basis", "says"),
    [
        ("do", "sequences", "by what runs have in common: in 8 of 9 successes and 0 of 1,200 failures"),
        ("avoid", "blame", "by blame: in 8 of 9 failures and 0 of 1,200 successes"),
        ("fix", "correction", "by a correction that worked: 8 of 9 attempts with it succeeded, and 0 of 1,200 without"),
        ("do", "new_basis", "by new_basis: in 8"),
    ],
)
def test_what_speaks_for_an_entry_is_told_in_numbers(kind: str, basis: str, says: str) -> None:
    ground = Ground(basis, kind, date(2026, 1, 9), 4, 8, 9, 0, 1200)
    text = page(shown(ROWS), {"good": [ground]})
    assert f"Proposed on 4 days until 2026-01-09, {says}" in text


def test_a_wording_is_shown_with_its_author() -> None:
    words = {"entry_id": "good", "version": 3, "do": "better <i>words</i>", "author": "gpt", "status": "ok"}
    text = page(shown(ROWS, [words | {"written_at": datetime(2026, 1, 9, tzinfo=UTC)}]))
    assert "better &lt;i&gt;words&lt;/i&gt;" in text
    assert "worded by gpt" in text
    assert "do good" not in text


def test_the_same_book_makes_the_same_page() -> None:
    assert page(shown(ROWS)) == page(shown(reversed(ROWS)))


def test_an_empty_book_says_how_entries_come() -> None:
    assert "There is no entry yet" in page([])


def test_what_came_from_outside_is_no_markup() -> None:
    evil = "<script>alert(1)</script>\n\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}"
    texts = dict.fromkeys(("trigger", "do", "avoid", "retired_why"), evil)
    rows = [
        row(evil, task_class=evil, evidence=[evil], status="retired", retired_on=date(2026, 3, 1), **(HARMS | texts))
    ]
    made = Elements(page(shown(rows)))
    assert not {"script", "img"} & {tag for tag, _ in made.found}
    assert not any(name.startswith("on") for _, attributes in made.found for name in attributes)
    assert "{{ 7 * 7 }}" in " ".join(made.texts)


def test_the_page_loads_nothing() -> None:
    made = Elements(page(shown(ROWS)))
    for tag, attributes in made.found:
        assert tag not in {"script", "link", "iframe", "object", "base"}
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    policy = [attributes["content"] for _, attributes in made.found if attributes.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


@pytest.mark.slow
def test_a_phone_shows_the_page_whole_and_paper_all_that_is_folded(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(shown([*ROWS, row("e" * 64, trigger="long" * 60, rank=9)])), encoding="utf-8")
    looked = browser.new_page(viewport=PHONE)
    said: list[str] = []
    looked.on("console", lambda message: said.append(message.text))
    looked.goto(path.as_uri())
    assert not looked.get_by_text("event-of-good", exact=True).is_visible()
    for summary in looked.query_selector_all("summary"):
        summary.click()
    assert looked.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert looked.get_by_text("event-of-good", exact=True).is_visible()
    looked.reload()
    looked.emulate_media(media="print")
    assert looked.get_by_text("event-of-good", exact=True).is_visible()
    assert looked.get_by_text("retired: it harms").is_visible()
    assert not said, "the policy of the page refuses something that it asks for"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_can_be_read_in_the_light_and_in_the_dark(browser: Browser, tmp_path: Path, scheme: Any) -> None:
    """WCAG asks for a contrast of 4.5 of text, and of 3 of what is drawn."""
    path = tmp_path / "page.html"
    path.write_text(page(shown(ROWS)), encoding="utf-8")
    looked = browser.new_page(color_scheme=scheme)
    looked.goto(path.as_uri())

    def colour(selector: str, kind: str) -> str:
        return str(looked.eval_on_selector(selector, f"each => getComputedStyle(each).{kind}"))

    card = colour("article", "backgroundColor")
    for selector in ("article p", "article .quiet", ".active .badge", "summary"):
        assert _contrast(colour(selector, "color"), card) >= 4.5, selector
    assert _contrast(colour(".chart text", "fill"), card) >= 4.5
    for drawn in (effect.UNDECIDED, *effect.COLOURS.values()):
        assert _contrast(drawn, card) >= 3, drawn


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = re.findall(r"\d+", colour) if colour.startswith("rgb") else [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (int(part) / 255 for part in parts[:3])
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


# -- Files -------------------------------------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != LISTED)


def test_skills_are_folders_that_keep_to_the_format(tmp_path: Path) -> None:
    written = export(shown(ROWS), tmp_path, Form.skill)
    assert names(tmp_path) == ["fix-bug/SKILL.md", "write-report/SKILL.md"]
    assert [path.relative_to(tmp_path).as_posix() for path in written] == names(tmp_path)
    front, body = written[0].read_text(encoding="utf-8")[4:].split("\n---\n", 1)
    assert yaml.safe_load(front)["name"] == "fix-bug"
    assert "When good is at hand" in yaml.safe_load(front)["description"]
    assert body.index("do good") < body.index("## On probation") < body.index("do unclear")
    assert "  - Measured: +12 points of success (95 %: +4 to +20); shown to 900, withheld from 100\n" in body
    assert "do bad" not in body


def test_markdown_has_the_same_and_json_has_everything(tmp_path: Path) -> None:
    export(shown(ROWS), tmp_path / "md", Form.md)
    assert names(tmp_path / "md") == ["fix-bug.md", "write-report.md"]
    assert (tmp_path / "md" / "fix-bug.md").read_text().startswith("# fix_bug\n")
    export(shown(ROWS), tmp_path / "json", Form.json)
    found = json.loads((tmp_path / "json" / "fix-bug.json").read_text())
    assert [each["entry_id"] for each in found] == ["good", "unclear", "new", "bad"]
    assert found[3]["retired_why"] == "it harms"
    assert found[0].keys() == row().keys() | {"finding"}
    assert [each["finding"] for each in found] == [
        "helps",
        "not told apart from no effect",
        "not measured yet",
        "harms",
    ]


def test_an_export_keeps_nothing_that_was_retired_and_leaves_alone_what_is_not_its_own(tmp_path: Path) -> None:
    """Advice that does harm would live on in a file that nobody writes any more."""
    export(shown(ROWS), tmp_path, Form.skill)
    for mine in ("write-report/notes.md", "README.md"):
        (tmp_path / mine).write_text("mine")
    left = [row("good", status="retired", **HARMS), row("third", task_class="c")]
    export(shown(left), tmp_path, Form.skill)
    assert names(tmp_path) == ["README.md", "c/SKILL.md", "write-report/notes.md"]
    assert not (tmp_path / "fix-bug").exists()


def test_a_list_that_was_tampered_with_removes_nothing_elsewhere(tmp_path: Path) -> None:
    kept = tmp_path / "kept.md"
    kept.write_text("mine")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / LISTED).write_text(json.dumps(["../kept.md", str(kept), "a/../../kept.md"]))
    export(shown(ROWS), folder, Form.md)
    assert kept.exists()
    (folder / LISTED).write_text("{")
    with pytest.raises(PlaybookError, match="another folder"):
        export(shown(ROWS), folder, Form.md)


def test_a_skill_stays_short(tmp_path: Path) -> None:
    rows = [row(f"p{number:02}", status="probation", rank=number + 1) for number in range(40)]
    [path] = export(shown(rows), tmp_path, Form.skill)
    assert re.findall(r"do (p\d+)", path.read_text()) == [f"p{number:02}" for number in range(PROBATION_TOLD)]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PlaybookError, match="cannot write the book into"):
        export(shown(ROWS), tmp_path / "file", Form.md)


def test_the_order_of_a_book_is_by_class_status_and_rank() -> None:
    book: list[Shown] = shown(reversed(ROWS))
    assert [each.entry.entry_id for each in book] == ["good", "unclear", "new", "bad", "other"]
