"""The recipe of image classification: data, network, loop, artifact, read from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from clary.vision.algorithms import recipe
from clary.vision.algorithms.earlier_model import check_agreement, earlier_model
from clary.vision.algorithms.image_classification import data
from clary.vision.algorithms.image_classification.files import ModelFiles
from clary.vision.algorithms.image_classification.log import ClassificationLog, log_parameters
from clary.vision.algorithms.image_classification.spec import SMALL_DEPTHS, ClassificationHyperparameters
from clary.vision.algorithms.joblog import JobLog
from clary.vision.artifact.manifest import Input, Manifest, Output
from clary.vision.base.events import Hook
from clary.vision.base.hyperparameters import as_text
from clary.vision.base.jobdir import JobDir
from clary.vision.base.types import Dataset
from clary.vision.models.classifier import Scores, build, describe
from clary.vision.models.normalization import IMAGENET_MEAN, IMAGENET_STD, gray_statistics
from clary.vision.models.weights import load
from clary.vision.training.listeners import tell
from clary.vision.training.loop import Training
from clary.vision.training.memory import check_memory
from clary.vision.training.objectives.classification import ClassificationObjective, positive_weights
from clary.vision.training.optim import UpdateRule, make_optimizer
from clary.vision.training.precision import pick_device
from clary.vision.training.records import MetricsFile
from clary.vision.training.schedules import Schedule, cosine, factor, one_cycle
from clary.vision.training.stopping import StopRequest

__all__ = ["train", "update_rule"]

OTHER_PICTURES = (
    "Validation crops pictures and an endpoint sees them whole, their aspect not kept, as SageMaker has it: its "
    "accuracy may be another. With inference_crop=center both see the same."
)


def train(
    job: JobDir, hp: ClassificationHyperparameters, log: JobLog, hooks: Sequence[Hook], stop: StopRequest
) -> None:
    """Train on the job's channels and leave the model in ``job.model``. Goes on from a checkpoint when there is one.

    Raises CustomerError for data or settings that cannot be used, DivergedError, InterruptedRun.
    """
    # ResNet-200 keeps 5,600 bytes of a pixel in fp32, the smaller ones and Lite0 less.
    known = hp.num_classes < 10_000 and hp.backbone in (None, "", "tf_efficientnet_lite0")
    most = 8192 if known else 0
    check_memory(
        lambda: _untrained(hp),
        hp.mini_batch_size,
        hp.image_shape[1:],
        optimizer=hp.optimizer,
        precision=recipe.precision(hp),
        most=most,
    )
    dataset = data.load_dataset(job, hp, log)
    log_parameters(log, hp)
    log.info(f"Setting number of threads: {torch.get_num_threads()}")
    if hp.use_weighted_loss and not hp.multi_label:
        log.warning("use_weighted_loss is only used for multi-label training. Ignoring the parameter.")
    if data.serving_transform(hp) != data.validation_transform(hp):
        log.info(OTHER_PICTURES)

    tell(hooks, "loading the network")
    network, description = _make_network(job, hp, log)
    weights = recipe.BestWeights(
        network,
        "classifier",
        lambda *measured: _manifest(hp, dataset, description, *measured),
        dataset,
        data.serving_transform(hp),
    )
    files = ModelFiles(job, hp, weights, log)
    hooks = [weights, ClassificationLog(log), files, MetricsFile(job.metrics), *hooks]
    run = _assemble(job, hp, dataset, network, str(description["architecture"]), hooks, stop)
    recipe.train_and_export(run, job, log, weights, files.best)


def _untrained(hp: ClassificationHyperparameters) -> nn.Module:
    """What is trained, with any weights."""
    classifier = build(describe(_architecture(hp), hp.num_classes, multi_label=hp.multi_label)).classifier
    classifier.freeze(hp.freeze)
    return classifier


def _make_network(job: JobDir, hp: ClassificationHyperparameters, log: JobLog) -> tuple[Scores, Mapping[str, Any]]:
    """The network with its first weights: of the model channel, else pretrained if asked for, else random."""
    # Before the network: its first weights are drawn from it.
    torch.manual_seed(hp.seed)
    earlier = earlier_model(job, log)
    if earlier:
        fixed = earlier.manifest.input.how
        shape = (len(earlier.mean), fixed.height, fixed.width)
        there = {"network": earlier.network.get("architecture"), "image_shape": as_text(shape)}
        check_agreement(there, {"network": _architecture(hp), "image_shape": as_text(hp.image_shape)})
    pretrained = load(_weights_name(hp)) if hp.use_pretrained_model and not earlier else None
    trained = earlier or pretrained
    channels, height, width = hp.image_shape
    mean, std = (trained.mean, trained.std) if trained else (IMAGENET_MEAN, IMAGENET_STD)
    if len(mean) != channels:
        mean, std = gray_statistics(mean, std)
    description = describe(_architecture(hp), hp.num_classes, multi_label=hp.multi_label, mean=mean, std=std)
    network = build(description)
    # Before hours of data and steps: some networks take one size only.
    recipe.try_out(network, _architecture(hp), height, width, "image_shape")
    for size in hp.image_sizes().all()[:-1]:
        rows, columns = (round(side * size / hp.image_size()) for side in (height, width))
        recipe.try_out(network, _architecture(hp), rows, columns, "progressive_resizing")
    if earlier:
        earlier.put_into(network, hp.num_classes, log)
    elif pretrained:
        pretrained.put_into(network.classifier.backbone)
    network.classifier.freeze(hp.freeze)
    return network, description


def _assemble(
    job: JobDir,
    hp: ClassificationHyperparameters,
    dataset: Dataset,
    network: Scores,
    architecture: str,
    hooks: Sequence[Hook],
    stop: StopRequest,
) -> Training:
    device = pick_device()
    classifier = network.classifier.to(device)
    loaders = data.loaders(dataset, hp)
    return recipe.assemble(
        job,
        hp,
        dataset,
        network=classifier,
        architecture=architecture,
        loaders=loaders,
        objective=_objective(hp, dataset, device),
        optimizer=make_optimizer(classifier, update_rule(hp), classifier.head),
        # Our own schedules go by the steps really made: they end exactly at the last.
        schedule=_schedule(hp, len(loaders[0])),
        hooks=hooks,
        stop=stop,
    )


def _objective(hp: ClassificationHyperparameters, dataset: Dataset, device: torch.device) -> ClassificationObjective:
    weights = None
    if hp.multi_label and hp.use_weighted_loss:
        weights = positive_weights(torch.from_numpy(data.targets_of(dataset.splits["train"], hp))).to(device)
    return ClassificationObjective(
        multi_label=hp.multi_label,
        positive_weights=weights,
        label_smoothing=hp.label_smoothing,
        top_k=hp.top_k,
        # The original's rule for the original's schedule; ours end with a rate of zero.
        late_samples=0 if hp.lr_schedule == "factor" else len(dataset.splits.get("validation", ())),
    )


def update_rule(hp: ClassificationHyperparameters) -> UpdateRule:
    """How a step changes the weights."""
    return UpdateRule(
        optimizer=hp.optimizer,
        learning_rate=hp.learning_rate,
        weight_decay=hp.weight_decay,
        momentum=hp.momentum,
        beta_1=hp.beta_1,
        beta_2=hp.beta_2,
        eps=hp.eps,
        gamma=hp.gamma,
        head_rate_factor=hp.head_rate_factor,
    )


def _schedule(hp: ClassificationHyperparameters, steps_per_epoch: int) -> Schedule:
    if hp.lr_schedule == "cosine":
        return cosine(hp.learning_rate, hp.epochs * steps_per_epoch)
    if hp.lr_schedule == "one-cycle":
        return one_cycle(hp.learning_rate, hp.epochs * steps_per_epoch)
    # The documented count, even where it is wrong: programs written for SageMaker have their drops by it.
    counted = hp.num_training_samples // hp.mini_batch_size
    return factor(hp.learning_rate, hp.lr_scheduler_step or (), hp.lr_scheduler_factor, max(counted, 1))


def _architecture(hp: ClassificationHyperparameters) -> str:
    """The network's name in a description."""
    small = not hp.backbone and hp.num_layers in SMALL_DEPTHS
    return f"small:{hp.num_layers}" if small else f"timm:{_weights_name(hp)}"


def _weights_name(hp: ClassificationHyperparameters) -> str:
    return hp.backbone or f"resnet{hp.num_layers}"


def _manifest(
    hp: ClassificationHyperparameters,
    dataset: Dataset,
    description: Mapping[str, Any],
    metrics: Mapping[str, float],
    precision: str,
) -> Manifest:
    serving, validation = data.serving_transform(hp), data.validation_transform(hp)
    return Manifest(
        task="classification",
        algorithm="image-classification",
        labels=dataset.class_names,
        multi_label=hp.multi_label,
        network=description,
        input=Input(
            serving,
            tuple(description["mean"]),
            tuple(description["std"]),
            validation if serving != validation else None,
        ),
        outputs=(Output(activation="sigmoid" if hp.multi_label else "softmax"),),
        metrics={f"validation:{name}": value for name, value in metrics.items()},
        hyperparameters=dict(hp),
        provenance=recipe.provenance(hp, dataset, precision),
    )
