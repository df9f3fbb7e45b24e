"""Pictures and JSON boxes in folders called like the channels of SageMaker's object detection.

    ROOT/
    ├── train/yard/7.jpg   train_annotation/yard/7.json
    ├── validation/b.jpg   validation_annotation/b.json
    └── classes.txt        optional: class names in id order; not part of the original layout

    {"file": "yard/7.jpg", "image_size": [{"width": 640, "height": 480, "depth": 3}],
     "annotations": [{"class_id": 2, "left": 80, "top": 98, "width": 232, "height": 291}],
     "categories": [{"class_id": 2, "name": "forklift"}]}

Pixels from the upper left corner. ``file`` and ``categories`` are optional. A picture without a file is left out; one
without boxes has an empty list.
Source: SageMaker developer guide, "Object Detection Algorithm", input and output interface.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from clary.errors import CustomerError
from clary.vision.base.files import read_file
from clary.vision.base.jobdir import Channel
from clary.vision.base.types import Blob, Dataset, Problem, Sample, SplitName, TaskName
from clary.vision.formats._annotation import annotation_of, boxes_in
from clary.vision.formats._base import IMAGE_TYPES, Format, Need
from clary.vision.formats._boxes import class_fault, classes_of
from clary.vision.formats._classes import class_problems, names_up_to, read_class_names, unnamed, write_class_names
from clary.vision.formats._files import distinct_name, file_name, image_size, place
from clary.vision.formats._layout import SPLIT_ORDER, SPLITS, entries
from clary.vision.formats._pairs import pair
from clary.vision.formats._wording import FAULTY, apart, counted, relative, several, typed

__all__ = ["FORMAT", "SageMakerJson"]

# Of an annotation; a box takes about 70 bytes, so this is some 200,000 of them.
MAX_BYTES = 1 << 24


class SageMakerJson(Format):
    """See the module."""

    name = "sagemaker-json"
    layout = "train/ and train_annotation/ with pictures and JSON boxes of the same names"
    needs = (
        Need("train/ with the pictures", ("train/",)),
        Need("train_annotation/ with a JSON file of the same name for each", ("train_annotation/*.json",)),
    )
    tasks = frozenset[TaskName]({"detection"})
    content_types = (*IMAGE_TYPES, "application/json")  # the latter for annotations

    def sniff(self, root: Path) -> bool:
        others = entries(root / "train_annotation")
        # PNGs there are masks: the channels of segmentation are called alike.
        return (root / "train").is_dir() and bool(others) and not any(path.suffix.lower() == ".png" for path in others)

    def _read(self, root: Path, task: TaskName, labels: str | None) -> Dataset:
        names, problems = read_class_names(root)
        reader = _Reader(root, problems)
        for split in SPLIT_ORDER:
            if (root / split).is_dir():
                reader.read(split, root / split, root / f"{split}_annotation")
        return reader.dataset(names, None)

    def _write(self, dataset: Dataset, root: Path) -> None:
        write_class_names(root, dataset.class_names)
        for split, samples in dataset.splits.items():
            taken: dict[str, int] = {}
            for folder in (root / split, root / f"{split}_annotation"):
                folder.mkdir()
            for sample in samples:
                wanted = Path(file_name(sample))
                stem = distinct_name(wanted.stem, taken)
                place(sample.image, root / split / f"{stem}{wanted.suffix}")
                value = {"file": f"{stem}{wanted.suffix}", **annotation_of(sample.boxes, *image_size(sample))}
                # Only those of the picture; classes.txt has them all.
                used = classes_of(sample.boxes)
                value["categories"] = [{"class_id": c, "name": dataset.class_names[c]} for c in used]
                (root / f"{split}_annotation" / f"{stem}.json").write_text(
                    json.dumps(value, ensure_ascii=False), encoding="utf-8"
                )

    def takes(self, channels: Mapping[str, Channel]) -> bool:
        return not any(name.endswith("_lst") for name in channels)

    def read_channels(
        self, channels: Mapping[str, Channel], *, task: TaskName, num_classes: int | None, multi_label: bool
    ) -> Dataset:
        reader = _Reader(channels["train"].path.parent, [])
        for name in ("train", "validation"):
            if name in channels:
                if f"{name}_annotation" not in channels:
                    raise CustomerError(
                        f"The {name}_annotation channel is missing", hint="add it with a JSON a picture"
                    )
                reader.read(SPLITS[name], channels[name].path, channels[f"{name}_annotation"].path)
        return reader.dataset(None, num_classes)


@dataclass(slots=True)
class _Reader:
    """The splits read so far, and the names their annotations gave to classes."""

    root: Path
    problems: list[Problem]
    splits: dict[SplitName, tuple[Sample, ...]] = field(default_factory=dict)
    where: dict[SplitName, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def read(self, split: SplitName, images: Path, annotations: Path) -> None:
        pairs = pair(self.root, images, annotations, ".json")
        self.problems += pairs.problems
        samples = [sample for found in pairs.found if (sample := self._sample(*found))]
        if pairs.single:
            names = [relative(path, self.root) for path in pairs.single]
            what = f"has no annotation for {counted(names, 'picture')}, left out: {several(names)}"
            # Left out, unlike with YOLO: an annotation can say that nothing is to be seen, and here none does.
            hint = "add one with an empty list where nothing is to be seen"
            where = relative(annotations, self.root)
            self.problems.append(Problem(where, what, hint, "note", len(names), "without an annotation"))
        self.splits[split], self.where[split] = tuple(samples), relative(images, self.root)

    def dataset(self, names: tuple[str, ...] | None, num_classes: int | None) -> Dataset:
        samples = [sample for found in self.splits.values() for sample in found]
        highest = max((c for sample in samples for c in sample.classes), default=-1)
        count = max(num_classes or 0, len(names or ()), highest + 1, *(c + 1 for c in self.names), 0)
        kept: dict[SplitName, tuple[Sample, ...]] = {"train": ()}
        kept |= {split: found for split, found in self.splits.items() if found}
        dataset = Dataset(self.root, SageMakerJson.name, names_up_to(count, names or self.names), kept, "detection")
        found = [*self.problems, *unnamed(names, count, samples)]
        return replace(dataset, problems=(*found, *class_problems(dataset, self.where)))

    def _sample(self, image: Path, annotation: Path) -> Sample | None:
        where = relative(annotation, self.root)
        value = self._json(annotation, where)
        if value is None:
            return None
        boxes, faults = boxes_in(value)
        usable = isinstance(value, dict) and isinstance(value.get("annotations"), list)
        # Of one that can be used only the boxes named are left out; of another the picture.
        told = (0, "") if usable else (1, FAULTY)
        self.problems += [Problem(where, fault, "mend the annotation", "error", *told) for fault in faults]
        if not isinstance(value, dict) or not usable:
            return None
        self._take_names(value.get("categories"), where)
        return Sample(Blob(image), classes_of(boxes), boxes, source=where)

    def _json(self, path: Path, where: str) -> object:
        hint = "mend the annotation or remove it"
        try:
            if path.stat().st_size > MAX_BYTES:
                self.problems.append(
                    Problem(where, f"is above {MAX_BYTES >> 20} MiB, no annotation", hint, "error", 1, FAULTY)
                )
                return None
            found = json.loads(read_file(path))
        except OSError as error:
            self.problems.append(
                Problem(where, f"cannot be read ({error.strerror})", "mend its permissions", "error", 1, FAULTY)
            )
        except json.JSONDecodeError as error:
            self.problems.append(
                Problem(f"{where}:{error.lineno}:{error.colno}", f"is not JSON ({error.msg})", hint, "error", 1, FAULTY)
            )
        except (ValueError, RecursionError) as error:
            self.problems.append(
                Problem(f"{where}:1", f"is not JSON ({type(error).__name__})", hint, "error", 1, FAULTY)
            )
        else:
            if found is None:
                self.problems.append(Problem(where, "is a JSON null, not an object", hint, "error", 1, FAULTY))
            return found
        return None

    def _take_names(self, categories: object, where: str) -> None:
        for entry in categories if isinstance(categories, list) else []:
            if (
                not isinstance(entry, dict)
                or class_fault(entry.get("class_id"))
                or not isinstance(entry.get("name"), str)
            ):
                what = f"has the category {typed(entry)}"
                self.problems.append(Problem(where, what, 'it is {"class_id": 0, "name": "..."}', "note"))
                continue
            class_id, name = int(entry["class_id"]), entry["name"]
            # Each file brings its own categories, so the first one counts and the others are held against it.
            if self.names.setdefault(class_id, name) != name:
                now, before = apart(name, self.names[class_id])
                what = f"calls class {class_id} {now}, it was {before} before"
                self.problems.append(Problem(where, what, "give a class one name", "note"))


FORMAT = SageMakerJson()
