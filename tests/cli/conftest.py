"""A platform for the verbs that ask one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clary.client import environment, gateway


@pytest.fixture(scope="session")
def platform_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a running platform, without a warm process."""
    home = tmp_path_factory.mktemp("platform") / "home"
    gateway.start(home, ["--port", "0", "--no-warm"])
    yield home
    gateway.stop(home)


@pytest.fixture(scope="session")
def aws(platform_home: Path) -> Callable[[str], Any]:
    """``aws("s3")``: a client of boto3 that knows the platform by its environment alone."""
    import boto3

    with pytest.MonkeyPatch.context() as patch:
        changes = environment.changes(gateway.running(platform_home), {})
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in changes.values.items():
            patch.setenv(name, value)
        session = boto3.Session()
        made = {name: session.client(name) for name in ("s3", "sagemaker")}
    return made.__getitem__
