"""Functions in Python that a model's SQL may call, for what SQL says badly: mining sequences, folding a history.

A model calls one by name, `unnest(f(list(...)))`, and stays a model: what it reads, its columns, when it is stale and
how it is checked and documented are told by its file, as of any other. The functions themselves are plain, take and
give plain values, and stand where they belong, mostly in `oplake.learning`; here is only what DuckDB has to know of
them. Since a model that calls one is not SQL alone, its code version holds the sources that the result comes of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import duckdb
from duckdb.func import FunctionNullHandling


@dataclass(frozen=True)
class Function:
    """A function that models may call. Types are DuckDB's; it is called with None where SQL has NULL.

    `sources` are the modules that its results come of, which are all of ours that its own loads: when one of them
    changes, what was made with it is stale.
    """

    name: str
    parameters: tuple[str, ...]
    returns: str
    module: str
    sources: tuple[str, ...]

    def create(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Have a connection know it; a module is loaded only now, for most runs need none."""
        connection.create_function(
            self.name,
            getattr(import_module(self.module), self.name),
            list(self.parameters),
            self.returns,
            null_handling=FunctionNullHandling.SPECIAL,
        )

    @property
    def code_version(self) -> str:
        """Hash of its types and of the sources that its results come of."""
        return _code_version(self)


@cache
def _code_version(function: Function) -> str:
    digest = hashlib.sha256(repr((function.parameters, function.returns)).encode())
    for module in function.sources:
        found = find_spec(module)
        assert found is not None, module
        assert found.origin is not None, module
        digest.update(Path(found.origin).read_bytes())
    return digest.hexdigest()


_EXPOSURES = (
    "STRUCT(day DATE, entry_id VARCHAR, is_withheld BOOLEAN, success DOUBLE, goal_id VARCHAR, week DATE, "
    "unit VARCHAR)[]"
)

_LEARNING = "oplake.learning"
_LIFECYCLE = (f"{_LEARNING}.lifecycle", f"{_LEARNING}.uplift", f"{_LEARNING}.intervals")
_PATTERNS = (f"{_LEARNING}.patterns", f"{_LEARNING}.sequences", f"{_LEARNING}.shuffles", *_LIFECYCLE)

FUNCTIONS: tuple[Function, ...] = (
    Function(
        name="playbook_patterns",
        parameters=(
            "VARCHAR",
            "VARCHAR",
            "STRUCT(items VARCHAR[], is_success BOOLEAN, units BIGINT, shown VARCHAR[], evidence VARCHAR[], "
            "goals VARCHAR[])[]",
            "VARCHAR[]",
            "BIGINT",
        ),
        returns='STRUCT(entry_id VARCHAR, kind VARCHAR, pattern VARCHAR[], "trigger" VARCHAR, "do" VARCHAR, '
        "avoid VARCHAR, hits BIGINT, runs BIGINT, other_hits BIGINT, other_runs BIGINT, support DOUBLE, lift DOUBLE, "
        "p_value DOUBLE, is_proposed BOOLEAN, is_unexplained BOOLEAN, evidence VARCHAR[])[]",
        module=f"{_LEARNING}.patterns",
        sources=_PATTERNS,
    ),
    Function(
        name="playbook_entry_id",
        parameters=("VARCHAR",) * 6,
        returns="VARCHAR",
        module=f"{_LEARNING}.patterns",
        sources=_PATTERNS,
    ),
    Function(
        name="playbook_entries",
        parameters=(
            'STRUCT(task_class VARCHAR, endpoint VARCHAR, kind VARCHAR, "trigger" VARCHAR, "do" VARCHAR, '
            "avoid VARCHAR, days DATE[], first_evidence VARCHAR[], last_evidence VARCHAR[])[]",
            _EXPOSURES,
            "DATE",
            "BIGINT",
            "BIGINT",
            "BIGINT",
        ),
        returns='STRUCT(entry_id VARCHAR, task_class VARCHAR, "trigger" VARCHAR, "do" VARCHAR, avoid VARCHAR, '
        "evidence VARCHAR[], content_hash VARCHAR, version BIGINT, status VARCHAR, created DATE, last_confirmed DATE, "
        "exposures BIGINT, controls BIGINT, uplift DOUBLE, uplift_low DOUBLE, uplift_high DOUBLE, tokens BIGINT, "
        "retired_on DATE, retired_why VARCHAR, rank BIGINT, active_since DATE, active_until DATE)[]",
        module=f"{_LEARNING}.entries",
        sources=(f"{_LEARNING}.entries", *_LIFECYCLE),
    ),
    Function(
        name="uplift_floor",
        parameters=(_EXPOSURES,),
        returns="STRUCT(samples BIGINT, score DOUBLE, floor DOUBLE, shuffles BIGINT, p DOUBLE, is_degenerate BOOLEAN)",
        module=f"{_LEARNING}.entries",
        sources=(f"{_LEARNING}.entries", *_LIFECYCLE),
    ),
    Function(
        name="injection_flags",
        parameters=("VARCHAR",),
        returns="VARCHAR[]",
        module="oplake.synthesis.injection",
        sources=("oplake.synthesis.injection",),
    ),
)
"""All of them."""


def functions_named(names: Collection[str]) -> tuple[Function, ...]:
    """Those of these names; DuckDB does not heed upper and lower case, nor do we."""
    asked = {name.lower() for name in names}
    return tuple(each for each in FUNCTIONS if each.name in asked)


@contextmanager
def callable_in(connection: duckdb.DuckDBPyConnection, functions: Collection[Function]) -> Iterator[None]:
    """Have a connection know these functions, for one piece of work of several."""
    for function in functions:
        function.create(connection)
    try:
        yield
    finally:
        for function in functions:
            connection.remove_function(function.name)
