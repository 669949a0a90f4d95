"""The receiver does what its OpenAPI document says: schemathesis makes requests of the document and finds nothing."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.receiving import Receiver, receiving

from oplake.receiver.app import build_app
from oplake.receiver.openapi import document
from oplake.settings import CHECKOUT, Settings

pytestmark = pytest.mark.slow

TOKEN = "a-long-random-text"
EXAMPLES = 50  # a path and phase; the suite is not where a rare case is looked for
SEED = 7


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with receiving(Settings(home=tmp_path_factory.mktemp("openapi"), token=SecretStr(TOKEN))) as up:
        yield up


def _hold(receiver: Receiver, told: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Lets schemathesis hold a receiver to a document, given by its address or file."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", told, "--url", receiver.url]
    command += ["-H", f"Authorization: Bearer {TOKEN}", "--mode", "all", "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", str(EXAMPLES), "--seed", str(SEED), *options]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.end_to_end.schemathesis_hooks", "PYTHONPATH": f"{CHECKOUT}"}
    return subprocess.run(command, cwd=folder, env={**os.environ, **hooks}, capture_output=True, text=True, check=False)


def test_schemathesis_finds_nothing(receiver: Receiver, tmp_path: Path) -> None:
    done = _hold(receiver, f"{receiver.url}/openapi.json", tmp_path)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert f"Tested: {len(document()['paths']) - 1}" in done.stdout, "all but the document's own"


def test_negative_control_a_document_that_says_less_than_is_true_is_found_out(
    receiver: Receiver, tmp_path: Path
) -> None:
    wrong = copy.deepcopy(document())
    wrong["paths"] = {"/event": wrong["paths"]["/event"]}
    del wrong["paths"]["/event"]["post"]["responses"]["200"]
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    done = _hold(receiver, str(tmp_path / "wrong.json"), tmp_path)
    assert done.returncode == 1
    assert "Undocumented status code" in done.stdout


def test_the_document_has_every_path(tmp_path: Path) -> None:
    app = build_app(Settings(home=tmp_path))
    found = {
        (route.path.replace(":any", ""), method.lower()) for route in app.routes for method in route.methods - {"HEAD"}
    }  # type: ignore[attr-defined]
    told = {(path, method) for path, methods in document()["paths"].items() for method in methods}
    assert found == told


def test_without_a_token_the_document_asks_for_none(tmp_path: Path) -> None:
    with receiving(Settings(home=tmp_path)) as up:
        paths = up.ask("GET", "/openapi.json").json["paths"]
    assert not any(operation["security"] for path in paths.values() for operation in path.values())
