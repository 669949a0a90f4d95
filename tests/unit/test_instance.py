"""How Dagster's own records of a home are opened."""

from __future__ import annotations

from pathlib import Path

import yaml

from oplake.orchestration.instance import CONFIG, prepare
from oplake.settings import Settings


def test_every_character_of_a_home_comes_through_yaml(tmp_path: Path) -> None:
    """JSON's escapes of what lies beyond 16 bits are halves of a character to YAML, and no path at all."""
    folder = prepare(Settings(home=tmp_path / '𝄞 "é'))
    written = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    assert str(folder) in str(written)
