"""What can go wrong in orchestration, in words that say what to do."""

from __future__ import annotations


class OrchestrationError(Exception):
    """Something cannot be run, or the UI cannot be started, as asked."""
