"""Runs the benchmarks and writes down what they measured: `make bench`, or `python -m benchmarks NAME ...` for some.

A benchmark is a module of this folder with `run() -> list[Row]`. All rows are printed as one table. When all benchmarks
ran, RESULTS.md is written anew, with what the machine has and which bars were met; running some of them replaces their
rows and leaves the others.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "RESULTS.md"
MEASURED = FOLDER / "results.json"  # the same for programs, and what RESULTS.md is written from
NOT_BENCHMARKS = {"__init__", "__main__", "rows"}
WHOLE = 1000  # figures from here on are shown without decimals
Measured: TypeAlias = dict[str, dict[str, Any]]
"""By benchmark: the machine that it ran on, and its rows."""

PACKAGES = ("duckdb", "deltalake", "dagster", "msgspec", "pyarrow")


def main(names: Sequence[str]) -> int:
    """Run the named benchmarks, or all. A bar that is not met is a finding, not a failure."""
    known = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in NOT_BENCHMARKS)
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    err = Console(stderr=True)
    measured = _measured_before() if names else {}
    for name in names or known:
        began = time.monotonic()
        with err.status(f"{name} ..."):
            rows = import_module(f"benchmarks.{name}").run()
        measured[name] = {"machine": _machine(), "rows": [asdict(row) for row in rows]}
        err.print(f"{name}: {time.monotonic() - began:.0f} s")
        MEASURED.write_text(json.dumps(measured, indent=1, sort_keys=True) + "\n")
        RESULTS.write_text(_page(measured))
    shown = [Row(**row) for name in sorted(measured) for row in measured[name]["rows"]]
    Console().print(_table(shown))
    return 0


def _measured_before() -> Measured:
    measured: Measured = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    return measured


def _machine() -> str:
    """What matters of the machine, and nothing by which it could be told from others like it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, {packages}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= WHOLE else f"{value:.3g}"


def _bar(row: Row) -> str:
    return "" if row.bar is None else f"{'≤' if row.at_most else '≥'} {row.bar:g}"


def _verdict(row: Row) -> str:
    if row.bar is None:
        return ""
    return "met" if row.is_met else "NOT MET"


def _table(rows: Sequence[Row]) -> Table:
    table = Table("what", "against", box=box.SIMPLE_HEAD)
    for name in ("measured", "bar"):
        table.add_column(name, justify="right")
    table.add_column("")
    for row in rows:
        style = None if row.is_met else "red"
        table.add_row(row.what, row.against, _figure(row.ratio), _bar(row), _verdict(row), style=style)
    return table


def _page(measured: Measured) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. A figure is a ratio of two things measured side by side, the median of interleaved",
        "rounds; where there is nothing to compare with, its unit stands beside it. Why a bar is missed is told in",
        "[docs/decisions](../docs/decisions).",
        "",
        "| benchmark | what | against | measured | bar | |",
        "|---|---|---|---:|---:|---|",
    ]
    for name in sorted(measured):
        for row in (Row(**each) for each in measured[name]["rows"]):
            cells = [f"`{name}`", row.what, row.against, _figure(row.ratio), _bar(row), _verdict(row)]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", "Measured on:", ""]
    machines: dict[str, list[str]] = {}
    for name in sorted(measured):
        machines.setdefault(measured[name]["machine"], []).append(name)
    lines += [f"- {machine}: {', '.join(names)}" for machine, names in machines.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
