"""What an output function answers with. Source: sagemaker-containers 2.8.6, _worker.py."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["Response"]


class Response:
    """A body, its status and its media type, by default the one that was asked for."""

    def __init__(
        self, response: Any = None, accept: str | None = None, status: int = 200, mimetype: str | None = None
    ) -> None:
        self.response = response
        self.status = status
        default = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json")
        self.mimetype = mimetype or accept or default
