"""The record of an action for learning systems, and its export."""

from __future__ import annotations

import io
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.sql.tiny_lake import DAY, DeltaLake, TinyLake, at, begun, by, completed, observation, step

from oplake.models.errors import ModelError
from oplake.models.export import Format, export_interactions

pytestmark = pytest.mark.slow

RECORD = ["user_id", "prompt_id", "prompt", "response", "model_id", "latency_ms", "goal_id", "attribution_chain"]
NEXT = DAY + timedelta(days=1)


def record(tiny: TinyLake) -> dict[str, Any]:
    (row,) = tiny.ask("FROM attribution.interactions")
    return row | {"attribution_chain": json.loads(row["attribution_chain"])}


def test_the_record_of_an_action(tiny: TinyLake) -> None:
    expected = dict.fromkeys("abcdef", 1)
    tiny.land(
        begun("a1", at(1), agent_id="scout", action_type="search", goal_id="g1", expected_outcome=expected),
        *(step("a1", at(2), number, state={"n": number, "é": '"'}) for number in range(3)),
        *(observation("a1", at(2, seconds=number), data={"n": number}) for number in range(2)),
        completed("a1", at(3), expected | {"f": 2, "text": 'é "quoted"'}),
    )
    tiny.build()
    row = record(tiny)
    assert row["prompt"] == "scout ran search (goal=g1, parent=none, steps=3, observations=2, success=0.83)"
    assert (row["user_id"], row["prompt_id"], row["model_id"]) == ("scout", "a1", "scout:search")
    assert (row["latency_ms"], row["goal_id"], row["day"]) == (2 * 3_600_000, "g1", DAY)
    assert json.loads(row["response"])["text"] == 'é "quoted"'
    chain = row["attribution_chain"]
    assert chain["action"]["outcome"] == json.loads(row["response"])
    assert chain["action"]["began_at"] == "2026-01-05T01:00:00.000000Z"
    assert [each["state"] for each in chain["steps"]] == [{"n": number, "é": '"'} for number in range(3)]
    assert [each["data"] for each in chain["observations"]] == [{"n": 0}, {"n": 1}]
    credits_ = by(tiny.ask("FROM attribution.step_credits"), "position")
    assert [each["credit"] for each in chain["steps"]] == [credits_[number]["credit"] for number in range(3)]


def test_the_chain_has_all_fields_of_the_action(tiny: TinyLake) -> None:
    """A column added to attribution.actions has to be added to the record too."""
    tiny.land(begun("a", at(1)), completed("a", at(2)))
    tiny.build()
    fields = {column.name for column in tiny.models["attribution.actions"].columns}
    assert fields <= set(record(tiny)["attribution_chain"]["action"])


def test_steps_after_the_fiftieth_keep_their_own_credit(tiny: TinyLake) -> None:
    """The record shows the last 50 steps; indexing credits from 0 there would pair them with the wrong steps."""
    tiny.land(
        begun("a", at(1)),
        *(step("a", at(1, seconds=number), number, confidence=number % 7 / 7) for number in range(60)),
        *(observation("a", at(1, seconds=number), data={"n": number}) for number in range(60)),
        completed("a", at(2)),
    )
    tiny.build()
    chain = record(tiny)["attribution_chain"]
    credits_ = by(tiny.ask("FROM attribution.step_credits"), "position")
    assert [each["position"] for each in chain["steps"]] == list(range(10, 60))
    assert [each["credit"] for each in chain["steps"]] == [credits_[number]["credit"] for number in range(10, 60)]
    assert [each["data"]["n"] for each in chain["observations"]] == list(range(10, 60))


def test_long_texts_are_cut(tiny: TinyLake) -> None:
    tiny.land(begun("a", at(1), agent_id="x" * 3000), completed("a", at(2), {"text": "é" * 9000}))
    tiny.build()
    row = record(tiny)
    assert (len(row["prompt"]), len(row["response"])) == (2000, 5000)


def test_an_action_without_steps_has_a_record(tiny: TinyLake) -> None:
    tiny.land(begun("a", at(1), parent_action_id="p"))
    tiny.build()
    row = record(tiny)
    assert row["prompt"] == "a ran t (goal=none, parent=p, steps=0, observations=0, success=0.20)"
    assert (row["attribution_chain"]["steps"], row["attribution_chain"]["observations"]) == ([], [])


@pytest.fixture
def filled(delta: DeltaLake) -> DeltaLake:
    delta.land(begun("b", at(1)), step("b", at(2), state={"k": [1]}), begun("a", at(2)), begun("c", at(25)))
    delta.build(stop=NEXT)
    return delta


def exported(
    delta: DeltaLake, form: Format, start: date | None = None, stop: date | None = None
) -> tuple[int, list[dict[str, Any]]]:
    stream = io.BytesIO()
    count = export_interactions(delta.lake, stream, form=form, settings=delta.settings, start=start, stop=stop)
    if form == "parquet":
        return count, pq.read_table(io.BytesIO(stream.getvalue())).to_pylist()
    return count, [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_export_writes_the_record_by_day_and_action(filled: DeltaLake, form: Format) -> None:
    count, rows = exported(filled, form)
    assert count == 3
    assert [row["prompt_id"] for row in rows] == ["a", "b", "c"]
    assert all(list(row) == RECORD for row in rows)
    chain = rows[1]["attribution_chain"]
    assert (json.loads(chain) if form == "parquet" else chain)["steps"][0]["state"] == {"k": [1]}
    assert [row["prompt_id"] for row in exported(filled, form, start=NEXT)[1]] == ["c"]
    assert [row["prompt_id"] for row in exported(filled, form, stop=DAY)[1]] == ["a", "b"]
    assert exported(filled, form, start=DAY - timedelta(days=9), stop=DAY - timedelta(days=1)) == (0, [])


def test_export_to_a_file_is_whole_or_not_there(filled: DeltaLake, tmp_path: Path) -> None:
    """Writing in place is tempting; a consumer would then read the first half of a file."""
    target = tmp_path / "out" / "interactions.jsonl"
    target.parent.mkdir()
    target.write_text("before")
    broken: Any = "xml"
    with pytest.raises(KeyError):
        export_interactions(filled.lake, target, form=broken, settings=filled.settings)
    assert target.read_text() == "before"
    export_interactions(filled.lake, target, form="jsonl", settings=filled.settings)
    assert len(target.read_text().splitlines()) == 3
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_export_without_a_table_says_what_to_do(delta: DeltaLake) -> None:
    with pytest.raises(ModelError, match="`oplake run` makes it"):
        export_interactions(delta.lake, io.BytesIO(), form="jsonl", settings=delta.settings)
