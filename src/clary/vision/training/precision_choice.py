"""Which arithmetic a run takes, and why: what was asked for, what is known, what a trial shows, or the rule.

Wherever a processor multiplies bf16 in hardware, bf16 was at least as fast for 15 of 16 networks measured
(``benchmarks/precision.py``), so that is the rule, and only certain evidence turns it over. One quick trial decided
before: beside other programs it took the slower one in half of all runs, and another model came of the same seed.
"""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from clary.vision.training.precision import Processor, processor
from clary.vision.training.precision_cache import Choice, PrecisionCache
from clary.wording import plural

__all__ = ["KNOWN", "TRIED_WITH", "choose", "trial_size"]

# Times as fast in bf16 as in fp32, forward and backward, of networks that jobs and `clary train` name. On AMX of a Xeon
# and on AVX512-BF16 of an EPYC, 2 cores each.
KNOWN: Mapping[Processor, Mapping[str, float]] = {
    "amx": {"timm:tf_efficientnet_lite0": 1.7, "timm:resnet18": 2.2},
    "avx512_bf16": {
        "timm:tf_efficientnet_lite0": 1.1,
        "timm:resnet18": 1.6,
        "timm:resnet34": 1.6,
        "timm:resnet50": 1.7,
        "timm:resnet101": 1.7,
        "timm:resnet152": 1.8,
        "vgg16": 1.6,
    },
}
TRIED_WITH = "2.15"  # torch, by minor version: kernels change from one to the next

# On a CPU the ratio of both is that of a whole batch (measured: ResNet-18 2.2 to 2.7, Lite0 1.0).
TRIAL_IMAGES = 4
BUDGET = 2.0  # seconds of a trial, the first step of each precision aside
# Pairs of steps by which bf16, the rule, must lead, and fp32. Equally fast, a coin leads by 7 in less than 1 of 100
# trials of this length.
LEAD, LEAD_AGAINST = 5, 7
# Times as fast as bf16 that fp32 must be: below it little is lost, and a choice that noise can turn is worth more.
CLEARLY = 1.2


def trial_size(images: int, device: torch.device) -> int:
    """How many of a batch to try with: enough to compare by, and the trial of fp32 does not set the peak of memory."""
    half = max(2, images // 2)
    return half if device.type == "cuda" else min(half, TRIAL_IMAGES)


def choose(
    network: nn.Module,
    step: Callable[[nn.Module, str], Any],
    device: torch.device,
    *,
    architecture: str = "",
    cache: PrecisionCache | None = None,
) -> Choice:
    """The faster of fp32 and bf16 for ``network``, whose backbone ``architecture`` names as manifests do.

    ``step(network, precision)`` runs forward and backward once; it is tried on a copy. What ``cache`` knows is not
    tried again.
    """
    kind = processor(device)
    if kind is None:
        return Choice("fp32", "this processor has no bf16 in hardware")
    ratio = KNOWN.get(kind, {}).get(architecture)
    if ratio and torch.__version__.startswith(f"{TRIED_WITH}."):
        return Choice("bf16", f"known to be {ratio:.1f} times as fast as fp32 for {architecture} on {kind}")
    if cache and (known := cache.recall()):
        return known
    trial = copy.deepcopy(network)  # statistics of normalisation would move, and gradients stay
    choice, certain = _try(partial(step, trial))
    if cache and certain:
        cache.keep(choice)
    return choice


def _try(run: Callable[[str], Any]) -> tuple[Choice, bool]:
    """Pairs of steps, until one precision leads or the budget is spent; and whether that is certain."""
    for precision in ("bf16", "fp32"):
        run(precision)  # the first call allocates and picks kernels
    ratios: list[float] = []
    least = {"bf16": math.inf, "fp32": math.inf}
    lead, end = 0, time.perf_counter() + BUDGET
    # In turn, and the order turned with each pair: what else the machine does falls on both.
    while -LEAD_AGAINST < lead < LEAD and time.perf_counter() < end:
        order = ("bf16", "fp32") if len(ratios) % 2 else ("fp32", "bf16")
        seconds = {precision: _seconds(partial(run, precision)) for precision in order}
        least = {precision: min(least[precision], seconds[precision]) for precision in order}
        ratios.append(seconds["fp32"] / seconds["bf16"])
        lead += 1 if ratios[-1] > 1 else -1
    median = statistics.median(ratios) if ratios else 1.0
    tried = f"in {plural(len(ratios), 'pair')} of steps"
    if lead >= LEAD:
        return Choice("bf16", f"{median:.2f} times as fast as fp32 {tried}"), True
    # The fastest of each as well: other programs only add, and may have hit one precision five times.
    if lead <= -LEAD_AGAINST and max(median, least["fp32"] / least["bf16"]) * CLEARLY < 1:
        return Choice("fp32", f"{1 / median:.2f} times as fast as bf16 {tried}"), True
    return Choice("bf16", f"the rule: no certain difference {tried} ({median:.2f} times as fast as fp32)"), False


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return max(time.perf_counter() - start, 1e-9)
