"""What a small file may cost: pixels, memory and time."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clary.errors import DataError, ImageError
from clary.vision.base import decoding, preprocessing
from clary.vision.base.decoding import MAX_FRAMES
from clary.vision.base.in_flight import PICTURES, InFlight
from clary.vision.base.preprocessing import Preprocess
from clary.vision.base.types import Blob, Sample
from clary.vision.datasets.loader import ImageCache, Loader

Encoded = Callable[..., bytes]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, channels: int = 3, *extra: bytes) -> bytes:
    """A PNG of zeros, RGB or RGBA, that takes a thousandth of its pixels."""
    packer = zlib.compressobj(9)
    row = bytes(1 + width * channels)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, {3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = (chunk(b"IHDR", header), *extra, chunk(b"IDAT", data), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


STRIPS = {
    "PNG": png(100_000, 1),
    "standing PNG": png(1, 1000),
    "JPEG": saved(Image.new("RGB", (60_000, 2)), "JPEG"),
    "CMYK": saved(Image.new("CMYK", (60_000, 2)), "JPEG"),
    "TIFF": saved(Image.new("RGB", (1, 5000)), "TIFF"),
    "GIF": saved(Image.new("L", (5000, 3)), "GIF"),
    "WEBP": saved(Image.new("RGB", (16_000, 1)), "WEBP"),
}


class TestStrips:
    @pytest.mark.parametrize("data", STRIPS.values(), ids=STRIPS)
    @pytest.mark.parametrize(
        "use",
        [
            decoding.decode,
            decoding.inspect,
            decoding.upright_size,
            lambda data: preprocessing.prepare(data, Preprocess(224, 224, resize=256)),
            lambda data: preprocessing.prepare_sized(data, Preprocess.whole()),
        ],
        ids=["decode", "inspect", "upright_size", "prepare", "prepare_sized"],
    )
    def test_are_refused_whoever_asks(self, use: Callable[[bytes], object], data: bytes) -> None:
        with pytest.raises(ImageError, match=r"is a strip of \d+ x \d+ pixels, one side more than 256 times the other"):
            use(data)

    def test_a_mask_is_one_as_well(self) -> None:
        with pytest.raises(ImageError, match="is a strip of 5000 x 3 pixels"):
            decoding.decode_mask(saved(Image.new("L", (5000, 3)), "PNG"))

    def test_a_panorama_is_none(self) -> None:
        assert decoding.decode(png(2560, 10)).shape == (10, 2560, 3)

    def test_in_training_the_record_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "line.png").write_bytes(STRIPS["PNG"])
        cache = ImageCache([Sample(Blob(tmp_path / "line.png"))], 224, 224, 1 << 20)
        with pytest.raises(DataError, match=r"line\.png: is a strip of 100000 x 1 pixels.*cut it into pieces"):
            cache[0]


class TestResized:
    def test_no_step_makes_more_pixels_than_a_picture_may_have(self) -> None:
        pixels = np.zeros((4, 1000, 3), np.uint8)
        for grow in (
            lambda: preprocessing.resize_shorter(pixels, 1000),
            lambda: preprocessing.resize(pixels, 20_000, 20_000),
            lambda: preprocessing.fit(pixels, Preprocess(1000, 1000)),
            lambda: preprocessing.fit(pixels, Preprocess(10_000, 10_000, crop="squash")),
        ):
            with pytest.raises(ImageError, match=r"of 1000 x 4 pixels would be \d+ x \d+, above the limit of 89 mill"):
                grow()

    def test_in_training_the_record_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "wide.png").write_bytes(png(1000, 4))
        sample = Sample(Blob(tmp_path / "wide.png"))
        with pytest.raises(DataError, match=r"wide\.png: of 1000 x 4 pixels would be 250000 x 1000"):
            ImageCache([sample], 1000, 1000, 1 << 20)[0]

        def enlarged(pixels: np.ndarray, target: int, random: np.random.Generator) -> tuple[np.ndarray, int]:
            return preprocessing.resize_shorter(pixels, 1000), target

        loader = Loader(ImageCache([sample], None, 4, 1 << 20), [0], enlarged, batch_size=1, seed=0, shuffle=False)
        with pytest.raises(DataError, match=r"wide\.png: of 1000 x 4 pixels would be"):
            list(loader.epoch())


# As a program of its own: the most memory that a process ever had never goes down again.
MEASURED = """
import io, resource, sys
import numpy as np
from clary.vision.base import decoding, preprocessing
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    {use}
finally:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def memory_of(data: bytes, use: str = "decoding.decode(data)") -> int:
    """Bytes by which the memory of a process grows as it does that."""
    program = MEASURED.format(use=use)
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=False)
    return int(done.stdout)


class TestMemory:
    SIDE = 3072
    PIXELS = SIDE * SIDE

    def exif_turned(self) -> Image.Exif:
        exif = Image.Exif()
        exif[0x0112] = 6
        return exif

    @pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "I;16", "F", "turned", "progressive", "CMYK"])
    def test_a_picture_takes_little_more_than_its_pixels(self, kind: str) -> None:
        size = (self.SIDE, self.SIDE)
        data = {
            "RGBA": lambda: png(*size, 4),
            "LA": lambda: saved(Image.new("LA", size), "PNG"),
            "P": lambda: saved(Image.new("P", size), "PNG", transparency=0),
            "I;16": lambda: saved(Image.fromarray(np.zeros(size, np.uint16)), "PNG"),
            "F": lambda: saved(Image.new("F", size), "TIFF"),
            "turned": lambda: saved(Image.new("RGB", size), "PNG", exif=self.exif_turned(), compress_level=1),
            "progressive": lambda: saved(Image.new("RGB", size), "JPEG", progressive=True, subsampling=0),
            "CMYK": lambda: saved(Image.new("CMYK", size), "JPEG"),
        }[kind]()
        # In 12 bytes a pixel, what is reckoned for one in flight, and the bands.
        assert memory_of(data) < 12 * self.PIXELS + (40 << 20)

    def test_chunks_that_unpack_to_much_cost_nothing(self) -> None:
        bomb = zlib.compress(bytes(200 << 20), 9)
        text = [chunk(b"zTXt", b"Comment\0\0" + bomb), chunk(b"iCCP", b"icc\0\0" + bomb)]
        for extra in ([text[0]], [text[1]], text):
            assert memory_of(png(64, 64, 3, *extra)) < 40 << 20


class TestTime:
    def test_scans_of_a_progressive_jpeg(self) -> None:
        data = saved(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
        last = data.rindex(b"\xff\xda")
        bomb = data[:-2] + data[last:-2] * 200 + b"\xff\xd9"
        for use in (decoding.decode, lambda data: decoding.decode(data, strict=False), decoding.inspect):
            with pytest.raises(ImageError, match="is a JPEG of 210 scans, above the limit of 100"):
                use(bomb)

    def test_frames_are_counted_up_to_a_number(self) -> None:
        assert decoding.inspect(tiff_of_frames(3)).frames == 3
        assert decoding.inspect(tiff_of_frames(MAX_FRAMES + 500)).frames == MAX_FRAMES
        frames = [Image.new("L", (4, 4), shade) for shade in (0, 90, 200)]
        assert decoding.inspect(saved(frames[0], "GIF", save_all=True, append_images=frames[1:])).frames == 3


def tiff_of_frames(count: int) -> bytes:
    """A TIFF whose directories all describe the same picture, by hand."""
    data = bytearray(saved(Image.new("L", (4, 4)), "TIFF"))
    first = struct.unpack_from("<I", data, 4)[0]
    entries = bytes(data[first : first + 2 + 12 * struct.unpack_from("<H", data, first)[0]])
    link = first + len(entries)
    for _ in range(count - 1):
        data += b"\0" * (len(data) % 2)
        struct.pack_into("<I", data, link, len(data))
        link = len(data) + len(entries)
        data += entries + bytes(4)
    return bytes(data)


class TestInFlight:
    def test_threads_take_turns_where_pictures_are_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(decoding, "PICTURES", InFlight(1000))
        inside, most, lock = 0, 0, threading.Lock()
        make = decoding._rgb

        def counted(image: Image.Image) -> np.ndarray:
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            try:
                return make(image)
            finally:
                with lock:
                    inside -= 1

        monkeypatch.setattr(decoding, "_rgb", counted)
        data = png(200, 200)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: preprocessing.prepare(data, Preprocess(32, 32, resize=40)), range(60)))
        assert most == 1

    def test_nothing_is_held_when_all_are_done(self, encoded: Encoded) -> None:
        for data in (encoded("JPEG", exif=TestMemory().exif_turned()), encoded("PNG"), encoded("WEBP"), b"text"):
            for how in (Preprocess(32, 32, resize=40), Preprocess.whole()):
                try:
                    preprocessing.prepare_sized(data, how)
                except ImageError:
                    continue
        assert PICTURES._used == 0
