"""Redaction: what independent detectors call a secret is taken out; what events are full of stays as it is."""

# ruff: noqa: E501  # the tables of secrets read best with one a line

from __future__ import annotations

import base64
import json
import random
import re
import string
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import BasePlugin
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.cloudant import CloudantDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.ibm_cloud_iam import IbmCloudIamDetector
from detect_secrets.plugins.ibm_cos_hmac import IbmCosHmacDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.keyword import KeywordDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.softlayer import SoftlayerDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from oplake import events
from oplake.landing.accept import accept
from oplake.landing.redaction import RULES, hide, marks, may_hold_secret, redact, rule_of_name, rules, texts
from oplake.landing.redaction.structures import redact_json

# Left out of the oracle: the two entropy detectors and public IP addresses. They flag ids, hashes and addresses, which
# events are made of and which are no secrets.

ALNUM = string.ascii_letters + string.digits
WORDY = ALNUM + "_-"


def run(alphabet: str, least: int, most: int | None = None) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most or least)


def form(template: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda made: template.format(*made))


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


SIMPLE = st.dictionaries(run(ALNUM, 1, 5), run(ALNUM, 0, 9) | st.integers(0, 9), min_size=1, max_size=3)
PASSWORDS = run(ALNUM + "!#%*+.~-", 1, 20)
NAMES = st.sampled_from(
    [
        "password",
        "db_password",
        "PASSWORD",
        "user_passwd",
        "pwd",
        "api_key",
        "apikey",
        "API_KEY",
        "client_secret",
        "secret",
        "private_key",
        "service_key",
        "account_key",
        "db_pass",
        "key_pass",
        "auth_key",
        "contraseña",
        "my_secret_x",
    ]
)
HEX = string.digits + "abcdef"
LOWER = string.ascii_lowercase + string.digits

ORACLE: dict[str, tuple[BasePlugin, st.SearchStrategy[str]]] = {
    "artifactory": (ArtifactoryDetector(), form("AKC{}1{}", run(ALNUM, 6), run(ALNUM, 5)) | form("AP5{}7{}", run(ALNUM, 4), run(ALNUM, 5))),
    "aws id": (AWSKeyDetector(), form("{}{}", st.sampled_from(["AKIA", "ASIA", "ABIA", "ACCA"]), run(string.ascii_uppercase + string.digits, 16))),
    "aws secret": (AWSKeyDetector(), form("aws_secret_access_key = '{}'", run(ALNUM + "/+", 40))),
    "azure": (AzureStorageKeyDetector(), form("AccountKey={}", run(ALNUM + "/+", 88))),
    "basic auth": (BasicAuthDetector(), form("https://{}:{}@host.example/x", run(ALNUM, 1, 9), run(ALNUM, 1, 20))),
    "cloudant": (CloudantDetector(), form("cloudant_password = '{}'", run(HEX, 64)) | form("cl_key: {}", run(string.ascii_lowercase, 24))),
    "discord": (DiscordBotTokenDetector(), form("{}{}.{}.{}", st.sampled_from("MNO"), run(WORDY, 23, 25), run(WORDY, 6), run(WORDY, 27))),
    "github": (GitHubTokenDetector(), form("{}_{}", st.sampled_from(["ghp", "gho", "ghu", "ghs", "ghr"]), run(ALNUM, 36))),
    "gitlab": (GitLabTokenDetector(), form("{}-{}", st.sampled_from(["glpat", "gldt", "glft", "glsoat", "glrt", "glcbt"]), run(ALNUM, 20, 50))),
    "gitlab runner": (GitLabTokenDetector(), form("GR1348941{}", run(ALNUM, 20))),
    "ibm iam": (IbmCloudIamDetector(), form("ibm_cloud_iam_api_key = \"{}\"", run(ALNUM, 44)) | form("token: {}", run(ALNUM, 44))),
    "ibm cos": (IbmCosHmacDetector(), form("cos_hmac_secret_access_key: {}", run(HEX, 48))),
    "jwt": (JwtTokenDetector(), st.tuples(SIMPLE, SIMPLE, run(WORDY, 43)).map(lambda made: f"{encoded(made[0])}.{encoded(made[1])}.{made[2]}")),
    "keyword =": (KeywordDetector(), form('{} = "{}"', NAMES, PASSWORDS)),
    "keyword :": (KeywordDetector(), form("{}: '{}'", NAMES, PASSWORDS)),
    "keyword json": (KeywordDetector(), form('{{"{}": "{}"}}', NAMES, PASSWORDS)),
    "keyword =>": (KeywordDetector(), form('{} => "{}"', NAMES, PASSWORDS)),
    "keyword ==": (KeywordDetector(), form('"{1}" == {0}', NAMES, PASSWORDS)),
    "keyword ;": (KeywordDetector(), form('{} "{}";', NAMES, PASSWORDS)),
    "mailchimp": (MailchimpDetector(), form("{}-us{}", run(LOWER, 32), run(string.digits, 1, 2))),
    "npm": (NpmDetector(), form("//registry.example/:_authToken=npm_{}", run(ALNUM, 36))),
    "openai": (OpenAIDetector(), form("sk-{}T3BlbkFJ{}", run(ALNUM, 20), run(ALNUM, 20))),
    "private key": (PrivateKeyDetector(), form("-----BEGIN {}-----\n{}\n", st.sampled_from(["RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]), run(ALNUM + "/+", 64))),
    "putty": (PrivateKeyDetector(), form("PuTTY-User-Key-File-2: ssh-rsa\n{}", run(ALNUM, 64))),
    "pypi": (PypiTokenDetector(), form("pypi-AgEIcHlwaS5vcmc{}", run(WORDY, 70))),
    "sendgrid": (SendGridDetector(), form("SG.{}.{}", run(WORDY, 22), run(WORDY, 43))),
    "slack": (SlackDetector(), form("xox{}-{}-{}", st.sampled_from("abposr"), run(string.digits, 11), run(LOWER, 24))),
    "slack hook": (SlackDetector(), form("https://hooks.slack.com/services/T{}/B{}/{}", run(ALNUM, 8), run(ALNUM, 8), run(ALNUM, 24))),
    "softlayer": (SoftlayerDetector(), form("softlayer_api_key = {}", run(LOWER, 64)) | form("https://api.softlayer.com/soap/v3/{}", run(LOWER, 64))),
    "square": (SquareOAuthDetector(), form("sq0csp-{}", run(WORDY, 43))),
    "stripe": (StripeDetector(), form("{}k_live_{}", st.sampled_from("rs"), run(ALNUM, 24))),
    "telegram": (TelegramBotTokenDetector(), form("{}:AA{}", run(string.digits, 8, 10), run(WORDY, 33))),
    "twilio": (TwilioKeyDetector(), form("{}{}", st.sampled_from(["AC", "SK"]), run(LOWER, 32))),
}  # fmt: skip

# Secrets of services that the oracle does not know.
OTHERS = [
    "sk-ant-api03-" + "aB3_" * 20,
    "sk-proj-" + "aB3-" * 20,
    "AIza" + "Sy9" * 11 + "ab",
    "ya29.a0" + "Af9_" * 20,
    "github_pat_" + "11AB" * 10,
    "hf_" + "aBcD" * 9,
    "npm_" + "a1B2" * 9,
    "gsk_" + "a1B2" * 12,
    "xai-" + "a1B2" * 12,
    "dapi" + "0a1b" * 8,
    "hvs." + "CAES" * 10,
    "whsec_" + "a1B2" * 8,
    "lin_api_" + "a1B2" * 8,
    "lsv2_pt_" + "a1b2" * 8,
    "dop_v1_" + "0a1b" * 16,
    "shpat_" + "0a1b" * 8,
    "tskey-auth-" + "a1B2" * 6,
    "https://discord.com/api/webhooks/123456789/" + "aB3_" * 10,
]
CONTEXTS = ["{}", "the key is {} I think", 'curl -H "X: {}" x', "{}\nnext", '{{"a": "{}"}}', "x={}", "({})"]


def flagged(plugin: BasePlugin, text: str) -> list[str]:
    return [found for line in text.splitlines() for found in plugin.analyze_string(line) if found]


def cleaned(text: str) -> tuple[str, dict[str, int]]:
    counts: dict[str, int] = {}
    return redact(text, counts), counts


@pytest.mark.parametrize("name", ORACLE)
def test_what_the_oracle_flags_is_taken_out(name: str) -> None:
    plugin, secrets = ORACLE[name]

    @given(secret=secrets, context=st.sampled_from(CONTEXTS if name.split()[0] != "keyword" else ["{}", "see {}"]))
    @settings(max_examples=25, deadline=None)
    def holds(secret: str, context: str) -> None:
        text = context.format(secret)
        found = flagged(plugin, text)
        assume(found)
        assert may_hold_secret(text.encode())
        assert may_hold_secret(json.dumps(text, ensure_ascii=False).encode())
        after, counts = cleaned(text)
        assert counts
        assert counts.keys() <= set(RULES)
        survivors = [one for one in flagged(plugin, after) if "[redacted:" not in one]
        assert not survivors, (text, after)
        assert cleaned(after) == (after, {})

    holds()


@pytest.mark.parametrize("secret", OTHERS, ids=lambda secret: secret[:12])
@pytest.mark.parametrize("context", CONTEXTS)
def test_other_services_keys_are_taken_out(secret: str, context: str) -> None:
    text = context.format(secret)
    after, counts = cleaned(text)
    assert secret[-12:] not in after
    assert sum(counts.values()) == 1
    assert may_hold_secret(json.dumps(text).encode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://user:p@ss:w0rd@host:5432/db", "postgres://user:[redacted:url_password]@host:5432/db"),
        ("mongodb+srv://u:secret@c.example/?x=y", "mongodb+srv://u:[redacted:url_password]@c.example/?x=y"),
        ("redis://:hunter2@cache:6379/0", "redis://:[redacted:url_password]@cache:6379/0"),
        ("Server=db;User Id=sa;Password=letmein;Encrypt=yes", "Server=db;User Id=sa;Password=[redacted:password];Encrypt=yes"),
        ("host=db user=me password=letmein", "host=db user=me password=[redacted:password]"),
        ("GET /x?api_key=abc123&page=2", "GET /x?api_key=[redacted:api_key]&page=2"),
        ("Authorization: Bearer abcDEF1234567890", "Authorization: Bearer [redacted:bearer]"),
        ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic [redacted:bearer]"),
        ("--password hunter2 --user me", "--password [redacted:password] --user me"),
        ("export SLACK_TOKEN=abcd1234", "export SLACK_TOKEN=[redacted:token]"),
        ('{\\"accessToken\\": \\"whatever\\"}', '{\\"accessToken\\": \\"[redacted:token]\\"}'),
        ("password: hunter2", "password: [redacted:password]"),
        ("key: password=hunter2", "key: password=[redacted:password]"),
        ('password="first" secret="second"', 'password="[redacted:password]" secret="[redacted:secret]"'),
        ("-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY----- after", "[redacted:private_key] after"),
        ("-----BEGIN PRIVATE KEY-----\\nMII\\ncut here", "[redacted:private_key]"),
        ("DB_PASSWORD=letmein =abcdef12", "DB_PASSWORD=[redacted:password] =abcdef12"),
        # Letters only, where a line says nothing else
        ("DB_PASSWORD: letmeinplease", "DB_PASSWORD: [redacted:password]"),
        ("password = letmeinplease\nuser = me", "password = [redacted:password]\nuser = me"),
        ("a: 1\n  api_key: abcdefghijklmnop\nb: 2", "a: 1\n  api_key: [redacted:api_key]\nb: 2"),
        ("set DB_PASSWORD: letmein", "set DB_PASSWORD: [redacted:password]"),
        ("curl -H 'X-Api-Key: abcdefgh' x", "curl -H 'X-Api-Key: [redacted:api_key]' x"),
        ("user=me\\npassword=letmein\\nhost=h", "user=me\\npassword=[redacted:password]\\nhost=h"),
        ("password=abc", "password=[redacted:password]"),
        ('["--password=letmein"]', '["--password=[redacted:password]"]'),
        # Places that are made for secrets
        ("Authorization: Bearer abcDEFghiJKLmnoPQR", "Authorization: Bearer [redacted:bearer]"),
        ("Authorization: bearer abcdefghijkl", "Authorization: bearer [redacted:bearer]"),
        ("sent bearer abcDEFghiJKLmnoPQR along", "sent bearer [redacted:bearer] along"),
        ("sk-proj-abcdefghijklmnopqrstuvwxyzABCDEF", "[redacted:openai_key]"),
        ("pass=hunter2", "pass=[redacted:password]"),
        ('{"user": "u", "pass": "hunter2"}', '{"user": "u", "pass": "[redacted:password]"}'),
        ("SMTP_PASS: hunter2", "SMTP_PASS: [redacted:password]"),
        ("postgres://u:pa/ss1@h/db", "postgres://u:[redacted:url_password]@h/db"),
        ("postgres+asyncpg://u:pa#ss1@h/db?mail=a@b", "postgres+asyncpg://u:[redacted:url_password]@h/db?mail=a@b"),
        ("jdbc:oracle:thin:scott/tiger1@//h:1521/x", "jdbc:oracle:thin:scott/[redacted:url_password]@//h:1521/x"),
        ("https://x.example/c?sv=2020&sig=abc%2Fdef123&se=x", "https://x.example/c?sv=2020&sig=[redacted:signed_url]&se=x"),
        ("https://s3/x?X-Amz-Signature=deadbeefdeadbeef", "https://s3/x?X-Amz-Signature=[redacted:signed_url]"),
        ("Cookie: sessionid=abc123def456; theme=dark", "Cookie: [redacted:cookie]"),
        ("{'Set-Cookie': 'id=a3f; Path=/; HttpOnly'}", "{'Set-Cookie': '[redacted:cookie]; HttpOnly'}"),
        ("mysql -u root -phunter2 db", "mysql -u root -p[redacted:password] db"),
        ("mysqldump -p'hunter2' db > x", "mysqldump -p'[redacted:password]' db > x"),
        ("curl -u admin:hunter2 http://h", "curl -u admin:[redacted:password] http://h"),
        ("curl -s --user 'admin:hunter2' http://h", "curl -s --user 'admin:[redacted:password]' http://h"),
        ("sshpass -p hunter2 ssh x", "sshpass -p [redacted:password] ssh x"),
        ("redis-cli -h h -a hunter2 ping", "redis-cli -h h -a [redacted:password] ping"),
        ("docker login -u me -p hunter2 r.io", "docker login -u me -p [redacted:password] r.io"),
        ('["mysql", "--password", "hunter2"]', '["mysql", "--password", "[redacted:password]"]'),
        ("<password>hunter2</password>", "<password>[redacted:password]</password>"),
        ("<ns:password type='x'>hunter2</ns:password>", "<ns:password type='x'>[redacted:password]</ns:password>"),
        ('<add key="Password" value="hunter2"/>', '<add key="Password" value="[redacted:password]"/>'),
        ("- name: DB_PASSWORD\n  value: hunter2", "- name: DB_PASSWORD\n  value: [redacted:password]"),
        ('{"name": "DB_PASSWORD", "value": "hunter2"}', '{"name": "DB_PASSWORD", "value": "[redacted:password]"}'),
    ],
)  # fmt: skip
def test_secrets_are_replaced_and_what_stands_around_them_stays(text: str, expected: str) -> None:
    after, counts = cleaned(text)
    assert after == expected
    assert cleaned(after) == (after, {})
    assert sum(counts.values()) == expected.count("[redacted:")
    assert may_hold_secret(text.encode())


INNOCENT = [
    "0194365c-0000-7000-8000-000000000001",
    "d41d8cd98f00b204e9800998ecf8427e",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 4).decode(),
    "https://example.com/a/b?page=2&sort=key&order=asc#token",
    "http://localhost:8080/x and mail me@example.com",
    "git@github.com:owner/repo.git",
    "ssh://git@example.com:22/owner/repo",
    "2026-01-05T12:00:00.123456Z",
    "input_tokens: 512, output_tokens: 90, max_tokens=4096, token count: 12",
    "tokens=1200 token_count=7 next_page_token=abc1234 eos_token='</s>' time_to_first_token: 0.25s",
    "the password must have 8 characters, and the secret of a good token budget is patience",
    "enter your password: then press return",
    "All tests pass; the API key point is that keys rotate",
    "password = getpass.getpass()",
    "connect(user=user, password=password)",
    "password=os.environ['DB_PASSWORD']",
    "client = OpenAI(api_key=settings.api_key)",
    "def check(password: str, token: Token | None = None) -> bool:",
    'print("password: " + password)',
    "if not secret: raise ValueError('no secret')",
    "for key, value in tokens.items(): print(key, value)",
    "primary key (id), foreign key = orders.id",
    "SELECT key, count(*) FROM api_keys GROUP BY key",
    "secretary: Ms Smith; the secretariat; passport number; compass",
    "task-force disk-based risk-averse-long-name-with-many-words",
    "sk-learn-is-a-library-with-a-long-name",
    "bearer of good news, basic understanding of internationalization",
    "monkey: banana, keyboard = qwerty, hotkey: ctrl",
    "ACcount SKills APples ASIAn AKIAi",
    "AGENT_HANDOFF_COMPLETED_SUCCESSFULLY_AFTER_RETRY",
    "function_name_with_many_parts_and_more_parts()",
    '{"password_policy": {"min_length": 8}, "token_type": "Bearer", "expires_in": 3600}',
    '{"type": "object", "properties": {"password": {"type": "string"}, "api_key": {"type": "string"}}}',
    "lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore",
    "diff --git a/x.py b/x.py\n@@ -1,3 +1,4 @@\n-    return token\n+    return token.strip()\n",
    "[redacted:password]",
    # Prose
    "the password: please reset it",
    "Password: please reset it before Friday",
    "Password: incorrect\nToken: expired\nAPI_KEY: required",
    "- password: required\n| password | required |\nname: password",
    "All tests pass: 12 of 12, the first pass: step2, pass=3/4, pass: layer 12, pass: 2026-01-05T12:00:00Z, pass: 120ms",
    "accept cookies: all; Cookie: yes; the cookie: theme",
    "a bearer internationalization, and the bearer AuthenticationHandler was used",
    "Authorization: Bearer authentication is needed",
    # Code
    "token = get_token()\ntoken = args.token\npassword = user_input\npassword = userInput\nlet token = match",
    "TOKEN_EXECUTE: Final = STANDARD_RIGHTS_EXECUTE\n'Cookie: %s=%s' % pair",
    """type:"password",value:null!=t?t:"",onChange:e=>i(e)""",
    "self.password = plaintext\nconfig.secret = whatever",
    "password: str\npassword: SecretStr\ntoken: Token\ndb_password: Optional[str] = None\npassword: string;\nDB_PASSWORD: str",
    "f(password=plain, x=1); def g(password=plain): password=e,t=1; if (password=='') {",
    "PASSWORD=${X} password=$PASS password: ${DB_PASSWORD} password: <your password>",
    'Authorization: Bearer $TOKEN, "Authorization: Bearer {token}", Authorization: Bearer <token>',
    "document.cookie = 'a=b'",
    "sk-proj-is-a-name-of-a-long-project",
    # Commands, addresses and markup
    "mysqldump test > a/b -prefix; mysql -u root -p\nmysql -h h -P 3306 -u root -p mydb; docker run -p 8080:80 x && docker login && sshpass -e ssh x",
    'curl -u http://example.com; curl -U agent http://h:80; curl -o out http://h:80/x; curl -u "$USER:$PASS" http://h',
    "click.option('--api-key', 'api_key', help='x'); ('--access-token', '<token>')",
    "redis-cli -h host; docker login --password-stdin registry.io; ['--password', '--token']",
    "http://host:8080/a/@me https://registry:4873/@scope/pkg postgres://localhost:5432/db?user=a@b",
    "https://x.example/y?sig=1 signature=sha256",
    '<label for="password">Password</label><input type="password" placeholder="Password"><token></token>',
]


@pytest.mark.parametrize("text", INNOCENT, ids=lambda text: text[:24])
def test_innocent_texts_stay_as_they_are(text: str) -> None:
    assert cleaned(text) == (text, {})


def test_the_contracts_own_field_names_are_no_names_of_secrets() -> None:
    names = {field.name for kind in events.KINDS for field in events.fields(kind)}
    assert {name for name in names if rule_of_name(name)} == set()
    assert {name for names_ in events.DETAIL_KEYS.values() for name in names_ if rule_of_name(name)} == set()


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "userPassword",
        "DB_PASSWORD",
        "db-pass",
        "pwd",
        "apiKey",
        "API-KEY",
        "x-api-key",
        "secret",
        "clientSecret",
        "aws_secret_access_key",
        "token",
        "authToken",
        "github_token",
        "Authorization",
        "credentials",
        "private_key",
        "passphrase",
        "access_key",
        "refreshToken",
        "sshKey",
        "passwords",
        "secret_key",
    ],
)
def test_values_under_telling_keys_are_hidden_even_when_they_look_innocent(name: str) -> None:
    accepted = accept(
        {"kind": "observation", "event_id": "e", "action_id": "a", "observation_type": "t",
         "data": {name: "blue", "nested": [{name: ["green", "red"]}], "other": "kept"}},
        received_at=datetime(2026, 1, 5, tzinfo=UTC),
    )  # fmt: skip
    line = json.loads(accepted.line)
    assert line["data"][name].startswith("[redacted:")
    assert all(item.startswith("[redacted:") for item in line["data"]["nested"][0][name])
    assert line["data"]["other"] == "kept"
    assert sum(line["redactions"].values()) == 3


@pytest.mark.parametrize(
    "name", ["input_tokens", "tokens", "token_count", "max_tokens", "page_token", "session_id", "sig_hash", "key", "keys", "primary_key", "password_length", "token_type", "secretary", "passport", "cost_per_token", "has_password_reset"],
)  # fmt: skip
def test_keys_that_only_sound_like_secrets_hide_nothing(name: str) -> None:
    assert rule_of_name(name) is None


def test_keys_that_are_secrets_themselves_are_hidden_and_stay_apart() -> None:
    accepted = accept(
        {
            "kind": "note",
            "event_id": "e",
            "user_id": "u",
            "note": "n",
            "extra": {"ghp_" + "a1" * 18: 1, "ghp_" + "b2" * 18: 2},
        },
        received_at=datetime(2026, 1, 5, tzinfo=UTC),
    )
    assert json.loads(accepted.line)["extra"] == {"[redacted:github_token]": 1, "[redacted:github_token] 2": 2}


def test_a_secret_across_the_cut_leaves_no_half_behind() -> None:
    """Cutting first would leave the beginning of the key, which no rule knows any more."""
    key = "ghp_" + "a1B2" * 9
    accepted = accept(
        {"kind": "step", "event_id": "e", "action_id": "a", "step_index": 0, "description": "x" * 489 + " " + key},
        received_at=datetime(2026, 1, 5, tzinfo=UTC),
    )
    assert b"ghp_" not in accepted.line
    assert json.loads(accepted.line)["redactions"] == {"github_token": 1}


def test_a_number_under_password_is_hidden_and_a_flag_is_not() -> None:
    accepted = accept(
        {
            "kind": "note",
            "event_id": "e",
            "user_id": "u",
            "note": "n",
            "extra": {"password": 1234, "token": 7, "secret": True},
        },
        received_at=datetime(2026, 1, 5, tzinfo=UTC),
    )
    assert json.loads(accepted.line)["extra"] == {"password": "[redacted:password]", "token": 7, "secret": True}


# -- Where a value stands ----------------------------------------------------------------------------------------------


def in_a_step(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """A state as it is landed, and what was counted; landing it again changes nothing."""
    step = {"kind": "step", "event_id": "e", "action_id": "a", "step_index": 0, "description": "d", "state": state}
    line = accept(step, received_at=datetime(2026, 1, 5, tzinfo=UTC)).line
    assert accept(line, received_at=datetime(2026, 1, 5, tzinfo=UTC)).line == line
    landed = json.loads(line)
    return landed["state"], landed.get("redactions", {})


KEY_LINES = ["-----BEGIN RSA PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED", "", "MIIEowIBAAKCAQEAabc", "MIIsecond", "-----END RSA PRIVATE KEY-----"]  # fmt: skip
PLACED: list[tuple[Any, Any]] = [
    ({"password": {"value": "hunter2"}}, {"password": {"value": "[redacted:password]"}}),
    ({"secrets": {"STRIPE": "abc", "B": ["x"]}}, {"secrets": {"STRIPE": "[redacted:secret]", "B": ["[redacted:secret]"]}}),
    ({"credentials": {"user": "u", "pass": "abc"}}, {"credentials": {"user": "u", "pass": "[redacted:password]"}}),
    ({"credentials": [{"host": "h", "key": {"x": "y"}}]}, {"credentials": [{"host": "h", "key": {"x": "y"}}]}),
    ({"token": {"value": "abc1", "expires_at": "2026-01-05"}}, {"token": {"value": "[redacted:token]", "expires_at": "2026-01-05"}}),
    ({"password": {"value": 1234, "tries": 3}}, {"password": {"value": "[redacted:password]", "tries": 3}}),
    ({"username": "u", "pass": "letmein"}, {"username": "u", "pass": "[redacted:password]"}),
    ({"pass": "hunter2"}, {"pass": "[redacted:password]"}),
    ({"env": [{"name": "DB_PASSWORD", "value": "x"}]}, {"env": [{"name": "DB_PASSWORD", "value": "[redacted:password]"}]}),
    ({"tags": [{"Value": "x", "Key": "api-key"}]}, {"tags": [{"Value": "[redacted:api_key]", "Key": "api-key"}]}),
    ({"headers": [["Authorization", "Basic dXNlcjpwYXNz"]]}, {"headers": [["Authorization", "[redacted:token]"]]}),
    ({"headers": [["Cookie", "sid=abc"], ["Host", "h"]]}, {"headers": [["Cookie", "[redacted:cookie]"], ["Host", "h"]]}),
    ({"headers": {"Set-Cookie": "sid=abc"}}, {"headers": {"Set-Cookie": "[redacted:cookie]"}}),
    ({"argv": ["mysql", "--password", "hunter2", "db"]}, {"argv": ["mysql", "--password", "[redacted:password]", "db"]}),
    ({"argv": ["mysql", "-u", "root", "-phunter2"]}, {"argv": ["mysql", "-u", "root", "-p[redacted:password]"]}),
    ({"argv": ["/bin/sshpass", "-p", "x1", "ssh"]}, {"argv": ["/bin/sshpass", "-p", "[redacted:password]", "ssh"]}),
    ({"argv": ["curl", "-u", "me:x1", "http://h"]}, {"argv": ["curl", "-u", "me:[redacted:password]", "http://h"]}),
    ({"argv": ["redis-cli", "-a", "x1"]}, {"argv": ["redis-cli", "-a", "[redacted:password]"]}),
    ({"argv": ["docker", "login", "-p", "x1"]}, {"argv": ["docker", "login", "-p", "[redacted:password]"]}),
    ({"lines": [*KEY_LINES, "after"]}, {"lines": [*["[redacted:private_key]"] * 2, "", *["[redacted:private_key]"] * 3, "after"]}),
]  # fmt: skip


@pytest.mark.parametrize(("state", "expected"), PLACED, ids=lambda value: str(value)[:40])
def test_what_is_secret_by_where_it_stands_is_hidden(state: dict[str, Any], expected: dict[str, Any]) -> None:
    """Looking at strings one by one sees neither the key above a nested value nor the flag before an argument."""
    after, counts = in_a_step(state)
    assert after == expected
    assert sum(counts.values()) == json.dumps(expected).count("[redacted:")
    assert accept_both_ways({"state": state})


def accept_both_ways(fields: dict[str, Any]) -> bool:
    step = {"kind": "step", "event_id": "e", "action_id": "a", "step_index": 0, "description": "d", **fields}
    now = datetime(2026, 1, 5, tzinfo=UTC)
    return accept(step, received_at=now).line == accept(json.dumps(step).encode(), received_at=now).line


@pytest.mark.parametrize(
    "state",
    [
        {"properties": {"password": {"type": "string", "description": "of the user"}, "api_key": {"type": "string"}}},
        {"password": {"min_length": 8, "policy": "strict", "message": "too short", "required": True}},
        {"token": {"text": "the", "index": 3, "logprob": -0.5}, "authorization": {"by": "alice", "status": "approved"}},
        {"required": ["password", "username"], "columns": [["password", "email"], ["token", "word"]]},
        {"fields": [{"name": "reset the password", "value": "done"}, {"name": "colour", "value": "red"}]},
        {"pass": "yes", "fail": 3, "tests": {"pass": 12}, "phase": {"name": "n", "pass": "second"}},
        {"cookie": "chocolate", "cookies": ["oat", "rye"], "consent": {"name": "cookie", "value": "all"}},
        {"argv": ["docker", "run", "-p", "8080:80"], "flags": ["--password", "--token", "--max-tokens", "100"]},
        {"findings": ["it has -----BEGIN CERTIFICATE-----", "and the next finding"]},
    ],
    ids=lambda state: str(state)[:40],
)  # fmt: skip
def test_what_only_stands_near_a_name_of_a_secret_stays(state: dict[str, Any]) -> None:
    assert in_a_step(state) == (state, {})


def test_a_list_of_findings_is_not_taken_for_the_lines_of_a_key() -> None:
    """The rule for texts takes all that follows a key without an end; in a list that would be every other finding."""
    after, _ = in_a_step({"findings": ["has -----BEGIN PRIVATE KEY-----", "it also has, as said, another problem"]})
    assert after["findings"] == ["has [redacted:private_key]", "it also has, as said, another problem"]


def test_a_key_that_was_a_secret_itself_says_nothing_of_its_value() -> None:
    """`[redacted:github_token]` reads like the name of a token, so that accepting a line again would hide more."""
    key = "ghp_" + "a1" * 18
    assert in_a_step({key: "kept"}) == ({"[redacted:github_token]": "kept"}, {"github_token": 1})


# -- The marks ---------------------------------------------------------------------------------------------------------

PIECES = ["pass", "phrase", "word", "wd", "code", "pwd", "contrase\u00f1a", "db", "database", "key", "keys", "user", "admin", "root", "api", "auth", "access", "private", "ssh", "secret", "credential", "token", "authorization", "s", "S", "x", "1", "_", "-", ".", " ", "\n", "\t", '"', "\\", "\x01", "\u00e9", "\u017f", "\u212a"]  # fmt: skip
CASES = [str, str.upper, str.title, str.capitalize]
WORD = st.tuples(st.sampled_from(PIECES), st.sampled_from(CASES)).map(lambda made: made[1](made[0]))


def as_landed(text: str) -> list[bytes]:
    """The text alone, and as a line holds it: as a value and as a key."""
    return [text.encode(), events.encoder.encode({"a": text}), events.encoder.encode({text: 1})]


@pytest.mark.slow
@given(st.lists(WORD, min_size=1, max_size=5).map("".join))
@settings(max_examples=1000, deadline=None)
@example("db.pass")
@example("db\\pass")
@example("user\npass")
@example("pass  phrase")
@example("tokenS")
def test_every_name_of_a_secret_has_its_mark(name: str) -> None:
    """A mark that wants its words side by side misses `db.pass`, which the rule takes for a password."""
    if rule_of_name(name):
        assert all(may_hold_secret(line) for line in as_landed(name)), name


FORMS = {rule: st.from_regex(re.sub(r"\\Z", "", form.pattern), alphabet=st.characters(max_codepoint=0x3000, exclude_categories=["Cs"])) for rule, form in rules.KEYS.items()}  # fmt: skip
PLACES = {f"{place.rule}-{number}": st.from_regex(place.pattern, alphabet=st.characters(max_codepoint=0x3000, exclude_categories=["Cs"])) for number, place in enumerate((*rules.PLACES, *rules.COMMANDS))}  # fmt: skip
AROUND = st.lists(WORD | st.sampled_from(["=", ": ", "'", "aws", "bearer ", "://u:", "@", "n", "\\n"]) | st.text(max_size=3), max_size=6).map("".join)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("rule", [*FORMS, *PLACES])
def test_the_mark_of_a_form_is_wherever_its_rule_applies(rule: str) -> None:
    """Bytes are not characters: `.{0,20}` in a mark would end after ten accented letters, or three that are escaped."""
    hits = 0

    @given(before=AROUND, secret=(FORMS | PLACES)[rule], after=AROUND)
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def holds(before: str, secret: str, after: str) -> None:
        nonlocal hits
        text = before + secret + after
        counts: dict[str, int] = {}
        texts._redact(text, counts)  # the rules, whatever the marks say
        if counts:
            hits += rule.partition("-")[0] in counts
            assert all(may_hold_secret(line) for line in as_landed(text)), text

    holds()
    assert hits


@pytest.mark.slow
@given(st.lists(AROUND | st.sampled_from(OTHERS) | PASSWORDS, max_size=8).map("".join))
@settings(max_examples=500, deadline=None)
@example("aws" + "\u00e9" * 18 + "pw'" + "a1B2" * 10 + "'")
@example("aws" + "\x01" * 18 + "pw'" + "a1B2" * 10 + "'")
@example("author\u0130zation: basic dXNlcjpwYXNz")
@example("http://\x01u:p\xa0w@host")
def test_no_text_is_changed_by_a_rule_without_a_mark(text: str) -> None:
    counts: dict[str, int] = {}
    if texts._redact(text, counts) != text:
        assert all(may_hold_secret(line) for line in as_landed(text)), text


LEAVES = st.sampled_from(["hunter2", "DB_PASSWORD", "Authorization", "cookie", "Set-Cookie", "sid=abc", "--password", "--api-key", "-p", "-phunter2", "-a", "-u", "u:hunter2", "login", "mysql", "sshpass", "/bin/curl", "redis-cli", "docker", "\n", "\u00e9", *KEY_LINES]) | AROUND | st.integers(0, 9)  # fmt: skip
MEMBERS = st.sampled_from(["password", "pass", "PASS", "token", "secrets", "credentials", "name", "Key", "value", "user", "Cookie", "type", "coo\u212aie", "x"]) | WORD  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(MEMBERS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(VALUES)
@settings(max_examples=1500, deadline=None)
def test_nothing_is_hidden_without_a_mark_and_nothing_twice(value: Any) -> None:
    """`{"name": "Cookie", "value": "sid=abc"}` has no `cookie:` in it, and is none of the names of secrets."""
    counts: dict[str, int] = {}
    hidden = hide(value, counts)
    if counts:
        assert may_hold_secret(events.encoder.encode({"a": value})), value
    else:
        assert hidden == value
    again: dict[str, int] = {}
    assert hide(hidden, again) == hidden
    assert again == {}


def test_ordinary_events_have_no_mark() -> None:
    """A mark that ordinary words hit makes every such event cost ten times as much."""
    for text in [
        "all tests pass, the first pass took 12 s; pass the cookie, please",
        "the key is the name of the value; see http://host:8080/a?b=c and mail me@example.com",
        "curl the page, then use mysql or docker with -p as usual",
        "the bearer: good news; sign here, sig 5",
    ]:
        assert not may_hold_secret(events.encoder.encode({"description": text, "name": "n", "value": "v", "key": "k"}))
    assert not may_hold_secret(b'{"pass":true,"passed":12,"status":"pass","cookie":"oat","key":"name"}')


def test_a_mark_is_found_behind_whatever_fills_the_memory_of_the_search() -> None:
    """RE2 answers "no" when its memory does not suffice; a mark that makes it remember much would hide all others."""
    dice = random.Random(7)
    noise = "".join(dice.choices(WORDY + "+/ .:=aws_key", k=2_000_000)).replace("pw", "").encode()
    find = marks._find_marks()
    assert may_hold_secret(noise + b" ghp_" + b"a1B2" * 9)
    for start in range(0, len(noise), 1000):  # most pieces have no mark of their own
        piece = noise[start : start + 1000]
        assert find(piece + b" ghp_" + b"a1B2" * 9)


@pytest.mark.slow
def test_threads_and_children_of_a_fork_find_the_same_marks() -> None:
    """A child inherits the locks of RE2's cache as they were; one held by a thread of its parent is never released."""
    script = """
import os, random, signal, string, sys, threading
from oplake.landing.redaction import may_hold_secret
dice = random.Random(3)
texts = ["".join(dice.choices(string.printable, k=500)).encode() for _ in range(400)]
expected = [may_hold_secret(text) for text in texts]
failures, done = [], threading.Event()
def look():
    while not done.is_set():
        if [may_hold_secret(text) for text in texts] != expected:
            failures.append(1)
threads = [threading.Thread(target=look) for _ in range(3)]
for thread in threads: thread.start()
codes = []
for _ in range(20):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit([may_hold_secret(text) for text in texts] != expected)
    codes.append(os.waitpid(child, 0)[1])
done.set()
for thread in threads: thread.join()
sys.exit(bool(any(codes) or failures))
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=120)


def test_importing_costs_no_search_engine() -> None:
    """An agent that only imports the recorder pays for RE2 with its first event, not at every start."""
    script = "import sys, oplake; from oplake.landing import recorder; sys.exit('re2' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


FRAGMENTS = [
    *("eyJ", "eyJ=", "sk-", "-sk-", "sk-_", "AKCa", "AP5a", "AKIA", "aws", "aws_key", "xoxb-", "SK", "ghp_", "pscale_tkn_"),
    *("hooks.slack.com/services/T", "Maaaaaaaaaaaaaaaaaaaaaaaa.aaaaaa.", "SG.", "AccountKey=", "12345678:AA", "sq0csp-"),
    *("-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----END ", "PuTTY-User-Key-File-", "cl_key", "ibm_", "api_key", "key"),
    *("bearer ", "bearer a-", "authorization: basic ", "://a:", "://a:b@", ":@", "password", "password=", "password=a"),
    *("password: ", "password='", 'password="', "password=`", 'password=\\"', "password '", "--password ", "secret=\\", "token["),
    *("'a' == ", "'", '"', "`", "\\", "\\'", "/", "=", ":", "=>", "@", "(", "[", "<", ",", ";", "_", "-", ".", "0", "a", "\u00e9"),
    *(" ", "\t", "\n", "\\n", "x ", "cookie: a=b", "; a=b", "&sig=", "pass=", "pass='a", "postgres://u:", "jdbc:oracle:x:a/"),
    *("mysql ", "mysql -p", "sshpass -p ", "redis-cli ", " -a ", "docker login ", "curl ", "curl -u a:", " -u a:", " -p"),
    *("<password>", "<password>x", "</", '--password", "', "DB_PASSWORD: ", 'password" value="', "password value", "sk-proj-"),
]  # fmt: skip
"""Parts of all rules, and what may stand between them."""


def seconds(text: str) -> float:
    """Processor time of the rules, whatever the marks say."""
    start = time.process_time()
    texts._redact(text, {})
    return time.process_time() - start


FOUND = [("api_key", " ", "x"), ("", "sk-_", ""), ("", "eyJ=", " password=hunter2"), ("", "password=a", "(")]
"""What once took quadratic time: a beginning, a part that is repeated, and an end."""


@pytest.mark.slow
def test_no_text_makes_a_rule_take_more_than_linear_time() -> None:
    """A quadratic rule would let one event of a megabyte stop an agent for hours: ` *(?:=| ) *` takes spaces in as many
    ways as there are spaces, and a look-ahead without a bound reads to the end of the text at every start."""
    dice = random.Random(5)
    drawn = [tuple("".join(dice.choices(FRAGMENTS, k=dice.choice(k))) for k in ((0, 1), (2, 3), (0, 1))) for _ in range(50)]  # fmt: skip
    for begin, part, end in [*FOUND, *[("", part, "") for part in FRAGMENTS], *drawn]:
        text = begin + part * (30_000 // len(part)) + end
        assert seconds(text) < 1, (begin, part, end)  # a tenth is usual; what once was quadratic took two and more


@given(st.text(alphabet="ab1\\\"' :", min_size=1, max_size=12), st.integers(1, 4))
@example('password: "hunter2hunter2"', 1)
@settings(max_examples=200, deadline=None)
def test_a_secret_with_quotes_and_backslashes_is_hidden_to_its_end_in_json_within_json(part: str, depth: int) -> None:
    """Forbids to take an escaped quote within a value for the one that closes it, as soon as its end looks like that."""
    text = json.dumps({"password": f"x{part}x1"})
    for _ in range(depth):
        text = json.dumps({"inner": text})
    value: Any = redact_json(text, {})
    assert redact_json(value, {}) == value
    for _ in range(depth):
        value = json.loads(value)["inner"]
    assert json.loads(value) == {"password": "[redacted:password]"}
