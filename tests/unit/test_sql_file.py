"""What is read from a model file, and what is said about a file that is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from oplake.lake.spec import Column, TableSpec
from oplake.models.errors import ModelFileError
from oplake.models.model import Model
from oplake.models.sql_file import load_models, load_queries

EVENTS = TableSpec(
    name="landed.events",
    description="Events.",
    columns=(
        Column("day", pa.date32(), "the day"),
        Column("id", pa.string(), "the event"),
        Column("amount", pa.int64(), "an amount"),
        Column("seen_at", pa.timestamp("us", "UTC"), "when"),
    ),
    partition_by_day=True,
    sort_by=(),
    grain=("id",),
)

GOOD = """\
-- One row per event.
--
-- Example: an amount of 2 is doubled to 4.
--
-- grain: id
-- partition: day
-- window: 0..1
-- settles: 06:15
-- question: How many events are there?
-- sql:
--   SELECT count(*)
--   FROM a.events
-- answer:
--   3 | true
SELECT
    day, -- the day [not null]
    id, -- the event
    -- as it was landed [not null]
    amount
    * 2 AS double, -- twice the amount [0..100.5] [not null]
    seen_at AS happened_at -- when it happened
FROM landed.events
WHERE day BETWEEN $start AND $stop + 1
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name.replace('.', '/')}.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def load(folder: Path) -> list[Model]:
    return list(load_models(folder, [EVENTS]))


def problems(folder: Path) -> list[str]:
    with pytest.raises(ModelFileError) as caught:
        load(folder)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_all_that_a_file_says_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "a.events", GOOD)
    (model,) = load(tmp_path)
    assert model.name == "a.events"
    assert model.path == path
    assert model.summary == "One row per event."
    assert model.description == "One row per event.\n\nExample: an amount of 2 is doubled to 4."
    assert model.grain == ("id",)
    assert model.partition == "day"
    assert model.window == (0, 1)
    assert model.settles == timedelta(hours=6, minutes=15)
    assert model.not_portable is None
    assert model.dependencies == {"landed.events"}
    assert model.parameters == {"start", "stop"}
    assert model.question is not None
    assert model.question.text == "How many events are there?"
    assert model.question.sql == "SELECT count(*)\nFROM a.events"
    assert model.question.answer == (("3", "true"),)


def test_columns_have_their_comment_their_type_and_their_checks(tmp_path: Path) -> None:
    write(tmp_path, "a.events", GOOD)
    (model,) = load(tmp_path)
    day, id_, double, happened_at = model.columns
    assert (day.name, day.description, day.type, day.is_not_null) == ("day", "the day", pa.date32(), True)
    assert (id_.description, id_.is_not_null) == ("the event as it was landed", True)
    assert (double.type, double.low, double.high, double.is_not_null) == (pa.int64(), 0, 100.5, True)
    assert (happened_at.type, happened_at.is_not_null) == (pa.timestamp("us", "UTC"), False)
    assert model.spec.columns[2] == Column("double", pa.int64(), "twice the amount")
    assert model.spec.partition_by_day


def test_lineage_follows_columns_through_ctes(tmp_path: Path) -> None:
    write(tmp_path, "a.events", GOOD)
    write(
        tmp_path,
        "b.sums",
        """-- Sums.
-- grain: day
-- partition: none
WITH part AS (SELECT day, id, double AS twice FROM a.events WHERE happened_at IS NOT NULL)
SELECT
    day, -- the day
    count(part.id) AS events, -- events
    CAST(sum(twice) AS BIGINT) AS total, -- the sum
    1 AS one -- a constant
FROM part GROUP BY day
""",
    )
    first, second = load(tmp_path)
    assert first.lineage["double"] == [("landed.events", "amount")]
    assert second.lineage == {
        "day": [("a.events", "day")],
        "events": [("a.events", "id")],
        "total": [("a.events", "double")],
        "one": [],
    }


@pytest.mark.slow
def test_the_order_is_the_same_in_every_process(tmp_path: Path) -> None:
    """Forbids sets of names on the way: their order differs from process to process, and pages of docs/ go by it."""
    names = ("a.three", "b.one", "c.two", "d.four", "e.five")
    for name in names:
        write(tmp_path, name, GOOD)
    parts = " UNION ALL ".join(f"SELECT day, id, double AS amount, happened_at AS seen_at FROM {n}" for n in names)
    write(tmp_path, "a.all", GOOD.replace("FROM landed.events", f"FROM ({parts}) AS parts"))
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import test_sql_file as t;"
        "print([model.name for model in t.load(Path(sys.argv[2]))])"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3", "4")
    }
    assert len(seen) == 1


def test_upstream_comes_first_whatever_the_names(tmp_path: Path) -> None:
    write(tmp_path, "z.base", GOOD)
    write(
        tmp_path,
        "a.top",
        GOOD.replace("landed.events", "z.base").replace("amount\n", "double\n").replace("seen_at AS", "happened_at AS"),
    )
    assert [model.name for model in load(tmp_path)] == ["z.base", "a.top"]


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("-- One row per event.", "-- Each event is a row.", True),
        ("    * 2 AS double, -- twice", " * 2   AS double, -- two times", True),
        ("SELECT\n    day,", "SELECT  /* here */\n\n    day,", True),
        ("$stop + 1\n", "$stop + 1;\n", True),
        ("-- window: 0..1", "-- window: 0..2", False),
        ("-- grain: id", "-- grain: id, happened_at", False),
        ("-- settles: 06:15", "-- settles: 07:15", False),
        ("* 2 AS", "* 3 AS", False),
        ("day BETWEEN", "'a' = 'A' AND day BETWEEN", False),
    ],
)
def test_the_code_version_changes_with_what_is_computed_and_with_nothing_else(
    tmp_path: Path, old: str, new: str, is_same: bool
) -> None:
    """Hashing the file's bytes is tempting; then a corrected comment would rebuild years of days."""
    write(tmp_path / "1", "a.events", GOOD)
    assert old in GOOD
    write(tmp_path / "2", "a.events", GOOD.replace(old, new))
    (one,), (two,) = load(tmp_path / "1"), load(tmp_path / "2")
    assert (one.code_version == two.code_version) is is_same


def test_the_case_of_text_is_part_of_the_code_version(tmp_path: Path) -> None:
    """Normalising by upper-casing the whole text would take 'a' and 'A' for the same."""
    versions = []
    for letter in "aA":
        write(
            tmp_path / letter,
            "a.events",
            GOOD.replace("landed.events\n", f"landed.events WHERE id = '{letter}' OR\n").replace("WHERE day", "day"),
        )
        versions += [model.code_version for model in load(tmp_path / letter)]
    assert len(set(versions)) == 2


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "FROM landed.events",
            "FROM landed.event",
            "22: reads landed.event, which is no table of the lake; did you mean",
        ),
        ("FROM landed.events", "FRM landed.events", "22: Parser Error: syntax error at or near"),
        (
            ", -- the day [not null]",
            ",",
            "16: column day is not explained; put `-- what it means` at the end of its line",
        ),
        ("-- the day [not null]", "-- [not null]", "16: column day is not explained"),
        (
            "[0..100.5]",
            "[positive]",
            "20: column double has the tag [positive]; there are [not null] and ranges such as",
        ),
        ("-- grain: id\n", "--\n", "1: has no grain; add `-- grain: column, ...`"),
        ("-- grain: id", "-- grain: idd", "5: grain names idd, which it does not put out; did you mean id?"),
        ("-- partition: day\n", "--\n", "1: has no partition; add `-- partition: day`, or `-- partition: none`"),
        ("-- partition: day", "-- partition: week", "6: partition is `week`; it is either day or none"),
        ("-- window: 0..1\n", "--\n", "1: has no window; add `-- window: 0..0`"),
        ("-- window: 0..1", "-- window: 1..0", "7: window is `1..0`; write first..last in days"),
        ("-- window: 0..1", "-- window: 0..1, a.x 0..0", "7: window names a.x, which the SELECT does not read"),
        ("-- window: 0..1", "-- windows: 0..1", "7: unknown directive `windows:`"),
        (
            "-- settles: 06:15",
            "-- settles: 6.15",
            "8: settles is `6.15`; write the time (UTC) of the next day as HH:MM",
        ),
        ("-- settles: 06:15", "-- grain: id", "8: says `grain:` twice; keep one"),
        ("-- settles: 06:15", "-- not portable:", "8: is not portable, but does not say why"),
        ("-- settles: 06:15", "-- alert:", "8: alerts, but does not say of what; write it after the colon"),
        ("-- answer:\n--   3 | true\n", "", "9: has a worked question without its answer"),
        (GOOD[: GOOD.index("-- grain")], "", "1: says nothing about the table"),
        ("    amount\n", "    amout\n", "19: Binder Error"),
        ("$stop + 1\n", "$stop + 1; SELECT 1\n", "1: is not one SELECT; a file holds a single SELECT and nothing else"),
        ("$stop + 1", "$end", "23: asks for $end; the parameters are: $start, $stop"),
        ("AS double", "AS day", "20: has two columns named day; rename one"),
        ("    * 2 AS double", "    * 2", "20: has an output column without a name; write out every column"),
        ("    day, -- the day [not null]", "    *, -- all", "16: has an output column without a name"),
        ("* 2 AS", "* 2::HUGEINT AS", "20: column double: is a HUGEINT, as sums of integers are; write CAST"),
        (
            "    amount\n    * 2 AS",
            "    NULL AS",
            "19: column double: is always NULL and has no type; write CAST(NULL AS ...)",
        ),
        ("    day, -- the day [not null]\n", "    day, ", "16: columns day and id end on one line and so share its"),
        ("    day, -- the day [not null]\n", "", "6: is partitioned by day but has no column day; select it"),
    ],
)
def test_a_wrong_file_is_named_with_its_line_and_the_way_out(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    write(tmp_path, "a.events", GOOD.replace(old, new))
    found = problems(tmp_path)
    assert any(problem.startswith(f"a/events.sql:{expected}") for problem in found), found


def test_all_problems_of_a_folder_are_reported_together(tmp_path: Path) -> None:
    """Stopping at the first would make a person run it once per mistake."""
    write(tmp_path, "a.one", GOOD.replace("-- grain: id\n", "").replace(", -- the day [not null]", ","))
    write(tmp_path, "a.two", GOOD.replace("landed.events", "landed.nothing"))
    write(tmp_path, "a.three", GOOD.replace("amount", "amout"))
    found = problems(tmp_path)
    assert [problem.partition(":")[0] for problem in found] == ["a/one.sql", "a/one.sql", "a/three.sql", "a/two.sql"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD.replace("twice", "zweimal für").encode("latin-1"), "a/events.sql:20: is not in UTF-8 (byte 0xfc)"),
        (GOOD.encode("utf-16"), "a/events.sql:1: is not in UTF-8 (byte 0xff)"),
        (GOOD.encode("utf-8-sig"), "a/events.sql:1: begins with a byte order mark"),
    ],
)
def test_a_file_in_another_encoding_is_named_and_nothing_else_is(tmp_path: Path, text: bytes, expected: str) -> None:
    """Reading it anyway would blame its first line, its SQL and every model that reads it."""
    write(tmp_path, "a.events", "").write_bytes(text)
    write(tmp_path, "b.top", GOOD.replace("landed.events", "a.events"))
    (problem,) = problems(tmp_path)
    assert problem.startswith(expected)
    write(tmp_path, "queries.some", "").write_bytes(text)
    with pytest.raises(ModelFileError, match=expected.split(": ")[1][:9]):
        load_queries(tmp_path)


def test_line_ends_of_windows_change_nothing(tmp_path: Path) -> None:
    write(tmp_path / "1", "a.events", GOOD)
    write(tmp_path / "2", "a.events", "").write_bytes(GOOD.replace("\n", "\r\n").encode())
    (one,), (two,) = load(tmp_path / "1"), load(tmp_path / "2")
    assert (one.code_version, one.description, one.sql) == (two.code_version, two.description, two.sql)


def test_a_model_may_not_take_the_name_of_a_table_that_is_there(tmp_path: Path) -> None:
    """Binding it would replace the landed table, and blame whoever reads that."""
    write(tmp_path, "landed.events", GOOD.replace("landed.events", "a.events"))
    write(tmp_path, "a.events", GOOD)
    (problem,) = problems(tmp_path)
    assert problem.startswith("landed/events.sql:1: has the name of landed.events, which no model makes")


def test_a_file_that_nobody_would_read_is_reported(tmp_path: Path) -> None:
    """Leaving it out in silence lets its author wait for a table that never comes."""
    write(tmp_path, "a.events", GOOD)
    for place in ("zz.sql", "a/deep/zz.sql", "queries/deep/zz.sql", "a/.ipynb_checkpoints/zz.sql"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(GOOD)
    assert problems(tmp_path) == [
        f"{place}:1: lies where no model is looked for; move it to <schema>/<table>.sql"
        for place in ("a/deep/zz.sql", "queries/deep/zz.sql", "zz.sql")
    ]


def test_what_reads_a_wrong_model_is_not_blamed(tmp_path: Path) -> None:
    write(tmp_path, "a.events", GOOD.replace("AS happened_at", ""))
    write(
        tmp_path,
        "b.top",
        GOOD.replace("landed.events", "a.events")
        .replace("amount", "double")
        .replace("    seen_at AS", "    happened_at AS"),
    )
    write(tmp_path, "a.broken", GOOD.replace("-- grain: id\n", ""))
    write(tmp_path, "b.leaf", GOOD.replace("landed.events", "a.broken"))
    assert [problem.partition(":")[0] for problem in problems(tmp_path)] == ["a/broken.sql", "b/top.sql"]


def test_a_circle_is_shown_whole(tmp_path: Path) -> None:
    write(tmp_path, "a.one", GOOD.replace("landed.events", "a.two"))
    write(tmp_path, "a.two", GOOD.replace("landed.events", "a.one"))
    (problem,) = problems(tmp_path)
    assert problem.endswith("take one of these reads out")
    assert "a.one reads a.two" in problem
    assert ".sql:22: goes round in a circle" in problem


def test_named_windows_are_refused(tmp_path: Path) -> None:
    """sqlglot's lineage silently loses the keys of `OVER w`."""
    text = GOOD.replace("    amount\n    * 2 AS", "    row_number() OVER w AS")
    write(tmp_path, "a.events", text + "WINDOW w AS (PARTITION BY id ORDER BY amount)\n")
    assert any("names a window" in problem for problem in problems(tmp_path))


def test_dashes_inside_text_are_no_comment(tmp_path: Path) -> None:
    write(tmp_path, "a.events", GOOD.replace("    id, -- the event", "    concat(id, ' -- x') AS id, -- the event"))
    assert load(tmp_path)[0].columns[1].description == "the event as it was landed"


def test_lines_are_right_below_long_comments(tmp_path: Path) -> None:
    """sqlglot counts the lines of a comment block twice; its line numbers must not be used."""
    long = "".join(f"-- Line {number}.\n" for number in range(100))
    write(tmp_path, "a.events", GOOD.replace("-- Example", long + "-- Example").replace("amount\n", "amout\n"))
    assert problems(tmp_path)[0].startswith("a/events.sql:119: ")


def test_queries_are_loaded_apart(tmp_path: Path) -> None:
    write(tmp_path, "a.events", GOOD)
    write(tmp_path, "queries.some", "-- What there is.\nSELECT 1\n")
    assert len(load(tmp_path)) == 1
    (query,) = load_queries(tmp_path)
    assert (query.name, query.description) == ("some", "What there is.")
    write(tmp_path, "queries.mute", "SELECT $x\n")
    with pytest.raises(
        ModelFileError, match=r"asks for [$]x; the parameters are: none(.|\n)*does not say what it is for"
    ):
        load_queries(tmp_path)
