"""What a platform is started with, and where it keeps its files.

HOME/                         ~/.clary, CLARY_HOME, or `clary up --home`
├── lock                      held by the one gateway that may use this home
├── server.json               address, process id and version of the running gateway
├── credentials.json          access key and secret, where requests must be signed
├── clary.db                  the store, unless --store names another
├── clary.toml                what images run here (control.configuration); the user's own, read at `clary up`
├── environments/<key>/       Python environments made of requirements, shared by all jobs (toolkit.environments);
│                             CLARY_ENVIRONMENTS names another folder, which other homes may share
├── s3/<bucket>/<key>         objects are plain files
├── jobs/<job>/               a directory a training job; <kind>s/<job>/ one a job of another kind (jobs.folders)
├── endpoints/<endpoint>/     unpacked models
├── logs/<group>/<stream>.log log events
└── run/                      sockets, and what the processes print
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from clary.control.configuration import Configuration

__all__ = ["ACCOUNT", "DEFAULT_PORT", "REGION", "Settings", "default_home"]

ACCOUNT = "000000000000"  # twelve digits, as every ARN needs
REGION = "us-east-1"
ROLE = "ClaryRole"
DEFAULT_PORT = 4747


def default_home() -> Path:
    """CLARY_HOME, or ``~/.clary``."""
    return Path(os.environ.get("CLARY_HOME") or Path.home() / ".clary")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything `clary up` can be told. Times in seconds."""

    home: Path = field(default_factory=default_home)
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    region: str = REGION
    account: str = ACCOUNT
    store_url: str = ""  # empty: SQLite at HOME/clary.db
    s3_endpoint: str = ""  # empty: the folder HOME/s3
    verify_signatures: bool = False
    allowed_hosts: tuple[str, ...] = ()  # names besides its own by which unsigned requests may ask for it
    idle_after: float = 900.0  # an endpoint without calls for so long gives its memory back
    warm: bool = True  # keep a process with the training libraries loaded
    max_jobs: int = 0  # jobs that run at a time; 0: as many as the machine bears
    substitute_weights: bool = False  # jobs whose pretrained weights are not here train the packaged network instead
    configuration: Configuration = field(default_factory=Configuration)  # clary.toml
    stop_grace: float = 120.0  # between SIGTERM and SIGKILL of a job, as on SageMaker

    @property
    def database(self) -> str:
        return self.store_url or f"sqlite:///{self.home / 'clary.db'}"

    @property
    def s3_root(self) -> Path:
        return self.home / "s3"

    @property
    def jobs_root(self) -> Path:
        return self.home / "jobs"

    @property
    def environments_root(self) -> Path:
        """CLARY_ENVIRONMENTS, for homes that share what is large; else a folder of the home's own."""
        return Path(os.environ.get("CLARY_ENVIRONMENTS") or self.home / "environments")

    @property
    def endpoints_root(self) -> Path:
        return self.home / "endpoints"

    @property
    def logs_root(self) -> Path:
        return self.home / "logs"

    @property
    def run_root(self) -> Path:
        return self.home / "run"

    @property
    def url(self) -> str:
        """Where a client on this machine finds the gateway."""
        # The addresses that mean all of the machine's are ones to listen on; nobody connects to them.
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def arn(self, resource: str, *, service: str = "sagemaker", region: str = "") -> str:
        """``arn:aws:sagemaker:<region>:<account>:<resource>``."""
        return f"arn:aws:{service}:{region or self.region}:{self.account}:{resource}"

    @property
    def role_arn(self) -> str:
        return f"arn:aws:iam::{self.account}:role/{ROLE}"
