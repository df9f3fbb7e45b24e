"""A SavedModel of any TensorFlow since 1.0, loaded into a session of its own, as TensorFlow Serving does."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clary.toolkit.serving.tensorflow.status import HTTP_STATUSES, StatusError, invalid
from clary.toolkit.serving.tensorflow.tensors import TensorInfo

__all__ = ["SavedModel", "Signature", "Threads", "tensorflow"]

_TAG = "serve"


@dataclass(frozen=True, slots=True)
class Threads:
    """Threads of one session: inside an operation, and operations at a time; 0: as many as there are cores."""

    intra: int = 0
    inter: int = 0


def tensorflow() -> Any:
    """TensorFlow, whose C++ side says only what is wrong."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    # That the loader of version 1 is old, said once a model.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return tf


class Signature:
    """One way to call a model. ``method`` is its method_name; inputs and outputs are in the order of their names."""

    def __init__(self, session: Any, definition: Any) -> None:
        self._session = session
        self.definition = definition
        self.method: str = definition.method_name
        self.inputs = _infos(definition.inputs)
        self.outputs = _infos(definition.outputs)

    @cached_property
    def _callable(self) -> Any:
        from tensorflow.core.protobuf import config_pb2

        options = config_pb2.CallableOptions()
        options.feed.extend(info.tensor for info in self.inputs.values())
        options.fetch.extend(info.tensor for info in self.outputs.values())
        # And not session.run: that costs 0.2 ms a call, and has its own words for a wrong shape, in the place of the
        # operation's, which TensorFlow Serving hands on.
        return self._session._make_callable_from_options(options)

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name. Any number of threads may call it at once. Raises StatusError."""
        import tensorflow as tf

        try:
            found: Sequence[np.ndarray] = self._callable(*(feeds[name] for name in self.inputs))
        except tf.errors.OpError as error:
            raise StatusError(error.message, HTTP_STATUSES.get(error.error_code, 500)) from None
        return dict(zip(self.outputs, found, strict=True))


class SavedModel:
    """The graph of ``folder`` with its variables. Raises what TensorFlow raises for one that cannot be loaded.

    ``mended``: it is one that TensorFlow Serving loads, and then answers each call with "Could not find variable".
    """

    def __init__(self, folder: Path, threads: Threads) -> None:
        tf = tensorflow()
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=threads.intra, inter_op_parallelism_threads=threads.inter
        )
        graph = tf.Graph()
        with graph.as_default():
            self._session = tf.compat.v1.Session(graph=graph, config=config)
            loaded = tf.compat.v1.saved_model.loader.load(self._session, [_TAG], str(folder))
            self.mended = _fill_from_copies(self._session)
        self.signatures = {
            name: Signature(self._session, definition)
            for name, definition in loaded.signature_def.items()
            if definition.method_name  # not the operation that initializes it
        }

    def signature(self, name: str) -> Signature:
        """Raises StatusError, which names those that there are."""
        if name not in self.signatures:
            there = ", ".join(sorted(self.signatures)) or "none"
            raise invalid(f'Serving signature name: "{name}" not found in signature def; this model has {there}')
        return self.signatures[name]

    def close(self) -> None:
        self._session.close()


def _fill_from_copies(session: Any) -> bool:
    """Give variables that no value was restored for that of their copy; whether there were any.

    tf.saved_model.save of a Keras 3 model writes a copy of each variable, begun with the variable's own value, and
    restores the copies, while the signatures read the variables. Source: Keras, KerasVariable's
    _export_to_saved_model_graph; keras-team/keras#19274, tensorflow/tensorflow#72963.
    """
    from tensorflow import raw_ops

    begun = [one.inputs for one in session.graph.get_operations() if one.type == "AssignVariableOp"]
    pairs = [(copy, value.op.inputs[0], value.dtype) for copy, value in begun if value.op.type == "ReadVariableOp"]
    handles = [(copy, variable) for copy, variable, _ in pairs]
    is_filled = session.run([[raw_ops.VarIsInitializedOp(resource=one) for one in both] for both in handles])
    filling = [
        raw_ops.AssignVariableOp(resource=variable, value=raw_ops.ReadVariableOp(resource=copy, dtype=dtype))
        for (copy, variable, dtype), filled in zip(pairs, is_filled, strict=True)
        if filled == [True, False]
    ]
    session.run(filling)
    return bool(filling)


def _infos(tensors: Mapping[str, Any]) -> dict[str, TensorInfo]:
    import tensorflow as tf

    found = {}
    for name in sorted(tensors):
        type_ = tf.dtypes.as_dtype(tensors[name].dtype)
        found[name] = TensorInfo(tensors[name].name, _TYPE_NAMES.get(type_.name, type_.name), _numpy(type_))
    return found


# TensorFlow's own names of types, where Python has others. Source: types.cc, DataTypeString.
_TYPE_NAMES = {"float32": "float", "float64": "double", "float16": "half"}


def _numpy(type_: Any) -> Any:
    try:
        return np.dtype(type_.as_numpy_dtype)
    except TypeError:  # a resource, a variant
        return None
