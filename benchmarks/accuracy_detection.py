"""Quality and time of the default settings of detection on real pets: heads of cats and dogs, mAP at an overlap of 0.5.

    python benchmarks/accuracy_detection.py [--seeds 3]

233 pictures of the set have a box, all of them in ``trainval``: there is no official split. So a quarter of each class
is held out, drawn by seed 0 whatever the seed of the training, and given to ``clary train detection`` as validation
split. The model that is left is then the one of the best validation epoch, chosen on the very pictures it is judged by:
the column to trust is ``last epoch``, which nothing was chosen for.

There is no peer in this run: torchvision's detectors start from weights that have to be fetched.
"""

from __future__ import annotations

from pathlib import Path

from _accuracy import Contest, main

HELD_OUT, SEED = 0.25, 0


def held_out(pets: Path, scratch: Path) -> Path:
    """The pictures with boxes in COCO's layout, a quarter as validation split."""
    from clary.vision import formats
    from clary.vision.datasets.split import split

    dataset = split(formats.read(pets, task="detection"), validation=HELD_OUT, seed=SEED, replace=True)
    counts = ", ".join(f"{len(samples)} {name}" for name, samples in dataset.splits.items())
    print(f"pictures: {counts}")
    formats.FORMATS.get("coco").write(dataset, scratch / "heads")
    return scratch / "heads"


if __name__ == "__main__":
    contest = Contest(
        title="heads of cats and dogs, `clary train detection` with nothing set",
        goal="goal: mAP 0.80 within 15 minutes",
        algorithm="detection",
        metric="mAP",
        shown=("mAP", "AP"),
        split="validation",
        data=held_out,
    )
    main(__doc__, contest)
