"""scikit-learn's and XGBoost's images: as the generic toolkit, with their own defaults and, of the first, errors.

Source: sagemaker-scikit-learn-container, serving.py; sagemaker-containers 2.8.6, _transformer.py;
sagemaker-xgboost-container 1.7, serving.py.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from clary.toolkit.serving.functions import Functions, generic_failure
from clary.toolkit.serving.service import Answer
from clary.toolkit.serving.user_code import import_user_module

__all__ = ["load", "load_xgboost"]

_STATUS = {"input": 415, "output": 406}  # of a media type that there is no way from, or to


def load(model_dir: Path, variables: Mapping[str, str]) -> Functions:
    """Raises what the user's module and functions raise."""
    return _load(model_dir, variables, xgboost=False)


def load_xgboost(model_dir: Path, variables: Mapping[str, str]) -> Functions:
    """The same for XGBoost, whose models take a DMatrix."""
    return _load(model_dir, variables, xgboost=True)


def _load(model_dir: Path, variables: Mapping[str, str], *, xgboost: bool) -> Functions:
    module = import_user_module(model_dir, variables)
    handler = import_module("sagemaker_inference.default_inference_handler").DefaultInferenceHandler
    decode = import_module("sagemaker_inference.decoder").decode

    class Handler(handler):  # type: ignore[misc, valid-type]  # a class of the user's environment
        def default_input_fn(self, input_data: Any, content_type: str) -> Any:
            array = decode(input_data, content_type)
            if xgboost:
                return import_module("xgboost").DMatrix(array.reshape(1, -1) if array.ndim == 1 else array)
            return array.astype("float32") if content_type in ("application/json", "text/csv") else array

        def default_predict_fn(self, data: Any, model: Any) -> Any:
            return model.predict(data)

    return Functions(module, Handler(), model_dir, variables, generic_failure if xgboost else _failure)


def _failure(error: Exception, stage: str) -> Answer:
    if type(error).__name__ != "UnsupportedFormatError" or stage not in _STATUS:
        return generic_failure(error, stage)
    said = {
        "error": type(error).__name__,
        "error-message": str(error),
        "stack-trace": "".join(traceback.format_exception(error)),
    }
    return Answer(_STATUS[stage], json.dumps(said).encode(), "application/json")
