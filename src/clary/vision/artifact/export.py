"""A trained network becomes a model folder: weights, portable graph, manifest, each engine checked against torch.

    model.safetensors   the state dict: what ``models.build(manifest.network)`` loads
    model.onnx          uint8 RGB ``images`` (N, H, W, 3) to float32 ``scores`` (N, classes), any N
    manifest.json       written last, so a folder that has one is whole

This module imports torch; nothing that serves imports this module.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import safetensors.torch
import torch
from torch import nn

from clary.errors import AlgorithmError
from clary.vision.artifact.archive import entry
from clary.vision.artifact.manifest import NAME as MANIFEST
from clary.vision.artifact.manifest import EngineCheck, Manifest
from clary.vision.base.files import write_bytes, write_text

__all__ = ["OPSET", "TOLERANCE", "WEIGHTS", "CheckedEngine", "EngineOpener", "write_model"]

WEIGHTS = "model.safetensors"
GRAPH = "model.onnx"
OPSET = 17

# Largest absolute difference of a score from eager torch in fp32. bf16 keeps 8 bits of a number; the scores
# of EfficientNet-Lite0 trained on pets move by 0.005 to 0.012.
TOLERANCE: Mapping[str, float] = {"fp32": 1e-3, "bf16": 0.02}


class CheckedEngine(Protocol):
    """What the check asks of an engine."""

    @property
    def precision(self) -> str: ...

    @property
    def version(self) -> str: ...

    def __call__(self, images: np.ndarray) -> np.ndarray: ...


class EngineOpener(Protocol):
    """A kind of engine: opens model folders. ``precision`` is "auto" or "fp32"."""

    @property
    def name(self) -> str: ...

    def __call__(self, folder: Path, manifest: Manifest, *, precision: str) -> CheckedEngine: ...


def write_model(
    folder: Path | str,
    network: nn.Module,
    example: np.ndarray,
    manifest: Manifest,
    *,
    engines: Iterable[EngineOpener],
) -> Manifest:
    """Write the model folder and return its manifest, ``engines`` and ``files`` filled in.

    ``network`` takes uint8 (N, H, W, 3), normalises inside, and gives scores (N, classes); it is left as it was.
    ``example`` is a batch of real pictures as the network takes them. Every engine runs on it, as a batch and alone;
    one whose bf16 scores differ too much from torch's is tried in fp32, which serving will then use.

    Raises AlgorithmError naming the engine whose scores differ too much, UsageError when the disk is full.
    """
    folder = Path(folder)
    network = copy.deepcopy(network).cpu().float().eval()
    _write_weights(folder / WEIGHTS, network)
    _write_graph(folder / GRAPH, network, example, manifest)
    expected = _expected(network, example)
    checks = {engine.name: _checked(engine, folder, manifest, example, expected) for engine in engines}
    files = {name: entry(folder / name) for name in (GRAPH, WEIGHTS)}
    manifest = replace(manifest, engines=checks, files=files)
    write_text(folder / MANIFEST, manifest.to_json())
    return manifest


def _write_weights(path: Path, network: nn.Module) -> None:
    state = network.state_dict()
    plain = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in state.items()}
    write_bytes(path, safetensors.torch.save(plain))


def _write_graph(path: Path, network: nn.Module, example: np.ndarray, manifest: Manifest) -> None:
    """Trace and write the ONNX graph.

    By the TorchScript exporter: it takes 1 s where the one built on torch.export takes 3 (ResNet-18) to 7
    (EfficientNet-Lite0), and folds batch normalisation into convolutions. Its warnings are about its retirement and
    about shapes it takes as fixed, which the check on other batch sizes would find.
    """
    names = (manifest.input.name, manifest.outputs[0].name)
    stream = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.from_numpy(np.ascontiguousarray(example[:1])),),
            stream,  # type: ignore[arg-type]  # this exporter takes streams as well
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "batch"} for name in names},
            opset_version=OPSET,
            dynamo=False,
        )
    write_bytes(path, stream.getvalue())


def _expected(network: nn.Module, example: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        scores = network(torch.from_numpy(np.ascontiguousarray(example)))
    return cast(np.ndarray, scores.numpy())


def _checked(
    opener: EngineOpener, folder: Path, manifest: Manifest, example: np.ndarray, expected: np.ndarray
) -> EngineCheck:
    for precision in ("auto", "fp32"):
        engine = opener(folder, manifest, precision=precision)
        difference = _largest_difference(engine, example, expected)
        if difference <= TOLERANCE[engine.precision]:
            return EngineCheck(difference, "bf16" if engine.precision == "bf16" else "fp32", engine.version)
        if engine.precision == "fp32":
            break
    raise AlgorithmError(
        f"scores of the engine `{opener.name}` differ by {difference:.2g} from torch's in {engine.precision}",
        where=folder / GRAPH,
        mend="the graph was exported wrongly: try another network",
    )


def _largest_difference(engine: CheckedEngine, example: np.ndarray, expected: np.ndarray) -> float:
    """Over the whole batch, and over its first picture alone: a graph with a fixed batch size would fail there."""
    both = [np.abs(engine(example[:n]) - expected[:n]).max() for n in (len(example), 1)]
    return float(max(both)) if np.isfinite(both).all() else float("inf")
