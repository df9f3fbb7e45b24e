"""Why a variant cannot serve."""

from __future__ import annotations

from clary.errors import ClaryError

__all__ = ["StartFailed"]


class StartFailed(ClaryError):
    """A variant did not come into service. The message becomes the endpoint's FailureReason; ``details``, lines such
    as a traceback, follow it there."""

    def __init__(self, what: str, *, hint: str = "", details: str = "") -> None:
        super().__init__(what, hint=hint)
        self.details = details

    @property
    def reason(self) -> str:
        """The message and its details."""
        return f"{self}\n{self.details}" if self.details else str(self)
