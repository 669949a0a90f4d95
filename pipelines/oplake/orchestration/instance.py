"""Dagster's own records of a home: where they are, and how they are opened.

`dagster.yaml` of the checkout (or its copy in the wheel) is the one place that says how Dagster behaves; here the
folder of the home is put into it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import dagster as dg
from dagster._utils.warnings import disable_dagster_warnings

from oplake import settings as settings_module
from oplake.settings import Settings

CONFIG = "dagster.yaml"
_BASE_DIR = re.compile(r"^( +base_dir: ).*$", re.MULTILINE)


def prepare(settings: Settings) -> Path:
    """Make the folder of Dagster's records with its `dagster.yaml`; returns the folder, which is DAGSTER_HOME.

    The file is written anew when it says anything else, so that a moved home and a new version both work.
    """
    home = settings.dagster_home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    text = "# Written by oplake from its own dagster.yaml; changes made here are lost.\n" + _BASE_DIR.sub(
        lambda match: match[1] + json.dumps(str(home), ensure_ascii=False), _template()
    )
    target = home / CONFIG
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        part = target.with_name(f"{CONFIG}.{os.getpid()}")
        part.write_text(text, encoding="utf-8")
        part.replace(target)
    return home


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Dagster's records of the home, the same that the UI shows."""
    home = prepare(settings)
    with disable_dagster_warnings():
        instance = dg.DagsterInstance.from_config(str(home))
    with instance:
        yield instance


def _template() -> str:
    if settings_module.is_checkout():
        return (settings_module.CHECKOUT / CONFIG).read_text(encoding="utf-8")
    return files("oplake").joinpath(CONFIG).read_text(encoding="utf-8")
