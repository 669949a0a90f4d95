"""Every table ships with a question and its answer, true of `sql/example.jsonl`; every ad-hoc query runs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from tests.sql.tiny_lake import DAY, PROJECT_MODELS, TinyLake, at, begun, step
from tests.written_rows import NAMED, example_rows

from oplake.given import prices
from oplake.models.model import Model, Models, Query, sql_folder
from oplake.models.sql_file import load_queries

pytestmark = pytest.mark.slow

QUERIES = load_queries(sql_folder())


@pytest.fixture(scope="module")
def example(models: Models) -> TinyLake:
    """A lake of the example events, as after `oplake import jsonl` and `oplake run`, with budgets and reports."""
    tiny = TinyLake(models)
    tiny.prices = prices.table_of(prices.list_entries())
    tiny.budgets = {"user": Decimal("0.04"), "project": Decimal(1)}
    for line in (sql_folder() / "example.jsonl").read_text().splitlines():
        event = json.loads(line)
        tiny.land(event | {"ts": datetime.fromisoformat(event["ts"])})
    for table, rows in example_rows().items():
        tiny.append(NAMED[table].spec, rows)
    tiny.build(stop=DAY + timedelta(days=1))
    return tiny


@pytest.mark.parametrize("model", PROJECT_MODELS, ids=lambda model: model.name)
def test_the_question_has_the_answer_that_its_header_gives(example: TinyLake, model: Model) -> None:
    question = model.question
    assert question is not None, f"{model.name} ships without a worked question"
    rows = example.ask(question.sql)
    assert tuple(tuple(_cell(value) for value in row.values()) for row in rows) == question.answer
    assert rows, "an empty answer teaches nothing"


@pytest.mark.parametrize("model", PROJECT_MODELS, ids=lambda model: model.name)
def test_the_header_has_a_worked_example_with_numbers(model: Model) -> None:
    _, found, told = model.description.partition("Example: ")
    assert found
    assert any(letter.isdigit() for letter in told)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_ad_hoc_queries_run_and_find_something(example: TinyLake, query: Query) -> None:
    rows = example.ask(query.sql)
    assert rows or query.name == "orphan_steps"  # no orphans is what its comment promises as good news


def test_orphans_are_found(models: Models) -> None:
    tiny = TinyLake(models)
    tiny.land(begun("a", at(1)), step("a", at(2)), step("a", at(9)), step("ghost", at(2)))
    tiny.build()
    (query,) = (query for query in QUERIES if query.name == "orphan_steps")
    assert {row["action_id"]: row["steps"] for row in tiny.ask(query.sql)} == {"a": 1, "ghost": 1}


def test_what_says_what_it_was_charged_needs_no_price() -> None:
    """The embedded author charges 0 and has no price: who looked for prices to write down found it first."""
    (query,) = (query for query in QUERIES if query.name == "unpriced_models")
    with duckdb.connect() as connection:
        connection.execute("""
            CREATE SCHEMA sessions;
            CREATE TABLE sessions.turns AS
            SELECT provider, model, true AS is_unpriced, cost_usd, 1 AS input_tokens, 1 AS output_tokens,
                current_date AS day
            FROM (VALUES ('oplake', 'extractive', 0), ('p', 'm', NULL)) AS turns (provider, model, cost_usd)
        """)
        rows = connection.execute(query.sql).fetchall()
    assert [row[:3] for row in rows] == [("p", "m", 1)]


def _cell(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
