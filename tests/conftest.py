"""Fixtures that many tests share: a home of their own, its settings and its lake, and how the command is run."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from playwright.sync_api import Browser, sync_playwright

from oplake.lake.tables import Lake
from oplake.orchestration.work import KEPT, our_models
from oplake.settings import Settings

RunOplake = Callable[..., subprocess.CompletedProcess[str]]

# The same examples in every run: a change is judged by what it changes. `make explore` looks for new ones.
hypothesis_settings.register_profile("repeatable", derandomize=True, database=None)
hypothesis_settings.register_profile("explore", print_blob=True)
hypothesis_settings.load_profile("repeatable")

COMMAND_SECONDS = 500  # a command that takes longer hangs, however busy the machine is
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty OPLAKE_HOME, also for the processes that a test starts."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("OPLAKE_HOME", str(folder))
    return folder


@pytest.fixture
def settings(home: Path) -> Settings:
    """Settings whose state is in `home`."""
    return Settings(home=home)


@pytest.fixture
def lake(settings: Settings) -> Lake:
    """The empty lake of `home`."""
    return Lake(settings.lake)


@pytest.fixture(scope="session")
def models_home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home in which nothing is but the models as they were read, once for all processes."""
    with _shared(tmp_path_factory, "models") as (folder, is_made):
        settings = Settings(home=folder)
        if not is_made:
            folder.mkdir()
            our_models(settings)
    return settings


@pytest.fixture(scope="session")
def oplake(models_home: Settings) -> RunOplake:
    """Run the command in a process of its own, as a person would: `oplake(home, "run")`. Any exit code returns.

    A home that is there gets the models as they were read, which would take each command's first run three seconds.
    """

    def run(home: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        kept = Settings(home=home).dagster_home / KEPT
        if os.access(home, os.W_OK) and not kept.exists():
            shutil.copytree(models_home.dagster_home / KEPT, kept)
        options = {"env": {**os.environ, "OPLAKE_HOME": str(home)}, "timeout": COMMAND_SECONDS} | options
        command = [sys.executable, "-m", "oplake", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)

    return run


@pytest.fixture(scope="session")
def worked_home(tmp_path_factory: pytest.TempPathFactory, oplake: RunOplake) -> Path:
    """A home with two simulated days of work, ingested and computed, made once for all processes. For looking only."""
    with _shared(tmp_path_factory, "worked") as (folder, is_made):
        if not is_made:
            for arguments in (["simulate", "--days", "2", "--rate", "40"], ["run"]):
                done = oplake(folder, *arguments)
                assert done.returncode == 0, done.stderr
    return folder


@contextmanager
def _shared(factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """A folder that all processes of a run of the tests share, and whether one of them has made it; the others wait."""
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    made = shared / f"{name}.made"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield shared / name, made.exists()
        made.touch()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser of this machine, without a window; where there is none, the test skips."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on this machine; Debian's package `chromium` has it")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield started
        started.close()
