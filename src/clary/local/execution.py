"""Running the algorithm in a run's folder, and what its end means to whoever started it."""

from __future__ import annotations

import shlex
import shutil
import traceback
from collections.abc import Sequence
from threading import Thread

from clary.errors import AlgorithmError, ClaryError, InterruptedRun
from clary.local.progress import View
from clary.local.run import Run
from clary.vision.algorithms.joblog import JobLog, Sink
from clary.vision.base.events import Hook
from clary.vision.base.files import write_text
from clary.vision.base.jobdir import JobDir
from clary.vision.base.spec import AnySpec
from clary.vision.training.listeners import tell

__all__ = ["execute"]


def execute(
    spec: AnySpec, job: JobDir, hooks: Sequence[Hook], echo: Sink | None, libraries: Thread | None = None
) -> Run:
    """Train in ``job``, whose lock the caller holds, and pack the model. ``libraries`` is what ``load_ahead`` gave.

    Raises InterruptedRun after Ctrl-C, with the command that goes on; AlgorithmError of one line for a fault that is
    none of ours, whose traceback is kept in ``output/traceback.txt``; else what the algorithm raises.
    """
    run = Run(job.root)
    tell(hooks, "loading PyTorch")
    try:
        # Before anything is imported here: two threads that import may each wait for a module that the other is at.
        if libraries:
            libraries.join()
        # Only now where nobody began it: asking for a wrong setting costs nothing.
        from clary.vision.algorithms.run import run_job
        from clary.vision.artifact.archive import pack

        run_job(spec, job, JobLog(job.root / "log.txt", echo), hooks)
        # Under the lock too: a run is going on until its model is whole.
        pack(job.model, job.root / "model.tar.gz")
    except InterruptedRun as stopped:
        raise _interrupted(run, stopped.what) from stopped
    # While libraries are loaded, or the second one: nobody caught it.
    except KeyboardInterrupt as stopped:
        raise _interrupted(run, "stopped at once") from stopped
    except ClaryError:
        raise
    # Of a hook, of the network, of the machine: fifty lines that only who wrote it can use.
    except Exception as error:
        path = job.output / "traceback.txt"
        write_text(path, traceback.format_exc())
        what = f"{type(error).__name__}: {' '.join(str(error).split()) or 'without a word'}"
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        raise AlgorithmError(f"{what}{notes}", where=job.root, hint=f"the traceback is in {path}") from error
    # Only now: pack leaves the whole archive or none, and until then these are the only weights.
    shutil.rmtree(job.model)
    for hook in hooks:
        if isinstance(hook, View):
            hook.on_model(run)
    return run


def _interrupted(run: Run, what: str) -> InterruptedRun:
    """What somebody reads who stopped the run: what there is, and the command that goes on."""
    if run.came_to_nothing:
        # Its name is free again.
        shutil.rmtree(run.path)
        return InterruptedRun("stopped before the first step, nothing was trained", hint="start it again")
    hint = f"go on with `{run.resume_command}`"
    if run.has_model:
        hint += f"; the best epoch so far predicts: `clary predict {shlex.quote(str(run.path))} PICTURE...`"
    return InterruptedRun(what, hint=hint)
