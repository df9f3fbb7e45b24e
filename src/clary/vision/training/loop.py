"""The loop: order of events, nothing else. Every part it calls has a file of its own.

A step is a function of (weights, optimizer state, seed, epoch, step): order and augmentation come from the loader,
dropout from the seed set before the step. So a run killed anywhere and resumed from its last checkpoint arrives at
the same weights, bit for bit on one machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from clary.errors import CustomerError, DivergedError, InterruptedRun
from clary.vision.base.events import (
    BatchEnd,
    EpochEnd,
    Hook,
    Mode,
    Preparation,
    RunEnd,
    RunStart,
    Step,
    ValidationBatchEnd,
    Way,
)
from clary.vision.base.image_sizes import ImageSizes
from clary.vision.base.types import Dataset
from clary.vision.datasets.loader import Batch, Loader
from clary.vision.training.checkpoint import Checkpoints, Progress
from clary.vision.training.folded.network import KERNELS, FoldedNetwork
from clary.vision.training.listeners import Listeners
from clary.vision.training.objectives.base import Objective
from clary.vision.training.optim import rescale_momentum, set_rate
from clary.vision.training.precision import autocast, device_name, processor
from clary.vision.training.precision_cache import Choice, PrecisionCache
from clary.vision.training.precision_choice import choose, trial_size
from clary.vision.training.schedules import Schedule
from clary.vision.training.stopping import EarlyStopping, StopRequest
from clary.wording import plural

__all__ = ["Training", "fit"]

Subject = tuple[nn.Module, FoldedNetwork | None]  # a network, and the folded way through it


@dataclass
class Training:
    """All that a run is made of. ``validation`` may be None: then the last epoch's weights are the result.

    ``architecture`` names the backbone as manifests do (``timm:resnet18``); precision is known of some. With ``folds``
    steps in bf16 are made the folded way where that is possible (``training.folded``); ``say`` takes lines for the log.
    ``dataset``, ``network_name``, ``image_sizes`` and ``random_weights`` are for listeners.
    """

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
    architecture: str = ""
    folds: bool = True
    say: Callable[[str], object] = lambda line: None
    dataset: Dataset | None = None
    network_name: str = ""
    image_sizes: ImageSizes = field(default_factory=ImageSizes)
    random_weights: bool = False
    early_stopping: EarlyStopping | None = None
    hooks: Sequence[Hook] = ()
    stop: StopRequest = field(default_factory=StopRequest)
    progress: Progress = field(default_factory=Progress)  # where it is: also how far one came that was interrupted
    folded: FoldedNetwork | None = None  # what passes are made with; found by ``fit``


def fit(run: Training) -> Progress:
    """Train until the epochs are done or early stopping says so; the network ends with the best weights.

    Raises DivergedError when the loss is no number, InterruptedRun after a stop was asked for and a checkpoint saved,
    and what a hook raises.
    """
    listeners = Listeners(run.hooks)
    try:
        return _fit(run, listeners)
    finally:
        # Whatever ended the run: hooks took hold of the network, and files are open.
        listeners.on_close.last()


def _fit(run: Training, listeners: Listeners) -> Progress:
    progress = run.progress = run.checkpoints.restore(run.network, run.optimizer) or Progress()
    # Asked for while pictures were read: there is nothing to save yet.
    if run.stop.made and not progress.global_step:
        raise InterruptedRun("stopped before the first step")
    started = time.perf_counter() - progress.seconds  # the trial of precisions counts as training
    _settle_arithmetic(run, listeners, progress)
    # Only now: the trial is no part of the run, and its passes would be told to what hooks put on the network.
    listeners.on_start(_run_start(run, progress))
    while progress.epoch < run.epochs and not _should_stop(run, progress):
        _train_epoch(run, listeners, progress, started)
    # However short the run was: it may be given more epochs, and before its network takes the best weights.
    if not run.checkpoints.hold(progress):
        _save(run, listeners, progress)
    # Of a run without validation these are the last epoch's.
    if progress.best:
        run.network.load_state_dict(progress.best)
    reason: Literal["completed", "early_stopping"] = "early_stopping" if _should_stop(run, progress) else "completed"
    seconds = time.perf_counter() - started
    listeners.on_end(RunEnd(reason, progress.epoch, progress.best_epoch, seconds, validated=run.validation is not None))
    return progress


def _run_start(run: Training, progress: Progress) -> RunStart:
    return RunStart(
        network=run.network,
        optimizer=run.optimizer,
        objective=run.objective,
        epochs=run.epochs,
        steps_per_epoch=len(run.train),
        first_step=progress.global_step,
        first_epoch=progress.epoch,
        precision=progress.precision,
        precision_reason=progress.precision_reason,
        way=progress.way,
        batch_size=run.train.batch_size,
        train_samples=run.train.samples,
        validation_steps=len(run.validation) if run.validation else 0,
        validation_samples=run.validation.samples if run.validation else 0,
        dataset=run.dataset,
        network_name=run.network_name,
        device=device_name(run.device),
        image_sizes=run.image_sizes.all() if run.image_sizes.full else (),
        random_weights=run.random_weights,
    )


def _train_epoch(run: Training, listeners: Listeners, progress: Progress, started: float) -> None:
    begin = time.perf_counter()
    epoch, first = progress.epoch, progress.step
    _fold_anew(run)
    for images, targets in _batches(run, listeners, progress, "train"):
        rate, loss = _step(run, listeners, progress, images, targets)
        progress.step += 1
        progress.global_step += 1
        if listeners.on_batch:
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
            listeners.on_batch(event)
        # Before the checkpoint, which holds it: a resumed run goes on counting from there.
        progress.seconds = time.perf_counter() - started
        _save_if_asked(run, listeners, progress)
    _end_epoch(run, listeners, progress, time.perf_counter() - begin, (progress.step - first) * run.train.batch_size)


def _fold_anew(run: Training) -> None:
    """Hooks between epochs may have written to the network's ``.data``."""
    if run.folded:
        run.folded.forget()


def _batches(run: Training, listeners: Listeners, progress: Progress, mode: Mode) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and targets of the batches that are left of an epoch, or of a validation, on the device."""
    loader = run.train if mode == "train" else run.validation
    assert loader is not None
    first = progress.step if mode == "train" else 0
    epoch, before = progress.epoch, progress.global_step
    # A resumed epoch goes on at its step: the order is the same, so those before are simply not made.
    batches = loader.epoch(epoch, first, _decoding(run, listeners)) if mode == "train" else loader.epoch()
    for step in range(first, len(loader)):
        done = before + step - first if mode == "train" else before
        with listeners.phase("data", mode, epoch, step, done):
            batch = next(batches)
            images, targets = _to_device(batch, run.device)
        yield images, targets
    next(batches, None)  # there is none, but the loader ends its threads


def _decoding(run: Training, listeners: Listeners) -> Callable[[int, int], None] | None:
    """What tells how far the first batch is decoded; None where nobody listens."""
    if not listeners.on_preparation:
        return None
    whole = run.train.samples
    return lambda done, total: listeners.on_preparation(Preparation("decoding pictures", done, total, whole))


def _step(
    run: Training, listeners: Listeners, progress: Progress, images: Tensor, targets: Tensor
) -> tuple[float, float]:
    """One update. Returns the learning rate and the loss."""
    rate, before = run.schedule.rate(progress.global_step), run.schedule.rate(max(progress.global_step - 1, 0))
    set_rate(run.optimizer, rate)
    if run.schedule.drops:
        rescale_momentum(run.optimizer, before, rate)
    run.network.train()
    where: tuple[Mode, int, int, int] = ("train", progress.epoch, progress.step, progress.global_step)
    step = Step(*where, images, targets) if listeners.steps else None
    if step:
        listeners.on_step_start(step)
    # After the hooks: one that draws a random number must not change what dropout draws.
    # Times a prime above any number of steps: seed 1 does not draw at step 0 what seed 0 draws at step 1.
    torch.manual_seed(run.seed * 1_000_003 + progress.global_step)
    # None, not zeros: an optimizer leaves alone what has no gradient, so frozen layers are not decayed either.
    run.optimizer.zero_grad(set_to_none=True)
    with listeners.phase("forward", *where):
        outputs, loss = _forward(run, (run.network, run.folded), images, targets, progress.precision)
    if step:
        listeners.on_forward(step, outputs)
        listeners.on_loss(step, loss)
    with listeners.phase("backward", *where):
        loss.backward()
        value = loss.item()
    if step:
        listeners.on_backward(step)
    _check_finite(value, f"epoch {progress.epoch}, step {progress.step}")  # after the hooks: they show why
    with listeners.phase("optimizer", *where):
        run.optimizer.step()
    run.objective.count(progress.tally, _detached(outputs), targets, value)
    return rate, value


def _end_epoch(run: Training, listeners: Listeners, progress: Progress, seconds: float, samples: int) -> None:
    train = run.objective.metrics(progress.tally)
    begin = time.perf_counter()
    validation: dict[str, float] = {}
    if run.validation:
        with listeners.phase("validation", "validation", progress.epoch, 0, progress.global_step):
            validation = _evaluate(run, listeners, progress)
    judged = time.perf_counter() - begin
    best = not validation or run.objective.keeps(validation, progress.history)
    progress.history.append(validation)
    if best:
        progress.best_epoch = progress.epoch
        # Cloned: on a CPU, cpu() gives the very tensor that the next step changes.
        progress.best = {name: value.detach().cpu().clone() for name, value in run.network.state_dict().items()}
    event = EpochEnd(
        epoch=progress.epoch,
        train=train,
        validation=validation,
        seconds=seconds,
        learning_rate=run.schedule.rate(progress.global_step - 1),
        best=best,
        samples=samples,
        validation_seconds=judged,
        validation_samples=run.validation.samples if run.validation else 0,
        image_size=run.image_sizes.at(progress.epoch),
    )
    # Before the hooks are told: a checkpoint that one of them asks for must not end this epoch a second time.
    progress.next_epoch()
    listeners.on_epoch(event)
    _save_if_asked(run, listeners, progress)


@torch.no_grad()
def _evaluate(run: Training, listeners: Listeners, progress: Progress) -> dict[str, float]:
    """Metrics over the validation split, every sample counted once.

    Raises DivergedError, and InterruptedRun: a run stopped here goes on with the whole validation.
    """
    run.network.eval()
    _fold_anew(run)
    accumulator = run.objective.accumulator()
    begin, samples = time.perf_counter(), 0
    for number, (images, targets) in enumerate(_batches(run, listeners, progress, "validation")):
        where: tuple[Mode, int, int, int] = ("validation", progress.epoch, number, progress.global_step)
        step = Step(*where, images, targets) if listeners.steps else None
        listeners.on_step_start(step)
        with listeners.phase("forward", *where):
            outputs, loss = _forward(run, (run.network, run.folded), images, targets, progress.precision)
        listeners.on_forward(step, outputs)
        listeners.on_loss(step, loss)
        value = loss.item()
        _check_finite(value, f"epoch {progress.epoch}, validation")
        accumulator.add(outputs, targets, value)
        samples += len(targets)
        if listeners.on_validation_batch:
            elapsed = time.perf_counter() - begin
            listeners.on_validation_batch(ValidationBatchEnd(progress.epoch, number, samples, elapsed))
        if run.stop.made:
            _save_if_asked(run, listeners, progress)
    return accumulator.metrics()


def _forward(run: Training, subject: Subject, images: Tensor, targets: Tensor, precision: str) -> tuple[Any, Tensor]:
    network, folded = subject
    applied = folded.applied(run.say) if folded and precision == "bf16" else nullcontext()
    with autocast(precision, run.device), applied:
        try:
            outputs = network(images)
        except ValueError as error:
            raise _too_few_values(error, images) from error
    return outputs, run.objective.loss(outputs, targets)


def _too_few_values(error: ValueError, images: Tensor) -> Exception:
    """PyTorch's refusal to normalise a single value, in words of what was set; any other error as it is."""
    if "more than 1 value per channel" not in str(error):
        return error
    count, height, width, _ = images.shape
    what = (
        f"a batch of {plural(count, 'picture')} of {width}x{height} pixels is a single value a channel by the "
        "network's last layers, and normalisation needs more"
    )
    return CustomerError(
        what, where="mini_batch_size", hint="set mini_batch_size=2 or more, or train on larger pictures"
    )


def _detached(outputs: Any) -> Any:
    """Outputs as numbers only: what is counted must not keep the graph alive."""
    return outputs.detach() if isinstance(outputs, Tensor) else tuple(_detached(one) for one in outputs)


def _check_finite(loss: float, where: str) -> None:
    if not math.isfinite(loss):
        raise DivergedError(f"the loss is {loss}", where=where, hint="lower `learning_rate`")


def _settle_arithmetic(run: Training, listeners: Listeners, progress: Progress) -> None:
    """Precision and way: of a run that goes on those that it began with."""
    begins = not progress.precision
    foldable = run.folds and run.precision != "fp32" and run.device.type == "cpu" and processor(run.device) is not None
    run.folded = FoldedNetwork.of(run.network, run.say) if foldable and (begins or progress.way != "plain") else None
    if begins:
        progress.precision, progress.precision_reason = _choose_precision(run, listeners)
    if progress.precision == "fp32":
        run.folded = None
    progress.way = "folded norms" if run.folded else "plain"
    if run.folded and not begins and progress.kernels != KERNELS:
        run.say(
            "goes on with newer kernels: its weights differ by rounding from those of a run that was not interrupted"
        )
    progress.kernels = KERNELS


def _choose_precision(run: Training, listeners: Listeners) -> Choice:
    if run.precision != "auto":
        slow = run.precision == "bf16" and processor(run.device) is None
        return Choice(run.precision, f"asked for{', though this processor has none in hardware' if slow else ''}")
    # Of the size that most epochs have: the first ones may be of small pictures.
    batches = run.train.epoch(run.image_sizes.first_full, waiting=_decoding(run, listeners))
    images, targets = _to_device(next(batches), run.device)
    few = trial_size(len(images), run.device)
    images, targets = images[:few], targets[:few]

    tried = count()

    def step(subject: Subject, precision: str) -> None:
        listeners.on_preparation(Preparation("trying bf16 and fp32", next(tried)))
        subject[0].train()
        _forward(run, subject, images, targets, precision)[1].backward()

    way: Way = "folded norms" if run.folded else "plain"
    cache = PrecisionCache.of(run.network, images.shape[1:], way)
    return choose((run.network, run.folded), step, run.device, architecture=run.architecture, way=way, cache=cache)


def _should_stop(run: Training, progress: Progress) -> bool:
    if run.early_stopping is None or run.validation is None:
        return False
    return run.early_stopping.says_stop([run.objective.gain(epoch) for epoch in progress.history])


def _save_if_asked(run: Training, listeners: Listeners, progress: Progress) -> None:
    if not run.stop.made and not run.checkpoints.due:
        return
    _save(run, listeners, progress)
    if run.stop.made:
        raise InterruptedRun(f"stopped at epoch {progress.epoch}, step {progress.step}; everything is saved")


def _save(run: Training, listeners: Listeners, progress: Progress) -> None:
    with listeners.phase("checkpoint", "train", progress.epoch, progress.step, progress.global_step):
        run.checkpoints.save(progress, run.network, run.optimizer)


def _to_device(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    images, targets = torch.from_numpy(batch.images), torch.from_numpy(batch.targets)
    return images.to(device, non_blocking=True), targets.to(device, non_blocking=True)
