"""Tables that are given, not worked out: the price list, the budgets and the limits of playbooks.

Models read them like any other table. They come of settings, of files that people write and of packages; nothing that
lands makes them new. A table is written again when what it comes of has changed, which its last commit tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from oplake.given import budgets, limits, prices
from oplake.lake.commit import provenance
from oplake.lake.errors import SchemaChanged
from oplake.lake.spec import TableSpec
from oplake.lake.tables import Lake
from oplake.settings import Settings

GIVEN: tuple[TableSpec, ...] = (prices.PRICES, budgets.BUDGETS, limits.LIMITS)
"""Every such table."""


@dataclass(frozen=True)
class Given:
    """One such table under some settings. For staleness it is a model without days that reads nothing."""

    spec: TableSpec
    code_version: str  # hash of all that its rows come of
    rows: Callable[[], tuple[pa.Table, tuple[str, ...]]] = field(repr=False)  # and what could not be used, in words

    partition: None = None
    settles: None = None
    dependencies: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The table."""
        return self.spec.name

    def window_of(self, table: str) -> tuple[int, int]:
        """It reads nothing."""
        raise KeyError(table)


class Written(NamedTuple):
    """What writing a table left: its version, its rows, and what could not be used."""

    version: int
    row_count: int
    problems: tuple[str, ...]


def given_tables(settings: Settings) -> tuple[Given, ...]:
    """Every given table as these settings give it; the rows are made only when they are asked for."""
    return (
        Given(prices.PRICES, prices.fingerprint(settings.prices), lambda: prices.rows(settings.prices)),
        Given(budgets.BUDGETS, budgets.fingerprint(settings.budgets), lambda: (budgets.rows(settings.budgets), ())),
        Given(limits.LIMITS, limits.fingerprint(settings), lambda: (limits.rows(settings), ())),
    )


def write(lake: Lake, given: Given) -> Written:
    """Put a table's present rows in the place of those that it has."""
    try:
        lake.create(given.spec)
    except SchemaChanged:
        lake.recreate(given.spec)
    table, problems = given.rows()
    said = provenance(code_version=given.code_version, inputs={}, watermark=None)
    replaced = lake.replace(given.name, lambda: table, start=None, stop=None, metadata=said)
    return Written(replaced.version, replaced.row_count, problems)
