"""Secrets are taken out of every text before it is written.

Here are the rules, and how they apply to a text and to a JSON value. `may_hold_secret` looks at a whole encoded event
first: RE2 searches it once for the marks of all rules, so that nearly all events pay for nothing else. The mark of a
rule is its own pattern without what RE2 does not know, or stands beside it where that is not enough. A mark that misses
what its rule would replace would let it through in silence; the tests hold the two together.

What looks random but names no service, such as a hash or an id, is left alone: events are full of those.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, MutableMapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

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
    "openai_key": _Form(
        rf"{_START}sk-(?:{_WITH_DIGIT}|(?=(?:proj|svcacct|admin)-[a-z_-]{{0,99}}[A-Z]))[A-Za-z0-9_-]{{20,}}",
        mark=rf"{_BEGIN}sk-[A-Za-z0-9_-]{{20}}",
    ),
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

# -- Places that are made for secrets ---------------------------------------------------------------------------------


class _Place(NamedTuple):
    """A place that is made for a secret, whatever that looks like, and what betrays it in an encoded event.

    Marks are wider than their rules where that takes fewer kinds of characters: each kind makes the search slower.
    """

    rule: str
    pattern: str
    mark: str | None
    """None where that of another place is wide enough."""


_QUOTE = r"\\{0,15}['\"]?"  # escaped, where JSON stands within a text
_DATABASES = (
    r"(?:postgres(?:ql)?|mysql|mariadb|mongodb|rediss?|amqps?|mssql|sqlserver|oracle|clickhouse|cockroachdb|neo4j|bolt"
    r"|kafka|nats|ldaps?|s?ftp|smtps?|imaps?)(?:\+[a-z0-9]{1,20})?"
)
_ARGUMENT = r"(?P<secret>[^\s'\"\\$<{(-][^\s'\"\\]*)"
_BETWEEN_ARGUMENTS = "[^A-Za-z0-9]"  # on a command line, and in a list of arguments as JSON has it
_COOKIE = r"[^\s=;,:'\"\\{}<>$()%]{1,80}=[^\s;,'\"\\{}<>$()]+"

_PLACES: tuple[_Place, ...] = (
    _Place(
        "url_password",
        r"://[^\s/?#:@'\"<>\\]*:(?P<secret>[^\s/?#'\"<>\\]+)(?=@)",
        mark=r"""://[^\s/?#:@'"<>]*:[^\s'"<>]+@""",  # of the next one, too
    ),
    _Place(  # a slash that should have been escaped; elsewhere http://host:80/a@b is a page
        "url_password",
        rf"(?<![A-Za-z0-9])(?ai:{_DATABASES})://[^\s/?#:@'\"<>\\]{{0,99}}:(?!\d{{1,5}}[/?#])"
        r"(?P<secret>[^\s@'\"<>\\]{1,200})(?=@)",
        mark=None,
    ),
    _Place(
        "url_password",
        r"(?ai:jdbc:oracle:[a-z0-9]{1,9}:)[^\s/@'\"\\]{1,64}/(?P<secret>[^\s@'\"\\]{1,200})(?=@)",
        mark="(?i:jdbc:oracle:)",
    ),
    _Place(  # in prose, bearers are many: there it is a digit that tells, or letters mixed like in no name of a type
        "bearer",
        r"(?ai:(?<![a-z0-9])bearer[ \t]+(?:(?=[^\s\d]*\d)"
        r"|(?=[a-z0-9._~+/=-]{16})(?-i:(?=[^\sa-z]*[a-z][^\sA-Z]*[A-Z])"
        r"(?![A-Z]?[a-z]*+(?:[A-Z][a-z]++)*+(?![A-Za-z0-9._~+/=-]))))"
        r"(?P<secret>[a-z0-9._~+/=-]{8,}))",
        mark=r"(?i:bearer[ \t\\])",
    ),
    _Place(
        "bearer",
        rf"(?ai:(?<![a-z0-9])authorization{_QUOTE}\s*[:=]\s*{_QUOTE}(?:basic|bearer|digest|token|apikey)[ \t]+"
        r"(?!auth)(?P<secret>[a-z0-9._~+/=-]{8,}))",
        mark="(?i:authorization)",
    ),
    _Place(
        "cookie",
        rf"(?ai:(?<![a-z0-9])(?:set-)?cookie{_QUOTE} *: *{_QUOTE}(?P<secret>{_COOKIE}(?:; *{_COOKIE})*))",
        mark=r"""(?i:cookie[\\'" ]*:[\\'" ]*[^\s=]+=|cookie"[^:])""",  # the last where it is a name among names
    ),
    _Place(
        "signed_url",
        r"(?ai:(?:[?&;]|\\u0026)(?:sig|x-(?:amz|goog)-signature)=(?P<secret>[a-z0-9%+/=_-]{8,}))",
        mark="(?i:[^a-z](?:sig|x-(?:amz|goog)-signature)=)",
    ),
    _Place(  # tests and compilers pass, too: only what looks chosen
        "password",
        rf"(?<![A-Za-z])(?ai:pass){_QUOTE} {{0,4}}[:=] {{0,4}}{_QUOTE}"
        r"(?P<secret>(?=[A-Za-z!@#%^*+~]{1,64}[0-9])[A-Za-z0-9!@#%^*+~]{6,64})(?!\.?[A-Za-z0-9!@#%^*+~:_(\[{-])",
        mark=r"""(?i:pass)[\\'" ]*[:=][\\'" ]*[^\s\\'"]+[0-9]|(?i:"pass":")""",
    ),
)
_COMMANDS: tuple[_Place, ...] = (
    _Place(
        "password",
        rf"(?<![\w-])(?:mysql\w{{0,9}}|mariadb(?:-\w{{1,9}})?)(?= )[^\n;|>]{{0,120}}? -p{_QUOTE}(?!ort){_ARGUMENT}",
        mark=rf"(?:mysql|mariadb).*{_BETWEEN_ARGUMENTS}-p[^ ]",
    ),
    _Place(
        "password",
        rf"(?<![\w-])sshpass (?:-\w{{1,9}} )?-p ?{_QUOTE}{_ARGUMENT}",
        mark=rf"sshpass.*{_BETWEEN_ARGUMENTS}-p",
    ),
    _Place(
        "password",
        rf"(?<![\w-])redis-cli(?= )[^\n;|]{{0,120}}? (?:-a|--pass) {{1,9}}{_QUOTE}{_ARGUMENT}",
        mark=rf"redis-cli.*{_BETWEEN_ARGUMENTS}(?:-a|--pass){_BETWEEN_ARGUMENTS}",
    ),
    _Place(
        "password",
        rf"(?<![\w-])(?:docker|podman|helm registry) login(?= )[^\n;|]{{0,120}}? -p {{1,9}}{_QUOTE}{_ARGUMENT}",
        mark=rf"(?:docker|podman|registry){_BETWEEN_ARGUMENTS}+login.*{_BETWEEN_ARGUMENTS}-p{_BETWEEN_ARGUMENTS}",
    ),
    _Place(
        "password",
        r"(?<![\w-])curl(?= )[^\n]{0,120}? (?:-[A-Za-z]{0,4}[uU]|--(?:proxy-)?user)[ =]?"
        rf"{_QUOTE}[^\s:'\"$<{{]{{1,64}}:(?!//){_ARGUMENT}",
        mark=rf"curl.*{_BETWEEN_ARGUMENTS}(?:-[A-Za-z]{{0,4}}[uU]|--(?:proxy-)?user)[^:]*:",
    ),
)

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

_ORDINARY = frozenset(
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
      |(?P<escape>\\{1,31}['"])(?P<escaped>(?:(?!(?P=escape))[^\n])+)(?:(?P=escape)|\Z)""",
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

RULES: tuple[str, ...] = (*_KEYS, "bearer", "url_password", "cookie", "signed_url", *_NAMES)
"""Every rule by its name, as it stands in replacements and in `lake.redactions`."""

# -- The marks of all rules -------------------------------------------------------------------------------------------

_BETWEEN = r"(?:[^a-z0-9]|\\u[0-9a-f]{4}|\\.)*"  # what may stand between two words of a name, escaped or not
_END = r"s?(?:(?-i:[^a-z])|\z)"  # a word ends there: secretary and tokens are others


def _mark(form: _Form) -> str:
    """What RE2 looks for: the pattern, with what it takes for the beginning of a key, and without look-arounds and
    possessive quantifiers."""
    return form.mark or re.sub(r"\(\?<?[=!][^()]*\)|(?<=[+*?}])\+", "", form.pattern.replace(_START, _BEGIN))


_MARKS: tuple[str, ...] = (
    *map(_mark, _KEYS.values()),
    *(place.mark for place in (*_PLACES, *_COMMANDS) if place.mark is not None),
    # The names, in the order of _NAMES.
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


def redact(text: str, counts: MutableMapping[str, int]) -> str:
    """The text with every secret replaced by `[redacted:<rule>]`; what was replaced is added to `counts` by rule.

    Doing it again changes and counts nothing.
    """
    if not may_hold_secret(text.encode("utf-8", "surrogatepass")):
        return text
    return _redact(text, counts)


def _redact(text: str, counts: MutableMapping[str, int]) -> str:
    for secrets in (_by_form, _by_place, _by_name, _by_comparison):
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


@cache
def _places() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((place.rule, re.compile(place.pattern)) for place in (*_PLACES, *_COMMANDS))


def _by_place(text: str) -> Iterator[tuple[int, int, str]]:
    found = [(*one.span("secret"), rule) for rule, pattern in _places() for one in pattern.finditer(text)]
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
        return span if span is not None and _is_argument(text[span[0] : span[1]]) else None
    spaces = _SPACES.match(text, position)
    if spaces is None:
        return None
    if name.startswith("--"):
        bare = re.compile(r"[^\s-]\S*").match(text, spaces.end())
        return bare.span() if bare else None
    quoted = _QUOTED.match(text, spaces.end())
    return quoted.span("secret") if quoted and text.startswith(";", quoted.end()) else None


def _is_argument(text: str) -> bool:
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
    if "." in value or value.lower() in _ORDINARY or rule_of_name(value) is not None:
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


# -- JSON values -------------------------------------------------------------------------------------------------------

_FLAG = re.compile(r"--?[A-Za-z][\w-]{0,60}")
_PLAIN_NAME = re.compile(r"[\w.-]{1,80}")  # a longer one, or one with spaces, is prose that mentions a secret
_COOKIES = re.compile(rf"{_COOKIE}(?:; *{_COOKIE})*;?", re.ASCII)
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
"""Last words of keys, besides _HARMLESS_SUFFIXES, whose values tell about the secret that they stand under."""


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
    spans = [(start, end) for start, end, _ in _by_place(f"pass={value}")]
    return spans == [(5, 5 + len(value))]


def _hide_items(items: list[Any], counts: MutableMapping[str, int]) -> list[Any]:
    made = [_hide_pair(item, counts) if _is_pair(item) else hide(item, counts) for item in items]
    in_key = False  # the lines of a private key
    for place, item in enumerate(made):
        if not isinstance(item, str):
            in_key = False
            continue
        flag = made[place - 1] if place else None
        if isinstance(flag, str) and _FLAG.fullmatch(flag) and _is_argument(item):
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
    commands = {place.pattern for place in _COMMANDS}
    found = [one.span("secret") for _, rule in _places() if rule.pattern in commands for one in rule.finditer(line)]
    made, begin = [], 0
    for item in items:
        inside = [
            (start - begin, end - begin, "password") for start, end in found if begin <= start < begin + len(item)
        ]
        made.append(_replace(item, iter(sorted(inside)), counts))
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
    last = (_WORDS.findall(key) or [""])[-1].lower()
    is_word = rule == "token" and isinstance(value, str) and not re.search("[0-9]", value)  # of a language, or approved
    is_number = isinstance(value, (int, float)) and last != "value"
    if last in _HARMLESS_SUFFIXES or last in _ABOUT or is_word or is_number:
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
