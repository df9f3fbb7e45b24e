"""What TensorFlow's image is, from a model folder to answers."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clary.errors import CustomerError
from clary.toolkit.serving.service import Answer, Request
from clary.toolkit.serving.tensorflow.bodies import document_of, with_accept
from clary.toolkit.serving.tensorflow.handlers import DEFAULT_TYPE, Handlers, attributes_of, import_inference
from clary.toolkit.serving.tensorflow.keras_files import export
from clary.toolkit.serving.tensorflow.layout import Layout, find_models
from clary.toolkit.serving.tensorflow.rest_api import RestApi, error_body
from clary.toolkit.serving.tensorflow.saved_model import SavedModel, Threads
from clary.toolkit.serving.tensorflow.status import StatusError
from clary.vision.base.cores import cores

__all__ = ["TensorFlowService", "load"]

_PREFIXES = ("SAGEMAKER_TFS_", "SAGEMAKER_GUNICORN_")
_DEFAULT_MODEL = "SAGEMAKER_TFS_DEFAULT_MODEL_NAME"
_INTRA, _INTER = "SAGEMAKER_TFS_INTRA_OP_PARALLELISM", "SAGEMAKER_TFS_INTER_OP_PARALLELISM"
_QUIET = {"SAGEMAKER_TFS_NGINX_LOGLEVEL", "SAGEMAKER_TFS_VERSION"}  # of programs that are not here; the SDK sets them


def load(model_dir: Path, variables: Mapping[str, str]) -> TensorFlowService:
    """The models of ``model_dir`` with its inference.py.

    Raises CustomerError where there is no model, or a variable that counts has no number; what TensorFlow raises for a
    model that cannot be loaded, and what the user's module raises.
    """
    if find_spec("tf_keras"):
        # Of an image of Keras 2's time: for inference.py's tf.keras as well.
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    layout = find_models(model_dir)
    threads = Threads(_number(variables, _INTRA), _number(variables, _INTER))
    default = variables.get(_DEFAULT_MODEL) or next(iter(layout.models))
    _say_of(layout, default, model_dir, variables)
    # Before TensorFlow is loaded: what is wrong in it is said at once.
    module = import_inference(model_dir)
    models = {
        name: {version: _open(path, threads) for version, path in versions.items()}
        for name, versions in layout.models.items()
    }
    for name, versions in models.items():
        if any(model.mended for model in versions.values()):
            print(  # noqa: T201
                f"model {name}: written by tf.saved_model.save of a Keras 3 model, it is served all the same, by Clary "
                "alone; SageMaker's TensorFlow image answers `Could not find variable`: write it by model.export",
                flush=True,
            )
    api = RestApi(models)
    return TensorFlowService(api, default, Handlers(module, api, default) if module else None)


class TensorFlowService:
    """``default`` is the model that is asked unless a call's custom attributes name another."""

    def __init__(self, api: RestApi, default: str, handlers: Handlers | None) -> None:
        self._api, self._default, self._handlers = api, default, handlers
        # A session takes any number of calls; a user's code was written for one at a time.
        self.streams = 1 if handlers else max(2, cores())

    def answer(self, request: Request) -> Answer:
        if self._handlers:
            return self._handlers.answer(request)
        try:
            document = document_of(request.body, request.content_type)
        except StatusError as error:
            if error.status == 415:
                return Answer(415, error_body(error.message), DEFAULT_TYPE)
            status, body = error.status, error_body(error.message)
        else:
            status, body = self._called(attributes_of(request.custom_attributes), document)
        body, content_type = with_accept(body, request.accept)
        return Answer(status, body, content_type)

    def _called(self, attributes: Mapping[str, str], document: Any) -> tuple[int, bytes]:
        model = attributes.get("tfs-model-name", self._default)
        try:
            return self._api.call(
                model, attributes.get("tfs-model-version", ""), attributes.get("tfs-method", "predict"), document
            )
        except Exception as error:  # noqa: BLE001  # else one call would end the worker under all the others
            traceback.print_exc()
            return 500, error_body(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        if self._handlers:
            self._handlers.close()


def _open(path: Path, threads: Threads) -> SavedModel:
    if path.is_dir():
        return SavedModel(path, threads)
    folder = Path(tempfile.mkdtemp(prefix="clary-keras-"))
    try:
        export(path, folder)
        # All of it is in memory then, files of its vocabularies among it.
        return SavedModel(folder, threads)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _say_of(layout: Layout, default: str, model_dir: Path, variables: Mapping[str, str]) -> None:
    for name, versions in layout.models.items():
        told = ", ".join(str(version) for version in sorted(versions, reverse=True))
        print(f"model {name}: version {told}{' (default)' if name == default else ''}", flush=True)  # noqa: T201
    if layout.ours:
        places = ", ".join(
            str(path.relative_to(model_dir)) for versions in layout.models.values() for path in versions.values()
        )
        print(  # noqa: T201
            f"no SavedModel in a folder that is a number: {places} is served all the same, by Clary alone; SageMaker's "
            "TensorFlow image would not start with it",
            flush=True,
        )
    if default not in layout.models:
        print(f"{_DEFAULT_MODEL} is {default}, which is no model here", flush=True)  # noqa: T201
    known = {_DEFAULT_MODEL, _INTRA, _INTER, *_QUIET}
    idle = sorted(
        name for name, value in variables.items() if name.startswith(_PREFIXES) and name not in known and value
    )
    idle = [name for name in idle if variables[name].lower() != "false"]
    if idle:
        print(f"without effect here: {', '.join(idle)}", flush=True)  # noqa: T201


def _number(variables: Mapping[str, str], name: str) -> int:
    text = variables.get(name, "").strip() or "0"
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise CustomerError(
            f"is {ascii(text)[:60]}, not a whole number", where=name, hint="set it to a number or not at all"
        )
    return int(text)
