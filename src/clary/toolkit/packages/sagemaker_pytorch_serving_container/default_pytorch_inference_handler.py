"""PyTorch's defaults. Source: sagemaker-pytorch-inference 2.0.25, default_pytorch_inference_handler.py."""

import os
from typing import Any

import torch

from sagemaker_inference import content_types, decoder
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler

__all__ = ["DefaultPytorchInferenceHandler", "ModelLoadError"]

DEFAULT_MODEL_FILENAME = "model.pt"


class ModelLoadError(Exception):
    """A file that is no TorchScript."""


class DefaultPytorchInferenceHandler(DefaultInferenceHandler):
    """A TorchScript file, tensors in and out, on the GPU where there is one."""

    VALID_CONTENT_TYPES = (content_types.JSON, content_types.NPY)

    def default_model_fn(self, model_dir: str, context: Any = None) -> Any:
        """``model.pt``, or the one .pt or .pth file of the folder. Raises ValueError, ModelLoadError."""
        path = os.path.join(model_dir, DEFAULT_MODEL_FILENAME)
        if not os.path.exists(path):
            files = [name for name in sorted(os.listdir(model_dir)) if os.path.splitext(name)[1] in (".pt", ".pth")]
            if len(files) != 1:
                raise ValueError(f"Exactly one .pth or .pt file is required for PyTorch models: {files}")
            path = os.path.join(model_dir, files[0])
        try:
            return torch.jit.load(path, map_location=_device()).to(_device())  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise ModelLoadError(f"Failed to load {path}. Please ensure model is saved using torchscript.") from error

    def default_input_fn(self, input_data: Any, content_type: str, context: Any = None) -> Any:
        """A float tensor of JSON and CSV; of NPY one of the array's own type."""
        array = decoder.decode(input_data, content_type)
        tensor = torch.FloatTensor(array) if content_type in content_types.UTF8_TYPES else torch.from_numpy(array)
        return tensor.to(_device())

    def default_predict_fn(self, data: Any, model: Any, context: Any = None) -> Any:
        with torch.no_grad():
            model = model.to(_device())
            model.eval()
            return model(data.to(_device()))

    def default_output_fn(self, prediction: Any, accept: str, context: Any = None) -> Any:
        if isinstance(prediction, torch.Tensor):
            prediction = prediction.detach().cpu().numpy().tolist()
        return super().default_output_fn(prediction, accept)


def _device() -> Any:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
