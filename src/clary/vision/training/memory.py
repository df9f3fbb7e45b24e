"""How much memory a training will need, counted before there is any of it.

The network is run once on torch's meta device, where tensors have shapes and no bytes, and what autograd keeps for the
way back is added up. To that come weights, gradients, the optimizer's state and the copy of the best weights. What is
left out (buffers of kernels, the way back's own maps, cached pictures) makes the estimate low rather than high: a job
that fits is never refused. Measured against real peaks: docs/benchmarks.md.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clary.errors import CustomerError
from clary.vision.base.memory import SMALLER, machine_memory
from clary.vision.training.precision import processor

__all__ = ["check_memory", "count", "estimate"]

# Tensors of a parameter's size that the update rules keep.
STATES = {"sgd": 1, "nag": 1, "adagrad": 1, "rmsprop": 1, "adam": 2, "adamw": 2, "adadelta": 2}
LARGEST = 4 << 30  # bytes: weights, gradients, state and copies of the largest network of which ``most`` is told
LOADED = 2  # batches of pixels that are there at a time: one in work, one being made


def estimate(
    part: nn.Module, batch: int, height: int, width: int, *, optimizer: str, precision: str
) -> tuple[int, int]:
    """Bytes that training ``part`` needs beside this process's own: whatever the batch, and for each picture of it.

    ``part`` lies on the meta device, frozen as it will be; it takes uint8 (N, H, W, 3). ``precision`` is "fp32", "bf16"
    or "auto". Raises what the network raises where it cannot be run so.
    """
    images = torch.empty(batch, height, width, 3, dtype=torch.uint8, device="meta")
    own = {one.untyped_storage()._cdata for one in (images, *part.parameters(), *part.buffers())}
    kept: dict[int, Any] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        # By storage: many views of one map are kept. The storage is held, or its address would be used again.
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    part.train()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = part(images)
    maps = sum(storage.nbytes() for storage in kept.values())
    low = precision == "bf16" or (precision == "auto" and processor(torch.device("cpu")) is not None)
    # Half of fp32 in bf16, as nearly all of it is maps; depthwise convolutions keep theirs.
    maps = maps // 2 if low else maps
    # Of the outputs the loss keeps probabilities, in fp32, and has their gradient.
    ends = sum(2 * 4 * one.numel() for one in _tensors(outputs))
    pixels = LOADED * images.numel()
    weights = [p.numel() * p.element_size() for p in part.parameters()]
    trained = [p.numel() * p.element_size() for p in part.parameters() if p.requires_grad]
    # Twice: with the best ones so far.
    fixed = 2 * sum(weights) + (1 + STATES.get(optimizer, 1)) * sum(trained)
    return fixed, (maps + ends + pixels) // batch


def check_memory(
    make: Callable[[], nn.Module],
    batch: int,
    size: Sequence[int],
    *,
    optimizer: str,
    precision: str,
    most: int = 0,
) -> None:
    """Refuse a training that this machine's memory cannot hold. ``make`` builds the part that is trained, ``size`` is
    height and width of pictures, ``most`` the bytes that such a network keeps of a pixel at most, where that is known:
    a job that is far below the limit then starts without the tenth of a second that counting takes.

    Raises CustomerError with the estimate and, where there is one, the batch that would fit; what ``make`` raises.
    """
    limit, (height, width) = machine_memory(), size
    if not limit or (most and batch * height * width * most + LARGEST < limit):
        return
    counted = count(make, size, optimizer=optimizer, precision=precision)
    if counted is None or (needed := counted[0] + batch * counted[1]) <= limit:
        return
    fitting = (limit - counted[0]) // counted[1]
    hint = f"use a mini_batch_size of {fitting} at the most" if fitting > 0 else SMALLER
    what = f"training needs {_gigabytes(needed)} of memory or more, this machine has {_gigabytes(limit)}"
    raise CustomerError(f"{what} (mini_batch_size={batch}, pictures of {width} x {height})", hint=hint)


def count(
    make: Callable[[], nn.Module], size: Sequence[int], *, optimizer: str, precision: str
) -> tuple[int, int] | None:
    """``estimate`` with this process's own memory; None for a network that does not go by shapes alone, or takes no
    such pictures, which is said where it is run. Raises what ``make`` raises."""
    height, width = size
    with torch.device("meta"):
        part = make()
    try:
        # Of two pictures: normalisation wants more than one, and the others are like them.
        fixed, each = estimate(part, 2, height, width, optimizer=optimizer, precision=precision)
    except (RuntimeError, NotImplementedError, AssertionError, ValueError, TypeError):
        return None
    return _resident() + fixed, each


def _tensors(outputs: Any) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else [one for part in outputs for one in _tensors(part)]


def _resident() -> int:
    """Bytes of memory this process has now: libraries, and what was read."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
