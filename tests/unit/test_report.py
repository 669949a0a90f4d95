"""Reports as people read them: what is told and marked, and that no text from outside is taken for anything else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, ViewportSize
from tests.landed_events import NOON, event, land, prepare, take_in
from tests.written_rows import NAMED, written_row
from typer.testing import CliRunner

from oplake.cli.assembly import assembled
from oplake.events import SYNTHESIS
from oplake.lake.catalog import connect, publish_views
from oplake.lake.commit import provenance
from oplake.lake.tables import Lake
from oplake.report import content
from oplake.report.charts import CHARTS, Series, draw, series_of
from oplake.report.content import Report
from oplake.report.markdown import escaped, markdown, whole
from oplake.report.metadata import REPORT, SHOWN, metadata
from oplake.report.page import CURRENT, page
from oplake.report.reports import NoReport, Reports, UserReports, reports_of
from oplake.settings import Settings
from oplake.synthesis.cites import claims
from oplake.synthesis.grounding import MARK
from oplake.synthesis.write import as_table

DAY = date(2026, 1, 11)
PHONE: ViewportSize = {"width": 360, "height": 700}
HOSTILE = '<script>alert(1)</script> ![x](http://evil.example/?q=1) [y](javascript:z) `a` **b** \x1b[31m\u202e & "q"'
FACTS = {
    "day": "2026-01-11",
    "figures": [{"id": "s1", "name": "failures", "value": 97, "week_mean": 93.167}],
    "series": {
        "turns": [{"day": "2026-01-10", "value": 1}],
        "failures": [{"day": f"2026-01-{day:02}", "value": day * 7} for day in (4, 5, 6, 8, 9, 10, 11)],
        "success rate of operations": [{"day": "2026-01-10", "value": 0.5}, {"day": "2026-01-11", "value": 0.746}],
        "cost in US dollars": [{"day": f"2026-01-{day:02}", "value": day / 3} for day in range(4, 12)],
    },
}
WRITTEN = {
    "author": "some-model",
    "provider": "example",
    "cost_usd": "0.0123",
    "input_tokens": 1200,
    "output_tokens": 340,
    "duration_ms": 4321.0,
    "call_count": 3,
    "cached_count": 1,
    "score": 80,
    "reasons": ["short"],
}


def report(table: str, day: date = DAY, **columns: Any) -> Report:
    """A row whose claims are those of its texts, as a writer leaves it."""
    what = NAMED[table]
    told = {name: columns[name] for name in what.schema.model_fields if name in columns}
    return Report(what, written_row(table, day, **{"claims": claims(told), "facts": "{}"} | columns))


def team(**columns: Any) -> Report:
    evidence = [{"cite": "s1", "source": "operations.error_patterns", "ids": ["2026-01-11"]}]
    fields = {
        "summary": "There were 97 failures [s1], 12 more than usual [s9].",
        "changes": ["Nothing."],
        "costs": "It cost $4.53.",
        "look_at": ["search"],
        "evidence": evidence,
        "unknown_cites": ["s9"],
        "ungrounded_numbers": ["12"],
        "facts": msgspec.json.encode(FACTS).decode(),
    }
    return report("lake.daily_report", **fields | WRITTEN | columns)


def user(user_id: str = "ann", day: date = DAY, **columns: Any) -> Report:
    fields = {"summary": "All went well.", "trajectory": "stable", "friction_points": [], "user_id": user_id}
    return report("users.daily_reports", day, **fields | columns)


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def html_of(markdown_text: str) -> Elements:
    """Markdown as a viewer shows it that takes HTML for HTML."""
    return Elements(MarkdownIt("commonmark", {"html": True}).render(markdown_text))


# --- what is told ----------------------------------------------------------------------------------------------------


def test_a_report_tells_its_fields_its_doubts_its_evidence_and_how_it_came_about() -> None:
    text = html_of(markdown(team())).text
    for told in (
        f"There were 97 failures [s1], 12{MARK} more than usual [s9].",
        "1 number is not among the facts, and marked (?).",
        "It cites s9, and nothing among the facts is called that.",
        "Look at",
        "Evidence: [s1] operations.error_patterns 2026-01-11",
        "Written by some-model of example · $0.0123 · 1,200 tokens read, 340 written · 4.3 s · "
        "3 calls, 1 of them from the cache · its critic relies on it by 80 of 100 (short)",
    ):
        assert told in text, told


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"status": "skipped: budget", "error": "0.50 USD a day"}, "for want of budget: 0.50 USD a day"),
        ({"status": "skipped: cap"}, "others came first"),
        ({"status": "failed", "error": "both providers failed"}, "Not written: both providers failed."),
        ({"status": "raw", "raw_summary": "I think\nnot"}, "shown as it came"),
        ({"status": "ok", "injection_flags": ["override"]}, "looks like instructions (override)"),
        ({"status": "ok", "author": "extractive"}, "without a model"),
        ({"status": "ok", "author": "m", "cost_usd": None}, "cost unknown"),
    ],
)
def test_a_reader_knows_what_a_row_is(columns: Mapping[str, Any], says: str) -> None:
    assert says in html_of(markdown(user(**columns))).text


def test_fields_that_say_nothing_are_left_out_and_objects_are_told_by_name() -> None:
    stages = [
        {
            "name": "ask first",
            "expected_days": 7,
            "expiration_days": 14,
            "sub_goals": ["a", "b"],
            "failure_strategy": "",
        }
    ]
    plan = report("users.meta_plans", user_id="ann", version=2, stages=stages, monthly_objective="", reached_stages=[])
    assert [(section.label, section.form) for section in content.sections(plan)] == [
        ("Version", "fact"),
        ("Stages", "list"),
    ]
    assert content.sections(plan)[1].items == (
        content.Item(
            "ask first",
            (
                content.Item("Expected days: 7"),
                content.Item("Expiration days: 14"),
                content.Item("Sub goals:", (content.Item("a"), content.Item("b"))),
            ),
        ),
    )


def test_a_number_is_marked_however_its_digits_are_set_apart() -> None:
    odd = user(summary="It took 1\u202f234 rows and\n42 s.", ungrounded_numbers=["1\u202f234", "42 s"])
    assert f"It took 1\u202f234{MARK} rows and" in html_of(markdown(odd)).text
    assert f"42 s{MARK}." in html_of(markdown(odd)).text


# --- texts from outside ----------------------------------------------------------------------------------------------


def hostile() -> Reports:
    evidence = [{"cite": "n1", "source": "landed.notes", "ids": [HOSTILE]}]
    summary = f"{HOSTILE} 12 [n1] [n2]"
    row = user(
        HOSTILE,
        summary=summary,
        friction_points=[HOSTILE],
        trajectory=HOSTILE,
        evidence=evidence,
        ungrounded_numbers=["12"],
        error=HOSTILE,
        **WRITTEN | {"author": HOSTILE, "reasons": [HOSTILE]},
    )
    failed = user("x", status="failed", error=HOSTILE)
    error = report("operations.error_analyses", kind="op", template=HOSTILE, failure_count=3, cause=HOSTILE)
    users = (UserReports(HOSTILE, row, None, None), UserReports("x", failed, None, None))
    gone = user(f"gone {HOSTILE}", status="stub", inactivity_flag=True)
    return Reports(DAY, None, (*users, UserReports(gone.row["user_id"], gone, None, None)), (error,))


def test_no_text_is_taken_for_markup_of_the_page() -> None:
    made = page(hostile())
    elements = Elements(made)
    tags = {tag for tag, _ in elements.found}
    assert not tags & {"script", "img", "iframe", "object", "b script"}
    assert [attributes["href"] for tag, attributes in elements.found if tag == "a"] == ["#r0-n1"]
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    assert elements.text.count("<script>alert(1)</script>") >= 6
    assert "\x1b" not in made
    assert "\u202e" not in made


def test_no_text_is_taken_for_markup_of_markdown() -> None:
    made = whole(hostile(), [HOSTILE])
    elements = html_of(made)
    assert {tag for tag, _ in elements.found} <= {
        "h1", "h2", "h3", "h4", "p", "ul", "li", "strong", "em", "blockquote",
    }  # fmt: skip
    assert elements.text.count("<script>alert(1)</script>") >= 6
    assert "\x1b" not in made
    assert "\u202e" not in made


@given(st.text(alphabet="a1 .-+*_#>`[]()!<&;|~=\\\n\t\u202e:/$^", max_size=40) | st.text(max_size=40))
@example(" -")  # a list's beginning behind a space
@example("    x")  # a block of code
def test_markdown_shows_any_text_as_it_is(text: str) -> None:
    shown = html_of(f"{escaped(text)}\n").text
    assert "".join(shown.split()) == "".join(content.clean(text).split())
    assert {tag for tag, _ in html_of(f"- {escaped(text)}").found} <= {"ul", "li", "p"}


# --- charts ----------------------------------------------------------------------------------------------------------


def test_what_matters_most_is_drawn_and_nothing_without_a_course() -> None:
    found = series_of(FACTS)
    assert [each.name for each in found] == ["cost in US dollars", "failures", "success rate of operations"]
    assert [each.last for each in found] == ["$3.67", "77", "74.6%"]
    assert (found[1].usual, found[1].said(93.167)) == (93.167, "93.2")
    assert found[1].points[3] == (date(2026, 1, 7), None)  # a day without a value keeps its place
    assert found[1].sparkline == "▃▄▅ ▆▇██"
    many = {"day": "2026-01-11", "series": {f"figure {n}": FACTS["series"]["failures"] for n in range(CHARTS + 3)}}
    assert len(series_of(many)) == CHARTS
    assert series_of({}) == []


def test_a_chart_ends_on_the_day_that_its_report_is_of() -> None:
    """One that ended where the values do would show those of the day before as those of the day."""
    days = ["2026-01-09", "2026-01-10"]
    values = {"failures": (5, 97), "success rate": (0.5, 0.7), "retries": (0, 0)}
    named = {
        name: [{"day": day, "value": value} for day, value in zip(days, of, strict=True)] for name, of in values.items()
    }
    found = series_of({"day": "2026-01-11", "series": named})
    assert [(each.name, each.points[-1], each.last) for each in found] == [
        ("failures", (DAY, None), "nothing"),
        ("success rate", (DAY, None), "nothing"),
    ]
    assert draw(found[:1])[0].text == "Failures from 2026-01-09 to 2026-01-11: nothing"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values", "shown"),
    [
        ("failures", (0, 1), {"0", "0.5", "1"}),
        ("failures", (200, 400), {"0", "100", "200", "300", "400"}),
        ("failures", (500, 2_500), {"0", "1k", "2k"}),
        ("cost in US dollars", (0.002, 0.003), {"$0", "$0.001", "$0.002", "$0.003"}),
        ("cost in US dollars", (1_000, 2_000), {"$0", "$500", "$1,000", "$1,500", "$2,000"}),
    ],
)
def test_an_axis_names_small_values_as_people_do(name: str, values: tuple[float, float], shown: set[str]) -> None:
    """By the prefixes of units half of one is 500m."""
    (chart,) = draw([Series(name, ((DAY - timedelta(days=1), values[0]), (DAY, values[1])))])
    texts = {element.text for element in ElementTree.fromstring(chart.svg).iter() if element.text}  # noqa: S314
    assert texts - {"10", "11"} == shown


@pytest.mark.slow
def test_a_chart_is_small_and_holds_nothing_that_acts() -> None:
    days = [DAY - timedelta(days=n) for n in range(7, -1, -1)]
    names = [f"failures {HOSTILE}", "cost in US dollars", "success rate"]
    found = [Series(name, tuple((day, n / 10) for n, day in enumerate(days)), 0.5) for name in names]
    for chart in draw(found):
        assert len(chart.uri) < 15_000
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(chart.svg).iter()}  # noqa: S314
        assert tags <= {"svg", "g", "path", "line", "rect", "text"}
        assert "2026-01-04 to 2026-01-11" in chart.text


# --- the page --------------------------------------------------------------------------------------------------------


def drawn(*, is_of_one: bool = False) -> str:
    one = team()
    evaluation = report("users.meta_evaluations", user_id="ann", consensus="Folded away.", trajectory="declining")
    users = (UserReports("ann", user(), evaluation, None),)
    reports = Reports(DAY, one, users, (), is_of_one=is_of_one)
    return page(reports, draw(series_of(content.facts(one)), ink=CURRENT))


@pytest.mark.slow
def test_cites_lead_to_evidence_and_doubtful_numbers_stand_out() -> None:
    made = drawn()
    ids = {attributes["id"] for _, attributes in Elements(made).found if "id" in attributes}
    links = {str(attributes["href"])[1:] for tag, attributes in Elements(made).found if tag == "a"}
    assert links == {"r0-s1"}
    assert links <= ids
    assert '<span title="leads nowhere">s9?</span>' in made
    assert f'<mark title="not among the facts">12{MARK}</mark>' in made
    assert made == drawn()
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", made)
    assert "url(" not in made


@pytest.mark.slow
def test_a_phone_shows_the_page_whole_and_paper_what_is_unfolded(browser: Browser, tmp_path: Path) -> None:
    """Evaluations and plans of twenty users are twenty sheets; of one who was asked for they are what is wanted."""
    for is_of_one in (False, True):
        file = tmp_path / "page.html"
        file.write_text(drawn(is_of_one=is_of_one), encoding="utf-8")
        context = browser.new_context(viewport=PHONE)
        looked = context.new_page()
        asked: list[str] = []
        said: list[str] = []
        looked.on("request", lambda request, asked=asked: asked.append(request.url))
        looked.on("console", lambda message, said=said: said.append(message.text))
        looked.goto(file.as_uri())
        assert looked.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert asked == [file.as_uri()]
        assert said == []
        for media in ("screen", "print"):
            looked.emulate_media(media=media)
            assert looked.get_by_text("Folded away.").is_visible() is is_of_one
        context.close()


# --- reading the lake ------------------------------------------------------------------------------------------------


@pytest.fixture
def written(lake: Lake) -> Lake:
    """Two days of reports, with a user left out, one absent and a later evaluation."""
    put(lake, team())
    put(
        lake,
        user("ann"),
        user("bob", status="skipped: cap"),
        user("dan", status="failed", error="it fell"),
        user("cid", status="stub", inactivity_flag=True),
        user("eve", status="stub", inactivity_flag=False, summary="3 sessions and 9 turns, and no note."),
    )
    put(lake, user("ann", DAY - timedelta(days=1), summary="The day before."))
    opened = {"window_start": "2026-01-11T00:00:00Z", "note_count": 1}
    earlier = report(
        "users.meta_evaluations", DAY, partition="2026-01-11T00", user_id="ann", consensus="early", **opened
    )
    later = report("users.meta_evaluations", DAY, partition="2026-01-11T18", user_id="ann", consensus="late", **opened)
    put(lake, earlier, later)
    put(
        lake,
        report(
            "users.meta_plans",
            DAY + timedelta(days=1),
            user_id="ann",
            version=1,
            monthly_objective="plan",
            last_updated="2026-01-12",
        ),
    )
    small = report("operations.error_analyses", kind="op", template="small", failure_count=1, cause="c")
    put(lake, small, report("operations.error_analyses", kind="op", template="big", failure_count=9, cause="c"))
    return lake


def put(lake: Lake, *reports: Report) -> None:
    what = reports[0].what
    lake.create(what.spec)
    rows = as_table(what.spec, [each.row for each in reports])
    said = provenance(code_version="x", inputs={}, watermark=None)
    lake.replace(what.name, lambda: rows, start=reports[0].row["day"], stop=reports[0].row["day"], metadata=said)


def test_the_latest_day_is_shown_whole(written: Lake, settings: Settings) -> None:
    with connect(settings) as connection:
        found = reports_of(connection)
    assert found.day == DAY
    assert found.team is not None
    assert [each.user_id for each in found.present] == ["ann", "dan", "eve"]
    assert found.absent == ["cid"]
    assert found.left_out == ("1 user without a report (skipped: cap)",)
    ann = found.users[0]
    assert ann.evaluation is not None
    assert ann.evaluation.row["consensus"] == "late"
    assert ann.plan is not None, "the plan of Monday is made of the reports up to Sunday"
    assert [each.row["template"] for each in found.errors] == ["big", "small"]
    text = html_of(whole(found)).text
    assert all(told in text for told in ("1 user without a report (skipped: cap).", "Not seen: cid.", "it fell"))
    with connect(settings) as connection:
        text = html_of(whole(reports_of(connection, user_id="ann"))).text
    assert all(told in text for told in ("late", "plan"))


def test_one_user_and_one_day_can_be_asked_for(written: Lake, settings: Settings) -> None:
    with connect(settings) as connection:
        found = reports_of(connection, DAY - timedelta(days=1), "ann")
    assert (found.team, found.errors, [each.user_id for each in found.users]) == (None, (), ["ann"])
    assert found.users[0].report is not None
    assert found.users[0].report.row["summary"] == "The day before."
    assert found.users[0].evaluation is None, "it was made later"


def test_a_user_who_was_asked_for_is_shown_though_absent_or_left_out(written: Lake, settings: Settings) -> None:
    """Whoever asks how bob fares wants to know that his report waits, and what was said before."""
    with connect(settings) as connection:
        assert "others came first" in html_of(whole(reports_of(connection, user_id="bob"))).text
        assert "### cid" in whole(reports_of(connection, user_id="cid"))


def test_who_asks_for_what_is_not_there_is_told_what_there_is(written: Lake, settings: Settings) -> None:
    with connect(settings) as connection:
        with pytest.raises(NoReport, match="of 2026-01-01: the latest is of 2026-01-11"):
            reports_of(connection, date(2026, 1, 1))
        with pytest.raises(NoReport, match=r"no report of zoe yet; `oplake write`"):
            reports_of(connection, user_id="zoe")


def test_advice_leads_to_a_report_of_history(settings: Settings) -> None:
    """What is due is recent: after an import `oplake write` wrote nothing, and that is what `oplake report` advised."""
    prepare(settings)
    land(settings, [event("note", "n", user_id="ann", note="n"), event("op", "o", ts=NOON + timedelta(days=3),
         endpoint="e", success=True, duration_ms=1), event("note", "own", user_id="bob", note="n", ts=NOON +
         timedelta(days=9), source=SYNTHESIS)])  # fmt: skip
    take_in(settings)
    publish_views(settings)

    def advised(*asked: Any) -> list[str]:
        with connect(settings) as connection, pytest.raises(NoReport, match="what is due") as told:
            reports_of(connection, *asked)
        return re.findall(r"`oplake write --from (\S+)`", str(told.value))

    assert advised() == ["2026-01-08"]
    assert advised(None, "ann") == advised(NOON.date()) == ["2026-01-05"]
    assert advised(None, "bob") == advised(NOON.date() + timedelta(days=1)) == []


def test_a_lake_without_reports_says_how_they_come(settings: Settings) -> None:
    with connect(settings) as connection, pytest.raises(NoReport, match="no report yet; `oplake write`"):
        reports_of(connection)


def test_a_table_that_cannot_be_read_is_told_in_words(written: Lake) -> None:
    *_, last = written.files("users.daily_reports")
    Path(last).write_bytes(b"no Parquet")
    done = CliRunner().invoke(assembled(), ["report"])
    assert done.exit_code == 1
    assert "the reports cannot be read" in done.stderr
    assert done.stdout == ""


# --- beside a run ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_dagster_gets_the_report_with_charts_and_what_it_took() -> None:
    one = team()
    found = metadata(one.what, [one.row])
    text = str(found[REPORT].value)
    assert text.count("](data:image/svg+xml;base64,") == 3
    assert f"12{MARK}" in text
    assert len(text) < 40_000
    took = {name: value.value for name, value in found.items() if name != REPORT}
    assert took == {
        "author": "some-model",
        "input_tokens": 1200,
        "output_tokens": 340,
        "duration_ms": 4321.0,
        "cache_hits": 1,
        "left_out": 0,
        "cost_usd": 0.0123,
    }


def test_of_many_reports_dagster_gets_the_first() -> None:
    users = [user(f"u{n:02}", status="skipped: cap" if n < 3 else "ok") for n in range(SHOWN + 5)]
    found = metadata(users[0].what, [each.row for each in users])
    text = str(found[REPORT].value)
    assert text.count("### ") == SHOWN
    assert "5 more" in text
    assert "### u00" not in text, "those without a report come last"
    assert found["left_out"].value == 3
