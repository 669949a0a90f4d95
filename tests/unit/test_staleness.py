"""What is stale, against a slow reference: a world in which every value is known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oplake.orchestration.staleness import IGNORED, Refresh, is_due, of_day, stale, without

FIRST = date(2026, 1, 5)
LAST = FIRST + timedelta(days=7)
SPAN = [FIRST + timedelta(days=n) for n in range(8)]
NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)


@dataclass(frozen=True)
class M:
    """A model, as far as staleness is concerned."""

    name: str
    dependencies: frozenset[str]
    window: tuple[int, int] = (0, 0)
    partition: str | None = "day"
    settles: timedelta | None = None
    code_version: str = "1"
    narrower: frozenset[str] = frozenset()  # dependencies of which it reads its own day only

    def window_of(self, table: str) -> tuple[int, int]:
        return (0, 0) if table in self.narrower else self.window


@dataclass(frozen=True)
class C:
    """A commit; `days` is None when it touched the whole table."""

    version: int
    days: frozenset[date] | None
    code_version: str | None = None
    inputs: Mapping[str, int] = field(default_factory=dict)
    watermark: datetime | None = None


@dataclass
class Book:
    """A ledger as slow and plain as possible."""

    commits: dict[str, list[C]] = field(default_factory=dict)
    watermark: datetime | None = NOON

    def days(self, table: str) -> Collection[date]:
        return {day for commit in self.commits.get(table, []) for day in commit.days or ()}

    def latest(self, table: str, day: date | None = None) -> C | None:
        found = [c for c in self.commits.get(table, []) if day is None or c.days is None or day in c.days]
        return found[-1] if found else None

    def version(self, table: str) -> int:
        return len(self.commits.get(table, [])) - 1

    def write(self, table: str, days: Iterable[date] | None) -> None:
        touched = None if days is None else frozenset(days)
        self.commits.setdefault(table, []).append(C(self.version(table) + 1, touched))

    def make(self, model: M, days: Iterable[date] | None) -> None:
        self.write(model.name, days)
        commits = self.commits[model.name]
        inputs = {table: self.version(table) for table in model.dependencies}
        commits[-1] = replace(commits[-1], code_version=model.code_version, inputs=inputs, watermark=self.watermark)


def span(refresh: Refresh) -> list[date] | None:
    if refresh.start is None:
        return None
    return [refresh.start + timedelta(days=n) for n in range(refresh.days)]


def find(models: list[M], book: Book, **options: Any) -> list[Refresh]:
    return stale(models, book, first_day=FIRST, last_day=LAST, **options)


def carry_out(models: list[M], book: Book, refreshes: list[Refresh]) -> dict[str, list[date | None]]:
    """Make what was asked for, and say what each model made, once per time that it was made."""
    made: dict[str, list[date | None]] = {}
    for refresh in refreshes:
        for model in models:
            if model.name in refresh.models:
                book.make(model, span(refresh))
                made.setdefault(model.name, []).extend(span(refresh) or [None])
    return made


ACTIONS = M(
    "a.actions", frozenset({"landed.begun", "landed.steps", "lake.watermark"}), (0, 1), settles=timedelta(hours=6.25)
)
STEPS = M("a.steps", frozenset({"landed.steps", "a.actions"}), (0, 1), narrower=frozenset({"a.actions"}))
CREDITS = M("a.credits", frozenset({"a.steps"}))
CHAIN = [ACTIONS, STEPS, CREDITS]


def test_an_empty_lake_has_nothing_to_make() -> None:
    assert find(CHAIN, Book()) == []


def test_a_late_event_makes_exactly_the_days_that_read_it_again() -> None:
    """Comparing times, or the newest version of a table, would make every day again."""
    book = Book()
    book.write("landed.begun", SPAN[:4])
    book.write("landed.steps", SPAN[:4])
    carry_out(CHAIN, book, find(CHAIN, book))
    assert find(CHAIN, book) == []

    book.write("landed.steps", [SPAN[2]])

    (refresh,) = find(CHAIN, book)
    assert refresh.models == ("a.actions", "a.steps", "a.credits")
    assert span(refresh) == SPAN[1:3]
    assert "a.actions: landed.steps has news" in refresh.reasons


def test_what_windows_fray_at_both_ends_is_one_run_more_and_not_two() -> None:
    """A model that looks at the days around makes two more days than the others, one at each end of their range."""
    trees = M("a.trees", frozenset({"a.actions"}), (-1, 1))
    book = Book()
    models = [ACTIONS, trees, STEPS, CREDITS]
    book.write("landed.steps", SPAN)
    carry_out(models, book, find(models, book))
    book.write("landed.steps", [SPAN[3]])

    assert [(refresh.models, span(refresh)) for refresh in find(models, book)] == [
        (("a.actions", "a.steps", "a.credits"), SPAN[2:4]),
        (("a.trees",), SPAN[1:5]),
    ]


def test_a_change_of_sql_makes_the_model_and_what_follows_again_everywhere() -> None:
    book = Book()
    book.write("landed.steps", [SPAN[1], SPAN[4]])
    carry_out(CHAIN, book, find(CHAIN, book))
    models = [ACTIONS, replace(STEPS, code_version="2"), CREDITS]

    refreshes = find(models, book)

    assert [refresh.models for refresh in refreshes] == [("a.steps", "a.credits")] * 2
    assert [span(refresh) for refresh in refreshes] == [[SPAN[1]], [SPAN[4]]]


def test_time_alone_makes_a_day_again_once() -> None:
    """Reading the clock instead of the watermark would make the day again before its events have arrived."""
    book = Book(watermark=NOON)
    day = NOON.date()
    book.write("landed.begun", [day])
    carry_out(CHAIN, book, find(CHAIN, book))
    settled = datetime(2026, 1, 8, 6, 15, tzinfo=UTC)

    book.watermark = settled - timedelta(seconds=1)
    assert find(CHAIN, book) == []
    book.watermark = settled
    (refresh,) = find(CHAIN, book)
    assert span(refresh) == [day - timedelta(days=0)]
    assert refresh.reasons[0] == "a.actions: time passed 2026-01-08 06:15 UTC"
    carry_out(CHAIN, book, [refresh])
    assert find(CHAIN, book) == []


def test_a_day_that_saw_a_watermark_since_taken_back_is_made_again_once() -> None:
    """A clock that was a year ahead made timeouts of open actions; nothing else would make them open again."""
    book = Book(watermark=NOON + timedelta(days=365))
    book.write("landed.begun", [NOON.date()])
    carry_out(CHAIN, book, find(CHAIN, book))
    book.watermark = NOON
    (refresh,) = find(CHAIN, book)
    assert refresh.reasons[0] == "a.actions: its watermark came of a clock that was ahead"
    carry_out(CHAIN, book, [refresh])
    assert find(CHAIN, book) == []


def test_a_day_that_settles_by_the_clock_asks_for_the_watermark_to_move() -> None:
    book = Book(watermark=NOON)
    book.write("landed.begun", [NOON.date()])
    assert not is_due(CHAIN, book, now=NOON + timedelta(days=3))  # never made: not waiting for time
    carry_out(CHAIN, book, find(CHAIN, book))
    settled = datetime(2026, 1, 8, 6, 15, tzinfo=UTC)

    assert not is_due(CHAIN, book, now=settled - timedelta(seconds=1))
    assert is_due(CHAIN, book, now=settled)
    book.watermark = settled
    assert not is_due(CHAIN, book, now=settled)


def test_days_outside_the_span_of_the_models_are_left_alone() -> None:
    book = Book()
    book.write("landed.begun", [FIRST - timedelta(days=9), FIRST, LAST, LAST + timedelta(days=9)])

    assert [span(refresh) for refresh in find(CHAIN, book)] == [[FIRST], [LAST]]


def test_a_day_of_which_there_is_nothing_is_not_made_for_what_its_neighbours_have() -> None:
    """By their windows alone, every day of data would have empty days beside it, made again and again."""
    trees = M("a.trees", frozenset({"a.actions"}), (-1, 1))
    forecast = M("a.forecast", frozenset({"a.actions"}), (-1, -1))
    book = Book()
    book.write("landed.begun", [SPAN[2]])

    (refresh, ahead) = find([*CHAIN, trees, forecast], book)

    assert (len(refresh.models), span(refresh)) == (4, [SPAN[2]])
    assert (ahead.models, span(ahead)) == (("a.forecast",), [SPAN[3]])  # which never looks at its own day


@pytest.mark.parametrize("table", sorted(IGNORED))
def test_tables_that_every_run_writes_make_nothing_stale(table: str) -> None:
    """A model that followed its own arrival in the ledger would be made for ever."""
    model = M("a.spend", frozenset({"landed.steps", table}))
    book = Book()
    book.write("landed.steps", [FIRST])
    book.write(table, None)
    carry_out([model], book, find([model], book))

    book.write(table, None)

    assert find([model], book) == []


def test_models_without_days_follow_any_change_and_what_reads_them_follows_whole() -> None:
    totals = M("a.totals", frozenset({"a.credits"}), partition=None)
    shares = M("a.shares", frozenset({"a.credits", "a.totals"}))
    models = [*CHAIN, totals, shares]
    book = Book()
    book.write("landed.steps", SPAN[2:4])
    refreshes = find(models, book)
    assert [(refresh.models, span(refresh)) for refresh in refreshes] == [
        (("a.actions", "a.steps", "a.credits"), SPAN[2:4]),
        (("a.totals",), None),
        (("a.shares",), SPAN[2:4]),
    ]
    carry_out(models, book, refreshes)

    book.write("landed.steps", [SPAN[3]])

    assert [(refresh.models, span(refresh)) for refresh in find(models, book)] == [
        (("a.actions", "a.steps", "a.credits"), SPAN[2:4]),
        (("a.totals",), None),
        (("a.shares",), SPAN[2:4]),
    ]


def test_one_day_by_name_takes_every_model_that_has_days() -> None:
    refresh = of_day([*CHAIN, M("a.totals", frozenset({"a.credits"}), partition=None)], FIRST)
    assert refresh is not None
    assert (refresh.models, refresh.start, refresh.stop) == (("a.actions", "a.steps", "a.credits"), FIRST, FIRST)
    assert of_day([], FIRST) is None


def test_days_made_of_what_is_not_kept_are_left_alone_and_what_reads_them_is_not() -> None:
    """To make them again would be to change them in silence: some of their input is gone."""
    wide = M("a.week", frozenset({"landed.steps"}), (-2, 0))
    models, kept_from, book = [*CHAIN, wide], {"landed.steps": SPAN[3]}, Book()
    for table in ("landed.begun", "landed.steps"):
        book.write(table, SPAN[:6])
    carry_out(models, book, find(models, book))
    made = carry_out(models, book, find(models, book, everything=True, kept_from=kept_from))
    assert sorted(made["a.steps"], key=str) == SPAN[3:6]
    assert sorted(made["a.week"], key=str) == [SPAN[5]]
    assert sorted(made["a.credits"], key=str) == SPAN[:6]
    one = of_day(models, SPAN[2], kept_from)
    assert one is not None
    assert one.models == ("a.credits",)


def test_all_from_a_day_on_is_made_again_and_nothing_before_it() -> None:
    book = worked(SPAN[:5])
    made = carry_out(PRICED, book, find(PRICED, book, since=SPAN[3]))
    assert made == {"s.turns": SPAN[3:5], "s.costs": SPAN[3:5], "s.sessions": [None]}
    assert find(PRICED, book) == []


def test_what_reads_a_held_back_model_is_held_back_too() -> None:
    """Making it would read yesterday's rows, and then have to make it again."""
    other = M("a.other", frozenset({"landed.begun"}))
    book = Book()
    book.write("landed.begun", [FIRST])
    models = [*CHAIN, other]

    refreshes = without(find(models, book), models, {"a.steps"})

    assert {name for refresh in refreshes for name in refresh.models} == {"a.actions", "a.other"}
    assert without(find(CHAIN, book), CHAIN, {"a.actions"}) == []


# Any graph of models, any history -------------------------------------------------------------------------------------

SOURCES = ("landed.x", "landed.y", "landed.z")


@st.composite
def graphs(draw: st.DrawFn) -> list[M]:
    models: list[M] = []
    for number in range(draw(st.integers(1, 6))):
        known = [*SOURCES, *(model.name for model in models)]
        low = draw(st.integers(-2, 0))
        models.append(
            M(
                f"m.{number}",
                frozenset(draw(st.sets(st.sampled_from(known), min_size=1, max_size=3))),
                (low, draw(st.integers(max(low, 0), 2))),
                draw(st.sampled_from(["day", "day", "day", None])),
                draw(st.sampled_from([None, None, timedelta(hours=6)])),
                narrower=frozenset(draw(st.sets(st.sampled_from(known), max_size=1))),
            )
        )
    return models


events = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(SOURCES), st.sets(st.sampled_from(SPAN), min_size=1, max_size=3)),
        st.tuples(st.just("edit"), st.integers(0, 5), st.none()),
        st.tuples(st.just("time"), st.integers(1, 40), st.none()),
    ),
    min_size=1,
    max_size=6,
)


def reads(model: M, table: str, day: date | None) -> list[date] | None:
    """The days of its inputs that a day of a model reads; None for all."""
    if day is None:
        return None
    low, high = model.window_of(table)
    return [day + timedelta(days=n) for n in range(low, high + 1)]


def reference(models: list[M], book: Book) -> dict[str, set[date | None]]:
    """The stale days, worked out one by one straight from the definition."""
    found: dict[str, set[date | None]] = {}
    everything: dict[str, set[date | None]] = {}  # days that a table has, or will have once its stale days are made
    for source in SOURCES:
        everything[source] = set(book.days(source))
    for model in models:
        chosen: set[date | None] = set()
        candidates: list[date | None] = [None] if model.partition is None else [*SPAN]
        for day in candidates:
            made = book.latest(model.name, day)
            is_stale = False
            for table in model.dependencies:
                window = reads(model, table, day)
                commits = book.commits.get(table, [])
                seen = made.inputs[table] if made else -1
                for commit in commits:
                    overlaps = window is None or commit.days is None or bool(commit.days & set(window))
                    is_stale |= commit.version > seen and overlaps
                for upstream in found.get(table, ()):
                    is_stale |= window is None or upstream is None or upstream in window
            if model.partition is not None and made is None:
                # never made: only when a table has that very day
                is_stale &= any(day in everything.get(table, ()) for table in model.dependencies)
            if made is not None:
                is_stale |= made.code_version != model.code_version
                if model.settles is not None and day is not None:
                    instant = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1) + model.settles
                    assert book.watermark is not None
                    assert made.watermark is not None
                    is_stale |= made.watermark < instant <= book.watermark
            if is_stale:
                chosen.add(day)
        if chosen:
            found[model.name] = chosen
        everything[model.name] = {*book.days(model.name), *chosen} - {None}
    return found


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(graphs(), events)
def test_the_stale_days_are_those_of_the_definition_and_making_them_in_order_is_enough(
    models: list[M], history: list[tuple[str, object, object]]
) -> None:
    """Each stale day is made once, after all that it reads, and then nothing is stale.

    Grouping days into ranges without looking at windows in both directions passes the simple cases and fails here.
    """
    book = Book(watermark=NOON)
    for what, which, days in history:
        if what == "write":
            book.write(str(which), days)  # type: ignore[arg-type]
        elif what == "edit":
            number = int(str(which)) % len(models)
            models[number] = replace(models[number], code_version=models[number].code_version + "+")
        else:
            assert book.watermark is not None
            book.watermark += timedelta(hours=int(str(which)))

        expected = reference(models, book)
        refreshes = find(models, book)
        made = carry_out(models, book, refreshes)

        assert {name: sorted(days, key=str) for name, days in made.items()} == {
            name: sorted(days, key=str) for name, days in expected.items()
        }
        assert find(models, book) == []
        assert reference(models, book) == {}


@settings(max_examples=60, deadline=None)
@given(graphs(), st.sets(st.sampled_from(SPAN), min_size=1))
def test_everything_is_every_day_that_has_input(models: list[M], days: set[date]) -> None:
    book = Book()
    for source in SOURCES:
        book.write(source, days)
    fresh = carry_out(models, book, find(models, book))

    again = carry_out(models, book, find(models, book, everything=True))

    assert {name: set(made) for name, made in again.items()} == {name: set(made) for name, made in fresh.items()}


# Given tables and prices ----------------------------------------------------------------------------------------------

PRICES = M("sessions.prices", frozenset(), partition=None)
BUDGETS = M("sessions.budgets", frozenset(), partition=None)
TURNS = M("s.turns", frozenset({"landed.turns", "sessions.prices"}))
COSTS = M("s.costs", frozenset({"s.turns", "sessions.budgets"}))
SESSIONS = M("s.sessions", frozenset({"s.turns"}), partition=None)
PRICED = [PRICES, BUDGETS, TURNS, COSTS, SESSIONS]


def worked(days: list[date]) -> Book:
    book = Book()
    book.write("landed.turns", days)
    carry_out(PRICED, book, find(PRICED, book))
    return book


def test_what_is_given_is_made_first_and_once() -> None:
    """Turns made before there are prices would all be without a price, and nothing would ever make them again."""
    book = Book()
    book.write("landed.turns", SPAN[:3])
    refreshes = find(PRICED, book)
    assert [(refresh.models, refresh.start) for refresh in refreshes] == [
        (("sessions.prices", "sessions.budgets"), None),
        (("s.turns", "s.costs"), FIRST),
        (("s.sessions",), None),
    ]
    carry_out(PRICED, book, refreshes)
    assert find(PRICED, book) == []


def test_new_prices_make_no_day_again() -> None:
    """A correction of the list would otherwise restate years of costs overnight, with nobody having asked."""
    book = worked(SPAN[:3])
    changed = [replace(PRICES, code_version="2"), *PRICED[1:]]
    refreshes = find(changed, book)
    assert [refresh.models for refresh in refreshes] == [("sessions.prices",)]
    assert refreshes[0].reasons == ("sessions.prices: what it is made of changed",)
    carry_out(changed, book, refreshes)
    assert find(changed, book) == []


def test_new_budgets_make_all_that_reads_them_again_in_the_same_pass() -> None:
    book = worked(SPAN[:3])
    changed = [PRICES, replace(BUDGETS, code_version="2"), *PRICED[2:]]
    made = carry_out(changed, book, find(changed, book))
    assert made == {"sessions.budgets": [None], "s.costs": SPAN[:3]}
    assert find(changed, book) == []


def test_repricing_makes_the_days_asked_for_and_what_follows_from_them() -> None:
    book = worked(SPAN[:5])
    made = carry_out(PRICED, book, find(PRICED, book, repriced=(SPAN[1], SPAN[2])))
    assert made == {"s.turns": SPAN[1:3], "s.costs": SPAN[1:3], "s.sessions": [None]}
    assert find(PRICED, book, repriced=(LAST, LAST)) == []  # a day without turns has nothing to price
