"""Lay pictures out as SageMaker's image classification takes them: four channels in one folder.

    python prepare.py PICTURES FOLDER

    FOLDER/train/cat/1.jpg ...      FOLDER/train_lst/train.lst              index, class id, path; tabs between
    FOLDER/validation/cat/9.jpg     FOLDER/validation_lst/validation.lst

PICTURES is a folder a class (``cat/1.jpg``), below ``train/`` and ``validation/`` or not, or one folder of pictures
named by class and number (``images/Bengal_12.jpg``, as the Oxford pets are). Where nothing is set apart for
validation, every fifth picture of a class is.
"""

import re
import shutil
import sys
from collections import defaultdict
from pathlib import Path

IMAGES = {".jpg", ".jpeg", ".png"}


def classes_of(folder: Path) -> dict[str, list[Path]]:
    """The pictures of each class below ``folder``, by folder name or else by file name."""
    classes = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in IMAGES or path.name.startswith("."):
            continue
        named = re.fullmatch(r"(.+)_\d+", path.stem)
        if path.parent != folder:
            classes[path.parent.name].append(path)
        elif named:
            classes[named[1]].append(path)
    return dict(sorted(classes.items()))


def splits_of(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """The classes of train and of validation."""
    if (folder / "validation").is_dir():
        return {name: classes_of(folder / name) for name in ("train", "validation")}
    found = classes_of(folder / "images" if (folder / "images").is_dir() else folder)
    held = {name: paths[::5] for name, paths in found.items()}
    lists = [folder / "annotations" / name for name in ("trainval.txt", "test.txt")]
    if all(path.is_file() for path in lists):  # the Oxford pets say which are which
        train, test = ({line.split()[0] for line in path.read_text().splitlines() if line[:1] != "#"} for path in lists)
        found = {name: [path for path in paths if path.stem in train | test] for name, paths in found.items()}
        held = {name: [path for path in paths if path.stem in test] for name, paths in found.items()}
    return {
        "train": {name: [path for path in paths if path not in held[name]] for name, paths in found.items()},
        "validation": held,
    }


def write(split: str, classes: dict[str, list[Path]], out: Path) -> int:
    """Write the two channels of a split; the number of its pictures."""
    lines = []
    for label, (name, paths) in enumerate(classes.items()):
        (out / split / name).mkdir(parents=True)
        for path in paths:
            shutil.copy(path, out / split / name)
            lines.append(f"{len(lines)}\t{label}\t{name}/{path.name}\n")
    (out / f"{split}_lst").mkdir()
    (out / f"{split}_lst" / f"{split}.lst").write_text("".join(lines))
    return len(lines)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: python prepare.py PICTURES FOLDER")
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    if not source.is_dir():
        sys.exit(f"{source} is not a folder; name one with a folder of pictures for each class")
    if (out / "train").exists():
        sys.exit(f"{out} holds channels already; name a new folder")
    splits = splits_of(source)
    if not splits["train"]:
        sys.exit(f"{source} holds no pictures of known classes")
    for split, classes in splits.items():
        print(f"{split}: {write(split, classes, out)} pictures of {', '.join(classes)}")


if __name__ == "__main__":
    main()
