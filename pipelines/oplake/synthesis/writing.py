"""What a table that an author writes is: its partitions, whom or what its rows are about, and the columns all have.

Nothing here asks anybody or loads a client of models: the engine, the docs and the definitions read these declarations.
How rows are written is `write`'s; what each table knows and asks stands in `tables/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel

from oplake.lake.spec import Column, TableSpec

if TYPE_CHECKING:
    from oplake.settings import Settings
    from oplake.synthesis.facts import Facts
    from oplake.synthesis.wire import Tier

OK, RAW, STUB, FAILED = "ok", "raw", "stub", "failed"
OVER_BUDGET, OVER_CAP = "skipped: budget", "skipped: cap"
ANSWERED = frozenset({OK, RAW})
"""Statuses of rows that stand. All others are tried again for as long as their partition is."""

CHARTED = "series"
"""The fact that holds the days before for charts. No author is shown it, so no number is grounded by it."""

SETTLED = timedelta(hours=6, minutes=15)  # after a day's end its last actions are closed, and its tables final
COST_PLACES = 9  # of a dollar, as of all costs


@dataclass(frozen=True)
class Partition:
    """What is written at once: the rows about one stretch of time, which are kept under one day."""

    name: str  # as in `llm_call.partition`
    day: date
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Evidence:
    """What a cite such as `[n3]` leads to: rows of a table."""

    cite: str
    source: str  # the table
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """Whom or what a row is about, and what is known of it."""

    key: Mapping[str, Any]  # the columns that tell its row from the others of the partition
    facts: Mapping[str, Any]  # what the author is given; the embedded one takes its fields from `plain` first
    plain: Mapping[str, Any] = field(default_factory=dict)  # fields that are measured, for the author without a model
    fixed: Mapping[str, Any] = field(default_factory=dict)  # columns that no author writes
    evidence: tuple[Evidence, ...] = ()
    weight: int = 0  # those with most are written first
    is_stub: bool = False  # there is nothing to ask: `plain` is the row

    @property
    def user_id(self) -> str | None:
        """The user that it is about, if it is about one."""
        user: str | None = self.key.get("user_id")
        return user


@dataclass(frozen=True)
class Writing:
    """A table that an author writes."""

    spec: TableSpec
    schema: type[BaseModel]
    prompt: str  # the name of a file in prompts/
    tier: Tier
    max_tokens: int
    partitions: Callable[[date], Sequence[Partition]]
    subjects: Callable[[Facts, Partition, Settings], list[Subject]]
    reads: Mapping[str, tuple[int, int] | None]  # tables and the days of them; None for those without days
    earlier: Mapping[str, tuple[int, int] | None] = field(
        default_factory=dict
    )  # the same, of tables that read this one
    cap: Callable[[Settings], int] = lambda _: 1  # rows of a partition that are asked for in one run
    retried: timedelta = timedelta(days=7)  # how long after its end a partition is tried again
    settled: timedelta = SETTLED
    temperature: float = 0.4
    max_turns: int = 1

    @property
    def name(self) -> str:
        """The table."""
        return self.spec.name

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of a subject's key."""
        return tuple(name for name in self.spec.grain if name != "partition")

    def is_due(self, partition: Partition, now: datetime) -> bool:
        """Whether a schedule should write a partition: all that it tells of is known, and it is not too long ago."""
        return partition.end + self.settled <= now < partition.end + self.settled + self.retried

    def due_days(self, now: datetime, *, first: date) -> list[date]:
        """The days, from the first one of the models on, of which a schedule should write some partition."""
        back = (self.retried + self.settled).days + 2
        days = [now.date() - timedelta(days=n) for n in range(back, -1, -1)]
        return [day for day in days if day >= first and any(self.is_due(each, now) for each in self.partitions(day))]


def midnight(day: date) -> datetime:
    """The beginning of a day, in UTC."""
    return datetime.combine(day, time(), UTC)


def whole_day(day: date) -> list[Partition]:
    """The one partition of a table that is written by the day."""
    return [Partition(day.isoformat(), day, midnight(day), midnight(day + timedelta(days=1)))]


TEXTS = pa.list_(pa.string())
EVIDENCE = pa.list_(pa.struct([("cite", pa.string()), ("source", pa.string()), ("ids", pa.list_(pa.string()))]))
CLAIMS = pa.list_(pa.struct([("field", pa.string()), ("text", pa.string()), ("cites", pa.list_(pa.string()))]))

COMMON = (
    Column("status", pa.string(), "ok; raw: the answer fits no schema; stub: there was nothing to ask; skipped: budget "
           "or skipped: cap: not written yet; failed", is_nullable=False),
    Column("error", pa.string(), "why it was not written; null when it was"),
    Column("raw_summary", pa.string(), "the first 500 characters of an answer that fits no schema; else null"),
    Column("author", pa.string(), "the model that wrote it, or extractive; null when nobody was asked"),
    Column("provider", pa.string(), "who served the model; null when nobody was asked"),
    Column("facts", pa.string(), "what the author was given, as JSON", is_nullable=False),
    Column("evidence", EVIDENCE, "what the cites lead to: the table, and ids of its rows", is_nullable=False),
    Column("claims", CLAIMS, "the sentences, with the cites of each", is_nullable=False),
    Column("unknown_cites", TEXTS, "cites in it that lead nowhere", is_nullable=False),
    Column("ungrounded_numbers", TEXTS, "numbers in it that are not among the facts", is_nullable=False),
    Column("injection_flags", TEXTS, "patterns in what the author read that look like instructions", is_nullable=False),
    Column("score", pa.int64(), "how far its critic relies on it, 0 to 100; null without a critic"),
    Column("reasons", TEXTS, "the critic's reasons", is_nullable=False),
    Column("critique", pa.string(), "what the critic said; null without one"),
    Column("input_rows", pa.int64(), "rows of facts that the author was given", is_nullable=False),
    Column("cost_usd", pa.decimal128(18, COST_PLACES), "what it cost when it was written, in US dollars: 0 where "
           "earlier answers served; null when no price is known"),
    Column("input_tokens", pa.int64(), "tokens read for it", is_nullable=False),
    Column("output_tokens", pa.int64(), "tokens written for it", is_nullable=False),
    Column("duration_ms", pa.float64(), "time that models took, in milliseconds", is_nullable=False),
    Column("call_count", pa.int64(), "calls of models", is_nullable=False),
    Column("cached_count", pa.int64(), "those of them that an earlier answer served", is_nullable=False),
    Column("session_id", pa.string(), "the author's session: its turns and events are in landed.*"),
    Column("prompt_version", pa.string(), "hash of the prompts; null when nobody was asked"),
    Column("written_at", pa.timestamp("us", "UTC"), "when the row was written", is_nullable=False),
)  # fmt: skip
"""The columns that every written table has after its own."""


def written_spec(
    name: str, description: str, *, key: Sequence[Column], schema: type[BaseModel], fixed: Sequence[Column] = ()
) -> TableSpec:
    """The table of an author's rows: day, partition and key, what the author wrote, and how it came about.

    Args:
        name: The table.
        description: What a row is.
        key: Columns that tell the rows of a partition apart.
        schema: What the author answers; the description of each field is that of its column.
        fixed: Columns that no author writes.
    """
    return TableSpec(
        name=name,
        description=description,
        columns=(
            Column("day", pa.date32(), "the day (UTC) that it is kept under", is_nullable=False),
            Column("partition", pa.string(), "the stretch of time that it tells of, as in landed.llm_calls",
                   is_nullable=False),
            *key,
            *fixed,
            *(
                Column(each, _arrow(info.annotation), info.description or "")
                for each, info in schema.model_fields.items()
            ),
            *COMMON,
        ),
        partition_by_day=True,
        sort_by=("partition", *(column.name for column in key)),
        grain=("partition", *(column.name for column in key)),
    )  # fmt: skip


_PLAIN: Mapping[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def _arrow(kind: Any) -> pa.DataType:
    """The column of a field: texts, numbers, choices, and lists and objects of them."""
    origin = get_origin(kind)
    if origin is Literal:
        return pa.string()
    if origin in {Union, UnionType}:
        (inner,) = (each for each in get_args(kind) if each is not type(None))
        return _arrow(inner)
    if origin is list:
        return pa.list_(_arrow(get_args(kind)[0]))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return pa.struct([(name, _arrow(info.annotation)) for name, info in kind.model_fields.items()])
    return _PLAIN[kind]
