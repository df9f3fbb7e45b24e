"""What a request body or a response body is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from clary.vision.base.imaging import Picture
from clary.vision.base.types import Prediction

__all__ = ["RequestType", "ResponseType"]


class RequestType(Protocol):
    """A family of media types that carry one picture. ``documented`` are those to name in messages."""

    name: str
    media_types: Sequence[str]
    documented: Sequence[str]

    def picture(self, body: bytes) -> Picture:
        """The picture in a body, not yet decoded. Raises ImageError or RequestError."""
        ...


class ResponseType(Protocol):
    """A media type an answer can have. Of several that are equally welcome the lowest ``rank`` is taken."""

    name: str
    media_type: str
    rank: int

    def encode(self, prediction: Prediction, *, batch: bool) -> bytes:
        """The body for a prediction; ``batch`` says that a batch transform asks."""
        ...
