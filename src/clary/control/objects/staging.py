"""Bodies of uploads on their way to becoming objects: written to the staging folder, summed up, renamed by others."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clary.control.objects.local import LocalStore
from clary.control.objects.request import Body
from clary.control.wire.errors import ServiceError

__all__ = ["Staged", "stage"]

BATCH = 1 << 20  # bytes handed to a thread at a time
# A hop to a thread costs more than writing so little.
AT_ONCE = 128 << 10  # so much is written on the event loop
OBJECT_LIMIT = 5 << 30  # bytes of one PUT, as on S3


@dataclass(frozen=True, slots=True)
class Staged:
    """A whole body in a file of the staging folder. ``md5`` in hexadecimal digits."""

    path: Path
    size: int
    md5: str


async def stage(store: LocalStore, body: Body) -> Staged:
    """Write ``body`` down; nothing is left of one that ends early or is not what its checksums say.

    Raises ServiceError for a body without length (but the file of a form has none) or above 5 GiB, for a wrong one and
    for a full disk.
    """
    # S3 refuses it as well: without a length, a body that was cut off looks whole.
    if body.length is None and not body.open_ended:
        raise ServiceError("MissingContentLength", "You must provide the Content-Length HTTP header.", status=411)
    if body.length is not None and body.length > OBJECT_LIMIT:
        raise ServiceError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
    path = store.stage_name()
    try:
        with store.dropping():
            return await _write(path, body)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


async def _write(path: Path, body: Body) -> Staged:
    digest = hashlib.md5(usedforsecurity=False)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:

        def write(data: bytes) -> None:
            digest.update(data)
            view = memoryview(data)
            # os.write may take less than it was given (signals, a nearly full disk).
            while view:
                view = view[os.write(file, view) :]

        await _in_batches(body, write)
        size = os.fstat(file).st_size
    finally:
        os.close(file)
    return Staged(path, size, digest.hexdigest())


async def _in_batches(body: Body, write: Callable[[bytes], None]) -> None:
    batch: list[bytes] = []
    waiting = 0
    async for piece in body:
        batch.append(piece)
        waiting += len(piece)
        # One hop a megabyte: the server hands out 64 kB at a time.
        if waiting >= BATCH:
            await asyncio.to_thread(write, b"".join(batch))
            batch, waiting = [], 0
    if waiting <= AT_ONCE:
        write(b"".join(batch))
    else:
        await asyncio.to_thread(write, b"".join(batch))
