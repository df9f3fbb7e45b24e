"""A trained network becomes a model folder: weights, portable graph, manifest, each engine checked against torch.

    model.safetensors   the state dict: what ``models.build(manifest.network)`` loads
    model.onnx          uint8 RGB ``images`` (N, H, W, 3) to the outputs of its task (``vision.tasks``), any N, and any
                        H and W where pictures are taken as a whole
    manifest.json       written last, so a folder that has one is whole

This module imports torch; nothing that serves imports this module.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np
import safetensors.torch
import torch
from torch import nn

from clary.errors import AlgorithmError
from clary.vision.artifact.agreement import TOLERANCE, difference
from clary.vision.artifact.archive import entry
from clary.vision.artifact.manifest import NAME as MANIFEST
from clary.vision.artifact.manifest import EngineCheck, Manifest
from clary.vision.base.files import write_bytes, write_text

__all__ = ["OPSET", "TOLERANCE", "WEIGHTS", "CheckedEngine", "EngineOpener", "write_model"]

WEIGHTS = "model.safetensors"
GRAPH = "model.onnx"
OPSET = 17


class CheckedEngine(Protocol):
    """What the check asks of an engine."""

    @property
    def precision(self) -> str: ...

    @property
    def version(self) -> str: ...

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]: ...


class EngineOpener(Protocol):
    """A kind of engine: opens model folders. ``precision`` is "auto" or "fp32"."""

    @property
    def name(self) -> str: ...

    def __call__(self, folder: Path, manifest: Manifest, *, precision: str) -> CheckedEngine: ...


# Whether PyTorch exports is one variable for the whole process: two exports on threads of it fail.
_EXPORTING = Lock()


def write_model(
    folder: Path | str,
    network: nn.Module,
    example: np.ndarray,
    manifest: Manifest,
    *,
    engines: Iterable[EngineOpener],
) -> Manifest:
    """Write the model folder and return its manifest, ``engines`` and ``files`` filled in.

    ``network`` takes uint8 (N, H, W, 3), normalises inside, and gives the manifest's outputs, in order; it is left as
    it was. ``example`` is a batch of real pictures as the network takes them. Every engine runs on it, as a batch and
    alone, and on a part of it where pictures may have any size; one whose bf16 outputs differ too much from torch's
    (``artifact.agreement``) is tried in fp32, which serving will then use.

    Raises AlgorithmError naming the engine whose outputs differ too much, UsageError when the disk is full.
    """
    folder = Path(folder)
    network = copy.deepcopy(network).cpu().float().eval()  # fp32 on a CPU is what all engines are held against
    # Clones: safetensors takes neither tensors that share memory, as tied weights do, nor channels-last ones.
    plain = {n: v.detach().clone(memory_format=torch.contiguous_format) for n, v in network.state_dict().items()}
    write_bytes(folder / WEIGHTS, safetensors.torch.save(plain))
    _write_graph(folder / GRAPH, network, example, manifest)
    trials = _trials(example, manifest)
    expected = [_outputs(network, images) for images in trials]
    # Side by side: of each, most is importing, reading and compiling on one core.
    with ThreadPoolExecutor(thread_name_prefix="check") as threads:
        found = threads.map(lambda engine: (engine.name, _checked(engine, folder, manifest, trials, expected)), engines)
        checks = dict(found)
    files = {name: entry(folder / name) for name in (GRAPH, WEIGHTS)}
    manifest = replace(manifest, engines=checks, files=files)
    # Last: a folder that has a manifest is whole, wherever a run was killed.
    write_text(folder / MANIFEST, manifest.to_json())
    return manifest


def _write_graph(path: Path, network: nn.Module, example: np.ndarray, manifest: Manifest) -> None:
    """Trace and write the ONNX graph.

    By the TorchScript exporter: it takes 1 s where the one built on torch.export takes 3 (ResNet-18) to 7
    (EfficientNet-Lite0), and folds batch normalisation into convolutions. Its warnings are about its retirement and
    about shapes it takes as fixed, which the check on other batch sizes would find.
    """
    names = [manifest.input.name, *(output.name for output in manifest.outputs)]
    stream = io.BytesIO()
    with _EXPORTING, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.from_numpy(np.ascontiguousarray(example[:1])),),
            stream,  # type: ignore[arg-type]  # this exporter takes streams as well
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes=_open_axes(names, manifest),
            opset_version=OPSET,
            dynamo=False,
        )
    write_bytes(path, stream.getvalue())


def _open_axes(names: Sequence[str], manifest: Manifest) -> dict[str, dict[int, str]]:
    """Axes of input and outputs that have no fixed size: the batch, and of whole pictures height and width."""
    images, *outputs = names
    if not manifest.input.how.any_size:
        return {name: {0: "batch"} for name in names}
    axes = {images: {0: "batch", 1: "height", 2: "width"}}
    return axes | {name: {0: "batch", 2: "height", 3: "width"} for name in outputs}


def _trials(example: np.ndarray, manifest: Manifest) -> list[np.ndarray]:
    """What engines are tried on: a graph with a fixed batch size would fail on the second, one of a fixed size or of
    sizes that divide by the stride on the third."""
    trials = [example, example[:1]]
    if manifest.input.how.any_size:
        # Odd, so that no stride divides it.
        height, width = (max(33, side * 3 // 4 | 1) for side in example.shape[1:3])
        trials.append(example[:1, :height, :width])
    return [np.ascontiguousarray(images) for images in trials]


def _outputs(network: nn.Module, images: np.ndarray) -> tuple[np.ndarray, ...]:
    with torch.inference_mode():
        found = network(torch.from_numpy(images))
    return tuple(one.numpy() for one in (found if isinstance(found, tuple) else (found,)))


def _checked(
    opener: EngineOpener,
    folder: Path,
    manifest: Manifest,
    trials: Sequence[np.ndarray],
    expected: Sequence[tuple[np.ndarray, ...]],
) -> EngineCheck:
    # bf16 first, where the engine takes it for faster; in fp32 outputs must agree, or the graph is wrong.
    for precision in ("auto", "fp32"):
        engine = opener(folder, manifest, precision=precision)
        found = difference(manifest.task, expected, [engine(images) for images in trials])
        fault = found.fault(manifest.task, engine.precision)
        if not fault:
            return EngineCheck(found.largest, "bf16" if engine.precision == "bf16" else "fp32", engine.version)
        if engine.precision == "fp32":
            break
    raise AlgorithmError(
        f"outputs of the engine `{opener.name}` differ from torch's in {engine.precision} ({fault})",
        where=folder / GRAPH,
        hint="the graph was exported wrongly: try another network",
    )
