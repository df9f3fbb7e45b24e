"""The layout of the PASCAL VOC challenges.

    ROOT/
    ├── JPEGImages/000001.jpg
    ├── Annotations/000001.xml                 boxes
    ├── SegmentationClass/000001.png           palette masks, 0 is background, 255 is ignored
    ├── ImageSets/Main/train.txt val.txt ...   names a split; trainval.txt where there is no train.txt
    ├── ImageSets/Segmentation/train.txt ...   the same for masks
    └── classes.txt                            optional, not of the original: class names in id order

Without lists all annotations (or masks) are train. Without ``classes.txt`` the classes of boxes are the names they
have, sorted; those of masks are background and the twenty of VOC.
Source: The PASCAL Visual Object Classes Challenge 2012 development kit, sections 3 and 8.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from clary.errors import DataError, UsageError
from clary.vision.base.image_formats import is_image
from clary.vision.base.types import Blob, Box, Dataset, Problem, Sample, SplitName, TaskName
from clary.vision.formats._base import Format, Need
from clary.vision.formats._boxes import classes_of
from clary.vision.formats._classes import class_problems, names_up_to, read_class_names, write_class_names
from clary.vision.formats._files import distinct_name, file_name, image_size, place
from clary.vision.formats._layout import (
    SPLIT_ORDER,
    SPLITS,
    by_stem,
    entries,
    locate,
    nfc,
    numbered_lines,
    unsafe_path,
)
from clary.vision.formats._masks import write_mask
from clary.vision.formats._voc import annotation, read_objects
from clary.vision.formats._wording import FAULTY, shown

__all__ = ["CLASSES", "FORMAT", "Voc"]

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
FILES: Mapping[SplitName, str] = {"train": "train.txt", "validation": "val.txt", "test": "test.txt"}


class Voc(Format):
    """See the module."""

    name = "voc"
    lists_images = True
    layout = "JPEGImages/ and Annotations/ (or SegmentationClass/), as PASCAL VOC has it"
    needs = (
        Need("JPEGImages/ with the pictures", ("JPEGImages/",)),
        Need(
            "Annotations/ with an XML file (or SegmentationClass/ with a PNG) for each",
            ("Annotations/", "SegmentationClass/"),
            ("*.xml", "*/*.xml"),
        ),
    )
    tasks = frozenset[TaskName]({"detection", "segmentation"})

    def sniff(self, root: Path) -> bool:
        return (root / "JPEGImages").is_dir() and any(
            (root / name).is_dir() for name in ("Annotations", "SegmentationClass")
        )

    def task_of(self, root: Path) -> TaskName:
        return "detection" if (root / "Annotations").is_dir() else "segmentation"

    def _read(self, root: Path, task: TaskName, labels: str | None) -> Dataset:
        return _Reader(root, task).dataset()

    def _write(self, dataset: Dataset, root: Path) -> None:
        write_class_names(root, dataset.class_names)
        kind = "Main" if dataset.task == "detection" else "Segmentation"
        (root / "ImageSets" / kind).mkdir(parents=True)
        (root / "JPEGImages").mkdir()
        (root / ("Annotations" if dataset.task == "detection" else "SegmentationClass")).mkdir()
        taken: dict[str, int] = {}
        for split, samples in dataset.splits.items():
            names = [_write_sample(sample, dataset, root, taken) for sample in samples]
            (root / "ImageSets" / kind / FILES[split]).write_text(
                "".join(f"{name}\n" for name in names), encoding="utf-8"
            )


@dataclass(slots=True)
class _Reader:
    root: Path
    task: TaskName
    problems: list[Problem] = field(default_factory=list)

    def dataset(self) -> Dataset:
        names, wrong = read_class_names(self.root)
        self.problems += wrong
        lists = self._lists()
        images = by_stem(self.root / "JPEGImages", is_image)
        rows: dict[SplitName, list[tuple[str, str]]] = {
            split: [row for row in found if self._has_image(row, images)] for split, found in lists.items()
        }
        if self.task == "detection":
            splits, names = self._boxed(rows, images, names)
        else:
            # Masks hold numbers only: without names they are those of the challenge.
            splits, names = self._masked(rows, images), names or CLASSES
        kept: dict[SplitName, tuple[Sample, ...]] = {"train": ()}
        kept |= {split: found for split, found in splits.items() if found}
        dataset = Dataset(self.root, Voc.name, names_up_to(len(names), names), kept, self.task)
        where = {split: f"ImageSets/{self._kind}/{FILES[split]}" for split in lists}
        return replace(dataset, problems=(*self.problems, *class_problems(dataset, where)))

    def _boxed(
        self,
        rows: Mapping[SplitName, Sequence[tuple[str, str]]],
        images: Mapping[str, Path],
        names: tuple[str, ...] | None,
    ) -> tuple[dict[SplitName, tuple[Sample, ...]], tuple[str, ...]]:
        found: dict[SplitName, list[tuple[Path, list[tuple[str, Box]], str]]] = {}
        for split, listed in rows.items():
            found[split] = []
            for name, where in listed:
                xml = _written(self.root / "Annotations", f"{name}.xml")
                if not os.path.lexists(xml):
                    self._problem(
                        where, f"names {name}, which has no Annotations/{name}.xml", "add it or the line goes"
                    )
                    continue
                try:
                    objects, wrong = read_objects(xml, f"Annotations/{xml.name}", names)
                except DataError as error:
                    self._problem(error.where, error.what, error.hint)
                    continue
                self.problems += wrong
                found[split].append((images[name], objects, where))
        if names is None:
            # Sorted: the order of files is chance, and ids must be the same when a picture is added.
            names = tuple(sorted({n for split in found.values() for _, objects, _ in split for n, _ in objects}))
        ids = {name: number for number, name in enumerate(names)}
        splits: dict[SplitName, tuple[Sample, ...]] = {}
        for split, kept in found.items():
            samples = []
            for path, objects, where in kept:
                boxes = tuple(replace(box, class_id=ids[name]) for name, box in objects)
                samples.append(Sample(Blob(path), classes_of(boxes), boxes, source=where))
            splits[split] = tuple(samples)
        return splits, names

    def _masked(
        self, rows: Mapping[SplitName, Sequence[tuple[str, str]]], images: Mapping[str, Path]
    ) -> dict[SplitName, tuple[Sample, ...]]:
        splits: dict[SplitName, tuple[Sample, ...]] = {}
        for split, listed in rows.items():
            samples = []
            for name, where in listed:
                mask = _written(self.root / "SegmentationClass", f"{name}.png")
                if os.path.lexists(mask):
                    samples.append(Sample(Blob(images[name]), mask=Blob(mask), source=where))
                else:
                    self._problem(where, f"names {name}, which has no SegmentationClass/{name}.png", "add its mask")
            splits[split] = tuple(samples)
        return splits

    def _lists(self) -> dict[SplitName, list[tuple[str, str]]]:
        """Names of pictures by split, each with file and line; all of train where there are no lists."""
        folder = self.root / "ImageSets" / self._kind
        files: dict[SplitName, Path] = {}
        for path in entries(folder):
            # By the whole name: cat_train.txt beside train.txt lists the pictures of one class.
            if path.suffix.lower() == ".txt" and path.stem in SPLITS:
                files.setdefault(SPLITS[path.stem], path)
        # Only then: trainval is both lists together, and validation pictures must not be trained on.
        if "train" not in files and (folder / "trainval.txt").is_file():
            files["train"] = folder / "trainval.txt"
        if not files:
            others = "Annotations" if self.task == "detection" else "SegmentationClass"
            found = [path for path in entries(self.root / others) if path.suffix.lower() in (".xml", ".png")]
            return {"train": [(nfc(path.stem), f"{others}/{path.name}") for path in found]}
        seen: dict[str, str] = {}
        return {split: list(self._names(files[split], seen)) for split in SPLIT_ORDER if split in files}

    def _names(self, path: Path, seen: dict[str, str]) -> list[tuple[str, str]]:
        where = f"ImageSets/{self._kind}/{path.name}"
        lines, problems = numbered_lines(path, where, records=True)
        self.problems += problems
        rows = []
        for number, text in lines:
            # Lists of one class (`cat_train.txt`) have 1 or -1 after the name; those of all pictures the name alone.
            name, place_ = nfc(text.split()[0]), f"{where}:{number}"
            if name in seen:
                self._problem(place_, f"lists {shown(name)} again, first in {seen[name]}", "remove one line")
            elif unsafe_path(name) or "/" in name:
                self._problem(place_, f"has {shown(name)}, which is no name of a picture", "a line is a name")
            else:
                seen[name] = place_
                rows.append((name, place_))
        return rows

    def _has_image(self, row: tuple[str, str], images: Mapping[str, Path]) -> bool:
        if row[0] not in images:
            self._problem(row[1], f"names {shown(row[0])}, which is not in JPEGImages/", "put it back or remove it")
        return row[0] in images

    @property
    def _kind(self) -> str:
        return "Main" if self.task == "detection" else "Segmentation"

    def _problem(self, where: str, what: str, hint: str) -> None:
        # Each is a line of a list, and its picture is not used.
        self.problems.append(Problem(where, what, hint, "error", 1, FAULTY))


def _written(folder: Path, name: str) -> Path:
    return locate(folder, name) or folder / name


def _write_sample(sample: Sample, dataset: Dataset, root: Path, taken: dict[str, int]) -> str:
    """Place the files of a sample; return its name."""
    wanted = Path(file_name(sample))
    # No blanks: a line of a list ends at the first.
    stem = distinct_name("_".join(wanted.stem.split()), taken)
    place(sample.image, root / "JPEGImages" / f"{stem}{wanted.suffix}")
    if dataset.task == "detection":
        size = image_size(sample)
        xml = annotation(f"{stem}{wanted.suffix}", *size, sample.boxes, dataset.class_names, "JPEGImages")
        (root / "Annotations" / f"{stem}.xml").write_bytes(xml)
    elif sample.mask is None:
        raise UsageError("has no mask", where=sample.source or sample.image, hint="leave it out")
    else:
        write_mask(sample, root / "SegmentationClass" / f"{stem}.png")
    return stem


FORMAT = Voc()
