"""What tests of every part share: the real pets, and small pictures made on the spot."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread for tensors: networks as small as those of tests lose time to more, most of all on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pets() -> Path:
    """The root of the real pets: CLARY_PETS, or shared/data/pets beside the repository. Skips where absent."""
    root = Path(os.environ.get("CLARY_PETS", REPOSITORY.parent / "shared" / "data" / "pets"))
    if not (root / "annotations" / "list.txt").is_file():
        pytest.skip("the real pets are not here; set CLARY_PETS to their folder")
    return root


def _picture(width: int = 64, height: int = 48, seed: int = 0) -> np.ndarray:
    """A smooth coloured picture, uint8 RGB of shape (height, width, 3); other seeds give other pictures."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, size=(4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _encoded(format: str = "JPEG", width: int = 64, height: int = 48, seed: int = 0, **options: Any) -> bytes:
    """A picture as a file of ``format``; ``options`` are those of PIL's writer."""
    stream = io.BytesIO()
    Image.fromarray(_picture(width, height, seed)).save(stream, format, **options)
    return stream.getvalue()


def _jpeg(width: int = 64, height: int = 48, seed: int = 0, quality: int = 90) -> bytes:
    return _encoded("JPEG", width, height, seed, quality=quality)


def _class_folders(root: Path, classes: dict[str, int], *, width: int = 64, height: int = 48, seed: int = 0) -> Path:
    """``root/<class>/<n>.jpg``, every picture another one; ``classes`` maps names (``train/cat``) to counts."""
    for name, count in classes.items():
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            seed += 1
            (folder / f"{number}.jpg").write_bytes(_jpeg(width, height, seed))
    return root


# Fixtures that hand out functions, so that tests need not import this file (`--import-mode=importlib`).


@pytest.fixture(scope="session")
def picture() -> Callable[..., np.ndarray]:
    """``picture(width=64, height=48, seed=0)``: uint8 RGB of shape (height, width, 3)."""
    return _picture


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """``encoded(format="JPEG", width=64, height=48, seed=0, **options)``: the bytes of a picture file."""
    return _encoded


@pytest.fixture(scope="session")
def jpeg() -> Callable[..., bytes]:
    """``jpeg(width=64, height=48, seed=0, quality=90)``: the bytes of a JPEG."""
    return _jpeg


@pytest.fixture(scope="session")
def class_folders() -> Callable[..., Path]:
    """``class_folders(root, {"cat": 3, "dog": 3}, width=64, height=48, seed=0)``: a tree of class folders."""
    return _class_folders


# A world small enough to know every answer: pictures of one colour, and a network that says which colour is strongest.

COLOURS = ("blue", "green", "red")
_RGB = {"red": (210, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 220)}


def _colour_jpeg(name: str, seed: int = 0) -> bytes:
    """A JPEG of one colour with a little noise."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(np.array(_RGB[name]) + rng.integers(-30, 31, size=(36, 48, 3)), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _colours(root: Path, counts: dict[str, int], wrong: dict[str, str] | None = None) -> Path:
    """``root/<split>/<class>/<n>.jpg``; ``wrong`` maps files (``test/red/0.jpg``) to the colour they really have."""
    wrong = wrong or {}
    for split, count in counts.items():
        for name in COLOURS:
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                colour = wrong.get(f"{split}/{name}/{number}.jpg", name)
                (folder / f"{number}.jpg").write_bytes(_colour_jpeg(colour, number))
    return root


@pytest.fixture(scope="session")
def colours() -> Callable[..., Path]:
    """``colours(root, {"train": 4, "test": 3}, wrong={"test/red/0.jpg": "blue"})``: a data set of blue, green, red."""
    return _colours


def _colour_model(folder: Path, labels: tuple[str, ...] = COLOURS, *, multi_label: bool = False) -> Path:
    """``folder/model.tar.gz``: scores say how strong the colour of each label is; an unknown label gets nothing."""
    import torch

    from clary.vision.artifact.archive import pack
    from clary.vision.artifact.export import write_model
    from clary.vision.artifact.manifest import Input, Manifest, Output, Provenance
    from clary.vision.base.imaging import Preprocess
    from clary.vision.inference.engines import ENGINES

    class Strongest(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            channels = {"red": (1.0, 0, 0), "green": (0, 1.0, 0), "blue": (0, 0, 1.0)}
            rows = [channels.get(name, (-1.0, -1.0, -1.0)) for name in labels]
            self.weight = torch.nn.Parameter(torch.tensor(rows) * 8)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            strength = images.float().mean(dim=(1, 2)) / 255 @ self.weight.T
            return torch.sigmoid(strength - 4) if multi_label else torch.softmax(strength, dim=1)

    manifest = Manifest(
        task="classification",
        algorithm="image-classification",
        labels=labels,
        network={"architecture": "strongest colour"},
        input=Input(Preprocess(32, 32, resize=36, crop="center")),
        provenance=Provenance(clary="0.1.0", created="2025-01-01T00:00:00Z"),
        multi_label=multi_label,
        outputs=(Output(activation="sigmoid" if multi_label else "softmax"),),
    )
    example = np.stack([np.full((32, 32, 3), _RGB[name], dtype=np.uint8) for name in COLOURS])
    engines = [engine for engine in ENGINES if engine.name in ("openvino", "onnxruntime")]
    write_model(folder / "model", Strongest(), example, manifest, engines=engines)
    return pack(folder / "model", folder / "model.tar.gz")


@pytest.fixture(scope="session")
def make_colour_model() -> Callable[..., Path]:
    """``make_colour_model(folder, labels=COLOURS, multi_label=False)``: a real model.tar.gz in ``folder``."""
    return _colour_model


@pytest.fixture(scope="session")
def colour_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.tar.gz of the network that knows blue, green and red. Not to be changed."""
    return _colour_model(tmp_path_factory.mktemp("colour-model"))


def _colour_run(folder: Path, pictures: Path, model: Path | None, **config: Any) -> Path:
    """A run of three epochs on ``pictures`` as `clary train` leaves it; without ``model`` one that did not finish."""
    from clary.vision.base.jobdir import DATASET_CONTENT_TYPE, Channel, JobDir
    from clary.vision.datasets.split import split
    from clary.vision.formats import read

    found = split(read(pictures), validation=0.2, seed=0)
    channel = Channel("dataset", pictures, f"{DATASET_CONTENT_TYPE}; validation=0.2; seed=0")
    JobDir.create(folder, {"epochs": "3", "learning_rate": "0.01"}, {"dataset": channel})
    origin = {
        "path": str(pictures),
        "format": found.format,
        "labels": None,
        "class_names": list(found.class_names),
        "counts": {name: found.counts(name) for name in found.splits},
    }
    settings = {"num_classes": 3, "mini_batch_size": 3, "epochs": 3, "learning_rate": 0.01, "momentum": 0.9}
    value: dict[str, Any] = {
        "clary": "0.1.0",
        "algorithm": "image-classification",
        "dataset": origin,
        "hyperparameters": settings,
        "seed": 0,
        "network": "strongest colour",
        "machine": {"cores": 2, "versions": {"torch": "2.9"}},
    }
    (folder / "config.json").write_text(json.dumps(value | config))
    accuracies = (0.5, 0.9, 0.8)
    lines: list[dict[str, Any]] = [
        {
            "kind": "epoch",
            "epoch": epoch,
            "global_step": 4 * (epoch + 1),
            "train": {"accuracy": accuracy + 0.05, "loss": 1 - accuracy},
            "validation": {"accuracy": accuracy, "loss": 1.1 - accuracy},
            "learning_rate": 0.01 / (epoch + 1),
            "seconds": 2.0,
            "best": epoch < 2,
        }
        for epoch, accuracy in enumerate(accuracies)
    ]
    if model:
        shutil.copy(model, folder / "model.tar.gz")
        end = {"reason": "completed", "epochs": 3, "best_epoch": 1, "seconds": 6.5, "precision": "bf16"}
        lines.append({"kind": "run", "global_step": 12, **end})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "log.txt").write_text("Epoch[0] Train-accuracy=0.550000\n")
    return folder


@pytest.fixture(scope="session")
def make_colour_run() -> Callable[..., Path]:
    """``make_colour_run(folder, pictures, model, **config)``: see ``_colour_run``."""
    return _colour_run


@pytest.fixture
def colour_run(tmp_path: Path, colour_model: Path) -> Path:
    """A finished run beside its data set ``pictures``: 4 train, 2 validation, 3 test ones a class, two mislabelled."""
    wrong = {"test/red/0.jpg": "blue", "test/green/1.jpg": "red"}
    dataset = _colours(tmp_path / "pictures", {"train": 4, "validation": 2, "test": 3}, wrong)
    return _colour_run(tmp_path / "run", dataset, colour_model)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: a tiny ResNet with random weights that takes 48 x 64 pixels and tells cat, dog and fox."""
    import torch

    from clary.vision.artifact.export import write_model
    from clary.vision.artifact.manifest import Input, Manifest, Provenance
    from clary.vision.base.imaging import Preprocess
    from clary.vision.inference.engines import installed
    from clary.vision.models import build, describe

    torch.manual_seed(0)
    description = describe("timm:test_resnet", 3)
    network = build(description)
    with torch.no_grad():
        network.classifier.head.weight.mul_(20)  # so that pictures get scores far apart
    manifest = Manifest(
        task="classification",
        algorithm="image-classification",
        labels=("cat", "dog", "fox"),
        network=description,
        input=Input(Preprocess(48, 64, crop="squash"), tuple(description["mean"]), tuple(description["std"])),
        provenance=Provenance(clary="0.1.0", created="2026-01-01T00:00:00Z", seed=0, counts={"train": 30}),
        metrics={"validation:accuracy": 0.5},
    )
    example = np.stack([_picture(64, 48, seed) for seed in range(4)])
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, network, example, manifest, engines=installed())
    return folder


@pytest.fixture(scope="session")
def model_archive(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model_folder`` as a model.tar.gz."""
    from clary.vision.artifact.archive import pack

    return pack(model_folder, tmp_path_factory.mktemp("archive") / "model.tar.gz")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """``cli("evaluate", model, ...)``: the ``clary`` program in this process; exit code, standard output, error."""
    from clary.cli.main import main

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["clary", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run
