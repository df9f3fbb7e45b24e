"""The private operator against the public ones, and what happens where it is missing or says something else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from clary.vision.training.folded import operators
from clary.vision.training.folded.operators import FUSED, Activation, Geometry, convolve, fault, plain
from clary.vision.training.precision import processor

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(processor(torch.device("cpu")) is None, reason="no bf16 in hardware"),
]

PLAIN = Geometry((1, 1), (1, 1), (1, 1), 1)


@pytest.fixture
def asked_anew() -> Iterator[None]:
    fault.cache_clear()
    yield
    fault.cache_clear()


def test_this_version_of_torch_has_it() -> None:
    assert fault() == ""


@pytest.mark.parametrize("activation", FUSED)
def test_odd_sizes_and_places_that_are_left_over(activation: Activation) -> None:
    random = torch.Generator().manual_seed(0)
    for height, width, stride in ((1, 1, 1), (7, 9, 2), (8, 5, 2), (3, 3, 3)):
        how = PLAIN._replace(stride=(stride, stride))
        features = 9 * torch.randn(3, 5, height, width, generator=random).to(memory_format=torch.channels_last)
        weight, bias = torch.randn(7, 5, 3, 3, generator=random), torch.randn(7, generator=random)
        found = convolve(features, weight, bias, how, activation)
        torch.testing.assert_close(found, plain(features, weight, bias, how, activation), rtol=1e-4, atol=1e-4)
        features, weight, bias = features.bfloat16(), weight.bfloat16(), bias.bfloat16()
        found = convolve(features, weight, bias, how, activation)
        assert found.dtype == torch.bfloat16
        exact = plain(features.float(), weight.float(), bias.float(), how, activation)
        torch.testing.assert_close(found.float(), exact, rtol=0.01, atol=0.01)


def test_where_it_says_something_else_public_operators_are_taken(
    asked_anew: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = operators._pointwise
    monkeypatch.setattr(operators, "_pointwise", lambda *given: right(*given) * 1.1)
    assert fault().startswith("is off by ")
    features, weight, bias = torch.rand(1, 4, 5, 5), torch.rand(4, 4, 3, 3), torch.rand(4)
    assert torch.equal(convolve(features, weight, bias, PLAIN, "relu6"), plain(features, weight, bias, PLAIN, "relu6"))


@pytest.mark.parametrize("error", [AttributeError("no such\noperator"), RuntimeError("other arguments")])
def test_where_it_is_missing_public_operators_are_taken(
    error: Exception, asked_anew: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*given: object) -> torch.Tensor:
        raise error

    monkeypatch.setattr(operators, "_pointwise", missing)
    assert fault() == " ".join(str(error).split())
    assert convolve(torch.rand(1, 4, 5, 5), torch.rand(4, 4, 3, 3), torch.rand(4), PLAIN, "relu").shape == (1, 4, 5, 5)


def test_to_ask_draws_no_number(asked_anew: None) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fault()
    assert torch.equal(torch.rand(1), expected)
