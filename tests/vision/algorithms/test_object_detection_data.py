"""Detection's data: room for labels, anchors for the boxes of a set, what validation and serving see."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clary.errors import CustomerError, DataError
from clary.vision.algorithms import recipe
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.object_detection import data
from clary.vision.algorithms.object_detection.spec import SPEC, DetectionHyperparameters
from clary.vision.base.jobdir import Channel, JobDir
from clary.vision.base.types import Blob, Box, Dataset, Sample
from clary.vision.models.anchors import Anchors, Level

GRIDS = [(8, 8), (4, 4), (2, 2)]


def settings(**texts: str) -> DetectionHyperparameters:
    chosen = {"num_classes": "2", "num_training_samples": "4", "mini_batch_size": "2", "label_width": "12"}
    return SPEC.parse({**chosen, **texts})


def sample(root: Path, name: str, *boxes: Box, size: tuple[int, int] = (80, 40)) -> Sample:
    Image.fromarray(np.full((size[1], size[0], 3), 90, np.uint8)).save(root / name)
    classes = tuple(sorted({box.class_id for box in boxes}))
    return Sample(Blob(root / name), classes, boxes, source=f"{name} in a list")


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., Dataset]:
    """``dataset(box, box)``: four pictures of 80 x 40 pixels with these boxes; the first of them is to validate."""

    def make(*boxes: Box) -> Dataset:
        found = [sample(tmp_path, f"{number}.png", *boxes) for number in range(4)]
        splits: Any = {"train": tuple(found[1:]), "validation": tuple(found[:1])}
        return Dataset(tmp_path, "memory", ("cat", "dog"), splits, "detection")

    return make


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., JobDir]:
    """``job(3)``: a job of four pictures, the third of which has three boxes, all others one."""

    def make(count: int) -> JobDir:
        box = {"class_id": 1, "left": 8, "top": 4, "width": 40, "height": 20}
        size = [{"width": 80, "height": 40, "depth": 3}]
        for name in ("train", "validation"):
            (tmp_path / name).mkdir()
            (tmp_path / f"{name}_annotation").mkdir()
            for number in range(4):
                sample(tmp_path / name, f"{number}.png")
                told = {"image_size": size, "annotations": [box] * (count if number == 2 else 1)}
                (tmp_path / f"{name}_annotation" / f"{number}.json").write_text(json.dumps(told))
        names = ("train", "validation", "train_annotation", "validation_annotation")
        return JobDir.create(
            tmp_path / "job", {}, {name: Channel(name, tmp_path / name, "image/png") for name in names}
        )

    return make


# Room for labels


@pytest.mark.parametrize(("width", "slots"), [("7", 1), ("11", 1), ("12", 2), ("350", 69), ("352", 70)])
def test_label_width_is_a_header_of_two_and_five_for_each_object(width: str, slots: int) -> None:
    assert data.slots(settings(label_width=width)) == slots


@pytest.mark.parametrize(("count", "width", "needed"), [(2, "12", None), (3, "16", 17), (3, "17", None), (5, "12", 27)])
def test_a_picture_with_more_objects_is_named(
    count: int, width: str, needed: int | None, job: Callable[..., JobDir]
) -> None:
    made, hp = job(count), settings(label_width=width)
    if needed is None:
        assert len(data.load_dataset(made, hp, JobLog(echo=None)).splits["train"]) == 4
        return
    with pytest.raises(CustomerError) as caught:
        data.load_dataset(made, hp, JobLog(echo=None))
    said = str(caught.value)
    assert said.startswith("Invalid parameter value 'label_width'. Please ensure that the value of parameter ")
    assert f"at least {needed}: train_annotation/2.json has {count} objects" in said


def test_targets_have_room_for_as_many_objects(dataset: Callable[..., Dataset]) -> None:
    anchors = Anchors([Level.even((3, 3), [(0.5, 0.5)])])
    train, validation = data.loaders(
        dataset(Box(1, 8, 4, 48, 24)), settings(augmentation="none", label_width="22"), {300: anchors}
    )
    assert validation is not None
    for batch in (*train.epoch(), *validation.epoch()):
        objects = batch.targets[:, :20].reshape(-1, 4, 5)
        np.testing.assert_allclose(objects[:, 0], [[1, 0.1, 0.1, 0.6, 0.6]] * len(batch), atol=1e-6)
        assert (objects[:, 1:] == -1).all()
        assert batch.targets.shape[1] == 20 + 9


# Boxes


def test_order_of_objects_and_their_classes_are_kept(tmp_path: Path) -> None:
    boxes = (Box(1, 8, 4, 48, 24), Box(0, 0, 0, 80, 40), Box(1, 40, 20, 80, 40))
    found = data.ObjectCache([sample(tmp_path, "a.png", *boxes)])[0]
    expected = np.array([[1, 0.1, 0.1, 0.6, 0.6], [0, 0, 0, 1, 1], [1, 0.5, 0.5, 1, 1]])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_boxes_are_fractions_of_the_picture_as_it_is_shown(tmp_path: Path) -> None:
    """Turned by its EXIF orientation, a picture stored as 80 x 40 pixels is 40 wide."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 40)).save(tmp_path / "a.jpg", exif=exif)
    turned = Sample(Blob(tmp_path / "a.jpg"), (0,), (Box(0, 10, 20, 40, 80),))
    np.testing.assert_allclose(data.ObjectCache([turned])[0], [[0, 0.25, 0.25, 1, 1]], atol=1e-6)


def test_box_that_sticks_out_by_a_pixel_is_cut_off(tmp_path: Path) -> None:
    found = data.ObjectCache([sample(tmp_path, "a.png", Box(0, -1, -1, 81, 40.5))])[0]
    assert found.tolist() == [[0, 0, 0, 1, 1]]


@pytest.mark.parametrize(("content", "said"), [(b"", "is empty (0 bytes)"), (b"text", "is not a picture")])
def test_picture_without_a_size_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError) as caught:
        data.ObjectCache([Sample(Blob(tmp_path / "a.png"))])[0]
    assert str(caught.value).startswith(f"{tmp_path}/a.png: {said}")


# Anchors


@pytest.mark.parametrize("count", [1, 3])
def test_fitted_anchors_are_as_large_as_the_boxes(count: int, dataset: Callable[..., Dataset]) -> None:
    """All boxes of one size, nothing enlarged: so are all anchors, in fractions of width and height."""
    hp = settings(augmentation="none", anchors="fitted", anchors_per_cell=str(count))
    levels = data.fitted_levels(dataset(Box(0, 8, 4, 24, 28)), hp, GRIDS)
    assert [level.grid for level in levels] == GRIDS
    assert [len(level.sizes) for level in levels] == [count] * 3
    np.testing.assert_allclose([size for level in levels for size in level.sizes], [(0.2, 0.6)] * 3 * count, rtol=0.02)


def test_fitted_anchors_go_from_small_to_large_and_repeat(dataset: Callable[..., Dataset]) -> None:
    hp = settings(anchors="fitted", augmentation="gentle")
    found = dataset(Box(0, 8, 4, 16, 8), Box(1, 0, 0, 70, 36))
    levels = data.fitted_levels(found, hp, GRIDS)
    areas = [width * height for level in levels for width, height in level.sizes]
    assert areas == sorted(areas)
    assert areas[0] < 0.02 < 0.3 < areas[-1]
    assert levels == data.fitted_levels(found, hp, GRIDS)


def test_only_training_boxes_are_fitted_to(tmp_path: Path) -> None:
    splits: Any = {
        "train": (sample(tmp_path, "a.png", Box(0, 0, 0, 16, 8)),),
        "validation": (sample(tmp_path, "b.png", Box(0, 0, 0, 80, 40)),),
    }
    found = Dataset(tmp_path, "memory", ("cat",), splits, "detection")
    levels = data.fitted_levels(found, settings(augmentation="none"), [(2, 2)])
    np.testing.assert_allclose(levels[0].sizes, [(0.2, 0.2)] * 3, rtol=0.02)


# What is seen


def test_validation_and_serving_see_the_whole_picture_squashed(dataset: Callable[..., Dataset]) -> None:
    hp = settings(augmentation="ssd")
    how = data.serving_transform(hp)
    assert (how.height, how.width, how.crop) == (300, 300, "squash")
    found = dataset(Box(1, 8, 4, 48, 24))
    loader = data.loaders(found, hp, {300: Anchors([Level.even((3, 3), [(0.5, 0.5)])])})[1]
    assert loader is not None
    first, again = (next(iter(loader.epoch(epoch))) for epoch in (0, 1))
    assert first.images.shape == (1, 300, 300, 3)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.targets, again.targets)
    assert recipe.examples(found, how).shape == (3, 300, 300, 3)


def test_training_pictures_change_from_epoch_to_epoch_and_repeat_with_the_seed(dataset: Callable[..., Dataset]) -> None:
    anchors = Anchors([Level.even((3, 3), [(0.5, 0.5)])])
    found = dataset(Box(1, 8, 4, 48, 24))

    def targets(epoch: int, **texts: str) -> np.ndarray:
        loader, _ = data.loaders(found, settings(mini_batch_size="3", **texts), {300: anchors})
        (batch,) = loader.epoch(epoch)
        targets: np.ndarray = batch.targets[np.argsort(batch.indices)]
        return targets

    np.testing.assert_array_equal(targets(0), targets(0))
    assert not np.array_equal(targets(0), targets(1))
    assert not np.array_equal(targets(0), targets(0, seed="1"))


def test_small_pictures_come_first_with_anchors_of_their_own(dataset: Callable[..., Dataset]) -> None:
    sides = (160, 224, 320)
    anchors = {side: Anchors([Level.even((side // 32,) * 2, [(0.5, 0.5)])]) for side in sides}
    hp = settings(
        backbone="test_resnet", image_shape="320", epochs="4", mini_batch_size="3", progressive_resizing="160:1,224:2"
    )
    train, validation = data.loaders(dataset(Box(1, 8, 4, 48, 24)), hp, anchors)
    assert validation is not None
    found = [next(iter(train.epoch(epoch))) for epoch in range(4)]
    assert [batch.images.shape[1:3] for batch in found] == [(side, side) for side in (160, 224, 224, 320)]
    assert [batch.targets.shape[1] for batch in found] == [10 + (side // 32) ** 2 for side in (160, 224, 224, 320)]
    assert next(iter(validation.epoch())).images.shape == (1, 320, 320, 3)


def test_anchors_that_overlap_a_little_are_left_alone_where_they_are_fitted(dataset: Callable[..., Dataset]) -> None:
    """Between 0.4 and 0.5 a fitted anchor is neither object nor background; of SSD's own all below 0.5 are."""
    # Around the centre of the box, as wide: overlaps are the shares of its height, 1, 0.45 and 0.3.
    anchors = Anchors([Level((1, 1), (0.7, 0.7), ((0.5, 0.5), (0.5, 0.225), (0.5, 0.15)))])
    found = dataset(Box(1, 8, 4, 48, 24))
    answers = {}
    for kind in ("original", "fitted"):
        loader = data.loaders(found, settings(anchors=kind, augmentation="none"), {300: anchors})[1]
        assert loader is not None
        answers[kind] = next(iter(loader.epoch())).targets[0, -3:].tolist()
    assert answers == {"original": [0, -1, -1], "fitted": [0, -2, -1]}
