"""docs/settings.md: every setting, from the class that reads them."""

from __future__ import annotations

import inspect

from oplake.environment import as_variable
from oplake.reference.markdown import GENERATED, table
from oplake.settings import Settings


def settings_page() -> str:
    """docs/settings.md: every setting with its environment variable and default."""
    defaults = Settings.model_construct()
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        told = f"`{as_variable(default)}`" if default not in (None, (), {}) else "none"
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
