"""What can go wrong with models, said with file, line and the way out. No logic but the wording."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class ModelError(Exception):
    """The family of errors of `oplake.models`."""


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with one file; `line` counts from 1."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


class ModelFileError(ModelError):
    """Model files that cannot be loaded. `problems` holds every one found, not just the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        count = len(self.problems)
        head = "1 problem in the model files" if count == 1 else f"{count} problems in the model files"
        super().__init__("\n  ".join([f"{head}:", *map(str, self.problems)]))


class BuildError(ModelError):
    """A model whose SQL failed while it was computed."""
