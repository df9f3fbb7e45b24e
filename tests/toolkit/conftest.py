"""Scripts as the toolkit runs them: a job's tree, a plan, and the toolkit in a process of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clary.toolkit.plan import Plan
from clary.vision.base.jobdir import Channel, JobDir


@dataclass(frozen=True)
class Ran:
    """A script that has ended: the toolkit's exit code, the log, and the job's tree."""

    code: int
    log: str
    job: JobDir

    @property
    def failure(self) -> str:
        return self.job.failure.read_text() if self.job.failure.exists() else ""


class Scripts:
    """Runs scripts, each in a tree of its own; layers of requirements are shared by all in ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.wheels = root / "wheels"
        self.wheels.mkdir()
        self._count = 0

    def __call__(
        self,
        source: Mapping[str, str],
        hyperparameters: Mapping[str, Any] | None = None,
        *,
        program: str = "train.py",
        channels: Iterable[str] = (),
        variables: Mapping[str, str] | None = None,
        given: Mapping[str, str] | None = None,
        **plan: Any,
    ) -> Ran:
        """``variables`` are the platform's, ``given`` the request's, ``plan`` further members of the plan."""
        self._count += 1
        folder = self.root / f"job-{self._count}"
        encoded = {name: json.dumps(value) for name, value in (hyperparameters or {}).items()}
        encoded |= {"sagemaker_program": json.dumps(program), "sagemaker_submit_directory": '"s3://b/sourcedir.tar.gz"'}
        described = {name: Channel(name, folder / "opt_ml" / "input" / "data" / name) for name in channels}
        job = JobDir.create(folder / "opt_ml", encoded if "command" not in plan else {}, described)
        for name, text in source.items():
            path = job.root / "code" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        file = folder / "script.json"
        told = {"image": "mine:1", "layer": folder / "environment", "environments": self.root / "environments"}
        Plan(**{**told, "variables": given or {}, "complete": False, **plan}).write(file)
        return self.start(job, variables or {})

    def start(self, job: JobDir, variables: Mapping[str, str]) -> Ran:
        """Run the script of a tree, which may have been run before."""
        file = job.root.parent / "script.json"
        done = subprocess.run(
            [sys.executable, "-P", "-m", "clary.toolkit.train", str(file)],
            env=self.platform(job, variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return Ran(done.returncode, done.stdout, job)

    def platform(self, job: JobDir, variables: Mapping[str, str]) -> dict[str, str]:
        told = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        told |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull}
        told |= {"TRAINING_JOB_NAME": "job", "AWS_REGION": "us-east-1", "PYTHONUNBUFFERED": "1"}
        return told | {"SAGEMAKER_BASE_DIR": str(job.root), **variables}

    def wheel(self, name: str, version: str, text: str) -> None:
        """A package of one module ``text``, for pip to find."""
        make_wheel(self.wheels, name, version, text)


def make_wheel(folder: Path, name: str, version: str, text: str) -> None:
    """A package of one module ``text`` in ``folder``."""
    note = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": text,
        f"{note}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{note}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},{_digest(content)},{len(content)}\n" for path, content in files.items())
    files[f"{note}/RECORD"] = f"{record}{note}/RECORD,,\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)


def _digest(content: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


@pytest.fixture(name="make_wheel", scope="session")
def _make_wheel() -> Callable[[Path, str, str, str], None]:
    """``make_wheel(folder, name, version, text)``: a package of one module, for pip to find."""
    return make_wheel


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., Ran]:
    """``run_script({"train.py": "..."}, {"lr": 0.1})``: see ``Scripts``."""
    return Scripts(tmp_path)


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Scripts:
    """The same for a whole file of tests."""
    return Scripts(tmp_path_factory.mktemp("scripts"))
