"""Puts back what libraries have dropped, in the process of a script that asked for a framework of earlier years.

Run by the job's own Python when it starts (``put_into``, by ``job_environment``), so in no process of Clary's. A
name is looked for only when the library has it not, and its first use in a job says a line. What is bridged is in
``toolkit.former_names``. Standard library only.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from clary.toolkit.former_names import FORMER_NAMES, FormerName

__all__ = ["append_rows", "install", "mean_squared_error", "put_into"]

# Read after clary-layers.pth, by which Clary is found.
_FILE = "clary-names.pth"
_LINE = "import clary.toolkit.bridges; clary.toolkit.bridges.install()\n"

SAID = "said"  # the folder below sys.prefix, which is the job's own, of what was said already
_told: set[str] = set()


def put_into(packages: Path) -> None:
    """Have the Python that begins with the folder ``packages``, a layer's, call ``install`` whenever it starts."""
    (packages / _FILE).write_text(_LINE)


def install() -> None:
    """Put everything back, now or as soon as its library is imported. A second call does nothing: site-packages may be
    gone through twice."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    # PyTorch's own switch, and its own words for it: only for calls that do not say how they want it.
    os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    rows: dict[str, list[FormerName]] = {}
    for row in FORMER_NAMES:
        if row.bridge:
            rows.setdefault(row.module, []).append(row)
    for name in rows.keys() & sys.modules.keys():
        _put_back(sys.modules[name], rows[name])
    sys.meta_path.insert(0, _Finder(rows))
    sys.meta_path.append(_StandIns(rows))


def append_rows(
    rows: Any, other: Any, ignore_index: bool = False, verify_integrity: bool = False, sort: Any = False
) -> Any:
    """``DataFrame.append`` and ``Series.append`` as pandas 1 had them: of frames, or of rows as objects or Series."""
    pd = importlib.import_module("pandas")
    others = list(other) if isinstance(other, (list, tuple)) else [other]
    if isinstance(rows, pd.DataFrame):
        # A row is a Series; its values keep their own types.
        others = [
            one if isinstance(one, pd.DataFrame) else pd.Series(one, dtype=object).to_frame().T.infer_objects()
            for one in others
        ]
    # An empty frame says nothing of types.
    filled = [one for one in (rows, *others) if len(one)] or [rows]
    return pd.concat(filled, ignore_index=ignore_index, verify_integrity=verify_integrity, sort=bool(sort))


def mean_squared_error(function: Any, squared: bool, *words: Any, **options: Any) -> Any:
    """scikit-learn's, with the argument ``squared`` that it had: without it the root."""
    found = function(*words, **options)
    return found if squared else found**0.5


class _Finder:
    """Finds what others find, to put names back once the module is there."""

    def __init__(self, rows: dict[str, list[FormerName]]) -> None:
        self._rows = rows
        self._asking: set[str] = set()

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        # Another that does the same asks this one in turn.
        if name not in self._rows or name in self._asking:
            return None
        self._asking.add(name)
        try:
            return self._found(name, path, target)
        finally:
            self._asking.discard(name)

    def _found(self, name: str, path: Sequence[str] | None, target: Any) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find else None
            if spec is not None:
                # Whoever only asks whether it is there (importlib.util.find_spec) loads nothing.
                if spec.loader is not None and not isinstance(finder, _StandIns):
                    spec.loader = _Loader(spec.loader, self._rows[name])  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """Another loader, after which names are put back."""

    def __init__(self, loader: Any, rows: list[FormerName]) -> None:
        self._loader, self._rows = loader, rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: Any) -> None:
        # Before it runs: inspect, pkgutil and importlib.reload ask for the loader.
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _put_back(module, self._rows)


class _StandIns:
    """The last to be asked: for modules that are gone."""

    def __init__(self, rows: dict[str, list[FormerName]]) -> None:
        # Of what is gone, and not of what is only not installed.
        self._parts = {row.module: rows[row.module] for row in FORMER_NAMES if not row.name and row.module in rows}
        self._whole = {row.full_name: row for found in rows.values() for row in found if ":" not in row.bridge}

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in self._parts or name in self._whole else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        if row := self._whole.get(module.__name__):
            # What is imported is what stands here afterwards.
            sys.modules[module.__name__] = _stand_in(row)
        else:
            _put_back(module, self._parts[module.__name__])


def _put_back(module: ModuleType, rows: list[FormerName]) -> None:
    names = {}
    for row in rows:
        if row.name.endswith(")"):
            _put_back_argument(module, row)
        elif "." in row.name:
            _put_back_method(module, row)
        else:
            names[row.name] = row
    own = vars(module).get("__getattr__")

    def __getattr__(name: str) -> Any:
        if name in names:
            found = _stand_in(names[name])
            # The next time it is simply there.
            setattr(module, name, found)
            return found
        if own is not None:
            return own(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    if names:
        vars(module)["__getattr__"] = __getattr__


def _put_back_method(module: ModuleType, row: FormerName) -> None:
    owner, _, name = row.name.rpartition(".")
    kind = getattr(module, owner, None)
    if kind is not None and not hasattr(kind, name):
        setattr(kind, name, lambda *words, **options: _stand_in(row)(*words, **options))


def _put_back_argument(module: ModuleType, row: FormerName) -> None:
    owner, _, argument = row.name.rstrip(")").partition("(")
    called = getattr(module, owner, None)
    if isinstance(called, type):
        called.__init__ = _taking(called.__init__, argument, row)  # type: ignore[misc]
    elif called is not None:
        setattr(module, owner, _taking(called, argument, row))


def _taking(function: Any, argument: str, row: FormerName) -> Any:
    """``function``, which takes ``argument`` again; itself where it still does."""
    code = getattr(_innermost(function), "__code__", None)
    if code is None or argument in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        return function

    @functools.wraps(function)
    def taking(*words: Any, **options: Any) -> Any:
        if argument not in options:
            return function(*words, **options)
        value = options.pop(argument)
        if ":" in row.bridge:
            return _stand_in(row)(function, value, *words, **options)
        _say(row)
        return function(*words, **options, **({} if row.bridge == "-" else {row.bridge: value}))

    return taking


def _innermost(function: Any) -> Any:
    """What decorators stand around."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def _stand_in(row: FormerName) -> Any:
    """What is there in the place of a name, whose first use is said."""
    _say(row)
    where, _, name = row.bridge.partition(":")
    found: Any = importlib.import_module(where)
    for part in filter(None, name.split(".")):
        found = getattr(found, part)
    return found


def _say(row: FormerName) -> None:
    """Once a job: a script's data loaders start processes with each epoch."""
    if row.full_name in _told:
        return
    _told.add(row.full_name)
    place = os.path.join(sys.prefix, SAID)
    try:
        os.makedirs(place, exist_ok=True)
        os.close(os.open(os.path.join(place, row.full_name), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    except OSError:
        pass  # better said twice
    sys.stderr.write(f"{row.advice}; for this script it is put back\n")
