"""What transcripts hold, counted while they are read. How it is shown is not in here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass
class ToolUse:
    """What was done with one tool."""

    calls: int = 0
    failures: int = 0


class Tokens(NamedTuple):
    """The tokens of a turn; what was read from and written to the cache is part of the input."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int  # of cache_write: what is kept for an hour


@dataclass
class ModelUse:
    """What one model did on one day."""

    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    charged_usd: float = 0.0
    uncharged: list[Tokens] = field(default_factory=list)  # turns to be priced


@dataclass
class History:
    """What transcripts hold, counted while they are read."""

    sessions: set[str] = field(default_factory=set)
    agents: set[tuple[str, str]] = field(default_factory=set)  # sub-agents that answered, with their session
    turns: int = 0
    prompts: int = 0  # turns that answer a user, not a tool
    models: dict[tuple[str, str, str], ModelUse] = field(default_factory=dict)  # provider, model, day
    tools: dict[str, ToolUse] = field(default_factory=dict)
    edited: Counter[str] = field(default_factory=Counter)  # patches by file
    projects: Counter[str] = field(default_factory=Counter)  # turns by project
    events: Counter[str] = field(default_factory=Counter)  # session events by type
    not_taken: Counter[str] = field(default_factory=Counter)  # lines of types that are known, but not taken
    unknown: Counter[str] = field(default_factory=Counter)  # lines of types that are not known
    repeated: int = 0  # lines that another file had before
    unfinished: int = 0  # answers, calls and lines left to the next import
    unreadable: dict[str, str] = field(default_factory=dict)  # files that could not be read, and why
