"""A dilated convolution computed another way is the same convolution."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from clary.vision.models.dilated import DilatedConvolution

pytestmark = pytest.mark.usefixtures("one_thread")


def pair(rate: int, bias: bool = True) -> tuple[nn.Conv2d, DilatedConvolution]:
    torch.manual_seed(rate)
    plain = nn.Conv2d(5, 3, 3, padding=rate, dilation=rate, bias=bias)
    return plain, DilatedConvolution.like(plain)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 24), st.integers(1, 24), st.booleans())
def test_outputs_are_those_of_pytorch(rate: int, height: int, width: int, bias: bool) -> None:
    """Also where the map is smaller than the distance of the taps."""
    plain, ours = pair(rate, bias)
    features = torch.randn(2, 5, height, width)
    torch.testing.assert_close(ours(features), plain(features), rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_pytorch() -> None:
    plain, ours = pair(4)
    found = []
    for layer in (plain, ours):
        features = torch.randn(2, 5, 9, 11, generator=torch.Generator().manual_seed(0)).requires_grad_()
        layer(features).square().sum().backward()
        found.append([features.grad, *(parameter.grad for parameter in layer.parameters())])
    for expected, gradient in zip(*found, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4)


def test_parameters_have_the_names_of_the_plain_one() -> None:
    plain, ours = pair(2)
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in plain.state_dict().items()
    }


def test_an_exported_graph_takes_any_size() -> None:
    plain, ours = pair(6)
    stream: Any = io.BytesIO()
    axes = {"x": {0: "n", 2: "h", 3: "w"}}
    example: Any = (torch.randn(1, 5, 16, 16),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # this exporter is what artifacts are written by
        torch.onnx.export(ours, example, stream, input_names=["x"], output_names=["y"], dynamic_axes=axes, dynamo=False)
    session = onnxruntime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    for shape in ((1, 5, 16, 16), (2, 5, 7, 30), (1, 5, 3, 4)):
        features = torch.randn(*shape)
        (found,) = session.run(None, {"x": features.numpy()})
        np.testing.assert_allclose(found, plain(features).detach().numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "other",
    [nn.Conv2d(2, 2, 3, padding=1, dilation=2), nn.Conv2d(2, 2, 3, stride=2, padding=1), nn.Conv2d(2, 2, 1)],
    ids=["padding", "stride", "1x1"],
)
def test_another_convolution_is_refused(other: nn.Conv2d) -> None:
    with pytest.raises(ValueError, match="keeps its size"):
        DilatedConvolution.like(other)
