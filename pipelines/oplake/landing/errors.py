"""The errors of landing: what could not be taken in, and what could not be made durable."""

from __future__ import annotations

from pathlib import Path


class LandingError(Exception):
    """Something about landing went wrong; what was refused was not acknowledged and may be tried again."""


class DiskFull(LandingError):
    """There is no room for a batch; nothing of it was acknowledged."""

    def __init__(self, folder: Path, needed: int) -> None:
        super().__init__(
            f"disk full: {needed} bytes do not fit into {folder}; nothing of this batch was acknowledged. "
            "Free space there, or point OPLAKE_HOME at a larger disk, and try again."
        )
        self.folder = folder
        self.needed = needed


class OtlpError(LandingError):
    """The body of an OTLP request cannot be decoded; nothing of it was taken."""


class Unusable(LandingError):
    """An event that cannot be accepted; `reason` says why, in words that fit beside the event."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
