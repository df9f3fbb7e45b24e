"""bf16 against fp32: how much faster, and whether the choice between them is the same in every run.

    python benchmarks/precision.py ratios     # the table in training/precision_choice.py, and other networks
    python benchmarks/precision.py choices    # the trial alone, beside a busy loop, and beside another training

Ratios are of forward and backward on 4 images of 224 x 224, both precisions in turn, the median of the rounds, the
least and the largest in brackets. Choices are made by processes of their own; the known table is left out, so that it
is the trial that is judged.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from _bench import machine, process, table

if TYPE_CHECKING:
    from torch import nn

CLASSIFIERS = ("tf_efficientnet_lite0", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "vgg16")
OTHERS = (
    "mobilenetv3_large_100",
    "mnasnet_100",
    "ghostnet_100",
    "convnext_atto",
    "regnety_004",
    "vit_tiny_patch16_224",
)
BUSY = "while True: pass"
CHOSEN = ("tf_efficientnet_lite0", "ghostnet_100")  # the default, and the one where fp32 is as fast


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ratios", "choices", "one-choice", "training"))
    parser.add_argument("--network", default=CHOSEN[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=20, help="choices of each network; half of them beside others")
    wanted = parser.parse_args()
    if wanted.what == "ratios":
        print_ratios(wanted.rounds)
    elif wanted.what == "choices":
        print_choices(wanted.runs)
    elif wanted.what == "one-choice":
        print_one_choice(wanted.network)
    else:
        train_for_ever()


def print_ratios(rounds: int) -> None:
    print(machine())
    rows = []
    for name, network in networks():
        ratios = measured(network(), rounds)
        rows.append((name, f"{statistics.median(ratios):.2f}", f"({min(ratios):.2f} to {max(ratios):.2f})"))
    table(("network", "bf16, times as fast as fp32", "spread"), rows)


def networks() -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """What jobs and `clary train` name, each with a function that builds it, and others that people choose."""
    from clary.vision.models import build, describe
    from clary.vision.models.segmenter import describe_segmenter

    def segmenter(description: dict[str, Any]) -> nn.Module:
        return cast("nn.Module", build(description).segmenter)  # without what turns the scores into a mask

    for name in (*CLASSIFIERS, *OTHERS):
        yield name, partial(build, describe(f"timm:{name}", 3, multi_label=False))
    for algorithm, name in (("unet", "tf_efficientnet_lite0"), ("fcn", "resnet50")):
        yield f"{algorithm} on {name}", partial(segmenter, describe_segmenter(f"timm:{name}", algorithm, 3))


def measured(network: nn.Module, rounds: int) -> list[float]:
    """Seconds in fp32 over seconds in bf16, of each round."""
    step = stepper()
    for precision in ("bf16", "fp32"):
        step(network, precision)
    ratios = []
    for number in range(rounds):
        order = ("bf16", "fp32") if number % 2 else ("fp32", "bf16")
        seconds = {}
        for precision in order:
            start = time.perf_counter()
            step(network, precision)
            seconds[precision] = time.perf_counter() - start
        ratios.append(seconds["fp32"] / seconds["bf16"])
    return ratios


def stepper() -> Callable[[nn.Module, str], Any]:
    """A function that runs a network forward and backward on four images."""
    import torch

    from clary.vision.training.precision import autocast

    images = torch.randint(0, 255, (4, 224, 224, 3), dtype=torch.uint8)

    def step(network: nn.Module, precision: str) -> None:
        network.train()
        with autocast(precision, torch.device("cpu")):
            outputs = network(images)
        parts = outputs if isinstance(outputs, tuple) else (outputs,)
        sum(part.float().square().mean() for part in parts if part is not None).backward()

    return step


def print_choices(runs: int) -> None:
    print(machine())
    rows = []
    for network in CHOSEN:
        beside: dict[str, Sequence[Sequence[str]]] = {
            "alone": (),
            "a busy loop": [("-c", BUSY)],
            "another training": [(__file__, "training")],
        }
        for where, others in beside.items():
            count = runs // 2 if where == "alone" else runs // 4
            with ExitStack() as stack:
                for words in others:
                    stack.enter_context(process(*words))
                found = [one_choice(network) for _ in range(count)]
            counted = ", ".join(f"{name} {times}" for name, times in Counter(c["precision"] for c in found).items())
            ratios = sorted(float(c["reason"].split(" times")[0].rsplit("(")[-1]) for c in found)
            slowest = max(c["seconds"] for c in found)
            rows.append((network, where, counted, f"{ratios[0]:.2f} to {ratios[-1]:.2f}", f"{slowest:.1f} s"))
    table(("network", "beside", "choices", "ratios seen", "longest trial"), rows)


def one_choice(network: str) -> dict[str, Any]:
    with process(__file__, "one-choice", "--network", network) as child:
        text, _ = child.communicate()
    found: dict[str, Any] = json.loads(text)
    return found


def print_one_choice(name: str) -> None:
    from clary.vision.base.torch_environment import set_torch_environment

    set_torch_environment()
    import torch

    from clary.vision.models import build, describe
    from clary.vision.training.precision_choice import choose

    network = build(describe(f"timm:{name}", 3, multi_label=False))
    start = time.perf_counter()
    choice = choose(network, stepper(), torch.device("cpu"))  # without an architecture: nothing is known of it
    print(json.dumps({**choice._asdict(), "seconds": time.perf_counter() - start}))


def train_for_ever() -> None:
    from clary.vision.base.torch_environment import set_torch_environment

    set_torch_environment()
    from clary.vision.models import build, describe

    network, step = build(describe("timm:resnet18", 3, multi_label=False)), stepper()
    while True:
        step(network, "fp32")


if __name__ == "__main__":
    main()
