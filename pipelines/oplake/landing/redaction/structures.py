"""Secrets in JSON: values that stand under a name, beside it or behind it; and JSON that is kept as a text."""

from __future__ import annotations

import json
import re
from collections.abc import MutableMapping
from typing import Any

from oplake.landing.redaction.names import HARMLESS_SUFFIXES, WORDS, rule_of_name
from oplake.landing.redaction.replacements import is_replacement, replacement
from oplake.landing.redaction.rules import COMMANDS, COOKIE
from oplake.landing.redaction.texts import by_place, is_argument, places, redact, replace

# -- JSON values -------------------------------------------------------------------------------------------------------

_FLAG = re.compile(r"--?[A-Za-z][\w-]{0,60}")
_PLAIN_NAME = re.compile(r"[\w.-]{1,80}")  # a longer one, or one with spaces, is prose that mentions a secret
_COOKIES = re.compile(rf"{COOKIE}(?:; *{COOKIE})*;?", re.ASCII)
_PROGRAM = re.compile(r"(?:.*/)?(?:mysql\w*|mariadb[\w-]*|sshpass|redis-cli|docker|podman|helm|curl)")
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINE = re.compile(r"\s*(?:[A-Za-z0-9+/=]{1,100}|[A-Za-z-]{1,30}: .{0,100})\s*", re.ASCII)
_KEY_ENDS = re.compile(r"\s*-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_NAMING = frozenset({"name", "key", "field", "header", "variable"})  # {"name": "DB_PASSWORD", "value": "…"}
_USERS = frozenset({"user", "username", "login", "uid", "email"})  # pass is a password beside them
_SCHEMA_TYPES = frozenset({"string", "object", "number", "integer", "boolean", "array", "null"})
_ABOUT = frozenset(
    {
        *("by", "category", "code", "description", "detail", "details", "email", "error", "errors", "exp"),
        *("format", "hash", "host", "issued", "key", "kind", "login", "message", "method", "mode", "msg", "note"),
        *("permissions", "port", "provider", "reason", "region", "role", "roles", "scope", "scopes", "source"),
        *("state", "text", "title", "ts", "uid", "updated", "user", "username", "users", "version"),
    }
)
"""Last words of keys, besides HARMLESS_SUFFIXES, whose values tell about the secret that they stand under."""


def hide(value: Any, counts: MutableMapping[str, int]) -> Any:
    """A JSON value without what is secret by where it stands in it; its texts are left to `redact`."""
    if isinstance(value, dict):
        return _hide_members(value, counts)
    return _hide_items(value, counts) if isinstance(value, list) else value


def _hide_members(members: dict[str, Any], counts: MutableMapping[str, int]) -> dict[str, Any]:
    lower = {key.lower() for key in members}
    names = [item for key, item in members.items() if key.lower() in _NAMING] if "value" in lower else []
    made: dict[str, Any] = {}
    for key, item in members.items():
        rule = _rule_of(str(key), item, is_beside_user=not _USERS.isdisjoint(lower))
        if rule is None and key.lower() == "value":
            rules = [_rule_of(name, item) for name in names if isinstance(name, str) and _PLAIN_NAME.fullmatch(name)]
            rule = min(filter(None, rules), default=None)  # whatever the order of the keys
        made[key] = hide(item, counts) if rule is None else _hidden(item, rule, counts)
    return made


def _rule_of(name: str, value: Any, *, is_beside_user: bool = False) -> str | None:
    """The rule by which a value is secret under its name, or together with it."""
    if name.startswith("[redacted:"):  # a key that was a secret itself says nothing of its value
        return None
    rule = rule_of_name(name)
    if rule is None and isinstance(value, str) and name.isascii():
        lower = name.lower()
        if lower in {"cookie", "set-cookie"} and _COOKIES.match(value):
            return "cookie"
        if lower == "pass" and (is_beside_user or _is_chosen(value)):
            return "password"
    return rule


def _is_chosen(value: str) -> bool:
    """Whether a value of `pass` looks like a password."""
    spans = [(start, end) for start, end, _ in by_place(f"pass={value}")]
    return spans == [(5, 5 + len(value))]


def _hide_items(items: list[Any], counts: MutableMapping[str, int]) -> list[Any]:
    made = [_hide_pair(item, counts) if _is_pair(item) else hide(item, counts) for item in items]
    in_key = False  # the lines of a private key
    for place, item in enumerate(made):
        if not isinstance(item, str):
            in_key = False
            continue
        flag = made[place - 1] if place else None
        if isinstance(flag, str) and _FLAG.fullmatch(flag) and is_argument(item):
            rule = rule_of_name(flag)
            if rule is not None:
                made[place] = _hidden(item, rule, counts)
        elif in_key and (_KEY_ENDS.match(item) or _KEY_LINE.fullmatch(item)):
            made[place] = _hidden(item, "private_key", counts)
        in_key = (in_key and not _KEY_ENDS.match(item)) or _KEY_BEGINS.search(item) is not None
    return _hide_arguments(made, counts)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str)


def _hide_pair(pair: list[str], counts: MutableMapping[str, int]) -> list[str]:
    """A name and its value, as headers have them; two names are a row of a table."""
    name, value = pair
    rule = _rule_of(name, value) if _PLAIN_NAME.fullmatch(name) else None
    if rule is None or (re.fullmatch(r"[A-Za-z_]*", value) and "-" not in name):
        return _hide_items([name, value], counts)
    return [name, _hidden(value, rule, counts)]


def _hide_arguments(items: list[Any], counts: MutableMapping[str, int]) -> list[Any]:
    """The arguments of a program, without passwords of which only the program knows that they are some."""
    if len(items) < 2 or not all(isinstance(item, str) for item in items) or not _PROGRAM.fullmatch(items[0]):
        return items
    line = " ".join(items)
    commands = {place.pattern for place in COMMANDS}
    found = [one.span("secret") for _, rule in places() if rule.pattern in commands for one in rule.finditer(line)]
    made, begin = [], 0
    for item in items:
        inside = [
            (start - begin, end - begin, "password") for start, end in found if begin <= start < begin + len(item)
        ]
        made.append(replace(item, iter(sorted(inside)), counts))
        begin += len(item) + 1
    return made


def _hidden(value: Any, rule: str, counts: MutableMapping[str, int]) -> Any:
    """What is under the name of a secret: all of its texts, but not what only tells about the secret."""
    if isinstance(value, list):
        return [_hidden(item, rule, counts) for item in value]
    if isinstance(value, dict):
        types = [item for key, item in value.items() if key.lower() == "type" and isinstance(item, str)]
        if not _SCHEMA_TYPES.isdisjoint(types):
            return hide(value, counts)
        return {key: _hidden_member(str(key), item, rule, counts) for key, item in value.items()}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and rule == "password"
    if is_number or (isinstance(value, str) and value and not is_replacement(value)):
        return replacement(rule, counts)  # other numbers are counts and ids
    return value


def _hidden_member(key: str, value: Any, rule: str, counts: MutableMapping[str, int]) -> Any:
    own = _rule_of(key, value, is_beside_user=True)
    if own is not None:
        return _hidden(value, own, counts)
    last = (WORDS.findall(key) or [""])[-1].lower()
    is_word = rule == "token" and isinstance(value, str) and not re.search("[0-9]", value)  # of a language, or approved
    is_number = isinstance(value, (int, float)) and last != "value"
    if last in HARMLESS_SUFFIXES or last in _ABOUT or is_word or is_number:
        return hide(value, counts)
    return _hidden(value, rule, counts)


# -- JSON that is kept as a text ---------------------------------------------------------------------------------------


class _Number(float):
    """A number as it was written."""

    written: str

    def __new__(cls, written: str) -> _Number:
        made = super().__new__(cls, written)
        made.written = written
        return made


class _Key(str):
    """A key that may stand twice in one object."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def redact_json(text: str, counts: MutableMapping[str, int]) -> str:
    """The text as `redact` leaves it; if it is JSON, also without what is secret by where it stands in it.

    A text with a secret that `redact` does not see is written anew, with its keys in their order and as often as they
    were, and its numbers as they were; any other keeps every character around its secrets.
    """
    found: dict[str, int] = {}
    anew = _redact_structure(text, found)
    seen: dict[str, int] = {}
    redacted = redact(text, seen)
    if found:
        left: dict[str, int] = {}
        if _redact_structure(redacted, left) is None or left:
            redacted, seen = redact(anew or "", found), found
    for rule, count in seen.items():
        counts[rule] = counts.get(rule, 0) + count
    return redacted


def _redact_structure(text: str, counts: MutableMapping[str, int]) -> str | None:
    """A JSON object or list, written anew without its secrets; None if the text is none."""
    try:
        value = json.loads(
            text, object_pairs_hook=_members, parse_int=_Number, parse_float=_Number, parse_constant=_Number
        )
        if not isinstance(value, (dict, list)):
            return None
        written = _encode(_redacted(hide(value, counts), counts))
    except (ValueError, RecursionError):
        counts.clear()
        return None
    return written.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair is an escape in JSON


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {_Key(key): item for key, item in pairs}


def _redacted(value: Any, counts: MutableMapping[str, int]) -> Any:
    if isinstance(value, dict):
        return {_Key(redact(str(key), counts)): _redacted(item, counts) for key, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item, counts) for item in value]
    return redact(value, counts) if isinstance(value, str) else value


def _encode(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_encode(str(key))}:{_encode(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_encode, value)) + "]"
    return value.written if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)
