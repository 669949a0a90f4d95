"""Grounding: which numbers of an answer are not among the facts that its author was given.

A number is grounded when some number among the facts, rounded to the precision at which the text states it, is the
same: 0.4237 may be "0.42", "42 %" or "42.4 %", 1234 "1,234" or "1.2k", 1234 ms "1.2 s". So is the length of a list
among the facts: who counts five items of a list of five made nothing up. Sums, differences and other results that the
author worked out are not: SQL counts here, and nobody else.

- **Percentages** stand for shares (42 % for 0.42) and for what the facts state as a percentage, never for a plain 42.
- **Signs**: "fell by 3" may tell of -3; a sign that is written has to be right.
- **Dates and times**, as ISO text or in words (`5 January`), are grounded when the facts have that day or that minute.
- **Ordinals** (`3rd`) are numbers; they may also be a place in a list of the facts that is as long.
- **Words** count as digits do: `twenty-three`, `a dozen`, `twice`, and shares such as `half of them`, which are stated
  to a percent. A year is one of a date's.
- **Names** with digits in them (`gpt-4o`, `v1.2.3`, a session's id) are grounded when they stand literally among the
  facts; else a name counts by the number in it (`top-5`), and one with several numbers is not grounded.
- **Ids of evidence** in square brackets (`[n3]`) say nothing and are left out.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from oplake.synthesis.cites import texts_of
from oplake.synthesis.figures import (
    DIGITS_WITHIN,
    DURATIONS_MS,
    ORDINAL,
    PERCENT,
    SCALES,
    SIZES,
    Day,
    Number,
    numbers,
)

MARK = "\N{NO-BREAK SPACE}(?)"  # after a number that is not grounded, where people read it


def ungrounded(fields: Mapping[str, Any], facts: Mapping[str, Any], more: Sequence[str] = ()) -> list[str]:
    """The numbers of an answer's texts that are not among the facts, as they stand there, each once.

    Args:
        fields: The answer; numbers that are no text are values of the schema, and nobody's claims.
        facts: What the author was given, however nested; numbers within texts and names of fields count.
        more: Texts that it was shown besides: results of tools, the prompt's own words.
    """
    known = _Facts.of([facts, *more])
    found = (each for _, text in texts_of(fields) for each in numbers(text))
    return list(dict.fromkeys(each.text for each in found if not known.has(each)))


class Part(NamedTuple):
    """A piece of a text, for showing it."""

    text: str
    is_grounded: bool


def parts(text: str, ungrounded: Sequence[str]) -> Iterator[Part]:
    """A text in pieces: its numbers that are not grounded, and all between them."""
    end = 0
    for number in numbers(text):
        if number.text in ungrounded:
            if number.start > end:
                yield Part(text[end : number.start], is_grounded=True)
            yield Part(number.text, is_grounded=False)
            end = number.start + len(number.text)
    if end < len(text):
        yield Part(text[end:], is_grounded=True)


def mark(text: str, ungrounded: Sequence[str]) -> str:
    """A text with `(?)` after each number that is not grounded."""
    return "".join(part.text if part.is_grounded else part.text + MARK for part in parts(text, ungrounded))


@dataclass
class _Values:
    """Numbers to be looked up by value; signs count where they are asked for."""

    _signed: list[Decimal] = field(default_factory=list)
    _sizes: list[Decimal] = field(default_factory=list)

    def add(self, value: Decimal) -> None:
        self._signed.append(value)
        self._sizes.append(abs(value))

    def sort(self) -> None:
        self._signed.sort()
        self._sizes.sort()

    def has(self, value: Decimal, step: Decimal, *, is_signed: bool) -> bool:
        """Whether one of them, rounded to the step, is that value; halves may go either way."""
        values = self._signed if is_signed else self._sizes
        place = bisect_left(values, value - step / 2)
        return place < len(values) and values[place] <= value + step / 2


@dataclass
class _Facts:
    """What is among the facts, ready to be asked."""

    plain: _Values = field(default_factory=_Values)
    percents: _Values = field(default_factory=_Values)  # what the facts themselves state as percentages
    ms: _Values = field(default_factory=_Values)  # durations
    days: set[Day] = field(default_factory=set)
    clocks: set[str] = field(default_factory=set)
    lengths: set[int] = field(default_factory=set)
    names: list[str] = field(default_factory=list)  # texts, in which names stand
    literal: str = ""

    @classmethod
    def of(cls, facts: Sequence[Any]) -> _Facts:
        """Everything among the facts."""
        found = cls()
        for each in facts:
            found._take(each)
        for values in (found.plain, found.percents, found.ms):
            values.sort()
        found.literal = "\n".join(found.names).casefold()
        return found

    def has(self, number: Number) -> bool:
        """Whether a number is grounded."""
        match number.kind:
            case "date":
                return self._has_day(number)
            case "time":
                return number.clock in self.clocks or self._has_name(number.text)
            case "name":
                return self._has_name(number.text) or (number.value is not None and self._has_number(number))
        is_name = any(letter.isalpha() for letter in number.text) and number.text[:1].isdigit()
        if number.day is not None and self._has_day(number):
            return True
        return self._has_number(number) or (is_name and self._has_name(number.text))

    def _has_number(self, number: Number) -> bool:
        assert number.value is not None
        readings = ((self._values(kind), factor) for kind, factor in _readings(number.unit))
        if any(
            values.has(number.value * factor, number.step * factor, is_signed=number.is_signed)
            for values, factor in readings
        ):
            return True
        if number.unit in ORDINAL:
            return number.value <= max(self.lengths, default=0)
        return not number.unit and number.value in self.lengths

    def _values(self, kind: str) -> _Values:
        return {"plain": self.plain, "percents": self.percents, "ms": self.ms}[kind]

    def _has_day(self, number: Number) -> bool:
        assert number.day is not None
        year, month, day = number.day
        has_day = any(
            year in {None, other[0]} and month == other[1] and (day is None or day == other[2]) for other in self.days
        )
        return has_day and (not number.clock or number.clock in self.clocks)

    def _has_name(self, name: str) -> bool:
        return re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", self.literal) is not None

    # --- taking facts in ---

    def _take(self, value: Any, unit: str = "") -> None:
        if isinstance(value, str):
            self._take_text(value)
        elif isinstance(value, Mapping):
            for key, each in value.items():
                self._take_key(str(key))
                self._take(each, _unit_of(str(key)) or unit)
        elif isinstance(value, (list, tuple, set, frozenset)):
            self.lengths.add(len(value))
            for each in value:
                self._take(each, unit)
        elif isinstance(value, date):
            self._take_date(value)
        elif isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
            exact = Decimal(str(value))
            if exact.is_finite():
                self._take_number(exact, unit)

    def _take_number(self, value: Decimal, unit: str) -> None:
        self.plain.add(value)
        if unit in PERCENT:
            self.percents.add(value)
            self.plain.add(value / 100)
        elif unit in DURATIONS_MS:
            self.ms.add(value * DURATIONS_MS[unit])
        elif unit in SCALES:
            self.plain.add(value * SCALES[unit])

    def _take_text(self, text: str) -> None:
        self.names.append(text)
        for each in numbers(text):
            if each.kind == "number":
                assert each.value is not None
                self._take_number(each.value, each.unit)
                if "," in each.text:  # "1,234" may be two numbers of a list
                    for part in DIGITS_WITHIN.findall(each.text):
                        self.plain.add(Decimal(part))
            if each.day is not None:
                self._take_day(each.day)
            if each.clock:
                self.clocks.add(each.clock)

    def _take_key(self, key: str) -> None:
        """A field's name: `last_7_days` says 7, and `p95_ms` says what p95 is."""
        if key.isidentifier():
            self.names += [key, key.replace("_", " ")]
            for digits in DIGITS_WITHIN.findall(key):
                self.plain.add(Decimal(digits))
        else:
            self._take_text(key)

    def _take_date(self, value: date) -> None:
        self._take_day((value.year, value.month, value.day))
        if isinstance(value, datetime):
            self.clocks.add(f"{value:%H:%M}")

    def _take_day(self, day: Day) -> None:
        self.days.add(day)
        if day[0] is not None:
            self.plain.add(Decimal(day[0]))  # "in 2026"


def _readings(unit: str) -> Iterator[tuple[str, Decimal]]:
    """What a number of that unit may be among the facts: of which values, and times how much."""
    if unit in PERCENT:
        yield "percents", Decimal(1)
        yield "plain", Decimal("0.01")
        return
    if unit in SCALES:
        yield "plain", SCALES[unit]
        return
    yield "plain", Decimal(1)
    if unit in DURATIONS_MS:
        yield "ms", DURATIONS_MS[unit]
    if unit == "m":
        yield "plain", SCALES["M"]
    if unit in {"cent", "cents", "¢"}:
        yield "plain", Decimal("0.01")
    for factor in SIZES.get(unit, ()):
        yield "plain", factor


def _unit_of(name: str) -> str:
    """The unit that a field's name ends with: `duration_ms`, `spent_percent`."""
    last = name.rpartition("_")[2]
    return last if last in DURATIONS_MS or last in PERCENT else ""
