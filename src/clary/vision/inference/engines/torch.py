"""Eager PyTorch in fp32: the reference the others are checked against. Rebuilds the network from the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from clary.errors import ArtifactError, MissingPackageError
from clary.vision.artifact.manifest import Manifest
from clary.vision.inference.engines._base import Engine

__all__ = ["ENGINE", "Torch"]


class Torch(Engine):
    """``models.build`` with the weights of ``model.safetensors``, on CPU."""

    name = "torch"
    package = "torch"
    extra = "train"

    def _open(self, folder: Path, manifest: Manifest, precision: str) -> None:
        try:
            import torch
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            from clary.vision.models import build
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                f"the engine `torch` needs {error.name}", hint=f'pip install "clary[{self.extra}]"'
            ) from error
        weights = folder / "model.safetensors"
        try:
            state = load_file(weights)
        except (SafetensorError, OSError) as error:
            raise ArtifactError(f"the weights cannot be read ({_first_line(error)})", where=weights) from error
        try:
            # From its description, never from code in the artifact. First without memory: the description of a network
            # of terabytes is as short as any.
            with torch.device("meta"):
                shapes = {name: tensor.shape for name, tensor in build(manifest.network).state_dict().items()}
            _require_fit(shapes, {name: tensor.shape for name, tensor in state.items()}, weights)
            network = build(manifest.network)
        except ArtifactError:
            raise
        except Exception as error:  # of any kind: what stands in a stranger's description goes to many a constructor
            raise ArtifactError(
                f"the network cannot be rebuilt ({_first_line(error)})", where=folder, hint="export the model again"
            ) from error
        network.load_state_dict(state)
        self._network = network.eval()
        self.precision = "fp32"

    def _run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        import torch

        with torch.inference_mode():
            # torch warns of arrays that cannot be written to; W copies those only.
            found = self._network(torch.from_numpy(np.require(images, requirements="W")))
        return tuple(np.asarray(one) for one in (found if isinstance(found, tuple) else (found,)))


def _require_fit(wanted: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]], weights: Path) -> None:
    """Raises ArtifactError for weights of another network."""
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            here, there = (_shape(shapes.get(name)) for shapes in (wanted, found))
            what = f"the weights do not fit the network (`{name}` is {there}, the network's is {here})"
            raise ArtifactError(what, where=weights, hint="export the model again")


def _shape(sides: Sequence[int] | None) -> str:
    return "missing" if sides is None else " x ".join(map(str, sides)) or "a number"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


ENGINE = Torch
