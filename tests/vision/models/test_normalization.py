"""Pixels to network input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from clary.vision.models.normalization import IMAGENET_MEAN, IMAGENET_STD, InputNormalization, gray_statistics

channels = st.tuples(*[st.floats(0.05, 1.0)] * 3)


@given(
    hn.arrays(np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 5), st.just(3))),
    channels,
    channels,
)
@settings(max_examples=50, deadline=None)
def test_is_the_formula(pixels: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    found = InputNormalization(mean, std)(torch.from_numpy(pixels))
    expected = (pixels.astype(np.float64) / 255 - mean) / std
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected.transpose(0, 3, 1, 2), rtol=1e-4, atol=1e-4)


def test_imagenets_mean_becomes_zero() -> None:
    pixels = torch.tensor([round(255 * mean) for mean in IMAGENET_MEAN], dtype=torch.uint8).view(1, 1, 1, 3)
    assert InputNormalization()(pixels).flatten().tolist() == pytest.approx(
        [0, 0, 0], abs=0.5 / 255 / min(IMAGENET_STD)
    )


def test_memory_order_is_that_of_the_pixels() -> None:
    found = InputNormalization()(torch.zeros(2, 5, 6, 3, dtype=torch.uint8))
    assert found.shape == (2, 3, 5, 6)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_of_one_channel_pixels_become_gray() -> None:
    pixels = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)
    mean, std = gray_statistics((0.4, 0.5, 0.6), (0.2, 0.2, 0.2))
    found = InputNormalization(mean, std)(pixels)
    luma = (pixels.float() * torch.tensor([0.299, 0.587, 0.114])).sum(-1)
    assert torch.allclose(found, ((luma / 255 - 0.5) / 0.2)[:, None], atol=1e-5)
    gray = pixels[..., :1].expand(-1, -1, -1, 3)
    assert torch.allclose(InputNormalization(mean, std)(gray)[:, 0], (gray[..., 0] / 255 - 0.5) / 0.2, atol=1e-5)


def test_numbers_are_not_weights() -> None:
    """They stand in the manifest; a state dict of the network can be read without them."""
    layer = InputNormalization()
    assert layer.state_dict() == {}
    assert list(layer.parameters()) == []
