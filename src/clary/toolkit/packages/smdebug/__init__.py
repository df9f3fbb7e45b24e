"""Amazon SageMaker Debugger, as scripts import it: it can be called, and saves nothing. Clary's own.

Scripts of AWS's examples import it without a guard; they are to train here all the same.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from smdebug import nothing
from smdebug.nothing import Hook, Nothing, get_hook, modes

__all__ = ["Hook", "Nothing", "get_hook", "modes"]
__version__ = "1.0.34"


def __getattr__(name: str) -> Any:
    """SaveConfig, CollectionConfig and what else there is."""
    if name.startswith("__"):
        raise AttributeError(name)
    return Nothing


class _Parts:
    """Finds the modules that are no files here (``smdebug.profiler.utils``): whatever is asked of them is nothing."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, _Parts, is_package=True) if name.startswith("smdebug.") else None  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        return None

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        def __getattr__(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return vars(nothing).get(name, Nothing)

        vars(module)["__getattr__"] = __getattr__


# Last: what is a file here is found before.
sys.meta_path.append(_Parts)
sys.stderr.write("smdebug saves nothing here: what it is told goes nowhere\n")
