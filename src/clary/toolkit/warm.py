"""A script in a process forked from one that has the libraries loaded, as a fresh interpreter would run it.

PyTorch takes seconds to import. What is different from a fresh start is what is loaded: ``obstacle`` says which scripts
would see that, and they start cold.
"""

from __future__ import annotations

import atexit
import builtins
import importlib
import logging
import multiprocessing
import os
import random
import re
import signal
import site
import sys
import sysconfig
import threading
import time
import traceback
import types
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from multiprocessing import process
from pathlib import Path
from typing import NoReturn, TextIO

from clary.toolkit.job_environment import JobEnvironment
from clary.toolkit.layer import site_of
from clary.toolkit.plan import Plan
from clary.vision.base.cores import cores

__all__ = ["become", "is_warm", "obstacle", "take_over"]

# Whose scripts use what is loaded. TensorFlow beside PyTorch brings a second OpenMP into one process.
_SERVED = ("", "pytorch", "base-python", "distribution-cpu", "distribution-gpu", "scikit-learn")
# Read when an interpreter or a library starts.
_READ_AT_START = re.compile(
    r"PYTHON(?!PATH|UNBUFFERED).*|LD_.*|MALLOC_.*|MPLBACKEND|CUDA_.*|TORCH.*|HF_.*|MKL_.*|KMP_.*|GOMP_.*"
    r"|OMP_(?!NUM_THREADS$).*|ONEDNN_.*|DNNL_.*|ATEN_.*"
)


def is_warm() -> bool:
    """Whether this process was forked from one that has PyTorch loaded."""
    return "torch" in sys.modules


def obstacle(plan: Plan, environment: JobEnvironment, code: Path, program: str) -> str:
    """Why the script ``program`` of ``code`` cannot be run in this process; empty where it can."""
    if plan.interpreter is not None:
        return "it has a Python of its own"
    if plan.framework not in _SERVED:
        return f"{plan.framework} is not loaded in the warm process"
    if named := sorted(name for name in plan.variables if _READ_AT_START.fullmatch(name)):
        return f"{', '.join(named)} is read when a process starts"
    layers = [site_of(folder, environment.interpreter) for folder in (environment.layer, *environment.shared)]
    if loaded := sorted({name for folder in layers for name in _modules(folder)} & sys.modules.keys()):
        return f"its requirements bring {', '.join(loaded)}, which the warm process has loaded"
    own = {name for folder in (code, (code / program).parent) for name in _modules(folder)}
    if loaded := sorted(own & sys.modules.keys()):
        return f"its source has {', '.join(loaded)}, and the warm process a module of this name"
    return ""


def become(
    program: str, arguments: Sequence[str], environment: JobEnvironment, variables: Mapping[str, str], code: Path
) -> NoReturn:
    """Run the script ``program`` of ``code`` in this process, which is forked for it, and end with its exit code.

    Standard output and error are where the script's are to go. Nothing of the parent's that a script could notice but
    the loaded modules is left: variables, paths, arguments, handlers, random state, threads.
    """
    status = 1
    try:
        sys.stdout, sys.stderr = _stream(1), _stream(2)
        take_over(environment, variables, code, program)
        sys.argv = [program, *arguments]
        status = _run(code / program)
    except BaseException:  # noqa: BLE001  # of ours: there is nobody above who could tell
        traceback.print_exc()
    finally:
        _end(status)


def take_over(environment: JobEnvironment, variables: Mapping[str, str], code: Path, program: str) -> None:
    """Make this process look as a fresh interpreter of ``environment`` that is about to run ``program`` of ``code``."""
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(variables)
    # The C library reads TZ once.
    time.tzset()
    os.chdir(code)
    sys.prefix = sys.exec_prefix = str(environment.layer)
    sys.executable = str(environment.python)
    multiprocessing.set_executable(sys.executable)
    # The folder that a process starts in, as its children are told.
    process.ORIGINAL_DIR = str(code)  # type: ignore[attr-defined]
    multiprocessing.current_process().authkey = os.urandom(32)
    # First where the script lies, which may be a folder of the source.
    paths = [str((code / program).parent), *filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))]
    library = [path for path in sys.path if _is_library(Path(path))]
    sys.path[:] = [*dict.fromkeys(paths), *library]
    # As site.py does at a fresh start; the rest of the path is in the layer's own file.
    site.addsitedir(str(site_of(environment.layer, environment.interpreter)))
    importlib.invalidate_caches()
    _reset_libraries()


def _is_library(path: Path) -> bool:
    """Whether an entry of the path is of the standard library: its folder, the one of its extensions, its archive."""
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    return path in (stdlib, stdlib / "lib-dynload") or (path.suffix == ".zip" and path.parent == stdlib.parent)


def _reset_libraries() -> None:
    logging.getLogger().handlers.clear()
    logging.getLogger().setLevel(logging.WARNING)
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        # A process takes its own where nobody sets it; what this one was forked from had one for all.
        sys.modules["torch"].default_generator.seed()
        # The parent holds it at one thread: a pool that it had started no child could use.
        wanted = os.environ.get("OMP_NUM_THREADS", "")
        sys.modules["torch"].set_num_threads(int(wanted) if wanted.isdigit() and int(wanted) else cores())


def _run(file: Path) -> int:
    """Execute the script as ``__main__``; its exit code."""
    module = types.ModuleType("__main__")
    # What an interpreter gives it: the path is absolute (since Python 3.9), builtins are the module, no dict of it.
    given = {"__file__": str(file), "__builtins__": builtins, "__cached__": None, "__annotations__": {}}
    module.__dict__.update(given, __loader__=SourceFileLoader("__main__", str(file)))
    sys.modules["__main__"] = module
    try:
        # What this module has from __future__ is none of the script's.
        exec(compile(file.read_bytes(), str(file), "exec", dont_inherit=True), module.__dict__)
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return leaving.code or 0
        sys.stderr.write(f"{leaving.code}\n")
        return 1
    except BaseException as error:  # noqa: BLE001  # the script's, which an interpreter reports in the same way
        trace = error.__traceback__
        # Ours are no part of it; of a script that cannot be compiled none is left.
        told = error.with_traceback(trace.tb_next if trace else None)
        sys.excepthook(type(told), told, told.__traceback__)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _end(status: int) -> NoReturn:
    """As an interpreter ends: threads, what was registered, buffers."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # what waits for threads that are no daemons
        atexit._run_exitfuncs()
    except BaseException:  # noqa: BLE001  # at the end of an interpreter they are printed, too
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # closed by the script
            continue
    os._exit(status & 0xFF)


def _stream(descriptor: int) -> TextIO:
    return os.fdopen(descriptor, "w", 1, "utf-8", "backslashreplace", closefd=False)


def _modules(folder: Path) -> Iterable[str]:
    """The names by which what lies in ``folder`` is imported."""
    for entry in folder.iterdir():
        if entry.name.endswith((".dist-info", ".egg-info", ".pth")) or entry.name == "__pycache__":
            continue
        if entry.is_dir() or entry.suffix in (".py", ".so"):
            yield entry.name.partition(".")[0]
