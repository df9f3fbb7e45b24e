"""What shows a run, and the words that all of them use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, get_args

from clary.vision.base.events import EpochEnd, Hook, RunEnd, RunStart
from clary.vision.base.image_sizes import sizes_said
from clary.wording import duration, plural

if TYPE_CHECKING:
    from clary.local.run import Run

__all__ = [
    "View",
    "end_said",
    "epoch_said",
    "measured",
    "notes_said",
    "pictures_per_second",
    "start_said",
]

RANDOM = "starts from random weights; use_pretrained_model=1 takes pretrained ones (`clary weights` lists those here)"
NOTES = 3  # kinds of notes that are said; `clary data check` says all


class View(Hook):
    """A listener that is also told when the model is written."""

    def on_model(self, run: Run) -> None:
        """``run`` has finished."""


def start_said(event: RunStart) -> list[str]:
    """Pictures, classes, network, sizes that change, device and, last, precision: what a run begins with. Why it is
    that precision stands in the log, the metrics and the report."""
    # Brings numpy, and every verb's module is loaded for every command.
    from clary.vision.base.types import SplitName

    said = []
    if event.dataset is not None:
        splits = event.dataset.splits
        counted = ", ".join(f"{len(splits[name]):,} {name}" for name in get_args(SplitName) if splits.get(name))
        said += [f"pictures: {counted}"] if counted else []
        names = event.dataset.class_names
        said += [plural(len(names), "class", ",")] if names else []
    resumed = f"resumed at step {event.first_step + 1}" if event.first_step else ""
    sizes = sizes_said(event.image_sizes)
    random = "random weights" if event.random_weights else ""
    network = (event.network_name, random, sizes)
    return [part for part in (*said, *network, event.device, resumed, event.arithmetic) if part]


def notes_said(event: RunStart) -> list[str]:
    """That nothing learnt before is used, and what `clary data check` would note of the pictures: how something was
    read, what was left out."""
    # Brings numpy, as above.
    from clary.vision.datasets.left_out import count_left_out, say_left_out, summed_up

    problems = event.dataset.problems if event.dataset is not None else ()
    left_out = count_left_out(problems)
    random = [RANDOM] if event.random_weights else []
    return [*random, *summed_up(problems, NOTES), *([say_left_out(left_out)] if left_out else [])]


def epoch_said(event: EpochEnd, epochs: int) -> list[str]:
    """Which epoch, what was measured in training and in validation, and what it took."""
    said = [f"epoch {event.epoch + 1:{len(str(epochs))}}/{epochs}", f"train {measured(event.train)}"]
    if event.validation:
        said.append(f"validation {measured(event.validation)}")
    seconds = event.seconds + event.validation_seconds
    return [*said, duration(seconds)]


def end_said(event: RunEnd) -> str:
    """Which epoch was best, or the last where nothing was validated, and what all of them took."""
    why = " (stopped early: no gain any more)" if event.reason == "early_stopping" else ""
    which = "best" if event.validated else "last"
    return f"{which} epoch {event.best_epoch + 1} of {event.epochs}{why}, {duration(event.seconds)}"


def measured(metrics: Mapping[str, float]) -> str:
    """``accuracy 0.9062 loss 0.312``: what the task is judged by, where that is measured, and the loss."""
    from clary.vision.tasks import main_metric  # brings numpy too

    main = main_metric(metrics)
    said = [f"{main} {metrics[main]:.4f}"] if main else []
    said += [f"loss {metrics['loss']:.3f}"] if "loss" in metrics else []
    return " ".join(said or [f"{name} {value:.4f}" for name, value in metrics.items()])


def pictures_per_second(samples: int, seconds: float) -> str:
    """``33 pictures/s``."""
    # A clock that does not move between two events divides by zero.
    speed = samples / max(seconds, 1e-9)
    return f"{speed:.0f} pictures/s" if speed >= 10 else f"{speed:.1f} pictures/s"
