"""What the benchmarks of accuracy share: `clary train` with nothing set on real pets, seed by seed, and its curve.

Each seed trains in a process of its own. After every epoch the pictures held out are judged; the time that takes is in
no column. ``training s`` are the seconds of steps alone, ``with start and export s`` those of the whole command.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _bench import machine, pets, process, table

__all__ = ["Contest", "main"]

Result = dict[str, Any]
Measure = Callable[[Any], float]  # of a network in training


@dataclass(frozen=True)
class Contest:
    """What is trained and how it is judged.

    ``data`` makes what is trained on of the pets' root and a scratch folder; ``split`` of it is held out. ``metric``
    is the one of the curve: as the loop has it where ``split`` is validation, else ``measure`` of that data set gives
    it. ``shown`` are those of ``clary evaluate`` on the finished model.
    """

    title: str
    goal: str
    algorithm: str
    metric: str
    shown: tuple[str, ...]
    split: str
    data: Callable[[Path, Path], Path]
    measure: Callable[[Path], Measure] | None = None


def main(doc: str | None, contest: Contest) -> None:
    """Run the contest; each seed calls this again in its own process."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="other than the default, to try the script")
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.seed is not None:
        print(json.dumps(_train(contest, options.data, options.seed, options.epochs)))
        return
    root = pets()
    if root is None:
        sys.exit("the real pets are not here: set CLARY_PETS")
    print(machine())
    print(f"{contest.title}; {contest.goal}")
    with tempfile.TemporaryDirectory() as scratch:
        data = contest.data(root, Path(scratch))
        found = [_run(data, seed, options.epochs) for seed in range(options.seeds)]
    _print_curves(contest, found)
    _print(contest, found)


def _print_curves(contest: Contest, found: list[Result]) -> None:
    rows = []
    for epoch in range(max(len(one["curve"]) for one in found)):
        points = [one["curve"][epoch] if epoch < len(one["curve"]) else None for one in found]
        seconds = statistics.mean(point[0] for point in points if point)
        rows.append([epoch + 1, f"{seconds:.0f}", *(f"{point[1]:.4f}" if point else "" for point in points)])
    print(f"\n{contest.metric} of the {contest.split} split after each epoch")
    table(["epoch", "training s, mean", *(f"seed {seed}" for seed in range(len(found)))], rows)


def _print(contest: Contest, found: list[Result]) -> None:
    def row(name: str, value: Callable[[Callable[[Result], float]], float]) -> list[str]:
        return [
            name,
            f"{value(lambda one: one['curve'][-1][1]):.4f}",
            f"{value(lambda one: max(point[1] for point in one['curve'])):.4f}",
            *(f"{value(lambda one, name=metric: one['model'][name]):.4f}" for metric in contest.shown),  # type: ignore[misc]
            f"{value(lambda one: one['seconds']):.0f}",
            f"{value(lambda one: one['total']):.0f}",
            f"{value(lambda one: one['rss']):.0f} MiB",
        ]

    rows = [row(f"seed {seed}", lambda of, one=one: of(one)) for seed, one in enumerate(found)]  # type: ignore[misc]
    rows.append(row("mean", lambda of: statistics.mean(map(of, found))))
    print(f"\n{contest.metric}; the best epoch was chosen by looking at what is held out")
    columns = ["", "last epoch", "best epoch", *(f"model: {name}" for name in contest.shown)]
    table([*columns, "training s", "with start and export s", "peak memory"], rows)


def _run(data: Path, seed: int, epochs: int | None) -> Result:
    words = ("--data", data, "--seed", seed, *(("--epochs", epochs) if epochs else ()))
    with process(sys.argv[0], *words) as child:
        out, _ = child.communicate()
    if child.returncode:
        sys.exit(f"seed {seed} failed")
    result: Result = json.loads(out.splitlines()[-1])
    return result


def _train(contest: Contest, data: Path, seed: int, epochs: int | None) -> Result:
    """Train with the defaults, then evaluate the model that is left."""
    from clary.local.evaluate import evaluate
    from clary.local.train import train
    from clary.vision.base.events import EpochEnd, Hook, RunStart

    class Curve(Hook):
        """Training seconds and the metric after each epoch; ``away`` are seconds spent on the latter."""

        def __init__(self) -> None:
            self.points: list[tuple[float, float]] = []
            self.away = self.trained = 0.0

        def on_start(self, event: RunStart) -> None:
            self._network = event.network

        def on_epoch(self, event: EpochEnd) -> None:
            start = time.perf_counter()
            value = measure(self._network) if measure else event.validation[contest.metric]
            self.trained += event.seconds
            self.away += time.perf_counter() - start + event.validation_seconds
            self.points.append((self.trained, value))

    measure = contest.measure(data) if contest.measure else None
    curve = Curve()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        run = train(contest.algorithm, data, out=Path(scratch) / "run", seed=seed, epochs=epochs, hooks=[curve])
        total = time.perf_counter() - start - curve.away
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        model = dict(evaluate(run.model, data, split=contest.split).metrics)
    return {"curve": curve.points, "model": model, "seconds": curve.trained, "total": total, "rss": rss}
