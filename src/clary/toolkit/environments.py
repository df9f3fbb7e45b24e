"""Layers of requirements, made once and shared by all jobs that ask for the same (HOME/environments).

    ROOT/<key>                     a link to the build below: it appears at once, and whole
    ROOT/<key>.build-<random>/     the layer, and environment.json: what it was made of
    ROOT/<key>.lock                held for writing by who makes or removes it, for reading by who uses it

The key is a hash of the requirements and of all that lies below, so nothing is ever made anew under the same one. What
was not used for longest goes when there is too much; what a job uses stays.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from clary.errors import CustomerError, UsageError
from clary.toolkit import layer
from clary.toolkit.interpreter import Interpreter
from clary.toolkit.output import Output
from clary.toolkit.requirements import Requirements
from clary.vision.base.file_lock import take
from clary.vision.base.files import PRIVATE, private_folder, write_json

__all__ = ["Environments", "InstallationFailed", "KeptEnvironment", "install"]

MOST = 40  # layers kept
MOST_BYTES = 40 << 30  # that they may have together
NOTE = "environment.json"
USED = "used"  # a file whose time says when the layer was last asked for

Say = Callable[[str], object]


class InstallationFailed(CustomerError):
    """pip did not install what was asked for. ``command`` is what was run, ``said`` its last words, ``code`` its exit
    code."""

    def __init__(self, what: str, *, where: str, hint: str, command: str, said: str, code: int) -> None:
        super().__init__(what, where=where, hint=hint)
        self.command, self.said, self.code = command, said, code


@dataclass(frozen=True, slots=True)
class KeptEnvironment:
    """A layer that is there. ``size`` in bytes, times in epoch seconds."""

    key: str
    name: str
    requirements: tuple[str, ...]
    python: str
    size: int
    made: float
    used: float


class Environments:
    """The layers of requirements in one folder; any number of processes may use it at once."""

    def __init__(self, root: Path, *, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._root, self._most, self._most_bytes = root, most, most_bytes

    @contextmanager
    def layer(
        self, below: Interpreter, requirements: Requirements, variables: Mapping[str, str], say: Say
    ) -> Iterator[Path]:
        """The layer of ``requirements`` over ``below``, made if it is missing; it stays at least for the block.

        ``say`` is told what pip prints; ``variables`` are pip's. Who asks meanwhile for the same waits. Raises
        InstallationFailed, UsageError, OSError.
        """
        private_folder(self._root)
        place = self._root / self.key(below, requirements, variables)
        lock = os.open(place.with_name(f"{place.name}.lock"), os.O_RDWR | os.O_CREAT, PRIVATE)
        # A process that becomes another program by exec goes on using the layer; those that it starts have it closed.
        os.set_inheritable(lock, True)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if _is_whole(place):  # else a heading that nothing follows looks as if pip had failed in silence
                say("Installed already, for an earlier job or endpoint")
            while not _is_whole(place):
                if not take(lock):
                    say(f"Waiting for another job that installs the same {requirements.name}")
                    fcntl.flock(lock, fcntl.LOCK_EX)
                if not _is_whole(place):
                    self._make_room()
                    _build(place, below, requirements, variables, say)
                # Not in one step (flock(2)): who removes it may come between, hence the loop.
                fcntl.flock(lock, fcntl.LOCK_SH)
            with suppress(OSError):
                os.utime(place / USED)
            # Another environment with the same packages may have made it: another clone, or one that is gone.
            layer.point(place, below)
            yield place
        finally:
            os.close(lock)

    def key(self, below: Interpreter, requirements: Requirements, variables: Mapping[str, str]) -> str:
        """What the layer of ``requirements`` over ``below`` is called, made or not."""
        # Where packages come from is part of what they are: another job's index may have others under the same names.
        indices = sorted(f"{name}={value}" for name, value in variables.items() if name.startswith("PIP_"))
        alone = [] if requirements.dependencies else ["--no-deps"]
        told = "\n".join([below.fingerprint(), *requirements.lines, *alone, "", *indices])
        return hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()[:20]

    def kept(self) -> list[KeptEnvironment]:
        """The layers that are there, the last used first."""
        found = [self._kept(link) for link in self._root.glob("*") if link.is_symlink()]
        return sorted((one for one in found if one is not None), key=lambda one: -one.used)

    def remove(self, key: str) -> None:
        """Remove a layer. Raises UsageError where there is none, and where a job uses it."""
        if not (self._root / key).is_symlink():
            raise UsageError(
                f"there is no environment `{key}`", where=self._root, hint="`clary environments` lists them"
            )
        if not self._remove(key):
            raise UsageError(f"the environment `{key}` is in use", where=self._root, hint="stop the job that uses it")

    def _remove(self, key: str) -> bool:
        """Whether nobody used the layer, which is gone now."""
        lock = os.open(self._root / f"{key}.lock", os.O_RDWR | os.O_CREAT, PRIVATE)
        try:
            if not take(lock):
                return False
            (self._root / key).unlink(missing_ok=True)
            _remove_builds(self._root / key)
            return True
        finally:
            # The lock's file stays: a process may wait for it.
            os.close(lock)

    def _make_room(self) -> None:
        kept = self.kept()
        count, total = len(kept), sum(one.size for one in kept)
        for one in reversed(kept):
            if count < self._most and total <= self._most_bytes:
                break
            if self._remove(one.key):
                count, total = count - 1, total - one.size

    def _kept(self, link: Path) -> KeptEnvironment | None:
        try:
            note = json.loads((link / NOTE).read_text())
            return KeptEnvironment(
                key=link.name,
                name=str(note["name"]),
                requirements=tuple(note["requirements"]),
                python=str(note["python"]),
                size=int(note["size"]),
                made=float(note["made"]),
                used=(link / USED).stat().st_mtime,
            )
        except (OSError, ValueError, LookupError, TypeError):  # being removed
            return None


def install(
    python: Path, requirements: Requirements, variables: Mapping[str, str], say: Say, *, cwd: Path | None = None
) -> None:
    """Install what a file of requirements names into the layer of ``python``. Blocks. Raises InstallationFailed."""
    assert requirements.file is not None
    # Half of the time would go into compiling modules that no script loads.
    options = ["--no-compile", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    options += [] if requirements.dependencies else ["--no-deps"]
    shown = ["python", "-m", "pip", "install", "-r", requirements.name]
    command = [str(python), "-m", "pip", "install", *options, "-r", str(requirements.file)]
    output = Output(say)
    code = output.run(command, env=variables, cwd=cwd or requirements.file.parent)
    if code:
        raise _failure(requirements, output.lines(), " ".join(shown), code)


def _failure(requirements: Requirements, said: list[str], command: str, code: int) -> InstallationFailed:
    if any("No module named pip" in line for line in said):
        what, hint = "needs pip, which the environment has not", "run `python -m ensurepip` in it"
        return InstallationFailed(what, where=requirements.name, hint=hint, command=command, said=what, code=code)
    errors = [line.removeprefix("ERROR:").strip() for line in said if line.startswith("ERROR:")]
    last = errors[-1] if errors else said[-1] if said else f"pip ended with exit code {code}"
    named = next((word for word in errors or [last] if "requirement" in word.lower()), last)
    where, line = requirements.name, _line_of(named, requirements)
    if line:
        where = f"{where}:{line}"
    hint = "mend the line, or ask for another version" if line else "mend it, or see pip's words in the log"
    return InstallationFailed(
        f"cannot be installed: {last}", where=where, hint=hint, command=command, said=last, code=code
    )


def _line_of(said: str, requirements: Requirements) -> int:
    """The line of the file that pip complains of, 0 where it does not tell."""
    if requirements.file is None or not requirements.file.is_file():
        return 0
    lines = requirements.file.read_text(errors="replace").splitlines()
    # Before all others a line that pip repeats as a whole, then one whose package it names.
    whole = [(number, line.split("#")[0].strip()) for number, line in enumerate(lines, 1)]
    for number, line in whole:
        if line and line.replace(" ", "") in said.replace(" ", ""):
            return number
    for number, line in whole:
        name = line.partition(" ")[0].rstrip("=<>!~;[")
        if name and not name.startswith("-") and name.lower() in said.lower():
            return number
    return 0


def _is_whole(place: Path) -> bool:
    """Whether the layer is there, and the Python that it links to."""
    return place.is_symlink() and layer.python_of(place).exists()


def _build(place: Path, below: Interpreter, requirements: Requirements, variables: Mapping[str, str], say: Say) -> None:
    """Install into a folder of another name, then link to it. Needs the lock.

    A link and no renamed folder: programs of an environment begin with the path they were installed to.
    """
    place.unlink(missing_ok=True)
    _remove_builds(place)
    build = Path(tempfile.mkdtemp(prefix=f"{place.name}.build-", dir=place.parent))
    began = time.monotonic()
    try:
        layer.make_layer(build, below)
        if requirements.file is None:
            file = build / "requirements.txt"
            file.write_text("\n".join(requirements.lines) + "\n")
            requirements = replace(requirements, file=file)
        install(layer.python_of(build), requirements, layer.variables(variables, build), say)
        (build / USED).touch()
        note = {"name": requirements.name, "requirements": requirements.lines, "python": below.version}
        size = _size(build)
        write_json(build / NOTE, {**note, "size": size, "made": time.time()}, PRIVATE)
    except BaseException:
        shutil.rmtree(build, ignore_errors=True)
        raise
    link = build / "whole"
    link.symlink_to(build.name)
    link.replace(place)
    say(f"Installed {size / 1e6:,.0f} MB in {time.monotonic() - began:.0f} s; kept for the jobs that need the same")


def _remove_builds(place: Path) -> None:
    for build in place.parent.glob(f"{place.name}.build-*"):
        shutil.rmtree(build, ignore_errors=True)


def _size(folder: Path) -> int:
    files = (os.path.join(root, name) for root, _, names in os.walk(folder) for name in names)
    return sum(os.lstat(file).st_size for file in files)
