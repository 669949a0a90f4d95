"""The README's commands run as they are written, in a fresh copy of the project, and answer what it says they answer.

The copy's `.venv` takes the locked packages from the environment that runs the tests, by a `.pth` file and make's own
stamp, so that only the project itself is installed. Everything after that is what a new user would see.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from oplake.lake.catalog import connect
from oplake.reference.questions import answer, read_questions
from oplake.settings import CHECKOUT, Settings

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("readme")]

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TAU_BENCH = "gpt-4o-airline.json"
DEMO_SECONDS = 90  # of the demo after the installation; of CPU here, since other tests run beside it
COMMAND_SECONDS = 500  # a command that takes longer hangs, however busy the machine is


class Block(NamedTuple):
    """A command block with the answer that the README gives to it, if any."""

    command: str
    answer: str | None


WAYS_IN = "## Send your agents' work in\n"
BEFORE, _, REST = README.partition(WAYS_IN)
WAYS, _, AFTER = REST.partition("\n## ")
RECEIVER = "127.0.0.1:4318"


def _blocks(page: str = BEFORE + AFTER) -> list[Block]:
    """The commands of a part of the page; by default of all but the ways in, which want a receiver beside them."""
    found = BLOCK.findall(page)
    return [
        Block(text, found[index + 1][1] if index + 1 < len(found) and found[index + 1][0] == "text" else None)
        for index, (language, text) in enumerate(found)
        if language == "sh"
    ]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's files as git would give them, and a `.venv` that has the locked packages but not the project."""
    folder = tmp_path_factory.mktemp("readme") / "oplake"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, folder / name)
    venv.create(folder / ".venv", symlinks=True, with_pip=True)
    (packages,) = (folder / ".venv").glob("lib/python*/site-packages")
    (packages / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (folder / ".venv" / ".locked").touch()
    return folder


@pytest.fixture
def environment(clone: Path) -> Mapping[str, str]:
    """A shell of a new user, as after `source .venv/bin/activate`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPLAKE_", "DAGSTER_", "MAKE"))}
    return kept | {"PATH": f"{clone / '.venv' / 'bin'}:{os.environ['PATH']}"}


def _run(command: str, clone: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def _cpu_seconds() -> float:
    """Of all processes that were started here and have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _plain(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_the_commands_of_the_readme_do_what_it_says(clone: Path, environment: Mapping[str, str]) -> None:
    """From `make demo` on, in the order of the page. Blocks that need a file of tau-bench have their own test."""
    for block in _blocks():
        if TAU_BENCH in block.command:
            continue
        before = _cpu_seconds()
        printed = _run(block.command, clone, environment)
        if block.command == "make demo\n":
            assert _cpu_seconds() - before < DEMO_SECONDS
        if block.answer is not None:
            assert _plain(printed) == _plain(block.answer)


def test_a_second_demo_is_quick_and_adds_no_row(clone: Path, environment: Mapping[str, str]) -> None:
    count = "oplake sql -f csv 'SELECT table_name, max(version), count(*) FROM lake.arrivals GROUP BY ALL ORDER BY ALL'"
    _run("make demo", clone, environment)
    before = _run(count, clone, environment)
    assert "attribution.step_credits" in before
    _run("make demo", clone, environment)
    assert _run(count, clone, environment) == before


def test_a_file_of_tau_bench_is_scored_in_three_commands(clone: Path, environment: Mapping[str, str]) -> None:
    """The real file, where it is at hand; it is not ours to ship."""
    found = [path for path in (CHECKOUT.parent / "shared" / "data" / "tau-bench" / TAU_BENCH,) if path.exists()]
    if not found:
        pytest.skip(f"{TAU_BENCH} is not beside the checkout")
    _run("make install", clone, environment)
    shutil.copy2(found[0], clone / TAU_BENCH)
    (block,) = (block for block in _blocks() if TAU_BENCH in block.command)
    assert block.answer is not None
    assert _plain(_run(block.command, clone, environment)) == _plain(block.answer)


def test_every_way_in_leads_to_the_tables(clone: Path, environment: Mapping[str, str]) -> None:
    """Each example as it stands, in the order of the page, with the receiver that it tells to start, on a free port."""
    _run("make install", clone, environment)
    environment = {**environment, "OPLAKE_HOME": str(clone / "data" / "ways")}
    languages = [language for language, _ in BLOCK.findall(WAYS)]
    assert languages == ["python", "sh", "sh", "python", "sh", "sh", "text"]
    with _receiver(clone, environment) as address:
        for language, text in BLOCK.findall(WAYS):
            example = text.replace(RECEIVER, address)
            assert sum(bool(line.strip()) for line in text.splitlines()) < 10
            if language == "python":
                (clone / "agent.py").write_text(example)
                _run("python agent.py", clone, environment)
            elif language == "sh" and text != "oplake serve\n":
                printed = _run(example, clone, environment)
    (asked,) = (block for block in _blocks(WAYS) if block.answer is not None)
    assert "sessions.turns" in asked.command
    assert _plain(printed)[-4:] == _plain(str(asked.answer))
    counts = "SELECT status, step_count, observation_count FROM attribution.actions"
    assert _plain(_run(f"oplake sql -f csv '{counts}'", clone, environment))[1:] == ["completed,1,1"]
    corrected = _run("oplake sql -f csv 'SELECT correction FROM operations.correction_outcomes'", clone, environment)
    assert _plain(corrected)[1:] == ["Ask first."]


@contextmanager
def _receiver(clone: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """`oplake serve`, and its host and port."""
    command = [str(clone / ".venv" / "bin" / "oplake"), "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        assert run.stdout is not None
        said = run.stdout.readline()
        found = re.search(r"http://([0-9.]+:[0-9]+)", said)
        try:
            assert found is not None, said + run.stdout.read()
            yield found[1]
        finally:
            run.terminate()


def test_the_answers_in_docs_are_those_of_the_demo(clone: Path, environment: Mapping[str, str]) -> None:
    """`oplake docs --answers` writes them down; here they are asked again."""
    _run("make demo", clone, environment)
    wrong = []
    with connect(Settings(home=clone / "data")) as lake:
        for name, question in read_questions(CHECKOUT / "docs" / "questions").items():
            found = answer(lake, question)
            if found != question.answer:
                wrong.append(f"{name}: {found}")
    assert not wrong
