"""Packing pictures into RecordIO files: what MXNet's im2rec does, without MXNet.

A JPEG or PNG goes into its record as it is, unless a size, a quality or an encoding is asked for; anything else is
encoded as JPEG. Records lie in the order of the data set, or in one drawn by a seed: who reads them through a shuffle
buffer, as the original algorithms do, needs classes mixed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from clary.errors import ImageError, UsageError
from clary.vision.base import decoding, image_formats, preprocessing
from clary.vision.base.files import atomic_folder
from clary.vision.base.in_flight import PICTURES
from clary.vision.base.recordio import write_record
from clary.vision.base.types import Blob, Dataset, Problem, Sample, SplitName, TaskName
from clary.vision.formats._classes import names_up_to, read_class_names, readable, write_class_names
from clary.vision.formats._layout import in_order, lists_by_split, walk
from clary.vision.formats._listing import read_lst
from clary.vision.formats._wording import relative, shown
from clary.vision.formats.lst import columns, holds_boxes
from clary.vision.formats.recordio import RecordIO, payload
from clary.vision.tasks import TASKS

__all__ = ["Encoding", "Packing", "pack", "partition", "read_list", "read_tree", "write_lists"]

Encoding = Literal["keep", "jpg", "png"]
Progress = Callable[[int], object]
_Packed = tuple[bytes, tuple[int, int] | None]  # a picture file, and the size of the original where boxes need it

# In work at a time: map() takes all its input at once, and packed pictures of a large set would queue up in memory.
BATCH = 256
_PACKABLE = (b"\xff\xd8", b"\x89PNG\r\n\x1a\n")  # how what goes into a record as it is begins


@dataclass(frozen=True, slots=True)
class Packing:
    """How pictures are packed. ``resize``: pixels of the shorter side, larger or smaller than it is; ``quality`` of
    JPEG, 1..100, or level of PNG, 0..9; None leaves both, and the encoding, as they are where they can be.
    ``center_crop`` leaves the square in the middle, before a resize; ``gray`` leaves one channel. ``workers`` encode at
    the same time.
    """

    resize: int | None = None
    quality: int | None = None
    encoding: Encoding = "keep"
    workers: int = 1
    center_crop: bool = False
    gray: bool = False

    @property
    def as_it_is(self) -> bool:
        """Whether a JPEG or PNG is packed byte for byte."""
        wanted = self.resize is not None or self.quality is not None or self.center_crop or self.gray
        return not wanted and self.encoding == "keep"


def pack(
    dataset: Dataset, root: Path, how: Packing, *, progress: Progress | None = None
) -> tuple[Dataset, list[Problem]]:
    """Write ``<split>.rec`` and ``.idx`` for each split of ``dataset`` and classes.txt to ``root``, all or nothing.

    Returns what was packed of ``dataset``, and what was left out: pictures that cannot be read, or decoded where they
    must be. ``progress`` is called with 1 after each picture. Raises UsageError when ``root`` is not empty, cannot be
    written, for a data set with masks, or where a crop would cut boxes.
    """
    if dataset.task not in RecordIO.tasks:
        what = f"{TASKS.get(dataset.task).targets} are not packed into records"
        raise UsageError(what, hint="use folders, or an augmented manifest")
    if dataset.task == "detection" and how.center_crop:
        raise UsageError("a crop would cut boxes and move them", hint="leave `--center-crop` out")
    problems: list[Problem] = []
    packed: dict[SplitName, list[Sample]] = {split: [] for split in dataset.splits}
    with atomic_folder(root) as folder:
        write_class_names(folder, dataset.class_names)
        for split, samples in dataset.splits.items():
            with (folder / f"{split}.rec").open("wb") as rec, (folder / f"{split}.idx").open("w") as idx:
                offset = 0
                # Keys count what was packed: a picture left out makes no gap, and key n is record n.
                for key, (sample, record) in enumerate(_records(dataset, samples, how, problems, progress)):
                    packed[split].append(sample)
                    idx.write(f"{key}\t{offset}\n")
                    offset += write_record(rec, record)
    return dataset.with_splits(packed), problems


def write_lists(dataset: Dataset, root: Path) -> None:
    """Write ``<split>.lst`` for each split, and classes.txt, to ``root``; paths are from the root of ``dataset``.

    Raises UsageError when ``root`` is not empty or cannot be written, and for a picture whose path cannot be in a list.
    """
    index = 0
    with atomic_folder(root) as folder:
        write_class_names(folder, dataset.class_names)
        for split, samples in dataset.splits.items():
            with (folder / f"{split}.lst").open("w", encoding="utf-8") as file:
                for sample in samples:
                    path = relative(sample.image.path, dataset.root)
                    if readable(path) != path or "\t" in path or "\n" in path:
                        what = f"the path {shown(path)} cannot be in a list, which is UTF-8 with tabs between"
                        raise UsageError(what, where=dataset.root, hint="rename the file, or pack without --list")
                    file.write(f"{index}\t{columns(sample, dataset)}\t{path}\n")
                    index += 1


def read_tree(root: Path, suffixes: Sequence[str] = ()) -> Dataset:
    """Every folder below ``root`` that holds pictures as a class, called by its path; as im2rec --recursive does it.

    Of names that end in ``suffixes`` (``.jpg``, in any case), or else as any picture's does. Raises UsageError where
    there is no picture.
    """
    endings = {suffix.lower() if suffix.startswith(".") else f".{suffix.lower()}" for suffix in suffixes}
    folders: dict[str, list[Path]] = {}
    for path in sorted(walk(root)):
        wanted = path.suffix.lower() in endings if endings else image_formats.is_image(path)
        if wanted and not path.name.startswith("."):
            folders.setdefault(relative(path.parent, root) if path.parent != root else ".", []).append(path)
    if not folders:
        kinds = f" called {', '.join(sorted(f'*{ending}' for ending in endings))}" if endings else ""
        raise UsageError(f"holds no pictures{kinds}", where=root, hint="check the path")
    names = sorted(folders)
    samples = tuple(
        Sample(Blob(path), (class_id,), source=relative(path, root))
        for class_id, name in enumerate(names)
        for path in folders[name]
    )
    return Dataset(root, "tree", names_up_to(len(names), names), {"train": samples})


def read_list(lst_path: Path, image_root: Path) -> Dataset:
    """The pictures of one list, which may hold class ids, 0 and 1 for each class, or boxes, as one split.

    The split is the end of the list's name (``pets_val.lst``), else train. Classes are called as ``classes.txt`` beside
    the list has it, which ``write_lists`` leaves there, else by their ids. What is wrong stands in ``problems``.
    """
    task: TaskName = "detection" if holds_boxes(lst_path) else "classification"
    listing = read_lst(lst_path, image_root, task=task)
    [split] = lists_by_split([lst_path], ".lst")[0]
    used = [c for sample in listing.samples for c in sample.classes]
    known, faults = read_class_names(lst_path.parent)
    count = max([*used, len(known or ()) - 1]) + 1 if not listing.multi_label else listing.width or 0
    splits: dict[SplitName, tuple[Sample, ...]] = {split: listing.samples}
    problems = (*listing.problems, *faults)
    return Dataset(image_root, "lst", names_up_to(count, known), splits, task, listing.multi_label, problems)


def partition(dataset: Dataset, train: float, test: float, *, shuffle: bool, seed: int) -> Dataset:
    """Split ``train`` by fractions: ``train`` of it, ``test`` of it, and what is left as validation.

    With ``shuffle`` the order is drawn by ``seed`` (PCG64), that of other splits as well. Raises UsageError for
    fractions outside 0..1 or above 1 together, or where the data set is split already and they are not 1 and 0.
    """
    if not (0 < train <= 1 and 0 <= test <= 1 and train + test <= 1 + 1e-9):
        raise UsageError(
            f"the ratios {train:g} and {test:g} make no split", hint="they are in 0..1, together 1 at most"
        )
    random = np.random.Generator(np.random.PCG64(seed))

    def ordered(samples: Sequence[Sample]) -> list[Sample]:
        order = np.argsort(random.random(len(samples)), kind="stable") if shuffle else range(len(samples))
        return [samples[i] for i in order]

    if (train, test) == (1, 0):
        return dataset.with_splits({split: ordered(samples) for split, samples in dataset.splits.items()})
    if len(dataset.splits) > 1:
        what = f"has the splits {', '.join(dataset.splits)} already"
        raise UsageError(what, where=dataset.root, hint="leave the ratios out")
    samples = ordered(dataset.splits["train"])
    first, second = round(len(samples) * test), round(len(samples) * (test + train))
    # im2rec's order: test first, then train, and what is left is validation.
    parts: dict[SplitName, list[Sample]] = {
        "test": samples[:first],
        "train": samples[first:second],
        "validation": samples[second:],
    }
    return dataset.with_splits({split: part for split, part in in_order(parts).items() if part or split == "train"})


def encoded(data: bytes, how: Packing) -> bytes:
    """The bytes to pack for the picture file ``data``. Raises ImageError where it must be decoded and cannot be."""
    # Byte for byte: nothing is lost to a second JPEG, and one core packs 26,765 pictures/s (docs/benchmarks.md).
    if how.as_it_is and data.startswith(_PACKABLE):
        return data
    with PICTURES.hold():
        pixels = decoding.decode(data, at_least=how.resize)
        if how.center_crop:
            # im2rec's order: crop, then resize.
            pixels = preprocessing.crop_center(pixels, *[min(pixels.shape[:2])] * 2)
        if how.resize is not None:
            pixels = preprocessing.resize_shorter(pixels, how.resize)
    if how.gray:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]
    keeps_png = how.encoding == "keep" and data.startswith(_PACKABLE[1])
    if how.encoding == "png" or keeps_png:
        stream = io.BytesIO()
        # One option for both, as im2rec has it: a JPEG's 1 to 100, a PNG's 0 to 9. 3 is OpenCV's own default for PNG,
        # 95 im2rec's for JPEG.
        level = 3 if how.quality is None else min(how.quality, 9)
        Image.fromarray(pixels.squeeze(2) if how.gray else pixels).save(stream, "PNG", compress_level=level)
        return stream.getvalue()
    quality = 95 if how.quality is None else how.quality
    space, sampling = ("GRAY", "Gray") if how.gray else ("RGB", "420")
    jpeg: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, space, sampling)
    return jpeg


def _records(
    dataset: Dataset, samples: Sequence[Sample], how: Packing, problems: list[Problem], progress: Progress | None
) -> Iterator[tuple[Sample, bytes]]:
    """Each picture that can be packed, and its payload."""

    def work(sample: Sample) -> _Packed | Problem:
        where = sample.source or relative(sample.image.path, dataset.root)
        try:
            data = sample.image.read()
            # Of the original: boxes are in its pixels, and become fractions that a resize leaves as they are.
            size = decoding.upright_size(data) if dataset.task == "detection" else None
            return encoded(data, how), size
        except OSError as error:
            return Problem(where, f"cannot be read ({error.strerror})", "copy it again or mend its permissions")
        except ImageError as error:
            return Problem(where, error.what, error.hint)

    key = 0
    for sample, packed in zip(samples, _mapped(work, samples, how.workers), strict=True):
        if progress:
            progress(1)
        if isinstance(packed, Problem):
            problems.append(packed)
        else:
            yield sample, payload(dataset, sample, key, *packed)
            key += 1


def _mapped(
    work: Callable[[Sample], _Packed | Problem], samples: Sequence[Sample], workers: int
) -> Iterable[_Packed | Problem]:
    """``work`` of each, in order. Threads: decoding, resizing and encoding leave Python's lock."""
    if workers < 2:
        yield from map(work, samples)
        return
    with ThreadPoolExecutor(max_workers=workers) as threads:
        for start in range(0, len(samples), BATCH):
            yield from threads.map(work, samples[start : start + BATCH])
