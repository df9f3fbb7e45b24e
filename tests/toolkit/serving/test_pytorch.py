"""PyTorch's defaults."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from clary.toolkit.serving import pytorch
from clary.toolkit.serving.service import Service

from .contract import ServiceContract, asked

# A format that AWS's default functions load, and that users have, whatever PyTorch advises by now.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")

Make = Callable[..., Path]


class Doubling(torch.nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return 2 * rows


def scripted() -> bytes:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(Doubling()), stream)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


class TestContract(ServiceContract):
    """A TorchScript file and no code at all."""

    good = asked("[[1, 2]]", "application/json")
    bad = asked(b"\xff\xd8", "image/jpeg")

    @pytest.fixture
    def model(self, make_model: Make) -> Path:
        return make_model(data={"model.pt": scripted()})

    def load(self, model: Path) -> Service:
        return pytorch.load(model, {})


class TestDefaults:
    @pytest.fixture
    def service(self, make_model):
        return pytorch.load(make_model(data={"net.pth": scripted()}), {})

    @pytest.mark.parametrize(
        ("body", "content_type"), [("[[1, 2], [3, 4]]", "application/json"), ("1,2\n3,4", "text/csv")]
    )
    def test_text_becomes_floats(self, service, body, content_type):
        answer = service.answer(asked(body, content_type))
        assert (json.loads(answer.body), answer.content_type) == ([[2.0, 4.0], [6.0, 8.0]], "application/json")

    def test_npy_keeps_its_type(self, service):
        """What PyTorchModel's predictor sends and accepts unless told otherwise."""
        answer = service.answer(asked(npy(np.array([[1, 2]], np.int64)), "application/x-npy", "application/x-npy"))
        assert answer.content_type == "application/x-npy"
        assert np.load(io.BytesIO(answer.body)).tolist() == [[2, 4]]

    def test_csv_out(self, service):
        answer = service.answer(asked("[[1, 2]]", "application/json", "text/csv"))
        assert (answer.body, answer.content_type) == (b"2.0,4.0\n", "text/csv")

    def test_an_unsupported_type_is_500(self, service):
        answer = service.answer(asked(b"\xff", "image/jpeg"))
        assert answer.status == 500
        assert answer.body.startswith(b"Content type image/jpeg is not supported by this framework.\nTraceback")

    def test_the_network_is_evaluated_without_gradients(self, make_model):
        script = """
        import torch
        class Telling(torch.nn.Module):
            def forward(self, x):
                return {"training": self.training, "gradients": torch.is_grad_enabled()}
        def model_fn(model_dir):
            return Telling()
        """
        answer = pytorch.load(make_model({"inference.py": script}), {}).answer(asked("[1]", "application/json"))
        assert json.loads(answer.body) == {"training": False, "gradients": False}


class TestNoModel:
    def test_which_file(self, make_model):
        model = make_model(data={"a.pt": b"", "b.pth": b""})
        with pytest.raises(
            ValueError, match=r"Exactly one .pth or .pt file is required for PyTorch models: \['a.pt', "
        ):
            pytorch.load(model, {})

    def test_no_torch_script(self, make_model):
        stream = io.BytesIO()
        torch.save(Doubling().state_dict(), stream)
        with pytest.raises(Exception, match=r"Failed to load .*net.pth. Please ensure model is saved using") as caught:
            pytorch.load(make_model(data={"net.pth": stream.getvalue()}), {})
        assert type(caught.value).__name__ == "ModelLoadError"
        (note,) = caught.value.__notes__
        assert note.startswith("there is no inference.py in")

    def test_a_script_without_model_fn(self, make_model):
        with pytest.raises(ValueError, match="Exactly one") as caught:
            pytorch.load(make_model({"inference.py": "def input_fn(data, content_type): pass"}), {})
        assert "inference.py has no model_fn, so that the default one was used" in caught.value.__notes__[0]

    def test_an_error_of_the_users_model_fn_is_left_as_it_is(self, make_model):
        with pytest.raises(ValueError, match="mine") as caught:
            pytorch.load(make_model({"inference.py": "def model_fn(d): raise ValueError('mine')"}), {})
        assert not hasattr(caught.value, "__notes__")


def test_names_that_public_scripts_import(make_model):
    script = """
    from sagemaker_inference import content_types, decoder, default_inference_handler, encoder, errors, utils
    from sagemaker_inference.environment import Environment, code_dir
    from sagemaker_inference.logging import get_logger
    from sagemaker_pytorch_serving_container.default_pytorch_inference_handler import DefaultPytorchInferenceHandler
    from sagemaker_pytorch_serving_container.default_inference_handler import ModelLoadError

    class Handler(DefaultPytorchInferenceHandler):
        def default_predict_fn(self, data, model):
            return super().default_predict_fn(data, model) + 1

    handler = Handler()
    model_fn = handler.default_model_fn
    predict_fn = handler.default_predict_fn
    def input_fn(data, content_type):
        assert utils.parse_accept("text/csv;q=1, */*") == ["text/csv", content_types.ANY]
        return handler.default_input_fn(data, content_type)
    """
    model = make_model({"inference.py": script}, {"model.pt": scripted()})
    assert json.loads(pytorch.load(model, {}).answer(asked("[[1]]", "application/json")).body) == [[3.0]]
