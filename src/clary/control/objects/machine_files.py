"""Files of this machine in the place of objects: what ``file://`` URIs of local mode name (``control.local_mode``).

A folder is read where it lies, and no link below it is followed: each part of a path is opened by its name in the open
folder above it (``vision.base.tree``). Who names a folder may have laid a link to it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from clary.control.local_mode import FILES
from clary.control.objects.base import NoSuchKey, Object, ObjectStore, S3Uri
from clary.control.objects.cloning import append, clone_open
from clary.control.objects.moving import temporary_beside
from clary.control.wire.errors import ServiceError, ValidationException
from clary.errors import CustomerError
from clary.vision.base.tree import Tree, opened

__all__ = ["MACHINE", "FileUri", "MachineFiles", "WithMachineFiles", "copy_folder", "place_of"]

MACHINE = ""  # in the place of a bucket's name; no bucket is called so
_ROOT = Path("/")
# To open a FIFO waits for whoever writes to it, and that may be nobody.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_HINT = "links are not followed, and only files are read: put the file itself there"


@dataclass(frozen=True, slots=True)
class FileUri(S3Uri):
    """``file:///folder/name``; ``bucket`` is MACHINE, and ``key`` the path without its first slash."""

    @classmethod
    def parse(cls, text: str) -> FileUri:
        """Raises ValidationException for a path that is not absolute, or is the whole machine."""
        path = text.removeprefix(FILES)
        if not text.startswith(FILES) or not path.startswith("/") or "\0" in path:
            raise ValidationException(f'"{text}" names no absolute path; write file:///folder')
        key = os.path.realpath(path).lstrip("/")
        if not key:
            raise ValidationException(f'"{text}" is all of this machine; name a folder')
        return cls(MACHINE, key)

    def __str__(self) -> str:
        return f"{FILES}/{self.key}"


def place_of(uri: str) -> S3Uri:
    """An S3 URI, or a FileUri where ``uri`` is one: for those that local_mode.check has let through, and no others.

    Raises ValidationException.
    """
    return FileUri.parse(uri) if uri.startswith(FILES) else S3Uri.parse(uri)


def copy_folder(folder: Path, to: Path, *, limit: int) -> None:
    """Copy ``folder``, whose path has no link, to ``to``, which is made; what may be executed stays so.

    A link to anything but a file of the folder is left out, as it leads nowhere in a container either. Raises
    CustomerError for more than ``limit`` bytes.
    """
    to.mkdir(parents=True)
    total = 0
    with opened(_ROOT, *folder.parts[1:]) as tree:
        for entry in tree.entries(refused=lambda error: None):
            if entry.is_folder:
                (to / entry.name).mkdir()
                continue
            total += entry.status.st_size
            if total > limit:
                raise CustomerError(f"holds more than {limit >> 20} MiB", where=folder)
            clone_open(entry.descriptor, to / entry.name)
            (to / entry.name).chmod(0o755 if entry.status.st_mode & stat.S_IXUSR else 0o644)


class NoSuchFile(NoSuchKey):
    """There is no file of this path."""

    def __init__(self, key: str) -> None:
        ServiceError.__init__(self, "NoSuchKey", f"There is no file {_path(key)}", status=404, members={"Key": key})


class MachineFiles:
    """Every method takes MACHINE for the bucket, and FileUri's keys. A file is an object, a folder is a prefix.

    Each raises CustomerError naming a link, or what is neither file nor folder.
    """

    local = True

    def bucket_exists(self, bucket: str) -> bool:
        return True

    def check_put(self, bucket: str, key: str) -> None:
        folder = _path(key).parent
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise ServiceError("AccessDenied", f"Access Denied: the folder {folder}", status=403)

    def list(self, bucket: str, prefix: str = "") -> Iterator[Object]:
        """The file ``prefix``, or all files below that folder."""
        key = prefix.rstrip("/")
        try:
            with _file(key) as (file, _):
                status = os.fstat(file)
            if stat.S_ISREG(status.st_mode):
                yield Object(key, status.st_size, status.st_mtime)
                return
            with _folder(key) as tree:
                for entry in tree.entries():
                    if not entry.is_folder:
                        yield Object(f"{key}/{entry.name}", entry.status.st_size, entry.status.st_mtime)
        except FileNotFoundError:
            return

    def open(self, bucket: str, key: str) -> BinaryIO:
        try:
            with _file(key) as (file, _):
                return os.fdopen(os.dup(file), "rb")
        except FileNotFoundError as error:
            raise NoSuchFile(key) from error

    def fetch(self, bucket: str, key: str, path: Path) -> None:
        temporary = temporary_beside(path)
        try:
            with _file(key) as (file, folder):
                if not _linked(file, folder, key.rpartition("/")[2], temporary):
                    clone_open(file, temporary)
            os.replace(temporary, path)
        except FileNotFoundError as error:
            raise NoSuchFile(key) from error
        finally:
            temporary.unlink(missing_ok=True)

    def put(self, bucket: str, key: str, path: Path) -> None:
        target = _path(key)
        _make_folders(key)
        beside = temporary_beside(target).name
        with _folder(key.rpartition("/")[0]) as tree, path.open("rb") as source:
            folder = tree.descriptor
            try:
                with os.fdopen(os.open(beside, _NEW, 0o666, dir_fd=folder), "wb") as file:
                    append(source.fileno(), file.fileno(), os.fstat(source.fileno()).st_size)
                    os.fsync(file.fileno())
                os.replace(beside, target.name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(beside, dir_fd=folder)
                raise

    def delete(self, bucket: str, key: str) -> None:
        _path(key).unlink(missing_ok=True)


class WithMachineFiles:
    """A store of objects, beside which the files of this machine are found."""

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects
        self._files = MachineFiles()
        self.local = objects.local

    def bucket_exists(self, bucket: str) -> bool:
        return self._of(bucket).bucket_exists(bucket)

    def check_put(self, bucket: str, key: str) -> None:
        self._of(bucket).check_put(bucket, key)

    def list(self, bucket: str, prefix: str = "") -> Iterator[Object]:
        return self._of(bucket).list(bucket, prefix)

    def open(self, bucket: str, key: str) -> BinaryIO:
        return self._of(bucket).open(bucket, key)

    def fetch(self, bucket: str, key: str, path: Path) -> None:
        self._of(bucket).fetch(bucket, key, path)

    def put(self, bucket: str, key: str, path: Path) -> None:
        self._of(bucket).put(bucket, key, path)

    def delete(self, bucket: str, key: str) -> None:
        self._of(bucket).delete(bucket, key)

    def _of(self, bucket: str) -> ObjectStore:
        return self._files if bucket == MACHINE else self.objects


def _path(key: str) -> Path:
    return _ROOT / key


def _make_folders(key: str) -> None:
    """Those that ``key`` lies in. One by one: what is there may be a link, and nothing is made behind it."""
    parts = key.split("/")[:-1]
    for number, name in enumerate(parts):
        with _folder("/".join(parts[:number])) as tree, suppress(FileExistsError):
            os.mkdir(name, dir_fd=tree.descriptor)


@contextmanager
def _folder(key: str) -> Iterator[Tree]:
    """The folder of a key. Raises FileNotFoundError."""
    try:
        with opened(_ROOT, *filter(None, key.split("/"))) as tree:
            yield tree
    except CustomerError as error:  # the tree's own hint is for results of jobs
        raise CustomerError(error.what, where=error.where, hint=_HINT) from error


@contextmanager
def _file(key: str) -> Iterator[tuple[int, int]]:
    """The file or folder of a key, open, and the open folder that it lies in. Raises FileNotFoundError."""
    above, _, name = key.rpartition("/")
    with _folder(above) as tree:
        try:
            file = os.open(name, _READ, dir_fd=tree.descriptor)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise CustomerError("is a symbolic link", where=_path(key), hint=_HINT) from error
            raise
        try:
            yield file, tree.descriptor
        finally:
            os.close(file)


def _linked(file: int, folder: int, name: str, path: Path) -> bool:
    """Make ``path`` a hard link to ``name`` in ``folder``, which is open as ``file``; False where there can be none."""
    try:
        os.link(name, path, src_dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    if os.path.samestat(path.lstat(), os.fstat(file)):
        return True
    path.unlink()  # something else has taken the name
    return False
