"""Writing a table's partitions: whom to ask about, in which order, and what becomes of each row.

A row lands before it stands in its table, so the tables can be made again from landing without asking anybody. Rows
with an answer stay; a row that could not be written says why, and is tried again. One subject's failure never stops the
others. The table of a day is replaced in one commit, which says of which versions its rows were made.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import Any, Literal, get_args, get_origin

import duckdb
import msgspec
import pyarrow as pa
from duckdb import ColumnExpression, ConstantExpression
from pydantic import BaseModel

from oplake import events
from oplake.lake.commit import provenance
from oplake.lake.errors import SchemaChanged
from oplake.lake.spec import Column, TableSpec
from oplake.lake.tables import Lake
from oplake.settings import Settings
from oplake.synthesis import loop, writing
from oplake.synthesis.calls import Calls
from oplake.synthesis.cites import claims, unknown
from oplake.synthesis.errors import SynthesisError
from oplake.synthesis.facts import facts_of
from oplake.synthesis.grounding import ungrounded
from oplake.synthesis.memory import CLEAN, SOURCE, Memory, clean
from oplake.synthesis.prompts import render, version_of, without_length
from oplake.synthesis.spending import total
from oplake.synthesis.wire import json_schema
from oplake.synthesis.writing import COST_PLACES, Partition, Subject, Writing

log = logging.getLogger(__name__)

LOCK = "synthesis.lock"
PAUSE = 0.2  # seconds between attempts to take it
PART_CHARS = events.STRING_CHARS  # of a row's JSON in one event
NAME_CHARS = 16  # of a hash, as versions have
NAMING = ("user_id", "template")  # columns by which people know the rows of a partition
UNEQUAL = frozenset({"written_at", "cost_usd", "input_tokens", "output_tokens", "duration_ms", "cached_count"})
"""Columns in which a row that says the same again may differ: this time it cost nothing."""


class WriteBusy(SynthesisError):
    """Somebody else is writing; two at a time would pay for the same report twice."""


@dataclass
class Outcome:
    """What writing some days of a table came to."""

    table: str
    newest: str | None = None  # partition, where operator's notes are told; None until looked up, empty where in none
    rows: dict[date, list[dict[str, Any]]] = field(
        default_factory=dict
    )  # of every day that was looked at, as they stand
    new: int = 0  # rows written this time
    cost_usd: Decimal | None = Decimal()  # of these; None once a call has no price
    call_count: int = 0
    cached_count: int = 0
    failures: dict[str, str] = field(default_factory=dict)  # by partition and subject, with the reason
    kept: dict[str, str] = field(default_factory=dict)  # rows that stay, for a new attempt did worse: with its status

    def count(self, *statuses: str) -> int:
        """Rows of some statuses."""
        return sum(row["status"] in statuses for rows in self.rows.values() for row in rows)

    def listed(self, column: str) -> dict[str, str]:
        """What a column of lists holds, by the row."""
        return {
            _label(row["partition"], [row[name] for name in NAMING if name in row]): ", ".join(row[column])
            for rows in self.rows.values()
            for row in rows
            if row[column]
        }

    @property
    def left_out(self) -> int:
        """Rows that wait for the next run, or for money."""
        waiting = sum(status == writing.OVER_CAP for status in self.kept.values())
        return self.count(writing.OVER_BUDGET, writing.OVER_CAP) + waiting


@contextmanager
def only_writer(settings: Settings, *, patience: float = 0.0) -> Iterator[None]:
    """Holds what only one process may do at a time, whoever started it: Dagster's pool knows only of its own runs.

    Args:
        settings: The home.
        patience: Seconds to wait for another one.

    Raises:
        WriteBusy: The other one was still at it.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    end = time.monotonic() + patience
    is_told = False
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    raise WriteBusy(
                        f"another process is writing reports in {settings.home} (it holds {LOCK}); try again when it "
                        "has ended"
                    ) from error
            if not is_told:
                log.warning("another process is writing reports in %s; waiting for its end", settings.home)
                is_told = True
            time.sleep(PAUSE)
        yield
    finally:
        os.close(descriptor)


@dataclass
class Writer:
    """Writes tables of one run."""

    settings: Settings
    lake: Lake
    calls: Calls
    connection: duckdb.DuckDBPyConnection
    specs: Mapping[str, TableSpec]  # of every table of the lake
    clock: Callable[[], datetime]
    stamp: Callable[[], datetime] | None = None  # says when a row is written, where that is not what the clock says

    def write(
        self,
        what: Writing,
        days: Iterable[date],
        *,
        again: bool = False,
        only_due: bool = False,
        are_last: bool = True,
    ) -> Outcome:
        """Writes what is missing in the partitions of some days that are over.

        Args:
            what: The table.
            days: Its days.
            again: Whether to write rows anew that have an answer; where nothing changed, an earlier answer serves.
            only_due: Whether to leave alone partitions that a schedule would not write now: they are over, but not
                settled, or too long ago.
            are_last: Whether the run writes no later days of the table.

        Raises:
            LakeError: The table could not be read or written.
        """
        self._bring_up_to_date(what)
        now = self.clock()
        last = self._last_written(what)
        todo: dict[date, list[Partition]] = {}
        for day in sorted(days):
            over = [each for each in what.partitions(day) if each.end <= now]
            todo[day] = [each for each in over if what.is_due(each, now)] if only_due else over
        outcome = Outcome(what.name, newest=None if are_last else "")
        for day in todo:
            self._write_day(what, day, todo, last, outcome, again=again)
        return outcome

    def _bring_up_to_date(self, what: Writing) -> None:
        """Has the table stand with its present columns; where they are others now, with its rows as a rebuild has
        them."""
        names = [column.name for column in what.spec.columns]
        is_as_before = not self.lake.exists(what.name) or names == [
            column.name for column in self.lake.spec(what.name).columns
        ]
        try:
            self.lake.create(what.spec)
        except SchemaChanged:
            self.lake.recreate(what.spec)
            is_as_before = False
        if not is_as_before:
            restore(self.settings, self.lake, [what], now=self.clock(), memory=self.calls.memory)

    def _write_day(
        self,
        what: Writing,
        day: date,
        todo: Mapping[date, Sequence[Partition]],
        last: dict[tuple[Any, ...], str],
        outcome: Outcome,
        *,
        again: bool,
    ) -> None:
        standing = {_key(what, row): row for row in self._rows(what, day)}
        made: dict[tuple[Any, ...], dict[str, Any]] = {}
        versions: Mapping[str, int] = {}
        for partition in todo[day]:
            subjects, versions = self._subjects(what, partition)
            stays = set() if again else {key for key, row in standing.items() if row["status"] in writing.ANSWERED}
            due = [each for each in subjects if (partition.name, *each.key.values()) not in stays]
            if due and outcome.newest is None:
                outcome.newest = self._newest(what, todo)
            for subject, told in self._told(what, partition, due, last, outcome):
                told |= {"day": day, "partition": partition.name, "written_at": (self.stamp or self.clock)()}
                try:
                    row = as_row(what.spec, told)
                    key = _key(what, row)
                    stood = standing.get(key)
                    if stood is not None and _RANKS.get(stood["status"], 0) > _RANKS.get(row["status"], 0):
                        _tell_kept(outcome, _label(partition.name, subject.key.values()), row)
                    elif not _is_as_before(stood, row):
                        made[key] = self._land(what.spec, row)
                except SynthesisError as error:  # what stood stays, and is tried again
                    outcome.failures[_label(partition.name, subject.key.values())] = str(error)
                if told["status"] == writing.OK:
                    last[tuple(subject.key.values())] = partition.name
        rows = list({**standing, **made}.values())
        if made:
            table = as_table(what.spec, rows)
            said = provenance(code_version=code_version(what), inputs=versions, watermark=None)
            self.lake.replace(what.name, lambda: table, start=day, stop=day, metadata=said)
        outcome.rows[day] = rows
        outcome.new += len(made)

    def _subjects(self, what: Writing, partition: Partition) -> tuple[list[Subject], Mapping[str, int]]:
        """Whom or what a partition is about, as the lake is now, and the versions of the tables that say so."""
        with facts_of(self.lake, self.connection, self.specs, {**what.reads, **what.earlier}, partition.day) as facts:
            return what.subjects(facts, partition, self.settings), facts.versions

    def _newest(self, what: Writing, todo: Mapping[date, Sequence[Partition]]) -> str:
        """The last partition with anything to ask about, whether that is still to be asked or not."""
        every = [partition for partitions in todo.values() for partition in partitions]
        has_some = (
            each.name
            for each in reversed(every)
            if not all(subject.is_stub for subject in self._subjects(what, each)[0])
        )
        return next(has_some, "")

    def _told(
        self,
        what: Writing,
        partition: Partition,
        subjects: Sequence[Subject],
        last: Mapping[tuple[Any, ...], str],
        outcome: Outcome,
    ) -> Iterator[tuple[Subject, dict[str, Any]]]:
        """The columns of each subject's row: those with most to tell first, and among equals whoever waits longest."""
        cap = what.cap(self.settings)

        def urgency(subject: Subject) -> tuple[Any, ...]:
            key = tuple(subject.key.values())
            return (-subject.weight, last.get(key, ""), *map(str, key))

        asked = 0
        for subject in sorted(subjects, key=urgency):
            columns = {**subject.key, **subject.fixed}
            if subject.is_stub:
                yield subject, {**columns, **subject.plain, **_given(subject), "status": writing.STUB}
            elif asked >= cap:
                yield subject, {**columns, **_given(subject), "status": writing.OVER_CAP}
            else:
                asked += 1
                yield subject, {**columns, **self._ask(what, partition, subject, outcome)}

    def _ask(self, what: Writing, partition: Partition, subject: Subject, outcome: Outcome) -> dict[str, Any]:
        """What an author says of a subject, and how that came about."""
        task = loop.Task(
            asset=what.name,
            partition=partition.name,
            prompt=what.prompt,
            facts={**subject.plain, **subject.facts},
            schema=what.schema,
            tier=what.tier,
            max_tokens=what.max_tokens,
            user_id=subject.user_id,
            temperature=what.temperature,
            max_turns=what.max_turns,
            uses_query=what.max_turns > 1,
            is_newest=partition.name == outcome.newest,
        )
        answer = loop.write(task, self.calls)
        outcome.call_count += answer.call_count
        outcome.cached_count += answer.cached_count
        outcome.cost_usd = total([outcome.cost_usd, answer.cost_usd])
        if answer.status == writing.FAILED:
            outcome.failures[_label(partition.name, subject.key.values())] = answer.error or ""
        said = dict(answer.fields)
        texts = _prose(what.schema, said)
        if answer.status == writing.RAW:
            said = texts = {"raw_summary": said["summary"]}
        found = claims(texts)
        evidence = [*subject.evidence, *(writing.Evidence(*each) for each in answer.evidence)]
        given = {name: value for name, value in subject.facts.items() if name != writing.CHARTED}
        # "the seven days before" is the prompt's own
        asked = [without_length(render(what.prompt, task.facts).text)] if texts else []
        return {
            **said,
            **_given(subject, evidence),
            "status": answer.status,
            "error": answer.error,
            "author": answer.author or None,
            "provider": answer.provider or None,
            "claims": found,
            "unknown_cites": unknown(found, {each.cite for each in evidence}),
            "ungrounded_numbers": ungrounded(texts, given, [*asked, *answer.results]),
            "injection_flags": answer.injection_flags,
            "score": answer.score,
            "reasons": answer.reasons,
            "critique": answer.critique or None,
            "input_rows": task.input_rows,
            "cost_usd": answer.cost_usd,
            "input_tokens": answer.input_tokens,
            "output_tokens": answer.output_tokens,
            "duration_ms": answer.duration_ms,
            "call_count": answer.call_count,
            "cached_count": answer.cached_count,
            "session_id": answer.session_id,
            "prompt_version": answer.prompt_version,
        }

    def _rows(self, what: Writing, day: date) -> list[dict[str, Any]]:
        relation = self.connection.sql(self.lake.relation_sql(what.name, start=day, stop=day))
        found = relation.filter(ColumnExpression("day") == ConstantExpression(day))
        rows: list[dict[str, Any]] = found.to_arrow_table().to_pylist()
        return rows

    def _last_written(self, what: Writing) -> dict[tuple[Any, ...], str]:
        """The last partition in which something was written for each subject; their names sort by time."""
        if not what.key:
            return {}
        columns = ", ".join(what.key)
        relation = self.connection.sql(self.lake.relation_sql(what.name)).filter(f"status = '{writing.OK}'")
        found = relation.aggregate(f"{columns}, max(partition)", columns).fetchall()
        return {tuple(row[:-1]): row[-1] for row in found}

    def _land(self, spec: TableSpec, row: Mapping[str, Any]) -> dict[str, Any]:
        """Lands a row, and returns it as landing has it: redacted."""
        text = _as_text(row)
        parts = [text[start : start + PART_CHARS] for start in range(0, len(text), PART_CHARS)]
        detail = {
            "asset": spec.name,
            "partition": row["partition"],
            "user_id": row.get("user_id"),
            "row": sha256(text.encode()).hexdigest()[:NAME_CHARS],
            "parts": len(parts),
        }
        self.calls.memory.land(
            {
                "kind": "session_event",
                "session_id": f"{spec.name}/{row['partition']}",
                "event_type": "artifact",
                "detail": {**detail, "part": number},
                CLEAN: {"content": part},
            }
            for number, part in enumerate(parts)
        )
        return decoded(spec, text)


def restore(
    settings: Settings, lake: Lake, written: Iterable[Writing], *, now: datetime, memory: Memory | None = None
) -> dict[str, int]:
    """Makes written tables again from the rows that have landed, the last of each subject; nobody is asked.

    Args:
        settings: The home.
        lake: Where the tables are put.
        written: Which tables.
        now: The present time. Reports that are not kept any longer come back; `trim_reports` removes them.
        memory: What has landed, where the caller has it open.

    Returns:
        The rows of each table.

    Raises:
        LakeError: A table could not be written.
    """
    by_name = {what.name: what for what in written}
    with ExitStack() as stack:
        memory = memory or stack.enter_context(Memory(settings, lake, clock=lambda: now))
        parts: dict[tuple[str, str], dict[int, str]] = {}
        rows: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {name: {} for name in by_name}
        for event in memory.find("session_event", event_type="artifact", source=SOURCE):
            detail = event["detail"]
            what = by_name.get(detail.get("asset", ""))
            if what is None or "row" not in detail:
                continue
            mine = parts.setdefault((what.name, detail["row"]), {})
            mine[detail["part"]] = event["content"]
            if len(mine) == detail["parts"]:
                del parts[what.name, detail["row"]]
                try:
                    row = decoded(what.spec, "".join(mine[number] for number in sorted(mine)))
                except SynthesisError as error:  # it did not get into the table then, either
                    log.warning("%s, event %s: left out: %s", what.name, event["event_id"], error)
                    continue
                rows[what.name][_key(what, row)] = row
    counts = {}
    for name, what in by_name.items():
        kept = list(rows[name].values())
        if kept or lake.exists(name):
            lake.create(what.spec)
            said = provenance(code_version=code_version(what), inputs={}, watermark=None)
            rows_of = partial(as_table, what.spec, kept)
            counts[name] = lake.replace(name, rows_of, start=None, stop=None, metadata=said).row_count
    return counts


def code_version(what: Writing) -> str:
    """Hash of what is asked: the prompts and the schema."""
    schema = msgspec.json.encode(json_schema(what.schema), order="sorted")
    return sha256(version_of("system", what.prompt).encode() + schema).hexdigest()[:NAME_CHARS]


def as_row(spec: TableSpec, told: Mapping[str, Any]) -> dict[str, Any]:
    """A row with every column of its table, and with the values that it has when it is read again."""
    return decoded(spec, _encoder.encode(told).decode())


def decoded(spec: TableSpec, text: str) -> dict[str, Any]:
    """A row from its JSON. What an older row lacks is null, or empty where null is not allowed.

    Raises:
        SynthesisError: It is no JSON of a row.
    """
    try:
        values = msgspec.json.decode(text, type=dict[str, Any])
        row = {column.name: _value(column, values.get(column.name)) for column in spec.columns}
        (read,) = as_table(spec, [row]).to_pylist()
    except (msgspec.DecodeError, ValueError, TypeError, pa.ArrowException) as error:
        raise SynthesisError(f"a row of {spec.name} cannot be read again from what landed: {error}") from error
    assert isinstance(read, dict)
    return read


def as_table(spec: TableSpec, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows in the types and the order of their table."""
    order = ("day", *spec.sort_by)
    return pa.Table.from_pylist(sorted(rows, key=lambda row: [row[name] for name in order]), schema=spec.arrow_schema)


def _value(column: Column, value: Any) -> Any:
    """A value of JSON as its column takes it."""
    if value is None:
        return None if column.is_nullable else _EMPTY.get(column.type, [] if pa.types.is_list(column.type) else None)
    if pa.types.is_date(column.type):
        return date.fromisoformat(value)
    if pa.types.is_timestamp(column.type):
        return datetime.fromisoformat(value)
    if pa.types.is_decimal(column.type):
        return round(Decimal(value), COST_PLACES)
    if pa.types.is_string(column.type) and not isinstance(value, str):
        return _encoder.encode(value).decode()
    return value


def _as_text(row: Mapping[str, Any]) -> str:
    """A row as it lands: JSON with its facts in it, all texts free of secrets and on lines of their own."""
    values = msgspec.json.decode(_encoder.encode(row))
    values["facts"] = msgspec.json.decode(values["facts"])
    return msgspec.json.format(_encoder.encode(clean(values)), indent=1).decode()


def _label(partition: str, key: Iterable[Any]) -> str:
    """What people call a row."""
    return " ".join([partition, *(str(each) for each in key)])


def _prose(kind: Any, value: Any) -> Any:
    """What of an answer is prose: without fields that take one of a few words or say their default, at any depth."""
    if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, BaseModel):
        return {
            name: _prose(field.annotation, value[name])
            for name, field in kind.model_fields.items()
            if name in value and get_origin(field.annotation) is not Literal and value[name] != field.default
        }
    if isinstance(value, list) and get_args(kind):
        return [_prose(get_args(kind)[0], each) for each in value]
    return value


def _tell_kept(outcome: Outcome, label: str, row: Mapping[str, Any]) -> None:
    """Notes that a row which was to be written anew stays as it was, and why, unless there was nothing to ask.

    What was not written does not land: of what landed the last one stands, in the table and after a rebuild.
    """
    outcome.kept[label] = row["status"]
    if row["status"] not in (writing.STUB, writing.OVER_CAP):
        outcome.failures[label] = f"{row['error'] or 'the answer fits no schema'}; the earlier one stays"


def _key(what: Writing, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (row["partition"], *(row[name] for name in what.key))


def _given(subject: Subject, evidence: Sequence[writing.Evidence] | None = None) -> dict[str, Any]:
    """What an author was given, or would have been."""
    found = subject.evidence if evidence is None else evidence
    return {"facts": _encoder.encode(subject.facts).decode(), "evidence": [asdict(each) for each in found]}


def _is_as_before(standing: Mapping[str, Any] | None, row: Mapping[str, Any]) -> bool:
    """Whether a row says what stands already; what that cost when it was written is then told by what stands."""
    return standing is not None and all(standing[name] == row[name] for name in row.keys() - UNEQUAL)


_encoder = msgspec.json.Encoder(order="deterministic", decimal_format="string")
_RANKS = {writing.OK: 2, writing.RAW: 1}
"""A row gives way only to one of at least its rank: no report is lost to a server that is down, or to a budget."""
_EMPTY: Mapping[pa.DataType, Any] = {pa.string(): "", pa.int64(): 0, pa.float64(): 0.0, pa.bool_(): False}
