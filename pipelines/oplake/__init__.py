"""oplake: a lakehouse for the work of AI agents.

What people import stands here: `Recorder` and `observed` write events down, `connect` asks questions in SQL, and
`refresh` lets a connection see what is new. Each is loaded when it is first used, so that an agent which only records
never loads DuckDB, Delta or Dagster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oplake.lake.catalog import connect as connect
    from oplake.lake.catalog import refresh as refresh
    from oplake.landing.observe import observed as observed
    from oplake.landing.recorder import Recorder as Recorder

__version__ = "0.1.0"
__all__ = ["Recorder", "__version__", "connect", "observed", "refresh"]

_HOMES = {
    "Recorder": "oplake.landing.recorder",
    "connect": "oplake.lake.catalog",
    "observed": "oplake.landing.observe",
    "refresh": "oplake.lake.catalog",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'oplake' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
