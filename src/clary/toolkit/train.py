"""Run a training script as SageMaker's training toolkit does: the program `train` of a framework's image.

    python -m clary.toolkit.train PLAN

PLAN is the file of ``toolkit.plan``; all else is in the job's tree, at /opt/ml or SAGEMAKER_BASE_DIR, where the source
lies in code/ already. Ends with 0, with 1 where the script failed or could not be started, and with 137 where it was
killed, so that whoever watches sees that memory may have been short.
Source: sagemaker-training 5.1.4, trainer.py, entry_point.py, process.py; its lines, which people search for.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from clary.errors import ClaryError, CustomerError, UsageError
from clary.toolkit import warm
from clary.toolkit.entry import end_by_signal, say
from clary.toolkit.environments import InstallationFailed, install
from clary.toolkit.failure import KILLED, error_message, extra_info, failure_text
from clary.toolkit.frameworks import FRAMEWORKS, Framework
from clary.toolkit.hyperparameters import Hyperparameters, decode
from clary.toolkit.hyperparameters import check as check_hyperparameters
from clary.toolkit.job_environment import JobEnvironment, job_environment, path_of_source, pip_variables
from clary.toolkit.opt_ml import linked
from clary.toolkit.output import Output
from clary.toolkit.plan import Plan
from clary.toolkit.requirements import Requirements
from clary.toolkit.source import check_entry_point, command_line, entry_point_kind
from clary.toolkit.training_environment import TrainingEnvironment, count_gpus
from clary.toolkit.what_runs import version_of, what_runs
from clary.vision.base.files import write_text
from clary.vision.base.jobdir import JobDir

__all__ = ["main", "run"]

_log = logging.getLogger("sagemaker-training-toolkit")


class _ScriptFailed(ClaryError):
    """The script ended with another code than 0; ``note`` is the text for output/failure."""

    def __init__(self, note: str, code: int) -> None:
        super().__init__("the script failed")
        self.note, self.code = note, code


def run(plan: Plan, job: JobDir, platform: Mapping[str, str]) -> int:
    """Run the job's script, or the command that stands in its place; the exit code.

    ``platform`` are the variables that this process was started with: the platform's own, none of the request's.
    """
    # The image's or the request's variables may name them in the place of the hyperparameters; whoever plans knows.
    named = {"sagemaker_program": plan.program, "sagemaker_submit_directory": plan.source}
    given = job.hyperparameters | {name: json.dumps(value) for name, value in named.items() if value}
    hyperparameters = decode(given, _log.info)
    _log.setLevel(hyperparameters.log_level)
    try:
        with linked(job.root, plan.link, say) if plan.link else nullcontext():
            _Run(plan, job, platform, hyperparameters).start()
    except _ScriptFailed as failed:
        return _failed(job, failed.note, failed.code)
    except InstallationFailed as failed:
        note = failure_text("InstallRequirementsError", failed.code, failed.said, failed.command, str(failed))
        return _failed(job, note, 1)
    except CustomerError as error:
        return _failed(job, f"ClientError: {error}", 1)
    except (ClaryError, OSError) as error:
        return _failed(job, f"Framework Error: \n{error}", 1)
    except Exception:  # noqa: BLE001  # a fault of ours: nobody else could tell the customer that it is none of theirs
        return _failed(job, f"Framework Error: \n{traceback.format_exc()}", 1)
    _log.info("Reporting training SUCCESS")
    with suppress(UsageError):  # nobody but SageMaker's own tools reads it
        write_text(job.output / "success", "")
    return 0


class _Run:
    """One script, from its environment to its end."""

    def __init__(self, plan: Plan, job: JobDir, platform: Mapping[str, str], hyperparameters: Hyperparameters) -> None:
        self._plan, self._job, self._platform = plan, job, platform
        self._hyperparameters = hyperparameters
        self._framework = FRAMEWORKS.get(plan.framework, Framework())
        # As the script sees it.
        self._tree = plan.link or job.root
        self._code = self._tree / "code"

    def start(self) -> None:
        """Raises _ScriptFailed, InstallationFailed and what ``job_environment`` raises."""
        plan, code = self._plan, self._code
        check_hyperparameters(self._hyperparameters)
        gpus = count_gpus()
        if self._framework.module:
            _log.info("Imported framework %s", self._framework.module.partition(":")[0])
        if not gpus:
            _log.info("No GPUs detected (normal if no gpus installed)")
        program = self._hyperparameters.program
        # A source that v3's drivers bring lies in a channel, and they install for themselves.
        (self._job.root / "code").mkdir(exist_ok=True)
        if not plan.command:
            check_entry_point(program, code, self._hyperparameters.submit_directory or str(code))
        variables = pip_variables(self._platform, plan.variables)
        # Where SDK v3's drivers find the source.
        channel = self._job.data / "code"
        with job_environment(plan, code, variables, say, sources=[channel] if plan.command else []) as environment:
            _log.info("%s", what_runs(plan, self._framework, environment))
            if plan.command:
                self._command(environment)
                return
            training = self._training_environment(gpus)
            self._script(training, environment)
            self._check_model()

    def _training_environment(self, gpus: int) -> TrainingEnvironment:
        return TrainingEnvironment(
            job_name=self._platform.get("TRAINING_JOB_NAME", ""),
            hyperparameters=self._hyperparameters,
            resources=_read(self._job, "resourceconfig.json"),
            channels=_read(self._job, "inputdataconfig.json"),
            opt_ml=self._tree,
            framework_module=self._framework.module,
            num_gpus=gpus,
        )

    def _command(self, environment: JobEnvironment) -> None:
        """SDK v3's drivers, say, which set the script's variables and write the note of a failure themselves."""
        variables = environment.variables({**self._platform, **self._own_variables()})
        words = self._plan.command
        self._execute(words, lambda output: output.run(words, env=variables, cwd=self._job.root))

    def _script(self, training: TrainingEnvironment, environment: JobEnvironment) -> None:
        program = self._hyperparameters.program
        kind = entry_point_kind(program, self._code)
        variables = self._variables(training, environment)
        if kind == "command":
            path = self._code / program
            path.chmod(path.stat().st_mode | 0o111)
        if kind == "module":
            self._install_source(environment)
        python = self._launcher(environment, training, kind)
        words = command_line(kind, program, training.user_arguments, python)
        _show(training, variables, words)
        if kind == "script" and len(python) == 1 and self._may_be_warm(environment, program):
            arguments = training.user_arguments
            self._execute(
                words,
                lambda output: output.fork(lambda: warm.become(program, arguments, environment, variables, self._code)),
            )
            return
        self._execute(words, lambda output: output.run(words, env=variables, cwd=self._code))

    def _may_be_warm(self, environment: JobEnvironment, program: str) -> bool:
        if not warm.is_warm():
            return False
        if reason := warm.obstacle(self._plan, environment, self._code, program):
            _log.info("The script starts cold: %s", reason)
        return not reason

    def _launcher(self, environment: JobEnvironment, training: TrainingEnvironment, kind: str) -> list[str]:
        """The words that start Python, or torchrun where the estimator asks for it."""
        asked = self._hyperparameters.framework
        python = [str(environment.python)]
        if asked.get("sagemaker_torch_distributed_enabled") and kind == "script":
            processes = str(max(training.num_gpus, 1))
            return [*python, "-m", "torch.distributed.run", "--nnodes", "1", "--nproc_per_node", processes]
        if any(name.endswith("_enabled") and value for name, value in asked.items()):
            _log.warning("The distribution of this job is not done here: the script runs once, on this machine")
        return python

    def _variables(self, training: TrainingEnvironment, environment: JobEnvironment) -> dict[str, str]:
        region = self._hyperparameters.toolkit.get("sagemaker_region") or self._platform.get("AWS_REGION", "")
        image = self._framework.variables(training, self._platform, self._plan.version)
        if self._plan.framework == "pytorch" and (version := version_of("torch", environment)):
            image |= {"SM_DLC_TORCH_VERSION": version}
        if self._plan.link and "MASTER_ADDR" in image:
            # The names of hosts are known where a job has a view of its own, and an init of torch.distributed waits.
            image |= {"MASTER_ADDR": "localhost"}
        given = {**self._platform, **image, **self._own_variables()}
        # The toolkit sets its own over all others: what is said of the job is so.
        told = {**training.variables, "SAGEMAKER_REGION": str(region), "PYTHONPATH": path_of_source(self._code, given)}
        return environment.variables(given | told)

    def _own_variables(self) -> dict[str, str]:
        """The request's; where the tree lies is the platform's word."""
        return {name: value for name, value in self._plan.variables.items() if name != "SAGEMAKER_BASE_DIR"}

    def _install_source(self, environment: JobEnvironment) -> None:
        """A source that has a setup.py is a package, and is run as a module."""
        file = self._plan.layer / "source.txt"
        write_text(file, f"{self._code}\n")
        wanted = Requirements((str(self._code),), shared=False, name="setup.py", file=file)
        variables = environment.variables(pip_variables(self._platform, self._plan.variables))
        install(environment.python, wanted, variables, say, cwd=self._code)

    def _execute(self, words: Sequence[str], run: Callable[[Output], int]) -> None:
        """Run the program that ``words`` stand for to its end, by ``run``. Raises _ScriptFailed."""
        output = Output()
        # A stop reaches every process of the job. From here on it is the script that answers it, in its own time.
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        try:
            code = run(output)
        except OSError as error:
            note = f"ClientError: the program `{words[0]}` cannot be started: {error.strerror}"
            raise _ScriptFailed(note, 1) from error
        if code == 0:
            return
        code = 128 - code if code < 0 else code
        extra = extra_info(output.text(), code, self._hyperparameters.program, self._code)
        note = failure_text("ExecuteUserScriptError", code, error_message(output.text()), shlex.join(words), extra)
        raise _ScriptFailed(note, KILLED if code == KILLED else 1)

    def _check_model(self) -> None:
        if not self._job.model.is_dir() or not any(self._job.model.iterdir()):
            _log.warning(
                "No model artifact is saved: there is nothing in %s, so that model.tar.gz is empty; save the model to "
                "os.environ['SM_MODEL_DIR']",
                self._job.model,
            )
            return
        if self._plan.framework == "tensorflow":
            _check_saved_model(self._job.model)


def _check_saved_model(folder: Path) -> None:
    """What the TensorFlow image says of a model that its serving image would not find."""
    found = sorted(folder.rglob("saved_model.pb"))
    if not found:
        _log.warning(
            "Your model will NOT be servable with SageMaker TensorFlow Serving: no saved_model.pb is in %s", folder
        )
    elif not any(path.parent.name.isdigit() for path in found):
        where = found[0].parent.relative_to(folder)
        _log.warning(
            "Your model will NOT be servable with SageMaker TensorFlow Serving: the folder of saved_model.pb is to be "
            "a number, and is %s",
            where,
        )


def _show(training: TrainingEnvironment, variables: Mapping[str, str], words: Sequence[str]) -> None:
    _log.info("Invoking user script")
    say(f"Training Env:\n\n{json.dumps(training.values, indent=4, sort_keys=True)}\n")
    shown = {**training.variables, "PYTHONPATH": variables["PYTHONPATH"]}
    say("\n".join(["Environment variables:\n", *(f"{name}={value}" for name, value in shown.items()), ""]))
    say(f"Invoking script with the following command:\n\n{shlex.join(words)}\n\n")


def _failed(job: JobDir, note: str, code: int) -> int:
    """Leave the note, unless the script has left one, and say it in the log; ``code``."""
    _log.error("Reporting training FAILURE")
    _log.error("%s", note)
    # The script may have laid anything in its place; the log has it in any case.
    with suppress(UsageError, OSError):
        if not job.failure.exists():
            job.fail(note)
    return code


def _read(job: JobDir, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((job.config / name).read_bytes())
    return found


def main(words: Sequence[str]) -> int:
    # Not the root's: a warm script is to find that as a fresh interpreter has it.
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)-8s %(message)s"))
    _log.handlers, _log.propagate = [handler], False
    signal.signal(signal.SIGTERM, end_by_signal)
    return run(Plan.read(Path(words[0])), JobDir.from_environment(), dict(os.environ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
