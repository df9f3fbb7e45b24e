"""Objects as plain files: ROOT/<bucket>/<key>.

Whoever writes, writes into ROOT/.staging and renames: a reader sees the old object or the whole new one, and a file
somebody has open or linked is never written to. Symbolic links are neither shown nor followed. An empty object whose
key ends in a slash is a folder that was asked for by name. Empty folders are no objects.

A key that is no plain path, or whose path is blocked by another object (``a/b`` beside ``a``), is a file below
ROOT/<bucket>/.clary-keys (``key_encoding``). Objects never move from one to the other. Where a key has both, for
somebody put a file there by hand, the plain one counts, so it is deleted last.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from clary.control.objects.base import NoSuchBucket, NoSuchKey, Object
from clary.control.objects.cloning import clone
from clary.control.objects.folders import files_below, is_folder, remove_empty, status_of
from clary.control.objects.key_encoding import ENCODED, encoded_names
from clary.control.objects.key_names import check_key, plain_parts
from clary.control.objects.mapped_buckets import MappedBuckets, read_only
from clary.control.objects.moving import TEMPORARY, link_or_clone, sync, temporary_beside
from clary.control.objects.object_metadata import MetadataStore, ObjectMetadata
from clary.control.objects.places import RETRIES, Places, contended
from clary.control.objects.sidecars import is_sidecar
from clary.control.objects.staging_folder import StagingFolder, remove_older
from clary.control.objects.walking import ListedObject, encoded_children, merged, plain_children, walk
from clary.control.wire.errors import ServiceError, StorageFull
from clary.errors import out_of_space

__all__ = ["LocalStore", "OpenObject"]

# Inside the root, so that a rename stays on one disk; a name no bucket can have.
STAGING = ".staging"
PIECE = 1 << 20  # bytes of a file in memory at a time
LEAST_ROOM = 16 << 20  # bytes: with less no model can be stored


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
    """Buckets are the folders of ``root`` whose names S3 allows, and the folders elsewhere that ``mapped`` names, or
    patterns of names, stand for: those are only read. Safe to use from several threads and processes.
    """

    local = True

    def __init__(self, root: Path, mapped: Mapping[str, Path] | None = None) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self._staging = StagingFolder(self.root / STAGING)
        self.staging = self._staging.path
        self.metadata = MetadataStore(self.root)
        self._mapped = MappedBuckets(mapped or {})
        self._places = Places(self.root, self.metadata, self._mapped)

    # the protocol of objects.base

    def bucket_exists(self, bucket: str) -> bool:
        return self._places.is_bucket(bucket)

    def check_put(self, bucket: str, key: str) -> None:
        self.check_writable(bucket)
        if not self.bucket_exists(bucket):
            raise NoSuchBucket(bucket)
        check_key(key)
        if not os.access(self.root / bucket, os.W_OK | os.X_OK):
            raise ServiceError("AccessDenied", f"Access Denied: the folder of the bucket {bucket}", status=403)
        if shutil.disk_usage(self.root).free < LEAST_ROOM:
            raise StorageFull

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
        self.check_writable(bucket)
        if not self.bucket_exists(bucket):
            raise NoSuchBucket(bucket)
        check_key(key)
        staged = self.stage_name()
        # A clone first: the job may go on writing to its file while it becomes an object.
        with self.dropping(staged):
            clone(path, staged)
            self.metadata.write(staged, _summed_up(staged))
            # What a job stored is why it ran: its bytes are on the disk before the job is called Completed.
            sync(staged)
            self.adopt(staged, bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        self.check_writable(bucket)
        self._places.delete(bucket, key)

    # what the S3 app needs beyond it

    def buckets(self) -> Iterator[tuple[str, float]]:
        """Names with the time of creation (epoch seconds), in name order."""
        for name in sorted({*os.listdir(self.root), *self._mapped.names}):
            if self.bucket_exists(name):
                folder = self._places.folder(name)
                status = folder.stat()
                yield name, self.metadata.read(folder, status).created or status.st_mtime

    def hidden_buckets(self) -> Iterator[str]:
        """Those of the root in whose place a folder elsewhere is read."""
        return (name for name in self._mapped.names if is_folder(self.root / name))

    def check_writable(self, bucket: str) -> None:
        """Raises ServiceError AccessDenied for a bucket that is mapped to a folder elsewhere."""
        if (folder := self._places.mapped(bucket)) is not None:
            raise read_only(bucket, folder)

    def create_bucket(self, bucket: str, region: str) -> bool:
        """False where it is there already."""
        if (folder := self._mapped.named(bucket)) is not None:
            raise read_only(bucket, folder)
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
        path = self._places.folder(bucket)
        return self.metadata.read(path, path.stat()).region

    def delete_bucket(self, bucket: str) -> None:
        """Raises NoSuchBucket, ServiceError BucketNotEmpty, AccessDenied."""
        self.check_writable(bucket)
        with self._places.choosing:
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
        plain = self._places.plain(bucket, key)
        if plain is not None and (status := self._places.status(plain, key)):
            return plain, status
        if self._places.has_encoded(bucket):
            encoded = self._places.encoded(bucket, key)
            if encoded is not None and (status := self._places.status(encoded, "")):
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
        raise contended(bucket, key)

    def facts(self, bucket: str, key: str) -> tuple[os.stat_result, ObjectMetadata]:
        """Status and metadata of one version. Raises as ``locate``."""
        found = self.open_object(bucket, key)
        found.close()
        return found.status, found.metadata

    def change_metadata(self, bucket: str, key: str, change: Callable[[ObjectMetadata], ObjectMetadata]) -> None:
        """Give an object other metadata: the version that is there now, not one that replaces it. As ``locate``."""
        self.check_writable(bucket)
        # Two changes at once are both kept.
        with self._places.choosing, closing(self.open_object(bucket, key)) as found:
            metadata = change(found.metadata)
            if not stat.S_ISDIR(found.status.st_mode):
                self.metadata.write_open(found.descriptor, found.path, found.status, metadata)
            elif not self.metadata.write_attribute(found.path, metadata):
                # Without the attribute it would be no object; a file below the folder of encoded keys keeps any.
                self.mark_folder(bucket, key, metadata)

    def may_replace(self, bucket: str, key: str) -> bool:
        """Whether a PUT may replace an object: False is certain, and costs least where keys are plain."""
        return self._places.has_encoded(bucket) or os.path.lexists(f"{self.root}/{bucket}/{key}")

    def walk(
        self, bucket: str, prefix: bytes = b"", after: bytes = b"", *, shallow: bool = False
    ) -> Iterator[ListedObject]:
        """Objects with ``prefix`` behind the key ``after``, in byte order of their keys. Raises NoSuchBucket.

        ``shallow`` gives, for each folder below the prefix, one ListedObject without status in place of what it holds.
        """
        if not self.bucket_exists(bucket):
            raise NoSuchBucket(bucket)
        plain = self._walk_plain(bucket, prefix, after, shallow=shallow)
        if not self._places.has_encoded(bucket):
            return plain
        head = prefix[: prefix.rfind(b"/") + 1]
        folder = self._places.folder(bucket).joinpath(ENCODED, *encoded_names(head)[:-1])
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
            now = status_of(entry.path)
            if now is None:
                return None
            # What was put there by hand has none; else it is another version than when it was found.
            if _is_same(now, status):
                break
            status = now
        return replace(entry, status=status), metadata

    def stage_name(self) -> Path:
        """A new name in the staging folder."""
        return self._staging.name()

    @contextmanager
    def dropping(self, *staged: Path) -> Iterator[None]:
        """Staged files are gone when the block ends; a full disk becomes a ServiceError."""
        try:
            yield
        except OSError as error:
            if out_of_space(error):
                raise StorageFull from error
            raise
        finally:
            for path in staged:
                self.metadata.drop_staged(path)
                path.unlink(missing_ok=True)

    def adopt(self, staged: Path, bucket: str, key: str, *, new: bool = False) -> None:
        """Make the staged file the object ``key``; with ``new`` only where there is none (FileExistsError else).

        An empty file under a key that ends in a slash becomes a folder that has the file's metadata. Raises
        NoSuchBucket, ServiceError for a key that S3 does not take.
        """
        self.check_writable(bucket)
        self._places.adopt(staged, bucket, key, new=new)

    def mark_folder(self, bucket: str, key: str, metadata: ObjectMetadata) -> None:
        """Make the folder that the empty object ``key``, ending in a slash, stands for. Raises as ``adopt``."""
        staged = self.stage_name()
        with self.dropping(staged):
            staged.touch()
            self.metadata.write(staged, metadata)
            self.adopt(staged, bucket, key)

    def sweep(self) -> None:
        """Remove what killed processes left: staged files, copies on their way to other disks, unused sidecars."""
        self._staging.sweep()
        for name, _ in self.buckets():
            if self._places.mapped(name) is not None:
                continue
            bucket = self.root / name
            if self._places.has_encoded(name):
                for path in self.metadata.unused(bucket):
                    remove_older(path)
                    self._places.prune(path.parent)
            if _is_other_disk(bucket, self.root):
                for entry in files_below(bucket):
                    if entry.name.startswith(TEMPORARY.decode()):
                        remove_older(Path(entry.path))

    def _walk_plain(self, bucket: str, prefix: bytes, after: bytes, *, shallow: bool) -> Iterator[ListedObject]:
        head = prefix.rpartition(b"/")[0]
        base = head + b"/" if head else b""
        parts = plain_parts(head.decode(errors="surrogateescape")) if head else []
        if prefix.startswith(b"/") or parts is None or "" in parts:
            return iter(())
        folder = self._places.path(bucket, *parts)
        if folder is None or not is_folder(folder):
            return iter(())
        below = os.fsencode(folder)
        found = walk(below, base, plain_children, self.metadata.is_marked, prefix=prefix, after=after, shallow=shallow)
        if base and base == prefix and base > after:  # the prefix may be a key itself
            status = folder.lstat()
            if self.metadata.is_marked(folder):
                return chain((ListedObject(base, below, status),), found)
        return found


def _summed_up(path: Path) -> ObjectMetadata:
    """What a PUT of the file that names no checksum leaves: its ETag, and the checksum that S3 adds by itself."""
    # Here: the sender of a pipe only reads, and this takes as long to load as all the rest (awscrt).
    from clary.control.objects.checksums import ALGORITHMS, DEFAULT, checksum_text, encode

    md5, summed = hashlib.md5(usedforsecurity=False), ALGORITHMS[DEFAULT].start()
    with path.open("rb") as file:
        while data := file.read(PIECE):
            md5.update(data)
            summed.update(data)
    return ObjectMetadata(etag=md5.hexdigest(), sum=checksum_text(DEFAULT, encode(summed.digest())))


def _never(_folder: bytes) -> bool:
    return False


def _size(status: os.stat_result) -> int:
    return 0 if stat.S_ISDIR(status.st_mode) else status.st_size


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return os.path.samestat(one, other) and one.st_mtime_ns == other.st_mtime_ns and one.st_size == other.st_size


def _is_at(path: Path, status: os.stat_result) -> bool:
    """Whether the file of ``status`` is still called ``path``."""
    now = status_of(path)
    return now is not None and os.path.samestat(now, status)


def _is_other_disk(path: Path, other: Path) -> bool:
    return path.stat().st_dev != other.stat().st_dev


def _is_rest(entry: os.DirEntry[str]) -> bool:
    """Whether a file is nothing to anybody where there is no object."""
    inside = f"{os.sep}{ENCODED}{os.sep}" in entry.path
    return entry.name.startswith(TEMPORARY.decode()) or (inside and is_sidecar(entry.name))
