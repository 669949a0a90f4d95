"""Prompts: files beside this one, in Markdown with Jinja, known by the hash of their text.

What stands in a prompt but in no file is facts. They are values, never templates, and a file that asks for one that is
not there is an error and no gap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import FunctionLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from oplake.synthesis.errors import BadPrompt
from oplake.synthesis.injection import fenced

FOLDER = Path(__file__).parent / "prompts"
_INCLUDED = re.compile(r'{% include "(\w+)\.md" %}')
_LENGTH = re.compile(r"Use fewer than [0-9]+ words in all\.")
VERSION_CHARS = 16  # of a hash, as code versions have


class Rendered(NamedTuple):
    """A prompt with its facts."""

    text: str
    version: str


def render(name: str, facts: Mapping[str, Any]) -> Rendered:
    """The prompt of a file, `prompts/<name>.md`.

    Raises:
        BadPrompt: There is no such file, or it asks for what the facts do not have.
    """
    source = _source(name)
    try:
        text = _environment().get_template(f"{name}.md").render(facts)
    except (TemplateError, TypeError, ValueError) as error:
        raise BadPrompt(f"prompts/{name}.md cannot be filled in: {error}") from error
    return Rendered(text.strip() + "\n", sha256(source.encode()).hexdigest()[:VERSION_CHARS])


def without_length(text: str) -> str:
    """A prompt without how long the answer may be: no other of its numbers is about the answer and not about facts."""
    return _LENGTH.sub("", text)


def version_of(*names: str) -> str:
    """One version for files that are used together, and for those that they include."""
    every = [*names, *(each for name in names for each in _INCLUDED.findall(_source(name)))]
    return sha256("".join(_source(name) for name in every).encode()).hexdigest()[:VERSION_CHARS]


@cache
def _source(name: str) -> str:
    path = FOLDER / f"{name}.md"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadPrompt(f"there is no prompt {name}: {error}") from error


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=FunctionLoader(lambda name: _source(name.removesuffix(".md"))),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # no HTML: the text goes to a model as it is
    )
    environment.filters["fenced"] = fenced
    return environment
