"""What queries of dead processes left in the home goes with a person; what a query under way spills to stays."""

from __future__ import annotations

from pathlib import Path

from oplake.lake.forget import find
from oplake.settings import Settings


def test_only_spilled_files_that_nobody_has_open_go(settings: Settings) -> None:
    """To take a folder from a query under way would break it off."""
    folders = [settings.home / name for name in ("tmp/duckdb-dead", "tmp/duckdb-live", ".spill-dead", "tmp/duckdb-new")]
    for folder in folders:
        folder.mkdir(parents=True)
    for folder in folders[:3]:
        (folder / "rows").write_text("what somebody said")
    with (folders[1] / "rows").open():
        find(settings, "u-ann")
    assert [folder.exists() for folder in folders] == [False, True, False, True]
    find(settings, "u-ann")
    assert not folders[1].exists()


def test_what_interrupted_work_left_goes(settings: Settings) -> None:
    left = [
        settings.home / ".forgetting" / "s.jsonl",
        settings.home / ".expiring" / "s.jsonl",
        settings.home / ".lake-ingest" / "lines" / "0.jsonl",
        settings.archive / "2026-01-05" / "s.jsonl.zst.tmp",
    ]
    for path in left:
        path.parent.mkdir(parents=True)
        path.write_text("what somebody said")
    find(settings, "u-ann")
    assert [path for path in left if path.exists()] == []
    assert Path(settings.archive / "2026-01-05").is_dir()
