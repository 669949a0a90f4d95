"""What can go wrong when a model is asked, in words that say what to do."""

from __future__ import annotations


class SynthesisError(Exception):
    """A model was not asked, or gave nothing to work with. The message says who, why and what to do."""


class ModelError(SynthesisError):
    """One provider did not answer, or not usefully.

    Attributes:
        status: The HTTP status; None when there was no answer at all.
        retry_after: Seconds that the provider asks to wait; None when it does not say.
        is_final: Whether asking again cannot help: the request itself was refused.
        attempts: How often it was asked.
        duration_ms: How long all attempts took together.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None, is_final: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.is_final = is_final
        self.attempts = 1
        self.duration_ms = 0.0


class ProvidersFailed(SynthesisError):
    """All providers failed; the message names each with its reason."""


class CircuitOpen(SynthesisError):
    """Nobody was asked: calls of this run kept failing."""


class OverBudget(SynthesisError):
    """Nobody was asked: the call could pass a limit on what may be spent."""


class Unpriced(OverBudget):
    """Nobody was asked: there is a limit on what may be spent, and no price for the model."""


class BadPrompt(SynthesisError):
    """A prompt's file is missing, or asks for facts that it was not given."""
