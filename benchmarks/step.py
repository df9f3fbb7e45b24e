"""A step of the default training of each task, folded and plain in turn: time, gradients, memory, where the time goes.

    python benchmarks/step.py [--task detection] [--rounds 15]
    python benchmarks/step.py --profile                          # shares of operators, both ways

- networks, batches and settings are those of `clary train TASK` with nothing set, on the real pets or drawn ones
- both ways, and fp32, are timed in one process, in turn, the order turned with each round
- gradients are compared with those of fp32 on the same batch, dropout drawn alike
- memory is the peak of a process that makes five steps of one way
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _bench import machine, process, table
from _training import source

if TYPE_CHECKING:
    from clary.vision.training.folded.network import FoldedNetwork

TASKS = ("classification", "detection", "segmentation")
WAYS = ("folded", "plain", "fp32")
GOALS = {"classification": 1.7, "detection": 1.45, "segmentation": 1.4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, action="append")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--one", choices=("speed", "memory", "profile"), help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    tasks = options.task or TASKS
    if options.one:
        print(json.dumps(ONE[options.one](tasks[0], options)))
    elif options.profile:
        for task in tasks:
            print_profile(task)
    else:
        compare(tasks, options.rounds)


def compare(tasks: Sequence[str], rounds: int) -> None:
    print(machine())
    rows = []
    for task in tasks:
        found = another("speed", task, "--rounds", rounds)
        peaks = {way: another("memory", task, "--way", way)["peak"] / 2**20 for way in WAYS}
        print(f"\n{task}: {found['batch']} pictures of {found['size']}; goal {GOALS[task]}x")
        shown = ["median ms", "least", "largest", "processor ms", "gradient off", "depthwise off"]
        table(
            ["way", *shown, "peak MiB"],
            [[way, *(f"{found[way][name]:.4g}" for name in shown), f"{peaks[way]:.0f}"] for way in WAYS],
        )
        ratio = found["ratio"]
        rows.append(
            [
                task,
                f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['largest']:.2f})",
                f"{ratio['processor']:.2f}",
                f"{found['fp32 ratio']:.2f}",
                f"{peaks['folded'] / peaks['plain']:.2f}",
                f"{GOALS[task]}",
            ]
        )
    print("\nfolded, as against plain")
    table(["task", "times as fast (rounds)", "by processor time", "as against fp32", "memory", "goal"], rows)


def another(what: str, task: str, *words: object) -> dict[str, Any]:
    """What a process of its own measures."""
    with process(__file__, "--one", what, "--task", task, *words) as child:
        text, _ = child.communicate()
    if child.returncode:
        sys.exit(f"{what} of {task} failed")
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


@dataclass
class Subject:
    """The default training of a task, stopped before its third step."""

    run: Any = None  # a RunStart
    images: Any = None
    targets: Any = None
    folded: FoldedNetwork | None = field(default=None)

    def step(self, way: str) -> None:
        self.run.optimizer.zero_grad(set_to_none=True)
        self.gradients(way)
        self.run.optimizer.step()

    def gradients(self, way: str) -> None:
        import torch

        from clary.vision.training.precision import autocast

        self.run.network.train()
        torch.manual_seed(0)
        applied = self.folded.applied() if way == "folded" and self.folded else nullcontext()
        with autocast("fp32" if way == "fp32" else "bf16", torch.device("cpu")), applied:
            outputs = self.run.network(self.images)
        self.run.objective.loss(outputs, self.targets).backward()


@contextmanager
def subject(task: str) -> Iterator[Subject]:
    from clary.vision.base.torch_environment import set_torch_environment

    set_torch_environment()
    import clary
    from clary.errors import ClaryError
    from clary.vision.base.events import BatchEnd, Hook, RunStart, Step
    from clary.vision.training.folded.network import FoldedNetwork
    from clary.vision.training.precision import keep_large_blocks

    found = Subject()

    class Caught(ClaryError):
        def __init__(self) -> None:
            super().__init__("caught")

    class Catch(Hook):
        def on_start(self, event: RunStart) -> None:
            found.run = event

        def on_step_start(self, step: Step) -> None:
            found.images, found.targets = step.images, step.targets

        def on_batch(self, event: BatchEnd) -> None:
            if event.global_step == 2:
                raise Caught

    with tempfile.TemporaryDirectory() as scratch:
        data = source(Path(scratch))
        with suppress(Caught):
            clary.train(task, data, out=Path(scratch) / "run", hooks=[Catch()], progressive_resizing="none")
        found.folded = FoldedNetwork.of(found.run.network, print)
        with keep_large_blocks():
            yield found


def measure_speed(task: str, options: argparse.Namespace) -> dict[str, Any]:
    with subject(task) as one:
        off = {way: distances(one, way) for way in WAYS}
        for way in WAYS:
            one.step(way)
        wall: dict[str, list[float]] = defaultdict(list)
        busy: dict[str, list[float]] = defaultdict(list)
        for number in range(options.rounds):
            for way in WAYS if number % 2 else WAYS[::-1]:
                begin, spent = time.perf_counter(), time.process_time()
                one.step(way)
                wall[way].append(1e3 * (time.perf_counter() - begin))
                busy[way].append(1e3 * (time.process_time() - spent))
        ratios = [plain / folded for plain, folded in zip(wall["plain"], wall["folded"], strict=True)]
        exact = [fp32 / folded for fp32, folded in zip(wall["fp32"], wall["folded"], strict=True)]
        count, height, width, _ = one.images.shape
    processor = [plain / folded for plain, folded in zip(busy["plain"], busy["folded"], strict=True)]
    return {
        "batch": count,
        "size": f"{width} x {height}",
        "ratio": {
            "median": statistics.median(ratios),
            "least": min(ratios),
            "largest": max(ratios),
            "processor": statistics.median(processor),
        },
        "fp32 ratio": statistics.median(exact),
        **{
            way: {
                "median ms": statistics.median(wall[way]),
                "least": min(wall[way]),
                "largest": max(wall[way]),
                "processor ms": statistics.median(busy[way]),
                "gradient off": off[way][0],
                "depthwise off": off[way][1],
            }
            for way in WAYS
        },
    }


def distances(one: Subject, way: str) -> tuple[float, float]:
    """How far gradients are from those of fp32, relative to their length: of all weights, and of depthwise ones."""
    import torch

    found = {}
    for each in ("fp32", way):
        one.run.network.zero_grad(set_to_none=True)
        one.gradients(each)
        found[each] = {n: p.grad.clone() for n, p in one.run.network.named_parameters() if p.grad is not None}

    def distance(names: list[str]) -> float:
        exact, near = (torch.cat([found[each][name].flatten() for name in names]) for each in ("fp32", way))
        return float((near - exact).norm() / exact.norm())

    depthwise = [name for name, gradient in found["fp32"].items() if gradient.dim() == 4 and gradient.shape[1] == 1]
    return distance(list(found["fp32"])), distance(depthwise)


def measure_memory(task: str, options: argparse.Namespace) -> dict[str, Any]:
    with subject(task) as one:
        # The training that caught the batch went the folded way: its peak is not asked for.
        Path("/proc/self/clear_refs").write_text("5")
        for _ in range(5):
            one.step(options.way)
        lines = Path("/proc/self/status").read_text().splitlines()
        return {"peak": next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))}


def print_profile(task: str) -> None:
    found = {way: another("profile", task, "--way", way) for way in ("folded", "plain")}
    print(f"\n{task}: self time of operators, share of the step")
    names = sorted({name for one in found.values() for name in one}, key=lambda n: -found["folded"].get(n, 0))
    rows = [[name, *(f"{100 * one.get(name, 0):.1f} %" for one in found.values())] for name in names]
    table(["operator", *found], [row for row in rows if any(float(cell.split()[0]) >= 1 for cell in row[1:])])


def measure_profile(task: str, options: argparse.Namespace) -> dict[str, float]:
    from torch.profiler import ProfilerActivity, profile

    with subject(task) as one:
        for _ in range(2):
            one.step(options.way)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            for _ in range(5):
                one.step(options.way)
        times = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
        total = sum(times.values())
        return {name: spent / total for name, spent in times.items()}


ONE: dict[str, Callable[[str, argparse.Namespace], Any]] = {
    "speed": measure_speed,
    "memory": measure_memory,
    "profile": measure_profile,
}

if __name__ == "__main__":
    main()
