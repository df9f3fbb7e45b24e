"""Arithmetic of a run: what stays in fp32 inside a bf16 run, and what has bf16."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from clary.vision.training.precision import autocast, processor

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 8, 3, groups=2),
        nn.Conv2d(8, 4, 1),
        nn.Flatten(),
        nn.Linear(4 * 9, 2),
    )


def types(network: nn.Module, images: Tensor, kind: str) -> list[torch.dtype]:
    """The type of each layer's output."""
    found: list[torch.dtype] = []
    handles = [layer.register_forward_hook(lambda m, i, out: found.append(out.dtype)) for layer in network.children()]
    with autocast(kind, CPU):
        network(images)
    for handle in handles:
        handle.remove()
    return found


def test_grouped_convolutions_are_trained_in_fp32_and_all_else_in_bf16() -> None:
    half, whole = torch.bfloat16, torch.float32
    images = torch.rand(2, 3, 9, 9)
    assert types(layers(), images, "bf16") == [half, whole, whole, half, half, half]
    assert set(types(layers(), images, "fp32")) == {whole}


def test_only_the_backward_pass_is_slow_so_without_gradients_all_is_bf16() -> None:
    with torch.no_grad():
        assert set(types(layers(), torch.rand(2, 3, 9, 9), "bf16")) == {torch.bfloat16}
    frozen = layers().requires_grad_(False)
    assert set(types(frozen, torch.rand(2, 3, 9, 9), "bf16")) == {torch.bfloat16}


@pytest.mark.parametrize("call", ["module", "positional", "keyword"])
def test_grouped_convolution_in_a_bf16_run_gives_the_numbers_of_fp32(call: str) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    images = torch.rand(2, 4, 6, 6).bfloat16().float()
    expected = layer(images)
    calls: dict[str, Callable[[], Tensor]] = {
        "module": lambda: layer(images),
        "positional": lambda: torch.conv2d(images, layer.weight, layer.bias, 1, 1, 1, 4),
        "keyword": lambda: nn.functional.conv2d(images, layer.weight, layer.bias, padding=1, groups=4),
    }
    with autocast("bf16", CPU):
        found = calls[call]()
    assert torch.equal(found, expected)


def test_gradients_of_a_bf16_run_are_those_of_fp32_but_for_rounding() -> None:
    images = torch.rand(4, 3, 9, 9)
    gradients = []
    for kind in ("fp32", "bf16"):
        network = layers()
        with autocast(kind, CPU):
            outputs = network(images)
        outputs.float().square().sum().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
        assert all(gradient is not None and gradient.dtype == torch.float32 for gradient in gradients[-1])
    for exact, rounded in zip(*gradients, strict=True):
        assert exact is not None
        assert rounded is not None
        torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.02 * float(exact.abs().max()))
    assert any(not torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_processor_says_what_multiplies_bf16() -> None:
    info = Path("/proc/cpuinfo")
    flags = info.read_text().split() if info.exists() else []
    if "flags" not in flags:
        pytest.skip("the kernel does not list the flags of the processor")
    expected = "amx" if "amx_tile" in flags else "avx512_bf16" if "avx512_bf16" in flags else None
    assert processor(CPU) == expected


FAULTS = """
import resource, sys
import numpy as np
from clary.vision.training.precision import keep_large_blocks
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(6_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
before = faults()
with keep_large_blocks():
    faults()
    during = faults()
faults()
print(before, during, faults())
"""


@pytest.mark.slow  # another process has to load torch
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_blocks_are_kept_for_the_next_step() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, during, after = map(int, done.stdout.split())
    assert before > 20
    assert during < before / 4
    assert after > before / 4  # given back
