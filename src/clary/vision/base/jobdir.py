"""The directory of a training job: the contract between whoever starts an algorithm and the algorithm itself.

    ROOT/                         /opt/ml on SageMaker
    ├── input/config/             hyperparameters.json  inputdataconfig.json  resourceconfig.json
    ├── input/data/<channel>/     what a channel holds
    ├── model/                    everything left here becomes model.tar.gz
    ├── checkpoints/              survives the process; a resumed job finds it again
    └── output/                   failure (one line), data/

`clary train` writes the same directory without a server, so the algorithm cannot tell who started it.
Source: SageMaker developer guide, "How SageMaker provides training information".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clary.errors import CustomerError, UsageError
from clary.vision.base.files import write_json, write_reserved

if TYPE_CHECKING:
    from clary.vision.base.types import Dataset
    from clary.vision.datasets.decoded import DecodedPictures

__all__ = ["DATASET_CONTENT_TYPE", "SUBSTITUTE_WEIGHTS", "Channel", "JobDir", "canonical", "media_type"]

# Content type of our own channel: a data set in any format `clary.vision.formats` reads, with its reading options
# as parameters: "application/x-clary-dataset; labels=species".
DATASET_CONTENT_TYPE = "application/x-clary-dataset"

# Types that are in use for others, in notebooks and by browsers.
_SPELLINGS = {
    **dict.fromkeys(("image/jpg", "image/pjpeg", "image/jpe", "application/jpeg", "application/jpg"), "image/jpeg"),
    **dict.fromkeys(("image/x-png", "application/png", "application/x-png"), "image/png"),
    **dict.fromkeys(("application/image", "application/x-images"), "application/x-image"),
    **dict.fromkeys(("application/recordio", "application/x-recordio-mxnet"), "application/x-recordio"),
    "image/heif-sequence": "image/heif",
    "image/heic-sequence": "image/heic",
    "image/x-ms-bmp": "image/bmp",
}
# Set to 1: a job whose pretrained weights are not to be had trains the packaged network instead.
SUBSTITUTE_WEIGHTS = "CLARY_SUBSTITUTE_WEIGHTS"

FAILURE_LIMIT = 1024  # characters of FailureReason


@dataclass(frozen=True, slots=True)
class Channel:
    """A named input. ``path`` is its folder (File mode); the other fields are as inputdataconfig.json has them."""

    name: str
    path: Path
    content_type: str = ""
    input_mode: str = "File"
    distribution: str = "FullyReplicated"
    record_wrapper: str = "None"

    @property
    def options(self) -> dict[str, str]:
        """Parameters of the content type: ``{"label-format": "class-id"}``."""
        return media_type(self.content_type)[1]


def media_type(text: str) -> tuple[str, dict[str, str]]:
    """Split ``type/subtype; name=value`` into the lower-case type and its parameters (RFC 9110, 8.3.1)."""
    kind, *parameters = [part.strip() for part in text.split(";")]
    pairs = (parameter.partition("=") for parameter in parameters if parameter)
    return kind.lower(), {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def canonical(kind: str) -> str:
    """The media type that is meant by a lower-case one: ``image/jpeg`` for ``image/jpg``, others as they are."""
    return _SPELLINGS.get(kind, kind)


class JobDir:
    """The paths of a job directory, and what its configuration files say.

    ``dataset`` is what our own channel holds, where whoever starts the job in this process has read it already: a
    folder of 20,000 images takes half a second to read, COCO's annotations longer. ``pictures`` are those that were
    decoded when they were looked at, until the loaders take them. ``may_grow`` says that the job may go on from a
    checkpoint with more epochs than it was started with.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.config = self.root / "input" / "config"
        self.data = self.root / "input" / "data"
        self.model = self.root / "model"
        self.checkpoints = self.root / "checkpoints"
        self.output = self.root / "output"
        self.failure = self.output / "failure"
        self.metrics = self.root / "metrics.jsonl"
        self.room = self.output / "failure.room"  # while a job runs: for the note, on a full disk
        self.substitution = self.root / "substitution.json"
        self.dataset: Dataset | None = None
        self.pictures: DecodedPictures | None = None
        self.may_grow = False

    @classmethod
    def from_environment(cls) -> JobDir:
        """``/opt/ml``, or where SAGEMAKER_BASE_DIR points."""
        # The variable of SageMaker's training toolkit, so that programs written for it look in the same place.
        return cls(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))

    @classmethod
    def create(
        cls,
        root: Path | str,
        hyperparameters: Mapping[str, str],
        channels: Mapping[str, Channel],
        resources: Mapping[str, Any] | None = None,
    ) -> JobDir:
        """Write the configuration files; a channel whose path lies elsewhere is linked, not copied.

        ``resources`` is what resourceconfig.json says, by default that there is one host.
        """
        # All folders from the start, as on SageMaker: programs write into model/ and output/data/ without making them.
        job = cls(root)
        for folder in (job.config, job.data, job.model, job.checkpoints, job.output / "data"):
            folder.mkdir(parents=True, exist_ok=True)
        write_json(job.config / "hyperparameters.json", dict(hyperparameters))
        write_json(job.config / "inputdataconfig.json", {name: _to_config(c) for name, c in channels.items()})
        write_json(job.config / "resourceconfig.json", dict(resources or _one_host()))
        for name, channel in channels.items():
            _link(job.data, name, channel.path)
        return job

    @property
    def hyperparameters(self) -> dict[str, str]:
        """Names to values, all strings, exactly as the request had them."""
        values = self._read("hyperparameters.json")
        # SageMaker sends strings; its validator takes JSON numbers as well.
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}

    @property
    def channels(self) -> dict[str, Channel]:
        """The input channels by name."""
        found = self._read("inputdataconfig.json")
        for name, config in found.items():
            if not isinstance(config, dict):
                raise CustomerError(f"the {name} channel is no JSON object", where=self.config / "inputdataconfig.json")
        return {name: self._channel(name, config) for name, config in found.items()}

    def fail(self, reason: str) -> None:
        """Leave the failure note; its first 1024 characters become FailureReason. Also on a full disk: that is then
        what it says."""
        # Written through a link it would be a file of somebody else's; whoever looks for the note names the link.
        if self.output.is_symlink():
            return
        write_reserved(self.failure, self.room, reason[:FAILURE_LIMIT])

    def substitute(self, asked: str, trained: str) -> None:
        """Note that ``trained`` takes the place of the network ``asked`` for, whose weights are not to be had."""
        write_json(self.substitution, {"asked": asked, "trained": trained})

    def substituted(self) -> tuple[str, str] | None:
        """What ``substitute`` noted, None where it did not."""
        try:
            noted = json.loads(self.substitution.read_text())
            return str(noted["asked"]), str(noted["trained"])
        # A user's own program may write there what it likes.
        except (OSError, ValueError, TypeError, LookupError, RecursionError):
            return None

    def _channel(self, name: str, config: Mapping[str, str]) -> Channel:
        return Channel(
            name=name,
            path=self.data / name,
            content_type=config.get("ContentType") or "",
            input_mode=config.get("TrainingInputMode", "File"),
            distribution=config.get("S3DistributionType", "FullyReplicated"),
            record_wrapper=config.get("RecordWrapperType", "None"),
        )

    def _read(self, name: str) -> dict[str, Any]:
        path = self.config / name
        try:
            value = json.loads(path.read_text())
        except OSError as error:
            raise UsageError(f"cannot be read ({error.strerror})", where=path, hint="start the job again") from error
        except (ValueError, RecursionError) as error:
            raise CustomerError(f"is not JSON ({error})", where=path) from error
        if not isinstance(value, dict):
            raise CustomerError(f"holds a JSON {type(value).__name__}, not an object", where=path)
        return value


def _link(data: Path, name: str, target: Path) -> None:
    """A link called ``name`` to a channel's folder; data that lies there already stays."""
    # SageMaker's own pattern of channel names, less a dot in front: `..` would leave the folder.
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise UsageError(f"a channel cannot be called `{name}`", hint="use letters, digits, . _ -")
    link = data / name
    if link == target:  # whoever made the folder has put the data there, or a link; in Pipe mode there is none
        return
    # Of an earlier attempt in this folder, whose data may have lain elsewhere.
    if link.is_symlink():
        link.unlink()
    if not link.exists():
        link.symlink_to(target.resolve(), target_is_directory=True)


def _to_config(channel: Channel) -> dict[str, str]:
    config = {
        "TrainingInputMode": channel.input_mode,
        "S3DistributionType": channel.distribution,
        "RecordWrapperType": channel.record_wrapper,
    }
    return config | ({"ContentType": channel.content_type} if channel.content_type else {})


def _one_host() -> dict[str, Any]:
    # SageMaker's own names, which programs read here.
    group = {"instance_group_name": "homogeneousCluster", "instance_type": "local", "hosts": ["algo-1"]}
    return {
        "current_host": "algo-1",
        "current_instance_type": "local",
        "current_group_name": "homogeneousCluster",
        "hosts": ["algo-1"],
        "instance_groups": [group],
        "network_interface_name": "lo",
    }
