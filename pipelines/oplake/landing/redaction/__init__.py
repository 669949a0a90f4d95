"""Secrets are taken out of every text before it is written.

The rules are in `rules` and `names`; how they apply to a text is in `texts`, and to JSON in `structures`. One look at a
whole encoded event comes first (`marks`): RE2 searches it for the marks of all rules, so that nearly all events pay for
nothing else. The mark of a rule is its own pattern without what RE2 does not know, or stands beside it where that is
not enough. A mark that misses what its rule would replace would let it through in silence; the tests hold the two
together.

What looks random but names no service, such as a hash or an id, is left alone: events are full of those.
"""

from __future__ import annotations

from oplake.landing.redaction.marks import may_hold_secret
from oplake.landing.redaction.names import NAMES, rule_of_name
from oplake.landing.redaction.rules import KEYS
from oplake.landing.redaction.structures import hide, redact_json
from oplake.landing.redaction.texts import redact

__all__ = ["RULES", "hide", "may_hold_secret", "redact", "redact_json", "rule_of_name"]

RULES: tuple[str, ...] = (*KEYS, "bearer", "url_password", "cookie", "signed_url", *NAMES)
"""Every rule by its name, as it stands in replacements and in `lake.redactions`."""
