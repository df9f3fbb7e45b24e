"""Does each step once, wherever it is killed: a step is done when its line is whole and synced."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from collections.abc import Sequence

from clary.vision.algorithms.joblog import JobLog
from clary.vision.base.events import Hook
from clary.vision.base.jobdir import JobDir
from clary.vision.training.stopping import StopRequest

from .spec import CountsHyperparameters


def train(job: JobDir, hp: CountsHyperparameters, log: JobLog, hooks: Sequence[Hook], stop: StopRequest) -> None:
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    # Two at a time are a fault of the platform: the second one fails here.
    alone = os.open(job.checkpoints / "alone", os.O_CREAT | os.O_RDWR)
    fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (job.checkpoints / "steps").open("a+b") as file:
        file.seek(0)
        whole = file.read().rpartition(b"\n")[0]
        file.truncate(len(whole) + 1 if whole else 0)
        for step in range(len(whole.splitlines()), hp.steps):
            file.write(b"%d\n" % step)
            file.flush()
            os.fsync(file.fileno())
            log.info(f"step {step}")
            threading.Event().wait(hp.seconds)
    shutil.copy(job.checkpoints / "steps", job.model / "steps")
    (job.model / "filler").write_bytes(os.urandom(hp.filler))
