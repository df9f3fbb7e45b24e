"""Segmentation's data: masks to class ids, and pictures and masks that are cut, scaled and turned together."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clary.errors import CustomerError, DataError
from clary.vision.algorithms import recipe
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.semantic_segmentation import data
from clary.vision.algorithms.semantic_segmentation.spec import SPEC, SegmentationHyperparameters
from clary.vision.base.jobdir import Channel, JobDir
from clary.vision.base.types import Blob, Dataset, Sample
from clary.vision.formats._masks import mask_png, value_table

COLUMNS, ROWS = 64, 32
CHANNELS = ("train", "train_annotation", "validation", "validation_annotation")


def settings(**texts: str) -> SegmentationHyperparameters:
    """64 classes, so that a mask can number its columns; crops of 32, nothing random but place and mirror."""
    chosen = {
        "num_classes": "64",
        "num_training_samples": "4",
        "mini_batch_size": "4",
        "validation_mini_batch_size": "2",
        "base_size": "64",
        "crop_size": "32",
        "scale_range": "1,1",
    }
    return SPEC.parse({**chosen, **texts})


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def numbered(rows: int = ROWS, columns: int = COLUMNS) -> tuple[np.ndarray, np.ndarray]:
    """A picture whose red is four times its column, and a mask whose class is its column."""
    ids = np.tile(np.arange(columns, dtype=np.uint8), (rows, 1))
    pixels = np.full((rows, columns, 3), 90, np.uint8)
    pixels[..., 0] = 4 * ids
    return pixels, ids


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., Dataset]:
    """``dataset(rows, columns)``: four numbered pictures to train on, two to validate."""

    def make(rows: int = ROWS, columns: int = COLUMNS) -> Dataset:
        samples = []
        for number in range(6):
            pixels, ids = numbered(rows, columns)
            (tmp_path / f"{number}.png").write_bytes(png(pixels))
            (tmp_path / f"{number}-mask.png").write_bytes(mask_png(ids))
            samples.append(Sample(Blob(tmp_path / f"{number}.png"), mask=Blob(tmp_path / f"{number}-mask.png")))
        names = tuple(str(n) for n in range(64))
        splits: Any = {"train": tuple(samples[:4]), "validation": tuple(samples[4:])}
        return Dataset(tmp_path, "memory", names, splits, "segmentation")

    return make


def batches(dataset: Dataset, hp: SegmentationHyperparameters, place: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures and masks of several epochs, of the train (0) or the validation (1) loader."""
    loader = data.loaders(dataset, hp)[place]
    assert loader is not None
    return [(batch.images, batch.targets) for epoch in range(3) for batch in loader.epoch(epoch)]


def pairs(dataset: Dataset, hp: SegmentationHyperparameters, place: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    return [pair for images, masks in batches(dataset, hp, place) for pair in zip(images, masks, strict=True)]


# Sizes


@pytest.mark.parametrize(("asked", "side"), [("17", 24), ("24", 24), ("240", 240), ("241", 248)])
def test_crop_size_is_rounded_up_to_a_multiple_of_8(asked: str, side: int) -> None:
    assert settings(crop_size=asked).image_size() == side


def test_crops_are_small_first_and_things_as_large_as_ever(dataset: Callable[..., Dataset]) -> None:
    hp = settings(progressive_resizing="16:1,24:1", epochs="3", augmentation_type="default")
    found = batches(dataset(), hp, 0)
    assert [images.shape for images, _ in found] == [(4, side, side, 3) for side in (16, 24, 32)]
    for images, masks in found:
        assert masks.shape == images.shape[:3]
        # From column to column: by one class, as in the picture.
        steps = np.abs(np.diff(masks.astype(int), axis=2))
        assert set(np.unique(steps)) == {1}
    assert {images.shape[1:] for images, _ in batches(dataset(), hp, 1)} == {(32, 32, 3)}


def test_batches_have_the_shapes_of_the_network(dataset: Callable[..., Dataset]) -> None:
    hp = settings(crop_size="30")
    for place, count in ((0, 4), (1, 2)):
        for images, masks in batches(dataset(), hp, place):
            assert images.shape == (count, 32, 32, 3)
            assert masks.shape == (count, 32, 32)
            assert images.dtype == masks.dtype == np.uint8


def columns_seen(mask: np.ndarray) -> np.ndarray:
    """The columns of the picture that a row of a crop shows, from left to right of the picture."""
    row: np.ndarray = mask[0].astype(int)
    return row if row[0] <= row[-1] else row[::-1]


@pytest.mark.parametrize(
    ("base", "scale", "step"), [("64", "1,1", 1.0), ("128", "1,1", 0.5), ("64", "2,2", 0.5), ("64", "0.5,0.5", 2.0)]
)
def test_longer_side_becomes_base_size_times_the_scale(
    base: str, scale: str, step: float, dataset: Callable[..., Dataset]
) -> None:
    """A crop of 32 pixels then shows that many columns of the picture's 64."""
    for _, mask in pairs(dataset(64), settings(base_size=base, scale_range=scale)):
        seen = columns_seen(mask)
        assert seen[-1] - seen[0] == pytest.approx(31 * step, abs=1.5)
        np.testing.assert_allclose(np.diff(seen), step, atol=1)


def test_scale_is_random_within_its_range(dataset: Callable[..., Dataset]) -> None:
    widths = []
    for _, mask in pairs(dataset(64), settings(scale_range="0.5,2", epochs="1")):
        seen = columns_seen(mask)
        widths.append(int(seen[-1] - seen[0]) + 1)
    assert min(widths) >= 15
    assert max(widths) <= 64
    assert len(set(widths)) > 4


def test_crops_are_at_random_places_and_mirrored_half_the_time(dataset: Callable[..., Dataset]) -> None:
    found = [mask[0] for _, mask in pairs(dataset(64), settings())]
    assert len({int(row.min()) for row in found}) > 4
    assert {row[0] < row[-1] for row in found} == {True, False}


@pytest.mark.parametrize("augmentation", ["default", "light"])
def test_mask_follows_its_picture(augmentation: str, dataset: Callable[..., Dataset]) -> None:
    """Where the mask says column c the picture has the red of column c, but for blur and light."""
    for pixels, mask in pairs(dataset(64), settings(scale_range="0.6,1.8", augmentation_type=augmentation)):
        told, red = mask.astype(float).ravel(), pixels[..., 0].astype(float).ravel()
        assert np.corrcoef(told, red)[0, 1] > (0.995 if augmentation == "default" else 0.95)  # light is cut at 255
        if augmentation == "default":
            assert np.abs(red - 4 * told).mean() < 8


def test_what_lies_beyond_a_small_picture_has_no_class(dataset: Callable[..., Dataset]) -> None:
    """Half as large as the crop in its height: the rest is black and ignored."""
    for pixels, mask in pairs(dataset(16), settings()):
        beyond = mask == 255
        assert beyond.sum() == 16 * 32
        assert (beyond.all(axis=1) | ~beyond.any(axis=1)).all()
        assert pixels[beyond].mean() < 5  # blur reaches over the edge


def test_validation_takes_the_centre_of_the_shorter_side(dataset: Callable[..., Dataset]) -> None:
    for pixels, mask in pairs(dataset(), settings(), 1):
        np.testing.assert_array_equal(mask[0], np.arange(16, 48))
        np.testing.assert_array_equal(pixels[..., 0], 4 * mask)


def test_validation_enlarges_small_pictures(dataset: Callable[..., Dataset]) -> None:
    for _, mask in pairs(dataset(16), settings(), 1):
        assert (mask[0].min(), mask[0].max()) == (24, 39)
        assert 255 not in mask


@pytest.mark.parametrize(("inference_size", "shape"), [(None, (32, 64)), ("128", (64, 128)), ("48", (32, 48))])
def test_one_picture_at_a_time_is_validated_whole(
    inference_size: str | None, shape: tuple[int, int], dataset: Callable[..., Dataset]
) -> None:
    """At its own size, or with the longer side at `inference_size`; no side is below 32."""
    more = {"inference_size": inference_size} if inference_size else {}
    for pixels, mask in pairs(dataset(), settings(validation_mini_batch_size="1", **more), 1):
        assert pixels.shape[:2] == mask.shape == shape
        assert (mask[0, 0], mask[0, -1]) == (0, 63)


def test_without_a_validation_split_there_is_no_loader_for_it(dataset: Callable[..., Dataset]) -> None:
    found = dataset()
    only = found.with_splits({"train": found.splits["train"]})
    assert data.loaders(only, settings())[1] is None


def test_examples_are_crops_of_training_pictures(dataset: Callable[..., Dataset]) -> None:
    found = recipe.examples(dataset(), data.crop_transform(settings(crop_size="30")))
    assert found.shape == (4, 32, 32, 3)
    assert found.dtype == np.uint8


# Masks


def classes_of(tmp_path: Path, mask: bytes, num_classes: int = 3, values: bytes | None = None) -> np.ndarray:
    """Of a mask whose picture is as large."""
    (tmp_path / "m.png").write_bytes(mask)
    with suppress(OSError):
        Image.new("RGB", Image.open(io.BytesIO(mask)).size).save(tmp_path / "p.png")
    sample = Sample(Blob(tmp_path / "p.png"), mask=Blob(tmp_path / "m.png"), mask_values=values)
    return data.MaskCache([sample], num_classes)[0]


IDS = np.array([[0, 1, 2], [255, 255, 0]], np.uint8)


@pytest.mark.parametrize("kind", ["palette", "gray"])
def test_palette_indices_and_gray_values_are_class_ids_and_255_stays(kind: str, tmp_path: Path) -> None:
    found = classes_of(tmp_path, mask_png(IDS) if kind == "palette" else png(IDS))
    np.testing.assert_array_equal(found, IDS)


def test_map_is_read_from_class_to_value(tmp_path: Path) -> None:
    """{"0": 40, "1": 0, "2": 7} of the guide: the values 40, 0, 7 are the classes 0, 1, 2; others are none."""
    table = value_table({"map": {"0": 40, "1": 0, "2": 7}})
    assert isinstance(table, bytes)
    found = classes_of(tmp_path, png(np.array([[40, 0, 7, 1, 255]], np.uint8)), values=table)
    np.testing.assert_array_equal(found, [[0, 1, 2, 255, 255]])


def test_scale_divides_values(tmp_path: Path) -> None:
    table = value_table({"scale": "10"})
    assert isinstance(table, bytes)
    found = classes_of(tmp_path, png(np.array([[0, 9, 10, 19, 29, 255]], np.uint8)), values=table)
    np.testing.assert_array_equal(found, [[0, 0, 1, 1, 2, 255]])


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (png(np.zeros((4, 4, 3), np.uint8)), "is RGB with 8 bits a channel, not a mask of one channel"),
        (png(np.zeros((4, 4, 4), np.uint8)), "is RGBA with 8 bits a channel, not a mask of one channel"),
        (png(np.zeros((4, 4), np.uint16)), "is I;16 with 16 bits a channel, not a mask of one channel"),
        (png(np.full((4, 4), 3, np.uint8)), "holds the class 3; with num_classes 3 they run from 0 to 2"),
        (mask_png(np.full((4, 4), 254, np.uint8)), "holds the class 254; with num_classes 3 they run from 0 to 2"),
        (b"", "is empty (0 bytes)"),
        (b"no picture", "is not a picture"),
        (png(np.random.default_rng(0).integers(0, 3, (64, 64)).astype(np.uint8))[:300], "is damaged or truncated"),
    ],
    ids=["RGB", "RGBA", "16 bits", "gray above", "palette above", "empty", "text", "truncated"],
)
def test_masks_that_cannot_be_used_are_named(mask: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        classes_of(tmp_path, mask)
    assert str(caught.value).startswith(f"{tmp_path}/m.png: {said}")
    assert "\n" not in str(caught.value)


def test_mask_that_went_away_is_named(tmp_path: Path) -> None:
    cache = data.MaskCache([Sample(Blob(tmp_path / "p.png"), mask=Blob(tmp_path / "gone.png"))], 3)
    with pytest.raises(DataError, match=r"gone\.png: cannot be read \(No such file"):
        cache[0]


def test_class_that_a_scale_makes_too_high_is_named(tmp_path: Path) -> None:
    table = value_table({"scale": 2})
    assert isinstance(table, bytes)
    with pytest.raises(DataError, match="holds the class 7; with num_classes 3"):
        classes_of(tmp_path, png(np.full((4, 4), 14, np.uint8)), values=table)


# Channels


@pytest.fixture
def job(tmp_path: Path) -> JobDir:
    """Four numbered pictures and masks to train on, one to validate, in channels of their own; and a label map."""
    root = tmp_path / "data"
    for name, count in (("train", 4), ("validation", 1)):
        for folder in (name, f"{name}_annotation"):
            (root / folder).mkdir(parents=True)
        for number in range(count):
            pixels, ids = numbered()
            (root / name / f"{number}.png").write_bytes(png(pixels))
            (root / f"{name}_annotation" / f"{number}.png").write_bytes(mask_png(ids))
    (root / "label_map").mkdir()
    (root / "label_map" / "train_label_map.json").write_text(json.dumps({"scale": 8}))
    channels = {name: Channel(name, root / name, "image/png") for name in CHANNELS}
    channels["label_map"] = Channel("label_map", root / "label_map", "application/json")
    return JobDir.create(tmp_path / "job", {}, channels)


def without_map(job: JobDir) -> JobDir:
    path = job.config / "inputdataconfig.json"
    path.write_text(json.dumps({n: c for n, c in json.loads(path.read_text()).items() if n != "label_map"}))
    return job


def loaded(job: JobDir, hp: SegmentationHyperparameters) -> tuple[Dataset, list[str]]:
    lines: list[str] = []
    return data.load_dataset(job, hp, JobLog(echo=lines.append)), lines


def told(lines: list[str]) -> list[str]:
    """The lines without what is noted of these pictures, which are all alike."""
    texts = [line.partition("] ")[2] for line in lines]
    return [text for text in texts if not text.startswith(("note: ", "pictures used: ")) and " in all: " not in text]


def test_map_of_one_channel_leaves_the_other(job: JobDir) -> None:
    found, lines = loaded(job, settings())
    assert told(lines) == []
    train, validation = (data.MaskCache(found.splits[split], 64)[0] for split in ("train", "validation"))
    np.testing.assert_array_equal(train[0], np.arange(64) // 8)
    np.testing.assert_array_equal(validation[0], np.arange(64))


def test_defaults_of_label_maps_are_told(job: JobDir) -> None:
    _, lines = loaded(without_map(job), settings())
    assert [line.split()[2] for line in lines[:3]] == ["WARNING", "INFO", "INFO"]
    assert told(lines) == [
        "label maps not provided, using defaults.",
        "#label_map train :{'scale': 1}",
        "#label_map validation :{'scale': 1}",
    ]


def test_pictures_without_a_mask_are_named_and_left_out(job: JobDir) -> None:
    (job.data / "train_annotation" / "2.png").unlink()
    found, lines = loaded(job, settings(mini_batch_size="3"))
    assert len(found.splits["train"]) == 3
    assert told(lines) == [
        "left out: train/2.png: has no mask 2.png in train_annotation; add it or remove the picture",
        "left out: 1 file or record (1 without a mask)",
    ]
    assert lines[-1].endswith(f"pictures used: 3 of train, {len(found.splits['validation'])} of validation")


def test_fewer_pictures_than_a_batch(job: JobDir) -> None:
    with pytest.raises(CustomerError, match="must be bigger or equal to the mini_batch_size"):
        loaded(job, settings(mini_batch_size="5"))


def test_bad_mask_ends_the_job_before_its_first_step_with_its_name(job: JobDir) -> None:
    (job.data / "train_annotation" / "1.png").write_bytes(png(np.zeros((32, 64, 3), np.uint8)))
    with pytest.raises(DataError, match=r"train_annotation/1\.png: is RGB with 8 bits a channel"):
        loaded(job, settings())
