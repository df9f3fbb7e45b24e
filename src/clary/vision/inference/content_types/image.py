"""Requests that are one encoded picture. Source: SageMaker developer guide, "Image Classification", inference."""

from __future__ import annotations

import base64
import re
from contextlib import suppress

__all__ = ["REQUEST", "ImageBody"]

# Where a picture begins that was sent as text: behind a data URL (RFC 2397), or at the first letters of JPEG, PNG, GIF,
# WebP and TIFF files in base64; each behind quotes where JSON's are sent along. No picture file begins like that. Of
# BMP three letters are too few to tell, of HEIC and AVIF they depend on a length: those need the URL.
_DATA_URL = re.compile(rb'\s*"?data:image/[-+.a-z0-9]+;base64,', re.IGNORECASE)
_LETTERS = re.compile(rb'\s*"?(?=/9j/|iVBORw0KGgo|R0lGOD|UklGR|SUkqA|TU0AK)')


class ImageBody:
    """The body is the file itself. What it is in truth is seen when it is decoded, whatever type it was sent as."""

    name = "image"
    documented = ("image/jpeg", "image/png", "application/x-image")
    # An extension: what the decoder reads as well, and browsers send.
    media_types = (
        *documented,
        *("image/webp", "image/gif", "image/bmp", "image/tiff", "image/avif", "image/heic", "image/heif"),
    )

    def image(self, body: bytes) -> bytes:
        # As programs send it that talk JSON elsewhere.
        if text := _DATA_URL.match(body) or _LETTERS.match(body):
            with suppress(ValueError):  # no base64 after all: the decoder says what it is
                return base64.b64decode(body[text.end() :])
        return body


REQUEST = ImageBody()
