"""Words that follow from figures, for whoever tells people something."""

from __future__ import annotations


def counted(count: int, noun: str, nouns: str = "") -> str:
    """So many of something: `1 day`, `1,200 days`; `nouns` is the plural where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"
