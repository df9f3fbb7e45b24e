"""Arithmetic of a run: fp32, or bf16 autocast where the processor has it.

On CPUs the backward pass of depthwise convolutions is several times slower in bf16 than in fp32 (oneDNN; measured:
5 to 12 times for 5x5 or stride 2), so those stay in fp32 inside a bf16 run.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, TypeAlias

import torch
from torch.overrides import TorchFunctionMode

from clary.wording import plural

__all__ = ["Processor", "autocast", "device_name", "keep_large_blocks", "pick_device", "processor"]

Processor: TypeAlias = Literal["amx", "avx512_bf16", "cuda"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h
DEFAULT_THRESHOLD = 32 << 20  # bytes; what glibc's own adjustment stops at


def pick_device() -> torch.device:
    """A CUDA device when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """What computes, for people: ``CPU, 2 threads``, or the name of the GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {plural(torch.get_num_threads(), 'thread')}"


def processor(device: torch.device) -> Processor | None:
    """What multiplies bf16 in hardware on ``device``; None where nothing does."""
    if device.type == "cuda":
        return "cuda" if torch.cuda.is_bf16_supported(including_emulation=False) else None
    if torch.cpu._is_amx_tile_supported():  # such processors have AVX512-BF16 as well
        return "amx"
    return "avx512_bf16" if torch.cpu._is_avx512_bf16_supported() else None


@contextmanager
def autocast(precision: str, device: torch.device) -> Iterator[None]:
    """The arithmetic of ``precision`` ("fp32" or "bf16") for what runs inside."""
    if precision == "fp32":
        yield
        return
    depthwise = _DepthwiseInFp32() if device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, torch.bfloat16), depthwise:
        yield


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
