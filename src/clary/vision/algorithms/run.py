"""One job from start to end: read the configuration, train, and report success or failure as SageMaker expects.

``run_job`` is what `clary train` calls; ``python -m clary.vision.algorithms.run NAME`` is the program a platform
starts, with the job directory at ``/opt/ml`` or where SAGEMAKER_BASE_DIR points.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from clary.errors import AlgorithmError, ClaryError, CustomerError, InterruptedRun, UsageError
from clary.vision.algorithms.catalog import find, train_function
from clary.vision.algorithms.hooks import load_hooks
from clary.vision.algorithms.joblog import JobLog
from clary.vision.base.channels import unused
from clary.vision.base.events import Hook
from clary.vision.base.hyperparameters import Hyperparameters, as_text
from clary.vision.base.jobdir import JobDir
from clary.vision.base.spec import AnySpec
from clary.vision.training.stopping import StopRequest, on_signals

__all__ = ["main", "run_job"]


def run_job(
    spec: AnySpec, job: JobDir, log: JobLog, hooks: Sequence[Hook] = (), stop: StopRequest | None = None
) -> Hyperparameters:
    """Check the hyperparameters and train. Leaves the failure note before an error goes on to the caller.

    ``hooks`` are told first, then those of other distributions (``algorithms.hooks``).
    """
    stop = stop or StopRequest()
    # Of an earlier try: who watches the job would take it for this one's.
    job.failure.unlink(missing_ok=True)
    try:
        # Before the values are parsed: who has a wrong one sees in the log what was sent.
        _log_configuration(spec, job, log)
        _log_channels(spec, job, log)
        hp = spec.parse(job.hyperparameters)
        train = train_function(spec)
        # Only now: a Ctrl-C during the seconds in which libraries are imported ends the process at once.
        with on_signals(stop):
            train(job, hp, log, [*hooks, *load_hooks(job, log)], stop)
    except InterruptedRun as stopped:
        log.info(str(stopped))
        raise
    except ClaryError as error:
        _report(error, job, log)
        raise
    # A fault of ours, of a hook, or of the machine (out of memory, say)
    except Exception as error:
        # Which hook it was.
        for note in getattr(error, "__notes__", ()):
            log.error(note)
        _report(AlgorithmError(f"{type(error).__name__}: {' '.join(str(error).split())}"), job, log)
        raise
    return hp


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, 2 for the customer's mistakes, 130 when stopped and saved, 1 for anything else."""
    job, log = JobDir.from_environment(), JobLog()
    try:
        spec = _named(sys.argv[1:] if arguments is None else arguments)
    except UsageError as error:
        _report(error, job, log)
        return error.exit_code
    try:
        run_job(spec, job, log)
    except ClaryError as error:
        return error.exit_code
    return 0


def _named(arguments: Sequence[str]) -> AnySpec:
    if len(arguments) != 1:
        raise UsageError(f"{len(arguments)} arguments are given", hint="give one, the name of an algorithm")
    return find(arguments[0])


def _report(error: ClaryError, job: JobDir, log: JobLog) -> None:
    if isinstance(error, CustomerError):
        log.error(f"Customer Error: {error}")
        job.fail(f"ClientError: {error}, exit code: {error.exit_code}")
    else:
        log.error(f"Algorithm Error: {error}")
        job.fail(f"AlgorithmError: {error}, exit code: {error.exit_code}")


def _log_configuration(spec: AnySpec, job: JobDir, log: JobLog) -> None:
    """The three lines every container prints first, the maps in Python's notation."""
    # Extensions are left out: this is the file that is packed with the original container.
    defaults = {h.name: as_text(h.default) for h in spec.hyperparameters if h.default is not None and not h.extension}
    given: Mapping[str, str] = job.hyperparameters
    log.info(f"Reading default configuration from {spec.name}/default-input.json: {defaults}")
    log.info(f"Merging with provided configuration from {job.config / 'hyperparameters.json'}: {dict(given)}")
    log.info(f"Final configuration: {defaults | dict(given)}")


def _log_channels(spec: AnySpec, job: JobDir, log: JobLog) -> None:
    # A channel of a misspelt name would be missed in silence: a model to go on from, a map of labels.
    for sentence in unused(spec.channels, job.channels):
        log.warning(sentence)
    for name, channel in job.channels.items():
        if channel.input_mode == "Pipe":
            log.info(f"The channel '{name}' is in pipe input mode under {channel.path}.")


if __name__ == "__main__":
    sys.exit(main())
