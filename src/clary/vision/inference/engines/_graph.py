"""The ONNX graph of a model folder, looked at before an engine opens it."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from clary.errors import ArtifactError
from clary.vision.base.protobuf import fields

__all__ = ["graph"]

# The messages of onnx.proto in which tensors lie, and the fields that lead there.
Fields: TypeAlias = Mapping[int, str]
_MESSAGES: Mapping[str, Fields] = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a Tensor: which file its numbers are in, and that they are in one


def graph(folder: Path) -> Path:
    """The ONNX graph of a model folder.

    Raises ArtifactError when there is none, and for one that keeps numbers in other files: a stranger's graph could
    name any file of this machine, and engines differ in which they follow.
    """
    path = folder / "model.onnx"
    if not path.is_file():
        raise ArtifactError(
            "`model.onnx` is missing", where=folder, hint="use --engine torch or export the model again"
        )
    if path.stat().st_size and _names_other_files(path):
        what = "keeps weights in other files, whose names could be those of any file here"
        raise ArtifactError(what, where=path, hint="export the model again, in one file")
    return path


def _names_other_files(path: Path) -> bool:
    # Mapped: of weights, which are nearly all of a graph, only the headers are looked at.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        left = [("Model", memoryview(data))]
        try:
            # A list, not recursion: graphs in graphs may be as deep as a stranger likes.
            while left:
                kind, message = left.pop()
                for number, value in fields(message):
                    if kind == "Tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value == 1)):
                        return True
                    if (inner := _MESSAGES[kind].get(number)) and isinstance(value, memoryview):
                        left.append((inner, value))
        # No graph at all: the engine's to say.
        except ValueError:
            return False
        finally:
            # Else the file cannot be unmapped.
            value = message = memoryview(b"")
            left.clear()
    return False
