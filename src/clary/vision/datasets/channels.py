"""The input channels of a training job as one data set.

Two ways in: our own channel (any name, content type DATASET_CONTENT_TYPE, conventionally ``dataset``) holds a data
set in any layout, its ``ReadingOptions`` being parameters of the content type; otherwise
``train``, ``validation`` and their companions are read by the format that declares their content type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from clary.errors import CustomerError, DataError
from clary.vision.base.channels import MODEL, is_dataset, kind_of, not_in_this_mode, not_read, require
from clary.vision.base.jobdir import Channel, JobDir
from clary.vision.base.types import Dataset, TaskName
from clary.vision.datasets.reading import ReadingOptions, read
from clary.vision.formats import FORMATS, Format
from clary.vision.formats._classes import names_up_to
from clary.vision.tasks import TASKS

__all__ = ["load"]


def load(
    job: JobDir,
    *,
    num_classes: int | None = None,
    multi_label: bool = False,
    task: TaskName = "classification",
    required: Sequence[str] = ("train", "validation"),
) -> Dataset:
    """The data set of a job; what could be left out stands in its ``problems``.

    ``num_classes`` and ``multi_label`` are the hyperparameters; None is "as many as there are". Boxes and masks may
    leave classes unused, which are then called by their ids; pictures of classes may not. ``required`` names
    the channels that must be there unless our own is. Raises CustomerError for a channel that is missing, empty or
    of a content type no format takes, and for data that no run can use.
    """
    channels = {name: channel for name, channel in job.channels.items() if name != MODEL}
    own = [channel for channel in channels.values() if is_dataset(channel)]
    if own:
        # What was handed over keeps the channel's name: a manifest does not tell who read the folder.
        dataset = replace(job.dataset, root=own[0].path) if job.dataset else _own(own[0], task)
    else:
        require(channels, required)
        reader = _reader(channels, task)
        _check_modes(channels, reader)
        dataset = reader.read_channels(channels, task=task, num_classes=num_classes, multi_label=multi_label)
    _check_use(dataset, num_classes, multi_label)
    if num_classes is None or num_classes <= len(dataset.class_names):
        return dataset
    return replace(dataset, class_names=names_up_to(num_classes, dataset.class_names))


def _own(channel: Channel, task: TaskName) -> Dataset:
    if not channel.path.is_dir():
        raise CustomerError(f"The {channel.name} channel has no data", hint="point it at a folder")
    return read(channel.path, ReadingOptions.of(channel), task=task)


def _reader(channels: Mapping[str, Channel], task: TaskName) -> Format:
    """The format for the task that takes the content types of all channels and the way they are laid out."""
    readers = [format for format in FORMATS if task in format.tasks]
    for channel in channels.values():
        if kind_of(channel) and not any(kind_of(channel) in format.content_types for format in readers):
            raise not_read(channel, {kind for format in readers for kind in format.content_types})
    # No content type is no contradiction: a request may leave it out.
    kinds = {kind_of(channel) for channel in channels.values()} - {""}
    found = [f for f in readers if f.content_types and kinds <= set(f.content_types) and f.takes(channels)]
    if found:
        # Of two that take the content type the one that takes the mode as well: records in Pipe mode, or a manifest.
        modes = {channel.input_mode for channel in channels.values()}
        return next((format for format in found if modes <= set(format.input_modes)), found[0])
    types = ", ".join(f"{c.name} {_described(c)}" for c in channels.values())
    hint = "give all the same content type, input mode and record wrapper"
    able = [format for format in readers if kinds and kinds <= set(format.content_types)]
    if len(able) == 1 and able[0].channel_needs:
        what = f"For {task} {' and '.join(sorted(kinds))} is read in one way only; the channels are {types}"
        raise CustomerError(what, hint=f"send {able[0].channel_needs}")
    raise CustomerError(f"The channels do not go together: {types}", hint=hint)


def _described(channel: Channel) -> str:
    kind = kind_of(channel) or "(none)"
    return f"{kind} in Pipe mode, wrapper {channel.record_wrapper}" if channel.input_mode == "Pipe" else kind


def _check_modes(channels: Mapping[str, Channel], reader: Format) -> None:
    for channel in channels.values():
        if channel.input_mode not in reader.input_modes:
            raise not_in_this_mode(channel, kind_of(channel) or reader.name, reader.input_modes[0])
        if channel.input_mode != "Pipe" and not channel.path.is_dir():
            raise CustomerError(f"The {channel.name} channel has no data", hint="check what it points at")


def _check_use(dataset: Dataset, num_classes: int | None, multi_label: bool) -> None:
    """Raises CustomerError for data that cannot be trained on, whatever else is right."""
    samples, task = dataset.splits["train"], TASKS.get(dataset.task)
    first = next((str(problem) for problem in dataset.problems if problem.severity == "error"), "")
    if not samples:
        raise DataError("The train channel holds no usable picture", hint=first)
    # Before the number of classes: with the wrong kind of label that number is wrong, too, and the message would
    # mislead.
    if dataset.multi_label != multi_label and task.single_or_multi_label:
        found = "several labels a picture" if dataset.multi_label else "one label a picture"
        raise CustomerError(f"The data has {found}", hint=f"set multi_label to {int(dataset.multi_label)}")
    if num_classes is not None:
        _check_classes(dataset, num_classes)
    if reason_untrainable := task.reason_untrainable({"train": samples}, dataset.class_names, multi_label):
        what, hint = reason_untrainable
        raise DataError(f"The train channel {what}", hint=hint or first)


def _check_classes(dataset: Dataset, num_classes: int) -> None:
    """Raises CustomerError where class ids do not fit ``num_classes``; the masks of segmentation are not opened."""
    uses_all = TASKS.get(dataset.task).uses_every_class
    if len(dataset.class_names) == num_classes or (len(dataset.class_names) < num_classes and not uses_all):
        return
    for samples in dataset.splits.values():
        for sample in samples:
            if unknown := [c for c in sample.classes if c >= num_classes]:
                what = f"has the class id {unknown[0]}; with num_classes {num_classes} class ids run from 0 to"
                hint = f"set num_classes to {len(dataset.class_names)} or mend the label"
                raise DataError(f"{what} {num_classes - 1}", where=sample.source or sample.image, hint=hint)
    what = f"The data has {len(dataset.class_names)} classes, num_classes is {num_classes}"
    raise CustomerError(what, hint=f"set num_classes to {len(dataset.class_names)}")
