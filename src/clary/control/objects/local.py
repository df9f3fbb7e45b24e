"""Objects as plain files: ROOT/<bucket>/<key>.

Whoever writes, writes into ROOT/.staging and renames: a reader sees the old object or the whole new one, and a file
somebody has open or linked is never written to. Symbolic links are neither shown nor followed. An empty object whose
key ends in a slash is a folder that was asked for by name. Empty folders are no objects.

A key that is no plain path, or whose path is blocked by another object (``a/b`` beside ``a``), is a file below
ROOT/<bucket>/.clary-keys (``key_encoding``). Objects never move from one to the other. Where a key has both, for
somebody put a file there by hand, the plain one counts, so it is deleted last.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import shutil
import stat
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from clary.control.objects.base import NoSuchBucket, NoSuchKey, Object
from clary.control.objects.cloning import clone
from clary.control.objects.folders import files_below, is_folder, make_folders, prune, remove_empty
from clary.control.objects.key_encoding import ENCODED, encoded_names
from clary.control.objects.key_names import check_key, is_bucket_name, plain_parts
from clary.control.objects.moving import TEMPORARY, link_or_clone, place, sync, temporary_beside
from clary.control.objects.object_metadata import MetadataStore, ObjectMetadata, md5_etag
from clary.control.objects.sidecars import is_sidecar
from clary.control.objects.walking import ListedObject, encoded_children, merged, plain_children, walk
from clary.control.wire.errors import ServiceError

__all__ = ["LocalStore", "OpenObject"]

# Inside the root, so that a rename stays on one disk; a name no bucket can have.
STAGING = ".staging"
# An upload of a large object over a slow line takes minutes, not an hour between two writes.
LEFT_OVER = 3600.0  # seconds after which a staged file belongs to nobody, whoever else uses the folder
RETRIES = 20  # of a step whose folder or file another request is just removing or replacing


@dataclass(frozen=True, slots=True)
class OpenObject:
    """One version of an object: its open file, and what belongs to that very file. To be closed by whoever asked."""

    descriptor: int
    path: Path
    status: os.stat_result
    metadata: ObjectMetadata

    @property
    def size(self) -> int:
        """In bytes."""
        return _size(self.status)

    def close(self) -> None:
        os.close(self.descriptor)


class LocalStore:
    """Buckets are the folders of ``root`` whose names S3 allows. Safe to use from several threads and processes."""

    local = True

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self.staging = self.root / STAGING
        self.staging.mkdir(exist_ok=True)
        self.metadata = MetadataStore(self.root)
        # Held while it is decided which of its two places a key has; buckets without encoded keys know one.
        self._choosing = threading.RLock()
        self._staging_lock = -1

    # the protocol of objects.base

    def bucket_exists(self, bucket: str) -> bool:
        return is_bucket_name(bucket) and is_folder(self.root / bucket)

    def list(self, bucket: str, prefix: str = "") -> Iterator[Object]:
        found = self.walk(bucket, prefix.encode(errors="surrogateescape"))
        return (Object(e.key.decode(), _size(e.status), e.status.st_mtime) for e in found if e.status)

    def open(self, bucket: str, key: str) -> BinaryIO:
        found = self.open_object(bucket, key)
        if stat.S_ISDIR(found.status.st_mode):
            found.close()
            return io.BytesIO()
        return os.fdopen(found.descriptor, "rb")

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
        if not self.bucket_exists(bucket):
            raise NoSuchBucket(bucket)
        plain = self._plain(bucket, key)
        if not self._has_encoded(bucket):
            self._delete_plain(plain, key)
            return
        with self._choosing:
            # The plain one last: it is the one that is seen, and without it the other would be.
            if encoded := self._encoded(bucket, key):
                self._delete_file(encoded)
            self._delete_plain(plain, key)

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
        with self._choosing:
            if next(self.walk(bucket), None):
                text = f"The bucket you tried to delete is not empty: {bucket}"
                raise ServiceError("BucketNotEmpty", text, status=409)
            try:
                remove_empty(self.root / bucket, discard=_is_rest)
            except OSError as error:
                message = f"The bucket {bucket} holds files that are no objects: {self.root / bucket}"
                raise ServiceError("BucketNotEmpty", message, status=409) from error

    def locate(self, bucket: str, key: str) -> tuple[Path, os.stat_result]:
        """File and status of an object; the folder, where an empty object is one. Raises NoSuchBucket, NoSuchKey.

        A moment later the path may be that of another version: ``open_object`` is for whoever needs both of one.
        """
        plain = self._plain(bucket, key)
        if plain is not None and (status := self._status(plain, key)):
            return plain, status
        if self._has_encoded(bucket):
            encoded = self._encoded(bucket, key)
            if encoded is not None and (status := self._status(encoded, "")):
                return encoded, status
        raise NoSuchKey(bucket, key) if self.bucket_exists(bucket) else NoSuchBucket(bucket)

    def open_object(self, bucket: str, key: str) -> OpenObject:
        """One version of an object, which no PUT or DELETE changes any more. Raises as ``locate``."""
        for _ in range(RETRIES):
            path, found = self.locate(bucket, key)
            try:
                # NOFOLLOW, NONBLOCK: the name may have become a link or a FIFO since it was looked up.
                file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                continue
            status = os.fstat(file)
            metadata, known = self.metadata.read_open(file, path, status)
            # A sidecar goes with its version: without one, it may have been replaced since it was opened.
            if stat.S_IFMT(status.st_mode) == stat.S_IFMT(found.st_mode) and (known or _is_at(path, status)):
                return OpenObject(file, path, status, metadata)
            os.close(file)
        raise _contended(bucket, key)

    def facts(self, bucket: str, key: str) -> tuple[os.stat_result, ObjectMetadata]:
        """Status and metadata of one version. Raises as ``locate``."""
        found = self.open_object(bucket, key)
        found.close()
        return found.status, found.metadata

    def change_metadata(self, bucket: str, key: str, change: Callable[[ObjectMetadata], ObjectMetadata]) -> None:
        """Give an object other metadata: the version that is there now, not one that replaces it. As ``locate``."""
        # Two changes at once are both kept.
        with self._choosing, closing(self.open_object(bucket, key)) as found:
            metadata = change(found.metadata)
            if not stat.S_ISDIR(found.status.st_mode):
                self.metadata.write_open(found.descriptor, found.path, found.status, metadata)
            elif not self.metadata.write_attribute(found.path, metadata):
                # Without the attribute it would be no object; a file below the folder of encoded keys keeps any.
                self.mark_folder(bucket, key, metadata)

    def may_replace(self, bucket: str, key: str) -> bool:
        """Whether a PUT may replace an object: False is certain, and costs least where keys are plain."""
        return self._has_encoded(bucket) or os.path.lexists(self.root / bucket / key)

    def walk(
        self, bucket: str, prefix: bytes = b"", after: bytes = b"", *, shallow: bool = False
    ) -> Iterator[ListedObject]:
        """Objects with ``prefix`` behind the key ``after``, in byte order of their keys. Raises NoSuchBucket.

        ``shallow`` gives, for each folder below the prefix, one ListedObject without status in place of what it holds.
        """
        if not self.bucket_exists(bucket):
            raise NoSuchBucket(bucket)
        plain = self._walk_plain(bucket, prefix, after, shallow=shallow)
        if not self._has_encoded(bucket):
            return plain
        head = prefix[: prefix.rfind(b"/") + 1]
        folder = self.root.joinpath(bucket, ENCODED, *encoded_names(head)[:-1])
        encoded = walk(os.fsencode(folder), head, encoded_children, _never, prefix=prefix, after=after, shallow=shallow)
        return merged(plain, encoded)

    def described(self, entry: ListedObject) -> tuple[ListedObject, ObjectMetadata] | None:
        """An object of a listing and its metadata, both of one version; None for one that is gone by now."""
        status = entry.status
        assert status is not None
        for _ in range(RETRIES):
            metadata, known = self.metadata.read_known(entry.path, status)
            if known:
                break
            now = _status_of(entry.path)
            if now is None:
                return None
            # What was put there by hand has none; else it is another version than when it was found.
            if _is_same(now, status):
                break
            status = now
        return replace(entry, status=status), metadata

    def stage_name(self) -> Path:
        """A new name in the staging folder."""
        if self._staging_lock < 0:
            self._share_staging()
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
                self.metadata.drop_staged(path)
                path.unlink(missing_ok=True)

    def adopt(self, staged: Path, bucket: str, key: str, *, new: bool = False) -> None:
        """Make the staged file the object ``key``; with ``new`` only where there is none (FileExistsError else).

        An empty file under a key that ends in a slash becomes a folder that has the file's metadata. Raises
        NoSuchBucket, ServiceError for a key that S3 does not take.
        """
        check_key(key)
        plain = self._target(bucket, key)
        alone = plain is not None and not self._has_encoded(bucket) and not self.metadata.has_sidecar(staged)
        if plain is not None and alone and self._adopt_plain(staged, plain, bucket, key, new=new):
            if self._has_encoded(bucket) and (encoded := self._encoded(bucket, key)):  # by now
                with self._choosing:
                    self._drop_hidden(plain, encoded, key)
            return
        with self._choosing:
            self._adopt(staged, plain, bucket, key, new=new)

    def mark_folder(self, bucket: str, key: str, metadata: ObjectMetadata) -> None:
        """Make the folder that the empty object ``key``, ending in a slash, stands for. Raises as ``adopt``."""
        staged = self.stage_name()
        with self.dropping(staged):
            staged.touch()
            self.metadata.write(staged, metadata)
            self.adopt(staged, bucket, key)

    def sweep(self) -> None:
        """Remove what killed processes left: staged files, copies on their way to other disks, unused sidecars."""
        alone = self._staging_lock < 0 and self._is_alone()
        for entry in files_below(self.staging):
            if os.path.dirname(entry.path) == str(self.staging):  # deeper, they are parts of uploads
                _remove_older(Path(entry.path), 0.0 if alone else LEFT_OVER)
        for name, _ in self.buckets():
            bucket = self.root / name
            if self._has_encoded(name):
                for path in self.metadata.unused(bucket):
                    _remove_older(path, LEFT_OVER)
                    self._prune(path.parent)
            if _is_other_disk(bucket, self.root):
                for entry in files_below(bucket):
                    if entry.name.startswith(TEMPORARY.decode()):
                        _remove_older(Path(entry.path), LEFT_OVER)

    # how a staged file gets its place

    def _adopt(self, staged: Path, plain: Path | None, bucket: str, key: str, *, new: bool) -> None:
        """Of the two places of a key the one it has; for one that has none the plain one, unless that is blocked."""
        encoded = self._encoded(bucket, key)
        if encoded is None:
            raise _over_link(self.root / bucket, key)
        is_plain = plain is not None and self._status(plain, key) is not None
        if (
            plain is None
            or (encoded.exists() and not is_plain)
            or not self._adopt_plain(staged, plain, bucket, key, new=new, mixed=True)
        ):
            if new and is_plain:
                raise FileExistsError(errno.EEXIST, "there is such an object", str(plain))
            self._settle(staged, encoded, bucket, key, new=new)
            if is_plain and plain is not None and key.endswith("/"):
                self._delete_plain(plain, key)  # the folder of that name was the object; now it is one with bytes
        self._drop_hidden(plain, encoded, key)

    def _drop_hidden(self, plain: Path | None, encoded: Path, key: str) -> None:
        """Remove the encoded file of a key that has a plain one, which is the object."""
        if plain is not None and self._status(plain, key):
            self._delete_file(encoded)

    def _adopt_plain(
        self, staged: Path, target: Path, bucket: str, key: str, *, new: bool, mixed: bool = False
    ) -> bool:
        """False where the plain path is none for the staged file: another object is in its way, or it has bytes."""
        if not key.endswith("/"):
            return self._settle(staged, target, bucket, key, new=new, mixed=mixed, blockable=True)
        status = staged.stat()
        # S3 keeps bytes under a key that ends in a slash; a folder has none.
        if status.st_size:
            return False
        metadata = replace(self.metadata.read(staged, status), marker=True)
        for _ in range(RETRIES):
            try:
                make_folders(target, below=self.root / bucket)
                kept = self.metadata.write_attribute(target, metadata, new=new)
            except (FileExistsError, NotADirectoryError):
                if self._is_blocked(target / "in it"):
                    return False
                if new and is_folder(target) and self.metadata.is_marked(target):
                    raise
                continue
            except FileNotFoundError:  # removed by the deletion of a neighbour
                self._check_bucket(bucket)
                continue
            if not kept:
                self._prune(target)
            return kept
        raise _contended(bucket, key)

    def _settle(
        self,
        staged: Path,
        target: Path,
        bucket: str,
        key: str,
        *,
        new: bool,
        mixed: bool = True,
        blockable: bool = False,
    ) -> bool:
        """Rename to ``target``, with the folders it needs; False where other objects are in the way."""
        needs_folder = mixed
        for _ in range(RETRIES):
            try:
                # Between the two a DELETE of the last neighbour may remove the folder again; then once more.
                if needs_folder:
                    make_folders(target.parent, below=self.root / bucket)
                self._rename(staged, target, new=new, mixed=mixed)
                return True
            except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
                if isinstance(error, FileExistsError) and new and target.is_file():
                    raise
                # An empty folder that a neighbour left is in nobody's way; else no second try helps.
                if self._is_blocked(target) or (is_folder(target) and not self._drop_folder(target)):
                    if blockable:
                        return False
                    raise
            except FileNotFoundError:
                if not staged.exists():
                    raise
                self._check_bucket(bucket)
                needs_folder = True
            # else a neighbour was just making or removing the folder
        raise _contended(bucket, key)

    def _rename(self, staged: Path, target: Path, *, new: bool, mixed: bool) -> None:
        """``place``, to other disks too, and with the sidecar, where there may be one (``mixed``)."""
        before = _status_of(target) if mixed else None
        status = self.metadata.carry(staged, target) if mixed else None
        try:
            place(staged, target, new=new)
        except OSError as error:
            across = error.errno == errno.EXDEV
            if across:
                self._rename_across(staged, target, new=new)
            if status is not None:
                self.metadata.drop(target, status, now=_status_of(target) if across else None)
            if not across:
                raise
        if before is not None:
            self.metadata.drop(target, before, now=_status_of(target))

    def _rename_across(self, staged: Path, target: Path, *, new: bool) -> None:
        """To another disk: copied beside the target under a hidden name, then renamed."""
        # Beside the target, because only a rename within one file system is atomic.
        near = temporary_beside(target)
        try:
            shutil.copy2(staged, near)
            # Written anew, for this disk may know no attributes, or other times.
            self.metadata.write(near, self.metadata.read(staged, staged.stat()))
            status = near.stat()
            try:
                self._rename(near, target, new=new, mixed=True)
            finally:
                self.metadata.drop(near, status)
        finally:
            near.unlink(missing_ok=True)
        staged.unlink()

    def _delete_plain(self, plain: Path | None, key: str) -> None:
        if plain is None:
            return
        if not key.endswith("/"):
            self._delete_file(plain)
            return
        with suppress(FileNotFoundError):
            if is_folder(plain):
                self.metadata.forget(plain)
        self._prune(plain)

    def _delete_file(self, path: Path) -> None:
        """Remove an object's file, if there is one, and the folders that only held it, as a prefix vanishes on S3."""
        if (status := _status_of(path)) is not None and stat.S_ISREG(status.st_mode):
            with suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
            self.metadata.drop(path, status)
        self._prune(path.parent)

    # where a key is

    def _plain(self, bucket: str, key: str) -> Path | None:
        """The plain path of a key, there or not; None where it has none, or a symbolic link leads to it."""
        parts = plain_parts(key)
        return None if parts is None else self._path(bucket, *filter(None, parts))

    def _encoded(self, bucket: str, key: str) -> Path | None:
        """The same below the folder of encoded keys."""
        try:
            raw = check_key(key)
        except ServiceError:
            return None
        return self._path(bucket, ENCODED, *encoded_names(raw))

    def _path(self, bucket: str, *names: str) -> Path | None:
        if not is_bucket_name(bucket):
            return None
        path = self.root.joinpath(bucket, *names)
        folder = path.parent if names else path
        # A link inside a bucket could lead to any file of the user's; the root is resolved once, at the start.
        return path if os.path.realpath(folder) == str(folder) else None

    def _target(self, bucket: str, key: str) -> Path | None:
        """``_plain`` for a write. Raises NoSuchBucket, ServiceError where a symbolic link leads to it."""
        self._check_bucket(bucket)
        if plain_parts(key) is None:
            return None
        path = self._plain(bucket, key)
        if path is None or path.is_symlink():
            raise _over_link(self.root / bucket, key)
        return path

    def _check_bucket(self, bucket: str) -> None:
        if not self.bucket_exists(bucket):
            raise NoSuchBucket(bucket)

    def _has_encoded(self, bucket: str) -> bool:
        return is_folder(f"{self.root}/{bucket}/{ENCODED}")

    def _status(self, path: Path, key: str) -> os.stat_result | None:
        """The status of what is the object ``key`` at its ``path``."""
        status = _status_of(path)
        if status is None:
            return None
        if key.endswith("/"):
            return status if stat.S_ISDIR(status.st_mode) and self.metadata.is_marked(path) else None
        return status if stat.S_ISREG(status.st_mode) else None

    def _walk_plain(self, bucket: str, prefix: bytes, after: bytes, *, shallow: bool) -> Iterator[ListedObject]:
        head = prefix.rpartition(b"/")[0]
        base = head + b"/" if head else b""
        parts = plain_parts(head.decode(errors="surrogateescape")) if head else []
        if prefix.startswith(b"/") or parts is None or "" in parts:
            return iter(())
        folder = self._path(bucket, *parts)
        if folder is None or not is_folder(folder):
            return iter(())
        below = os.fsencode(folder)
        found = walk(below, base, plain_children, self.metadata.is_marked, prefix=prefix, after=after, shallow=shallow)
        if base and base == prefix and base > after:  # the prefix may be a key itself
            status = folder.lstat()
            if self.metadata.is_marked(folder):
                return chain((ListedObject(base, below, status),), found)
        return found

    def _is_blocked(self, path: Path) -> bool:
        """Whether what would have to be a folder above ``path`` is none."""
        above = (folder for folder in path.parents if folder.is_relative_to(self.root))
        return any(os.path.lexists(folder) and not is_folder(folder) for folder in above)

    def _prune(self, folder: Path) -> None:
        """Remove ``folder`` and those above it as long as they are empty and nobody asked for them by name."""
        prune(folder, self.root, keep=self.metadata.is_marked)

    def _drop_folder(self, folder: Path) -> bool:
        """Whether ``folder`` held no object and is gone."""
        held = walk(os.fsencode(folder), b"", plain_children, self.metadata.is_marked)
        if self.metadata.is_marked(folder) or next(held, None):
            return False
        try:
            remove_empty(folder)
        except OSError:
            return False
        return True

    # who else uses the staging folder

    def _share_staging(self) -> None:
        with self._choosing, suppress(OSError):  # a disk without locks: what is left over goes by its age
            descriptor = os.open(self.staging, os.O_RDONLY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            self._staging_lock = descriptor

    def _is_alone(self) -> bool:
        """Whether no store, in this process or another, has staged anything and lives."""
        descriptor = os.open(self.staging, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True


def _never(_folder: bytes) -> bool:
    return False


def _size(status: os.stat_result) -> int:
    return 0 if stat.S_ISDIR(status.st_mode) else status.st_size


def _status_of(path: bytes | Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return os.path.samestat(one, other) and one.st_mtime_ns == other.st_mtime_ns and one.st_size == other.st_size


def _is_at(path: Path, status: os.stat_result) -> bool:
    """Whether the file of ``status`` is still called ``path``."""
    now = _status_of(path)
    return now is not None and os.path.samestat(now, status)


def _is_other_disk(path: Path, other: Path) -> bool:
    return path.stat().st_dev != other.stat().st_dev


def _remove_older(path: Path, age: float) -> None:
    """Remove a file that nobody wrote to for ``age`` seconds."""
    with suppress(FileNotFoundError):
        if path.stat().st_mtime <= time.time() - age:
            path.unlink()


def _is_rest(entry: os.DirEntry[str]) -> bool:
    """Whether a file is nothing to anybody where there is no object."""
    inside = f"{os.sep}{ENCODED}{os.sep}" in entry.path
    return entry.name.startswith(TEMPORARY.decode()) or (inside and is_sidecar(entry.name))


def _over_link(folder: Path, key: str) -> ServiceError:
    return ServiceError("InvalidArgument", f"The key {key!r} leads over a symbolic link in {folder}")


def _contended(bucket: str, key: str) -> ServiceError:
    return ServiceError("OperationAborted", f"s3://{bucket}/{key} changes too often; try again", status=409)
