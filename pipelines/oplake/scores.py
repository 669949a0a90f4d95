"""How well an outcome met what was expected of it.

Here is the rule in Python, for live callbacks and as the reference that the property test of the SQL models
(`attribution.expectations`, `attribution.success_scores`) is held against. Nothing here reads a table or a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

ABSOLUTE_TOLERANCE = 0.05  # rewards and shares in [0, 1] are met when they are off by rounding
RELATIVE_TOLERANCE = 0.10  # larger figures are met within a tenth of what was expected
ROUNDING = 1e-9  # of the tolerance: 1.1 - 1 is a little over 0.1 as a double, and on the boundary is met
NEUTRAL_SCORE = 0.5  # nothing was expected, so nothing is known
TIMEOUT_SCORE = 0.2  # nothing was expected, but it did not even end

_canonical = msgspec.json.Encoder(order="deterministic")


def success_score(outcome: Mapping[str, Any], expected: Mapping[str, Any]) -> float:
    """Fraction of the expected keys that the outcome met, in [0, 1].

    An outcome with an error (not null, false, 0 or empty) or with status `error` scores 0. Without expectations the
    score is neutral: 0.5, or 0.2 after a timeout.
    """
    if outcome.get("error") or outcome.get("status") == "error":
        return 0.0
    if not expected:
        return TIMEOUT_SCORE if outcome.get("status") == "timeout" else NEUTRAL_SCORE
    return sum(is_met(outcome.get(key), value) for key, value in expected.items()) / len(expected)


def is_met(actual: Any, expected: Any) -> bool:
    """Whether an actual JSON value meets the expected one; a missing key is passed as None and never does.

    Numbers (as doubles) are met within 0.05, or within 10 % of what was expected; what is a billionth of that beyond is
    rounding. Booleans meet booleans only.
    Objects and lists are compared as canonical JSON: keys sorted, no spaces. Everything else is met by equality.
    """
    if actual is None or expected is None:
        return False
    if isinstance(expected, bool) or isinstance(actual, bool):
        return bool(actual is expected)
    if isinstance(expected, (int, float)) and isinstance(actual, (int, float)):
        expected, actual = float(expected), float(actual)
        tolerance = max(ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE * abs(expected))
        return bool(abs(actual - expected) <= tolerance * (1 + ROUNDING))
    if isinstance(expected, (dict, list)) or isinstance(actual, (dict, list)):
        return _canonical.encode(actual) == _canonical.encode(expected)
    return bool(actual == expected)
