"""What an artifact says of itself: everything needed to serve the network without having trained it.

``manifest.json`` holds one object (format version 1):

    format_version  task  algorithm  labels  multi_label
    network         {"architecture": "timm:tf_efficientnet_lite0", ...}   what ``models.build`` takes
    input           name, height, width, resize, crop, layout, dtype, channel_order, mean, std, validation_crop
    outputs         [{"name": "scores", "dtype": "float32", "activation": "softmax"}]
    metrics         {"validation:accuracy": 0.97}    null: not a finite number
    hyperparameters, provenance, engines, files

A reader tolerates keys it does not know; a newer ``format_version`` it does not.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Literal, get_args

from clary.errors import ArtifactError
from clary.vision.artifact._fields import Fields
from clary.vision.base.imaging import Preprocess
from clary.vision.base.types import Task

__all__ = ["FORMAT_VERSION", "EngineCheck", "FileEntry", "Input", "Manifest", "Output", "Provenance"]

FORMAT_VERSION = 1
NAME = "manifest.json"
MAX_BYTES = 16 << 20
MAX_SIDE = 16_384  # pixels of network input


@dataclass(frozen=True, slots=True)
class Input:
    """What the network takes: uint8 RGB of shape (N, ``how.height``, ``how.width``, 3), made as ``how`` says.

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
class Output:
    """One output of the network. ``activation`` is what was applied to it last: softmax or sigmoid."""

    name: str = "scores"
    dtype: str = "float32"
    activation: str = "softmax"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the artifact comes from. ``created`` is UTC, ISO 8601; ``counts`` are samples of each split."""

    clary: str
    created: str
    torch: str = ""
    seed: int | None = None
    dataset: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    parent: str = ""


@dataclass(frozen=True, slots=True)
class EngineCheck:
    """How far an engine's scores were from eager torch in fp32: ``largest_difference`` is absolute."""

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

    task: Task
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

    def to_json(self) -> str:
        """The text of ``manifest.json``. A metric that is not finite becomes null."""
        value = {
            "format_version": FORMAT_VERSION,
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
        task = fields.text("task", one_of=get_args(Task))
        labels = fields.texts("labels")
        if not labels or len(set(labels)) != len(labels):
            raise fields.wrong("labels", "must be different names, at least one")
        return cls(
            task=task,  # type: ignore[arg-type]  # one of Task's
            algorithm=fields.text("algorithm"),
            labels=labels,
            multi_label=fields.flag("multi_label", False),
            network=fields.mapping("network"),
            input=_input_from_json(fields.part("input")),
            outputs=tuple(_output_from_json(one) for one in fields.parts("outputs")),
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
                raise ArtifactError(f"is larger than {MAX_BYTES >> 20} MiB", where=path, mend="export the model again")
            text = path.read_bytes()
        except OSError as error:
            raise ArtifactError(
                f"cannot be read ({error.strerror})", where=path, mend="name a model that `clary train` wrote"
            ) from error
        return cls.from_json(text, where=path)


def _parse(text: str | bytes, where: object) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"is not JSON ({error})", where=where, mend="export the model again") from error
    if not isinstance(value, dict):
        raise ArtifactError(
            f"holds a JSON {type(value).__name__}, not an object", where=where, mend="export the model again"
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
    if version > FORMAT_VERSION:
        writer = _release(fields)
        raise ArtifactError(
            f"has format version {version}, this clary {installed('clary')} reads up to {FORMAT_VERSION}",
            where=where,
            mend=f"clary {writer} wrote it: pip install --upgrade 'clary>={writer}'" if writer else "update clary",
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
        **_plain(value.how),
        "layout": value.layout,
        "dtype": value.dtype,
        "channel_order": value.channel_order,
        "mean": list(value.mean),
        "std": list(value.std),
        "validation_crop": _plain(value.validation) if value.validation else None,
    }


def _preprocess_from_json(fields: Fields) -> Preprocess:
    return Preprocess(
        height=fields.integer("height", low=1, high=MAX_SIDE),
        width=fields.integer("width", low=1, high=MAX_SIDE),
        resize=fields.optional_integer("resize", low=1, high=MAX_SIDE),
        crop=fields.text("crop", one_of=("center", "squash")),  # type: ignore[arg-type]  # one of the two
    )


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


def _output_from_json(fields: Fields) -> Output:
    return Output(fields.text("name"), fields.text("dtype"), fields.text("activation"))


def _provenance_from_json(fields: Fields) -> Provenance:
    return Provenance(
        clary=fields.text("clary"),
        created=fields.text("created"),
        torch=fields.text("torch", default=""),
        seed=fields.optional_integer("seed"),
        dataset=fields.text("dataset", default=""),
        counts=fields.named_integers("counts"),
        parent=fields.text("parent", default=""),
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
