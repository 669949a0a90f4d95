"""What a benchmark hands back: one measured figure beside the bar that it should meet."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure.

    A ratio of two things measured side by side, the median of several interleaved rounds; where there is nothing to
    compare with, the figure itself, with its unit in `what`. Without a bar it is shown for what it is.
    """

    what: str
    against: str
    ratio: float
    bar: float | None
    at_most: bool  # whether the bar is a ceiling; else it is a floor

    @property
    def is_met(self) -> bool:
        """Whether the figure meets its bar; one without a bar does."""
        if self.bar is None:
            return True
        return self.ratio <= self.bar if self.at_most else self.ratio >= self.bar
