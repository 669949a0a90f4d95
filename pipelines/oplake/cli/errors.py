"""What a command raises when it cannot do what it was asked."""

from __future__ import annotations


class CommandError(Exception):
    """A command cannot do what it was asked; the message says why and what to do instead."""
