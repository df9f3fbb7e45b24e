"""Folders that a job's program wrote to, put into a bucket file by file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from clary.control.objects.base import ObjectStore, S3Uri
from clary.errors import CustomerError
from clary.vision.base.tree import Entry, Tree, opened

__all__ = ["OPT_ML", "FolderUpload", "opened_results"]

OPT_ML = Path("/opt/ml")  # as the job's program and its author know it


@contextmanager
def opened_results(folder: Path, *parts: str) -> Iterator[Tree]:
    """A folder below opt_ml of ``folder``, a host's; an empty one where the job removed it. Raises CustomerError where
    it is a link."""
    with ExitStack() as stack:
        try:
            tree = stack.enter_context(opened(folder / "opt_ml", *parts, shown=OPT_ML, own=True))
        except FileNotFoundError:
            empty = stack.enter_context(tempfile.TemporaryDirectory(dir=folder, prefix=".empty."))
            tree = stack.enter_context(opened(Path(empty)))
        yield tree


class FolderUpload:
    """Keeps the objects below ``target`` as the folder ``parts`` of a host's opt_ml is. Not to be used by two threads
    at once."""

    def __init__(self, folder: Path, parts: tuple[str, ...], target: S3Uri, objects: ObjectStore) -> None:
        self._folder, self._parts, self._target, self._objects = folder, parts, target, objects
        self._put: dict[str, tuple[int, int, int]] = {}

    def __len__(self) -> int:
        """How many files were uploaded, each counted once."""
        return len(self._put)

    def upload(self, *, hidden: bool = False, refused: Callable[[CustomerError], None] | None = None) -> int:
        """Upload what is new or changed since the last call; returns how many files. Blocks.

        A file that is written to meanwhile is uploaded again by the next call; one that is gone stays in the bucket.
        Unless ``hidden``, names beginning with a dot are left out: they are files in the making. Raises NoSuchBucket,
        OSError; CustomerError naming a link in the place of the folder and, once all others are uploaded, a link or a
        device in it, unless ``refused`` takes it.
        """
        found: list[CustomerError] = []
        with opened_results(self._folder, *self._parts) as tree:
            entries = tree.entries(hidden=hidden, refused=refused or found.append)
            files = (entry for entry in entries if not entry.is_folder)
            count = sum(self._upload(entry, self._target.join(entry.name)) for entry in files)
        if found:
            raise found[0]
        return count

    def _upload(self, entry: Entry, at: S3Uri) -> bool:
        # Of before the upload: what is written meanwhile makes another state, and the file is sent again.
        # The number too: a link may come to name another file of the same size and time.
        state = entry.status.st_mtime_ns, entry.status.st_size, entry.status.st_ino
        if self._put.get(entry.name) == state:
            return False
        self._objects.put(at.bucket, at.key, entry.path)
        self._put[entry.name] = state
        return True
