"""A user's own script as a training job: its source at /opt/ml/code, and the plan for the toolkit that starts it.

The source is fetched here, with the job's other inputs, and not in the job as SageMaker's toolkit does: it finds the
folder full, and a wrong one is told before anything runs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from clary.control import local_mode
from clary.control.images import Script
from clary.control.jobs import launch
from clary.control.jobs.folders import remove_below
from clary.control.jobs.scripts import check_view, plan_of
from clary.control.objects.base import NoSuchBucket, NoSuchKey, ObjectStore, S3Uri
from clary.control.objects.machine_files import FileUri, copy_folder
from clary.control.settings import Settings
from clary.errors import CustomerError
from clary.toolkit.hyperparameters import check as check_hyperparameters
from clary.toolkit.hyperparameters import decode
from clary.toolkit.opt_ml import OPT_ML
from clary.toolkit.source import check_entry_point, unpack
from clary.vision.base.jobdir import JobDir

__all__ = ["LEFT", "check", "plan_script"]

LEFT = ("environment", "opt_ml/code")  # of a host's folder: what this makes, gone before an attempt and after a job

# Bytes of a folder of local_code. Without a source_dir it is all that lies beside the entry point.
LOCAL_CODE = 1 << 30

Body = Mapping[str, Any]


def check(program: Script, body: Body) -> None:
    """Refuse, when a job is created, one that names no script, or has hyperparameters that none can be handed. Raises
    CustomerError."""
    check_hyperparameters(decode(body.get("HyperParameters") or {}))
    config = body.get("ResourceConfig") or {}
    groups = config.get("InstanceGroups") or [config]
    local_mode.check([group.get("InstanceType", "") for group in groups], [_entry_point_and_source(body)[1]])
    if not program.argv and not _entry_point_and_source(body)[0]:
        image = body["AlgorithmSpecification"]["TrainingImage"]
        what = f"the image {image} runs a script, and the request names none: no hyperparameter sagemaker_program"
        raise CustomerError(
            what, hint="give entry_point, as the SDK's estimators take it, or an entry point of the image"
        )


def plan_script(
    program: Script,
    body: Body,
    *,
    folder: Path,
    job: JobDir,
    settings: Settings,
    objects: ObjectStore,
    isolated: bool = True,
) -> launch.Script:
    """Unpack the source of a script and write its plan below ``folder``, the host's; what is launched. Blocks.

    Channels are there already: under network isolation the source is in one. Raises CustomerError for a source that
    is not there, cannot be unpacked, or lacks the entry point; OSError; UsageError where the script could have no
    /opt/ml: jobs have none of their own (``isolated``), and this user may not link them into the one.
    """
    check_view(isolated)
    entry_point, source = _entry_point_and_source(body)
    if source:
        _fetch(source, job, folder, objects)
    if not program.argv:
        check_entry_point(entry_point, job.root / "code", source or str(OPT_ML / "code"))
    file = folder / "script.json"
    plan_of(
        program,
        body["AlgorithmSpecification"]["TrainingImage"],
        folder=folder,
        settings=settings,
        isolated=isolated,
        variables=body.get("Environment") or {},
        command=program.argv,
        entry_point=entry_point,
        source=source,
    ).write(file)
    return launch.Script(str(file))


def _entry_point_and_source(body: Body) -> tuple[str, str]:
    """Each empty where the request names none; variables go before hyperparameters, as in the toolkit."""
    given, found = body.get("Environment") or {}, decode(body.get("HyperParameters") or {})
    return (
        given.get("SAGEMAKER_PROGRAM") or found.program,
        given.get("SAGEMAKER_SUBMIT_DIRECTORY") or found.submit_directory,
    )


def _fetch(source: str, job: JobDir, folder: Path, objects: ObjectStore) -> None:
    code = job.root / "code"
    if source.startswith(local_mode.FILES):
        _read_in_place(source, job, code)
        return
    if not source.startswith("s3://"):
        path = PurePosixPath(source)  # of the script's own view
        inside = path.parts[len(OPT_ML.parts) :] if path.is_relative_to(OPT_ML) else ()
        archive = job.root.joinpath(*inside)
        if not inside or ".." in inside or not archive.exists():
            what = f"the source `{source}` is not there"
            raise CustomerError(what, hint="name an S3 URI, or a file of a channel below /opt/ml/input/data")
        unpack(archive, code, source)
        return
    uri = S3Uri.parse(source)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".source.") as temporary:
        archive = Path(temporary) / "sourcedir.tar.gz"
        try:
            objects.fetch(uri.bucket, uri.key, archive)
        except (NoSuchKey, NoSuchBucket) as error:
            hint = "submit the job again, which uploads the source"
            raise CustomerError("the source archive does not exist", where=source, hint=hint) from error
        remove_below(job.root, "code")
        unpack(archive, code, source)


def _read_in_place(source: str, job: JobDir, code: Path) -> None:
    """Of local mode: a folder of this machine, or an archive in one. Raises CustomerError where it is not there."""
    place = Path("/", FileUri.parse(source).key)
    if not place.exists():
        raise CustomerError("the source is not there", where=source, hint="name a folder of this machine")
    remove_below(job.root, "code")
    if not place.is_dir():
        unpack(place, code, source)
        return
    try:
        copy_folder(place, code, limit=LOCAL_CODE)
    except CustomerError as error:
        raise CustomerError(error.what, where=source, hint="name a folder of the code alone as source_dir") from error
