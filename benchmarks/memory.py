"""Memory that a training needs: what is estimated before it starts, and the peak of a real one.

    python benchmarks/memory.py

Each network trains two steps on pictures of noise in a process of its own, whose peak of resident memory is read
before a model is exported. A job whose estimate is above the machine's memory is refused; so the estimate must not be
above the peak, and not below two thirds of it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from _bench import machine, process, table

LITE0, RESNET50 = "tf_efficientnet_lite0", "resnet-50"
SSD = {"image_shape": "300", "neck": "ssd", "anchors": "original"}
BATCH = {"classification": 32, "detection": 12, "segmentation": 12}
NETWORKS: list[tuple[str, str, dict[str, str]]] = [
    ("Lite0", "classification", {"backbone": LITE0}),
    ("ResNet-18", "classification", {"num_layers": "18"}),
    ("ResNet-50", "classification", {"num_layers": "50"}),
    ("ResNet-50, all but norms and the stem frozen", "classification", {"num_layers": "50", "freeze": "3,norms"}),
    ("ResNet-101", "classification", {"num_layers": "101"}),
    ("SSD, ResNet-50, 300", "detection", SSD | {"base_network": RESNET50}),
    ("SSD, VGG-16, 300", "detection", SSD | {"base_network": "vgg-16"}),
    ("FPN, Lite0, 320", "detection", {"backbone": LITE0, "neck": "fpn", "image_shape": "320"}),
    ("FCN, ResNet-50, 240", "segmentation", {"backbone": RESNET50, "algorithm": "fcn", "crop_size": "240"}),
    ("DeepLab, ResNet-50, 240", "segmentation", {"backbone": RESNET50, "algorithm": "deeplab", "crop_size": "240"}),
    ("U-Net, Lite0, 240", "segmentation", {"backbone": LITE0, "algorithm": "unet", "crop_size": "240"}),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", nargs=2, metavar=("TASK", "SETTINGS"), help="measure one, and print it as JSON")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(asked.one[0], json.loads(asked.one[1]))))
        return
    print(machine())
    rows = []
    for precision in ("fp32", "bf16"):
        for name, task, settings in NETWORKS:
            given = json.dumps(settings | {"precision": precision})
            with process(__file__, "--one", task, given) as child:
                found = json.loads(child.communicate()[0].splitlines()[-1])
            ratio = found["estimate"] / found["peak"]
            sizes = [f"{found[key] / 1e6:,.0f}" for key in ("estimate", "peak")]
            rows.append([name, precision, str(found["batch"]), *sizes, f"{ratio:.2f}"])
            print(rows[-1], file=sys.stderr, flush=True)
    table(["network", "precision", "batch", "estimate MB", "peak MB", "ratio"], rows)


def measured(task: str, settings: dict[str, str]) -> dict[str, Any]:
    """Estimate and peak in bytes of one network, in this process."""
    import clary
    from clary.errors import ClaryError
    from clary.vision.algorithms.catalog import find
    from clary.vision.base.events import BatchEnd, Hook
    from clary.vision.training import memory

    batch = int(settings.get("mini_batch_size", BATCH[task]))
    recipe = importlib.import_module(find(task).train.partition(":")[0])
    found: dict[str, Any] = {"batch": batch}

    def count(make: Any, batch: int, size: Any, *, most: int = 0, **arithmetic: str) -> None:
        counted = memory.count(make, size, **arithmetic)
        assert counted is not None
        found["estimate"] = counted[0] + batch * counted[1]

    class Peak(Hook):
        def on_batch(self, event: BatchEnd) -> None:
            if event.global_step == 2:
                found["peak"] = peak()
                raise Measured

    class Measured(ClaryError):
        def __init__(self) -> None:
            super().__init__("measured")

    vars(recipe)["check_memory"] = count
    with tempfile.TemporaryDirectory() as scratch:
        data = noise(Path(scratch) / "data", task, 2 * batch)
        given = {"use_pretrained_model": "0", "mini_batch_size": str(batch), "epochs": "1", "freeze": "none"} | settings
        with suppress(Measured):
            clary.train(task, data, out=Path(scratch) / "run", validation=0, settings=given, hooks=[Peak()])
    return found


def peak() -> int:
    """The most memory this process ever had, in bytes (proc(5))."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def noise(root: Path, task: str, count: int) -> Path:
    """Pictures of noise with something on them, in a layout of the task."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(count):
        pixels = Image.fromarray(random.integers(0, 255, (256, 256, 3)).astype(np.uint8))
        if task == "classification":
            path = root / "train" / f"class-{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels.save(path)
            continue
        for folder in ("train", "train_annotation"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        pixels.save(root / "train" / f"{number}.png")
        if task == "segmentation":
            ids = np.zeros((256, 256), np.uint8)
            ids[60:200, 60:200] = 1 + number % 2
            Image.fromarray(ids).save(root / "train_annotation" / f"{number}.png")
            continue
        boxes = [{"class_id": number % 2, "left": 60, "top": 60, "width": 140, "height": 140}]
        told = {"file": f"{number}.png", "image_size": [{"width": 256, "height": 256, "depth": 3}]}
        text = json.dumps({**told, "annotations": boxes})
        (root / "train_annotation" / f"{number}.json").write_text(text)
    return root


if __name__ == "__main__":
    main()
