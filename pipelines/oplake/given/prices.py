"""`sessions.prices`: what the tokens of each model cost, from when: the list of genai-prices, and rows of one's own.

Taken over are prices of text tokens, with their dates and their tiers of input length. Left out is what no turn tells:
prices by the time of day, by service tier, of images, audio, searches and hours. Nothing here computes a cost.

Own rows stand in `prices.csv` of the home. Each goes before the list's price of the same type of token at that date,
and leaves the list's other prices of the model as they are:

    provider,model,token_type,usd_per_mtok,valid_from,from_input_tokens
    ollama,gpt-oss:*,input,0.05,,
    openai,gpt-5.2,output,12.50,2026-03-01,

`*` in a provider or model stands for any text. `token_type` is input, output, cache_read, cache_write, cache_write_1h
(what is kept for an hour, where that costs more) or reasoning. Where nobody has a price for what is kept for an hour it
costs what cache_write costs; where nobody has one of the others, their tokens cost what input and output cost.
`valid_from` (default: always) and `from_input_tokens` (default: 0, for calls with at least so many input tokens) may be
left out. A row that cannot be used is named, with its line and the reason; the others stand.
"""

from __future__ import annotations

import csv
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from importlib.metadata import version
from itertools import pairwise, permutations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import re2

from oplake.events import INT_MAX
from oplake.lake.spec import Column, TableSpec

if TYPE_CHECKING:
    from genai_prices.types import MatchLogic, ModelInfo, ModelPrice, Provider

PACKAGE = "genai-prices"
TOKEN_TYPES: Mapping[str, str] = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
}
"""Our name of each type of token that is priced, and the list's."""

ALWAYS = date(1970, 1, 1)  # before any turn; the beginning of prices that have no date
PRICE_DIGITS, PRICE_SCALE = 18, 9  # of US dollars per million tokens: the list's finest price has 6 places
MOST_USD_PER_MTOK = 1_000_000  # more than a dollar a token is a slip of the pen; it also keeps costs within their type
OWN_COLUMNS = ("provider", "model", "token_type", "usd_per_mtok", "valid_from", "from_input_tokens")
OWN_REQUIRED = OWN_COLUMNS[:4]

PRICES = TableSpec(
    name="sessions.prices",
    description="What the tokens of each model cost, and from when. One row per price. They make nothing stale by "
    "themselves: days that are made get the prices of the moment, `oplake reprice` makes days of old again.",
    columns=(
        Column("priority", pa.int64(), "the entry; of those that fit a turn the lowest counts", is_nullable=False),
        Column("source", pa.string(), "genai-prices with its version, or prices.csv", is_nullable=False),
        Column(
            "is_own",
            pa.bool_(),
            "whether it stands in prices.csv: it replaces only the price of its token type",
            is_nullable=False,
        ),
        Column("provider", pa.string(), "who serves the model", is_nullable=False),
        Column("model", pa.string(), "the model", is_nullable=False),
        Column("provider_pattern", pa.string(), "what a turn's provider matches, in lower case", is_nullable=False),
        Column("model_pattern", pa.string(), "what a turn's model matches, in lower case", is_nullable=False),
        Column("token_type", pa.string(), ", ".join(TOKEN_TYPES), is_nullable=False),
        Column("valid_from", pa.date32(), "first day (UTC) of the price", is_nullable=False),
        Column("valid_until", pa.date32(), "first day (UTC) on which it does not hold any more; null: it holds"),
        Column("from_input_tokens", pa.int64(), "fewest input tokens of a turn that pays it", is_nullable=False),
        Column("until_input_tokens", pa.int64(), "input tokens from which another price holds; null: none does"),
        Column(
            "usd_per_mtok",
            pa.decimal128(PRICE_DIGITS, PRICE_SCALE),
            "price in US dollars per million tokens",
            is_nullable=False,
        ),
    ),
    partition_by_day=False,
    sort_by=("priority", "token_type", "valid_from", "from_input_tokens"),
    grain=("priority", "token_type", "valid_from", "from_input_tokens"),
)


class _Period(NamedTuple):
    """The prices of one type of token from one day on: (fewest input tokens, price), ascending; none: no price."""

    valid_from: date
    tiers: tuple[tuple[int, Decimal], ...]


@dataclass
class Entry:
    """The prices of one model of one provider, and which turns they fit."""

    source: str
    provider: str
    model: str
    provider_pattern: str
    model_pattern: str
    periods: dict[str, list[_Period]] = field(default_factory=dict)  # by token type, ascending
    is_own: bool = False


def fingerprint(own: Path) -> str:
    """Hash of all that the rows come of: the list's version, the file of one's own, and this code."""
    digest = sha256(f"{PACKAGE} {version(PACKAGE)}".encode() + Path(__file__).read_bytes())
    if own.is_file():
        digest.update(own.read_bytes())
    return digest.hexdigest()[:16]


def rows(own: Path) -> tuple[pa.Table, tuple[str, ...]]:
    """The rows of the table, and what is wrong with rows of the file, which need not be there."""
    entries, problems = own_entries(own.read_bytes(), own.name) if own.is_file() else ([], [])
    return table_of([*entries, *list_entries()]), tuple(problems)


def table_of(entries: Iterable[Entry]) -> pa.Table:
    """The rows of entries, of which earlier ones go before later ones."""
    made = [row for priority, entry in enumerate(entries) for row in _rows(entry, priority)]
    table = pa.Table.from_pylist(made, schema=PRICES.arrow_schema)
    return table.sort_by([(name, "ascending") for name in PRICES.sort_by])


def _rows(entry: Entry, priority: int) -> Iterator[dict[str, object]]:
    """The table's rows of an entry: each price holds until the next, by date and by input length."""
    for token_type, periods in entry.periods.items():
        for period, later in pairwise([*periods, None]):
            assert period is not None
            for (least, usd), above in pairwise([*period.tiers, None]):  # type: ignore[misc]  # only the last is None
                yield {
                    "priority": priority,
                    "source": entry.source,
                    "is_own": entry.is_own,
                    "provider": entry.provider,
                    "model": entry.model,
                    "provider_pattern": entry.provider_pattern,
                    "model_pattern": entry.model_pattern,
                    "token_type": token_type,
                    "valid_from": period.valid_from,
                    "valid_until": later.valid_from if later else None,
                    "from_input_tokens": least,
                    "until_input_tokens": above[0] if above else None,
                    "usd_per_mtok": usd,
                }


# --- the list --------------------------------------------------------------------------------------------------------


def list_entries() -> Iterator[Entry]:
    """The entries of genai-prices, in the order in which it looks: a provider's own models, then those it resells.

    A provider whose id another one's pattern would take for its own comes before all such.
    """
    from genai_prices.data import providers  # a third of a second to load, and needed only when something changed

    source = f"{PACKAGE} {version(PACKAGE)}"  # asked once: it reads a file
    by_id = {provider.id: provider for provider in providers}

    def is_taken(id_: str) -> bool:
        return any(each.id != id_ and each.provider_match and each.provider_match.is_match(id_) for each in providers)

    for provider in sorted(providers, key=lambda each: not is_taken(each.id)):
        resold = [model for name in provider.fallback_model_providers or () for model in by_id[name].models]
        told = [(model, _pattern(model.match)) for model in [*provider.models, *resold]]
        for model, pattern in sorted(told, key=lambda each: each[1].is_loose):
            periods = periods_of(model)
            if pattern.text and periods:
                named = _provider_pattern(provider, model)
                yield Entry(source, provider.id, model.id, named, pattern.text, periods)


def _provider_pattern(provider: Provider, model: ModelInfo) -> str:
    """What turns call the provider; nothing, where the name of the model alone tells who serves it."""
    parts = [f"^{_escaped(provider.id)}$"]
    if provider.provider_match:
        parts.append(_pattern(provider.provider_match).text)
    if provider.model_match and provider.model_match.is_match(model.id):
        parts.append("^$")
    return "|".join(part for part in parts if part)


class _Pattern(NamedTuple):
    """A regular expression for RE2, empty when there is none; a loose one matches more than it should."""

    text: str
    is_loose: bool = False


def _pattern(match: MatchLogic) -> _Pattern:
    """The list's rule for names as one regular expression, for names in lower case."""
    from genai_prices import types

    if isinstance(match, types.ClauseEquals):
        return _Pattern(f"^{_escaped(match.equals)}$")
    if isinstance(match, types.ClauseStartsWith):
        return _Pattern(f"^{_escaped(match.starts_with)}")
    if isinstance(match, types.ClauseEndsWith):
        return _Pattern(f"{_escaped(match.ends_with)}$")
    if isinstance(match, types.ClauseContains):
        return _Pattern(_escaped(match.contains))
    if isinstance(match, types.ClauseRegex):
        return _Pattern(match.regex if _is_for_re2(match.regex) else "")
    if isinstance(match, types.ClauseOr):
        parts = [_pattern(part) for part in match.or_]
        return _Pattern("|".join(part.text for part in parts if part.text), any(part.is_loose for part in parts))
    if all(isinstance(part, types.ClauseContains) for part in match.and_):
        texts = [_pattern(part).text for part in match.and_]
        return _Pattern("|".join(".*".join(some) for some in permutations(texts)))
    # What RE2 cannot say is always `but not ...`: behind the entries for just that, the rest of the rule will do.
    known = [part for part in map(_pattern, match.and_) if part.text]
    return _Pattern(known[0].text, is_loose=True) if len(known) == 1 else _Pattern("")


def _is_for_re2(regex: str) -> bool:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(regex, options)
    except re2.error:
        return False
    return True


def _escaped(text: str) -> str:
    """A text in lower case as a regular expression that still can be read."""
    return re.sub(r"([\\.^$*+?()\[\]{}|])", r"\\\1", text.lower())


def periods_of(model: ModelInfo) -> dict[str, list[_Period]]:
    """The prices of a model by type of token, each from its day on."""
    from genai_prices.types import ConditionalPrice, StartDateConstraint

    first, *others = model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)]
    dated = {ALWAYS: first.prices}
    dated |= {
        each.constraint.start_date: each.prices for each in others if isinstance(each.constraint, StartDateConstraint)
    }
    made = {
        ours: [_Period(day, _tiers(prices, theirs)) for day, prices in sorted(dated.items())]
        for ours, theirs in TOKEN_TYPES.items()
    }
    return {token_type: periods for token_type, periods in made.items() if any(period.tiers for period in periods)}


def _tiers(prices: ModelPrice, key: str) -> tuple[tuple[int, Decimal], ...]:
    """Fewest input tokens and price; a tier of the list begins above its number."""
    from genai_prices.types import TieredPrices

    price = prices.__dict__.get(key)
    if price is None:
        return ()
    if isinstance(price, TieredPrices):
        return ((0, _rounded(price.base)), *((tier.start + 1, _rounded(tier.price)) for tier in price.tiers))
    return ((0, _rounded(price)),)


def _rounded(usd_per_mtok: Decimal) -> Decimal:
    return round(usd_per_mtok, PRICE_SCALE)


# --- one's own -------------------------------------------------------------------------------------------------------


class _OwnRow(NamedTuple):
    provider: str
    model: str
    token_type: str
    usd_per_mtok: Decimal
    valid_from: date
    from_input_tokens: int

    @property
    def key(self) -> tuple[object, ...]:
        """What no two rows may share."""
        return (self.provider, self.model, self.token_type, self.valid_from, self.from_input_tokens)


def own_entries(content: bytes, name: str) -> tuple[list[Entry], list[str]]:
    """The entries of a file of that name, and what is wrong with its rows: place and reason."""
    problems: list[str] = []
    found: dict[tuple[object, ...], tuple[int, _OwnRow]] = {}
    for line, cells in _csv_rows(content, name, problems):
        try:
            row = _own_row(cells)
            if row.key in found:
                raise ValueError(f"says again what line {found[row.key][0]} says; keep one of them")
            found[row.key] = (line, row)
        except ValueError as error:
            problems.append(f"{name}, line {line}: {error}")
    return _own_grouped(name, [row for _, row in found.values()]), problems


def _csv_rows(content: bytes, file: str, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows with their lines, as columns and cells; what cannot even be read as such is added to `problems`."""
    lines = content.removeprefix(BOM_UTF8).decode(errors="replace").splitlines()
    header = next(csv.reader(lines[:1]), [])
    names = [name.strip() for name in header]
    missing = [name for name in OWN_REQUIRED if name not in names]
    unknown = [name for name in names if name not in OWN_COLUMNS]
    if missing or unknown or len(set(names)) < len(names):
        problems.append(
            f"{file}, line 1: its columns are {', '.join(names) or 'missing'}; they must be "
            f"{', '.join(OWN_COLUMNS)}, the last two at will. No row of it is used"
        )
        return
    for number, line in enumerate(lines[1:], 2):  # no cell goes over lines, so that one bad quote spoils only its own
        try:
            cells = next(csv.reader([line], strict=True), [])
            if not any(cell.strip() for cell in cells) or line.startswith("#"):
                continue
            if len(cells) != len(names):
                raise ValueError(f"has {len(cells)} cells for {len(names)} columns")
            if "\ufffd" in line:
                raise ValueError("is not in UTF-8")
        except (csv.Error, ValueError) as error:
            problems.append(f"{file}, line {number}: {error}")
            continue
        yield number, {name: cell.strip() for name, cell in zip(names, cells, strict=True)}


def _own_row(cells: Mapping[str, str]) -> _OwnRow:
    """A row of the file.

    Raises:
        ValueError: A cell does not hold what its column needs.
    """
    for name in OWN_REQUIRED:
        if not cells[name]:
            raise ValueError(f"{name} is empty")
    if cells["token_type"] not in TOKEN_TYPES:
        raise ValueError(f"token_type is {cells['token_type']!r}; there are {', '.join(TOKEN_TYPES)}")
    try:
        usd = Decimal(cells["usd_per_mtok"])
    except InvalidOperation:
        raise ValueError(f"usd_per_mtok is {cells['usd_per_mtok']!r}, not a number such as 0.25") from None
    if not (usd.is_finite() and 0 <= usd < MOST_USD_PER_MTOK):
        raise ValueError(f"usd_per_mtok is {usd}; it must be from 0 to below {MOST_USD_PER_MTOK:,}")
    day, tokens = cells.get("valid_from", ""), cells.get("from_input_tokens", "") or "0"
    try:
        valid_from = date.fromisoformat(day) if day else ALWAYS
    except ValueError:
        raise ValueError(f"valid_from is {day!r}, not a day such as 2026-03-01") from None
    if not (tokens.isascii() and tokens.isdigit() and int(tokens) <= INT_MAX):
        raise ValueError(f"from_input_tokens is {tokens!r}, not a number such as 200000")
    return _OwnRow(cells["provider"], cells["model"], cells["token_type"], _rounded(usd), valid_from, int(tokens))


def _own_grouped(source: str, own: Iterable[_OwnRow]) -> list[Entry]:
    """Rows put together by provider and model, those without a `*` first, for they say it more exactly."""
    entries: dict[tuple[str, str], Entry] = {}
    for row in sorted(own, key=lambda row: ("*" in row.model, "*" in row.provider, *row.key)):
        entry = entries.setdefault(
            (row.provider, row.model),
            Entry(source, row.provider, row.model, _own_pattern(row.provider), _own_pattern(row.model), is_own=True),
        )
        periods = entry.periods.setdefault(row.token_type, [])
        if not periods or periods[-1].valid_from != row.valid_from:
            periods.append(_Period(row.valid_from, ()))
        periods[-1] = _Period(row.valid_from, (*periods[-1].tiers, (row.from_input_tokens, row.usd_per_mtok)))
    return list(entries.values())


def _own_pattern(name: str) -> str:
    return f"^{'.*'.join(_escaped(part) for part in name.split('*'))}$"
