"""Inputs and outputs of a processing job: which folder of it holds which objects.

Source: SageMaker API reference, ProcessingS3Input and ProcessingS3Output.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from clary.control.objects.base import S3Uri
from clary.control.objects.machine_files import place_of
from clary.errors import CustomerError

__all__ = ["PROCESSING", "Input", "Output", "inputs_of", "outputs_of", "overlap"]

OPT_ML = PurePosixPath("/opt/ml")
PROCESSING = OPT_ML / "processing"

_LONGEST = 255  # bytes of a file's name

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Input:
    """``path`` is where its files lie, as the program sees it; ``channel`` what they are, as a channel of a training
    job says it (``jobs.channels``)."""

    name: str
    path: PurePosixPath
    channel: Mapping[str, Any]

    @property
    def parts(self) -> tuple[str, ...]:
        """Its place below opt_ml."""
        return self.path.relative_to(OPT_ML).parts


@dataclass(frozen=True, slots=True)
class Output:
    """``uri`` is the request's word for ``target``, the place below which the files of ``path`` are put."""

    name: str
    path: PurePosixPath
    uri: str
    continuous: bool

    @property
    def parts(self) -> tuple[str, ...]:
        return self.path.relative_to(OPT_ML).parts

    @property
    def target(self) -> S3Uri:
        """Raises ValidationException for what is no URI."""
        return place_of(self.uri)


def inputs_of(body: Body) -> list[Input]:
    """What is to be there before the program starts; what an application manages itself (AppManaged) is not.

    Raises CustomerError naming a LocalPath that cannot be one.
    """
    given = [one for one in body.get("ProcessingInputs") or () if one.get("S3Input") and not one.get("AppManaged")]
    return [Input(one["InputName"], _path(one["InputName"], one["S3Input"]), _channel(one)) for one in given]


def outputs_of(body: Body) -> list[Output]:
    """What is to be stored. Raises as ``inputs_of``."""
    given = (body.get("ProcessingOutputConfig") or {}).get("Outputs") or ()
    return [
        Output(
            one["OutputName"],
            _path(one["OutputName"], one["S3Output"]),
            one["S3Output"]["S3Uri"],
            one["S3Output"]["S3UploadMode"] == "Continuous",
        )
        for one in given
        if one.get("S3Output") and not one.get("AppManaged")
    ]


def overlap(one: PurePosixPath, other: PurePosixPath) -> bool:
    """Whether one of two folders is the other, or lies in it."""
    return one.is_relative_to(other) or other.is_relative_to(one)


def _path(name: str, given: Mapping[str, Any]) -> PurePosixPath:
    text = given.get("LocalPath") or ""
    path = PurePosixPath(text)
    if not path.is_relative_to(PROCESSING) or ".." in path.parts or "\0" in text:
        what = f"LocalPath `{text}` of {name} must begin with {PROCESSING}/" if text else f"{name} has no LocalPath"
        raise CustomerError(what, hint=f"name a folder below it, {PROCESSING}/input say")
    if any(len(os.fsencode(part)) > _LONGEST for part in path.parts):
        what = f"LocalPath `{text[:80]}...` of {name} has a name that no file system takes"
        raise CustomerError(what, hint=f"give each folder at most {_LONGEST} bytes")
    return path


def _channel(given: Mapping[str, Any]) -> dict[str, Any]:
    source = given["S3Input"]
    distribution = source.get("S3DataDistributionType") or "FullyReplicated"
    place = {"S3DataType": source["S3DataType"], "S3Uri": source["S3Uri"], "S3DataDistributionType": distribution}
    return {"ChannelName": given["InputName"], "DataSource": {"S3DataSource": place}, "InputMode": "File"}
