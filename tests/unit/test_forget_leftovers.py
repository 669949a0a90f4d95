"""What queries of dead processes left in the home goes with a person; what a query under way spills to stays."""

from __future__ import annotations

from pathlib import Path

from oplake.lake.forget import find, other_homes
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


def test_another_home_within_this_one_is_told_from_what_is_our_own(settings: Settings) -> None:
    """`oplake forget` rewrites text files of its home: in another one it would cut what offsets and checksums count."""
    inner = [settings.home / "tau", settings.home / "mine" / "old", settings.home / "tau-lake-only"]
    ours = ["lake/lake/arrivals", "landing/archive", ".rebuilding/lake/landed", ".expiring/lake", "dagster/a/lake"]
    for folder in [inner[0] / "landing", inner[1] / "landing", inner[2] / "lake", *(settings.home / n for n in ours)]:
        folder.mkdir(parents=True)
    (inner[0] / "innermost" / "lake").mkdir(parents=True)
    assert other_homes(settings) == sorted(inner)
