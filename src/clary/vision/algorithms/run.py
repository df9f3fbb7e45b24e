"""One job from start to end: read the configuration, train, and report success or failure as SageMaker expects.

``run_job`` is what `clary train` calls; ``python -m clary.vision.algorithms.run NAME`` is the program a platform
starts, with the job directory at ``/opt/ml`` or where SAGEMAKER_BASE_DIR points.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress

from clary.errors import AlgorithmError, ClaryError, CustomerError, InterruptedRun, UsageError, out_of_space
from clary.vision.algorithms.catalog import find, train_function
from clary.vision.algorithms.hooks import load_hooks
from clary.vision.algorithms.joblog import JobLog, SharedMachineLog
from clary.vision.algorithms.substitution import with_weights
from clary.vision.base.channels import unused
from clary.vision.base.events import Hook
from clary.vision.base.files import reserve
from clary.vision.base.hyperparameters import Hyperparameters, as_text
from clary.vision.base.jobdir import JobDir
from clary.vision.base.memory import SMALLER, is_out_of_memory
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
    # Measures from here on: what is read and loaded first gives it the time.
    sharing = SharedMachineLog(log)
    # Of an earlier try: who watches the job would take it for this one's.
    job.failure.unlink(missing_ok=True)
    with suppress(UsageError):  # the disk is full already: whatever is written first will say it
        reserve(job.room)
    try:
        # Before the values are parsed: who has a wrong one sees in the log what was sent.
        _log_configuration(spec, job, log)
        _log_channels(spec, job, log)
        hp = spec.parse(job.hyperparameters)
        train = train_function(spec)
        hp = with_weights(hp, job, log)
        # Only now: a Ctrl-C during the seconds in which libraries are imported ends the process at once.
        with on_signals(stop):
            train(job, hp, log, [*hooks, sharing, *load_hooks(job, log)], stop)
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
        _report(_worded(error), job, log)
        raise
    finally:
        job.room.unlink(missing_ok=True)
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


def _worded(error: Exception) -> ClaryError:
    """A fault of the machine, of a hook or of ours in one line."""
    if out_of_space(error):
        full = UsageError("the disk is full", hint="free some space and run it again")
        full.__cause__ = error
        return full
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if is_out_of_memory(error):
        return AlgorithmError(f"out of memory ({text})", hint=SMALLER)
    return AlgorithmError(text)


def _named(arguments: Sequence[str]) -> AnySpec:
    if len(arguments) != 1:
        raise UsageError(f"{len(arguments)} arguments are given", hint="give one, the name of an algorithm")
    return find(arguments[0])


def _report(error: ClaryError, job: JobDir, log: JobLog) -> None:
    """Say in the log and in the failure note why the job cannot go on."""
    # What stands before it is a class of SageMaker's: a full disk is neither the request's fault nor the algorithm's.
    kinds = ("Internal", "InternalServer") if out_of_space(error) else ("Algorithm", "Algorithm")
    shown, noted = ("Customer", "Client") if isinstance(error, CustomerError) and kinds[0] != "Internal" else kinds
    # First the note, in the room that is kept for it: the log may be on the same disk.
    job.fail(f"{noted}Error: {error}, exit code: {error.exit_code}")
    with suppress(ClaryError) if out_of_space(error) else nullcontext():
        log.error(f"{shown} Error: {error}")


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
