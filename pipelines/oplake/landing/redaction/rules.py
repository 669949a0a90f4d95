"""What secrets look like by themselves: keys by their form, and places that are made for secrets."""

from __future__ import annotations

from typing import NamedTuple

# -- Keys that say by their form whose they are -----------------------------------------------------------------------

START = r"(?<![A-Za-z0-9])"
BEGIN = r"(?:\A|[^A-Za-z0-9]|\\[bfnrt]|\\u[0-9a-f]{4})"  # START in JSON: an escape ends with a letter
_WITH_DIGIT = r"(?=[A-Za-z_-]{0,99}[0-9])"  # kebab-case names have none; without a bound it reads on at every sk-
_GIVEN = r"\\*+['\"]?\]?(?: *+(?:=>?|:[:=]?) *+| ++)\\*+['\"]?"  # between a name and its value


class Form(NamedTuple):
    """What a key looks like in a text, and what betrays it in an encoded event."""

    pattern: str
    mark: str | None = None
    """None where the pattern does, look-arounds aside: nothing in it is escaped in JSON, and it is cheap to search."""


KEYS: dict[str, Form] = {
    "private_key": Form(
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?s:.*?)"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)"
        r"|PuTTY-User-Key-File-\d(?s:.*)\Z",
        mark="PRIVATE KEY|PuTTY-User-Key-File-",
    ),
    "anthropic_key": Form(rf"{START}sk-ant-[A-Za-z0-9_-]{{16,}}"),
    "openai_key": Form(
        rf"{START}sk-(?:{_WITH_DIGIT}|(?=(?:proj|svcacct|admin)-[a-z_-]{{0,99}}[A-Z]))[A-Za-z0-9_-]{{20,}}",
        mark=rf"{BEGIN}sk-[A-Za-z0-9_-]{{20}}",
    ),
    "aws_key": Form(
        rf"{START}(?:ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{{16}}(?![A-Za-z0-9])"
        r"|(?i:aws.{0,20}?(?:key|pwd|pw|pass|token).{0,20}?\\{0,15}['\"])"
        r"(?P<aws_secret>[0-9A-Za-z/+]{40})(?=\\{0,15}['\"])",
        mark=rf"{BEGIN}(?:ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{{16}}"
        r"|(?i:aws.{0,120}(?:key|pw|pass|token))",  # 20 characters take up to 120 bytes in JSON
    ),
    "google_key": Form(rf"{START}(?:AIza[0-9A-Za-z_-]{{35}}|ya29\.[0-9A-Za-z_-]{{20,}}|GOCSPX-[0-9A-Za-z_-]{{20,}})"),
    "github_token": Form(rf"{START}(?:gh[pousr]_[A-Za-z0-9_]{{36,}}|github_pat_[A-Za-z0-9_]{{22,}})"),
    "gitlab_token": Form(
        rf"{START}(?:gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas|ffct)-|GR1348941)[A-Za-z0-9_-]{{20,}}"
    ),
    "slack_token": Form(
        rf"{START}(?i:xox[a-z]-[0-9a-z-]{{10,}}|xapp-[0-9a-z-]{{10,}})"
        r"|(?i:hooks\.slack\.com/services/)(?P<slack_hook>T\w+/B\w+/\w+)"
    ),
    "stripe_key": Form(rf"{START}(?:(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{{16,}}|whsec_[0-9A-Za-z+/=]{{24,}})"),
    "jwt": Form(rf"{START}(?<![_-])eyJ[A-Za-z0-9_-]++={{0,2}}\.[A-Za-z0-9_=-]++(?:\.[A-Za-z0-9_.+/=-]*)?"),
    "azure_key": Form(r"AccountKey=(?P<azure>[A-Za-z0-9+/=]{40,})"),
    "npm_token": Form(rf"{START}npm_[A-Za-z0-9]{{36}}"),
    "pypi_token": Form(rf"{START}pypi-AgE[A-Za-z0-9_-]{{50,}}"),
    "sendgrid_key": Form(rf"{START}SG\.[A-Za-z0-9_-]{{22}}\.[A-Za-z0-9_-]{{43}}"),
    "square_key": Form(rf"{START}sq0(?:csp|atp)-[0-9A-Za-z\\_-]{{22,}}"),
    "discord_token": Form(
        rf"{START}[MNO][A-Za-z0-9_-]{{23,25}}\.[A-Za-z0-9_-]{{6}}\.[A-Za-z0-9_-]{{27,}}"
        r"|(?i:discord(?:app)?\.com/api/webhooks/)(?P<discord_hook>\d+/[\w-]+)",
        mark=r"\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}|(?i:discord(?:app)?\.com/api/webhooks/)",
    ),
    "telegram_token": Form(r"(?<!\d)\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    "twilio_key": Form(rf"{START}(?:AC|SK)[a-z0-9]{{32}}(?![A-Za-z0-9])"),
    "mailchimp_key": Form(rf"{START}[0-9a-z]{{32}}-us[0-9]{{1,2}}(?![A-Za-z0-9])"),
    "artifactory_key": Form(
        rf"{START}(?:AKC(?=[A-Za-z]*[0-9])[A-Za-z0-9]{{10,}}"
        r"|AP[0-9A-F](?=[A-Za-z]*[0-9])[A-Za-z0-9]{8,})(?![A-Za-z0-9])"
    ),
    "ibm_key": Form(  # 44 characters after some name of a key; 64 after a name of SoftLayer or Cloudant
        r"(?i:(?<![A-Za-z0-9])(?:ibm|iam|cloud|api|[_-]){0,6}(?:key|pwd|password|pass|token)"
        rf"{_GIVEN})(?P<ibm>[A-Za-z0-9_-]{{44}})(?![A-Za-z0-9_-])"
        r"|(?i:(?<![A-Za-z0-9])(?:softlayer|sl|cloudant|clou|cl)[_-]?(?:api)?[_-]?(?:key|pwd|pw|password|pass|token)"
        rf"{_GIVEN})(?P<softlayer>[A-Za-z0-9]{{64}}|[a-z]{{24}})(?![A-Za-z0-9])"
        r"|(?i:api\.softlayer\.com/soap/v3(?:\.1)?/)(?P<soap>[a-z0-9]{64})",
        mark=r"(?i:(?:key|pwd?|pass|password|token)[\\'\"\] =:>]+)(?:[A-Za-z0-9_-]{44}|[A-Za-z0-9]{24})"
        r"|(?i:api\.softlayer\.com/soap/)",
    ),
    "vendor_key": Form(
        rf"{START}(?:hf_[A-Za-z0-9]{{30,}}|gsk_[A-Za-z0-9]{{20,}}|xai-[A-Za-z0-9]{{20,}}|pplx-[A-Za-z0-9]{{20,}}"
        r"|do[opr]_v1_[a-f0-9]{64}|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}|dapi[a-f0-9]{32}|lin_api_[A-Za-z0-9]{20,}"
        r"|NRAK-[A-Z0-9]{20,}|hvs\.[A-Za-z0-9_-]{20,}|glsa_[A-Za-z0-9_]{20,}|sbp_[a-f0-9]{40}"
        r"|PMAK-[A-Za-z0-9-]{20,}|lsv2_(?:pt|sk)_[A-Za-z0-9_]{20,}|tskey-[A-Za-z0-9-]{16,}"
        r"|pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{20,})"
    ),
}

PARTS = ("aws_secret", "slack_hook", "azure", "discord_hook", "ibm", "softlayer", "soap")
"""Groups within a rule of `KEYS` that hold the secret, where the rest of the match only says whose it is."""

# -- Places that are made for secrets ---------------------------------------------------------------------------------


class Place(NamedTuple):
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
COOKIE = r"[^\s=;,:'\"\\{}<>$()%]{1,80}=[^\s;,'\"\\{}<>$()]+"

PLACES: tuple[Place, ...] = (
    Place(
        "url_password",
        r"://[^\s/?#:@'\"<>\\]*:(?P<secret>[^\s/?#'\"<>\\]+)(?=@)",
        mark=r"""://[^\s/?#:@'"<>]*:[^\s'"<>]+@""",  # of the next one, too
    ),
    Place(  # a slash that should have been escaped; elsewhere http://host:80/a@b is a page
        "url_password",
        rf"(?<![A-Za-z0-9])(?ai:{_DATABASES})://[^\s/?#:@'\"<>\\]{{0,99}}:(?!\d{{1,5}}[/?#])"
        r"(?P<secret>[^\s@'\"<>\\]{1,200})(?=@)",
        mark=None,
    ),
    Place(
        "url_password",
        r"(?ai:jdbc:oracle:[a-z0-9]{1,9}:)[^\s/@'\"\\]{1,64}/(?P<secret>[^\s@'\"\\]{1,200})(?=@)",
        mark="(?i:jdbc:oracle:)",
    ),
    Place(  # in prose, bearers are many: there it is a digit that tells, or letters mixed like in no name of a type
        "bearer",
        r"(?ai:(?<![a-z0-9])bearer[ \t]+(?:(?=[^\s\d]*\d)"
        r"|(?=[a-z0-9._~+/=-]{16})(?-i:(?=[^\sa-z]*[a-z][^\sA-Z]*[A-Z])"
        r"(?![A-Z]?[a-z]*+(?:[A-Z][a-z]++)*+(?![A-Za-z0-9._~+/=-]))))"
        r"(?P<secret>[a-z0-9._~+/=-]{8,}))",
        mark=r"(?i:bearer[ \t\\])",
    ),
    Place(
        "bearer",
        rf"(?ai:(?<![a-z0-9])authorization{_QUOTE}\s*[:=]\s*{_QUOTE}(?:basic|bearer|digest|token|apikey)[ \t]+"
        r"(?!auth)(?P<secret>[a-z0-9._~+/=-]{8,}))",
        mark="(?i:authorization)",
    ),
    Place(
        "cookie",
        rf"(?ai:(?<![a-z0-9])(?:set-)?cookie{_QUOTE} *: *{_QUOTE}(?P<secret>{COOKIE}(?:; *{COOKIE})*))",
        mark=r"""(?i:cookie[\\'" ]*:[\\'" ]*[^\s=]+=|cookie"[^:])""",  # the last where it is a name among names
    ),
    Place(
        "signed_url",
        r"(?ai:(?:[?&;]|\\u0026)(?:sig|x-(?:amz|goog)-signature)=(?P<secret>[a-z0-9%+/=_-]{8,}))",
        mark="(?i:[^a-z](?:sig|x-(?:amz|goog)-signature)=)",
    ),
    Place(  # tests and compilers pass, too: only what looks chosen
        "password",
        rf"(?<![A-Za-z])(?ai:pass){_QUOTE} {{0,4}}[:=] {{0,4}}{_QUOTE}"
        r"(?P<secret>(?=[A-Za-z!@#%^*+~]{1,64}[0-9])[A-Za-z0-9!@#%^*+~]{6,64})(?!\.?[A-Za-z0-9!@#%^*+~:_(\[{-])",
        mark=r"""(?i:pass)[\\'" ]*[:=][\\'" ]*[^\s\\'"]+[0-9]|(?i:"pass":")""",
    ),
)
COMMANDS: tuple[Place, ...] = (
    Place(
        "password",
        rf"(?<![\w-])(?:mysql\w{{0,9}}|mariadb(?:-\w{{1,9}})?)(?= )[^\n;|>]{{0,120}}? -p{_QUOTE}(?!ort){_ARGUMENT}",
        mark=rf"(?:mysql|mariadb).*{_BETWEEN_ARGUMENTS}-p[^ ]",
    ),
    Place(
        "password",
        rf"(?<![\w-])sshpass (?:-\w{{1,9}} )?-p ?{_QUOTE}{_ARGUMENT}",
        mark=rf"sshpass.*{_BETWEEN_ARGUMENTS}-p",
    ),
    Place(
        "password",
        rf"(?<![\w-])redis-cli(?= )[^\n;|]{{0,120}}? (?:-a|--pass) {{1,9}}{_QUOTE}{_ARGUMENT}",
        mark=rf"redis-cli.*{_BETWEEN_ARGUMENTS}(?:-a|--pass){_BETWEEN_ARGUMENTS}",
    ),
    Place(
        "password",
        rf"(?<![\w-])(?:docker|podman|helm registry) login(?= )[^\n;|]{{0,120}}? -p {{1,9}}{_QUOTE}{_ARGUMENT}",
        mark=rf"(?:docker|podman|registry){_BETWEEN_ARGUMENTS}+login.*{_BETWEEN_ARGUMENTS}-p{_BETWEEN_ARGUMENTS}",
    ),
    Place(
        "password",
        r"(?<![\w-])curl(?= )[^\n]{0,120}? (?:-[A-Za-z]{0,4}[uU]|--(?:proxy-)?user)[ =]?"
        rf"{_QUOTE}[^\s:'\"$<{{]{{1,64}}:(?!//){_ARGUMENT}",
        mark=rf"curl.*{_BETWEEN_ARGUMENTS}(?:-[A-Za-z]{{0,4}}[uU]|--(?:proxy-)?user)[^:]*:",
    ),
)
