"""Model data: from the object store into the folder a worker serves, the /opt/ml/model of a container."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from clary.control.hosting.failure import StartFailed
from clary.control.objects.base import ObjectStore, S3Uri
from clary.control.objects.key_names import file_path
from clary.control.objects.machine_files import place_of
from clary.control.wire.errors import ServiceError
from clary.errors import ArtifactError, CustomerError
from clary.vision.base import tarsafe
from clary.vision.base.files import atomic_folder

__all__ = ["place"]

# An archive may come from anywhere; the limits are far above any model that is served here.
_LIMITS = tarsafe.Limits(members=100_000, file_bytes=32 << 30, total_bytes=64 << 30, depth=64)
_MANIFEST = "manifest.json"
_NO_DRAFT = 3  # exit code of `vision.inference.finishing` where there is nothing to finish
FINISHING = 600.0  # seconds for an export; ResNet-101's takes 20


def place(data: str, folder: Path, objects: ObjectStore, *, archive: bool, trained_here: bool = True) -> None:
    """Fetch the archive, or the objects under the prefix, ``data``, as ``folder``; blocks.

    ``data`` is an S3 URI, or one of a file that local_mode.check has let through. ``trained_here``: it is to be what a
    built-in algorithm can serve. The folder appears whole or not at all; one that is there is kept. Raises StartFailed.
    """
    if folder.is_dir():
        return
    try:
        # Durable: a folder that is there is never looked at again.
        with atomic_folder(folder, durable=True) as temporary:
            (_unpack if archive else _copy)(place_of(data), temporary, objects)
            if not trained_here:
                return
            if not (temporary / _MANIFEST).is_file() and any(temporary.glob("*.params")):
                _finish(temporary, data)
            # Said here, where the URI is known; the worker would only find that a file is missing.
            if not (temporary / _MANIFEST).is_file():
                raise StartFailed(
                    f'The model data at "{data}" holds no {_MANIFEST}, so it is no model that was trained here',
                    hint="train it with this platform, or export it with `clary train`",
                )
    except ServiceError as error:
        raise StartFailed(f"{_not_downloaded(data)} ({error.message})") from error
    except CustomerError as error:
        raise StartFailed(f'The model data at "{data}" cannot be used: {error}') from error


def _finish(folder: Path, data: str) -> None:
    """Make a model of what a stopped job left, in a process that may load a tensor library."""
    command = [sys.executable, "-P", "-m", "clary.vision.inference.finishing", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FINISHING, check=False)
    except subprocess.TimeoutExpired:
        raise StartFailed(f'The model of the stopped job at "{data}" was not finished in {FINISHING:.0f} s') from None
    # Weights of another kind are no model, which is said for all that are none.
    if done.returncode not in (0, _NO_DRAFT):
        reason = next(reversed(done.stderr.strip().splitlines()), f"exit code {done.returncode}")
        raise StartFailed(f'The model of the stopped job at "{data}" cannot be finished: {reason}')


def _unpack(uri: S3Uri, folder: Path, objects: ObjectStore) -> None:
    archive = folder.with_name(f"{folder.name}.tar.gz")
    try:
        objects.fetch(uri.bucket, uri.key, archive)
        tarsafe.extract(archive, folder, _LIMITS, error=ArtifactError)
    finally:
        archive.unlink(missing_ok=True)


def _copy(uri: S3Uri, folder: Path, objects: ObjectStore) -> None:
    prefix = uri.key if not uri.key or uri.key.endswith("/") else f"{uri.key}/"
    found = [one for one in objects.list(uri.bucket, prefix) if one.size or not one.key.endswith("/")]
    if not found:
        raise StartFailed(_not_downloaded(str(uri)))
    for one in found:
        target = folder / _relative(one.key, prefix)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                raise FileExistsError(target)
            objects.fetch(uri.bucket, one.key, target)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            what = f"the key {one.key!a} needs the place of another object, or of the folder of one"
            raise ArtifactError(what, hint="store it under another") from error


def _relative(key: str, prefix: str) -> str:
    name = key.removeprefix(prefix)
    try:
        # A slash at an end would be left out: the objects m//a and m/a would be one file.
        return file_path(name if name.strip("/") == name else "")
    except ValueError:
        raise ArtifactError(f"the key {key!a} is no file name", hint="store it under another") from None


def _not_downloaded(data: str) -> str:
    return (
        f'Failed to download model data for container "container_1" from URL: "{data}". '
        "Please ensure that there is an object located at the URL."
    )
