"""A job whose pretrained weights are not to be had trains the packaged network instead, where whoever runs it has said
that it may: `clary up --substitute-weights`, or CLARY_SUBSTITUTE_WEIGHTS=1."""

from __future__ import annotations

import os

from clary.errors import AbsentWeightsError
from clary.vision.algorithms.hyperparameters import TrainingHyperparameters
from clary.vision.algorithms.joblog import JobLog
from clary.vision.base.hyperparameters import Hyperparameters
from clary.vision.base.jobdir import SUBSTITUTE_WEIGHTS, JobDir

__all__ = ["with_weights"]


def with_weights(hp: Hyperparameters, job: JobDir, log: JobLog) -> Hyperparameters:
    """``hp``, with a backbone whose weights are here where those asked for are not and the switch is set.

    Says so in the log and in the job's directory. A model channel brings weights of its own. Raises WeightsError for
    weights that are damaged.
    """
    if not isinstance(hp, TrainingHyperparameters) or os.environ.get(SUBSTITUTE_WEIGHTS) not in ("1", "true"):
        return hp
    asked = hp.pretrained_network()
    if not asked or "model" in job.channels:
        return hp
    from clary.vision.models.weights import SUBSTITUTE, load  # not before it is needed: loads torch

    try:
        if not _resumed(job, asked):
            load(asked)
            return hp
        why = "as before this run was interrupted"
    except AbsentWeightsError as error:
        why = error.what
    job.substitute(asked, SUBSTITUTE)
    switch = f"`clary up --substitute-weights`, {SUBSTITUTE_WEIGHTS}"
    log.warning(f"{SUBSTITUTE} is trained in place of {asked}: {why}, and that may be ({switch})")
    return hp.substituted(SUBSTITUTE)


def _resumed(job: JobDir, asked: str) -> bool:
    """Whether a checkpoint is that of a substitute, which has to be gone on with whatever weights are there by now."""
    noted = job.substituted()
    return noted is not None and noted[0] == asked and job.checkpoints.is_dir() and any(job.checkpoints.iterdir())
