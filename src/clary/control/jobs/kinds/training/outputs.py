"""What a job leaves behind, put into the bucket it named.

<S3OutputPath>/<job>/output/model.tar.gz     everything in /opt/ml/model; with CompressionType NONE model/<file>
<S3OutputPath>/<job>/output/output.tar.gz    everything in /opt/ml/output/data, where there is anything
<CheckpointConfig.S3Uri>/<file>              everything in the checkpoint folder
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clary.control.jobs.folders import TRAINING_JOB, job_folder
from clary.control.jobs.kinds.training.preparation import checkpoint_folder
from clary.control.objects.base import ObjectStore, S3Uri
from clary.control.settings import Settings
from clary.errors import CustomerError
from clary.vision.base.jobdir import JobDir
from clary.vision.base.tarpack import pack

__all__ = ["Artifacts", "CheckpointUpload", "collect"]

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Where things were put, as S3 URIs; empty for what was not."""

    model: str = ""
    output: str = ""


def collect(body: Body, *, settings: Settings, objects: ObjectStore, model: bool = True) -> Artifacts:
    """Put the model, unless it is not wanted (a failed job's), and the other output into the bucket. Blocks.

    A second call puts the same bytes in the same places. Raises NoSuchBucket, CustomerError for a model folder that
    holds links or devices, UsageError and OSError for a full disk.
    """
    folder = job_folder(settings, TRAINING_JOB, body["TrainingJobName"])
    job = JobDir(folder / "opt_ml")
    target = S3Uri.parse(body["OutputDataConfig"]["S3OutputPath"]).join(body["TrainingJobName"], "output")
    made = Artifacts()
    if model and body["OutputDataConfig"].get("CompressionType") == "NONE":
        made = Artifacts(model=_put_files(job.model, target.join("model"), objects))
    elif model:
        made = Artifacts(model=_put_packed(job.model, target.join("model.tar.gz"), folder, objects))
    data = job.output / "data"
    # Whether SageMaker makes an empty output.tar.gz is not documented; one that says nothing is not made.
    if data.is_dir() and any(data.iterdir()):
        made = Artifacts(made.model, _put_packed(data, target.join("output.tar.gz"), folder, objects))
    return made


class CheckpointUpload:
    """Keeps CheckpointConfig.S3Uri as the checkpoint folder is. Not to be used by two threads at once."""

    def __init__(self, body: Body, *, settings: Settings, objects: ObjectStore) -> None:
        """Raises CustomerError for a LocalPath or S3Uri that cannot be used."""
        self._objects = objects
        self._folder = checkpoint_folder(body, job_folder(settings, TRAINING_JOB, body["TrainingJobName"]) / "opt_ml")
        self._target = S3Uri.parse(body["CheckpointConfig"]["S3Uri"]) if self._folder else None
        self._put: dict[Path, tuple[int, int]] = {}

    def upload(self) -> int:
        """Upload what is new or changed since the last call; returns how many files. Blocks.

        A file that is written to meanwhile is uploaded again by the next call; one that is gone stays in the bucket.
        Names beginning with a dot are left out: they are files in the making. Raises NoSuchBucket, OSError.
        """
        if self._folder is None or self._target is None or not self._folder.is_dir():
            return 0
        folder, target = self._folder, self._target
        return sum(self._upload(path, target.join(_name(path, folder))) for path in _regular_files(folder))

    def _upload(self, path: Path, at: S3Uri) -> bool:
        # Before the upload: what is written meanwhile makes another state, and the file is sent again.
        state = _state(path)
        if state is None or self._put.get(path) == state:
            return False
        try:
            self._objects.put(at.bucket, at.key, path)
        except FileNotFoundError:
            return False  # replaced or removed in the meantime
        self._put[path] = state
        return True


def _put_packed(folder: Path, target: S3Uri, beside: Path, objects: ObjectStore) -> str:
    """``folder`` as a tar.gz in the bucket, packed in a file that is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)  # a job may have removed it
    # On the job's own disk: /tmp may be memory, and a model is as large as it likes.
    with tempfile.TemporaryDirectory(dir=beside, prefix=".packed.") as temporary:
        archive = pack(folder, Path(temporary) / "archive.tar.gz")
        objects.put(target.bucket, target.key, archive)
    return str(target)


def _put_files(folder: Path, target: S3Uri, objects: ObjectStore) -> str:
    """Each file of ``folder`` as an object below ``target``; the prefix without its last slash, as SageMaker has it."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise CustomerError("is neither a file nor a folder", where=path, hint="leave links out of a model")
        if path.is_file():
            at = target.join(_name(path, folder))
            objects.put(at.bucket, at.key, path)
    return str(target)


def _regular_files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        # In place: os.walk goes into what is left of its list.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(names) if not name.startswith("."))


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _state(path: Path) -> tuple[int, int] | None:
    """What tells a changed file from the one that was uploaded; None for anything but a plain file."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return (found.st_mtime_ns, found.st_size) if stat.S_ISREG(found.st_mode) else None
