"""Eager PyTorch in fp32: the reference the others are checked against. Rebuilds the network from the manifest."""

from __future__ import annotations

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
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            from clary.vision.models import build
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                f"the engine `torch` needs {error.name}", hint=f'pip install "clary[{self.extra}]"'
            ) from error
        weights = folder / "model.safetensors"
        try:
            # From its description, never from code in the artifact.
            network = build(manifest.network)
            network.load_state_dict(load_file(weights))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"the network cannot be rebuilt ({error!r})", where=folder) from error
        except (RuntimeError, SafetensorError, OSError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ArtifactError(f"the weights do not fit the network ({reason})", where=weights) from error
        self._network = network.eval()
        self.precision = "fp32"

    def _run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        import torch

        with torch.inference_mode():
            # torch warns of arrays that cannot be written to; W copies those only.
            found = self._network(torch.from_numpy(np.require(images, requirements="W")))
        return tuple(np.asarray(one) for one in (found if isinstance(found, tuple) else (found,)))


ENGINE = Torch
