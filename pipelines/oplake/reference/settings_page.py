"""docs/settings.md: every setting, from the class that reads them."""

from __future__ import annotations

import inspect
import os
from datetime import date, timedelta
from typing import Any

from oplake.reference.markdown import GENERATED, table
from oplake.settings import Settings


def settings_page() -> str:
    """docs/settings.md: every setting with its environment variable and default."""
    defaults = Settings.model_construct()
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        told = f"`{_as_variable(default)}`" if default not in (None, (), {}) else "none"
        value = "`data/` of the checkout, else `~/.oplake`" if name == "home" else told
        rows.append([f"`OPLAKE_{name.upper()}`", value, field.description or ""])
    folders = [
        [f"`{member.fget(defaults).relative_to(defaults.home)}`", inspect.getdoc(member) or ""]
        for member in vars(Settings).values()
        if isinstance(member, property) and member.fget is not None
    ]
    return "\n".join(
        [
            GENERATED,
            "# Settings\n",
            "All come from the environment; nothing has to be set. Durations are ISO 8601, such as `P7D` or `PT6H`.\n",
            table(["variable", "default", "what it is for"], rows),
            "## Under `OPLAKE_HOME`\n",
            table(["path", "what"], folders),
        ]
    )


def _as_variable(value: Any) -> str:
    """A default as one would write it in the environment."""
    if isinstance(value, timedelta):
        hours, rest = divmod(value.seconds, 3600)
        clock = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (rest // 60, "M")) if n)
        return "P" + (f"{value.days}D" if value.days else "") + (f"T{clock}" if clock else "")
    if isinstance(value, tuple):
        return os.pathsep.join(value)
    return value.isoformat() if isinstance(value, date) else str(value)
