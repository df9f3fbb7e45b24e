"""Hosting: every endpoint of the platform, deployed, updated, brought back, called, removed.

The record of an endpoint says what is wanted and what is; besides what DescribeEndpoint answers, its body holds

    _target       what is being brought into service, while Creating or Updating: ``config``, the configuration's
                  name; ``retain``, the properties of variants that are not to be kept as they are, None: keep none;
                  ``members``, what DescribeEndpoint repeats of the configuration
    _deployment   the deployment in service (``deployment.Plan``): what a restarted gateway brings back

so an endpoint outlives the gateway, and even its configuration's and models' records.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from clary.control.hosting import code
from clary.control.hosting.asynchronous import AsyncCall, AsyncInvocations
from clary.control.hosting.deployment import Deployment, HostingContext, Plan
from clary.control.hosting.failure import StartFailed
from clary.control.hosting.instance import NotServing
from clary.control.hosting.invocation import (
    HEADERS,
    RETURNED,
    Invocation,
    model_error,
    unavailable,
    validation_error,
)
from clary.control.hosting.meter import CallMeter
from clary.control.hosting.variants import Variant, resolve
from clary.control.hosting.warm_worker import WarmWorker
from clary.control.logs.streams import LogStore
from clary.control.objects.base import ObjectStore
from clary.control.settings import Settings
from clary.control.store.records import Record, Store
from clary.errors import BusyError
from clary.vision.base.files import private_folder
from clary.vision.inference.admission import CALL_LIMIT

__all__ = ["Hosting"]

_REASON_LIMIT = 1024  # characters of a FailureReason
# sun_path has 108 bytes with its NUL; a name such as /worker-0123456789ab.sock takes 26.
_SOCKET_PATH = 107 - 26  # bytes of a folder that sockets fit in (unix(7))

_STATUSES = ("Creating", "Updating", "InService")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Endpoint:
    """An endpoint of this process. ``live`` takes its calls; ``task`` brings another deployment into service."""

    live: Deployment | None = None
    task: asyncio.Task[None] | None = None


class Hosting:
    """Used in one event loop; ``deploy``, ``reweigh`` and ``remove`` return at once."""

    def __init__(self, settings: Settings, store: Store, objects: ObjectStore, logs: LogStore) -> None:
        self._settings = settings
        self._store = store
        self._sockets = _socket_folder(settings.run_root)
        self._warm_worker = WarmWorker(self._sockets, warm=settings.warm, idle_after=settings.idle_after)
        self._warm_code_worker = WarmWorker(
            self._sockets,
            warm=settings.warm,
            idle_after=settings.idle_after,
            spawn=partial(code.spawn, settings=settings),
            ahead=partial(code.spawn, settings=settings, ahead=True),
        )
        self._context = HostingContext(settings, objects, logs, self._warm_worker, self._warm_code_worker)
        self._meter = CallMeter(store)
        self._asynchronous = AsyncInvocations(objects, self._invoke_asynchronously)
        self._endpoints: dict[str, _Endpoint] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Bring back what was in service, and go on with what was being deployed. Returns before they are ready."""
        records = self._store.select("endpoint", _STATUSES)
        await asyncio.to_thread(_sweep, self._settings.endpoints_root, {one.name: _live_id(one) for one in records})
        # Before the first request can come: a call to an endpoint that was in service waits for its worker, rather than
        # hear that there is no such endpoint.
        returning = [deployment for record in records if (deployment := self._restore(record))]
        self._soon(self._wake(returning))
        self._soon(self._meter.run())

    async def close(self) -> None:
        """Stop every worker. The endpoints stay as the records have them."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        live = [one.live for one in self._endpoints.values() if one.live]
        await asyncio.gather(*(one.close() for one in live), self._warm_worker.close(), self._warm_code_worker.close())
        await self._meter.flush()
        if self._sockets != self._settings.run_root:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def deploy(self, name: str) -> None:
        """Bring the endpoint to the configuration its record asks for; the record tells how it went."""
        endpoint = self._endpoints.setdefault(name, _Endpoint())
        endpoint.task = self._soon(self._deploy(name, endpoint))
        endpoint.task.add_done_callback(partial(self._deployed, name))

    def reweigh(self, name: str, changes: Mapping[str, Mapping[str, float]]) -> None:
        """Give variants another ``weight`` or ``count`` at once; ``changes`` has them by variant."""

        def change(record: Record) -> tuple[dict[str, Any], str]:
            plan = Plan.read(record.body["_deployment"]).changed(changes)
            return {**record.body, **_in_service(plan)}, record.status

        record = self._store.edit("endpoint", name, change)
        endpoint = self._endpoints.get(name)
        if record is not None and endpoint is not None and endpoint.live is not None:
            endpoint.live.reweigh(Plan.read(record.body["_deployment"]))

    def remove(self, name: str) -> None:
        """Take an endpoint out of service. Calls inside are answered; then its workers and files go."""
        endpoint = self._endpoints.pop(name, None)
        if endpoint is None:
            return
        if endpoint.task is not None:
            # Its workers are closed by the deployment itself, which ends with everything it had started.
            endpoint.task.cancel()
        if endpoint.live is not None:
            self._soon(endpoint.live.retire())

    def deployment(self, name: str) -> Deployment | None:
        """What takes the calls of an endpoint now."""
        endpoint = self._endpoints.get(name)
        return endpoint.live if endpoint else None

    @property
    def warm_worker_pid(self) -> int | None:
        """The process that waits for the next model, or None when there is none."""
        return self._warm_worker.pid

    @property
    def warm_code_worker_pid(self) -> int | None:
        """The process that waits for the next model with code of its own, or None when there is none."""
        return self._warm_code_worker.pid

    def invoke_later(self, call: AsyncCall) -> None:
        """Call an endpoint when its turn comes, and store the answer. Returns at once."""
        self._soon(self._asynchronous.run(call))

    async def invoke(
        self,
        name: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        variant: str | None = None,
        limit: float | None = None,
    ) -> Invocation:
        """Call an endpoint: ``variant``, or one by weight. The answer may have any status.

        Of ``headers`` those in HEADERS are sent. Raises ServiceError: ValidationError when there is nothing to
        call, ServiceUnavailable when it cannot be answered within ``limit`` seconds (CALL_LIMIT unless given) since
        too many others wait, ModelError when it was not. Cancelled, it takes the call back from the worker.
        """
        began = time.perf_counter()
        live = self._called(name)
        chosen = live.choose(variant)
        given = {one.lower(): value for one, value in headers.items()}
        sent = {one: given[one.lower()] for one in HEADERS.values() if one.lower() in given}
        try:
            reply = await live.instances()[chosen].call(body, sent, CALL_LIMIT if limit is None else limit)
        except BusyError as error:
            self._meter.add(name, chosen, status=503, model=0.0, overhead=time.perf_counter() - began)
            raise unavailable(str(error), error.retry_after) from None
        except TimeoutError:
            # A model that takes long for one picture is no reason to kill it under the calls of others; one that does
            # not even answer a ping is.
            self._soon(live.instances()[chosen].check())
            self._meter.add(name, chosen, status=504, model=time.perf_counter() - began, overhead=0.0)
            raise model_error(self._settings, name, 0, _TIMED_OUT) from None
        except NotServing as error:
            self._meter.add(name, chosen, status=500, model=0.0, overhead=time.perf_counter() - began)
            raise model_error(self._settings, name, 500, str(error)) from error
        whole = time.perf_counter() - began
        self._meter.add(name, chosen, status=reply.status, model=reply.seconds, overhead=whole - reply.seconds)
        returned = {one: value for one in RETURNED if (value := reply.headers.get(one)) is not None}
        return Invocation(reply.status, reply.body, returned, chosen)

    async def _invoke_asynchronously(self, call: AsyncCall, body: bytes) -> Invocation:
        return await self.invoke(call.endpoint, body, call.headers, limit=call.limit)

    def _called(self, name: str) -> Deployment:
        live = self.deployment(name)
        if live is not None:
            return live
        record = self._store.get("endpoint", name)
        if record is None:
            raise validation_error(f"Endpoint {name} of account {self._settings.account} not found.")
        raise validation_error(
            f"Endpoint {name} of account {self._settings.account} is not in service: its status is {record.status}."
        )

    async def _deploy(self, name: str, endpoint: _Endpoint) -> None:
        record = self._store.get("endpoint", name)
        if record is None:
            return
        try:
            deployment = Deployment(name, self._plan(record), self._context)
            await deployment.open()
        except StartFailed as error:
            self._store.edit("endpoint", name, partial(_failed, reason=error.reason))
            return
        # From here on calls go to the new workers; those inside the old ones are let end. No call is dropped by an
        # update.
        old, endpoint.live = endpoint.live, deployment
        self._store.edit("endpoint", name, partial(_succeeded, plan=deployment.plan))
        if old is not None:
            self._soon(old.retire())

    def _deployed(self, name: str, task: asyncio.Task[None]) -> None:
        """However a deployment went wrong, nobody waits for it for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            reason = (
                f"Clary failed while it deployed the endpoint ({type(error).__name__}: {error}); its log says where"
            )
            self._store.edit("endpoint", name, partial(_failed, reason=reason))

    def _plan(self, record: Record) -> Plan:
        target = record.body["_target"]
        variants = resolve(self._store, target["config"], self._settings.configuration.images)
        before = record.body.get("_deployment")
        # RetainAllVariantProperties: an update of the model must not undo weights that were set meanwhile.
        if before is not None and target["retain"] is not None:
            variants = _retained(variants, Plan.read(before), target["retain"])
        return Plan(target["config"], tuple(variants))

    def _restore(self, record: Record) -> Deployment | None:
        """The deployment that was in service, its workers still to be started; and what was going on goes on."""
        endpoint = self._endpoints[record.name] = _Endpoint()
        if "_deployment" in record.body:
            plan = Plan.read(record.body["_deployment"])
            endpoint.live = Deployment(record.name, plan, self._context)
        if record.status != "InService":
            self.deploy(record.name)
        return endpoint.live

    async def _wake(self, deployments: list[Deployment]) -> None:
        """Start the workers of what is in service one after the other; a call does not wait for its turn."""
        for deployment in deployments:
            for instance in deployment.instances().values():
                await instance.settle()
        # Last: until then every core is wanted by what is in service.
        self._warm_worker.prepare()

    def _soon(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a change of an endpoint failed: %s", error, exc_info=error)


_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)


def _in_service(plan: Plan) -> dict[str, Any]:
    """Members of a record whose endpoint serves ``plan``."""
    return {
        "EndpointConfigName": plan.config,
        "ProductionVariants": plan.summaries(),
        "_deployment": plan.body(),
    }


def _succeeded(record: Record, plan: Plan) -> tuple[dict[str, Any], str]:
    return {**_settled(record), **record.body["_target"]["members"], **_in_service(plan)}, "InService"


def _failed(record: Record, reason: str) -> tuple[dict[str, Any], str]:
    """Failed, or in service with what it had before."""
    # As SageMaker: an update that fails leaves the endpoint in service with what it had.
    body = {**_settled(record), "FailureReason": reason[:_REASON_LIMIT]}
    return body, "InService" if "_deployment" in body else "Failed"


def _settled(record: Record) -> dict[str, Any]:
    """The body without what belonged to the last change."""
    return {name: value for name, value in record.body.items() if name not in ("_target", "FailureReason")}


def _retained(variants: list[Variant], before: Plan, excluded: list[str]) -> list[Variant]:
    """The variants with the weights and counts that variants of the same name had, but for ``excluded`` properties."""
    old = {one.name: one for one in before.variants}
    members = {"weight": "DesiredWeight", "count": "DesiredInstanceCount"}
    kept = [member for member, property_ in members.items() if property_ not in excluded]
    return [
        replace(one, **{member: getattr(old[one.name], member) for member in kept}) if one.name in old else one
        for one in variants
    ]


def _live_id(record: Record) -> str:
    return str(record.body.get("_deployment", {}).get("id", ""))


def _sweep(root: Path, live: Mapping[str, str]) -> None:
    """Remove the folders of deployments that are in service no more: a killed gateway left them."""
    for endpoint in root.iterdir() if root.is_dir() else ():
        for deployment in endpoint.iterdir() if endpoint.is_dir() else ():
            if deployment.name != live.get(endpoint.name):
                shutil.rmtree(deployment, ignore_errors=True)
        with contextlib.suppress(OSError):
            endpoint.rmdir()


def _socket_folder(root: Path) -> Path:
    """``root``, or a short private folder where the names of sockets would be too long for the system."""
    if len(str(root).encode()) <= _SOCKET_PATH:
        private_folder(root)
        for left in root.glob("worker-*.sock"):
            left.unlink(missing_ok=True)
        return root
    return Path(tempfile.mkdtemp(prefix="clary-run-"))
