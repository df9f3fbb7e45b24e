"""The object store of a platform: a folder of this machine, or an S3 endpoint elsewhere."""

from __future__ import annotations

import asyncio
import logging

from clary.control.objects import multipart_files
from clary.control.objects.base import ObjectStore
from clary.control.objects.forwarding import S3Forwarder
from clary.control.objects.local import LocalStore
from clary.control.objects.machine_files import WithMachineFiles
from clary.control.objects.remote import RemoteStore
from clary.control.objects.remote_endpoint import RemoteEndpoint
from clary.control.objects.s3_app import S3App
from clary.control.settings import Settings
from clary.control.wire.asgi import ASGIApp
from clary.errors import UsageError

__all__ = ["ObjectService"]

log = logging.getLogger(__name__)


class ObjectService:
    """``store`` for jobs and endpoints, which may use files of this machine as well; ``app`` for S3 requests (ASGI),
    which is ready after ``start``.
    """

    store: ObjectStore
    app: ASGIApp

    def __init__(self, settings: Settings) -> None:
        """A folder, unless ``settings.s3_endpoint`` names an address. Raises UsageError for what is none,
        and for ``[buckets]`` beside one."""
        self._local: LocalStore | None = None
        self._forwarder: S3Forwarder | None = None
        if settings.s3_endpoint:
            if settings.configuration.buckets:
                raise UsageError(
                    f"[buckets] cannot be served beside the S3 server {settings.s3_endpoint}",
                    where=settings.configuration.file or "",
                    hint="upload the folders to that server, or leave --s3-endpoint out",
                )
            endpoint = RemoteEndpoint.from_environment(settings.s3_endpoint, settings.region)
            self.store = WithMachineFiles(RemoteStore(endpoint))
            self.app = self._forwarder = S3Forwarder(endpoint, account=settings.account)
        else:
            self._local = LocalStore(settings.s3_root, settings.configuration.buckets)
            for name in self._local.hidden_buckets():
                log.warning("the bucket %s of %s is not read: clary.toml maps its name", name, settings.s3_root)
            self.store = WithMachineFiles(self._local)
            self.app = S3App(self._local, account=settings.account, region=settings.region)

    async def start(self) -> None:
        if self._forwarder is not None:
            await self._forwarder.start()
        if self._local is not None:
            await asyncio.to_thread(_sweep, self._local)

    async def close(self) -> None:
        if self._forwarder is not None:
            await self._forwarder.close()


def _sweep(store: LocalStore) -> None:
    store.sweep()
    multipart_files.sweep(store)
