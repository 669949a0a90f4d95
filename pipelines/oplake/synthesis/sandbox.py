"""One SELECT over listed files, in a process that can do nothing else: a script, with JSON on stdin and stdout.

DuckDB's own settings keep it to the files (`allowed_paths`), its transaction to reading, its parser to one SELECT. The
process has no environment, can write no file, and dies when it takes more memory or time than it may: a function such
as `repeat('x', 300000000)` keeps neither DuckDB's memory limit nor its time limit, and `sleep_ms` takes no CPU time.
It imports nothing of ours.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from typing import Any

CELL_CHARS = 500  # of a value that are shown
SPARE_SECONDS = 5  # of CPU beyond the time limit, for Python to start and the views to be made
LATE_SECONDS = 1  # beyond the time limit until the process dies: most queries DuckDB ends itself, and says so
SETTINGS = (
    "TimeZone = 'UTC'",
    "enable_progress_bar = false",
    "python_enable_replacements = false",  # a name in a query must not find a variable here
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "allow_community_extensions = false",
    "allow_persistent_secrets = false",
)
"""What is set before everything else is locked."""


def main() -> None:
    """Runs the query that stdin holds."""
    asked = json.load(sys.stdin)
    _limit(resource.RLIMIT_AS, asked["process_bytes"])
    _limit(resource.RLIMIT_CPU, int(asked["seconds"]) + SPARE_SECONDS)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    json.dump(run(asked), sys.stdout)


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """Columns and rows as text, or an error and whether it was an attempt to do more than read."""
    import duckdb

    connection = duckdb.connect(config={"threads": 1, "memory_limit": asked["memory"], "temp_directory": ""})
    for setting in SETTINGS:
        connection.execute(f"SET {setting}")
    for schema, table, select in asked["views"]:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"; CREATE VIEW "{schema}"."{table}" AS {select}')
    files = ", ".join("'" + path.replace("'", "''") + "'" for path in asked["files"])
    connection.execute(f"SET max_execution_time = {int(asked['seconds'] * 1000)}")
    connection.execute(f"SET allowed_paths = [{files}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    signal.setitimer(signal.ITIMER_REAL, asked["seconds"] + LATE_SECONDS)
    try:
        asked["sql"].encode()  # DuckDB does not say what is wrong with half a surrogate pair
        statements = connection.extract_statements(asked["sql"])
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            named = ", ".join(str(statement.type).rpartition(".")[2] for statement in statements) or "nothing"
            return {"error": f"only one SELECT is allowed, and this is {named}", "is_escape": len(statements) > 0}
        connection.execute("BEGIN TRANSACTION READ ONLY")
        result = connection.execute(statements[0])
        columns = [column[0][:CELL_CHARS] for column in result.description]
        rows: list[list[str | None]] = []
        size, is_cut = _size(columns), False
        if size > asked["bytes"]:
            message = (
                f"the names of its {len(columns)} columns take more than {asked['bytes']} bytes; name fewer columns"
            )
            return {"error": message, "is_escape": False}
        for row in iter(result.fetchone, None):
            cells = [None if value is None else str(value).replace(asked["root"], "lake")[:CELL_CHARS] for value in row]
            size += _size(cells)
            if len(rows) >= asked["rows"] or size > asked["bytes"]:
                is_cut = True
                break
            rows.append(cells)
    except duckdb.InterruptException:
        return {"error": f"it took longer than {asked['seconds']:g} s; ask for less", "is_escape": False}
    # A value that Python cannot hold is an OverflowError or a ValueError; so is text that is no Unicode.
    except (duckdb.Error, MemoryError, OverflowError, ValueError) as error:
        message = (str(error) or "out of memory").replace(asked["root"], "lake")
        return {"error": message[: asked["bytes"] // 4], "is_escape": _is_escape(error)}
    return {"columns": columns, "rows": rows, "is_cut": is_cut}


def _size(cells: list[str] | list[str | None]) -> int:
    """Bytes of a line that is shown."""
    return sum(len(("null" if cell is None else cell).encode()) + 1 for cell in cells)


def _is_escape(error: Exception) -> bool:
    """Whether DuckDB refused what is no reading of the listed files, rather than failed at it."""
    import duckdb

    message = str(error)
    is_forbidden = isinstance(error, duckdb.PermissionException)
    return is_forbidden or "configuration has been locked" in message or "read-only mode" in message


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


if __name__ == "__main__":
    main()
