"""Files of Keras, which TensorFlow Serving does not read: loaded, and exported as a SavedModel."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

from clary.errors import CustomerError
from clary.toolkit.serving.tensorflow.saved_model import tensorflow

__all__ = ["export"]


def export(file: Path, folder: Path) -> None:
    """Write the model of a ``.keras`` or ``.h5`` file into ``folder``, with the signature ``serving_default``.

    With Keras 2 where it is there and can read it, which is for images of its time; else with Keras 3. Raises
    CustomerError for a file of weights alone, and for one that cannot be read.
    """
    tf = tensorflow()
    model = _read(file)
    if hasattr(model, "export"):
        model.export(str(folder), verbose=False) if _takes_verbose(model) else model.export(str(folder))
    else:
        tf.saved_model.save(model, str(folder))


def _read(file: Path) -> Any:
    names = [name for name in ("tf_keras", "keras") if find_spec(name)]
    for name in names:
        keras = import_module(name)
        try:
            return keras.models.load_model(str(file), compile=False)
        except Exception as error:
            if name != names[-1]:
                continue
            said = str(error).strip().partition("\n")[0][:300] or type(error).__name__
            if "No model config found" in said or "model_config" in said:
                what, hint = "holds weights without a model", "save the whole: model.save(...), or model.export(...)"
            else:
                what = f"cannot be read by Keras {keras.__version__}: {said}"
                hint = "save a SavedModel (model.export), or ask for the framework_version that it was saved with"
            raise CustomerError(what, where=file.name, hint=hint) from error
    raise CustomerError("needs Keras", where=file.name, hint="add the line `keras` to code/requirements.txt")


def _takes_verbose(model: object) -> bool:
    """Keras 3's tells what it exports unless told not to; Keras 2's has no such argument."""
    return "verbose" in signature(model.export).parameters  # type: ignore[attr-defined]
