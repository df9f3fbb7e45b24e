"""Maps of features out of any timm backbone: what detectors and segmenters stand on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

from clary.errors import UsageError
from clary.vision.models.freezing import freeze
from clary.vision.models.names import nearest
from clary.vision.models.normalization import InputNormalization

__all__ = ["FeatureMaps"]


class FeatureMaps(nn.Module):
    """uint8 RGB pixels (N, H, W, 3) to the last map (N, C, H / s, W / s) of each of the last strides asked for.

    ``body`` is timm's network without what comes after the last map, its tensors named as timm names them, so that
    pretrained weights of the whole network fit. ``output_stride`` 8 or 16 dilates what would shrink the maps further.
    """

    def __init__(
        self,
        architecture: str,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        strides: Sequence[int],
        output_stride: int = 32,
    ) -> None:
        super().__init__()
        self.normalize = InputNormalization(mean, std)
        self.body, self._indices = _body(architecture, strides, output_stride)
        described: Any = self.body.feature_info
        info = [described[i] for i in self._indices]
        self.channels: tuple[int, ...] = tuple(int(one["num_chs"]) for one in info)
        self.strides: tuple[int, ...] = tuple(min(int(one["reduction"]), output_stride) for one in info)
        self._frozen: tuple[nn.Module, ...] = ()

    def freeze(self, what: str) -> None:
        """Stop training parts of the body, as ``models.freezing.freeze`` says."""
        self._frozen = freeze(self.body, what)
        self.train(self.training)

    def train(self, mode: bool = True) -> FeatureMaps:
        super().train(mode)
        for module in self._frozen:  # the loop calls train() before every step
            module.eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        pixels = self.normalize(images)
        maps: list[Tensor] = self.body.forward_intermediates(  # type: ignore[operator]
            pixels, indices=self._indices, intermediates_only=True, norm=False
        )
        return maps


def _body(architecture: str, strides: Sequence[int], output_stride: int) -> tuple[nn.Module, list[int]]:
    if not timm.is_model(architecture):
        raise UsageError(f"no network is called `{architecture}`", hint=nearest(architecture))
    # Left out at 32: not every network of timm takes the word.
    dilated = {} if output_stride == 32 else {"output_stride": output_stride}
    try:
        body = timm.create_model(architecture, pretrained=False, num_classes=0, **dilated)
        indices = _last_of_each(body, strides, dilated)
        # What comes after the last map would be trained by nothing and exported for nothing.
        body.prune_intermediate_layers(indices, prune_norm=True)
    except (AttributeError, AssertionError, TypeError, RuntimeError) as error:
        raise UsageError(
            f"`{architecture}` gives no maps of features at stride {output_stride} ({' '.join(str(error).split())})",
            hint="choose a convolutional network such as resnet50",
        ) from error
    return body.to(memory_format=torch.channels_last), indices


def _last_of_each(body: nn.Module, strides: Sequence[int], dilated: dict[str, int]) -> list[int]:
    """Indices of the deepest map of every stride, as if nothing were dilated."""
    described: Any = body.feature_info
    # Of a dilated network timm tells the strides it has become, the last three of which are alike; asked for is the
    # stage.
    native = [2 ** (place + 1) for place in range(len(described))]
    told = [int(info["reduction"]) for info in described]
    reductions = native if dilated else told
    missing = set(strides) - set(reductions)
    if missing:
        raise RuntimeError(f"no map of stride {', '.join(map(str, sorted(missing)))}")
    return [len(reductions) - 1 - reductions[::-1].index(stride) for stride in strides]
