"""What a check has decoded is not decoded again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clary
from clary.vision.algorithms.catalog import find
from clary.vision.base import decoding
from clary.vision.base.decoded_size import DecodedSize
from clary.vision.base.types import Dataset
from clary.vision.datasets.check import examine
from clary.vision.datasets.decoded import DecodedPictures
from clary.vision.datasets.loader import ImageCache, Loader
from clary.vision.datasets.picture_store import PictureStore
from clary.vision.formats import read

SIZE = DecodedSize.of(40, 40)
SIZES = {"train": SIZE, "validation": SIZE}
COUNTS = {"train": 4, "validation": 2}


@pytest.fixture
def dataset(tmp_path: Path, class_folders: Callable[..., Path]) -> Dataset:
    """Ten pictures to train on, two each to validate and to test, of 120 x 90 pixels."""
    counts = {f"{split}/{name}": n for split, n in (("train", 5), ("validation", 1), ("test", 1)) for name in "ab"}
    return read(class_folders(tmp_path / "pictures", counts, width=120, height=90))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The size at which each picture was decoded since."""
    found: list[int | None] = []
    real = decoding.decode

    def decode(data: bytes, *, at_least: int | None = None, strict: bool = True) -> np.ndarray:
        found.append(at_least)
        return real(data, at_least=at_least, strict=strict)

    monkeypatch.setattr(decoding, "decode", decode)
    return found


def cache(dataset: Dataset, split: Any = "train", size: DecodedSize = SIZE, budget: int = 1 << 20) -> ImageCache:
    return ImageCache(dataset.splits[split], size.resize, size.at_least, budget)


def test_loaders_take_what_the_check_decoded(dataset: Dataset, decoded: list[int | None]) -> None:
    expected = [cache(dataset)[i] for i in range(10)]
    decoded.clear()
    pictures = DecodedPictures(SIZES)
    assert examine(dataset, pictures=pictures).problems == ()
    # Nobody trains on the test split.
    assert sorted(filter(None, decoded)) == [32] * 2 + [40] * 12
    decoded.clear()
    images = cache(dataset)
    images.take(pictures)
    for index, pixels in enumerate(expected):
        np.testing.assert_array_equal(images[index], pixels)
    assert decoded == []
    assert images.decoded == 0


def test_pictures_of_another_size_are_decoded(dataset: Dataset, decoded: list[int | None]) -> None:
    pictures = DecodedPictures(SIZES)
    examine(dataset, pictures=pictures)
    decoded.clear()
    images = cache(dataset, size=DecodedSize.of(48, 48))
    images.take(pictures)
    assert images[0].shape[0] == 48
    assert decoded == [48]


def test_no_more_is_kept_than_there_is_room_for(dataset: Dataset, decoded: list[int | None]) -> None:
    size = cache(dataset)[0].nbytes
    pictures = DecodedPictures(SIZES, budget=4 * size + 1)
    decoded.clear()
    examine(dataset, pictures=pictures)
    # The rest is looked at as small as can be, but for those that were under way.
    assert decoded.count(40) <= 4 + 4
    images = cache(dataset, budget=2 * size + 1)
    images.take(pictures)
    decoded.clear()
    assert len([images[i] for i in range(10)]) == 10
    assert decoded == [40] * 8


def test_a_check_finds_the_same_whatever_is_kept(dataset: Dataset, tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    root = dataset.root
    (root / "train" / "a" / "cut.jpg").write_bytes(jpeg(200, 150)[:-900])
    (root / "train" / "b" / "none.jpg").write_bytes(b"no picture")
    first = (root / "train" / "a" / "0.jpg").read_bytes()
    (root / "validation" / "a" / "again.jpg").write_bytes(first)
    found = read(root)
    plain, kept = examine(found), examine(found, pictures=DecodedPictures(SIZES))
    assert plain.problems == kept.problems
    assert len(plain.errors) == 2
    assert plain.dataset.splits == kept.dataset.splits


def test_large_pictures_are_decoded_once_for_all_trainings(
    dataset: Dataset, tmp_path: Path, decoded: list[int | None]
) -> None:
    size = DecodedSize.of(32, 32)
    fill_with_noise(dataset.root)
    (tmp_path / "store").mkdir()

    def looked_at(dataset: Dataset) -> DecodedPictures:
        pictures = DecodedPictures({"train": size}, PictureStore(tmp_path / "store"))
        assert examine(dataset, pictures=pictures).problems == ()
        return pictures

    first = looked_at(dataset)
    decoded.clear()
    # By content: of another job they have other names.
    dataset.root.rename(tmp_path / "moved")
    moved = read(tmp_path / "moved")
    again = looked_at(moved)
    assert (first.taken, again.taken) == (0, 10)
    assert decoded == [32] * 4
    for before, after in zip(dataset.splits["train"], moved.splits["train"], strict=True):
        np.testing.assert_array_equal(again.get(after.image, size), first.get(before.image, size))


@pytest.mark.parametrize(
    ("algorithm", "texts"),
    [
        ("classification", {}),
        ("classification", {"resize": "80", "validation_crop": "serving"}),
        ("classification", {"resize": "80", "validation_crop": "serving", "inference_crop": "center"}),
        ("detection", {}),
        ("segmentation", {}),
        ("segmentation", {"crop_size": "50", "inference_size": "72"}),
    ],
)
def test_hyperparameters_say_at_which_size_loaders_decode(
    algorithm: str,
    texts: dict[str, str],
    tmp_path: Path,
    class_folders: Callable[..., Path],
    rectangles: Callable[..., Path],
    decoded: list[int | None],
) -> None:
    chosen = {
        "classification": {"image_shape": "3,64,64"},
        "detection": {"image_shape": "300", "label_width": "60", "anchors": "original"},
        "segmentation": {"base_size": "64", "crop_size": "48"},
    }[algorithm]
    spec = find(algorithm)
    if algorithm == "classification":
        data = read(
            class_folders(tmp_path / "data", {f"{s}/{c}": n for s, n in COUNTS.items() for c in "ab"}, width=120)
        )
    else:
        data = read(rectangles(tmp_path / "data", algorithm, COUNTS, suffix=".jpg"), task=algorithm)
    filled = {"num_classes": str(len(data.class_names)), "num_training_samples": "4", "mini_batch_size": "2"}
    hp = spec.parse({**filled, **chosen, **texts})
    pictures = DecodedPictures(hp.decoded_sizes())
    examine(data, pictures=pictures)
    train, validation = loaders(algorithm, data, hp)
    for loader in (train, validation):
        loader.take(pictures)
    decoded.clear()
    assert sum(len(batch) for loader in (train, validation) for batch in loader.epoch()) == len(data)
    assert decoded == []


def fill_with_noise(root: Path) -> None:
    """Other pictures under the same names, whose files are larger than what they are decoded to."""
    for seed, path in enumerate(sorted(root.rglob("*.jpg"))):
        noise = np.random.default_rng(seed).integers(0, 256, (90, 120, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path, quality=95)
        assert path.stat().st_size > 3 * 32**2


def loaders(algorithm: str, dataset: Dataset, hp: Any) -> tuple[Loader, Loader]:
    from clary.vision.algorithms.image_classification import data as classification
    from clary.vision.algorithms.object_detection import data as detection
    from clary.vision.algorithms.semantic_segmentation import data as segmentation
    from clary.vision.models.anchors import Anchors, Level

    anchors = {hp.image_shape: Anchors([Level.even((3, 3), [(0.5, 0.5)])])} if algorithm == "detection" else {}
    made = {
        "classification": lambda: classification.loaders(dataset, hp),
        "detection": lambda: detection.loaders(dataset, hp, anchors),
        "segmentation": lambda: segmentation.loaders(dataset, hp),
    }[algorithm]()
    assert made[1] is not None
    return made[0], made[1]


@pytest.mark.slow  # two trainings
@pytest.mark.usefixtures("one_thread")
def test_a_training_whose_pictures_are_in_the_cache_gives_the_same_model(
    tmp_path: Path, class_folders: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLARY_PICTURES", str(tmp_path / "store"))
    root = class_folders(tmp_path / "pictures", {"train/a": 4, "train/b": 4, "test/a": 1, "test/b": 1})
    fill_with_noise(root)
    settings: dict[str, Any] = {"backbone": "test_resnet", "use_pretrained_model": 0, "image_shape": (3, 32, 32)}
    settings |= {"freeze": "none", "mini_batch_size": 4, "precision": "fp32", "epochs": 1, "resize": 32}
    first, second = (clary.train("classification", root, out=tmp_path / name, **settings) for name in ("one", "two"))
    assert "taken from the cache" not in first.log
    assert re.search(r"8 decoded pictures taken from the cache", second.log)
    assert weights(first) == weights(second)


def weights(run: clary.Run) -> bytes:
    import tarfile

    with tarfile.open(run.model) as archive:
        part = archive.extractfile("model.safetensors")
        assert part is not None
        return part.read()
