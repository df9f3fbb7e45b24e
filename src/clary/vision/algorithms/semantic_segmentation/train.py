"""The recipe of semantic segmentation: data, network, loop, artifact, read from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from clary.vision.algorithms import recipe
from clary.vision.algorithms.earlier_model import check_agreement, earlier_model
from clary.vision.algorithms.joblog import JobLog, log_worker
from clary.vision.algorithms.semantic_segmentation import data
from clary.vision.algorithms.semantic_segmentation.log import SegmentationLog
from clary.vision.algorithms.semantic_segmentation.spec import BACKBONES, SegmentationHyperparameters
from clary.vision.algorithms.telemetry import Telemetry
from clary.vision.artifact.manifest import Input, Manifest, Output
from clary.vision.base.events import Hook
from clary.vision.base.jobdir import JobDir
from clary.vision.base.types import Dataset
from clary.vision.models.normalization import IMAGENET_MEAN, IMAGENET_STD
from clary.vision.models.segmenter import PixelScores, build_segmenter, describe_segmenter
from clary.vision.models.weights import load
from clary.vision.training.listeners import tell
from clary.vision.training.loop import Training
from clary.vision.training.memory import check_memory
from clary.vision.training.objectives.segmentation import SegmentationObjective
from clary.vision.training.optim import UpdateRule, make_optimizer
from clary.vision.training.precision import pick_device
from clary.vision.training.records import MetricsFile
from clary.vision.training.schedules import Schedule, factor, falling_cosine, one_cycle, polynomial
from clary.vision.training.stopping import StopRequest

__all__ = ["train"]

CONTENT_TYPES = ("application/json", "image/jpeg", "image/png")  # of label maps, pictures and masks
BEST, LAST = "model_best.params", "model_algo-1"  # the original's names; the bytes are safetensors, not Gluon's format


def train(job: JobDir, hp: SegmentationHyperparameters, log: JobLog, hooks: Sequence[Hook], stop: StopRequest) -> None:
    """Train on the job's channels and leave the model in ``job.model``. Goes on from a checkpoint when there is one.

    Raises CustomerError for data or settings that cannot be used, DivergedError, InterruptedRun.
    """
    log_worker(log, CONTENT_TYPES, torch.cuda.device_count())
    side = hp.image_size()
    check_memory(
        lambda: _untrained(hp), hp.mini_batch_size, (side, side), optimizer=hp.optimizer, precision=recipe.precision(hp)
    )
    dataset = data.load_dataset(job, hp, log)
    tell(hooks, "loading the network")
    network, description = _make_network(job, hp, log)
    weights = recipe.BestWeights(
        network,
        "segmenter",
        lambda *measured: _manifest(hp, dataset, description, *measured),
        dataset,
        # At the size that is trained on: served ones are of many sizes, and these are compared as one batch.
        data.crop_transform(hp),
    )
    kept = [job.model / name for name in (BEST, LAST)]
    lines = SegmentationLog(log, _updates(hp), _schedule(hp).rate, *map(weights.saver, kept))
    telemetry = Telemetry(log, "AWS/Semantic Segmentation", hp.mini_batch_size)
    hooks = [weights, lines, telemetry, MetricsFile(job.metrics), *hooks]
    run = _assemble(job, hp, dataset, network, str(description["architecture"]), hooks, stop)
    recipe.train_and_export(run, job, log, weights, lambda: kept)


def _untrained(hp: SegmentationHyperparameters) -> nn.Module:
    """What is trained, with any weights."""
    name = BACKBONES.get(hp.backbone, hp.backbone)
    segmenter = build_segmenter(describe_segmenter(f"timm:{name}", hp.algorithm, hp.num_classes)).segmenter
    segmenter.features.freeze(hp.freeze)
    return segmenter


def _make_network(job: JobDir, hp: SegmentationHyperparameters, log: JobLog) -> tuple[PixelScores, Mapping[str, Any]]:
    """The network with its first weights: of the model channel, else with a pretrained backbone, else random."""
    # Before the network: its first weights are drawn from it.
    torch.manual_seed(hp.seed)
    earlier = earlier_model(job, log)
    name = BACKBONES.get(hp.backbone, hp.backbone)
    if earlier:
        check_agreement(earlier.network, {"architecture": f"timm:{name}", "algorithm": hp.algorithm})
    pretrained = load(name) if hp.use_pretrained_model and not earlier else None
    trained = earlier or pretrained
    mean, std = (trained.mean, trained.std) if trained else (IMAGENET_MEAN, IMAGENET_STD)
    description = describe_segmenter(f"timm:{name}", hp.algorithm, hp.num_classes, mean=mean, std=std)
    network = build_segmenter(description)
    for side in hp.image_sizes().all():
        setting = "crop_size" if side == hp.image_size() else "progressive_resizing"
        recipe.try_out(network, f"{hp.algorithm} on {name}", side, side, setting)
    if earlier:
        earlier.put_into(network, hp.num_classes, log)
    elif pretrained:
        pretrained.put_into(network.segmenter.features.body)
    network.segmenter.features.freeze(hp.freeze)
    return network, description


def _assemble(
    job: JobDir,
    hp: SegmentationHyperparameters,
    dataset: Dataset,
    network: PixelScores,
    architecture: str,
    hooks: Sequence[Hook],
    stop: StopRequest,
) -> Training:
    device = pick_device()
    segmenter = network.segmenter.to(device)
    # What starts at random, and may learn faster than the pretrained backbone (head_rate_factor).
    heads = nn.ModuleList(head for head in (segmenter.head, segmenter.auxiliary) if head is not None)
    return recipe.assemble(
        job,
        hp,
        dataset,
        network=segmenter,
        architecture=architecture,
        loaders=data.loaders(dataset, hp),
        objective=SegmentationObjective(hp.num_classes),
        optimizer=make_optimizer(segmenter, _update_rule(hp), heads),
        schedule=_schedule(hp),
        hooks=hooks,
        stop=stop,
    )


def _update_rule(hp: SegmentationHyperparameters) -> UpdateRule:
    """The settings of the update rule; this algorithm offers none for Adam but the rate."""
    return UpdateRule(
        optimizer=hp.optimizer,
        learning_rate=hp.learning_rate,
        weight_decay=hp.weight_decay,
        momentum=hp.momentum,
        gamma=hp.gamma1,
        gamma2=hp.gamma2,
        head_rate_factor=hp.head_rate_factor,
        # adamw is ours, and so is what it spares.
        decays_biases=hp.optimizer != "adamw",
    )


def _updates(hp: SegmentationHyperparameters) -> int:
    """Steps of an epoch as the schedule counts them."""
    # The documented count, as in the other algorithms, even where the number given is wrong.
    return max(hp.num_training_samples // hp.mini_batch_size, 1)


def _schedule(hp: SegmentationHyperparameters) -> Schedule:
    steps = hp.epochs * _updates(hp)
    match hp.lr_scheduler:
        case "poly":
            return polynomial(hp.learning_rate, steps)
        case "cosine":
            return falling_cosine(hp.learning_rate, steps)
        case "one-cycle":
            return one_cycle(hp.learning_rate, steps, rise=0.15)
        case _:
            return factor(hp.learning_rate, hp.lr_scheduler_step or (), hp.lr_scheduler_factor, _updates(hp))


def _manifest(
    hp: SegmentationHyperparameters,
    dataset: Dataset,
    description: Mapping[str, Any],
    metrics: Mapping[str, float],
    precision: str,
) -> Manifest:
    return Manifest(
        task="segmentation",
        algorithm="semantic-segmentation",
        labels=dataset.class_names,
        network=description,
        input=Input(data.serving_transform(hp), tuple(description["mean"]), tuple(description["std"])),
        outputs=(Output(activation="softmax"),),
        metrics={f"validation:{name}": value for name, value in metrics.items()},
        hyperparameters=dict(hp),
        provenance=recipe.provenance(hp, dataset, precision),
    )
