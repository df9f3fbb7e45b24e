"""What is kept of a job and what of each of its hosts, and where.

Of the job, once: its record in the store (status, phase and attempt; what the API answers comes from it), the file
``created`` in its folder, its metrics, and what it puts into the bucket.

Of each host: a folder, a log stream ``<job>/<host>-<epoch seconds of the job's creation>``, and in the folder

    launch.json     how its program is started (jobs.launch); written before each attempt
    exit.json       how its program ended (jobs.launch); whole or not at all
    opt_ml/         its /opt/ml (vision.base.jobdir); checkpoints/ outlives an attempt, the rest does not
    environment/    a script's own layer of packages (toolkit.layer), and script.json, its plan (toolkit.plan)
    scratch/        what it writes over its inputs (upper layers of the overlay mounts)
    pipes/          what its channels in Pipe mode send (jobs.pipe_plan); ``feeds/`` in homes made before 0.2
    lock, hosts, monitor.log    the local launcher's own

Folders of jobs lie in HOME/jobs for training jobs and in HOME/<kind>s for every other kind (HOME/processing-jobs, say):
names are unique within a kind only. The first host's folder is the job's, so that a job of one host lies where it did
when jobs had no hosts; the others' lie in it under their names:

    HOME/jobs/<job>/            created, and all of algo-1
    HOME/jobs/<job>/algo-2/     all of algo-2
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from clary.control.settings import Settings
from clary.errors import ClaryError, CustomerError
from clary.vision.base.files import PRIVATE, PRIVATE_FOLDER, private_folder, sync_folder, write_text
from clary.vision.base.tree import opened

__all__ = [
    "FIRST_HOST",
    "INPUTS",
    "RESULTS",
    "TRAINING_JOB",
    "claim",
    "host_folder",
    "host_names",
    "job_folder",
    "mark",
    "missing",
    "remove_below",
    "remove_tree",
    "stream_name",
]

# SageMaker's names for hosts, which programs have in their resourceconfig.json and in the names of log streams.
FIRST_HOST = "algo-1"
INPUTS = (
    "opt_ml/input/data",
    "opt_ml/code",
    "environment",
    "pipes",
    "feeds",
    "scratch",
    "hosts",
)  # of a host: needed until its program has ended
RESULTS = (
    "opt_ml/model",
    "opt_ml/output/data",
    "opt_ml/output/intermediate",
    "opt_ml/output/tensorboard",
    "opt_ml/checkpoints",
)  # of a host: needed until they are in the bucket

TRAINING_JOB = "training-job"  # the kind that was there before there were kinds


def job_folder(settings: Settings, kind: str, name: str) -> Path:
    """The folder of a job, there or not. ``kind`` is that of its record."""
    return (settings.jobs_root if kind == TRAINING_JOB else settings.home / f"{kind}s") / name


def mark(arn: str, created: object) -> str:
    """What tells a job from a deleted one of the same name."""
    return f"{arn} {created}"


def claim(folder: Path, mark: str) -> None:
    """Make the folder of a job, which ``mark`` tells from all others; that of a deleted job of the same name goes.

    Its exit.json would pass for this job's. Blocks.
    """
    note = folder / "created"
    if note.is_file() and note.read_text(errors="replace") == f"{mark}\n":
        return
    remove_tree(folder)
    private_folder(folder)
    # The record says that the job is there; after a crash its folder must be, too.
    sync_folder(folder.parent)
    # Last: killed before it, the folder is nobody's, and all is done again.
    write_text(note, f"{mark}\n", PRIVATE)


def host_folder(job: Path, host: str) -> Path:
    """The folder of a host, there or not, of the job whose folder is ``job``."""
    return job if host == FIRST_HOST else job / host


def host_names(count: int) -> tuple[str, ...]:
    """The names SageMaker gives ``count`` hosts: algo-1, algo-2, ..."""
    return tuple(f"algo-{number}" for number in range(1, count + 1))


def stream_name(job: str, host: str, created: float) -> str:
    """The log stream of a host, of all its attempts. ``created`` is the job's creation in epoch seconds."""
    return f"{job}/{host}-{int(created)}"


def missing(folder: Path, *names: str) -> ClaryError | None:
    """That ``folder``, a host's, or the first of the entries ``names`` is not there; None where all are."""
    for path in (folder, *(folder / name for name in names)):
        # A link would lead to results that are not the job's.
        if path.is_symlink() or not path.exists():
            what = "is gone: somebody removed it while the job ran, and what the job had in it"
            return ClaryError(what, where=path, hint="run the job again, and leave its folder alone")
    return None


def remove_tree(folder: Path) -> None:
    """Remove a folder a job wrote to, also where it took away the right to look into it. No error if there is none."""
    remove_below(folder.parent, folder.name)


def remove_below(folder: Path, name: str) -> None:
    """The same for the path ``name`` below ``folder``. Where a part of it is a link, what it leads to is not ours: a
    job that laid ``output`` to its owner's home must not have ``output/data`` removed there. The link itself goes only
    where it is the last part."""
    *parts, last = name.split("/")
    with suppress(FileNotFoundError, CustomerError), opened(folder, *parts) as tree:
        status = os.stat(last, dir_fd=tree.descriptor, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(last, dir_fd=tree.descriptor)
            return
        _unlock(last, tree.descriptor)
        for _, inner, _, descriptor in os.fwalk(last, follow_symlinks=False, dir_fd=tree.descriptor):
            for one in inner:
                _unlock(one, descriptor)
        # By descriptors all the way, where the system can.
        shutil.rmtree(last, dir_fd=tree.descriptor)


def _unlock(name: str, folder: int) -> None:
    """Give back the right to look into a folder; anything else stays as it is."""
    if not hasattr(os, "O_PATH"):
        with suppress(OSError):
            os.chmod(name, PRIVATE_FOLDER, dir_fd=folder, follow_symlinks=False)
        return
    # chmod follows links, and a job may have laid one to a folder that is not its own.
    with suppress(NotADirectoryError, FileNotFoundError):
        found = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.chmod(f"/proc/self/fd/{found}", PRIVATE_FOLDER)
        finally:
            os.close(found)
