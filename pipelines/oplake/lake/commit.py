"""What a commit to a table of the lake says of itself, and how that is spelt in the Delta log.

Every commit of ours carries which days it touched and with how many rows; one by a model also what it was made from.
So the record of what happened is part of what happened: no crash can come between them. This is the only place that
knows the keys. Commits of upkeep (compaction, vacuum, changed descriptions) carry none, and touch nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from oplake.lake.errors import LakeError

_OPERATION = "oplake.operation"
_DAYS = "oplake.days"
_IS_WHOLE = "oplake.is_whole"
_CODE_VERSION = "oplake.code_version"
_INPUTS = "oplake.inputs"
_WATERMARK = "oplake.watermark"

_INPUTS_OF = msgspec.json.Decoder(dict[str, int])  # there are thousands to read in every run

APPEND, REPLACE, REMOVE, UNKNOWN = "append", "replace", "remove", "unknown"


@dataclass(frozen=True)
class Commit:
    """One commit that touched rows of a table.

    `days` has the rows that each touched day got: what an append added, what a replacement left, 0 included. It is
    empty for tables without days. `is_whole` says that the commit stands for every day, listed or not: it replaced the
    whole table, or the table has no days, or (operation `unknown`) its log was cleaned before anyone read it.

    A commit `remove` left what is not to be kept any longer out. To the ledger nothing happened: what was made of those
    rows stays as it is.
    """

    table: str
    version: int
    committed_at: datetime
    operation: str
    days: Mapping[date, int] = field(default_factory=dict)
    is_whole: bool = False
    row_count: int = 0
    code_version: str | None = None
    inputs: Mapping[str, int] = field(default_factory=dict)
    watermark: datetime | None = None


def facts(operation: str, days: Mapping[date, int], *, row_count: int, is_whole: bool) -> dict[str, str]:
    """What every commit says: the metadata that the lake itself adds."""
    rows = {day.isoformat(): days[day] for day in sorted(days)}
    return {
        _OPERATION: operation,
        _DAYS: json.dumps(rows),
        _IS_WHOLE: json.dumps({"is_whole": is_whole, "row_count": row_count}),
    }


def provenance(*, code_version: str, inputs: Mapping[str, int], watermark: datetime | None) -> dict[str, str]:
    """What a model's commit says besides: the metadata to hand to `Lake.replace`.

    Args:
        code_version: Hash of the model's SQL.
        inputs: The version read of each table.
        watermark: Nothing received before it was missing from what was read.
    """
    said = {_CODE_VERSION: code_version, _INPUTS: inputs_text(inputs)}
    return said if watermark is None else {**said, _WATERMARK: watermark.astimezone(UTC).isoformat()}


def inputs_text(inputs: Mapping[str, int]) -> str:
    """Versions read, as JSON with sorted keys."""
    return json.dumps(dict(sorted(inputs.items())))


def inputs_of(text: str | None) -> dict[str, int]:
    """The inverse of `inputs_text`."""
    return _INPUTS_OF.decode(text or "{}")


def read_commit(table: str, version: int, info: Mapping[str, Any]) -> Commit | None:
    """The commit that a `commitInfo` of the log describes; None when it is none of ours, and so touched no row.

    Raises:
        LakeError: It looks like ours but cannot be understood.
    """
    if _OPERATION not in info:
        return None
    try:
        whole = json.loads(info[_IS_WHOLE])
        watermark = info.get(_WATERMARK)
        return Commit(
            table=table,
            version=version,
            committed_at=datetime.fromtimestamp(info["timestamp"] / 1000, UTC),
            operation=info[_OPERATION],
            days={date.fromisoformat(day): int(count) for day, count in json.loads(info[_DAYS]).items()},
            is_whole=bool(whole["is_whole"]),
            row_count=int(whole["row_count"]),
            code_version=info.get(_CODE_VERSION),
            inputs=inputs_of(info.get(_INPUTS)),
            watermark=None if watermark is None else datetime.fromisoformat(watermark),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LakeError(
            f"{table}: version {version} of its log cannot be understood: {error!r}; run `oplake rebuild`"
        ) from error
