"""A deployment: the variants of one endpoint configuration, brought into service together and replaced together."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from clary.control.hosting.assignment import Assignment
from clary.control.hosting.code import plan_code
from clary.control.hosting.failure import StartFailed
from clary.control.hosting.instance import CODE_SENDINGS, SENDINGS, Instance
from clary.control.hosting.log import VariantLog
from clary.control.hosting.model_data import place
from clary.control.hosting.process import Worker
from clary.control.hosting.variants import Variant, WeightedRoundRobin, served_program
from clary.control.hosting.warm_worker import WarmWorker
from clary.control.images import Builtin, ImageCommand, Script
from clary.control.logs.streams import LogStore
from clary.control.objects.base import ObjectStore
from clary.control.request_environment import for_our_program, withheld_line
from clary.control.settings import Settings
from clary.control.wire.errors import ServiceError
from clary.toolkit import serve

__all__ = ["Deployment", "HostingContext", "Plan"]

_DRAIN_LIMIT = 60.0  # seconds: no call takes longer

T = TypeVar("T")


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
    """What every deployment works with."""

    settings: Settings
    objects: ObjectStore
    logs: LogStore
    warm_worker: WarmWorker  # of built-in algorithms
    warm_code_worker: WarmWorker  # of users' own code


class Deployment:
    """A plan at work. Used in one event loop."""

    def __init__(self, endpoint: str, plan: Plan, context: HostingContext) -> None:
        self.plan = plan
        self._context = context
        self._folder = context.settings.endpoints_root / endpoint / plan.id
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
        settings = self._context.settings
        is_ours = isinstance(served_program(variant.image, settings.configuration.images), Builtin)
        sendings = SENDINGS if is_ours else CODE_SENDINGS
        return Instance(start, idle_after=settings.idle_after, note=note, sendings=sendings)

    async def _open(self, variant: Variant) -> None:
        if variant.count > 1:
            self._logs[variant.name].write(
                f"{variant.count} instances were asked for: one worker serves them all, with every core of this machine"
            )
        try:
            await self._instances[variant.name].open()
        except StartFailed as error:
            # Without the details: the worker has printed them itself.
            self._logs[variant.name].write(str(error))
            raise StartFailed(f"{error} (production variant {variant.name})", details=error.details) from error

    async def _start(self, variant: Variant) -> Worker:
        """A worker that is ready for calls."""
        # monotonic: the wall clock may be set while a model loads.
        began = time.monotonic()
        program = served_program(variant.image, self._context.settings.configuration.images)
        try:
            if isinstance(program, Builtin):
                worker = await self._start_built_in(variant)
            else:
                worker = await self._start_code(variant, program)
        except OSError as error:
            raise StartFailed(f"a worker cannot be started ({error.strerror})") from error
        # Of code the worker itself says whether it starts cold, and why.
        how = f" ({'warm' if worker.warm else 'cold'})" if isinstance(program, Builtin) else ""
        self._logs[variant.name].write(f"in service after {time.monotonic() - began:.2f} seconds{how}")
        return worker

    async def _start_built_in(self, variant: Variant) -> Worker:
        """A worker that has made its first prediction."""
        folder = self._folder / variant.name
        await _finished(asyncio.to_thread(place, variant.data, folder, self._context.objects, archive=variant.archive))
        environment, withheld = for_our_program(variant.environment)
        worker = await self._context.warm_worker.take(environment)
        log = self._logs[variant.name]
        async with _killed_on_error(worker):
            if withheld:
                log.write(withheld_line(withheld, "the endpoint's worker"))
            worker.assign(Assignment(str(folder), environment).line(), log)
            await worker.serving(variant.startup)
        return worker

    async def _start_code(self, variant: Variant, program: Script | ImageCommand) -> Worker:
        """A worker whose code has loaded its model; no client but the user's knows what it takes."""
        context = self._context
        folder = self._folder / variant.name
        plan = await _finished(
            asyncio.to_thread(plan_code, variant, program, folder, context.settings, context.objects)
        )
        worker = await context.warm_code_worker.take({})
        async with _killed_on_error(worker):
            worker.assign(os.fsencode(plan) + b"\n", self._logs[variant.name], note=folder / serve.NOTE)
            await worker.serving(variant.startup, predicts=False)
        return worker


@asynccontextmanager
async def _killed_on_error(worker: Worker) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        await worker.kill()
        raise


async def _finished(work: Coroutine[Any, Any, T]) -> T:
    """Wait for work in a thread, to its end even when cancelled: what it writes may then be removed."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # The thread goes on writing whatever we do; the folder may be removed only when it has ended.
        await asyncio.gather(task, return_exceptions=True)
        raise
