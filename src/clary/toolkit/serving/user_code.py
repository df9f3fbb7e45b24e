"""Where a model's serving code lies, and the module that it is."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from clary.errors import CustomerError
from clary.wording import similar_names

__all__ = ["PACKAGES", "code_folder", "import_user_module", "program_of"]

PACKAGES = Path(__file__).parents[1] / "packages"  # sagemaker_inference and its like

DEFAULT_PROGRAM = "inference.py"


def program_of(variables: Mapping[str, str]) -> str:
    """The file of the user's functions."""
    return variables.get("SAGEMAKER_PROGRAM") or DEFAULT_PROGRAM


def code_folder(model_dir: Path, variables: Mapping[str, str]) -> Path:
    """The folder of the user's code: inside the model data, or where SAGEMAKER_SUBMIT_DIRECTORY was unpacked to."""
    given = variables.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
    if given.startswith("s3://"):
        # SDK v1 names the model's own archive, which has the code in code/.
        beside = model_dir.parent / "code"
        return beside if beside.is_dir() else model_dir / "code"
    # A path of the container's, wherever the tree is shown here.
    if given.startswith("/opt/ml/"):
        return model_dir.parent.joinpath(*Path(given).parts[3:])
    inside, named = model_dir / "code", Path(given.removeprefix("file://"))
    return named if given and named.is_dir() and not inside.is_dir() else inside


def import_user_module(model_dir: Path, variables: Mapping[str, str]) -> ModuleType | None:
    """The module of SAGEMAKER_PROGRAM, ``inference`` unless that names another; None where it names none and there is
    none: the framework's own functions serve then.

    Raises CustomerError where the named file is not there, and whatever the module raises when it is run.
    """
    code = code_folder(model_dir, variables)
    folders = [str(code), str(code / "lib")]
    # The code before all else, what it brings along next, Clary's stand-ins for SageMaker's own packages last.
    sys.path[:] = [*folders, *(path for path in sys.path if path not in folders)]
    if str(PACKAGES) not in sys.path:
        sys.path.append(str(PACKAGES))
    importlib.invalidate_caches()
    program = program_of(variables)
    name = program.removesuffix(".py").strip("./").replace("/", ".")
    # Only there: an installed package may be called `inference`, too.
    if PathFinder.find_spec(name.partition(".")[0], folders) is None:
        if "SAGEMAKER_PROGRAM" in variables:
            raise _missing(program, code)
        return None
    return importlib.import_module(name)


def _missing(program: str, code: Path) -> CustomerError:
    there = sorted(path.relative_to(code).as_posix() for path in code.rglob("*.py")) if code.is_dir() else []
    near = [path for path in there if path.endswith(f"/{program}")] or similar_names(program, there)
    few = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "")
    hint = f"did you mean {near[0]}?" if near else f"it holds {few}" if there else "it holds no Python file"
    what = f"SAGEMAKER_PROGRAM names {program}, which is not in the model's code"
    return CustomerError(what, where=str(code), hint=hint)
