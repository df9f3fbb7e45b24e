"""Errors of scripts of earlier TensorFlows: what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from clary.toolkit.failure import extra_info
from clary.toolkit.tensorflow_names import way_out


@pytest.mark.parametrize(
    ("message", "way"),
    [
        (
            "AttributeError: module 'tensorflow' has no attribute 'placeholder'",
            "tf.placeholder is of TensorFlow 1",
        ),
        ("AttributeError: module 'tensorflow' has no attribute 'app'", "use argparse in the place of tf.app.flags"),
        (
            "AttributeError: module 'tensorflow._api.v2.train' has no attribute 'AdamOptimizer'",
            "tf.train.AdamOptimizer",
        ),
        ("ModuleNotFoundError: No module named 'tensorflow.contrib'", "tf.contrib went with TensorFlow 1"),
        ("ModuleNotFoundError: No module named 'keras.layers.core'", "keras.layers.core is not in Keras 3"),
        ("ImportError: cannot import name 'np_utils' from 'keras.utils' (/x.py)", "take it from tensorflow.keras"),
        ("AttributeError: 'Sequential' object has no attribute 'fit_generator'", "write fit"),
        ("KeyError: 'val_acc'", "val_accuracy"),
        ("KeyError: 'accuracy_of_mine'", ""),
        ("ModuleNotFoundError: No module named 'tensorflow_hub'", ""),
        ("ValueError: no pictures", ""),
    ],
)
def test_a_message(message: str, way: str) -> None:
    found = way_out(message)
    assert way in found if way else not found


def test_the_note_of_a_job_has_it(tmp_path: Path) -> None:
    printed = "Traceback (most recent call last):\nAttributeError: module 'tensorflow' has no attribute 'Session'\n"
    assert "tf.Session is of TensorFlow 1" in extra_info(printed, 1, "train.py", tmp_path)
    printed = "ModuleNotFoundError: No module named 'sagemaker_tensorflow'\n"
    assert extra_info(printed, 1, "train.py", tmp_path).startswith("sagemaker_tensorflow is only in AWS's images")
