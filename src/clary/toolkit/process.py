"""Run the program of a processing job, in the environment of its image.

    python -m clary.toolkit.process PLAN

PLAN is the file of ``toolkit.plan``, whose ``command`` is the job's entry point with its arguments; all else is in the
job's tree, at /opt/ml or SAGEMAKER_BASE_DIR. Ends with the program's own exit code, as a shell says it; with 1 where it
could not be started. On SageMaker nothing stands between a processing job's log and its program: what is said here is
what is different.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from clary.errors import ClaryError, CustomerError, UsageError
from clary.toolkit import warm
from clary.toolkit.entry import end_by_signal, say
from clary.toolkit.failure import extra_info
from clary.toolkit.frameworks import FRAMEWORKS, Framework
from clary.toolkit.hyperparameters import decode
from clary.toolkit.job_environment import JobEnvironment, job_environment, pip_variables
from clary.toolkit.opt_ml import OPT_ML, linked
from clary.toolkit.output import Output
from clary.toolkit.plan import Plan
from clary.toolkit.training_environment import TrainingEnvironment
from clary.toolkit.what_runs import what_runs
from clary.vision.base.jobdir import JobDir
from clary.vision.base.tree import opened

__all__ = ["main", "run"]

_PYTHONS = ("python", "python3")
_CODE = Path("processing/input/code")  # where FrameworkProcessor has the source unpacked


def run(plan: Plan, job: JobDir, platform: Mapping[str, str]) -> int:
    """Run the job's program; the exit code.

    ``platform`` are the variables that this process was started with: the platform's own, none of the request's.
    """
    try:
        for name in plan.emptied:
            _empty(job.root, name)
        with linked(job.root, plan.link, say) if plan.link else nullcontext():
            # As the program sees it. Its folder has no requirements.txt: a processing job has none of its own.
            tree = plan.link or job.root
            with job_environment(plan, tree, pip_variables(platform, plan.variables), say) as environment:
                say(what_runs(plan, FRAMEWORKS.get(plan.framework, Framework()), environment))
                return _execute(plan, tree, platform, environment)
    except CustomerError as error:
        return _failed(job, f"ClientError: {error}")
    except (ClaryError, OSError) as error:
        return _failed(job, f"InternalServerError: {error}")


def _execute(plan: Plan, tree: Path, platform: Mapping[str, str], environment: JobEnvironment) -> int:
    words = plan.command
    # Where the tree lies is the platform's word.
    own = {name: value for name, value in plan.variables.items() if name != "SAGEMAKER_BASE_DIR"}
    variables = environment.variables({**platform, **_image_variables(plan, tree, platform), **own})
    output = Output()
    # A stop reaches every process of the job. From here on it is the program that answers it, in its own time.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        if _may_be_warm(plan, environment):
            code = output.fork(lambda: warm.become(words[1], words[2:], environment, variables, tree))
        else:
            code = output.run(words, env=variables, cwd=tree)
    except OSError as error:
        raise CustomerError(f"the program `{words[0]}` cannot be started: {error.strerror}") from error
    code = 128 - code if code < 0 else code
    if code and (extra := extra_info(output.text(), code, _script_name(words), tree / _CODE)):
        say(f"{extra} (which FrameworkProcessor takes)" if "source_dir" in extra else extra)
    return code


def _image_variables(plan: Plan, tree: Path, platform: Mapping[str, str]) -> dict[str, str]:
    """TensorFlow's: where its s3:// lies, and Keras 2 for programs of that time. Those of PyTorch's image are for hosts
    that train together."""
    if plan.framework != "tensorflow":
        return {}
    alone = {"current_host": "algo-1", "hosts": ["algo-1"]}
    job = TrainingEnvironment("", decode({}), resources=alone, channels={}, opt_ml=tree)
    return FRAMEWORKS[plan.framework].variables(job, platform, plan.version)


def _may_be_warm(plan: Plan, environment: JobEnvironment) -> bool:
    """Whether the command is a script that this process can become: plain ``python3 script.py arguments``."""
    if not warm.is_warm() or len(plan.command) < 2 or plan.command[0] not in _PYTHONS:
        return False
    script = Path(plan.command[1])
    if script.suffix != ".py" or not script.is_absolute() or not script.is_file():
        return False
    if reason := warm.obstacle(plan, environment, script.parent, script.name):
        say(f"The script starts cold: {reason}")
    return not reason


def _script_name(words: Sequence[str]) -> str:
    return next((Path(word).name for word in words if word.endswith(".py")), "")


def _empty(tree: Path, name: str) -> None:
    """What an attempt before has left in an output is none of this one's. Raises CustomerError where it laid a link in
    the place of the folder, or of one above: what that leads to is somebody's."""
    with suppress(FileNotFoundError), opened(tree, *name.split("/"), shown=OPT_ML) as found:
        folder = found.descriptor
        for entry in os.listdir(folder):
            if stat.S_ISDIR(os.stat(entry, dir_fd=folder, follow_symlinks=False).st_mode):
                shutil.rmtree(entry, dir_fd=folder)
            else:
                os.unlink(entry, dir_fd=folder)


def _failed(job: JobDir, note: str) -> int:
    """Leave the note, and say it in the log."""
    say(note)
    with suppress(UsageError, OSError):
        job.fail(note)
    return 1


def main(words: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, end_by_signal)
    return run(Plan.read(Path(words[0])), JobDir.from_environment(), dict(os.environ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
