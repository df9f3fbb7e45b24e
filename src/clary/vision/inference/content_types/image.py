"""Requests that are one encoded picture. Source: SageMaker developer guide, "Image Classification", inference."""

from __future__ import annotations

from clary.vision.base.imaging import ImageLike

__all__ = ["REQUEST", "ImageBody"]


class ImageBody:
    """The body is the file itself. What it is in truth is seen when it is decoded, whatever type it was sent as."""

    name = "image"
    documented = ("image/jpeg", "image/png", "application/x-image")
    # An extension: what the decoder reads as well, and browsers send.
    media_types = (
        *documented,
        *("image/webp", "image/gif", "image/bmp", "image/tiff", "image/avif", "image/heic", "image/heif"),
    )

    def image(self, body: bytes) -> ImageLike:
        return body


REQUEST = ImageBody()
