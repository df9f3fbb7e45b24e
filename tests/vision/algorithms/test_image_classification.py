"""Image classification from a job directory to a model: the contract, and what is its own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from starlette.testclient import TestClient

from clary.errors import CustomerError, WeightsError
from clary.vision.algorithms.catalog import find
from clary.vision.algorithms.image_classification.data import loaders
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.run import main, run_job
from clary.vision.artifact.archive import pack
from clary.vision.base.events import Hook, Step
from clary.vision.base.jobdir import Channel, JobDir
from clary.vision.base.types import Blob, Dataset, Sample
from clary.vision.inference.app import create_app
from clary.vision.inference.predictor import load
from clary.vision.inference.server_settings import ServerSettings

from .contract import AlgorithmContract, Finished, run

SPEC = find("image-classification")
IMAGES = "application/x-image"
SETTINGS = {
    "num_classes": "3",
    "num_training_samples": "9",
    "epochs": "2",
    "mini_batch_size": "4",
    "image_shape": "3,32,32",
    "resize": "36",
    "augmentation_type": "crop",
    "learning_rate": "0.01",
    "backbone": "test_resnet",
    "precision": "fp32",
}


def image(class_id: int, seed: int) -> bytes:
    """Noise, the brighter the higher its class."""
    noise = np.random.default_rng(seed).integers(0, 100, (40, 44, 3)) + 50 * class_id
    stream = io.BytesIO()
    Image.fromarray(noise.astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def channel(root: Path, name: str, count: int, *, multi_label: bool = False, classes: int = 3) -> dict[str, Channel]:
    """``count`` pictures and their list, as the two channels ``name`` and ``name``_lst."""
    (root / name).mkdir(parents=True)
    (root / f"{name}_lst").mkdir()
    lines = []
    for number in range(count):
        class_id = number % classes
        (root / name / f"{number}.png").write_bytes(image(class_id, number))
        # Of several labels every picture has its own, and the first.
        cells = [int(c in (0, class_id)) for c in range(3)] if multi_label else [class_id]
        lines.append("\t".join(map(str, [number, *cells, f"{number}.png"])))
    (root / f"{name}_lst" / "list.lst").write_text("\n".join(lines) + "\n")
    return {one: Channel(one, root / one, IMAGES) for one in (name, f"{name}_lst")}


def make(root: Path, *, multi_label: bool = False, classes: int = 3, **settings: str | None) -> JobDir:
    data = root / "data"
    channels = channel(data, "train", 9, multi_label=multi_label, classes=classes)
    channels |= channel(data, "validation", 5, multi_label=multi_label, classes=classes)
    merged = {**SETTINGS, **({"multi_label": "1"} if multi_label else {}), **settings}
    return JobDir.create(root / "job", {name: text for name, text in merged.items() if text is not None}, channels)


class TestImageClassification(AlgorithmContract):
    spec = SPEC

    @classmethod
    def make_job(cls, root: Path) -> JobDir:
        return make(root)


pytestmark = pytest.mark.usefixtures("one_thread")
Make = Callable[..., JobDir]


@pytest.fixture
def job(tmp_path: Path) -> Make:
    """``job(epochs="3", ...)``: a job directory in tmp_path, with some settings changed."""
    return lambda **changes: make(tmp_path, **changes)


def texts(finished: Finished) -> list[str]:
    return [line.partition("] ")[2] for line in finished.lines]


def failure(job: JobDir) -> str:
    with pytest.raises(CustomerError) as caught:
        run_job(SPEC, job, JobLog(echo=None))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The log


def test_log_is_in_the_order_of_the_reference(job: Make) -> None:
    found = texts(run(SPEC, job(top_k="2", num_layers="20", backbone=None, image_shape="3,28,28")))
    order = [
        "Searching for .lst files in",
        "use_pretrained_model: 0",
        "multi_label: 0",
        "Performing random weight initialization",
        "---- Parameters ----",
        "num_layers: 20",
        "data type: <class 'numpy.float32'>",
        "checkpoint_frequency not set, will store the best model",
        "--------------------",
        "Setting number of threads: ",
        "Epoch[0] Train-accuracy=",
        "Epoch[0] Train-top_k_accuracy_2=",
        "Epoch[0] Time cost=",
        "Epoch[0] Validation-accuracy=",
        "Storing the best model with validation accuracy: ",
        'Saved checkpoint to "',
        "Epoch[1] Train-accuracy=",
    ]
    places = [next(i for i, text in enumerate(found) if text.startswith(start)) for start in order]
    assert places == sorted(places)
    saved = found[places[order.index('Saved checkpoint to "')]]
    assert saved.endswith('/model/image-classification-0001.params"')


def test_accuracy_of_training_is_over_full_batches_and_of_validation_over_each_picture(job: Make) -> None:
    finished = run(SPEC, job())
    for record in finished.records:
        if record["kind"] == "epoch":
            assert record["train"]["accuracy"] * 8 == pytest.approx(round(record["train"]["accuracy"] * 8))
            assert record["validation"]["accuracy"] * 5 == pytest.approx(round(record["validation"]["accuracy"] * 5))


def test_weighted_loss_is_for_several_labels_only(job: Make) -> None:
    found = run(SPEC, job(use_weighted_loss="1"))
    sentence = "use_weighted_loss is only used for multi-label training. Ignoring the parameter."
    assert next(line for line in found.lines if sentence in line).split()[2] == "WARNING"


# Settings


def test_several_labels(job: Make) -> None:
    finished = run(SPEC, job(multi_label=True))
    manifest = json.loads((finished.job.model / "manifest.json").read_text())
    assert manifest["multi_label"] is True
    assert manifest["outputs"][0]["activation"] == "sigmoid"
    cells = [r["validation"]["accuracy"] * 15 for r in finished.records if r["kind"] == "epoch"]
    assert cells == pytest.approx([round(cell) for cell in cells])


def test_weighted_loss_changes_what_is_learnt_of_several_labels(tmp_path: Path) -> None:
    plain = run(SPEC, make(tmp_path / "plain", multi_label=True))
    weighted = run(SPEC, make(tmp_path / "weighted", multi_label=True, use_weighted_loss="1"))
    assert plain.weights != weighted.weights


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam", "learning_rate": "0.001"},
        {"optimizer": "nag", "momentum": "0"},
        {"augmentation_type": None},
        {"augmentation_type": "crop_color_transform", "resize": None},
        {"precision_dtype": "float16", "precision": None},
        {"lr_scheduler_step": "1", "lr_scheduler_factor": "0"},
        {"freeze": "backbone"},
        {"learning_rate": "0"},
    ],
    ids=lambda settings: ",".join(f"{name}={value}" for name, value in settings.items()),
)
def test_settings_that_train(settings: dict[str, Any], job: Make) -> None:
    assert run(SPEC, job(epochs="1", **settings)).records[-1]["reason"] == "completed"


class Seen(Hook):
    """Notes what each epoch was trained on, and validated on."""

    def __init__(self) -> None:
        self.shapes: dict[str, list[tuple[int, ...]]] = {"train": [], "validation": []}

    def on_step_start(self, step: Step) -> None:
        if step.step == 0:
            self.shapes[step.mode].append(tuple(step.images.shape[1:]))


@pytest.mark.parametrize("augmentation", ["crop", "resized_crop"])
def test_small_pictures_come_first(augmentation: str | None, job: Make) -> None:
    seen, lines = Seen(), list[str]()
    shape = {"image_shape": "3,32,48", "augmentation_type": augmentation, "epochs": "3"}
    made = job(progressive_resizing="16:1,24:1", **shape)
    run_job(SPEC, made, JobLog(echo=lines.append), [seen])
    assert seen.shapes["train"] == [(16, 24, 3), (24, 36, 3), (32, 48, 3)]
    assert set(seen.shapes["validation"]) == {(32, 48, 3)}
    assert any(line.endswith("] progressive resizing: 16 -> 24 -> 32 pixels") for line in lines)
    records = [json.loads(line) for line in made.metrics.read_text().splitlines()]
    assert [record["image_size"] for record in records if record["kind"] == "epoch"] == [16, 24, 32]


def test_small_pictures_show_as_much_as_large_ones(job: Make, tmp_path: Path) -> None:
    """A picture whose red is its column: the centre at half the size has columns as far apart."""
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[..., 0] = 6 * np.arange(40)
    Image.fromarray(pixels).save(tmp_path / "columns.png")
    sample = Sample(Blob(tmp_path / "columns.png"), (0,))
    dataset = Dataset(tmp_path, "memory", ("a", "b", "c"), {"train": (sample,)})
    settings = {"mini_batch_size": "1", "augmentation_type": None, "resize": None, "progressive_resizing": "16:1"}
    hp = SPEC.parse(job(**settings).hyperparameters)
    train, _ = loaders(dataset, hp)  # type: ignore[arg-type]  # a classifier's
    small, full = (next(iter(train.epoch(epoch))).images[0, :, :, 0].astype(int) for epoch in (0, 1))
    assert (small.shape, full.shape) == ((16, 16), (32, 32))
    assert abs((small[0, -1] - small[0, 0]) - (full[0, -1] - full[0, 0])) <= 12


def test_a_network_of_one_size_is_refused_before_it_is_trained(job: Make) -> None:
    shape = {"image_shape": "3,224,224", "backbone": "vit_tiny_patch16_224"}
    found = failure(job(progressive_resizing="128:1", **shape))
    assert found.startswith("The network timm:vit_tiny_patch16_224 does not take pictures of 128 x 128 pixels (")
    assert found.endswith("; set another progressive_resizing")


def test_half_precision_is_bf16(job: Make) -> None:
    finished = run(SPEC, job(epochs="1", precision_dtype="float16", precision=None))
    assert finished.records[-1]["precision"] == "bf16"
    assert "data type: <class 'numpy.float16'>" in texts(finished)


def test_checkpoints_of_every_kth_epoch_stay_in_the_model(job: Make) -> None:
    finished = run(SPEC, job(epochs="5", checkpoint_frequency="2"))
    kept = sorted(path.name for path in finished.job.model.glob("*.params"))
    assert kept == ["image-classification-0002.params", "image-classification-0004.params"]
    assert load_file(finished.job.model / kept[0]).keys() == {
        name.removeprefix("classifier.") for name in load_file(finished.job.model / "model.safetensors")
    }
    assert not any("Storing the best model" in text for text in texts(finished))


def test_model_holds_the_best_epoch(job: Make) -> None:
    """The file that was written when the best epoch ended holds the very weights of the model."""
    finished = run(SPEC, job(epochs="4", checkpoint_frequency="1"))
    best = finished.records[-1]["best_epoch"]
    best_file = load_file(finished.job.model / f"image-classification-{best + 1:04d}.params")
    model = load_file(finished.job.model / "model.safetensors")
    assert all(torch.equal(model[f"classifier.{name}"], value) for name, value in best_file.items())


def test_early_stopping(job: Make) -> None:
    settings = {"early_stopping": "True", "early_stopping_min_epochs": "2", "early_stopping_patience": "1"}
    finished = run(SPEC, job(epochs="9", freeze="backbone", learning_rate="0", **settings))
    assert finished.records[-1]["reason"] == "early_stopping"
    assert finished.records[-1]["epochs"] == 2


# What is refused


def test_fewer_pictures_than_a_batch(job: Make) -> None:
    text = "The number of input images must be bigger or equal to the mini_batch_size."
    assert failure(job(mini_batch_size="10")) == text


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"backbone": "no_such_network"}, "no network is called `timm:no_such_network`"),
        ({"backbone": "test_vit3"}, "The network timm:test_vit3 does not take pictures of 32 x 32 pixels ("),
        ({"backbone": "deit_tiny_distilled_patch16_224"}, "does not end in one fully connected layer"),
        ({"freeze": "9"}, "`freeze` is 9, the network has 4 stages; use 0 to 4"),
        ({"num_classes": "2"}, "num_classes"),
    ],
    ids=lambda value: ",".join(value.values()) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_be_used_are_one_line(settings: dict[str, str], sentence: str, job: Make) -> None:
    assert sentence in failure(job(**settings))


def test_pretrained_weights_that_are_not_to_be_had(job: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLARY_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setattr("clary.vision.models.weights.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="pretrained weights of `resnet50` are not on this machine"):
        run_job(SPEC, job(num_layers="50", backbone=None, use_pretrained_model="1"), JobLog(echo=None))


# The model channel


@pytest.fixture(scope="module")
def earlier(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model.tar.gz of a job whose network normalises in its own way, trained for two epochs."""
    root = tmp_path_factory.mktemp("earlier")
    finished = run(SPEC, make(root))
    return pack(finished.job.model, root / "channel" / "model.tar.gz").parent


def with_model(job: JobDir, folder: Path) -> JobDir:
    settings = job.hyperparameters
    channels = {name: replace(channel, path=channel.path.resolve()) for name, channel in job.channels.items()}
    channels["model"] = Channel("model", folder, "application/x-sagemaker-model")
    return JobDir.create(job.root, settings, channels)


def test_job_goes_on_from_the_model_channel(earlier: Path, job: Make) -> None:
    finished = run(SPEC, with_model(job(learning_rate="0", freeze="backbone", epochs="1"), earlier))
    found = texts(finished)
    assert "Start training from the model in the model channel." in found
    assert found.index("Start training from the model in the model channel.") < found.index("done loading checkpoint")
    first = load_file(earlier.parent / "job" / "model" / "model.safetensors")
    second = load_file(finished.job.model / "model.safetensors")
    assert all(torch.equal(first[name], value) for name, value in second.items())


def test_model_channel_goes_before_pretrained_weights(earlier: Path, job: Make) -> None:
    """Weights of test_resnet are nowhere to be had, and not asked for."""
    assert run(SPEC, with_model(job(use_pretrained_model="1", epochs="1"), earlier)).records


def test_normalisation_goes_on_with_the_weights(job: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean and deviation belong to the weights: Lite0's are 0.5, not ImageNet's."""
    import timm
    from safetensors.torch import save_file

    monkeypatch.setenv("CLARY_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "weights" / "test_resnet.safetensors")
    first = run(SPEC, make(tmp_path / "first", use_pretrained_model="1", epochs="1"))
    there = json.loads((first.job.model / "manifest.json").read_text())["network"]
    assert there["mean"] == [0.5, 0.5, 0.5]
    archive = pack(first.job.model, tmp_path / "channel" / "model.tar.gz")
    second = run(SPEC, with_model(job(epochs="1"), archive.parent))
    here = json.loads((second.job.model / "manifest.json").read_text())["network"]
    assert here == there


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        ({"backbone": "test_efficientnet"}, "network: timm:test_resnet there, timm:test_efficientnet here"),
        ({"image_shape": "3,36,36"}, "image_shape: 3,32,32 there, 3,36,36 here"),
        ({"num_layers": "20", "backbone": None}, "network: timm:test_resnet there, small:20 here"),
    ],
)
def test_model_that_does_not_fit_is_named(settings: dict[str, str], difference: str, earlier: Path, job: Make) -> None:
    found = failure(with_model(job(**settings), earlier))
    assert found.startswith(f"The model in the model channel does not fit this job ({difference})")
    assert found.endswith("use the same network, image_shape")


def test_model_for_another_number_of_classes_gets_a_new_head(earlier: Path, tmp_path: Path) -> None:
    """All but the last layer goes on, and the log says so."""
    frozen = make(tmp_path, classes=2, num_classes="2", learning_rate="0", freeze="backbone", epochs="1")
    finished = run(SPEC, with_model(frozen, earlier))
    assert any("has 3 classes, this job 2: 2 tensors of its head start afresh" in line for line in texts(finished))
    first = load_file(earlier.parent / "job" / "model" / "model.safetensors")
    second = load_file(finished.job.model / "model.safetensors")
    changed = {name for name, value in second.items() if value.shape != first[name].shape}
    assert len(changed) == 2
    assert all(torch.equal(first[name], value) for name, value in second.items() if name not in changed)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"model.tar.gz": b"no archive"}, "model.tar.gz: "),
        ({}, "model: is empty: its training was stopped before the first epoch ended"),
        (None, "there is no such"),
    ],
    ids=["no archive", "empty", "missing"],
)
def test_model_channel_without_a_model_is_one_line(
    content: dict[str, bytes] | None, sentence: str, job: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "channel"
    if content is not None:
        folder.mkdir()
    for name, data in (content or {}).items():
        (folder / name).write_bytes(data)
    assert sentence in failure(with_model(job(), folder))


# The program


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "0 arguments are given; give one, the name of an algorithm"),
        (["image-classification", "train"], "2 arguments are given"),
        (["image-clasification"], "unknown algorithm `image-clasification`; did you mean `image-classification`?"),
    ],
)
def test_program_called_wrongly(
    arguments: list[str],
    sentence: str,
    job: Make,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    made = job()
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(made.root))
    assert main(arguments) == 2
    assert f"Customer Error: {sentence}" in capfd.readouterr().out
    assert made.failure.read_text().startswith(f"ClientError: {sentence}")


# Gray pictures


def test_a_gray_network_is_trained_and_served(job: Make) -> None:
    """SageMaker's own setting for MNIST; it was refused."""
    made = job(num_layers="20", backbone=None, image_shape="1,28,28", resize=None)
    run(SPEC, made)
    weights = load_file(made.model / "model.safetensors")
    first = next(tensor for name, tensor in weights.items() if "stem" in name and tensor.dim() == 4)
    assert tuple(first.shape) == (16, 1, 3, 3)
    with load(made.model) as model:
        assert model.manifest.network["mean"] == [pytest.approx(0.449)]
        colour = image(2, 77)
        gray = io.BytesIO()
        Image.open(io.BytesIO(colour)).convert("L").save(gray, "PNG")
        one, other = model.predict([colour, gray.getvalue()])
        # Luma is rounded to whole levels in the file.
        assert np.allclose(one.scores, other.scores, atol=0.02)
        assert set(model.manifest.engines) >= {"onnxruntime", "openvino"}
        with TestClient(create_app(model, ServerSettings())) as client:
            answer = client.post("/invocations", content=gray.getvalue(), headers={"Content-Type": "image/png"})
            assert answer.json() == pytest.approx(other.scores.tolist(), abs=1e-3)


def test_a_gray_job_goes_on_from_a_gray_model(job: Make, tmp_path: Path) -> None:
    first = make(tmp_path / "first", image_shape="1,32,32", epochs="1")
    run(SPEC, first)
    (tmp_path / "model").mkdir()
    pack(first.model, tmp_path / "model" / "model.tar.gz")
    for shape, fits in (("1,32,32", True), ("3,32,32", False)):
        made = make(tmp_path / shape, image_shape=shape, epochs="1")
        channels = made.channels | {"model": Channel("model", tmp_path / "model", "application/x-sagemaker-model")}
        made = JobDir.create(tmp_path / f"{shape} on", made.hyperparameters, channels)
        if fits:
            run(SPEC, made)
        else:
            assert "image_shape" in failure(made)


# What is served


@pytest.mark.parametrize(
    ("settings", "serving", "validation", "said"),
    [
        ({}, "squash", "center", True),
        ({"inference_crop": "center"}, "center", None, False),
        ({"validation_crop": "serving"}, "squash", None, False),
    ],
)
def test_a_job_says_when_the_endpoint_sees_other_pictures_than_validation(
    settings: dict[str, str], serving: str, validation: str | None, said: bool, job: Make
) -> None:
    made = job(epochs="1", **settings)
    lines = [line for line in texts(run(SPEC, made)) if line.startswith("Validation crops pictures")]
    assert len(lines) == said
    found = json.loads((made.model / "manifest.json").read_text())["input"]
    assert (found["crop"], (found["validation_crop"] or {}).get("crop")) == (serving, validation)
