"""Residual networks for pictures of about 28 pixels: 20, 32, 44, 56 and 110 layers.

K. He et al., *Deep Residual Learning for Image Recognition*, 2016, section 4.2: a 3x3 stem and three stages of
(depth - 2) / 6 basic units with 16, 32 and 64 channels. timm has the unit, not the network; its own ResNet always
has four stages and a stem that divides the size by four.
"""

from __future__ import annotations

from timm.models.resnet import BasicBlock
from torch import Tensor, nn

__all__ = ["ResNetSmall"]

CHANNELS = (16, 32, 64)


class ResNetSmall(nn.Module):
    """Images (N, channels, H, W) to logits (N, num_classes). ``depth`` is 6n + 2."""

    def __init__(self, depth: int, num_classes: int, channels: int = 3) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"depth is {depth}, expected 6n + 2: 20, 32, 44, 56 or 110")
        self.stem = nn.Sequential(
            # No stride and no pool: of 28 pixels a usual stem would leave seven.
            nn.Conv2d(channels, CHANNELS[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(CHANNELS[0]),
            nn.ReLU(inplace=True),
        )
        units = (depth - 2) // 6
        inputs = (CHANNELS[0], *CHANNELS[:-1])
        self.stages = nn.Sequential(*(_stage(i, o, units) for i, o in zip(inputs, CHANNELS, strict=True)))
        self.fc = nn.Linear(CHANNELS[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # the original's initialisation: Gaussian, fan-in, magnitude 2
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.stages(self.stem(images)).mean((2, 3)))

    def get_classifier(self) -> nn.Linear:
        return self.fc

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Names of parameters by depth, as timm's networks offer it."""
        return {"stem": r"^stem", "blocks": r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.(\d+)"}


def _stage(inputs: int, outputs: int, units: int) -> nn.Sequential:
    stride = outputs // inputs
    shortcut = None
    if inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    return nn.Sequential(
        BasicBlock(inputs, outputs, stride=stride, downsample=shortcut),
        *(BasicBlock(outputs, outputs) for _ in range(units - 1)),
    )
