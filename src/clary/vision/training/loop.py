"""The loop: order of events, nothing else. Every part it calls has a file of its own.

A step is a function of (weights, optimizer state, seed, epoch, step): order and augmentation come from the loader,
dropout from the seed set before the step. So a run killed anywhere and resumed from its last checkpoint arrives at
the same weights, bit for bit on one machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from clary.errors import DivergedError, InterruptedRun
from clary.vision.base.events import BatchEnd, EpochEnd, Hook, RunEnd, RunStart, ValidationBatchEnd
from clary.vision.datasets.loader import Batch, Loader
from clary.vision.training.checkpoint import Checkpoints, Progress
from clary.vision.training.objectives.base import Objective
from clary.vision.training.optim import rescale_momentum, set_rate
from clary.vision.training.precision import autocast, choose, trial_size
from clary.vision.training.precision_cache import PrecisionCache
from clary.vision.training.schedules import Schedule
from clary.vision.training.stopping import EarlyStopping, StopRequest

__all__ = ["Training", "fit"]


@dataclass
class Training:
    """All that a run is made of. ``validation`` may be None: then the last epoch's weights are the result."""

    network: nn.Module
    objective: Objective
    optimizer: Optimizer
    schedule: Schedule
    train: Loader
    validation: Loader | None
    epochs: int
    seed: int
    device: torch.device
    checkpoints: Checkpoints
    precision: str = "auto"
    early_stopping: EarlyStopping | None = None
    hooks: Sequence[Hook] = ()
    stop: StopRequest = field(default_factory=StopRequest)


def fit(run: Training) -> Progress:
    """Train until the epochs are done or early stopping says so; the network ends with the best weights.

    Raises DivergedError when the loss is no number, InterruptedRun after a stop was asked for and a checkpoint saved.
    """
    progress = run.checkpoints.restore(run.network, run.optimizer) or Progress()
    started = time.perf_counter() - progress.seconds  # the trial of precisions counts as training
    if not progress.precision:
        progress.precision = _choose_precision(run)
    for hook in run.hooks:
        hook.on_start(_run_start(run, progress))
    while progress.epoch < run.epochs and not _should_stop(run, progress):
        _train_epoch(run, progress, started)
    if progress.best:
        run.network.load_state_dict(progress.best)
    reason: Literal["completed", "early_stopping"] = "early_stopping" if _should_stop(run, progress) else "completed"
    end = RunEnd(reason, progress.epoch, progress.best_epoch, time.perf_counter() - started)
    for hook in run.hooks:
        hook.on_end(end)
    return progress


def _run_start(run: Training, progress: Progress) -> RunStart:
    return RunStart(
        network=run.network,
        optimizer=run.optimizer,
        epochs=run.epochs,
        steps_per_epoch=len(run.train),
        first_step=progress.global_step,
        precision=progress.precision,
        first_epoch=progress.epoch,
    )


def _train_epoch(run: Training, progress: Progress, started: float) -> None:
    begin = time.perf_counter()
    epoch, first = progress.epoch, progress.step
    for batch in run.train.epoch(epoch, first):
        rate, loss = _step(run, batch, progress)
        progress.step += 1
        progress.global_step += 1
        event = BatchEnd(
            epoch=epoch,
            step=progress.step - 1,
            global_step=progress.global_step,
            loss=loss,
            learning_rate=rate,
            samples=(progress.step - first) * run.train.batch_size,
            seconds=time.perf_counter() - begin,
            metrics=run.objective.metrics(progress.tally),
        )
        for hook in run.hooks:
            hook.on_batch(event)
        progress.seconds = time.perf_counter() - started
        _save_if_asked(run, progress)
    _end_epoch(run, progress, time.perf_counter() - begin, (progress.step - first) * run.train.batch_size)


def _step(run: Training, batch: Batch, progress: Progress) -> tuple[float, float]:
    """One update. Returns the learning rate and the loss."""
    rate, before = run.schedule.rate(progress.global_step), run.schedule.rate(max(progress.global_step - 1, 0))
    set_rate(run.optimizer, rate)
    if run.schedule.drops:
        rescale_momentum(run.optimizer, before, rate)
    torch.manual_seed(run.seed * 1_000_003 + progress.global_step)
    run.network.train()
    run.optimizer.zero_grad(set_to_none=True)
    images, targets = _to_device(batch, run.device)
    outputs, loss = _forward(run, run.network, images, targets, progress.precision)
    loss.backward()
    value = _finite(loss, f"epoch {progress.epoch}, step {progress.step}")
    run.optimizer.step()
    run.objective.count(progress.tally, _detached(outputs), targets, value)
    return rate, value


def _end_epoch(run: Training, progress: Progress, seconds: float, samples: int) -> None:
    train = run.objective.metrics(progress.tally)
    begin = time.perf_counter()
    validation = evaluate(run, progress) if run.validation else {}
    judged = time.perf_counter() - begin
    best = not validation or run.objective.keeps(validation, progress.history)
    progress.history.append(validation)
    if best:
        progress.best_epoch = progress.epoch
        progress.best = {name: value.detach().cpu().clone() for name, value in run.network.state_dict().items()}
    rate = run.schedule.rate(progress.global_step - 1)
    event = EpochEnd(
        epoch=progress.epoch,
        train=train,
        validation=validation,
        seconds=seconds,
        learning_rate=rate,
        best=best,
        samples=samples,
        validation_seconds=judged,
        validation_samples=run.validation.samples if run.validation else 0,
    )
    progress.next_epoch()
    for hook in run.hooks:
        hook.on_epoch(event)
    _save_if_asked(run, progress)


@torch.no_grad()
def evaluate(run: Training, progress: Progress) -> dict[str, float]:
    """Metrics over the validation split, every sample counted once.

    Raises DivergedError, and InterruptedRun: a run stopped here goes on with the whole validation.
    """
    assert run.validation is not None
    run.network.eval()
    accumulator = run.objective.accumulator()
    begin, samples = time.perf_counter(), 0
    for step, batch in enumerate(run.validation.epoch()):
        images, targets = _to_device(batch, run.device)
        outputs, loss = _forward(run, run.network, images, targets, progress.precision)
        accumulator.add(outputs, targets, _finite(loss, f"epoch {progress.epoch}, validation"))
        samples += len(targets)
        event = ValidationBatchEnd(progress.epoch, step, samples, time.perf_counter() - begin)
        for hook in run.hooks:
            hook.on_validation_batch(event)
        if run.stop.made:
            _save_if_asked(run, progress)
    return accumulator.metrics()


def _forward(run: Training, network: nn.Module, images: Tensor, targets: Tensor, precision: str) -> tuple[Any, Tensor]:
    with autocast(precision, run.device):
        outputs = network(images)
    return outputs, run.objective.loss(outputs, targets)


def _detached(outputs: Any) -> Any:
    """Outputs as numbers only: what is counted must not keep the graph alive."""
    return outputs.detach() if isinstance(outputs, Tensor) else tuple(_detached(one) for one in outputs)


def _finite(loss: Tensor, where: str) -> float:
    value = loss.item()
    if not math.isfinite(value):
        raise DivergedError(f"the loss is {value}", where=where, hint="lower `learning_rate`")
    return value


def _choose_precision(run: Training) -> str:
    if run.precision != "auto":
        return run.precision
    images, targets = _to_device(next(iter(run.train.epoch(0))), run.device)
    few = trial_size(len(images), run.device)
    images, targets = images[:few], targets[:few]

    def step(network: nn.Module, precision: str) -> None:
        network.train()
        _forward(run, network, images, targets, precision)[1].backward()

    return choose(run.precision, run.network, step, run.device, PrecisionCache.of(run.network, images.shape[1:]))


def _should_stop(run: Training, progress: Progress) -> bool:
    if run.early_stopping is None or run.validation is None:
        return False
    return run.early_stopping.says_stop([epoch[run.objective.watched] for epoch in progress.history])


def _save_if_asked(run: Training, progress: Progress) -> None:
    if not run.stop.made and not run.checkpoints.due:
        return
    run.checkpoints.save(progress, run.network, run.optimizer)
    if run.stop.made:
        raise InterruptedRun(f"stopped at epoch {progress.epoch}, step {progress.step}; everything is saved")


def _to_device(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    images, targets = torch.from_numpy(batch.images), torch.from_numpy(batch.targets)
    return images.to(device, non_blocking=True), targets.to(device, non_blocking=True)
