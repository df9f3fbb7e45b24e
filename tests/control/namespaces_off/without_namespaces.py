"""Run a program where the kernel gives users no namespaces, as on a stock Ubuntu 24.04 and in most containers.

    python without_namespaces.py FOLDER writable|read-only PROGRAM...

FOLDER lies at /opt/ml for it, and nothing of it is seen outside. Needs no privilege: in a user namespace of its own
even a user may set the limits of how many more there may be (namespaces(7), /proc/sys/user).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from clary.control.jobs.launchers.local import namespace
from clary.toolkit import mounts

LIMITS = Path("/proc/sys/user")


def main() -> None:
    folder, access, *program = sys.argv[1:]
    if namespace.available():
        _enter(Path(folder), access)
    os.execv(program[0], program)


def _enter(folder: Path, access: str) -> None:
    # For root, too: mounts.enter would leave it all rights over the machine's own limits.
    user, group = os.geteuid(), os.getegid()
    mounts._unshare(mounts.CLONE_NEWUSER | mounts.CLONE_NEWNS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    mounts._mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
    if not namespace.OPT_ML.is_dir():
        mounts.make_mount_point(namespace.OPT_ML)
    (mounts.bind if access == "writable" else mounts.bind_read_only)(folder, namespace.OPT_ML)
    for kind in ("user", "mnt"):
        (LIMITS / f"max_{kind}_namespaces").write_text("0")


if __name__ == "__main__":
    main()
