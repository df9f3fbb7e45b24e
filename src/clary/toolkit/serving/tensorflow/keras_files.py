"""Files of Keras, which TensorFlow Serving does not read: loaded, and exported as a SavedModel."""

from __future__ import annotations

from pathlib import Path

from clary.errors import CustomerError
from clary.toolkit.serving.tensorflow.saved_model import tensorflow

__all__ = ["export"]


def export(file: Path, folder: Path) -> None:
    """Write the model of a ``.keras`` or ``.h5`` file into ``folder``, with the signature ``serving_default``.

    With Keras 3, or 2 where TF_USE_LEGACY_KERAS says so. Raises CustomerError for a file of weights alone, and for one
    that this Keras cannot read.
    """
    tf = tensorflow()
    try:
        model = tf.keras.models.load_model(str(file), compile=False)
    except Exception as error:
        said = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        if "No model config found" in said or "model_config" in said:
            what, hint = "holds weights without a model", "save the whole: model.save(...), or model.export(...)"
        else:
            what = f"cannot be read by Keras {tf.keras.__version__}: {said}"
            hint = "save a SavedModel (model.export), or ask for the framework_version that it was saved with"
        raise CustomerError(what, where=file.name, hint=hint) from error
    if hasattr(model, "export"):
        model.export(str(folder), verbose=False) if _takes_verbose(model) else model.export(str(folder))
    else:
        tf.saved_model.save(model, str(folder))


def _takes_verbose(model: object) -> bool:
    """Keras 3's tells what it exports unless told not to; Keras 2's has no such argument."""
    from inspect import signature

    return "verbose" in signature(model.export).parameters  # type: ignore[attr-defined]
