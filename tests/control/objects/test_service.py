from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clary.control.objects.forwarding import S3Forwarder
from clary.control.objects.local import LocalStore
from clary.control.objects.machine_files import WithMachineFiles
from clary.control.objects.remote import RemoteStore
from clary.control.objects.s3_app import S3App
from clary.control.objects.service import ObjectService
from clary.control.settings import Settings
from clary.errors import UsageError


def test_a_folder_of_the_home(tmp_path: Path) -> None:
    async def run() -> None:
        service = ObjectService(Settings(home=tmp_path))
        leftover = tmp_path / "s3" / ".staging" / "left"
        leftover.touch()
        os.utime(leftover, (1, 1))
        await service.start()
        assert isinstance(service.store, WithMachineFiles)
        assert isinstance(service.store.objects, LocalStore)
        assert isinstance(service.app, S3App)
        assert not leftover.exists()
        await service.close()

    asyncio.run(run())


def test_an_endpoint_elsewhere(tmp_path: Path) -> None:
    async def run() -> None:
        service = ObjectService(Settings(home=tmp_path, s3_endpoint="http://127.0.0.1:1"))
        await service.start()
        assert isinstance(service.store, WithMachineFiles)
        assert isinstance(service.store.objects, RemoteStore)
        assert isinstance(service.app, S3Forwarder)
        await service.close()

    asyncio.run(run())
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_endpoint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no address"):
        ObjectService(Settings(home=tmp_path, s3_endpoint="somewhere"))


def test_a_folder_needs_nothing_heavy() -> None:
    heavy = "aiohttp", "boto3", "botocore", "torch", "cv2", "PIL", "numpy"
    code = f"import sys, clary.control.objects.service; sys.exit(str([m for m in {heavy} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
