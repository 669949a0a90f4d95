"""The marks of all rules: one search tells of nearly every event that no rule applies to it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache

from oplake.landing.redaction.rules import BEGIN, COMMANDS, KEYS, PLACES, START, Form

# -- The marks of all rules -------------------------------------------------------------------------------------------

_BETWEEN = r"(?:[^a-z0-9]|\\u[0-9a-f]{4}|\\.)*"  # what may stand between two words of a name, escaped or not
_END = r"s?(?:(?-i:[^a-z])|\z)"  # a word ends there: secretary and tokens are others


def _mark(form: Form) -> str:
    """What RE2 looks for: the pattern, with what it takes for the beginning of a key, and without look-arounds and
    possessive quantifiers."""
    return form.mark or re.sub(r"\(\?<?[=!][^()]*\)|(?<=[+*?}])\+", "", form.pattern.replace(START, BEGIN))


_MARKS: tuple[str, ...] = (
    *map(_mark, KEYS.values()),
    *(place.mark for place in (*PLACES, *COMMANDS) if place.mark is not None),
    # The names, in the order of NAMES.
    (
        rf"(?i:passw|passcode|pass{_BETWEEN}phrase|pwd|contrase"
        rf"|(?:db|database|key|user|admin|root){_BETWEEN}pass{_END})"
    ),
    (
        r"(?i:(?:api|auth|access|service|account|db|database|priv|private|client|encryption|signing|master|ssh)"
        rf"{_BETWEEN}key{_END})"
    ),
    rf"(?i:(?:secret|credential){_END})",
    r"(?i:token(?:(?-i:[^a-z])|\z)|authorization)",
)


@cache
def _find_marks() -> Callable[[bytes], list[int] | None]:
    """Finds the marks of all rules at once; compiled with the first event, because an import should cost nothing."""
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes as they are; every mark is ASCII
    marks = re2.Set.SearchSet(options)
    marks.Add("|".join(_MARKS).encode("ascii"))
    marks.Compile()
    find: Callable[[bytes], list[int] | None] = marks.Match
    return find


# A fork may copy a lock of RE2's cache that another thread holds just then; a child makes its own.
os.register_at_fork(after_in_child=_find_marks.cache_clear)


def may_hold_secret(line: bytes) -> bool:
    """Whether an encoded event, or a text as UTF-8, has the mark of any rule. False means that no rule applies."""
    return bool(_find_marks()(line))
