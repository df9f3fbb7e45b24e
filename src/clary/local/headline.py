"""The few numbers a run is judged by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clary.local.evaluate import Evaluation
from clary.local.run import Run
from clary.vision.base.image_sizes import sizes_said
from clary.wording import duration

__all__ = ["NONE", "Tile", "tiles"]

NONE = "\N{EN DASH}"  # a number that was not measured


@dataclass(frozen=True, slots=True)
class Tile:
    """A number, its name, and what to know about it."""

    name: str
    value: str
    remark: str = ""


def tiles(
    run: Run, first: Tile, sizes: Mapping[str, int], class_names: Sequence[str], evaluation: Evaluation | None
) -> Iterator[Tile]:
    """What was reached (``first``), pictures, classes, time, speed, network. ``sizes`` are pictures by split."""
    config, numbers = run.config, run.metrics
    yield first
    yield Tile("Pictures", f"{sum(sizes.values()):,}", ", ".join(f"{n:,} {split}" for split, n in sizes.items()))
    yield Tile("Classes", f"{len(class_names):,}", _some(class_names))
    if numbers:
        which = "best" if any(name.startswith("validation:") for name in numbers) else "last"
        best = f"{which} epoch {numbers['best_epoch'] + 1} of {numbers['epochs']}"
        yield Tile("Training time", duration(numbers["seconds"]), best)
    if speed := _speed(run):
        yield Tile("Training speed", f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s", "pictures a second")
    engine = f"judged with {evaluation.engine} in {evaluation.precision}" if evaluation else ""
    precision = config.get("precision") or numbers.get("precision", "")
    why = f" ({numbers['precision_reason']})" if numbers.get("precision_reason") else ""
    resized = sizes_said([size for size in dict.fromkeys(one.image_size for one in run.epochs) if size])
    way = f", {numbers['way']}" if numbers.get("way", "plain") != "plain" else ""
    remarks = [f"trained in {precision}{way}{why}" if precision else "", resized, engine]
    yield Tile("Network", str(config.get("network", NONE)), ", ".join(filter(None, remarks)))


def _speed(run: Run) -> float:
    """Pictures trained on a second, validation not counted: the median over epochs; 0 when it was not recorded."""
    size = run.config.get("hyperparameters", {}).get("mini_batch_size") or 0
    history = run.history
    steps = np.diff([record.get("global_step") or 0 for record in history], prepend=0)
    seconds = [record.get("seconds") or 0 for record in history]
    speeds = [size * step / time for step, time in zip(steps, seconds, strict=True) if time]
    # The median: the first epoch decodes every picture, later ones have them in memory.
    return float(np.median(speeds)) if speeds else 0.0


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
