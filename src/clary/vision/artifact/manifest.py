"""What an artifact says of itself: everything needed to serve the network without having trained it.

``manifest.json`` holds one object (format version 1 for classification; 2 for what came later, so that an older Clary
refuses it and still serves the classifiers it can):

    format_version  task  algorithm  labels  multi_label
    network         {"architecture": "timm:tf_efficientnet_lite0", ...}   what ``models.build`` takes
    input           name, height, width, resize, crop, layout, dtype, channel_order, mean, std, validation_crop
                    (height and width are null where ``crop`` is "whole": the network takes any size)
    outputs         [{"name": "scores", "dtype": "float32", "activation": "softmax"}]   those of the task
    metrics         {"validation:accuracy": 0.97}    null: not a finite number
    hyperparameters, provenance, engines, files

Of the hyperparameters serving reads ``nms_threshold`` and ``nms_topk`` (detection), as SageMaker's own does. A reader
tolerates keys it does not know; a newer ``format_version`` it does not.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Literal

from clary.errors import ArtifactError
from clary.vision.artifact._fields import Fields
from clary.vision.base.preprocessing import WHOLE_SIDES, Preprocess
from clary.vision.base.types import TaskName
from clary.vision.tasks import TASKS, Output, Task

__all__ = ["FORMAT_VERSION", "EngineCheck", "FileEntry", "Input", "Manifest", "Output", "Provenance"]

FORMAT_VERSION = 2
NAME = "manifest.json"
# Of a manifest, which is read before any checksum can be compared; 100,000 labels of 30 letters are 3 MB.
MAX_BYTES = 16 << 20
MAX_SIDE, MAX_INPUT = 16_384, 1 << 24  # pixels of a side and of the whole of network input


@dataclass(frozen=True, slots=True)
class Input:
    """What the network takes: uint8 RGB of shape (N, ``how.height``, ``how.width``, 3), made as ``how`` says; of a
    whole picture any height and width, the same within a batch.

    ``mean`` and ``std`` are on 0..1 and for information: the network subtracts and divides itself.
    ``validation`` is how validation pictures were prepared, where serving differs.
    """

    how: Preprocess
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    validation: Preprocess | None = None
    name: str = "images"
    layout: str = "NHWC"
    dtype: str = "uint8"
    channel_order: str = "RGB"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the artifact comes from. ``created`` is UTC, ISO 8601; ``precision`` is the training's arithmetic,
    with which, and ``seed``, the run is repeated exactly; ``counts`` are samples of each split; ``instead_of`` is the
    network that was asked for, where another was trained for want of its weights."""

    clary: str
    created: str
    torch: str = ""
    seed: int | None = None
    dataset: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    parent: str = ""
    precision: str = ""
    instead_of: str = ""


@dataclass(frozen=True, slots=True)
class EngineCheck:
    """How far an engine's outputs were from eager torch in fp32, as ``artifact.agreement`` measures each task.

    ``largest_difference`` is absolute, over all outputs that were compared.
    """

    largest_difference: float
    precision: Literal["fp32", "bf16"]
    version: str = ""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of the artifact: its SHA-256 in hexadecimal and its size."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything serving reads. ``labels`` are the class names in id order."""

    task: TaskName
    algorithm: str
    labels: tuple[str, ...]
    network: Mapping[str, Any]
    input: Input
    provenance: Provenance
    multi_label: bool = False
    outputs: tuple[Output, ...] = (Output(),)
    metrics: Mapping[str, float] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    engines: Mapping[str, EngineCheck] = field(default_factory=dict)
    files: Mapping[str, FileEntry] = field(default_factory=dict)

    @property
    def format_version(self) -> int:
        """The oldest format that says all of it."""
        # Not simply the newest: an older Clary goes on serving what it can.
        return FORMAT_VERSION if self.input.how.any_size else TASKS.get(self.task).manifest_version

    def to_json(self) -> str:
        """The text of ``manifest.json``. A metric that is not finite becomes null."""
        value = {
            "format_version": self.format_version,
            "task": self.task,
            "algorithm": self.algorithm,
            "labels": list(self.labels),
            "multi_label": self.multi_label,
            "network": dict(self.network),
            "input": _input_to_json(self.input),
            "outputs": [_plain(output) for output in self.outputs],
            "metrics": {name: number if math.isfinite(number) else None for name, number in self.metrics.items()},
            "hyperparameters": dict(self.hyperparameters),
            "provenance": _plain(self.provenance),
            "engines": {name: _plain(check) for name, check in self.engines.items()},
            "files": {name: _plain(entry) for name, entry in self.files.items()},
        }
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, where: object = NAME) -> Manifest:
        """Parse and check. Raises ArtifactError naming the key that is missing or wrong, and ``where``."""
        fields = Fields(_parse(text, where), where)
        _check_version(fields, where)
        task = TASKS.get(fields.text("task", one_of=TASKS.names()))
        labels = fields.texts("labels")
        # Different: answers and confusion tables are looked up by name.
        if not labels or len(set(labels)) != len(labels):
            raise fields.wrong("labels", "must be different names, at least one")
        if fault := task.label_fault(labels):
            raise fields.wrong("labels", fault)
        network = fields.mapping("network")
        # Asked before anything is built: a layer for a billion classes is as easily written as one for two.
        if "num_classes" in network and network["num_classes"] != len(labels):
            raise fields.wrong(
                "network", f"is for {network['num_classes']!r:.20} classes, `labels` names {len(labels)}"
            )
        return cls(
            task=task.name,
            algorithm=fields.text("algorithm"),
            labels=labels,
            multi_label=fields.flag("multi_label", False),
            network=network,
            input=_input_from_json(fields.part("input")),
            outputs=_outputs_from_json(fields, task),
            metrics={name: math.nan if x is None else x for name, x in fields.named_numbers("metrics").items()},
            hyperparameters=fields.mapping("hyperparameters", {}),
            provenance=_provenance_from_json(fields.part("provenance")),
            engines={name: _engine_from_json(one) for name, one in fields.named_parts("engines").items()},
            files={name: _file_from_json(one) for name, one in fields.named_parts("files").items()},
        )

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """The manifest in the file ``path``. Raises ArtifactError."""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ArtifactError(f"is larger than {MAX_BYTES >> 20} MiB", where=path, hint="export the model again")
            text = path.read_bytes()
        except OSError as error:
            raise ArtifactError(
                f"cannot be read ({error.strerror})", where=path, hint="name a model that `clary train` wrote"
            ) from error
        return cls.from_json(text, where=path)


def _parse(text: str | bytes, where: object) -> dict[str, Any]:
    try:
        # Python reads NaN, Infinity and 1e999, which no other reader of JSON takes.
        value = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"is not JSON ({error})", where=where, hint="export the model again") from error
    if not isinstance(value, dict):
        raise ArtifactError(
            f"holds a JSON {type(value).__name__}, not an object", where=where, hint="export the model again"
        )
    return value


def _finite(text: str) -> float:
    """A number of JSON; NaN and Infinity, which Python would read as well, are none (RFC 8259, 6)."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no number")
    return number


def _check_version(fields: Fields, where: object) -> None:
    version = fields.integer("format_version", low=1)
    # Newer ones only: what an older one does not say has a default.
    if version > FORMAT_VERSION:
        writer = _release(fields)
        raise ArtifactError(
            f"has format version {version}, this clary {installed('clary')} reads up to {FORMAT_VERSION}",
            where=where,
            hint=f"clary {writer} wrote it: pip install --upgrade 'clary>={writer}'" if writer else "update clary",
        )


def _release(fields: Fields) -> str:
    """The release that wrote a manifest of unknown layout, or nothing."""
    try:
        text = fields.part("provenance").text("clary")
    except ArtifactError:
        return ""
    return text if re.fullmatch(r"[0-9]+(\.[0-9a-z]+){1,4}", text) else ""


def _plain(value: Any) -> dict[str, Any]:
    """A flat dataclass as JSON has it."""
    pairs = {name: getattr(value, name) for name in value.__dataclass_fields__}
    return {name: dict(x) if isinstance(x, Mapping) else x for name, x in pairs.items()}


def _input_to_json(value: Input) -> dict[str, Any]:
    return {
        "name": value.name,
        **_preprocess_to_json(value.how),
        "layout": value.layout,
        "dtype": value.dtype,
        "channel_order": value.channel_order,
        "mean": list(value.mean),
        "std": list(value.std),
        "validation_crop": _preprocess_to_json(value.validation) if value.validation else None,
    }


def _preprocess_to_json(how: Preprocess) -> dict[str, Any]:
    fields = _plain(how)
    multiple = fields.pop("multiple")
    return fields | ({"height": None, "width": None, "multiple": multiple} if how.any_size else {})


def _preprocess_from_json(fields: Fields) -> Preprocess:
    crop = fields.text("crop", one_of=("center", "squash", "whole"))
    resize = fields.optional_integer("resize", low=1, high=MAX_SIDE)
    if crop == "whole":
        return Preprocess.whole(resize, fields.integer("multiple", low=1, high=WHOLE_SIDES[0]))
    height, width = (fields.integer(name, low=1, high=MAX_SIDE) for name in ("height", "width"))
    if height * width > MAX_INPUT:
        raise fields.wrong("width", f"and `height` make {height * width:,} pixels, at most {MAX_INPUT:,} are taken")
    return Preprocess(height, width, resize, crop)  # type: ignore[arg-type]  # one of the others


def _input_from_json(fields: Fields) -> Input:
    validation = fields.optional_part("validation_crop")
    return Input(
        how=_preprocess_from_json(fields),
        mean=fields.number_list("mean"),
        std=fields.number_list("std"),
        validation=_preprocess_from_json(validation) if validation else None,
        name=fields.text("name"),
        layout=fields.text("layout", one_of=("NHWC",)),
        dtype=fields.text("dtype", one_of=("uint8",)),
        channel_order=fields.text("channel_order", one_of=("RGB",)),
    )


def _outputs_from_json(fields: Fields, task: Task) -> tuple[Output, ...]:
    found = tuple(
        Output(one.text("name"), one.text("dtype", one_of=("float32",)), one.text("activation"))
        for one in fields.parts("outputs")
    )
    names = [output.name for output in task.outputs]
    if [output.name for output in found] != names:
        raise fields.wrong("outputs", f"of {task.name} must be {' and '.join(names)}")
    return found


def _provenance_from_json(fields: Fields) -> Provenance:
    return Provenance(
        clary=fields.text("clary"),
        created=fields.text("created"),
        torch=fields.text("torch", default=""),
        seed=fields.optional_integer("seed"),
        dataset=fields.text("dataset", default=""),
        counts=fields.named_integers("counts"),
        parent=fields.text("parent", default=""),
        precision=fields.text("precision", default=""),
        instead_of=fields.text("instead_of", default=""),
    )


def _engine_from_json(fields: Fields) -> EngineCheck:
    return EngineCheck(
        largest_difference=fields.number("largest_difference"),
        precision=fields.text("precision", one_of=("fp32", "bf16")),  # type: ignore[arg-type]  # one of the two
        version=fields.text("version", default=""),
    )


def _file_from_json(fields: Fields) -> FileEntry:
    digest = fields.text("sha256")
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise fields.wrong("sha256", "must be 64 hexadecimal digits")
    return FileEntry(digest, fields.integer("bytes", low=0))
