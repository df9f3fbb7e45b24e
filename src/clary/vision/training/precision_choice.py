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
from typing import Any, NamedTuple, TypeVar

import torch

from clary.vision.base.events import Way
from clary.vision.training.precision import Processor, processor
from clary.vision.training.precision_cache import Choice, PrecisionCache
from clary.wording import plural

__all__ = ["KNOWN", "Pair", "choose", "trial_size"]

Subject = TypeVar("Subject")


class Pair(NamedTuple):
    """What was measured: a network, by the name that manifests have for its backbone, on a processor. ``version`` is
    torch's minor one, from which to the next kernels change; ``way`` is that of steps in bf16."""

    processor: Processor
    architecture: str
    version: str
    way: Way


# Times as fast in bf16 as in fp32, forward and backward, of networks that jobs and `clary train` name. On AMX of a Xeon
# and on AVX512-BF16 of an EPYC, 2 cores each.
KNOWN: Mapping[Pair, float] = {
    Pair("amx", "timm:tf_efficientnet_lite0", "2.15", "plain"): 1.7,
    Pair("amx", "timm:resnet18", "2.15", "plain"): 2.2,
    Pair("avx512_bf16", "timm:tf_efficientnet_lite0", "2.15", "plain"): 1.1,
    Pair("avx512_bf16", "timm:resnet18", "2.15", "plain"): 1.6,
    Pair("avx512_bf16", "timm:resnet34", "2.15", "plain"): 1.6,
    Pair("avx512_bf16", "timm:resnet50", "2.15", "plain"): 1.7,
    Pair("avx512_bf16", "timm:resnet101", "2.15", "plain"): 1.7,
    Pair("avx512_bf16", "timm:resnet152", "2.15", "plain"): 1.8,
    Pair("avx512_bf16", "vgg16", "2.15", "plain"): 1.6,
    # `benchmarks/step.py`, a whole step; on AMX worked out: 1.7, and folded 1.64 times as fast as plain at the least.
    Pair("avx512_bf16", "timm:tf_efficientnet_lite0", "2.15", "folded norms"): 1.6,
    Pair("amx", "timm:tf_efficientnet_lite0", "2.15", "folded norms"): 2.8,
}

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
    subject: Subject,
    step: Callable[[Subject, str], Any],
    device: torch.device,
    *,
    architecture: str = "",
    way: Way = "plain",
    cache: PrecisionCache | None = None,
) -> Choice:
    """The faster of fp32 and bf16, made the ``way`` it is made, for a network whose backbone ``architecture`` names as
    manifests do.

    ``step(subject, precision)`` runs forward and backward once; it is tried on a copy of ``subject``, which holds the
    network. What ``cache`` knows is not tried again.
    """
    kind = processor(device)
    if kind is None:
        return Choice("fp32", "this processor has no bf16 in hardware")
    version = ".".join(torch.__version__.split(".")[:2])
    if ratio := KNOWN.get(Pair(kind, architecture, version, way)):
        return Choice("bf16", f"known to be {ratio:.1f} times as fast as fp32 for {architecture} on {kind}")
    if cache and (known := cache.recall()):
        return known
    trial = copy.deepcopy(subject)  # statistics of normalisation would move, and gradients stay
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
