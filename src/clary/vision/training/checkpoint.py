"""What a run needs to go on exactly where it was: one file, written whole or not at all.

``checkpoints/last.safetensors`` holds the tensors (network, optimizer, best weights) and, as its metadata, the
numbers (epoch, step, history, tallies) as JSON. No pickle. Random draws need no saving: order, augmentation and
dropout depend on (seed, epoch, step) alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from clary.errors import UsageError
from clary.vision.base.events import Way
from clary.vision.base.files import remove_temporaries, write_bytes

__all__ = ["PICTURES", "Checkpoints", "Progress"]

PICTURES = "pictures of "  # begins what tells of the samples of a split
VERSION = 2  # 1 had hyperparameters and what else is compared in one object


@dataclass
class Progress:
    """Where a run is. ``epoch`` and ``step`` (within it) name the step to do next."""

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    precision: str = ""
    precision_reason: str = ""
    way: Way = "plain"  # as checkpoints of before it was written were made
    kernels: int = 1  # those of the folded way, by their number; 1 likewise
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)
    tally: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    best: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def next_epoch(self) -> None:
        self.epoch, self.step, self.tally = self.epoch + 1, 0, {}


class Checkpoints:
    """The checkpoint of a run, written at most every ``every`` seconds and when asked.

    ``fingerprint`` describes what must agree between the run that wrote and the one that resumes (hyperparameters,
    classes, number of samples): another one is refused, since the numbers would silently differ. With ``may_grow`` more
    epochs than were asked for then are taken: the steps made are the same, what is left of the schedule is another.
    """

    def __init__(
        self, folder: Path, fingerprint: Mapping[str, Any], every: float = 20.0, *, may_grow: bool = False
    ) -> None:
        self.path = folder / "last.safetensors"
        # As it will be read: tuples have become lists, keys strings. Else every resume would seem to differ.
        self._fingerprint = json.loads(json.dumps(fingerprint, sort_keys=True, default=str))
        self._every = every
        self._may_grow = may_grow
        self._last = time.monotonic()
        self._held = (0, 0)  # epoch and step to do next

    @property
    def due(self) -> bool:
        # monotonic: a clock that is set must neither stop checkpoints nor ask for one after each step.
        return time.monotonic() - self._last >= self._every

    def hold(self, progress: Progress) -> bool:
        """Whether the checkpoint that was written or read last is of this place."""
        return self._held == (progress.epoch, progress.step)

    def save(self, progress: Progress, network: nn.Module, optimizer: Optimizer) -> None:
        """Replace the checkpoint. Raises UsageError when the disk is full; the old one then stays."""
        tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
        # In the same file: one rename changes weights, best weights and numbers together (docs/decisions/0002).
        tensors |= {f"best.{name}": value for name, value in progress.best.items()}
        for index, state in optimizer.state_dict()["state"].items():
            # as_tensor: an optimizer may keep plain numbers (a count of steps) beside tensors.
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
        numbers = asdict(replace(progress, best={}))
        note = {"version": VERSION, "fingerprint": self._fingerprint, "progress": numbers}
        # safetensors knows no strides: channels-last weights are laid out anew when read (_lay_out_as_parameters).
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        write_bytes(self.path, save(plain, {"clary": json.dumps(note)}))
        self._last = time.monotonic()
        self._held = (progress.epoch, progress.step)

    def peek(self) -> Progress | None:
        """The numbers of the checkpoint, without its tensors; None when there is none.

        Raises UsageError when it is damaged or belongs to another run.
        """
        return Progress(**self._note()["progress"]) if self.path.exists() else None

    def restore(self, network: nn.Module, optimizer: Optimizer) -> Progress | None:
        """Put the saved state into network and optimizer. Returns None, and does nothing, when there is none."""
        remove_temporaries(self.path)  # a process was killed while it wrote
        # First the numbers, whose fingerprint is compared, before gigabytes of tensors are read.
        progress = self.peek()
        if progress is None:
            return None
        with safe_open(self.path, framework="pt") as file:
            # Copies: the file's own are mapped from a file that will be replaced.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a dict
        network.load_state_dict(_under("network.", tensors))
        progress.best = _under("best.", tensors)
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = value
        # Its own groups stay: rates and decays are those of this run's settings, which the fingerprint has compared.
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        _lay_out_as_parameters(optimizer)
        self._held = (progress.epoch, progress.step)
        return progress

    def _note(self) -> dict[str, Any]:
        try:
            with safe_open(self.path, framework="pt") as file:
                note: dict[str, Any] = json.loads((file.metadata() or {})["clary"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise UsageError("is no checkpoint", where=self.path, hint="start anew without --resume") from error
        if note["version"] not in (1, VERSION):
            raise UsageError(f"has version {note['version']}, not {VERSION}", where=self.path, hint="start anew")
        now = _flat(self._fingerprint)
        then = _flat(note["fingerprint"]) if note["version"] == VERSION else _of_first(note["fingerprint"], now)
        # Of a checkpoint of before they were in it they cannot differ.
        late = [place for place in now if place[0].startswith(PICTURES) and place not in then]
        now = {place: value for place, value in now.items() if place not in late}
        epochs = ("hyperparameters", "epochs")
        if self._may_grow and then.get(epochs, 0) <= now.get(epochs, 0):
            then[epochs] = now.get(epochs)
        names = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
        if differing := ", ".join(f"{name[-1]}: {then.get(name)} then, {now.get(name)} now" for name in names):
            raise UsageError(
                f"belongs to a run with other settings ({differing})",
                where=self.path,
                hint="use the same, or start anew",
            )
        return note


def _flat(fingerprint: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """What is compared, by its place: values of objects one by one, so that the one that differs can be named."""
    found: dict[tuple[str, ...], Any] = {}
    for name, value in fingerprint.items():
        found |= {(name, inner): one for inner, one in value.items()} if isinstance(value, dict) else {(name,): value}
    return found


def _of_first(fingerprint: Mapping[str, Any], now: Mapping[tuple[str, ...], Any]) -> dict[tuple[str, ...], Any]:
    """The fingerprint of a checkpoint of version 1, in which names of hyperparameters stood beside the others."""
    beside = {name: fingerprint[name] for name in ("class_names", "pictures") if name in fingerprint}
    own = {name: value for name, value in fingerprint.items() if name not in beside}
    # What was not in it yet cannot differ.
    known = {place: value for place, value in now.items() if place[-1] not in own and place[0] == "hyperparameters"}
    return known | _flat({"hyperparameters": own, **beside})


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _lay_out_as_parameters(optimizer: Optimizer) -> None:
    """Give each state the memory order of its parameter, as it had: the same kernels then run at the same speed."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter).copy_(value)
