"""Models that call functions in Python: bound, computed, and stale when the function changes."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest

from oplake.lake.landed import INGESTED
from oplake.lake.tables import Lake
from oplake.models import functions
from oplake.models.build import build
from oplake.models.errors import BuildError, ModelFileError
from oplake.models.functions import FUNCTIONS, Function, callable_in
from oplake.models.model import Models
from oplake.models.sql_file import load_models
from oplake.settings import Settings

MODEL = """-- A word and its length.
--
-- grain: word
-- partition: none
SELECT
    word, -- the word
    length_of(word) AS letters -- how many letters it has
FROM (VALUES ('one'), ('three')) AS words (word)
"""
LENGTH_OF = "def length_of(word):\n    return len(word)\n"


def length_of(module: str) -> Function:
    return Function("length_of", ("VARCHAR",), "BIGINT", module, (module,))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the model, and one for modules that Python finds."""
    monkeypatch.syspath_prepend(tmp_path / "modules")
    for path, text in (("sql/toy/words.sql", MODEL), ("modules/toy_lengths.py", LENGTH_OF)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(functions, "FUNCTIONS", (length_of("toy_lengths"),))
    return tmp_path


def load(folder: Path) -> Models:
    return load_models(folder / "sql", INGESTED)


def rows(folder: Path, models: Models | None = None) -> list[tuple[str, int]]:
    settings = Settings(home=folder / "home")
    lake = Lake(settings.lake)
    model = (models or load(folder))["toy.words"]
    build(lake, model, start=None, stop=None, settings=settings, watermark=None)
    return duckdb.sql(f"{lake.relation_sql('toy.words')} ORDER BY word").fetchall()


def test_a_model_that_calls_python_is_bound_and_computed_like_any_other(folder: Path) -> None:
    (model,) = load(folder)
    assert model.functions == ("length_of",)
    assert [str(column.type) for column in model.columns] == ["string", "int64"]
    assert model.lineage == {"word": [], "letters": []}
    assert rows(folder) == [("one", 3), ("three", 5)]


def test_its_code_version_changes_with_the_sources_that_its_results_come_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the SQL alone it would not, and days made with the function before would stand for ever."""
    (before,) = load(folder)
    (folder / "modules" / "toy_longer.py").write_text(LENGTH_OF.replace("len(word)", "len(word) + 1"))
    monkeypatch.setattr(functions, "FUNCTIONS", (length_of("toy_longer"),))
    (after,) = load(folder)
    assert before.code_version != after.code_version
    assert rows(folder) == [("one", 4), ("three", 6)]


def test_a_model_that_calls_none_keeps_its_code_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "sql" / "toy" / "words.sql"
    path.write_text(MODEL.replace("length_of(word)", "length(word)"))
    (before,) = load(folder)
    monkeypatch.setattr(functions, "FUNCTIONS", ())
    (after,) = load(folder)
    assert before.code_version == after.code_version


def test_a_function_that_is_none_is_refused_with_its_line(folder: Path) -> None:
    path = folder / "sql" / "toy" / "words.sql"
    path.write_text(MODEL.replace("length_of", "length_off"))
    with pytest.raises(ModelFileError, match=r"words\.sql:7.*length_off does not exist"):
        load(folder)


def test_what_a_function_raises_names_the_model_and_leaves_the_table_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = load(folder)
    assert rows(folder, models) == [("one", 3), ("three", 5)]
    monkeypatch.setattr("toy_lengths.length_of", lambda word: len(None))
    with pytest.raises(BuildError, match=r"toy\.words: .*NoneType.*words\.sql"):
        rows(folder, models)
    assert len(duckdb.sql(Lake(folder / "home" / "lake").relation_sql("toy.words")).fetchall()) == 2


def test_a_connection_forgets_the_functions_of_one_model_before_the_next(folder: Path) -> None:
    with duckdb.connect() as connection:
        for _ in range(2):  # made a second time it would fail, were it still there
            with callable_in(connection, functions.FUNCTIONS):
                assert connection.sql("SELECT length_of('ab')").fetchall() == [(2,)]
        with pytest.raises(duckdb.CatalogException, match="length_of"):
            connection.sql("SELECT length_of('ab')")


def imported_by(module: str) -> set[str]:
    """The modules of ours that a module imports from, constants and all."""
    found = find_spec(module)
    assert found is not None
    assert found.origin is not None
    tree = ast.parse(Path(found.origin).read_bytes())
    named = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return {name for name in named if name.startswith("oplake.")}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_the_sources_of_a_function_hold_all_of_ours_that_its_module_loads(function: Function) -> None:
    """One left out could change without making stale what was made with it."""
    seen, todo = set[str](), {function.module}
    while todo:
        name = todo.pop()
        seen.add(name)
        todo |= imported_by(name) - seen
    assert set(function.sources) == seen
