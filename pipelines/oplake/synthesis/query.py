"""The tool `query`: read-only SQL over the lake, every table at one pinned version.

Here is what the model is told and what it gets back. What keeps a query to reading is in `sandbox`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from oplake.lake.errors import LakeError, VersionMissing
from oplake.lake.spec import check_name
from oplake.lake.tables import Lake
from oplake.synthesis import sandbox
from oplake.synthesis.tools import ToolResult, definition
from oplake.synthesis.wire import Message

ROWS = 100  # of a result; who needs more should aggregate
RESULT_BYTES = 6_000  # of a result: it lands whole in a `session_event`, and a model reads it in every later turn
SECONDS = 10.0  # of a query
MEMORY = "256MB"  # that DuckDB may use
PROCESS_BYTES = 3 * 2**30  # of address space, most of which Python and DuckDB reserve and never use
START_SECONDS = 20.0  # until a process has begun, on a busy machine
NAME = "query"


@dataclass(frozen=True)
class Query:
    """The tool, over a lake at these versions of its tables."""

    lake: Lake
    versions: Mapping[str, int]
    seconds: float = SECONDS
    name: str = field(default=NAME, init=False)

    @property
    def definition(self) -> Message:
        """What the model is told."""
        tables = "; ".join(f"{name}: {self.lake.spec(name).description.splitlines()[0]}" for name in self.versions)
        return definition(
            self.name,
            f"One SELECT in DuckDB's SQL over the lake. {ROWS} rows at most, in {self.seconds:g} s. "
            f"`DESCRIBE schema.table` gives columns. Tables: {tables}",
            sql="one SELECT",
        )

    def check(self) -> None:
        """Looks whether all of it can still be read.

        Raises:
            LakeError: A version, or a file of one, is not kept any more.
        """
        _, files = self._views
        gone = [path for path in files if not Path(path).exists()]
        if gone:
            raise VersionMissing(f"{len(gone)} files of those versions are gone, such as {Path(gone[0]).name}")

    def call(self, arguments: Mapping[str, Any]) -> ToolResult:
        """Runs a query; whatever is wrong with it, the result says so."""
        sql = arguments.get("sql")
        if not isinstance(sql, str) or not sql.strip():
            return ToolResult("error: the argument `sql` is missing", is_ok=False)
        views, files = self._views
        asked = {
            "root": str(self.lake.root),  # where the lake lies is nobody's business but this machine's
            "views": views,
            "files": files,
            "sql": sql,
            "seconds": self.seconds,
            "memory": MEMORY,
            "process_bytes": PROCESS_BYTES,
            "rows": ROWS,
            "bytes": RESULT_BYTES,
        }
        too_long = f"error: it took longer than {self.seconds:g} s; ask for less"
        try:
            done = subprocess.run(
                [sys.executable, "-I", str(Path(sandbox.__file__))],
                input=json.dumps(asked),
                capture_output=True,
                text=True,
                timeout=self.seconds + START_SECONDS,
                env={},
                cwd="/",
                check=False,
            )
        except subprocess.TimeoutExpired:
            return ToolResult(too_long, is_ok=False)
        if -done.returncode in {signal.SIGALRM, signal.SIGXCPU}:
            return ToolResult(too_long, is_ok=False)
        if done.returncode != 0:
            return ToolResult("error: it took more memory than it may; ask for less", is_ok=False)
        answer = json.loads(done.stdout)
        if "error" in answer:
            return ToolResult(f"error: {answer['error']}", is_ok=False, is_escape=answer["is_escape"])
        lines = ["\t".join(answer["columns"])]
        lines += ["\t".join("null" if cell is None else _one_line(cell) for cell in row) for row in answer["rows"]]
        lines.append("(cut here: there are more rows)" if answer["is_cut"] else f"({len(answer['rows'])} rows)")
        return ToolResult("\n".join(lines), is_ok=True)

    @cached_property
    def _views(self) -> tuple[list[tuple[str, str, str]], list[str]]:
        """A view for every table that can be read, and the files that they read."""
        views: list[tuple[str, str, str]] = []
        files: list[str] = []
        for name, version in self.versions.items():
            schema, table = check_name(name)
            views.append((schema, table, self.lake.relation_sql(name, as_of=version)))
            files += self.lake.files(name, as_of=version)
        return views, files


def pin(lake: Lake) -> dict[str, int]:
    """The present version of every table that can be read."""
    versions = {}
    for name in lake.names():
        try:
            lake.spec(name)
            versions[name] = lake.version(name)
        except LakeError:  # `oplake doctor` tells of it; the others can be asked
            continue
    return versions


def _one_line(cell: str) -> str:
    return " ".join(cell.split())
