"""The recipe of object detection: data, network, loop, artifact, read from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from clary.errors import CustomerError
from clary.vision.algorithms import recipe
from clary.vision.algorithms.earlier_model import EarlierModel, check_agreement, earlier_model
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.object_detection import data
from clary.vision.algorithms.object_detection.log import DetectionLog, log_start, log_weights
from clary.vision.algorithms.object_detection.spec import DetectionHyperparameters
from clary.vision.algorithms.telemetry import Telemetry
from clary.vision.artifact.manifest import Input, Manifest
from clary.vision.base.events import Hook
from clary.vision.base.jobdir import JobDir
from clary.vision.base.types import Dataset
from clary.vision.models import vgg
from clary.vision.models.anchors import Anchors, Level, ssd_levels
from clary.vision.models.detector import (
    FPN,
    SSD,
    VGG,
    BoxScores,
    Detector,
    build_detector,
    describe_detector,
    grids_of,
)
from clary.vision.models.normalization import IMAGENET_MEAN, IMAGENET_STD
from clary.vision.models.original_names import freeze_matching
from clary.vision.models.weights import Pretrained, load
from clary.vision.tasks.detection import TASK
from clary.vision.training.listeners import tell
from clary.vision.training.loop import Training
from clary.vision.training.memory import check_memory
from clary.vision.training.objectives.detection import DetectionObjective
from clary.vision.training.optim import UpdateRule, make_optimizer
from clary.vision.training.precision import pick_device
from clary.vision.training.records import MetricsFile
from clary.vision.training.schedules import Schedule, cosine, factor, one_cycle
from clary.vision.training.stopping import StopRequest

__all__ = ["train"]

NETWORKS = {"vgg-16": VGG, "resnet-50": "timm:resnet50"}
BEST = "model_algo_1-0000.params"  # the original's name; the bytes are safetensors, not MXNet's format


def train(job: JobDir, hp: DetectionHyperparameters, log: JobLog, hooks: Sequence[Hook], stop: StopRequest) -> None:
    """Train on the job's channels and leave the model in ``job.model``. Goes on from a checkpoint when there is one.

    Raises CustomerError for data or settings that cannot be used, DivergedError, InterruptedRun.
    """
    side = hp.image_shape
    check_memory(
        lambda: _untrained(hp), hp.mini_batch_size, (side, side), optimizer=hp.optimizer, precision=recipe.precision(hp)
    )
    dataset = data.load_dataset(job, hp, log)
    log_start(log, hp, _content_type(job), torch.cuda.device_count())
    tell(hooks, "loading the network")
    network, description = _make_network(job, hp, dataset, log)
    best = job.model / BEST
    weights = recipe.BestWeights(
        network,
        "detector",
        lambda *measured: _manifest(hp, dataset, description, *measured),
        dataset,
        data.serving_transform(hp),
    )
    lines = DetectionLog(log, hp, weights.saver(best))
    telemetry = Telemetry(log, "AWS/Object Detection", hp.mini_batch_size)
    hooks = [weights, lines, telemetry, MetricsFile(job.metrics), *hooks]
    run = _assemble(job, hp, dataset, network, str(description["architecture"]), hooks, stop)
    recipe.train_and_export(run, job, log, weights, lambda: [best])


def _architecture(hp: DetectionHyperparameters) -> str:
    return f"timm:{hp.backbone}" if hp.backbone else NETWORKS[hp.base_network]


def _untrained(hp: DetectionHyperparameters) -> nn.Module:
    """What is trained, with any weights and anchors: fitted ones are as many, whatever their sizes."""
    architecture, neck, shape = _architecture(hp), FPN if hp.neck == "fpn" else SSD, (hp.image_shape,) * 2
    grids = grids_of(architecture, shape, neck)
    if hp.anchors == "original":
        levels = ssd_levels(grids, *shape, vgg=architecture == VGG)
    else:
        levels = [Level.even(grid, [(0.5, 0.5)] * hp.anchors_per_cell) for grid in grids]
    detector = build_detector(describe_detector(architecture, hp.num_classes, shape, levels, neck=neck)).detector
    detector.freeze(hp.freeze)
    return detector


def _make_network(
    job: JobDir, hp: DetectionHyperparameters, dataset: Dataset, log: JobLog
) -> tuple[BoxScores, Mapping[str, Any]]:
    """The network with its first weights: of the model channel, else with a pretrained base, else random."""
    # Before the network: its first weights are drawn from it.
    torch.manual_seed(hp.seed)
    architecture = _architecture(hp)
    neck = FPN if hp.neck == "fpn" else SSD
    earlier = earlier_model(job, log)
    if earlier:
        check_agreement(earlier.network, {"architecture": architecture, "neck": neck})
    else:
        log_weights(log, hp.use_pretrained_model)
    pretrained = load(architecture.removeprefix("timm:")) if hp.use_pretrained_model and not earlier else None
    levels = _levels(hp, dataset, architecture, neck, earlier)
    mean, std = _normalization(architecture, earlier or pretrained)
    shape = (hp.image_shape, hp.image_shape)
    description = describe_detector(architecture, hp.num_classes, shape, levels, neck=neck, mean=mean, std=std)
    network = build_detector(description)
    recipe.try_out(network, architecture, *shape, "image_shape")
    for size in hp.image_sizes().all()[:-1]:
        recipe.try_out(network.detector, architecture, size, size, "progressive_resizing")
    if earlier:
        earlier.put_into(network, hp.num_classes, log)
    elif pretrained:
        features = network.detector.features
        if isinstance(features, vgg.VGGMaps):
            features.put(pretrained.state, pretrained.origin)
        else:
            pretrained.put_into(features.body)
    _freeze(network.detector, hp, log)
    return network, description


def _levels(
    hp: DetectionHyperparameters,
    dataset: Dataset,
    architecture: str,
    neck: Mapping[str, Any],
    earlier: EarlierModel | None,
) -> list[Level]:
    """The anchors: SSD's, or fitted ones. A model that is gone on with keeps those it was trained with."""
    grids = grids_of(architecture, (hp.image_shape, hp.image_shape), neck)
    if hp.anchors == "original":
        return ssd_levels(grids, hp.image_shape, hp.image_shape, vgg=architecture == VGG)
    # Its predictors have learned offsets from those anchors: fitted anew, all boxes would be off.
    if earlier:
        before = Anchors.from_description(earlier.network["anchors"]).levels
        return [Level.even(grid, level.sizes) for grid, level in zip(grids, before, strict=True)]
    return data.fitted_levels(dataset, hp, grids)


def _normalization(
    architecture: str, trained: EarlierModel | Pretrained | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if trained:
        return trained.mean, trained.std
    # Random weights have no statistics of their own: the usual ones of the architecture.
    return (vgg.MEAN, vgg.STD) if architecture == VGG else (IMAGENET_MEAN, IMAGENET_STD)


def _freeze(detector: Detector, hp: DetectionHyperparameters, log: JobLog) -> None:
    """Raises CustomerError when nothing is left to train."""
    detector.freeze(hp.freeze)
    if hp.freeze_layer_pattern:
        frozen = freeze_matching(detector, hp.freeze_layer_pattern)
        log.info(f"freeze_layer_pattern matches {len(frozen)} parameters{': ' if frozen else ''}{', '.join(frozen)}")
    if not any(parameter.requires_grad for parameter in detector.parameters()):
        raise CustomerError("freeze_layer_pattern leaves nothing to train", hint="match fewer layers")


def _assemble(
    job: JobDir,
    hp: DetectionHyperparameters,
    dataset: Dataset,
    network: BoxScores,
    architecture: str,
    hooks: Sequence[Hook],
    stop: StopRequest,
) -> Training:
    device = pick_device()
    detector = network.detector.to(device)
    anchors = _anchors_by_size(hp, network.levels)
    loaders = data.loaders(dataset, hp, anchors)
    return recipe.assemble(
        job,
        hp,
        dataset,
        network=detector,
        architecture=architecture,
        loaders=loaders,
        objective=_objective(hp, dataset, anchors),
        optimizer=_optimizer(detector, hp),
        schedule=_schedule(hp, len(loaders[0])),
        hooks=hooks,
        stop=stop,
    )


def _anchors_by_size(hp: DetectionHyperparameters, anchors: Anchors) -> dict[int, Anchors]:
    """The network's ``anchors``, and the same boxes on the smaller maps of each smaller size that is trained on."""
    found = {hp.image_shape: anchors}
    for size in hp.image_sizes().all()[:-1]:
        grids = grids_of(_architecture(hp), (size, size), FPN if hp.neck == "fpn" else SSD)
        levels = zip(grids, anchors.levels, strict=True)
        found[size] = Anchors([Level.even(grid, level.sizes) for grid, level in levels])
    return found


def _objective(hp: DetectionHyperparameters, dataset: Dataset, anchors: Mapping[int, Anchors]) -> DetectionObjective:
    validated = sum(len(sample.boxes) for sample in dataset.splits.get("validation", ()))
    return DetectionObjective(
        anchors[hp.image_shape],
        hp.num_classes,
        smaller=[own for size, own in anchors.items() if size != hp.image_shape],
        box_weight=hp.box_weight,
        overlap=hp.overlap_threshold,
        suppression=hp.nms_threshold,
        most=hp.nms_topk,
        late_objects=0 if hp.lr_schedule == "factor" else validated,
    )


def _optimizer(detector: Detector, hp: DetectionHyperparameters) -> Optimizer:
    """As the hyperparameters say; the algorithm offers none for Adam and RMSProp but the rate."""
    rule = UpdateRule(
        optimizer=hp.optimizer,
        learning_rate=hp.learning_rate,
        weight_decay=hp.weight_decay,
        momentum=hp.momentum,
        head_rate_factor=hp.head_rate_factor,
        decayed=("sgd", "rmsprop", "adamw"),
    )
    optimizer = make_optimizer(detector, rule, detector.head)
    if hp.neck == "ssd":  # read from a symbol the original trained; the neck of our own has no such habit
        _double_biases(optimizer, detector)
    return optimizer


def _double_biases(optimizer: Optimizer, detector: Detector) -> None:
    """The biases of the predictors learn at twice the rate, as the original's."""
    biases = {id(bias) for bias in detector.predictor_biases()}
    for group in list(optimizer.param_groups):
        doubled = [parameter for parameter in group["params"] if id(parameter) in biases]
        if doubled:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in biases]
            optimizer.add_param_group({**group, "params": doubled, "factor": 2 * group["factor"]})
    optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]


def _schedule(hp: DetectionHyperparameters, steps_per_epoch: int) -> Schedule:
    if hp.lr_schedule == "cosine":
        return cosine(hp.learning_rate, hp.epochs * steps_per_epoch)
    if hp.lr_schedule == "one-cycle":
        return one_cycle(hp.learning_rate, hp.epochs * steps_per_epoch, rise=0.15)
    # The documented count, even where it is wrong: programs written for SageMaker have their drops by it.
    counted = hp.num_training_samples // hp.mini_batch_size
    return factor(hp.learning_rate, hp.lr_scheduler_step, hp.lr_scheduler_factor, max(counted, 1))


def _content_type(job: JobDir) -> str:
    channel = job.channels.get("train")
    return channel.content_type if channel and channel.content_type else "application/x-image"


def _manifest(
    hp: DetectionHyperparameters,
    dataset: Dataset,
    description: Mapping[str, Any],
    metrics: Mapping[str, float],
    precision: str,
) -> Manifest:
    return Manifest(
        task="detection",
        algorithm="object-detection",
        labels=dataset.class_names,
        network=description,
        input=Input(data.serving_transform(hp), tuple(description["mean"]), tuple(description["std"])),
        outputs=TASK.outputs,
        metrics={f"validation:{name}": value for name, value in metrics.items()},
        hyperparameters=dict(hp),
        provenance=recipe.provenance(hp, dataset, precision),
    )
