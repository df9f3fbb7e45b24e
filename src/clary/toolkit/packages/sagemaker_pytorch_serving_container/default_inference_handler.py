"""The handler by the name that it had in the first images."""

from sagemaker_pytorch_serving_container.default_pytorch_inference_handler import (
    DefaultPytorchInferenceHandler,
    ModelLoadError,
)

__all__ = ["DefaultPytorchInferenceHandler", "ModelLoadError"]
