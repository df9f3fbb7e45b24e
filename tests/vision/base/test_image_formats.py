from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clary.vision.base import image_formats

Encoded = Callable[..., bytes]


def test_picture_names() -> None:
    assert all(image_formats.is_image(Path(name)) for name in ("a.jpg", "a.JPEG", "b.c.png", "x.Tif", "y.webp"))
    assert not any(image_formats.is_image(Path(name)) for name in ("a", "jpg", ".jpg", "a.jpg.txt", "a.mat", "a.db"))


@pytest.mark.parametrize("name", ["a.heic", "a.HEIC", "a.heif", "a.hif", "a.avif", "a.avifs"])
def test_names_of_phones_pictures(name: str) -> None:
    assert image_formats.is_image(Path(name))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_known_by_the_first_bytes(format: str, encoded: Encoded) -> None:
    assert image_formats.format_by_magic(encoded(format)[:12]) == format
    assert image_formats.format_by_magic(b"GIF9") == image_formats.format_by_magic(b"") == ""
