"""Encoded bytes to upright RGB pixels: the only decoder, for training, serving and edge.

Pixels are ``numpy.uint8`` of shape (height, width, 3), RGB, row 0 at the top after EXIF rotation.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import simplejpeg
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from clary.errors import ImageError
from clary.vision.base.files import read_file
from clary.vision.base.image_formats import format_by_magic
from clary.vision.base.in_flight import PICTURES

__all__ = [
    "LIMIT",
    "MAX_ASPECT",
    "MAX_FRAMES",
    "MAX_PIXELS",
    "ImageInfo",
    "ImageLike",
    "decode",
    "decode_mask",
    "inspect",
    "load",
    "of_file",
    "upright_size",
]

T = TypeVar("T")

# A larger picture is refused before it is unpacked, and nothing is resized to more. Pillow's own limit, above which it
# warns: 268 MB of RGB.
MAX_PIXELS = 1024 * 1024 * 1024 // 4 // 3
LIMIT = f"the limit of {MAX_PIXELS // 1_000_000} million pixels"
# Of the longer side to the shorter. Chosen: scanned strips and panoramas stay below 100; a line of 100,000 pixels would
# be 5 billion once its shorter side is 224.
MAX_ASPECT = 256
# Scans of a JPEG: progressive ones have ten, and each passes over all pixels, however few its bytes (djpeg -maxscans).
MAX_SCANS = 100
MAX_FRAMES = 1000  # counted at most: each costs a look, and 10 MB of TIFF can say 100,000

# Bytes in memory for each pixel while a picture is decoded, measured: Pillow holds four, RGB made of them three, and
# three more where it is turned; WebP's own decoder holds another canvas.
_BYTES_PILLOW, _BYTES_JPEG, _BYTES_PROGRESSIVE = 12, 6, 6
_BAND = 1 << 20  # pixels that are converted at a time

# What Pillow's readers raise on damaged bytes (found by fuzzing them); UserWarning where warnings are made errors.
_DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    UserWarning,
    struct.error,
    zlib.error,
)

ImageLike: TypeAlias = "str | Path | bytes | np.ndarray | Image.Image"


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the header of a picture says.

    ``width`` and ``height`` are in pixels, before EXIF rotation; ``mode`` is Pillow's (RGB, L, CMYK, P ...);
    ``bits`` are those of one sample as stored, 16 for a PNG that Pillow opens as 8-bit RGB. ``frames`` are counted up
    to MAX_FRAMES.
    """

    format: str
    width: int
    height: int
    mode: str
    bits: int
    frames: int
    orientation: int = 1  # EXIF: 1 upright, 2..8 turned or mirrored

    @property
    def rotated(self) -> bool:
        """Whether its rows and columns are not yet upright."""
        return self.orientation != 1

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height after EXIF rotation."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def inspect(data: bytes) -> ImageInfo:
    """Read the header only. Raises ImageError for bytes that are no picture, are damaged or beyond MAX_PIXELS or
    MAX_ASPECT."""
    with _open(data) as image:
        try:
            orientation = _orientation(image)
            turned = image.format == "TIFF" and orientation >= 5  # Pillow tells the upright size of these only
            width, height = image.size[::-1] if turned else image.size
            mode, bits = image.mode, _bits(image, data)
            return ImageInfo(image.format or "?", width, height, mode, bits, _frames(image), orientation)
        except _DAMAGE as error:
            raise _damaged(error) from error


def decode(data: bytes, *, at_least: int | None = None, strict: bool = True) -> np.ndarray:
    """Decode any picture to upright RGB uint8 of shape (height, width, 3).

    Grayscale, palette, CMYK and 16-bit pictures are converted; transparency is laid on white; of an animation the
    first frame is taken. A JPEG is decoded at 1/2, 1/4 or 1/8 of its size as long as both sides stay ``at_least``
    pixels (ITU T.81 DCT scaling in libjpeg-turbo), which saves most of the work for large photographs.

    Waits while the pictures of other threads take what there is for all (``in_flight``). Raises ImageError: empty, no
    picture, truncated, too large, too long a strip. With ``strict`` False what is there of a truncated JPEG is used and
    the rest is gray, as the decoders of the original containers do.
    """
    # simplejpeg takes 1.3 ms where Pillow takes 1.7 (93 kB), and tells a truncated file (docs/decisions/0003).
    with PICTURES.hold():
        if data[:2] == b"\xff\xd8" and (pixels := _decode_plain_jpeg(data, at_least, strict)) is not None:
            return pixels
        with _open(data) as image:
            return _to_rgb(image, at_least)


def decode_mask(data: bytes, values: bytes | None = None) -> np.ndarray:
    """Decode a mask to class ids, uint8 of shape (height, width): palette indices, or gray values as stored.

    ``values`` are 256 bytes, the class id for each value of the file; None leaves them. A mask is never turned.
    Raises ImageError for bytes that are no picture, for more than one channel or 8 bits, and for JPEG, whose values
    are not exact.
    """
    with _open(data) as image:
        if image.format == "JPEG":
            raise ImageError("is a JPEG, whose values are not exact", hint="save masks as PNG")
        if image.mode not in ("P", "L", "1") or _bits(image, data) > 8:
            found = f"is {image.mode} with {_bits(image, data)} bits a channel"
            raise ImageError(f"{found}, not a mask of one channel", hint="convert it to a palette PNG of class ids")
        try:
            with PICTURES.hold(image.width * image.height * _BYTES_PILLOW):
                image.load()
                # Not convert(): of a palette picture that gives the colours, and the class ids are the indices.
                ids = np.array(image).astype(np.uint8)
        except _DAMAGE as error:
            raise _damaged(error) from error
        if image.format == "PNG" and image.mode == "L" and data[24] in (2, 4):
            ids //= 255 // (2 ** data[24] - 1)  # Pillow spreads gray of 2 and 4 bits over 0..255
    return ids if values is None else np.frombuffer(values, np.uint8)[ids]


def upright_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels after EXIF rotation; quick for JPEG and PNG. Raises ImageError as ``inspect`` does."""
    if not (size := _quick_size(data)):
        return inspect(data).upright
    _check_size(*size)
    return size


def load(image: ImageLike, *, at_least: int | None = None) -> np.ndarray:
    """Pixels of a path, encoded bytes, PIL image or array (uint8 RGB or grayscale). Raises ImageError."""
    if isinstance(image, (str, Path)):
        return of_file(image, lambda data: decode(data, at_least=at_least))
    if isinstance(image, (bytes, bytearray, memoryview)):
        return decode(bytes(image), at_least=at_least)
    if isinstance(image, Image.Image):
        return _to_rgb(image, None)
    return _checked_array(image)


def of_file(path: str | Path, use: Callable[[bytes], T]) -> T:
    """What ``use`` makes of a file's bytes; errors name the file."""
    try:
        data = read_file(path)
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror})", where=path) from error
    try:
        return use(data)
    except ImageError as error:
        raise ImageError(error.what, where=path, hint=error.hint) from error


def _decode_plain_jpeg(data: bytes, at_least: int | None, strict: bool) -> np.ndarray | None:
    """The fast path. None when Pillow has to look closer: CMYK, too large, or damaged."""
    try:
        height, width, colourspace, _ = simplejpeg.decode_jpeg_header(data, strict=strict)
        if colourspace in ("CMYK", "YCCK"):
            return None
        _check_size(width, height)
        factor = _reduction(height, width, at_least)
        # A progressive JPEG is held as coefficients of 16 bits, of its whole size, until its last scan.
        whole = _BYTES_PROGRESSIVE if _is_progressive(data) else 0
        with PICTURES.hold(height * width * whole + height * width * _BYTES_JPEG // factor**2):
            pixels: np.ndarray = simplejpeg.decode_jpeg(
                data,
                "RGB",
                fastdct=True,
                min_height=height // factor if factor > 1 else 0,
                min_width=width // factor if factor > 1 else 0,
                min_factor=1,
                strict=strict,
            )
    except (ValueError, KeyError):  # KeyError: a chroma subsampling that simplejpeg has no name for
        return None
    # A segment of a JPEG is 64 KiB at most, and EXIF comes first or after JFIF: this search spares opening each picture
    # with Pillow for its orientation.
    if b"Exif\x00\x00" not in data[:65536]:
        return pixels
    with _open(data) as image:
        return _upright(pixels, _orientation(image))


def _reduction(height: int, width: int, at_least: int | None) -> int:
    """The largest of 8, 4, 2, 1 by which both sides can be divided and stay ``at_least``.

    Only powers of two: libjpeg-turbo has vector code for those, odd eighths cost more than they save (measured).
    """
    if not at_least:
        return 1
    return next((f for f in (8, 4, 2) if min(height, width) // f >= at_least), 1)


def _quick_size(data: bytes) -> tuple[int, int] | None:
    """What the first header of a JPEG or PNG says; None where one has to look closer, as for any EXIF block."""
    # A PNG may be turned as well: by an eXIf chunk (PNG, third edition).
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 33 and b"eXIf" not in data:
        return struct.unpack_from(">II", data, 16)
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        kind, length = data[at + 1], data[at + 2] << 8 | data[at + 3]
        # A start of frame (ITU T.81, table B.1). Three of the range are none: Huffman tables, a reserved one,
        # arithmetic coding.
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return (width, height) if width and height else None
        # APP1 may be EXIF, and then width and height may have to change places.
        if kind == 0xE1 or kind < 0xC0 or kind == 0xFF:
            return None
        at += 2 + length
    return None


def _orientation(image: Image.Image) -> int:
    """EXIF tag 0x0112: 1 is upright, 2..8 are not (EXIF 2.3, 4.6.4). A damaged EXIF block counts as upright."""
    try:
        found = image.getexif().get(0x0112, 1)
    except _DAMAGE:
        return 1
    return found if found in range(2, 9) else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation: 5..8 change rows for columns first, then come the mirrorings."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _bits(image: Image.Image, data: bytes) -> int:
    """Bits of a sample; Pillow's mode does not tell, since it reduces 16-bit RGB to 8 as it reads."""
    # The bit depth stands at byte 24, for IHDR must come first.
    if image.format == "PNG":
        return data[24]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # BitsPerSample, a number a channel (TIFF 6.0, section 8).
        return int(max(image.tag_v2.get(258, (8,))))
    return {"1": 1, "I;16": 16, "I;16B": 16, "I": 32, "F": 32}.get(image.mode, 8)


def _frames(image: Image.Image) -> int:
    """How many frames, MAX_FRAMES at most; of a TIFF they are a chain to be followed."""
    if image.format != "TIFF":
        return min(getattr(image, "n_frames", 1), MAX_FRAMES)
    for number in range(1, MAX_FRAMES):
        try:
            image.seek(number)
        except EOFError:
            return number
    return MAX_FRAMES


def _open(data: bytes) -> Image.Image:
    if not data:
        raise ImageError("is empty (0 bytes)", hint="remove it or copy it again")
    if format_by_magic(data[:12]) == "HEIF":
        _register_heif()
    try:
        image = Image.open(io.BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large() from None
    except UnidentifiedImageError as error:
        # Its readers refuse a file whose boxes are cut off as if it were another's.
        if format_by_magic(data[:12]) in ("AVIF", "HEIF"):
            raise _damaged(ValueError("its header cannot be read")) from error
        raise ImageError("is not a picture", hint="remove it or export it as JPEG or PNG") from None
    except _DAMAGE as error:
        raise _damaged(error) from error
    _check_size(image.width, image.height)
    if image.format in ("JPEG", "MPO"):
        _is_progressive(data)
    return image


@cache
def _register_heif() -> None:
    """Let Pillow open HEIC, which it cannot by itself (AVIF it can)."""
    # At the first such picture: a library of 4 MB that most never need, and one more reader of strangers' bytes.
    from pi_heif import register_heif_opener

    register_heif_opener()


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(f"of {width} x {height} pixels ")
    if max(width, height) > MAX_ASPECT * min(width, height):
        what = f"is a strip of {width} x {height} pixels, one side more than {MAX_ASPECT} times the other"
        raise ImageError(what, hint="cut it into pieces")


def _is_progressive(data: bytes) -> bool:
    """Whether a JPEG is; those of other kinds have each pixel in their bytes. Raises ImageError for too many scans."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        # A start of frame (ITU T.81, table B.1); of four coding processes the progressive ones end in binary 10.
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            if kind & 3 != 2:
                return False
            break
        at += 2 + (data[at + 2] << 8 | data[at + 3])
    # Within a scan ff is followed by 00 (ITU T.81, B.1.1.5), so that this marker stands before scans alone. Not counted
    # in each JPEG: the search takes a fifth of the time of decoding it.
    if (found := data.count(b"\xff\xda")) > MAX_SCANS:
        raise ImageError(f"is a JPEG of {found} scans, above the limit of {MAX_SCANS}", hint="export it again")
    return True


def _too_large(found: str = "") -> ImageError:
    return ImageError(f"is a picture {found}above {LIMIT}", hint="make it smaller")


def _damaged(error: Exception) -> ImageError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ImageError(f"is damaged or truncated ({reason})", hint="remove it or export it again")


def _to_rgb(image: Image.Image, at_least: int | None) -> np.ndarray:
    try:
        if image.format == "JPEG" and at_least:
            factor = _reduction(image.height, image.width, at_least)
            # Before load(), after which a size can no longer be asked for. None: the mode stays, ours is made below.
            image.draft(None, (image.width // factor, image.height // factor))
        with PICTURES.hold(image.width * image.height * _BYTES_PILLOW):
            image.load()
            return _upright(_rgb(image), _orientation(image))
    except _DAMAGE as error:
        raise _damaged(error) from error


def _rgb(image: Image.Image) -> np.ndarray:
    """uint8 RGB, made band by band: whole, each step of a conversion would be another picture in memory."""
    make = _rgb_of_deep(image) if image.mode.startswith("I") or image.mode == "F" else _rgb_of_shallow
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top, band in _bands(image):
        pixels[top : top + band.height] = make(band)
    return pixels


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _rgb_of_shallow(image: Image.Image) -> np.ndarray:
    if image.has_transparency_data:
        # convert("RGB") alone shows the colour that lies under what is transparent, black as a rule.
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def _rgb_of_deep(image: Image.Image) -> Callable[[Image.Image], np.ndarray]:
    """How bands of 16-bit and floating-point samples become 0..255: 16-bit by its upper byte, floats in 0..1 by 255,
    others clipped."""
    # Of the whole picture: what its bands are meant to be must not differ. NaN as 0, or the highest would be NaN.
    highest = max(np.nan_to_num(np.asarray(band)).max() for _, band in _bands(image))

    def make(band: Image.Image) -> np.ndarray:
        values = np.nan_to_num(np.asarray(band))
        if np.issubdtype(values.dtype, np.floating):
            values = np.clip(values, 0, 1) * 255 if highest <= 1 else np.clip(values, 0, 255)
        else:
            # Eight-bit pictures are stored in 16 bits as well: their upper bytes are all 0.
            values = np.clip(values.astype(np.int64) >> 8 if highest > 255 else values, 0, 255)
        return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)

    return make


def _checked_array(array: Any) -> np.ndarray:
    pixels: np.ndarray = np.asarray(array)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3)):
        raise ImageError(
            f"is an array of {pixels.dtype} {pixels.shape}, not uint8 (height, width, 3) RGB or (height, width)",
            hint="convert it to uint8 first",
        )
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    return pixels
