"""Tables as a person meets them on a terminal: what is folded, what is not, and when rows become blocks."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from oplake.cli import playbooks, read, terminal
from oplake.cli.terminal import print_table
from oplake.learning import blame_eval

Printed = Callable[..., str]

ID = "0190b6f2-7c1e-7d3a-9b1f-0c2d4e6f8a90"


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Printed:
    """What a table looks like on a terminal of 80 columns, or as many as are said."""

    def on_terminal(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int = 80, **options: Any) -> str:
        text = io.StringIO()
        screen = Console(file=text, force_terminal=True, width=width, no_color=True)
        monkeypatch.setattr(terminal, "console", lambda: screen)
        print_table(columns, rows, **options)
        return re.sub(r"\x1b\[[0-9;]*m", "", text.getvalue())

    return on_terminal


def test_what_does_not_fit_side_by_side_is_printed_row_by_row(printed: Printed) -> None:
    """Twenty columns at 80 characters were columns of one letter."""
    columns = [f"column_{n}" for n in range(20)]
    said = printed(columns, [[f"value_{n}" for n in range(20)], [None] * 20])
    assert re.search(r"^column_19 +value_19$", said, re.MULTILINE)
    assert [line for line in said.splitlines() if "row" in line] == ["─── row 1 ───", "─── row 2 ───"]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_names_numbers_and_moments_stay_whole(printed: Printed, width: int) -> None:
    moment = datetime(2026, 1, 5, 13, tzinfo=UTC)
    said = printed(["event_id", "at", "count", "says"], [(ID, moment, 1_234_567, "some words " * 20)], width)
    assert ID in said
    assert str(moment) in said
    assert "1,234,567" in said
    assert max(map(len, said.splitlines())) <= width


def test_text_gets_the_room_that_names_leave(printed: Printed) -> None:
    said = printed(["table", "a row is"], [("sessions.confidence_calibration", "a class of estimates " * 6)])
    assert "sessions.confidence_calibration" in said
    assert max(map(len, said.splitlines())) in range(72, 81)


def test_a_book_and_the_floors_of_estimates_fit_into_eighty_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A status was probatio/n and a class write_re/port; side by side names leave no room for what is said of them."""
    text = io.StringIO()
    screen = Console(file=text, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(terminal, "console", lambda: screen)
    monkeypatch.setattr(playbooks, "remark", lambda _: None)
    entry = {"task_class": "reconcile_invoices", "entry_id": "0123456789abcdef", "status": "probation", "uplift": None}
    shown = SimpleNamespace(entry=SimpleNamespace(**entry, exposures=1_200, controls=100), line="Do this first. " * 6)
    playbooks._list([shown])  # type: ignore[list-item]
    floors = [("correction_effects", "reconcile_invoices", "44", "0.579", "0.215", "+0.364", "0.005", "not above")]
    read._print_pairs(blame_eval.FLOOR_COLUMNS, floors)
    said = text.getvalue()
    assert "row 1" not in said
    for whole in ("reconcile_invoices", "0123456789abcdef", "probation", "1,200", "correction_effects", "not above"):
        assert whole in said
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("cost", Decimal("0E-9"), "0"),
        ("cost", 0.0, "0"),
        ("cost", Decimal("0.000000012"), "1.2e-8"),
        ("events", 12_345, "12,345"),
        ("sum(n)", Decimal(12_345), "12,345"),
        ("usd", 12_345.5, "12,345.5"),
        ("year(day)", 2024, "2024"),
        ("user_id", 12_345, "12345"),
        ("is_open", True, "true"),
    ],
)
def test_numbers_are_shown_in_one_way(printed: Printed, column: str, value: Any, shown: str) -> None:
    assert printed([column], [(value,)]).split() == [column, "─" * (max(len(column), len(shown)) + 2), shown]
