"""Boxes as YOLO has them: a text file for each picture.

    ROOT/
    ├── data.yaml                       names: [cat, dog], or one a line; also classes.txt, one a line
    ├── images/train/a.jpg              also train/images/a.jpg, train/labels/a.txt;
    └── labels/train/a.txt              without splits images/a.jpg, labels/a.txt

    0 0.5 0.5 0.2 0.4                   class id, centre x, centre y, width, height as fractions of the picture

More numbers are the corners of a polygon, whose box is taken. A picture without a file, or with an empty one, has no
boxes. Source: Ultralytics documentation, "Object Detection Datasets Overview".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from clary.errors import DataError, ImageError
from clary.vision.base.decoding import upright_size
from clary.vision.base.files import open_file
from clary.vision.base.types import Blob, Box, Dataset, Problem, Sample, SplitName, TaskName
from clary.vision.formats._base import Format, Need
from clary.vision.formats._boxes import box_or_fault, class_fault, classes_of
from clary.vision.formats._classes import class_problems, names_up_to, read_class_names
from clary.vision.formats._files import distinct_name, file_name, image_size, place
from clary.vision.formats._layout import holds_lists, numbered_lines, paired_folders
from clary.vision.formats._pairs import pair
from clary.vision.formats._wording import FAULTY, relative, shown
from clary.vision.formats._yaml_names import names_in

__all__ = ["FORMAT", "Yolo"]

# Bytes of a picture in which its size stands nearly always: boxes are fractions of it, and whole pictures are not read
# for that.
_HEAD = 1 << 13
_LINE = "a line is class id, centre x, centre y, width, height, as fractions 0..1"
_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]*(?:[eE][-+]?[0-9]+)?")


class Yolo(Format):
    """See the module. Written as ``images/<split>``, ``labels/<split>`` and data.yaml."""

    name = "yolo"
    layout = "images/ and labels/ with pictures and text files of the same names, and data.yaml"
    needs = (
        Need("images/ with the pictures", ("images/", "*/images/")),
        Need("labels/ with a text file of the same name for each", ("labels/", "*/labels/"), ("*/*.txt",)),
    )
    tasks = frozenset[TaskName]({"detection"})
    opens_images = frozenset[TaskName]({"detection"})  # boxes are fractions

    def sniff(self, root: Path) -> bool:
        return bool(paired_folders(root, "images", "labels")) and not holds_lists(root)

    def _read(self, root: Path, task: TaskName, labels: str | None) -> Dataset:
        names, problems = _names(root)
        splits: dict[SplitName, tuple[Sample, ...]] = {"train": ()}
        where: dict[SplitName, str] = {}
        for split, folders in paired_folders(root, "images", "labels").items():
            samples, found = _samples(root, *folders, len(names) if names else None)
            problems += found
            where[split] = relative(folders[0], root)
            if samples or split == "train":
                splits[split] = samples
        used = [box.class_id for samples in splits.values() for s in samples for box in s.boxes]
        count = len(names) if names else max(used, default=-1) + 1
        dataset = Dataset(root, self.name, names_up_to(count, names), splits, "detection")
        return replace(dataset, problems=(*problems, *class_problems(dataset, where)))

    def _write(self, dataset: Dataset, root: Path) -> None:
        # Relative to data.yaml, so that the folder can be moved; val, not validation, is Ultralytics's word.
        lines = ["path: .\n"]
        for split, samples in dataset.splits.items():
            lines.append(f"{'val' if split == 'validation' else split}: images/{split}\n")
            taken: dict[str, int] = {}
            for folder in ("images", "labels"):
                (root / folder / split).mkdir(parents=True)
            for sample in samples:
                wanted = Path(file_name(sample))
                stem = distinct_name(wanted.stem, taken)
                place(sample.image, root / "images" / split / f"{stem}{wanted.suffix}")
                (root / "labels" / split / f"{stem}.txt").write_text("".join(_lines(sample)))
        lines.append("names:\n")
        lines += [f"  {c}: {json.dumps(name, ensure_ascii=False)}\n" for c, name in enumerate(dataset.class_names)]
        (root / "data.yaml").write_text("".join(lines), encoding="utf-8")


def _samples(root: Path, images: Path, labels: Path, count: int | None) -> tuple[tuple[Sample, ...], list[Problem]]:
    pairs = pair(root, images, labels, ".txt")
    # Labelling tools put classes.txt among the labels.
    problems = [p for p in pairs.problems if "classes.txt" not in p.what]
    samples = []
    for image, text in pairs.found:
        try:
            size = _size(image)
        except (OSError, ImageError) as error:
            what = error.what if isinstance(error, ImageError) else f"cannot be read ({error.strerror})"
            hint = "remove it or export it again"
            problems.append(Problem(relative(image, root), what, hint, "error", 1, "cannot be read"))
            continue
        where = relative(text, root)
        lines, unread = numbered_lines(text, where)
        found: list[Problem] = []
        boxes = tuple(_boxes(lines, where, size, count, found))
        if unread and not boxes:
            # Nothing of it was understood, where an empty file says that nothing is to be seen.
            problems.append(replace(unread[0], left_out=1, reason=FAULTY))
            continue
        problems += [*unread, *found]
        samples.append(Sample(Blob(image), classes_of(boxes), boxes, source=where))
    # No file is no box: Ultralytics counts such pictures as background and learns from them.
    samples += [Sample(Blob(image), source=relative(image, root)) for image in pairs.single]
    return tuple(samples), problems


def _boxes(
    lines: list[tuple[int, str]], where: str, size: tuple[int, int], count: int | None, problems: list[Problem]
) -> Iterator[Box]:
    for number, text in lines:
        box = _box(text, size, count)
        if isinstance(box, str):
            problems.append(Problem(f"{where}:{number}", box, _LINE))
        else:
            yield box


def _box(text: str, size: tuple[int, int], count: int | None) -> Box | str:
    fields = text.split()
    try:
        class_id, *numbers = [float(field) for field in fields]
    except ValueError:
        odd = next((field for field in fields if not _NUMBER.fullmatch(field)), fields[0])
        return f"has {shown(odd)}, which is not a number"
    if fault := class_fault(class_id, count):
        return fault
    # Five fields are a box, seven and more a polygon of segmentation; six and eight, half a corner, are neither.
    if len(numbers) == 4:
        x, y, width, height = numbers
        if width < 0 or height < 0:
            return f"has a box of width {width:g} and height {height:g}"
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    elif len(numbers) >= 6 and len(numbers) % 2 == 0:
        corners = (min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2]))
    else:
        return f"has {len(fields)} numbers, not 5"
    wide, high = size
    pixels = [corners[0] * wide, corners[1] * high, corners[2] * wide, corners[3] * high]
    return box_or_fault(int(class_id), pixels, (wide, high))


def _lines(sample: Sample) -> Iterator[str]:
    width, height = image_size(sample)
    for box in sample.boxes:
        x, y = (box.xmin + box.xmax) / 2 / width, (box.ymin + box.ymax) / 2 / height
        w, h = (box.xmax - box.xmin) / width, (box.ymax - box.ymin) / height
        # Nine digits: less than a hundred-thousandth of a pixel is lost, in a picture of 10,000.
        yield f"{box.class_id} {x:.9g} {y:.9g} {w:.9g} {h:.9g}\n"


def _size(image: Path) -> tuple[int, int]:
    with open_file(image) as file:
        head = file.read(_HEAD)
        try:
            return upright_size(head)
        except ImageError:
            return upright_size(head + file.read())


def _names(root: Path) -> tuple[tuple[str, ...] | None, list[Problem]]:
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if os.path.lexists(root / name):
            lines, problems = numbered_lines(root / name, name)
            try:
                return names_in(lines, name), problems
            except DataError as error:
                return None, [*problems, Problem(error.where, error.what, error.hint)]
    for folder in (root, root / "labels"):
        names, problems = read_class_names(folder)
        if names is not None:
            return names, problems
    return None, [Problem("data.yaml", "is missing", "without it classes are called by their ids", "note")]


FORMAT = Yolo()
