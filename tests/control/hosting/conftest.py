"""Endpoints over real files, a real store and real worker processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clary.control.hosting.invocation import Invocation
from clary.control.hosting.process import Worker
from clary.control.hosting.supervisor import Hosting
from clary.control.logs.streams import LogStore
from clary.control.objects.local import LocalStore
from clary.control.settings import Settings
from clary.control.store.records import Record, Store

IMAGE = "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1"
JPEG = {"Content-Type": "image/jpeg"}


class Rig:
    """A home with a bucket and a store. ``running`` gives a Hosting over it, as one gateway after another would."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.settings = replace(Settings(home=home, warm=False, idle_after=0), **settings)
        self.store = Store(self.settings.database)
        self.objects = LocalStore(self.settings.s3_root)
        self.objects.create_bucket("models", "us-east-1")
        self.logs = LogStore(self.settings.logs_root)
        self.hosting: Hosting

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Hosting]:
        self.hosting = Hosting(self.settings, self.store, self.objects, self.logs)
        try:
            await self.hosting.start()
            yield self.hosting
        finally:
            await self.hosting.close()

    def model(self, name: str, archive: Path | None, image: str = IMAGE, **container: Any) -> str:
        """A model whose data is ``archive``, or missing."""
        if archive is not None:
            self.objects.put("models", f"{name}/model.tar.gz", archive)
        container = {"Image": image, "ModelDataUrl": f"s3://models/{name}/model.tar.gz", **container}
        self.store.create("model", name, arn=f"model/{name}", body={"PrimaryContainer": container})
        return name

    def config(self, name: str, *models: str, weights: tuple[float, ...] = (), **members: Any) -> str:
        """An endpoint configuration with one variant a model, called v0, v1 ..."""
        variants = [
            {
                "VariantName": f"v{number}",
                "ModelName": model,
                "InitialInstanceCount": 1,
                "InitialVariantWeight": weights[number] if weights else 1.0,
                **members,
            }
            for number, model in enumerate(models)
        ]
        self.store.create("endpoint-config", name, arn=f"config/{name}", body={"ProductionVariants": variants})
        return name

    def create(self, name: str, config: str) -> None:
        """As CreateEndpoint does."""
        body = {"EndpointName": name, "EndpointConfigName": config, "_target": target(config)}
        self.store.create("endpoint", name, arn=f"endpoint/{name}", body=body, status="Creating")
        self.hosting.deploy(name)

    def update(self, name: str, config: str, retain: list[str] | None = None) -> None:
        """As UpdateEndpoint does."""
        wanted = {"_target": target(config, retain)}
        self.store.edit("endpoint", name, lambda record: ({**record.body, **wanted}, "Updating"))
        self.hosting.deploy(name)

    def record(self, name: str) -> Record:
        record = self.store.get("endpoint", name)
        assert record is not None
        return record

    async def settled(self, name: str) -> Record:
        """The record once it is neither Creating nor Updating."""
        await until(lambda: self.record(name).status not in ("Creating", "Updating"))
        return self.record(name)

    async def serve(self, name: str, config: str) -> Record:
        self.create(name, config)
        record = await self.settled(name)
        assert record.status == "InService", record.body.get("FailureReason")
        return record

    async def call(self, name: str, image: bytes, variant: str | None = None) -> Invocation:
        return await self.hosting.invoke(name, image, JPEG, variant=variant)

    def files(self) -> list[Path]:
        """What lies in the folder of endpoints."""
        root = self.settings.endpoints_root
        return list(root.iterdir()) if root.exists() else []

    def worker(self, name: str, variant: str = "v0") -> Worker | None:
        deployment = self.hosting.deployment(name)
        assert deployment is not None
        return deployment.instances()[variant].worker

    def log(self, name: str) -> list[str]:
        """Every line of the endpoint's streams."""
        group = f"/aws/sagemaker/Endpoints/{name}"
        return [event.message for stream in self.logs.streams(group) for event in self.logs.events(group, stream.name)]


def target(config: str, retain: list[str] | None = None) -> dict[str, Any]:
    """What a record holds while its endpoint changes."""
    return {"config": config, "retain": retain, "members": {}}


async def until(true: Callable[[], Any], seconds: float = 60) -> None:
    """Look again and again until it is true; TimeoutError."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


@pytest.fixture(name="until", scope="session")
def _until() -> Callable[..., Awaitable[None]]:
    """``await until(lambda: ..., seconds=60)``."""
    return until


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """``make_rig(**settings)``: a Rig; all are closed at the end."""
    rigs: list[Rig] = []

    def make(**settings: Any) -> Rig:
        rigs.append(Rig(settings.pop("home", tmp_path / "home"), **settings))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.store.close()


@pytest.fixture
def rig(make_rig: Callable[..., Rig], model_archive: Path) -> Rig:
    """A Rig without a warm worker that never idles, with the model "cats" and the configuration "one" of it."""
    rig = make_rig()
    rig.model("cats", model_archive)
    rig.config("one", "cats")
    return rig
