"""Serve a user's own code as SageMaker's inference toolkits do: the program `serve` of a framework's image.

    python -P -m clary.toolkit.serve --listener FD --parent PID [--warm] [PLAN]

FD is an open, listening socket; PLAN the file of ``toolkit.plan``, in a folder that holds opt_ml/ with model/ in it,
and code/ where the code is not among the model data. Without PLAN its path is read from standard input, as one line:
until it comes the process is a warm one, with ``--warm`` with PyTorch loaded. Makes the environment, then serves in it:
here, where that changes nothing for the user's code, else the environment's own interpreter takes this one's place.

Ends with 0 where it was told to stop, with 2 where the code cannot be served: the reason is in the file ``failure``
beside PLAN, and its first line the last of the output.
"""

from __future__ import annotations

import argparse
import math
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from clary.errors import ClaryError, CustomerError
from clary.toolkit import mounts, warm
from clary.toolkit.entry import say
from clary.toolkit.frameworks import FRAMEWORKS, Framework
from clary.toolkit.job_environment import JobEnvironment, job_environment, pip_variables
from clary.toolkit.opt_ml import OPT_ML
from clary.toolkit.plan import Plan
from clary.toolkit.serving import process
from clary.toolkit.serving.command import Command
from clary.toolkit.serving.parent import dies_with, read_line, stop_with_input
from clary.toolkit.serving.server import Server
from clary.toolkit.serving.settings import ServingSettings
from clary.toolkit.serving.user_code import code_folder, program_of
from clary.toolkit.what_runs import what_runs

__all__ = ["NOTE", "TREE", "command", "main"]

NOTE, TREE = "failure", "opt_ml"  # beside the plan
LEAST_PYTHON = (3, 11)  # of an environment by path: the server's own code runs in it
_MODULE = "clary.toolkit.serve"


def command(listener: int, *, ahead: bool = False) -> list[str]:
    """The command line of a worker that serves on the inherited file ``listener`` and dies with this process;
    ``ahead``: with PyTorch loaded before there is a plan."""
    # -P: the folder the platform was started in may hold files named like modules.
    words = [sys.executable, "-P", "-u", "-m", _MODULE, "--listener", str(listener), "--parent", str(os.getpid())]
    return [*words, "--warm"] if ahead else words


class _Worker:
    """One worker, from its plan to its end."""

    def __init__(self, plan: Plan, folder: Path, listener: int, *, isolated: bool) -> None:
        self._plan, self._listener = plan, listener
        self._note = folder / NOTE
        self._note.unlink(missing_ok=True)
        self._tree = self._shown(folder / TREE) if isolated else folder / TREE
        self._model_dir = self._tree / "model"
        self._code = code_folder(self._model_dir, plan.variables)
        if self._tree != OPT_ML:
            say(f"the kernel shows no {OPT_ML} here: model_dir, SM_MODEL_DIR and SAGEMAKER_BASE_DIR name the real one")

    def run(self) -> int:
        """The exit code; does not return where another interpreter takes over. Raises ClaryError, OSError."""
        plan = self._plan
        with job_environment(plan, self._source(), pip_variables(os.environ, plan.variables), say) as environment:
            say(what_runs(plan, FRAMEWORKS.get(plan.framework, Framework()), environment))
            variables = environment.variables(self._variables())
            if plan.command:
                return self._serve_command(variables)
            if self._may_be_warm(environment):
                warm.take_over(environment, variables, self._code, program_of(plan.variables))
                os.chdir(self._model_dir)
                return process.serve(self._listener, self._framework, self._model_dir, self._note)
            self._become(environment, variables)

    def _source(self) -> Path:
        """The folder whose requirements.txt counts."""
        library = self._code / "lib"
        if self._plan.framework != "tensorflow" or not library.is_dir():
            return self._code
        # As TensorFlow's image does: what lies there is all that there is, for endpoints without a network.
        if (self._code / "requirements.txt").is_file():
            say(f"loading modules in '{library}', ignoring requirements.txt")
        return library

    @property
    def _framework(self) -> str:
        return "hugging-face" if self._plan.hugging_face else self._plan.framework

    def _shown(self, tree: Path) -> Path:
        """Where the tree is seen: at /opt/ml, if the kernel will."""
        try:
            if not OPT_ML.is_dir():
                mounts.make_mount_point(OPT_ML)
            mounts.bind(tree, OPT_ML)
        except OSError:
            return tree
        return OPT_ML

    def _variables(self) -> dict[str, str]:
        given = {name: value for name, value in self._plan.variables.items() if name != "SAGEMAKER_BASE_DIR"}
        region = given.get("SAGEMAKER_REGION") or os.environ.get("AWS_REGION", "")
        made = {
            "SAGEMAKER_REGION": region,
            "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
            "SM_MODEL_DIR": str(self._model_dir),
            "SM_LOG_LEVEL": given.get("SAGEMAKER_CONTAINER_LOG_LEVEL", "20"),
        }
        # First what is the code's, last Clary itself, which an environment by path has not.
        own = [self._code, self._code / "lib"]
        path = [*map(str, own), given.get("PYTHONPATH", ""), os.environ.get("PYTHONPATH", "")]
        made |= {"PYTHONPATH": os.pathsep.join(filter(None, path))}
        made |= {} if self._tree == OPT_ML else {"SAGEMAKER_BASE_DIR": str(self._tree)}
        # Over the request's: where the code and the tree are is so.
        told: dict[str, str] = {n: made[n] for n in ("PYTHONPATH", "SAGEMAKER_BASE_DIR") if n in made}
        return {**os.environ, **made, **given, **told}

    def _may_be_warm(self, environment: JobEnvironment) -> bool:
        if not warm.is_warm():
            return False
        self._code.mkdir(parents=True, exist_ok=True)
        program = program_of(self._plan.variables)
        if not (self._code / program).parent.is_dir():
            return False
        if reason := warm.obstacle(self._plan, environment, self._code, program):
            say(f"the code starts cold: {reason}")
        return not reason

    def _become(self, environment: JobEnvironment, variables: dict[str, str]) -> NoReturn:
        if self._plan.interpreter is not None:
            variables["PYTHONPATH"] = os.pathsep.join([variables["PYTHONPATH"], str(self._package(environment))])
        words = [str(environment.python), "-P", "-u", "-m", process.__name__, str(self._listener), self._framework]
        os.chdir(self._model_dir)
        os.execve(words[0], [*words, str(self._model_dir), str(self._note)], variables)

    def _package(self, environment: JobEnvironment) -> Path:
        """A folder with Clary's own modules and nothing else, for a Python that does not have them."""
        found = tuple(int(part) for part in environment.interpreter.version.split(".")[:2])
        if found < LEAST_PYTHON:
            what = f"is Python {environment.interpreter.version}"
            hint = f"serving code in it needs {'.'.join(map(str, LEAST_PYTHON))} or newer; name another in clary.toml"
            raise CustomerError(what, where=str(self._plan.interpreter), hint=hint)
        folder = environment.layer / "server"
        folder.mkdir(exist_ok=True)
        (folder / "clary").symlink_to(Path(__file__).parents[1])
        return folder

    def _serve_command(self, variables: Mapping[str, str]) -> int:
        """A program of the user's own that is a server itself."""
        # How long a call may take is between the program and its clients, as for any container.
        settings = replace(ServingSettings.of(self._plan.variables), timeout=math.inf)
        with socket.socket(fileno=self._listener) as listener:
            service = Command(self._plan.command, variables, self._model_dir, say)
            stop_with_input()
            Server(listener, service, settings).run()
        return 0


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="serve")
    parser.add_argument("--listener", type=int, required=True, help="number of an open, listening socket")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process to die with")
    parser.add_argument("--warm", action="store_true", help="load PyTorch before there is a plan")
    parser.add_argument("plan", type=Path, nargs="?")
    arguments = parser.parse_args(words)
    # First: a process with threads, which libraries start, cannot enter a namespace.
    isolated = _enter_namespace()
    # After it: what a process may do has changed, and with that the kernel forgets this.
    if not dies_with(arguments.parent):
        return 0
    if arguments.warm:
        _load_libraries()
    file = arguments.plan or Path(os.fsdecode(read_line().rstrip(b"\n")))
    if not file.name:  # the platform has gone
        return 0
    try:
        return _Worker(Plan.read(file), file.parent, arguments.listener, isolated=isolated).run()
    except (ClaryError, OSError) as error:
        reason = str(error)
        (file.parent / NOTE).write_text(reason, errors="replace")
        sys.stdout.flush()
        sys.stderr.write(f"error: {reason.partition(os.linesep)[0]}\n")
        return 2


def _enter_namespace() -> bool:
    if sys.platform != "linux":
        return False
    try:
        mounts.enter()
    except OSError:
        return False
    return True


def _load_libraries() -> None:
    try:
        torch = import_module("torch")
    except ImportError:
        return
    import_module("torchvision")
    import_module("clary.toolkit.serving.pytorch")
    # One thread never starts OpenMP's pool, which processes that are forked here could not use.
    torch.set_num_threads(1)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads and handlers of users' code would keep the process, or crash it at its end.
    os._exit(status)
