"""The notebook answers its questions while a run is writing, and is kept without outputs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from oplake.settings import CHECKOUT

NOTEBOOK = CHECKOUT / "notebooks" / "explore.ipynb"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's own packages


def test_the_notebook_is_kept_without_outputs() -> None:
    """Outputs would put a run's data into git, and make every look at the notebook a change."""
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert not [cell for cell in cells if cell.outputs or cell.execution_count is not None]


@pytest.mark.slow
def test_the_notebook_answers_while_a_run_is_writing(
    worked_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that waited for the writer, or met half of its files, would make notebooks useless during runs.

    Between any two cells the run writes more tables, one of attribution among them, and in every cell it is in the
    midst of its work.
    """
    home = tmp_path / "home"
    shutil.copytree(worked_home, home)
    monkeypatch.setenv("OPLAKE_HOME", str(home))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    written: list[str] = []
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", A_RUN_THAT_WAITS], stdin=pipe, stdout=pipe, text=True) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        begun = run.stdout.readline()

        def write_more(**_: object) -> None:
            nonlocal begun
            is_enough = False
            while begun and not is_enough:
                print(file=run.stdin, flush=True)
                written.append(begun.strip())
                is_enough = begun.startswith("attribution.")
                begun = run.stdout.readline()  # type: ignore[union-attr]

        NotebookClient(notebook, timeout=120, kernel_name="python3", on_cell_executed=write_more).execute()
        assert run.poll() is None
        run.stdin.close()
        assert run.wait(timeout=120) == 0
    assert "attribution.steps" in written
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    charts = [output for output in outputs if "vega-lite" in output.data.get("text/html", "")]
    assert len(charts) == 3


A_RUN_THAT_WAITS = """
import sys
from datetime import UTC, datetime
from oplake.orchestration.run import run
from oplake.settings import Settings

def wait(step):
    print(step.table, flush=True)
    sys.stdin.readline()

assert run(Settings(), now=datetime.now(UTC), everything=True, watch=wait).is_success
"""
