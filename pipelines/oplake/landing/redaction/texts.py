"""Secrets in a text: where they stand, and the text without them."""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from functools import cache

from oplake.landing.redaction.marks import may_hold_secret
from oplake.landing.redaction.names import ORDINARY, rule_of_name
from oplake.landing.redaction.replacements import is_replacement, replacement
from oplake.landing.redaction.rules import COMMANDS, KEYS, PARTS, PLACES

_CODE_WORD = re.compile(r"[A-Z]{0,3}[a-z]+(?:[A-Z][a-z]+)*+")

_CORE = re.compile(
    r"passw|pass[_ ]?phrase|passcode|pwd|[bresnyt_-]pass|contrase|secret|credential|key|token(?!s)|authorization",
    re.IGNORECASE,
)
_NAME_CHARS = 40  # a longer name is prose or data
_BEFORE = re.compile(r"[\w.-]*\Z")
_AFTER = re.compile(r"[\w-]*")
_OPERATOR = re.compile(
    r"""\\*['"`]?\]?            # what closes the name, if it is quoted or an index
        (?:\[\d*\])?            # char password[25]
        (?:\s*:\s*[A-Za-z_][\w.\[\]|\ ]{0,40}?(?==))?  # password: str
        (?:\s*(?::=|=>|[=!]==?|=|::?)\s*@?|(?:\.assign)?\((?=["']))""",
    re.VERBOSE,
)
_QUOTED = re.compile(  # an escaped quote is one of JSON within a text; without the closing one the text was cut
    r"""(?P<quote>['"`])(?P<secret>(?:\\.|(?!(?P=quote))[^\\\n])+)(?:(?P=quote)|(?P<open>\Z))
      |(?P<escape>(?P<slashes>\\{1,31})['"])
       (?P<escaped>  # with the quotes in it, of one backslash more than twice as many, when that leads to an end
         (?>(?P=slashes)\\(?P=slashes)[\\'"]|(?!(?P=escape))[^\n])+(?=(?P=escape)|\Z)
        |(?:(?!(?P=escape))[^\n])+)
       (?:(?P=escape)|\Z)""",
    re.VERBOSE,
)
_BARE = re.compile(r"[^\s,;&'\"`\\(){}\[\]<>$|]+")
_SPACES = re.compile(r"[ \t]+")
_VALUE_OF = re.compile(  # name="password" value="…", and the same in JSON and YAML
    r"""\\{0,15}['"]?\s*+(?:,\s*+)?\\{0,15}['"]?(?ai:value)\\{0,15}['"]?\s*+[:=]\s*+"""
)
_ELEMENT = re.compile(r"[^<>]{0,99}>(?P<secret>[^<>\s${][^<>]{0,200})</")
_NEXT_ITEM = re.compile(r"""\\{0,15}['"]\s*,\s*(?=\\{0,15}['"])""")
_LINE_BEGIN = re.compile(r"""(?:\A|[\r\n]|\\[rn])[ \t>*+-]*(?:(?:export|set|env)[ \t]+)?\Z""")
_LINE_END = re.compile(r"[ \t]*(?:\Z|[\r\n]|\\[rn]|[ \t]#)")
_COMPARED = re.compile(r"(?P<quote>['\"`])(?P<secret>[^'\"`\n]+)(?P=quote)\s*[!=]==?\s*(?P<name>[\w.]{1,60})")
_MIN_DIGITS = 20  # fewer digits are a count or an id
_CALL_CHARS = 200  # what is longer is no name of a function, and reading on for every name in it takes quadratic time
_MIN_BARE = 4  # shorter ones without quotes are words, numbers and operators
_MIN_PASSWORD = 3  # the same where it is password=abc
_MIN_WORD = 6  # a word that is all of a line's value: shorter ones are str, int, yes, none


def redact(text: str, counts: MutableMapping[str, int]) -> str:
    """The text with every secret replaced by `[redacted:<rule>]`; what was replaced is added to `counts` by rule.

    Doing it again changes and counts nothing.
    """
    if not may_hold_secret(text.encode("utf-8", "surrogatepass")):
        return text
    return _redact(text, counts)


def _redact(text: str, counts: MutableMapping[str, int]) -> str:
    for secrets in (_by_form, by_place, _by_name, _by_comparison):
        text = replace(text, secrets(text), counts)
    return text


def replace(text: str, secrets: Iterator[tuple[int, int, str]], counts: MutableMapping[str, int]) -> str:
    parts, done = [], 0
    for start, end, rule in secrets:
        if start < done or is_replacement(text[start:end]):
            continue
        parts += [text[done:start], replacement(rule, counts)]
        done = end
    return "".join([*parts, text[done:]]) if parts else text


@cache
def _forms() -> re.Pattern[str]:
    """All of `KEYS` as one; compiled when a text needs it first, because an agent pays for it at every start."""
    return re.compile("|".join(f"(?P<{rule}>{form.pattern})" for rule, form in KEYS.items()), re.ASCII)


def _by_form(text: str) -> Iterator[tuple[int, int, str]]:
    for found in _forms().finditer(text):
        part = next((name for name in PARTS if found[name] is not None), 0)
        rule = next(rule for rule in KEYS if found[rule] is not None)
        yield *found.span(part), rule


@cache
def places() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((place.rule, re.compile(place.pattern)) for place in (*PLACES, *COMMANDS))


def by_place(text: str) -> Iterator[tuple[int, int, str]]:
    found = [(*one.span("secret"), rule) for rule, pattern in places() for one in pattern.finditer(text)]
    yield from sorted(found, key=lambda one: (one[0], -one[1]))


def _by_name(text: str) -> Iterator[tuple[int, int, str]]:
    """Values assigned to, passed as, or standing behind the name of a secret."""
    done = 0
    for core in _CORE.finditer(text):
        if core.start() < done:
            continue
        begin = text[max(0, core.start() - _NAME_CHARS) : core.start()]
        before = _BEFORE.search(begin)
        after = _AFTER.match(text, core.end(), core.end() + _NAME_CHARS)
        assert before is not None  # both match the empty text
        assert after is not None
        if begin.endswith("[redacted:" + before.group()):  # what stands in place of a secret names nothing
            continue
        name = before.group().rpartition(".")[2] + core.group() + after.group()
        rule = rule_of_name(name)
        if rule is None:
            continue
        span = _value(text, core.start() - len(before.group()), after.end(), name, rule)
        if span is not None:
            done = span[1]
            yield *span, rule


def _by_comparison(text: str) -> Iterator[tuple[int, int, str]]:
    """Literals that are compared with a secret: "letmein" == password."""
    for found in _COMPARED.finditer(text):
        rule = rule_of_name(found["name"])
        if rule is not None:
            yield *found.span("secret"), rule


def _value(text: str, start: int, position: int, name: str, rule: str) -> tuple[int, int] | None:
    """Where the value of a name stands, when it is one: quoted, or bare and not a word of code or prose."""
    operator, is_named = _OPERATOR.match(text, position), False
    if operator is None:
        operator, is_named = _VALUE_OF.match(text, position), True
    if operator is None:
        return _value_beside(text, start, position, name)
    quoted = _QUOTED.match(text, operator.end())
    if quoted is not None:
        first, end = quoted.span("secret") if quoted["escaped"] is None else quoted.span("escaped")
        is_end_of_another = text[first].isspace() or (quoted["open"] is not None and " " in text[first:end])
        return None if is_end_of_another else (first, end)
    if is_named and "\n" not in operator.group():  # type:"password",value:a!=b is code; YAML has a line for each
        return None
    bare = _BARE.match(text, operator.end())
    return bare.span() if bare and _is_secret(bare, start, name, operator.group(), rule) else None


def _value_beside(text: str, start: int, position: int, name: str) -> tuple[int, int] | None:
    """The value of a name without an operator: of an element, of an option, or of a word before a semicolon."""
    if text[max(0, start - 1) : start] in {"<", ":"}:
        element = _ELEMENT.match(text, position)
        return element.span("secret") if element else None
    following = _NEXT_ITEM.match(text, position) if name.startswith("--") else None
    if following is not None:
        quoted = _QUOTED.match(text, following.end())
        span = quoted.span("escaped" if quoted["secret"] is None else "secret") if quoted else None
        return span if span is not None and is_argument(text[span[0] : span[1]]) else None
    spaces = _SPACES.match(text, position)
    if spaces is None:
        return None
    if name.startswith("--"):
        bare = re.compile(r"[^\s-]\S*").match(text, spaces.end())
        return bare.span() if bare else None
    quoted = _QUOTED.match(text, spaces.end())
    return quoted.span("secret") if quoted and text.startswith(";", quoted.end()) else None


def is_argument(text: str) -> bool:
    """Whether what follows an option is its value, and not the next option, nor how a program declares it."""
    return text[:1] not in {"-", "<", "$", "{", "%"} and rule_of_name(text) is None


def _is_secret(bare: re.Match[str], start: int, name: str, operator: str, rule: str) -> bool:
    """Whether a value without quotes is a secret, and not a word, an expression or a count."""
    value = bare.group().rstrip(".:!?")
    following = bare.string[bare.end() : bare.end() + 1]
    is_tight = operator == "="
    least = _MIN_PASSWORD if is_tight and rule == "password" else _MIN_BARE
    if len(value) < least or (following in {"(", "[", "{", "$"} and len(value) < _CALL_CHARS):
        return False
    if value.isdigit():
        return rule == "password" or len(value) >= _MIN_DIGITS
    if not re.fullmatch(r"[A-Za-z_.-]+", value):
        return True
    # Letters only: a word of prose or a variable, unless it stands as in PASSWORD=letmein or ?password=letmein&x=1, or
    # is all that a line says.
    if "." in value or value.lower() in ORDINARY or rule_of_name(value) is not None:
        return False
    if is_tight:
        return (
            following in {"", ";", "&", "\n", " ", "\r", "\t", '"', "'", "`"}
            or _LINE_END.match(bare.string, bare.end()) is not None
        )
    return len(value) >= _MIN_WORD and _is_all_of_a_line(bare, start, name, operator, rule)


def _is_all_of_a_line(bare: re.Match[str], start: int, name: str, operator: str, rule: str) -> bool:
    """Whether a line gives a value to a name, as a file of settings does, and says nothing else.

    Names in capitals are settings wherever they stand. Variables, types and tokens of a language are not secret.
    """
    is_setting = name.isupper() and "_" in name
    if rule == "token" and not is_setting:
        return False
    value = bare.group()
    is_mixed = not value.islower() and not value.isupper()
    if ("_" in value and not is_mixed) or (is_mixed and _CODE_WORD.fullmatch(value)):
        return False  # snake_case, A_CONSTANT, camelCase
    if "=" in operator and "." in bare.string[start : start + _NAME_CHARS].partition(" ")[0]:
        return False  # an attribute of an object
    before = bare.string[max(0, start - _NAME_CHARS) : start]
    if "-" in name and before[-1:] in {"'", '"'}:  # curl -H 'X-Api-Key: abcdefgh'
        return bare.string.startswith(before[-1], bare.end())
    return (is_setting or _LINE_BEGIN.search(before) is not None) and _LINE_END.match(
        bare.string, bare.end()
    ) is not None
