"""Folders that a program wrote to: read without being led out of them, even by a link that is put there meanwhile.

Every folder and file is opened by its name in the open folder above it, with O_NOFOLLOW (openat(2)); what was opened is
what is looked at and read, whatever lies under the name by then. A link to a file of the same folder, which trainers
leave for the last checkpoint, is that file: its text is read, and the file opened as any other, from the top.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from clary.errors import CustomerError

__all__ = ["Entry", "Tree", "opened"]

DEPTH = 64  # folders in folders
LINKS = 8  # links to links; two that name each other have no end
# Windows has none of it. There the platform does not run, and what is packed are folders of our own.
_BY_DESCRIPTOR = os.open in os.supports_dir_fd
_FOLDER = _FILE = os.O_RDONLY | getattr(os, "O_BINARY", 0)
if _BY_DESCRIPTOR:
    _FOLDER |= os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    # To open a FIFO waits for whoever writes to it, and that may be nobody.
    _FILE |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_HINT = "results are files and folders of the job's own: store the file itself"
_KINDS = {
    stat.S_IFLNK: "is a symbolic link",
    stat.S_IFIFO: "is a FIFO",
    stat.S_IFSOCK: "is a socket",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder or a plain file, open for as long as the walk stands at it. ``name`` is relative, with slashes."""

    name: str
    status: os.stat_result
    descriptor: int

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def path(self) -> Path:
        """A path that leads to this very file, for whoever wants one, while it is open."""
        return Path("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd", str(self.descriptor))


class Tree:
    """An open folder. ``shown`` is what messages call it, ``called`` what links in it may; ``own`` says whether a file
    of several names is the job's."""

    def __init__(
        self,
        descriptor: int,
        shown: Path,
        called: Sequence[Path] = (),
        own: Callable[[os.stat_result], bool] = lambda status: True,
    ) -> None:
        self.descriptor = descriptor
        self.shown = shown
        self._called = called
        self._own = own

    def entries(
        self, *, hidden: bool = True, refused: Callable[[CustomerError], None] | None = None
    ) -> Iterator[Entry]:
        """All below, a folder before what is in it, names in order; without ``hidden`` no name that begins with a dot.
        A link to a file below is an entry of the link's name and the file's content; one that leads nowhere is left
        out.

        Raises CustomerError naming what is neither file nor folder, a link to a folder or out of the tree, or a file
        that has names outside the job too; with ``refused`` that is called instead, and the walk goes on.
        """

        def refuse(error: CustomerError) -> None:
            if refused is None:
                raise error
            refused(error)

        return self._below(self.descriptor, "", hidden, refuse) if _BY_DESCRIPTOR else self._by_path(hidden, refuse)

    def _by_path(self, hidden: bool, refuse: Callable[[CustomerError], None]) -> Iterator[Entry]:
        for path in sorted(self.shown.rglob("*")):
            name = path.relative_to(self.shown)
            if not hidden and any(part.startswith(".") for part in name.parts):
                continue
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                yield Entry(name.as_posix(), status, -1)
            elif stat.S_ISREG(status.st_mode):
                with path.open("rb") as file:
                    yield Entry(name.as_posix(), status, file.fileno())
            else:
                refuse(_refusal(status.st_mode, path))

    def _below(
        self, folder: int, prefix: str, hidden: bool, refuse: Callable[[CustomerError], None]
    ) -> Iterator[Entry]:
        for name in sorted(os.listdir(folder)):
            if name.startswith(".") and not hidden:
                continue
            try:
                descriptor = self._open(folder, prefix, name)
            except CustomerError as error:
                refuse(error)
                continue
            if descriptor is None:
                continue
            try:
                entry = Entry(prefix + name, os.fstat(descriptor), descriptor)
                yield entry
                if entry.is_folder:
                    yield from self._below(descriptor, f"{prefix}{name}/", hidden, refuse)
            finally:
                os.close(descriptor)

    def _open(self, folder: int, prefix: str, name: str) -> int | None:
        """None where it is gone meanwhile."""
        where = self.shown / (prefix + name)
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                if prefix.count("/") >= DEPTH:
                    raise CustomerError(f"lies in more than {DEPTH} folders", where=where, hint="store it less deep")
                return os.open(name, _FOLDER, dir_fd=folder)
            if stat.S_ISLNK(found.st_mode):
                return self._linked(prefix + name, where)
            return self._file(folder, name, found, where)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):  # another thing took its place
                raise CustomerError("is neither a file nor a folder any more", where=where, hint=_HINT) from error
            raise

    def _linked(self, name: str, where: Path) -> int:
        """The file of this tree that a link in it names, perhaps by way of others. Raises FileNotFoundError where there
        is none, CustomerError for all else that a link may lead to."""
        parts = name.split("/")
        for _ in range(LINKS):
            with _descended(os.dup(self.descriptor), tuple(parts[:-1]), self.shown) as folder:
                found = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
                if not stat.S_ISLNK(found.st_mode):
                    if stat.S_ISDIR(found.st_mode):
                        raise CustomerError("is a symbolic link to a folder", where=where, hint=_HINT)
                    return self._file(folder, parts[-1], found, where)
                target = os.readlink(parts[-1], dir_fd=folder)
            parts = self._target(parts[:-1], target, where)
        raise CustomerError(f"is a symbolic link to more than {LINKS} others", where=where, hint=_HINT)

    def _target(self, folder: list[str], target: str, where: Path) -> list[str]:
        """The names that lead from the top to what a link in ``folder`` names. Raises CustomerError where that is
        outside."""
        outside = CustomerError("is a symbolic link to something outside its folder", where=where, hint=_HINT)
        if target.startswith("/"):
            inside = next((root for root in self._called if Path(target).is_relative_to(root)), None)
            if inside is None:
                raise outside
            folder, target = [], Path(target).relative_to(inside).as_posix()
        parts = list(folder)
        for part in target.split("/"):
            if part == "..":
                if not parts:
                    raise outside
                # Above a link to a folder is where that leads, not where the link is.
                with _descended(os.dup(self.descriptor), tuple(parts), self.shown):
                    parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        if not parts:
            raise CustomerError("is a symbolic link to a folder", where=where, hint=_HINT)
        return parts

    def _file(self, folder: int, name: str, found: os.stat_result, where: Path) -> int:
        """What was ``found`` under ``name``, opened, a plain file of the job's own. Raises CustomerError."""
        if not stat.S_ISREG(found.st_mode):
            raise _refusal(found.st_mode, where)
        descriptor = os.open(name, _FILE, dir_fd=folder)
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and (status.st_nlink == 1 or self._own(status)):
            return descriptor
        os.close(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(status.st_mode, where)
        raise CustomerError("is a hard link to a file outside the job's own folders", where=where, hint=_HINT)


@contextmanager
def opened(root: Path, *parts: str, shown: Path | None = None, own: bool = False) -> Iterator[Tree]:
    """The folder ``parts`` below ``root``, none of which may be a link; ``root`` itself may lie behind one.

    ``shown`` is what messages call ``root``. With ``own`` a file that has several names must have all of them below
    ``root``, its inputs not counted. Raises FileNotFoundError where there is no such folder, CustomerError naming the
    part that is none.
    """
    shown = shown or root
    if not _BY_DESCRIPTOR:
        yield Tree(-1, root.joinpath(*parts))
        return
    # Who names the root may have laid a link to it.
    with _descended(os.open(root, _FOLDER & ~os.O_NOFOLLOW), parts, shown) as descriptor:
        called = [one.joinpath(*parts) for one in (shown, root.absolute(), root.resolve())]
        yield Tree(descriptor, shown.joinpath(*parts), called, _Names(root).all_here if own else lambda status: True)


@contextmanager
def _descended(folder: int, parts: tuple[str, ...], shown: Path) -> Iterator[int]:
    """``folder`` is closed in any case."""
    try:
        for number, part in enumerate(parts):
            try:
                inner = os.open(part, _FOLDER, dir_fd=folder)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                mode = os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode
                raise _refusal(mode, shown.joinpath(*parts[: number + 1]), "folder") from error
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


class _Names:
    """How many names each file has below a folder, counted when that is first asked."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._counts: Counter[tuple[int, int]] | None = None

    def all_here(self, status: os.stat_result) -> bool:
        if self._counts is None:
            self._counts = Counter()
            with suppress(FileNotFoundError):
                for folder, inner, names, descriptor in os.fwalk(self._root, follow_symlinks=False):
                    # Files there are links into the store.
                    if folder == os.fspath(self._root) and "input" in inner:
                        inner.remove("input")
                    for name in names:
                        with suppress(FileNotFoundError):
                            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                            self._counts[found.st_dev, found.st_ino] += 1
        return self._counts[status.st_dev, status.st_ino] == status.st_nlink


def _refusal(mode: int, where: Path, wanted: str = "file or folder") -> CustomerError:
    return CustomerError(_KINDS.get(stat.S_IFMT(mode), f"is no {wanted}"), where=where, hint=_HINT)
