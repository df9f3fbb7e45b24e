"""What is called like a file and is none: named pipes, sockets, devices. Whoever opened one would wait for ever."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clary.errors import DataError, ImageError
from clary.vision import formats
from clary.vision.base import decoding
from clary.vision.base.files import no_file, open_file, read_file
from clary.vision.base.types import Blob
from clary.vision.datasets.check import check
from clary.vision.formats._files import place

Jpeg = Callable[..., bytes]


def special(kind: str, path: Path) -> str:
    """Make one under ``path``; what it is called."""
    if kind == "pipe":
        os.mkfifo(path)
        return "a named pipe, no file"
    if kind == "socket":
        here = os.getcwd()
        os.chdir(path.parent)  # the name of a socket has 108 bytes at most
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
        os.chdir(here)
        return "a socket, no file"
    path.symlink_to("/dev/zero")
    return "a device, no file"


KINDS = ("pipe", "socket", "device")


@pytest.mark.parametrize("kind", KINDS)
def test_are_never_opened(kind: str, tmp_path: Path) -> None:
    said = special(kind, tmp_path / "a.jpg")
    assert no_file(tmp_path / "a.jpg") == f"is {said}"
    for read in (read_file, open_file, lambda path: Blob(path).read(), lambda path: Blob(path, 3, 5).read()):
        with pytest.raises(OSError, match=said):
            read(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match=rf"a\.jpg: cannot be read \({said}\)"):
        decoding.load(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=rf"a\.jpg: is {said}; leave it out"):
        place(Blob(tmp_path / "a.jpg"), tmp_path / "b.jpg")


def test_what_is_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("a")
    assert read_file(tmp_path / "link") == b"12345"
    assert no_file(tmp_path / "link") == ""
    assert no_file(tmp_path) == "is a folder, no file"
    assert no_file(tmp_path / "b") == "is not there"
    assert no_file("\0") == "is no name of a file"
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path)


# A set of each layout, and files of it that may be replaced; not those that a layout goes by: without them it is none.
REPLACED = {
    "folder-classification": ["train/*/*.jpg"],
    "lst-classification": ["train/*/*.jpg"],
    "coco-detection": ["train/*.jpg", "annotations/instances_validation.json"],
    "yolo-detection": ["images/train/*.jpg", "labels/train/*.txt", "data.yaml"],
    "voc-detection": ["JPEGImages/*.jpg", "Annotations/*.xml", "ImageSets/Main/val.txt", "classes.txt"],
    "voc-segmentation": ["SegmentationClass/*.png"],
    "masks-segmentation": ["images/train/*.jpg", "masks/train/*.png", "classes.txt"],
    "sagemaker-json-detection": ["train/*.jpg", "train_annotation/*.json", "classes.txt"],
    "sagemaker-png-segmentation": ["train/*.jpg", "train_annotation/*.png"],
    "augmented-manifest-classification": ["images/train/*.jpg"],
    "augmented-manifest-segmentation": ["masks/train/*.png"],
    "oxford-classification": ["images/*.jpg", "annotations/test.txt"],
    "recordio-classification": ["classes.txt", "train.idx"],
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory, jpeg: Jpeg) -> Callable[[str], Path]:
    """The same pictures in the layout and for the task of a name."""
    import numpy as np

    from clary.vision.base.types import Box, Dataset, Sample
    from clary.vision.formats._masks import mask_png

    root = tmp_path_factory.mktemp("source")
    samples = []
    for number in range(6):
        (root / f"{number}.jpg").write_bytes(jpeg(64, 48, number))
        (root / f"{number}.png").write_bytes(mask_png(np.full((48, 64), number % 2, np.uint8)))
        samples.append(Sample(Blob(root / f"{number}.jpg"), (number % 2,), source=str(number)))

    def make(name: str) -> Path:
        layout, _, task = name.rpartition("-")
        named = [
            {
                "classification": sample,
                "detection": Sample(sample.image, sample.classes, (Box(sample.classes[0], 1, 2, 30, 40),)),
                "segmentation": Sample(sample.image, mask=Blob(sample.image.path.with_suffix(".png"))),
            }[task]
            for sample in samples
        ]
        splits = {"train": tuple(named[:4]), "test" if layout == "oxford" else "validation": tuple(named[4:])}
        out = tmp_path_factory.mktemp("set") / name
        formats.FORMATS.get(layout).write(Dataset(root, layout, ("cat", "dog"), splits, task), out)  # type: ignore[arg-type]
        return out

    return make


@pytest.mark.parametrize(("name", "pattern"), [(name, one) for name, several in REPLACED.items() for one in several])
def test_are_left_out_by_name_in_every_layout(name: str, pattern: str, sets: Callable[[str], Path]) -> None:
    root = sets(name)
    path = sorted(root.glob(pattern))[0]
    path.unlink()
    said = special("pipe", path)
    found = check(root, task=name.rpartition("-")[2])
    lines = [str(problem) for problem in found.problems]
    assert any(path.name in line and said in line for line in lines), lines
    shutil.rmtree(root)


def test_a_check_ends(tmp_path: Path, jpeg: Jpeg) -> None:
    """As a person runs it: in a process that may be killed, were it to hang."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.jpg").write_bytes(jpeg(64, 48, hash(name) % 97 + number))
        os.mkfifo(tmp_path / name / "pipe.jpg")
    command = [sys.executable, "-m", "clary", "data", "check", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "error  cat/pipe.jpg: cannot be read (a named pipe, no file)" in done.stdout
