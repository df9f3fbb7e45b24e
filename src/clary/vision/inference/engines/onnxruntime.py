"""ONNX Runtime: runs wherever Python does; fp32 on CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from clary.errors import ArtifactError
from clary.vision.artifact.manifest import Manifest
from clary.vision.base.cores import cores
from clary.vision.inference.engines._base import Engine
from clary.vision.inference.engines._graph import graph

__all__ = ["ENGINE", "OnnxRuntime"]


class OnnxRuntime(Engine):
    """The graph on ONNX Runtime's CPU provider."""

    name = "onnxruntime"
    package = "onnxruntime"
    extra = "serve"

    def _open(self, folder: Path, manifest: Manifest, precision: str) -> None:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        # Builds for Windows report otherwise; elsewhere the call does nothing.
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        # A session takes all cores for every call unless told: calls side by side would push each other off them.
        options.intra_op_num_threads = max(1, cores() // self.streams)
        # Errors.
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                graph(folder),
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # it would print to standard output and try the same again
            )
            self._require_outputs(folder, (output.name for output in self._session.get_outputs()))
        except _refusals(state) as error:
            reason = str(error).strip().splitlines()[-1]
            raise ArtifactError(f"ONNX Runtime cannot open the graph ({reason})", where=folder) from error
        self.precision = "fp32"
        self._input = manifest.input.name

    def _run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(self._session.run(self._names, {self._input: images}))


def _refusals(state: Any) -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises for a graph it does not take: exceptions without a common class."""
    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
    # Names that are no UTF-8 fail in its binding.
    return (RuntimeError, UnicodeDecodeError, *(getattr(state, name) for name in names))


ENGINE = OnnxRuntime
