"""The notebook answers its questions while a run is writing, and is kept without outputs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from oplake.lake.tables import Lake
from oplake.settings import CHECKOUT

NOTEBOOK = CHECKOUT / "notebooks" / "explore.ipynb"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's own packages


def test_the_notebook_is_kept_without_outputs() -> None:
    """Outputs would put a run's data into git, and make every look at the notebook a change."""
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert not [cell for cell in cells if cell.outputs or cell.execution_count is not None]


@pytest.mark.slow
def test_the_notebook_answers_while_runs_are_writing(
    worked_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that waited for the writer, or met half of its files, would make notebooks useless during runs."""
    home = tmp_path / "home"
    shutil.copytree(worked_home, home)
    monkeypatch.setenv("OPLAKE_HOME", str(home))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    command = [sys.executable, "-c", RUN_AGAIN_AND_AGAIN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runs:
        assert runs.stdin is not None
        assert runs.stdout is not None
        assert runs.stdout.readline() == "ran\n"
        before = _commits(home)
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
        assert _commits(home) > before, "no run wrote meanwhile, so nothing was shown"
        runs.stdin.close()
        assert runs.wait(timeout=120) == 0
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    charts = [output for output in outputs if any(key.startswith("application/vnd.vega") for key in output.data)]
    assert len(charts) == 3


RUN_AGAIN_AND_AGAIN = """
import select, sys
from datetime import UTC, datetime
from oplake.orchestration.run import run
from oplake.lake.tables import Lake
from oplake.settings import Settings

while not select.select([sys.stdin], [], [], 0)[0]:
    report = run(Settings(), now=datetime.now(UTC), everything=True)
    assert report.is_success, report.failures
    print("ran", flush=True)
"""


def _commits(home: Path) -> int:
    lake = Lake(home / "lake")
    return sum(lake.version(name) for name in lake.names())
