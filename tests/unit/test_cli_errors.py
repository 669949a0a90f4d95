"""How errors are told on the command line; that every command does it stands in the end-to-end tests."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from oplake.cli.app import settings, tell
from oplake.cli.errors import CommandError


def test_a_full_disk_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A write into an open file fails without a file's name; 'No space left on device' alone says not which one."""
    tell(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert f"The disk of {home} is full" in capsys.readouterr().err
    tell(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(home / "x")))
    assert "The disk of" not in capsys.readouterr().err


def test_a_wrong_setting_is_told_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a setting that is an object, its key is no part of the variable's name."""
    monkeypatch.setenv("OPLAKE_BUDGETS", '{"user": "much"}')
    with pytest.raises(CommandError, match=r"OPLAKE_BUDGETS\[user\]='much': "):
        settings()


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("BUDGETS", "notjson", "='notjson': that is no JSON object; write one such as {"),
        ("BUDGETS", "[1]", "='[1]': that is no JSON object"),
        ("BUDGETS", '{"totl": 1}', "='{\"totl\": 1}': there is no limit 'totl'; write total,"),
        ("DUCKDB_MEMORY", "lots", "='lots': that is no size of memory; write one such as 2GB"),
        ("DUCKDB_MEMORY", "0GB", "='0GB': that is no size of memory"),
        ("DUCKDB_THREADS", "many", "='many': that is none; write a whole number such as 2"),
        ("DUCKDB_THREADS", "0", "='0': it must be above 0; write a whole number such as 2"),
        ("VACUUM_AFTER", "-P1D", "='-P1D': it must be at least P0D; write a duration such as P7D"),
        ("SEGMENT_AGE", "-P1D", "='-P1D': it must be at least P0D; write a duration such as P1D"),
        ("RUNS_KEPT", "P999999D", "='P999999D': it must be at most P36500D; write a duration such as P30D"),
        ("NOTES_KEPT", "30", "='30': write P30D"),
        ("NOTES_KEPT", "PT1H", "='PT1H': it must be at least P1D; write a duration such as P30D"),
        ("NOTES_KEPT", "long", "='long': that is none; write a duration such as P30D"),
        ("FIRST_DAY", "soon", "='soon': that is none; write a day such as 2024-01-01"),
        ("LLM_RUN_USD", "much", "='much': that is none; write a number such as 5"),
        ("PLAYBOOK_WITHHELD", "2", "='2': it must be below 1; write a number such as 0.1"),
        ("LLM_URL", "notaurl", "='notaurl': that is no address of a server; write one such as https://"),
        ("LLM_FALLBACK_URL", "ftp://x", "='ftp://x': that is no address of a server"),
        ("TAIL", "logs/a.jsonl", "='logs/a.jsonl': logs/a.jsonl is no whole path; begin it with / or ~"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line_with_an_example(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    """As it was written, not as it was read: PT1H came back as datetime.timedelta(seconds=3600)."""
    monkeypatch.setenv(f"OPLAKE_{variable}", value)
    with pytest.raises(CommandError) as caught:
        settings()
    told = str(caught.value)
    assert f"OPLAKE_{variable}{says}" in told
    assert "\n" not in told
    assert "Value error" not in told


def test_a_misspelt_setting_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPLAKE_LLM_DAY_USB", "5")
    settings()
    settings()
    said = capsys.readouterr()
    assert said.err.count("OPLAKE_LLM_DAY_USB is no setting and has no effect; did you mean OPLAKE_LLM_DAY_USD?") == 1
    assert not said.out
