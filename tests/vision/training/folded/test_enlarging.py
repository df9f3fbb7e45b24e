"""Bilinear enlarging of few channels: what PyTorch gives in fp32, values and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from clary.vision.training.folded.enlarging import FewChannelsFirst

pytestmark = pytest.mark.usefixtures("one_thread")


def draw(channels: int) -> torch.Tensor:
    found = torch.randn(2, channels, 7, 9, generator=torch.Generator().manual_seed(0))
    return found.bfloat16().to(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("size", [(14, 18), (15, 31), (5, 40)])
def test_few_channels_are_those_of_fp32(size: tuple[int, int]) -> None:
    logits = draw(3)
    with FewChannelsFirst() as enlarging:
        found = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    assert enlarging.met
    assert found.dtype == torch.float32
    exact = F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, exact)
    given = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    found, expected = (torch.autograd.grad(one, logits, given)[0] for one in (found, exact))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("channels", "how"),
    [(4, {"size": (14, 18), "mode": "bilinear"}), (3, {"scale_factor": 2.0, "mode": "nearest"}), (2, {"size": 9})],
)
def test_all_else_is_left(channels: int, how: dict[str, Any]) -> None:
    logits = draw(channels)
    with FewChannelsFirst() as enlarging:
        found = F.interpolate(logits, **how)
    assert not enlarging.met
    assert torch.equal(found, F.interpolate(logits, **how))


def test_fp32_is_left_but_met() -> None:
    logits = draw(3).float()
    with FewChannelsFirst() as enlarging:
        found = F.interpolate(logits, size=(14, 18), mode="bilinear")
    assert enlarging.met
    assert torch.equal(found, F.interpolate(logits, size=(14, 18), mode="bilinear"))
