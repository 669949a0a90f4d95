"""Secrets are taken out of every text before it is written.

Here are the rules, and how they apply to a text and to a JSON value. `may_hold_secret` looks at a whole encoded event
first: RE2 searches it once for the marks of all rules, so that nearly all events pay for nothing else. The mark of a
rule is its own pattern without what RE2 does not know, or stands beside it where that is not enough. A mark that misses
what its rule would replace would let it through in silence; the tests hold the two together.

What looks random but names no service, such as a hash or an id, is left alone: events are full of those.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, MutableMapping
from functools import cache, lru_cache
from typing import NamedTuple

REPLACEMENT = "[redacted:{}]"
_REPLACED = re.compile(r"\[redacted:[a-z_]*\]?")

# -- Keys that say by their form whose they are -----------------------------------------------------------------------

_START = r"(?<![A-Za-z0-9])"
_BEGIN = r"(?:\A|[^A-Za-z0-9]|\\[bfnrt]|\\u[0-9a-f]{4})"  # _START in JSON: an escape ends with a letter
_WITH_DIGIT = r"(?=[A-Za-z_-]{0,99}[0-9])"  # kebab-case names have none; without a bound it reads on at every sk-
_GIVEN = r"\\*+['\"]?\]?(?: *+(?:=>?|:[:=]?) *+| ++)\\*+['\"]?"  # between a name and its value


class _Form(NamedTuple):
    """What a key looks like in a text, and what betrays it in an encoded event."""

    pattern: str
    mark: str | None = None
    """None where the pattern does, look-arounds aside: nothing in it is escaped in JSON, and it is cheap to search."""


_KEYS: dict[str, _Form] = {
    "private_key": _Form(
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?s:.*?)"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)"
        r"|PuTTY-User-Key-File-\d(?s:.*)\Z",
        mark="PRIVATE KEY|PuTTY-User-Key-File-",
    ),
    "anthropic_key": _Form(rf"{_START}sk-ant-[A-Za-z0-9_-]{{16,}}"),
    "openai_key": _Form(rf"{_START}sk-{_WITH_DIGIT}[A-Za-z0-9_-]{{20,}}"),
    "aws_key": _Form(
        rf"{_START}(?:ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{{16}}(?![A-Za-z0-9])"
        r"|(?i:aws.{0,20}?(?:key|pwd|pw|pass|token).{0,20}?\\{0,15}['\"])"
        r"(?P<aws_secret>[0-9A-Za-z/+]{40})(?=\\{0,15}['\"])",
        mark=rf"{_BEGIN}(?:ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{{16}}"
        r"|(?i:aws.{0,120}(?:key|pw|pass|token))",  # 20 characters take up to 120 bytes in JSON
    ),
    "google_key": _Form(rf"{_START}(?:AIza[0-9A-Za-z_-]{{35}}|ya29\.[0-9A-Za-z_-]{{20,}}|GOCSPX-[0-9A-Za-z_-]{{20,}})"),
    "github_token": _Form(rf"{_START}(?:gh[pousr]_[A-Za-z0-9_]{{36,}}|github_pat_[A-Za-z0-9_]{{22,}})"),
    "gitlab_token": _Form(
        rf"{_START}(?:gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas|ffct)-|GR1348941)[A-Za-z0-9_-]{{20,}}"
    ),
    "slack_token": _Form(
        rf"{_START}(?i:xox[a-z]-[0-9a-z-]{{10,}}|xapp-[0-9a-z-]{{10,}})"
        r"|(?i:hooks\.slack\.com/services/)(?P<slack_hook>T\w+/B\w+/\w+)"
    ),
    "stripe_key": _Form(rf"{_START}(?:(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{{16,}}|whsec_[0-9A-Za-z+/=]{{24,}})"),
    "jwt": _Form(rf"{_START}(?<![_-])eyJ[A-Za-z0-9_-]++={{0,2}}\.[A-Za-z0-9_=-]++(?:\.[A-Za-z0-9_.+/=-]*)?"),
    "azure_key": _Form(r"AccountKey=(?P<azure>[A-Za-z0-9+/=]{40,})"),
    "npm_token": _Form(rf"{_START}npm_[A-Za-z0-9]{{36}}"),
    "pypi_token": _Form(rf"{_START}pypi-AgE[A-Za-z0-9_-]{{50,}}"),
    "sendgrid_key": _Form(rf"{_START}SG\.[A-Za-z0-9_-]{{22}}\.[A-Za-z0-9_-]{{43}}"),
    "square_key": _Form(rf"{_START}sq0(?:csp|atp)-[0-9A-Za-z\\_-]{{22,}}"),
    "discord_token": _Form(
        rf"{_START}[MNO][A-Za-z0-9_-]{{23,25}}\.[A-Za-z0-9_-]{{6}}\.[A-Za-z0-9_-]{{27,}}"
        r"|(?i:discord(?:app)?\.com/api/webhooks/)(?P<discord_hook>\d+/[\w-]+)",
        mark=r"\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}|(?i:discord(?:app)?\.com/api/webhooks/)",
    ),
    "telegram_token": _Form(r"(?<!\d)\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    "twilio_key": _Form(rf"{_START}(?:AC|SK)[a-z0-9]{{32}}(?![A-Za-z0-9])"),
    "mailchimp_key": _Form(rf"{_START}[0-9a-z]{{32}}-us[0-9]{{1,2}}(?![A-Za-z0-9])"),
    "artifactory_key": _Form(
        rf"{_START}(?:AKC(?=[A-Za-z]*[0-9])[A-Za-z0-9]{{10,}}"
        r"|AP[0-9A-F](?=[A-Za-z]*[0-9])[A-Za-z0-9]{8,})(?![A-Za-z0-9])"
    ),
    "ibm_key": _Form(  # 44 characters after some name of a key; 64 after a name of SoftLayer or Cloudant
        r"(?i:(?<![A-Za-z0-9])(?:ibm|iam|cloud|api|[_-]){0,6}(?:key|pwd|password|pass|token)"
        rf"{_GIVEN})(?P<ibm>[A-Za-z0-9_-]{{44}})(?![A-Za-z0-9_-])"
        r"|(?i:(?<![A-Za-z0-9])(?:softlayer|sl|cloudant|clou|cl)[_-]?(?:api)?[_-]?(?:key|pwd|pw|password|pass|token)"
        rf"{_GIVEN})(?P<softlayer>[A-Za-z0-9]{{64}}|[a-z]{{24}})(?![A-Za-z0-9])"
        r"|(?i:api\.softlayer\.com/soap/v3(?:\.1)?/)(?P<soap>[a-z0-9]{64})",
        mark=r"(?i:(?:key|pwd?|pass|password|token)[\\'\"\] =:>]+)(?:[A-Za-z0-9_-]{44}|[A-Za-z0-9]{24})"
        r"|(?i:api\.softlayer\.com/soap/)",
    ),
    "vendor_key": _Form(
        rf"{_START}(?:hf_[A-Za-z0-9]{{30,}}|gsk_[A-Za-z0-9]{{20,}}|xai-[A-Za-z0-9]{{20,}}|pplx-[A-Za-z0-9]{{20,}}"
        r"|do[opr]_v1_[a-f0-9]{64}|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}|dapi[a-f0-9]{32}|lin_api_[A-Za-z0-9]{20,}"
        r"|NRAK-[A-Z0-9]{20,}|hvs\.[A-Za-z0-9_-]{20,}|glsa_[A-Za-z0-9_]{20,}|sbp_[a-f0-9]{40}"
        r"|PMAK-[A-Za-z0-9-]{20,}|lsv2_(?:pt|sk)_[A-Za-z0-9_]{20,}|tskey-[A-Za-z0-9-]{16,}"
        r"|pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{20,})"
    ),
}

_PARTS = ("aws_secret", "slack_hook", "azure", "discord_hook", "ibm", "softlayer", "soap")
"""Groups within a rule of `_KEYS` that hold the secret, where the rest of the match only says whose it is."""

_BEARER = re.compile(
    r"(?<![a-z0-9])(?:bearer[ \t]+(?=[^\s\d]*\d)"
    r"|authorization\\*['\"]?\s*[:=]\s*\\*['\"]?(?:basic|digest|token|apikey)[ \t]+)"
    r"(?P<secret>[a-z0-9._~+/=-]{8,})",
    re.IGNORECASE | re.ASCII,
)
_URL = re.compile(r"://[^\s/?#:@'\"<>\\]*:(?P<secret>[^\s/?#'\"<>\\]+)(?=@)")

# -- Values of which a name says that they are secret -----------------------------------------------------------------

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-zñ]+|[0-9]+")
_NAMES: dict[str, re.Pattern[str]] = {  # by rule, of names as words in lower case joined by _
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
_HARMLESS_SUFFIXES = frozenset(
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
      |(?P<escape>\\{1,31}['"])(?P<escaped>(?:(?!(?P=escape))[^\n])+)(?:(?P=escape)|\Z)""",
    re.VERBOSE,
)
_BARE = re.compile(r"[^\s,;&'\"`\\(){}\[\]<>$|]+")
_SPACES = re.compile(r"[ \t]+")
_COMPARED = re.compile(r"(?P<quote>['\"`])(?P<secret>[^'\"`\n]+)(?P=quote)\s*[!=]==?\s*(?P<name>[\w.]{1,60})")
_MIN_DIGITS = 20  # fewer digits are a count or an id
_CALL_CHARS = 200  # what is longer is no name of a function, and reading on for every name in it takes quadratic time
_MIN_BARE = 4  # shorter ones without quotes are words, numbers and operators

RULES: tuple[str, ...] = (*_KEYS, "bearer", "url_password", *_NAMES)
"""Every rule by its name, as it stands in replacements and in `lake.redactions`."""

# -- The marks of all rules -------------------------------------------------------------------------------------------

_BETWEEN = r"(?:[^a-z0-9]|\\u[0-9a-f]{4}|\\.)*"  # what may stand between two words of a name, escaped or not
_END = r"s?(?:(?-i:[^a-z])|\z)"  # a word ends there: secretary and tokens are others


def _mark(form: _Form) -> str:
    """What RE2 looks for: the pattern, with what it takes for the beginning of a key, and without look-arounds and
    possessive quantifiers."""
    return form.mark or re.sub(r"\(\?<?[=!][^()]*\)|(?<=[+*?}])\+", "", form.pattern.replace(_START, _BEGIN))


_MARKS: dict[str, str] = {
    **{rule: _mark(form) for rule, form in _KEYS.items()},
    "bearer": r"(?i:bearer[ \t\\]|authorization)",
    "url_password": r"""://[^\s/?#:@'"<>]*:[^\s/?#'"<>]+@""",
    "password": (
        rf"(?i:passw|passcode|pass{_BETWEEN}phrase|pwd|contrase"
        rf"|(?:db|database|key|user|admin|root){_BETWEEN}pass{_END})"
    ),
    "api_key": (
        r"(?i:(?:api|auth|access|service|account|db|database|priv|private|client|encryption|signing|master|ssh)"
        rf"{_BETWEEN}key{_END})"
    ),
    "secret": rf"(?i:(?:secret|credential){_END})",
    "token": r"(?i:token(?:(?-i:[^a-z])|\z)|authorization)",
}


@cache
def _find_marks() -> Callable[[bytes], list[int] | None]:
    """Finds the marks of all rules at once; compiled with the first event, because an import should cost nothing."""
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes as they are; every mark is ASCII
    marks = re2.Set.SearchSet(options)
    marks.Add("|".join(_MARKS.values()).encode("ascii"))
    marks.Compile()
    find: Callable[[bytes], list[int] | None] = marks.Match
    return find


# A fork may copy a lock of RE2's cache that another thread holds just then; a child makes its own.
os.register_at_fork(after_in_child=_find_marks.cache_clear)


def may_hold_secret(line: bytes) -> bool:
    """Whether an encoded event, or a text as UTF-8, has the mark of any rule. False means that no rule applies."""
    return bool(_find_marks()(line))


def redact(text: str, counts: MutableMapping[str, int]) -> str:
    """The text with every secret replaced by `[redacted:<rule>]`; what was replaced is added to `counts` by rule.

    Doing it again changes and counts nothing.
    """
    if not may_hold_secret(text.encode("utf-8", "surrogatepass")):
        return text
    return _redact(text, counts)


def _redact(text: str, counts: MutableMapping[str, int]) -> str:
    for secrets in (_by_form, _by_protocol, _by_name, _by_comparison):
        text = _replace(text, secrets(text), counts)
    return text


@lru_cache(maxsize=4096)
def rule_of_name(name: str) -> str | None:
    """The rule by which the value under such a name is secret whatever it looks like, or None."""
    joined = "_".join(_WORDS.findall(name)).lower()
    for rule, names in _NAMES.items():
        found = names.fullmatch(joined)
        if found is None or found["suffix"] in _HARMLESS_SUFFIXES:
            continue
        before = found["before"] if rule == "token" else None
        if before is None or before.rpartition("_")[2] not in _HARMLESS_TOKENS:
            return rule
    return None


def replacement(rule: str, counts: MutableMapping[str, int]) -> str:
    """What stands in place of a secret; it is counted."""
    counts[rule] = counts.get(rule, 0) + 1
    return REPLACEMENT.format(rule)


def is_replacement(text: str) -> bool:
    """Whether a text is what stands in place of a secret, or the beginning of it that a cut left."""
    text = text.removesuffix("...")
    return _REPLACED.fullmatch(text) is not None or (len(text) > 1 and REPLACEMENT.startswith(text))


def _replace(text: str, secrets: Iterator[tuple[int, int, str]], counts: MutableMapping[str, int]) -> str:
    parts, done = [], 0
    for start, end, rule in secrets:
        if start < done or is_replacement(text[start:end]):
            continue
        parts += [text[done:start], replacement(rule, counts)]
        done = end
    return "".join([*parts, text[done:]]) if parts else text


@cache
def _forms() -> re.Pattern[str]:
    """All of `_KEYS` as one; compiled when a text needs it first, because an agent pays for it at every start."""
    return re.compile("|".join(f"(?P<{rule}>{form.pattern})" for rule, form in _KEYS.items()), re.ASCII)


def _by_form(text: str) -> Iterator[tuple[int, int, str]]:
    for found in _forms().finditer(text):
        part = next((name for name in _PARTS if found[name] is not None), 0)
        rule = next(rule for rule in _KEYS if found[rule] is not None)
        yield *found.span(part), rule


def _by_protocol(text: str) -> Iterator[tuple[int, int, str]]:
    for rule, pattern in (("url_password", _URL), ("bearer", _BEARER)):
        for found in pattern.finditer(text):
            yield *found.span("secret"), rule


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
        name = before.group().rpartition(".")[2] + core.group() + after.group()
        rule = rule_of_name(name)
        if rule is None:
            continue
        span = _value(text, after.end(), name, rule)
        if span is not None:
            done = span[1]
            yield *span, rule


def _by_comparison(text: str) -> Iterator[tuple[int, int, str]]:
    """Literals that are compared with a secret: "letmein" == password."""
    for found in _COMPARED.finditer(text):
        rule = rule_of_name(found["name"])
        if rule is not None:
            yield *found.span("secret"), rule


def _value(text: str, position: int, name: str, rule: str) -> tuple[int, int] | None:
    """Where the value of a name stands, when it is one: quoted, or bare and not a word of code or prose."""
    operator = _OPERATOR.match(text, position)
    if operator is None:
        spaces = _SPACES.match(text, position)
        if spaces is None:
            return None
        if name.startswith("--"):
            bare = re.compile(r"[^\s-]\S*").match(text, spaces.end())
            return bare.span() if bare else None
        quoted = _QUOTED.match(text, spaces.end())
        return quoted.span("secret") if quoted and text.startswith(";", quoted.end()) else None
    quoted = _QUOTED.match(text, operator.end())
    if quoted is not None:
        start, end = quoted.span("secret") if quoted["escaped"] is None else quoted.span("escaped")
        is_end_of_another = text[start].isspace() or (quoted["open"] is not None and " " in text[start:end])
        return None if is_end_of_another else (start, end)
    bare = _BARE.match(text, operator.end())
    return bare.span() if bare and _is_secret(bare, operator.group(), rule) else None


def _is_secret(bare: re.Match[str], operator: str, rule: str) -> bool:
    """Whether a value without quotes is a secret, and not a word, an expression or a count."""
    value = bare.group().rstrip(".:!?")
    following = bare.string[bare.end() : bare.end() + 1]
    if len(value) < _MIN_BARE or (following in {"(", "[", "{", "$"} and len(value) < _CALL_CHARS):
        return False
    if value.isdigit():
        return rule == "password" or len(value) >= _MIN_DIGITS
    if not re.fullmatch(r"[A-Za-z_.-]+", value):
        return True
    # Letters only: a word of prose or a variable, unless it stands as in PASSWORD=letmein or ?password=letmein&x=1.
    return (
        operator.strip() == operator == "="
        and following in {"", ";", "&", "\n", " ", "\r"}
        and "." not in value
        and rule_of_name(value) is None
        and value.lower() not in {"none", "null", "true", "false"}
    )
