"""The tables of ingest follow from the event contract."""

from __future__ import annotations

import pyarrow as pa
import pytest

from oplake import events
from oplake.lake.landed import INGESTED, LANDED, landed_spec
from oplake.lake.ledger import ARRIVALS
from oplake.lake.tables import Lake, TableSpec


@pytest.mark.parametrize("kind", events.KINDS)
def test_a_landed_table_has_the_day_and_the_fields_of_its_kind(kind: str) -> None:
    spec = LANDED[kind]
    assert spec.name == events.TABLES[kind]
    assert [column.name for column in spec.columns] == ["day", *(field.name for field in events.fields(kind))]
    assert spec.partition_by_day
    assert spec.grain == ("day", "event_id")


def test_values_that_may_be_left_out_are_never_null_in_the_table() -> None:
    """`state` of a step is {} when it was not given. As null, every question about it would need a coalesce."""
    step = landed_spec("step")
    assert not step.column("state").is_nullable
    assert not step.column("decision").is_nullable
    assert step.column("actor").is_nullable


def test_the_same_name_may_have_two_types_in_two_tables() -> None:
    assert landed_spec("op").column("state").description == "state or region, for scenario operations"
    assert landed_spec("step").column("state").description.endswith("(JSON)")


def test_types_follow_the_contract() -> None:
    turn, op = landed_spec("turn"), landed_spec("op")
    assert turn.column("ts").type == pa.timestamp("us", "UTC")
    assert turn.column("input_tokens").type == pa.int64()
    assert turn.column("charged_usd").type == pa.float64()
    assert op.column("playbook_ids").type == pa.list_(pa.string())
    assert op.column("success").type == pa.bool_()


@pytest.mark.parametrize("spec", [*INGESTED, ARRIVALS], ids=lambda spec: spec.name)
def test_every_table_and_column_says_what_it_means(spec: TableSpec) -> None:
    assert spec.description.endswith(".")
    assert spec.grain
    for column in spec.columns:
        assert len(column.description) > 5, column.name


def test_delta_takes_every_table_as_it_is(lake: Lake) -> None:
    for spec in (*INGESTED, ARRIVALS):
        lake.create(spec)
        assert lake.spec(spec.name) == spec
