"""What synthesis has landed, and landing more: its cache, its spending, its sessions and the notes for it.

Landing is the only memory that there is. What ingest has taken in is asked in the lake, the rest is read from the
segments, so that what landed a moment ago counts. Nothing here knows what the events mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from datetime import date, datetime
from typing import Any, Self

import duckdb
import msgspec

from oplake import events
from oplake.lake.engine import engine
from oplake.lake.landed import SEGMENTS
from oplake.lake.spec import quoted
from oplake.lake.tables import Lake
from oplake.landing.accept import accept
from oplake.landing.identity import new_id
from oplake.landing.redaction import redact
from oplake.landing.segments import Segment, read_range, segments
from oplake.landing.writer import SegmentWriter, utc_now
from oplake.settings import Settings

SOURCE = events.SYNTHESIS
KINDS = ("llm_call", "turn", "tool_call", "session_event", "operator_note")
NAMED_BY = {
    "llm_call": "prompt_hash",
    "turn": "session_id",
    "tool_call": "session_id",
    "session_event": "session_id",
    "operator_note": "target",
}
"""The field by which events of a kind are mostly looked for, and mostly not found: the work is new."""

CLEAN = "clean"
_BEGINNINGS = tuple(b'{"kind":"%s"' % kind.encode() for kind in KINDS)


class Memory:
    """Events of the kinds that synthesis lands or is told, as of now. For one thread; use it in a `with` block."""

    def __init__(
        self, settings: Settings, lake: Lake | None = None, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.lake = lake or Lake(settings.lake)
        self._settings = settings
        self._clock = clock
        self._open = ExitStack()
        self._writer = SegmentWriter(
            settings.landing, segment_bytes=settings.segment_bytes, segment_age=settings.segment_age, clock=clock
        )
        self.connection: duckdb.DuckDBPyConnection
        self._is_pinned = False
        self._versions: dict[str, int] = {}  # of the landed tables
        self._offsets: dict[str, int] = {}  # of the segments: how far they have been read
        self._recent: dict[str, dict[str, events.Event]] = {}  # events beyond those tables, by kind and event_id
        self._found: dict[str, list[dict[str, Any]]] = {}  # in those tables, by what was asked
        self._names: dict[tuple[str, Any], set[str]] = {}  # there, of `NAMED_BY`, by kind and source

    def __enter__(self) -> Self:
        self.connection = self._open.enter_context(engine(self._settings))
        self._open.callback(self._writer.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def now(self) -> datetime:
        """The present time in UTC."""
        return self._clock()

    def land(self, happened: Iterable[Mapping[str, Any]]) -> list[events.Event]:
        """Lands events, all at once and durably; returns them as they were accepted: redacted, and cut to size.

        What stands under `CLEAN` in one is texts of it that are JSON and hold no secret any more, as `clean` leaves
        them. Redacted as one text, the end of one string and the beginning of the next might pass for a secret, and
        what is left is no JSON.

        Raises:
            LandingError: They could not be made durable.
            Unusable: One is no event of the contract.
        """
        accepted = [self._accept(each) for each in happened]
        self._writer.append([events.encoder.encode(each) for each in accepted])
        return accepted

    def _accept(self, fields: Mapping[str, Any]) -> events.Event:
        now = self._clock()
        given = {name: value for name, value in fields.items() if name != CLEAN}
        accepted = accept({"event_id": new_id(), "ts": now, "source": SOURCE, **given}, received_at=now)
        event = events.decoder.decode(accepted.line)  # on the short way the event itself is of a class of its own
        return msgspec.structs.replace(event, **fields.get(CLEAN, {}))

    def find(self, kind: str, *, since: date | None = None, **equal: Any) -> list[dict[str, Any]]:
        """The events of a kind whose fields equal those given, in the order in which they were received.

        Args:
            kind: One of `KINDS`.
            since: The first day wanted.
            equal: Fields and their values; a list means any of its values.
        """
        self._refresh()
        asked = repr((kind, since, sorted(equal.items())))
        if asked not in self._found:
            self._found[asked] = self._from_lake(kind, since, equal) if self._may_be_there(kind, equal) else []
        found = {row["event_id"]: row for row in self._found[asked]}
        for event in self._recent.get(kind, {}).values():
            if event.event_id not in found and _is_wanted(event, since, equal):
                found[event.event_id] = msgspec.structs.asdict(event)
        return sorted(found.values(), key=lambda row: (row["received_at"], row["event_id"]))

    def _may_be_there(self, kind: str, equal: Mapping[str, Any]) -> bool:
        """Whether the lake has any event of that name; to ask for the names once is cheaper than for each of them."""
        table, wanted = events.TABLES[kind], equal.get(NAMED_BY[kind])
        if wanted is None or table not in self._versions:
            return wanted is None
        source = equal.get("source")
        if (kind, source) not in self._names:
            relation = self.lake.relation_sql(table, as_of=self._versions[table])
            query = f"SELECT DISTINCT {NAMED_BY[kind]} FROM ({relation}) WHERE $source IS NULL OR source = $source"
            rows = self.connection.execute(query, {"source": source}).fetchall()
            self._names[kind, source] = {name for (name,) in rows}
        names = self._names[kind, source]
        return any(name in names for name in ([wanted] if isinstance(wanted, str) else wanted))

    def _from_lake(self, kind: str, since: date | None, equal: Mapping[str, Any]) -> list[dict[str, Any]]:
        table = events.TABLES[kind]
        if table not in self._versions:
            return []
        conditions = [
            f"list_contains(${name}, {quoted(name)})" if isinstance(value, list) else f"{quoted(name)} = ${name}"
            for name, value in equal.items()
        ]
        relation = self.lake.relation_sql(table, as_of=self._versions[table], start=since)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        rows: list[dict[str, Any]] = (
            self.connection.sql(f"SELECT * FROM ({relation}){where}", params=dict(equal) or None)
            .to_arrow_table()
            .to_pylist()
        )
        nested = [field.name for field in events.fields(kind) if field.type == "json"]
        for row in rows:
            row.update({name: msgspec.json.decode(row[name]) for name in nested if row[name]})
        return rows

    def _refresh(self) -> None:
        """Reads what has been written to segments since the last time; everything anew when one went to the archive."""
        while True:
            listed = {segment.name: segment for segment in segments(self._settings.landing)}
            if not self._is_pinned or not self._offsets.keys() <= listed.keys():
                self._pin(listed.keys())
            self._is_pinned = True
            try:
                for name, segment in listed.items():
                    self._read(segment, self._offsets.get(name, 0))
                return
            except FileNotFoundError:  # archived just now, so all of it is in the lake
                self._is_pinned = False

    def _pin(self, present: Iterable[str]) -> None:
        """Looks at the lake as it is now. What was taken in comes first: what it names is in the tables read after."""
        self._offsets, self._recent, self._found, self._names = {}, {}, {}, {}
        if self.lake.exists(SEGMENTS.name):
            query = f"SELECT segment, max(end_offset) FROM ({self.lake.relation_sql(SEGMENTS.name)}) GROUP BY segment"
            taken: dict[str, int] = dict(self.connection.execute(query).fetchall())
            self._offsets = {name: taken.get(name, 0) for name in present}
        self._versions = {
            table: self.lake.version(table) for kind in KINDS if self.lake.exists(table := events.TABLES[kind])
        }

    def _read(self, segment: Segment, start: int) -> None:
        while start < segment.size:
            part = read_range(segment, start)
            if part.end == start:
                return
            if not part.is_verified or part.kinds & set(KINDS):
                self._take(part.data)
            self._offsets[segment.name] = start = part.end

    def _take(self, data: bytes) -> None:
        for line in data.split(b"\n"):
            if line.startswith(_BEGINNINGS):
                try:
                    event = events.decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    continue  # nobody accepted it; ingest will say so
                self._recent.setdefault(str(event.__struct_config__.tag), {})[event.event_id] = event


def _is_wanted(event: events.Event, since: date | None, equal: Mapping[str, Any]) -> bool:
    if since is not None and event.ts.date() < since:
        return False
    values = ((getattr(event, name), value) for name, value in equal.items())
    return all(has in wanted if isinstance(wanted, list) else has == wanted for has, wanted in values)


def clean(value: Any) -> Any:
    """A value of JSON, each of its texts free of secrets."""
    if isinstance(value, dict):
        return {key: clean(each) for key, each in value.items()}
    if isinstance(value, list):
        return [clean(each) for each in value]
    return redact(value, {}) if isinstance(value, str) else value
