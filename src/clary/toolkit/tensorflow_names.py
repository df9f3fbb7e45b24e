"""What scripts of TensorFlow 1 and of Keras 2 call, and is gone: by the error it ends in, what to write instead.

For the note of a script that failed (``toolkit.failure``). Tried against TensorFlow 2.21, Keras 3.15 and tf_keras 2.21.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["way_out"]

_KERAS_2 = "or ask for a framework_version before 2.16, whose scripts get Keras 2 as tf.keras"

# Of the module tensorflow, where another than tf.compat.v1 has it now.
_MOVED = {
    "app": "use argparse in the place of tf.app.flags and tf.app.run",
    "ceil": "write tf.math.ceil",
    "contrib": "tf.contrib went with TensorFlow 1: its parts are in Keras, tf_slim or TensorFlow Addons, or nowhere",
    "estimator": "tf.estimator went with TensorFlow 2.16: write the model in Keras",
    "examples": "tensorflow.examples went with TensorFlow 1: tf.keras.datasets.mnist has the same data",
    "gfile": "write tf.io.gfile",
    "image.resize_images": "write tf.image.resize",
    "layers": "write tf.keras.layers",
    "log": "write tf.math.log",
    "losses": "write tf.keras.losses",
    "logging": "write tf.get_logger(), or Python's logging",
    "python_io": "write tf.io.TFRecordWriter, and tf.data.TFRecordDataset to read",
    "random_normal": "write tf.random.normal",
    "random_uniform": "write tf.random.uniform",
    "set_random_seed": "write tf.random.set_seed",
    "to_float": "write tf.cast(x, tf.float32)",
    "to_int32": "write tf.cast(x, tf.int32)",
    "truncated_normal": "write tf.random.truncated_normal",
}
_SESSIONS = "sessions went with TensorFlow 1: leave the line out, or take it from tf.compat.v1.keras.backend"
_KERAS_NAMES = {
    "get_session": _SESSIONS,
    "multi_gpu_model": "use tf.distribute.MirroredStrategy in the place of multi_gpu_model",
    "set_session": _SESSIONS,
}
_ATTRIBUTE = re.compile(r"module '(tensorflow[\w.]*|keras[\w.]*|tf_keras[\w.]*)' has no attribute '(\w+)'")
_NAME = re.compile(r"cannot import name '(\w+)' from '((?:tensorflow|keras|tf_keras)[\w.]*)'")
_MODULE = re.compile(r"No module named '((?:tensorflow|keras)\.[\w.]+)'")

# What an error says of an argument, a method or a file; and the way out.
_SAID = (
    (r"Invalid filepath extension for saving", f"Keras 3 writes a SavedModel by model.export(folder); {_KERAS_2}"),
    (r"[Aa]rgument\(s\) not recognized: \{'lr'", "write learning_rate in the place of lr"),
    (r"decay is deprecated in the new Keras optimizer", "take it from tf.keras.optimizers.legacy, or give a schedule"),
    (r"has no attribute 'fit_generator'", "write fit: it takes generators as well"),
    (r"has no attribute 'predict_generator'", "write predict: it takes generators as well"),
    (r"has no attribute 'evaluate_generator'", "write evaluate: it takes generators as well"),
    (r"has no attribute 'predict_classes'", "write model.predict(x).argmax(axis=-1)"),
    (r"^KeyError: '(?:val_)?acc'$", "the metric is called accuracy and val_accuracy since Keras 2.3"),
    (r"got an unexpected keyword argument '(?:use_multiprocessing|workers|max_queue_size)'",
     f"in Keras 3 the data set's constructor has it; {_KERAS_2}"),
    (r"is not (?:compatible|supported) (?:with|when) eager execution",
     "call tf.compat.v1.disable_eager_execution() at the start"),
    (r"File system scheme 's3' not implemented",
     "TensorFlow knows s3:// by tensorflow-io alone: write to os.environ['SM_MODEL_DIR'], or to /opt/ml/checkpoints, "
     "and the platform takes it to S3"),
)  # fmt: skip


def way_out(message: str) -> str:
    """What to write instead, for an error of a script; empty where it is none of these. One line."""
    return next(_ways(message), "")


def _ways(message: str) -> Iterator[str]:
    for pattern, way in _SAID:
        if re.search(pattern, message):
            yield way
    if found := _ATTRIBUTE.search(message):
        yield _of_name(found[1], found[2])
    if found := _NAME.search(message):
        yield _of_name(found[2], found[1])
    if found := _MODULE.search(message):
        package, _, name = found[1].partition(".")
        yield _of_name(package, name.partition(".")[0] if package == "tensorflow" else name)


def _of_name(module: str, name: str) -> str:
    package = module.partition(".")[0]
    if name in _KERAS_NAMES:
        return _KERAS_NAMES[name]
    if package == "keras" and "_tf_keras" not in module:
        return f"{module}.{name} is not in Keras 3: take it from tensorflow.keras, where that has it; {_KERAS_2}"
    if package != "tensorflow" or "keras" in module.split("."):
        which = "a framework_version before 2.16 gets Keras 2 as tf.keras, any other Keras 3"
        return f"tf.keras has no {name} in the Keras of this job: {which}"
    # As the script's author calls it, and not where TensorFlow keeps it.
    parts = [part for part in module.split(".")[1:] if part not in ("_api", "v2")]
    if name in _MOVED and parts in ([], ["compat", "v1"]):
        return _MOVED[name]
    called = ".".join(["tf", *parts, name])
    if parts[:2] == ["compat", "v1"]:
        return f"{called} went with TensorFlow 1"
    return (
        f"{called} is of TensorFlow 1: begin with `import tensorflow.compat.v1 as tf` and tf.disable_v2_behavior(), or "
        "write it anew"
    )
