"""The Python that a job's script runs in: layers of requirements over Clary's environment or one of the user's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from clary.toolkit import bridges, interpreter, layer
from clary.toolkit.brought import brought_packages
from clary.toolkit.environments import Environments, InstallationFailed, Say, install
from clary.toolkit.frameworks import is_of_earlier_years, layers_of_framework
from clary.toolkit.interpreter import Interpreter
from clary.toolkit.plan import Plan
from clary.toolkit.requirements import Requirements, read_requirements

__all__ = ["PACKAGES", "JobEnvironment", "job_environment"]

PACKAGES = Path(__file__).with_name("packages")  # sagemaker_training and its like: for scripts, and nobody else
_NOTHING = Requirements((), shared=True)


@dataclass(frozen=True, slots=True)
class JobEnvironment:
    """``layer`` is the job's own: what the script installs itself goes there, and with the job. ``shared`` are the
    layers below it."""

    layer: Path
    shared: tuple[Path, ...]
    interpreter: Interpreter

    @property
    def python(self) -> Path:
        return layer.python_of(self.layer)

    def variables(self, given: Mapping[str, str]) -> dict[str, str]:
        """``given`` with the programs of all layers before those on its PATH."""
        return layer.variables(given, self.layer, *self.shared)


@contextmanager
def job_environment(
    plan: Plan, code: Path, variables: Mapping[str, str], say: Say, *, sources: Sequence[Path] = ()
) -> Iterator[JobEnvironment]:
    """The environment of a job whose source is in ``code``; the shared layers stay at least for the block.

    Made of what clary.toml names, of what the framework lacks here, of what else its image brings and the source
    imports, and of the source's requirements.txt, in this order, each where there is any. ``sources`` are folders of
    source beside ``code``, ``variables`` those that pip is to see. Raises InstallationFailed, CustomerError
    for a file of requirements that cannot be read, UsageError, OSError.
    """
    file = code / "requirements.txt"
    wanted = read_requirements(file) if file.is_file() else _NOTHING
    shared: list[Path] = []
    with ExitStack() as stack:
        below = interpreter.read_interpreter(plan.interpreter) if plan.interpreter else interpreter.ours()
        brought = brought_packages(plan.framework, wanted, code, *sources) if plan.complete else _NOTHING
        for requirements in (_named(plan), *_framework(plan), brought, wanted if wanted.shared else _NOTHING):
            if not requirements:
                continue
            say(f"Installing dependencies from {requirements.name}:")
            kept = Environments(plan.environments)
            try:
                made = stack.enter_context(kept.layer(below, requirements, variables, say))
            except InstallationFailed as failed:
                if requirements is not brought:
                    raise
                # Nobody asked for it, and the import may stand inside `try`.
                say(f"{', '.join(brought.lines)} cannot be installed, and the script goes on without: {failed.said}")
                continue
            # The most special first, as they are found.
            shared.insert(0, made)
            below = layer.with_layer(below, made)
        # Of an attempt before, which was lost.
        shutil.rmtree(plan.layer, ignore_errors=True)
        layer.make_layer(plan.layer, below, (PACKAGES,))
        if plan.interpreter is None and is_of_earlier_years(plan.framework, plan.version):
            # A Python of the user's own has the libraries that its scripts know.
            bridges.put_into(layer.site_of(plan.layer, below))
        environment = JobEnvironment(plan.layer, tuple(shared), below)
        if wanted and not wanted.shared:
            # Of the source's own files: nobody else's job has the same under these names.
            say(f"Installing dependencies from {wanted.name}:")
            install(environment.python, wanted, environment.variables(variables), say, cwd=code)
        yield environment


def _named(plan: Plan) -> Requirements:
    return read_requirements(plan.requirements) if plan.requirements else _NOTHING


def _framework(plan: Plan) -> list[Requirements]:
    if not plan.complete:
        return []
    return layers_of_framework(plan.framework, plan.version, hugging_face=plan.hugging_face)


def pip_variables(platform: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """What pip sees: the platform's variables, and of the request's those that are meant for pip.

    The others are the script's: what is installed is shared with jobs that have not set them.
    """
    return {**platform, **{name: value for name, value in given.items() if name.startswith("PIP_")}}


def path_of_source(code: Path, given: Mapping[str, str]) -> str:
    """PYTHONPATH of a script: its source before all else."""
    return os.pathsep.join(filter(None, [str(code), given.get("PYTHONPATH", "")]))
