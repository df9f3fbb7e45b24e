"""model.tar.gz: packing a model folder, and opening one from a stranger.

An archive is flat (no leading folder), as SageMaker has it, and the same bytes for the same files (``base.tarpack``).
Reading is ``base.tarsafe``'s: no link, device, path escape or bomb comes out of it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from types import TracebackType

from clary.errors import ArtifactError, UsageError
from clary.vision.artifact.draft import find_draft
from clary.vision.artifact.manifest import NAME as MANIFEST
from clary.vision.artifact.manifest import FileEntry, Manifest
from clary.vision.artifact.writer import sole_writer
from clary.vision.base import tarsafe
from clary.vision.base.tarpack import pack
from clary.vision.base.temporary_folder import TemporaryFolder, temporary_folder

__all__ = [
    "ARCHIVE",
    "LIMITS",
    "Artifact",
    "UnfinishedError",
    "entry",
    "model_within",
    "open_model",
    "open_unfinished",
    "pack",
    "unpack",
]

ARCHIVE = "model.tar.gz"
FOLDER = "model"  # of a run that has not finished
EARLIER = re.compile(r"model\.([0-9]+)-epochs\.tar\.gz")  # of one that was finished and goes on

LIMITS = tarsafe.Limits(members=10_000, file_bytes=8 << 30, total_bytes=16 << 30)


class Artifact:
    """A model folder that was checked. A context manager; a temporary folder is gone when it is closed or forgotten."""

    def __init__(self, folder: Path, manifest: Manifest, *, temporary: TemporaryFolder | None = None) -> None:
        self.folder = folder
        self.manifest = manifest
        # finalize, not __del__: it also runs when the interpreter ends, and never twice.
        self._remove = weakref.finalize(self, temporary.remove) if temporary else None

    def close(self) -> None:
        """Remove the folder if it is a temporary one. Closing twice is fine."""
        if self._remove:
            self._remove()

    def __enter__(self) -> Artifact:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def unpack(archive: Path | str, folder: Path | str, limits: tarsafe.Limits = LIMITS) -> Path:
    """Unpack into ``folder``, which must not exist or be empty; on any error nothing is left. Returns ``folder``.

    Raises ArtifactError for a fault of the archive, UsageError for one of the folder (disk full).
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("is there and not empty", where=folder, hint="name a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside it, then renamed: a folder that is there is whole, and the rename is one step within a file system
        # only.
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            tarsafe.extract(archive, temporary, limits, error=ArtifactError)
            temporary.chmod(0o755)  # mkdtemp's are 0o700, and a server may run as somebody else
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise UsageError(f"cannot be unpacked into {folder} ({error.strerror})", where=archive) from error
    return folder


class UnfinishedError(ArtifactError):
    """What was found is what a stopped run left: weights, and no model yet (``vision.inference.finishing``)."""

    def __init__(self, path: Path) -> None:
        what = "holds the weights of a run that was stopped, and no model yet"
        super().__init__(what, where=path, hint=f"`clary predict {shlex.quote(str(path))} PICTURE` finishes it")
        self.path = path


def model_within(path: Path) -> Path:
    """Where the model is that ``path`` names: an archive, a model folder, or a run that holds one of the two."""
    if not path.is_dir() or (path / MANIFEST).exists():
        return path
    if (path / ARCHIVE).is_file():
        return path / ARCHIVE
    inner = path / FOLDER
    if (inner / MANIFEST).exists() or find_draft(inner):
        return inner
    # Of a run that was given more epochs and has not been better since.
    earlier = {int(found[1]): one for one in path.iterdir() if (found := EARLIER.fullmatch(one.name))}
    return earlier[max(earlier)] if earlier else path


def open_model(path: os.PathLike[str] | str) -> Artifact:
    """Open a ``model.tar.gz``, a folder holding a manifest, or a run holding one of them; verify every checksum.

    An archive is unpacked into a temporary folder that ``Artifact.close`` removes. Raises ArtifactError, as
    UnfinishedError for what a stopped run left.
    """
    path = model_within(Path(path))
    if path.is_dir():
        return Artifact(path, _verified(path, path))
    if not path.is_file():
        raise ArtifactError("there is no such model", where=path, hint="name a model.tar.gz or the folder of one")
    return _open_archive(path, lambda folder: None)


def open_unfinished(path: Path, finish: Callable[[Path], None]) -> Artifact:
    """Open what a stopped run left, once ``finish`` has made the folder a model: its own, or that of an archive.

    Of a folder that a training writes at this moment, or that cannot be written to, a copy is finished.
    """
    if not path.is_dir():
        return _open_archive(path, finish)
    with sole_writer(path) as alone:
        if alone:
            # Somebody else may have finished it since it was looked at.
            if not (path / MANIFEST).is_file():
                finish(path)
            return Artifact(path, _verified(path, path))
    return _open_temporary(path, _copy_draft, finish)


def _open_archive(path: Path, finish: Callable[[Path], None]) -> Artifact:
    return _open_temporary(path, unpack, finish)


def _copy_draft(path: Path, folder: Path) -> Path:
    draft = find_draft(path)
    if draft is None:
        raise ArtifactError("holds no weights any more: its training went on", where=path, hint="try it again")
    folder.mkdir()
    try:
        shutil.copyfile(draft.path, folder / draft.path.name)
    except OSError as error:
        raise UsageError(f"cannot be copied ({error.strerror})", where=draft.path) from error
    return folder


def _open_temporary(path: Path, fill: Callable[[Path, Path], Path], finish: Callable[[Path], None]) -> Artifact:
    folder = temporary_folder("clary-model-")
    artifact = None
    try:
        # Within it: unpack puts a new folder in the place of the one it is given, and the lock is on that.
        inner = fill(path, folder.path / FOLDER)
        finish(inner)
        artifact = Artifact(inner, _verified(inner, path), temporary=folder)
    finally:
        if artifact is None:
            folder.remove()
    return artifact


def entry(path: Path) -> FileEntry:
    """Checksum and size of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(digest, path.stat().st_size)


def _verified(folder: Path, shown: Path) -> Manifest:
    """The manifest of ``folder``, whose files were all found to be as it says. ``shown`` names it in messages."""
    if not (folder / MANIFEST).is_file():
        if find_draft(folder):
            raise UnfinishedError(shown)
        if not any(folder.iterdir()):
            what = "is empty: its training was stopped before the first epoch ended"
            raise ArtifactError(what, where=shown, hint="train it again, or go on with it")
        raise ArtifactError(f"holds no {MANIFEST}", where=shown, hint="name a model that `clary train` wrote")
    manifest = Manifest.read(folder / MANIFEST)
    for name, expected in manifest.files.items():
        _verify(folder, name, expected, shown)
    return manifest


def _verify(folder: Path, name: str, expected: FileEntry, shown: Path) -> None:
    parts = PurePosixPath(name).parts
    # The manifest is a stranger's as well: a name in it must not make us read, or tell of, other files.
    if not parts or ".." in parts or name.startswith("/") or not name.isprintable():
        raise ArtifactError(f"names a file outside itself: {name!a}", where=shown, hint="export the model again")
    path = folder / name
    if not path.is_file():
        raise ArtifactError(f"`{name}` is missing", where=shown, hint="copy or download it again")
    if path.stat().st_size != expected.bytes or entry(path) != expected:  # a torn download is seen without hashing it
        raise ArtifactError(
            f"`{name}` is not what the manifest says (its checksum differs)",
            where=shown,
            hint="copy or download it again",
        )
