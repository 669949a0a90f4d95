"""Text that came from outside, in a prompt: fenced as data, and flagged where it looks like instructions.

Flags are a hint for people: the text is processed all the same. What protects is that nothing which a model says is
done but validated answers and read-only queries. Agents obey what a playbook says, so there a flag keeps a text out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any

FENCE_CHARS = 12  # of the hash that closes a fence; a text that holds its own hash cannot be written

_SOURCES = {
    "override": r"\b(ignore|disregard|forget|override)\b.{0,40}\b(instructions?|prompts?|rules|directions|above)\b",
    "new_role": r"\byou are now\b|\bact as (an?|the)\b|\bpretend (to be|you)\b|\bnew instructions\s*:",
    "role_marker": r"<\|[a-z_]+\|>|^[ \t]*(system|assistant|developer)\s*:|\[/?INST\]|</?(system|assistant)>",
    "prompt_leak": r"\b(reveal|print|repeat|show)\b.{0,40}\b(system prompt|your (prompt|instructions))\b",
    "fence_break": r"<<<\s*data\b|\b(data|end)\s*>>>|^end [0-9a-f]{6,}>>>",
    "tool_call": r'"(tool_calls|function_call)"\s*:|<tool_call>',
}
PATTERNS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {name: re.compile(source, re.IGNORECASE | re.DOTALL | re.MULTILINE) for name, source in _SOURCES.items()}
)
"""Structural patterns of texts that want to be obeyed, by the name of their flag."""


def injection_flags(text: str) -> list[str]:
    """The patterns that a text shows, in the order of `PATTERNS`."""
    return [name for name, pattern in PATTERNS.items() if pattern.search(text)]


def flags_of(facts: Any) -> tuple[str, ...]:
    """The patterns that any text among facts shows."""
    found = {flag for text in texts_of(facts) for flag in injection_flags(text)}
    return tuple(name for name in PATTERNS if name in found)


def fenced(text: Any, label: str = "data") -> str:
    """A text between marks that it cannot hold itself, with a label. The same text gives the same marks."""
    body = str(text)
    mark = sha256(body.encode()).hexdigest()[:FENCE_CHARS]
    return f"<<<data {mark} ({label})\n{body}\nend {mark}>>>"


def texts_of(value: Any) -> Iterator[str]:
    """Every text within facts, keys aside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from texts_of(each)
    elif isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
        for each in value:
            yield from texts_of(each)
