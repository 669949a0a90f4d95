"""What the lake holds of everything that ever came in, at the price of what is new in it.

A file of a table never changes. So each is looked into once, for two of its columns, and what it holds is kept in mind;
how many rows there are of a kind stands in the log of its table. What has not been ingested yet is not in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from threading import Lock
from typing import Any

import duckdb

from oplake.events import TABLES
from oplake.lake.engine import engine
from oplake.lake.errors import LakeError
from oplake.lake.spec import literal
from oplake.lake.tables import Lake
from oplake.lake.watermark import read_watermark
from oplake.receiver.errors import busy
from oplake.settings import Settings


class History:
    """Counts of the landed tables; it keeps those of each file, so ask the same one again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lake = Lake(settings.lake)
        self._lock = Lock()  # who asks meanwhile waits, and finds all done
        self._files: dict[str, Counter[tuple[str, bool | None]]] = {}  # by (source, success)

    def totals(self) -> dict[str, Any]:
        """What `Counts.totals` says, of all that the lake has, and up to when nothing is missing in it.

        Raises:
            Refused: A table cannot be read just now (503).
        """
        try:
            return self._totals()
        except (LakeError, duckdb.Error) as error:  # duckdb: a rebuild has just put other files in their place
            raise busy(f"the lake cannot be read: {error}") from error

    def _totals(self) -> dict[str, Any]:
        with self._lock:
            kinds = {kind: table for kind, table in TABLES.items() if self._lake.exists(table)}
            listed = {kind: self._lake.files(table) for kind, table in kinds.items()}
            self._files = {
                path: self._files[path] for paths in listed.values() for path in paths if path in self._files
            }
            for kind, paths in listed.items():
                self._look_into([path for path in paths if path not in self._files], is_op=kind == "op")
            by_kind = {kind: sum(self._files[path].total() for path in paths) for kind, paths in listed.items()}
            by_source: Counter[str] = Counter()
            results: Counter[bool | None] = Counter()
            for kind, paths in listed.items():
                for (source, success), count in _added(self._files[path] for path in paths).items():
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
            "up_to": read_watermark(self._settings.landing),
        }

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


def _added(counters: Any) -> Counter[tuple[str, bool | None]]:
    added: Counter[tuple[str, bool | None]] = Counter()
    for counter in counters:
        added.update(counter)
    return added
