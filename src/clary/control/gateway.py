"""The gateway: every part of the platform in one process, behind one port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from clary.control import home, resources
from clary.control.front_page import front_page
from clary.control.hosting.supervisor import Hosting
from clary.control.jobs.job_queue import Jobs
from clary.control.jobs.launchers.local.launcher import LocalLauncher
from clary.control.logs.streams import LogStore
from clary.control.objects.service import ObjectService
from clary.control.platform import Platform
from clary.control.settings import Settings
from clary.control.store.records import Store
from clary.control.wire.app import create_app
from clary.version import __version__
from clary.vision.inference import server
from clary.vision.inference.callers import HostNames

__all__ = ["serve"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def serve(settings: Settings, *, ready: Callable[[Settings], None] = lambda settings: None) -> None:
    """Run a platform until SIGINT or SIGTERM. ``ready`` is called once every part answers.

    Raises UsageError when the home is in use or the address cannot be had.
    """
    # The console's place: a second listener beside this one, on ``settings.console_port`` (the gateway's + 1; a free
    # one beside port 0), opened on the same loop over the same Platform, its URL told in server.json; ``front_page``
    # then leads a browser there. A port of its own, because this one serves objects with the type their owner gave
    # them: a stored page would share the console's origin and could script it.
    names = HostNames(settings.host, allowed=settings.allowed_hosts)
    with home.hold(settings.home), server.bind(settings.host, settings.port) as listener:
        settings = replace(settings, port=listener.getsockname()[1])
        # Who can send a request can run programs here: beyond this machine, only those who know the keys.
        signed = settings.verify_signatures or settings.host not in _LOOPBACK
        keys = home.credentials(settings.home) if signed else None
        server.run_within(lambda: _announced(settings, keys, names, ready), listener)


@asynccontextmanager
async def _announced(
    settings: Settings, keys: dict[str, str] | None, names: HostNames, ready: Callable[[Settings], None]
) -> AsyncIterator[App]:
    async with _open(settings, keys, names) as app:
        # Last: who finds the file may call at once.
        home.write_server(settings.home, settings.url, region=settings.region, version=__version__)
        ready(settings)
        yield app


@asynccontextmanager
async def _open(settings: Settings, keys: dict[str, str] | None, names: HostNames) -> AsyncIterator[App]:
    """Every part, opened in the order they stand on each other; closed in reverse."""
    async with AsyncExitStack() as stack:
        objects = ObjectService(settings)
        # Meanwhile the rest is made ready: `clary up` is to answer within 1.5 s (docs/benchmarks.md).
        starting = asyncio.create_task(objects.start())
        stack.push_async_callback(objects.close)
        resources.load()
        store = Store(settings.database)
        stack.callback(store.close)
        logs = LogStore(settings.logs_root)
        await starting
        jobs = Jobs(settings, store, objects.store, logs, LocalLauncher(settings))
        hosting = Hosting(settings, store, objects.store, logs)
        for part in (jobs, hosting):
            # Before its start, which may fail half-way.
            stack.push_async_callback(part.close)
            await part.start()
        platform = Platform(settings, store, objects.store, logs, jobs, hosting)
        yield create_app(
            platform,
            region=settings.region,
            account=settings.account,
            s3=objects.app,
            credentials=keys,
            front_page=front_page(settings, signed=keys is not None),
            names=names,
        )
