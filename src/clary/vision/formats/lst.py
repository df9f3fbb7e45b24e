"""Pictures beside tab-separated lists, as SageMaker's image classification takes them.

    ROOT/
    ├── train.lst  validation.lst    also pets_train.lst, val, valid, test
    └── red/car_0012.jpg             where the lines say; also below images/ or train/

    5	1	red/car_0012.jpg          index, class id from 0, path from the picture folder
    5	1	0	1	shelf/a.jpg       multi-label: index, one 0 or 1 a class, path
    5	2	5	1	0.1	0.2	0.4	0.6	a.jpg   detection: index, header size, numbers an object, objects of class id and
                                  corners as fractions of the picture (``_vectors``), path

In training channels each of ``train_lst``, ``validation_lst`` holds one list, and the pictures lie in the channels
``train``, ``validation``. A folder with lists is a data set as well: ``train.lst``, ``validation.lst`` (or ``val``,
``valid``), ``test.lst``, also as ``pets_train.lst``; one list of another name is taken as train. Its paths start at
the first of ROOT, ROOT/images, ROOT/<split> that holds the list's first pictures.

Class names are those of folders where every class has one of its own (``red``), else the class ids.
Source: SageMaker developer guide, "Image Classification: Train with Image Format"; im2rec writes ``1.000000`` for 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from clary.errors import CustomerError, DataError
from clary.vision.base.jobdir import Channel
from clary.vision.base.types import Dataset, Problem, Sample, SplitName, TaskName
from clary.vision.formats._base import IMAGE_TYPES, Format, Need
from clary.vision.formats._classes import (
    class_problems,
    folder_name,
    names_up_to,
    read_class_names,
    unnamed,
    write_class_names,
)
from clary.vision.formats._files import distinct_name, file_name, image_size, place
from clary.vision.formats._layout import SPLITS, entries, lists_by_split, locate, numbered_lines
from clary.vision.formats._listing import Listing, Row, parse_row, read_lst
from clary.vision.formats._vectors import is_vector, vector_of
from clary.vision.formats._wording import several

__all__ = ["FORMAT", "Listing", "Lst", "Row", "columns", "holds_boxes", "parse_row", "read_lst"]


class Lst(Format):
    """See the module. In channels a faulty list ends the run, as it does with the original algorithm."""

    name = "lst"
    lists_images = True
    layout = "train.lst with index, class id and path separated by tabs, beside the pictures"
    needs = (Need("train.lst", ("*.lst",), ("*/*.lst", "*.csv", "*.tsv")),)
    tasks = frozenset[TaskName]({"classification", "detection"})
    content_types = IMAGE_TYPES
    opens_images = frozenset[TaskName]({"detection"})  # boxes are fractions

    def sniff(self, root: Path) -> bool:
        # im2rec leaves its lists beside the records, which are then the data set.
        return bool(_lists(root)) and not any(path.suffix.lower() == ".rec" for path in entries(root))  # packed already

    def task_of(self, root: Path) -> TaskName:
        return "detection" if any(map(holds_boxes, _lists(root))) else "classification"

    def _read(self, root: Path, task: TaskName, labels: str | None) -> Dataset:
        lists, problems = lists_by_split(_lists(root), ".lst")
        multi_label: bool | None = None
        width: int | None = None
        listings: dict[SplitName, Listing] = {}
        for split, path in lists.items():
            base = _image_folder(root, path, split)
            listing = read_lst(path, base, width, multi_label, root=root, task=task)
            multi_label = listing.multi_label
            # The first list says how many columns the others must have: class ids of two splits must mean the same.
            width = listing.width if multi_label else None
            listings[split] = listing
        where = {split: path.name for split, path in lists.items()}
        return _dataset(root, listings, None, where, problems, task)

    def _write(self, dataset: Dataset, root: Path) -> None:
        index = 0
        if dataset.task == "detection":
            write_class_names(root, dataset.class_names)
        for split, samples in dataset.splits.items():
            taken: dict[str, dict[str, int]] = {}
            lines = []
            for sample in samples:
                plain = dataset.multi_label or dataset.task == "detection"
                folder = split if plain else f"{split}/{folder_name(sample, dataset)}"
                name = distinct_name(file_name(sample), taken.setdefault(folder, {}))
                place(sample.image, root / folder / name)
                lines.append(f"{index}\t{columns(sample, dataset)}\t{folder}/{name}\n")
                # One count over all splits: the index is a record's id and unique (guide).
                index += 1
            (root / f"{split}.lst").write_text("".join(lines), encoding="utf-8")

    def takes(self, channels: Mapping[str, Channel]) -> bool:
        return any(name.endswith("_lst") for name in channels)

    def read_channels(
        self, channels: Mapping[str, Channel], *, task: TaskName, num_classes: int | None, multi_label: bool
    ) -> Dataset:
        root = channels["train"].path.parent
        listings: dict[SplitName, Listing] = {}
        for name in ("train", "validation"):
            if name in channels:
                path = _only_list(f"{name}_lst", channels)
                listing = read_lst(path, channels[name].path, num_classes, multi_label, root=root, task=task)
                _refuse(name, listing)
                listings[SPLITS[name]] = listing
        where = {split: f"{split}_lst" for split in listings}
        return _dataset(root, listings, num_classes, where, [], task)


def holds_boxes(lst_path: Path) -> bool:
    """Whether the first lines of a list have label vectors; never raises."""
    rows = (parse_row(text) for _, text in numbered_lines(lst_path, "")[0][:20])
    return any(isinstance(row, Row) and is_vector(row.labels) for row in rows)


def _dataset(
    root: Path,
    listings: Mapping[SplitName, Listing],
    num_classes: int | None,
    where: Mapping[SplitName, str],
    problems: Iterable[Problem],
    task: TaskName,
) -> Dataset:
    named, unread = read_class_names(root) if task == "detection" else (None, [])
    found = [*problems, *unread, *(problem for listing in listings.values() for problem in listing.problems)]
    multi_label = any(listing.multi_label for listing in listings.values())
    pairs = [pair for listing in listings.values() for pair in zip(listing.samples, listing.paths, strict=True)]
    used = {c for sample, _ in pairs for c in sample.classes}
    count = num_classes or max([*used, -1]) + 1
    if multi_label:
        count = max(count, *(listing.width or 0 for listing in listings.values()))
    elif task == "detection":
        count = max(count, len(named or ()), max([*used, -1]) + 1)
        found += unnamed(named, count, (sample for sample, _ in pairs))
    # A note only: the guide wants none, and training works all the same.
    elif gaps := [str(c) for c in range(count) if c not in used]:
        what = f"has no picture of class {several(gaps, 10)}"
        found.append(Problem(where.get("train", "train"), what, "class ids are meant to have no gaps", "note"))
    by_id = multi_label or task == "detection"
    names = names_up_to(count, named) if by_id else _class_names(pairs, count)
    splits: dict[SplitName, tuple[Sample, ...]] = {"train": ()}
    splits |= {split: listing.samples for split, listing in listings.items() if listing.samples}
    dataset = Dataset(root, Lst.name, names, splits, task, multi_label)
    return replace(dataset, problems=(*found, *class_problems(dataset, where)))


def _class_names(pairs: Sequence[tuple[Sample, str]], count: int) -> tuple[str, ...]:
    """Names of folders, at the first depth where each class has one of its own; else the ids."""
    ids = [str(c) for c in range(count)]
    folders = [(sample.classes[0], PurePosixPath(path).parts[:-1]) for sample, path in pairs]
    for depth in range(min((len(parts) for _, parts in folders), default=0)):
        names: dict[int, set[str]] = {}
        for class_id, parts in folders:
            names.setdefault(class_id, set()).add(parts[depth])
        single = {class_id: next(iter(found)) for class_id, found in names.items() if len(found) == 1}
        named = [single.get(c, ids[c]) for c in range(count)]
        # From the top: in train/cat/in the garden/2.png the first depth has one name for all and the second the
        # classes.
        if 1 < len(single) == len(names) and len(set(named)) == count:
            return tuple(named)
    return tuple(ids)


def columns(sample: Sample, dataset: Dataset) -> str:
    """The label columns of a line. Raises DataError where boxes need the size of a picture that cannot be read."""
    if dataset.task == "detection":
        # Nine digits: what a float32 holds, and records have no more.
        return "\t".join(f"{number:.9g}" for number in vector_of(sample.boxes, *image_size(sample)))
    if not dataset.multi_label:
        return str(sample.classes[0])
    return "\t".join(str(int(c in sample.classes)) for c in range(len(dataset.class_names)))


def _lists(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == ".lst" and not path.name.startswith("."))


def _image_folder(root: Path, lst_path: Path, split: str) -> Path:
    lines, _ = numbered_lines(lst_path, lst_path.name)
    # Twenty: that some of the first are missing must not decide where all of them lie.
    paths = [text.rpartition("\t")[2] for _, text in lines[:20]]
    for folder in (root, root / "images", root / split, root / lst_path.stem):
        if any(path and locate(folder, path) for path in paths):
            return folder
    return root


def _only_list(name: str, channels: Mapping[str, Channel]) -> Path:
    if name not in channels:
        raise CustomerError(f"The {name} channel is missing", hint="add it with one .lst file or leave out both")
    found = _lists(channels[name].path)
    if len(found) != 1:
        what = f"The {name} channel holds {len(found) or 'no'} .lst files"
        raise CustomerError(what, hint="put exactly one there")
    return found[0]


def _refuse(name: str, listing: Listing) -> None:
    """Raises DataError for the first fault of a list, in the words of the original where they are known."""
    if not listing.errors:
        return
    first, *others = listing.errors
    # In front of everything, since the original's sentence is whole by itself.
    if first.what.startswith("Mismatch between"):
        raise DataError(f"{first.what} See {first.where}.")
    more = f" ({len(others)} more)" if others else ""
    raise DataError(f"Invalid lst file in the {name} channel. {first}{more}")


FORMAT = Lst()
