"""SavedModels of every kind that the tests ask; made inside TensorFlow's own process (``host.py``)."""

# mypy: ignore-errors
# TensorFlow is in an environment of its own, which the checker does not see.

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def half_plus_two(folder: Path) -> None:
    """TensorFlow Serving's own example: y = x / 2 + 2."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def predict(self, x):
            return {"y": x / 2 + 2}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures=model.predict)


def half_plus_three(folder: Path) -> None:
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def predict(self, x):
            return {"y": x / 2 + 3}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures=model.predict)


def two_inputs(folder: Path) -> None:
    """``serving_default``: a, b -> product, sum; ``difference``: a, b -> difference; ``total`` has no rows."""
    import tensorflow as tf

    pair = [tf.TensorSpec([None, 2], tf.float32, name=name) for name in "ab"]

    class Model(tf.Module):
        @tf.function(input_signature=pair)
        def both(self, a, b):
            return {"sum": a + b, "product": a * b}

        @tf.function(input_signature=pair)
        def difference(self, a, b):
            return {"difference": a - b}

        @tf.function(input_signature=pair)
        def total(self, a, b):
            return {"total": tf.reduce_sum(a + b)}

    model = Model()
    signatures = {"serving_default": model.both, "difference": model.difference, "total": model.total}
    tf.saved_model.save(model, str(folder), signatures=signatures)


def types(folder: Path) -> None:
    """Every type that JSON has, given back one larger; strings doubled."""
    import tensorflow as tf

    names = ("int8", "uint8", "int16", "int32", "int64", "uint32", "uint64", "float16", "float32", "float64")
    specs = [tf.TensorSpec([None], getattr(tf, name), name=f"{name}_") for name in names]
    specs += [tf.TensorSpec([None], tf.bool, name="bool_"), tf.TensorSpec([None], tf.string, name="string_")]

    class Model(tf.Module):
        @tf.function(input_signature=specs)
        def predict(self, *given):
            made = {name: value + tf.cast(1, value.dtype) for name, value in zip(names, given, strict=False)}
            return made | {"bool": tf.logical_not(given[-2]), "string": tf.strings.join([given[-1], given[-1]])}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures=model.predict)


def pictures(folder: Path) -> None:
    """As classifiers of encoded pictures have it: bytes in, a class, bytes and probabilities out."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def predict(self, image_bytes):
            length = tf.strings.length(image_bytes)
            text = tf.strings.as_string(length)
            return {"classes": text, "copy_bytes": image_bytes, "length": length}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures=model.predict)


def logarithm(folder: Path) -> None:
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def predict(self, x):
            return {"y": tf.math.log(x)}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures=model.predict)


def of_version_1(folder: Path) -> None:
    """As TensorFlow 1.15 wrote it: reference variables, and signatures to classify and to regress."""
    import tensorflow as tf
    import tensorflow.compat.v1 as tf1

    saved_model = tf1.saved_model
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, 3], name="x")
        weights = tf1.get_variable("w", initializer=[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], use_resource=False)
        y = tf.matmul(x, weights, name="y")
        serialized = tf1.placeholder(tf.string, [None], name="tf_example")
        parsed = tf1.parse_example(serialized, {"x": tf1.FixedLenFeature([3], tf.float32)})
        scores = tf.matmul(parsed["x"], weights)
        labels = tf.tile([["cat", "dog"]], [tf.shape(scores)[0], 1])
        session.run(tf1.global_variables_initializer())
        utils = saved_model.signature_def_utils
        builder = saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            [saved_model.tag_constants.SERVING],
            signature_def_map={
                "serving_default": utils.predict_signature_def({"inputs": x}, {"scores": y}),
                "classify": utils.classification_signature_def(serialized, labels, scores),
                "regress": utils.regression_signature_def(serialized, scores[:, 0]),
            },
        )
        builder.save()


def _network() -> Any:
    import tensorflow as tf

    layers = [tf.keras.layers.Input((2,)), tf.keras.layers.Dense(1, kernel_initializer="ones", name="dense")]
    return tf.keras.Sequential(layers)


def keras_export(folder: Path) -> None:
    model = _network()
    if hasattr(model, "export"):
        model.export(str(folder))
    else:
        model.save(str(folder))


def keras_frozen(folder: Path) -> None:
    """As programs of transfer learning end: a frozen network in a trained one, with augmentation, in a tf.function."""
    import tensorflow as tf

    inner = tf.keras.Input((2,))
    base = tf.keras.Model(inner, tf.keras.layers.BatchNormalization(epsilon=0.0)(inner), name="base")
    base.trainable = False
    gamma_beta_mean_variance = ([1.0, 1.0], [0.0, 0.0], [1.0, 2.0], [1.0, 4.0])
    base.layers[-1].set_weights(list(map(np.array, gamma_beta_mean_variance)))
    outer = tf.keras.Input((2,))
    rows = tf.keras.layers.Dropout(0.5)(base(tf.keras.layers.GaussianNoise(0.1)(outer), training=False))
    model = tf.keras.Model(outer, tf.keras.layers.Dense(1, kernel_initializer="ones")(rows))
    model.compile("adam", "mse")

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def serve(x):
        return {"y": model(x, training=False)}

    tf.saved_model.save(model, str(folder), signatures={"serving_default": serve})


def keras_file(folder: Path) -> None:
    folder.mkdir(parents=True)
    _network().save(str(folder / "net.keras"))


def keras_h5(folder: Path) -> None:
    folder.mkdir(parents=True)
    _network().save(str(folder / "net.h5"))


def keras_weights(folder: Path) -> None:
    folder.mkdir(parents=True)
    _network().save_weights(str(folder / "net.weights.h5"))
