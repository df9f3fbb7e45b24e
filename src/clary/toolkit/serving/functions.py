"""The functions of inference.py between a request and its answer, as SageMaker's inference toolkits call them.

    model_fn -> input_fn -> predict_fn -> output_fn, or transform_fn in the place of the last three

Each may take one argument more than its own, the context. What a script has not is the framework's default.
Source: sagemaker-inference 1.10.1, transformer.py.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from clary.toolkit.serving.context import Context
from clary.toolkit.serving.service import Answer, Request
from clary.toolkit.serving.user_code import import_user_module

__all__ = ["ATTRIBUTES", "Failure", "Functions", "generic_failure", "load"]

ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
# Bodies that reach input_fn as text; all others as bytes.
_TEXTS = ("application/json", "text/csv")

Function = Callable[..., Any]
# What an error of the user's functions is answered with, and the stage it came from ("input", "predict", "output").
Failure = Callable[[Exception, str], Answer]


def load(model_dir: Path, variables: Mapping[str, str]) -> Functions:
    """An image of no framework that is known better: model_fn and predict_fn are the user's."""
    module = import_user_module(model_dir, variables)
    handler = import_module("sagemaker_inference.default_inference_handler").DefaultInferenceHandler()
    return Functions(module, handler, model_dir, variables, generic_failure)


class Functions:
    """A loaded model with its functions.

    ``module`` is the user's, or None; ``defaults`` has the default of each function, ``default_model_fn`` and so on.
    Raises ValueError where transform_fn stands beside functions that it is in the place of; TypeError for a model_fn of
    another number of arguments; what the user's functions raise.
    """

    streams = 1

    def __init__(
        self,
        module: object,
        defaults: object,
        model_dir: Path,
        variables: Mapping[str, str],
        failure: Failure,
    ) -> None:
        self._context = Context(model_dir)
        self._default_accept = variables.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or "application/json"
        self._failure = failure
        own = {name: getattr(module, name, None) for name in _NAMES}
        if own["transform_fn"] and any(own[name] for name in _STAGES):
            raise ValueError(
                "Cannot use transform_fn implementation in conjunction with input_fn, predict_fn, and/or output_fn "
                "implementation"
            )

        def function(name: str, arguments: int) -> Function | None:
            found = own[name] or getattr(defaults, f"default_{name}", None)
            return None if found is None else self._with_context(found, arguments)

        self._transform = function("transform_fn", 4)
        self._input, self._predict, self._output = (function(name, 2) for name in _STAGES)
        self._stage = ""
        # As text: that is what AWS's toolkits hand over.
        where = str(model_dir)
        if before := function("pre_model_fn", 1):
            before(where)
        load_model = function("model_fn", 1)
        assert load_model is not None
        self._model = load_model(where)
        if warm_up := function("model_warmup_fn", 2):
            warm_up(where, self._model)

    def answer(self, request: Request) -> Answer:
        context = self._context
        context.begin(request)
        self._stage = ""
        accept = request.accept
        if not accept or accept == "*/*":
            accept = self._default_accept
        try:
            # A bytearray, as the model servers have it: it can be written to, and torch.frombuffer wants that.
            data: Any = request.body.decode() if request.content_type in _TEXTS else bytearray(request.body)
            content_type = request.content_type or None
            if self._transform is not None:
                result = self._transform(self._model, data, content_type, accept)
            else:
                result = self._chain(data, content_type, accept)
            return self._answered(result, accept)
        except Exception as error:  # noqa: BLE001  # of the user's code, and the client's to know
            traceback.print_exc()
            return self._failure(error, self._stage)

    def close(self) -> None:
        """Nothing is held that the process's end does not free."""

    def _chain(self, data: Any, content_type: str | None, accept: str) -> Any:
        assert self._input is not None
        assert self._predict is not None
        assert self._output is not None
        self._stage = "input"
        data = self._input(data, content_type)
        self._stage = "predict"
        prediction = self._predict(data, self._model)
        self._stage = "output"
        return self._output(prediction, accept)

    def _answered(self, result: Any, accept: str) -> Answer:
        context = self._context
        status, body = 200, result
        content_type = context.response_headers.get("content-type", accept)
        if isinstance(result, tuple):
            body, content_type = result[0], result[1]
        elif hasattr(result, "response") and hasattr(result, "mimetype"):  # worker.Response
            body, status, content_type = result.response, int(result.status), result.mimetype
        attributes = context.response_headers.get(ATTRIBUTES, "")
        return Answer(int(context.status or status), _bytes(body), str(content_type), attributes)

    def _with_context(self, function: Function, arguments: int) -> Function:
        """The function as it is to be called: with ``arguments`` arguments, whether it takes the context or not."""
        takes = len(signature(function).parameters)
        if takes == arguments:
            return function
        if takes == arguments + 1:
            return lambda *given: function(*given, self._context)
        name = getattr(function, "__name__", repr(function))

        def refuse(*given: Any) -> Any:
            raise TypeError(f"{name} takes {takes} arguments but {arguments} were given.")

        return refuse


_STAGES = ("input_fn", "predict_fn", "output_fn")
_NAMES = ("model_fn", "transform_fn", *_STAGES, "pre_model_fn", "model_warmup_fn")


def generic_failure(error: Exception, stage: str) -> Answer:
    """As sagemaker-inference answers: 500, or the status that the error names, with message and traceback."""
    trace = "".join(traceback.format_exception(error))
    status, message = 500, str(error)
    if hasattr(error, "status_code") and hasattr(error, "phrase"):  # errors.BaseInferenceToolkitError
        status, message = int(error.status_code), str(getattr(error, "message", error))
    return Answer(status, f"{message}\n{trace}".encode(errors="replace"), "text/plain")


def _bytes(body: Any) -> bytes:
    """A body as it goes out. What is neither text nor bytes is sent as JSON, as the model servers do."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, (bytearray, memoryview)):
        return bytes(body)
    if hasattr(body, "getvalue"):  # io.BytesIO
        return _bytes(body.getvalue())
    try:
        return json.dumps(body).encode()
    except TypeError as error:
        what = f"output_fn returned {type(body).__name__}, which is no body of an answer"
        raise TypeError(f"{what}; return text, bytes, or json.dumps of it") from error
