"""Kinds of job that src/ knows nothing of, through the life cycle that all kinds share."""

from __future__ import annotations

import asyncio
import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from clary.control.jobs import creation, folders, job_lifecycle
from clary.control.jobs.kinds import KINDS
from clary.control.jobs.launch import HostAttempt
from clary.control.jobs.launchers.base import Exited, Lost, Running
from clary.control.jobs.launchers.local import lock
from clary.control.wire.errors import ServiceError, ValidationException

from .launchers.memory import MemoryHost
from .toys import HERDS, TOYS


@pytest.fixture
def toys(world):
    world.kinds = [*KINDS, TOYS, HERDS]
    world.launcher.program = lambda host: host.write("up")
    return Toybox(world)


@pytest.fixture
def local_toys(local_world):
    local_world.kinds = [*KINDS, TOYS]
    return Toybox(local_world)


class Toybox:
    def __init__(self, world) -> None:
        self.world = world

    async def create(self, name: str, kind=TOYS, **members: Any):
        world = self.world
        platform = SimpleNamespace(settings=world.settings, store=world.store, objects=world.objects, jobs=world.jobs)
        request = {kind.name_member: name, **({"Script": "toy"} if kind is TOYS else {}), **members}
        return await creation.create(kind, request, platform, region="eu-west-1", tags={"team": "toys"})

    def body(self, name: str, kind=TOYS) -> dict[str, Any]:
        return dict(self.world.store.get(kind.name, name).body)

    def host(self, name: str, number: int = 1) -> MemoryHost:
        found: MemoryHost = self.world.launcher.hosts[TOYS.name, name, f"algo-{number}"]
        return found

    def hosts(self, name: str, count: int) -> list[MemoryHost]:
        return [self.host(name, number + 1) for number in range(count)]

    async def up(self, name: str, attempt: int = 1) -> None:
        await self.world.until(lambda: self.body(name).get("_launched") == attempt)

    async def ended(self, name: str, kind=TOYS) -> dict[str, Any]:
        async with asyncio.timeout(30):
            return dict((await self.world.jobs.ended(kind.name, name)).body)


def test_a_kind_has_a_place_a_log_and_words_of_its_own(toys):
    world = toys.world

    async def live() -> None:
        async with world.gateway():
            record = await toys.create("car")
            assert record.arn == "arn:aws:sagemaker:eu-west-1:000000000000:toy-job/car"
            assert record.status == "InProgress"
            await toys.up("car")
            toys.host("car").put("mark", "")
            toys.host("car").exit(0)
            body = await toys.ended("car")
            assert (body["ToyState"], body["Marks"], body["Failed"]) == ("Played", 1, False)
            assert body["ToyStartTime"] <= body["ToyEndTime"]
            assert "TrainingJobStatus" not in body

    asyncio.run(live())
    assert world.store.get(TOYS.name, "car").status == "Played"
    assert (world.settings.home / "toy-jobs/car/launch.json").exists()
    (stream,) = [path.parent.name for path in world.settings.logs_root.rglob("algo-1-*.log")]
    assert stream == "car"


def test_kinds_share_the_queue_and_not_their_names(toys):
    world = toys.world

    async def live() -> None:
        async with world.gateway():
            world.submit("same")
            await toys.create("same")
            await toys.create("third")
            assert toys.body("third")["ToyState"] == "InTheBox"
            await toys.up("same")
            toys.host("same").exit(0)
            assert (await toys.ended("same"))["ToyState"] == "Played"
            await toys.up("third")
            world.stop("same")
            world.jobs.stop(TOYS.name, "third")
            assert toys.body("third")["ToyState"] == "BeingPutAway"
            assert (await toys.ended("third"))["ToyState"] == "Stopped"
            assert await world.ended("same") == ["Stopped"]

    asyncio.run(live())


def test_creation_refuses_what_could_not_run_and_a_name_twice(toys):
    async def live() -> None:
        async with toys.world.gateway():
            await toys.create("car")
            with pytest.raises(ServiceError, match="already exists") as refused:
                await toys.create("CAR")
            assert refused.value.code == "ResourceInUse"
            with pytest.raises(ValidationException, match="needs a Script"):
                await creation.create(TOYS, {"ToyName": "x"}, toys.world.jobs._context, region="eu-west-1")
            toys.world.jobs.stop(TOYS.name, "car")

    asyncio.run(live())
    assert toys.world.store.get(TOYS.name, "x") is None


class TestHosts:
    """A job of three hosts."""

    def test_each_has_its_folder_its_log_and_its_say(self, toys):
        world = toys.world

        async def live() -> None:
            async with world.gateway():
                await toys.create("train", Hosts=3)
                await toys.up("train")
                for host in toys.hosts("train", 3):
                    host.put("mark", "")
                    assert toys.body("train")["ToyState"] == "InProgress"
                    host.exit(0)
                assert (await toys.ended("train"))["Marks"] == 3

        asyncio.run(live())
        folder = folders.job_folder(world.settings, TOYS.name, "train")
        assert [(folders.host_folder(folder, f"algo-{n}") / "opt_ml/mark").exists() for n in (1, 2, 3)] == [True] * 3
        created = world.store.get(TOYS.name, "train").created
        for n in (1, 2, 3):
            stream = folders.stream_name("train", f"algo-{n}", created)
            assert [e.message for e in world.logs.events("/toys", stream)] == [f"algo-{n} is made ready", "up"]

    def test_one_that_fails_ends_the_others_and_gives_the_reason(self, toys):
        async def live() -> None:
            async with toys.world.gateway():
                await toys.create("train", Hosts=3)
                await toys.up("train")
                toys.host("train", 2).put("output/failure", "the wheel came off")
                toys.host("train", 2).exit(1)
                body = await toys.ended("train")
                assert body["ToyState"] == "Broken"
                assert body["FailureReason"] == "AlgorithmError: the wheel came off, exit code: 1"
                assert [host.stops for host in toys.hosts("train", 3)] == [1, 0, 1]

        asyncio.run(live())

    @pytest.mark.parametrize("gateway_too", [True, False])
    def test_one_that_is_lost_starts_all_anew(self, toys, gateway_too):
        async def live() -> None:
            async with toys.world.gateway():
                await toys.create("train", Hosts=3)
                await toys.up("train")
                toys.host("train", 1).hears = False  # it would go on for ever
                if not gateway_too:
                    toys.host("train", 3).lose()
                    toys.host("train", 1).lose()
                    await finish()
            if gateway_too:
                toys.host("train", 3).lose()
                async with toys.world.gateway():
                    await finish()

        async def finish() -> None:
            await toys.up("train", attempt=2)
            assert [host.launch.attempt for host in toys.hosts("train", 3)] == [2, 2, 2]
            for host in toys.hosts("train", 3):
                host.exit(0)
            assert (await toys.ended("train"))["ToyState"] == "Played"

        asyncio.run(live())
        assert len(toys.world.launcher.starts) == 6

    def test_a_gateway_killed_while_it_starts_them_starts_the_rest(self, toys):
        world = toys.world
        starts = world.launcher.start

        async def first() -> None:
            async with world.gateway():
                world.launcher.start = lambda launch: starts(launch) if launch.host == "algo-1" else asyncio.sleep(3600)
                await toys.create("train", Hosts=2)
                await world.until(lambda: world.launcher.starts)

        async def second() -> None:
            async with world.gateway():
                await toys.up("train")
                for host in toys.hosts("train", 2):
                    host.exit(0)
                assert (await toys.ended("train"))["_attempt"] == 1

        asyncio.run(first())
        world.launcher.start = starts
        asyncio.run(second())
        assert [start.host for start in world.launcher.starts] == ["algo-1", "algo-2"]

    def test_a_stop_reaches_them_all(self, toys):
        async def live() -> None:
            async with toys.world.gateway() as jobs:
                await toys.create("train", Hosts=3)
                await toys.up("train")
                jobs.stop(TOYS.name, "train")
                assert (await toys.ended("train"))["ToyState"] == "Stopped"
                assert all(isinstance(host.state, Exited) for host in toys.hosts("train", 3))

        asyncio.run(live())


class TestWithoutHosts:
    """A job that makes other jobs, in a gateway that has room for two."""

    def test_it_takes_no_place_and_ends_with_the_last(self, toys):
        async def live() -> None:
            async with toys.world.gateway():
                await toys.create("first")
                await toys.create("second")
                await toys.create("herd", HERDS, Toys=2)
                await toys.world.until(lambda: toys.world.store.get(TOYS.name, "herd-0"))
                for name in ("first", "second", "herd-0", "herd-1"):
                    await toys.world.until(lambda name=name: self.runs(toys, name))
                    toys.host(name).exit(0)
                body = await toys.ended("herd", HERDS)
                assert (body["HerdState"], body["Made"]) == ("Completed", 4)

        asyncio.run(live())

    def test_the_next_gateway_goes_on_where_it_was(self, toys):
        async def first() -> None:
            async with toys.world.gateway():
                await toys.create("herd", HERDS, Toys=2)
                await toys.world.until(lambda: self.runs(toys, "herd-0"))

        async def second() -> None:
            async with toys.world.gateway():
                for name in ("herd-0", "herd-1"):
                    await toys.world.until(lambda name=name: self.runs(toys, name))
                    toys.host(name).exit(0)
                assert (await toys.ended("herd", HERDS))["HerdState"] == "Completed"

        asyncio.run(first())
        assert isinstance(toys.host("herd-0").state, Running)
        asyncio.run(second())
        assert [start.job for start in toys.world.launcher.starts] == ["herd-0", "herd-1"]

    def test_a_stop_ends_what_it_made(self, toys):
        async def live() -> None:
            async with toys.world.gateway() as jobs:
                await toys.create("herd", HERDS, Toys=2)
                await toys.world.until(lambda: self.runs(toys, "herd-0"))
                jobs.stop(HERDS.name, "herd")
                assert (await toys.ended("herd", HERDS))["HerdState"] == "Stopped"
                assert toys.body("herd-0")["ToyState"] == "Stopped"

        asyncio.run(live())

    def test_its_failure_is_told_as_a_programs(self, toys):
        toys.world.launcher.program = lambda host: host.exit(3)

        async def live() -> None:
            async with toys.world.gateway():
                await toys.create("herd", HERDS, Toys=2)
                body = await toys.ended("herd", HERDS)
                assert (body["HerdState"], body["FailureReason"]) == ("Failed", "AlgorithmError: , exit code: 1")

        asyncio.run(live())

    def runs(self, toys, name: str) -> bool:
        host = toys.world.launcher.hosts.get((TOYS.name, name, "algo-1"))
        return host is not None and isinstance(host.state, Running)


@pytest.mark.slow
def test_processes_killed_and_gateways_gone(local_toys):
    """A toy of two hosts with real processes: one host's monitor is killed, then the gateway goes, then all is well."""
    world = local_toys.world
    script = "echo up; touch mark; while [ ! -e go ]; do sleep 0.02; done; echo went"

    def lines(host: str) -> list[str]:
        stream = folders.stream_name("car", host, world.store.get(TOYS.name, "car").created)
        return [event.message for event in world.logs.events("/toys", stream)]

    def folder(host: str):
        return folders.host_folder(folders.job_folder(world.settings, TOYS.name, "car"), host)

    async def first() -> None:
        async with world.gateway():
            await local_toys.create("car", Script=script, Hosts=2)
            await local_toys.up("car")
            os.kill(lock.holder(folder("algo-2")), signal.SIGKILL)
            await local_toys.up("car", attempt=2)
            await world.until(lambda: [lines(host).count("up") for host in ("algo-1", "algo-2")] == [2, 2])

    async def second() -> None:
        async with world.gateway():
            for host in ("algo-1", "algo-2"):
                (folder(host) / "opt_ml/go").touch()
            body = await local_toys.ended("car")
            assert (body["ToyState"], body["Marks"], body["_attempt"]) == ("Played", 2, 2)

    async def probed(host: str):
        return await world.launcher.probe(HostAttempt(TOYS.name, "car", host, 2))

    asyncio.run(first())
    assert isinstance(asyncio.run(probed("algo-2")), Running)
    asyncio.run(second())
    assert isinstance(asyncio.run(probed("algo-2")), Exited)
    assert not isinstance(asyncio.run(probed("algo-1")), Lost)
    assert job_lifecycle.MOST_ATTEMPTS > 2
