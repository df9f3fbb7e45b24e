"""What the recipes of all algorithms do alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.torch import save
from torch import nn
from torch.optim import Optimizer

from clary.errors import CustomerError, DataError, ImageError
from clary.version import __version__
from clary.vision.algorithms.hyperparameters import TrainingHyperparameters
from clary.vision.algorithms.joblog import JobLog
from clary.vision.artifact.manifest import Provenance
from clary.vision.base import imaging
from clary.vision.base.events import Hook
from clary.vision.base.files import write_bytes
from clary.vision.base.imaging import Preprocess
from clary.vision.base.jobdir import JobDir
from clary.vision.base.types import Blob, Dataset
from clary.vision.datasets.check import examine
from clary.vision.datasets.left_out import by_reason, count_left_out, say_left_out
from clary.vision.datasets.loader import Loader
from clary.vision.formats._classes import readable
from clary.vision.training.checkpoint import Checkpoints
from clary.vision.training.loop import Training
from clary.vision.training.objectives.base import Objective
from clary.vision.training.schedules import Schedule
from clary.vision.training.stopping import EarlyStopping, StopRequest
from clary.wording import plural

__all__ = [
    "admit",
    "assemble",
    "cache_budgets",
    "check_batch",
    "early_stopping",
    "examples",
    "fingerprint",
    "log_problems",
    "precision",
    "provenance",
    "read",
    "saver",
    "try_out",
]

# Chosen: about 5,000 pictures of 256 x 256 pixels.
CACHE_BYTES = 1 << 30  # decoded pictures kept in memory, both splits together
# Lines of one kind that a log names one by one: a set of scans has a note for each of its gray pictures.
ERRORS_ALIKE, NOTES_ALIKE = 100, 3
EXAMPLES = 4  # pictures on which the engines are compared with eager torch

Made = TypeVar("Made")


def early_stopping(hp: TrainingHyperparameters) -> EarlyStopping | None:
    """The rule that the hyperparameters ask for, None without one."""
    if not hp.early_stopping:
        return None
    return EarlyStopping(hp.early_stopping_min_epochs, hp.early_stopping_patience, hp.early_stopping_tolerance)


def precision(hp: TrainingHyperparameters) -> str:
    """`precision_dtype=float16` asks for half precision; here that is bf16, which needs no loss scaling."""
    return "bf16" if hp.get("precision_dtype") == "float16" and "precision" not in hp.given else hp.precision


def fingerprint(hp: TrainingHyperparameters, dataset: Dataset) -> dict[str, Any]:
    """What a resumed run must share with the one it goes on from."""
    # Every hyperparameter: with any other the steps already made would not be those of this job (decisions/0002).
    return {**hp, "class_names": dataset.class_names, "pictures": _counts(dataset)}


def provenance(hp: TrainingHyperparameters, dataset: Dataset, precision: str = "") -> Provenance:
    """Where a model comes from, for its manifest; ``precision`` is the arithmetic that the training took."""
    return Provenance(
        clary=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        torch=torch.__version__,
        seed=hp.seed,
        precision=precision,
        dataset=readable(dataset.root.name),
        counts=_counts(dataset),
    )


def assemble(
    job: JobDir,
    hp: TrainingHyperparameters,
    dataset: Dataset,
    *,
    network: nn.Module,
    loaders: tuple[Loader, Loader | None],
    objective: Objective,
    optimizer: Optimizer,
    schedule: Schedule,
    hooks: Sequence[Hook],
    stop: StopRequest,
    architecture: str = "",
) -> Training:
    """The run, of the parts that differ from task to task; ``network`` is on its device already, its backbone is called
    ``architecture`` in the manifest."""
    return Training(
        network=network,
        objective=objective,
        optimizer=optimizer,
        schedule=schedule,
        train=loaders[0],
        validation=loaders[1],
        epochs=hp.epochs,
        seed=hp.seed,
        device=next(network.parameters()).device,
        checkpoints=Checkpoints(job.checkpoints, fingerprint(hp, dataset)),
        precision=precision(hp),
        architecture=architecture,
        early_stopping=early_stopping(hp),
        hooks=hooks,
        stop=stop,
    )


def saver(network: nn.Module, path: Path) -> Callable[[], Path]:
    """What keeps the network's weights as they are then in ``path``, which it returns. The bytes are safetensors,
    whatever the original's name for the file says."""

    def keep() -> Path:
        state = network.state_dict()
        # Contiguous: safetensors refuses channels-last tensors, which is how networks are trained on processors.
        write_bytes(path, save({name: value.detach().cpu().contiguous() for name, value in state.items()}))
        return path

    return keep


def check_batch(dataset: Dataset, hp: TrainingHyperparameters) -> None:
    """Raises CustomerError for fewer training pictures than a step takes."""
    if len(dataset.splits["train"]) < hp.mini_batch_size:
        raise CustomerError("The number of input images must be bigger or equal to the mini_batch_size.")


def cache_budgets(dataset: Dataset) -> tuple[int, int]:
    """Bytes for decoded pictures of the train and of the validation split: CACHE_BYTES, shared by their sizes."""
    train, validation = (len(dataset.splits.get(name, ())) for name in ("train", "validation"))
    # Each image is used once an epoch, in either split.
    first = CACHE_BYTES * train // (train + validation)
    return first, CACHE_BYTES - first


def examples(dataset: Dataset, how: Preprocess) -> np.ndarray:
    """The first EXAMPLES training pictures as network input, uint8 (count, H, W, 3), on which engines are compared."""
    samples = dataset.splits["train"][:EXAMPLES]
    return np.stack([imaging.fit(imaging.decode(s.image.read(), strict=False), how) for s in samples])


def admit(job: JobDir, dataset: Dataset, log: JobLog) -> Dataset:
    """The job's data as it is trained on, each bad record named and counted in the log before the first step.

    Raises DataError for records that no run can use (``CheckResult.refuse``), after all of them are named.
    """
    # Looked at already, by who started the job in this process.
    if job.dataset is not None:
        log_problems(dataset, log)
        return dataset
    result = examine(dataset)
    # Of the data set as it was read: records that are tolerated stay.
    dataset = replace(dataset, problems=result.problems)
    log_problems(dataset, log)
    result.refuse(job=True)
    return dataset


def log_problems(dataset: Dataset, log: JobLog) -> None:
    """A line for each bad record, those of one kind up to a number, then how many there are by reason."""
    told: Counter[str] = Counter()
    for problem in dataset.problems:
        error = problem.severity == "error"
        kind = (problem.reason if error else "") or problem.what
        told[kind] += 1
        if told[kind] > (ERRORS_ALIKE if error else NOTES_ALIKE):
            continue
        if error:
            log.warning(f"{'used as it is' if problem.tolerated else 'left out'}: {problem}")
        else:
            log.info(f"note: {problem}")
    for kind, count in told.items():
        if count > NOTES_ALIKE:
            log.info(f"{count} in all: {kind}")
    if counts := count_left_out(problem for problem in dataset.problems if problem.tolerated):
        log.warning(f"used as they are: {plural(sum(counts.values()), 'record')} ({by_reason(counts)})")
    if counts := count_left_out(problem for problem in dataset.problems if not problem.tolerated):
        log.info(say_left_out(counts))
    if dataset.problems:
        sizes = ", ".join(f"{len(samples)} of {split}" for split, samples in dataset.splits.items())
        log.info(f"pictures used: {sizes}")


def read(blob: Blob, how: Callable[[bytes], Made]) -> Made:
    """What ``how`` makes of a file's bytes. Raises DataError naming the file that cannot be read or used."""
    try:
        return how(blob.read())
    except ImageError as error:
        raise DataError(error.what, where=blob, hint=error.hint) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=blob) from error


def try_out(network: nn.Module, name: str, height: int, width: int, setting: str) -> None:
    """Pass one picture through. Raises CustomerError: some backbones take one size only, others none so small."""
    try:
        with torch.inference_mode():
            # In eval: one image alone has no variance, and batch normalisation of a 1 x 1 map would refuse it.
            network.eval()(torch.zeros(1, height, width, 3, dtype=torch.uint8))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise CustomerError(
            f"The network {name} does not take pictures of {width} x {height} pixels ({' '.join(str(error).split())})",
            hint=f"set another {setting}",
        ) from error


def _counts(dataset: Dataset) -> Mapping[str, int]:
    return {name: len(samples) for name, samples in dataset.splits.items()}
