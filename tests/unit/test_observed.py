"""`observed`: one operation a call, which says how it went and changes nothing of it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oplake.landing import observe
from oplake.landing.observe import observed, summarise_output
from oplake.landing.recorder import Recorder
from oplake.landing.segments import segments


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


def ops(home: Path) -> list[dict[str, Any]]:
    lines = [line for segment in segments(home / "landing") for line in segment.path.read_bytes().splitlines()]
    return [json.loads(line) for line in lines]


def test_a_function_is_timed_and_summed_up(recorder: Recorder, tmp_path: Path) -> None:
    @observed("search", recorder, session_id="s1", task_class="lookup")
    def search(query: str, limit: int = 3) -> dict[str, Any]:
        """Looks for things."""
        return {"rows": [1, 2, 3][:limit]}

    assert search("blue", limit=2) == {"rows": [1, 2]}
    assert search.__doc__ == "Looks for things."
    (op,) = ops(tmp_path)
    assert (op["endpoint"], op["success"], op["output_summary"]) == ("search", True, "2 rows")
    assert (op["input_summary"], op["session_id"], op["task_class"]) == ('query="blue", limit=2', "s1", "lookup")
    assert 0 <= op["duration_ms"] < 1000
    assert "error" not in op


def test_an_exception_is_a_failure_and_is_raised_on(recorder: Recorder, tmp_path: Path) -> None:
    @observed("search", recorder)
    def search() -> None:
        raise ValueError("no index")

    with pytest.raises(ValueError, match="no index"):
        search()
    (op,) = ops(tmp_path)
    assert (op["success"], op["error"]) == (False, "ValueError: no index")
    assert op["output_summary"] == "ERROR: ValueError: no index"


def test_a_returned_error_is_a_failure(recorder: Recorder, tmp_path: Path) -> None:
    for error in ("not found", {"code": 404}, None, False, ""):
        observed("search", recorder)(lambda error=error: {"error": error, "rows": []})()
    found = ops(tmp_path)
    assert [op["success"] for op in found] == [False, False, True, True, True]
    assert [op.get("error") for op in found] == ["not found", '{"code":404}', None, None, None]
    assert found[0]["output_summary"] == "ERROR: not found"


def test_a_block_is_an_operation(recorder: Recorder, tmp_path: Path) -> None:
    with observed("search", recorder, input_summary="blue") as call:
        call.result = {"answer": "42"}
    with pytest.raises(KeyError), observed("search", recorder):
        raise KeyError("x")
    first, second = ops(tmp_path)
    assert (first["input_summary"], first["output_summary"]) == ("blue", "answer: 42")
    assert second["success"] is False


def test_async_functions_and_blocks_are_operations_too(recorder: Recorder, tmp_path: Path) -> None:
    @observed("fetch", recorder)
    async def fetch(name: str) -> list[str]:
        await asyncio.sleep(0)
        if name == "bad":
            raise OSError("gone")
        return [name]

    async def everything() -> list[Any]:
        async with observed("block", recorder) as call:
            call.result = {"sources": ["a", "b"]}
        return await asyncio.gather(*map(fetch, ["x", "y", "bad"]), return_exceptions=True)

    assert inspect.iscoroutinefunction(fetch)
    results = asyncio.run(everything())
    assert results[:2] == [["x"], ["y"]]
    assert isinstance(results[2], OSError)
    assert sorted((op["endpoint"], op["success"]) for op in ops(tmp_path)) == [
        ("block", True),
        ("fetch", False),
        ("fetch", True),
        ("fetch", True),
    ]


def test_a_cancelled_call_is_a_failure(recorder: Recorder, tmp_path: Path) -> None:
    started = asyncio.Event()

    @observed("wait", recorder)
    async def wait() -> None:
        started.set()
        await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.create_task(wait())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    (op,) = ops(tmp_path)
    assert (op["success"], op["error"]) == (False, "CancelledError")


def test_calls_of_one_function_at_once_are_operations_of_their_own(recorder: Recorder, tmp_path: Path) -> None:
    """State of a call on the decorator would mix up two calls that overlap, as recursion does."""

    @observed("count", recorder)
    def count(number: int) -> int:
        return number if number == 0 else count(number - 1) + 1

    assert count(2) == 2
    assert [op["input_summary"] for op in ops(tmp_path)] == ["number=0", "number=1", "number=2"]


@pytest.mark.parametrize(
    ("result", "summary"),
    [
        ({"sql_matches": [1, 2], "vector_reranked": 5}, "hybrid: 2 sql → 5 results"),
        ({"sql_matches": 3}, "hybrid: 3 sql → 0 results"),
        ({"vector_reranked": [1], "rows": [1]}, "hybrid: 0 sql → 1 results"),
        ({"rows": [1, 2, 3]}, "3 rows"),
        ({"rows": 7}, "7 rows"),
        ({"rows": 7.0}, "7 rows"),
        ({"rows": frozenset([1, 2])}, "2 rows"),
        ({"rows": {1: 2}.values()}, "1 rows"),
        ({"rows": range(5)}, "5 rows"),
        ({"rows": True}, "0 rows"),
        ({"rows": 7.9}, "0 rows"),
        ({"rows": float("nan")}, "0 rows"),
        ({"rows": float("inf")}, "0 rows"),
        ({"rows": "abc"}, "0 rows"),
        ({"rows": None}, "0 rows"),
        ({"answer": 42}, "answer: 42"),
        ({"answer": "x" * 100}, "answer: " + "x" * 80),
        ({"sources": ["a"]}, "1 sources"),
        ({"other": 1}, '{"other":1}'),
        ({"other": "x" * 200}, '{"other":"' + "x" * 90),
        ([1, 2], "[1,2]"),
        ("text", '"text"'),
        (None, "null"),
        ({1, 2}, '"{1, 2}"'),
    ],
)
def test_results_are_summed_up_in_one_line(result: Any, summary: str) -> None:
    assert summarise_output(result, {}) == summary


def test_a_result_that_cannot_be_written_breaks_nothing(recorder: Recorder, tmp_path: Path) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

    cycle: list[Any] = []
    cycle.append(cycle)
    same: Any = observed("x", recorder)(lambda value: value)
    for result in (Broken(), cycle, {("a", "b"): 1}):
        assert same(result) is result
    assert [op["success"] for op in ops(tmp_path)] == [True] * 3


class Broken:
    """A value that fails whenever somebody looks at it."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    def __len__(self) -> int:
        raise RuntimeError("no")


class BrokenMapping(dict[str, Any]):
    """A mapping that fails whenever somebody looks at it."""

    def get(self, *_: Any) -> Any:
        raise RuntimeError("no")

    def items(self) -> Any:
        raise RuntimeError("no")


class Unsayable(Exception):
    """An error that cannot say what is wrong."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def fail(error: BaseException) -> None:
    raise error


def test_a_result_is_returned_whatever_it_does(recorder: Recorder, tmp_path: Path) -> None:
    broken = Broken()
    odd = [broken, BrokenMapping(a=1), *({key: broken} for key in ("rows", "answer", "x", broken)), 10**5000]
    for result in odd:
        assert observed("x", recorder)(lambda value: value)(result) is result
    assert [op["success"] for op in ops(tmp_path)] == [True] * len(odd)


def test_an_error_without_a_truth_of_its_own_is_one(recorder: Recorder, tmp_path: Path) -> None:
    result = {"error": Broken()}
    assert observed("x", recorder)(lambda: result)() is result
    assert ops(tmp_path)[0]["success"] is False


def test_an_error_that_cannot_say_itself_is_raised_on(recorder: Recorder, tmp_path: Path) -> None:
    with pytest.raises(Unsayable):
        observed("x", recorder)(fail)(Unsayable())
    assert ops(tmp_path)[0]["error"].startswith("Unsayable")


def test_what_was_measured_is_not_overwritten(recorder: Recorder, tmp_path: Path) -> None:
    assert observed("x", recorder, success=True, duration_ms=-5, error="none")(lambda: {"error": "gone"})()
    (op,) = ops(tmp_path)
    assert op["success"] is False
    assert op["duration_ms"] >= 0


def test_a_recorder_that_fails_changes_nothing_of_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    strict = Recorder(tmp_path / "file", strict=True)
    assert observed("x", strict)(lambda: 5)() == 5
    with pytest.raises(ValueError, match="mine"):
        observed("x", strict)(fail)(ValueError("mine"))
    assert strict.stats().not_accepted == 2
    monkeypatch.setenv("OPLAKE_SEGMENT_BYTES", "-1")
    observe._default.cache_clear()
    assert observed("endpoint-7")(lambda: 5)() == 5
    assert "a call of endpoint-7 was not recorded" in caplog.text


def test_a_coroutine_that_is_closed_while_it_waits_is_recorded(recorder: Recorder, tmp_path: Path) -> None:
    """To await anything behind its end fails with `coroutine ignored GeneratorExit`."""

    @observed("wait", recorder)
    async def wait() -> None:
        await asyncio.sleep(100)

    async def close() -> None:
        waiting: Any = wait()
        waiting.send(None)
        waiting.close()

    asyncio.run(close())
    assert [op["error"] for op in ops(tmp_path)] == ["GeneratorExit"]


def test_an_async_call_needs_no_thread_that_waits_for_it(recorder: Recorder) -> None:
    """Landed in the loop's own pool, it would wait for a thread while all of them wait for it."""

    @observed("api", recorder)
    async def api() -> int:
        return 1

    async def everything() -> list[int]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(2))

        def tool() -> int:
            return asyncio.run_coroutine_threadsafe(api(), loop).result(10)

        return await asyncio.gather(asyncio.to_thread(tool), asyncio.to_thread(tool))

    assert asyncio.run(everything()) == [1, 1]


def test_a_block_that_is_used_again_begins_anew(recorder: Recorder, tmp_path: Path) -> None:
    call = observed("x", recorder)
    with call:
        call.result = {"rows": [1, 2]}
    with call:
        pass
    assert [op["output_summary"] for op in ops(tmp_path)] == ["2 rows", "null"]


def test_whatever_can_be_called_can_be_observed(recorder: Recorder, tmp_path: Path) -> None:
    class Fetch:
        async def __call__(self, name: str) -> str:
            return name

    async def fetch(name: str) -> str:
        return name

    assert asyncio.run(observed("x", recorder)(Fetch())("a")) == "a"
    assert asyncio.run(observed("x", recorder)(functools.partial(fetch, "b"))()) == "b"
    assert observed("x", recorder)(dict)(a=1) == {"a": 1}
    assert observed("x", recorder)(max)(1, 2) == 2
    found = ops(tmp_path)
    assert [op["output_summary"] for op in found] == ['"a"', '"b"', '{"a":1}', "2"]
    assert found[0]["input_summary"] == 'name="a"'
    assert "1" in found[2]["input_summary"]
    assert "1" in found[3]["input_summary"]


GITHUB = "ghp_" + "a1B2" * 9
DATABASE = "postgres://admin:S3cretPassw0rdThatIsLongEnough1234567890@db.example.com/x"


@pytest.mark.parametrize(("secret", "half"), [(GITHUB, "ghp_"), (DATABASE, "S3cretPass")])
@pytest.mark.parametrize("length", [30, 45, 60, 75, 90, 165, 180, 195])
def test_no_half_of_a_secret_is_left_at_a_cut(
    recorder: Recorder, tmp_path: Path, secret: str, half: str, length: int
) -> None:
    """Cut first and redacted then, a secret that lies across the cut no longer looks like one."""
    text = "x" * length + " " + secret
    for result in (text, {"answer": text}, {"answer": [text]}, {"error": {"why": text}}, {"error": text}, [text]):
        observed("x", recorder)(lambda _, result=result: result)(text)
    for op in ops(tmp_path):
        told = json.dumps([op["input_summary"], op["output_summary"], op.get("error")])
        assert half not in told
        assert op["redactions"]


def test_an_argument_that_its_name_makes_a_secret_is_out_though_it_is_cut(recorder: Recorder, tmp_path: Path) -> None:
    observed("x", recorder)(lambda password, limit: None)("correct-horse-7" * 100, 2)
    (op,) = ops(tmp_path)
    assert op["input_summary"] == 'password="[redacted:password]", limit=2'
    assert op["redactions"] == {"password": 1}


def test_a_large_result_is_not_written_out_to_show_its_beginning() -> None:
    class Endless(list[int]):
        def __iter__(self) -> Iterator[int]:
            number = 0
            while True:
                number += 1
                assert number < 1000
                yield number

    assert summarise_output(Endless([1]), {}).startswith("[1,2,3,")


def test_a_wrong_call_fails_as_it_would_and_is_recorded(recorder: Recorder, tmp_path: Path) -> None:
    function: Any = observed("x", recorder)(lambda value: value)
    with pytest.raises(TypeError):
        function(1, 2, 3)
    assert ops(tmp_path)[0]["success"] is False


def test_generators_are_refused_where_they_are_decorated(recorder: Recorder) -> None:
    def generate() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="generator"):
        observed("x", recorder)(generate)


def test_methods_do_not_show_themselves(recorder: Recorder, tmp_path: Path) -> None:
    class Tool:
        @observed("tool", recorder)
        def run(self, password: str) -> str:
            return "done"

    assert Tool().run("hunter2") == "done"
    assert ops(tmp_path)[0]["input_summary"] == 'password="[redacted:password]"'


def test_without_a_recorder_that_of_the_environment_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPLAKE_HOME", str(tmp_path))
    observe._default.cache_clear()
    observed("x")(lambda: 1)()
    observe._default.cache_clear()
    assert len(ops(tmp_path)) == 1
