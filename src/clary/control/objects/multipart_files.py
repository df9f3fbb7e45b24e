"""Multipart uploads on the disk: one folder an upload in the staging folder, in that one for each hundred part numbers,
one file a part.

Nothing is kept in memory, so an upload goes on after the gateway was killed. A part's file is called
``<number>.<md5>.<checksum>``: parts may come in any order, come again, or come again with other content; completing
names those that count.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clary.control.objects.base import NoSuchBucket
from clary.control.objects.cloning import append
from clary.control.objects.local import LocalStore
from clary.control.objects.moving import link_or_clone, sync
from clary.control.wire.errors import ServiceError

__all__ = [
    "Part",
    "Upload",
    "choose",
    "create",
    "find",
    "join",
    "keep",
    "latest",
    "remove",
    "sweep",
    "unknown",
    "uploads",
]

SMALLEST = 5 << 20  # bytes of every part but the last
# Part numbers of a folder. Each part that comes looks through the names of one; with all 10,000 of an upload in one
# folder that would be 50 million looks.
NUMBERS = 100
# S3 keeps them for ever and charges; here they would only fill the disk. The time of the folder is that of its last new
# part.
ABANDONED = 7 * 86_400.0  # seconds an upload may rest
ID = re.compile(r"[0-9a-f]{32}")
NOTE = "upload.json"
ENDED = ".ended-"


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that was begun: for which key, with which headers for the object, when (epoch seconds).

    ``algorithm`` and ``kind`` (FULL_OBJECT or COMPOSITE) are of the object's checksum; empty where nobody named one.
    """

    id: str
    folder: Path
    bucket: str
    key: str
    headers: dict[str, str]
    created: float
    algorithm: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One part that has arrived. ``md5`` in hexadecimal digits, ``size`` in bytes, ``modified`` in epoch seconds.

    ``digest`` by the upload's algorithm, or the default one; empty of parts that an older Clary took in.
    """

    number: int
    md5: str
    digest: bytes
    path: Path
    size: int
    modified: float


def create(
    store: LocalStore, bucket: str, key: str, headers: Mapping[str, str], algorithm: str = "", kind: str = ""
) -> Upload:
    """Begin an upload."""
    name, created = uuid.uuid4().hex, time.time()
    folder, hidden = store.staging / name, store.stage_name()
    note = {"bucket": bucket, "key": key, "headers": dict(headers), "created": created}
    note |= {"algorithm": algorithm, "kind": kind}
    with store.dropping():
        hidden.mkdir()
        (hidden / NOTE).write_text(json.dumps(note))
        # An upload whose note is half written must not be found by its id.
        hidden.rename(folder)
    return Upload(name, folder, bucket, key, dict(headers), created, algorithm, kind)


def remove(upload: Upload) -> None:
    """End an upload, and with it its parts."""
    # In one step: no part is lost of an upload that is still there, and none arrives in one that is being removed.
    ended = upload.folder.with_name(ENDED + upload.id)
    with suppress(FileNotFoundError):
        upload.folder.rename(ended)
    shutil.rmtree(ended, ignore_errors=True)


def find(store: LocalStore, bucket: str, key: str, name: str) -> Upload:
    """The upload called ``name`` of this very key. Raises NoSuchBucket, ServiceError NoSuchUpload."""
    if not store.bucket_exists(bucket):
        raise NoSuchBucket(bucket)
    upload = _read(store, name)
    if upload is None or (upload.bucket, upload.key) != (bucket, key):
        raise unknown()
    return upload


def _read(store: LocalStore, name: str) -> Upload | None:
    if not ID.fullmatch(name):
        return None
    folder = store.staging / name
    try:
        note = json.loads((folder / NOTE).read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):  # the last: killed while it was begun
        return None
    summed = note.get("algorithm", ""), note.get("kind", "")
    return Upload(name, folder, note["bucket"], note["key"], note["headers"], note["created"], *summed)


def uploads(store: LocalStore) -> Iterator[Upload]:
    """All that were begun and not ended, in no order."""
    for name in os.listdir(store.staging):
        if upload := _read(store, name):
            yield upload


def keep(upload: Upload, part: int, md5: str, digest: bytes, staged: Path) -> None:
    """The staged file becomes the part, in place of another of its number. Raises ServiceError NoSuchUpload."""
    # Five digits, so that names sort as numbers; the MD5 is the part's ETag, by which completing asks for it.
    name = f"{part:05}.{md5}.{digest.hex()}"
    folder = upload.folder / f"{part // NUMBERS:03}"
    try:
        folder.mkdir(exist_ok=True)
        staged.rename(folder / name)
        os.utime(upload.folder)  # by which it is told that the upload goes on (ABANDONED)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise unknown() from error
    # Only after the new one is there: killed between the two, the upload has both, and completing says which counts.
    for other in folder.glob(f"{part:05}.*"):
        if other.name != name:
            other.unlink(missing_ok=True)


def _parts(upload: Upload) -> Iterator[Part]:
    with suppress(FileNotFoundError):  # aborted meanwhile: glob fails too
        # In the upload's own folder lie those that an older Clary took in.
        for path in upload.folder.rglob("[0-9]*.*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                part, md5, digest = f"{path.name}.".split(".")[:3]
                yield Part(int(part), md5, bytes.fromhex(digest), path, status.st_size, status.st_mtime)


def latest(upload: Upload) -> list[Part]:
    """The parts in order of their numbers."""
    # Two files of one number: a client sent the part again while the first was on its way. The later one counts.
    parts = sorted(_parts(upload), key=lambda part: (part.number, part.modified))
    return list({part.number: part for part in parts}.values())


def choose(upload: Upload, asked: Sequence[tuple[int, str]]) -> list[Part]:
    """The parts a client named. Raises ServiceError InvalidPartOrder, InvalidPart, EntityTooSmall."""
    numbers = [part for part, _ in asked]
    if numbers != sorted(set(numbers)):
        raise ServiceError("InvalidPartOrder", "The list of parts was not in ascending order.")
    there = {(part.number, part.md5): part for part in _parts(upload)}
    if missing := [part for part, md5 in asked if (part, md5) not in there]:
        text = f"One or more of the specified parts could not be found, or its ETag is another: part {missing[0]}"
        raise ServiceError("InvalidPart", text)
    parts = [there[each] for each in asked]
    # S3 would refuse too, and programs must not learn here what fails there.
    if any(part.size < SMALLEST for part in parts[:-1]):
        raise ServiceError("EntityTooSmall", f"Every part but the last must have {SMALLEST} bytes at least")
    return parts


def join(parts: Sequence[Part], staged: Path) -> None:
    """Write the parts one after another to ``staged``, on the disk when it returns. Raises FileNotFoundError."""
    if len(parts) == 1:
        # A link, so a part of any size costs nothing. The file is not written to again.
        link_or_clone(parts[0].path, staged)
        sync(staged)
        return
    with staged.open("wb") as writer:
        for part in parts:
            with part.path.open("rb") as reader:
                append(reader.fileno(), writer.fileno(), part.size)
        os.fsync(writer.fileno())


def sweep(store: LocalStore) -> None:
    """Remove uploads nobody touched for a week, and what is left of those that ended."""
    for entry in os.scandir(store.staging):
        with suppress(FileNotFoundError):
            old = entry.stat().st_mtime < time.time() - ABANDONED
            if entry.is_dir() and (old or entry.name.startswith(ENDED)):
                shutil.rmtree(entry, ignore_errors=True)


def unknown() -> ServiceError:
    """The error for an upload that is not there."""
    text = "The specified upload does not exist. The upload ID may be invalid, or it was aborted or completed."
    return ServiceError("NoSuchUpload", text, status=404)
