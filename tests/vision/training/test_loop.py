"""The loop: exact resume above all, then what it keeps, whom it tells, and when it gives up."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from clary.errors import CustomerError, DivergedError, InterruptedRun, UsageError
from clary.vision.base.events import (
    BatchEnd,
    EpochEnd,
    Hook,
    Phase,
    Preparation,
    RunEnd,
    RunStart,
    Step,
    ValidationBatchEnd,
)
from clary.vision.base.image_sizes import ImageSizes
from clary.vision.datasets.loader import Loader
from clary.vision.models.classifier import Classifier
from clary.vision.training.checkpoint import Checkpoints, Progress
from clary.vision.training.folded.network import KERNELS
from clary.vision.training.loop import Training, fit
from clary.vision.training.objectives.base import MetricAccumulator, Objective, TallyAccumulator
from clary.vision.training.objectives.classification import ClassificationObjective
from clary.vision.training.optim import UpdateRule, make_optimizer
from clary.vision.training.precision import processor
from clary.vision.training.precision_cache import Choice
from clary.vision.training.records import MetricsFile
from clary.vision.training.schedules import Schedule, cosine, factor
from clary.vision.training.stopping import EarlyStopping, StopRequest
from clary.wording import plural

pytestmark = pytest.mark.usefixtures("one_thread")

SAMPLES, BATCH, SIZE, CLASSES = 14, 4, 16, 3
STEPS = SAMPLES // BATCH  # in an epoch; two pictures are left out
EPOCHS = 2
CPU = torch.device("cpu")


class Tiny(nn.Module):
    """What the loop needs of a timm network, with all that can go wrong on a resume: statistics, dropout, a stem."""

    def __init__(self, drop_rate: float = 0.3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, bias=False), nn.BatchNorm2d(6), nn.ReLU())
        self.blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(6, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU())])
        self.drop = nn.Dropout(drop_rate)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.drop(self.blocks[0](self.stem(images)).mean((2, 3))))
        return logits

    def get_classifier(self) -> nn.Linear:
        return self.fc

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        return {"stem": r"^stem", "blocks": r"^blocks\.(\d+)"}


class EveryNth(Checkpoints):
    """Writes at every ``nth`` asking instead of by the clock, so that tests do not depend on speed."""

    def __init__(self, folder: Path, settings: dict[str, Any], nth: int) -> None:
        super().__init__(folder, settings, every=math.inf)
        self._nth, self._asked = nth, 0

    @property
    def due(self) -> bool:
        self._asked += 1
        return self._asked % self._nth == 0


class Killed(Exception):
    """Stands for a crash: it comes out of a hook, and nothing is saved on its way."""


class At(Hook):
    """Does something at the end of step ``step`` (counted from 1 over the run) or of epoch ``epoch``."""

    def __init__(self, act: Callable[[], None], *, step: int = -1, epoch: int = -1) -> None:
        self._act, self._step, self._epoch = act, step, epoch

    def on_batch(self, event: BatchEnd) -> None:
        if event.global_step == self._step:
            self._act()

    def on_epoch(self, event: EpochEnd) -> None:
        if event.epoch == self._epoch:
            self._act()


class AtEvery(Hook):
    """Does something at the end of every step and every epoch."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def on_batch(self, event: BatchEnd) -> None:
        self._act()

    def on_epoch(self, event: EpochEnd) -> None:
        self._act()


class Starts(Hook):
    def __init__(self) -> None:
        self.seen: list[RunStart] = []

    def on_start(self, event: RunStart) -> None:
        self.seen.append(event)


class Ends(Hook):
    def __init__(self) -> None:
        self.seen: list[RunEnd] = []

    def on_end(self, event: RunEnd) -> None:
        self.seen.append(event)


def kill() -> None:
    raise Killed


HP: dict[str, Any] = {
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-3,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "eps": 1e-8,
    "gamma": 0.9,
    "head_rate_factor": 1.0,
}


class Setting:
    """How a run is made; ``make`` makes it anew, as another process would."""

    def __init__(
        self,
        *,
        network: Callable[[], nn.Module] = Tiny,
        schedule: Schedule | None = None,
        freeze: str = "none",
        precision: str = "fp32",
        multi_label: bool = False,
        validation: bool = True,
        epochs: int = EPOCHS,
        early_stopping: EarlyStopping | None = None,
        seed: int = 7,
        size: int = SIZE,
        **hp: Any,
    ) -> None:
        self.network, self.schedule, self.freeze, self.precision = network, schedule, freeze, precision
        self.multi_label, self.validation, self.epochs = multi_label, validation, epochs
        self.early_stopping, self.seed, self.size, self.hp = early_stopping, seed, size, HP | hp

    def make(self, folder: Path, hooks: list[Hook] | None = None, nth: int = 10**9) -> Training:
        torch.manual_seed(self.seed)
        network = Classifier(self.network(), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)).to(memory_format=torch.channels_last)
        network.freeze(self.freeze)
        return Training(
            network=network,
            objective=ClassificationObjective(multi_label=self.multi_label),
            optimizer=make_optimizer(network, UpdateRule(**self.hp), network.head),
            schedule=self.schedule or Schedule(lambda step: self.hp["learning_rate"]),
            train=self._loader(SAMPLES, shuffle=True, seed=self.seed),
            validation=self._loader(7, shuffle=False, seed=1) if self.validation else None,
            epochs=self.epochs,
            seed=self.seed,
            device=CPU,
            checkpoints=EveryNth(folder / "checkpoints", {"seed": self.seed}, nth),
            precision=self.precision,
            early_stopping=self.early_stopping,
            hooks=[MetricsFile(folder / "metrics.jsonl"), *(hooks or [])],
        )

    def _loader(self, count: int, *, shuffle: bool, seed: int) -> Loader:
        targets: np.ndarray = np.arange(count) % CLASSES
        if self.multi_label:  # every picture is of the first class, and of its own
            targets = np.maximum(np.eye(CLASSES, dtype=np.float32)[targets], [1, 0, 0]).astype(np.float32)
        images: Any = Images(count, self.size, seed)
        return Loader(images, targets, mirrored, batch_size=BATCH, seed=seed, shuffle=shuffle, workers=1)


class Images:
    """Pictures in memory, in place of the cache: noise, brighter the higher the class."""

    decoded = 0

    def __init__(self, count: int, size: int, seed: int) -> None:
        noise = np.random.default_rng(seed).integers(0, 120, (count, size, size, 3))
        self._pixels = (noise + 60 * (np.arange(count) % CLASSES)[:, None, None, None]).astype(np.uint8)

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> np.ndarray:
        pixels: np.ndarray = self._pixels[index]
        return pixels


def mirrored(pixels: np.ndarray, target: Any, random: np.random.Generator) -> tuple[np.ndarray, Any]:
    return (pixels[:, ::-1] if random.random() < 0.5 else pixels), target


def outcome(folder: Path, run: Training, progress: Progress) -> dict[str, Any]:
    """All that must not depend on interruptions, in a form that compares bit by bit."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    clocks = ("seconds", "samples_per_second", "precision_reason")
    return {
        "weights": {name: value.numpy().tobytes() for name, value in run.network.state_dict().items()},
        "history": progress.history,
        "best epoch": progress.best_epoch,
        "steps": progress.global_step,
        "records": [{name: value for name, value in r.items() if name not in clocks} for r in records],
    }


def unbroken(setting: Setting, folder: Path) -> dict[str, Any]:
    run = setting.make(folder)
    return outcome(folder, run, fit(run))


def resumed(setting: Setting, folder: Path, nth: int = 10**9) -> dict[str, Any]:
    run = setting.make(folder, nth=nth)
    return outcome(folder, run, fit(run))


def stopped_and_resumed(setting: Setting, folder: Path, *, step: int = -1, epoch: int = -1) -> dict[str, Any]:
    stop = StopRequest()
    run = setting.make(folder, [At(stop, step=step, epoch=epoch)])
    with pytest.raises(InterruptedRun, match="everything is saved"):
        fit(replace(run, stop=stop))
    return resumed(setting, folder)


def killed_and_resumed(setting: Setting, folder: Path, *, nth: int, step: int = -1, epoch: int = -1) -> dict[str, Any]:
    with pytest.raises(Killed):
        fit(setting.make(folder, [At(kill, step=step, epoch=epoch)], nth))
    return resumed(setting, folder, nth)


def stopped_after_every_step(setting: Setting, folder: Path) -> tuple[int, dict[str, Any]]:
    """How many times the run was stopped, and what came of it."""
    stops = 0
    while True:
        stop = StopRequest()
        run = replace(setting.make(folder, [AtEvery(stop)]), stop=stop)
        try:
            return stops, outcome(folder, run, fit(run))
        except InterruptedRun:
            stops += 1


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for part, value in expected.items():
        assert found[part] == value, part


def small_resnet() -> nn.Module:
    network: nn.Module = timm.create_model("test_resnet", num_classes=CLASSES, drop_rate=0.2)
    return network


needs_bf16 = pytest.mark.skipif(processor(CPU) is None, reason="no bf16 in hardware")

TOTAL = EPOCHS * STEPS
SETTINGS = {
    "sgd": Setting(),
    "nag": Setting(optimizer="nag"),
    "adam": Setting(optimizer="adam", learning_rate=0.01),
    "rmsprop": Setting(optimizer="rmsprop", learning_rate=0.01),
    "sgd without momentum": Setting(momentum=0.0),
    "head at ten times the rate": Setting(head_rate_factor=10.0, learning_rate=0.01),
    "frozen stem": Setting(freeze="stem"),
    "frozen backbone": Setting(freeze="backbone"),
    "cosine": Setting(schedule=cosine(0.1, TOTAL)),
    "factor, drop between epochs": Setting(schedule=factor(0.1, (1,), 0.1, STEPS)),
    "factor, drop within an epoch": Setting(schedule=factor(0.1, (1,), 0.1, STEPS + 1)),
    "nag, drop": Setting(optimizer="nag", schedule=factor(0.1, (1,), 0.1, STEPS - 1)),
    "bf16": Setting(precision="bf16"),
    "folded norms": Setting(precision="bf16", freeze="norms"),
    "folded norms, adam": Setting(
        network=small_resnet, size=32, precision="bf16", freeze="1,norms", optimizer="adam", learning_rate=1e-3
    ),
    "multi-label": Setting(multi_label=True),
    "no validation": Setting(validation=False),
    "timm network": Setting(network=small_resnet, size=32),
    "timm network in bf16, adam": Setting(
        network=small_resnet, size=32, precision="bf16", optimizer="adam", learning_rate=1e-3
    ),
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
def test_run_stopped_after_every_step_equals_unbroken_run(setting: Setting, tmp_path: Path) -> None:
    stops, found = stopped_after_every_step(setting, tmp_path / "stopped")
    assert_same(found, unbroken(setting, tmp_path / "unbroken"))
    assert stops == TOTAL + EPOCHS


@pytest.mark.parametrize("name", ["sgd", "adam", "factor, drop within an epoch"])
def test_run_stopped_once_at_any_step_equals_unbroken_run(name: str, tmp_path: Path) -> None:
    setting = SETTINGS[name]
    expected = unbroken(setting, tmp_path / "unbroken")
    for step in range(1, TOTAL + 1):
        assert_same(stopped_and_resumed(setting, tmp_path / f"step{step}", step=step), expected)
    for epoch in range(EPOCHS):
        assert_same(stopped_and_resumed(setting, tmp_path / f"epoch{epoch}", epoch=epoch), expected)


@pytest.mark.parametrize(
    ("name", "nth"), [("sgd", 1), ("sgd", 2), ("adam", 3), ("no validation", 1), ("folded norms", 2)]
)
def test_run_killed_at_any_step_goes_on_from_its_last_checkpoint(name: str, nth: int, tmp_path: Path) -> None:
    setting = SETTINGS[name]
    expected = unbroken(setting, tmp_path / "unbroken")
    for step in range(1, TOTAL + 1):
        assert_same(killed_and_resumed(setting, tmp_path / f"step{step}", nth=nth, step=step), expected)
    for epoch in range(EPOCHS):
        assert_same(killed_and_resumed(setting, tmp_path / f"epoch{epoch}", nth=nth, epoch=epoch), expected)


def test_run_killed_before_its_first_checkpoint_starts_anew(tmp_path: Path) -> None:
    setting = SETTINGS["sgd"]
    expected = unbroken(setting, tmp_path / "unbroken")
    assert_same(killed_and_resumed(setting, tmp_path / "killed", nth=10**9, step=4), expected)


def test_run_stopped_during_validation_goes_on_with_it(tmp_path: Path) -> None:
    setting, stop, folder = SETTINGS["sgd"], StopRequest(), tmp_path / "stopped"
    run = replace(setting.make(folder), stop=stop)

    def transform(pixels: np.ndarray, target: Any, random: np.random.Generator) -> tuple[np.ndarray, Any]:
        stop()
        return pixels, target

    validation = Loader(Images(7, SIZE, 1), np.arange(7), transform, batch_size=1, seed=1, shuffle=False)  # type: ignore[arg-type]
    with pytest.raises(InterruptedRun, match="epoch 0, step 3"):
        fit(replace(run, validation=validation))
    assert_same(resumed(setting, folder), unbroken(setting, tmp_path / "unbroken"))


def test_stop_asked_for_before_the_first_step_is_heard_at_once(tmp_path: Path) -> None:
    stop = StopRequest()
    stop()
    run = replace(SETTINGS["sgd"].make(tmp_path), stop=stop)
    with pytest.raises(InterruptedRun, match="stopped before the first step"):
        fit(run)
    assert not run.checkpoints.path.exists()


def test_resume_of_a_finished_run_gives_the_same_result(tmp_path: Path) -> None:
    setting = SETTINGS["sgd"]
    run = setting.make(tmp_path, nth=1)
    expected = outcome(tmp_path, run, fit(run))
    assert_same(resumed(setting, tmp_path), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["factor, drop within an epoch", "timm network in bf16, adam", "folded norms, adam"])
def test_process_killed_at_random_instants_ends_as_unbroken_run(name: str, tmp_path: Path) -> None:
    command = [sys.executable, __file__, name, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    kills = int(done.stdout)
    assert kills >= 5
    expected = unbroken(SETTINGS[name], tmp_path / "unbroken")
    found = resumed(SETTINGS[name], tmp_path / "killed")  # the finished run, opened once more
    assert_same(found, expected)


@pytest.mark.parametrize(("kind", "said"), [("amx", ""), (None, ", though this processor has none in hardware")])
def test_bf16_that_is_asked_for_is_taken_and_said_where_it_is_slow(
    kind: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clary.vision.training.loop.processor", lambda device: kind)
    starts = Starts()
    fit(Setting(precision="bf16").make(tmp_path, [starts]))
    assert [(one.precision, one.precision_reason) for one in starts.seen] == [("bf16", f"asked for{said}")]


def test_precision_of_auto_is_chosen_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choices = iter([Choice("bf16", "faster"), Choice("fp32", "faster")])
    monkeypatch.setattr("clary.vision.training.loop.choose", lambda *_, **__: next(choices))
    starts = Starts()
    stop = StopRequest()
    auto = Setting(precision="auto")
    with pytest.raises(InterruptedRun):
        fit(replace(auto.make(tmp_path / "auto", [starts, At(stop, step=2)]), stop=stop))
    found = outcome(tmp_path / "auto", run := auto.make(tmp_path / "auto", [starts]), fit(run))
    assert [(start.precision, start.precision_reason) for start in starts.seen] == [("bf16", "faster")] * 2
    assert_same(found, unbroken(SETTINGS["bf16"], tmp_path / "bf16"))


def test_trial_of_precisions_leaves_the_run_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clary.vision.training.precision_choice.processor", lambda device: "amx")
    starts = Starts()
    run = Setting(precision="auto").make(tmp_path / "auto", [starts])
    found = outcome(tmp_path / "auto", run, fit(run))
    forced = SETTINGS["sgd" if starts.seen[0].precision == "fp32" else "bf16"]
    assert_same(found, unbroken(forced, tmp_path / "forced"))


def test_precisions_are_tried_at_the_full_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[Any] = []
    monkeypatch.setattr(
        "clary.vision.training.loop.PrecisionCache.of", lambda network, shape, way: shapes.append(shape)
    )
    monkeypatch.setattr("clary.vision.training.loop.choose", lambda *_, **__: Choice("fp32", "tried"))
    run = Setting(precision="auto", network=lambda: Tiny(0.0)).make(tmp_path)
    halved = Loader(
        Images(SAMPLES, SIZE, 1),  # type: ignore[arg-type]
        np.arange(SAMPLES) % CLASSES,
        mirrored,
        batch_size=BATCH,
        seed=1,
        shuffle=True,
        of_epoch=lambda epoch: mirrored if epoch else lambda pixels, target, random: (pixels[::2, ::2], target),
    )
    fit(replace(run, train=halved, image_sizes=ImageSizes(SIZE, ((SIZE // 2, 1),))))
    assert [tuple(shape) for shape in shapes] == [(SIZE, SIZE, 3)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_single_value_to_normalise_is_one_line(precision: str, tmp_path: Path) -> None:
    """Of PyTorch a traceback: mini_batch_size=1, and a map that has become 1x1."""
    run = Setting(precision=precision, size=4).make(tmp_path)
    one = Loader(
        Images(SAMPLES, 4, 1),  # type: ignore[arg-type]
        np.arange(SAMPLES) % CLASSES,
        mirrored,
        batch_size=1,
        seed=1,
        shuffle=True,
    )
    message = (
        r"^mini_batch_size: a batch of 1 picture of 4x4 pixels .* set mini_batch_size=2 or more, or train on larger"
    )
    with pytest.raises(CustomerError, match=message):
        fit(replace(run, train=one, validation=None))


# The folded way


@needs_bf16
def test_frozen_norms_are_folded_in_bf16_and_it_is_recorded(tmp_path: Path) -> None:
    starts = Starts()
    run = SETTINGS["folded norms"].make(tmp_path, [starts])
    found = outcome(tmp_path, run, fit(run))
    assert [(one.way, one.arithmetic) for one in starts.seen] == [("folded norms", "bf16, folded norms")]
    assert found["records"][-1]["way"] == "folded norms"
    assert all("forward" not in vars(module) for module in run.network.modules())
    plain = replace(SETTINGS["folded norms"].make(tmp_path / "plain", [starts]), folds=False)
    assert outcome(tmp_path / "plain", plain, fit(plain))["weights"] != found["weights"]
    assert starts.seen[-1].way == "plain"


@pytest.mark.parametrize("name", ["sgd", "bf16"])
def test_in_fp32_and_where_norms_are_trained_nothing_is_folded(name: str, tmp_path: Path) -> None:
    starts = Starts()
    run = SETTINGS[name].make(tmp_path / "may", [starts])
    found = outcome(tmp_path / "may", run, fit(run))
    assert [one.way for one in starts.seen] == ["plain"]
    run = replace(SETTINGS[name].make(tmp_path / "must not"), folds=False)
    assert_same(found, outcome(tmp_path / "must not", run, fit(run)))


@needs_bf16
@pytest.mark.parametrize("kernels", [KERNELS - 1, KERNELS])
def test_a_folded_run_that_goes_on_with_other_kernels_says_so(
    kernels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, stop = SETTINGS["folded norms"], StopRequest()
    lines: list[str] = []
    monkeypatch.setattr("clary.vision.training.loop.KERNELS", kernels)
    with pytest.raises(InterruptedRun):
        fit(replace(setting.make(tmp_path, [At(stop, step=2)]), stop=stop, say=lines.append))
    monkeypatch.undo()
    run = replace(setting.make(tmp_path), say=lines.append)
    assert fit(run).kernels == KERNELS
    assert [line.partition(":")[0] for line in lines] == ["goes on with newer kernels"] * (kernels < KERNELS)


@needs_bf16
@pytest.mark.parametrize("told", ["plain", "folded norms", "nothing"])
def test_a_run_goes_on_its_own_way(told: str, tmp_path: Path) -> None:
    setting, stop, starts = SETTINGS["folded norms"], StopRequest(), Starts()
    with pytest.raises(InterruptedRun):
        fit(replace(setting.make(tmp_path, [At(stop, step=2)]), stop=stop, folds=told == "folded norms"))
    if told == "nothing":  # a checkpoint of before there were two ways
        path = tmp_path / "checkpoints" / "last.safetensors"
        with safe_open(path, framework="pt") as file:
            note = json.loads(file.metadata()["clary"])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a dict
        del note["progress"]["way"]
        path.write_bytes(save(tensors, {"clary": json.dumps(note)}))
    run = setting.make(tmp_path, [starts])
    found = outcome(tmp_path, run, fit(run))
    assert starts.seen[0].way == (told if told == "folded norms" else "plain")
    whole = replace(setting.make(tmp_path / "unbroken"), folds=told == "folded norms")
    assert_same(found, outcome(tmp_path / "unbroken", whole, fit(whole)))


@needs_bf16
def test_a_hook_within_is_given_what_it_asks_for_and_the_log_says_so(tmp_path: Path) -> None:
    seen: list[Tensor] = []
    lines: list[str] = []

    class Within(Hook):
        def on_start(self, event: RunStart) -> None:
            norm = event.network.backbone.stem[1]
            norm.register_forward_hook(lambda module, given, output: seen.append(output.detach().clone()))

    fit(replace(SETTINGS["folded norms"].make(tmp_path, [Within()]), say=lines.append))
    assert min(float(one.min()) for one in seen) < 0  # before the activation
    assert lines == ["1 convolution of 2 is not folded: a hook is within (first `backbone.stem.0`)"]


# What is kept


class Scripted(ClassificationObjective):
    """Validation accuracies that are given, so that it is known which epoch is the best."""

    def __init__(self, *accuracies: float) -> None:
        super().__init__()
        self._accuracies = iter(accuracies)

    def accumulator(self) -> MetricAccumulator:
        return ScriptedJudge(self, next(self._accuracies))


class ScriptedJudge(TallyAccumulator):
    def __init__(self, objective: Objective, accuracy: float) -> None:
        super().__init__(objective)
        self._accuracy = accuracy

    def metrics(self) -> dict[str, float]:
        return super().metrics() | {"accuracy": self._accuracy}


class Weights(Hook):
    """The weights after each epoch."""

    def __init__(self) -> None:
        self.after: list[dict[str, Tensor]] = []
        self.best: list[bool] = []

    def on_start(self, event: RunStart) -> None:
        self._network = event.network

    def on_epoch(self, event: EpochEnd) -> None:
        self.after.append({name: value.clone() for name, value in self._network.state_dict().items()})
        self.best.append(event.best)


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [
        ((0.5, 0.7, 0.7, 0.6), 1),  # equal is not better
        ((0.9, 0.1, 0.1, 0.1), 0),
        ((0.1, 0.2, 0.3, 0.4), 3),
        ((0.0, 0.0, 0.0, 0.0), 0),
    ],
)
def test_network_ends_with_the_weights_of_the_best_epoch(
    accuracies: tuple[float, ...], best: int, tmp_path: Path
) -> None:
    weights, ends = Weights(), Ends()
    run = replace(Setting(epochs=4).make(tmp_path, [weights, ends]), objective=Scripted(*accuracies))
    progress = fit(run)
    assert progress.best_epoch == best
    assert ends.seen[0].best_epoch == best
    assert [e for e, is_best in enumerate(weights.best) if is_best][-1] == best
    final = run.network.state_dict()
    assert all(torch.equal(final[name], value) for name, value in weights.after[best].items())
    others = [after for epoch, after in enumerate(weights.after) if epoch != best]
    assert not any(torch.equal(final["backbone.fc.weight"], after["backbone.fc.weight"]) for after in others)


def test_without_validation_the_last_epoch_is_kept(tmp_path: Path) -> None:
    weights = Weights()
    run = Setting(validation=False, epochs=3).make(tmp_path, [weights])
    assert fit(run).best_epoch == 2
    assert weights.best == [True, True, True]
    assert torch.equal(run.network.state_dict()["backbone.fc.weight"], weights.after[-1]["backbone.fc.weight"])


class MxnetSgd(torch.optim.Optimizer):
    """MXNet's sgd_mom_update written down: the rate is inside the velocity."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network.parameters(), {"lr": 0.0, "factor": 1.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                velocity = self.state[parameter].setdefault("velocity", torch.zeros_like(parameter))
                velocity.mul_(0.9).sub_(group["lr"] * parameter.grad)
                parameter.add_(velocity)


def test_drop_of_the_rate_leaves_the_velocity_as_mxnet_does(tmp_path: Path) -> None:
    setting = Setting(schedule=factor(0.1, (1,), 0.1, STEPS), weight_decay=0.0, epochs=3, validation=False)
    run, reference = setting.make(tmp_path / "run"), setting.make(tmp_path / "reference")
    fit(run)
    fit(replace(reference, optimizer=MxnetSgd(reference.network)))
    plain = replace(setting.make(tmp_path / "plain"), schedule=Schedule(factor(0.1, (1,), 0.1, STEPS).rate))
    fit(plain)
    for ours, theirs in zip(run.network.parameters(), reference.network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(next(plain.network.parameters()), next(run.network.parameters()), rtol=1e-2)


# When it ends early

STANDING_STILL = Setting(  # nothing is trained, so no epoch is better than the first
    learning_rate=0.0,
    freeze="backbone",
    epochs=9,
    early_stopping=EarlyStopping(min_epochs=2, patience=3, tolerance=0.0),
)


def test_early_stopping_ends_the_run(tmp_path: Path) -> None:
    ends = Ends()
    progress = fit(STANDING_STILL.make(tmp_path, [ends]))
    assert (progress.epoch, progress.best_epoch) == (4, 0)
    assert (ends.seen[0].reason, ends.seen[0].epochs) == ("early_stopping", 4)


def test_early_stopping_falls_on_the_same_epoch_after_a_resume(tmp_path: Path) -> None:
    stops, found = stopped_after_every_step(STANDING_STILL, tmp_path / "stopped")
    assert_same(found, unbroken(STANDING_STILL, tmp_path / "unbroken"))
    assert stops == 4 * (STEPS + 1)


def test_early_stopping_needs_a_validation_split(tmp_path: Path) -> None:
    setting = Setting(
        learning_rate=0.0,
        validation=False,
        epochs=3,
        early_stopping=EarlyStopping(min_epochs=1, patience=1, tolerance=0.0),
    )
    assert fit(setting.make(tmp_path)).epoch == 3


def bursting(step: int) -> Setting:
    """A setting whose weights burst at ``step``, counted from 1: the next loss is not finite."""
    return Setting(schedule=Schedule(lambda number: 1e38 if number == step - 1 else 0.1))


def test_loss_that_is_no_number_ends_the_run_and_leaves_the_checkpoint_before_it(tmp_path: Path) -> None:
    run = bursting(4).make(tmp_path, nth=3)
    with pytest.raises(DivergedError) as caught:
        fit(run)
    assert str(caught.value) == "epoch 1, step 1: the loss is nan; lower `learning_rate`"
    kept = run.checkpoints.peek()
    assert kept is not None
    assert kept.global_step == 3
    network = bursting(4).make(tmp_path)
    network.checkpoints.restore(network.network, network.optimizer)
    assert all(torch.isfinite(value).all() for value in network.network.state_dict().values())


def test_validation_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"^epoch 0, validation: the loss is nan"):
        fit(bursting(3).make(tmp_path))


# Whom it tells


class Journal(Hook):
    """Writes down every event with the name of the listener."""

    def __init__(self, name: str, pages: list[tuple[str, Any]]) -> None:
        self._name, self._pages = name, pages

    def on_start(self, event: RunStart) -> None:
        self._pages.append((self._name, event))

    def on_batch(self, event: BatchEnd) -> None:
        self._pages.append((self._name, event))

    def on_epoch(self, event: EpochEnd) -> None:
        self._pages.append((self._name, event))

    def on_end(self, event: RunEnd) -> None:
        self._pages.append((self._name, event))


def test_hooks_are_called_in_order(tmp_path: Path) -> None:
    pages: list[tuple[str, Any]] = []
    fit(SETTINGS["sgd"].make(tmp_path, [Journal("first", pages), Journal("second", pages)]))
    assert [name for name, _ in pages] == ["first", "second"] * (len(pages) // 2)
    epoch = [BatchEnd] * STEPS + [EpochEnd]
    assert [type(event) for name, event in pages if name == "first"] == [RunStart, *epoch * EPOCHS, RunEnd]


class Diary(Hook):
    """Writes down all there is of steps and phases: names, and what must not differ from run to run."""

    def __init__(self) -> None:
        self.pages: list[tuple[Any, ...]] = []
        self.network: Any = None

    def on_start(self, event: RunStart) -> None:
        self.network = event.network
        self.pages.append(("start", event.first_epoch, event.first_step))

    def on_step_start(self, step: Step) -> None:
        assert self.network.training == (step.mode == "train")
        self.pages.append(("step", step.mode, step.epoch, step.step, step.global_step))

    def on_forward(self, step: Step, outputs: Any) -> None:
        assert outputs.shape == (len(step.targets), CLASSES)
        self.pages.append(("forward", step.mode))

    def on_loss(self, step: Step, loss: Tensor) -> None:
        self.pages.append(("loss", step.mode, loss.item()))

    def on_backward(self, step: Step) -> None:
        assert any(p.grad is not None and p.grad.any() for p in self.network.parameters())
        self.pages.append(("backward",))

    def on_batch(self, event: BatchEnd) -> None:
        self.pages.append(("batch", event.global_step))

    def on_validation_batch(self, event: ValidationBatchEnd) -> None:
        self.pages.append(("validation batch", event.step))

    def on_epoch(self, event: EpochEnd) -> None:
        self.pages.append(("epoch", event.epoch))

    def on_end(self, event: RunEnd) -> None:
        self.pages.append(("end", event.reason))

    def on_phase_start(self, phase: Phase) -> None:
        if phase.name != "checkpoint":  # those depend on when it was saved
            self.pages.append((f"<{phase.name}", phase.mode, phase.epoch, phase.step, phase.global_step))

    def on_phase_end(self, phase: Phase, seconds: float) -> None:
        assert 0 <= seconds < 60
        if phase.name != "checkpoint":
            self.pages.append((f"{phase.name}>",))

    def on_close(self) -> None:
        self.pages.append(("close",))


def names(pages: list[tuple[Any, ...]]) -> list[str]:
    return [page[0] for page in pages]


def test_a_step_is_told_in_its_parts(tmp_path: Path) -> None:
    diary = Diary()
    fit(SETTINGS["sgd"].make(tmp_path, [diary]))
    data, forward = ["<data", "data>", "step"], ["<forward", "forward>", "forward", "loss"]
    step = [*data, *forward, "<backward", "backward>", "backward", "<optimizer", "optimizer>", "batch"]
    batches = -(-7 // BATCH)
    validation = ["<validation", *[*data, *forward, "validation batch"] * batches, "validation>"]
    assert names(diary.pages) == ["start", *[*step * STEPS, *validation, "epoch"] * EPOCHS, "end", "close"]
    steps = [page[1:] for page in diary.pages if page[0] == "step"]
    epoch = [("train", 0, n, n) for n in range(STEPS)] + [("validation", 0, n, STEPS) for n in range(batches)]
    assert steps[: len(epoch)] == epoch
    assert [page[1:] for page in diary.pages if page[0] == "<data"] == steps


@pytest.mark.parametrize("step", [1, STEPS, STEPS + 1])
def test_after_a_resume_nothing_is_told_twice(step: int, tmp_path: Path) -> None:
    """A run stopped at a step and its resumption tell together what an unbroken run tells."""
    setting, whole, before, after = SETTINGS["sgd"], Diary(), Diary(), Diary()
    fit(setting.make(tmp_path / "whole", [whole]))
    run = setting.make(tmp_path / "run", [])
    run.hooks = [*run.hooks, before, At(run.stop, step=step)]
    with pytest.raises(InterruptedRun):
        fit(run)
    fit(setting.make(tmp_path / "run", [after]))
    assert before.pages[-1] == ("close",)
    assert after.pages[0] == ("start", (step - 1) // STEPS, step)
    assert before.pages[:-1] + after.pages[1:] == whole.pages


def test_hooks_are_closed_whatever_ends_the_run(tmp_path: Path) -> None:
    diary = Diary()
    with pytest.raises(Killed):
        fit(SETTINGS["sgd"].make(tmp_path, [diary, At(kill, step=2)]))
    assert names(diary.pages)[-2:] == ["batch", "close"]


def test_what_a_hook_draws_does_not_change_the_weights(tmp_path: Path) -> None:
    class Drawing(Hook):
        def on_step_start(self, step: Step) -> None:
            torch.rand(3)

        def on_forward(self, step: Step, outputs: Any) -> None:
            torch.rand(3)

    setting = SETTINGS["sgd"]
    plain, drawn = setting.make(tmp_path / "a"), setting.make(tmp_path / "b", [Drawing()])
    assert outcome(tmp_path / "a", plain, fit(plain)) == outcome(tmp_path / "b", drawn, fit(drawn))


def test_events_tell_where_the_run_is(tmp_path: Path) -> None:
    pages: list[tuple[str, Any]] = []
    run = SETTINGS["sgd"].make(tmp_path, [Journal("", pages)])
    progress = fit(run)
    events = [event for _, event in pages]
    start, end = events[0], events[-1]
    assert (start.epochs, start.steps_per_epoch, start.first_step, start.first_epoch) == (EPOCHS, STEPS, 0, 0)
    assert start.network is run.network
    assert (end.reason, end.epochs, end.best_epoch) == ("completed", EPOCHS, progress.best_epoch)
    batches = [event for event in events if isinstance(event, BatchEnd)]
    assert [(b.epoch, b.step, b.global_step) for b in batches] == [
        (epoch, step, epoch * STEPS + step + 1) for epoch in range(EPOCHS) for step in range(STEPS)
    ]
    assert [b.samples for b in batches] == [BATCH * (step + 1) for step in range(STEPS)] * EPOCHS
    for batch, epoch in zip(batches[STEPS - 1 :: STEPS], (e for e in events if isinstance(e, EpochEnd)), strict=True):
        assert batch.metrics == epoch.train


def test_metrics_of_a_batch_run_from_the_start_of_the_epoch(tmp_path: Path) -> None:
    pages: list[tuple[str, Any]] = []
    fit(SETTINGS["sgd"].make(tmp_path, [Journal("", pages)]))
    batches = [event for _, event in pages if isinstance(event, BatchEnd)]
    for epoch in range(EPOCHS):
        losses = [b.loss for b in batches if b.epoch == epoch]
        means = [b.metrics["loss"] for b in batches if b.epoch == epoch]
        assert means == pytest.approx(np.cumsum(losses) / np.arange(1, STEPS + 1))


def test_training_takes_full_batches_and_validation_every_sample_once(tmp_path: Path) -> None:
    seen: list[tuple[bool, int]] = []

    class Counting(ClassificationObjective):
        def count(self, tally: dict[str, float], outputs: Tensor, targets: Tensor, loss: float) -> None:
            seen.append((torch.is_grad_enabled(), len(targets)))
            super().count(tally, outputs, targets, loss)

    fit(replace(Setting(epochs=1).make(tmp_path), objective=Counting()))
    assert seen == [(True, 4), (True, 4), (True, 4), (False, 4), (False, 3)]  # 14 pictures, then 7


def test_networks_in_validation_are_in_evaluation_mode_and_train_again_after(tmp_path: Path) -> None:
    modes: list[tuple[bool, bool]] = []

    class Watching(ClassificationObjective):
        def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
            modes.append((torch.is_grad_enabled(), run.network.training))
            return super().loss(outputs, targets)

    run = SETTINGS["sgd"].make(tmp_path)
    fit(replace(run, objective=Watching()))
    assert modes == ([(True, True)] * STEPS + [(False, False)] * 2) * EPOCHS


# The checkpoint


def test_checkpoint_of_other_settings_is_refused_naming_what_differs(tmp_path: Path) -> None:
    run = SETTINGS["sgd"].make(tmp_path, nth=1)
    fit(run)
    other = Checkpoints(run.checkpoints.path.parent, {"seed": 8, "epochs": 3})
    with pytest.raises(UsageError) as caught:
        other.restore(run.network, run.optimizer)
    assert "other settings (epochs: None then, 3 now, seed: 7 then, 8 now)" in str(caught.value)
    assert str(run.checkpoints.path) in str(caught.value)


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "of another program"])
def test_damaged_checkpoint_is_named(damage: str, tmp_path: Path) -> None:
    run = SETTINGS["sgd"].make(tmp_path, nth=1)
    fit(run)
    path = run.checkpoints.path
    whole = path.read_bytes()
    damaged = {"empty": b"", "truncated": whole[: len(whole) // 2], "garbage": b"\x07" * 5000}
    path.write_bytes(damaged.get(damage) or (b"" if damage == "empty" else save({"a": torch.ones(2)})))
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    with pytest.raises(UsageError, match=r"last\.safetensors: is no checkpoint; start anew without --resume"):
        run.checkpoints.restore(run.network, run.optimizer)
    assert all(torch.equal(before[name], value) for name, value in run.network.state_dict().items())


def test_checkpoint_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = SETTINGS["sgd"].make(tmp_path, nth=1)
    with monkeypatch.context() as patch:
        patch.setattr("clary.vision.training.checkpoint.VERSION", 3)
        fit(run)
    with pytest.raises(UsageError, match="has version 3, not 2"):
        run.checkpoints.restore(run.network, run.optimizer)


def test_checkpoint_of_the_first_version_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hyperparameters stood beside what else was compared."""
    run = SETTINGS["sgd"].make(tmp_path)
    first = Checkpoints(tmp_path / "first", {"epochs": 3, "class_names": ["a", "b"], "pictures": {"train": 4}})
    with monkeypatch.context() as patch:
        patch.setattr("clary.vision.training.checkpoint.VERSION", 1)
        first.save(Progress(epoch=1), run.network, run.optimizer)
    now = {"hyperparameters": {"epochs": 3, "added_since": 0}, "class_names": ("a", "b"), "pictures": {"train": 4}}
    found = Checkpoints(tmp_path / "first", now).peek()
    assert found is not None
    assert found.epoch == 1
    for changed in ({"hyperparameters": {"epochs": 4}}, {"pictures": {"train": 5}}):
        with pytest.raises(UsageError, match="belongs to a run with other settings"):
            Checkpoints(tmp_path / "first", now | changed).peek()
    more = now | {"hyperparameters": {"epochs": 4}}
    assert Checkpoints(tmp_path / "first", more, may_grow=True).peek() is not None
    fewer = now | {"hyperparameters": {"epochs": 2}}
    with pytest.raises(UsageError, match=r"\(epochs: 3 then, 2 now\)"):
        Checkpoints(tmp_path / "first", fewer, may_grow=True).peek()


def test_full_disk_leaves_the_old_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = SETTINGS["adam"]
    synced = os.fsync

    def fill_up() -> None:
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)

    run = setting.make(tmp_path / "full", [At(fill_up, step=4)], nth=2)
    with pytest.raises(UsageError, match="the disk is full, nothing was written; free some space"):
        fit(run)
    monkeypatch.setattr(os, "fsync", synced)
    kept = run.checkpoints.peek()
    assert kept is not None
    assert kept.global_step == 3  # the end of the first epoch
    assert sorted(path.name for path in run.checkpoints.path.parent.iterdir()) == ["last.safetensors"]
    assert_same(resumed(setting, tmp_path / "full"), unbroken(setting, tmp_path / "unbroken"))


def test_file_torn_by_a_kill_is_cleared_away(tmp_path: Path) -> None:
    run = SETTINGS["sgd"].make(tmp_path)
    torn = run.checkpoints.path.with_name(".last.safetensors.a1b2c3_4")
    torn.parent.mkdir()
    torn.write_bytes(b"half of it")
    fit(run)
    assert not torn.exists()


def test_checkpoint_is_due_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("clary.vision.training.checkpoint.time.monotonic", lambda: now[0])
    run = SETTINGS["sgd"].make(tmp_path)
    checkpoints = Checkpoints(tmp_path / "clock", {}, every=20.0)
    seen = []
    for moment in (119.0, 120.0, 121.0):
        now[0] = moment
        seen.append(checkpoints.due)
    checkpoints.save(Progress(), run.network, run.optimizer)
    seen.append(checkpoints.due)
    assert seen == [False, True, True, False]


def _run_and_be_killed(name: str, folder: Path) -> int:
    """Run a setting in children that kill themselves at random instants, until one comes through. Returns the kills.

    The children are forks of a process that has torch loaded but no threads: a second is not spent on each start.
    """
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    for kills in range(1000):
        # From almost at once to long enough to finish; the later ones are let through more and more.
        delay = float(random.uniform(0, 0.01 + 0.004 * kills))
        child = os.fork()
        if child == 0:
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
            fit(SETTINGS[name].make(folder, nth=1))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            return kills
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    raise AssertionError("no child came through")


if __name__ == "__main__":
    print(_run_and_be_killed(sys.argv[1], Path(sys.argv[2]) / "killed"))


# What is told before the first step


class Preparations(Hook):
    def __init__(self) -> None:
        self.told: list[Preparation] = []
        self.start: RunStart | None = None

    def on_preparation(self, event: Preparation) -> None:
        self.told.append(event)

    def on_start(self, event: RunStart) -> None:
        self.start = event


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_pictures_of_the_first_batch_and_tried_steps_are_counted(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(network: nn.Module, step: Callable[[nn.Module, str], Any], *rest: Any, **options: Any) -> Choice:
        for name in ("bf16", "fp32"):
            step(network, name)
        return Choice("fp32", "tried")

    monkeypatch.setattr("clary.vision.training.loop.choose", choose)
    listener = Preparations()
    fit(Setting(precision=precision).make(tmp_path, [listener]))
    decoding = [Preparation("decoding pictures", done, BATCH, SAMPLES) for done in (0, BATCH)]
    trying = [Preparation("trying bf16 and fp32", 0), Preparation("trying bf16 and fp32", 1)]
    told = [event for event in listener.told if event.done in (0, 1, BATCH)]
    # Once a run, though each epoch has a first batch.
    assert told == decoding + (trying if precision == "auto" else [])


def test_what_a_run_begins_with_is_told(tmp_path: Path) -> None:
    listener = Preparations()
    run = Setting().make(tmp_path, [listener])
    run.network_name = "tiny"
    fit(run)
    assert listener.start is not None
    assert (listener.start.network_name, listener.start.dataset) == ("tiny", None)
    assert listener.start.device == f"CPU, {plural(torch.get_num_threads(), 'thread')}"
