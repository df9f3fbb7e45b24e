"""Train the U-Net, measure it on pictures it has not seen, and save it for TensorFlow Serving."""

import os

import keras
import numpy as np
import tensorflow as tf

from process import CLASSES, normalize


def fit(model, training, validation, epochs, learning_rate):
    """Train ``model``; the record of its epochs, a list a metric."""
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * len(training))
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.MeanIoU(len(CLASSES), sparse_y_pred=False, name="mean_iou")],
    )
    # A line an epoch: a log has no use for bars.
    return model.fit(training, validation_data=validation, epochs=epochs, verbose=2).history


def overlaps(model, dataset):
    """Intersection over union of each class, over all pixels of ``dataset``."""
    counts = np.zeros((len(CLASSES), len(CLASSES)), np.int64)  # by true and by predicted class
    for pictures, masks in dataset:
        predicted = np.argmax(model.predict_on_batch(pictures), axis=-1)
        np.add.at(counts, (masks.numpy().ravel(), predicted.ravel()), 1)
    both = counts.diagonal()
    return both / np.maximum(counts.sum(axis=0) + counts.sum(axis=1) - both, 1)


def save(model, folder):
    """Write ``model`` as ``folder/1/saved_model.pb``: it is asked with pictures of its size, values from 0 to 255, and
    answers with a probability for each class and pixel.
    """
    _, size, _, channels = model.input_shape

    def serve(pictures):
        return tf.nn.softmax(model(normalize(pictures), training=False))

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, [tf.TensorSpec((None, size, size, channels), tf.float32, name="pictures")])
    keras.utils.disable_interactive_logging()  # or it prints a line for each of hundreds of variables
    archive.write_out(os.path.join(folder, "1"))
