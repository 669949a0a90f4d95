"""What there is to know of a model, and where the model files are. Reading the files is `sql_file`'s work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from oplake import settings
from oplake.lake.spec import Column, TableSpec
from oplake.models.header import Question

if TYPE_CHECKING:
    from oplake.models.lineage import Source

QUERIES = "queries"
"""Folder of ad-hoc queries beside the schemas; it holds no models."""


@dataclass(frozen=True)
class OutputColumn:
    """A column of a model. `type` is what its table holds; `low` and `high` bound its values, inclusive."""

    name: str
    description: str
    type: pa.DataType
    is_not_null: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Model:
    """A model file that has been read, checked and bound.

    `sql` is the text of the file and takes the parameters named in `parameters` (dates); of the functions that it
    calls, those in `functions` are Python's. `window` is the first and last day that a day reads, relative to itself;
    `narrower` has those of tables of which it reads less. `settles` is how far into the next day time alone may still
    change it. `alert` says what it means that there are rows, where people should know of them.
    """

    name: str
    path: Path
    description: str
    grain: tuple[str, ...]
    partition: Literal["day"] | None
    window: tuple[int, int]
    narrower: Mapping[str, tuple[int, int]]
    settles: timedelta | None
    alert: str | None
    not_portable: str | None
    question: Question | None
    columns: tuple[OutputColumn, ...]
    dependencies: frozenset[str]
    parameters: frozenset[str]
    functions: tuple[str, ...]
    sql: str
    code_version: str
    input_types: Mapping[str, Mapping[str, str]] = field(repr=False)

    def window_of(self, table: str) -> tuple[int, int]:
        """First and last day of a dependency that a day reads, relative to itself."""
        return self.narrower.get(table, self.window)

    @property
    def summary(self) -> str:
        """The first line of the description."""
        return self.description.partition("\n")[0]

    @property
    def spec(self) -> TableSpec:
        """The table as the lake has to know it.

        Columns stay nullable there, so that an unwanted null is a failed check with its rows, not a failed write.
        """
        return TableSpec(
            name=self.name,
            description=self.description,
            columns=tuple(Column(column.name, column.type, column.description) for column in self.columns),
            partition_by_day=self.partition == "day",
            sort_by=self.grain,
            grain=self.grain,
        )

    @cached_property
    def lineage(self) -> Mapping[str, list[Source]]:
        """For each column, the (table, column) pairs that its values are made from, sorted.

        A constant has none. Columns that only decide which rows there are (filters, join keys) are not listed.
        """
        from oplake.models.lineage import column_lineage  # sqlglot takes a while to load, and lineage is kept

        return column_lineage(self.sql, self.input_types)


@dataclass(frozen=True)
class Models:
    """The models of a folder, upstream first."""

    models: tuple[Model, ...]

    def __iter__(self) -> Iterator[Model]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def __getitem__(self, name: str) -> Model:
        """The model of that name.

        Raises:
            KeyError: There is none.
        """
        for model in self.models:
            if model.name == name:
                return model
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(model.name == name for model in self.models)


@dataclass(frozen=True)
class Query:
    """An ad-hoc query to start from: one SELECT over the lake's views, without parameters."""

    name: str
    path: Path
    description: str
    sql: str


def sql_folder() -> Path:
    """The folder of the model files: the checkout's `sql/`, else the copy in the wheel.

    In a checkout the copy is never read: an editable install leaves a stale one behind.
    """
    if settings.is_checkout():
        return settings.CHECKOUT / "sql"
    return Path(str(files("oplake") / "sql"))
