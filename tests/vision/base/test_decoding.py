from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from clary.errors import ImageError
from clary.vision.base import decoding, preprocessing
from clary.vision.base.decoding import MAX_PIXELS

Make = Callable[..., np.ndarray]
Encoded = Callable[..., bytes]

LOSSLESS = ("PNG", "BMP", "TIFF")
LOSSY = ("JPEG", "WEBP", "AVIF")
# The same picture as the fixture `encoded` makes, by libheif's encoder at quality 50 (nothing installed here has one):
# upright, and with the orientation 6 of EXIF, which HEIC keeps as a box `irot`.
HEIC = Path(__file__).parent / "heic"


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of two pictures in steps of 255."""
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def smooth(width: int, height: int) -> np.ndarray:
    """A gentle colour gradient that survives scaling."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], axis=2).astype(np.uint8)


class TestKindsOfPictures:
    @pytest.mark.parametrize("format", LOSSLESS)
    def test_lossless(self, format: str, image: Make, encoded: Encoded) -> None:
        assert np.array_equal(decoding.decode(encoded(format)), image())

    @pytest.mark.parametrize("format", LOSSY)
    def test_lossy(self, format: str, image: Make, encoded: Encoded) -> None:
        pixels = decoding.decode(encoded(format, quality=95))
        assert pixels.shape == (48, 64, 3)
        assert pixels.dtype == np.uint8
        assert apart(pixels, image()) < 6

    def test_heic_of_a_phone(self, image: Make) -> None:
        data = (HEIC / "plain.heic").read_bytes()
        assert decoding.inspect(data).upright == (64, 48)
        assert decoding.inspect(data).format == "HEIF"
        assert apart(decoding.decode(data), image()) < 6

    def test_heic_is_upright(self, image: Make) -> None:
        data = (HEIC / "turned.heic").read_bytes()
        assert decoding.upright_size(data) == (48, 64)
        assert apart(decoding.decode(data), np.rot90(image(), -1)) < 6

    @pytest.mark.parametrize("orientation", range(2, 9))
    def test_avif_is_upright_by_exif(self, orientation: int, image: Make) -> None:
        picture = Image.fromarray(image())
        picture.getexif()[0x0112] = orientation
        upright = ImageOps.exif_transpose(picture)
        data = saved(picture, "AVIF", quality=95, exif=picture.getexif())  # takes the orientation out, into a box
        assert decoding.upright_size(data) == upright.size
        assert apart(decoding.decode(data), np.array(upright)) < 6

    @pytest.mark.parametrize("name", ["plain.heic", "avif"])
    def test_cut_off(self, name: str, encoded: Encoded) -> None:
        data = encoded("AVIF") if name == "avif" else (HEIC / name).read_bytes()
        for share in (0.2, 0.5, 0.9):
            with pytest.raises(ImageError, match="is damaged or truncated"):
                decoding.decode(data[: int(len(data) * share)])

    @pytest.mark.parametrize("format", ["JPEG", "PNG"])
    def test_grayscale(self, format: str, image: Make) -> None:
        gray = Image.fromarray(image()).convert("L")
        data = saved(gray, format)
        pixels = decoding.decode(data)
        assert pixels.shape == (48, 64, 3)
        assert (pixels[..., 0] == pixels[..., 1]).all()
        assert apart(pixels[..., 0], np.asarray(gray)) < 3
        assert decoding.inspect(data).mode == "L"

    def test_black_and_white(self) -> None:
        data = saved(Image.fromarray(np.eye(40, dtype=bool)), "PNG")
        assert set(np.unique(decoding.decode(data))) == {0, 255}
        assert decoding.inspect(data).bits == 1

    def test_cmyk(self, image: Make) -> None:
        data = saved(Image.fromarray(image()).convert("CMYK"), "JPEG", quality=95)
        assert decoding.inspect(data).mode == "CMYK"
        assert apart(decoding.decode(data), image()) < 8

    def test_sixteen_bits_keep_the_upper_eight(self) -> None:
        values = (np.arange(64 * 48).reshape(48, 64) * 21).astype(np.uint16)
        data = saved(Image.fromarray(values), "PNG")
        assert np.array_equal(decoding.decode(data)[..., 0], (values >> 8).astype(np.uint8))
        assert decoding.inspect(data).bits == 16

    def test_sixteen_bit_colour_is_told_by_its_header(self) -> None:
        rows = b"".join(b"\0" + struct.pack(">" + "HHH" * 40, *[40000, 20000, 100] * 40) for _ in range(33))
        header = struct.pack(">IIBBBBB", 40, 33, 16, 2, 0, 0, 0)
        data = png(header, zlib.compress(rows))
        assert decoding.inspect(data).bits == 16
        assert decoding.decode(data)[0, 0].tolist() == [156, 78, 0]

    @pytest.mark.parametrize(
        ("values", "wanted"), [([0.0, 0.5, 1.0], [0, 127, 255]), ([0.0, 100.0, 300.0], [0, 100, 255])]
    )
    def test_floating_point(self, values: list[float], wanted: list[int]) -> None:
        data = saved(Image.fromarray(np.array([values], dtype=np.float32)), "TIFF")
        assert decoding.decode(data)[0, :, 0].tolist() == wanted

    def test_not_a_number_is_black(self) -> None:
        values = np.array([[np.nan, -np.inf, 1.0]], dtype=np.float32)
        assert decoding.decode(saved(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [0, 0, 255]

    @pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
    def test_of_an_animation_the_first_frame(self, format: str, image: Make) -> None:
        first, *others = [Image.fromarray(image(seed=n)) for n in range(3)]
        data = saved(first, format, save_all=True, append_images=others)
        assert decoding.inspect(data).frames == 3
        assert apart(decoding.decode(data), image(seed=0)) < 12

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation(self, format: str, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = saved(Image.fromarray(smooth(96, 64)), format, exif=exif)
        upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
        pixels = decoding.decode(data)
        assert pixels.shape == ((64, 96, 3) if orientation < 5 else (96, 64, 3))
        assert apart(pixels, upright) < 2
        assert pixels.flags.c_contiguous
        assert decoding.inspect(data).rotated == (orientation > 1)
        assert decoding.inspect(data).upright == (pixels.shape[1], pixels.shape[0])

    @pytest.mark.parametrize("orientation", [0, 9, 77])
    def test_unknown_orientations_are_upright(self, orientation: int, image: Make) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = saved(Image.fromarray(image()), "JPEG", exif=exif)
        assert decoding.decode(data).shape == (48, 64, 3)
        assert not decoding.inspect(data).rotated

    def test_transparency_is_laid_on_white(self) -> None:
        pixels = np.zeros((40, 40, 4), np.uint8)
        pixels[:, 20:] = (200, 0, 0, 255)
        for data in (
            saved(Image.fromarray(pixels), "PNG"),
            saved(Image.fromarray(pixels).quantize(), "PNG", transparency=0),
        ):
            found = decoding.decode(data)
            assert found.shape == (40, 40, 3)
            assert found[0, 39].tolist() == [200, 0, 0]

    def test_palette_with_transparency(self) -> None:
        image = Image.new("P", (40, 40), 0)
        image.putpalette([10, 20, 30, 200, 100, 0])
        image.paste(1, (20, 0, 40, 40))
        found = decoding.decode(saved(image, "PNG", transparency=0))
        assert (found[0, 0].tolist(), found[0, 39].tolist()) == ([255, 255, 255], [200, 100, 0])

    def test_pixels_may_be_written(self, encoded: Encoded) -> None:
        for format in ("JPEG", "PNG"):
            decoding.decode(encoded(format))[0, 0] = 7


class TestDamage:
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
    def test_truncated(self, format: str, encoded: Encoded) -> None:
        data = encoded(format)
        with pytest.raises(ImageError, match="is damaged or truncated"):
            decoding.decode(data[: len(data) // 2])

    @pytest.mark.parametrize("orientation", [1, 6])
    def test_a_truncated_jpeg_can_be_used_where_asked(self, orientation: int, image: Make) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = saved(Image.fromarray(image(640, 480)), "JPEG", exif=exif)
        pixels = decoding.decode(data[: len(data) * 2 // 3], strict=False)
        assert pixels.shape == ((480, 640, 3) if orientation == 1 else (640, 480, 3))

    @pytest.mark.parametrize(
        "data", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xe0", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"BM"]
    )
    def test_next_to_nothing(self, data: bytes) -> None:
        for read in (decoding.inspect, decoding.decode):
            with pytest.raises(ImageError):
                read(data)

    def test_zero_bytes_say_so(self) -> None:
        with pytest.raises(ImageError, match=r"is empty \(0 bytes\); remove it or copy it again"):
            decoding.decode(b"")

    @pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (10_000, 9_000), (2**31 - 1, 2**31 - 1)])
    def test_a_bomb_is_refused_by_its_header(self, width: int, height: int) -> None:
        data = png(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), zlib.compress(bytes(1000)))
        for read in (decoding.inspect, decoding.decode):
            with pytest.raises(ImageError, match="above the limit of 89 million pixels"):
                read(data)

    def test_a_jpeg_bomb(self, jpeg: Encoded) -> None:
        data = bytearray(jpeg())
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
        with pytest.raises(ImageError, match="above the limit"):
            decoding.decode(bytes(data))

    def test_the_limit_itself_is_allowed(self) -> None:
        side = 9_400
        assert side * side < MAX_PIXELS
        header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
        assert decoding.inspect(png(header, zlib.compress(bytes(10)))).width == side

    def test_a_damaged_exif_block_does_no_harm(self, image: Make) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        data = saved(Image.fromarray(image()), "JPEG", exif=exif)
        at = data.index(b"Exif\0\0")
        assert decoding.decode(data[: at + 6] + b"\xff" * 8 + data[at + 14 :]).shape == (48, 64, 3)


def png(header: bytes, body: bytes) -> bytes:
    """A PNG of an IHDR and one IDAT."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def seeds(image: Make, encoded: Encoded) -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    film = [Image.fromarray(image(24, 20, n)) for n in range(3)]
    return [
        encoded("JPEG", 24, 20),
        encoded("JPEG", 24, 20, exif=exif, progressive=True),
        encoded("PNG", 24, 20),
        saved(film[0].quantize(), "PNG", transparency=b"\0\1\2"),
        saved(film[0], "GIF", save_all=True, append_images=film[1:]),
        encoded("TIFF", 24, 20, compression="tiff_lzw"),
        encoded("WEBP", 24, 20),
        encoded("BMP", 24, 20),
    ]


def complaint(read: Callable[[bytes], object], data: bytes) -> str:
    """The message of the ImageError, empty where there is none."""
    try:
        read(data)
    except ImageError as error:
        return str(error)
    return ""


class TestFuzz:
    @settings(max_examples=400, deadline=None)
    @given(which=st.integers(0, 7), seed=st.integers(0, 2**32), edits=st.integers(1, 12))
    def test_mutations_raise_image_errors_only(self, which: int, seed: int, edits: int, seeds: list[bytes]) -> None:
        data = mutated(seeds[which], random.Random(seed), edits)
        for read in (decoding.inspect, decoding.decode, lambda d: decoding.decode(d, at_least=8, strict=False)):
            assert len(complaint(read, data).splitlines()) <= 1

    @given(st.binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        for start in (b"", b"\xff\xd8\xff", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"II*\0", b"BM"):
            with pytest.raises(ImageError):
                decoding.decode(start + data)


def mutated(data: bytes, rng: random.Random, edits: int) -> bytes:
    """Bytes changed, left out, put in, cut off; more often near the start, where headers are."""
    out = bytearray(data)
    for _ in range(edits):
        at = rng.randrange(len(out)) if rng.random() < 0.5 else rng.randrange(min(len(out), 120))
        kind = rng.random()
        if kind < 0.7:
            out[at] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        elif kind < 0.8:
            del out[at : at + rng.randrange(1, 9)]
        elif kind < 0.9:
            out[at:at] = rng.randbytes(rng.randrange(1, 6))
        else:
            del out[at + 1 :]
        if not out:
            break
    return bytes(out)


class TestReducedScale:
    @settings(max_examples=60, deadline=None)
    @given(width=st.integers(3, 700), height=st.integers(3, 700), at_least=st.integers(1, 300))
    def test_both_sides_stay_long_enough(self, width: int, height: int, at_least: int) -> None:
        data = saved(Image.fromarray(smooth(width, height)), "JPEG", quality=90)
        whole, small = decoding.decode(data), decoding.decode(data, at_least=at_least)
        assert whole.shape == (height, width, 3)
        assert min(small.shape[:2]) >= min(at_least, height, width)
        assert small.shape[0] <= height
        assert small.shape[1] <= width
        if min(small.shape[:2]) > 16:
            assert apart(small, preprocessing.resize(whole, *small.shape[:2])) < 6

    @pytest.mark.parametrize(
        ("at_least", "shape"), [(None, 800), (401, 800), (400, 400), (200, 200), (100, 100), (5, 100)]
    )
    def test_a_square_of_800(self, at_least: int | None, shape: int, encoded: Encoded) -> None:
        assert decoding.decode(encoded("JPEG", 800, 800), at_least=at_least).shape == (shape, shape, 3)

    @pytest.mark.parametrize("mode", ["CMYK", "L"])
    def test_other_colours(self, mode: str) -> None:
        data = saved(Image.fromarray(smooth(640, 480)).convert(mode), "JPEG")
        small = decoding.decode(data, at_least=120)
        assert small.shape == (120, 160, 3)

    def test_rotated(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        data = saved(Image.fromarray(smooth(640, 480)), "JPEG", exif=exif)
        whole, small = decoding.decode(data), decoding.decode(data, at_least=120)
        assert small.shape == (160, 120, 3)
        assert apart(small, preprocessing.resize(whole, 160, 120)) < 4


class TestLoad:
    def test_all_kinds_give_the_same(self, tmp_path: Path, encoded: Encoded, image: Make) -> None:
        data = encoded("PNG")
        path = tmp_path / "a.png"
        path.write_bytes(data)
        kinds: list[Any] = [path, str(path), data, bytearray(data), Image.open(io.BytesIO(data)), image()]
        for kind in kinds:
            assert np.array_equal(decoding.load(kind), image())

    def test_gray_arrays_become_rgb(self) -> None:
        for shape in ((4, 5), (4, 5, 1)):
            assert decoding.load(np.full(shape, 9, np.uint8)).shape == (4, 5, 3)

    @pytest.mark.parametrize("array", [np.zeros((4, 5, 3)), np.zeros((4, 5, 4), np.uint8), np.zeros(3, np.uint8)])
    def test_other_arrays_are_refused(self, array: np.ndarray) -> None:
        with pytest.raises(ImageError, match=r"not uint8 \(height, width, 3\) RGB"):
            decoding.load(array)

    def test_a_path_is_named_in_errors(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").write_bytes(b"text")
        with pytest.raises(ImageError, match=r"a\.jpg: is not a picture; remove it"):
            decoding.load(tmp_path / "a.jpg")
        with pytest.raises(ImageError, match=r"b\.jpg: cannot be read \(No such file or directory\)"):
            decoding.load(tmp_path / "b.jpg")


def test_inspect(encoded: Encoded) -> None:
    info = decoding.inspect(encoded("JPEG", 30, 40))
    assert (info.format, info.width, info.height, info.mode, info.bits, info.frames, info.rotated) == (
        "JPEG", 30, 40, "RGB", 8, 1, False
    )  # fmt: skip


@pytest.mark.pets
def test_real_pets_with_their_quirks(pets: Path) -> None:
    gif, alpha = decoding.load(pets / "images/Abyssinian_34.jpg"), decoding.load(pets / "images/Abyssinian_5.jpg")
    assert (gif.shape, alpha.shape) == ((202, 250, 3), (150, 200, 3))
    assert decoding.inspect((pets / "images/Abyssinian_34.jpg").read_bytes()).format == "GIF"


class TestMasks:
    ids = np.arange(48 * 64, dtype=np.uint8).reshape(48, 64) % 5

    def test_palette_indices_and_gray_values(self) -> None:
        gray = Image.fromarray(self.ids)
        palette = gray.copy()
        palette.putpalette(bytes(range(255, -1, -1)) * 3)
        for image in (gray, palette):
            assert np.array_equal(decoding.decode_mask(saved(image, "PNG")), self.ids)
            assert np.array_equal(decoding.decode_mask(saved(image, "BMP")), self.ids)

    @pytest.mark.parametrize("bits", [1, 2, 4])
    def test_few_bits(self, bits: int) -> None:
        ids = self.ids % 2**bits
        palette = Image.fromarray(ids)
        palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] * 5)
        assert np.array_equal(decoding.decode_mask(saved(palette, "PNG", bits=bits)), ids)
        assert np.array_equal(decoding.decode_mask(gray_png(ids, bits)), ids)

    def test_values_become_class_ids(self) -> None:
        table = bytes([255, 0, 1, 2] + [255] * 252)
        found = decoding.decode_mask(saved(Image.fromarray(self.ids), "PNG"), table)
        assert np.array_equal(found, np.array([255, 0, 1, 2, 255], np.uint8)[self.ids])

    @pytest.mark.parametrize(
        ("format", "mode", "said"),
        [
            ("PNG", "RGB", "is RGB with 8 bits a channel, not a mask of one channel; convert it to a palette PNG"),
            ("PNG", "RGBA", "is RGBA with 8 bits a channel, not a mask"),
            ("PNG", "LA", "is LA with 8 bits a channel, not a mask"),
            ("PNG", "I;16", "with 16 bits a channel, not a mask"),
            ("JPEG", "L", "is a JPEG, whose values are not exact; save masks as PNG"),
        ],
    )
    def test_pictures_that_are_no_mask(self, format: str, mode: str, said: str) -> None:
        with pytest.raises(ImageError) as caught:
            decoding.decode_mask(saved(Image.fromarray(self.ids).convert(mode), format))
        assert said in str(caught.value)

    def test_cut_at_every_byte(self) -> None:
        data = saved(Image.fromarray(self.ids), "PNG")
        for cut in range(len(data) - 24):  # checksums and the end mark may miss
            with pytest.raises(ImageError):
                decoding.decode_mask(data[:cut])


def gray_png(ids: np.ndarray, bits: int) -> bytes:
    """A grayscale PNG of ``bits`` bits a pixel, by hand: Pillow does not write those."""
    rows = np.unpackbits(ids[:, :, None], axis=2)[:, :, 8 - bits :].reshape(len(ids), -1)
    packed = b"".join(b"\0" + np.packbits(row).tobytes() for row in rows)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")


class TestUprightSize:
    @pytest.mark.parametrize("format", [*LOSSLESS, *LOSSY, "GIF"])
    def test_any_format(self, format: str, encoded: Encoded) -> None:
        assert decoding.upright_size(encoded(format, 70, 40)) == (70, 40)

    @pytest.mark.parametrize("format", ["JPEG", "PNG"])
    @pytest.mark.parametrize("orientation", [1, 3, 6, 8])
    def test_turned_pictures(self, format: str, orientation: int, image: Make) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = saved(Image.fromarray(image(70, 40)), format, exif=exif)
        assert decoding.upright_size(data) == ((40, 70) if orientation > 4 else (70, 40))

    def test_a_progressive_jpeg(self, encoded: Encoded) -> None:
        assert decoding.upright_size(encoded("JPEG", 70, 40, progressive=True)) == (70, 40)

    @settings(max_examples=200)
    @given(st.binary(max_size=60))
    def test_any_bytes(self, data: bytes) -> None:
        for head in (b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b""):
            try:
                width, height = decoding.upright_size(head + data)
            except ImageError:
                continue
            assert min(width, height) >= 0
