"""What every command shares: the groups, `--home` and `--debug`, and how errors are told.

Errors that oplake raises on purpose are written for people: they are printed as they are, without a traceback, and the
command exits with 1. A wrong call exits with 2, Ctrl-C with 130. Anything else is a defect and shows its traceback.
"""

from __future__ import annotations

import errno
import inspect
import os
import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from typer.core import TyperGroup

from oplake import __version__
from oplake.cli.errors import CommandError
from oplake.lake.interrupts import watched

if TYPE_CHECKING:
    from oplake.settings import Settings

START, BRING, COMPUTE, LOOK, KEEP = "Start here", "Bring events in", "Compute", "Look", "Keep in order"
PANELS = (START, BRING, COMPUTE, LOOK, KEEP)
"""The panels of `oplake --help`, in the order in which one needs them."""


class _Commands(TyperGroup):
    """The commands; who calls one that there is not, and none is like it, is told where to look."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None and not get_close_matches(args[0], self.commands):
            ctx.fail(
                f"No such command '{args[0]}'. `oplake doctor` says whether all is well, `oplake tables` what there "
                "is, `oplake --help` what else can be done."
            )
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="oplake",
    cls=_Commands,
    help="A lakehouse for the work of AI agents: what happened lands durably; Dagster and DuckDB work out its worth.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
import_app = typer.Typer(no_args_is_help=True, help="Bring history in: events from other people's files.")
rejects_app = typer.Typer()
export_app = typer.Typer(no_args_is_help=True, help="Write tables out for other systems.")
eval_app = typer.Typer(no_args_is_help=True, help="Hold estimates against what is known.")
app.add_typer(import_app, name="import", rich_help_panel=BRING)
app.add_typer(rejects_app, name="rejects", rich_help_panel=KEEP)
app.add_typer(export_app, name="export", rich_help_panel=LOOK)
app.add_typer(eval_app, name="eval", rich_help_panel=LOOK)


Register: TypeAlias = Callable[[Callable[..., None]], Callable[..., None]]


HOME = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of all state, in place of $OPLAKE_HOME.", rich_help_panel="Every command"),
]
DEBUG = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel="Every command")
]


def command(group: typer.Typer, name: str, *, panel: str | None = None, is_hidden: bool = False) -> Register:
    """Register a function as a command of a group, with what all commands share."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        group.command(name, rich_help_panel=panel, hidden=is_hidden)(_shared(function))
        return function

    return register


def default_command(group: typer.Typer) -> Register:
    """Register a function as what a group does when it is called without one of its commands."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        def unless_another(context: typer.Context, **arguments: Any) -> None:
            if context.invoked_subcommand is None:
                function(**arguments)

        unless_another.__doc__ = function.__doc__
        context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        group.callback(invoke_without_command=True)(_shared(unless_another, _parameters(function), context))
        return function

    return register


def _shared(
    function: Callable[..., None], own: list[inspect.Parameter] | None = None, *more: inspect.Parameter
) -> Callable[..., None]:
    """The function with the options and the error handling that all commands share."""

    def run(*, home: Path | None, debug: bool, **arguments: Any) -> None:
        if home is not None:  # the environment, so that what runs in other processes agrees
            os.environ["OPLAKE_HOME"] = str(home.expanduser().resolve())
        try:
            with watched() as is_interrupted:
                _run(function, arguments, is_interrupted)
        except Exception as error:
            if debug or not _is_for_people(error):
                raise
            tell(error)
            raise typer.Exit(1) from None

    common = [
        inspect.Parameter("home", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=HOME),
        inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=DEBUG),
    ]
    parameters = [*more, *(_parameters(function) if own is None else own), *common]
    run.__doc__ = unwrapped(function.__doc__ or "")
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
    return run


def _run(function: Callable[..., None], arguments: dict[str, Any], is_interrupted: Callable[[], bool]) -> None:
    """Run a command; whatever DuckDB and others make of Ctrl-C, it is Ctrl-C."""
    try:
        function(**arguments)
    except Exception as error:
        if is_interrupted():
            raise KeyboardInterrupt from error
        raise


def unwrapped(text: str) -> str:
    """A text whose paragraphs are a line each, so that whatever shows it breaks them at its own width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text.strip()))


def _parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    signature = inspect.signature(function, eval_str=True)
    return [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()]


def _is_for_people(error: Exception) -> bool:
    """Whether oplake raised it on purpose (each part has its own family of errors), or the system says why not."""
    is_ours = type(error).__module__.partition(".")[0] in {"oplake", "oplake_assets"}
    return is_ours or (isinstance(error, OSError) and not isinstance(error, BrokenPipeError))


def tell(error: Exception) -> None:
    """Print an error for a person, on stderr."""
    from rich.text import Text

    from oplake.cli.terminal import progress_console

    said = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        # Whoever writes into an open file is not told its name; all that we write is in the home.
        said += f". The disk of {settings().home} is full: free space there, and try again; nothing landed is lost"
    progress_console().print(Text.assemble(("oplake: ", "bold red"), said), soft_wrap=True)


def settings() -> Settings:
    """The settings of this call.

    Raises:
        CommandError: An environment variable does not hold what its setting needs.
    """
    from pydantic import ValidationError

    from oplake.environment import misspelt, what_is_wrong
    from oplake.settings import Settings

    _warn_of(tuple(misspelt(os.environ)))
    try:
        return Settings()
    except ValidationError as error:
        wrong = what_is_wrong(error, os.environ)
        raise CommandError(f"a setting is wrong: {wrong}. docs/settings.md lists what each setting takes") from error


@cache
def _warn_of(variables: tuple[tuple[str, str | None], ...]) -> None:
    """Say once what is set in vain: a limit whose name is misspelt limits nothing."""
    from oplake.cli.terminal import remark

    for variable, meant in variables:
        instead = f"did you mean {meant}?" if meant else "docs/settings.md lists those that there are"
        remark(f"Warning: {variable} is no setting and has no effect; {instead}")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A lakehouse for the work of AI agents: what happened lands durably; Dagster and DuckDB work out its worth."""
