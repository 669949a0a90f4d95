"""What the lake holds of everything that ever came in, at the price of what is new in it.

A file of a table never changes. So each is looked into once, for two of its columns, and what it holds is kept in mind;
how many rows there are of a kind stands in the log of its table. What has not been ingested yet is not in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, NamedTuple

import duckdb

from oplake.events import TABLES
from oplake.lake.engine import engine
from oplake.lake.errors import LakeError
from oplake.lake.spec import literal
from oplake.lake.tables import Lake
from oplake.lake.watermark import read_watermark
from oplake.landing.recorder import TIMEOUT
from oplake.landing.tail import OVERSEER
from oplake.receiver.counts import LATEST, Operation
from oplake.receiver.errors import busy
from oplake.receiver.operations import ENDPOINT
from oplake.settings import Settings

CLOCKS = timedelta(days=1)  # by which a producer's clock, which says on which day its event is, may be behind


class Past(NamedTuple):
    """What the lake says."""

    totals: dict[str, Any]
    latest: list[Operation]


class History:
    """What landed tables say; it keeps the counts of each file, so ask the same one again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lake = Lake(settings.lake)
        self._lock = Lock()  # who asks meanwhile waits, and finds all done
        self._files: dict[str, Counter[tuple[str, bool | None]]] = {}  # by (source, success)

    def read(self) -> Past:
        """What the lake has of all that ever came in, and up to when nothing is missing in it.

        Raises:
            Refused: A table cannot be read just now (503).
        """
        try:
            with self._lock:
                up_to = read_watermark(self._settings.landing)
                totals = {"up_to": up_to, **self._totals(), "open_actions": self._open_actions(up_to) if up_to else 0}
                return Past(totals, self._latest())
        except (LakeError, duckdb.Error) as error:  # duckdb: a rebuild has just put other files in their place
            raise busy(f"the lake cannot be read: {error}") from error

    def _totals(self) -> dict[str, Any]:
        kinds = {kind: table for kind, table in TABLES.items() if self._lake.exists(table)}
        listed = {kind: self._lake.files(table) for kind, table in kinds.items()}
        present = {path for paths in listed.values() for path in paths}
        self._files = {path: counts for path, counts in self._files.items() if path in present}
        for kind, paths in listed.items():
            self._look_into([path for path in paths if path not in self._files], is_op=kind == "op")
        by_kind = {kind: sum(self._files[path].total() for path in paths) for kind, paths in listed.items()}
        by_source: Counter[str] = Counter()
        results: Counter[bool | None] = Counter()
        for kind, paths in listed.items():
            for path in paths:
                for (source, success), count in self._files[path].items():
                    if source != OVERSEER:  # a correction is neither success nor failure
                        results[success] += count
                    if kind != "reject":
                        by_source[source] += count
        return {
            "total": results[True] + results[False],
            "successes": results[True],
            "failures": results[False],
            "by_source": dict(by_source),
            "by_kind": {kind: count for kind, count in by_kind.items() if count},
            "rejects": by_kind.get("reject", 0),
        }

    def _open_actions(self, up_to: datetime) -> int:
        """Actions that had begun within their time by then, and were not completed."""
        begun, completed = TABLES["action_begun"], TABLES["action_completed"]
        if not (self._lake.exists(begun) and self._lake.exists(completed)):
            return 0
        since = up_to - TIMEOUT
        day = (since - CLOCKS).date()
        query = (
            f"SELECT count(DISTINCT action_id) FROM ({self._lake.relation_sql(begun, start=day)}) "  # noqa: S608
            "WHERE received_at > $since AND action_id NOT IN "
            f"(SELECT action_id FROM ({self._lake.relation_sql(completed, start=day)}))"
        )
        with engine(self._settings, keeps_order=False) as connection:
            return int(connection.execute(query, {"since": since}).fetchall()[0][0])

    def _latest(self) -> list[Operation]:
        """The last scenario operations of the last two days that have operations."""
        table = TABLES["op"]
        days = list(self._lake.rows_per_day(table))[-2:] if self._lake.exists(table) else []
        if not days:
            return []
        query = (
            "SELECT event_id, ts, success, staffer_id, event_kind, role "  # noqa: S608  # paths, quoted
            f"FROM ({self._lake.relation_sql(table, start=days[0])}) WHERE endpoint = $endpoint "
            f"ORDER BY ts DESC, event_id LIMIT {LATEST}"
        )
        with engine(self._settings, keeps_order=False) as connection:
            return [Operation(*row) for row in connection.execute(query, {"endpoint": ENDPOINT}).fetchall()]

    def _look_into(self, paths: Sequence[str], *, is_op: bool) -> None:
        if not paths:
            return
        listed = ", ".join(literal(path) for path in paths)
        success = "success" if is_op else "NULL"
        query = (
            f"SELECT filename, source, {success}, count(*) "  # noqa: S608  # paths, quoted
            f"FROM read_parquet([{listed}], filename = true, hive_partitioning = false) GROUP BY ALL"
        )
        found: dict[str, Counter[tuple[str, bool | None]]] = {path: Counter() for path in paths}
        with engine(self._settings, keeps_order=False) as connection:
            for path, source, result, count in connection.execute(query).fetchall():
                found[path][source, result] = count
        self._files |= found
