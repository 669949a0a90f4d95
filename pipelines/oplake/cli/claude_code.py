"""What `oplake import claude-code` shows of the transcripts it read: at most 80 columns, from counts alone.

What is estimated here, the cost, is estimated as `sessions.turns` does it: turn by turn, at list prices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, TypeVar

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from oplake.words import counted

if TYPE_CHECKING:
    from oplake.landing.importers import Imported
    from oplake.landing.importers.claude_code.history import History, ModelUse

_K = TypeVar("_K")
_V = TypeVar("_V")

ROWS = 8  # of a list; the tables have the rest
BAR_CELLS = 10  # of a bar from 0 to the most
PLACE_CHARS = 52  # of a path


@dataclass
class Estimate:
    """What turns cost: as charged where they say it, else at list prices."""

    by_model: dict[tuple[str, str], Decimal] = field(default_factory=dict)  # provider, model
    unpriced: Counter[str] = field(default_factory=Counter)  # turns of models without a price

    @property
    def usd(self) -> Decimal:
        """All of it that has a price."""
        return sum(self.by_model.values(), Decimal(0))


def estimate(models: Mapping[tuple[str, str, str], ModelUse]) -> Estimate:
    """What turns cost, by provider, model and day; a model without a price is unpriced, never 0."""
    from genai_prices import Usage, calc_price

    from oplake.landing.importers.claude_code.history import Tokens

    found = Estimate()
    for (provider, model, day), use in models.items():
        cost = Decimal(str(use.charged_usd))
        if use.uncharged:
            try:
                price = calc_price(
                    Usage(input_tokens=1),
                    model,
                    provider_id=provider,
                    genai_request_timestamp=datetime.fromisoformat(day).replace(tzinfo=UTC),
                ).model_price
            except LookupError:
                found.unpriced[model] += len(use.uncharged)
                if not use.charged_usd:
                    continue
            else:
                has_tiers = not isinstance(price.input_mtok, Decimal)
                parts = use.uncharged if has_tiers else [Tokens(*map(sum, zip(*use.uncharged, strict=True)))]
                for tokens in parts:
                    usage = Usage(**{f"{name}_tokens": count for name, count in tokens._asdict().items()})
                    cost += price.calc_price(usage)["total_price"]
        found.by_model[provider, model] = found.by_model.get((provider, model), Decimal(0)) + cost
    return found


def show(history: History, imported: Imported, cost: Estimate) -> RenderableType:
    """A history in words and tables, at most 80 columns wide."""
    parts: list[RenderableType] = [_headline(history, imported), _figures(history, cost), _models(history, cost)]
    if history.tools:
        parts.append(_tools(history))
    if history.edited:
        parts.append(_ranked("Files changed most", "patches", history.edited))
    if history.projects:
        parts.append(_ranked("Projects", "turns", history.projects))
    parts.append(_remarks(history, imported, cost))
    return Group(*(Padding(part, (1, 0, 0, 0)) for part in parts))


def _headline(history: History, imported: Imported) -> Text:
    days = f", {imported.first_ts:%Y-%m-%d} to {imported.last_ts:%Y-%m-%d}" if imported.first_ts else ""
    agents = f" and {counted(len(history.agents), 'sub-agent')}" if history.agents else ""
    return Text.assemble(
        ("Claude Code: ", "bold"), (counted(len(history.sessions), "session"), "bold cyan"), f"{agents}{days}"
    )


def _figures(history: History, cost: Estimate) -> Table:
    uses = history.models.values()
    read = sum(use.input_tokens for use in uses)
    cached = sum(use.cache_read_tokens for use in uses)
    written = sum(use.output_tokens for use in uses)
    calls = sum(use.calls for use in history.tools.values())
    failures = sum(use.failures for use in history.tools.values())
    patches, files = history.edited.total(), len(history.edited)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    table.add_row("turns", f"{history.turns:,}, of them {history.prompts:,} answer you")
    from_cache = f"{_share(cached, read)} of them from the cache"
    table.add_row("tokens", f"{_short(read)} read, {from_cache}; {_short(written)} written")
    table.add_row("tools", f"{counted(calls, 'call')}, {_share(failures, calls)} failed")
    if patches:
        table.add_row("changes", f"{counted(patches, 'patch', 'patches')} to {counted(files, 'file')}")
    if cost.by_model:
        how = "as charged, else at list prices" if any(use.charged_usd for use in uses) else "at list prices"
        table.add_row("cost", Text.assemble((_usd(cost.usd), "bold green"), f" {how}, whatever your plan is"))
    return table


def _models(history: History, cost: Estimate) -> Table:
    table = _table("Models")
    table.add_column("model", max_width=34, overflow="ellipsis", no_wrap=True)
    for name in ("turns", "read", "cached", "written", "cost"):
        table.add_column(name, justify="right")
    by_model: dict[tuple[str, str], list[int]] = {}
    for (provider, model, _), use in history.models.items():
        counts = by_model.setdefault((provider, model), [0, 0, 0, 0])
        figures = (use.turns, use.input_tokens, use.cache_read_tokens, use.output_tokens)
        by_model[provider, model] = [sum(pair) for pair in zip(counts, figures, strict=True)]
    for key, (turns, read, cached, written) in _most(by_model.items(), lambda item: item[1][0]):
        usd = cost.by_model.get(key)
        shown = "unpriced" if usd is None else _usd(usd)
        table.add_row(Text(key[1]), f"{turns:,}", _short(read), _share(cached, read), _short(written), shown)
    return table


def _tools(history: History) -> Table:
    table = _table("Tools used most")
    table.add_column("tool", max_width=34, overflow="ellipsis", no_wrap=True)
    table.add_column("calls", justify="right")
    table.add_column("")
    table.add_column("failed", justify="right")
    ranked = _most(history.tools.items(), lambda item: item[1].calls)
    for name, use in ranked:
        failed = Text(_share(use.failures, use.calls) if use.failures else "", "red" if use.failures else "")
        table.add_row(Text(name), f"{use.calls:,}", _bar(use.calls, ranked[0][1].calls), failed)
    return table


def _ranked(title: str, unit: str, counts: Counter[str]) -> Table:
    table = _table(title)
    table.add_column(unit, justify="right")
    table.add_column("")
    table.add_column("", max_width=PLACE_CHARS, no_wrap=True)
    ranked = _most(counts.items(), lambda item: item[1])
    for place, count in ranked:
        table.add_row(f"{count:,}", _bar(count, ranked[0][1]), Text(_end(place)))
    return table


def _remarks(history: History, imported: Imported, cost: Estimate) -> Text:
    lines = []
    if history.events:
        lines.append("Session events: " + _listed(history.events) + ".")
    if cost.unpriced:
        lines.append("Without a price: " + _listed(cost.unpriced) + " turns.")
    if history.repeated:
        lines.append(f"Lines that an earlier file has, too, and that count once: {history.repeated:,}.")
    if history.unfinished:
        lines.append(f"Still being written, and left to the next import: {history.unfinished:,}.")
    if history.not_taken:
        lines.append("Lines not taken: " + _listed(history.not_taken) + ".")
    if history.unknown:
        lines.append("Lines of types that this version does not know, not taken: " + _listed(history.unknown) + ".")
    if imported.rejected:
        rejects = counted(imported.rejected, "reject")
        lines.append(f"{rejects}, kept with what could not be used: oplake rejects, after oplake run.")
        first = imported.first_rejects[:ROWS]
        lines += [f"  {each.place.file}, line {each.place.line}: {each.reason}" for each in first]
    lines += [f"Not read: {path}: {reason}." for path, reason in history.unreadable.items()]
    return Text("\n".join(lines), style="dim")


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False
    )


def _most(items: Iterable[tuple[_K, _V]], size: Callable[[tuple[_K, _V]], int]) -> list[tuple[_K, _V]]:
    """The largest; of equals, those whose name comes first."""
    return sorted(sorted(items, key=lambda item: str(item[0])), key=size, reverse=True)[:ROWS]


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common())


def _short(count: int) -> str:
    """A large number in three figures or so."""
    for size, unit in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:.{1 if count < 100 * size else 0}f} {unit}"
    return f"{count:,}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "0%"


def _usd(amount: Decimal) -> str:
    return f"${amount:,.2f}" if amount >= Decimal("0.01") or not amount else "<$0.01"


def _bar(count: int, most: int) -> str:
    return "█" * max(round(count / most * BAR_CELLS), 1)


def _end(place: str) -> str:
    """The end of a path, which tells more than its beginning."""
    if len(place) <= PLACE_CHARS:
        return place
    parts = PurePath(place).parts
    while len(parts) > 1 and len("/".join(parts)) > PLACE_CHARS - 2:
        parts = parts[1:]
    return "…/" + "/".join(parts)[-(PLACE_CHARS - 2) :]
