"""What an output function answers with."""

from __future__ import annotations

from typing import Any

__all__ = ["Response"]


class Response:
    """A body and its media type."""

    def __init__(
        self, response: Any = None, mimetype: str | None = None, accept: str | None = None, status: int = 200
    ) -> None:
        self.response = response
        self.mimetype = mimetype or accept
        self.status = status
