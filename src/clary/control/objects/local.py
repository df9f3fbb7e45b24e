"""Objects as plain files: ROOT/<bucket>/<key>.

Whoever writes, writes into ROOT/.staging and renames: a reader sees the old object or the whole new one, and a file
somebody has open or linked is never written to. Symbolic links are neither shown nor followed. A key ending in a slash
is a folder that was asked for by name. Empty folders are no objects.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from clary.control.objects.base import NoSuchBucket, NoSuchKey, Object
from clary.control.objects.cloning import clone
from clary.control.objects.key_names import check_key, is_bucket_name, key_parts
from clary.control.objects.moving import link_or_clone, rename, sync, temporary_beside
from clary.control.objects.object_metadata import MetadataStore, ObjectMetadata, md5_etag
from clary.control.objects.walking import ListedObject, walk
from clary.control.wire.errors import ServiceError

__all__ = ["LocalStore"]

# Inside the root, so that a rename stays on one disk; a name no bucket can have.
STAGING = ".staging"
# An upload of a large object over a slow line takes minutes, not an hour between two writes.
LEFT_OVER = 3600.0  # seconds after which a staged file belongs to nobody
RETRIES = 20  # of a rename whose folder another request is just removing


class LocalStore:
    """Buckets are the folders of ``root`` whose names S3 allows. Safe to use from several threads and processes."""

    local = True

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self.staging = self.root / STAGING
        self.staging.mkdir(exist_ok=True)
        self.metadata = MetadataStore()

    # the protocol of objects.base

    def bucket_exists(self, bucket: str) -> bool:
        return is_bucket_name(bucket) and _is_folder(self.root / bucket)

    def list(self, bucket: str, prefix: str = "") -> Iterator[Object]:
        found = self.walk(bucket, prefix.encode(errors="surrogateescape"))
        return (Object(e.key.decode(), _size(e.status), e.status.st_mtime) for e in found if e.status)

    def open(self, bucket: str, key: str) -> BinaryIO:
        path, status = self.locate(bucket, key)
        return io.BytesIO() if stat.S_ISDIR(status.st_mode) else path.open("rb")

    def fetch(self, bucket: str, key: str, path: Path) -> None:
        source, status = self.locate(bucket, key)
        is_marker = stat.S_ISDIR(status.st_mode)
        with suppress(OSError):
            # A link costs nothing, whatever the size: a channel of 100 GB is there at once. Jobs never write to it
            # (launch.inputs).
            if not is_marker:
                os.link(source, path, follow_symlinks=False)
                return
        temporary = temporary_beside(path)  # the short way is not open: a file is there, or it is another disk
        try:
            if is_marker:
                temporary.touch()
            else:
                link_or_clone(source, temporary)
            os.replace(temporary, path)  # does nothing where both are links to one file
        except FileNotFoundError as error:
            if source.exists():
                raise
            raise NoSuchKey(bucket, key) from error
        finally:
            temporary.unlink(missing_ok=True)

    def put(self, bucket: str, key: str, path: Path) -> None:
        if not self.bucket_exists(bucket):
            raise NoSuchBucket(bucket)
        check_key(key)
        staged = self.stage_name()
        # A clone first: the job may go on writing to its file while it becomes an object.
        with self.dropping(staged):
            clone(path, staged)
            self.metadata.write(staged, ObjectMetadata(etag=md5_etag(staged)))
            # What a job stored is why it ran: its bytes are on the disk before the job is called Completed.
            sync(staged)
            self.adopt(staged, bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        parts = key_parts(key)
        if not self.bucket_exists(bucket):
            raise NoSuchBucket(bucket)
        path = self._path(bucket, parts) if parts else None
        if path is None:
            return
        with suppress(FileNotFoundError, NotADirectoryError):
            if not key.endswith("/"):
                if path.is_file() and not path.is_symlink():
                    path.unlink()
                path = path.parent
            elif _is_folder(path):
                self.metadata.forget(path)
        with suppress(OSError):  # a folder that is not empty stays
            # Folders are no objects: those that only held the deleted key go with it, as a prefix vanishes on S3.
            self._prune(path)

    # what the S3 app needs beyond it

    def buckets(self) -> Iterator[tuple[str, float]]:
        """Names with the time of creation (epoch seconds), in name order."""
        for name in sorted(os.listdir(self.root)):
            if self.bucket_exists(name):
                status = (self.root / name).stat()
                yield name, self.metadata.read(self.root / name, status).created or status.st_mtime

    def create_bucket(self, bucket: str, region: str) -> bool:
        """False where it is there already."""
        path = self.root / bucket
        try:
            path.mkdir()
        except FileExistsError:
            return False
        self.metadata.write(path, ObjectMetadata(region=region, created=time.time()))
        return True

    def region(self, bucket: str) -> str:
        """The region the bucket was created for; empty where nobody said. Raises NoSuchBucket."""
        if not self.bucket_exists(bucket):
            raise NoSuchBucket(bucket)
        path = self.root / bucket
        return self.metadata.read(path, path.stat()).region

    def delete_bucket(self, bucket: str) -> None:
        """Raises NoSuchBucket, ServiceError BucketNotEmpty."""
        if next(self.walk(bucket), None):
            raise ServiceError("BucketNotEmpty", f"The bucket you tried to delete is not empty: {bucket}", status=409)
        try:
            _remove_empty(self.root / bucket)
        except OSError as error:
            message = f"The bucket {bucket} holds files that are no objects: {self.root / bucket}"
            raise ServiceError("BucketNotEmpty", message, status=409) from error

    def locate(self, bucket: str, key: str) -> tuple[Path, os.stat_result]:
        """File and status of an object; a folder for a key ending in a slash. Raises NoSuchBucket, NoSuchKey."""
        parts = key_parts(key)
        path = self._path(bucket, parts) if parts else None
        if path is not None:
            with suppress(OSError):
                status = path.lstat()
                if not key.endswith("/") and stat.S_ISREG(status.st_mode):
                    return path, status
                if key.endswith("/") and stat.S_ISDIR(status.st_mode) and self._marked(path, status):
                    return path, status
        raise NoSuchKey(bucket, key) if self.bucket_exists(bucket) else NoSuchBucket(bucket)

    def walk(
        self, bucket: str, prefix: bytes = b"", after: bytes = b"", *, shallow: bool = False
    ) -> Iterator[ListedObject]:
        """Objects with ``prefix`` behind the key ``after``, in byte order of their keys. Raises NoSuchBucket.

        ``shallow`` gives, for each folder below the prefix, one ListedObject without status in place of what it holds.
        """
        if not self.bucket_exists(bucket):
            raise NoSuchBucket(bucket)
        head = prefix.rpartition(b"/")[0]
        base = head + b"/" if head else b""
        parts = key_parts(head.decode(errors="surrogateescape")) if head else []
        if prefix.startswith(b"/") or parts is None or "" in parts:
            return iter(())
        folder = self._path(bucket, parts)
        if folder is None or not _is_folder(folder):
            return iter(())
        found = walk(os.fsencode(folder), base, self._marked, prefix=prefix, after=after, shallow=shallow)
        if base and base == prefix and base > after:  # the prefix may be a key itself
            status = folder.lstat()
            if self._marked(folder, status):
                return chain((ListedObject(base, os.fsencode(folder), status),), found)
        return found

    def stage_name(self) -> Path:
        """A new name in the staging folder."""
        return self.staging / uuid.uuid4().hex

    @contextmanager
    def dropping(self, *staged: Path) -> Iterator[None]:
        """Staged files are gone when the block ends; a full disk becomes a ServiceError."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise ServiceError("StorageFull", f"No space left on the disk of {self.root}", status=507) from error
        finally:
            for path in staged:
                path.unlink(missing_ok=True)

    def adopt(self, staged: Path, bucket: str, key: str, *, new: bool = False) -> None:
        """Make the staged file the object ``key``; with ``new`` only where there is none (FileExistsError else).

        An empty file under a key that ends in a slash becomes a folder that has the file's metadata. Raises
        NoSuchBucket, ServiceError for a key no file can have, here or anywhere.
        """
        check_key(key)
        if key.endswith("/"):
            # S3 would keep bytes under a key that ends in a slash; a folder has none, so they are refused rather than
            # lost.
            status = staged.stat()
            if status.st_size:
                text = f"The key {key!r} ends in a slash: such an object is a folder here and holds no bytes"
                raise ServiceError("InvalidArgument", text)
            self.mark_folder(bucket, key, self.metadata.read(staged, status))
            return
        for _ in range(RETRIES):
            target = self._target(bucket, key)
            try:
                # Between the two a DELETE of the last neighbour may remove the folder again; then once more.
                target.parent.mkdir(parents=True, exist_ok=True)
                rename(staged, target, new=new)
                return
            except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
                if isinstance(error, FileExistsError) and new and target.is_file():
                    raise
                # The way is blocked by an object, not by an empty folder that a neighbour left: then no second try
                # helps.
                if self._is_below_file(target) or (_is_folder(target) and not self._drop_folder(target)):
                    raise _folder_and_file(bucket, key) from error
            except FileNotFoundError:
                if not staged.exists():
                    raise
            # else a neighbour was just making or removing the folder
        raise _contended(bucket, key)

    def mark_folder(self, bucket: str, key: str, metadata: ObjectMetadata) -> None:
        """Make the folder that the empty object ``key``, ending in a slash, stands for. Raises as ``adopt``."""
        check_key(key)
        for _ in range(RETRIES):
            target = self._target(bucket, key)
            try:
                target.mkdir(parents=True, exist_ok=True)
                self.metadata.write(target, replace(metadata, marker=True))
                return
            except (FileExistsError, NotADirectoryError) as error:
                if target.is_file() or self._is_below_file(target):
                    raise _folder_and_file(bucket, key) from error
            except FileNotFoundError:
                pass  # removed by the deletion of a neighbour
        raise _contended(bucket, key)

    def sweep(self) -> None:
        """Remove what killed processes left in the staging folder."""
        for entry in os.scandir(self.staging):
            with suppress(FileNotFoundError):
                if entry.is_file() and entry.stat().st_mtime < time.time() - LEFT_OVER:
                    os.unlink(entry)

    def _target(self, bucket: str, key: str) -> Path:
        if not self.bucket_exists(bucket):
            raise NoSuchBucket(bucket)
        path = self._path(bucket, check_key(key))
        if path is None or path.is_symlink():
            raise ServiceError("InvalidArgument", f"The key {key!r} leads over a symbolic link in {self.root / bucket}")
        return path

    def _path(self, bucket: str, parts: Sequence[str]) -> Path | None:
        """The file of a key, there or not; None where a symbolic link leads to it."""
        if not is_bucket_name(bucket):
            return None
        names = [name for name in parts if name]
        path = self.root.joinpath(bucket, *names)
        folder = path.parent if names else path
        # A link inside a bucket could lead to any file of the user's; the root is resolved once, at the start.
        return path if os.path.realpath(folder) == str(folder) else None

    def _is_below_file(self, path: Path) -> bool:
        """Whether what would have to be a folder above ``path`` is a file."""
        above = (folder for folder in path.parents if folder.is_relative_to(self.root))
        return any(folder.is_file() for folder in above)

    def _marked(self, folder: bytes | Path, status: os.stat_result) -> bool:
        """Whether somebody asked for the folder by name."""
        return self.metadata.read(folder, status).marker

    def _prune(self, folder: Path) -> None:
        """Remove ``folder`` and those above it as long as they are empty and nobody asked for them by name."""
        while folder.parent != self.root and not self._marked(folder, folder.stat()):
            folder.rmdir()
            folder = folder.parent

    def _drop_folder(self, folder: Path) -> bool:
        """Whether ``folder`` held no object and is gone."""
        if self._marked(folder, folder.stat()) or next(walk(os.fsencode(folder), b"", self._marked), None):
            return False
        try:
            _remove_empty(folder)
        except OSError:
            return False
        return True


def _size(status: os.stat_result) -> int:
    return 0 if stat.S_ISDIR(status.st_mode) else status.st_size


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _remove_empty(folder: Path) -> None:
    """Remove a tree of folders. Raises OSError where it holds a file."""
    for entry in list(os.scandir(folder)):
        _remove_empty(Path(entry.path))
    folder.rmdir()


def _folder_and_file(bucket: str, key: str) -> ServiceError:
    what = "in the folder of this bucket a name is a file or a folder, never both; choose another key"
    return ServiceError("InvalidArgument", f"s3://{bucket}/{key} cannot be stored beside the objects there: {what}")


def _contended(bucket: str, key: str) -> ServiceError:
    return ServiceError("OperationAborted", f"s3://{bucket}/{key} changes too often; try again", status=409)
