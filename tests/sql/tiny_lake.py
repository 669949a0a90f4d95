"""A tiny lake that tests land events in, with models over it. Fixtures are in `conftest`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import count
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from oplake import events
from oplake.given import GIVEN, Given, budgets, limits, prices, write
from oplake.lake.landed import LANDED, REDACTIONS
from oplake.lake.ledger import ARRIVALS
from oplake.lake.spec import TableSpec, duckdb_type
from oplake.lake.tables import Lake
from oplake.models.build import Built, build
from oplake.models.checks import evaluate_checks, evaluate_rows
from oplake.models.compute import WATERMARK_TABLE, Days
from oplake.models.functions import FUNCTIONS
from oplake.models.model import Model, Models, sql_folder
from oplake.models.sql_file import load_models
from oplake.orchestration.work import SOURCES
from oplake.settings import Settings
from oplake.synthesis.tables import WRITTEN

PROJECT_MODELS = load_models(sql_folder(), SOURCES)
"""The project's own models, also for parametrised tests."""

OWN_PRICES = """\
provider,model,token_type,usd_per_mtok,valid_from,from_input_tokens
acme,swift,input,2,,
acme,swift,cache_read,0.2,,
acme,swift,cache_write,2.5,,
acme,swift,output,10,,
acme,deep,input,10,,
acme,deep,output,40,,
"""
"""The price list of the tests, short enough to reckon with."""

DAY = date(2026, 1, 5)
MIDNIGHT = datetime(2026, 1, 5, tzinfo=UTC)
LATER = MIDNIGHT + timedelta(days=300)
"""A watermark at which no action is open any more."""


def at(hours: float = 0, *, seconds: float = 0) -> datetime:
    """A time counted from the midnight with which DAY begins."""
    return MIDNIGHT + timedelta(hours=hours, seconds=seconds)


class TinyLake:
    """The landed tables and the models in memory: lands events as rows, computes models and answers SQL.

    Like the lake, it replaces the days that are built and shows a model only the days of its window; unlike it, there
    are no files and no commits, which makes a test ten times faster. `DeltaLake` has them.
    """

    def __init__(self, models: Models) -> None:
        self.models = models
        self.prices, self.budgets = priced(OWN_PRICES), dict[str, Decimal]()
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("SET TimeZone = 'UTC'")
        for function in FUNCTIONS:
            function.create(self.connection)
        for spec in (*LANDED.values(), REDACTIONS, ARRIVALS):
            self._create(spec)
        for spec in (*GIVEN, *(what.spec for what in WRITTEN), *(model.spec for model in models)):
            self._create(spec)
        self._ids = count()

    def land(self, *landed: Mapping[str, Any]) -> None:
        """Land events: `kind` and its fields; what is left out gets the contract's empty value."""
        by_kind: dict[str, list[dict[str, Any]]] = {}
        for event in landed:
            by_kind.setdefault(event["kind"], []).append(landed_row(event, f"e{next(self._ids):06d}"))
        for kind, rows in by_kind.items():
            self.append(LANDED[kind], sorted(rows, key=lambda row: row["day"]))

    def build(
        self, *names: str, start: date = DAY, stop: date | None = None, watermark: datetime | None = LATER
    ) -> None:
        """Build days of the models of these names, or of all, upstream first, and hold them against their checks."""
        self._give()
        for model in self.models:
            if not names or model.name in names:
                self.build_one(model, start, stop or start, watermark)

    def build_one(self, model: Model, start: date, stop: date, watermark: datetime | None = LATER) -> None:
        """Build some days of one model and hold its table against its checks."""
        with show_window(self.connection, model, start, stop, watermark) as sql:
            values = {"start": start, "stop": stop}
            params = {name: values[name] for name in model.parameters}
            rows = (self.connection.sql(sql, params=params) if params else self.connection.sql(sql)).to_arrow_table()
        if model.partition is None:
            self.connection.execute(f"TRUNCATE {model.name}")
        else:
            self.connection.execute(f"DELETE FROM {model.name} WHERE day BETWEEN $1 AND $2", [start, stop])
        names = ", ".join(f'"{name}"' for name in rows.column_names)
        self.connection.register("made", rows)
        self.connection.execute(f"INSERT INTO {model.name} ({names}) SELECT {names} FROM made")
        self.connection.unregister("made")
        for finding in evaluate_rows(self.connection, model):
            assert finding.is_passed or finding.check.is_alert, finding

    def _give(self) -> None:
        """Write the given tables."""
        for given in self._given():
            self.connection.execute(f"TRUNCATE {given.name}")
            self.connection.register("given", given.rows()[0])
            self.connection.execute(f"INSERT INTO {given.name} SELECT * FROM given")
            self.connection.unregister("given")

    def _given(self) -> tuple[Given, ...]:
        """The given tables; of the prices only our own."""
        return (
            Given(prices.PRICES, "p", lambda: (self.prices, ())),
            Given(budgets.BUDGETS, "b", lambda: (budgets.rows(self.budgets), ())),
            Given(limits.LIMITS, "l", lambda: (limits.rows(Settings()), ())),
        )

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query over all tables."""
        return answer(self.connection, sql)

    def _create(self, spec: TableSpec) -> None:
        self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {spec.name.partition('.')[0]}")
        columns = ", ".join(f'"{column.name}" {duckdb_type(column.type)}' for column in spec.columns)
        self.connection.execute(f"CREATE TABLE {spec.name} ({columns})")

    def append(self, spec: TableSpec, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to a table that no model makes."""
        self.connection.register("landing", pa.Table.from_pylist(list(rows), schema=spec.arrow_schema))
        self.connection.execute(f"INSERT INTO {spec.name} SELECT * FROM landing")
        self.connection.unregister("landing")


class DeltaLake(TinyLake):
    """The same in a real lake, by way of `oplake.models.build`: for tests of files, versions and commits."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self.settings = settings
        self.models = models
        self.lake = Lake(settings.lake)
        self.prices, self.budgets = priced(OWN_PRICES), dict[str, Decimal]()
        self._ids = count()

    def _give(self) -> None:
        for given in self._given():
            write(self.lake, given)

    def build_one(self, model: Model, start: date, stop: date, watermark: datetime | None = LATER) -> None:
        self.built(model, start, stop, watermark)
        days = {"start": start, "stop": stop} if model.partition else {"start": None, "stop": None}
        for finding in evaluate_checks(self.lake, model, **days, settings=self.settings):
            assert finding.is_passed or finding.check.is_alert, finding

    def built(
        self, model: Model, start: date = DAY, stop: date | None = None, watermark: datetime | None = LATER
    ) -> Built:
        """Build some days of one model; what `build` says of it."""
        days = {"start": start, "stop": stop or start} if model.partition else {"start": None, "stop": None}
        return build(self.lake, model, **days, settings=self.settings, watermark=watermark)

    def ask(self, sql: str) -> list[dict[str, Any]]:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for name in self.lake.names():
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name.partition('.')[0]}")
                connection.execute(f"CREATE VIEW {name} AS {self.lake.relation_sql(name)}")
            return answer(connection, sql)

    def append(self, spec: TableSpec, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to a table that no model makes."""
        self.lake.create(spec)
        self.lake.append(spec.name, pa.Table.from_pylist(list(rows), schema=spec.arrow_schema))


def priced(text: str) -> pa.Table:
    """The price list that a prices.csv alone makes."""
    entries, problems = prices.own_entries(text.encode(), "prices.csv")
    assert not problems
    return prices.table_of(entries)


@contextmanager
def show_window(
    connection: duckdb.DuckDBPyConnection, model: Model, start: date, stop: date, watermark: datetime | None
) -> Iterator[str]:
    """A model's SQL over its inputs cut to the days of its windows, so that no test passes by seeing more."""
    sql = model.sql
    connection.execute("CREATE OR REPLACE SCHEMA seen")
    for table in sorted(model.dependencies, key=len, reverse=True):
        seen = f"seen.{table.replace('.', '__')}"
        if table == WATERMARK_TABLE:
            connection.execute(f"CREATE TABLE {seen} AS SELECT $1::TIMESTAMPTZ AS watermark", [watermark])
        else:
            days = Days(start, stop).widened(model.window_of(table))
            has_days = "day" in model.input_types[table]
            within = f"WHERE day BETWEEN '{days.start}' AND '{days.stop}'" if model.partition and has_days else ""
            connection.execute(f"CREATE VIEW {seen} AS FROM {table} {within}")
        sql = re.sub(rf"\b{re.escape(table)}\b", seen, sql)
    yield sql
    connection.execute("DROP SCHEMA seen CASCADE")


def answer(connection: duckdb.DuckDBPyConnection, sql: str, values: Any = None) -> list[dict[str, Any]]:
    """The rows of a query as dictionaries."""
    result = connection.execute(sql, values)
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def landed_row(event: Mapping[str, Any], event_id: str) -> dict[str, Any]:
    """An event as a row of its landed table."""
    known = {field.name: field for field in events.fields(event["kind"])}
    unknown = set(event) - set(known) - {"kind", "day"}
    assert not unknown, f"{event['kind']} has no {unknown}"
    row: dict[str, Any] = {"event_id": event_id, "ts": MIDNIGHT}
    for name, field in known.items():
        value = event.get(name, row.get(name, field.fill if field.fill is not None else field.empty))
        if name == "received_at" and value is None:
            value = event.get("ts", MIDNIGHT)
        if field.type == "time" and isinstance(value, str):
            value = datetime.fromisoformat(value)
        row[name] = _json(value) if field.type == "json" else value
    row["day"] = event.get("day", row["received_at"].date() if row["ts_suspect"] else row["ts"].date())
    return row


def _json(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def begun(action_id: str, ts: datetime, **fields: Any) -> dict[str, Any]:
    """An `action_begun`."""
    return {"kind": "action_begun", "action_id": action_id, "ts": ts, "agent_id": "a", "action_type": "t"} | fields


def step(action_id: str, ts: datetime, index: int = 0, **fields: Any) -> dict[str, Any]:
    """A `step`."""
    return {"kind": "step", "action_id": action_id, "ts": ts, "step_index": index, "description": "d"} | fields


def observation(action_id: str, ts: datetime, **fields: Any) -> dict[str, Any]:
    """An `observation`."""
    return {"kind": "observation", "action_id": action_id, "ts": ts, "observation_type": "o"} | fields


def completed(action_id: str, ts: datetime, outcome: Any = None, **fields: Any) -> dict[str, Any]:
    """An `action_completed`."""
    return {"kind": "action_completed", "action_id": action_id, "ts": ts, "outcome": outcome or {}} | fields


def turn(session_id: str, ts: datetime, index: int = 0, **fields: Any) -> dict[str, Any]:
    """A `turn` with the model `swift` of `acme`, which has prices."""
    return {
        "kind": "turn",
        "session_id": session_id,
        "ts": ts,
        "turn_index": index,
        "provider": "acme",
        "model": "swift",
    } | fields


def tool_call(session_id: str, ts: datetime, turn_index: int = 0, **fields: Any) -> dict[str, Any]:
    """A `tool_call` of the tool `lookup` that worked."""
    call = {"session_id": session_id, "ts": ts, "turn_index": turn_index, "call_index": 0, "tool_name": "lookup"}
    return {"kind": "tool_call", **call, "ok": True} | fields


def patch(session_id: str, ts: datetime, turn_index: int = 0, **fields: Any) -> dict[str, Any]:
    """A `patch` of `a.py`."""
    return {"kind": "patch", "session_id": session_id, "ts": ts, "turn_index": turn_index, "path": "a.py"} | fields


def session_event(session_id: str, ts: datetime, event_type: str, **fields: Any) -> dict[str, Any]:
    """A `session_event`."""
    return {"kind": "session_event", "session_id": session_id, "ts": ts, "event_type": event_type} | fields


def compute(
    model: Model,
    tables: Mapping[str, Iterable[Mapping[str, Any]]],
    *,
    start: date = DAY,
    stop: date | None = None,
    watermark: datetime | None = LATER,
) -> list[dict[str, Any]]:
    """The rows of one model over rows in memory, for property tests: no files, no commits, a few milliseconds.

    Tables that are not given are empty, columns that are not given are null.
    """
    given = {"lake.watermark": [] if watermark is None else [{"watermark": watermark}], **tables}
    connection, schemas = _bench(
        model.code_version, tuple((name, tuple(types.items())) for name, types in model.input_types.items())
    )
    for name, schema in schemas.items():
        connection.execute(f"TRUNCATE {name}")
        rows = [{column: row.get(column) for column in schema.names} for row in given.get(name, ())]
        if rows:
            connection.register("given", pa.Table.from_pylist(list(rows), schema=schema))
            connection.execute(f"INSERT INTO {name} SELECT * FROM given")
            connection.unregister("given")
    days = {"start": start, "stop": stop or start}
    return answer(connection, model.sql, {name: days[name] for name in model.parameters})


@cache
def _bench(
    code_version: str, tables: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
) -> tuple[duckdb.DuckDBPyConnection, dict[str, pa.Schema]]:
    """A connection with the empty inputs of one model, kept from example to example, and their columns."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    for function in FUNCTIONS:
        function.create(connection)
    schemas = {}
    for name, types in tables:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name.partition('.')[0]}")
        columns = ", ".join(f'"{column}" {type_}' for column, type_ in types)
        connection.execute(f"CREATE TABLE {name} ({columns})")
        schemas[name] = connection.sql(f"FROM {name}").to_arrow_reader().schema
    return connection, schemas


def by(rows: Iterable[Mapping[str, Any]], key: str) -> dict[Any, Mapping[str, Any]]:
    """Rows by one of their columns."""
    return {row[key]: row for row in rows}
