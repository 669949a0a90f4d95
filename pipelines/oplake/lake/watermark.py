"""The watermark: nothing received before it is missing from the landed tables.

It is kept in landing, so that a rebuild sees the same, and shown to models as the one row of `lake.watermark`.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa

from oplake.lake.durable_log import sync_folder
from oplake.lake.errors import LakeError
from oplake.lake.landed import WATERMARK
from oplake.lake.tables import Lake

FILE = "watermark.json"


class _Kept(msgspec.Struct):
    watermark: datetime


def read_watermark(landing: Path) -> datetime | None:
    """The watermark that landing keeps; None before the first ingest.

    Raises:
        LakeError: The file is damaged.
    """
    path = landing / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept).watermark.astimezone(UTC)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LakeError(f"{path} is damaged: {error}. Remove it; the next ingest writes a new one.") from error


def write_watermark(landing: Path, watermark: datetime) -> None:
    """Keeps the watermark, durably and at once."""
    landing.mkdir(parents=True, exist_ok=True)
    path = landing / FILE
    partial = path.with_suffix(".tmp")
    with partial.open("wb") as file:
        file.write(msgspec.json.encode(_Kept(watermark.astimezone(UTC))) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(landing)


def publish_watermark(lake: Lake, watermark: datetime) -> None:
    """Shows the watermark to models and readers."""
    row = pa.table({"watermark": pa.array([watermark], WATERMARK.column("watermark").type)})
    lake.replace(WATERMARK.name, lambda: row, start=None, stop=None)
