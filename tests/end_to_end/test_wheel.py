"""The built wheel, installed where nothing of the checkout can be seen.

The environment is new and takes from the one that runs the tests the packages that the wheel asks for, and those that
these ask for, through links; so what `pip install .` would fetch is not fetched again, and what only our tools bring is
not there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

from oplake import settings
from oplake.models.model import sql_folder

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]


class Installed(NamedTuple):
    """An environment that holds the wheel."""

    wheel: Path
    python: Path
    folder: Path  # where nothing of the checkout is

    def run(self, *command: str) -> str:
        """What a command of the environment prints, run far from the checkout."""
        done = subprocess.run(
            [str(self.python.with_name(command[0])), *command[1:]],
            cwd=self.folder,
            env={"OPLAKE_HOME": str(self.folder / "home"), "PATH": "/usr/bin:/bin", "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of the checkout in a new environment."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(settings.CHECKOUT)]
    subprocess.run(build, check=True, timeout=500)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    venv.create(environment, symlinks=True, with_pip=False)
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python*/site-packages")
    for needed in needed_by(PathDistribution(zipfile.Path(wheel, f"{'-'.join(wheel.name.split('-')[:2])}.dist-info/"))):
        for name in {file.parts[0] for file in needed.files or ()} - {"..", "__pycache__"}:
            if not (packages / name).exists():  # several packages may share a folder
                (packages / name).symlink_to(Path(str(needed.locate_file(name))))
    subprocess.run(
        [*pip, "--python", str(python), "install", "--no-deps", "--no-index", "--ignore-installed", str(wheel)],
        check=True,
        timeout=500,
    )
    return Installed(wheel, python, folder)


def needed_by(start: Distribution) -> Iterable[Distribution]:
    """What a package asks for, and what that asks for, as it is installed here."""
    found: dict[str, Distribution] = {}
    todo: list[tuple[Distribution, frozenset[str]]] = [(start, frozenset())]
    seen = set[tuple[str, frozenset[str]]]()
    while todo:
        asking, extras = todo.pop()
        for requirement in map(Requirement, asking.requires or ()):
            environments: list[dict[str, str]] = [{"extra": extra} for extra in extras or {""}]
            if requirement.marker and not any(map(requirement.marker.evaluate, environments)):
                continue
            wanted = (requirement.name, frozenset(requirement.extras))
            if wanted not in seen:
                seen.add(wanted)
                found[requirement.name] = distribution(requirement.name)
                todo.append((found[requirement.name], wanted[1]))
    return found.values()


def test_the_wheel_carries_all_that_it_needs_and_nothing_generic(installed: Installed) -> None:
    """`pipelines` and `assets` are source roots; as top-level packages they would collide with other people's."""
    names = zipfile.ZipFile(installed.wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"oplake", "oplake_assets"}
    checkout = {f"oplake/sql/{path.relative_to(sql_folder())}" for path in sql_folder().rglob("*.sql")}
    assert checkout <= set(names)
    assert {"oplake/dagster.yaml", "oplake/py.typed", "oplake_assets/py.typed"} <= set(names)


def test_an_installed_oplake_goes_from_events_to_credit(installed: Installed) -> None:
    where = installed.run("python", "-c", "import oplake; print(oplake.__file__)")
    assert str(installed.folder) in where
    installed.run("oplake", "simulate", "--days", "1", "--rate", "5")
    installed.run("oplake", "run")
    query = "SELECT count(DISTINCT action_id) AS actions, sum(credit) AS credit FROM attribution.step_credits"
    (row,) = json.loads(installed.run("oplake", "sql", query, "--format", "json"))
    assert row["actions"] > 0
    assert row["credit"] == pytest.approx(row["actions"])


def test_a_checkout_reads_its_own_sql_though_an_editable_install_copied_it(installed: Installed) -> None:
    """Reading the copy first would compute with models as they were on the day of the installation."""
    packaged = installed.run("python", "-c", "from oplake.models.model import sql_folder; print(sql_folder())")
    assert str(installed.folder) in packaged
    assert sql_folder() == settings.CHECKOUT / "sql"
