from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.errors import CustomerError, DataError
from clary.vision import formats
from clary.vision.base.decoding import decode_mask
from clary.vision.base.jobdir import Channel
from clary.vision.base.types import Dataset
from clary.vision.formats._masks import mask_png, read_label_map, value_table
from clary.vision.formats.oxford import TRIMAP
from clary.vision.formats.sagemaker_png import SageMakerPng

Jpeg = Callable[..., bytes]


def pairs(root: Path, images: str, masks: str, names: str, jpeg: Jpeg, *, low: int = 0, high: int = 3) -> Path:
    """A picture and a mask for each name; masks hold values from ``low`` up to ``high``."""
    for folder in (images, masks):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / images / f"{name}.jpg").write_bytes(jpeg(seed=ord(name)))
        ids = np.random.default_rng(ord(name)).integers(low, high, size=(48, 64)).astype(np.uint8)
        (root / masks / f"{name}.png").write_bytes(mask_png(ids))
    return root


def told(dataset: Dataset, severity: str = "error") -> list[str]:
    return [str(problem) for problem in dataset.problems if problem.severity == severity]


class TestLabelMaps:
    def test_the_map_is_read_class_to_value(self) -> None:
        table = value_table({"map": {"0": 40, "1": 0, "2": 7}})
        assert isinstance(table, bytes)
        assert (table[40], table[0], table[7]) == (0, 1, 2)
        assert {table[value] for value in range(256) if value not in (40, 0, 7)} == {255}

    @pytest.mark.parametrize("scale", [10, "10", 10.0])
    def test_a_scale_divides(self, scale: object) -> None:
        table = value_table({"scale": scale})
        assert isinstance(table, bytes)
        assert [table[value] for value in (0, 9, 10, 19, 20, 254, 255)] == [0, 0, 1, 1, 2, 25, 255]

    def test_255_may_be_a_class(self) -> None:
        table = value_table({"map": {"0": 0, "1": 255}})
        assert isinstance(table, bytes)
        assert table[255] == 1

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            ([], "has neither `map` nor `scale`, or both"),
            ({"map": {"0": 1}, "scale": 1}, "or both"),
            ({"scale": 0}, "has the scale `0`, which is not a number above 0"),
            ({"scale": "ten"}, "has the scale `ten`"),
            ({"scale": None}, "has the scale `None`"),
            ({"map": {}}, "has a `map` that is no object"),
            ({"map": {"cat": 1}}, "maps the class `cat`, which is not a whole number from 0 to 254"),
            ({"map": {"0": 300}}, "gives class 0 the value `300`"),
            ({"map": {"0": 1.5}}, "gives class 0 the value `1.5`"),
            ({"map": {"0": 4, "1": 4}}, "gives the value 4 to class 0 and to class 1"),
        ],
    )
    def test_mistakes(self, spec: object, said: str) -> None:
        found = value_table(spec)
        assert isinstance(found, str)
        assert said in found

    @given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
    def test_any_value(self, value: object) -> None:
        for spec in (value, {"map": value}, {"scale": value}, {"map": {"0": value}}):
            table = value_table(spec)
            assert isinstance(table, str) or len(table) == 256

    def test_no_json(self, tmp_path: Path) -> None:
        (tmp_path / "m.json").write_text('{"map": }')
        assert str(read_label_map(tmp_path / "m.json", "m.json")[1][0]).startswith("m.json:1:9: is not JSON (")


class TestMaskFolders:
    @pytest.mark.parametrize(
        ("images", "masks"), [("images/train", "masks/train"), ("train/images", "train/masks"), ("images", "masks")]
    )
    def test_arrangements(self, tmp_path: Path, jpeg: Jpeg, images: str, masks: str) -> None:
        data = formats.read(pairs(tmp_path, images, masks, "abc", jpeg))
        assert (data.format, data.task, data.problems) == ("masks", "segmentation", ())
        assert data.class_names == ("0", "1", "2")
        assert [sample.source for sample in data.splits["train"]] == [f"{images}/{name}.jpg" for name in "abc"]
        assert all(sample.classes == () for sample in data.splits["train"])

    def test_a_label_map_changes_values(self, tmp_path: Path, jpeg: Jpeg) -> None:
        pairs(tmp_path, "images", "masks", "a", jpeg, low=1, high=4)
        (tmp_path / "label_map.json").write_text(json.dumps({"map": {"0": 1, "1": 2, "2": 3}}))
        [sample] = formats.read(tmp_path).splits["train"]
        assert sample.mask is not None
        raw, ids = decode_mask(sample.mask.read()), decode_mask(sample.mask.read(), sample.mask_values)
        assert np.array_equal(raw - 1, ids)

    def test_masks_that_are_jpeg_are_told_as_such(self, tmp_path: Path, jpeg: Jpeg) -> None:
        pairs(tmp_path, "images", "masks", "ab", jpeg)
        (tmp_path / "masks/b.png").rename(tmp_path / "masks/b.JPG")
        (wrong,) = told(formats.read(tmp_path))
        assert wrong == (
            "images/b.jpg: has no mask b.png in masks, but b.JPG; save masks as PNG (JPEG does not keep the values)"
        )

    def test_names_and_strays(self, tmp_path: Path, jpeg: Jpeg) -> None:
        pairs(tmp_path, "images", "masks", "abc", jpeg)
        (tmp_path / "classes.txt").write_text("sky\nsea\nland\nsand\n")
        (tmp_path / "masks/c.png").unlink()
        (tmp_path / "images/notes.txt").touch()
        (tmp_path / "masks/z.png").touch()
        data = formats.read(tmp_path)
        assert data.class_names == ("sky", "sea", "land", "sand")
        assert told(data) == ["images/c.jpg: has no mask c.png in masks; add it or remove the picture"]
        assert told(data, "note") == [
            "images: has 1 file of another kind, left out: images/notes.txt",
            "masks: has 1 file without a picture of that name, left out: masks/z.png; "
            "put the pictures back or remove them",
        ]


class TestSageMakerChannels:
    def channels(self, root: Path) -> dict[str, Channel]:
        names = ["train", "validation", "train_annotation", "validation_annotation", "label_map"]
        kinds = ["image/jpeg"] * 2 + ["image/png"] * 2 + ["application/json"]
        return {n: Channel(n, root / n, kind) for n, kind in zip(names, kinds, strict=True) if (root / n).is_dir()}

    def data(self, root: Path, num_classes: int = 3) -> Dataset:
        return SageMakerPng().read_channels(
            self.channels(root), task="segmentation", num_classes=num_classes, multi_label=False
        )

    def test_a_map_for_one_channel_only(self, tmp_path: Path, jpeg: Jpeg) -> None:
        pairs(tmp_path, "train", "train_annotation", "ab", jpeg)
        pairs(tmp_path, "validation", "validation_annotation", "c", jpeg)
        (tmp_path / "label_map").mkdir()
        (tmp_path / "label_map/train_label_map.json").write_text('{"scale": "2"}')
        data = self.data(tmp_path)
        assert data.problems == ()
        assert data.class_names == ("0", "1", "2")
        assert [s.mask_values is None for split in ("train", "validation") for s in data.splits[split]] == [
            False,
            False,
            True,
        ]

    def test_a_map_that_cannot_be_used_ends_the_job(self, tmp_path: Path, jpeg: Jpeg) -> None:
        pairs(tmp_path, "train", "train_annotation", "ab", jpeg)
        (tmp_path / "label_map").mkdir()
        (tmp_path / "label_map/train_label_map.json").write_text("{}")
        with pytest.raises(
            DataError, match=r"Invalid label map for the train channel\. label_map/train_label_map\.json:"
        ):
            self.data(tmp_path)

    def test_annotations_missing(self, tmp_path: Path, jpeg: Jpeg) -> None:
        pairs(tmp_path, "train", "train_annotation", "ab", jpeg)
        channels = self.channels(tmp_path)
        del channels["train_annotation"]
        with pytest.raises(CustomerError, match="The train_annotation channel is missing"):
            SageMakerPng().read_channels(channels, task="segmentation", num_classes=3, multi_label=False)

    def test_an_s3_prefix_without_a_slash_at_its_end_brings_the_masks_with_the_pictures(
        self, tmp_path: Path, jpeg: Jpeg
    ) -> None:
        """As `s3://bucket/data/train` does, which `s3://bucket/data/train_annotation/` begins with as well."""
        pairs(tmp_path, "train", "train_annotation", "abc", jpeg)
        shutil.copytree(tmp_path / "train_annotation", tmp_path / "train" / "train_annotation")
        data = self.data(tmp_path)
        assert [sample.source for sample in data.splits["train"]] == ["train/a.jpg", "train/b.jpg", "train/c.jpg"]
        assert told(data) == []
        assert told(data, "note") == [
            "train: has the 3 files of train_annotation as well, left out; end the S3 URI of this channel with a slash"
        ]

    def test_as_a_folder(self, tmp_path: Path, jpeg: Jpeg) -> None:
        pairs(tmp_path, "train", "train_annotation", "ab", jpeg)
        assert formats.read(tmp_path).format == "sagemaker-png"


@pytest.mark.pets
def test_trimaps_of_oxford(pets: Path) -> None:
    data = formats.read(pets, task="segmentation")
    assert data.class_names == ("pet", "background", "border")
    assert {split: len(found) for split, found in data.splits.items()} == {"train": 237, "test": 235}
    sample = data.splits["train"][0]
    assert sample.mask is not None
    assert sample.mask_values == TRIMAP
    raw, ids = decode_mask(sample.mask.read()), decode_mask(sample.mask.read(), TRIMAP)
    assert set(np.unique(raw)) == {1, 2, 3}
    assert np.array_equal(raw - 1, ids)


def test_endings_in_any_case(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    """Cameras and Windows write `.JPG` and `.PNG`."""
    for folder in ("train", "train_annotation"):
        (tmp_path / folder).mkdir()
    (tmp_path / "train" / "a.JPEG").write_bytes(jpeg(8, 8))
    (tmp_path / "train_annotation" / "a.PNG").write_bytes(mask_png(np.eye(8, dtype=np.uint8)))
    data = formats.read(tmp_path)
    assert (data.format, len(data)) == ("sagemaker-png", 1)
