"""What schemathesis is told beyond the document; its process loads it (SCHEMATHESIS_HOOKS)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import schemathesis

from oplake.events import INT_MAX, INT_MIN


@schemathesis.hook
def filter_body(_: Any, body: Any) -> bool:
    """Leaves out what is refused and JSON Schema cannot say: a key both in `extra` and beside it, and a whole number
    of more than 64 bits anywhere, other than as a float."""
    extra = body.get("extra") if isinstance(body, dict) else None
    stands_twice = isinstance(extra, dict) and extra.keys() & body.keys()
    return not stands_twice and all(INT_MIN <= number <= INT_MAX for number in _integers(body))


def _integers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _integers(item)
