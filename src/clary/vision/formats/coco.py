"""Boxes and regions as COCO has them: one JSON file a split.

    ROOT/
    ├── annotations/instances_train2017.json  instances_val2017.json    also without the year
    ├── annotations/stuff_train2017.json ...                            masks of every pixel
    └── train2017/000000000009.jpg ...        also images/train2017/, images/, train/
    or train/_annotations.coco.json           beside its pictures, as labelling services export it

Boxes are x, y, width, height in pixels from the upper left corner. Category ids need not be dense; class ids are, in
order of category ids. A crowd counts as difficult.

For segmentation polygons and run lengths are drawn into masks. Pixels of no region are ignored in ``stuff`` files,
which have one for every pixel that counts; in others they are background: the category of that name, or one more class
before the others.
Source: COCO data format (cocodataset.org, "Data format"); COCO-Stuff 2017 for ``stuff``.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from clary.vision.base.decoding import MAX_PIXELS
from clary.vision.base.files import no_file, read_file
from clary.vision.base.types import IGNORED, Blob, Box, Dataset, Problem, Sample, SplitName, TaskName
from clary.vision.formats._base import Format, Need
from clary.vision.formats._boxes import box_or_fault, classes_of, is_number
from clary.vision.formats._classes import MAX_CLASSES, class_problems, names_up_to
from clary.vision.formats._files import distinct_name, file_name, image_size, place
from clary.vision.formats._layout import SPLIT_ORDER, SPLITS, entries, locate, unsafe_path
from clary.vision.formats._masks import ids_of
from clary.vision.formats._regions import DrawnMask, Region, runs_of, shape_in, text_of
from clary.vision.formats._wording import FAULTY, MISSING, apart, counted, relative, several, shown, typed
from clary.wording import plural

__all__ = ["FORMAT", "Coco"]

EXPORTED = "_annotations.coco.json"
BACKGROUND = "background"
_SPLIT = re.compile(r"(?:instances_|stuff_)?([a-z]+)[0-9]*")  # of a file name without its suffix
_HINT = "mend the file or export it again"
_SIZE = {"width", "height"}
# What is a whole number in each list.
_NUMBERS: Mapping[str, Sequence[str]] = {
    "categories": ("id",),
    "images": ("id", "width", "height"),
    "annotations": ("image_id", "category_id"),
}


class Coco(Format):
    """See the module. Written as ``annotations/instances_<split>.json`` and ``<split>/``; masks, with run
    lengths, as ``stuff_<split>.json``."""

    name = "coco"
    lists_images = True
    layout = "annotations/instances_train.json and train/ with its pictures, as COCO has it"
    needs = (
        Need(
            "annotations/instances_train.json",
            ("annotations/instances_*.json", "annotations/stuff_*.json", "*/_annotations.coco.json"),
            ("*.json", "*/*.json"),
        ),
        Need("train/ with its pictures", ("train/", "train20*/")),
    )
    tasks = frozenset[TaskName]({"detection", "segmentation"})

    def sniff(self, root: Path) -> bool:
        return any(_files(root, task) for task in self.tasks)

    def task_of(self, root: Path) -> TaskName:
        return "detection" if _files(root, "detection") else "segmentation"

    def _read(self, root: Path, task: TaskName, labels: str | None) -> Dataset:
        files = _files(root, task)
        problems: list[Problem] = []
        loaded = {split: _File(root, split, path, problems, task) for split, path in files.items()}
        names: dict[int, str] = {}
        for file in loaded.values():
            file.take_categories(names)
        if len(names) > MAX_CLASSES:
            what = f"has {len(names):,} categories, {MAX_CLASSES:,} are taken"
            first = relative(next(iter(files.values())), root)
            problems.append(Problem(first, what, "leave out those without a box"))
            names = {category: names[category] for category in sorted(names)[:MAX_CLASSES]}
        # COCO's 80 categories have ids up to 90, with gaps: ids of classes are dense, in the same order.
        ordered = [names[category] for category in sorted(names)]
        background = next((number for number, name in enumerate(ordered) if name.lower() == BACKGROUND), None)
        # Objects leave most pixels to no category, and a network must be able to say so.
        if task == "segmentation" and background is None and not all(map(_covers, files.values())):
            ordered, background = [BACKGROUND, *ordered], 0
        shift = len(ordered) - len(names)
        numbers = {category: number for number, category in enumerate(sorted(names), start=shift)}
        splits: dict[SplitName, tuple[Sample, ...]] = {"train": ()}
        splits |= {split: found for split, file in loaded.items() if (found := file.samples(numbers, background))}
        by_id = names_up_to(len(ordered), ordered)
        dataset = Dataset(root, self.name, by_id, splits, task)
        where = {split: relative(path, root) for split, path in files.items()}
        return replace(dataset, problems=(*problems, *class_problems(dataset, where)))

    def _write(self, dataset: Dataset, root: Path) -> None:
        (root / "annotations").mkdir()
        for split, samples in dataset.splits.items():
            taken: dict[str, int] = {}
            images: list[dict[str, Any]] = []
            annotations: list[dict[str, Any]] = []
            for image_id, sample in enumerate(samples, start=1):
                name = distinct_name(file_name(sample), taken)
                place(sample.image, root / split / name)
                width, height = image_size(sample)
                images.append({"id": image_id, "file_name": name, "width": width, "height": height})
                found = _regions(sample) if dataset.task == "segmentation" else _boxes(sample)
                known = {"image_id": image_id, "iscrowd": 0}
                # Ids count on over all pictures: pycocotools keys annotations by them, and takes 0 for "no match".
                annotations += [{"id": n, **known, **one} for n, one in enumerate(found, start=len(annotations) + 1)]
            value = {
                "info": {"description": "written by Clary"},
                # From 1, as COCO's own; many trainers take 0 for the background.
                "categories": [{"id": c, "name": name} for c, name in enumerate(dataset.class_names, start=1)],
                "images": images,
                "annotations": annotations,
            }
            kind = "stuff" if dataset.task == "segmentation" else "instances"
            path = root / "annotations" / f"{kind}_{split}.json"
            path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


@dataclass(slots=True)
class _File:
    """One JSON file, and the folder its pictures lie in."""

    root: Path
    split: SplitName
    path: Path
    problems: list[Problem]
    task: TaskName
    _value: dict[str, Any] = field(default_factory=dict, init=False)
    _where: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._where = relative(self.path, self.root)
        self._value = self._load()
        self._mend()

    def take_categories(self, names: dict[int, str]) -> None:
        """Add the names of this file by category id."""
        for entry in self._list("categories"):
            category, name = entry.get("id", 0), entry.get("name", "")
            if fault := _id_fault(entry, "id") or _text_fault(entry, "name"):
                self._report("category", entry, fault)
            elif names.setdefault(category, name) != name:
                here, elsewhere = apart(name, names[category])
                self._report("category", entry, f"is {here} here, {elsewhere} elsewhere")

    def samples(self, class_ids: Mapping[int, int], background: int | None) -> tuple[Sample, ...]:
        images: dict[int, dict[str, Any]] = {}
        for entry in self._list("images"):
            if fault := _id_fault(entry, "id") or _text_fault(entry, "file_name"):
                self._report("image", entry, fault)
            elif entry["id"] in images:
                self._report("image", entry, "has the id of an earlier one")
            # A mask is drawn from numbers alone, before the picture is opened.
            elif self.task == "segmentation" and not _size_of(entry):
                self._report("image", entry, f"{_size_fault(entry)}, which its mask needs")
            else:
                images[entry["id"]] = entry
        if self.task == "detection":
            self._note_sizes(list(images.values()))
        found: dict[int, list[Any]] = {image_id: [] for image_id in images}
        for entry in self._list("annotations"):
            self._take(entry, images, found, class_ids)
        folder = self._folder([entry["file_name"] for entry in images.values()])
        return tuple(self._paired(images, found, folder, background))

    def _take(
        self,
        entry: dict[str, Any],
        images: Mapping[int, dict[str, Any]],
        found: Mapping[int, list[Any]],
        class_ids: Mapping[int, int],
    ) -> None:
        """Add the box or the region of an annotation to those of its picture."""
        image_id, category = entry.get("image_id"), entry.get("category_id")
        if not _is_id(image_id) or image_id not in images:
            return self._report("annotation", entry, f"has the image_id {typed(image_id)}, which no image has")
        if not _is_id(category) or category not in class_ids:
            known = f"the categories are {several(class_ids, 10)}"
            return self._report("annotation", entry, f"has the unknown category_id {typed(category)}; {known}")
        read = _box_in if self.task == "detection" else _region_in
        one = read(entry, class_ids[category], images[image_id])
        if isinstance(one, str):
            return self._report("annotation", entry, one)
        found[image_id].append(one)
        return None

    def _sample(self, image: Path, entry: dict[str, Any], found: Sequence[Any], background: int | None) -> Sample:
        source = f"{self._where} image {entry['id']}"
        if self.task == "detection":
            return Sample(Blob(image), classes_of(found), tuple(found), source=source)
        width, height = _size_of(entry) or (0, 0)
        # COCO-Stuff's pixels without a region are unlabelled, which is not background.
        behind = IGNORED if background is None or _covers(self.path) else background
        mask = DrawnMask(self.path, 0, 0, (), tuple(found), height, width, behind)
        return Sample(Blob(image), mask=mask, source=source)

    def _paired(
        self, images: Mapping[int, dict[str, Any]], found: Mapping[int, list[Any]], folder: Path, background: int | None
    ) -> Iterator[Sample]:
        missing: list[str] = []
        foreign: list[str] = []
        # By the last part of a path only where it is of one picture: left/1.jpg and right/1.jpg stay two.
        last = Counter(_last_part(entry["file_name"]) for entry in images.values())
        for image_id, entry in images.items():
            name = entry["file_name"]
            path = locate(folder, name) if not unsafe_path(name) else None
            if not path and (path := _from_elsewhere(folder, name, last[_last_part(name)] == 1)):
                foreign.append(name)
            if path:
                yield self._sample(path, entry, found[image_id], background)
            elif unsafe_path(name):
                self._report("image", entry, f"has the path {shown(name)}, which leaves the picture folder")
            elif os.path.lexists(folder / name):
                self._report("image", entry, f"has the path {shown(name)}, which {no_file(folder / name)}")
            else:
                missing.append(name)
        if foreign:
            what = f"names {counted(foreign, 'picture')} by paths of another machine, first {shown(foreign[0])}"
            self._note(f"{what}; they are found in {relative(folder, self.root)}", "write file names with /")
        if missing:
            what = f"names {counted(missing, 'picture')} not in {relative(folder, self.root)}, left out"
            hint = "put them back or remove their entries"
            what = f"{what}: {several(missing)}"
            self.problems.append(Problem(self._where, what, hint, "error", len(missing), MISSING))

    def _folder(self, names: list[str]) -> Path:
        """Where the first pictures of the file lie."""
        stem = self.path.stem.removeprefix("instances_").removeprefix("stuff_")
        near = [self.path.parent] if self.path.name == EXPORTED else []
        others = [self.root / stem, self.root / "images" / stem, self.root / self.split, self.root / "images"]
        folders = (*near, *others, self.root / "images" / self.split, self.root)
        for of in (_named, partial(_from_elsewhere, alone=True)):
            # The more a folder's name says the earlier: in the root itself anything may lie.
            for folder in folders:
                # Some of the first twenty: a file that is missing is to be named, not to hide all others.
                if any(of(folder, name) for name in names[:20]):
                    return folder
        return (near or others)[0]

    def _note_sizes(self, images: Sequence[dict[str, Any]]) -> None:
        """Say of sizes that are none that they are passed over: boxes are pixels, and pictures know their own."""
        odd = [entry for entry in images if not _sides(entry) and _SIZE & entry.keys()]
        if odd:
            what = f"{_size_fault(odd[0])}; of {counted(odd, 'picture')} the file's own is taken"
            self._note(f"image {odd[0]['id']} {what}", "write width and height in pixels, or neither")

    def _mend(self) -> None:
        """Read what was written by hand and can be meant in one way only, and say so once for all of its kind."""
        quoted: list[tuple[str, str]] = []
        flat = 0
        for key, names in _NUMBERS.items():
            for entry in self._list(key):
                for name in names:
                    value = entry.get(name)
                    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
                        quoted.append((name, value))
                        entry[name] = int(value)
                corners = entry.get("segmentation") if self.task == "segmentation" else None
                if isinstance(corners, list) and len(corners) >= 6 and all(map(is_number, corners)):
                    entry["segmentation"] = [corners]
                    flat += 1
        if quoted:
            name, value = quoted[0]
            what = f"has {counted(quoted, 'number')} in quotes, first `{name}` {typed(value)}, read as numbers"
            self._note(what, "write numbers without quotes")
        if flat:
            what = f"has {plural(flat, 'polygon')} as a flat list of numbers, read as one polygon each"
            self._note(what, "write [[x, y, x, y, ...]]")

    def _load(self) -> dict[str, Any]:
        try:
            value = json.loads(read_file(self.path))
        except OSError as error:
            self._problem(self._where, f"cannot be read ({error.strerror})", "mend its permissions")
        except json.JSONDecodeError as error:
            self._problem(f"{self._where}:{error.lineno}:{error.colno}", f"is not JSON ({error.msg})", _HINT)
        except (ValueError, RecursionError) as error:
            self._problem(f"{self._where}:1", f"is not JSON ({type(error).__name__})", _HINT)
        else:
            if isinstance(value, dict):
                return value
            self._problem(self._where, "is no JSON object with `images`, `annotations` and `categories`", _HINT)
        return {}

    def _list(self, key: str) -> list[dict[str, Any]]:
        found = self._value.get(key)
        if not isinstance(found, list):
            if self._value:
                self._problem(self._where, f"has no list `{key}`", _HINT)
                # Reported once: the list is asked for by each step of reading.
                self._value[key] = []
            return []
        odd = sum(not isinstance(entry, dict) for entry in found)
        if odd:
            self._problem(self._where, f"has {odd} entries of `{key}` that are no objects", _HINT)
            self._value[key] = [entry for entry in found if isinstance(entry, dict)]
        return [entry for entry in found if isinstance(entry, dict)]

    def _report(self, kind: str, entry: dict[str, Any], what: str) -> None:
        # Of an annotation or a category that is no use the picture stays.
        left_out = (1, FAULTY) if kind == "image" else (0, "")
        what = f"{kind} {typed(entry.get('id'), 20)} {what}"
        self.problems.append(Problem(self._where, what, "mend it or remove it", "error", *left_out))

    def _note(self, what: str, hint: str) -> None:
        self.problems.append(Problem(self._where, what, hint, "note"))

    def _problem(self, where: str, what: str, hint: str) -> None:
        self.problems.append(Problem(where, what, hint))


def _box_in(entry: dict[str, Any], class_id: int, image: dict[str, Any]) -> Box | str:
    """The box of an annotation, or what is wrong with it."""
    corners = entry.get("bbox")
    if isinstance(corners, list) and any(isinstance(corner, str) and corner[:1].isdecimal() for corner in corners):
        return f"has the `bbox` {typed(corners)}, with numbers in quotes"
    if not isinstance(corners, list) or len(corners) != 4 or not all(map(is_number, corners)):
        return "has no `bbox` of four numbers: x, y, width, height"
    x, y, width, height = map(float, corners)
    # A crowd is one box around many: COCO's evaluation leaves it out of account, as VOC's does difficult ones.
    return box_or_fault(class_id, (x, y, x + width, y + height), _sides(image), bool(entry.get("iscrowd")))


def _region_in(entry: dict[str, Any], class_id: int, image: dict[str, Any]) -> Region | str:
    """The region of an annotation, or what is wrong with it."""
    if class_id >= IGNORED:
        return f"has class {class_id}, masks hold {IGNORED} classes"
    width, height = _size_of(image) or (0, 0)
    shape, fault = shape_in(entry.get("segmentation"), height, width)
    return fault if shape is None else Region(class_id, shape)


def _sides(image: dict[str, Any]) -> tuple[float, float] | None:
    """Width and height, None where they are not said or are none."""
    width, height = image.get("width"), image.get("height")
    if not (is_number(width) and is_number(height)) or min(width, height) <= 0:
        return None
    return float(width), float(height)


def _size_of(image: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height in pixels, None where they are not said or no picture has them."""
    width, height = image.get("width"), image.get("height")
    if not (_is_id(width) and _is_id(height)) or min(width, height) < 1 or width * height > MAX_PIXELS:
        return None
    return width, height


def _size_fault(image: dict[str, Any]) -> str:
    """What is wrong with the size of a picture that has none of use."""
    missing = [side for side in ("width", "height") if image.get(side) is None]
    if missing:
        return f"has no {' and '.join(f'`{side}`' for side in missing)} in pixels"
    return f"has the size {typed(image['width'])} x {typed(image['height'])}, which is none in pixels"


def _id_fault(entry: dict[str, Any], key: str) -> str:
    """What is wrong with an id, empty if nothing."""
    if key not in entry:
        return f"has no `{key}`"
    if isinstance(entry[key], str):
        return f"has the `{key}` {typed(entry[key])}, which is text: ids are whole numbers"
    return "" if _is_id(entry[key]) else f"has the `{key}` {typed(entry[key])}, which is not a whole number"


def _text_fault(entry: dict[str, Any], key: str) -> str:
    if key not in entry:
        return f"has no `{key}`"
    return "" if isinstance(entry[key], str) else f"has the `{key}` {typed(entry[key])}, which is not text"


def _named(folder: Path, name: str) -> Path | None:
    return None if unsafe_path(name) else locate(folder, name)


def _last_part(name: str) -> str:
    return re.split(r"[/\\]", name)[-1]


def _from_elsewhere(folder: Path, name: str, alone: bool) -> Path | None:
    """The file that a path of another machine means: written with backslashes, or with the folders of where it was
    made; the latter by its last part, where it is the only picture with it (``alone``)."""
    parts = re.split(r"[/\\]", name)
    if len(parts) == 1 or ".." in parts:
        return None
    return _named(folder, "/".join(parts)) or (_named(folder, parts[-1]) if alone and unsafe_path(name) else None)


def _covers(path: Path) -> bool:
    """Whether a file has a region for every pixel that counts."""
    return path.name.startswith("stuff_")


def _regions(sample: Sample) -> Iterator[dict[str, Any]]:
    ids = ids_of(sample)
    for class_id in np.unique(ids[ids != IGNORED]).tolist():
        inside = ids == class_id
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        left, top = int(columns[0]), int(rows[0])
        yield {
            "category_id": class_id + 1,
            "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
            "area": int(inside.sum()),
            "segmentation": {"size": list(ids.shape), "counts": text_of(runs_of(inside))},
        }


def _boxes(sample: Sample) -> Iterator[dict[str, Any]]:
    for box in sample.boxes:
        width, height = box.xmax - box.xmin, box.ymax - box.ymin
        yield {
            "category_id": box.class_id + 1,
            "bbox": [box.xmin, box.ymin, width, height],
            "area": width * height,
            "iscrowd": int(box.difficult),
            "segmentation": [],
        }


def _files(root: Path, task: TaskName) -> dict[SplitName, Path]:
    """The JSON file of each split; for segmentation rather those that cover every pixel."""
    found: dict[SplitName, Path] = {}
    named = [
        (path, _SPLIT.fullmatch(path.stem)) for path in entries(root / "annotations") if path.suffix.lower() == ".json"
    ]
    # setdefault takes the first of a split: for masks the file that covers every pixel, where both are there.
    for path, name in sorted(named, key=lambda pair: not _covers(pair[0])):
        if name and name[1] in SPLITS and (task == "segmentation" or not _covers(path)):
            found.setdefault(SPLITS[name[1]], path)
    for folder in entries(root):
        if folder.name.lower() in SPLITS and (folder / EXPORTED).is_file():
            found.setdefault(SPLITS[folder.name.lower()], folder / EXPORTED)
    if not found and (root / EXPORTED).is_file():
        found["train"] = root / EXPORTED
    return {split: found[split] for split in SPLIT_ORDER if split in found}


def _is_id(value: object) -> TypeGuard[int]:
    # JSON's true is an int in Python.
    return isinstance(value, int) and not isinstance(value, bool)


FORMAT = Coco()
