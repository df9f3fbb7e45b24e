"""What a request body or a response body is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from clary.vision.base.decoding import ImageLike

__all__ = ["RequestType", "ResponseType"]

A = TypeVar("A")


class RequestType(Protocol):
    """A family of media types that carry one picture. ``documented`` are those to name in messages."""

    name: str
    media_types: Sequence[str]
    documented: Sequence[str]

    def image(self, body: bytes) -> ImageLike:
        """The picture in a body, not yet decoded. Raises ImageError or RequestError."""
        ...


class ResponseType(ABC, Generic[A]):
    """A media type a prediction can be answered with. With ``parameters`` only those who name them all get it."""

    media_type: ClassVar[str]
    parameters: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def encode(self, prediction: A, *, batch: bool) -> bytes:
        """The body for a prediction; ``batch`` says that a batch transform asks. Raises RequestError."""

    def __str__(self) -> str:
        return "".join([self.media_type, *(f";{name}={value}" for name, value in self.parameters.items())])
