from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clary.errors import DataError
from clary.vision.datasets.check import CheckResult, check

Tree = Callable[..., Path]
Encoded = Callable[..., bytes]


@pytest.fixture
def root(tmp_path: Path, class_folders: Tree) -> Path:
    """Two classes of five clean pictures."""
    return class_folders(tmp_path / "pets", {"cat": 5, "dog": 5})


def lines(result: CheckResult, severity: str) -> list[str]:
    return [str(problem) for problem in result.problems if problem.severity == severity]


def bomb(width: int = 50_000, height: int = 50_000) -> bytes:
    """A PNG of a few bytes whose header promises 7.5 GB of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def test_a_clean_set_yields_nothing(root: Path) -> None:
    result = check(root)
    assert result.problems == ()
    assert len(result.dataset) == 10


class TestErrors:
    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "is empty (0 bytes); remove it or copy it again"),
            (b"this is no picture", "is not a picture; remove it or export it as JPEG or PNG"),
            (bomb(), "is a picture above the limit of 89 million pixels; make it smaller"),
        ],
        ids=["zero bytes", "text", "bomb"],
    )
    def test_pictures_that_cannot_be_used(self, root: Path, data: bytes, said: str) -> None:
        (root / "cat/1.jpg").write_bytes(data)
        result = check(root)
        assert lines(result, "error") == [f"cat/1.jpg: {said}"]
        assert len(result.dataset) == 9

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
    def test_truncated(self, root: Path, encoded: Encoded, format: str) -> None:
        data = encoded(format, seed=77)
        (root / "cat/1.jpg").write_bytes(data[: len(data) * 2 // 3])
        [line] = lines(check(root), "error")
        assert line.startswith("cat/1.jpg: is damaged or truncated (")
        assert line.endswith("; remove it or export it again")

    def test_a_picture_that_has_gone(self, root: Path) -> None:
        (root / "cat/1.jpg").unlink()
        (root / "cat/1.jpg").symlink_to(root / "nowhere.jpg")
        assert lines(check(root), "error") == [
            "cat/1.jpg: cannot be read (No such file or directory); copy it again or mend its permissions"
        ]

    def test_the_same_picture_in_two_classes(self, root: Path) -> None:
        (root / "dog/3.jpg").write_bytes((root / "cat/1.jpg").read_bytes())
        result = check(root)
        assert lines(result, "error") == [
            "cat/1.jpg: is `cat` here, the same picture has another label at dog/3.jpg (`dog`); keep the right one"
        ]
        assert len(result.dataset) == 8  # nobody knows which is right

    def test_all_bad_records_at_once_in_their_order(self, root: Path) -> None:
        for name in ("dog/4", "cat/3", "cat/0"):
            (root / f"{name}.jpg").write_bytes(b"")
        (root / "bird").mkdir()
        found = [problem.where for problem in check(root).errors]
        assert found == ["bird", "cat/0.jpg", "cat/3.jpg", "dog/4.jpg"]

    def test_the_line_of_a_list_is_named(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path, {"a": 5, "b": 5})
        rows = [f"{n}\t{n % 2}\t{'ab'[n % 2]}/{n // 2}.jpg\n" for n in range(10)]
        (tmp_path / "train.lst").write_text("".join(rows))
        (tmp_path / "b/1.jpg").write_bytes(b"")
        assert lines(check(tmp_path), "error")[0].startswith("b/1.jpg (train.lst:4): is empty")

    def test_no_data_set(self, tmp_path: Path) -> None:
        with pytest.raises(DataError):
            check(tmp_path)


class TestNotes:
    @pytest.mark.parametrize(
        ("name", "make", "said"),
        [
            ("gray.jpg", lambda im: (im.convert("L"), "JPEG", {}), "is grayscale; it is used as gray RGB"),
            ("cmyk.jpg", lambda im: (im.convert("CMYK"), "JPEG", {}), "is CMYK, meant for print; it is converted"),
            ("deep.png", lambda im: (Image.fromarray(np.full((48, 64), 999, np.uint16)), "PNG", {}), "has 16 bits"),
            ("film.gif", lambda im: (im, "GIF", {"save_all": True, "append_images": [im.rotate(90)]}), "has 2 frames"),
            ("side.jpg", lambda im: (im, "JPEG", {"exif": _exif(6)}), "is turned by its EXIF orientation; it is used"),
            ("really.jpg", lambda im: (im, "PNG", {}), "is a PNG file; rename it to .png if that matters"),
            ("tiny.jpg", lambda im: (im.resize((31, 80)), "JPEG", {}), "is only 31 x 80 pixels; use a larger picture"),
        ],
    )
    def test_what_is_unusual(
        self, root: Path, picture: Callable[..., np.ndarray], name: str, make: Callable[[Any], Any], said: str
    ) -> None:
        image, format, options = make(Image.fromarray(picture(64, 48, 123)))
        image.save(root / "cat" / name, format, **options)
        result = check(root)
        assert lines(result, "error") == []
        assert [line for line in lines(result, "note") if said in line and line.startswith(f"cat/{name}: ")]
        assert len(result.dataset) == 11

    def test_endings_in_any_case_and_spelling(self, root: Path, encoded: Encoded) -> None:
        for name, format in (("a.JPEG", "JPEG"), ("b.PNG", "PNG"), ("c.jfif", "JPEG"), ("d.tif", "TIFF")):
            (root / "cat" / name).write_bytes(encoded(format, seed=len(name) + ord(name[0])))
        assert check(root).problems == ()

    def test_few_pictures_of_a_class(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path, {"cat": 5, "dog": 4, "eel": 1})
        assert lines(check(tmp_path), "note") == [
            "train: class `dog` has only 4 pictures; give each class 5 or more",
            "train: class `eel` has only 1 picture; give each class 5 or more",
        ]

    def test_the_same_picture_twice_in_a_class(self, root: Path) -> None:
        (root / "cat/7.jpg").write_bytes((root / "cat/1.jpg").read_bytes())
        (root / "cat/8.jpg").write_bytes((root / "cat/1.jpg").read_bytes())
        result = check(root)
        assert lines(result, "note") == ["cat/1.jpg: is the same picture as cat/7.jpg, cat/8.jpg; remove one of them"]
        assert len(result.dataset) == 12

    def test_the_same_picture_in_train_and_test(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path, {"train/cat": 5, "train/dog": 5})
        class_folders(tmp_path, {"test/cat": 2}, seed=4)  # the first is the last of train/cat
        [line] = lines(check(tmp_path), "note")
        assert line.startswith("train/cat/4.jpg: is in train, and in test as test/cat/0.jpg; leave it in one split")

    def test_equal_size_is_not_equal(self, root: Path, encoded: Encoded) -> None:
        for number in range(2):  # a bitmap's size depends on its shape only
            (root / "cat" / f"{number}.bmp").write_bytes(encoded("BMP", seed=500 + number))
        assert check(root).problems == ()


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_progress_is_told_once_a_picture(root: Path) -> None:
    told: list[int] = []
    check(root, progress=told.append)
    assert told == [1] * 10


def test_pictures_stay_closed_without_decode(root: Path) -> None:
    (root / "cat/1.jpg").write_bytes(b"no picture")
    result = check(root, decode=False)
    assert result.problems == ()
    assert len(result.dataset) == 10


def test_twice_the_same(root: Path) -> None:
    for number in range(4):
        (root / f"cat/{number}.jpg").write_bytes(b"%d" % number)
    assert check(root).problems == check(root).problems


@pytest.mark.pets
def test_real_pets(pets: Path) -> None:
    result = check(pets)
    assert lines(result, "error") == []
    assert [problem.where for problem in result.notes] == [
        "images",
        "images/Abyssinian_5.jpg (annotations/test.txt:45)",
    ]
    assert "is a PNG file" in result.notes[1].what
