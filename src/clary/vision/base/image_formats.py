"""What kinds of pictures there are: their names, how their files are called and how these begin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

__all__ = ["SUFFIXES", "format_by_magic", "is_image"]

# Formats by Pillow's name, and how their files are called.
SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heif", ".hif"),  # what phones write
}
# How their files begin. RIFF also begins WAV and AVI; decoding tells.
_MAGICS = {
    b"\xff\xd8": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"RIFF": "WEBP",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
# Major brands (ISO 14496-12, 4.3; ISO 23008-12, annex B) of a file whose first box is `ftyp`.
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"), "HEIF"
)
_IMAGES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)


def is_image(path: PurePath) -> bool:
    """Whether the name, not the content, says so: its suffix is one of SUFFIXES, in any case."""
    return path.suffix.lower() in _IMAGES


def format_by_magic(head: bytes) -> str:
    """What a picture is by its first 12 bytes, as SUFFIXES calls it; empty for what begins like none of them."""
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "")
    return next((format for magic, format in _MAGICS.items() if head.startswith(magic)), "")
