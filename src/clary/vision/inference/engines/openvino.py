"""OpenVINO: the fastest on Intel and AMD processors, and on Arm.

One graph with an open batch dimension, and open height and width where a network takes any (ResNet-18 FCN at 240 x 240
then takes 54 ms instead of 52, the first picture of a size twice its time). Measured on ResNet-50, bf16 with AMX, one
thread: a graph compiled for just this batch size is 5 % faster for one picture and 3 % for four, and costs 50 MB for
every size; an open one serves all sizes. Side by side, two streams of one thread do a fifth more than one stream of two
(they never wait for each other), while one call alone takes about half the time with both cores. Hence ``streams``: 1
for a program that predicts, one a core for a server.

The runtime itself sends nothing; what could report (``openvino.tools``) is never imported.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from queue import LifoQueue
from typing import Any

import numpy as np

from clary.errors import ArtifactError
from clary.vision.artifact.manifest import Manifest
from clary.vision.base.cores import cores
from clary.vision.inference.engines._base import Engine
from clary.vision.inference.engines._graph import graph

__all__ = ["ENGINE", "OpenVino"]


@cache
def _core() -> Any:
    """The one runtime of this process, never let go.

    Its CPU plugin gives the loading thread a stack for signal handlers, and takes the memory away when it is unloaded.
    Unloaded by another thread, the first thread's next signal, a Ctrl-C say, ends the process with SIGSEGV.
    """
    import openvino

    return openvino.Core()


class OpenVino(Engine):
    """The graph on OpenVINO's CPU plugin."""

    name = "openvino"
    package = "openvino"
    extra = "serve"

    def _open(self, folder: Path, manifest: Manifest, precision: str) -> None:
        core = _core()
        try:
            compiled = core.compile_model(core.read_model(graph(folder)), "CPU", self._config(manifest, precision))
            # One request a stream; a caller more waits here for its turn.
            self._requests: LifoQueue[Any] = LifoQueue()
            for _ in range(self.streams):
                self._requests.put(compiled.create_infer_request())
            self._require_outputs(folder, (name for output in compiled.outputs for name in output.names))
            self._outputs = [compiled.output(name) for name in self._names]
        # Names that are no UTF-8 fail in its binding, be they in the graph or in what it says of it.
        except (RuntimeError, UnicodeDecodeError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise ArtifactError(f"OpenVINO cannot open the graph ({reason})", where=folder) from error
        self.precision = "bf16" if "bf" in str(compiled.get_property("INFERENCE_PRECISION_HINT")) else "fp32"

    def _config(self, manifest: Manifest, precision: str) -> dict[str, Any]:
        config: dict[str, Any] = {"INFERENCE_NUM_THREADS": cores(), "NUM_STREAMS": self.streams}
        checked = manifest.engines.get(self.name)
        # Left alone OpenVINO takes bf16 where the processor has it; an artifact that was only right in fp32 says so.
        if precision == "fp32" or (checked is not None and checked.precision == "fp32"):
            config["INFERENCE_PRECISION_HINT"] = "f32"
        return config

    def _run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        request = self._requests.get()
        try:
            # Outputs are copies: the request goes on to others.
            found = request.infer([images], share_inputs=True)
        finally:
            self._requests.put(request)
        return tuple(found[output] for output in self._outputs)


ENGINE = OpenVino
