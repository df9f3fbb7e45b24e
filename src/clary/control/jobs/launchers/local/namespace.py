"""The absolute /opt/ml of a job: a mount namespace in which HOME/jobs/<job>/opt_ml lies at /opt/ml.

Made in the process that becomes the program, without privilege; nothing of it is seen outside, and it is gone with
the last process of the job. Where the kernel does not allow it, the job gets SAGEMAKER_BASE_DIR instead.

    /opt/ml                       HOME/jobs/<job>/opt_ml
    /opt/ml/input/data/<channel>  the channel, shielded: what the job writes there goes to HOME/jobs/<job>/scratch
    /etc/hosts                    the host's, and the names of the job's hosts
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from clary.control.jobs.launch import Launch
from clary.toolkit import mounts
from clary.vision.base.files import write_text

__all__ = ["OPT_ML", "available", "enter"]

OPT_ML = Path("/opt/ml")
HOSTS = Path("/etc/hosts")
# Bytes of a channel that is copied where overlay mounts do not work.
COPY_LIMIT = 64 << 20
PROBE_SECONDS = 30.0


@functools.cache
def available() -> bool:
    """Whether the kernel lets this user give a job its own /opt/ml. Tried once, in a process of its own."""
    if sys.platform != "linux":
        return False
    probe = [sys.executable, "-P", "-m", "clary.control.jobs.launchers.local.namespace"]
    try:
        return (
            subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_SECONDS).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def enter(launch: Launch) -> None:
    """Give this process, which must have one thread only, the job's view. Raises OSError where the kernel refuses."""
    mounts.enter()
    # Channels first: what is mounted below a tree by then is bound along with it (MS_REC), nothing that comes later.
    for folder in launch.inputs:
        _shield(folder, launch.scratch / folder.relative_to(launch.opt_ml))
    if not OPT_ML.is_dir():
        mounts.make_mount_point(OPT_ML)
    mounts.bind(launch.opt_ml, OPT_ML)
    if launch.hosts and HOSTS.exists():
        _name_hosts(launch.folder / "hosts", launch.hosts)


def _shield(folder: Path, scratch: Path) -> None:
    """Let the job write to ``folder`` as it likes without reaching the files there, which may be the store's own."""
    upper, work = scratch / "upper", scratch / "work"
    upper.mkdir(parents=True)
    work.mkdir()
    upper.chmod(0o755)
    try:
        mounts.overlay(folder, upper, work)
    except OSError:  # a file system that cannot be a layer, or a kernel without overlay for users
        # Small ones hold programs that expect to change their own files (SDK v3's launcher scripts).
        if _size(folder) <= COPY_LIMIT:
            shutil.copytree(folder, upper, symlinks=True, dirs_exist_ok=True)
            mounts.bind(upper, folder)
        else:
            mounts.bind_read_only(folder, folder)


def _size(folder: Path) -> int:
    """Bytes of the files in ``folder``, counted no further than the limit."""
    total = 0
    for root, _, names in os.walk(folder):
        total += sum(os.lstat(os.path.join(root, name)).st_size for name in names)
        if total > COPY_LIMIT:
            break
    return total


def _name_hosts(file: Path, names: Sequence[str]) -> None:
    # The training toolkit looks every host up by name before it starts, for up to 15 minutes.
    lines = HOSTS.read_text(errors="replace").rstrip("\n")
    write_text(file, f"{lines}\n127.0.0.1 {' '.join(names)}\n")
    mounts.bind(file, HOSTS)


def _probe() -> None:
    """Build a small view and look at it. Raises OSError when something is not allowed."""
    with tempfile.TemporaryDirectory() as name:
        launch = Launch(job="probe", folder=Path(name), log=Path(name) / "log")
        launch.opt_ml.mkdir()
        (launch.opt_ml / "seen").touch()
        # A namespace cannot be left again, and the temporary folder is to be removed outside.
        child = os.fork()
        if child == 0:
            try:
                enter(launch)
                os._exit(0 if (OPT_ML / "seen").is_file() else 1)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
    if status:
        raise PermissionError("the kernel does not let this user make mount namespaces")


if __name__ == "__main__":
    try:
        _probe()
    except OSError as refused:
        sys.exit(str(refused))
