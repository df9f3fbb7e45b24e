"""A wider kernel in place of a wider map."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from clary.vision.training.folded.operators import Geometry
from clary.vision.training.folded.padding import Margins, pad, widen


@pytest.mark.parametrize("margins", [(0, 1, 0, 1), (1, 2, 0, 0), (1, 2, 1, 1), (2, 0, 0, 3), (0, 0, 0, 0)])
@pytest.mark.parametrize("size", [(9, 8), (6, 11)])
def test_a_wider_kernel_gives_what_a_wider_map_gives(margins: Margins, size: tuple[int, int]) -> None:
    features, weight = torch.randn(2, 3, *size), torch.randn(4, 3, 3, 3)
    how = Geometry((2, 2), (1, 0), (1, 1), 1)
    expected = F.conv2d(pad(features, margins), weight, None, *how)
    other, geometry = widen(weight, how, margins)
    torch.testing.assert_close(F.conv2d(features, other, None, *geometry), expected)
