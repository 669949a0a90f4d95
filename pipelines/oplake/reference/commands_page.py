"""docs/commands.md: every command with its arguments and options, from the command line itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from oplake.reference.markdown import GENERATED, anchor, table


def commands_page(command_line: Any) -> str:
    """docs/commands.md: every command with its arguments and options.

    Args:
        command_line: The tree that typer makes of it: groups have `commands`, commands have `params`.
    """
    parts = [
        GENERATED,
        "# Commands\n",
        "Data goes to stdout, progress and remarks to stderr. A command exits with 0 when it did what was asked, 1 "
        "when it could not (the message says why), 2 when it was called wrongly, 130 after Ctrl-C. "
        "Every command takes `--home FOLDER` in place of `OPLAKE_HOME`, and `--debug` for the traceback of an error.\n",
    ]
    found = list(_commands(command_line, "oplake"))
    parts.append(
        table(["command", "what it does"], [[f"[`{path}`](#{anchor(path)})", _summary(c)] for path, c in found])
    )
    for path, command in found:
        own = [p for p in command.params if p.name not in {"home", "debug", "help"}]
        parts += [f"## {path}\n", f"{inspect.cleandoc(command.help or '')}\n"]
        if own:
            parts.append(table(["", "default", "what it is"], [_parameter(p) for p in own]))
    return "\n".join(parts)


def _commands(node: Any, path: str) -> Iterable[tuple[str, Any]]:
    for name, child in node.commands.items():
        if getattr(child, "commands", None):
            if child.invoke_without_command:
                yield f"{path} {name}", child
            yield from _commands(child, f"{path} {name}")
        elif not child.hidden:
            yield f"{path} {name}", child


def _summary(command: Any) -> str:
    return inspect.cleandoc(command.help or "").split("\n\n")[0]


def _parameter(parameter: Any) -> list[str]:
    if parameter.param_type_name == "argument":
        name = parameter.metavar or str(parameter.name).upper()
    else:
        name = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return [f"`{name}`", "required" if parameter.required else _default(parameter), parameter.help or ""]


def _default(parameter: Any) -> str:
    value, told = parameter.default, parameter.show_default
    if value is None and isinstance(told, str):  # what stands for it is not known until the command is called
        return told if " " in told else f"`{told}`"
    if value in (None, False, ()) or callable(value):
        return ""
    return f"`{value.date() if isinstance(value, datetime) else getattr(value, 'value', value)}`"
