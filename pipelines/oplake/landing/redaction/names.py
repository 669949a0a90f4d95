"""Names of which the value is secret, whatever it looks like."""

from __future__ import annotations

import re
from functools import lru_cache

# -- Values of which a name says that they are secret -----------------------------------------------------------------

WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-zñ]+|[0-9]+")
NAMES: dict[str, re.Pattern[str]] = {  # by rule, of names as words in lower case joined by _
    rule: re.compile(rf"(?:{names})(?:_(?P<suffix>[a-z0-9]+).*)?")
    for rule, names in {
        "password": (
            r".*(?:passwords?|passwd|passphrase|pass_phrase|passcode|pwd|contrase[ñn]a)"
            r"|(?:.*_)?(?:db|database|key|user|admin|root)_?pass"
        ),
        "api_key": (
            r"(?:.*_)?(?:api|auth|access|service|account|db|database|priv|private|client|encryption|signing|master|ssh)"
            r"_?keys?"
        ),
        "secret": r"(?:.*[_a-z])?(?:secrets?|credentials?)",
        "token": (
            r"(?:(?P<before>[a-z0-9_]+)_)?token|.*(?:auth|access|refresh|bearer|session|api)token"
            r"|(?:.*_)?authorization"
        ),
    }.items()
}
HARMLESS_SUFFIXES = frozenset(
    {
        "at",
        "count",
        "counts",
        "enabled",
        "expires",
        "expiry",
        "field",
        "fields",
        "hint",
        "id",
        "ids",
        "index",
        "label",
        "len",
        "length",
        "limit",
        "name",
        "names",
        "policy",
        "required",
        "reset",
        "rotation",
        "rule",
        "rules",
        "size",
        "status",
        "stdin",
        "strength",
        "type",
        "types",
        "url",
        "usage",
        "used",
        "valid",
    }
)
"""Words behind the name of a secret that make it the name of something about it: `token_type`, `secret_name`."""
_HARMLESS_TOKENS = frozenset(
    {
        "page",
        "continuation",
        "eos",
        "bos",
        "pad",
        "unk",
        "sep",
        "cls",
        "mask",
        "stop",
        "start",
        "end",
        "per",
        "first",
        "last",
        "next",
        "special",
        "new",
        "prompt",
        "each",
        "cursor",
    }
)
"""Words before `token` that make it a cursor or a piece of text."""

ORDINARY = frozenset(
    {
        *("above", "absent", "admin", "allowed", "anonymous", "applied", "argument", "arguments", "array"),
        *("basic", "bearer", "before", "below", "binary", "boolean", "bytes", "changed", "changes", "column"),
        *("config", "configured", "console", "context", "correct", "created", "current", "custom", "default"),
        *("defined", "deleted", "denied", "digest", "disabled", "element", "email", "empty", "enabled", "encoded"),
        *("encrypted", "entered", "environ", "environment", "error", "example", "expired", "explicit", "external"),
        *("failed", "failure", "false", "field", "forgot", "forgotten", "format", "found", "generate"),
        *("generated", "getenv", "given", "granted", "hashed", "hidden", "ignored", "import", "incorrect"),
        *("input", "instance", "integer", "internal", "invalid", "keyring", "length", "limited", "literal"),
        *("locked", "manual", "masked", "matched", "matches", "member", "method", "missing", "nchar", "needed"),
        *("negotiate", "never", "none", "nothing", "null", "nullable", "number", "object", "omitted", "option"),
        *("optional", "output", "param", "parameter", "parsed", "plain", "plaintext", "please", "private"),
        *("prompt", "protected", "provided", "public", "random", "randomly", "reader", "readonly", "received"),
        *("redacted", "regular", "removed", "renewed", "required", "response", "result", "returned", "revoked"),
        *("rotated", "rotating", "sample", "schema", "server", "setting", "settings", "shared", "signed"),
        *("source", "static", "stored", "str", "string", "strings", "struct", "success", "supplied", "target"),
        *("template", "temporary", "tested", "text", "textfield", "trimmed", "true", "tuple", "unchanged"),
        *("undefined", "unencrypted", "unique", "unknown", "unset", "unused", "updated", "userdata", "username"),
        *("valid", "validated", "value", "values", "varchar", "verified", "virtual", "void", "wrong", "yourself"),
    }
)
"""Words that stand behind the name of a secret in prose, in code and in schemas."""


@lru_cache(maxsize=4096)
def rule_of_name(name: str) -> str | None:
    """The rule by which the value under such a name is secret whatever it looks like, or None."""
    joined = "_".join(WORDS.findall(name)).lower()
    for rule, names in NAMES.items():
        found = names.fullmatch(joined)
        if found is None or found["suffix"] in HARMLESS_SUFFIXES:
            continue
        before = found["before"] if rule == "token" else None
        if before is None or before.rpartition("_")[2] not in _HARMLESS_TOKENS:
            return rule
    return None
