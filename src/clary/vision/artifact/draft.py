"""Weights that training keeps of its best epoch, with all that is needed to make them a model: a file ``*.params``.

A run may be stopped or killed before it has written its model; such a file is then what is left, and an archive of it
can be made whole anywhere (``vision.inference.finishing``). It is a safetensors file: the tensors of the part of the
network that is trained, and as metadata which part that is, the manifest, and the pictures on which engines are
compared (PNG, in base 64).
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open

from clary.errors import ArtifactError, ImageError
from clary.vision.artifact.manifest import Manifest
from clary.vision.base import decoding

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SUFFIX", "Draft", "find_draft"]

SUFFIX = ".params"  # the original's, of the files in which it keeps weights
VERSION = 1
_NOTE = "clary.draft"


@dataclass(frozen=True, slots=True)
class Draft:
    """A file of weights that can become a model. ``part`` is the attribute of the network that they belong to."""

    path: Path
    part: str
    manifest: Manifest
    pictures: tuple[str, ...]

    def weights(self) -> dict[str, Tensor]:
        """The tensors. Loads torch."""
        with safe_open(self.path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict

    def examples(self) -> np.ndarray:
        """A batch of pictures, uint8 (N, H, W, 3). Raises ArtifactError for what are none."""
        try:
            return np.stack([decoding.decode(base64.b64decode(text)) for text in self.pictures])
        # Of a stranger: no picture, one that is too large, none at all, or of several sizes.
        except (ImageError, ValueError) as error:
            what = f"the pictures in it cannot be used ({error.what if isinstance(error, ImageError) else error})"
            raise ArtifactError(what, where=self.path, hint="train it again") from error

    @staticmethod
    def encode(state: Mapping[str, Tensor], part: str, manifest: Manifest, examples: np.ndarray) -> bytes:
        """The bytes of such a file."""
        from safetensors.torch import save

        # Contiguous: safetensors refuses channels-last tensors, which is how networks are trained on processors.
        plain = {name: value.detach().cpu().contiguous() for name, value in state.items()}
        pictures = [_png(one) for one in examples]
        note = {"version": VERSION, "part": part, "manifest": manifest.to_json(), "pictures": pictures}
        return save(plain, {_NOTE: json.dumps(note)})


def find_draft(folder: Path) -> Draft | None:
    """The newest draft in ``folder``; None where no file is one. Loads no tensor library.

    Raises ArtifactError for one that a newer release wrote.
    """
    found = [draft for path in sorted(folder.glob(f"*{SUFFIX}")) if (draft := _read(path))]
    return max(found, key=lambda draft: draft.path.stat().st_mtime_ns, default=None)


def _read(path: Path) -> Draft | None:
    """None for a file of another kind: MXNet's files have this suffix too."""
    try:
        with safe_open(path, framework="np") as file:
            note = json.loads((file.metadata() or {})[_NOTE])
        if note["version"] > VERSION:
            what = f"has version {note['version']}, this clary reads up to {VERSION}"
            raise ArtifactError(what, where=path, hint="update clary")
        manifest = Manifest.from_json(note["manifest"], where=path)
        return Draft(path, str(note["part"]), manifest, tuple(map(str, note["pictures"])))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None


def _png(pixels: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return base64.b64encode(stream.getvalue()).decode()
