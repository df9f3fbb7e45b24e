"""Asynchronous inference: the input is an object, and so will the output be.

Calls wait here for their turn and take the same road as others. They are not kept on disk: a gateway that is stopped
or killed forgets those it has not answered.
Source: SageMaker developer guide, "Asynchronous inference".
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clary.control.hosting.invocation import Invocation
from clary.control.objects.base import ObjectStore, S3Uri
from clary.control.wire.errors import ServiceError

__all__ = ["AsyncCall", "AsyncInvocations"]

_AT_A_TIME = 4  # calls: clients who wait come first


@dataclass(frozen=True, slots=True)
class AsyncCall:
    """``source`` is the body or where it lies; ``failure`` takes the reason instead of ``output``, None: nothing does.

    ``limit`` is in seconds.
    """

    endpoint: str
    source: bytes | S3Uri
    headers: Mapping[str, str]
    output: S3Uri
    failure: S3Uri | None
    limit: float


class AsyncInvocations:
    """``invoke`` is ``Hosting.invoke``. Used in one event loop."""

    def __init__(self, objects: ObjectStore, invoke: Callable[[AsyncCall, bytes], Awaitable[Invocation]]) -> None:
        self._objects = objects
        self._invoke = invoke
        self._turn = asyncio.Semaphore(_AT_A_TIME)

    async def run(self, call: AsyncCall) -> None:
        """Make the call and store what comes of it. Raises ServiceError when that cannot be stored."""
        async with self._turn:
            place, content = await self._outcome(call)
            if place is not None:
                await asyncio.to_thread(self._put, place, content)

    async def _outcome(self, call: AsyncCall) -> tuple[S3Uri | None, bytes]:
        try:
            source = call.source
            body = source if isinstance(source, bytes) else await asyncio.to_thread(self._get, source)
            invocation = await self._invoke(call, body)
        except ServiceError as error:
            # Nobody waits for this call: the object is the only place where its client can learn what went wrong.
            return call.failure, error.message.encode()
        return (call.output if 200 <= invocation.status < 300 else call.failure), invocation.body

    def _get(self, place: S3Uri) -> bytes:
        with self._objects.open(place.bucket, place.key) as file:
            return file.read()

    def _put(self, place: S3Uri, content: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="clary-") as folder:
            path = Path(folder) / "output"
            path.write_bytes(content)
            self._objects.put(place.bucket, place.key, path)
