"""Pictures and masks of the same name in two folders.

    ROOT/
    ├── images/train/a.jpg   masks/train/a.png   also train/images/a.jpg, train/masks/a.png;
    ├── images/validation    masks/validation    without splits images/a.jpg, masks/a.png
    ├── classes.txt                              optional: class names in id order
    └── label_map.json                           optional: {"map": {"0": 40}} or {"scale": 10}

A mask has one channel: palette indices or gray values. They are class ids, or what label_map.json says; 255 is
ignored. Without names the number of classes is found by opening the masks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clary.errors import UsageError
from clary.vision.base.types import Blob, Dataset, Problem, Sample, SplitName, TaskName
from clary.vision.formats._base import Format, Need
from clary.vision.formats._classes import class_problems, names_up_to, read_class_names, write_class_names
from clary.vision.formats._files import distinct_name, file_name, place
from clary.vision.formats._layout import holds_lists, paired_folders
from clary.vision.formats._masks import as_classes, count_classes, read_label_map, write_mask
from clary.vision.formats._pairs import pair
from clary.vision.formats._wording import relative

__all__ = ["FORMAT", "MaskFolders", "masked_dataset", "masked_samples", "write_pairs"]


class MaskFolders(Format):
    """See the module. Written as ``images/<split>`` and ``masks/<split>``, with class ids as values."""

    name = "masks"
    layout = "images/ and masks/ with pictures and PNG masks of the same names"
    needs = (
        Need("images/ with the pictures", ("images/", "*/images/")),
        Need("masks/ with a PNG of the same name for each", ("masks/", "*/masks/"), ("*mask*/", "labels/*.png")),
    )
    tasks = frozenset[TaskName]({"segmentation"})

    def sniff(self, root: Path) -> bool:
        return bool(paired_folders(root, "images", "masks")) and not holds_lists(root)

    def _read(self, root: Path, task: TaskName, labels: str | None) -> Dataset:
        names, problems = read_class_names(root)
        table: bytes | None = None
        if os.path.lexists(root / "label_map.json"):
            table, wrong = read_label_map(root / "label_map.json", "label_map.json")
            problems += wrong
        splits: dict[SplitName, tuple[Sample, ...]] = {}
        where: dict[SplitName, str] = {}
        for split, (images, masks) in paired_folders(root, "images", "masks").items():
            splits[split], found = masked_samples(root, images, masks, table)
            problems += found
            where[split] = relative(images, root)
        return masked_dataset(root, self.name, splits, names, None, where, problems)

    def _write(self, dataset: Dataset, root: Path) -> None:
        write_class_names(root, dataset.class_names)
        for split, samples in dataset.splits.items():
            write_pairs(samples, root / "images" / split, root / "masks" / split)


def masked_samples(
    root: Path, images: Path, masks: Path, table: bytes | None
) -> tuple[tuple[Sample, ...], list[Problem]]:
    """The pictures of a folder that have a mask in the other, and what was left out."""
    pairs = pair(root, images, masks, ".png")
    samples = tuple(
        Sample(Blob(image), mask=Blob(mask), source=relative(image, root), mask_values=table)
        for image, mask in pairs.found
    )
    wanted = relative(masks, root)
    # An error, where a picture without boxes is none: a mask cannot be empty, so it was forgotten.
    hint, other_kinds = "add it or remove the picture", _masks_of_other_kinds(masks) if pairs.single else {}
    lost = []
    for path in pairs.single:
        what, mend = f"has no mask {path.stem}.png in {wanted}", hint
        if other := other_kinds.get(path.relative_to(images).with_suffix("")):
            what, mend = f"{what}, but {other}", "save masks as PNG (JPEG does not keep the values)"
        lost.append(Problem(relative(path, root), what, mend, "error", 1, "without a mask"))
    return samples, [*pairs.problems, *lost]


def _masks_of_other_kinds(masks: Path) -> dict[Path, str]:
    """The names of pictures that stand where masks are looked for and are no PNG, by their place without the ending."""
    found = (path for path in masks.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
    return {path.relative_to(masks).with_suffix(""): path.name for path in found}


def masked_dataset(
    root: Path,
    format: str,
    splits: Mapping[SplitName, tuple[Sample, ...]],
    names: Sequence[str] | None,
    num_classes: int | None,
    where: Mapping[SplitName, str],
    problems: Sequence[Problem],
) -> Dataset:
    """A data set for segmentation; classes are those named, those asked for, else those in the masks."""
    # A job says how many classes there are, and its contract what 255 means.
    if num_classes is None:
        splits, names, guessed = as_classes(splits, names, root)
        problems = [*problems, *guessed]
    samples = [sample for found in splits.values() for sample in found]
    # The last way, since every mask has to be opened for it.
    count = num_classes or (len(names) if names is not None else count_classes(samples))
    kept: dict[SplitName, tuple[Sample, ...]] = {"train": ()}
    kept |= {split: found for split, found in splits.items() if found}
    dataset = Dataset(root, format, names_up_to(count, names), kept, "segmentation")
    return replace(dataset, problems=(*problems, *class_problems(dataset, where)))


def write_pairs(samples: Sequence[Sample], images: Path, masks: Path) -> None:
    """Place pictures and their masks under equal names. Raises UsageError for a sample without a mask."""
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    stems: dict[str, int] = {}
    for sample in samples:
        if sample.mask is None:
            raise UsageError("has no mask", where=sample.source or sample.image, hint="leave it out")
        wanted = Path(file_name(sample))
        # By the stem, not the name: a.jpg and a.png would share the mask a.png.
        stem = distinct_name(wanted.stem, stems)
        place(sample.image, images / f"{stem}{wanted.suffix}")
        write_mask(sample, masks / f"{stem}.png")


FORMAT = MaskFolders()
