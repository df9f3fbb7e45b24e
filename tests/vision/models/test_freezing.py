"""Parts of a backbone that are left as they are."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from clary.errors import UsageError
from clary.vision.models.classifier import Classifier, build, describe

ARCHITECTURES = {"small:20": 3, "timm:resnet18": 4, "timm:test_resnet": 4, "timm:test_efficientnet": 5}  # stages
PIXELS = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


Make = Callable[[str, str], Classifier]


def make_real(architecture: str, what: str) -> Classifier:
    torch.manual_seed(0)
    found = build(describe(architecture, 3)).classifier
    found.freeze(what)
    return found


@pytest.fixture
def make() -> Make:
    """Networks without numbers, which is all that freezing looks at."""

    def classifier(architecture: str, what: str) -> Classifier:
        with torch.device("meta"):
            return make_real(architecture, what)

    return classifier


def trained(classifier: Classifier) -> set[str]:
    return {name for name, parameter in classifier.backbone.named_parameters() if parameter.requires_grad}


def norms(classifier: Classifier) -> dict[str, nn.Module]:
    return {name: m for name, m in classifier.backbone.named_modules() if isinstance(m, _BatchNorm)}


def everything(classifier: Classifier) -> set[str]:
    return {name for name, _ in classifier.backbone.named_parameters()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_none_trains_everything(architecture: str, make: Make) -> None:
    classifier = make(architecture, "none")
    assert trained(classifier) == everything(classifier)
    assert all(norm.training for norm in norms(classifier).values())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_backbone_leaves_the_head_only(architecture: str, make: Make) -> None:
    classifier = make(architecture, "backbone")
    head = {id(parameter) for parameter in classifier.head.parameters()}
    assert {id(p) for p in classifier.backbone.parameters() if p.requires_grad} == head
    assert not any(norm.training for norm in norms(classifier).values())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_norms_keep_their_statistics_and_train_scale_and_offset(architecture: str, make: Make) -> None:
    classifier = make(architecture, "norms")
    assert trained(classifier) == everything(classifier)
    assert norms(classifier)
    assert not any(norm.training for norm in norms(classifier).values())


@pytest.mark.parametrize(
    ("architecture", "what", "first_trained", "last_frozen"),
    [
        ("small:20", "stem", "stages.0.0.conv1.weight", "stem.1.bias"),
        ("small:20", "0", "stages.0.0.conv1.weight", "stem.1.bias"),
        ("small:20", "1", "stages.1.0.conv1.weight", "stages.0.2.bn2.bias"),
        ("timm:resnet18", "stem", "layer1.0.conv1.weight", "bn1.bias"),
        ("timm:resnet18", "1", "layer2.0.conv1.weight", "layer1.1.bn2.bias"),
        ("timm:resnet18", "4", "fc.weight", "layer4.1.bn2.bias"),
        ("timm:test_efficientnet", "1", "blocks.1.0.conv_exp.weight", "blocks.0.0.bn1.bias"),
    ],
)
def test_stages_are_frozen_from_the_input_on(
    architecture: str, what: str, first_trained: str, last_frozen: str, make: Make
) -> None:
    classifier = make(architecture, what)
    order = [name for name, _ in classifier.backbone.named_parameters()]
    cut = order.index(first_trained)
    assert trained(classifier) == set(order[cut:])
    assert order[cut - 1] == last_frozen


@pytest.mark.parametrize(("architecture", "stages"), ARCHITECTURES.items())
def test_each_stage_more_freezes_more_until_the_head_is_left(architecture: str, stages: int, make: Make) -> None:
    left = [trained(make(architecture, what)) for what in ("none", "stem", *map(str, range(1, stages + 1)))]
    assert all(less < more for more, less in pairwise(left))
    assert left[-1] == trained(make(architecture, "backbone"))
    with pytest.raises(UsageError, match=f"^`freeze` is {stages + 1}, the network has {stages} stages; use 0 to"):
        make(architecture, str(stages + 1))


def test_stages_and_norms_together(make: Make) -> None:
    classifier = make("timm:resnet18", "1,norms")
    assert trained(classifier) == trained(make("timm:resnet18", "1"))
    assert not any(norm.training for norm in norms(classifier).values())
    alone = norms(make("timm:resnet18", "1"))
    assert {name for name, norm in alone.items() if not norm.training} == {
        name for name in alone if name.startswith(("bn1", "layer1"))
    }


@pytest.mark.parametrize("architecture", ["timm:test_resnet", "timm:test_efficientnet"])
@pytest.mark.parametrize("what", ["stem", "1", "1,norms", "backbone"])
def test_training_changes_nothing_frozen(architecture: str, what: str) -> None:
    classifier = make_real(architecture, what)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    free = {f"backbone.{name}" for name in trained(classifier)}
    still = {f"backbone.{name}" for name, norm in norms(classifier).items() if not norm.training}
    optimizer = torch.optim.SGD([p for p in classifier.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        classifier.eval()
        classifier.train()  # as the loop does around validation
        classifier(PIXELS).square().sum().backward()
        optimizer.step()
    for name, value in classifier.state_dict().items():
        module, _, part = name.rpartition(".")
        moves = name in free or (part in ("running_mean", "running_var", "num_batches_tracked") and module not in still)
        assert torch.equal(before[name], value) != moves, name


@pytest.mark.parametrize("what", ["none", "stem", "backbone"])
def test_evaluation_mode_reaches_every_part(what: str, make: Make) -> None:
    classifier = make("timm:test_resnet", what).eval()
    assert not any(module.training for module in classifier.modules())
    classifier.train()
    frozen = {id(norm) for norm in norms(classifier).values()} if what == "backbone" else set()
    assert all(not m.training for m in classifier.modules() if id(m) in frozen)
    assert classifier.training
