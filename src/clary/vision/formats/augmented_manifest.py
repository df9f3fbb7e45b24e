"""Augmented manifests: a line of JSON for each picture, as SageMaker Ground Truth writes them.

    ROOT/
    ├── train.manifest  validation.manifest  test.manifest      also .jsonl, also pets_train.manifest
    └── pictures, masks                                         where the lines say

    {"source-ref": "s3://bucket/a.jpg", "class": 0, "class-metadata": {"class-name": "cat", ...}}
    {"source-ref": "a.jpg", "tags": [0, 2], "tags-metadata": {"class-map": {"0": "cat", "2": "wet"}, ...}}
    {"source-ref": "a.jpg", "boxes": {"image_size": [...], "annotations": [...]}, "boxes-metadata": {...}}
    {"source-ref": "a.jpg", "mask-ref": "masks/a.png", "mask-ref-metadata": {"internal-color-map": {...}}}
    {"source-ref": "seq1.json", "cars-ref": "SeqLabel.json", "cars-ref-metadata": {...}}      video: ``_video_frames``

The key beside ``source-ref`` has any name; where lines have several, they are the choices of ``labels``. Paths start
at ROOT. Of an ``s3://`` address as many leading parts (bucket first) are left out as it takes to find the files.
In a training job a manifest comes in Pipe mode: picture and label as two RecordIO records, without a header.
Source: SageMaker developer guide, "Augmented manifest files", "Output data" (of Ground Truth).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clary.errors import CustomerError, DataError
from clary.vision.base.files import no_file
from clary.vision.base.jobdir import Channel
from clary.vision.base.pipes import spooled
from clary.vision.base.types import Blob, Dataset, Problem, Sample, SplitName, TaskName
from clary.vision.formats._annotation import annotation_of, boxes_in
from clary.vision.formats._base import Format, Need
from clary.vision.formats._boxes import classes_of
from clary.vision.formats._classes import class_problems, names_up_to
from clary.vision.formats._files import distinct_name, file_name, image_size, place
from clary.vision.formats._layout import SPLITS, lists_by_split, unsafe_path
from clary.vision.formats._lines import (
    SOURCE,
    WRITTEN,
    Lines,
    Resolve,
    attribute_for,
    attributes,
    first_lines,
    format_of,
    manifests,
    resolver,
    task_of,
)
from clary.vision.formats._manifest import LabelFormat, classes_in
from clary.vision.formats._manifest_stream import read_records
from clary.vision.formats._masks import PALETTE, as_classes, count_classes, write_mask
from clary.vision.formats._video_frames import frames_of, is_video
from clary.vision.formats._wording import FAULTY, apart, several, shown, typed

__all__ = ["FORMAT", "AugmentedManifest"]


class AugmentedManifest(Format):
    """See the module. Written with paths relative to the root and Ground Truth's metadata."""

    name = "augmented-manifest"
    lists_images = True
    layout = "train.manifest (or .jsonl) with a JSON object a line, source-ref and a label"
    needs = (Need("train.manifest", ("*.manifest", "*.jsonl"), ("*/*.manifest", "*/*.jsonl")),)
    tasks = frozenset[TaskName]({"classification", "detection", "segmentation"})
    content_types = ("application/x-recordio",)
    # SageMaker resolves the references itself and streams what they name; in File mode there is no such channel
    # (guide).
    input_modes = ("Pipe",)
    channel_needs = "an augmented manifest: S3DataType AugmentedManifestFile, Pipe mode, RecordWrapperType RecordIO"

    def sniff(self, root: Path) -> bool:
        return bool(manifests(root))

    def task_of(self, root: Path) -> TaskName:
        first = first_lines(root)
        return next((task_of(first, name) for name in attributes(first)), "classification")

    def labels_of(self, root: Path) -> tuple[str, ...]:
        return attributes(first_lines(root))

    def _read(self, root: Path, task: TaskName, labels: str | None) -> Dataset:
        files, problems = lists_by_split(manifests(root), ".manifest")
        lines = {split: Lines(path, path.name) for split, path in files.items()}
        attribute = attribute_for(first_lines(root), labels, task)
        _expand_video(root, lines, attribute)
        resolve = resolver(root, [line for found in lines.values() for _, line in found.values], attribute)
        values = [line.get(attribute) for found in lines.values() for _, line in found.values]
        kind = format_of(values, [line for found in lines.values() for _, line in found.values], attribute)
        reader = _Reader(root, task, attribute, kind, resolve)
        splits = {split: reader.samples(found) for split, found in lines.items()}
        found = [*problems, *(problem for one in lines.values() for problem in one.problems), *reader.problems]
        # The length of a list, not its highest 1: the last classes may be in no picture.
        width = max((len(v) for v in values if isinstance(v, list)), default=0) if kind == "multi-hot" else 0
        where = {split: path.name for split, path in files.items()}
        return _dataset(root, splits, task, kind != "single", reader.names, width, None, where, found)

    def _write(self, dataset: Dataset, root: Path) -> None:
        for split, samples in dataset.splits.items():
            taken: dict[str, int] = {}
            with (root / f"{split}.manifest").open("w", encoding="utf-8") as file:
                for sample in samples:
                    wanted = Path(file_name(sample))
                    stem = distinct_name(wanted.stem, taken)
                    place(sample.image, root / "images" / split / f"{stem}{wanted.suffix}")
                    line = {SOURCE: f"images/{split}/{stem}{wanted.suffix}"}
                    line |= _label(dataset, sample, root, f"masks/{split}/{stem}.png")
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def takes(self, channels: Mapping[str, Channel]) -> bool:
        # Of the same content type as packed records; only the wrapper tells them apart.
        return all(c.record_wrapper == "RecordIO" and c.input_mode == "Pipe" for c in channels.values())

    def read_channels(
        self, channels: Mapping[str, Channel], *, task: TaskName, num_classes: int | None, multi_label: bool
    ) -> Dataset:
        splits: dict[SplitName, tuple[Sample, ...]] = {}
        problems: list[Problem] = []
        for name in ("train", "validation"):
            if name in channels:
                kind = _asked_format(channels[name], multi_label)
                path = spooled(channels[name])
                samples, found = read_records(path, name, task, kind, num_classes)
                splits[SPLITS[name]] = samples
                problems += found
        where: dict[SplitName, str] = {split: split for split in splits}
        root = channels["train"].path.parent
        return _dataset(root, splits, task, multi_label, {}, num_classes or 0, num_classes, where, problems)


@dataclass(slots=True)
class _Reader:
    """Lines to samples, for one attribute."""

    root: Path
    task: TaskName
    attribute: str
    kind: LabelFormat
    resolve: Resolve
    names: dict[int, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def samples(self, lines: Lines) -> tuple[Sample, ...]:
        found = []
        for number, value in lines.values:
            where = f"{lines.where}:{number}"
            try:
                found.append(self._sample(where, value))
            except DataError as error:
                self.problems.append(Problem(where, error.what, error.hint, "error", 1, FAULTY))
        return tuple(found)

    def _sample(self, where: str, line: dict[str, Any]) -> Sample:
        for key in (SOURCE, self.attribute):
            if key not in line:
                self._refuse_unlabelled(line)
                others = several((shown(name) for name in line), 6) or "nothing"
                raise DataError(f"has no `{key}`, it has {others}", hint=f"add `{key}` or remove the line")
        sample = Sample(Blob(self.file(SOURCE, line[SOURCE])), source=where)
        self._take_names(where, line)
        value = line[self.attribute]
        if self.task == "segmentation":
            return replace(sample, mask=Blob(self.file(self.attribute, value)))
        if self.task == "detection":
            boxes, faults = boxes_in(value)
            if not (isinstance(value, dict) and isinstance(value.get("annotations"), list)):
                raise DataError(f"`{self.attribute}` {faults[0]}", hint="mend the label or remove the line")
            self.problems += [Problem(where, f"`{self.attribute}` {fault}", "mend the label") for fault in faults]
            return replace(sample, boxes=boxes, classes=classes_of(boxes))
        classes = classes_in(value, self.kind)
        if isinstance(classes, str):
            raise DataError(f"`{self.attribute}` {classes}", hint="mend the label or remove the line")
        return replace(sample, classes=classes)

    def _refuse_unlabelled(self, line: dict[str, Any]) -> None:
        """Raises DataError for a line that says why its labelling failed."""
        metadata = line.get(f"{self.attribute}-metadata")
        # Ground Truth leaves such lines in its output, with the reason where the label would be.
        if isinstance(metadata, dict) and "failure-reason" in metadata:
            reason = shown(str(metadata["failure-reason"]))
            raise DataError(f"has no `{self.attribute}`, its labelling failed: {reason}", hint="remove the line")

    def file(self, key: str, value: object) -> Path:
        """The file that a key of a line names. Raises DataError."""
        if not isinstance(value, str) or unsafe_path(value.removeprefix("s3://")):
            raise DataError(f"`{key}` is {typed(value)}, which is no path or s3:// address", hint="mend the line")
        path = self.resolve(value)
        if not os.path.isfile(path):
            name = path.relative_to(self.root) if path.is_relative_to(self.root) else path
            found = f"`{key}` names {shown(value)}, looked for as {shown(str(name))}, which {no_file(path)}"
            raise DataError(found, hint="put the file there or remove the line")
        return path

    def _take_names(self, where: str, line: dict[str, Any]) -> None:
        """Class names from the metadata beside the label: a name, a class-map, or a map of colours."""
        metadata = line.get(f"{self.attribute}-metadata")
        if not isinstance(metadata, dict):
            return
        found = metadata.get("class-map") or metadata.get("internal-color-map") or {}
        # One class a picture: its name stands beside it, the id only in the label.
        only = classes_in(line[self.attribute], "single") if "class-name" in metadata else ""
        if isinstance(only, tuple):
            found = {str(only[0]): metadata["class-name"]}
        for key, name in found.items() if isinstance(found, dict) else ():
            name = name.get("class-name") if isinstance(name, dict) else name
            # Five digits: class ids end at 100,000, and each name is kept.
            if not (key.isdecimal() and len(key) < 6 and isinstance(name, str)):
                continue
            if self.names.setdefault(int(key), name) != name:
                now, before = apart(name, self.names[int(key)])
                what = f"calls class {key} {now}, it was {before} before"
                self.problems.append(Problem(where, what, "give a class one name", "note"))


def _expand_video(root: Path, lines: Mapping[SplitName, Lines], attribute: str) -> None:
    """A line for each frame in place of a line for a sequence of them."""
    every = [line for found in lines.values() for _, line in found.values]
    if not any(is_video(line, attribute) for line in every):
        return
    reader = _Reader(root, "detection", attribute, "single", resolver(root, every, attribute))
    for found in lines.values():
        given, found.values = found.values, []
        for number, line in given:
            if not is_video(line, attribute):
                found.values.append((number, line))
                continue
            try:
                sequence, labels = (reader.file(key, line.get(key)) for key in (SOURCE, attribute))
                frames = frames_of(line, (SOURCE, sequence), (attribute, labels))
                found.values += [(number, frame) for frame in frames]
            except DataError as error:
                place_ = f"{found.where}:{number}"
                found.problems.append(Problem(place_, error.what, error.hint, "error", 1, FAULTY))


def _asked_format(channel: Channel, multi_label: bool) -> LabelFormat:
    if not multi_label:
        return "single"
    # The default is 0 and 1 for each class, though Ground Truth itself writes class ids (guide, augmented manifest).
    found = channel.options.get("label-format", "multi-hot")
    if found == "multi-hot":
        return "multi-hot"
    if found == "class-id":
        return "class-id"
    what = f"The {channel.name} channel has the label-format `{found}`"
    raise CustomerError(what, hint="use multi-hot or class-id")


def _dataset(
    root: Path,
    splits: Mapping[SplitName, tuple[Sample, ...]],
    task: TaskName,
    multi_label: bool,
    names: Mapping[int, str],
    width: int,
    num_classes: int | None,
    where: Mapping[SplitName, str],
    problems: Sequence[Problem],
) -> Dataset:
    if task == "segmentation" and num_classes is None and not names:
        splits, named, guessed = as_classes(splits, None, root)
        names, problems = dict(enumerate(named or ())), [*problems, *guessed]
    samples = [sample for found in splits.values() for sample in found]
    highest = max((c for sample in samples for c in sample.classes), default=-1)
    count = max(num_classes or 0, width, highest + 1, *(c + 1 for c in names), 0)
    if task == "segmentation" and not count:
        count = count_classes(samples)
    kept: dict[SplitName, tuple[Sample, ...]] = {"train": ()}
    kept |= {split: found for split, found in splits.items() if found}
    multi_label = multi_label and task == "classification"
    dataset = Dataset(root, AugmentedManifest.name, names_up_to(count, names), kept, task, multi_label)
    return replace(dataset, problems=(*problems, *class_problems(dataset, where)))


def _label(dataset: Dataset, sample: Sample, root: Path, mask: str) -> dict[str, Any]:
    """The label of a sample and its metadata, as Ground Truth writes them."""
    key = WRITTEN[dataset.task]
    class_map = {str(c): name for c, name in enumerate(dataset.class_names)}
    if dataset.task == "segmentation":
        if sample.mask is None:
            raise DataError("has no mask", where=sample.source or sample.image, hint="leave it out")
        write_mask(sample, root / mask)
        colours = {
            c: {"class-name": name, "hex-color": f"#{PALETTE[3 * int(c) : 3 * int(c) + 3].hex()}"}
            for c, name in class_map.items()
        }
        return {
            key: mask,
            f"{key}-metadata": {"internal-color-map": colours, "type": "groundtruth/semantic-segmentation"},
        }
    if dataset.task == "detection":
        value: object = annotation_of(sample.boxes, *image_size(sample))
        return {key: value, f"{key}-metadata": {"class-map": class_map, "type": "groundtruth/object-detection"}}
    if dataset.multi_label:
        kind = "groundtruth/image-classification-multilabel"
        return {key: sorted(sample.classes), f"{key}-metadata": {"class-map": class_map, "type": kind}}
    name = dataset.class_names[sample.classes[0]]
    metadata = {"class-name": name, "type": "groundtruth/image-classification"}
    return {key: sample.classes[0], f"{key}-metadata": metadata}


FORMAT = AugmentedManifest()
