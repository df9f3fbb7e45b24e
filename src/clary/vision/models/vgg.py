"""VGG-16 as SSD's base (Liu 2016, *SSD*): two maps, at strides 8 and 16, with fc6 and fc7 turned into convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from clary.errors import UsageError, WeightsError
from clary.vision.models.normalization import InputNormalization

__all__ = ["MEAN", "STD", "VGGMaps"]

# What the original subtracts from pixels of 0..255, red first; for weights that were not trained with another.
MEAN, STD = (123 / 255, 117 / 255, 104 / 255), (1 / 255, 1 / 255, 1 / 255)

FIRST_MAP = 23  # layers up to relu4_3
LAST_POOL = 30
STAGES = 5  # conv1 to conv5; fc6 and fc7 are one more
# What the first map is scaled to at the start: its values are of another size than those of the other maps (Liu 2015,
# ParseNet; Liu 2016, 3.1).
SCALE = 20.0


class VGGMaps(nn.Module):
    """uint8 RGB pixels (N, H, W, 3) to relu4_3, scaled to a length of its own, and relu7.

    The convolutions keep torchvision's names (``features.0.weight``), so that pretrained weights fit.
    """

    channels = (512, 1024)
    strides = (8, 16)

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.normalize = InputNormalization(mean, std)
        layers = list(make_layers(cfgs["D"]))[:LAST_POOL]
        # Rounded up, as Caffe's: 75 pixels become 38, the number of cells SSD's anchors are laid out for.
        layers[16] = nn.MaxPool2d(2, 2, ceil_mode=True)  # the third pool: 75 pixels become 38
        self.features = nn.Sequential(*layers)
        self.scale = nn.Parameter(torch.full((512,), SCALE))
        # Stride 1, so that relu7 stays at stride 16; the dilation of fc6 gives back the field of view (Liu 2016, 3.1).
        self.pool5 = nn.MaxPool2d(3, 1, padding=1)
        self.fc6 = nn.Conv2d(512, 1024, 3, padding=6, dilation=6)
        self.fc7 = nn.Conv2d(1024, 1024, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        first: Tensor = self.features[:FIRST_MAP](self.normalize(images))
        last: Tensor = self.pool5(self.features[FIRST_MAP:](first))
        last = self.fc7(self.fc6(last).relu()).relu()
        # In fp32: squares of 512 channels added up in bf16 keep two digits.
        lengths = torch.linalg.vector_norm(first.float(), dim=1, keepdim=True).clamp(min=1e-10)
        return [first / lengths * self.scale.view(1, -1, 1, 1), last]

    def freeze(self, what: str) -> None:
        """Stop training the first n of the five blocks, or all: "stem" is the first; there are no norms to keep.

        Raises UsageError when there are fewer than n.
        """
        for part in set(what.split(",")) - {"none", "norms"}:
            stages = {"stem": 1, "backbone": STAGES + 1}.get(part) or int(part)
            if stages > STAGES + 1:
                raise UsageError(f"`freeze` is {stages}, the network has {STAGES + 1} stages", hint="use fewer")
            for parameter in self._up_to(stages):
                parameter.requires_grad_(False)

    def put(self, state: Mapping[str, Tensor], origin: str) -> None:
        """Take pretrained weights of the whole VGG-16; fc6 and fc7 keep a part of theirs (Chen 2015, *DeepLab*).

        Raises WeightsError when a tensor is missing or has another shape.
        """
        own = {name: value for name, value in self.state_dict().items() if name.startswith("features.")}
        wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
        if wrong:
            raise WeightsError(
                f"{len(wrong)} tensors do not fit the network, first `{wrong[0]}`",
                where=origin,
                hint="add the weights of vgg16 with `clary weights add vgg16 FILE`",
            )
        self.load_state_dict({name: state[name] for name in own} | _thinned(state), strict=False)

    def _up_to(self, stages: int) -> list[nn.Parameter]:
        ends = [place for place, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)] + [LAST_POOL]
        found = list(self.features[: ends[min(stages, STAGES) - 1]].parameters()) if stages else []
        return found + ([*self.fc6.parameters(), *self.fc7.parameters()] if stages > STAGES else [])


def _thinned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """fc6 and fc7 out of the fully connected layers of torchvision (``classifier``) or timm (``pre_logits``)."""
    for six, seven in (("classifier.0", "classifier.3"), ("pre_logits.fc1", "pre_logits.fc2")):
        if f"{six}.weight" in state:
            first, second = state[f"{six}.weight"].reshape(4096, 512, 7, 7), state[f"{seven}.weight"]
            return {
                # Every fourth filter, and of 7x7 places every third: a dilation of 6 puts them about where they were,
                # the map being twice as fine.
                "fc6.weight": first[::4, :, ::3, ::3].clone(),
                "fc6.bias": state[f"{six}.bias"][::4].clone(),
                "fc7.weight": second.reshape(4096, 4096, 1, 1)[::4, ::4].clone(),
                "fc7.bias": state[f"{seven}.bias"][::4].clone(),
            }
    return {}
