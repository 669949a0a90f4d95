"""The price list and the budgets as tables: own rows, bad rows, and when they are written again."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from oplake.given import Given, given_tables, prices, write
from oplake.lake.ledger import read_ledger
from oplake.lake.tables import Lake
from oplake.settings import Settings

HEADER = "provider,model,token_type,usd_per_mtok,valid_from,from_input_tokens\n"


def given(settings: Settings, name: str) -> Given:
    (one,) = (each for each in given_tables(settings) if each.name.endswith(f".{name}"))
    return one


def read(text: str) -> tuple[list[dict[str, object]], list[str]]:
    entries, problems = prices.own_entries(text.encode(), "prices.csv")
    return prices.table_of(entries).to_pylist(), problems


def test_a_price_holds_until_the_next_by_date_and_by_length() -> None:
    rows, problems = read(
        HEADER + "acme,m,input,3,2026-03-01,\nacme,m,input,1,,\nacme,m,input,2,,1000\nacme,m,output,9,,\n"
    )
    assert not problems
    got = [
        (
            row["valid_from"],
            row["valid_until"],
            row["from_input_tokens"],
            row["until_input_tokens"],
            row["usd_per_mtok"],
        )
        for row in rows
        if row["token_type"] == "input"
    ]
    march = date(2026, 3, 1)
    assert got == [
        (prices.ALWAYS, march, 0, 1000, 1),
        (prices.ALWAYS, march, 1000, None, 2),
        (march, None, 0, None, 3),
    ]


def test_a_name_in_full_goes_before_a_pattern_wherever_they_stand() -> None:
    rows, _ = read(HEADER + "acme,m*,input,1,,\nacme,m.1,input,2,,\n*,m.1,input,3,,\n")
    assert [(row["usd_per_mtok"], row["provider_pattern"], row["model_pattern"]) for row in rows] == [
        (2, "^acme$", "^m\\.1$"),
        (3, "^.*$", "^m\\.1$"),
        (1, "^acme$", "^m.*$"),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("acme,m,input", "has 3 cells for 6 columns"),
        (",m,input,1,,", "provider is empty"),
        (
            "acme,m,inputs,1,,",
            "token_type is 'inputs'; there are input, output, cache_read, cache_write, cache_write_1h, reasoning",
        ),
        ('acme,m,input,"1,5",,', "usd_per_mtok is '1,5', not a number such as 0.25"),
        ("acme,m,input,-1,,", "usd_per_mtok is -1; it must be from 0 to below 1,000,000"),
        ("acme,m,input,NaN,,", "usd_per_mtok is NaN; it must be from 0 to below 1,000,000"),
        ("acme,m,input,1e6,,", "usd_per_mtok is 1E+6; it must be from 0 to below 1,000,000"),
        ("acme,m,input,1,01.02.2026,", "valid_from is '01.02.2026', not a day such as 2026-03-01"),
        ("acme,m,input,1,,2k", "from_input_tokens is '2k', not a number such as 200000"),
        ("acme,good,input,5,,", "says again what line 2 says; keep one of them"),
        ('acme,m,input,"1,,', "unexpected end of data"),
        ("acme,\ufffd,input,1,,", "is not in UTF-8"),
    ],
)
def test_a_bad_row_is_named_and_stops_no_other(row: str, reason: str) -> None:
    rows, problems = read(f"{HEADER}acme,good,input,1,,\n{row}\n\n# a remark\nacme,fine,input,2,,\n")
    assert problems == [f"prices.csv, line 3: {reason}"]
    assert {row["model"] for row in rows} == {"good", "fine"}


@pytest.mark.parametrize("text", ["", "provider,model\n", HEADER.replace("provider", "vendor"), "\x00\n"])
def test_a_file_with_other_columns_is_not_guessed_at(text: str) -> None:
    rows, problems = read(text + "acme,m,input,1,,\n")
    assert not rows
    assert len(problems) == 1
    assert "line 1: its columns are" in problems[0]


def test_a_file_as_a_spreadsheet_saves_it_is_read() -> None:
    rows, problems = read("\ufeff" + HEADER.replace("\n", "\r\n") + "acme,m,input,0.5,,\r\n")
    assert not problems
    assert rows[0]["usd_per_mtok"] == Decimal("0.5")


def test_own_prices_go_before_the_list(settings: Settings) -> None:
    settings.prices.write_text(HEADER + "openai,gpt-4o,input,0.5,,\n")
    table, problems = given(settings, "prices").rows()
    assert not problems
    first = table.slice(0, 1).to_pylist()[0]
    assert (first["source"], first["usd_per_mtok"]) == ("prices.csv", Decimal("0.5"))
    assert table.num_rows > 5000


def test_the_tables_are_known_by_what_they_come_of(settings: Settings, lake: Lake) -> None:
    """By their commits alone it can be told whether they are up to date; the rows need not be made for that."""
    for each in given_tables(settings):
        write(lake, each)
    ledger = read_ledger(lake)
    codes = {each.name: each.code_version for each in given_tables(settings)}
    for name, code in codes.items():
        commit = ledger.latest(name)
        assert commit is not None
        assert commit.code_version == code

    settings.prices.write_text(HEADER)
    changed = settings.model_copy(update={"budgets": {"total": Decimal(1)}, "playbook_active": 3})
    again = {each.name: each.code_version for each in given_tables(changed)}
    assert all(again[name] != codes[name] for name in codes)


def test_limits_of_playbooks_are_one_row_a_setting(settings: Settings) -> None:
    table, _ = given(settings.model_copy(update={"playbook_active": 3}), "limits").rows()
    limits = {row["name"]: row["value"] for row in table.to_pylist()}
    assert limits == {"active": 3, "class_successes": 3, "exposures": 200, "successes": 5, "unconfirmed": 180}


def test_budgets_are_one_row_a_limit(settings: Settings, lake: Lake) -> None:
    limits = {"total": Decimal(50), "user": Decimal("0.1234567891"), "project:a:b": Decimal(0)}
    table, _ = given(settings.model_copy(update={"budgets": limits}), "budgets").rows()
    assert table.to_pylist() == [
        {"scope": "project", "name": "a:b", "limit_usd": 0},
        {"scope": "total", "name": None, "limit_usd": 50},
        {"scope": "user", "name": None, "limit_usd": Decimal("0.123456789")},
    ]


def test_no_file_is_no_own_price(tmp_path: Path) -> None:
    table, problems = prices.rows(tmp_path / "prices.csv")
    assert not problems
    assert {source.as_py().partition(" ")[0] for source in table["source"].unique()} == {"genai-prices"}
