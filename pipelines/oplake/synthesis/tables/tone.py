"""What notes complain of and what they ask for, by words that give them away.

For the author without a model, which would else take any note for a friction point. It knows English, no irony, and no
complaint in other words; what it does not recognise it leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MOST = 3  # that a report names

_COMPLAINT = re.compile(
    r"\b(not|never|no longer|again|wrong|slow|late|fail(s|ed|ure)?|error|broken|missing|mess|confus\w+|annoy\w+|"
    r"redo|by hand|useless|waste\w*|too (long|many|much|slow|late)|had to|(does|did|is|was|could|would|can)n't)\b",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    r"\b(please|should|could you|next time|instead|prefer|want(ed)?|need(s|ed)?|better if|keep (doing|it))\b",
    re.IGNORECASE,
)


def complaints(notes: Iterable[str]) -> list[str]:
    """The notes that complain, each once, at most `MOST`."""
    return _found(_COMPLAINT, notes)


def requests(notes: Iterable[str]) -> list[str]:
    """The notes that ask for something, each once, at most `MOST`."""
    return _found(_REQUEST, notes)


def _found(pattern: re.Pattern[str], notes: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(note for note in notes if pattern.search(note)))[:MOST]
