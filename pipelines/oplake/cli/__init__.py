"""The command `oplake`: it reads arguments, calls one function of the part that knows, and prints what came back.

`app` holds what all commands share, `terminal` how results are printed, `days` how days are given; `work` the commands
that change something, `imports` those that bring history in, `read` those that only look, `reports` and `playbooks`
those about what these are, `agents` what agents ask by; `assembly` puts them together. A command that would need more
than a few lines belongs in the part that it calls.
Modules of the parts are imported inside the commands, so that `oplake --help` answers at once.
"""

from oplake.cli.assembly import main

__all__ = ["main"]
