"""The layout of the Oxford-IIIT Pet data set (Parkhi, Vedaldi, Zisserman, Jawahar: Cats and Dogs, CVPR 2012).

    ROOT/
    ├── images/Bengal_12.jpg           may be a GIF or PNG in spite of its name
    └── annotations/
        ├── list.txt                   all pictures; lines that begin with # are comments
        ├── trainval.txt  test.txt     name, class id from 1, species (1 cat, 2 dog), breed within the species
        ├── trimaps/Bengal_12.png      per pixel 1 pet, 2 background, 3 border
        └── xmls/Bengal_12.xml         VOC, box of the head; not for every picture

The class of a picture is its name up to the last underscore. Names with a leading dot (``._Bengal_12.png``) were left
by another operating system and are passed over.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from clary.errors import UsageError
from clary.vision.base.imaging import inspect, is_picture
from clary.vision.base.types import IGNORED, Blob, Box, Dataset, Problem, Sample, SplitName, Task
from clary.vision.formats._base import Format
from clary.vision.formats._classes import class_problems
from clary.vision.formats._files import file_name, place
from clary.vision.formats._layout import numbered_lines
from clary.vision.formats._voc import annotation, read_boxes
from clary.vision.formats._wording import counted, several, shown

SPECIES = ("cat", "dog")
REGIONS = ("pet", "background", "border")  # of a trimap, which has 1, 2, 3 for them
TRIMAP = bytes([IGNORED, 0, 1, 2] + [IGNORED] * 252)
LISTS: Mapping[str, SplitName] = {"trainval.txt": "train", "test.txt": "test"}
HEADER = """\
#Image CLASS-ID SPECIES BREED ID
#SPECIES: 1:Cat 2:Dog
#All images with 1st letter as capital are cat images
#images with small first letter are dog images
"""

_NAME = re.compile(r"[^/\\\0\s]+_[0-9]+")  # <class>_<number>, and no way out of the folder


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of a list. ``class_id`` is the file's, from 1; ``species`` is 0 cat, 1 dog; ``where`` is file:line."""

    name: str
    class_id: int
    species: int
    where: str

    @property
    def breed(self) -> str:
        return self.name.rpartition("_")[0]


class Oxford(Format):
    """See the module. ``trainval`` is the split train, ``test`` is test. Where a validation split is
    written, it goes into ``trainval``.

    Labels ``breeds`` (in the order of class ids, made 0-based and dense) or ``species`` (cat, dog). Boxes always count
    species: 0 cat, 1 dog; for the task detection so do the classes, and pictures without a box are left out. For
    segmentation the classes are pet, background and border, which ``mask_values`` makes of a trimap's 1, 2, 3.
    """

    name = "oxford"
    layout = "images/ and annotations/trainval.txt, as the Oxford-IIIT Pet set has it"
    tasks = frozenset[Task]({"classification", "detection", "segmentation"})
    writes = frozenset[Task]({"classification"})
    labels = ("breeds", "species")

    def sniff(self, root: Path) -> bool:
        return (root / "images").is_dir() and any((root / "annotations" / name).is_file() for name in LISTS)

    def _read(self, root: Path, task: Task, labels: str | None) -> Dataset:
        return _Reader(root, task, "species" if task == "detection" else labels or "breeds").dataset()

    def _write(self, dataset: Dataset, root: Path) -> None:
        if dataset.multi_label:
            raise UsageError("the oxford layout holds one class a picture", mend="write the lst layout instead")
        _Writer(dataset, root).write()


class _Reader:
    def __init__(self, root: Path, task: Task, labels: str) -> None:
        self._root, self._task, self._labels = root, task, labels
        self._problems: list[Problem] = []
        self._pictures = _by_stem(root / "images", is_picture)
        self._trimaps = _by_stem(root / "annotations" / "trimaps", lambda path: path.suffix == ".png")
        self._xmls = _by_stem(root / "annotations" / "xmls", lambda path: path.suffix == ".xml")

    def dataset(self) -> Dataset:
        everything = {row.name: row for row in self._rows("list.txt")}
        listed = {name: self._rows(name) for name in LISTS}
        self._listed = [row for rows in listed.values() for row in rows]
        rows = self._consistent(everything, listed)
        ids = sorted({row.class_id for split in rows.values() for row in split})
        breeds = {row.class_id: row.breed for split in rows.values() for row in split}
        splits = {split: self._samples(rows[split], {c: n for n, c in enumerate(ids)}) for split in rows}
        self._note_unlisted(everything, {row.name for split in rows.values() for row in split})
        dataset = Dataset(
            root=self._root,
            format=Oxford.name,
            class_names=self._class_names([breeds[c] for c in ids]),
            splits={split: samples for split, samples in splits.items() if samples or split == "train"},
            task=self._task,
        )
        where = {split: f"annotations/{name}" for name, split in LISTS.items()}
        found = (*self._problems, *class_problems(dataset, where))
        return replace(dataset, problems=found)

    def _class_names(self, breeds: Iterable[str]) -> tuple[str, ...]:
        if self._task == "segmentation":
            return REGIONS
        return SPECIES if self._labels == "species" else tuple(breeds)

    def _rows(self, name: str) -> list[_Row]:
        """The lines of a list that can be used; a picture named twice counts once."""
        where = f"annotations/{name}"
        if not (self._root / where).is_file():
            severity: Literal["error", "note"] = "error" if LISTS.get(name) == "train" else "note"
            self._problems.append(Problem(where, "is missing", "put it back from annotations.tar.gz", severity))
            return []
        lines, problems = numbered_lines(self._root / where, where)
        self._problems += problems
        rows: dict[str, _Row] = {}
        for number, text in lines:
            if text.startswith("#"):
                continue
            row = parse_row(text, f"{where}:{number}")
            if isinstance(row, Problem):
                self._problems.append(row)
            elif row.name in rows:
                first = rows[row.name].where
                self._problems.append(Problem(row.where, f"lists {row.name} again after {first}", "remove one line"))
            else:
                rows[row.name] = row
        return list(rows.values())

    def _consistent(
        self, everything: Mapping[str, _Row], listed: Mapping[str, list[_Row]]
    ) -> dict[SplitName, list[_Row]]:
        """The rows by split, less those that contradict an earlier one or name no picture."""
        names: dict[int | str, _Row] = {}  # the first row of a class, by its id and by its name
        seen: dict[str, _Row] = {}
        for row in everything.values():
            _first(names, row)
        kept: dict[SplitName, list[_Row]] = {split: [] for split in LISTS.values()}
        for file, split in LISTS.items():
            for row in listed[file]:
                if problem := self._contradiction(row, everything.get(row.name), seen, names):
                    self._problems.append(problem)
                else:
                    seen[row.name] = row
                    kept[split].append(row)
        return kept

    def _contradiction(
        self, row: _Row, entry: _Row | None, seen: Mapping[str, _Row], names: dict[int | str, _Row]
    ) -> Problem | None:
        if row.name in seen:
            what = f"lists {row.name}, which {seen[row.name].where} has as well"
            return Problem(row.where, what, "leave it in one of the two")
        if entry and (entry.class_id, entry.species) != (row.class_id, row.species):
            what = f"says class {row.class_id}, species {row.species + 1}"
            return Problem(row.where, f"{what}, {entry.where} says {entry.class_id}, {entry.species + 1}", "mend one")
        first = _first(names, row)
        if (first.class_id, first.breed) != (row.class_id, row.breed):
            what = f"makes {row.breed} class {row.class_id}, {first.where} makes {first.breed} class {first.class_id}"
            return Problem(row.where, what, "mend the class id")
        if row.name not in self._pictures:
            return _missing(row)
        return None

    def _samples(self, rows: Iterable[_Row], class_ids: Mapping[int, int]) -> tuple[Sample, ...]:
        samples = [self._sample(row, class_ids) for row in rows]
        if self._task == "classification":
            return tuple(samples)
        noun, folder = ("box", "xmls") if self._task == "detection" else ("trimap", "trimaps")
        has = [bool(sample.boxes if noun == "box" else sample.mask) for sample in samples]
        if without := [sample.image.path.name for sample, kept in zip(samples, has, strict=True) if not kept]:
            what = f"has no {noun} for {counted(without, 'listed picture')}, left out: {several(without)}"
            self._problems.append(Problem(f"annotations/{folder}", what, severity="note"))
        return tuple(sample for sample, kept in zip(samples, has, strict=True) if kept)

    def _sample(self, row: _Row, class_ids: Mapping[int, int]) -> Sample:
        boxes: tuple[Box, ...] = ()
        mask = self._trimaps.get(row.name)
        if xml := self._xmls.get(row.name):
            boxes, problems = read_boxes(xml, f"annotations/xmls/{xml.name}", {"cat": 0, "dog": 1})
            self._problems += problems
        species = self._labels == "species"
        return Sample(
            image=Blob(self._pictures[row.name]),
            classes=() if self._task == "segmentation" else (row.species if species else class_ids[row.class_id],),
            boxes=boxes,
            mask=Blob(mask) if mask else None,
            source=row.where,
            mask_values=TRIMAP if mask else None,
        )

    def _note_unlisted(self, everything: Mapping[str, _Row], used: set[str]) -> None:
        reported = {row.name for row in self._listed}
        for row in everything.values():
            if row.name not in self._pictures and row.name not in reported:
                self._problems.append(_missing(row))
        idle = [name for name in everything if name in self._pictures and name not in used]
        if idle:
            what = f"has {counted(idle, 'picture')} in no usable line of trainval.txt or test.txt: {several(idle)}"
            self._problems.append(Problem("annotations/list.txt", what, "add them to one of the two", "note"))
        listed = used | everything.keys()
        unlisted = sorted(path.name for stem, path in self._pictures.items() if stem not in listed)
        if unlisted:
            what = f"has {counted(unlisted, 'picture')} in no list, left out: {several(unlisted)}"
            self._problems.append(Problem("images", what, "list them if they are wanted", "note"))


class _Writer:
    def __init__(self, dataset: Dataset, root: Path) -> None:
        self._dataset, self._root = dataset, root
        self._taken: set[str] = set()
        self._numbers: Counter[str] = Counter()  # the last number given to a picture of a class

    def write(self) -> None:
        lists: dict[str, list[str]] = {name: [] for name in LISTS}
        for split, samples in self._dataset.splits.items():
            file = "test.txt" if split == "test" else "trainval.txt"
            lists[file] += [self._record(sample) for sample in samples]
        folder = self._root / "annotations"
        folder.mkdir(exist_ok=True)
        for name, lines in lists.items():
            (folder / name).write_text("".join(lines))
        (folder / "list.txt").write_text(HEADER + "".join(lists["trainval.txt"] + lists["test.txt"]))

    def _record(self, sample: Sample) -> str:
        """Place the files of a sample; return its line."""
        class_id = sample.classes[0]
        name = self._name(sample, self._dataset.class_names[class_id])
        place(sample.image, self._root / "images" / f"{name}.jpg")
        if sample.mask:
            place(sample.mask, self._root / "annotations" / "trimaps" / f"{name}.png")
        if sample.boxes:
            size = inspect(sample.image.read()).upright
            xml = self._root / "annotations" / "xmls" / f"{name}.xml"
            xml.parent.mkdir(parents=True, exist_ok=True)
            xml.write_bytes(annotation(f"{name}.jpg", *size, sample.boxes, SPECIES))
        return f"{name} {class_id + 1} {self._species(sample) + 1} {class_id + 1}\n"

    def _name(self, sample: Sample, class_name: str) -> str:
        """The picture's own name where it is ``<class>_<number>`` and free, else the next free number."""
        if not _NAME.fullmatch(f"{class_name}_1"):
            raise UsageError(f"the class {shown(class_name)} cannot be part of a file name", mend="rename the class")
        name = os.path.splitext(file_name(sample))[0]
        while not _NAME.fullmatch(name) or name.rpartition("_")[0] != class_name or name.lower() in self._taken:
            self._numbers[class_name] += 1
            name = f"{class_name}_{self._numbers[class_name]}"
        self._taken.add(name.lower())
        return name

    def _species(self, sample: Sample) -> int:
        """0 cat, 1 dog: as its box says, as the class is called, or by the rule in HEADER."""
        if sample.boxes:
            return sample.boxes[0].class_id
        name = self._dataset.class_names[sample.classes[0]]
        return SPECIES.index(name) if name in SPECIES else int(not name[:1].isupper())


def parse_row(text: str, where: str) -> _Row | Problem:
    """A line of a list, or what is wrong with it."""
    fields = text.split()
    mend = "a line is name, class id, species, breed: Bengal_12 6 1 2"
    if len(fields) != 4:
        return Problem(where, f"has {len(fields)} columns, not 4", mend)
    if not _NAME.fullmatch(fields[0]):
        return Problem(where, f"{shown(fields[0])} is not named <class>_<number>", mend)
    if not all(re.fullmatch(r"[0-9]{1,9}", field) for field in fields[1:]):
        return Problem(where, f"{shown(' '.join(fields[1:]))} are not three whole numbers", mend)
    class_id, species = int(fields[1]), int(fields[2])
    if species not in (1, 2):
        return Problem(where, f"has species {species}", "use 1 for cat, 2 for dog")
    return _Row(fields[0], class_id, species - 1, where)


def _missing(row: _Row) -> Problem:
    return Problem(row.where, f"names {row.name}, which is not in images/", "put it back or remove the line")


def _first(names: dict[int | str, _Row], row: _Row) -> _Row:
    """The earliest row with the class id or class name of ``row``; itself where both are new."""
    first = names.get(row.class_id) or names.get(row.breed) or row
    names.setdefault(row.class_id, first)
    names.setdefault(row.breed, first)
    return first


def _by_stem(folder: Path, wanted: Callable[[Path], bool]) -> dict[str, Path]:
    """The files of a folder by name without suffix, hidden ones left out; of two with one stem the first by name."""
    if not folder.is_dir():
        return {}
    paths = sorted((path for path in folder.iterdir() if wanted(path)), reverse=True)
    return {path.stem: path for path in paths if not path.name.startswith(".")}


FORMAT = Oxford()
