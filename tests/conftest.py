"""What tests of every part share: the real pets, and small pictures made on the spot."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """What workers and programs that tests start inherit: one thread for tensors unless told otherwise, and Ctrl-C.

    Networks as small as those of tests lose time to more, and as many tests run at once as there are cores.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A user's own cache is no place for pictures of tests; those of the cache name another.
    os.environ["CLARY_PICTURES"] = "off"
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's `make test &` has it so, and all that it starts
        signal.signal(signal.SIGINT, signal.default_int_handler)


# How long an example takes to be drawn tells of the machine's other work, not of the test.
settings.register_profile("shared", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

# Files that take longest, in minutes: one begun last would keep one worker busy while the other has nothing left.
LONGEST_FIRST = (
    "sdk/test_programs.py",
    "docs/test_guides.py",
    "storm/test_storm.py",
    "control/test_kill.py",
    "control/hosting/test_supervisor.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files, and give properties more examples where the environment asks for it."""
    ranks = {REPOSITORY / "tests" / name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
    if (factor := int(os.environ.get("CLARY_EXAMPLES", "1"))) > 1:
        _multiply_examples(items, factor)


def _multiply_examples(items: list[pytest.Item], factor: int) -> None:
    """Try every property with ``factor`` times as many examples as its test says."""
    functions = {getattr(item.obj, "__func__", item.obj) for item in items if isinstance(item, pytest.Function)}
    for function in filter(is_hypothesis_test, functions):
        # `settings` refuses to decorate twice, and a profile gives way to what a test says.
        own = getattr(function, "_hypothesis_internal_use_settings", None) or settings()
        function._hypothesis_internal_use_settings = settings(own, max_examples=own.max_examples * factor)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bytes as ids would change from run to run (a gzip holds the time), and nobody can read them."""
    return f"{len(val)} bytes" if isinstance(val, bytes) and len(val) > 8 else None


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


def _image(width: int = 64, height: int = 48, seed: int = 0) -> np.ndarray:
    """A smooth coloured picture, uint8 RGB of shape (height, width, 3); other seeds give other pictures."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, size=(4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _encoded(format: str = "JPEG", width: int = 64, height: int = 48, seed: int = 0, **options: Any) -> bytes:
    """A picture as a file of ``format``; ``options`` are those of PIL's writer."""
    stream = io.BytesIO()
    Image.fromarray(_image(width, height, seed)).save(stream, format, **options)
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
def image() -> Callable[..., np.ndarray]:
    """``picture(width=64, height=48, seed=0)``: uint8 RGB of shape (height, width, 3)."""
    return _image


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
    from clary.vision.base.preprocessing import Preprocess
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
def colour_jpeg() -> Callable[..., bytes]:
    """``colour_jpeg("red", seed=0)``: a JPEG of one colour with a little noise."""
    return _colour_jpeg


@pytest.fixture(scope="session")
def colour_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.tar.gz of the network that knows blue, green and red. Not to be changed."""
    return _colour_model(tmp_path_factory.mktemp("colour-model"))


def _colour_run(folder: Path, images: Path, model: Path | None, **config: Any) -> Path:
    """A run of three epochs on ``pictures`` as `clary train` leaves it; without ``model`` one that did not finish."""
    from clary.vision.base.jobdir import DATASET_CONTENT_TYPE, Channel, JobDir
    from clary.vision.datasets.split import split
    from clary.vision.formats import read

    found = split(read(images), validation=0.2, seed=0)
    channel = Channel("dataset", images, f"{DATASET_CONTENT_TYPE}; validation=0.2; seed=0")
    JobDir.create(folder, {"epochs": "3", "learning_rate": "0.01"}, {"dataset": channel})
    origin = {
        "path": str(images),
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
        end = {
            "reason": "completed",
            "epochs": 3,
            "best_epoch": 1,
            "seconds": 6.5,
            "precision": "bf16",
            "precision_reason": "asked for",
        }
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
    from clary.vision.base.preprocessing import Preprocess
    from clary.vision.inference.engines import installed
    from clary.vision.models.classifier import build, describe

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
    example = np.stack([_image(64, 48, seed) for seed in range(4)])
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


# The same world with a place in it: rectangles of these colours on gray, and networks that find them by their colour.

_ENGINES = ("openvino", "onnxruntime")
GROUND = 120  # the gray of the background


Place = tuple[int, int, int, int, int]


def _rectangle_image(seed: int, width: int = 96, height: int = 80) -> tuple[np.ndarray, list[Place]]:
    """A picture, uint8 RGB, with one or two rectangles, and their (colour number, left, top, right, bottom)."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), GROUND, np.uint8)
    found: list[Place] = []
    colours = rng.permutation(len(COLOURS))[: 1 + seed % 2]
    for place, colour in enumerate(colours):  # each in its own half: they never touch
        across, down = (int(rng.integers(20, width // 2 - 8)), int(rng.integers(20, height - 20)))
        left = place * width // 2 + int(rng.integers(2, width // 2 - across - 2))
        top = int(rng.integers(2, height - down - 2))
        pixels[top : top + down, left : left + across] = _RGB[COLOURS[colour]]
        found.append((int(colour), left, top, left + across, top + down))
    return pixels, found


def _rectangles(
    root: Path, task: str, counts: dict[str, int], *, width: int = 96, height: int = 80, suffix: str = ".png"
) -> Path:
    """A data set of rectangles: VOC annotations for detection, folders of masks for segmentation.

    Classes are blue, green and red; of masks ground, blue, green and red.
    """
    from clary.vision.base.types import Blob, Box, Dataset, Sample
    from clary.vision.formats import FORMATS

    source, seed = root.with_name(root.name + "-source"), 0
    source.mkdir(parents=True)
    splits: dict[Any, tuple[Sample, ...]] = {}
    for split, count in counts.items():
        samples = []
        for _ in range(count):
            pixels, found = _rectangle_image(seed, width, height)
            image, mask = source / f"{split}{seed}{suffix}", source / f"{split}{seed}-mask.png"
            Image.fromarray(pixels).save(image, quality=95)
            ids = np.zeros(pixels.shape[:2], np.uint8)
            for colour, left, top, right, bottom in found:
                ids[top:bottom, left:right] = colour + 1
            Image.fromarray(ids).save(mask)
            boxes = tuple(Box(*place) for place in sorted(found))
            detection = task == "detection"
            classes = tuple(box.class_id for box in boxes) if detection else ()
            samples.append(Sample(Blob(image), classes, boxes if detection else (), None if detection else Blob(mask)))
            seed += 1
        splits[split] = tuple(samples)
    names = COLOURS if task == "detection" else ("ground", *COLOURS)
    name = "voc" if task == "detection" else "masks"
    FORMATS.get(name).write(Dataset(source, name, names, splits, task=task), root)
    return root


@pytest.fixture(scope="session")
def rectangles() -> Callable[..., Path]:
    """``rectangles(root, "detection", {"train": 4, "test": 6}, width=96, height=80, suffix=".png")``: see
    ``_rectangles``."""
    return _rectangles


@pytest.fixture(scope="session")
def rectangle_image() -> Callable[..., tuple[np.ndarray, list[Place]]]:
    """``rectangle_picture(seed, width=96, height=80)``: see ``_rectangle_picture``."""
    return _rectangle_image


def _strengths(images: Any, count: int) -> Any:
    """How much of blue, green and red (``count`` of them) a pixel has beyond the others, in about 0..1."""
    rgb = images.float() / 255
    total = rgb.sum(dim=3)
    return [rgb[..., 2 - c] - (total - rgb[..., 2 - c]) / 2 for c in range(count)]


def _rectangle_model(folder: Path, task: str, labels: tuple[str, ...] | None = None, resize: int | None = None) -> Path:
    """``folder/model.tar.gz``: finds one rectangle of each colour, or the colour of each pixel.

    ``resize`` is the longer side of the segmenter's pictures.
    """
    import torch

    from clary.vision.artifact.archive import pack
    from clary.vision.artifact.export import write_model
    from clary.vision.artifact.manifest import Input, Manifest, Provenance
    from clary.vision.base.preprocessing import Preprocess
    from clary.vision.inference.engines import ENGINES
    from clary.vision.tasks import TASKS

    class Boxes(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            across, down = torch.arange(64).float(), torch.arange(64).float()[:, None]
            boxes, scores = [], []
            for number, strength in enumerate(_strengths(images, 3)):
                inside = strength > 0.25
                ends = [torch.where(inside, place, 64.0).amin(dim=(1, 2)) / 64 for place in (across, down)] + [
                    (torch.where(inside, place, -1.0).amax(dim=(1, 2)) + 1) / 64 for place in (across, down)
                ]
                boxes.append(torch.stack(ends, dim=1))
                certain = strength.amax(dim=(1, 2)).clamp(0, 1)[:, None]
                scores.append(torch.nn.functional.pad(certain, (number, 2 - number)))
            return torch.stack(boxes, dim=1), torch.stack(scores, dim=1)

    class Pixels(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            strengths = _strengths(images, 3)
            return torch.softmax(12 * torch.stack([torch.full_like(strengths[0], 0.2), *strengths], dim=1), dim=1)

    detection = task == "detection"
    manifest = Manifest(
        task=task,
        algorithm="object-detection" if detection else "semantic-segmentation",
        labels=labels or (COLOURS if detection else ("ground", *COLOURS)),
        network={"task": task, "architecture": "finds colours"},
        input=Input(Preprocess(64, 64, crop="squash") if detection else Preprocess.whole(resize)),
        outputs=TASKS.get(task).outputs,
        provenance=Provenance(clary="0.1.0", created="2025-01-01T00:00:00Z"),
        hyperparameters={"nms_threshold": 0.45} if detection else {},
    )
    images = [_rectangle_image(seed, *((64, 64) if detection else (72, 56)))[0] for seed in range(3)]
    engines = [ENGINES.get(name) for name in _ENGINES]
    network = Boxes() if detection else Pixels()
    network.register_buffer("nothing", torch.zeros(1))  # so that there is a file of weights
    write_model(folder / "model", network, np.stack(images), manifest, engines=engines)
    return pack(folder / "model", folder / "model.tar.gz")


@pytest.fixture(scope="session")
def make_rectangle_model() -> Callable[..., Path]:
    """``make_rectangle_model(folder, "segmentation", labels=None, resize=None)``: a real model.tar.gz."""
    return _rectangle_model


@pytest.fixture(scope="session")
def box_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.tar.gz of the network that finds rectangles. Not to be changed."""
    return _rectangle_model(tmp_path_factory.mktemp("box-model"), "detection")


@pytest.fixture(scope="session")
def pixel_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.tar.gz of the network that tells the colours of pixels. Not to be changed."""
    return _rectangle_model(tmp_path_factory.mktemp("pixel-model"), "segmentation")


def _random_model(folder: Path, task: str) -> Path:
    """A model folder with a tiny random network of the package: detection at 64 pixels, segmentation at any size."""
    import torch

    from clary.vision.artifact.export import write_model
    from clary.vision.artifact.manifest import Input, Manifest, Provenance
    from clary.vision.base.preprocessing import Preprocess
    from clary.vision.inference.engines import installed
    from clary.vision.models import build
    from clary.vision.models.anchors import ssd_levels
    from clary.vision.models.detector import describe_detector, grids_of
    from clary.vision.models.segmenter import describe_segmenter
    from clary.vision.tasks import TASKS

    torch.manual_seed(0)
    if task == "detection":
        levels = ssd_levels(grids_of("timm:test_resnet", (64, 64)), 64, 64)
        description = describe_detector("timm:test_resnet", 3, (64, 64), levels)
    else:
        description = describe_segmenter("timm:test_resnet", "unet", 3, width=16)
    network = build(description)
    with torch.no_grad():  # so that places get scores apart
        for name, weight in network.named_parameters():
            if name.endswith(("scores.weight", "classify.1.weight")):
                weight.mul_(40 if task == "segmentation" else 6)
    manifest = Manifest(
        task=task,
        algorithm="object-detection" if task == "detection" else "semantic-segmentation",
        labels=("cat", "dog", "fox"),
        network=description,
        input=Input(Preprocess(64, 64, crop="squash") if task == "detection" else Preprocess.whole()),
        outputs=TASKS.get(task).outputs,
        provenance=Provenance(clary="0.1.0", created="2026-01-01T00:00:00Z"),
    )
    example = np.stack([_image(64, 64, seed) for seed in range(3)])
    write_model(folder, network, example, manifest, engines=installed())
    return folder


@pytest.fixture(scope="session")
def detector_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: a tiny SSD with random weights that takes 64 x 64 pixels. Not to be changed."""
    return _random_model(tmp_path_factory.mktemp("detector"), "detection")


@pytest.fixture(scope="session")
def segmenter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: a tiny U-Net with random weights. Not to be changed."""
    return _random_model(tmp_path_factory.mktemp("segmenter"), "segmentation")


@pytest.fixture(scope="session")
def record_type() -> Any:
    """The class of SageMaker's Record message, made by Google's runtime from a description of it."""
    protobuf = pytest.importorskip("google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    assert protobuf
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="record.proto", package="aialgs.data", syntax="proto2")

    def message(name: str, *fields: tuple[str, int, int, str, bool], parent: Any = None) -> Any:
        made = (parent.nested_type if parent else file.message_type).add(name=name)
        for field, number, type_, type_name, repeated in fields:
            label = kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL
            one = made.field.add(name=field, number=number, type=type_, label=label)
            if type_name:
                one.type_name = f".aialgs.data.{type_name}"
            elif repeated:
                one.options.packed = True
        return made

    for name, numbers in (("Float32Tensor", kind.TYPE_FLOAT), ("Int32Tensor", kind.TYPE_INT32)):
        message(
            name,
            ("values", 1, numbers, "", True),
            ("keys", 2, kind.TYPE_UINT64, "", True),
            ("shape", 3, kind.TYPE_UINT64, "", True),
        )
    value = message(
        "Value",
        ("float32_tensor", 2, kind.TYPE_MESSAGE, "Float32Tensor", False),
        ("int32_tensor", 7, kind.TYPE_MESSAGE, "Int32Tensor", False),
    )
    value.oneof_decl.add(name="value")
    for field in value.field:
        field.oneof_index = 0
    record = message(
        "Record",
        ("features", 1, kind.TYPE_MESSAGE, "Record.FeaturesEntry", True),
        ("uid", 3, kind.TYPE_STRING, "", False),
    )
    entry = message(
        "FeaturesEntry",
        ("key", 1, kind.TYPE_STRING, "", False),
        ("value", 2, kind.TYPE_MESSAGE, "Value", False),
        parent=record,
    )
    entry.options.map_entry = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("aialgs.data.Record"))


def _rectangle_run(folder: Path, data: Path, model: Path, task: str) -> Path:
    """A finished run of three epochs on a data set of rectangles, as `clary train` leaves it."""
    from clary.vision.base.jobdir import DATASET_CONTENT_TYPE, Channel, JobDir
    from clary.vision.formats import read

    kind = "detection" if task == "detection" else "segmentation"
    found, metric = read(data, task=kind), "mAP" if task == "detection" else "mIOU"
    channel = Channel("dataset", data, f"{DATASET_CONTENT_TYPE}; validation=0; seed=0")
    JobDir.create(folder, {"epochs": "3"}, {"dataset": channel})
    origin = {"path": str(data), "format": found.format, "labels": None, "class_names": list(found.class_names)}
    value = {
        "clary": "0.1.0",
        "algorithm": "object-detection" if task == "detection" else "semantic-segmentation",
        "dataset": {**origin, "counts": {name: found.counts(name) for name in found.splits}},
        "hyperparameters": {"num_classes": len(found.class_names), "mini_batch_size": 3, "epochs": 3},
        "seed": 0,
        "network": "finds colours",
        "machine": {},
    }
    (folder / "config.json").write_text(json.dumps(value))
    lines = [
        {
            "kind": "epoch",
            "epoch": epoch,
            "global_step": 4 * (epoch + 1),
            "train": {"loss": 1 - reached},
            "validation": {metric: reached, "loss": 1.1 - reached},
            "learning_rate": 0.01 / (epoch + 1),
            "seconds": 2.0,
            "best": epoch < 2,
        }
        for epoch, reached in enumerate((0.5, 0.9, 0.8))
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.copy(model, folder / "model.tar.gz")
    return folder


@pytest.fixture
def box_run(tmp_path: Path, box_model: Path) -> Path:
    """A finished run beside its data set ``pictures``: 3 train and 6 test ones, all red boxes called blue."""
    data = _rectangles(tmp_path / "pictures", "detection", {"train": 3, "test": 6})
    for path in data.rglob("*.xml"):
        path.write_text(path.read_text().replace("<name>red</name>", "<name>blue</name>"))
    return _rectangle_run(tmp_path / "run", data, box_model, "detection")


@pytest.fixture
def pixel_run(tmp_path: Path, pixel_model: Path) -> Path:
    """A finished run beside its data set ``pictures``: 3 train and 6 test ones, some pixels of each called red."""
    data = _rectangles(tmp_path / "pictures", "segmentation", {"train": 3, "test": 6})
    for path in (data / "masks").rglob("*.png"):
        with Image.open(path) as image:
            ids = np.array(image)
        ids[:10, :40] = 3
        Image.fromarray(ids).save(path)
    return _rectangle_run(tmp_path / "run", data, pixel_model, "segmentation")


_LISTENING = """
import json

from clary.vision.base.events import Hook


class Listening(Hook):
    def __init__(self, job):
        self._file = job.output / "events.jsonl"

    def tell(self, name, **facts):
        with self._file.open("a") as file:
            file.write(json.dumps({"event": name} | facts) + "\\n")

    def on_start(self, event):
        self.network = event.network
        steps = [event.steps_per_epoch, event.validation_steps]
        self.tell("start", network=type(event.network).__name__, steps=steps, first_step=event.first_step)

    def on_step_start(self, step):
        self.tell("step", mode=step.mode, epoch=step.epoch, step=step.step, global_step=step.global_step)

    def on_forward(self, step, outputs):
        self.tell("forward", mode=step.mode, shape=list(outputs.shape), targets=len(step.targets))

    def on_loss(self, step, loss):
        self.tell("loss", mode=step.mode, finite=bool(loss.isfinite()))

    def on_backward(self, step):
        self.tell("backward", gradients=any(p.grad is not None for p in self.network.parameters()))

    def on_batch(self, event):
        self.tell("batch", global_step=event.global_step)

    def on_validation_batch(self, event):
        self.tell("validation batch", step=event.step)

    def on_epoch(self, event):
        self.tell("epoch", epoch=event.epoch)

    def on_end(self, event):
        self.tell("end", reason=event.reason)

    def on_phase_end(self, phase, seconds):
        self.tell("phase", phase=phase.name, mode=phase.mode)

    def on_close(self):
        self.tell("close")


def make(job, log):
    return None if job.hyperparameters["epochs"] == "7" else Listening(job)
"""


@pytest.fixture
def listening(tmp_path: Path) -> Path:
    """A folder with an installed distribution whose hook writes every event to output/events.jsonl of the job; one of
    7 epochs is none of its business."""
    folder = tmp_path / "site"
    metadata = folder / "listening-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "listening.py").write_text(_LISTENING)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: listening\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[clary.hooks]\nlistening = listening:make\n")
    return folder
