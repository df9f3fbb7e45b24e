"""Pictures packed into RecordIO files, as im2rec and SageMaker have them.

    ROOT/
    ├── train.rec  validation.rec  test.rec   also pets_train.rec; one file of another name is train
    ├── train.idx ...                         optional: key and byte offset of each record
    └── classes.txt                           optional, not of the original: class names in id order

Labels of a record: one number is a class id; 0 and 1 for each class is multi-label; a vector that begins with 2 or
more is detection: header size, numbers an object (at least 5), the rest of the header, then objects of class id, xmin,
ymin, xmax, ymax as fractions of the picture, and 1 for a difficult one where objects have six numbers.
In training channels each of ``train``, ``validation`` holds one .rec file, or streams it (Pipe mode).
Source: SageMaker developer guide, "Image Classification", "Object Detection"; MXNet im2rec, ImageDetRecordIter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TextIO

from clary.errors import CustomerError, DataError
from clary.vision.base.jobdir import Channel
from clary.vision.base.pipes import spooled
from clary.vision.base.recordio import ImageRecord, pack, write_record
from clary.vision.base.types import Dataset, Problem, Sample, SplitName, TaskName
from clary.vision.formats._base import Format, Need
from clary.vision.formats._classes import class_problems, names_up_to, read_class_names, unnamed, write_class_names
from clary.vision.formats._files import image_size
from clary.vision.formats._layout import SPLITS, entries, lists_by_split
from clary.vision.formats._rec import Records, damaged, holds_vectors, index_problems, read_rec
from clary.vision.formats._vectors import vector_of
from clary.vision.formats._wording import relative

__all__ = ["FORMAT", "RecordIO", "payload", "read_rec", "write_rec"]


class RecordIO(Format):
    """See the module. Detection and multi-label are found out from the first record; nothing is unpacked."""

    name = "recordio"
    layout = "train.rec, as im2rec packs it"
    needs = (Need("train.rec", ("*.rec",), ("*/*.rec",)),)
    tasks = frozenset[TaskName]({"classification", "detection"})
    content_types = ("application/x-recordio",)
    input_modes = ("File", "FastFile", "Pipe")
    # The files that are read hold the pictures: to list them is to open them.
    opens_images = tasks  # they lie in the files that are read

    def sniff(self, root: Path) -> bool:
        return bool(_files(root))

    def task_of(self, root: Path) -> TaskName:
        files, _ = lists_by_split(_files(root), ".rec")
        return "detection" if any(map(holds_vectors, files.values())) else "classification"

    def _read(self, root: Path, task: TaskName, labels: str | None) -> Dataset:
        files, problems = lists_by_split(_files(root), ".rec")
        names, unread = read_class_names(root)
        found = [*problems, *unread]
        records: dict[SplitName, Records] = {}
        for split, path in files.items():
            records[split] = read_rec(path, path.name, task)
            found += [*records[split].problems, *index_problems(path, records[split].spans)]
        where = {split: path.name for split, path in files.items()}
        return _dataset(root, records, task, names, None, where, found)

    def _write(self, dataset: Dataset, root: Path) -> None:
        write_class_names(root, dataset.class_names)
        for split, samples in dataset.splits.items():
            with (root / f"{split}.rec").open("wb") as rec, (root / f"{split}.idx").open("w") as idx:
                write_rec(dataset, ((sample, _bytes(sample)) for sample in samples), rec, idx)

    def takes(self, channels: Mapping[str, Channel]) -> bool:
        # With the wrapper in Pipe mode it is an augmented manifest: records without image headers, of the same content
        # type.
        return not any(channel.record_wrapper == "RecordIO" and _is_pipe(channel) for channel in channels.values())

    def read_channels(
        self, channels: Mapping[str, Channel], *, task: TaskName, num_classes: int | None, multi_label: bool
    ) -> Dataset:
        root = channels["train"].path.parent
        records: dict[SplitName, Records] = {}
        for name in ("train", "validation"):
            if name in channels:
                records[SPLITS[name]] = _channel_records(channels[name], task, multi_label)
        problems = [problem for found in records.values() for problem in found.problems]
        where: dict[SplitName, str] = {split: split for split in records}
        return _dataset(root, records, task, None, num_classes, where, problems)


def payload(dataset: Dataset, sample: Sample, key: int, data: bytes, size: tuple[int, int] | None = None) -> bytes:
    """The image record of a sample; ``key`` is its id, ``data`` the picture file to pack.

    ``size`` are width and height that its boxes are meant for, by default those of ``data``. Raises DataError where
    boxes need the size of a picture that cannot be read.
    """
    if dataset.task == "detection":
        labels = vector_of(sample.boxes, *(size or image_size(sample, data)))
    elif dataset.multi_label:
        labels = tuple(float(c in sample.classes) for c in range(len(dataset.class_names)))
    else:
        labels = (float(sample.classes[0]),)
    # A set of one label a row stays a vector: read back as a plain label it would be a class id of 0 or 1.
    vector = dataset.task == "detection" or dataset.multi_label
    return pack(ImageRecord(labels, key, data, vector=vector))


def write_rec(dataset: Dataset, images: Iterable[tuple[Sample, bytes]], rec: BinaryIO, idx: TextIO) -> int:
    """Write samples of ``dataset`` and the bytes to pack of each as records, and their keys and offsets to the index.

    Returns the number of records.
    """
    offset = key = 0
    for key, (sample, data) in enumerate(images, start=1):
        length = write_record(rec, payload(dataset, sample, key - 1, data))
        idx.write(f"{key - 1}\t{offset}\n")
        offset += length
    return key


def _dataset(
    root: Path,
    records: Mapping[SplitName, Records],
    task: TaskName,
    names: Sequence[str] | None,
    num_classes: int | None,
    where: Mapping[SplitName, str],
    problems: Sequence[Problem],
) -> Dataset:
    multi_label = any(found.multi_label for found in records.values())
    count = max(num_classes or 0, len(names or ()), *(found.width for found in records.values()), 0)
    splits: dict[SplitName, tuple[Sample, ...]] = {"train": ()}
    splits |= {split: found.samples for split, found in records.items() if found.samples}
    found = [*problems, *unnamed(names, count, (sample for samples in splits.values() for sample in samples))]
    dataset = Dataset(root, RecordIO.name, names_up_to(count, names), splits, task, multi_label)
    return replace(dataset, problems=(*found, *class_problems(dataset, where)))


def _channel_records(channel: Channel, task: TaskName, multi_label: bool) -> Records:
    """The records of a training channel. Raises DataError, in the original's words, for a file that is damaged."""
    path = spooled(channel) if _is_pipe(channel) else _only_rec(channel)
    # Asked apart, since the original has a sentence of its own for it; one that is damaged gets the next.
    if path.stat().st_size == 0:
        if _is_pipe(channel):
            raise DataError(f"Got empty batch from pipe. The {channel.name} channel sent no bytes")
        raise DataError(f"Unable to start training. Empty .rec file in {channel.name} channel.")
    where = channel.name if _is_pipe(channel) else relative(path, channel.path.parent)
    records = read_rec(path, where, task, multi_label if task == "classification" else None)
    if records.faults:
        text = "Unable to parse record. Please make sure input data is in correct recordio format."
        raise DataError(f"{text} {damaged(records.faults[0], where)}")
    return records


def _only_rec(channel: Channel) -> Path:
    found = _files(channel.path)
    # One, as the guide has it; which of several the original takes is not known.
    if len(found) != 1:
        what = f"The {channel.name} channel holds {len(found) or 'no'} .rec files"
        raise CustomerError(what, hint="put exactly one there")
    return found[0]


def _is_pipe(channel: Channel) -> bool:
    return channel.input_mode == "Pipe"


def _files(root: Path) -> list[Path]:
    return [path for path in entries(root) if path.suffix.lower() == ".rec" and path.is_file()]


def _bytes(sample: Sample) -> bytes:
    try:
        return sample.image.read()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=sample.image) from error


FORMAT = RecordIO()
