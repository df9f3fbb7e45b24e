"""The mount calls of Linux (mount(2), unshare(2), user_namespaces(7)) that a program's view of /opt/ml is made of."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "adopt_orphans",
    "bind",
    "bind_read_only",
    "enter",
    "kill_with_parent",
    "make_mount_point",
    "overlay",
    "tmpfs",
]

CLONE_NEWNS = 0x00020000  # linux/sched.h
CLONE_NEWUSER = 0x10000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32  # linux/mount.h
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC, MS_PRIVATE, MS_RELATIME = (
    1 << 10,
    1 << 11,
    1 << 12,
    1 << 14,
    1 << 18,
    1 << 21,
)
ST_RELATIME = 1 << 12  # bits/statvfs.h; the other flags have the values of their MS_ names
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def enter() -> None:
    """Move this process, which must have one thread only, into a mount namespace of its own.

    Nothing mounted from here on is seen outside. Needs no privilege where the kernel lets users make namespaces of
    their own; raises OSError where it does not.
    """
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _unshare(CLONE_NEWNS)
    else:
        # Who is not root may mount only inside a user namespace of their own (user_namespaces(7)).
        _unshare(CLONE_NEWUSER | CLONE_NEWNS)
        Path("/proc/self/setgroups").write_text("deny")  # the kernel takes no gid_map before
        # To itself: files keep their owner. One id is what may be mapped without privilege.
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    # systemd shares its mounts: without this, ours would appear outside (mount_namespaces(7)).
    _mount("none", "/", "", MS_REC | MS_PRIVATE)


def bind(source: Path | str, target: Path | str) -> None:
    """Show ``source`` (a file or a folder, with what is mounted beneath) at ``target`` as well."""
    _mount(str(source), str(target), "", MS_BIND | MS_REC)


def bind_read_only(source: Path | str, target: Path | str) -> None:
    """The same, but nothing can be written through ``target``."""
    # In two calls: the one that binds ignores every other flag (mount(2)).
    bind(source, target)
    now = os.statvfs(target).f_flag
    # A user namespace may add restrictions to a mount, never take one away.
    kept = now & (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME)
    relatime = MS_RELATIME if now & ST_RELATIME else 0
    _mount("none", str(target), "", MS_BIND | MS_REMOUNT | MS_RDONLY | kept | relatime)


def tmpfs(target: Path | str) -> None:
    """An empty file system in memory at ``target``."""
    _mount("tmpfs", str(target), "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")


def make_mount_point(folder: Path) -> None:
    """Make ``folder`` exist in this namespace only: its parent becomes a file system in memory that shows the
    parent's own entries, and the new one."""
    parent = folder.parent
    # Held open: once something is mounted over the folder its path does not lead there any more.
    before = os.open(parent, os.O_PATH | os.O_DIRECTORY)
    try:
        tmpfs(parent)
        entries = Path(f"/proc/self/fd/{before}")
        for entry in sorted(entries.iterdir()):
            _show(entry, parent / entry.name)
    finally:
        os.close(before)
    folder.mkdir()


def _show(entry: Path, at: Path) -> None:
    if entry.is_symlink():
        at.symlink_to(os.readlink(entry))
        return
    if entry.is_dir():
        at.mkdir()
    else:
        at.touch()
    bind(entry, at)


def overlay(lower: Path, upper: Path, work: Path) -> None:
    """Mount over ``lower`` a writable view of itself whose changes go to ``upper``.

    ``upper`` and ``work`` are folders of one file system. Raises OSError where the kernel or that file system cannot.
    """
    # In a user namespace overlayfs may not write trusted.* attributes; user.* ones it takes since Linux 5.11.
    own = "" if os.geteuid() == 0 else ",userxattr"
    # Paths through /proc: the option string has separators of its own and a length limit.
    with _opened(lower) as low, _opened(upper) as up, _opened(work) as at:
        _mount("overlay", str(lower), "overlay", 0, f"lowerdir={low},upperdir={up},workdir={at}{own}")


def kill_with_parent(number: int) -> None:
    """Let the kernel send signal ``number`` to this process when its parent dies, however that happens."""
    _prctl(PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies, in the place of process 1."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


@contextmanager
def _opened(folder: Path) -> Iterator[str]:
    descriptor = os.open(folder, os.O_PATH)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _unshare(flags: int) -> None:
    _checked(_libc().unshare(flags), "unshare")


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    answer = _libc().mount(
        os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode()
    )
    _checked(answer, target)


def _prctl(option: int, value: int) -> None:
    _checked(_libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0), "prctl")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(answer: int, where: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), where)
