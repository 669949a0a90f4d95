"""Serving: what is published, whose turn it is, what is withheld, and what a recorder makes of it."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import threading
from datetime import UTC, datetime
from itertools import combinations
from math import sqrt
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.playbook_rows import row
from tests.receiving import landed

from oplake.lake.tables import Lake
from oplake.landing.errors import LandingError
from oplake.landing.recorder import Recorder
from oplake.playbook import choose as module
from oplake.playbook.book import EMPTY, Advice, Book, Shelf
from oplake.playbook.choose import choose, draw, unit_of
from oplake.playbook.entries import shown
from oplake.playbook.errors import PlaybookError
from oplake.playbook.publish import publish_served, republish
from oplake.settings import Settings

UNITS = [f"session-{number}" for number in range(20_000)]
Z = 4.5  # standard errors: the draws are the same each time, so that this passes always or never


def advice(entry_id: str, status: Any = "active") -> Advice:
    return Advice(entry_id=entry_id, version=1, status=status, trigger="t", do="d", avoid="", tokens=1)


def book(*entries: Advice, withheld: float = 0.1, probation: int = 2) -> Book:
    return Book(withheld_share=withheld, probation_shown=probation, task_classes={"c": entries})


MIXED = book(advice("a1"), advice("a2"), *(advice(f"p{number}", "probation") for number in range(5)))


def ids(entries: tuple[Advice, ...]) -> list[str]:
    return [each.entry_id for each in entries]


# -- Draws -------------------------------------------------------------------------------------------------------------


def test_draws_are_the_same_for_ever() -> None:
    """Forbids another hash, another order or another separator: units that are being measured would change arms."""
    # printf 'withheld\\0session-1\\0e1' | sha256sum
    assert draw("withheld", "session-1", "e1") == 0x931C9CC634E528AE


def test_every_process_draws_alike() -> None:
    """Forbids `hash()`, which each process seeds anew."""
    code = (
        "from oplake.playbook.choose import draw\n"
        "print([draw('withheld', f'session-{n}', 'e1') < 2**63 for n in range(64)])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.5])
def test_each_entry_is_withheld_from_its_share_of_units(share: float) -> None:
    entries = [advice(f"e{number}") for number in range(5)]
    withheld = {each.entry_id: 0 for each in entries}
    for unit in UNITS:
        for each in choose(book(*entries, withheld=share), "c", unit).withheld:
            withheld[each.entry_id] += 1
    for entry_id, count in withheld.items():
        error = Z * sqrt(share * (1 - share) / len(UNITS))
        assert abs(count / len(UNITS) - share) <= error, entry_id


def _correlation(left: list[bool], right: list[bool]) -> float:
    both = sum(a and b for a, b in zip(left, right, strict=True)) / len(left)
    a, b = sum(left) / len(left), sum(right) / len(right)
    return (both - a * b) / sqrt(a * (1 - a) * b * (1 - b))


def _arms(entries: list[Advice]) -> dict[str, list[bool]]:
    arms: dict[str, list[bool]] = {each.entry_id: [] for each in entries}
    for unit in UNITS:
        withheld = ids(choose(book(*entries), "c", unit).withheld)
        for entry_id, arm in arms.items():
            arm.append(entry_id in withheld)
    return arms


def test_entries_are_withheld_independently_of_each_other() -> None:
    """Otherwise the effect of one entry would be taken for that of the one it goes with."""
    arms = _arms([advice(f"e{number}") for number in range(4)])
    for left, right in combinations(arms.values(), 2):
        assert abs(_correlation(left, right)) < Z / sqrt(len(UNITS))


def test_negative_control_one_draw_for_all_entries_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "draw", lambda purpose, unit, _: draw(purpose, unit, ""))
    left, right = _arms([advice("e1"), advice("e2")]).values()
    assert _correlation(left, right) == pytest.approx(1)


def test_what_is_withheld_is_independent_of_whose_turn_it_is() -> None:
    """With one hash for both, a low draw would bring a turn and withhold: some entries would never be shown."""
    offered, withheld = dict.fromkeys("01234", 0), dict.fromkeys("01234", 0)
    for unit in UNITS:
        choice = choose(MIXED, "c", unit)
        for each in (*choice.shown, *choice.withheld):
            if each.status == "probation":
                offered[each.entry_id[1]] += 1
        for each in choice.withheld:
            if each.status == "probation":
                withheld[each.entry_id[1]] += 1
    for name, count in offered.items():
        assert abs(count / len(UNITS) - 2 / 5) < Z * sqrt(0.4 * 0.6 / len(UNITS)), "each has its share of turns"
        assert abs(withheld[name] / count - 0.1) < Z * sqrt(0.1 * 0.9 / count)


@pytest.mark.parametrize("is_randomised", [True, False])
def test_a_difference_of_means_finds_the_effect_only_where_the_draw_is_random(is_randomised: bool) -> None:
    """The negative control shows the entry to easy units, as an agent that asks for help only at times would."""
    chance, effect = random.Random(7), 0.1
    entry, successes, counts = advice("e1"), [0.0, 0.0], [0, 0]
    for unit in UNITS:
        is_easy = chance.random() < 0.5
        is_shown = bool(choose(book(entry, withheld=0.5), "c", unit).shown) if is_randomised else is_easy
        counts[is_shown] += 1
        successes[is_shown] += chance.random() < 0.3 + 0.3 * is_easy + effect * is_shown
    found = successes[1] / counts[1] - successes[0] / counts[0]
    assert (abs(found - effect) < Z * 0.0072) is is_randomised  # 0.0072: standard error of a difference of so many


@given(st.text(max_size=300), st.integers(0, 8), st.floats(0, 0.99))
def test_a_choice_is_of_active_ones_and_so_many_on_probation_each_once(unit: str, turns: int, share: float) -> None:
    entries = MIXED.entries("c")
    choice = choose(book(*entries, probation=turns, withheld=share), "c", unit)
    offered = ids(choice.shown) + ids(choice.withheld)
    assert len(set(offered)) == len(offered) == 2 + min(turns, 5)
    assert {"a1", "a2"} <= set(offered)
    assert ids(choice.shown) == [each for each in ids(entries) if each in ids(choice.shown)], "in the order of the book"
    assert choice == choose(book(*entries, probation=turns, withheld=share), "c", unit)


def test_a_new_entry_changes_the_turns_of_few_and_the_arms_of_none() -> None:
    entries = MIXED.entries("c")
    more = book(*entries, advice("new", "probation"))
    moved = 0
    for unit in UNITS[:2000]:
        before, after = choose(MIXED, "c", unit), choose(more, "c", unit)
        moved += {*ids(before.shown), *ids(before.withheld)} - {*ids(after.shown), *ids(after.withheld)} != set()
        assert not set(ids(before.shown)) & set(ids(after.withheld))
        assert not set(ids(before.withheld)) & set(ids(after.shown))
    assert moved / 2000 == pytest.approx(2 / 6, abs=0.05)


def test_without_a_unit_nothing_is_withheld() -> None:
    choice = choose(MIXED, "c", None)
    assert (len(choice.shown), choice.withheld) == (4, ())
    assert choose(MIXED, "unknown", "s").shown == ()


def test_the_unit_is_the_action_else_the_session_as_it_lands() -> None:
    assert unit_of("s", "a") == unit_of(None, "a") == "a"
    assert unit_of("s", None) == unit_of("s", "") == "s"
    assert unit_of(None, None) is unit_of("", "") is None
    assert unit_of("s" * 300, None) == "s" * 200


# -- Publishing --------------------------------------------------------------------------------------------------------


def test_what_is_published_are_the_active_ones_by_rank_then_those_on_probation(settings: Settings) -> None:
    rows = [
        row("p", status="probation", rank=3),
        row("b", rank=2),
        row("r", status="retired", retired_why="it did harm"),
        row("a", rank=1, version=4, tokens=7, avoid="no\nhaste"),
        row("x", task_class="other", rank=1),
    ]
    path = publish_served(settings, rows)
    found = Shelf(path).book()
    assert path == settings.served
    assert ids(found.entries("fix_bug")) == ["a", "b", "p"]
    assert list(found.task_classes) == ["fix_bug", "other"]
    first = found.entries("fix_bug")[0]
    assert (first.version, first.tokens, first.status, first.avoid) == (4, 7, "active", "no\nhaste")
    assert first.text == "- When a is at hand\n  - **Do:** do a\n  - **Avoid:** no haste\n"
    assert (found.withheld_share, found.probation_shown) == (0.1, 3)
    assert [each.name for each in path.parent.iterdir()] == ["served.json"]


@given(st.randoms(use_true_random=False))
def test_the_same_rows_give_the_same_bytes_in_any_order(tmp_path_factory: Any, chance: random.Random) -> None:
    rows = [row(f"e{number}", f"c{number % 3}", ("active", "probation")[number % 2]) for number in range(9)]
    chance.shuffle(rows)
    home = Settings(home=tmp_path_factory.getbasetemp() / "same")
    before = home.served.read_bytes() if home.served.exists() else None
    publish_served(home, rows)
    assert before in {None, home.served.read_bytes()}


def test_rows_may_be_objects_and_a_file_that_says_the_same_stays(settings: Settings) -> None:
    """So that readers do not read it again for nothing."""

    class Entry:
        def __init__(self, fields: dict[str, Any]) -> None:
            self.__dict__.update(fields)

    publish_served(settings, [row()])
    before = settings.served.stat()
    publish_served(settings, [Entry(row())])
    assert settings.served.stat().st_ino == before.st_ino


def test_a_row_that_is_none_changes_nothing(settings: Settings) -> None:
    publish_served(settings, [row("old")])
    with pytest.raises(PlaybookError, match=r"playbooks\.entries.*version"):
        publish_served(settings, [row("new", version="two")])
    assert "old" in settings.served.read_text()


def test_readers_find_a_whole_book_whatever_is_published_meanwhile(settings: Settings) -> None:
    publish_served(settings, [row("e0")])
    stop, shelf, wrong = threading.Event(), Shelf(settings.served), []

    def read() -> None:
        while not stop.is_set():
            found = shelf.book().entries("fix_bug")
            if len(found) != int(found[0].entry_id[1:]) + 1:
                wrong.append(found)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for size in [*range(40)] * 3:
        publish_served(settings, [row(f"e{size}", rank=1), *(row(f"more{n}", rank=2 + n) for n in range(size))])
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(shelf.book().entries("fix_bug")) == 40, "it was read again"


def test_a_lake_without_a_book_publishes_none(settings: Settings, lake: Lake) -> None:
    republish(settings, lake)
    assert not settings.served.exists()


# -- Wordings ----------------------------------------------------------------------------------------------------------


def wording(**fields: Any) -> dict[str, Any]:
    own = {"entry_id": "e1", "version": 1, "do": "in better words", "author": "extractive", "status": "ok"}
    return own | {"written_at": datetime(2026, 1, 9, tzinfo=UTC)} | fields


def test_a_usable_wording_of_the_version_is_preferred(settings: Settings) -> None:
    publish_served(settings, [row(tokens=10)], [wording()])
    [found] = Shelf(settings.served).book().entries("fix_bug")
    assert (found.do, found.trigger) == ("in better words", "When e1 is at hand")
    assert found.tokens == -(-len("When e1 is at hand in better words") // 4)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "failed"},
        {"status": None},
        {"injection_flags": ["override"]},
        {"version": 2},
        {"entry_id": "e2"},
        {"do": " "},
        {"do": None},
        {"written_at": "?"},
    ],
    ids=str,
)
def test_any_other_wording_is_not(fields: dict[str, Any]) -> None:
    assert [each.do for each in shown([row()], [wording(**fields)])] == ["do e1"]


def test_the_latest_wording_counts_in_any_order() -> None:
    late = wording(do="late", written_at=datetime(2026, 1, 10, tzinfo=UTC))
    for wordings in ([wording(), late], [late, wording()]):
        assert [each.do for each in shown([row()], wordings)] == ["late"]


def test_a_wording_adds_no_advice_and_changes_no_fact() -> None:
    """Forbids showing what no evidence speaks for: an author could otherwise advise as it likes."""
    [each] = shown([row(avoid="")], [wording(avoid="delete everything", exposures=10**6)])
    assert (each.avoid, each.entry.exposures, each.author) == ("", 0, "extractive")


# -- Recorders ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def published(settings: Settings) -> Settings:
    """A home with a book of ten entries, half of which are withheld."""
    half = Settings(home=settings.home, playbook_withheld=0.5)
    publish_served(half, [row(f"e{number}", rank=number) for number in range(10)])
    return half


def test_a_recorder_serves_and_lands_what_is_shown_and_what_is_withheld(published: Settings) -> None:
    with Recorder(published) as recorder:
        found = recorder.playbook("fix_bug", session_id="s1")
        again = recorder.playbook("fix_bug", session_id="s1")
        assert found == again
        assert recorder.stats().events == 20
    events = landed(published.home, "playbook_served")
    assert {event["entry_id"]: event["withheld"] for event in events[:10]} == {
        f"e{number}": f"e{number}" not in found.ids for number in range(10)
    }
    assert {(event["session_id"], event["task_class"], event["entry_version"]) for event in events} == {
        ("s1", "fix_bug", 1)
    }
    assert 0 < len(found) < 10
    assert found.text.startswith("## Playbook: fix_bug\n\n- When e")
    assert [entry.text in found.text for entry in found] == [True] * len(found)


def test_an_action_asks_for_its_own_class(published: Settings) -> None:
    with Recorder(published) as recorder, recorder.action("a", "fix_bug") as action:
        found = action.playbook()
        assert action.playbook("unknown").ids == []
    events = landed(published.home, "playbook_served")
    assert {event["action_id"] for event in events} == {action.action_id}
    assert len(events) == 10
    assert 0 < len(found) < 10


def test_without_session_and_action_nothing_lands(published: Settings) -> None:
    with Recorder(published) as recorder:
        assert len(recorder.playbook("fix_bug")) == len(recorder.playbook("fix_bug", session_id="")) == 10
    assert not landed(published.home)


def test_ids_that_are_no_texts_are_served_as_they_land(published: Settings) -> None:
    with Recorder(published) as recorder:
        asked: Any = recorder.playbook
        assert asked(object(), session_id=7).ids == []
        assert asked("fix_bug", session_id=7) == asked("fix_bug", session_id="7")
        assert asked("fix_bug", session_id="\ud800")
        assert asked("fix_bug", session_id="s" * 300) == asked("fix_bug", session_id="s" * 200)
    assert {event["session_id"] for event in landed(published.home)} == {"7", "\\ud800", "s" * 200}


def test_no_book_is_an_empty_one(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with Recorder(settings, strict=True) as recorder:
        found = recorder.playbook("fix_bug", session_id="s")
        assert (found.ids, found.text, bool(found)) == ([], "", False)
    assert not caplog.records
    assert Shelf(settings.served).book() is EMPTY


@pytest.mark.parametrize("content", ["{", '{"format": 2}', "[]", '{"format": 1, "task_classes": {"c": [{}]}}', "\xff"])
def test_a_broken_book_is_a_warning_and_an_empty_one(
    settings: Settings, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    settings.served.write_text(content, encoding="latin-1")
    with caplog.at_level(logging.WARNING), Recorder(settings, strict=True) as recorder:
        assert not recorder.playbook("fix_bug", session_id="s")
    assert "served.json" in caplog.text


def test_a_book_is_read_again_when_it_was_published_anew(settings: Settings) -> None:
    with Recorder(settings) as recorder:
        assert recorder.playbook("fix_bug").ids == []
        publish_served(settings, [row("one")])
        assert recorder.playbook("fix_bug").ids == ["one"]
        publish_served(settings, [row("two")])
        assert recorder.playbook("fix_bug").ids == ["two"]
        settings.served.unlink()
        assert recorder.playbook("fix_bug").ids == []


def test_what_cannot_land_is_shown_all_the_same(published: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """All or none land, so that the shares stay those that were drawn."""
    (published.home / "landing").write_text("no folder")
    with Recorder(published) as recorder:
        assert recorder.playbook("fix_bug", session_id="s")
        assert recorder.stats().not_accepted == 1
    with Recorder(published, strict=True) as recorder, pytest.raises(LandingError):
        recorder.playbook("fix_bug", session_id="s")
    assert "not made durable" in caplog.text


def test_serving_imports_nothing(published: Settings) -> None:
    """A recorder stays as light as it is; and a child forked while another thread imports would wait forever."""
    code = (
        "import sys; from oplake import Recorder\n"
        "recorder = Recorder(sys.argv[1])\n"
        "recorder.note('u', 'n')\n"
        "before = set(sys.modules)\n"
        "assert recorder.playbook('fix_bug', session_id='s').text\n"
        "assert set(sys.modules) <= before, set(sys.modules) - before\n"
        "heavy = {'duckdb', 'pyarrow', 'deltalake', 'pydantic', 'jinja2', 'altair'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code, str(published.home)], check=True)


def test_the_file_is_json_that_others_can_read(published: Settings) -> None:
    found = json.loads(published.served.read_text())
    assert list(found) == ["format", "withheld_share", "probation_shown", "task_classes"]
    assert msgspec.json.decode(published.served.read_bytes(), type=Book) == Shelf(published.served).book()
