"""What can go wrong with the receiver: it cannot start, or it refuses a request."""

from __future__ import annotations

from collections.abc import Mapping


class ReceiverError(Exception):
    """The receiver cannot start; the message says why and what to do."""


class Refused(Exception):
    """A request is not taken; nothing of it was acknowledged. It is answered with `status` and the message."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


def busy(message: str, *, after_seconds: int = 1) -> Refused:
    """503: it may be sent again, not before so many seconds."""
    return Refused(503, message, {"retry-after": str(after_seconds)})
