"""Settings of a run on a folder of images that the algorithms here find in the same way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from clary.vision.base.hyperparameters import Hyperparameters, as_text, described
from clary.vision.base.image_sizes import rescaled

if TYPE_CHECKING:
    from clary.vision.base.types import Dataset

__all__ = ["counted", "fitting"]

BATCH = 32  # about; made to divide the set, since an incomplete last batch is left out


def counted(dataset: Dataset, settings: Mapping[str, str]) -> dict[str, str]:
    """What the data set says: classes, images, and a batch near that of ``settings`` which divides the set."""
    images = len(dataset.splits["train"])
    about = int(settings.get("mini_batch_size", BATCH))
    return {
        "num_classes": str(len(dataset.class_names)),
        "num_training_samples": str(images),
        "mini_batch_size": str(images // max(1, round(images / about))),
    }


def fitting(
    schema: type[Hyperparameters], defaults: Mapping[str, str], given: Mapping[str, str], unfit: Collection[str] = ()
) -> dict[str, str]:
    """The ``defaults`` that go together with what is given: none of ``unfit``, no freezing of random weights, small
    pictures for the same share of another number of epochs."""
    fit = {name: text for name, text in defaults.items() if name not in unfit}
    known = {one.name: one for one in described(schema)}
    start = known["use_pretrained_model"]
    text = {**fit, **given}.get(start.name)
    if not (start.default if text is None else start.parse(text)):
        # Random weights that are frozen would stay random, and a head has no start to catch up with.
        fit = {name: text for name, text in fit.items() if name not in ("freeze", "head_rate_factor")}
    if (small := "progressive_resizing") in fit:
        planned, epochs = (known["epochs"].parse({**defaults, **laid}["epochs"]) for laid in ({}, given))
        fit[small] = as_text(rescaled(known[small].parse(fit[small]), planned, epochs))
    return fit
