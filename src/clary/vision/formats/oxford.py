"""The layout of the Oxford-IIIT Pet data set (Parkhi, Vedaldi, Zisserman, Jawahar: Cats and Dogs, CVPR 2012).

    ROOT/
    ├── images/Bengal_12.jpg           may be a GIF or PNG in spite of its name
    └── annotations/
        ├── list.txt                   all pictures; lines that begin with # are comments
        ├── trainval.txt  test.txt     name, class id from 1, species (1 cat, 2 dog), breed within it
        ├── trimaps/Bengal_12.png      per pixel 1 pet, 2 background, 3 border
        └── xmls/Bengal_12.xml         VOC, box of the head; not for every picture

The class of a picture is its name up to the last underscore. Names with a leading dot (``._Bengal_12.png``) were left
by another operating system and are passed over.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from clary.errors import DataError, UsageError
from clary.vision.base.image_formats import is_image
from clary.vision.base.types import IGNORED, Blob, Box, Dataset, Problem, Sample, SplitName, TaskName
from clary.vision.formats._base import Format, Need
from clary.vision.formats._boxes import classes_of
from clary.vision.formats._classes import class_problems
from clary.vision.formats._files import file_name, image_size, place
from clary.vision.formats._layout import by_stem, nfc, numbered_lines
from clary.vision.formats._masks import write_mask
from clary.vision.formats._voc import annotation, read_boxes
from clary.vision.formats._wording import HINT_UNLISTED, MISSING, UNLISTED, counted, several, shown

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

# <class>_<number>, and no way out of the folder: the name becomes a path.
_NAME = re.compile(r"[^/\\\0\s]+_[0-9]+")


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
    segmentation the classes are pet, background and border, which ``mask_values`` makes of a trimap's 1, 2, 3. Other
    boxes and masks than of these are not written.
    """

    name = "oxford"
    layout = "images/ and annotations/trainval.txt, as the Oxford-IIIT Pet set has it"
    needs = (
        Need("images/ with the pictures", ("images/",)),
        Need("annotations/trainval.txt", ("annotations/trainval.txt", "annotations/test.txt"), ("trainval.txt",)),
    )
    tasks = frozenset[TaskName]({"classification", "detection", "segmentation"})
    splits = ("train", "test")
    labels = ("breeds", "species")

    def sniff(self, root: Path) -> bool:
        return (root / "images").is_dir() and any((root / "annotations" / name).is_file() for name in LISTS)

    def _read(self, root: Path, task: TaskName, labels: str | None) -> Dataset:
        return _Reader(root, task, "species" if task == "detection" else labels or "breeds").dataset()

    def _write(self, dataset: Dataset, root: Path) -> None:
        if dataset.multi_label:
            raise UsageError("the oxford layout holds one class a picture", hint="write the lst layout instead")
        known = {"detection": SPECIES, "segmentation": REGIONS}.get(dataset.task, dataset.class_names)
        if strange := [name for name in dataset.class_names if name not in known]:
            what = f"the oxford layout holds {dataset.task} data of {', '.join(known)} only, not of {shown(strange[0])}"
            raise UsageError(what, hint="write the voc layout instead")
        _Writer(dataset, root).write()


class _Reader:
    def __init__(self, root: Path, task: TaskName, labels: str) -> None:
        self._root, self._task, self._labels = root, task, labels
        self._problems: list[Problem] = []
        # Listed once, instead of asking the file system for each of 7,349 pictures.
        self._images = by_stem(root / "images", is_image)
        self._trimaps = by_stem(root / "annotations" / "trimaps", lambda path: path.suffix.lower() == ".png")
        self._boxed: set[str] = set()  # names with an annotation that could be read
        self._xmls = by_stem(root / "annotations" / "xmls", lambda path: path.suffix.lower() == ".xml")

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
        if not os.path.lexists(self._root / where):
            # list.txt only tells what the other two should hold; without a test list training is still possible.
            severity: Literal["error", "note"] = "error" if LISTS.get(name) == "train" else "note"
            self._problems.append(Problem(where, "is missing", "put it back from annotations.tar.gz", severity))
            return []
        lines, problems = numbered_lines(self._root / where, where)
        self._problems += problems
        rows: dict[str, _Row] = {}
        for number, text in lines:
            # Only in list.txt of the official set, six lines; harmless elsewhere.
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
        if row.name not in self._images:
            return _missing(row)
        return None

    def _samples(self, rows: Iterable[_Row], class_ids: Mapping[int, int]) -> tuple[Sample, ...]:
        pairs = [(row, self._sample(row, class_ids)) for row in rows]
        samples = [sample for _, sample in pairs]
        if self._task == "classification":
            return tuple(samples)
        noun, folder = ("box", "xmls") if self._task == "detection" else ("trimap", "trimaps")
        has = [row.name in self._boxed if noun == "box" else bool(sample.mask) for row, sample in pairs]
        if without := [sample.image.path.name for sample, kept in zip(samples, has, strict=True) if not kept]:
            what = f"has no {noun} for {counted(without, 'listed picture')}, left out: {several(without)}"
            self._problems.append(Problem(f"annotations/{folder}", what, "", "note", len(without), f"no {noun}"))
        return tuple(sample for sample, kept in zip(samples, has, strict=True) if kept)

    def _sample(self, row: _Row, class_ids: Mapping[int, int]) -> Sample:
        boxes: tuple[Box, ...] = ()
        mask = self._trimaps.get(row.name)
        if xml := self._xmls.get(row.name):
            boxes = self._boxes(row, xml)
        species = self._labels == "species"
        single = (row.species if species else class_ids[row.class_id],)
        return Sample(
            image=Blob(self._images[row.name]),
            classes={"classification": single, "detection": classes_of(boxes)}.get(self._task, ()),
            boxes=boxes,
            mask=Blob(mask) if mask else None,
            source=row.where,
            mask_values=TRIMAP if mask else None,
        )

    def _boxes(self, row: _Row, xml: Path) -> tuple[Box, ...]:
        try:
            boxes, problems = read_boxes(xml, f"annotations/xmls/{xml.name}", {"cat": 0, "dog": 1})
        except DataError as error:
            # Not counted here: for detection its picture is one without a box, of which all are; else it is used.
            self._problems.append(Problem(error.where, error.what, error.hint))
            return ()
        self._problems += problems
        # An annotation without an object counts as read: the picture has no head to box. One that is damaged does not.
        if boxes or not problems:
            self._boxed.add(row.name)
        return boxes

    def _note_unlisted(self, everything: Mapping[str, _Row], used: set[str]) -> None:
        reported = {row.name for row in self._listed}
        for row in everything.values():
            if row.name not in self._images and row.name not in reported:
                self._problems.append(_missing(row))
        idle = [name for name in everything if name in self._images and name not in used]
        if idle:
            what = f"has {counted(idle, 'picture')} in no usable line of trainval.txt or test.txt: {several(idle)}"
            hint = "add them to one of the two"
            self._problems.append(Problem("annotations/list.txt", what, hint, "note", len(idle), UNLISTED))
        listed = used | everything.keys()
        unlisted = sorted(path.name for stem, path in self._images.items() if stem not in listed)
        if unlisted:
            what = f"has {counted(unlisted, 'picture')} in no list, left out: {several(unlisted)}"
            self._problems.append(Problem("images", what, HINT_UNLISTED, "note", len(unlisted), UNLISTED))


class _Writer:
    def __init__(self, dataset: Dataset, root: Path) -> None:
        self._dataset, self._root = dataset, root
        self._taken: set[str] = set()
        self._numbers: Counter[str] = Counter()  # the last number given to a picture of a class

    def write(self) -> None:
        rows: dict[str, list[tuple[str, int]]] = {name: [] for name in LISTS}
        for split, samples in self._dataset.splits.items():
            # The layout has two lists. Validation pictures go to trainval, as its name says.
            rows["test.txt" if split == "test" else "trainval.txt"] += [self._placed(sample) for sample in samples]
        class_ids = self._class_ids(name for found in rows.values() for name, _ in found)
        folder = self._root / "annotations"
        folder.mkdir(exist_ok=True)
        everything = ""
        for file, found in rows.items():
            numbered = [(name, class_ids[name.rpartition("_")[0]], species + 1) for name, species in found]
            text = "".join(f"{name} {class_id} {species} {class_id}\n" for name, class_id, species in numbered)
            (folder / file).write_text(text, encoding="utf-8")
            everything += text
        (folder / "list.txt").write_text(HEADER + everything, encoding="utf-8")

    def _class_ids(self, names: Iterable[str]) -> dict[str, int]:
        """Ids from 1 of the classes that pictures are called by."""
        if self._dataset.task == "classification":
            return {name: number for number, name in enumerate(self._dataset.class_names, start=1)}
        return {breed: n for n, breed in enumerate(sorted({name.rpartition("_")[0] for name in names}), start=1)}

    def _placed(self, sample: Sample) -> tuple[str, int]:
        """Place the files of a sample; return its name and species."""
        dataset, breed = self._dataset, self._breed(sample)
        name = self._name(sample, breed)
        # Always .jpg: readers of the set build the path from the name, and the official set has GIFs called so, too.
        place(sample.image, self._root / "images" / f"{name}.jpg")
        self._place_trimap(sample, self._root / "annotations" / "trimaps" / f"{name}.png")
        if sample.boxes or dataset.task == "detection":
            names = dataset.class_names if dataset.task == "detection" else SPECIES
            xml = self._root / "annotations" / "xmls" / f"{name}.xml"
            xml.parent.mkdir(parents=True, exist_ok=True)
            xml.write_bytes(annotation(f"{name}.jpg", *image_size(sample), sample.boxes, names))
        return name, self._species(sample, breed)

    def _place_trimap(self, sample: Sample, target: Path) -> None:
        names = self._dataset.class_names
        if self._dataset.task != "segmentation" or (sample.mask_values == TRIMAP and names == REGIONS):
            if sample.mask:
                place(sample.mask, target)
            return
        # Trimaps count from 1; other values stay ignored.
        values = [REGIONS.index(name) + 1 for name in names]
        write_mask(sample, target, bytes([*values, *[IGNORED] * (256 - len(values))]))

    def _breed(self, sample: Sample) -> str:
        """What comes before the number in the picture's name: its class; else as it is called, or by its box."""
        if self._dataset.task == "classification":
            return self._dataset.class_names[sample.classes[0]]
        own = os.path.splitext(file_name(sample))[0]
        if _NAME.fullmatch(own):
            return own.rpartition("_")[0]
        return self._dataset.class_names[sample.boxes[0].class_id] if sample.boxes else "pet"

    def _name(self, sample: Sample, class_name: str) -> str:
        """The picture's own name where it is ``<class>_<number>`` and free, else the next free number."""
        if not _NAME.fullmatch(f"{class_name}_1"):
            raise UsageError(f"the class {shown(class_name)} cannot be part of a file name", hint="rename the class")
        name = os.path.splitext(file_name(sample))[0]
        while not _NAME.fullmatch(name) or name.rpartition("_")[0] != class_name or name.lower() in self._taken:
            self._numbers[class_name] += 1
            name = f"{class_name}_{self._numbers[class_name]}"
        self._taken.add(name.lower())
        return name

    def _species(self, sample: Sample, breed: str) -> int:
        """0 cat, 1 dog: as its box says, as the class is called, or by the rule in HEADER."""
        if sample.boxes:
            names = self._dataset.class_names if self._dataset.task == "detection" else SPECIES
            return SPECIES.index(names[sample.boxes[0].class_id])
        return SPECIES.index(breed) if breed in SPECIES else int(not breed[:1].isupper())


def parse_row(text: str, where: str) -> _Row | Problem:
    """A line of a list, or what is wrong with it."""
    fields = nfc(text).split()
    hint = "a line is name, class id, species, breed: Bengal_12 6 1 2"
    if len(fields) != 4:
        return Problem(where, f"has {len(fields)} columns, not 4", hint)
    if not _NAME.fullmatch(fields[0]):
        return Problem(where, f"{shown(fields[0])} is not named <class>_<number>", hint)
    if not all(re.fullmatch(r"[0-9]{1,9}", field) for field in fields[1:]):
        return Problem(where, f"{shown(' '.join(fields[1:]))} are not three whole numbers", hint)
    class_id, species = int(fields[1]), int(fields[2])
    if species not in (1, 2):
        return Problem(where, f"has species {species}", "use 1 for cat, 2 for dog")
    return _Row(fields[0], class_id, species - 1, where)


def _missing(row: _Row) -> Problem:
    what = f"names {row.name}, which is not in images/"
    return Problem(row.where, what, "put it back or remove the line", "error", 1, MISSING)


def _first(names: dict[int | str, _Row], row: _Row) -> _Row:
    """The earliest row with the class id or class name of ``row``; itself where both are new."""
    first = names.get(row.class_id) or names.get(row.breed) or row
    names.setdefault(row.class_id, first)
    names.setdefault(row.breed, first)
    return first


FORMAT = Oxford()
