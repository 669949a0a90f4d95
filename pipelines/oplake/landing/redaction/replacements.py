"""What stands in place of a secret."""

from __future__ import annotations

import re
from collections.abc import MutableMapping

REPLACEMENT = "[redacted:{}]"
_REPLACED = re.compile(r"\[redacted:[a-z_]*\]?")


def replacement(rule: str, counts: MutableMapping[str, int]) -> str:
    """What stands in place of a secret; it is counted."""
    counts[rule] = counts.get(rule, 0) + 1
    return REPLACEMENT.format(rule)


def is_replacement(text: str) -> bool:
    """Whether a text is what stands in place of a secret, or the beginning of it that a cut left."""
    text = text.removesuffix("...")
    return _REPLACED.fullmatch(text) is not None or (len(text) > 1 and REPLACEMENT.startswith(text))
