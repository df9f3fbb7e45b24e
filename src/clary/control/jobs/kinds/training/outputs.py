"""What a job leaves behind, put into the bucket it named.

<S3OutputPath>/<job>/output/model.tar.gz     everything in /opt/ml/model; with CompressionType NONE model/<file>
<S3OutputPath>/<job>/output/output.tar.gz    everything in /opt/ml/output/data, where there is anything
<CheckpointConfig.S3Uri>/<file>              everything in the checkpoint folder, while the job runs; and what else is
                                             followed so (``preparation.followed_folders``)

An S3OutputPath that is a folder of this machine holds model.tar.gz and output.tar.gz itself.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clary.control.jobs.folders import TRAINING_JOB, job_folder, missing, remove_tree
from clary.control.jobs.kinds.training import programs
from clary.control.jobs.kinds.training.preparation import followed_folders
from clary.control.jobs.kinds.training.programs import Builtin
from clary.control.jobs.results import FolderUpload, opened_results
from clary.control.objects.base import ObjectStore, S3Uri
from clary.control.objects.machine_files import FileUri, place_of
from clary.control.settings import Settings
from clary.errors import CustomerError
from clary.vision.base.files import remove_temporaries
from clary.vision.base.tarpack import pack
from clary.vision.base.tree import Tree

__all__ = ["Artifacts", "FolderUploads", "collect", "results_place"]

Body = Mapping[str, Any]
PACKED = ".packed."  # begins the name of a folder in which an archive is made


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Where things were put, as S3 URIs; empty for what was not."""

    model: str = ""
    output: str = ""


def collect(body: Body, *, settings: Settings, objects: ObjectStore, model: bool = True) -> Artifacts:
    """Put the model, unless it is not wanted (a failed job's), and the other output into the bucket. Blocks.

    A second call puts the same bytes in the same places. Raises NoSuchBucket, CustomerError naming a link or a device
    among the results, or a folder of theirs that is one, UsageError and OSError for a full disk,
    ClaryError where the tree vanished.
    """
    folder = job_folder(settings, TRAINING_JOB, body["TrainingJobName"])
    # Of a tree that is not there an empty model would be stored, and the job called Completed.
    if (gone := missing(folder, "opt_ml")) is not None:
        raise gone
    target = results_place(body)
    made = Artifacts()
    # Of a built-in algorithm that was killed in the middle of a file; others may call theirs so.
    left = folder / "opt_ml" / "model"
    rules = settings.configuration.images
    if isinstance(programs.resolve(body["AlgorithmSpecification"], rules), Builtin) and not left.is_symlink():
        remove_temporaries(left / "*")
    if model:
        packed = body["OutputDataConfig"].get("CompressionType") != "NONE"
        with opened_results(folder, "model") as tree:
            if packed:
                made = Artifacts(model=_put_packed(tree, target.join("model.tar.gz"), folder, objects))
            else:
                made = Artifacts(model=_put_files(tree, target.join("model"), objects))
    with opened_results(folder, "output", "data") as tree:
        # Whether SageMaker makes an empty output.tar.gz is not documented; one that says nothing is not made.
        if os.listdir(tree.descriptor):
            made = Artifacts(made.model, _put_packed(tree, target.join("output.tar.gz"), folder, objects))
    return made


def results_place(request: Body) -> S3Uri:
    """Below which the results of a job are put. Raises ValidationException for a path that cannot be one."""
    place = place_of(request["OutputDataConfig"]["S3OutputPath"])
    # Local mode of the SDK puts model.tar.gz into the very folder that was named.
    return place if isinstance(place, FileUri) else place.join(request["TrainingJobName"], "output")


class FolderUploads:
    """Keeps places in the bucket as folders of the job are, its checkpoints' above all. Not to be used by two threads
    at once."""

    def __init__(self, body: Body, *, settings: Settings, objects: ObjectStore) -> None:
        """Raises CustomerError for a LocalPath or S3Uri that cannot be used."""
        opt_ml = job_folder(settings, TRAINING_JOB, body["TrainingJobName"]) / "opt_ml"
        followed = followed_folders(body, opt_ml, settings.configuration.images)
        self._uploads = [
            FolderUpload(opt_ml.parent, folder.relative_to(opt_ml).parts, target, objects)
            for folder, target in followed.items()
        ]

    def upload(self) -> int:
        """Upload what is new or changed since the last call; returns how many files. Blocks.

        Raises as ``FolderUpload.upload``, once all folders are uploaded.
        """
        refused: list[CustomerError] = []
        count = sum(one.upload(refused=refused.append) for one in self._uploads)
        if refused:
            raise refused[0]
        return count


def _put_packed(tree: Tree, target: S3Uri, beside: Path, objects: ObjectStore) -> str:
    """The files of ``tree`` as a tar.gz in the bucket, packed in a file that is gone afterwards."""
    # Of a gateway that was killed while it packed: only the one that follows the job does.
    for left in beside.glob(f"{PACKED}*"):
        remove_tree(left)
    # On the job's own disk: /tmp may be memory, and a model is as large as it likes.
    with tempfile.TemporaryDirectory(dir=beside, prefix=PACKED) as temporary:
        archive = pack(tree, Path(temporary) / "archive.tar.gz")
        objects.put(target.bucket, target.key, archive)
    return str(target)


def _put_files(tree: Tree, target: S3Uri, objects: ObjectStore) -> str:
    """Each file as an object below ``target``; the prefix without its last slash, as SageMaker has it."""
    for entry in tree.entries():
        if not entry.is_folder:
            at = target.join(entry.name)
            objects.put(at.bucket, at.key, entry.path)
    return str(target)
