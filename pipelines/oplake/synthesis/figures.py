"""The numbers that a text states, with the precision at which it states them. What they mean is not known here.

Read are whole numbers and decimals, with separators of thousands, signs, currencies and units; percentages; ranges;
dates and times. Names with digits in them, such as `gpt-4o`, are told apart, and ids of evidence (`[n3]`) are left out.
Notation is that of English; digits may be of any script, and stand within writing that has no spaces.

Words are read, too: `forty-two percent`, `a hundred and five`, `two dozen`, `twice`, `half of them`, `half an hour`,
`two thirds`, and `½`. "One" by itself is mostly no number, "the second half" no share, and "several", "dozens" or
"doubled" name none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, TypeAlias

from oplake.synthesis.cites import CITE

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS: Mapping[str, int] = MappingProxyType(
    {"zero": 0, "a": 1, "twice": 2, "thrice": 3}
    | {word: n for n, word in enumerate([*_ONES, *_TEENS], 1)}
    | {word: n for n, word in zip(range(20, 100, 10), _TENS, strict=True)}
)
_MANY: Mapping[str, int] = MappingProxyType(
    {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
)
_PARTS: Mapping[str, int] = MappingProxyType(
    {"half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fifth": 5, "fifths": 5}
    | {"tenth": 10, "tenths": 10}
)
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
_SHARE_STEP = Decimal("0.01")  # the precision at which a share in words is stated
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
    | (?P<vulgar>(?P<wholes>(?<!\w)[0-9]+)?(?P<part>[\u00bc-\u00be\u2150-\u215e])(?:[\s-]?(?P<part_of>{_UNITS}))?(?!\w))
    | (?P<word_name>(?<!\w)[^\W\d]\w*(?:[./:@\#-]\w+)*)
    | (?P<number>(?P<sign>{_SIGN})(?P<currency>(?:US)?[$€£]\s?)?(?P<digits>{_DIGITS})
        (?:[\s-]?(?P<unit>{_UNITS}))?(?!\w))
    | (?P<mixed>[0-9]\w*(?:[./:@\#-]\w+)*)
    """,
    re.VERBOSE,
)
_BELOW_100 = rf"(?:(?:{'|'.join(_TENS)})(?:[\s-](?:{'|'.join(_ONES)})\b)?|{'|'.join([*_TEENS, *_ONES])})\b"
_BELOW_1000 = rf"(?:(?:a|{_BELOW_100})[\s-]hundred\b(?:(?:\sand\s|[\s-]){_BELOW_100}(?!\shundred\b))?|{_BELOW_100})"
_THOUSANDS = rf"(?:(?:a|{_BELOW_1000})[\s-](?:thousand|million|billion)\b)"
_SPELLED = re.compile(
    rf"(?<![\w-])(?ai:(?P<words>{_THOUSANDS}(?:\s{_THOUSANDS})?"
    rf"(?:\s(?:and\s)?{_BELOW_1000}(?!\s(?:{'|'.join(_MANY)})\b))?"
    rf"|(?:a|{_BELOW_100})\sdozen\b|{_BELOW_1000}|zero\b|twice\b|thrice\b)(?P<and_half>\sand\sa\shalf\b)?)"
    rf"(?:[\s-](?P<unit>{_UNITS})(?!\w)|(?![\w-]))"
)
_SHARE = re.compile(
    rf"(?<![\w-])(?ai:(?:(?P<count>a|{'|'.join(_ONES)})[\s-])?(?P<part>{'|'.join(_PARTS)})\b)"
    rf"(?P<of>(?i:(?:\sof)?\san?\s)(?P<unit>dozen|{_UNITS})(?!\w)|(?=\s(?:of|all|the|these|those|its|their)\b))?(?![\w-])"
)
_WHICH = re.compile(r"(?i:\b(?:first|second|other|latter|last|next|later|earlier))\s$")  # such a half is no share
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
    every = sorted([*_written(readable), *_spelled(readable), *_shares(readable)], key=_place)
    found: list[Number] = []
    for each in every:  # "three" of "three quarters" is no number by itself
        if not found or each.start >= found[-1].start + len(found[-1].text):
            found.append(each)
    for index in range(len(found) - 1):
        first, second = found[index : index + 2]
        if _BETWEEN.fullmatch(readable, first.start + len(first.text), second.start):
            found[index : index + 2] = _range(first, second)
    return [replace(each, text=text[each.start : each.start + len(each.text)]) for each in found]


def _place(number: Number) -> tuple[int, int]:
    """Where a number stands; of two that begin there, the longer one is first."""
    return number.start, -len(number.text)


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
            step = _step(text, found.start(), value, step)
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
        elif found["vulgar"] is not None:
            value = int(found["wholes"] or 0) + Decimal(repr(unicodedata.numeric(found["part"])))
            yield replace(number, value=value, step=_SHARE_STEP, unit=found["part_of"] or "")
        elif found["cite"] is None and DIGITS_WITHIN.search(found[0]):
            within = DIGITS_WITHIN.findall(found[0])
            only = Decimal(within[0]) if len(within) == 1 and within[0].count(".") < 2 else None
            step = Decimal(1) if only is None else Decimal(1).scaleb(int(only.as_tuple().exponent))
            yield replace(number, kind="name", value=only, step=step)


def _step(text: str, start: int, value: Decimal, step: Decimal) -> Decimal:
    """The precision at which a number is stated that begins there: "about 1,200" is stated to hundreds."""
    if not _ABOUT.search(text, max(0, start - 20), start):
        return step
    rounded = Decimal(1).scaleb(int(value.normalize().as_tuple().exponent))
    return max(step, min(rounded, value / 10))


def _spelled(text: str) -> Iterator[Number]:
    """Numbers in words."""
    for found in _SPELLED.finditer(text):
        *words, last = (word for word in re.findall("[a-z]+", found["words"].lower()) if word != "and")
        unit = found["unit"] or ""
        if [*words, last] == ["one"] and unit not in PERCENT:
            continue
        if last in SCALES and not unit and not _MANY.keys() & set(words) - {"hundred"}:
            value, unit = _value(words), last  # "two thousand" is stated to thousands
        else:
            value = _value([*words, last])
        step = Decimal(1)
        if found["and_half"]:
            value, step = value + Decimal("0.5"), Decimal("0.1")
        yield Number(found[0], found.start(), value=value, step=_step(text, found.start(), value, step), unit=unit)


def _value(words: Sequence[str]) -> Decimal:
    """What words say together: `three hundred thousand five` is 3 * 100 * 1000 + 5."""
    whole = below = 0
    for word in words:
        if word not in _MANY:
            below += _WORDS[word]
        elif word in SCALES:
            whole, below = whole + below * _MANY[word], 0
        else:
            below *= _MANY[word]
    return Decimal(whole + below)


def _shares(text: str) -> Iterator[Number]:
    """Halves and other parts in words, where it is a part of something that they name."""
    for found in _SHARE.finditer(text):
        part, before = found["part"].lower(), max(0, found.start() - 20)
        count = _WORDS[(found["count"] or "a").lower()]
        is_counted = found["count"] is not None or part == "half"
        if not is_counted or (count == 1 and found["of"] is None) or _WHICH.search(text, before, found.start()):
            continue
        value, step, unit = Decimal(count) / _PARTS[part], _SHARE_STEP, found["unit"] or ""
        if unit == "dozen":
            value, step, unit = value * 12, Decimal(1), ""
        yield Number(found[0], found.start(), value=value, step=_step(text, found.start(), value, step), unit=unit)


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
