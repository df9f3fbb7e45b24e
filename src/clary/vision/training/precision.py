"""Arithmetic of a run: fp32, or bf16 autocast where the processor has it and it is faster for this network.

On CPUs the backward pass of depthwise convolutions is several times slower in bf16 than in fp32 (oneDNN; measured:
5 to 12 times for 5x5 or stride 2), so those stay in fp32 inside a bf16 run.
"""

from __future__ import annotations

import copy
import ctypes
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from clary.vision.training.precision_cache import PrecisionCache

__all__ = ["autocast", "choose", "has_bf16", "keep_large_blocks", "pick_device", "trial_size"]

# The least of two: other work on the machine only adds.
TRIAL_STEPS = 2
# On a CPU the ratio of both is that of a whole batch (measured: ResNet-18 2.2 to 2.7, Lite0 1.0).
TRIAL_IMAGES = 4
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h
DEFAULT_THRESHOLD = 32 << 20  # bytes; what glibc's own adjustment stops at


def pick_device() -> torch.device:
    """A CUDA device when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether the processor multiplies bf16 in hardware: AMX or AVX512-BF16, or a CUDA device that supports it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


@contextmanager
def autocast(precision: str, device: torch.device) -> Iterator[None]:
    """The arithmetic of ``precision`` ("fp32" or "bf16") for what runs inside."""
    if precision == "fp32":
        yield
        return
    depthwise = _DepthwiseInFp32() if device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, torch.bfloat16), depthwise:
        yield


def trial_size(images: int, device: torch.device) -> int:
    """How many of a batch to try with: enough to compare by, and the trial of fp32 does not set the peak of memory."""
    half = max(2, images // 2)
    return half if device.type == "cuda" else min(half, TRIAL_IMAGES)


def choose(
    wanted: str,
    network: nn.Module,
    step: Callable[[nn.Module, str], Any],
    device: torch.device,
    cache: PrecisionCache | None = None,
) -> str:
    """ "fp32" or "bf16". With ``wanted`` "auto" both are tried on copies of the network and the faster one is taken.

    ``step(network, precision)`` runs forward and backward once. What ``cache`` knows is not tried again.
    """
    if wanted != "auto":
        return wanted
    if not has_bf16(device):
        return "fp32"
    if cache and (known := cache.recall()):
        return known
    trial = copy.deepcopy(network)  # statistics of normalisation would move, and gradients stay
    seconds = {precision: _fastest(partial(step, trial, precision)) for precision in ("bf16", "fp32")}
    return cache.add(seconds) if cache else min(seconds, key=lambda precision: seconds[precision])


@contextmanager
def keep_large_blocks() -> Iterator[None]:
    """Let glibc keep freed activations for the next step, instead of giving them back and mapping them anew.

    Page faults on fresh blocks cost up to a fifth of a training step (measured). What was kept is given back at the
    end.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    # Both: above the first blocks are mapped and unmapped one by one, above the second the heap's end is given back.
    libc.mallopt(M_MMAP_THRESHOLD, 2**31 - 1)  # an int in C
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        libc.mallopt(M_MMAP_THRESHOLD, DEFAULT_THRESHOLD)
        libc.mallopt(M_TRIM_THRESHOLD, 2 * DEFAULT_THRESHOLD)
        # What follows training, an export or a notebook, gets the memory back.
        libc.malloc_trim(0)


def _fastest(run: Callable[[], Any]) -> float:
    run()  # the first call allocates and picks kernels
    best = float("inf")
    for _ in range(TRIAL_STEPS):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


class _DepthwiseInFp32(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not torch.conv2d or not torch.is_grad_enabled():  # it is the backward pass that is slow
            return func(*args, **kwargs)
        groups = args[6] if len(args) > 6 else kwargs.get("groups", 1)
        if groups > 1 and (args[0].requires_grad or args[1].requires_grad):
            # Only where gradients are asked for: frozen depthwise layers, and all of a validation, stay in bf16.
            with torch.autocast(args[0].device.type, enabled=False):
                return func(args[0].float(), *args[1:], **kwargs)
        return func(*args, **kwargs)
