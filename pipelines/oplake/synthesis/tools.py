"""What a tool of the loop is, and the tool `playbook`. The tool `query` has a module of its own, for it has a sandbox.

A tool only reads. Its results land with the turn that asked for them, so a resumed session sees them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from oplake.playbook.book import Shelf
from oplake.playbook.choose import choose
from oplake.playbook.entries import unknown_class
from oplake.playbook.errors import PlaybookError
from oplake.synthesis.wire import Message

RESULT_CHARS = 6_000  # of a playbook: as much as of a query's result


@dataclass(frozen=True)
class ToolResult:
    """What a tool gave back: a text for the model, or an error."""

    text: str
    is_ok: bool
    is_escape: bool = False  # whether more was tried than is allowed


class Tool(Protocol):
    """Something that a model may call."""

    @property
    def name(self) -> str:
        """What it is called by."""
        ...

    @property
    def definition(self) -> Message:
        """What the model is told of it."""
        ...

    def call(self, arguments: Mapping[str, Any]) -> ToolResult:
        """Does it; whatever is wrong with the arguments, the result says so."""
        ...


def definition(name: str, text: str, **arguments: str) -> Message:
    """What a model is told of a tool whose arguments are texts, all of them required."""
    properties = {argument: {"type": "string", "description": meaning} for argument, meaning in arguments.items()}
    parameters = {"type": "object", "properties": properties, "required": list(arguments)}
    return {"type": "function", "function": {"name": name, "description": text, "parameters": parameters}}


@dataclass(frozen=True)
class PlaybookTool:
    """The tool `playbook`: what agents are told for a class of task.

    An author acts on no task, so nothing is withheld from it and nothing lands as served.
    """

    served: Path
    name: str = field(default="playbook", init=False)

    @property
    def definition(self) -> Message:
        """What the model is told."""
        return definition(
            self.name,
            "The entries that agents are shown for a class of task: when they apply, what to do, what to avoid.",
            task_class="the class of task, such as fix_bug",
        )

    def call(self, arguments: Mapping[str, Any]) -> ToolResult:
        """The playbook of a class."""
        task_class = arguments.get("task_class")
        if not isinstance(task_class, str) or not task_class.strip():
            return ToolResult("error: the argument `task_class` is missing", is_ok=False)
        try:
            book = Shelf(self.served).book()
        except (PlaybookError, OSError) as error:
            return ToolResult(f"error: {error}", is_ok=False)
        shown = choose(book, task_class, None).shown
        if not shown:
            return ToolResult(f"error: {unknown_class(task_class, book.task_classes)}", is_ok=False)
        return ToolResult("\n".join(entry.text for entry in shown)[:RESULT_CHARS], is_ok=True)
