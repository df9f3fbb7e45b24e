"""Pictures and PNG masks in folders called like the channels of SageMaker's semantic segmentation.

    ROOT/
    ├── train/a.jpg        train_annotation/a.png
    ├── validation/b.jpg   validation_annotation/b.png
    ├── label_map/         optional: train_label_map.json, validation_label_map.json
    └── classes.txt        optional: class names in id order; not part of the original layout

Masks have one channel, palette or gray; values are class ids, 255 is ignored. A label map changes that:
``{"map": {"0": 40}}`` makes value 40 class 0 and ignores values it does not have; ``{"scale": 10}`` divides by 10.
Source: SageMaker developer guide, "Semantic Segmentation Algorithm", input and output interface.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from clary.errors import CustomerError, DataError
from clary.vision.base.jobdir import Channel
from clary.vision.base.types import Dataset, Problem, Sample, SplitName, TaskName
from clary.vision.formats._base import IMAGE_TYPES, Format, Need
from clary.vision.formats._classes import read_class_names, write_class_names
from clary.vision.formats._layout import SPLIT_ORDER, SPLITS, entries
from clary.vision.formats._masks import read_label_map
from clary.vision.formats.masks import masked_dataset, masked_samples, write_pairs

__all__ = ["FORMAT", "SageMakerPng"]


class SageMakerPng(Format):
    """See the module."""

    name = "sagemaker-png"
    layout = "train/ and train_annotation/ with pictures and PNG masks of the same names"
    needs = (
        Need("train/ with the pictures", ("train/",)),
        Need("train_annotation/ with a PNG of the same name for each", ("train_annotation/*.png",)),
    )
    tasks = frozenset[TaskName]({"segmentation"})
    content_types = (*IMAGE_TYPES, "application/json")  # the latter for label maps

    def sniff(self, root: Path) -> bool:
        # JSON there are boxes: the channels of detection are called alike.
        return (root / "train").is_dir() and any(
            path.suffix.lower() == ".png" for path in entries(root / "train_annotation")
        )

    def _read(self, root: Path, task: TaskName, labels: str | None) -> Dataset:
        names, problems = read_class_names(root)
        folders = {split: root / split for split in SPLIT_ORDER if (root / split).is_dir()}
        maps = root / "label_map"
        return _dataset(root, folders, {s: root / f"{s}_annotation" for s in folders}, maps, names, None, problems)

    def _write(self, dataset: Dataset, root: Path) -> None:
        write_class_names(root, dataset.class_names)
        for split, samples in dataset.splits.items():
            write_pairs(samples, root / split, root / f"{split}_annotation")

    def takes(self, channels: Mapping[str, Channel]) -> bool:
        return not any(name.endswith("_lst") for name in channels)

    def read_channels(
        self, channels: Mapping[str, Channel], *, task: TaskName, num_classes: int | None, multi_label: bool
    ) -> Dataset:
        images: dict[SplitName, Path] = {}
        masks: dict[SplitName, Path] = {}
        for name in ("train", "validation"):
            if name in channels:
                if f"{name}_annotation" not in channels:
                    raise CustomerError(
                        f"The {name}_annotation channel is missing", hint="add it with a mask a picture"
                    )
                images[SPLITS[name]] = channels[name].path
                masks[SPLITS[name]] = channels[f"{name}_annotation"].path
        maps = channels["label_map"].path if "label_map" in channels else None
        root = channels["train"].path.parent
        return _dataset(root, images, masks, maps, None, num_classes, [], strict=True)


def _dataset(
    root: Path,
    images: Mapping[SplitName, Path],
    masks: Mapping[SplitName, Path],
    maps: Path | None,
    names: tuple[str, ...] | None,
    num_classes: int | None,
    problems: list[Problem],
    strict: bool = False,
) -> Dataset:
    """``strict`` raises DataError for a label map that cannot be used, since all masks would be read wrongly."""
    splits: dict[SplitName, tuple[Sample, ...]] = {}
    for split, folder in images.items():
        # A map a split: training and validation masks may be encoded differently (guide, label map).
        table, wrong = _label_map(maps, split)
        # In a job alone: a folder is first checked by people, who see it among the problems.
        if strict and wrong:
            raise DataError(f"Invalid label map for the {split} channel. {wrong[0]}")
        splits[split], found = masked_samples(root, folder, masks[split], table)
        problems += [*wrong, *found]
    where: dict[SplitName, str] = {split: folder.name for split, folder in images.items()}
    return masked_dataset(root, SageMakerPng.name, splits, names, num_classes, where, problems)


def _label_map(folder: Path | None, split: SplitName) -> tuple[bytes | None, list[Problem]]:
    path = folder / f"{split}_label_map.json" if folder else None
    if path is None or not os.path.lexists(path):
        return None, []
    return read_label_map(path, f"{path.parent.name}/{path.name}")


FORMAT = SageMakerPng()
