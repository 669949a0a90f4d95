"""What can go wrong with playbooks as they are served and shown."""

from __future__ import annotations


class PlaybookError(Exception):
    """A playbook cannot be read, shown or written; the message says why and what to do."""
