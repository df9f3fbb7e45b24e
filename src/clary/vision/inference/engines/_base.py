"""What runs a graph: the promise every engine keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from clary.errors import ArtifactError, MissingPackageError
from clary.vision.artifact.manifest import Manifest

__all__ = ["Engine", "Precision"]

Precision = Literal["fp32", "bf16"]

WARM = (64, 64)  # pixels of the first picture where a network takes any size


class Engine(ABC):
    """A model, loaded and ready. Made from a model folder and its manifest; called with pictures.

    ``streams`` is how many calls run side by side, each on its share of the cores: 1 gives one call all of them.
    ``precision`` "auto" is what the artifact was checked with, and bf16 only where the processor has it.

    Calls may come from any thread. Nothing is written, nothing is fetched, nothing is reported to anyone. One black
    picture is run at once: a graph that takes other pictures than the manifest says raises ArtifactError here.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    extra: ClassVar[str]

    precision: Precision
    version: str
    outputs: tuple[np.ndarray, ...]  # of the picture tried out

    def __init__(self, folder: Path, manifest: Manifest, *, streams: int = 1, precision: str = "auto") -> None:
        self.require()
        self.streams = streams
        self.version = _version(self.package)
        how = manifest.input.how
        # Checked here, so that all engines refuse alike.
        self._sides = None if how.any_size else (how.height, how.width)
        self._names = [output.name for output in manifest.outputs]
        self._open(folder, manifest, precision)
        self._try_out(folder)

    def __str__(self) -> str:
        return f"{self.name} in {self.precision}"

    @classmethod
    def installed(cls) -> bool:
        """Whether the package is there; it is not imported."""
        return find_spec(cls.package) is not None

    @classmethod
    def require(cls) -> None:
        """Raises MissingPackageError naming the extra that brings the package."""
        if not cls.installed():
            raise MissingPackageError(
                f"the engine `{cls.name}` is not installed", hint=f'pip install "clary[{cls.extra}]"'
            )

    @abstractmethod
    def _open(self, folder: Path, manifest: Manifest, precision: str) -> None:
        """Load the model and set ``precision``. Raises ArtifactError when the engine does not take it."""

    @abstractmethod
    def _run(self, images: np.ndarray) -> tuple[np.ndarray, ...]: ...

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """The outputs the manifest names, in its order, each float32 (N, ...), of uint8 RGB pictures (N, H, W, 3).

        N, H and W are at least 1. Raises ValueError for another shape or type.
        """
        fits = images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3 and images.size
        if not fits or (self._sides is not None and images.shape[1:3] != self._sides):
            height, width = self._sides or ("H", "W")
            raise ValueError(f"pictures are {images.dtype} {images.shape}, not uint8 (N, {height}, {width}, 3)")
        # Views (mirrored, cut) are fine for numpy; engines read memory from front to back.
        return self._run(np.ascontiguousarray(images))

    def _try_out(self, folder: Path) -> None:
        # Of a size the manifest allows; now, since the parts of an artifact may be of different exports, and so that no
        # call is the first: OpenVINO's binding deadlocks when the first two of a process come from two threads at once.
        try:
            self.outputs = self._run(np.zeros((1, *(self._sides or WARM), 3), np.uint8))
        except Exception as error:  # of engines, which raise classes of their own
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ArtifactError(
                f"the network cannot be run on a picture as the manifest has it ({lines[-1][-200:]})",
                where=folder,
                hint="export the model again",
            ) from error

    def _require_outputs(self, folder: Path, there: Iterable[str]) -> None:
        """Raises ArtifactError for a graph that lacks an output the manifest names."""
        names = set(there)
        missing = [name for name in self._names if name not in names]
        if missing:
            raise ArtifactError(f"the graph has no output `{missing[0]}`", where=folder, hint="export the model again")


def _version(package: str) -> str:
    """The release of a package, or nothing when it came by another way than a distribution of its own name."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
