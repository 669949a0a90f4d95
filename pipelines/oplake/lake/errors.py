"""What can go wrong in the lake, in words that say what to do."""

from __future__ import annotations


class LakeError(Exception):
    """The lake refused, or could not do, what was asked. The message names the table and the way out."""


class TableMissing(LakeError):
    """There is no such table."""


class LogBroken(LakeError):
    """The log of a table cannot be read, and so neither can the table."""

    def __init__(self, name: str, error: Exception) -> None:
        # delta-rs lets a backtrace of its own follow, line by line
        reason = str(error).partition("\n")[0]
        super().__init__(f"{name}: its log cannot be read: {reason}; run `oplake rebuild`")


class FilesBroken(LakeError):
    """A file of a table is gone or damaged, and so the table cannot be read."""

    def __init__(self, name: str, error: Exception, *, is_past: bool) -> None:
        # DuckDB lets the query follow, of which the files are the most
        reason = str(error).partition("\n")[0]
        way_out = "ask of a time within OPLAKE_VACUUM_AFTER" if is_past else "run `oplake rebuild`"
        super().__init__(f"{name}: its files cannot be read: {reason}; {way_out}")


class SchemaChanged(LakeError):
    """A table stands with columns that its new description cannot be reached from by adding columns."""


class BadRows(LakeError):
    """Rows that do not fit the table or the range being replaced; nothing was written."""


class Overtaken(LakeError):
    """Another writer has already committed the same application transaction, or a later one; nothing was written."""


class LakeBusy(LakeError):
    """Other writers kept committing first until patience ran out; nothing was written."""


class VersionMissing(LakeError):
    """The version or moment asked for is not kept any more, or never was."""
