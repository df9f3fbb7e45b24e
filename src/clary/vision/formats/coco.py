"""Boxes as COCO has them: one JSON file a split.

    ROOT/
    ├── annotations/instances_train2017.json  instances_val2017.json    also without the year
    └── train2017/000000000009.jpg ...        also images/train2017/, images/, train/
    or train/_annotations.coco.json           beside its pictures, as labelling services export it

Boxes are x, y, width, height in pixels from the upper left corner. Category ids need not be dense; class ids are, in
order of category ids. A crowd counts as difficult. Polygons are not read.
Source: COCO data format (cocodataset.org, "Data format").
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from clary.vision.base.types import Blob, Box, Dataset, Problem, Sample, SplitName, Task
from clary.vision.formats._base import Format
from clary.vision.formats._boxes import box_or_fault, classes_of, is_number
from clary.vision.formats._classes import class_problems, names_up_to
from clary.vision.formats._files import distinct_name, file_name, picture_size, place
from clary.vision.formats._layout import SPLIT_ORDER, SPLITS, entries, unsafe_path
from clary.vision.formats._wording import counted, relative, several, shown

__all__ = ["FORMAT", "Coco"]

EXPORTED = "_annotations.coco.json"
_SPLIT = re.compile(r"(?:instances_)?([a-z]+)[0-9]*")  # of a file name without its suffix
_MEND = "mend the file or export it again"


class Coco(Format):
    """See the module. Written as ``annotations/instances_<split>.json`` and ``<split>/``."""

    name = "coco"
    layout = "annotations/instances_train.json and train/ with its pictures, as COCO has it"
    tasks = frozenset[Task]({"detection"})

    def sniff(self, root: Path) -> bool:
        return bool(_files(root))

    def _read(self, root: Path, task: Task, labels: str | None) -> Dataset:
        files = _files(root)
        problems: list[Problem] = []
        loaded = {split: _File(root, split, path, problems) for split, path in files.items()}
        names: dict[int, str] = {}
        for file in loaded.values():
            file.take_categories(names)
        class_ids = {category: number for number, category in enumerate(sorted(names))}
        splits: dict[SplitName, tuple[Sample, ...]] = {"train": ()}
        splits |= {split: found for split, file in loaded.items() if (found := file.samples(class_ids))}
        by_id = names_up_to(len(names), [names[category] for category in sorted(names)])
        dataset = Dataset(root, self.name, by_id, splits, "detection")
        where = {split: relative(path, root) for split, path in files.items()}
        return replace(dataset, problems=(*problems, *class_problems(dataset, where)))

    def _write(self, dataset: Dataset, root: Path) -> None:
        (root / "annotations").mkdir()
        for split, samples in dataset.splits.items():
            taken: set[str] = set()
            images: list[dict[str, Any]] = []
            annotations: list[dict[str, Any]] = []
            for image_id, sample in enumerate(samples, start=1):
                name = distinct_name(file_name(sample), taken)
                place(sample.image, root / split / name)
                width, height = picture_size(sample)
                images.append({"id": image_id, "file_name": name, "width": width, "height": height})
                annotations += _annotations(sample, image_id, len(annotations) + 1)
            value = {
                "info": {"description": "written by Clary"},
                "categories": [{"id": c, "name": name} for c, name in enumerate(dataset.class_names, start=1)],
                "images": images,
                "annotations": annotations,
            }
            path = root / "annotations" / f"instances_{split}.json"
            path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


@dataclass(slots=True)
class _File:
    """One JSON file, and the folder its pictures lie in."""

    root: Path
    split: SplitName
    path: Path
    problems: list[Problem]
    _value: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._value = self._load()

    def take_categories(self, names: dict[int, str]) -> None:
        """Add the names of this file by category id."""
        for entry in self._list("categories"):
            category, name = entry.get("id"), entry.get("name")
            if not _is_id(category) or not isinstance(name, str):
                self._report("category", entry, "has no whole number `id` and string `name`")
            elif names.setdefault(category, name) != name:
                self._report("category", entry, f"is {shown(names[category])} elsewhere")

    def samples(self, class_ids: Mapping[int, int]) -> tuple[Sample, ...]:
        images: dict[int, dict[str, Any]] = {}
        for entry in self._list("images"):
            if not _is_id(entry.get("id")) or not isinstance(entry.get("file_name"), str):
                self._report("image", entry, "has no whole number `id` and string `file_name`")
            elif entry["id"] in images:
                self._report("image", entry, "has the id of an earlier one")
            else:
                images[entry["id"]] = entry
        boxes: dict[int, list[Box]] = {image_id: [] for image_id in images}
        for entry in self._list("annotations"):
            self._take_box(entry, images, boxes, class_ids)
        folder = self._folder([entry["file_name"] for entry in images.values()])
        return tuple(self._paired(images, boxes, folder))

    def _take_box(
        self,
        entry: dict[str, Any],
        images: Mapping[int, dict[str, Any]],
        boxes: Mapping[int, list[Box]],
        class_ids: Mapping[int, int],
    ) -> None:
        image_id, category, corners = entry.get("image_id"), entry.get("category_id"), entry.get("bbox")
        if not _is_id(image_id) or image_id not in images:
            return self._report("annotation", entry, f"has the image_id {shown(str(image_id))}, which no image has")
        if not _is_id(category) or category not in class_ids:
            known = f"the categories are {several(map(str, class_ids), 10)}"
            return self._report("annotation", entry, f"has the unknown category_id {shown(str(category))}; {known}")
        if not isinstance(corners, list) or len(corners) != 4 or not all(map(is_number, corners)):
            return self._report("annotation", entry, "has no `bbox` of four numbers: x, y, width, height")
        x, y, width, height = map(float, corners)
        wide, high = images[image_id].get("width"), images[image_id].get("height")
        known_size = (float(wide), float(high)) if is_number(wide) and is_number(high) else None
        crowd = bool(entry.get("iscrowd"))
        box = box_or_fault(class_ids[category], (x, y, x + width, y + height), known_size, crowd)
        if isinstance(box, str):
            return self._report("annotation", entry, box)
        boxes[image_id].append(box)
        return None

    def _paired(
        self, images: Mapping[int, dict[str, Any]], boxes: Mapping[int, list[Box]], folder: Path
    ) -> Iterator[Sample]:
        missing: list[str] = []
        for image_id, entry in images.items():
            name = entry["file_name"]
            if unsafe_path(name):
                self._report("image", entry, f"has the path {shown(name)}, which leaves the picture folder")
            elif not os.path.isfile(folder / name):
                missing.append(name)
            else:
                found = tuple(boxes[image_id])
                source = f"{self._where} image {image_id}"
                yield Sample(Blob(folder / name), classes_of(found), found, source=source)
        if missing:
            what = f"names {counted(missing, 'picture')} not in {relative(folder, self.root)}, left out"
            self._problem(self._where, f"{what}: {several(missing)}", "put them back or remove their entries")

    def _folder(self, names: list[str]) -> Path:
        """Where the first pictures of the file lie."""
        stem = self.path.stem.removeprefix("instances_")
        near = [self.path.parent] if self.path.name == EXPORTED else []
        others = [self.root / stem, self.root / "images" / stem, self.root / self.split, self.root / "images"]
        for folder in (*near, *others, self.root / "images" / self.split, self.root):
            if any(not unsafe_path(name) and os.path.isfile(folder / name) for name in names[:20]):
                return folder
        return (near or others)[0]

    def _load(self) -> dict[str, Any]:
        try:
            value = json.loads(self.path.read_bytes())
        except OSError as error:
            self._problem(self._where, f"cannot be read ({error.strerror})", "mend its permissions")
        except json.JSONDecodeError as error:
            self._problem(f"{self._where}:{error.lineno}:{error.colno}", f"is not JSON ({error.msg})", _MEND)
        except (ValueError, RecursionError) as error:
            self._problem(f"{self._where}:1", f"is not JSON ({type(error).__name__})", _MEND)
        else:
            if isinstance(value, dict):
                return value
            self._problem(self._where, "is no JSON object with `images`, `annotations` and `categories`", _MEND)
        return {}

    def _list(self, key: str) -> list[dict[str, Any]]:
        found = self._value.get(key)
        if not isinstance(found, list):
            if self._value:
                self._problem(self._where, f"has no list `{key}`", _MEND)
                self._value[key] = []
            return []
        odd = sum(not isinstance(entry, dict) for entry in found)
        if odd:
            self._problem(self._where, f"has {odd} entries of `{key}` that are no objects", _MEND)
            self._value[key] = [entry for entry in found if isinstance(entry, dict)]
        return [entry for entry in found if isinstance(entry, dict)]

    def _report(self, kind: str, entry: dict[str, Any], what: str) -> None:
        self._problem(self._where, f"{kind} {shown(str(entry.get('id')), 20)} {what}", "mend it or remove it")

    def _problem(self, where: str, what: str, mend: str) -> None:
        self.problems.append(Problem(where, what, mend))

    @property
    def _where(self) -> str:
        return relative(self.path, self.root)


def _annotations(sample: Sample, image_id: int, first: int) -> Iterator[dict[str, Any]]:
    for number, box in enumerate(sample.boxes, start=first):
        width, height = box.xmax - box.xmin, box.ymax - box.ymin
        yield {
            "id": number,
            "image_id": image_id,
            "category_id": box.class_id + 1,
            "bbox": [box.xmin, box.ymin, width, height],
            "area": width * height,
            "iscrowd": int(box.difficult),
            "segmentation": [],
        }


def _files(root: Path) -> dict[SplitName, Path]:
    """The JSON file of each split."""
    found: dict[SplitName, Path] = {}
    for path in entries(root / "annotations"):
        name = _SPLIT.fullmatch(path.stem)
        if path.suffix == ".json" and name and name[1] in SPLITS:
            found.setdefault(SPLITS[name[1]], path)
    for folder in entries(root):
        if folder.name.lower() in SPLITS and (folder / EXPORTED).is_file():
            found.setdefault(SPLITS[folder.name.lower()], folder / EXPORTED)
    if not found and (root / EXPORTED).is_file():
        found["train"] = root / EXPORTED
    return {split: found[split] for split in SPLIT_ORDER if split in found}


def _is_id(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


FORMAT = Coco()
