"""The numbers that a text states, with the precision at which it states them. What they mean is not known here.

Read are whole numbers and decimals, with separators of thousands, signs, currencies and units; percentages; words from
zero to twelve, without "one", which is mostly no number; ranges; dates and times. Names with digits in them, such as
`gpt-4o`, are told apart, and ids of evidence (`[n3]`) are left out. Notation is that of English; digits may be of any
script, and stand within writing that has no spaces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, TypeAlias

from oplake.synthesis.cites import CITE

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WORDS = ("zero", "", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
SCALES: Mapping[str, Decimal] = MappingProxyType(
    {"k": Decimal(1000), "K": Decimal(1000), "thousand": Decimal(1000)}
    | dict.fromkeys(("M", "mn", "million"), Decimal(10**6))
    | dict.fromkeys(("B", "bn", "billion"), Decimal(10**9))
)
DURATIONS_MS: Mapping[str, Decimal] = MappingProxyType(
    {"ms": Decimal(1)}
    | dict.fromkeys(("s", "sec", "secs", "second", "seconds"), Decimal(1000))
    | dict.fromkeys(("m", "min", "mins", "minute", "minutes"), Decimal(60_000))
    | dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), Decimal(3_600_000))
    | dict.fromkeys(("d", "day", "days"), Decimal(86_400_000))
)
SIZES: Mapping[str, tuple[Decimal, ...]] = MappingProxyType(
    {
        f"{prefix}{end}": (Decimal(1000) ** power, Decimal(1024) ** power)
        for power, prefix in ((1, "k"), (1, "K"), (2, "M"), (3, "G"), (4, "T"))
        for end in ("B", "iB")
    }
)
PERCENT = ("%", "percent", "per cent", "pct", "percentage points", "percentage point", "pp")
ORDINAL = ("st", "nd", "rd", "th")
_UNITS = "|".join(
    re.escape(unit)
    for unit in sorted(
        [*SCALES, *DURATIONS_MS, *SIZES, *PERCENT, *ORDINAL, "cents", "cent", "¢", "x", "×"], key=len, reverse=True
    )
)
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)\b\.?"
)
_DIGITS = (
    r"(?:[0-9]{1,3}(?:[,\u00a0\u202f][0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2}(?!\w))?"
    r"|(?<![\w.])\.[0-9]+"
)
_SIGN = r"(?:(?<![^\s(\[{\"'=:~≈])[-−–+])?"
_TOKEN = re.compile(
    rf"""
    (?P<cite>{CITE.pattern})
    | (?P<name>https?://\S*[\w/])
    | (?P<date>(?<![\w-])(?P<year>[0-9]{{4}})-(?P<month>[01][0-9])(?:-(?P<day>[0-3][0-9]))?
        (?:[T\s](?P<clock>[0-2][0-9]:[0-5][0-9])(?::[0-5][0-9](?:[.,][0-9]+)?)?(?:Z|[+-][0-9]{{2}}:?[0-9]{{2}})?)?
        (?![\w-]))
    | (?P<spoken>(?:\b(?P<day_before>[0-3]?[0-9])(?:st|nd|rd|th)?\s(?:of\s)?(?P<month_after>{_MONTH})
        |\b(?P<month_before>{_MONTH})\s(?P<day_after>[0-3]?[0-9])(?:st|nd|rd|th)?)
        (?:,?\s(?P<spoken_year>[0-9]{{4}})(?![\w-]))?(?![\w%]))
    | (?P<time>(?<![\w:.])(?P<hour>[0-2]?[0-9]):(?P<minute>[0-5][0-9])(?::[0-5][0-9](?:\.[0-9]+)?)?
        (?:\s?(?P<half>[ap]m)\b)?(?![\w:]))
    | (?P<long>(?<!\w)(?:[0-9]+(?:\.[0-9]+){{2,}}(?:[\w.-]*\w)?
        |[0-9a-fA-F]{{8}}-(?:[0-9a-fA-F]{{4}}-){{3}}[0-9a-fA-F]{{12}}))(?!\w)
    | (?P<word_name>(?<!\w)[^\W\d]\w*(?:[./:@\#-]\w+)*)
    | (?P<number>(?P<sign>{_SIGN})(?P<currency>(?:US)?[$€£]\s?)?(?P<digits>{_DIGITS})
        (?:[\s-]?(?P<unit>{_UNITS}))?(?!\w))
    | (?P<mixed>[0-9]\w*(?:[./:@\#-]\w+)*)
    """,
    re.VERBOSE,
)
_SPELLED = re.compile(
    rf"(?i:(?<![\w-])(?P<word>{'|'.join(filter(None, _WORDS))})(?![\w-]))(?:[\s-](?P<unit>{_UNITS})(?!\w))?"
)
DIGITS_WITHIN = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_NO_SPACES = re.compile(r"[\u0e00-\u0eff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff01-\uff04\uff06-\uff0f]")
_BETWEEN = re.compile(r"\s?[-–—]\s?|\sto\s")  # the two numbers of a range
_ABOUT = re.compile(
    r"(?i:[~≈]|\b(?:about|around|approximately|approx\.|roughly|nearly|almost|some|over|more than|under|less than))\s?$"
)

Kind: TypeAlias = Literal["number", "name", "date", "time"]
Day: TypeAlias = tuple[int | None, int, int | None]  # year, month and day of the month, as far as they are said


@dataclass(frozen=True)
class Number:
    """A number of a text, or what is no number but has digits in it."""

    text: str  # as it stands there, with its sign and unit
    start: int  # where it stands
    kind: Kind = "number"
    value: Decimal | None = None  # of a name the one number in it, if it has one
    step: Decimal = Decimal(1)  # the precision at which it is stated: 0.01 of "0.42"
    unit: str = ""
    is_signed: bool = False
    day: Day | None = None  # of a number one that it may be
    clock: str = ""  # a time's HH:MM


def numbers(text: str) -> list[Number]:
    """The numbers of a text in their order."""
    readable = text if text.isascii() else "".join(map(_readable, text))
    found = sorted([*_written(readable), *_spelled(readable)], key=lambda each: each.start)
    for index in range(len(found) - 1):
        first, second = found[index : index + 2]
        if _BETWEEN.fullmatch(readable, first.start + len(first.text), second.start):
            found[index : index + 2] = _range(first, second)
    return [replace(each, text=text[each.start : each.start + len(each.text)]) for each in found]


def _range(first: Number, second: Number) -> tuple[Number, Number]:
    """The two numbers of a range: of "2-5 s" both are seconds, of "5-11 January" both may be days."""
    match first.kind, second.kind:
        case "number", "number" if not first.unit:
            first = replace(first, unit=second.unit)
        case "number", "date" if second.day:
            first = _perhaps_day(first, second.day)
        case "date", "number" if first.day:
            second = _perhaps_day(second, first.day)
    return first, second


def _perhaps_day(number: Number, other: Day) -> Number:
    year, month, _ = other
    is_plain = not number.unit and not number.is_signed and number.step == 1
    return replace(number, day=(year, month, int(number.value or 0))) if is_plain else number


def _readable(letter: str) -> str:
    """A letter as the patterns read it, one for one: digits are Arabic, and writing without spaces parts numbers."""
    if letter.isdecimal():
        return str(unicodedata.decimal(letter))
    return "%" if letter == "％" else " " if _NO_SPACES.match(letter) else letter


def _written(text: str) -> Iterator[Number]:
    for found in _TOKEN.finditer(text):
        number = Number(found[0], found.start())
        if found["number"] is not None:
            digits, sign = re.sub("[,\u00a0\u202f]", "", found["digits"]), found["sign"]
            value = Decimal(digits)
            step = Decimal(1).scaleb(int(value.as_tuple().exponent))
            if _ABOUT.search(text, max(0, found.start() - 20), found.start()):  # "about 1,200" is stated to hundreds
                rounded = Decimal(1).scaleb(int(value.normalize().as_tuple().exponent))
                step = max(step, min(rounded, value / 10))
            value = -value if sign in {"-", "−", "–"} else value
            yield replace(number, value=value, step=step, unit=found["unit"] or "", is_signed=bool(sign))
        elif found["date"] is not None:
            day_of_month = int(found["day"]) if found["day"] else None
            day: Day = (int(found["year"]), int(found["month"]), day_of_month)
            yield replace(number, kind="date", day=day, clock=found["clock"] or "")
        elif found["spoken"] is not None:
            month = _MONTHS.index((found["month_after"] or found["month_before"])[:3]) + 1
            year = int(found["spoken_year"]) if found["spoken_year"] else None
            day = (year, month, int(found["day_before"] or found["day_after"]))
            yield replace(number, kind="date", day=day)
        elif found["time"] is not None:
            hour = int(found["hour"]) % 12 + 12 * (found["half"] == "pm") if found["half"] else int(found["hour"])
            yield replace(number, kind="time", clock=f"{hour:02}:{found['minute']}")
        elif found["cite"] is None and DIGITS_WITHIN.search(found[0]):
            within = DIGITS_WITHIN.findall(found[0])
            only = Decimal(within[0]) if len(within) == 1 and within[0].count(".") < 2 else None
            step = Decimal(1) if only is None else Decimal(1).scaleb(int(only.as_tuple().exponent))
            yield replace(number, kind="name", value=only, step=step)


def _spelled(text: str) -> Iterator[Number]:
    for found in _SPELLED.finditer(text):
        value = Decimal(_WORDS.index(found["word"].lower()))
        yield Number(found[0], found.start(), value=value, unit=found["unit"] or "")


def shortened(text: str, room: int) -> str:
    """A text of so many characters at most, cut after a word; of a number nothing is cut, for what is left would be
    another one."""
    if len(text) <= room:
        return text
    end = text.rfind(" ", 0, room) if " " in text[:room] else room - 1
    whole = {(each.start, each.text) for each in numbers(text)}
    while others := [each.start for each in numbers(text[:end]) if (each.start, each.text) not in whole]:
        end = others[0]
    return text[:end].rstrip() + "…"
