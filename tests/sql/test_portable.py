"""The door to Spark: every model can be written in its dialect, or says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp
from tests.sql.tiny_lake import PROJECT_MODELS

from oplake.lake.landed import INGESTED
from oplake.models.errors import ModelFileError
from oplake.models.model import Model
from oplake.models.sql_file import DIALECT, load_models

pytestmark = pytest.mark.slow


def obstacles(sql: str) -> list[str]:
    """What in a query means something else in Spark, or nothing; empty when Spark can run it.

    sqlglot complains of what it cannot write, but silently passes on functions that it does not know, drops the order
    inside list(... ORDER BY ...), and writes both `->` and `->>` as a function that strips quotes.
    """
    tree = sqlglot.parse_one(sql, read=DIALECT)
    found = []
    try:
        tree.sql("spark", unsupported_level=sqlglot.ErrorLevel.RAISE)
    except sqlglot.UnsupportedError as error:
        found.append(str(error))
    for node in tree.walk():
        if isinstance(node, exp.Anonymous):
            found.append(f"{node.name} is no function that sqlglot knows")
        if isinstance(node, exp.ArrayAgg | exp.List) and node.find(exp.Order):
            found.append("an ordered list loses its order")
        if isinstance(node, exp.JSONExtract):
            found.append("JSON that keeps its quotes loses them")
        if isinstance(node, exp.Join) and node.args.get("method") == "ASOF":
            found.append("Spark has no ASOF join")
    return found


@pytest.mark.parametrize("model", PROJECT_MODELS, ids=lambda model: model.name)
def test_spark_can_run_it_or_the_header_says_why_not(model: Model) -> None:
    if model.not_portable is None:
        assert obstacles(model.sql) == []
        assert sqlglot.parse_one(sqlglot.transpile(model.sql, read=DIALECT, write="spark")[0], read="spark")
    else:
        assert len(model.not_portable.split()) > 3
        assert obstacles(model.sql), f"{model.name} could run on Spark after all; take `not portable` out"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT json_each(x) FROM t",
        "SELECT list(a ORDER BY b) FROM t",
        "SELECT x -> '$.a' FROM t",
        "SELECT * FROM a ASOF JOIN b ON a.x >= b.x",
        "SELECT epoch_us(a) FROM t",
    ],
)
def test_the_guard_sees_what_sqlglot_passes_over(sql: str) -> None:
    assert obstacles(sql)


def test_a_model_may_not_be_unportable_without_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.sql"
    path.parent.mkdir()
    path.write_text("-- X.\n-- grain: a\n-- partition: none\n-- not portable:\nSELECT\n    1 AS a -- one\n")
    with pytest.raises(ModelFileError, match="does not say why"):
        load_models(tmp_path, INGESTED)
