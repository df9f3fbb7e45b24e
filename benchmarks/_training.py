"""What the benchmarks of training share: ours, a loop of torchvision's and the limit in turn, medians printed.

- ours: our loader, augmentation and loop from files on disk; the first epoch (pictures are decoded) and the later
  ones (decoded pictures come from memory) are given apart
- limit: our step on one batch that is already in memory
- loop: what torchvision's tutorials and references write; it has no cache, so of its epochs two are enough

Each contestant runs in a process of its own, in turn, ``rounds`` times. Both sides read the same files.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _bench import machine, pets, process, table

if TYPE_CHECKING:
    from clary.vision.base.types import Sample
    from clary.vision.training.loop import Training

__all__ = ["Contest", "main", "source", "thinned"]

Result = dict[str, Any]


@dataclass(frozen=True)
class Contest:
    """One network to be trained.

    ``data`` writes about so many pictures (0: all) below a scratch folder and returns their root. ``training`` makes
    our run of that root, so many epochs, and a scratch folder. ``loop`` trains the peer on that root for so many
    epochs and gives pictures/s of each. ``pictures`` and ``epochs`` are the defaults.
    """

    title: str
    goal: str
    batch: int
    data: Callable[[Path, int], Path]
    training: Callable[[Path, int, Path], Training]
    loop: Callable[[Path, int], list[float]]
    pictures: int = 0
    epochs: int = 3


def main(doc: str | None, contest: Contest) -> None:
    """Run the contest; each contestant calls this again in its own process."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=contest.epochs)
    parser.add_argument("--pictures", type=int, default=contest.pictures, help="of an epoch, about; 0: all there are")
    parser.add_argument("--contestant", choices=sorted(CONTESTANTS), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        print(json.dumps(CONTESTANTS[options.contestant](contest, options.data, options.epochs)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        root = contest.data(Path(scratch), options.pictures)
        rounds = [
            {name: _run(name, root, options.epochs) for name in ("limit", "ours", "loop")}
            for _ in range(options.rounds)
        ]
    _print(contest, rounds)


def source(scratch: Path) -> Path:
    """The real pets, else drawn ones."""
    from clary.drawn import draw_pets

    return pets() or draw_pets(scratch / "drawn")


def thinned(samples: Sequence[Sample], count: int) -> tuple[Sample, ...]:
    """About ``count`` of the samples, evenly spaced, or all for 0."""
    step = max(1, len(samples) // count) if count else 1
    return tuple(samples[::step])[: count or None]


def _print(contest: Contest, rounds: list[dict[str, Result]]) -> None:
    def median(name: str, value: str) -> float:
        return float(statistics.median(one[name][value] for one in rounds))

    ours, limit, loop = median("ours", "later"), median("limit", "later"), median("loop", "later")
    ratios = {"limit": "1.00 of the limit", "ours": f"{ours / limit:.2f} of the limit"}
    names = {"limit": "limit (in memory)", "ours": "Clary", "loop": "torchvision loop"}
    rows = [
        [
            title,
            f"{median(name, 'later'):.1f}",
            "" if name == "limit" else f"{median(name, 'first'):.1f}",
            "" if name == "limit" else f"{median(name, 'rss'):.0f} MiB",
            ratios.get(name, f"Clary is {ours / loop:.1f}x"),
        ]
        for name, title in names.items()
    ]
    print(machine())
    precision = rounds[0]["ours"]["precision"]
    print(f"{contest.title}, batch {contest.batch}, {precision}, medians of {len(rounds)} rounds; {contest.goal}")
    table(["", "pictures/s", "first epoch", "peak memory", "ratio"], rows)


def _run(name: str, root: Path, epochs: int) -> Result:
    with process(sys.argv[0], "--contestant", name, "--data", root, "--epochs", epochs) as child:
        out, _ = child.communicate()
    if child.returncode:
        sys.exit(f"{name} failed")
    figures: Result = json.loads(out.splitlines()[-1])
    return figures


# Contestants


def train_ours(contest: Contest, root: Path, epochs: int) -> Result:
    """Our own parts, joined as the recipe joins them, in the environment that `clary train` sets."""
    from clary.vision.base.torch_environment import set_torch_environment

    set_torch_environment()
    import torch

    from clary.vision.base.events import EpochEnd, Hook
    from clary.vision.training.loop import fit
    from clary.vision.training.precision import keep_large_blocks

    class Clock(Hook):
        def __init__(self) -> None:
            self.speeds: list[float] = []

        def on_epoch(self, event: EpochEnd) -> None:
            self.speeds.append(event.samples / event.seconds)

    clock = Clock()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        run = contest.training(root, epochs, Path(scratch))
        run.hooks = [clock]
        with keep_large_blocks():
            progress = fit(run)
    return _figures(clock.speeds[0], statistics.median(clock.speeds[1:] or clock.speeds), progress.precision)


def measure_limit(contest: Contest, root: Path, epochs: int) -> Result:
    """Our step on one batch held in memory."""
    from clary.vision.base.torch_environment import set_torch_environment

    set_torch_environment()
    from clary.vision.training.checkpoint import Progress
    from clary.vision.training.listeners import Listeners
    from clary.vision.training.loop import _choose_precision, _step, _to_device
    from clary.vision.training.precision import keep_large_blocks

    with tempfile.TemporaryDirectory() as scratch, keep_large_blocks():
        run = contest.training(root, epochs, Path(scratch))
        nobody = Listeners(())
        progress = Progress(precision=_choose_precision(run, nobody).precision)
        batch = _to_device(next(iter(run.train.epoch(0))), run.device)
        for _ in range(2):
            _step(run, nobody, progress, *batch)
        steps = len(run.train) * epochs
        start = time.perf_counter()
        for _ in range(steps):
            _step(run, nobody, progress, *batch)
    speed = steps * contest.batch / (time.perf_counter() - start)
    return _figures(speed, speed, progress.precision)


def train_loop(contest: Contest, root: Path, epochs: int) -> Result:
    """The peer's; more than two epochs would only repeat the second."""
    speeds = contest.loop(root, min(epochs, 2))
    return _figures(speeds[0], speeds[-1], "fp32")


CONTESTANTS = {"ours": train_ours, "limit": measure_limit, "loop": train_loop}


def _figures(first: float, later: float, precision: str) -> Result:
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"first": first, "later": later, "precision": precision, "rss": rss}
