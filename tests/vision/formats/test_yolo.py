from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import DataError
from clary.vision import formats
from clary.vision.base.types import Box, Dataset
from clary.vision.datasets.left_out import count_left_out
from clary.vision.formats._wording import FAULTY
from clary.vision.formats._yaml_names import names_in
from clary.vision.formats.yolo import Yolo


@pytest.fixture
def root(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    """Two pictures of 64x48, one with a box."""
    for folder in ("images/train", "labels/train"):
        (tmp_path / folder).mkdir(parents=True)
    for name in "ab":
        (tmp_path / f"images/train/{name}.jpg").write_bytes(jpeg(seed=ord(name)))
    (tmp_path / "labels/train/a.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\n")
    return tmp_path


def told(dataset: Dataset) -> list[str]:
    return [str(problem) for problem in dataset.problems if problem.severity == "error"]


def test_boxes_are_pixels(root: Path) -> None:
    data = formats.read(root)
    assert (data.format, data.task, data.class_names, data.problems) == ("yolo", "detection", ("cat", "dog"), ())
    assert data.splits["train"][0].boxes == (Box(1, 24, 12, 40, 36),)
    assert data.splits["train"][1].boxes == ()


def test_boxes_of_a_turned_picture_are_of_the_upright_one(root: Path, image: Callable[..., object]) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image()).save(root / "images/train/a.jpg", exif=exif)  # type: ignore[arg-type]
    assert formats.read(root).splits["train"][0].boxes == (Box(1, 18, 16, 30, 48),)


def test_polygons_become_boxes(root: Path) -> None:
    (root / "labels/train/a.txt").write_text("0 0.25 0.5 0.5 0.25 0.75 0.5 0.5 0.75\n")
    assert formats.read(root).splits["train"][0].boxes == (Box(0, 16, 12, 48, 36),)


@pytest.mark.parametrize("arrangement", ["flat", "split first"])
def test_other_arrangements(root: Path, arrangement: str) -> None:
    for kind in ("images", "labels"):
        inner = root / kind / "train"
        if arrangement == "flat":
            for path in inner.iterdir():
                path.rename(root / kind / path.name)
            inner.rmdir()
        else:
            (root / "valid").mkdir(exist_ok=True)
            inner.rename(root / "valid" / kind)
            (root / kind).rmdir()
            (root / "train" / kind).mkdir(parents=True)
    splits = formats.read(root).splits
    assert {split: len(found) for split, found in splits.items()} == (
        {"train": 2} if arrangement == "flat" else {"train": 0, "validation": 2}
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1 0.5 0.5 0.25", "has 4 numbers, not 5; a line is class id, centre x"),
        ("1 0.5 0.5 0.25 x", "has `x`, which is not a number"),
        ("1 0.5 0.5 0.25 1.2.3", "has `1.2.3`, which is not a number"),
        ("2 0.5 0.5 0.25 0.5", "has the class id 2, which is unknown: class ids run from 0 to 1"),
        ("-1 0.5 0.5 0.25 0.5", "which is negative"),
        ("0.5 0.5 0.5 0.25 0.5", "which is not a whole number"),
        ("1 0.9 0.5 0.5 0.5", "has a box outside its picture of 64x48 pixels"),
        ("1 0.5 0.5 -0.1 0.5", "has a box of width -0.1 and height 0.5"),
        ("1 0.5 0.5 0 0.5", "has a box of zero area"),
        ("1 nan 0.5 0.1 0.5", "has a box of numbers that are not finite"),
        ("nan 0.5 0.5 0.1 0.5", "has the class id nan"),
    ],
)
def test_lines_left_out_are_named(root: Path, line: str, said: str) -> None:
    (root / "labels/train/a.txt").write_text(f"0 0.5 0.5 0.5 0.5\n{line}\n")
    data = formats.read(root)
    [problem] = told(data)
    assert problem.startswith("labels/train/a.txt:2: ")
    assert said in problem
    assert len(data.splits["train"][0].boxes) == 1


def test_a_picture_that_cannot_be_read(root: Path) -> None:
    (root / "images/train/a.jpg").write_bytes(b"no picture")
    data = formats.read(root)
    assert told(data)[0].startswith("images/train/a.jpg: is not a picture")
    assert len(data) == 1


@pytest.mark.parametrize("text", ["1 0.5 0.5 0.25 0.5\n".encode("utf-16"), None], ids=["UTF-16", "not to be read"])
def test_a_picture_whose_labels_cannot_be_read_is_no_background(root: Path, text: bytes | None) -> None:
    path = root / "labels/train/a.txt"
    if text is None:
        path.unlink()
        path.symlink_to("a.txt")
    else:
        path.write_bytes(text)
    data = formats.read(root)
    assert any(line.startswith("labels/train/a.txt") for line in told(data))
    assert [sample.image.path.name for sample in data.splits["train"]] == ["b.jpg"]
    assert count_left_out(data.problems)[FAULTY] == 1


def lines_of(text: str) -> list[tuple[int, str]]:
    return [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [cat, dog]", ("cat", "dog")),
        ("nc: 2\nnames: ['cat', \"a, b\"]  # two\ntrain: x", ("cat", "a, b")),
        ('names:\n  0: cat\n  1: "hot # dog"  # second\n\nnc: 2', ("cat", "hot # dog")),
        ("names:\n- cat\n- it''s\ndownload: |\n  import os", ("cat", "it''s")),
        ("names: {0: cat, 1: 'it''s'}", ("cat", "it's")),
        ("names: [cat,\n  dog]", ("cat", "dog")),
        ("names: ['a]b', c]", ("a]b", "c")),
    ],
)
def test_names(text: str, names: tuple[str, ...]) -> None:
    assert names_in(lines_of(text), "data.yaml") == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nc: 2", "data.yaml:1: has no `names`"),
        ("names: [cat, dog", "data.yaml:1: has `names` without the closing ]"),
        ("names:", "has no class names"),
        ("names:\n  0: cat\n  2: dog", "data.yaml:3: has class ids with gaps"),
        ("names:\n  0: cat\n  dog", "data.yaml:3: has `dog`, which is no class name"),
        ('names:\n  0: cat\n  1: "dog', 'data.yaml:3: has `"dog`, which is no class name'),
    ],
)
def test_names_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        names_in(lines_of(text), "data.yaml")
    assert said in str(caught.value)


@settings(max_examples=300)
@given(st.lists(st.sampled_from([*"[]{}:,#'\" \n-0", "names:", "cat", "é", "\\"]), max_size=25).map("".join))
def test_any_yaml(text: str) -> None:
    try:
        names = names_in(lines_of(text), "data.yaml")
    except DataError as error:
        assert error.where.startswith("data.yaml:")  # noqa: PT017
    else:
        assert names


@settings(max_examples=40)
@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=1, max_size=5, unique=True))
def test_names_that_are_written_are_read(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    root = tmp_path_factory.mktemp("names")
    Yolo().write(Dataset(root, "memory", tuple(names), {"train": ()}, "detection"), root / "out")
    lines = lines_of((root / "out/data.yaml").read_text(encoding="utf-8"))
    assert names_in(lines, "data.yaml") == tuple(names)
