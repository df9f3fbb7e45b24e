"""A dilated convolution that processors compute fast."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["DilatedConvolution"]


class DilatedConvolution(nn.Conv2d):
    """A 3x3 convolution of stride 1 with as much padding as dilation, its size kept: ``nn.Conv2d``'s parameters and,
    but for rounding, its output.

    It is computed as one 1x1 convolution to nine times the channels, one for each tap, whose outputs are moved by the
    tap's distance and summed. Neither OpenVINO nor oneDNN has a fast kernel for large dilations: 2048 to 256 channels
    on 30 x 30 cells take 43 to 53 ms of a core in bf16 at rates 12 to 36, this 13 to 15 ms.
    """

    @classmethod
    def like(cls, other: nn.Conv2d) -> DilatedConvolution:
        """One of the same shape and with the same weights. Raises ValueError for another kind of convolution."""
        rate = (other.dilation[0], other.dilation[0])
        same = (other.kernel_size, other.stride, other.padding, other.dilation) == ((3, 3), (1, 1), rate, rate)
        if not same or other.groups != 1:
            raise ValueError(f"not a 3x3 convolution that keeps its size: {other}")
        made = cls(other.in_channels, other.out_channels, 3, padding=rate, dilation=rate, bias=other.bias is not None)
        made.load_state_dict(other.state_dict())
        return made

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out_channels, H, W)."""
        taps = self.weight.permute(2, 3, 0, 1).reshape(-1, self.in_channels, 1, 1)
        parts = F.conv2d(features, taps).split(self.out_channels, dim=1)
        rate = int(self.dilation[0])
        rows = [self._around(parts[place : place + 3], 3, rate) for place in (0, 3, 6)]
        found = self._around(rows, 2, rate)
        return found if self.bias is None else found + self.bias[:, None, None]

    @staticmethod
    def _around(parts: Sequence[Tensor], dim: int, by: int) -> Tensor:
        """The middle one, plus what lies ``by`` before in the first, plus what lies ``by`` after in the last."""
        before, here, after = parts
        # Slices by constants, so that an exported graph takes any size; of a smaller map than ``by`` they are empty.
        every = (slice(None),) * dim
        edge = torch.zeros_like(here[(*every, slice(None, by))])
        late = torch.cat([edge, before[(*every, slice(None, -by))]], dim)
        early = torch.cat([after[(*every, slice(by, None))], edge], dim)
        return late + here + early
