"""A Python and what it can import: the ground that environments are laid on."""

from __future__ import annotations

import hashlib
import json
import os
import site
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clary.errors import UsageError

__all__ = ["Interpreter", "ours", "read_interpreter"]

PROBE_SECONDS = 60.0

# In the other interpreter, whatever its version: the same facts as ``ours``. Not -I, which hides a user's own packages.
_PROBE = """
import json, site, sys, sysconfig
named = list(site.getsitepackages()) + [site.getusersitepackages()]
json.dump({"home": getattr(sys, "_base_executable", None) or sys.executable, "version": sys.version.split()[0],
    "platform": sysconfig.get_platform(), "minor": "%d.%d" % sys.version_info[:2],
    "sites": [path for path in sys.path if path in named]}, sys.stdout)
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python: ``executable`` outside of any environment, and the folders of packages, the first found first."""

    executable: Path
    version: str
    platform: str
    minor: str  # "3.11", as folders are called
    sites: tuple[Path, ...]

    def fingerprint(self) -> str:
        """What tells this Python, with the packages it has now, from others; not where the packages lie."""
        # Names of *.dist-info carry the version: what pip goes by when it leaves a package out.
        found = {name for folder in self.sites if folder.is_dir() for name in os.listdir(folder)}
        packages = sorted(name for name in found if name.endswith((".dist-info", ".egg-info")))
        told = [str(self.executable), self.version, self.platform, *packages]
        return hashlib.sha256("\n".join(told).encode(errors="surrogateescape")).hexdigest()


def ours() -> Interpreter:
    """The Python that runs Clary, with all that Clary can import."""
    named = [*site.getsitepackages(), site.getusersitepackages()]
    return Interpreter(
        executable=Path(getattr(sys, "_base_executable", "") or sys.executable),
        version=sys.version.split()[0],
        platform=sysconfig.get_platform(),
        minor=f"{sys.version_info.major}.{sys.version_info.minor}",
        sites=tuple(Path(path) for path in dict.fromkeys(sys.path) if path in named),
    )


def read_interpreter(python: Path) -> Interpreter:
    """What the interpreter ``python`` says of itself. Blocks. Raises UsageError where it does not start."""
    command = [str(python), "-E", "-c", _PROBE]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROBE_SECONDS, check=True
        )
        told: dict[str, Any] = json.loads(answer.stdout)
        return Interpreter(
            executable=Path(told["home"]),
            version=told["version"],
            platform=told["platform"],
            minor=told["minor"],
            sites=tuple(map(Path, told["sites"])),
        )
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError) as error:
        raise UsageError("is no Python that starts", where=python, hint="name another in clary.toml") from error
