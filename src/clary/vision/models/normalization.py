"""From pixels to network input: the one normaliser, part of the network, so it travels inside every exported graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "InputNormalization"]

# Mean and deviation of ImageNet's training pixels on 0..1, RGB (Krizhevsky 2012; the values torchvision uses).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class InputNormalization(nn.Module):
    """uint8 RGB pixels (N, H, W, 3) to floats (N, 3, H, W): (pixel / 255 - mean) / std.

    The result shares the memory order of the pixels (channels last), which convolutions on CPU prefer.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        # Folded into one multiply and one add per pixel. Not in the state dict: the description holds them.
        scale = 1.0 / (255.0 * torch.tensor(std, dtype=torch.float32))
        self.register_buffer("scale", scale.view(1, 3, 1, 1), persistent=False)
        offset = -torch.tensor(mean, dtype=torch.float32) / torch.tensor(std, dtype=torch.float32)
        self.register_buffer("offset", offset.view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        # permute alone changes strides, not memory: NHWC pixels are channels last already.
        return images.permute(0, 3, 1, 2).float() * self.scale + self.offset
