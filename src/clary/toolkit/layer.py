"""A layer: a virtual environment of its own over other folders of packages, whose packages hide theirs.

What is installed into it never touches what lies below, and pip takes what lies below for installed. An ordinary
environment with ``--system-site-packages`` sees the packages of the Python outside of all environments only, and
Clary mostly stands in one.

    LAYER/
    ├── pyvenv.cfg
    ├── bin/            python, pip, and what packages bring
    └── lib/python3.x/site-packages/clary-layers.pth      the folders below, the first found first
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clary.toolkit.interpreter import Interpreter
from clary.vision.base.files import PRIVATE_FOLDER, write_text

__all__ = ["make_layer", "point", "python_of", "site_of", "variables", "with_layer"]


def make_layer(folder: Path, below: Interpreter, further: Sequence[Path] = ()) -> None:
    """Make an empty layer in ``folder``, which is not there or empty, over ``below`` and, last, folders ``further``.

    Raises OSError. Takes a millisecond or two: the module venv needs a hundred and copies what is not needed.
    """
    packages = site_of(folder, below)
    packages.mkdir(PRIVATE_FOLDER, parents=True)
    home = below.executable.parent
    (folder / "pyvenv.cfg").write_text(
        f"home = {home}\ninclude-system-site-packages = false\nversion = {below.version}\n"
    )
    point(folder, below, further)
    programs = folder / "bin"
    programs.mkdir()
    for name in ("python", "python3", f"python{below.minor}"):
        (programs / name).symlink_to(below.executable)
    # Before any other pip on the PATH, which would install somewhere else: into Clary's own environment, say.
    for name in ("pip", "pip3"):
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(str(programs / "python"))} -m pip "$@"\n')
        script.chmod(0o755)


def point(folder: Path, below: Interpreter, further: Sequence[Path] = ()) -> None:
    """Lay the layer in ``folder`` over ``below``, whatever it lay over before. Raises OSError.

    The folders count for the layer's own Python alone: to one above it, which may be shared by environments that are
    elsewhere and hold the same, whoever lays it over them says so again.
    """
    # addsitedir and no plain path: files *.pth of editable installations count as well.
    mine = f"import os, sys, site; os.path.realpath(sys.prefix) == {os.path.realpath(folder)!r} and site.addsitedir"
    lines = [f"{mine}({str(path)!r})" for path in (*below.sites, *further)]
    file, text = site_of(folder, below) / "clary-layers.pth", "\n".join(lines) + "\n"
    if not file.is_file() or file.read_text() != text:
        write_text(file, text)


def python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


def site_of(folder: Path, below: Interpreter) -> Path:
    """Where a layer over ``below`` has its packages."""
    return folder / "lib" / f"python{below.minor}" / "site-packages"


def with_layer(below: Interpreter, folder: Path) -> Interpreter:
    """``below`` with the packages of the layer ``folder`` before its own."""
    return replace(below, sites=(site_of(folder, below), *below.sites))


def variables(given: Mapping[str, str], *folders: Path) -> dict[str, str]:
    """``given`` with the programs of the layers on the PATH, the first before all others."""
    path = given.get("PATH") or os.defpath
    # Clary's own programs after theirs: torchrun, say.
    own = str(Path(sys.executable).parent)
    return {
        **{name: value for name, value in given.items() if name != "PYTHONHOME"},
        "PATH": os.pathsep.join([*(str(folder / "bin") for folder in folders), path, own]),
        "VIRTUAL_ENV": str(folders[0]),
    }
