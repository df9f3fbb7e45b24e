"""Hugging Face's image: a pipeline of the model folder, and inference.py's functions in the place of its stages.

Source: sagemaker-huggingface-inference-toolkit 2.4, handler_service.py, transformers_utils.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from clary.errors import CustomerError
from clary.toolkit.serving.functions import Functions
from clary.toolkit.serving.service import Answer
from clary.toolkit.serving.user_code import import_user_module

__all__ = ["load", "task_of"]

# Endings of the class that config.json names (``architectures``), and the task that such a network is made for.
_TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "ForConditionalGeneration": "text2text-generation",
    "MTModel": "text2text-generation",
    "EncoderDecoderModel": "text2text-generation",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
    "ForImageSegmentation": "image-segmentation",
    "ForSemanticSegmentation": "image-segmentation",
    "ForAudioClassification": "audio-classification",
    "ForCTC": "automatic-speech-recognition",
}


def load(model_dir: Path, variables: Mapping[str, str]) -> Functions:
    """Raises CustomerError where there is neither a model_fn nor a model that a pipeline can be made of; what the
    user's module and functions raise."""
    module = import_user_module(model_dir, variables)
    return Functions(module, _Pipeline(variables), model_dir, variables, _failure)


class _Pipeline:
    """The toolkit's defaults."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._codec: ModuleType = import_module("sagemaker_huggingface_inference_toolkit.decoder_encoder")

    def default_model_fn(self, model_dir: str) -> Any:
        folder = Path(model_dir)
        if not (folder / "config.json").is_file():
            raise _no_model(folder, self._variables)
        task = self._variables.get("HF_TASK") or task_of(folder / "config.json")
        transformers, torch = import_module("transformers"), import_module("torch")
        return transformers.pipeline(task=task, model=model_dir, device=0 if torch.cuda.is_available() else -1)

    def default_input_fn(self, input_data: Any, content_type: str) -> Any:
        return self._codec.decode(input_data, content_type)

    def default_predict_fn(self, data: Any, model: Any) -> Any:
        if not isinstance(data, dict):
            return model(data)
        inputs, parameters = data.pop("inputs", data), data.pop("parameters", None)
        return model(inputs, **(parameters or {}))

    def default_output_fn(self, prediction: Any, accept: str) -> Any:
        return self._codec.encode(prediction, accept)


def task_of(config: Path) -> str:
    """The task of the network that a model's config.json describes. Raises CustomerError where it tells none."""
    named = json.loads(config.read_text()).get("architectures") or [""]
    for ending, task in _TASKS.items():
        if str(named[0]).endswith(ending):
            return task
    raise CustomerError(
        f"the task of {named[0] or 'the model'} is not known", where=str(config), hint="set HF_TASK in the model's env"
    )


def _no_model(folder: Path, variables: Mapping[str, str]) -> CustomerError:
    if model := variables.get("HF_MODEL_ID"):
        what = f"HF_MODEL_ID is {model}, and nothing is downloaded here without being asked for"
        way = (
            f"put the model into model.tar.gz (huggingface-cli download {model} --local-dir model; tar -C model -czf "
            "model.tar.gz .) and give model_data, or load it in a model_fn of your own"
        )
        return CustomerError(what, hint=way)
    what = "has no config.json of a Hugging Face model, and inference.py no model_fn"
    return CustomerError(what, where=str(folder), hint="save it with save_pretrained at the root of model.tar.gz")


def _failure(error: Exception, stage: str) -> Answer:
    """As MMS answers a PredictionException: 400, whatever it was."""
    said = {"code": 400, "type": "InternalServerException", "message": str(error)}
    return Answer(400, json.dumps(said, indent=2).encode(), "application/json")
