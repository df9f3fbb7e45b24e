"""Where a key is a file: at its plain path, or below the folder of encoded keys; and how a file gets there.

A key whose plain path is blocked by another object, or that has none, is encoded. It stays where it is as long as it
is an object; only where somebody put a file at the plain path by hand it has both. Then the plain one counts: it is
written to, and it is deleted last, so that the other is never seen for a moment.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from clary.control.objects.base import NoSuchBucket
from clary.control.objects.folders import is_folder, make_folders, prune, remove_empty, status_of
from clary.control.objects.key_encoding import ENCODED, encoded_names
from clary.control.objects.key_names import check_key, is_bucket_name, plain_parts
from clary.control.objects.mapped_buckets import MappedBuckets
from clary.control.objects.moving import place, temporary_beside
from clary.control.objects.object_metadata import MetadataStore
from clary.control.objects.walking import plain_children, walk
from clary.control.wire.errors import ServiceError

__all__ = ["RETRIES", "Places", "contended"]

RETRIES = 20  # of a step whose folder or file another request is just removing or replacing


class Places:
    """Of the objects in the buckets below ``root``, and in those that are ``mapped`` to folders elsewhere."""

    def __init__(self, root: Path, metadata: MetadataStore, mapped: MappedBuckets) -> None:
        self._root = root
        self._metadata = metadata
        self._mapped = mapped
        # Held while it is decided which of its two places a key has; buckets without encoded keys know one.
        self.choosing = threading.RLock()

    def mapped(self, bucket: str) -> Path | None:
        """The folder elsewhere that a bucket is; None for one of the root."""
        # Nearly always: every request asks this.
        if not self._mapped or not is_bucket_name(bucket):
            return None
        if (named := self._mapped.named(bucket)) is not None:
            return named
        return None if is_folder(self._root / bucket) else self._mapped.matching(bucket)

    def folder(self, bucket: str) -> Path:
        """The folder of a bucket, there or not."""
        return self.mapped(bucket) or self._root / bucket

    def is_bucket(self, bucket: str) -> bool:
        return is_bucket_name(bucket) and is_folder(self.folder(bucket))

    def adopt(self, staged: Path, bucket: str, key: str, *, new: bool = False) -> None:
        """Make the staged file the object ``key``; with ``new`` only where there is none (FileExistsError else).

        An empty file under a key that ends in a slash becomes a folder that has the file's metadata. Raises
        NoSuchBucket, ServiceError for a key that S3 does not take.
        """
        check_key(key)
        plain = self._target(bucket, key)
        alone = plain is not None and not self.has_encoded(bucket) and not self._metadata.has_sidecar(staged)
        if plain is not None and alone and self._adopt_plain(staged, plain, bucket, key, new=new):
            if self.has_encoded(bucket) and (encoded := self.encoded(bucket, key)):  # by now
                with self.choosing:
                    self._drop_hidden(plain, encoded, key)
            return
        with self.choosing:
            self._adopt(staged, plain, bucket, key, new=new)

    def delete(self, bucket: str, key: str) -> None:
        if not self.is_bucket(bucket):
            raise NoSuchBucket(bucket)
        plain = self.plain(bucket, key)
        if not self.has_encoded(bucket):
            self._delete_plain(plain, key)
            return
        with self.choosing:
            # The plain one last: it is the one that is seen, and without it the other would be.
            if encoded := self.encoded(bucket, key):
                self._delete_file(encoded)
            self._delete_plain(plain, key)

    def _adopt(self, staged: Path, plain: Path | None, bucket: str, key: str, *, new: bool) -> None:
        """Of the two places of a key the one it has; for one that has none the plain one, unless that is blocked."""
        encoded = self.encoded(bucket, key)
        if encoded is None:
            raise _over_link(self._root / bucket, key)
        is_plain = plain is not None and self.status(plain, key) is not None
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
        if plain is not None and self.status(plain, key):
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
        metadata = replace(self._metadata.read(staged, status), marker=True)
        for _ in range(RETRIES):
            try:
                make_folders(target, below=self._root / bucket)
                kept = self._metadata.write_attribute(target, metadata, new=new)
            except (FileExistsError, NotADirectoryError):
                if self._is_blocked(target / "in it"):
                    return False
                if new and is_folder(target) and self._metadata.is_marked(target):
                    raise
                continue
            except FileNotFoundError:  # removed by the deletion of a neighbour
                self.check_bucket(bucket)
                continue
            if not kept:
                self.prune(target)
            return kept
        raise contended(bucket, key)

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
                    make_folders(target.parent, below=self._root / bucket)
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
                self.check_bucket(bucket)
                needs_folder = True
            # else a neighbour was just making or removing the folder
        raise contended(bucket, key)

    def _rename(self, staged: Path, target: Path, *, new: bool, mixed: bool) -> None:
        """``place``, to other disks too, and with the sidecar, where there may be one (``mixed``)."""
        before = status_of(target) if mixed else None
        status = self._metadata.carry(staged, target) if mixed else None
        try:
            place(staged, target, new=new)
        except OSError as error:
            across = error.errno == errno.EXDEV
            if across:
                self._rename_across(staged, target, new=new)
            if status is not None:
                self._metadata.drop(target, status, now=status_of(target) if across else None)
            if not across:
                raise
        if before is not None:
            self._metadata.drop(target, before, now=status_of(target))

    def _rename_across(self, staged: Path, target: Path, *, new: bool) -> None:
        """To another disk: copied beside the target under a hidden name, then renamed."""
        # Beside the target, because only a rename within one file system is atomic.
        near = temporary_beside(target)
        try:
            shutil.copy2(staged, near)
            # Written anew, for this disk may know no attributes, or other times.
            self._metadata.write(near, self._metadata.read(staged, staged.stat()))
            status = near.stat()
            try:
                self._rename(near, target, new=new, mixed=True)
            finally:
                self._metadata.drop(near, status)
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
                self._metadata.forget(plain)
        self.prune(plain)

    def _delete_file(self, path: Path) -> None:
        """Remove an object's file, if there is one, and the folders that only held it, as a prefix vanishes on S3."""
        if (status := status_of(path)) is not None and stat.S_ISREG(status.st_mode):
            with suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
            self._metadata.drop(path, status)
        self.prune(path.parent)

    def plain(self, bucket: str, key: str) -> Path | None:
        """The plain path of a key, there or not; None where it has none, or a symbolic link leads to it."""
        parts = plain_parts(key)
        return None if parts is None else self.path(bucket, *filter(None, parts))

    def encoded(self, bucket: str, key: str) -> Path | None:
        """The same below the folder of encoded keys."""
        try:
            raw = check_key(key)
        except ServiceError:
            return None
        return self.path(bucket, ENCODED, *encoded_names(raw))

    def path(self, bucket: str, *names: str) -> Path | None:
        if not is_bucket_name(bucket):
            return None
        path = self.folder(bucket).joinpath(*names)
        folder = path.parent if names else path
        # A link inside a bucket could lead to any file of the user's; the root is resolved once, at the start.
        return path if os.path.realpath(folder) == str(folder) else None

    def _target(self, bucket: str, key: str) -> Path | None:
        """``_plain`` for a write. Raises NoSuchBucket, ServiceError where a symbolic link leads to it."""
        self.check_bucket(bucket)
        if plain_parts(key) is None:
            return None
        path = self.plain(bucket, key)
        if path is None or path.is_symlink():
            raise _over_link(self._root / bucket, key)
        return path

    def check_bucket(self, bucket: str) -> None:
        if not self.is_bucket(bucket):
            raise NoSuchBucket(bucket)

    def has_encoded(self, bucket: str) -> bool:
        return is_folder(f"{self.folder(bucket)}/{ENCODED}")

    def status(self, path: Path, key: str) -> os.stat_result | None:
        """The status of what is the object ``key`` at its ``path``."""
        status = status_of(path)
        if status is None:
            return None
        if key.endswith("/"):
            return status if stat.S_ISDIR(status.st_mode) and self._metadata.is_marked(path) else None
        return status if stat.S_ISREG(status.st_mode) else None

    def _is_blocked(self, path: Path) -> bool:
        """Whether what would have to be a folder above ``path`` is none."""
        above = (folder for folder in path.parents if folder.is_relative_to(self._root))
        return any(os.path.lexists(folder) and not is_folder(folder) for folder in above)

    def prune(self, folder: Path) -> None:
        """Remove ``folder`` and those above it as long as they are empty and nobody asked for them by name."""
        prune(folder, self._root, keep=self._metadata.is_marked)

    def _drop_folder(self, folder: Path) -> bool:
        """Whether ``folder`` held no object and is gone."""
        held = walk(os.fsencode(folder), b"", plain_children, self._metadata.is_marked)
        if self._metadata.is_marked(folder) or next(held, None):
            return False
        try:
            remove_empty(folder)
        except OSError:
            return False
        return True


def contended(bucket: str, key: str) -> ServiceError:
    """The error for a key that others change at every try."""
    return ServiceError("OperationAborted", f"s3://{bucket}/{key} changes too often; try again", status=409)


def _over_link(folder: Path, key: str) -> ServiceError:
    return ServiceError("InvalidArgument", f"The key {key!r} leads over a symbolic link in {folder}")
