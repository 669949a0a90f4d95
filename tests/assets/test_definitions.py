"""What Dagster is told: groups, metadata, partitions, status, resources; and what it must not be."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from oplake.events import TABLES
from oplake.given import GIVEN
from oplake.models.model import Models
from oplake.orchestration import definitions as module
from oplake.orchestration.definitions import build_definitions
from oplake.orchestration.instance import open_instance
from oplake.orchestration.llm import LLM
from oplake.orchestration.partitions import days_read, key_of
from oplake.orchestration.schedules import CRONS
from oplake.settings import CHECKOUT, Settings
from oplake.synthesis.tables import WRITTEN

from .conftest import World, WriteModels, at, step

WRITTEN_TABLES = {what.name for what in WRITTEN}


@pytest.fixture(scope="module")
def definitions(models: Models, tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions(Settings(home=tmp_path_factory.mktemp("d")), models=models)


def _spec(definitions: dg.Definitions, table: str) -> dg.AssetSpec:
    return definitions.resolve_asset_graph().get(key_of(table)).assets_def.get_asset_spec(key_of(table))


def test_loading_touches_no_state(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster loads definitions in several processes and whenever it likes; none of that may write anything."""
    home = tmp_path / "not-made"
    monkeypatch.setenv("OPLAKE_HOME", str(home))
    module.defs().get_repository_def()
    assert not home.exists()


def test_every_table_is_an_asset_in_its_group(definitions: dg.Definitions, models: Models) -> None:
    specs = {".".join(spec.key.path): spec for spec in definitions.resolve_all_asset_specs()}
    lake = {"lake.segments", "lake.arrivals", "lake.redactions", "lake.watermark"}
    given = {spec.name for spec in GIVEN}
    assert set(specs) == {*TABLES.values(), *lake, *given, *WRITTEN_TABLES, *(model.name for model in models)}
    for name, spec in specs.items():
        assert spec.group_name == ("landed" if name in lake - {"lake.arrivals"} else name.partition(".")[0])
        assert spec.description
        assert spec.owners
        assert spec.kinds
        columns = spec.metadata["dagster/column_schema"].columns
        assert all(column.description for column in columns), name
        assert spec.metadata["dagster/table_name"] == name


def test_a_model_tells_what_its_file_tells(definitions: dg.Definitions, models: Models) -> None:
    model = models["attribution.step_credits"]
    spec = _spec(definitions, model.name)
    assert spec.code_version == model.code_version
    assert spec.kinds == {"duckdb", "deltalake", "sql"}
    assert model.description in str(spec.description)
    assert "**Grain**: " + ", ".join(model.grain) in str(spec.description)
    assert model.sql[model.sql.index("\nWITH") :].strip() in str(spec.description)
    (reference,) = spec.metadata["dagster/code_references"].code_references
    assert Path(reference.file_path) == CHECKOUT / "sql" / "attribution" / "step_credits.sql"
    columns = {column.name: column for column in spec.metadata["dagster/column_schema"].columns}
    assert set(columns) == {column.name for column in model.columns}
    assert not columns["action_id"].constraints.nullable
    assert {dep.asset_key for dep in spec.deps} == {key_of(name) for name in model.dependencies}


def test_a_day_depends_on_the_days_that_it_reads(definitions: dg.Definitions) -> None:
    """With the plain mapping Dagster would show an action over midnight as made from its first day alone."""
    mappings = {dep.asset_key: dep.partition_mapping for dep in _spec(definitions, "attribution.steps").deps}
    assert mappings[key_of("landed.steps")] == days_read((0, 1))
    assert mappings[key_of("attribution.actions")] == days_read((0, 0))


def test_ranges_of_days_are_one_run(definitions: dg.Definitions, models: Models) -> None:
    graph = definitions.resolve_asset_graph()
    for model in models:
        node = graph.get(key_of(model.name))
        if model.partition == "day":
            assert node.backfill_policy == dg.BackfillPolicy.single_run()
            assert isinstance(node.partitions_def, dg.DailyPartitionsDefinition)


def test_partitions_reach_to_tomorrow(definitions: dg.Definitions) -> None:
    partitions = _spec(definitions, "landed.steps").partitions_def
    assert isinstance(partitions, dg.DailyPartitionsDefinition)
    keys = partitions.get_partition_keys(current_time=at(7, 12))
    assert keys[0] == Settings().first_day.isoformat()
    assert keys[-1] == date(2026, 1, 8).isoformat()


def test_sensors_and_schedules_run_by_themselves(definitions: dg.Definitions) -> None:
    """Dagster's default is STOPPED: everything would look well and nothing would happen."""
    repository = definitions.get_repository_def()
    assert {each.name for each in repository.sensor_defs} == {"arrivals"}
    assert {each.name for each in repository.schedule_defs} == {"daily_upkeep", *CRONS}
    assert all(each.default_status is dg.DefaultSensorStatus.RUNNING for each in repository.sensor_defs)
    assert all(each.default_status is dg.DefaultScheduleStatus.RUNNING for each in repository.schedule_defs)


def test_files_are_followed_by_a_sensor_where_some_are_configured(
    tmp_path: Path, settings: Settings, write_models: WriteModels
) -> None:
    log = tmp_path / "agent.jsonl"
    log.write_bytes(b'{"kind":"note","user_id":"u","note":"n"}\nbroken\n')
    follows = settings.model_copy(update={"tail": (str(log),)})
    definitions = build_definitions(follows, models=write_models(), clock=lambda: at(7, 12))
    sensor = definitions.get_repository_def().get_sensor_def("tail")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    said = []
    for _ in range(2):
        with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance=instance) as context:
            said.append(sensor.evaluate_tick(context).skip_message)
    assert said == [f"{log}: 1 events, 1 rejects", "nothing was appended"]


@pytest.mark.slow
def test_assets_come_with_counts_and_lineage(world: World) -> None:
    """The last day of a run may be empty, and what was reported last is what Dagster shows as the table's rows."""
    world.action("a", at(5, 12))
    world.action("b", at(4, 12))
    world.land(step("nobody", 0, at(6, 1)))  # so that the 6th is made, of nothing
    assert world.run(at(12, 12)).failures == ()

    def latest(table: str, day: str | None = None) -> dict[str, Any]:
        which = dg.AssetRecordsFilter(key_of(table), asset_partitions=None if day is None else [day])
        (record,) = world.instance.fetch_materializations(which, limit=1).records
        assert record.asset_materialization is not None
        return {key: value.value for key, value in record.asset_materialization.metadata.items()}

    assert latest("landed.steps", "2026-01-05") == {
        "dagster/partition_row_count": 2,
        "dagster/row_count": 5,
        "rows_added": 2,
    }
    for day, rows in (("2026-01-05", 2), ("2026-01-06", 0)):
        assert latest("attribution.step_credits", day)["dagster/partition_row_count"] == rows
    assert latest("attribution.step_credits")["dagster/row_count"] == 4
    assert latest("lake.segments")["events"] == 9
    assert latest("lake.watermark")["watermark"] == at(12, 12).timestamp()
    assert latest("lake.arrivals")["rows_added"] > 0
    lineage = latest("attribution.step_credits")["dagster/column_lineage"].deps_by_column
    assert dg.TableColumnDep(key_of("attribution.steps"), "confidence") in lineage["credit"]


def llm_misuse(definitions: dg.Definitions) -> list[str]:
    """Assets that hold the resource `llm` although no author writes them."""
    graph = definitions.resolve_asset_graph()
    return [
        asset.key.to_user_string()
        for asset in graph.assets_defs
        if LLM in asset.required_resource_keys and ".".join(asset.key.path) not in WRITTEN_TABLES
    ]


def test_no_asset_but_synthesis_may_call_a_model(definitions: dg.Definitions) -> None:
    """Numbers are counted, never asked for."""
    assert llm_misuse(definitions) == []
    holders = [asset for asset in definitions.resolve_asset_graph().assets_defs if LLM in asset.required_resource_keys]
    assert {".".join(asset.key.path) for asset in holders} == WRITTEN_TABLES
    assert {asset.op.pool for asset in holders} == {"llm"}

    @dg.asset(required_resource_keys={LLM}, group_name="attribution")
    def guessed_credit() -> None: ...

    @dg.asset(required_resource_keys={LLM}, key=key_of("users.daily_reports"))
    def report() -> None: ...

    control = dg.Definitions([guessed_credit, report], resources={LLM: "a model"})
    assert llm_misuse(control) == ["guessed_credit"]


def test_resources_can_be_swapped(models: Models, settings: Settings) -> None:
    definitions = build_definitions(settings, models=models, resources={LLM: "a model"})
    assert set(definitions.get_repository_def().get_top_level_resources()) == {"lakehouse", LLM}


def test_the_records_of_a_home_keep_to_themselves(settings: Settings) -> None:
    """No telemetry, everything below the home whatever the current directory is, and one model call at a time."""
    with open_instance(settings) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.global_op_concurrency_default_limit == 1
        assert not instance.nux_enabled
        instance.get_runs_count()
    found = {path.name for path in settings.dagster_home.rglob("*.db")}
    assert {"runs.db", "index.db", "schedules.db"} <= found
