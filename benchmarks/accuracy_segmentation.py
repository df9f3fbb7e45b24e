"""Quality and time of the default settings of segmentation on real pets: trimaps, trainval to test, mean IoU of three.

    python benchmarks/accuracy_segmentation.py [--seeds 3]

``clary train segmentation pets`` with nothing set trains on all of trainval, since there is a test split to judge by,
and keeps the last epoch's weights. Nothing looks at the test split but this script: after each epoch, in eager torch,
as ``clary evaluate`` does it in the end: whole pictures, classes at their own size.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from _accuracy import Contest, main


def as_it_is(pets: Path, scratch: Path) -> Path:
    """The official split."""
    return pets


def measure(root: Path) -> Callable[[Any], float]:
    """What judges a network in training by the test split."""
    import torch

    from clary.vision import formats
    from clary.vision.algorithms.semantic_segmentation.data import serving_transform
    from clary.vision.algorithms.semantic_segmentation.spec import SPEC
    from clary.vision.base.decoding import decode_mask
    from clary.vision.base.pixels import PixelCounts
    from clary.vision.base.planes import strongest
    from clary.vision.base.preprocessing import prepare_sized

    dataset = formats.read(root, task="segmentation")
    classes = len(dataset.class_names)
    needed = {"num_classes": str(classes), "num_training_samples": str(len(dataset.splits["train"]))}
    how = serving_transform(SPEC.parse({**(SPEC.local_defaults or {}), **needed}))

    @torch.no_grad()
    def mean_iou(network: Any) -> float:
        network.eval()
        counts = PixelCounts(classes)
        for sample in dataset.splits["test"]:
            assert sample.mask is not None
            pixels, (width, height) = prepare_sized(sample.image.path, how)
            scores = network(torch.from_numpy(pixels)[None])[0].float().softmax(dim=0).numpy()
            truth = decode_mask(sample.mask.read(), sample.mask_values)
            counts.add(truth, strongest(scores, height, width))
        return counts.mean_iou

    return mean_iou


if __name__ == "__main__":
    contest = Contest(
        title="trimaps, trainval (237 pictures) to test (235), `clary train segmentation` with nothing set",
        goal="goal: mean IoU 0.77 within 10 minutes",
        algorithm="segmentation",
        metric="mIOU",
        shown=("mIOU", "pixel_accuracy"),
        split="test",
        data=as_it_is,
        measure=measure,
    )
    main(__doc__, contest)
