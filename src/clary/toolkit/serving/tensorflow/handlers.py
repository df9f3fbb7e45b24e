"""inference.py before the models: ``handler``, or ``input_handler`` and ``output_handler``.

Source: the image's python_service.py and tfs_utils.py.
"""

from __future__ import annotations

import io
import json
import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import requests
from requests.adapters import BaseAdapter

from clary.errors import CustomerError
from clary.toolkit.serving.service import Answer, Request
from clary.toolkit.serving.tensorflow.loopback import Loopback
from clary.toolkit.serving.tensorflow.rest_api import RestApi
from clary.toolkit.serving.user_code import import_user_module

__all__ = ["Handlers", "attributes_of", "import_inference"]

DEFAULT_TYPE = "application/json"
_GRPC = ("grpc", "tensorflow_serving")


class Context(NamedTuple):
    """What handlers are told of a call. ``grpc_port`` and ``channel`` are those of a server that is not there."""

    model_name: str | None
    model_version: str | None
    method: str | None
    rest_uri: str
    grpc_port: str | None
    channel: None
    custom_attributes: str | None
    request_content_type: str
    accept_header: str
    content_length: int


def attributes_of(header: str) -> dict[str, str]:
    """``tfs-model-name=a,tfs-method=predict`` as a mapping; all else that may stand in the header is left out."""
    pairs = (one.split("=") for one in re.findall(r"tfs-[a-z\-]+=[^,]+", header))
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def import_inference(model_dir: Path) -> ModuleType | None:
    """The module ``code/inference.py`` of the model data, None where there is none.

    Raises CustomerError where it wants TensorFlow Serving's gRPC, and whatever it raises when it is run.
    """
    try:
        # The image looks nowhere else, whatever SAGEMAKER_PROGRAM says.
        return import_user_module(model_dir, {})
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _GRPC:
            raise
        what = f"inference.py imports {error.name}: TensorFlow Serving answers here by REST alone, and has no gRPC"
        raise CustomerError(what, where="code/inference.py", hint="ask context.rest_uri by requests.post") from error


class Handlers:
    """The functions of ``module``. ``default`` is the model that ``context.rest_uri`` names where the call names none.

    Raises NotImplementedError, in the image's words, where the module has not the functions.
    """

    def __init__(self, module: ModuleType, api: RestApi, default: str) -> None:
        self._default = default
        self._server = Loopback(api)
        self._base = f"http://localhost:{self._server.port}"
        _past_proxies()
        self._session = requests.Session()
        # What is posted for input_handler needs no socket.
        self._session.mount(self._base, _Adapter(api))
        self._session.trust_env = False
        self._handle = self._handler_of(module)

    def answer(self, request: Request) -> Answer:
        try:
            body, content_type = self._handle(io.BytesIO(request.body), self._context(request))
            return Answer(200, body.encode() if isinstance(body, str) else bytes(body), str(content_type))
        except Exception as error:  # noqa: BLE001  # of the user's code, and the client's to know
            traceback.print_exc()
            return Answer(500, json.dumps({"error": str(error)}).encode(), DEFAULT_TYPE)

    def close(self) -> None:
        self._server.close()

    def _handler_of(self, module: ModuleType) -> Callable[[Any, Context], Any]:
        if hasattr(module, "handler"):
            handler: Callable[[Any, Context], Any] = module.handler
            return handler
        if not (hasattr(module, "input_handler") and hasattr(module, "output_handler")):
            raise NotImplementedError(
                "Handlers are not implemented correctly in user script: it has neither handler nor input_handler and "
                "output_handler"
            )

        def both(data: Any, context: Context) -> Any:
            processed = module.input_handler(data, context)
            return module.output_handler(self._session.post(context.rest_uri, data=processed), context)

        return both

    def _context(self, request: Request) -> Context:
        attributes = attributes_of(request.custom_attributes)
        version, method = attributes.get("tfs-model-version"), attributes.get("tfs-method")
        path = f"/v1/models/{attributes.get('tfs-model-name', self._default)}"
        path += f"/versions/{version}" if version else ""
        return Context(
            model_name=attributes.get("tfs-model-name"),
            model_version=version,
            method=method,
            rest_uri=f"{self._base}{path}:{method or 'predict'}",
            grpc_port=None,
            channel=None,
            custom_attributes=request.custom_attributes or None,
            request_content_type=request.content_type or DEFAULT_TYPE,
            accept_header=request.accept or DEFAULT_TYPE,
            content_length=len(request.body),
        )


def _past_proxies() -> None:
    """The worker's own address is asked directly, whatever proxy the machine has."""
    for name in ("no_proxy", "NO_PROXY"):
        there = [one for one in os.environ.get(name, "").split(",") if one]
        os.environ[name] = ",".join(dict.fromkeys([*there, "localhost", "127.0.0.1"]))


class _Adapter(BaseAdapter):  # type: ignore[misc]
    """A transport of requests' that asks ``api`` itself."""

    def __init__(self, api: RestApi) -> None:
        super().__init__()
        self._api = api

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else body.read()
        status, answer = self._api.ask(request.method, request.path_url, body)
        response = requests.Response()
        response.status_code, response.raw = status, io.BytesIO(answer)
        response.headers.update({"Content-Type": DEFAULT_TYPE, "Content-Length": str(len(answer))})
        response.url, response.request, response.encoding = request.url, request, "utf-8"
        return response

    def close(self) -> None:
        """Nothing is open."""
