"""PyTorch's image: inference.py with PyTorch's own defaults."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from clary.toolkit.serving.functions import Functions, generic_failure
from clary.toolkit.serving.user_code import code_folder, import_user_module

__all__ = ["load"]


def load(model_dir: Path, variables: Mapping[str, str]) -> Functions:
    """Raises what the user's module and functions raise, and the toolkit's errors where its defaults find no model."""
    module = import_user_module(model_dir, variables)
    handlers = import_module("sagemaker_pytorch_serving_container.default_pytorch_inference_handler")
    try:
        return Functions(module, handlers.DefaultPytorchInferenceHandler(), model_dir, variables, generic_failure)
    except (ValueError, handlers.ModelLoadError) as error:
        if hasattr(module, "model_fn"):
            raise
        code = code_folder(model_dir, variables)
        lacks = f"{module.__name__}.py has no model_fn" if module else f"there is no inference.py in {code}"
        error.add_note(f"{lacks}, so that the default one was used, which loads TorchScript (torch.jit.save)")
        raise
