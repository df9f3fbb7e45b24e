"""The user's source: an archive unpacked to /opt/ml/code, and the entry point in it.

Source: sagemaker-training 5.1.4, files.py and entry_point.py; what SDK v2 packs: the content of ``source_dir`` at the
archive's root, without one the script alone, and ``dependencies`` by their names.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from clary.errors import CustomerError
from clary.vision.base import tarsafe
from clary.vision.base.tarsafe import Limits
from clary.wording import similar_names

__all__ = ["EntryPoint", "check_entry_point", "command_line", "entry_point_kind", "unpack"]

EntryPoint = Literal["script", "module", "command"]

# Of code, though some pack their data along: S3 takes 5 GiB in one piece.
_LIMITS = Limits(members=100_000, file_bytes=5 << 30, total_bytes=20 << 30, depth=64)
# What the toolkit takes for the name of an entry point; anything else would be read by a shell.
_NAME = re.compile(r"[A-Za-z0-9._+/-]+")


def unpack(archive: Path, code: Path, shown: str) -> None:
    """Fill the folder ``code``, which is empty or not there, from an archive (or a folder) that is called ``shown``.

    Raises CustomerError for an archive that is damaged or holds what no archive may; OSError.
    """
    if archive.is_dir():
        shutil.copytree(archive, code, dirs_exist_ok=True)
        return
    try:
        tarsafe.extract(archive, code, _LIMITS, error=CustomerError, executables=True)
    except CustomerError as error:
        # Its own place is a temporary file's.
        raise CustomerError(f"the source archive {error.what}", where=shown, hint=error.hint) from error


def check_entry_point(program: str, code: Path, shown: str) -> None:
    """Raise CustomerError unless ``program`` is a file in ``code``, unpacked from ``shown``, that can be started."""
    if not _NAME.fullmatch(program) or program.startswith(("/", "-")) or ".." in program.split("/"):
        what = f"the entry point `{program}` cannot be started"
        raise CustomerError(what, hint="name a file of the source by letters, digits, . _ + - and /")
    if (code / program).is_file() or _is_module(program, code):
        return
    there = sorted(path.relative_to(code).as_posix() for path in code.rglob("*") if path.is_file())
    near = [path for path in there if path.endswith(f"/{program}")] or similar_names(program, there)
    few = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "")
    hint = f"did you mean {near[0]}?" if near else f"it holds {few}" if there else "it is empty"
    raise CustomerError(f"the entry point {program} is not in the source archive", where=shown, hint=hint)


def _is_module(program: str, code: Path) -> bool:
    """Whether it is to be run as a module of a package that the source is, ``mine.train`` or a package ``mine``."""
    return (code / "setup.py").is_file() and not program.endswith((".sh", ".py"))


def entry_point_kind(program: str, code: Path) -> EntryPoint:
    """How ``program`` is started: any ``.sh`` is a command, all else a module where the source has a setup.py, a
    ``.py`` a script, and what is left a command too."""
    if program.endswith(".sh"):
        return "command"
    if (code / "setup.py").is_file():
        return "module"
    return "script" if program.endswith(".py") else "command"


def command_line(kind: EntryPoint, program: str, arguments: Sequence[str], python: Sequence[str]) -> list[str]:
    """The words that start ``program``; ``python`` are those that start the interpreter."""
    match kind:
        case "command":
            return ["/bin/sh", "-c", shlex.join([f"./{program}", *arguments])]
        case "module":
            return [*python, "-m", program.removesuffix(".py").replace("/", "."), *arguments]
        case "script":
            # What follows is not Python's, whatever it is called.
            return [*python, "--", program, *arguments]
