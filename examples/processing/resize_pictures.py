"""A processing script: a folder of pictures in, the four channels of image classification out.

    /opt/ml/processing/input/pictures/cat/1.jpg ...
    /opt/ml/processing/output/train/cat/1.jpg            /opt/ml/processing/output/train_lst/train.lst
    /opt/ml/processing/output/validation/cat/9.jpg       /opt/ml/processing/output/validation_lst/validation.lst

Pictures become small enough to train on. Of each class the same part is held out, always the same pictures.
"""

import argparse
import random
from pathlib import Path

from PIL import Image

parser = argparse.ArgumentParser()
parser.add_argument("--size", type=int, default=256, help="shorter side in pixels")
parser.add_argument("--validation", type=float, default=0.2, help="the part that is held out")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

root = Path("/opt/ml/processing")
chosen = random.Random(args.seed)
classes = {}
for path in sorted((root / "input" / "pictures").rglob("*.jpg")):
    classes.setdefault(path.parent.name, []).append(path)

lines = {"train": [], "validation": []}
for label, (name, paths) in enumerate(classes.items()):
    held_out = set(chosen.sample(paths, round(args.validation * len(paths))))
    for path in paths:
        split = "validation" if path in held_out else "train"
        target = root / "output" / split / name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as picture:
            scale = args.size / min(picture.size)
            size = [max(1, round(side * scale)) for side in picture.size]
            picture.convert("RGB").resize(size).save(target, quality=90)
        lines[split].append(f"{len(lines[split])}\t{label}\t{name}/{path.name}\n")

for split, listed in lines.items():
    folder = root / "output" / f"{split}_lst"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{split}.lst").write_text("".join(listed))
    print(f"{split}: {len(listed)} pictures of {', '.join(classes)}")

report = root.parent / "output"
report.mkdir(exist_ok=True)
(report / "message").write_text(f"{sum(map(len, lines.values()))} pictures")
