"""Send to the gateway the AWS hosts that a program names itself, past AWS_ENDPOINT_URL. Nothing without CLARY_ENDPOINT.

The SageMaker SDK builds its STS address (``https://sts.<region>.amazonaws.com``) from a table, and an explicit address
beats every variable. `clary env` puts this folder first on PYTHONPATH; Python imports ``sitecustomize`` at its start,
whatever environment the program lives in. So: standard library only, Python 3.8 and later, and next to no time. What
has to be done is put off until botocore is imported; a program without botocore pays for one entry in sys.meta_path.
What else is done to clients is in ``patches/``, read when the module that it changes is imported.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing would cost more time than all the rest
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_PATCHES = os.path.join(os.path.dirname(_FOLDER), "patches")
# What SDK v2 would show of every client: that it found an address in AWS_ENDPOINT_URL; and what is not true here.
_IDLE_WORDS = ("Found endpoint for", "SageMaker Python SDK will collect telemetry")
_CHATTY = (
    "botocore.configprovider",
    "sagemaker.telemetry.telemetry_logging",
    "sagemaker.core.telemetry.telemetry_logging",
)
_TELEMETRY = ("sm-pysdk-t-", "dev-exp-t-")  # buckets the SDKs report their use to


def _is_aws(host: str) -> bool:
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _host(url: str) -> str:
    """The host of an URL, lower case; "" where there is none. (``urllib.parse`` is not loaded at start.)"""
    address = url.partition("://")[2].partition("/")[0].partition("?")[0]
    return address.rpartition("@")[2].partition(":")[0].lower()


def _to_gateway(builtins: dict[str, Any], **_: Any) -> None:
    """Handler of botocore's ``before-endpoint-resolution``: the request is then built and signed for the gateway."""
    endpoint = os.environ.get("CLARY_ENDPOINT")
    if not endpoint:
        return
    named = builtins.get("SDK::Endpoint")
    # Before the signature is made, which is over the host (a later hook, before-send, would break it).
    # What a program names and is not AWS's (another MinIO) stays where it is.
    if (named and _is_aws(_host(named))) or (not named and not _knows_variables()):
        builtins["SDK::Endpoint"] = endpoint


def _knows_variables() -> bool:
    """Whether this botocore reads AWS_ENDPOINT_URL itself (from 1.31)."""
    return hasattr(sys.modules.get("botocore.configprovider"), "ConfiguredEndpointProvider")


def _is_gateway(url: str) -> bool:
    """Whether what a client sends to ``url`` arrives at the gateway."""
    endpoint = os.environ.get("CLARY_ENDPOINT")
    return bool(endpoint) and (_is_aws(_host(url)) or url.rstrip("/") == str(endpoint).rstrip("/"))


def _on_session(session: Any) -> None:
    session.register("before-endpoint-resolution", _to_gateway)
    _patch("local_mode").name_files(session)
    if os.environ.get("CLARY_FOLLOW"):
        _patch("remarks").connect(session)


def _on_botocore(botocore: ModuleType) -> None:
    register = getattr(botocore, "register_initializer", None)
    if register is not None:
        register(_on_session)
    from logging import getLogger

    for name in _CHATTY:
        getLogger(name).addFilter(lambda record: not str(record.msg).startswith(_IDLE_WORDS))


def _on_requests(adapters: Any) -> None:
    """Keep the SDKs' telemetry here: it goes past botocore, and SDK v2 waits for its answer without a limit."""
    send = adapters.HTTPAdapter.send

    def kept(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        host = _host(request.url or "")
        if not (os.environ.get("CLARY_ENDPOINT") and host.startswith(_TELEMETRY) and _is_aws(host)):
            return send(self, request, *args, **kwargs)
        response = adapters.Response()
        response.status_code, response.url, response.request = 204, request.url, request
        response._content = b""
        return response

    adapters.HTTPAdapter.send = kept


def _patch(name: str) -> Any:
    """The module ``patches/<name>.py``, by its path: this Python need not have Clary, and sys.path may be another."""
    module = sys.modules.get("clary_" + name)
    if module is None:
        from importlib.util import module_from_spec, spec_from_file_location

        spec: Any = spec_from_file_location("clary_" + name, os.path.join(_PATCHES, name + ".py"))
        module = sys.modules[spec.name] = module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def _shorten(module: Any) -> None:
    _patch("pauses").shorten(module)


def _shorten_job_logs(module: Any) -> None:
    _patch("pauses").shorten_job_logs(module)


# What is done once a module is there: those of botocore, of requests, and of SDK v1, v2 and v3.
_AFTER = {
    "botocore": _on_botocore,
    "botocore.waiter": lambda module: _patch("pauses").shorten_waiters(module, _is_gateway),
    "requests.adapters": _on_requests,
    "sagemaker.session": _shorten_job_logs,
    "sagemaker.local.local_session": lambda module: _patch("local_mode").connect_session(module),
    "sagemaker.core.local.local_session": lambda module: _patch("local_mode").connect_session(module),
    "sagemaker.serve.model_builder": lambda module: _patch("local_mode").connect_builder(module),
    "sagemaker.train.model_trainer": lambda module: _patch("local_mode").connect_trainer(module),
    "sagemaker.core.common_utils": lambda module: _patch("pauses").shorten_wait_until(module),
    "sagemaker.core.helper.session_helper": _shorten_job_logs,
    "sagemaker.core.processing": _shorten_job_logs,
    "sagemaker.core.resources": _shorten,
    "sagemaker.core.transformer": _shorten_job_logs,
}


class _Loader:
    """Another loader, with something to do once the module is there."""

    def __init__(self, loader: Any, name: str) -> None:
        self._loader = loader
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: Any) -> None:
        # Before it runs: inspect, pkgutil and importlib.reload ask for the loader.
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        # Now, not when it was looked for: a program may only ask whether it is there (importlib.util.find_spec).
        then = _AFTER.pop(self._name, None)
        # Every import of the program asks each finder; one that has nothing left to find goes.
        if not _AFTER and _Finder in sys.meta_path:
            sys.meta_path.remove(_Finder)
        if then is not None:
            then(module)


class _Finder:
    """Finds what other finders find, and wraps the loaders of the modules in ``_AFTER``."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        if name not in _AFTER:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None and finder is not _Finder else None
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, name)
                return spec
        return None


def _install() -> None:
    for name in list(_AFTER):
        if name in sys.modules:
            _AFTER.pop(name)(sys.modules[name])
    if _AFTER:
        sys.meta_path.insert(0, _Finder)


def _chain() -> None:
    """Run the ``sitecustomize`` that this one stands before, if there is one; it takes our place in sys.modules."""
    finder = next((finder for finder in sys.meta_path if getattr(finder, "__name__", "") == "PathFinder"), None)
    folders = [os.path.abspath(folder) for folder in sys.path]
    if finder is None or _FOLDER not in folders:
        return
    spec = finder.find_spec("sitecustomize", sys.path[folders.index(_FOLDER) + 1 :])
    if spec is None or spec.loader is None:
        return
    from importlib.util import module_from_spec

    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


if os.environ.get("CLARY_ENDPOINT"):
    _install()
_chain()
