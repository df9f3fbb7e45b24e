"""The context that users' functions may take as one more argument, as TorchServe and MMS hand it to them.

Source: TorchServe 0.9, ts/context.py; multi-model-server 1.1, mms/context.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clary.toolkit.serving.service import Request

__all__ = ["Context"]


class Context:
    """What a function may ask of the model and of the call that it is called for, and what it may say of the answer.

    One object for all calls, which are made one after another; ``begin`` makes it the next call's.
    """

    def __init__(self, model_dir: Path) -> None:
        self.model_name = "model"
        self.manifest: dict[str, Any] = {"model": {"modelName": self.model_name}}
        self.system_properties: dict[str, Any] = {
            "model_dir": str(model_dir),
            "gpu_id": 0 if Path("/dev/nvidia0").exists() else None,
            "batch_size": 1,
            "server_name": "Clary",
            "server_version": "",
        }
        self.metrics = _Metrics()
        self.begin(Request(b"", "", "", "", {}))

    def begin(self, request: Request) -> None:
        """Forget the call before."""
        self.request_processor = [_RequestProcessor(request.headers)]
        self.request_ids = {0: request.headers.get("x-amzn-sagemaker-inference-id", "")}
        self.response_headers: dict[str, str] = {}
        self.status = 0  # 0: as it comes

    def get_request_id(self, idx: int = 0) -> str:
        return self.request_ids[idx]

    def get_request_header(self, idx: int, key: str) -> str | None:
        return self.request_processor[idx].get_request_property(key)

    def get_all_request_header(self, idx: int) -> Mapping[str, str]:
        return self.request_processor[idx].get_request_properties()

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.set_response_header(idx, "content-type", value)

    def get_response_content_type(self, idx: int) -> str | None:
        return self.response_headers.get("content-type")

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        self.response_headers[key.lower()] = value

    def get_response_headers(self, idx: int) -> Mapping[str, str]:
        return self.response_headers

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.status = code

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        self.status = code


class _Headers(dict[str, str]):
    """Headers of one call, by their usual names; looked up in any case."""

    def __init__(self, headers: Iterable[tuple[str, str]]) -> None:
        super().__init__((name.title(), value) for name, value in headers)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.title())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).title())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.title(), default)


class _RequestProcessor:
    """MMS's own object of a call, which older scripts ask."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._given = headers
        self._headers: _Headers | None = None

    def get_request_properties(self) -> Mapping[str, str]:
        if self._headers is None:
            self._headers = _Headers(self._given.items())
        return self._headers

    def get_request_property(self, key: str) -> str | None:
        return self._given.get(key.lower())


class _Metrics:
    """Takes any metric (``add_time``, ``add_counter``) and keeps none: there is no model server that collected them."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None
