"""Why a variant cannot serve."""

from __future__ import annotations

from clary.errors import ClaryError

__all__ = ["StartFailed"]


class StartFailed(ClaryError):
    """A variant did not come into service. The message becomes the endpoint's FailureReason."""
