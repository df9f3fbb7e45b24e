"""A deployment: the variants of one endpoint configuration, brought into service together and replaced together."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from clary.control.hosting.assignment import Assignment
from clary.control.hosting.failure import StartFailed
from clary.control.hosting.instance import Instance
from clary.control.hosting.log import VariantLog
from clary.control.hosting.model_data import place
from clary.control.hosting.process import Worker
from clary.control.hosting.variants import Variant, WeightedRoundRobin
from clary.control.hosting.warm_worker import WarmWorker
from clary.control.logs.streams import LogStore
from clary.control.objects.base import ObjectStore
from clary.control.request_environment import for_our_program, withheld_line
from clary.control.wire.errors import ServiceError

__all__ = ["Deployment", "HostingContext", "Plan"]

_DRAIN_LIMIT = 60.0  # seconds: no call takes longer


@dataclass(frozen=True, slots=True)
class Plan:
    """What a record keeps of a deployment. ``since`` is in epoch seconds."""

    config: str
    variants: tuple[Variant, ...]
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    since: float = field(default_factory=time.time)

    def body(self) -> dict[str, Any]:
        variants = [one.body() for one in self.variants]
        return {"id": self.id, "config": self.config, "since": self.since, "variants": variants}

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Plan:
        return cls(body["config"], tuple(Variant(**one) for one in body["variants"]), body["id"], body["since"])

    def changed(self, changes: Mapping[str, Mapping[str, float]]) -> Plan:
        """The same deployment; variants named in ``changes`` have their ``weight`` or ``count`` from there."""
        variants = tuple(replace(one, **changes.get(one.name, {})) for one in self.variants)  # type: ignore[arg-type]
        return replace(self, variants=variants)

    def shares(self) -> WeightedRoundRobin:
        """Whose turn it is by the variants' weights."""
        return WeightedRoundRobin({one.name: one.weight for one in self.variants})

    def summaries(self) -> list[dict[str, Any]]:
        """ProductionVariants as DescribeEndpoint answers them."""
        return [one.summary(self.since) for one in self.variants]


@dataclass(frozen=True, slots=True)
class HostingContext:
    """What every deployment works with. ``idle_after`` is in seconds."""

    root: Path
    objects: ObjectStore
    logs: LogStore
    warm_worker: WarmWorker
    idle_after: float


class Deployment:
    """A plan at work. Used in one event loop."""

    def __init__(self, endpoint: str, plan: Plan, context: HostingContext) -> None:
        self.plan = plan
        self._context = context
        self._folder = context.root / endpoint / plan.id
        self._logs = {one.name: VariantLog(context.logs, endpoint, one.name) for one in plan.variants}
        self._instances = {one.name: self._instance(one) for one in plan.variants}
        self._shares = plan.shares()

    async def open(self) -> None:
        """Bring every variant into service, one after the other. Raises StartFailed; then nothing is left of it."""
        try:
            for variant in self.plan.variants:
                # One after the other: two that compile at once take longer than in turn, and more memory.
                await self._open(variant)
        except BaseException:
            await self.close()
            self.remove()
            raise

    def instances(self) -> Mapping[str, Instance]:
        """The instance of each variant."""
        return self._instances

    def choose(self, variant: str | None) -> str:
        """The variant that takes a call: the one asked for, else by weight. Raises ValidationError."""
        if variant is None:
            return self._shares.next()
        if variant not in self._instances:
            known = ", ".join(self._instances)
            raise ServiceError("ValidationError", f"Variant {variant} not found in the endpoint; it has {known}.")
        return variant

    def reweigh(self, plan: Plan) -> None:
        """Share calls by the weights of ``plan``, which differs in nothing else."""
        self.plan = plan
        self._shares = plan.shares()

    async def retire(self) -> None:
        """Let calls that are inside end, stop the workers, remove the files."""
        try:
            await asyncio.gather(*(one.drain(_DRAIN_LIMIT) for one in self._instances.values()))
        finally:
            await self.close()
        await asyncio.to_thread(self.remove)

    async def close(self) -> None:
        """Stop the workers now; calls inside fail."""
        await asyncio.gather(*(one.close() for one in self._instances.values()))
        # After the workers: their last lines belong in it.
        for log in self._logs.values():
            log.close()

    def remove(self) -> None:
        """Remove the files; blocks."""
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            self._folder.parent.rmdir()
        except OSError:
            return  # another deployment of the endpoint is there

    def _instance(self, variant: Variant) -> Instance:
        start = partial(self._start, variant)
        note = self._logs[variant.name].write
        return Instance(start, idle_after=self._context.idle_after, note=note)

    async def _open(self, variant: Variant) -> None:
        if variant.count > 1:
            self._logs[variant.name].write(
                f"{variant.count} instances were asked for: one worker serves them all, with every core of this machine"
            )
        try:
            await self._instances[variant.name].open()
        except StartFailed as error:
            self._logs[variant.name].write(str(error))
            raise StartFailed(f"{error} (production variant {variant.name})") from error

    async def _start(self, variant: Variant) -> Worker:
        """A worker that has made its first prediction."""
        folder = self._folder / variant.name
        # monotonic: the wall clock may be set while a model loads.
        began = time.monotonic()
        await _finished(asyncio.to_thread(place, variant.data, folder, self._context.objects, archive=variant.archive))
        try:
            environment, withheld = for_our_program(variant.environment)
            worker = await self._context.warm_worker.take(environment)
        except OSError as error:
            raise StartFailed(f"a worker cannot be started ({error.strerror})") from error
        log = self._logs[variant.name]
        try:
            if withheld:
                log.write(withheld_line(withheld, "the endpoint's worker"))
            worker.assign(Assignment(str(folder), environment), log)
            await worker.serving(variant.startup)
        except BaseException:
            await worker.kill()
            raise
        log.write(f"in service after {time.monotonic() - began:.2f} seconds ({'warm' if worker.warm else 'cold'})")
        return worker


async def _finished(work: Coroutine[Any, Any, None]) -> None:
    """Wait for work in a thread, to its end even when cancelled: what it writes may then be removed."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        # The thread goes on writing whatever we do; the folder may be removed only when it has ended.
        await asyncio.gather(task, return_exceptions=True)
        raise
