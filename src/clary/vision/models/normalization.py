"""From pixels to network input: the one normaliser, part of the network, so it travels inside every exported graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["GRAY", "IMAGENET_MEAN", "IMAGENET_STD", "InputNormalization", "gray_statistics"]

# Mean and deviation of ImageNet's training pixels on 0..1, RGB (Krizhevsky 2012; the values torchvision uses).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


GRAY = (0.299, 0.587, 0.114)  # what red, green and blue add to luma (ITU-R BT.601), as image libraries make gray


def gray_statistics(mean: Sequence[float], std: Sequence[float]) -> tuple[tuple[float], tuple[float]]:
    """Mean and deviation for a network of one channel, from those of three."""
    return (sum(mean) / len(mean),), (sum(std) / len(std),)


class InputNormalization(nn.Module):
    """uint8 RGB pixels (N, H, W, 3) to floats (N, C, H, W): (pixel / 255 - mean) / std.

    C is that of ``mean`` and ``std``: 3, or 1 for a network of gray pictures, whose pixels are made gray here, so that
    it takes gray and colour pictures alike. The result shares the memory order of the pixels (channels last), which
    convolutions on CPU prefer.
    """

    scale: Tensor
    offset: Tensor
    gray: Tensor | None

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        # Folded into one multiply and one add per pixel. Not in the state dict: the description holds them.
        channels = len(mean)
        scale = 1.0 / (255.0 * torch.tensor(std, dtype=torch.float32))
        self.register_buffer("scale", scale.view(1, channels, 1, 1), persistent=False)
        offset = -torch.tensor(mean, dtype=torch.float32) / torch.tensor(std, dtype=torch.float32)
        self.register_buffer("offset", offset.view(1, channels, 1, 1), persistent=False)
        self.register_buffer("gray", torch.tensor(GRAY).view(1, 3, 1, 1) if channels == 1 else None, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        # permute alone changes strides, not memory: NHWC pixels are channels last already.
        pixels = images.permute(0, 3, 1, 2).float()
        if self.gray is not None:
            pixels = (pixels * self.gray).sum(1, keepdim=True)
        return pixels * self.scale + self.offset
