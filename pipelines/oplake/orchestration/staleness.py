"""Which days of which models have to be made again, and in which order.

One pure function over the models and the ledger. It compares versions, never timestamps: a day is stale when what it
reads has been touched in a version newer than the one that it read. The daemon's sensor, `oplake run` and the tests all
ask here, so that they cannot disagree.

Nothing here reads a clock, opens a table or knows Dagster.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from typing import Protocol

PRICES = "sessions.prices"

IGNORED = frozenset({"lake.watermark", "lake.arrivals", PRICES})
"""Tables whose news makes nothing stale. The watermark moves with every event and acts through `settles` alone; every
run writes arrivals, so that a model which followed them would never be done; and new prices must not restate the past
by themselves: that is asked for, see `repriced`."""

SOURCE_CHANGED = "what it is made of changed"
"""The reason of a given table that was made before."""

ALL_KEPT: Mapping[str, date] = MappingProxyType({})
"""Nothing was removed from any table."""

AGAIN = " is made again"
"""How a reason ends that only follows from another."""

ONE_DAY = timedelta(days=1)

TAKEN_BACK = ONE_DAY
"""A watermark only grows, but for one that was ahead of the clock by more than this: an ingest takes that back."""

DAYS_AHEAD = 1
"""Days after today that are made: producers' clocks may be ahead, and live events of tomorrow are taken."""


class ModelLike(Protocol):
    """What staleness has to know of a model; `oplake.models.sql_file.Model` has it."""

    @property
    def name(self) -> str: ...
    @property
    def partition(self) -> str | None: ...
    @property
    def settles(self) -> timedelta | None: ...
    @property
    def code_version(self) -> str: ...
    @property
    def dependencies(self) -> frozenset[str]: ...
    def window_of(self, table: str) -> tuple[int, int]:
        """First and last day of a dependency that a day reads, relative to itself."""


class CommitLike(Protocol):
    """What staleness has to know of a commit; `oplake.lake.ledger.Commit` has it."""

    @property
    def version(self) -> int: ...
    @property
    def code_version(self) -> str | None: ...
    @property
    def inputs(self) -> Mapping[str, int]: ...
    @property
    def watermark(self) -> datetime | None: ...


class LedgerLike(Protocol):
    """What staleness asks of the ledger; `oplake.lake.ledger.Ledger` answers it."""

    @property
    def watermark(self) -> datetime | None:
        """Nothing received before it is missing from the lake."""

    def days(self, table: str) -> Collection[date]:
        """Days that any commit of the table has touched."""

    def latest(self, table: str, day: date | None = None) -> CommitLike | None:
        """The newest commit that touched the day; without a day, the newest that touched anything."""


@dataclass(frozen=True)
class Refresh:
    """Models to be made together over one range of days, in one run.

    `start` and `stop` are the first and last day; both are None for models that have no days. `reasons` says in words
    why, once per model and cause.
    """

    models: tuple[str, ...]
    start: date | None
    stop: date | None
    reasons: tuple[str, ...]

    @property
    def days(self) -> int:
        """How many partitions each model makes: 1 for models that have no days."""
        return 1 if self.start is None or self.stop is None else (self.stop - self.start).days + 1

    def __str__(self) -> str:
        if self.start is None:
            return "whole tables"
        return str(self.start) if self.start == self.stop else f"{self.start}..{self.stop}"


def stale(
    models: Iterable[ModelLike],
    ledger: LedgerLike,
    *,
    first_day: date,
    last_day: date,
    everything: bool = False,
    since: date | None = None,
    repriced: tuple[date, date] | None = None,
    kept_from: Mapping[str, date] = ALL_KEPT,
) -> list[Refresh]:
    """What has to be made again, in an order in which nothing is made before what it reads.

    A day of a model is stale when its SQL changed, when a dependency has touched a day of its window in a version newer
    than the one read, when time has passed the instant at which it settles or the watermark that it saw was taken back,
    when it was never made although an input has that day, or when something that it reads is itself stale. Days outside
    `first_day..last_day` are left alone, and so are those that would be made of rows that are not kept any longer. A
    table that reads nothing, being given, is stale when it was never made, or
    when its code version changed; such tables come first, in a run of their own.

    Args:
        models: Upstream first.
        ledger: What was written when, and from what.
        first_day: First day that models are made for.
        last_day: Last day that models are made for.
        everything: Take every day that has input for stale, whatever the ledger says.
        since: The same for the days from this one on.
        repriced: First and last day for which models that read prices are stale as well.
        kept_from: Of tables whose rows are only kept so long, the first day that they have whole.
    """
    ordered = list(models)
    touched = _Touched(ledger)
    todo: dict[str, dict[date | None, str]] = {}
    for model in ordered:
        causes = _causes(model, touched, todo, everything=everything, since=since, repriced=repriced)
        if model.partition is not None:
            begin = first_makeable(model, kept_from, first_day)
            causes = {day: why for day, why in causes.items() if day is not None and begin <= day <= last_day}
        if causes:
            todo[model.name] = causes
    given = {model.name: todo.pop(model.name) for model in ordered if not model.dependencies and model.name in todo}
    first = [Refresh(tuple(given), None, None, tuple(why[None] for why in given.values()))] if given else []
    return first + _refreshes(ordered, todo)


def first_makeable(model: ModelLike, kept_from: Mapping[str, date], first_day: date) -> date:
    """The first day that can be made of all that it reads; what is before stays as it was made."""
    begins = [kept_from[table] - model.window_of(table)[0] * ONE_DAY for table in model.dependencies & kept_from.keys()]
    return max([first_day, *begins])


def last_day(now: datetime) -> date:
    """The last day that is made."""
    return now.astimezone(UTC).date() + DAYS_AHEAD * ONE_DAY


def is_due(models: Iterable[ModelLike], ledger: LedgerLike, *, now: datetime) -> bool:
    """Whether a day has settled by the clock, though not yet by the watermark.

    Then an ingest has to move the watermark, even if nothing new has landed: that is how a timeout appears without any
    event.
    """
    if ledger.watermark is None:
        return False
    for model in models:
        if model.partition is None or model.settles is None:
            continue
        for day in ledger.days(model.name):
            instant = settled_at(day, model.settles)
            if ledger.watermark < instant <= now:
                made = ledger.latest(model.name, day)
                if made is None or made.watermark is None or made.watermark < instant:
                    return True
    return False


def of_day(models: Iterable[ModelLike], day: date, kept_from: Mapping[str, date] = ALL_KEPT) -> Refresh | None:
    """That one day of every model that has days and can be made of all that it reads, stale or not; None when there is
    no such model."""
    names = tuple(
        model.name for model in models if model.partition is not None and first_makeable(model, kept_from, day) <= day
    )
    return Refresh(names, day, day, (f"{day} was asked for",)) if names else None


def without(refreshes: Iterable[Refresh], models: Iterable[ModelLike], held: Collection[str]) -> list[Refresh]:
    """The refreshes without the models held back and all that reads them, directly or not."""
    left_out = set(held)
    for model in models:
        if not left_out.isdisjoint(model.dependencies):
            left_out.add(model.name)
    kept = (
        Refresh(
            tuple(name for name in refresh.models if name not in left_out), refresh.start, refresh.stop, refresh.reasons
        )
        for refresh in refreshes
    )
    return [refresh for refresh in kept if refresh.models]


def settled_at(day: date, settles: timedelta) -> datetime:
    """The instant from which the mere passing of time changes nothing more in a day: `settles` into the next one."""
    return datetime.combine(day + ONE_DAY, time(), UTC) + settles


class _Touched:
    """The newest version of each table that touched some days, each day looked up once: a year has thousands of
    questions, and some windows have a month."""

    def __init__(self, ledger: LedgerLike) -> None:
        self.ledger = ledger
        self._by_day: dict[str, tuple[list[int], list[int], int]] = {}

    def version(self, table: str) -> int:
        """The newest version that touched anything; -1 for none."""
        return _version(self.ledger.latest(table))

    def version_within(self, table: str, day: date, window: tuple[int, int]) -> int:
        """The newest version that touched what a day reads through its window; -1 for none."""
        if table not in self._by_day:
            days = sorted(self.ledger.days(table))
            versions = [_version(self.ledger.latest(table, each)) for each in days]
            untouched = _version(self.ledger.latest(table, date.max))  # of other days, by commits of the whole table
            self._by_day[table] = [each.toordinal() for each in days], versions, untouched
        ordinals, versions, untouched = self._by_day[table]
        start = bisect_left(ordinals, day.toordinal() + window[0])
        stop = bisect_right(ordinals, day.toordinal() + window[1])
        return max(versions[start:stop], default=untouched)


def _version(commit: CommitLike | None) -> int:
    return -1 if commit is None else commit.version


def _causes(
    model: ModelLike,
    touched: _Touched,
    todo: Mapping[str, Mapping[date | None, str]],
    *,
    everything: bool,
    since: date | None,
    repriced: tuple[date, date] | None,
) -> dict[date | None, str]:
    """The stale days of one model, each with its reason; a model without days has the one day None."""
    windows = {table: model.window_of(table) for table in sorted(model.dependencies) if table not in IGNORED}
    causes: dict[date | None, str] = {}
    for day in _candidates(model, touched.ledger, todo, windows):
        why = _why(model, day, touched, todo, windows)
        if why is None and everything:
            why = "everything was asked for"
        if why is None and since and day and day >= since:
            why = f"all from {since} on was asked for"
        if why is None and repriced and day and PRICES in model.dependencies and repriced[0] <= day <= repriced[1]:
            why = "its prices were asked for again"
        if why is not None:
            causes[day] = f"{model.name}: {why}"
    return causes


def _candidates(
    model: ModelLike,
    ledger: LedgerLike,
    todo: Mapping[str, Mapping[date | None, str]],
    windows: Mapping[str, tuple[int, int]],
) -> Iterable[date | None]:
    """Days that the model has, and days of which an input has the very same: one that has input only in the days around
    it would be made of nothing, and every day of data would have two empty ones beside it. Where no window holds the
    day itself, any day of the window will do."""
    if model.partition is None:
        has_input = any(table in todo or ledger.latest(table) is not None for table in (model.name, *windows))
        return [None] if has_input or not model.dependencies else []
    days = set(ledger.days(model.name))
    looks_at_itself = any(low <= 0 <= high for low, high in windows.values())
    for table, (low, high) in windows.items():
        found = {*ledger.days(table), *(day for day in todo.get(table, {}) if day is not None)}
        if low <= 0 <= high:
            days.update(found)
        elif not looks_at_itself:
            days.update(day - shift * ONE_DAY for shift in range(low, high + 1) for day in found)
    return sorted(days)


def _why(
    model: ModelLike,
    day: date | None,
    touched: _Touched,
    todo: Mapping[str, Mapping[date | None, str]],
    windows: Mapping[str, tuple[int, int]],
) -> str | None:
    """Why one day of a model is stale; None when it is not."""
    made = touched.ledger.latest(model.name, day)
    if made is None and not model.dependencies:
        return "it was never made"
    if made is not None and made.code_version != model.code_version:
        return "its SQL changed" if model.dependencies else SOURCE_CHANGED
    for table, window in windows.items():
        upstream = todo.get(table)
        if upstream and (day is None or None in upstream or not upstream.keys().isdisjoint(_days(day, window))):
            return f"{table}{AGAIN}"
    for table, window in windows.items():
        seen = -1 if made is None else made.inputs.get(table, -1)
        newest = touched.version(table) if day is None else touched.version_within(table, day, window)
        if newest > seen:
            return f"{table} has input" if made is None else f"{table} has news"
    watermark = touched.ledger.watermark
    if made is not None and day is not None and model.settles is not None and watermark is not None:
        instant = settled_at(day, model.settles)
        if watermark >= instant and (made.watermark is None or made.watermark < instant):
            return f"time passed {instant:%Y-%m-%d %H:%M} UTC"
        if made.watermark is not None and made.watermark - watermark > TAKEN_BACK:
            return "its watermark came of a clock that was ahead"
    return None


def _days(day: date, window: tuple[int, int]) -> Iterator[date]:
    """The days of a dependency that a day reads through its window."""
    low, high = window
    return (day + shift * ONE_DAY for shift in range(low, high + 1))


Group = tuple[tuple[str, ...], list[date | None]]
"""Models, upstream first, and the days over which they would be made together."""


def _refreshes(models: list[ModelLike], todo: Mapping[str, Mapping[date | None, str]]) -> list[Refresh]:
    """Group the stale days into runs, as few as the order allows.

    There are two ways, and the one with fewer runs is taken: days that have the same models to make go together, or
    models that have the same days to make. The second often saves the edges that windows fray, but needs an order in
    which whole models follow each other.
    """
    by_day = _by_day(models, todo)
    by_model = _by_model(models, todo)
    groups = by_day if by_model is None or len(by_day) <= len(by_model) else by_model
    return [
        Refresh(names, days[0], days[-1], tuple(dict.fromkeys(todo[name][day] for name in names for day in days)))
        for names, days in groups
    ]


def _by_model(models: list[ModelLike], todo: Mapping[str, Mapping[date | None, str]]) -> list[Group] | None:
    """Runs of models that have the same stale days; None when a run would read what a later one makes."""
    together: list[tuple[list[str], set[date | None]]] = []
    for model in models:
        if model.name not in todo:
            continue
        days = set(todo[model.name])
        first = max((n for n, (names, _) in enumerate(together) if not model.dependencies.isdisjoint(names)), default=0)
        for names, same in together[first:]:
            if same == days:
                names.append(model.name)
                break
        else:
            together.append(([model.name], days))
    left = {name: set(days) for name, days in todo.items()}
    groups: list[Group] = []
    for names, days in together:
        for part in _ranges(days):
            if len(_ready(models, left, tuple(names), part)) < len(names):
                return None
            _strike_off(left, names, part)
            groups.append((tuple(names), part))
    return groups


def _by_day(models: list[ModelLike], todo: Mapping[str, Mapping[date | None, str]]) -> list[Group]:
    """Runs of days that follow each other and have the same models left.

    A run may go when nothing outside it that it reads is left to be made. When windows in both directions leave no such
    run, the largest part of one that may go goes first; the most upstream model that is left always may, so that this
    ends.
    """
    left = {name: set(days) for name, days in todo.items()}
    groups: list[Group] = []
    while left:
        best: Group = ((), [])
        has_gone = False
        for names, days in _groups(models, left):
            ready = _ready(models, left, names, days)
            if len(ready) == len(names):
                _strike_off(left, ready, days)
                groups.append((ready, days))
                has_gone = True
            elif len(ready) * len(days) > len(best[0]) * len(best[1]):
                best = (ready, days)
        if not has_gone:
            _strike_off(left, *best)
            groups.append(best)
    return groups


def _ranges(days: Iterable[date | None]) -> list[list[date | None]]:
    """Days as ranges of such as follow each other; the day None is a range of its own."""
    ranges: list[list[date | None]] = []
    last: date | None = None
    for day in sorted(day for day in days if day is not None):
        if last is not None and day == last + ONE_DAY:
            ranges[-1].append(day)
        else:
            ranges.append([day])
        last = day
    return [*ranges, [None]] if None in days else ranges


def _groups(models: list[ModelLike], left: Mapping[str, set[date | None]]) -> list[Group]:
    """Maximal ranges of days that have the same models left, models upstream first; those without days come last."""
    per_day: defaultdict[date | None, list[str]] = defaultdict(list)
    for model in models:
        for day in left.get(model.name, ()):
            per_day[day].append(model.name)
    groups: list[Group] = []
    for day in sorted(day for day in per_day if day is not None):
        names = tuple(per_day[day])
        if groups and groups[-1][0] == names and groups[-1][1][-1] == day - ONE_DAY:
            groups[-1][1].append(day)
        else:
            groups.append((names, [day]))
    if None in per_day:
        groups.append((tuple(per_day[None]), [None]))
    return groups


def _ready(
    models: list[ModelLike], left: Mapping[str, set[date | None]], names: tuple[str, ...], days: list[date | None]
) -> tuple[str, ...]:
    """Those models of a group that may be made over its days now, one after the other."""
    ready: list[str] = []
    for model in models:
        if model.name in names and all(
            _has_nothing_left(model, table, days, left[table], within=table in ready)
            for table in model.dependencies
            if table in left
        ):
            ready.append(model.name)
    return tuple(ready)


def _has_nothing_left(
    model: ModelLike, table: str, days: list[date | None], left: set[date | None], *, within: bool
) -> bool:
    """Whether no day of a dependency that the model reads for `days` waits, but for those made in the same run."""
    first, last = days[0], days[-1]
    if first is None or last is None:
        return left <= ({None} if within else set())
    low, high = model.window_of(table)
    start, stop = first + low * ONE_DAY, last + high * ONE_DAY
    return not any(day is None or (start <= day <= stop and not (within and first <= day <= last)) for day in left)


def _strike_off(left: dict[str, set[date | None]], names: Iterable[str], days: list[date | None]) -> None:
    """Take what is made off what is left."""
    for name in names:
        left[name].difference_update(days)
        if not left[name]:
            del left[name]
