"""The transcript: the messages of one piece of work, the only place where they are.

One assistant's turn is one message, with its text and its calls together. When it grows too long its older half gives
way to a digest; what holds evidence that was cited stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from oplake.synthesis.cites import cited
from oplake.synthesis.wire import Message, Said, count_tokens


@dataclass(frozen=True)
class _Entry:
    message: Message
    evidence: str = ""  # the id under which a claim cites it
    is_kept: bool = False  # whether it stays whatever is compressed


@dataclass
class Transcript:
    """Messages in their order. The first two, instructions and facts, never change."""

    system: str
    facts: str
    _entries: list[_Entry] = field(default_factory=list, init=False)

    @property
    def messages(self) -> tuple[Message, ...]:
        """What a model is sent."""
        head = ({"role": "system", "content": self.system}, {"role": "user", "content": self.facts})
        return (*head, *(entry.message for entry in self._entries))

    @property
    def tokens(self) -> int:
        """An estimate of what a model reads."""
        return count_tokens(self.messages)

    @property
    def evidence(self) -> list[str]:
        """What claims can rest on: the facts, and the results that are still here."""
        return [self.facts, *(entry.message["content"] for entry in self._entries if entry.evidence)]

    def answer(self, said: Said) -> None:
        """Adds an assistant's turn."""
        self._entries.append(_Entry(said.as_message()))

    def result(self, call_id: str, text: str, evidence: str) -> None:
        """Adds the result of a tool, which claims cite by the id `evidence`."""
        self._entries.append(_Entry({"role": "tool", "tool_call_id": call_id, "content": text}, evidence))

    def tell(self, text: str, *, is_kept: bool = False) -> None:
        """Adds a message to the model."""
        self._entries.append(_Entry({"role": "user", "content": text}, is_kept=is_kept))

    def older_half(self) -> list[Message]:
        """The messages that `compress` would drop now."""
        return [entry.message for group in self._droppable() for entry in group]

    def compress(self, digest: str) -> None:
        """Drops the older half; a digest, if there is one, takes its place."""
        dropped = {id(entry) for group in self._droppable() for entry in group}
        kept = [entry for entry in self._entries if id(entry) not in dropped]
        self._entries = ([_Entry({"role": "user", "content": digest})] if digest else []) + kept

    def _droppable(self) -> list[list[_Entry]]:
        """Of the older half what holds nothing cited. Calls and their results go together: apart, servers refuse."""
        groups: list[list[_Entry]] = []
        for entry in self._entries:
            if entry.message["role"] == "tool" and groups:
                groups[-1].append(entry)
            else:
                groups.append([entry])
        named = self._cited()
        return [
            group
            for group in groups[: len(groups) // 2]
            if not any(entry.is_kept or entry.evidence in named for entry in group)
        ]

    def _cited(self) -> set[str]:
        said = (entry.message["content"] or "" for entry in self._entries if entry.message["role"] == "assistant")
        return {name for text in said for name in cited(text)}


def as_text(messages: Sequence[Message]) -> str:
    """Messages for someone who reads about them."""
    lines = []
    for message in messages:
        calls = [
            f"{call['function']['name']}({call['function']['arguments']})" for call in message.get("tool_calls", ())
        ]
        lines.append(f"{message['role']}: {' '.join([message['content'] or '', *calls])}".strip())
    return "\n\n".join(lines)
